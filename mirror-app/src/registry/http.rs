//! HTTP/1, and the preface of HTTP/2.

use super::{Guess, StreamParser};
use crate::finding::{Finding, Scratch, Step, Then};
use crate::http::{self, Follows, Sent};
use crate::protocol::Protocol;

pub(super) const REQUESTS: StreamParser = StreamParser {
    protocol: Protocol::Http,
    guess: |bytes| Guess::of(http::begins_request(bytes)),
    read: read_request,
};

pub(super) const RESPONSES: StreamParser = StreamParser {
    protocol: Protocol::Http,
    guess: |bytes| Guess::of(http::begins_response(bytes)),
    read: |bytes, _| match http::read_response(bytes) {
        Ok(Some(response)) => Step::Found {
            finding: Some(Finding::HttpResponse(response)),
            length: response.length,
            then: then(response.follows),
        },
        Ok(None) => Step::More(bytes.len() + 1),
        Err(reason) => Step::Refused(reason.name()),
    },
};

fn read_request(bytes: &[u8], scratch: &mut Scratch) -> Step {
    match http::read_request(bytes, scratch.http) {
        Ok(Some(Sent::Request(request))) => Step::Found {
            length: request.length,
            then: then(request.follows),
            finding: Some(Finding::HttpRequest(Box::new(request))),
        },
        Ok(Some(Sent::Http2)) => {
            Step::Found { finding: Some(Finding::Http2), length: Sent::PREFACE_LENGTH, then: Then::Stop }
        }
        Ok(None) => Step::More(bytes.len() + 1),
        Err(reason) => Step::Refused(reason.name()),
    }
}

const fn then(follows: Follows) -> Then {
    match follows {
        Follows::Message => Then::Again,
        Follows::Tunnel => Then::Undecided,
        Follows::Unknown => Then::Stop,
    }
}

//! SSH.

use super::{Guess, StreamParser};
use crate::finding::{Finding, Step, Then};
use crate::protocol::Protocol;
use crate::ssh;

pub(super) const PARSER: StreamParser = StreamParser {
    protocol: Protocol::Ssh,
    guess: |bytes| Guess::of(ssh::begins(bytes)),
    read: |bytes, _| match ssh::read(bytes) {
        Ok(Some(banner)) => Step::Found {
            finding: Some(Finding::Ssh(Box::from(banner.software))),
            length: banner.length,
            then: Then::Stop,
        },
        Ok(None) => Step::More(bytes.len() + 1),
        Err(reason) => Step::Refused(reason.name()),
    },
};

//! TLS over TCP.

use super::{Guess, StreamParser};
use crate::finding::{Finding, Step, Then};
use crate::protocol::Protocol;
use crate::tls::{self, Hello};

/// Bytes that tell.
const ENOUGH: usize = 6;

pub(super) const PARSER: StreamParser = StreamParser {
    protocol: Protocol::Tls,
    guess: |bytes| match (tls::may_begin(bytes), bytes.len() >= ENOUGH) {
        (false, _) => Guess::No,
        (true, false) => Guess::Perhaps,
        (true, true) => Guess::Yes,
    },
    read: |bytes, _| {
        let finding = match tls::read(bytes) {
            Ok(Hello::More(needed)) => return Step::More(needed),
            Ok(Hello::Client(hello)) => Finding::ClientHello(hello),
            Ok(Hello::Server(hello)) => Finding::ServerHello(hello),
            Ok(Hello::Alert(description)) => Finding::TlsAlert(description),
            Err(reason) => return Step::Refused(reason.name()),
        };
        Step::Found { finding: Some(finding), length: 0, then: Then::Stop }
    },
};

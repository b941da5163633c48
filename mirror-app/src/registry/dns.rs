//! DNS over TCP and UDP.

use super::{Datagram, DatagramParser, Guess, StreamParser};
use crate::dns;
use crate::finding::{Finding, Scratch, Step, Then};
use crate::protocol::Protocol;

/// Bytes of a message over TCP with which [`dns::may_begin_stream`] has looked at all fields of the header.
const ENOUGH: usize = 14;

pub(super) const STREAM: StreamParser = StreamParser {
    protocol: Protocol::Dns,
    guess: |bytes| match (dns::may_begin_stream(bytes), bytes.len() >= ENOUGH) {
        (false, _) => Guess::No,
        (true, false) => Guess::Perhaps,
        (true, true) => Guess::Yes,
    },
    read: read_stream,
};

pub(super) const DATAGRAM: DatagramParser = DatagramParser { protocol: Protocol::Dns, read: read_datagram };

fn read_stream(bytes: &[u8], scratch: &mut Scratch) -> Step {
    let framed = match dns::split_stream(bytes) {
        Ok(Some(framed)) => framed,
        Ok(None) => {
            let length = bytes.first_chunk().map_or(0, |&length| usize::from(u16::from_be_bytes(length)));
            return Step::More(2 + length);
        }
        Err(reason) => return Step::Refused(reason.name()),
    };
    match scratch.dns.read(framed.message, false) {
        Ok(()) => Step::Found {
            finding: Some(Finding::Dns),
            length: bytes.len() - framed.rest.len(),
            then: Then::Again,
        },
        Err(reason) => Step::Refused(reason.name()),
    }
}

fn read_datagram(bytes: &[u8], ports: [u16; 2], scratch: &mut Scratch) -> Option<Datagram> {
    let multicast = ports.contains(&dns::MULTICAST_PORT);
    let expected = multicast || ports.contains(&dns::PORT);
    if !expected && !dns::may_begin(bytes, bytes.len()) {
        return None;
    }
    match scratch.dns.read(bytes, multicast) {
        Ok(()) if expected || scratch.dns.trailing() == 0 => Some(Ok(Finding::Dns)),
        Err(reason) if expected => Some(Err(reason.name())),
        // Without the port that says so, bytes that do not fit are of another protocol.
        _ => None,
    }
}

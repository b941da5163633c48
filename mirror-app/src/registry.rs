//! The parsers, in one table: the first bytes of a direction decide, whatever the port.

use crate::dns;
use crate::finding::{Finding, Scratch, Step, Then};
use crate::protocol::Protocol;
use crate::tls;

/// A parser of one direction of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamParser {
    /// Its protocol.
    pub protocol: Protocol,
    /// Tells whether a direction may begin with these bytes.
    pub guess: fn(&[u8]) -> Guess,
    /// Reads a message, from its first byte on. It is called again with more bytes until it has an answer.
    pub read: fn(&[u8], &mut Scratch) -> Step,
}

/// The message of a datagram, or the name of its fault.
pub type Datagram = Result<Finding, &'static str>;

/// A parser of datagrams, each of which is a message.
#[derive(Clone, Copy, Debug)]
pub struct DatagramParser {
    /// Its protocol.
    pub protocol: Protocol,
    /// Reads a datagram between two ports; [`None`] where it is of another protocol.
    pub read: fn(&[u8], [u16; 2], &mut Scratch) -> Option<Datagram>,
}

/// A parser's first look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// The bytes are of another protocol.
    No,
    /// There are too few to tell.
    Perhaps,
    /// They are of this protocol, or of none.
    Yes,
}

/// The parsers of streams, tried in this order.
pub const STREAMS: &[StreamParser] = &[
    StreamParser { protocol: Protocol::Tls, guess: guess_tls, read: read_tls },
    StreamParser { protocol: Protocol::Dns, guess: guess_dns, read: read_dns },
];

/// The parsers of datagrams, tried in this order.
pub const DATAGRAMS: &[DatagramParser] =
    &[DatagramParser { protocol: Protocol::Dns, read: read_dns_datagram }];

/// The message in a datagram between two ports, or its fault; [`None`] where no parser knows it.
pub fn of_datagram(bytes: &[u8], ports: [u16; 2], scratch: &mut Scratch) -> Option<(Protocol, Datagram)> {
    DATAGRAMS.iter().find_map(|parser| Some((parser.protocol, (parser.read)(bytes, ports, scratch)?)))
}

/// The parser of the stream that begins with `bytes`; `Err(true)` where that takes more bytes, `Err(false)` where no parser knows them.
pub fn of_stream(bytes: &[u8]) -> Result<&'static StreamParser, bool> {
    let mut perhaps = false;
    for parser in STREAMS {
        match (parser.guess)(bytes) {
            Guess::Yes => return Ok(parser),
            Guess::Perhaps => perhaps = true,
            Guess::No => {}
        }
    }
    Err(perhaps)
}

/// The parser of streams of a protocol.
pub fn of_protocol(protocol: Protocol) -> Option<&'static StreamParser> {
    STREAMS.iter().find(|parser| parser.protocol == protocol)
}

fn guess_tls(bytes: &[u8]) -> Guess {
    match (tls::may_begin(bytes), bytes.len() >= 6) {
        (false, _) => Guess::No,
        (true, false) => Guess::Perhaps,
        (true, true) => Guess::Yes,
    }
}

fn read_tls(bytes: &[u8], _: &mut Scratch) -> Step {
    let finding = match tls::read(bytes) {
        Ok(tls::Hello::More(needed)) => return Step::More(needed),
        Ok(tls::Hello::Client(hello)) => Finding::ClientHello(hello),
        Ok(tls::Hello::Server(hello)) => Finding::ServerHello(hello),
        Ok(tls::Hello::Alert(description)) => Finding::TlsAlert(description),
        Err(reason) => return Step::Refused(reason.name()),
    };
    Step::Found { finding: Some(finding), length: 0, then: Then::Stop }
}

/// Bytes of a message over TCP with which [`dns::may_begin_stream`] has looked at all fields of the header.
const DNS_HEADER: usize = 14;

fn guess_dns(bytes: &[u8]) -> Guess {
    match (dns::may_begin_stream(bytes), bytes.len() >= DNS_HEADER) {
        (false, _) => Guess::No,
        (true, false) => Guess::Perhaps,
        (true, true) => Guess::Yes,
    }
}

fn read_dns(bytes: &[u8], scratch: &mut Scratch) -> Step {
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

fn read_dns_datagram(bytes: &[u8], ports: [u16; 2], scratch: &mut Scratch) -> Option<Datagram> {
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

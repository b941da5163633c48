//! The parsers, in one table: the first bytes of a direction decide, whatever the port.
//!
//! A protocol is a file here, which says how its parser is asked, and a line in [`STREAMS`] or [`DATAGRAMS`].

mod dhcp;
mod dns;
mod http;
mod ssh;
mod starttls;
mod tls;

use crate::finding::{Finding, Scratch, Step};
use crate::protocol::Protocol;

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

impl Guess {
    /// The guess of a parser that answers [`None`] where there are too few bytes.
    const fn of(answer: Option<bool>) -> Self {
        match answer {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Perhaps,
        }
    }
}

/// The parsers of streams, tried in this order.
pub const STREAMS: &[StreamParser] = &[
    tls::PARSER,
    http::REQUESTS,
    http::RESPONSES,
    ssh::PARSER,
    starttls::SMTP_CLIENT,
    starttls::SMTP_SERVER,
    starttls::IMAP_CLIENT,
    starttls::IMAP_SERVER,
    starttls::POSTGRESQL_CLIENT,
    starttls::POSTGRESQL_SERVER,
    starttls::MYSQL_CLIENT,
    starttls::MYSQL_SERVER,
    dns::STREAM,
];

/// The parsers of datagrams, tried in this order.
pub const DATAGRAMS: &[DatagramParser] = &[dhcp::PARSER, dns::DATAGRAM];

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

//! What parsers find, and what of it is handed out.

use crate::dhcp;
use crate::dns;
use crate::http;
use crate::protocol::Protocol;
use crate::side::Side;
use crate::tls;

/// Memory that parsers use again for messages of which a flow may have many.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The DNS message that was read last.
    pub dns: dns::Message,
    /// Where packets of QUIC are opened.
    pub packet: Vec<u8>,
    /// The parts of HTTP requests that are kept.
    pub http: http::Options,
}

/// What a parser made of the bytes that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be told before there are as many bytes in all; a lower bound.
    More(usize),
    /// Something was found.
    Found {
        /// What was found; [`None`] where the bytes only lead to what follows.
        finding: Option<Finding>,
        /// Bytes that belong to it, which may be more than there are: they are skipped when they come.
        length: usize,
        /// The next reader of the direction.
        then: Then,
    },
    /// The bytes are not of the protocol, by the reason's name.
    Refused(&'static str),
}

/// What is done with the bytes behind a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next message of the same protocol begins there.
    Again,
    /// Another protocol begins there.
    Switch(Protocol),
    /// Some other protocol begins there, such as in a tunnel.
    Undecided,
    /// Nothing: all that this direction tells is known.
    Stop,
}

/// A message of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A ClientHello.
    ClientHello(Box<tls::ClientHello>),
    /// A ServerHello.
    ServerHello(Box<tls::ServerHello>),
    /// An alert in the clear.
    TlsAlert(u8),
    /// A DNS message, which stands in the [`Scratch`].
    Dns,
    /// The head of an HTTP request.
    HttpRequest(Box<http::Request>),
    /// The head of an HTTP response.
    HttpResponse(http::Response),
    /// The start of HTTP/2 in the clear, of which nothing is read.
    Http2,
    /// The software that an SSH banner names.
    Ssh(Box<str>),
    /// A DHCP message.
    Dhcp(Box<dhcp::Message>),
}

/// A complete finding, to become a record.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A TLS handshake, over TCP or QUIC, as far as it was seen.
    Tls(&'a tls::Handshake),
    /// A DNS message.
    Dns {
        /// The side that sent it.
        from: Side,
        /// The message.
        message: &'a dns::Message,
    },
    /// An HTTP request and its response, at least one of them.
    Http {
        /// The side that sends requests.
        client: Side,
        /// The request.
        request: Option<&'a http::Request>,
        /// The final response.
        response: Option<http::Response>,
    },
    /// A DHCP message.
    Dhcp {
        /// The side that sent it.
        from: Side,
        /// The message.
        message: &'a dhcp::Message,
    },
}

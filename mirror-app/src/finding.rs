//! What parsers find, and what of it is handed out.

use crate::protocol::Protocol;
use crate::tls;

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
}

/// A complete finding, to become a record.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A TLS handshake, over TCP or QUIC, as far as it was seen.
    Tls(&'a tls::Handshake),
}

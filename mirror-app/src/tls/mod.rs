//! TLS: both hellos of a handshake, from records over TCP or from QUIC's CRYPTO frames.
//!
//! Own readers rather than `tls-parser`, because that one wants whole records and allocates a list for each list it meets. These
//! read what is there of a message spread over any number of records, say how much more is needed, and take a few µs.

pub mod cipher;
pub mod client_hello;
pub mod extension;
pub mod handshake;
pub mod ja4;
pub mod message;
pub mod reason;
pub mod server_hello;
mod session;
pub mod version;

pub use cipher::CipherSuite;
pub use client_hello::ClientHello;
pub use handshake::{Handshake, Status};
pub use ja4::{Carrier, Ja4};
pub use reason::Reason;
pub use server_hello::ServerHello;
pub use version::Version;

use message::{Messages, Next};

use crate::reader::Reader;

/// Most bytes of a message that is followed. A ClientHello with post-quantum key shares has some 1,800.
pub const MESSAGE_LIMIT: usize = 16 << 10;

/// A finding at the start of a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The direction is that of the client.
    Client(Box<ClientHello>),
    /// The direction is that of the server.
    Server(Box<ServerHello>),
    /// The sender gives up, by the alert's description (RFC 8446, section 6).
    Alert(u8),
    /// That cannot be told before there are as many bytes in all.
    More(usize),
}

/// `true` where `bytes`, the first of a direction, may begin a handshake; the first six tell.
pub fn may_begin(bytes: &[u8]) -> bool {
    let fits = |index: usize, fits: fn(u8) -> bool| bytes.get(index).is_none_or(|&byte| fits(byte));
    let empty = matches!(bytes.get(3..5), Some([0, 0]));
    fits(0, |kind| kind == 22)
        && fits(1, |major| major == 3)
        && fits(2, |minor| minor <= 4)
        && fits(3, |length| length <= 0x48)
        && !empty
        && fits(5, |kind| kind == client_hello::TYPE || kind == server_hello::TYPE)
}

/// The hello in `bytes`, the first of a direction of TCP without a gap.
pub fn read(bytes: &[u8]) -> Result<Hello, Reason> {
    let mut messages = Messages::new(bytes);
    let mut retried = false;
    loop {
        match messages.take()? {
            Next::Message { kind, body } => {
                if let Some(hello) = hello(kind, &body, Carrier::Tcp, &mut retried)? {
                    return Ok(hello);
                }
            }
            Next::Alert(description) => return Ok(Hello::Alert(description)),
            Next::More(needed) => return Ok(Hello::More(needed)),
        }
    }
}

/// The hello in `bytes`, the first of a direction's CRYPTO frames without a gap, in which messages stand without records
/// (RFC 9001, section 4.1.3).
pub fn read_crypto(bytes: &[u8]) -> Result<Hello, Reason> {
    let mut reader = Reader::new(bytes);
    let mut retried = false;
    loop {
        let start = bytes.len() - reader.remaining();
        let (Some(kind), Some(length)) = (reader.u8(), reader.u24()) else {
            return Ok(Hello::More(start + message::HEADER));
        };
        let length = message::checked_length(length)?;
        let Some(body) = reader.bytes(length) else {
            return Ok(Hello::More(start + message::HEADER + length));
        };
        if let Some(hello) = hello(kind, body, Carrier::Quic, &mut retried)? {
            return Ok(hello);
        }
    }
}

/// The hello that a message is; [`None`] for a HelloRetryRequest, behind which another one follows.
fn hello(kind: u8, body: &[u8], carrier: Carrier, retried: &mut bool) -> Result<Option<Hello>, Reason> {
    match kind {
        client_hello::TYPE => Ok(Some(Hello::Client(Box::new(ClientHello::parse(body, carrier)?)))),
        server_hello::TYPE => {
            let hello = ServerHello::parse(body)?;
            if hello.retried && !std::mem::replace(retried, true) {
                return Ok(None);
            }
            Ok(Some(Hello::Server(Box::new(ServerHello { retried: *retried, ..hello }))))
        }
        _ => Err(Reason::MessageType),
    }
}

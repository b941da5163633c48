//! What the record of a flow carries.

use crate::given_up::GivenUp;
use crate::protocol::Protocol;
use crate::tls;

/// The protocol of a server's name, which is the evidence for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The server name of a TLS handshake over TCP.
    Sni,
    /// That of a QUIC handshake.
    Quic,
}

impl Evidence {
    /// Name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sni => "sni",
            Self::Quic => "quic",
        }
    }
}

/// The findings of one flow so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The protocol; where one led to another, the last.
    pub protocol: Option<Protocol>,
    /// The TLS handshake, that of QUIC included, which may be incomplete.
    pub tls: Option<Box<tls::Handshake>>,
    /// Number of DNS messages that were told.
    pub dns_messages: u32,
    /// The reason why the flow was followed no further, where not all was found.
    pub given_up: Option<GivenUp>,
}

impl Summary {
    /// The name of the server, as the client claimed it, and where it stood.
    pub fn server_name(&self) -> Option<(&str, Evidence)> {
        let tls = self.tls.as_ref()?;
        let evidence = match tls.carrier {
            tls::Carrier::Tcp => Evidence::Sni,
            tls::Carrier::Quic => Evidence::Quic,
        };
        Some((tls.server_name()?, evidence))
    }

    /// The side of the client, where a finding told it.
    pub fn client_side(&self) -> Option<crate::side::Side> {
        self.tls.as_ref()?.client_side
    }

    /// `true` where there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.protocol.is_none()
    }
}

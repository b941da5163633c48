//! What both hellos tell together.

use super::cipher::CipherSuite;
use super::client_hello::ClientHello;
use super::ja4::Carrier;
use super::server_hello::ServerHello;
use super::version::Version;
use crate::given_up::GivenUp;
use crate::quic;
use crate::side::Side;

/// How much of a handshake was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Both hellos.
    Complete,
    /// The ClientHello, and an alert instead of a ServerHello.
    Refused,
    /// The ClientHello only, such as where the other direction goes to another appliance.
    ClientOnly,
    /// The ServerHello only.
    ServerOnly,
    /// A hello began, and none was seen in full.
    Incomplete,
}

impl Status {
    /// Name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::ClientOnly => "client_only",
            Self::ServerOnly => "server_only",
            Self::Incomplete => "incomplete",
        }
    }
}

/// A handshake, complete or as far as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// TCP or QUIC.
    pub carrier: Carrier,
    /// The version of QUIC that carries it.
    pub quic_version: Option<quic::Version>,
    /// The side that the client is on, where a hello or an alert told it.
    pub client_side: Option<Side>,
    /// The client's hello: the first, where the server asked for another.
    pub client: Option<Box<ClientHello>>,
    /// The server's.
    pub server: Option<Box<ServerHello>>,
    /// The alert in the clear that ended it, by its description (RFC 8446, section 6).
    pub alert: Option<u8>,
    /// The reason why no more was seen.
    pub given_up: Option<GivenUp>,
}

impl Handshake {
    /// A handshake of which nothing is known yet.
    pub const fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            quic_version: None,
            client_side: None,
            client: None,
            server: None,
            alert: None,
            given_up: None,
        }
    }

    /// How much of it was seen.
    pub const fn status(&self) -> Status {
        match (&self.client, &self.server) {
            (Some(_), Some(_)) => Status::Complete,
            (Some(_), None) if self.alert.is_some() => Status::Refused,
            (Some(_), None) => Status::ClientOnly,
            (None, Some(_)) => Status::ServerOnly,
            (None, None) => Status::Incomplete,
        }
    }

    /// The name that the client asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.client.as_ref()?.server_name.as_deref()
    }

    /// The version that the server chose.
    pub fn version(&self) -> Option<Version> {
        self.server.as_ref().map(|server| server.version)
    }

    /// The cipher suite that the server chose.
    pub fn cipher(&self) -> Option<CipherSuite> {
        self.server.as_ref().map(|server| server.cipher)
    }

    /// The application protocol that the server chose, where it is told in the clear.
    pub fn protocol(&self) -> Option<&str> {
        self.server.as_ref()?.protocol.as_deref()
    }

    /// `true` where a session was resumed; [`None`] without both hellos.
    ///
    /// TLS 1.3: the server chose a pre-shared key. Below: it sent the client's session id back (RFC 5246, section 7.4.1.3; RFC 5077,
    /// section 3.4).
    pub fn resumed(&self) -> Option<bool> {
        let (client, server) = (self.client.as_ref()?, self.server.as_ref()?);
        Some(if server.version >= Version::TLS_1_3 {
            server.pre_shared_key
        } else {
            !client.session_id.is_empty() && client.session_id == server.session_id
        })
    }
}

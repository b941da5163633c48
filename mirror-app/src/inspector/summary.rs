//! What the record of a flow carries.

use crate::given_up::GivenUp;
use crate::http;
use crate::protocol::Protocol;
use crate::side::Side;
use crate::tls;

/// The protocol of a server's name, which is the evidence for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The server name of a TLS handshake over TCP.
    Sni,
    /// That of a QUIC handshake.
    Quic,
    /// The host of an HTTP request.
    Http,
}

impl Evidence {
    /// Name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sni => "sni",
            Self::Quic => "quic",
            Self::Http => "http",
        }
    }
}

/// The HTTP requests and responses of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSummary {
    /// The side that sends requests.
    pub client: Side,
    /// The first request.
    pub request: Option<http::Request>,
    /// The first final response.
    pub response: Option<http::Response>,
    /// Number of requests that were seen.
    pub requests: u32,
    /// Number of final responses that were seen.
    pub responses: u32,
}

/// The findings of one flow so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The protocol; where one led to another, the last.
    pub protocol: Option<Protocol>,
    /// The TLS handshake, that of QUIC included, which may be incomplete.
    pub tls: Option<Box<tls::Handshake>>,
    /// What was said in HTTP.
    pub http: Option<Box<HttpSummary>>,
    /// The software of the low and the high side, by their SSH banners.
    pub ssh: [Option<Box<str>>; 2],
    /// Number of DNS messages that were told.
    pub dns_messages: u32,
    /// The reason why the flow was followed no further, where not all was found.
    pub given_up: Option<GivenUp>,
}

impl Summary {
    /// The name of the server, as the client claimed it, and where it stood.
    pub fn server_name(&self) -> Option<(&str, Evidence)> {
        let Some(tls) = &self.tls else {
            let request = self.http.as_ref()?.request.as_ref()?;
            return Some((request.host_name()?, Evidence::Http));
        };
        let evidence = match tls.carrier {
            tls::Carrier::Tcp => Evidence::Sni,
            tls::Carrier::Quic => Evidence::Quic,
        };
        Some((tls.server_name()?, evidence))
    }

    /// The side of the client, where a finding told it.
    pub fn client_side(&self) -> Option<Side> {
        match (&self.tls, &self.http) {
            (Some(tls), _) => tls.client_side,
            (None, Some(http)) => Some(http.client),
            (None, None) => None,
        }
    }

    /// `true` where there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.protocol.is_none()
    }
}

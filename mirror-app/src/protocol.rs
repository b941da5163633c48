//! The protocols that are told apart.

/// An application protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TLS over TCP.
    Tls,
    /// QUIC, of which the TLS handshake is read.
    Quic,
    /// DNS over UDP or TCP, and multicast DNS.
    Dns,
}

impl Protocol {
    /// Name as ECS has it in `network.protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Dns => "dns",
        }
    }
}

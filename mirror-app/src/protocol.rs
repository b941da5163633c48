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
    /// HTTP/1.
    Http,
    /// HTTP/2 in the clear.
    Http2,
    /// SSH.
    Ssh,
    /// DHCP for IPv4.
    Dhcp,
    /// SMTP.
    Smtp,
    /// IMAP.
    Imap,
    /// PostgreSQL's protocol.
    Postgresql,
    /// MySQL's protocol.
    Mysql,
}

impl Protocol {
    /// Name as ECS has it in `network.protocol`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Ssh => "ssh",
            Self::Dhcp => "dhcp",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
        }
    }
}

//! Versions of TLS.

use std::fmt;

/// A version as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u16);

impl Version {
    /// SSL 3.0 (RFC 6101).
    pub const SSL_3_0: Self = Self(0x0300);
    /// TLS 1.0 (RFC 2246).
    pub const TLS_1_0: Self = Self(0x0301);
    /// TLS 1.1 (RFC 4346).
    pub const TLS_1_1: Self = Self(0x0302);
    /// TLS 1.2 (RFC 5246).
    pub const TLS_1_2: Self = Self(0x0303);
    /// TLS 1.3 (RFC 8446).
    pub const TLS_1_3: Self = Self(0x0304);

    /// Protocol and version as ECS has them in `tls.version_protocol` and `tls.version`; [`None`] for a number without a name.
    pub const fn name(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::SSL_3_0 => ("ssl", "3.0"),
            Self::TLS_1_0 => ("tls", "1.0"),
            Self::TLS_1_1 => ("tls", "1.1"),
            Self::TLS_1_2 => ("tls", "1.2"),
            Self::TLS_1_3 => ("tls", "1.3"),
            _ => return None,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some((protocol, version)) => write!(formatter, "{protocol} {version}"),
            None => write!(formatter, "{:#06x}", self.0),
        }
    }
}

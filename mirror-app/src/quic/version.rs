//! The versions of QUIC whose Initial packets can be read.

/// A version of QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Version 1 (RFC 9000, RFC 9001).
    V1,
    /// Version 2 (RFC 9369).
    V2,
}

/// A type of packet with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// The packet with the hellos.
    Initial,
    /// A packet encrypted with keys of an earlier session.
    ZeroRtt,
    /// A packet encrypted with keys of the handshake.
    Handshake,
    /// The server asks the client to begin again with another connection id.
    Retry,
}

impl Version {
    /// The version with this number on the wire.
    pub const fn from_wire(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            _ => None,
        }
    }

    /// Name for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
        }
    }

    /// The type of a packet by the first byte of its long header (RFC 9000, section 17.2; RFC 9369, section 3.2).
    pub const fn packet_type(self, first: u8) -> PacketType {
        match (self, first >> 4 & 3) {
            (Self::V1, 0) | (Self::V2, 1) => PacketType::Initial,
            (Self::V1, 1) | (Self::V2, 2) => PacketType::ZeroRtt,
            (Self::V1, 2) | (Self::V2, 3) => PacketType::Handshake,
            _ => PacketType::Retry,
        }
    }

    /// The salt of the Initial secret (RFC 9001, section 5.2; RFC 9369, section 3.3.1).
    pub(super) const fn salt(self) -> &'static [u8; 20] {
        match self {
            Self::V1 => &[
                0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c,
                0xad, 0xcc, 0xbb, 0x7f, 0x0a,
            ],
            Self::V2 => &[
                0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d,
                0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
            ],
        }
    }

    /// The labels of key, initialisation vector and header protection (RFC 9001, section 5.1; RFC 9369, section 3.3.2).
    pub(super) const fn labels(self) -> [&'static [u8]; 3] {
        match self {
            Self::V1 => [b"quic key", b"quic iv", b"quic hp"],
            Self::V2 => [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
        }
    }
}

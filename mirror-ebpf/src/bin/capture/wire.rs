//! Headers as they lie in a packet: arrays of bytes, to be read in their place.

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// EtherType of an IEEE 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// EtherType of an IEEE 802.1ad outer tag.
pub const SERVICE_VLAN: u16 = 0x88a8;
/// Most VLAN tags that are skipped.
pub const MAX_VLAN_TAGS: u32 = 2;

const HOP_BY_HOP: u8 = 0;
/// IP protocol of UDP.
pub const UDP: u8 = 17;
const ROUTING: u8 = 43;
/// Kind of an IPv6 fragment header.
pub const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
/// In the place of an IPv6 extension header: none, and no payload.
pub const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// The bit of [`Ipv4::fragment`] that all fragments but the last one have.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The bits of [`Ipv4::fragment`] of which a whole packet has none.
pub const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;

/// Bytes that the length field of an IPv6 extension header counts by, behind its first 8 bytes (RFC 8200, section 4;
/// RFC 4302, section 2.2); [`None`] where `kind` is a fragment header or no extension header.
#[inline(always)]
pub fn extension_unit(kind: u8) -> Option<usize> {
    match kind {
        HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => Some(8),
        AUTHENTICATION => Some(4),
        _ => None,
    }
}

/// A header as it lies in the packet.
///
/// # Safety
///
/// Of alignment 1, without padding, and valid whatever its bytes are.
pub unsafe trait Header {}

#[repr(C)]
pub struct Ethernet {
    _addresses: [u8; 12],
    pub ethertype: [u8; 2],
}

#[repr(C)]
pub struct Vlan {
    _control: [u8; 2],
    pub ethertype: [u8; 2],
}

#[repr(C)]
pub struct Ipv4 {
    pub version_and_words: u8,
    _service: u8,
    pub total_length: [u8; 2],
    _identification: [u8; 2],
    pub fragment: [u8; 2],
    _time_to_live: u8,
    pub protocol: u8,
    _checksum: [u8; 2],
    pub source: [u8; 4],
    pub destination: [u8; 4],
}

#[repr(C)]
pub struct Ipv6 {
    pub version_and_class: u8,
    _class_and_flow: [u8; 3],
    pub payload_length: [u8; 2],
    pub next_header: u8,
    _hop_limit: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
}

/// The least extension header of IPv6.
#[repr(C)]
pub struct Extension {
    pub next_header: u8,
    /// In a fragment header: reserved.
    pub units: u8,
    /// In a fragment header: offset and flags.
    pub fragment: [u8; 2],
    _data: [u8; 4],
}

/// Header of UDP.
#[repr(C)]
pub struct Ports {
    _source: [u8; 2],
    destination: [u8; 2],
}

impl Ports {
    #[inline(always)]
    pub fn destination(&self) -> u16 {
        u16::from_be_bytes(self.destination)
    }
}

#[repr(C)]
pub struct Udp {
    pub ports: Ports,
    pub length: [u8; 2],
    _checksum: [u8; 2],
}

/// The base header of GENEVE.
#[repr(C)]
pub struct Geneve {
    /// Version, and words of options.
    pub version_and_words: u8,
    pub flags: u8,
    pub protocol: [u8; 2],
    pub vni: [u8; 3],
    _reserved: u8,
}

/// Header of a GENEVE option.
#[repr(C)]
pub struct TunnelOption {
    pub class: [u8; 2],
    pub kind: u8,
    /// Reserved bits, and words of the value.
    pub words: u8,
}

#[repr(C)]
pub struct Vxlan {
    pub flags: u8,
    _reserved: [u8; 3],
    pub vni: [u8; 3],
    _reserved_too: u8,
}

// SAFETY: bytes only.
unsafe impl<const LENGTH: usize> Header for [u8; LENGTH] {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Ethernet {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Vlan {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Ipv4 {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Ipv6 {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Extension {}
// SAFETY: arrays of bytes only.
unsafe impl Header for Ports {}
// SAFETY: arrays of bytes only, of which some are in `Ports`.
unsafe impl Header for Udp {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Geneve {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for TunnelOption {}
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Vxlan {}

//! Whether a packet is a tunnel packet, and from where: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP.

use core::marker::PhantomData;

use aya_ebpf::programs::XdpContext;
use mirror_common::verdict::Verdict;

use crate::setting;

/// Most VLAN tags that are skipped.
const MAX_VLAN_TAGS: u32 = 2;
/// Most IPv6 extension headers that are followed: as many as RFC 8200, section 4.1, recommends at most, without
/// those behind which no UDP can be read.
const MAX_EXTENSION_HEADERS: u32 = 5;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

const HOP_BY_HOP: u8 = 0;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Source address of the outermost IP header.
pub enum Source<'packet> {
    /// Of an IPv4 header.
    V4(&'packet [u8; 4]),
    /// Of an IPv6 header.
    V6(&'packet [u8; 16]),
}

impl Source<'_> {
    /// As an IPv6 address, which IPv4 is mapped to (`::ffff:0:0/96`).
    #[inline(always)]
    pub fn mapped(&self) -> [u8; 16] {
        match *self {
            Self::V4(&[a, b, c, d]) => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d],
            Self::V6(address) => *address,
        }
    }
}

/// The outer source of a packet to a tunnel port.
///
/// # Errors
///
/// Why the packet is none.
#[inline(always)]
pub fn tunnel_source(ctx: &XdpContext) -> Result<Source<'_>, Verdict> {
    let mut reader = Reader::new(ctx);
    let source = match ethertype(&mut reader)? {
        IPV4 => ipv4(&mut reader)?,
        IPV6 => ipv6(&mut reader)?,
        _ => return Err(Verdict::PassedNotIp),
    };
    let port = u16::from_be_bytes(reader.take::<Udp>()?.destination_port);
    let vxlan_port = setting!(vxlan_port);
    if port == setting!(geneve_port) || (vxlan_port != 0 && port == vxlan_port) {
        Ok(source)
    } else {
        Err(Verdict::PassedNotTunnel)
    }
}

/// The EtherType behind the VLAN tags.
#[inline(always)]
fn ethertype(reader: &mut Reader<'_>) -> Result<u16, Verdict> {
    let mut ethertype = u16::from_be_bytes(reader.take::<Ethernet>()?.ethertype);
    for _ in 0..MAX_VLAN_TAGS {
        if !matches!(ethertype, VLAN | SERVICE_VLAN) {
            break;
        }
        ethertype = u16::from_be_bytes(reader.take::<Vlan>()?.ethertype);
    }
    Ok(ethertype)
}

/// The source of an unfragmented UDP packet over IPv4; the reader then stands at the UDP header.
#[inline(always)]
fn ipv4<'packet>(reader: &mut Reader<'packet>) -> Result<Source<'packet>, Verdict> {
    const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
    let header = reader.take::<Ipv4>()?;
    let (version, words) = (header.version_and_words >> 4, header.version_and_words & 0x0f);
    if version != 4 || words < 5 {
        return Err(Verdict::PassedTooShort);
    }
    reader.skip(usize::from(words) * 4 - size_of::<Ipv4>())?;
    if header.protocol != UDP {
        return Err(Verdict::PassedNotTunnel);
    }
    if u16::from_be_bytes(header.fragment) & MORE_FRAGMENTS_AND_OFFSET != 0 {
        return Err(Verdict::PassedFragment);
    }
    Ok(Source::V4(&header.source))
}

/// The source of an unfragmented UDP packet over IPv6; the reader then stands at the UDP header.
#[inline(always)]
fn ipv6<'packet>(reader: &mut Reader<'packet>) -> Result<Source<'packet>, Verdict> {
    let header = reader.take::<Ipv6>()?;
    if header.version_and_class >> 4 != 6 {
        return Err(Verdict::PassedTooShort);
    }
    let mut next = header.next_header;
    for _ in 0..MAX_EXTENSION_HEADERS {
        // What an extension header's length field counts: words of so many bytes behind its first 8 bytes
        // (RFC 8200, section 4; RFC 4302, section 2.2).
        let word = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => 8,
            AUTHENTICATION => 4,
            _ => break,
        };
        let extension = reader.take::<Extension>()?;
        reader.skip(usize::from(extension.words) * word)?;
        next = extension.next_header;
    }
    match next {
        UDP => Ok(Source::V6(&header.source)),
        FRAGMENT => Err(Verdict::PassedFragment),
        _ => Err(Verdict::PassedNotTunnel),
    }
}

/// A header as it lies in the packet.
///
/// # Safety
///
/// Of alignment 1, without padding, and valid whatever its bytes are.
unsafe trait Header {}

#[repr(C)]
struct Ethernet {
    _addresses: [u8; 12],
    ethertype: [u8; 2],
}

#[repr(C)]
struct Vlan {
    _control: [u8; 2],
    ethertype: [u8; 2],
}

#[repr(C)]
struct Ipv4 {
    version_and_words: u8,
    _service: u8,
    _length: [u8; 2],
    _identification: [u8; 2],
    fragment: [u8; 2],
    _time_to_live: u8,
    protocol: u8,
    _checksum: [u8; 2],
    source: [u8; 4],
    _destination: [u8; 4],
}

#[repr(C)]
struct Ipv6 {
    version_and_class: u8,
    _class_and_flow: [u8; 3],
    _length: [u8; 2],
    next_header: u8,
    _hop_limit: u8,
    source: [u8; 16],
    _destination: [u8; 16],
}

/// The least extension header of IPv6.
#[repr(C)]
struct Extension {
    next_header: u8,
    words: u8,
    _data: [u8; 6],
}

#[repr(C)]
struct Udp {
    _source_port: [u8; 2],
    destination_port: [u8; 2],
    _length: [u8; 2],
    _checksum: [u8; 2],
}

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
// SAFETY: bytes and arrays of bytes only.
unsafe impl Header for Udp {}

/// Reads headers from the packet's first buffer, front to back, and never past its end.
struct Reader<'packet> {
    at: usize,
    end: usize,
    packet: PhantomData<&'packet [u8]>,
}

impl<'packet> Reader<'packet> {
    #[inline(always)]
    fn new(ctx: &'packet XdpContext) -> Self {
        Self { at: ctx.data(), end: ctx.data_end(), packet: PhantomData }
    }

    /// The next header.
    #[inline(always)]
    fn take<H: Header>(&mut self) -> Result<&'packet H, Verdict> {
        let start = self.at;
        self.skip(size_of::<H>())?;
        // SAFETY: `skip` found that as many bytes are there, and `Header` that any bytes will do.
        Ok(unsafe { &*(start as *const H) })
    }

    /// Leaves `length` bytes out.
    #[inline(always)]
    fn skip(&mut self, length: usize) -> Result<(), Verdict> {
        let next = self.at + length;
        if next > self.end {
            return Err(Verdict::PassedTooShort);
        }
        self.at = next;
        Ok(())
    }
}

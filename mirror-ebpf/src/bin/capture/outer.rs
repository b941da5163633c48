//! The outer headers, which tell tunnel packets from others: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP.

use core::marker::PhantomData;

use aya_ebpf::programs::XdpContext;
use mirror_common::address::Address;
use mirror_common::verdict::Verdict;

use crate::setting;
use crate::wire::{
    Ethernet, Extension, FRAGMENT, Header, IPV4, IPV6, Ipv4, Ipv6, MAX_VLAN_TAGS, MORE_FRAGMENTS_AND_OFFSET,
    SERVICE_VLAN, UDP, Udp, VLAN, Vlan, extension_unit,
};

/// Most IPv6 extension headers that are followed: as many as RFC 8200, section 4.1, recommends at most, without
/// those behind which no UDP can be read.
const MAX_EXTENSION_HEADERS: u32 = 5;

/// The outermost IP header, in its place in the packet.
pub enum Ip<'packet> {
    /// IPv4.
    V4(&'packet Ipv4),
    /// IPv6.
    V6(&'packet Ipv6),
}

impl Ip<'_> {
    /// Bits of an address.
    #[inline(always)]
    pub fn bits(&self) -> u32 {
        match self {
            Self::V4(_) => 32,
            Self::V6(_) => 128,
        }
    }

    /// Source address.
    #[inline(always)]
    pub fn source(&self) -> Address {
        match *self {
            Self::V4(header) => Address::v4(header.source),
            Self::V6(header) => Address::v6(header.source),
        }
    }

    /// Destination address.
    #[inline(always)]
    pub fn destination(&self) -> Address {
        match *self {
            Self::V4(header) => Address::v4(header.destination),
            Self::V6(header) => Address::v6(header.destination),
        }
    }
}

/// The outer headers of a packet to a tunnel port.
pub struct Outer<'packet> {
    /// The IP header.
    pub ip: Ip<'packet>,
    /// The UDP header, in its place in the packet.
    pub udp: &'packet Udp,
}

/// The outer headers of a packet to a tunnel port.
///
/// # Errors
///
/// Reasons why the packet is none.
#[inline(always)]
pub fn open(ctx: &XdpContext) -> Result<Outer<'_>, Verdict> {
    let mut reader = Reader::new(ctx);
    if let Ok(common) = reader.peek::<Common>()
        && common.is_one()
    {
        return to_tunnel_port(Ip::V4(&common.ip), &common.udp);
    }
    let ip = match ethertype(&mut reader)? {
        IPV4 => ipv4(&mut reader)?,
        IPV6 => ipv6(&mut reader)?,
        _ => return Err(Verdict::PassedNotIp),
    };
    to_tunnel_port(ip, reader.take::<Udp>()?)
}

/// The headers, if the UDP header is to a tunnel port.
#[inline(always)]
fn to_tunnel_port<'packet>(ip: Ip<'packet>, udp: &'packet Udp) -> Result<Outer<'packet>, Verdict> {
    let port = udp.ports.destination();
    let vxlan_port = setting!(vxlan_port);
    if port == setting!(geneve_port) || (vxlan_port != 0 && port == vxlan_port) {
        Ok(Outer { ip, udp })
    } else {
        Err(Verdict::PassedNotTunnel)
    }
}

/// The headers of nearly all tunnel packets: no VLAN tag, IPv4 without options, UDP. One check of the packet's end is enough
/// for them.
#[repr(C)]
struct Common {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
}

// SAFETY: headers only, which are bytes only.
unsafe impl Header for Common {}

impl Common {
    /// `true` if these are indeed such headers, of a packet that is no fragment.
    #[inline(always)]
    fn is_one(&self) -> bool {
        u16::from_be_bytes(self.ethernet.ethertype) == IPV4
            && self.ip.version_and_words == 0x45
            && self.ip.protocol == UDP
            && u16::from_be_bytes(self.ip.fragment) & MORE_FRAGMENTS_AND_OFFSET == 0
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

/// The header of an unfragmented UDP packet over IPv4; the reader then stands at the UDP header.
#[inline(always)]
fn ipv4<'packet>(reader: &mut Reader<'packet>) -> Result<Ip<'packet>, Verdict> {
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
    Ok(Ip::V4(header))
}

/// The header of an unfragmented UDP packet over IPv6; the reader then stands at the UDP header.
#[inline(always)]
fn ipv6<'packet>(reader: &mut Reader<'packet>) -> Result<Ip<'packet>, Verdict> {
    let header = reader.take::<Ipv6>()?;
    if header.version_and_class >> 4 != 6 {
        return Err(Verdict::PassedTooShort);
    }
    let mut next = header.next_header;
    for _ in 0..MAX_EXTENSION_HEADERS {
        let Some(unit) = extension_unit(next) else { break };
        let extension = reader.take::<Extension>()?;
        reader.skip(usize::from(extension.units) * unit)?;
        next = extension.next_header;
    }
    match next {
        UDP => Ok(Ip::V6(header)),
        FRAGMENT => Err(Verdict::PassedFragment),
        _ => Err(Verdict::PassedNotTunnel),
    }
}

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

    /// The next header, which stays the next one.
    #[inline(always)]
    fn peek<H: Header>(&self) -> Result<&'packet H, Verdict> {
        Self { ..*self }.take()
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

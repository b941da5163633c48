//! The snap length of a tunnel packet, where it depends on the packet's endpoint and VNI.
//!
//! They are read as `mirror_user::decap` reads them, length fields included, so that both sides find the same rule. Where
//! they cannot be read, because they are malformed, lie behind the packet's first buffer, or may stand in another
//! fragment, any rule may be the right one: then the shortest of all snap lengths holds.

use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::XdpContext;
use mirror_common::tunnel::{TunnelKey, most_specific};

use crate::setting;
use crate::wire::{
    Ethernet, Extension, FRAGMENT, Geneve, Header, IPV4, IPV6, Ipv4, Ipv6, MAX_VLAN_TAGS, MORE_FRAGMENTS,
    MORE_FRAGMENTS_AND_OFFSET, NO_NEXT_HEADER, Ports, SERVICE_VLAN, TunnelOption, UDP, Udp, VLAN, Vlan,
    Vxlan, extension_unit,
};

/// Furthest offset in the frame at which a header is read: all ones.
const MAX_OFFSET: usize = 0x3fff;

/// Most IPv6 extension headers that are followed: as many as in `mirror_user::wire::ipv6`.
const MAX_EXTENSION_HEADERS: u32 = 8;

/// Transparent Ethernet bridging: in GENEVE, an Ethernet frame follows.
const BRIDGING: u16 = 0x6558;

/// Snap lengths of particular tunnels. The loader sets the size.
#[map]
static SNAP_LENGTHS: HashMap<TunnelKey, u32> = HashMap::with_max_entries(1, 0);

/// Number of bytes of the packet that are kept, from its first one on; 0 for all. `udp` is its outer UDP header.
#[inline(always)]
pub fn snap_length(ctx: &XdpContext, udp: &Udp) -> u32 {
    let otherwise = setting!(snap_length);
    let kinds = setting!(snap_kinds);
    if kinds == 0 {
        return otherwise;
    }
    let Some(Identity { endpoint, vni }) = Identity::read(ctx, udp) else {
        return setting!(shortest_snap_length);
    };
    let look_up = |key: &TunnelKey| {
        // SAFETY: nothing is removed from the map or changed in it once the program runs.
        unsafe { SNAP_LENGTHS.get(key) }.copied()
    };
    most_specific(kinds, endpoint, Some(vni), look_up).unwrap_or(otherwise)
}

/// Keys by which rules are looked up.
struct Identity {
    endpoint: Option<u64>,
    vni: u32,
}

impl Identity {
    /// [`None`] where the headers that it stands in are malformed, or not in the packet's first buffer, or where the packet
    /// is a fragment of what may be a session's VXLAN.
    #[inline(always)]
    fn read(ctx: &XdpContext, udp: &Udp) -> Option<Self> {
        let mut payload = Payload::of(ctx, udp)?;
        if udp.ports.destination() != setting!(geneve_port) {
            return Some(Self { endpoint: None, vni: vxlan(&mut payload)? });
        }
        let geneve = payload.take::<Geneve>()?;
        let endpoint = endpoint(&mut payload, geneve)?;
        let protocol = u16::from_be_bytes(geneve.protocol);
        if !matches!(protocol, IPV4 | IPV6 | BRIDGING) {
            return None;
        }
        let vni = if session(&mut payload, protocol)? { vxlan(&mut payload)? } else { number(geneve.vni) };
        Some(Self { endpoint, vni })
    }
}

/// Takes the options of GENEVE, and gives the Gateway Load Balancer endpoint that they name, if any; [`None`] where
/// they are malformed.
#[inline(always)]
fn endpoint(payload: &mut Payload<'_>, geneve: &Geneve) -> Option<Option<u64>> {
    const CONTROL: u8 = 0x80;
    const CRITICAL: u8 = 0x80;
    const MAX_OPTIONS: u32 = 63; // of a word each
    const WORDS: u8 = 0x1f;
    const CLASS: u16 = 0x0108;
    const ENDPOINT: u8 = 1;
    const ATTACHMENT: u8 = 2;
    const COOKIE: u8 = 3;
    if geneve.version_and_words >> 6 != 0 || geneve.flags & CONTROL != 0 {
        return None;
    }
    let mut options = *payload;
    payload.skip(usize::from(geneve.version_and_words) * 4)?;
    options.end = payload.offset;
    let mut endpoint = None;
    for _ in 0..MAX_OPTIONS {
        if options.left() == 0 {
            break;
        }
        let option = options.take::<TunnelOption>()?;
        let mut value = options;
        let words = option.words & WORDS;
        options.skip(usize::from(words) * 4)?;
        match (u16::from_be_bytes(option.class), option.kind) {
            (CLASS, ENDPOINT) if words == 2 => {
                let id = u64::from_be_bytes(*value.take()?);
                endpoint = endpoint.or(Some(id));
            }
            (CLASS, ATTACHMENT) if words == 2 => {}
            (CLASS, COOKIE) if words == 1 => {}
            (CLASS, ENDPOINT | ATTACHMENT | COOKIE) => return None,
            (_, kind) if kind & CRITICAL != 0 => return None,
            _ => {}
        }
    }
    Some(endpoint)
}

/// `true` if the packet that GENEVE carries as `protocol` is one of a mirror session; `payload` then stands at its
/// VXLAN header. [`None`] where it is malformed, or nested or fragmented so that it cannot be told.
#[inline(always)]
fn session(payload: &mut Payload<'_>, protocol: u16) -> Option<bool> {
    let port = setting!(session_port);
    if port == 0 {
        return Some(false);
    }
    let ethertype = if protocol == BRIDGING { ethertype(payload)? } else { protocol };
    let datagram = match ethertype {
        IPV4 => ipv4(payload)?,
        IPV6 => ipv6(payload)?,
        _ => Datagram::None,
    };
    let is_fragment = match datagram {
        Datagram::None => return Some(false),
        Datagram::Whole => false,
        Datagram::FirstFragment => true,
    };
    if payload.left() < size_of::<Ports>() {
        return (!is_fragment).then_some(false);
    }
    if { *payload }.take::<Ports>()?.destination() != port {
        return Some(false);
    }
    if is_fragment {
        return None;
    }
    let length = u16::from_be_bytes(payload.take::<Udp>()?.length);
    payload.limit(usize::from(length).checked_sub(size_of::<Udp>())?);
    Some(true)
}

/// Part of a UDP datagram that an IP packet carries.
enum Datagram {
    /// Nothing: it carries something else.
    None,
    /// All of it.
    Whole,
    /// Its beginning.
    FirstFragment,
}

/// Takes an Ethernet header, and gives the EtherType behind its VLAN tags. [`None`] where there are more than are
/// followed.
#[inline(always)]
fn ethertype(payload: &mut Payload<'_>) -> Option<u16> {
    let mut ethertype = u16::from_be_bytes(payload.take::<Ethernet>()?.ethertype);
    for _ in 0..MAX_VLAN_TAGS {
        if !matches!(ethertype, VLAN | SERVICE_VLAN) {
            break;
        }
        ethertype = u16::from_be_bytes(payload.take::<Vlan>()?.ethertype);
    }
    (!matches!(ethertype, VLAN | SERVICE_VLAN)).then_some(ethertype)
}

/// Takes an IPv4 header. [`None`] where it is malformed, or a later fragment of UDP follows.
#[inline(always)]
fn ipv4(payload: &mut Payload<'_>) -> Option<Datagram> {
    let header = payload.take::<Ipv4>()?;
    let header_length = usize::from(header.version_and_words & 0x0f) * 4;
    if header.version_and_words >> 4 != 4 {
        return None;
    }
    payload.skip(header_length.checked_sub(size_of::<Ipv4>())?)?;
    let total_length = usize::from(u16::from_be_bytes(header.total_length));
    if total_length != 0 {
        payload.limit(total_length.checked_sub(header_length)?);
    }
    if header.protocol != UDP {
        return Some(Datagram::None);
    }
    match u16::from_be_bytes(header.fragment) & MORE_FRAGMENTS_AND_OFFSET {
        0 => Some(Datagram::Whole),
        MORE_FRAGMENTS => Some(Datagram::FirstFragment),
        _ => None,
    }
}

/// Takes an IPv6 header with its extension headers. [`None`] where they are malformed or more than are followed, or a later
/// fragment of what may be UDP follows.
#[inline(always)]
fn ipv6(payload: &mut Payload<'_>) -> Option<Datagram> {
    const MORE_FRAGMENTS: u16 = 0x0001;
    const OFFSET: u16 = 0xfff8;
    let header = payload.take::<Ipv6>()?;
    if header.version_and_class >> 4 != 6 {
        return None;
    }
    let mut next = header.next_header;
    let length = u16::from_be_bytes(header.payload_length);
    if length != 0 || next == NO_NEXT_HEADER {
        payload.limit(usize::from(length));
    }
    let mut whole = true;
    for _ in 0..MAX_EXTENSION_HEADERS {
        let is_fragment = next == FRAGMENT;
        let unit = match extension_unit(next) {
            Some(unit) => unit,
            None if is_fragment => 0,
            None => break,
        };
        let extension = payload.take::<Extension>()?;
        next = extension.next_header;
        if is_fragment {
            let fragment = u16::from_be_bytes(extension.fragment);
            if fragment & OFFSET != 0 {
                return not_udp(next);
            }
            whole &= fragment & MORE_FRAGMENTS == 0;
        }
        payload.skip(usize::from(extension.units) * unit)?;
    }
    match next {
        UDP if whole => Some(Datagram::Whole),
        UDP => Some(Datagram::FirstFragment),
        next => not_udp(next),
    }
}

/// That an IPv6 packet carries no UDP, as its header `next` tells; [`None`] where UDP may stand behind that.
#[inline(always)]
fn not_udp(next: u8) -> Option<Datagram> {
    let may_be_udp = matches!(next, UDP | FRAGMENT) || extension_unit(next).is_some();
    (!may_be_udp).then_some(Datagram::None)
}

/// Takes a VXLAN header, and gives its VNI; [`None`] where it has none.
#[inline(always)]
fn vxlan(payload: &mut Payload<'_>) -> Option<u32> {
    const VALID_VNI: u8 = 0x08;
    let header = payload.take::<Vxlan>()?;
    (header.flags & VALID_VNI != 0).then(|| number(header.vni))
}

/// A VNI as a number.
#[inline(always)]
fn number([high, middle, low]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, high, middle, low])
}

/// Payload of a header, up to where its length field says that it ends. Headers are read front to back, by their
/// offset in the frame, and never past the end of the packet's first buffer.
#[derive(Clone, Copy)]
struct Payload<'packet> {
    ctx: &'packet XdpContext,
    /// Offset of the next header in the frame.
    offset: usize,
    /// Offset of the payload's end.
    end: usize,
}

impl<'packet> Payload<'packet> {
    /// Payload of the datagram of `udp`, a header in the packet.
    #[inline(always)]
    fn of(ctx: &'packet XdpContext, udp: &Udp) -> Option<Self> {
        let offset = core::ptr::from_ref(udp) as usize + size_of::<Udp>() - ctx.data();
        let length = usize::from(u16::from_be_bytes(udp.length)).checked_sub(size_of::<Udp>())?;
        Some(Self { ctx, offset, end: offset + length })
    }

    /// Bytes that are left.
    #[inline(always)]
    fn left(&self) -> usize {
        self.end - self.offset
    }

    /// Ends it after `length` bytes, if it does not end before.
    #[inline(always)]
    fn limit(&mut self, length: usize) {
        self.end = self.end.min(self.offset + length);
    }

    /// Leaves `length` bytes out.
    #[inline(always)]
    fn skip(&mut self, length: usize) -> Option<()> {
        if length > self.left() {
            return None;
        }
        self.offset += length;
        Some(())
    }

    /// The next header; [`None`] where the payload or the packet's first buffer ends within it.
    #[inline(always)]
    fn take<H: Header>(&mut self) -> Option<&'packet H> {
        let offset = self.offset;
        self.skip(size_of::<H>())?;
        if offset > MAX_OFFSET {
            return None;
        }
        // The verifier would follow each way to a header apart, with the offsets that are possible on it, and give up.
        // A mask makes them all alike. It changes nothing, for which the compiler would leave it out, were it to see
        // that it is given the offset from above.
        // SAFETY: a reference to a local variable is valid, aligned and initialised.
        let offset = unsafe { core::ptr::read_volatile(&raw const offset) } & MAX_OFFSET;
        let header = self.ctx.data() + offset;
        if header + size_of::<H>() > self.ctx.data_end() {
            return None;
        }
        // SAFETY: as many bytes are there, and `Header` says that any will do.
        Some(unsafe { &*(header as *const H) })
    }
}

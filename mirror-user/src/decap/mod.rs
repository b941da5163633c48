//! From an outer frame to the mirrored packet and its tunnel identity.
//!
//! The mirror's own tunnels are the outer one and, where that is GENEVE, a VXLAN directly inside it: the headers that
//! a Gateway Load Balancer and a traffic mirror session put around a packet. They alone make the tunnel identity, and a
//! malformed one ends the packet with a named reason.
//!
//! They carry mirrored traffic, which may be tunnelled in its turn, as a customer's overlay on the same ports.
//! Up to [`DecapConfig::max_depth`] those tunnel headers are taken off as well, but they have no say in the identity,
//! and a packet whose tunnel is malformed or cut off is recorded as the UDP packet that it is. So mirrored traffic can
//! neither hide by posing as a tunnel nor have itself ascribed to another endpoint. A session's VXLAN cannot be told from
//! other UDP to that port that enters by the same endpoint: an endpoint is for sessions only.
//!
//! A tunnel packet is UDP to the tunnel's port, and whole: a fragment of one is recorded as the fragment that it is.
//!
//! A packet ends where its length field says: padding of the outer frame does not count. Bytes may be missing at
//! the end of any packet whose headers are there, since the mirror session, the kernel or a capture may have truncated it;
//! its original length is then the greatest by frame and length fields. Only outer length fields beyond the
//! frame as it was on the wire contradict themselves.

// The common path is inlined into its caller as a whole, so that the fields of headers stay in registers on their way into
// the flow table. Through memory that takes half as long again.

mod config;
mod fast_path;
mod geneve;
mod layer;
mod load_balancer;
mod outer;
mod payload;

use std::net::{IpAddr, Ipv4Addr};

pub use self::config::DecapConfig;

use self::geneve::Geneve;
use self::layer::{Datagram, Layer};
use self::load_balancer::Carried;
use self::outer::Outer;
use self::payload::Payload;
use crate::DropReason;
use crate::number::{EtherType, MacAddress};
use crate::packet::{Link, Packet, PlainPacket};
use crate::source::Frame;
use crate::wire::vxlan;

/// Finds the mirrored packet in `frame`.
///
/// # Errors
///
/// The one reason for which the frame has no packet that could be recorded: the first fault from the outside in.
/// Within a GENEVE header that is the first of its base header, the O bit, the options in their order, and the
/// protocol type.
pub fn decapsulate(frame: &Frame<'_>, config: &DecapConfig) -> Result<Packet, DropReason> {
    match find(frame, config) {
        Found::Plain(packet) => Ok(describe_plain(packet, *frame)),
        Found::Other(other) => other.describe(config),
    }
}

/// A frame in which the mirrored packet was looked for in its most frequent form.
pub enum Found<'a> {
    /// It has that form.
    Plain(PlainPacket),
    /// It has another form, or there is none.
    Other(Other<'a>),
}

/// A frame whose headers are parsed one by one.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    frame: Frame<'a>,
    /// Behind the headers of a load balancer, where they have their known form.
    carried: Option<Carried<'a>>,
}

/// Looks for the mirrored packet in `frame` in its most frequent form.
#[inline(always)]
pub fn find<'a>(frame: &Frame<'a>, config: &DecapConfig) -> Found<'a> {
    let carried = load_balancer::open(frame, config);
    if let Some(carried) = carried
        && let Some(packet) = fast_path::find(carried, config)
    {
        return Found::Plain(packet);
    }
    Found::Other(Other { frame: *frame, carried })
}

/// Describes a packet that was [found](Found::Plain) in `frame` as any other. It takes values: those whose address is taken
/// do not stay in registers where they are not described.
#[inline]
pub fn describe_plain(packet: PlainPacket, frame: Frame<'_>) -> Packet {
    let link = || {
        // The header was parsed already; only its addresses were not kept.
        let (destination, behind) = frame.data.get(packet.offset as usize..)?.split_first_chunk()?;
        let (source, _) = behind.split_first_chunk()?;
        Some(Link { source: MacAddress(*source), destination: MacAddress(*destination), vlans: packet.vlans })
    };
    packet.with_link(if packet.is_frame { link() } else { None })
}

impl Other<'_> {
    /// Finds the mirrored packet.
    ///
    /// # Errors
    ///
    /// Those of [`decapsulate`].
    pub fn describe(&self, config: &DecapConfig) -> Result<Packet, DropReason> {
        let mut packet = Packet::UNKNOWN;
        describe_carried(self, config, &mut packet)?;
        Ok(packet)
    }
}

/// Finds the mirrored packet, and describes it in `packet`: a description is large, and fields that are read early are written
/// in their place at once.
fn describe_carried(
    Other { frame, carried }: &Other<'_>,
    config: &DecapConfig,
    packet: &mut Packet,
) -> Result<(), DropReason> {
    let (protocol, payload) = match *carried {
        Some(Carried { tunnel, protocol, payload }) => {
            packet.tunnel = tunnel.into();
            (protocol, payload)
        }
        None => {
            let mut payload = Payload::of(frame);
            let outer = Outer::open(&mut payload, frame.link_type, config)?;
            if outer.port != config.geneve_port {
                let vxlan = vxlan::Header::parse(&mut payload.reader)?;
                packet.tunnel = outer.tunnel(None);
                packet.tunnel.vxlan_vni = Some(vxlan.vni);
                packet.tunnel.vxlan_source = v4(packet.tunnel.outer_source);
                let layer = Layer::open(payload, EtherType::ETHERNET)?;
                describe(layer, 1, config, packet);
                return Ok(());
            }
            let geneve = Geneve::open(&mut payload)?;
            packet.tunnel = outer.tunnel(Some(geneve));
            (geneve.protocol, payload)
        }
    };
    let layer = Layer::open(payload, protocol)?;
    match layer.datagram() {
        Some(session) if session.port == config.vxlan_port && config.max_depth > 1 => {
            let mut payload = session.payload.ok_or(DropReason::VxlanTruncated)?;
            let vxlan = vxlan::Header::parse(&mut payload.reader)?;
            packet.tunnel.vxlan_vni = Some(vxlan.vni);
            packet.tunnel.vxlan_source = v4(session.source);
            let layer = Layer::open(payload, EtherType::ETHERNET)?;
            describe(layer, 2, config, packet);
        }
        _ => describe(layer, 1, config, packet),
    }
    Ok(())
}

/// An address of IPv4.
const fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Describes the packet in `layer`, which is mirrored traffic, or the innermost one that tunnels in it carry. `depth`
/// tunnel headers were taken off so far.
#[inline(always)]
fn describe(layer: Layer<'_>, depth: u8, config: &DecapConfig, packet: &mut Packet) {
    if depth < config.max_depth
        && let Some(datagram) = layer.datagram()
        && config.is_tunnel(datagram.port)
        && let Some(innermost) = innermost(datagram, depth, config)
    {
        innermost.describe(packet);
    } else {
        layer.describe(packet);
    }
}

/// The innermost packet that tunnels in mirrored traffic carry; [`None`] where `datagram` is no well-formed tunnel
/// packet.
#[inline(never)] // rare, and kept out of the code of the others
fn innermost<'a>(datagram: Datagram<'a>, mut depth: u8, config: &DecapConfig) -> Option<Layer<'a>> {
    let mut layer = carried(datagram, config)?;
    depth += 1;
    while depth < config.max_depth
        && let Some(deeper) = layer.datagram().and_then(|datagram| carried(datagram, config))
    {
        layer = deeper;
        depth += 1;
    }
    Some(layer)
}

/// The packet in `datagram`; [`None`] where that is no well-formed tunnel packet.
fn carried<'a>(datagram: Datagram<'a>, config: &DecapConfig) -> Option<Layer<'a>> {
    let mut payload = datagram.payload?;
    let protocol = if datagram.port == config.geneve_port {
        Geneve::open(&mut payload).ok()?.protocol
    } else if datagram.port == config.vxlan_port {
        vxlan::Header::parse(&mut payload.reader).ok()?;
        EtherType::ETHERNET
    } else {
        return None;
    };
    Layer::open(payload, protocol).ok()
}

#[cfg(test)]
pub(crate) mod tests;

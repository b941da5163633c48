//! From an outer frame to the mirrored packet and its tunnel identity.
//!
//! The mirror's own tunnels are the outer one and, where that is GENEVE, a VXLAN directly inside it: what a Gateway
//! Load Balancer and a traffic mirror session put around a packet. They alone make the tunnel identity, and what is
//! malformed in them ends in its named reason.
//!
//! What they carry is mirrored traffic. It may be tunnelled in its turn, as a customer's overlay on the same ports.
//! Up to [`DecapConfig::max_depth`] those tunnel headers are taken off as well, but they have no say in the identity,
//! and a packet whose tunnel is malformed or cut off is recorded as the UDP packet that it is. So nobody who sends
//! packets into a mirrored network can keep them from being recorded, or have them ascribed to another endpoint.
//!
//! A tunnel packet is UDP to the tunnel's port, and whole: a fragment of one is recorded as the fragment that it is.
//!
//! A packet ends where its length field says: padding of the outer frame does not count. Bytes may be missing at
//! the end of any packet whose headers are there, since the mirror session, the kernel or a capture may have cut it;
//! its original length is then the greatest that frame and length fields tell. Only outer length fields beyond the
//! frame as it was on the wire contradict themselves.

mod level;
mod outer;
mod payload;

use crate::DropReason;
use crate::packet::{Packet, Tunnel};
use crate::source::Frame;
use crate::wire::number::{EtherType, Vni};
use crate::wire::{geneve, gwlb, vxlan};

use level::Level;
use outer::Outer;
use payload::Payload;

/// What decapsulation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecapConfig {
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN, inside GENEVE and by itself.
    pub vxlan_port: u16,
    /// How many tunnel headers are taken off at most, GENEVE included; the outer one always is. A packet that is
    /// tunnelled more deeply is recorded as the UDP packet that it is at that depth. 2 suffices for the mirror's own
    /// tunnels; more looks into the overlays of mirrored traffic, and believes the addresses in there.
    pub max_depth: u8,
}

/// Finds the mirrored packet in `frame`.
///
/// # Errors
///
/// The one reason for which the frame has no packet that could be recorded: the first fault from the outside in.
/// Within a GENEVE header that is the first of its base header, the O bit, the options in their order, and the
/// protocol type.
pub fn decapsulate(frame: &Frame<'_>, config: &DecapConfig) -> Result<Packet, DropReason> {
    let mut payload = Payload::of(frame);
    let outer = Outer::open(&mut payload, frame.link_type, config)?;
    let mut tunnel = Tunnel {
        outer_source: outer.source,
        outer_destination: outer.destination,
        geneve_vni: None,
        vxlan_vni: None,
        endpoint: None,
        attachment: None,
        cookie: None,
    };
    let mut depth = 1;
    let mut level;
    if outer.port == config.geneve_port {
        let geneve = Geneve::open(&mut payload)?;
        tunnel.geneve_vni = Some(geneve.vni);
        tunnel.endpoint = geneve.gwlb.endpoint;
        tunnel.attachment = geneve.gwlb.attachment;
        tunnel.cookie = geneve.gwlb.cookie;
        level = Level::open(payload, geneve.protocol)?;
        if depth < config.max_depth
            && let Some(session) = level.datagram().filter(|datagram| datagram.port == config.vxlan_port)
        {
            depth += 1;
            let mut payload = session.payload.ok_or(DropReason::VxlanTruncated)?;
            tunnel.vxlan_vni = Some(vxlan::Header::parse(&mut payload.reader)?.vni);
            level = Level::open(payload, EtherType::ETHERNET)?;
        }
    } else {
        tunnel.vxlan_vni = Some(vxlan::Header::parse(&mut payload.reader)?.vni);
        level = Level::open(payload, EtherType::ETHERNET)?;
    }
    while depth < config.max_depth
        && let Some(carried) = carried(&level, config)
    {
        depth += 1;
        level = carried;
    }
    Ok(level.packet(tunnel))
}

/// What a tunnel in mirrored traffic carries; [`None`] where `level` is not a well-formed tunnel packet.
fn carried<'a>(level: &Level<'a>, config: &DecapConfig) -> Option<Level<'a>> {
    let datagram = level.datagram()?;
    let mut payload = datagram.payload?;
    let protocol = if datagram.port == config.geneve_port {
        Geneve::open(&mut payload).ok()?.protocol
    } else if datagram.port == config.vxlan_port {
        vxlan::Header::parse(&mut payload.reader).ok()?;
        EtherType::ETHERNET
    } else {
        return None;
    };
    Level::open(payload, protocol).ok()
}

/// A GENEVE header whose options were understood.
struct Geneve {
    vni: Vni,
    gwlb: gwlb::Options,
    protocol: EtherType,
}

impl Geneve {
    #[inline]
    fn open(payload: &mut Payload<'_>) -> Result<Self, DropReason> {
        let header = geneve::Header::parse(&mut payload.reader)?;
        if header.control {
            return Err(DropReason::GeneveControl);
        }
        let gwlb = gwlb::Options::parse(header.options)?;
        match header.protocol {
            EtherType::IPV4 | EtherType::IPV6 | EtherType::ETHERNET => {
                Ok(Self { vni: header.vni, gwlb, protocol: header.protocol })
            }
            _ => Err(DropReason::GeneveProtocol),
        }
    }
}

#[cfg(test)]
mod tests;

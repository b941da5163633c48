//! The GENEVE header of a tunnel packet, options included.

use super::payload::Payload;
use crate::DropReason;
use crate::number::{EtherType, Vni};
use crate::wire::{geneve, gwlb};

/// A GENEVE header whose options were understood.
#[derive(Clone, Copy)]
pub(super) struct Geneve {
    pub(super) vni: Vni,
    pub(super) gwlb: gwlb::Identity,
    pub(super) protocol: EtherType,
}

impl Geneve {
    #[inline(always)]
    pub(super) fn open(payload: &mut Payload<'_>) -> Result<Self, DropReason> {
        let header = geneve::Header::parse(&mut payload.reader)?;
        if header.control {
            return Err(DropReason::GeneveControl);
        }
        let gwlb = gwlb::Identity::parse(header.options)?;
        match header.protocol {
            EtherType::IPV4 | EtherType::IPV6 | EtherType::ETHERNET => {
                Ok(Self { vni: header.vni, gwlb, protocol: header.protocol })
            }
            _ => Err(DropReason::GeneveProtocol),
        }
    }
}

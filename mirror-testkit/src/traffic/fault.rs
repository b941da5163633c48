//! Faults of malformed packets: for each, the receiver has one reason to drop the packet.

use mirror_common::drop_reason::DropReason;
use mirror_traffic::count::VALID_TEMPLATES;

use super::layout::{
    COOKIE_OPTION, ENDPOINT_OPTION, GENEVE, GENEVE_OPTIONS, GENEVE_PAYLOAD, VXLAN, VXLAN_PAYLOAD,
};
use super::template::shorten;

/// A fault of a malformed packet, which is otherwise a valid TCP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ends in the middle of the GENEVE options.
    GeneveTruncated,
    /// GENEVE version 1.
    GeneveVersion,
    /// The last GENEVE option is longer than what is left for it.
    GeneveOptionLength,
    /// The O bit of GENEVE is set.
    GeneveControl,
    /// A critical GENEVE option of an experimental class.
    GeneveCriticalOption,
    /// GENEVE with the protocol type of local experiments.
    GeneveProtocol,
    /// A flow cookie of 8 bytes.
    GwlbOptionLength,
    /// Ends in the middle of the mirrored packet's IP header.
    InnerTruncated,
    /// An IP header length below 20.
    InnerIpHeader,
    /// Ends in the middle of the VXLAN header.
    VxlanTruncated,
    /// The I bit of VXLAN is clear.
    VxlanFlags,
}

impl Fault {
    /// Every fault, in the order of the kinds from 1 on. Those of VXLAN come last: traffic without VXLAN goes without
    /// them.
    pub const ALL: [Self; 11] = [
        Self::GeneveTruncated,
        Self::GeneveVersion,
        Self::GeneveOptionLength,
        Self::GeneveControl,
        Self::GeneveCriticalOption,
        Self::GeneveProtocol,
        Self::GwlbOptionLength,
        Self::InnerTruncated,
        Self::InnerIpHeader,
        Self::VxlanTruncated,
        Self::VxlanFlags,
    ];
    /// Number of those of [`ALL`](Self::ALL) that are possible without VXLAN.
    pub const WITHOUT_VXLAN: usize = 9;

    /// The one reason for which a receiver drops the packet.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::GeneveTruncated => DropReason::GeneveTruncated,
            Self::GeneveVersion => DropReason::GeneveVersion,
            Self::GeneveOptionLength => DropReason::GeneveOptionLength,
            Self::GeneveControl => DropReason::GeneveControl,
            Self::GeneveCriticalOption => DropReason::GeneveCriticalOption,
            Self::GeneveProtocol => DropReason::GeneveProtocol,
            Self::GwlbOptionLength => DropReason::GwlbOptionLength,
            Self::InnerTruncated => DropReason::InnerTruncated,
            Self::InnerIpHeader => DropReason::InnerIpHeader,
            Self::VxlanTruncated => DropReason::VxlanTruncated,
            Self::VxlanFlags => DropReason::VxlanFlags,
        }
    }

    /// Index of its template.
    pub(super) const fn template(self) -> usize {
        VALID_TEMPLATES + self as usize
    }

    /// Makes a valid template frame faulty. Only bytes that no packet fills in are changed.
    pub(super) fn inject(self, frame: &mut Vec<u8>, vxlan: bool) {
        const EXPERIMENTAL_CLASS: [u8; 2] = [0xff, 0x00]; // RFC 8926, section 7
        const EXPERIMENTAL_ETHERTYPE: [u8; 2] = [0x88, 0xb6]; // IEEE 802
        let packet = if vxlan { VXLAN_PAYLOAD } else { GENEVE_PAYLOAD };
        match self {
            Self::GeneveTruncated => shorten(frame, GENEVE_OPTIONS + 16),
            Self::GeneveVersion => frame[GENEVE] |= 1 << 6,
            Self::GeneveOptionLength => frame[COOKIE_OPTION + 3] = 2,
            Self::GeneveControl => frame[GENEVE + 1] |= 0x80,
            Self::GeneveCriticalOption => {
                frame[GENEVE + 1] |= 0x40;
                frame[COOKIE_OPTION..COOKIE_OPTION + 2].copy_from_slice(&EXPERIMENTAL_CLASS);
                frame[COOKIE_OPTION + 2] |= 0x80;
            }
            Self::GeneveProtocol => frame[GENEVE + 2..GENEVE + 4].copy_from_slice(&EXPERIMENTAL_ETHERTYPE),
            Self::GwlbOptionLength => frame[ENDPOINT_OPTION + 2] = frame[COOKIE_OPTION + 2],
            Self::InnerTruncated => shorten(frame, packet + 10),
            Self::InnerIpHeader => frame[packet] = 0x44,
            Self::VxlanTruncated => shorten(frame, VXLAN + 4),
            Self::VxlanFlags => frame[VXLAN] = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_all() {
        for (number, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, number, "{fault:?}");
        }
    }
}

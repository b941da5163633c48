//! Reasons why a packet ended without a record: one enum, whose names are the labels of ledger and metrics.
//!
//! Each reason stands under the stage that it is counted at. Ledger and counters derive from that.

use core::ops::{AddAssign, Index, IndexMut};

use crate::verdict::Verdict;

/// A stage that packets can end at without a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The XDP program, which drops the packet.
    Xdp,
    /// The AF_XDP socket, whose rings have no room for it.
    AfXdp,
    /// The capture file, which it cannot be read from.
    File,
    /// The worker, which finds no packet that could be recorded in the frame.
    Decapsulation,
    /// The worker, which makes no record of the packet.
    Record,
    /// The sink, which does not write the record.
    Sink,
}

macro_rules! reasons {
    ($($stage:ident { $($(#[$doc:meta])+ $variant:ident => $name:literal,)+ })+) => {
        /// Reason why a packet ended without a record. Every packet that is not recorded is counted under exactly one.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($($(#[$doc])+ $variant,)+)+
        }

        impl DropReason {
            /// Every reason, in the order of a packet's way through the program.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// Name in the ledger and in metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)+)+
                }
            }

            /// Stage that it is counted at.
            pub const fn stage(self) -> Stage {
                match self {
                    $($(Self::$variant => Stage::$stage,)+)+
                }
            }
        }
    };
}

reasons! {
    Xdp {
        /// XDP: the outer source is not in the list of allowed ones.
        SourceNotAllowed => "source_not_allowed",
        /// XDP: the driver leaves no room for the original length of a packet that was cut.
        NoHeadroom => "no_headroom",
        /// XDP: the kernel refused to cut the packet to its snap length.
        NotCut => "not_cut",
    }
    AfXdp {
        /// AF_XDP: the fill ring was empty, so the kernel had no frame to write into (`rx_dropped`).
        FillRingEmpty => "fill_ring_empty",
        /// AF_XDP: the receive ring was full, because the worker fell behind (`rx_ring_full`).
        RxRingFull => "rx_ring_full",
        /// AF_XDP: redirected to a socket that the kernel had unbound from its queue (device reset, interface moved away).
        SocketLost => "socket_lost",
    }
    File {
        /// Capture file: of a link type whose packets hold neither Ethernet nor IP at a known place.
        FileLinkType => "file_link_type",
        /// Capture file: of an interface that the file does not describe.
        FileInterface => "file_interface",
        /// Capture file: longer than the block around it, or than a packet can be.
        FileLength => "file_length",
        /// Capture file: cut off, because the file ends within it.
        FileCutOff => "file_cut_off",
    }
    Decapsulation {
        /// Outer frame: ends within its Ethernet, IP or UDP header.
        OuterTruncated => "outer_truncated",
        /// Outer frame: neither IPv4 nor IPv6.
        OuterNotIp => "outer_not_ip",
        /// Outer frame: an IP header that contradicts itself (version, header length, total length).
        OuterIpHeader => "outer_ip_header",
        /// Outer frame: an IP fragment; GENEVE and VXLAN receivers do not reassemble here.
        OuterFragment => "outer_fragment",
        /// Outer frame: not UDP to a tunnel port.
        NotTunnel => "not_tunnel",
        /// Outer frame: a UDP length below its header or beyond the IP packet.
        OuterUdpLength => "outer_udp_length",
        /// GENEVE: ends within its header or options.
        GeneveTruncated => "geneve_truncated",
        /// GENEVE: a version other than 0 (RFC 8926, section 3.4).
        GeneveVersion => "geneve_version",
        /// GENEVE: option lengths that do not add up to the option length field (RFC 8926, section 3.5).
        GeneveOptionLength => "geneve_option_length",
        /// GENEVE: a control packet, which carries no payload (O bit; RFC 8926, section 3.4).
        GeneveControl => "geneve_control",
        /// GENEVE: a critical option that is not understood (RFC 8926, section 3.5).
        GeneveCriticalOption => "geneve_critical_option",
        /// GENEVE: a protocol type other than IPv4, IPv6 and Ethernet.
        GeneveProtocol => "geneve_protocol",
        /// GENEVE: a Gateway Load Balancer option of the wrong length.
        GwlbOptionLength => "gwlb_option_length",
        /// VXLAN: ends within its header.
        VxlanTruncated => "vxlan_truncated",
        /// VXLAN: no valid VNI (I bit clear; RFC 7348, section 5).
        VxlanFlags => "vxlan_flags",
        /// Mirrored packet: ends within its Ethernet or IP header.
        InnerTruncated => "inner_truncated",
        /// Mirrored packet: an IP header that contradicts itself (version, header length, total length).
        InnerIpHeader => "inner_ip_header",
        /// Mirrored packet: more IPv6 extension headers than are followed.
        InnerExtensionHeaders => "inner_extension_headers",
    }
    Record {
        /// The rule for the packet's tunnel allows no record to which it could contribute.
        PolicyExcluded => "policy_excluded",
        /// Flows: neither IPv4 nor IPv6, so that there is no flow for it.
        FlowNotIp => "flow_not_ip",
        /// Flows: a fragment whose first fragment was not seen before.
        FlowFragment => "flow_fragment",
        /// Flows: of a tunnel beyond those that may have flows at a time.
        FlowTunnels => "flow_tunnels_exhausted",
        /// Sampling of flows: of a flow that was not selected.
        NotSampled => "not_sampled",
        /// Counters only: nothing is recorded until the worker keeps up again.
        CountersOnly => "counters_only",
        /// The worker panicked with the packet in its hands, in its flow table or in its ring.
        WorkerPanicked => "worker_panicked",
    }
    Sink {
        /// The queue to the sink was full, because the sink fell behind.
        SinkQueueFull => "sink_queue_full",
        /// The sink could not write (disk full, closed pipe).
        SinkWriteFailed => "sink_write_failed",
        /// The sink took the record, but its file could not be made durable (fsync failed).
        SinkSyncFailed => "sink_sync_failed",
        /// The sink took the record, but its file could not be given its final name, or was deleted before it was finished.
        SinkPublishFailed => "sink_publish_failed",
        /// The sink thread panicked, with the record in its hands or still to come.
        SinkPanicked => "sink_panicked",
        /// The output stalled until the program would not wait any longer.
        SinkStalled => "sink_stalled",
    }
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::ALL.len();

    /// The reasons that are counted at `stage`.
    pub fn at(stage: Stage) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |reason| reason.stage() == stage)
    }

    /// The reason for which the XDP program drops a packet with this verdict; [`None`] where it does not.
    pub const fn of_verdict(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::DroppedSource => Some(Self::SourceNotAllowed),
            Verdict::DroppedNoHeadroom => Some(Self::NoHeadroom),
            Verdict::DroppedNotCut => Some(Self::NotCut),
            Verdict::Redirected
            | Verdict::PassedNotIp
            | Verdict::PassedNotTunnel
            | Verdict::PassedFragment
            | Verdict::PassedTooShort
            | Verdict::PassedOtherDestination
            | Verdict::PassedNoSocket => None,
        }
    }
}

/// Packets by the reason that they ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drops([u64; DropReason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl Drops {
    /// Every reason, with its packets.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.iter().copied().zip(self.0)
    }

    /// Packets that ended at `stage`.
    pub fn at(&self, stage: Stage) -> u64 {
        DropReason::at(stage).map(|reason| self[reason]).sum()
    }

    /// Packets that ended for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Index<DropReason> for Drops {
    type Output = u64;

    fn index(&self, reason: DropReason) -> &u64 {
        &self.0[reason as usize]
    }
}

impl IndexMut<DropReason> for Drops {
    fn index_mut(&mut self, reason: DropReason) -> &mut u64 {
        &mut self.0[reason as usize]
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        for (sum, packets) in self.0.iter_mut().zip(other.0) {
            *sum += packets;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn names_are_distinct() {
        let names: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
    }

    #[test]
    fn every_verdict_of_a_drop_has_a_reason_and_every_reason_of_the_program_a_verdict() {
        let dropping = Verdict::ALL.into_iter().filter(|verdict| verdict.name().starts_with("dropped_"));
        let reasons: Vec<DropReason> = dropping.filter_map(DropReason::of_verdict).collect();
        assert_eq!(reasons, DropReason::at(Stage::Xdp).collect::<Vec<_>>());
        assert_eq!(Verdict::ALL.into_iter().filter_map(DropReason::of_verdict).count(), reasons.len());
    }

    #[test]
    fn numbers_follow_the_order_of_all() {
        for (number, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number, "{}", reason.name());
        }
    }
}

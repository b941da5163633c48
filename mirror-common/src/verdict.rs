//! Verdicts of the XDP program on packets.

/// The one verdict that each packet on the interface gets. Its number is the index of its counter in [`Counts`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A tunnel packet, handed to the AF_XDP socket of its receive queue.
    Redirected = 0,
    /// Passed to the kernel: neither IPv4 nor IPv6 behind at most two VLAN tags.
    PassedNotIp,
    /// Passed to the kernel: IP, but not UDP to a tunnel port (health checks, SSH), or behind more IPv6 extension
    /// headers than are followed.
    PassedNotTunnel,
    /// Passed to the kernel, which can reassemble it: an IPv4 fragment of a UDP packet, or any IPv6 fragment.
    PassedFragment,
    /// Passed to the kernel: ends within its link, IP or UDP header, or its IP header contradicts itself (version,
    /// header length).
    PassedTooShort,
    /// Passed to the kernel: UDP to a tunnel port, but to an address that is not the interface's own: another program's
    /// tunnel, or transit.
    PassedOtherDestination,
    /// Passed to the kernel: a tunnel packet on a queue that has no AF_XDP socket.
    PassedNoSocket,
    /// Dropped: a tunnel packet from an outer source that is not in the list of allowed ones.
    DroppedSource,
    /// Dropped: a tunnel packet that was cut, in front of which the driver leaves no room for its original length.
    DroppedNoHeadroom,
    /// Dropped: a tunnel packet that the kernel refused to cut to its snap length; what lies behind that length is not to
    /// reach user space.
    DroppedNotCut,
}

/// Name of the per-CPU array of [`Counts`], indexed by receive queue. Its last entry is for all the queues that
/// the interface did not have when the program was loaded.
pub const MAP: &str = "COUNTERS";

/// Packets of one receive queue, indexed by [`Verdict`].
pub type Counts = [u64; Verdict::ALL.len()];

impl Verdict {
    /// Every verdict, in the order of the numbers.
    pub const ALL: [Self; 10] = [
        Self::Redirected,
        Self::PassedNotIp,
        Self::PassedNotTunnel,
        Self::PassedFragment,
        Self::PassedTooShort,
        Self::PassedOtherDestination,
        Self::PassedNoSocket,
        Self::DroppedSource,
        Self::DroppedNoHeadroom,
        Self::DroppedNotCut,
    ];

    /// `true` where the kernel gets the packet.
    pub const fn is_passed(self) -> bool {
        matches!(
            self,
            Self::PassedNotIp
                | Self::PassedNotTunnel
                | Self::PassedFragment
                | Self::PassedTooShort
                | Self::PassedOtherDestination
                | Self::PassedNoSocket
        )
    }

    /// Name in the ledger and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::PassedNotIp => "passed_not_ip",
            Self::PassedNotTunnel => "passed_not_tunnel",
            Self::PassedFragment => "passed_fragment",
            Self::PassedTooShort => "passed_too_short",
            Self::PassedOtherDestination => "passed_other_destination",
            Self::PassedNoSocket => "passed_no_socket",
            Self::DroppedSource => "dropped_source",
            Self::DroppedNoHeadroom => "dropped_no_headroom",
            Self::DroppedNotCut => "dropped_not_cut",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_all() {
        for (number, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, number, "{}", verdict.name());
            assert_eq!(verdict.is_passed(), verdict.name().starts_with("passed_"));
        }
    }
}

//! The composition of the traffic, in numbers.

/// Parts of the whole in which [`Mix`] gives the shares of flows.
pub const FLOW_SHARE: u64 = 1 << 16;
/// Parts of the whole in which [`Mix`] gives the share of malformed packets.
pub const PACKET_SHARE: u64 = 1 << 32;

/// The composition of the traffic, in numbers.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Everything that looks random follows from this.
    pub seed: u64,
    /// Number of flows at a time: 1 to 2^32.
    pub flows: u64,
    /// 1 where flows end and others begin in their place ([`lifetime`](crate::lifetime)); 0 where they last for ever.
    pub ends: u64,
    /// Number of Gateway Load Balancer endpoints: 1 to 2^16.
    pub endpoints: u64,
    /// Number of mirrored interfaces behind each endpoint: 1 to 2^16. Inside VXLAN, each is a tunnel.
    pub interfaces: u64,
    /// Share of flows inside VXLAN, of [`FLOW_SHARE`].
    pub vxlan: u64,
    /// Share of flows of IPv6, of [`FLOW_SHARE`].
    pub ipv6: u64,
    /// Share of flows of UDP, of [`FLOW_SHARE`].
    pub udp: u64,
    /// Share of flows of ICMP, of [`FLOW_SHARE`]; the rest is TCP.
    pub icmp: u64,
    /// Share of malformed packets, of [`PACKET_SHARE`].
    pub malformed: u64,
    /// Number of faults among which malformed packets are spread evenly: at most [`KINDS`](crate::count::KINDS) - 1.
    pub faults: u64,
    /// 1 where packets have the three sizes of an internet mix, in the ratio 7:4:1; 0 where they have one.
    pub internet_mix: u64,
    /// Bytes by which TCP sequence numbers advance from packet to packet.
    pub stride: u64,
    /// 1 where the flow cookie of a packet is its [stamp](crate::Header::stamp); 0 where it is that of its flow.
    pub stamped: u64,
}

/// A [`Mix`] as the words that it is made of.
pub const MIX_WORDS: usize = size_of::<Mix>() / 8;

impl Mix {
    /// The mix as it lies in memory.
    pub const fn words(&self) -> [u64; MIX_WORDS] {
        let Self {
            seed,
            flows,
            ends,
            endpoints,
            interfaces,
            vxlan,
            ipv6,
            udp,
            icmp,
            malformed,
            faults,
            internet_mix,
            stride,
            stamped,
        } = *self;
        [
            seed,
            flows,
            ends,
            endpoints,
            interfaces,
            vxlan,
            ipv6,
            udp,
            icmp,
            malformed,
            faults,
            internet_mix,
            stride,
            stamped,
        ]
    }
}

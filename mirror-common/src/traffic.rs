//! What the load generator and its XDP program must agree on: which frame packet number n is.
//!
//! A frame is a [`Header`] followed by bytes that depend on nothing but their place. The header is a copy of a
//! template, in which the fields that vary are filled in by [`Packet::write`]. User space makes the templates; the
//! rest is computed here, by the same code on both sides, so that a checker knows every frame that was sent.
//!
//! Packets go through the flows in turn: in each round every flow gets one packet, and the rounds alternate between
//! the two directions. A flow keeps its tunnel, addresses, ports and protocol.

/// Name of the program that sends, in the generator's object.
pub const SEND_PROGRAM: &str = "mirror_generate";
/// Name of the program that counts what the kernel's transmit function accepted.
pub const ACCOUNT_PROGRAM: &str = "mirror_account";
/// Name of the program that counts and drops what it receives, for the other end of the cable.
pub const DISCARD_PROGRAM: &str = "mirror_discard";
/// The tracepoint that [`ACCOUNT_PROGRAM`] belongs to: one event per bulk of frames handed to a driver.
pub const ACCOUNT_TRACEPOINT: &str = "xdp_devmap_xmit";
/// Name of the global that holds the [`Mix`].
pub const MIX: &str = "MIX";
/// Name of the global that holds the index of the interface to send from (`u32`).
pub const INTERFACE: &str = "INTERFACE";
/// Name of the global that holds the number of packets to send at most (`u64`).
pub const PACKETS: &str = "PACKETS";
/// Name of the global that holds the time from packet to packet in [`DUE_FRACTION`]ths of a nanosecond (`u64`). 0:
/// no pacing.
pub const INTERVAL: &str = "INTERVAL";
/// Name of the array of templates, indexed by [`Packet::template`].
pub const TEMPLATES_MAP: &str = "TEMPLATES";
/// Name of the array of one [`Progress`].
pub const PROGRESS_MAP: &str = "PROGRESS";
/// Name of the per-CPU array of one `[packets, bytes]` that [`DISCARD_PROGRAM`] counts.
pub const DISCARDED_MAP: &str = "DISCARDED";

/// Parts of a nanosecond in which the time of the next packet is kept.
pub const DUE_FRACTION: u64 = 1 << 16;
/// Longest delay that a paced sender makes up for, in nanoseconds. It goes on from there at its rate, so that a
/// stall of the machine does not end in a burst.
pub const LONGEST_LAG_NS: u64 = 100_000;

/// Kinds of packets that are counted apart. Kind 0 is valid; the others are the faults of the mix, from 1 on.
pub const KINDS: usize = 16;
/// Sizes of a valid packet: one, or those of an internet mix.
pub const SIZES: usize = 3;
/// Valid packets have a template for each tunnel, family, protocol and size.
pub const VALID_TEMPLATES: usize = 2 * 2 * 3 * SIZES;
/// All templates: those of valid packets, then one for each fault.
pub const TEMPLATES: usize = VALID_TEMPLATES + KINDS - 1;

/// Bytes of a [`Header`]: Ethernet, IPv4, UDP, GENEVE with its options, IPv4, UDP, VXLAN, Ethernet, IPv6 and TCP.
pub const HEADER_LENGTH: usize = 192;

/// The first bytes of a frame, as 16-bit words in the order of the wire. Every field that varies lies at an even
/// offset.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(pub [u16; HEADER_LENGTH / 2]);

/// Places in a [`Header`], in 16-bit words.
mod place {
    /// Total length of the outer IPv4 header.
    pub const OUTER_LENGTH: usize = 16 / 2;
    /// Source port of the outer UDP header.
    pub const OUTER_PORT: usize = 34 / 2;
    /// Value of the first GENEVE option: the endpoint.
    pub const ENDPOINT: usize = 54 / 2;
    /// Value of the second: the attachment.
    pub const ATTACHMENT: usize = 66 / 2;
    /// Value of the third: the flow cookie.
    pub const COOKIE: usize = 78 / 2;
    /// What GENEVE carries: an IP header.
    pub const PAYLOAD: usize = 82 / 2;
    /// Source port of VXLAN.
    pub const VXLAN_PORT: usize = 102 / 2;
    /// VNI of VXLAN.
    pub const VXLAN_VNI: usize = 114 / 2;
    /// Ethernet header inside VXLAN.
    pub const VXLAN_ETHERNET: usize = 118 / 2;
    /// IP header inside VXLAN.
    pub const VXLAN_PAYLOAD: usize = 132 / 2;
}

impl Header {
    /// Bytes of the whole frame, by the total length of the outer IPv4 header.
    #[inline(always)]
    pub const fn frame_length(&self) -> u32 {
        14 + u16::from_be(self.0[place::OUTER_LENGTH]) as u32
    }

    #[inline(always)]
    const fn put(&mut self, place: usize, value: u16) {
        self.0[place] = value.to_be();
    }

    #[inline(always)]
    const fn put_u32(&mut self, place: usize, value: u32) {
        self.put(place, (value >> 16) as u16);
        self.put(place + 1, value as u16);
    }

    #[inline(always)]
    const fn put_u64(&mut self, place: usize, value: u64) {
        self.put_u32(place, (value >> 32) as u32);
        self.put_u32(place + 2, value as u32);
    }

    /// Finishes the Internet checksum at `place`, where the template has the sum over all that does not vary.
    #[inline(always)]
    const fn put_checksum(&mut self, place: usize, varied: u64) {
        let sum = u16::from_be(self.0[place]) as u64 + varied;
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        self.put(place, !(sum as u16));
    }
}

/// Parts of the whole in which [`Mix`] gives the shares of flows.
pub const FLOW_SHARE: u64 = 1 << 16;
/// Parts of the whole in which [`Mix`] gives the share of malformed packets.
pub const PACKET_SHARE: u64 = 1 << 32;

/// What the traffic is made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Everything that looks random follows from this.
    pub seed: u64,
    /// Number of flows: 1 to 2^32.
    pub flows: u64,
    /// Number of Gateway Load Balancer endpoints: 1 to 2^16.
    pub endpoints: u64,
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
    /// Number of faults among which malformed packets are spread evenly: at most [`KINDS`] - 1.
    pub faults: u64,
    /// 1 where packets have the three sizes of an internet mix, in the ratio 7:4:1; 0 where they have one.
    pub internet_mix: u64,
    /// Bytes by which TCP sequence numbers advance from packet to packet.
    pub stride: u64,
}

/// A [`Mix`] as the words that it is made of.
pub const MIX_WORDS: usize = size_of::<Mix>() / 8;

impl Mix {
    /// The mix as it lies in memory.
    pub const fn words(&self) -> [u64; MIX_WORDS] {
        let Self { seed, flows, endpoints, vxlan, ipv6, udp, icmp, malformed, faults, internet_mix, stride } =
            *self;
        [seed, flows, endpoints, vxlan, ipv6, udp, icmp, malformed, faults, internet_mix, stride]
    }

    /// The packet at `position`.
    #[inline(always)]
    pub const fn packet(&self, position: &Position) -> Packet {
        let flow = Flow::new(self, position.flow);
        let mut packet = Packet {
            flow,
            round: position.round as u32,
            kind: 0,
            size: 0,
            protocol: flow.protocol,
            vxlan: flow.vxlan,
            ipv6: flow.ipv6,
            stride: self.stride as u32,
        };
        if self.malformed == 0 && self.internet_mix == 0 {
            return packet;
        }
        let chance = scramble(self.seed ^ position.number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        if (chance & 0xffff_ffff) < self.malformed {
            packet.kind = 1 + (((chance >> 48) * self.faults) >> 16) as u32;
            packet.vxlan = self.vxlan != 0;
            packet.ipv6 = false;
            packet.protocol = Protocol::Tcp;
        } else if self.internet_mix != 0 {
            packet.size = match ((chance >> 32 & 0xffff) * 12) >> 16 {
                0..7 => 0,
                7..11 => 1,
                _ => 2,
            };
        }
        packet
    }
}

/// A packet number, and where it stands in the flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the packet, from 0.
    pub number: u64,
    /// Its flow: number modulo flows.
    pub flow: u64,
    /// How many packets of that flow went before: number divided by flows.
    pub round: u64,
}

impl Position {
    /// Position of packet `number` among `flows` flows, at least 1.
    pub const fn new(number: u64, flows: u64) -> Self {
        Self { number, flow: number % flows, round: number / flows }
    }

    /// Goes on to the next packet. Without the division of [`new`](Self::new), which costs more than the rest.
    #[inline(always)]
    pub const fn advance(&mut self, flows: u64) {
        self.number += 1;
        self.flow += 1;
        if self.flow >= flows {
            self.flow = 0;
            self.round += 1;
        }
    }
}

/// Transport protocol of a flow.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp,
    /// ICMP echo, of the family of the flow.
    Icmp,
}

impl Protocol {
    /// Every protocol, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// Port of the host behind the mirrored interface. No protocol that dissectors look for.
    pub const fn local_port(self) -> u16 {
        match self {
            Self::Tcp => 443,
            Self::Udp => 5201,
            Self::Icmp => 0,
        }
    }
}

/// What all packets of a flow have in common. Addresses are the last 32 bits of the address in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Inside VXLAN or directly in GENEVE.
    pub vxlan: bool,
    /// IPv6 or IPv4.
    pub ipv6: bool,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Gateway Load Balancer endpoint.
    pub endpoint: u64,
    /// Attachment of that endpoint.
    pub attachment: u64,
    /// The load balancer's flow cookie.
    pub cookie: u32,
    /// Source port of the outer UDP header.
    pub outer_port: u16,
    /// Number of the mirrored interface, below 256, behind its endpoint. Endpoints are accounts of their own:
    /// their interfaces have the same addresses and VNIs.
    pub interface: u8,
    /// Address behind the mirrored interface.
    pub local: u32,
    /// Address of the other end, which opened the flow.
    pub remote: u32,
    /// Port of the other end; the identifier of ICMP echo.
    pub remote_port: u16,
    hash: u64,
}

impl Flow {
    /// Id of the first endpoint; the others follow.
    pub const FIRST_ENDPOINT: u64 = 0x0e5d_0000_0000_0001;
    /// Id of the first endpoint's attachment; the others follow.
    pub const FIRST_ATTACHMENT: u64 = 0x0a77_0000_0000_0001;
    /// VNI of interface 0; the others follow.
    pub const FIRST_VNI: u32 = 4096;
    /// Address of interface 0 (10.0.1.0); the others follow.
    pub const FIRST_LOCAL: u32 = 0x0a00_0100;
    /// The network of the other ends (100.64.0.0/10).
    pub const REMOTE_NETWORK: u32 = 0x6440_0000;
    /// Lowest port of the other ends.
    pub const FIRST_REMOTE_PORT: u16 = 0xc000;

    /// Flow `index` of `mix`. No two flows of a mix have the same remote address and port.
    #[inline(always)]
    pub const fn new(mix: &Mix, index: u64) -> Self {
        // An odd factor and an exclusive or permute the 32-bit numbers.
        let tag = (index as u32).wrapping_mul(0x9e37_79b1) ^ mix.seed as u32;
        let hash = scramble(mix.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let traits = scramble(hash);
        let transport = traits >> 32 & 0xffff;
        let endpoint = ((traits >> 48) * mix.endpoints) >> 16;
        let interface = (hash >> 56) as u8;
        Self {
            vxlan: (traits & 0xffff) < mix.vxlan,
            ipv6: (traits >> 16 & 0xffff) < mix.ipv6,
            protocol: if transport < mix.udp {
                Protocol::Udp
            } else if transport < mix.udp + mix.icmp {
                Protocol::Icmp
            } else {
                Protocol::Tcp
            },
            endpoint: Self::FIRST_ENDPOINT + endpoint,
            attachment: Self::FIRST_ATTACHMENT + endpoint,
            cookie: hash as u32,
            outer_port: 0xc000 | (hash >> 32) as u16 & 0x3fff,
            interface,
            local: Self::FIRST_LOCAL + interface as u32,
            remote: Self::REMOTE_NETWORK | tag & 0x003f_ffff,
            remote_port: Self::FIRST_REMOTE_PORT + (tag >> 22) as u16,
            hash,
        }
    }

    /// VNI of the mirror session, where the flow is inside VXLAN.
    #[inline(always)]
    pub const fn vni(&self) -> u32 {
        Self::FIRST_VNI + self.interface as u32
    }

    /// Source port of VXLAN: each direction has its own.
    #[inline(always)]
    pub const fn vxlan_port(&self, reply: bool) -> u16 {
        let hash = (self.hash >> 16) as u16;
        0xc000 | if reply { !hash & 0x3fff } else { hash & 0x3fff }
    }
}

/// One packet: its flow, and what it has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The flow it belongs to.
    pub flow: Flow,
    /// How many packets of the flow went before.
    pub round: u32,
    /// 0 for a valid packet, otherwise the number of its fault, from 1.
    pub kind: u32,
    size: u32,
    protocol: Protocol,
    vxlan: bool,
    ipv6: bool,
    stride: u32,
}

impl Packet {
    /// Whether it goes from the mirrored interface to the other end.
    #[inline(always)]
    pub const fn reply(&self) -> bool {
        self.round & 1 != 0
    }

    /// Index of its template.
    #[inline(always)]
    pub const fn template(&self) -> u32 {
        if self.kind == 0 {
            valid_template(self.vxlan, self.ipv6, self.protocol, self.size)
        } else {
            VALID_TEMPLATES as u32 + self.kind - 1
        }
    }

    /// Makes the header of the packet from its template. What varies is zero in the template, and a checksum is
    /// the sum over what does not vary, not yet complemented.
    #[inline(always)]
    pub const fn write(&self, template: &Header, header: &mut Header) {
        *header = *template;
        header.put(place::OUTER_PORT, self.flow.outer_port);
        header.put_u64(place::ENDPOINT, self.flow.endpoint);
        header.put_u64(place::ATTACHMENT, self.flow.attachment);
        header.put_u32(place::COOKIE, self.flow.cookie);
        if self.vxlan {
            self.write_vxlan(header);
            self.write_ip(header, place::VXLAN_PAYLOAD);
        } else {
            self.write_ip(header, place::PAYLOAD);
        }
    }

    /// The headers that the mirror puts around a packet: from the mirrored interface to the endpoint.
    #[inline(always)]
    const fn write_vxlan(&self, header: &mut Header) {
        let ip = place::PAYLOAD;
        header.put_u32(ip + 6, self.flow.local);
        header.put_checksum(ip + 5, words(self.flow.local));
        header.put(place::VXLAN_PORT, self.flow.vxlan_port(self.reply()));
        header.put_u32(place::VXLAN_VNI, self.flow.vni() << 8);
        let ethernet = place::VXLAN_ETHERNET;
        let (interface, router) =
            if self.reply() { (ethernet + 3, ethernet) } else { (ethernet, ethernet + 3) };
        header.put_u32(interface, INTERFACE_MAC);
        header.put(interface + 2, self.flow.interface as u16);
        header.put_u32(router, ROUTER_MAC);
        header.put(router + 2, 0);
    }

    #[inline(always)]
    const fn write_ip(&self, header: &mut Header, ip: usize) {
        let Flow { local, remote, .. } = self.flow;
        let (source, destination) = if self.reply() { (local, remote) } else { (remote, local) };
        let addresses = words(local) + words(remote);
        if self.ipv6 {
            header.put_u32(ip + 10, source);
            header.put_u32(ip + 18, destination);
            self.write_transport(header, ip + 20, addresses);
        } else {
            header.put_u32(ip + 6, source);
            header.put_u32(ip + 8, destination);
            header.put_checksum(ip + 5, addresses);
            self.write_transport(header, ip + 10, addresses);
        }
    }

    #[inline(always)]
    const fn write_transport(&self, header: &mut Header, at: usize, addresses: u64) {
        let remote_port = self.flow.remote_port;
        let local_port = self.protocol.local_port();
        let (source, destination) =
            if self.reply() { (local_port, remote_port) } else { (remote_port, local_port) };
        let ports = remote_port as u64 + local_port as u64;
        match self.protocol {
            Protocol::Tcp => {
                let (sequence, acknowledgment) = self.sequence_numbers();
                let flags = match self.round {
                    0 => SYN,
                    1 => SYN | ACK,
                    _ => PSH | ACK,
                };
                header.put(at, source);
                header.put(at + 1, destination);
                header.put_u32(at + 2, sequence);
                header.put_u32(at + 4, acknowledgment);
                header.put(at + 6, NO_OPTIONS | flags);
                let varied = addresses + ports + words(sequence) + words(acknowledgment) + flags as u64;
                header.put_checksum(at + 8, varied);
            }
            Protocol::Udp => {
                header.put(at, source);
                header.put(at + 1, destination);
                header.put_checksum(at + 3, addresses + ports);
                if header.0[at + 3] == 0 {
                    header.0[at + 3] = 0xffff; // 0 would mean that there is none (RFC 768)
                }
            }
            Protocol::Icmp => {
                let kind = match (self.ipv6, self.reply()) {
                    (false, false) => 8 << 8,
                    (false, true) => 0,
                    (true, false) => 128 << 8,
                    (true, true) => 129 << 8,
                };
                let sequence = (self.round >> 1) as u16;
                header.put(at, kind);
                header.put(at + 2, remote_port);
                header.put(at + 3, sequence);
                let varied = kind as u64 + remote_port as u64 + sequence as u64;
                header.put_checksum(at + 1, if self.ipv6 { varied + addresses } else { varied });
            }
        }
    }

    /// Sequence and acknowledgment number, as if every packet arrived. Both SYNs carry payload.
    #[inline(always)]
    const fn sequence_numbers(&self) -> (u32, u32) {
        let initial = [self.flow.hash as u32, (self.flow.hash >> 32) as u32];
        let (own, other) = if self.reply() { (initial[1], initial[0]) } else { (initial[0], initial[1]) };
        let own_sent = self.round >> 1;
        let other_sent = (self.round + 1) >> 1;
        let acknowledgment = if other_sent == 0 { 0 } else { self.sequence_number(other, other_sent) };
        (self.sequence_number(own, own_sent), acknowledgment)
    }

    /// The sequence number that follows `sent` packets of a direction that began with `initial`.
    #[inline(always)]
    const fn sequence_number(&self, initial: u32, sent: u32) -> u32 {
        let syn = if sent == 0 { 0 } else { 1 };
        initial.wrapping_add(sent.wrapping_mul(self.stride)).wrapping_add(syn)
    }
}

/// Flags of a TCP header.
const SYN: u16 = 0x02;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
/// Data offset of a TCP header without options, in the word that also holds the flags. The template has it.
const NO_OPTIONS: u16 = 0x5000;

/// First four bytes of the MAC addresses of mirrored interfaces; the number of the interface follows.
const INTERFACE_MAC: u32 = 0x0a00_0000;
/// First four bytes of the router's MAC address; zeros follow.
const ROUTER_MAC: u32 = 0x0aff_0000;

/// Index of the template of valid packets.
#[inline(always)]
pub const fn valid_template(vxlan: bool, ipv6: bool, protocol: Protocol, size: u32) -> u32 {
    ((vxlan as u32 * 2 + ipv6 as u32) * 3 + protocol as u32) * SIZES as u32 + size
}

/// Sum of the two 16-bit words of `value`.
#[inline(always)]
const fn words(value: u32) -> u64 {
    (value >> 16) as u64 + (value & 0xffff) as u64
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `value`.
#[inline(always)]
const fn scramble(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// How far the program has come, and what the kernel made of its packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Packets offered to the kernel for transmission.
    pub offered: u64,
    /// Bytes of their frames.
    pub offered_bytes: u64,
    /// Packets of which the kernel has said what became of them.
    pub reported: u64,
    /// Packets among them that the driver refused.
    pub refused: u64,
    /// Bytes of the refused packets' frames.
    pub refused_bytes: u64,
    /// When the first packet was offered: nanoseconds of `CLOCK_MONOTONIC`.
    pub first_ns: u64,
    /// When the kernel last reported.
    pub last_ns: u64,
    /// Packets offered, by kind.
    pub offered_kinds: [u64; KINDS],
    /// Packets refused, by kind.
    pub refused_kinds: [u64; KINDS],
}

/// A [`Progress`] as the words that it is made of.
pub const PROGRESS_WORDS: usize = size_of::<Progress>() / 8;

impl Progress {
    /// The progress that lies in memory as `words`.
    pub fn from_words(words: &[u64; PROGRESS_WORDS]) -> Self {
        let [offered, offered_bytes, reported, refused, refused_bytes, first_ns, last_ns, kinds @ ..] = words;
        let mut progress = Self {
            offered: *offered,
            offered_bytes: *offered_bytes,
            reported: *reported,
            refused: *refused,
            refused_bytes: *refused_bytes,
            first_ns: *first_ns,
            last_ns: *last_ns,
            ..Self::default()
        };
        let (offered_kinds, refused_kinds) = kinds.split_at(KINDS);
        progress.offered_kinds.copy_from_slice(offered_kinds);
        progress.refused_kinds.copy_from_slice(refused_kinds);
        progress
    }
}

const _: () = assert!(size_of::<Header>() == HEADER_LENGTH && HEADER_LENGTH % 8 == 0);

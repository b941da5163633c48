//! Traffic of mirror sessions behind a Gateway Load Balancer: TCP over IPv4 in VXLAN in GENEVE with the load balancer's
//! three options, in one frame or another of two lengths, so that making it is cheap.

use std::net::{IpAddr, Ipv4Addr};

use mirror_common::port;
use mirror_user::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, MacAddress, Vni};
use mirror_user::packet::Ports;
use mirror_user::wire::{ethernet, geneve, gwlb, ipv4, tcp, udp, vxlan};

use super::synthetic::Frames;

/// Load balancer endpoints that the tunnels enter by.
const ENDPOINTS: u32 = 8;
/// Bytes of payload in a segment that has any.
const PAYLOAD: u32 = 60;

/// Offsets of the fields that differ from frame to frame.
mod offset {
    use std::ops::Range;

    pub(super) const OUTER_SOURCE_PORT: Range<usize> = 34..36;
    pub(super) const ENDPOINT: Range<usize> = 54..62;
    pub(super) const ATTACHMENT: Range<usize> = 66..74;
    pub(super) const COOKIE: Range<usize> = 78..82;
    pub(super) const VNI: Range<usize> = 114..117;
    pub(super) const SOURCE: Range<usize> = 144..148;
    pub(super) const DESTINATION: Range<usize> = 148..152;
    pub(super) const SOURCE_PORT: Range<usize> = 152..154;
    pub(super) const DESTINATION_PORT: Range<usize> = 154..156;
    pub(super) const SEQUENCE: Range<usize> = 156..160;
    pub(super) const ACKNOWLEDGMENT: Range<usize> = 160..164;
    pub(super) const FLAGS: usize = 165;
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;

/// Packets of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many that none of the flows ends.
    Endless,
    /// 8 to 32, 20 on average.
    Short,
}

/// The frames. Each is of one of the flows at random; a flow that has ended is followed by another in its place.
pub struct Sessions {
    /// A frame without payload and one with it.
    templates: [Vec<u8>; 2],
    flows: Vec<Flow>,
    /// From the number of a flow to that of its successor.
    step: u32,
    tunnels: u32,
    length: Length,
    random: u64,
}

/// A TCP connection.
#[derive(Clone, Copy)]
struct Flow {
    number: u32,
    /// Packets so far.
    sent: u32,
    /// Packets in all.
    length: u32,
    /// Next sequence number of client and server.
    next: [u32; 2],
}

impl Sessions {
    /// Traffic of so many flows at a time, spread evenly over so many tunnels.
    pub fn new(flows: u32, tunnels: u32, length: Length) -> Self {
        Self {
            templates: [template(0), template(PAYLOAD)],
            flows: (0..flows).map(|number| Flow::new(number, length)).collect(),
            step: flows,
            tunnels,
            length,
            random: 1,
        }
    }
}

impl Frames for Sessions {
    /// A hundred thousand packets per second, so that short flows end and time out meanwhile.
    const INTERVAL: u64 = 10_000;

    fn buffer(&self) -> Vec<u8> {
        vec![0; self.templates[1].len()]
    }

    fn write(&mut self, buffer: &mut [u8]) -> usize {
        self.random = mix(self.random);
        let count = self.flows.len();
        let flow = &mut self.flows[(self.random >> 32) as usize % count];
        let (by_server, flags) = match (flow.sent, flow.length - flow.sent) {
            (0, _) => (false, SYN),
            (1, _) => (true, SYN | ACK),
            (2, _) => (false, ACK),
            (_, 2) => (false, FIN | ACK),
            (_, 1) => (true, FIN | ACK),
            (sent, _) => (sent % 2 == 0, ACK),
        };
        let has_payload = flow.sent > 2 && flags & FIN == 0;
        let template = &self.templates[usize::from(has_payload)];
        let frame = &mut buffer[..template.len()];
        frame.copy_from_slice(template);

        let tunnel = flow.number % self.tunnels;
        let endpoint = u64::from(tunnel % ENDPOINTS);
        let identity = mix(flow.number.into()).to_be_bytes();
        let [a, b, c, d, e, f, port @ ..] = identity;
        let mut set = |range: std::ops::Range<usize>, value: &[u8]| frame[range].copy_from_slice(value);
        set(offset::OUTER_SOURCE_PORT, &[port[0] | 0xc0, port[1] ^ u8::from(by_server)]);
        set(offset::ENDPOINT, &mix(1000 + endpoint).to_be_bytes());
        set(offset::ATTACHMENT, &mix(!endpoint).to_be_bytes());
        set(offset::COOKIE, &[a, b, c, port[1] ^ u8::from(by_server)]);
        set(offset::VNI, &tunnel.to_be_bytes()[1..]);
        let mut ends = [([10, a, b, c], [port[0] | 0x80, port[1]]), ([10, d, e, f], 443_u16.to_be_bytes())];
        let [sender, receiver] = [usize::from(by_server), usize::from(!by_server)];
        let [next, acknowledged] = [flow.next[sender], flow.next[receiver]];
        if by_server {
            ends.swap(0, 1);
        }
        let [(source, source_port), (destination, destination_port)] = ends;
        set(offset::SOURCE, &source);
        set(offset::DESTINATION, &destination);
        set(offset::SOURCE_PORT, &source_port);
        set(offset::DESTINATION_PORT, &destination_port);
        set(offset::SEQUENCE, &next.to_be_bytes());
        set(offset::ACKNOWLEDGMENT, &acknowledged.to_be_bytes());
        frame[offset::FLAGS] = flags;

        let payload = if has_payload { PAYLOAD } else { 0 };
        flow.next[sender] = next.wrapping_add(payload + u32::from(flags & (SYN | FIN) != 0));
        flow.sent += 1;
        if flow.sent == flow.length {
            *flow = Flow::new(flow.number + self.step, self.length);
        }
        template.len()
    }
}

impl Flow {
    fn new(number: u32, length: Length) -> Self {
        let random = mix(!u64::from(number));
        let length = match length {
            Length::Endless => u32::MAX,
            Length::Short => 8 + (random >> 40) as u32 % 25,
        };
        Self { number, sent: 0, length, next: [(random & 0xffff_ffff) as u32, (random >> 32) as u32] }
    }
}

/// A frame with so many bytes of TCP payload.
fn template(payload: u32) -> Vec<u8> {
    let around = |emit: &dyn Fn(&mut Vec<u8>), payload: Vec<u8>| {
        let mut bytes = Vec::new();
        emit(&mut bytes);
        bytes.extend(payload);
        bytes
    };
    let address = Ipv4Addr::new(10, 1, 0, 2);
    let link = ethernet::Header::new(MacAddress([2; 6]), MacAddress([4; 6]), EtherType::IPV4);
    let ip = |protocol, length| ipv4::Header::new(address, address, protocol, length);
    let in_udp = |port, payload: Vec<u8>| {
        let datagram =
            around(&|bytes| udp::Header::new(50_000, port, payload.len()).emit(bytes), payload.clone());
        around(&|bytes| ip(IpProtocol::UDP, datagram.len()).emit(bytes), datagram.clone())
    };
    let mut segment = Vec::new();
    let header = tcp::Header::new(Ports { source: 0, destination: 0 }, 0, 0, ACK);
    header.emit(IpAddr::V4(address), IpAddr::V4(address), &vec![0x5a; payload as usize], &mut segment);
    let packet = around(&|bytes| ip(IpProtocol::TCP, segment.len()).emit(bytes), segment.clone());
    let mirrored = around(&|bytes| link.emit(bytes), packet);
    let session = around(&|bytes| vxlan::Header { vni: Vni::from_bytes([0; 3]) }.emit(bytes), mirrored);
    let mut options = Vec::new();
    let identity = gwlb::Identity {
        endpoint: Some(EndpointId(0)),
        attachment: Some(AttachmentId(0)),
        cookie: Some(FlowCookie(0)),
    };
    identity.emit(&mut options);
    let tunnel = geneve::Header {
        control: false,
        protocol: EtherType::IPV4,
        vni: Vni::from_bytes([0; 3]),
        options: geneve::OptionList::new(&options).unwrap_or_default(),
    };
    let carried = around(&|bytes| tunnel.emit(bytes), in_udp(port::VXLAN, session));
    around(&|bytes| link.emit(bytes), in_udp(port::GENEVE, carried))
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
const fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mirror_user::decap::decapsulate;
    use mirror_user::flow::{Action, Connection, EndReason, FlowTable};
    use mirror_user::source::{FrameSource, Received};

    use super::*;
    use crate::micro::setup::DECAP;
    use crate::micro::synthetic::Synthetic;

    /// Packets, flows and tunnels of the traffic, and whether every flow but those that are under way was closed, in order.
    fn survey(sessions: Sessions, packets: u64) -> (u64, u64, usize, u64) {
        let mut source = Synthetic::of(sessions, packets);
        let mut table = FlowTable::new(Default::default()).unwrap();
        let (mut counted, mut flows, mut closed, mut tunnels) = (0, 0, 0, HashSet::new());
        let mut take = |record: &mirror_user::flow::FlowRecord| {
            counted += record.packets();
            flows += 1;
            closed += u64::from(record.connection == Some(Connection::Closed));
            assert_eq!(record.forward.out_of_order + record.forward.retransmissions, 0);
            assert_eq!(record.reverse.out_of_order + record.reverse.retransmissions, 0);
            assert!(matches!(record.action, Action::End(EndReason::Shutdown)), "{record:?}");
            tunnels.insert((record.tunnel.endpoint.unwrap(), record.tunnel.vxlan_vni.unwrap().get()));
        };
        while let Received::Frames(count) = source.receive().unwrap() {
            let found: Vec<_> = (0..count)
                .map(|index| source.frame(index))
                .map(|frame| (frame.timestamp, decapsulate(&frame, &DECAP).unwrap()))
                .collect();
            table.update(found.iter().map(|(timestamp, packet)| (*timestamp, packet)), &mut take);
        }
        table.drain(Default::default(), &mut take);
        (counted, flows, tunnels.len(), closed)
    }

    #[test]
    fn long_flows_do_not_end() {
        let (packets, flows, tunnels, closed) = survey(Sessions::new(500, 100, Length::Endless), 20_000);
        assert_eq!((packets, flows, tunnels, closed), (20_000, 500, 100, 0));
    }

    #[test]
    fn short_flows_have_20_packets_on_average_and_are_closed() {
        let (packets, flows, tunnels, closed) = survey(Sessions::new(500, 100, Length::Short), 200_000);
        assert_eq!((packets, tunnels), (200_000, 100));
        assert!((9_500..=10_500).contains(&(flows - 250)), "{flows}");
        assert!(closed >= flows - 500, "{closed} of {flows}");
    }
}

//! Any record, for property tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::option::of;
use proptest::prelude::*;

use crate::batch::BATCH_BYTES;
use crate::flow::{Action, Connection, EndReason, FlowRecord, FlowTransport, Initiator, Traffic};
use crate::number::SamplingRate;
use crate::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, MacAddress, QueueId, Vni};
use crate::packet::{Fragment, Icmp, Ip, Link, Network, Packet, Ports, Tcp, Transport, Tunnel};
use crate::record::{Batch, PacketRecord};
use crate::time::Timestamp;

/// Addresses of both families; those of IPv6 often with zero groups.
pub fn ip_address() -> impl Strategy<Value = IpAddr> {
    let group = prop_oneof![Just(0), 0..16_u16, any::<u16>()];
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_ipv6_mapped().into()),
        any::<[u16; 8]>().prop_map(|groups| Ipv6Addr::from(groups).into()),
        prop::collection::vec(group, 8).prop_map(|groups| {
            let groups: [u16; 8] = groups.try_into().unwrap();
            Ipv6Addr::from(groups).into()
        }),
    ]
}

fn vni() -> impl Strategy<Value = Vni> {
    any::<[u8; 3]>().prop_map(Vni::from_bytes)
}

prop_compose! {
    fn tunnel()(
        (outer_source, outer_destination) in (ip_address(), ip_address()),
        (geneve_vni, vxlan_vni) in (of(vni()), of(vni())),
        vxlan_source in of(any::<u32>().prop_map(Ipv4Addr::from)),
        endpoint in of(any::<u64>().prop_map(EndpointId)),
        attachment in of(any::<u64>().prop_map(AttachmentId)),
        cookie in of(any::<u32>().prop_map(FlowCookie)),
    ) -> Tunnel {
        Tunnel {
 outer_source, outer_destination, geneve_vni, vxlan_vni, vxlan_source, endpoint, attachment, cookie }
    }
}

prop_compose! {
    fn link()(
        source in any::<[u8; 6]>().prop_map(MacAddress),
        destination in any::<[u8; 6]>().prop_map(MacAddress),
        vlans in [of(0..4096_u16), of(0..4096_u16)],
    ) -> Link {
        Link { source, destination, vlans }
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    let ports = || any::<(u16, u16)>().prop_map(|(source, destination)| Ports { source, destination });
    let icmp = || {
        any::<(u8, u8, Option<u16>)>().prop_map(|(kind, code, identifier)| Icmp { kind, code, identifier })
    };
    prop_oneof![
        ports().prop_map(|ports| Transport::Tcp(Tcp { ports, state: None })),
        ports().prop_map(Transport::Udp),
        ports().prop_map(Transport::Sctp),
        icmp().prop_map(Transport::Icmp),
        icmp().prop_map(Transport::Icmpv6),
        Just(Transport::Unread),
    ]
}

prop_compose! {
    fn ip()(
        (source, destination) in (ip_address(), ip_address()),
        protocol in any::<u8>().prop_map(IpProtocol),
        (length, hop_limit) in any::<(u32, u8)>(),
        fragment in of(any::<(u32, u16, bool)>()),
        transport in transport(),
    ) -> Ip {
        let fragment =
            fragment.map(|(identification, offset, more)| Fragment { identification, offset, more });
        Ip { source, destination, protocol, length, hop_limit, fragment, transport }
    }
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        4 => ip().prop_map(Network::Ip),
        1 => any::<u16>().prop_map(|number| Network::Other(EtherType(number))),
    ]
}

prop_compose! {
    /// A record without bytes.
    pub fn record()(
        timestamp in any::<u64>().prop_map(Timestamp),
        queue in any::<u32>().prop_map(QueueId),
        tunnel in tunnel(),
        (captured_length, cut) in (0..100_000_u32, prop_oneof![Just(0), any::<u32>()]),
        link in of(link()),
        network in network(),
    ) -> PacketRecord {
        let original_length = captured_length.saturating_add(cut);
        let packet = Packet { tunnel, offset: 0, captured_length, original_length, link, network };
        PacketRecord { timestamp, queue, packet, bytes: 0..0 }
    }
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let packets = (any::<[u64; 5]>(), any::<[u8; 3]>(), any::<[u16; 2]>());
    of(packets).prop_map(|packets| {
        let Some((numbers, hop_limits, disorder)) = packets else { return Traffic::default() };
        let [packets, bytes, captured_bytes, first, last] = numbers;
        Traffic {
            packets: packets % (1 << 32),
            bytes: bytes % (1 << 40),
            captured_bytes: captured_bytes % (1 << 40),
            times: Some((Timestamp(first), Timestamp(last))),
            hop_limits: Some((hop_limits[0], hop_limits[1])),
            tcp_flags: hop_limits[2],
            retransmissions: disorder[0],
            out_of_order: disorder[1],
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    use EndReason::{ClockStep, Closed, Evicted, Idle, Reset, Reused, Shutdown};
    let ends = [Idle, Closed, Reset, ClockStep, Reused, Evicted, Shutdown].map(Action::End);
    prop::sample::select([&[Action::Open, Action::Update], &ends[..]].concat())
}

fn connection() -> impl Strategy<Value = Connection> {
    use Connection::{Attempted, Closed, Closing, Open, Refused, Reset, TimedOut};
    prop::sample::select(vec![Attempted, Open, Closing, Closed, Reset, Refused, TimedOut])
}

prop_compose! {
    /// Any record of a flow, consistent or not.
    pub fn flow()(
        queue in any::<u32>().prop_map(QueueId),
        sampling_rate in (0..16_u32).prop_map(|exponent| SamplingRate::one_in(1 << exponent).unwrap()),
        (action, connection) in (action(), of(connection())),
        (start, end) in any::<(u64, u64)>(),
        tunnel in tunnel(),
        first_cookie in of(any::<u32>().prop_map(FlowCookie)),
        vlans in [of(0..4096_u16), of(0..4096_u16)],
        (source, destination) in (ip_address(), ip_address()),
        protocol in any::<u8>().prop_map(IpProtocol),
        transport in prop_oneof![
            any::<(u16, u16)>().prop_map(|(source, destination)| FlowTransport::Ports { source, destination }),
            any::<(u8, u8, Option<u16>)>()
                .prop_map(|(kind, code, identifier)| FlowTransport::Icmp { kind, code, identifier }),
            Just(FlowTransport::Unread),
        ],
        initiator in prop::sample::select(vec![Initiator::Syn, Initiator::Request, Initiator::Earlier, Initiator::FirstPacket]),
        (forward, reverse) in (traffic(), traffic()),
        handshake in of(any::<u32>().prop_map(|micros| Duration::from_micros(micros.into()))),
    ) -> FlowRecord {
        let (start, end) = (Timestamp(start.min(end)), Timestamp(end.max(start)));
        FlowRecord {
            queue, sampling_rate, action, start, end, tunnel, first_cookie, vlans, source, destination, protocol,
            transport, initiator, forward, reverse, accounted: forward.packets + reverse.packets, connection,
            handshake, application: None,
        }
    }
}

/// Adds a packet with these bytes, if the batch was made with room for bytes.
pub fn push(batch: &mut Batch, record: &PacketRecord, bytes: &[u8]) {
    let PacketRecord { timestamp, queue, packet, .. } = *record;
    batch.push(timestamp, queue, packet, |_, out| out.extend_from_slice(bytes));
}

/// A batch of a few packets and their bytes.
pub fn batch() -> impl Strategy<Value = Batch> {
    let record = (record(), prop::collection::vec(any::<u8>(), 0..100));
    prop::collection::vec(record, 0..20).prop_map(|records| {
        let mut batch = Batch::with_capacity(BATCH_BYTES);
        for (mut record, bytes) in records {
            record.packet.captured_length = u32::try_from(bytes.len()).unwrap();
            record.packet.original_length = record.packet.original_length.max(record.packet.captured_length);
            push(&mut batch, &record, &bytes);
        }
        batch
    })
}

//! The way of records from a worker to its sink.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::flow::{ApplicationRecord, FlowRecord, FlowTable};
use crate::number::QueueId;
use crate::packet::Packet;
use crate::privacy::{RecordPrivacy, WorkerPrivacy};
use crate::record::Batch;
use crate::rules::Rules;
use crate::sink::Producer;
use crate::time::Timestamp;

/// Behaviour of a worker when its sink has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drops the record and counts its packets: the receive ring must not wait.
    Drop,
    /// Waits: a capture file has time.
    Wait,
}

/// Hands a worker's records to its sink, and counts those that the sink has no room for.
pub(super) struct RecordEmitter {
    pub(super) producer: Producer,
    pub(super) when_full: WhenFull,
    pub(super) counters: Arc<WorkerCounters>,
    /// What records may tell: records enter a batch as they may be.
    pub(super) privacy: WorkerPrivacy,
}

impl WhenFull {
    /// A batch with room for a record.
    fn batch(self, producer: &mut Producer) -> Result<&mut Batch, DropReason> {
        match self {
            Self::Drop => producer.batch(),
            Self::Wait => producer.wait_for_batch(),
        }
    }
}

impl RecordEmitter {
    /// Logs a step of the packets' clock: the first one, and of the later ones ever fewer.
    #[cold]
    pub(super) fn log_clock_step(&self, back: Duration, steps: u64) {
        self.counters.clock_steps.set(steps);
        if steps.is_power_of_two() {
            let queue = self.counters.queue;
            warn!("queue {queue}: the clock of the packets stepped back by {back:.3?} (step {steps} so far)");
        }
    }

    /// Emits a flow's record, or counts its packets as dropped.
    pub(super) fn emit_flow(&mut self, rules: &Rules, record: &FlowRecord) {
        let privacy = self.privacy.of(&record.tunnel);
        let allowed = privacy.as_ref().is_none_or(|privacy| privacy.limit().flows);
        if !allowed || !rules.resolve(&record.tunnel).flows {
            // It was followed for the records of its application alone, or before its owner was known.
            self.counters.drop_packets(DropReason::PolicyExcluded, record.accounted);
            return;
        }
        match self.when_full.batch(&mut self.producer) {
            Ok(batch) => push_flow(batch, privacy, record),
            Err(reason) => {
                self.counters.flow_records_refused.add(1);
                self.counters.drop_packets(reason, record.accounted);
            }
        }
    }

    /// Emits the records of applications that flows have told of, where they are asked for.
    pub(super) fn emit_applications(&mut self, rules: &Rules, table: &mut FlowTable) {
        table.take_applications(|record| self.emit_application(rules, record));
    }

    fn emit_application(&mut self, rules: &Rules, record: ApplicationRecord) {
        let tunnel = &record.flow.tunnel;
        let mut recording = rules.resolve(tunnel);
        let privacy = self.privacy.of(tunnel);
        if let Some(privacy) = &privacy {
            recording = recording.and(privacy.limit());
        }
        if !recording.payload || !recording.applications.has(record.application.kind()) {
            return;
        }
        match self.when_full.batch(&mut self.producer) {
            Ok(batch) => push_application(batch, privacy, record),
            Err(_) => self.counters.application_records_refused.add(1),
        }
    }

    /// Emits a packet's record, or counts it as dropped. `append` appends the packet's bytes where the sink wants them.
    pub(super) fn emit_packet(
        &mut self,
        timestamp: Timestamp,
        packet: &Packet,
        append: impl FnOnce(usize, &mut Vec<u8>),
    ) {
        let queue = self.counters.queue;
        let privacy = self.privacy.of(&packet.tunnel);
        if privacy.as_ref().is_some_and(|privacy| !privacy.limit().packets) {
            // Its owner became known since it was taken in.
            self.counters.drop_packets(DropReason::PolicyExcluded, 1);
            return;
        }
        match self.when_full.batch(&mut self.producer) {
            Ok(batch) => push_packet(batch, privacy, (timestamp, queue), packet, append),
            Err(reason) => {
                self.counters.packet_records_refused.add(1);
                self.counters.drop_packets(reason, 1);
            }
        }
    }
}

/// Adds a flow as its record may be.
#[inline]
fn push_flow(batch: &mut Batch, privacy: Option<&mut RecordPrivacy>, flow: &FlowRecord) {
    match privacy {
        None => batch.push_flow(flow),
        Some(privacy) => {
            batch.push_flow(&privacy.flow(flow));
            batch.label_flow(privacy.label());
        }
    }
}

/// Adds what a flow tells of its application as its record may be.
fn push_application(batch: &mut Batch, privacy: Option<&mut RecordPrivacy>, record: ApplicationRecord) {
    match privacy {
        None => batch.push_application(record),
        Some(privacy) => {
            batch.push_application(privacy.application(record));
            batch.label_application(privacy.label());
        }
    }
}

/// Adds a packet as its record may be.
#[inline]
fn push_packet(
    batch: &mut Batch,
    privacy: Option<&mut RecordPrivacy>,
    (timestamp, queue): (Timestamp, QueueId),
    packet: &Packet,
    append: impl FnOnce(usize, &mut Vec<u8>),
) {
    match privacy {
        None => batch.push(timestamp, queue, *packet, append),
        Some(privacy) => {
            let shown = privacy.packet(packet);
            batch.push(timestamp, queue, shown, |from, bytes| {
                bytes.extend_from_slice(privacy.bytes(&shown, |all| append(from, all)));
            });
            batch.label_packet(privacy.label());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::net::IpAddr;

    use super::*;
    use crate::batch::BATCH_BYTES;
    use crate::decap::tests::frames::{
        DESTINATION, DESTINATION_V6, LINK, PORTS, SOURCE, SOURCE_V6, ethernet, ipv4, ipv4_with, ipv6,
        load_balanced, session, tagged, tcp, udp, web,
    };
    use crate::decap::{DecapConfig, decapsulate};
    use crate::flow::{FlowConfig, FlowTable};
    use crate::number::{EtherType, IpProtocol};
    use crate::packet::Network;
    use crate::privacy::{Privacy, PrivacyRule};
    use crate::source::{Frame, LinkType};

    const DECAP: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

    fn worker(rule: &str) -> WorkerPrivacy {
        let rule: PrivacyRule = toml::from_str(rule).unwrap();
        WorkerPrivacy::new(&Privacy::load(&[rule], false).unwrap(), None)
    }

    fn described(data: &[u8]) -> Packet {
        let length = u32::try_from(data.len()).unwrap();
        let frame = Frame {
            data,
            captured_length: length,
            original_length: length,
            timestamp: Timestamp(1),
            link_type: LinkType::Ethernet,
        };
        decapsulate(&frame, &DECAP).unwrap()
    }

    /// Mirrored frames of all kinds of headers.
    fn mirrored() -> Vec<Vec<u8>> {
        let (v4, v6) = (SOURCE.octets(), SOURCE_V6.octets());
        let redirect = [&[5, 0, 0, 0], &v4[..]].concat();
        let echo = [8, 0, 7, 7, 1, 2, 3, 4, 9, 9];
        let fragment = |header: &mut crate::wire::ipv4::Header| header.fragment_offset = 64;
        vec![
            web(),
            ethernet(EtherType::IPV4, &ipv4(IpProtocol::UDP, &udp(53, &v4))),
            ethernet(EtherType::IPV4, &ipv4(IpProtocol::ICMP, &redirect)),
            ethernet(EtherType::IPV4, &ipv4(IpProtocol::ICMP, &echo)),
            ethernet(EtherType::IPV4, &ipv4_with(fragment, IpProtocol::UDP, &v4)),
            tagged([Some(5), Some(6)], EtherType::IPV6, &ipv6(IpProtocol::TCP, &tcp(&v6))),
            ethernet(
                EtherType::IPV6,
                &ipv6(IpProtocol::ICMPV6, &[&[135, 0, 1, 1, 0, 0, 0, 0], &v6[..]].concat()),
            ),
            ethernet(EtherType::ARP, &[&v4[..], &LINK.source.0].concat()),
        ]
    }

    /// Everything that a sink can see of a batch, as text and as bytes.
    fn visible(batch: &Batch) -> (String, &[u8]) {
        let mut text = String::new();
        for record in batch.packets() {
            writeln!(text, "{record:?}").unwrap();
        }
        for record in batch.flows() {
            writeln!(text, "{record:?}").unwrap();
        }
        (text, batch.bytes())
    }

    fn assert_hidden(batch: &Batch) {
        let (text, bytes) = visible(batch);
        for address in [SOURCE, DESTINATION]
            .map(IpAddr::V4)
            .into_iter()
            .chain([SOURCE_V6, DESTINATION_V6].map(IpAddr::V6))
        {
            assert!(!text.contains(&format!("{address}")), "{address}: {text}");
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            assert!(!bytes.windows(octets.len()).any(|window| window == octets), "{address}");
        }
        for mac in [LINK.source, LINK.destination] {
            assert!(!text.contains(&format!("{mac:?}")), "{mac}: {text}");
            assert!(!bytes.windows(6).any(|window| window == mac.0), "{mac}");
        }
        assert!(!bytes.windows(4).any(|window| window == [0x5a; 4]), "payload");
    }

    #[test]
    fn a_batch_has_only_what_records_may_tell() {
        let mut worker = worker("addresses = \"mask\"\nipv4_prefix = 8\nipv6_prefix = 16");
        let mut batch = Batch::with_capacity(BATCH_BYTES);
        let mut table = FlowTable::new(FlowConfig::default()).unwrap();
        for frame in mirrored().iter().map(|frame| load_balanced(&session(7, frame))) {
            let packet = described(&frame);
            let append = |from: usize, bytes: &mut Vec<u8>| bytes.extend_from_slice(&frame[from..]);
            push_packet(&mut batch, worker.of(&packet.tunnel), (Timestamp(1), QueueId(0)), &packet, append);
            table.prepare(Timestamp(1), &packet, true, None);
        }
        table.complete(&mut |_| {});
        let mut flows = 0;
        table.drain(Timestamp(2), &mut |flow| {
            flows += 1;
            push_flow(&mut batch, worker.of(&flow.tunnel), flow);
        });
        assert_hidden(&batch);
        assert_eq!((batch.packets().len(), batch.flows().len()), (mirrored().len(), flows));
        assert!(batch.labelled_packets().all(|(_, label)| label.is_some()));
        assert!(batch.labelled_flows().all(|(_, label)| label.is_some()) && flows > 3);
    }

    /// The bytes of a record are the headers of its description, and can be read as such.
    #[test]
    fn bytes_are_the_headers_of_the_description() {
        let mut worker = worker("addresses = \"mask\"");
        for frame in mirrored() {
            let whole = load_balanced(&session(7, &frame));
            let packet = described(&whole);
            let mut batch = Batch::with_capacity(BATCH_BYTES);
            let append = |from: usize, bytes: &mut Vec<u8>| bytes.extend_from_slice(&whole[from..]);
            push_packet(&mut batch, worker.of(&packet.tunnel), (Timestamp(1), QueueId(0)), &packet, append);
            let [record] = batch.packets() else { panic!() };
            let bytes = &batch.bytes()[record.bytes.start as usize..record.bytes.end as usize];
            assert!(bytes.len() <= frame.len());
            let again = described(&load_balanced(&session(7, bytes)));
            assert_eq!(again.link, record.packet.link);
            match (again.network, record.packet.network) {
                (Network::Ip(again), Network::Ip(shown)) => {
                    assert_eq!((again.source, again.destination), (shown.source, shown.destination));
                    assert_eq!((again.protocol, again.length), (shown.protocol, shown.length));
                    let Network::Ip(plain) = packet.network else { panic!() };
                    let ports = |transport: &crate::packet::Transport| match transport {
                        crate::packet::Transport::Tcp(tcp) => Some(tcp.ports),
                        crate::packet::Transport::Udp(ports) => Some(*ports),
                        _ => None,
                    };
                    assert_eq!(ports(&again.transport), ports(&plain.transport));
                    assert!(ports(&again.transport).is_none_or(|ports| ports.source == PORTS.source));
                    if again.source.is_ipv4() {
                        let header = &bytes[14..34];
                        assert_eq!(crate::wire::checksum::Checksum::default().cover(header).finish(), 0);
                    }
                }
                (again, shown) => assert_eq!(again, shown),
            }
        }
    }

    #[test]
    fn without_a_rule_records_are_as_they_were() {
        let frame = load_balanced(&session(7, &web()));
        let packet = described(&frame);
        let mut worker = worker("vni = 8\naddresses = \"mask\"");
        let mut batch = Batch::with_capacity(BATCH_BYTES);
        let append = |from: usize, bytes: &mut Vec<u8>| bytes.extend_from_slice(&frame[from..]);
        push_packet(&mut batch, worker.of(&packet.tunnel), (Timestamp(1), QueueId(0)), &packet, append);
        assert_eq!(batch.packets()[0].packet, packet);
        assert_eq!(batch.bytes(), web());
        assert!(batch.labelled_packets().all(|(_, label)| label.is_none()));
    }
}

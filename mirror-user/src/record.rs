//! Records of packets, and the batches in which records travel from a worker to a sink.

use std::ops::{Add, AddAssign, Range, Sub};
use std::sync::Arc;

use crate::batch::{BATCH_RECORDS, LONGEST_PACKET};
use crate::flow::{ApplicationRecord, FlowRecord};
use crate::number::QueueId;
use crate::packet::Packet;
use crate::privacy::Label;
use crate::time::Timestamp;

/// One packet, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketRecord {
    /// Time of arrival.
    pub timestamp: Timestamp,
    /// The queue that it arrived on.
    pub queue: QueueId,
    /// Its description.
    pub packet: Packet,
    /// Range of the mirrored packet's bytes in [`Batch::bytes`]; empty where the sink wants none.
    pub bytes: Range<u32>,
}

/// A number of records, and of the packets that they account for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Packets that the records account for.
    pub packets: u64,
    /// Records of packets.
    pub packet_records: u64,
    /// Records of flows.
    pub flow_records: u64,
    /// Records of what flows tell of their applications.
    pub application_records: u64,
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            packet_records: self.packet_records + other.packet_records,
            flow_records: self.flow_records + other.flow_records,
            application_records: self.application_records + other.application_records,
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Amount {
    type Output = Self;

    /// The difference; 0 where more is taken away than there is.
    fn sub(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(other.packets),
            packet_records: self.packet_records.saturating_sub(other.packet_records),
            flow_records: self.flow_records.saturating_sub(other.flow_records),
            application_records: self.application_records.saturating_sub(other.application_records),
        }
    }
}

/// Records on their way from one worker to its sink. Its buffers are reused and never grow: a batch that is full is sent.
#[derive(Debug, Default)]
pub struct Batch {
    packets: Vec<PacketRecord>,
    flows: Vec<FlowRecord>,
    applications: Vec<ApplicationRecord>,
    bytes: Vec<u8>,
    accounted: u64,
    packet_labels: Labels,
    flow_labels: Labels,
    application_labels: Labels,
}

/// The labels of those records that have one, by their place.
type Labels = Vec<(usize, Arc<Label>)>;

impl Batch {
    /// Bytes of memory of a batch all of which was used, made with room for `bytes` bytes of packets.
    pub const fn memory(bytes: usize) -> u64 {
        const RECORDS: usize =
            size_of::<PacketRecord>() + size_of::<FlowRecord>() + size_of::<ApplicationRecord>();
        (BATCH_RECORDS * RECORDS + bytes) as u64
    }

    /// Bytes of memory that labels take where all records have one.
    pub const fn memory_of_labels() -> u64 {
        (BATCH_RECORDS * size_of::<(usize, Arc<Label>)>()) as u64
    }

    /// An empty batch with room for [`BATCH_RECORDS`] records, and `bytes` bytes of packets.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            packets: Vec::with_capacity(BATCH_RECORDS),
            flows: Vec::with_capacity(BATCH_RECORDS),
            applications: Vec::with_capacity(BATCH_RECORDS),
            bytes: Vec::with_capacity(bytes),
            accounted: 0,
            packet_labels: Vec::new(),
            flow_labels: Vec::new(),
            application_labels: Vec::new(),
        }
    }

    /// `true` if another record fits: one without bytes, or that of a packet of any length.
    pub fn has_room(&self) -> bool {
        self.packets.len() + self.flows.len() + self.applications.len() < BATCH_RECORDS
            && (!self.wants_bytes() || self.bytes.capacity() - self.bytes.len() >= LONGEST_PACKET)
    }

    /// `true` if the sink wants the bytes of packets: it made the batch with room for them.
    pub fn wants_bytes(&self) -> bool {
        self.bytes.capacity() > 0
    }

    /// Adds a packet, which its record accounts for; `append` appends its bytes, from an offset in the frame on, if
    /// the sink wants them.
    #[inline]
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        queue: QueueId,
        packet: Packet,
        append: impl FnOnce(usize, &mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        if self.wants_bytes() {
            append(packet.offset as usize, &mut self.bytes);
            // What follows the packet in its frame is padding.
            self.bytes.truncate(start + packet.captured_length as usize);
        }
        let bytes = range(start, self.bytes.len());
        self.packets.push(PacketRecord { timestamp, queue, packet, bytes });
        self.accounted += 1;
    }

    /// Adds a flow, which accounts for [those of its packets](FlowRecord::accounted) that have no record of their own.
    #[inline]
    pub fn push_flow(&mut self, flow: &FlowRecord) {
        self.flows.push(flow.clone());
        self.accounted += flow.accounted;
    }

    /// Adds what a flow tells of its application, which accounts for no packets.
    #[inline]
    pub fn push_application(&mut self, record: ApplicationRecord) {
        self.applications.push(record);
    }

    /// Labels the packet that was added last.
    pub fn label_packet(&mut self, label: &Arc<Label>) {
        self.packet_labels.push((self.packets.len().saturating_sub(1), Arc::clone(label)));
    }

    /// Labels the flow that was added last.
    pub fn label_flow(&mut self, label: &Arc<Label>) {
        self.flow_labels.push((self.flows.len().saturating_sub(1), Arc::clone(label)));
    }

    /// The packets with their labels, in the order of arrival.
    pub fn labelled_packets(&self) -> impl Iterator<Item = (&PacketRecord, Option<&Label>)> {
        labelled(&self.packets, &self.packet_labels)
    }

    /// The flows with their labels, in the order in which their records fell due.
    pub fn labelled_flows(&self) -> impl Iterator<Item = (&FlowRecord, Option<&Label>)> {
        labelled(&self.flows, &self.flow_labels)
    }

    /// Labels what was added last of what flows tell of their applications.
    pub fn label_application(&mut self, label: &Arc<Label>) {
        self.application_labels.push((self.applications.len().saturating_sub(1), Arc::clone(label)));
    }

    /// What flows tell of their applications, in the order of arrival, with the labels.
    pub fn labelled_applications(&self) -> impl Iterator<Item = (&ApplicationRecord, Option<&Label>)> {
        labelled(&self.applications, &self.application_labels)
    }

    /// The packets, in the order of arrival.
    pub fn packets(&self) -> &[PacketRecord] {
        &self.packets
    }

    /// The flows, in the order in which their records fell due.
    pub fn flows(&self) -> &[FlowRecord] {
        &self.flows
    }

    /// What flows tell of their applications, in the order of arrival.
    pub fn applications(&self) -> &[ApplicationRecord] {
        &self.applications
    }

    /// The captured bytes of the packets, one after the other, where the sink wants them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of these records. Each packet is accounted for by exactly one record: its own if it has one, else its flow's.
    pub fn amount(&self) -> Amount {
        Amount {
            packets: self.accounted,
            packet_records: self.packets.len() as u64,
            flow_records: self.flows.len() as u64,
            application_records: self.applications.len() as u64,
        }
    }

    /// The first `records` of these records, in the order in which they are written: packets, then applications, then flows.
    pub fn amount_of_first(&self, records: usize) -> Amount {
        let packets = self.packets.get(..records).unwrap_or(&self.packets);
        let records = records - packets.len();
        let applications = self.applications.get(..records).unwrap_or(&self.applications);
        let flows = self.flows.get(..records - applications.len()).unwrap_or(&self.flows);
        Amount {
            packets: packets.len() as u64 + flows.iter().map(|flow| flow.accounted).sum::<u64>(),
            packet_records: packets.len() as u64,
            flow_records: flows.len() as u64,
            application_records: applications.len() as u64,
        }
    }

    /// `true` if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.flows.is_empty() && self.applications.is_empty()
    }

    /// Removes the records and keeps the buffers.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.flows.clear();
        self.applications.clear();
        self.bytes.clear();
        self.accounted = 0;
        self.packet_labels.clear();
        self.flow_labels.clear();
        self.application_labels.clear();
    }
}

fn labelled<'batch, Record>(
    records: &'batch [Record],
    labels: &'batch [(usize, Arc<Label>)],
) -> impl Iterator<Item = (&'batch Record, Option<&'batch Label>)> {
    let mut labels = labels.iter().peekable();
    records.iter().enumerate().map(move |(place, record)| {
        let label = labels.next_if(|(labelled, _)| *labelled == place);
        (record, label.map(|(_, label)| &**label))
    })
}

fn range(start: usize, end: usize) -> Range<u32> {
    let offset = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    offset(start)..offset(end)
}

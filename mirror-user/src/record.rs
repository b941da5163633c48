//! What is said of a packet, and the batches in which it travels from a worker to a sink.

use std::ops::Range;

use crate::packet::Packet;
use crate::source::Timestamp;
use crate::wire::number::QueueId;

/// Most packet records in one [`Batch`].
pub const BATCH_RECORDS: usize = 1024;

/// Room for packet bytes in one [`Batch`], where the sink wants them: [`BATCH_RECORDS`] packets of 1,500 bytes, and
/// one of [`LONGEST_PACKET`].
pub const BATCH_BYTES: usize = 2 << 20;

/// Most bytes of one packet that a [`Batch`] is sure to have room for. Capture files hold no longer ones
/// (`MAXIMUM_SNAPLEN` of libpcap).
pub const LONGEST_PACKET: usize = 256 << 10;

/// One packet, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketRecord {
    /// When the packet arrived.
    pub timestamp: Timestamp,
    /// The queue that it arrived on.
    pub queue: QueueId,
    /// What is known of it.
    pub packet: Packet,
    /// Where the bytes of the mirrored packet lie in [`Batch::bytes`]; empty where the sink wants none.
    pub bytes: Range<u32>,
}

/// Records on their way from one worker to its sink. Its buffers are used again and never grow beyond what they
/// were made with: a batch that is full is sent.
#[derive(Debug, Default)]
pub struct Batch {
    /// The packets, in the order of arrival.
    pub packets: Vec<PacketRecord>,
    /// The captured bytes of the packets, one after the other, where the sink wants them.
    pub bytes: Vec<u8>,
}

impl Batch {
    /// An empty batch with room for [`BATCH_RECORDS`] packets and `bytes` bytes of them.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { packets: Vec::with_capacity(BATCH_RECORDS), bytes: Vec::with_capacity(bytes) }
    }

    /// Whether another packet fits, however long it is.
    pub fn has_room(&self) -> bool {
        let wants_bytes = self.bytes.capacity() > 0;
        self.packets.len() < BATCH_RECORDS
            && (!wants_bytes || self.bytes.capacity() - self.bytes.len() >= LONGEST_PACKET)
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Forgets the records and keeps the buffers.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
    }
}

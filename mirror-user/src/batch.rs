//! Sizes of the batches in which frames and records travel.

/// Most frames that a source hands out at once: enough to fetch the memory of one packet while others are worked on.
pub const BATCH_FRAMES: usize = 64;

/// Most records in one [`Batch`](crate::record::Batch), of packets and of flows together.
pub const BATCH_RECORDS: usize = 1024;

/// Bytes of packets that one [`Batch`](crate::record::Batch) has room for, where the sink wants them: [`BATCH_RECORDS`]
/// packets of 1,500 bytes, and one of [`LONGEST_PACKET`].
pub const BATCH_BYTES: usize = 2 << 20;

/// Longest packet in bytes for which a [`Batch`](crate::record::Batch) is sure to have room. Capture files hold none that
/// are longer (`MAXIMUM_SNAPLEN` of libpcap).
pub const LONGEST_PACKET: usize = 256 << 10;

//! From a batch to the bytes of its format.

use super::text::Clock;
use super::{Format, ndjson, pcapng};
use crate::record::{BATCH_BYTES, BATCH_RECORDS, Batch};

/// Encodes the batches of one file. A copy taken before a batch undoes the batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoder {
    Ndjson(Clock),
    Pcapng(pcapng::Interfaces),
}

impl Encoder {
    /// For a new file, whose header is appended to `out`.
    pub fn begin(format: Format, out: &mut Vec<u8>) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson(Clock::default()),
            Format::Pcapng => {
                pcapng::section_header(out);
                Self::Pcapng(pcapng::Interfaces::default())
            }
        }
    }

    /// Appends the records of `batch` to `out`. Capture files hold packets only: flows that come to pcapng all the
    /// same are left out.
    pub fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        match self {
            Self::Ndjson(clock) => {
                for record in batch.packets() {
                    ndjson::packet(record, clock, out);
                }
                for record in batch.flows() {
                    ndjson::flow(record, clock, out);
                }
            }
            Self::Pcapng(interfaces) => {
                for record in batch.packets() {
                    pcapng::packet(record, batch.bytes(), interfaces, out);
                }
            }
        }
    }

    /// Whether the bytes of packets are written, and not only what is known of them.
    pub const fn wants_bytes(format: Format) -> bool {
        match format {
            Format::Ndjson => false,
            Format::Pcapng => true,
        }
    }

    /// Room for the longest batch and a header, in bytes.
    pub const fn longest_batch(format: Format) -> usize {
        match format {
            Format::Ndjson => BATCH_RECORDS * ndjson::LONGEST_RECORD,
            Format::Pcapng => pcapng::LONGEST_HEADER + BATCH_RECORDS * pcapng::LONGEST_OVERHEAD + BATCH_BYTES,
        }
    }
}

//! From a batch to the bytes of its format.

use super::format::Format;
use super::notation::TimestampWriter;
use super::{ndjson, pcapng};
use crate::batch::{BATCH_BYTES, BATCH_RECORDS};
use crate::enrichment::{self, Enriched, Lookup, Reader};
use crate::privacy::Label;
use crate::record::Batch;

/// Point at which a write ended within the encoded bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutPoint {
    /// Records that were written as a whole.
    pub records: usize,
    /// Length up to the end of the last line or block that was written as a whole.
    pub whole: usize,
    /// The end of the line or block that was written in part; [`Self::whole`] where there is none.
    pub end: usize,
    /// That line or block is a record; a header is none.
    pub is_record: bool,
}

/// Encodes the batches of one file. A copy taken before a batch undoes the batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoder {
    Ndjson(TimestampWriter),
    Pcapng(pcapng::Interfaces),
}

impl Encoder {
    /// For a new file, whose header is appended to `out`.
    pub fn begin(format: Format, out: &mut Vec<u8>) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson(TimestampWriter::default()),
            Format::Pcapng => {
                pcapng::section_header(out);
                Self::Pcapng(pcapng::Interfaces::default())
            }
        }
    }

    /// Appends the records of `batch` to `out`, as `reader` enriches them where the format has room for that. Capture files hold
    /// packets only: flows that come to pcapng all the same are left out. A function of its own, so that its instructions
    /// can be counted.
    #[inline(never)]
    pub fn encode(&mut self, batch: &Batch, reader: Option<&mut Reader>, out: &mut Vec<u8>) {
        match self {
            Self::Ndjson(clock) => {
                let mut lookup = reader.map(Reader::batch);
                for (record, label) in batch.labelled_packets() {
                    let start = out.len();
                    let enriched = enriched(&mut lookup, |lookup| lookup.packet(record, label));
                    ndjson::packet(record, &enriched, clock, out);
                    if let Some(label) = label {
                        label.apply_to_line(start, out);
                    }
                }
                for (record, label) in batch.labelled_applications() {
                    let start = out.len();
                    let enriched = enriched(&mut lookup, |lookup| lookup.application(record, label));
                    ndjson::application(record, &enriched, clock, out);
                    if let Some(label) = label {
                        label.apply_to_line(start, out);
                    }
                }
                for (record, label) in batch.labelled_flows() {
                    let start = out.len();
                    let enriched = enriched(&mut lookup, |lookup| lookup.flow(record, label));
                    ndjson::flow(record, &enriched, clock, out);
                    if let Some(label) = label {
                        label.apply_to_line(start, out);
                    }
                }
            }
            Self::Pcapng(interfaces) => {
                for (record, label) in batch.labelled_packets() {
                    let label = label.map(Label::comment).unwrap_or_default();
                    pcapng::packet(record, batch.bytes(), label, interfaces, out);
                }
            }
        }
    }

    /// Its state when only these of the bytes that it has encoded are in the file.
    pub fn after(self, bytes: &[u8]) -> Self {
        match self {
            Self::Ndjson(clock) => Self::Ndjson(clock),
            Self::Pcapng(interfaces) => Self::Pcapng(interfaces.after(bytes)),
        }
    }

    /// `true` if the format has the bytes of packets, and not only their description.
    pub const fn wants_bytes(format: Format) -> bool {
        match format {
            Format::Ndjson => false,
            Format::Pcapng => true,
        }
    }

    /// `true` if the bytes of a batch do not depend on what stands before them in their file.
    pub const fn is_stateless(format: Format) -> bool {
        match format {
            Format::Ndjson => true,
            Format::Pcapng => false,
        }
    }

    /// Room for the longest batch and a header, in bytes, where its records are enriched or not.
    pub const fn longest_batch(format: Format, is_enriched: bool) -> usize {
        match format {
            // A record from which fields are removed is there twice for a moment.
            Format::Ndjson => {
                let enrichment = if is_enriched { enrichment::LONGEST } else { 0 };
                let longest = ndjson::LONGEST_RECORD + enrichment;
                BATCH_RECORDS * (longest + Label::LONGEST) + longest
            }
            Format::Pcapng => {
                let longest = pcapng::LONGEST_OVERHEAD + Label::LONGEST;
                pcapng::LONGEST_HEADER + BATCH_RECORDS * longest + BATCH_BYTES
            }
        }
    }
}

/// What `find` finds for a record, and nothing where there is no map.
#[inline]
fn enriched<'a>(
    lookup: &mut Option<Lookup<'a>>,
    find: impl FnOnce(&mut Lookup<'a>) -> Enriched<'a>,
) -> Enriched<'a> {
    lookup.as_mut().map_or_else(Enriched::default, find)
}

impl Format {
    /// Length of the lines or blocks at the front of `bytes` that are whole.
    pub(super) fn whole(self, bytes: &[u8]) -> usize {
        match self {
            Self::Ndjson => bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
            Self::Pcapng => pcapng::blocks(bytes).map(|block| block.end).last().unwrap_or(0),
        }
    }

    /// The point at which a write of `bytes` ended that took the first `taken` of them.
    pub(super) fn cut(self, bytes: &[u8], taken: usize) -> CutPoint {
        let front = bytes.get(..taken).unwrap_or(bytes);
        let whole = self.whole(front);
        let rest = bytes.get(whole..).unwrap_or_default();
        let is_torn = whole < front.len();
        match self {
            Self::Ndjson => CutPoint {
                records: front.iter().filter(|&&byte| byte == b'\n').count(),
                whole,
                end: match rest.iter().position(|&byte| byte == b'\n') {
                    Some(end) if is_torn => whole + end + 1,
                    _ => whole,
                },
                is_record: is_torn,
            },
            Self::Pcapng => {
                let torn = pcapng::blocks(rest).next().filter(|_| is_torn);
                CutPoint {
                    records: pcapng::blocks(front).filter(pcapng::EncodedBlock::is_packet).count(),
                    whole,
                    end: whole + torn.map_or(0, |block| block.end),
                    is_record: torn.is_some_and(|block| block.is_packet()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::arbitrary;

    proptest! {
        /// A file that is cut anywhere and gets the rest, encoded anew where it was cut, is the file that it would be.
        #[test]
        fn a_batch_can_be_cut_anywhere(
            batch in arbitrary::batch(),
            later in arbitrary::batch(),
            place in any::<prop::sample::Index>(),
            format in prop::sample::select(vec![Format::Ndjson, Format::Pcapng]),
        ) {
            let mut bytes = Vec::new();
            let begun = Encoder::begin(format, &mut bytes);
            let mut encoder = begun;
            let mut ends = vec![bytes.len()];
            for record in batch.packets() {
                let mut single = Batch::with_capacity(BATCH_BYTES);
                let own = record.bytes.start as usize..record.bytes.end as usize;
                arbitrary::push(&mut single, record, &batch.bytes()[own]);
                encoder.encode(&single, None, &mut bytes);
                ends.push(bytes.len());
            }
            let taken = place.index(bytes.len() + 1);
            let cut = format.cut(&bytes, taken);
            prop_assert_eq!(cut.records, ends.iter().skip(1).filter(|&&end| end <= taken).count());
            prop_assert!(cut.whole <= taken && taken <= cut.end);
            prop_assert_eq!(cut.whole, format.whole(&bytes[..taken]));
            prop_assert_eq!(cut.whole == taken, cut.end == taken);
            let ends_in_record = ends.iter().skip(1).any(|&end| end == cut.end);
            prop_assert_eq!(cut.is_record, cut.end > taken && ends_in_record);

            let mut file = bytes[..cut.end].to_vec();
            if file.is_empty() {
                Encoder::begin(format, &mut file);
            }
            begun.after(&bytes[..cut.end]).encode(&later, None, &mut file);
            prop_assert_eq!(format.whole(&file), file.len());
            if format == Format::Pcapng {
                let mut reader = pcap_file::pcapng::PcapNgReader::new(file.as_slice()).unwrap();
                let mut link_types = Vec::new();
                let mut packets = 0;
                while let Some(block) = reader.next_block() {
                    use pcap_file::pcapng::blocks::block_common::Block;
                    match block.unwrap().0 {
                        Block::InterfaceDescription(interface) => {
                            prop_assert!(!link_types.contains(&interface.linktype), "described once");
                            link_types.push(interface.linktype);
                        }
                        Block::EnhancedPacket(packet) => {
                            packets += 1;
                            prop_assert!((packet.interface_id as usize) < link_types.len());
                        }
                        other => prop_assert!(false, "unexpected block: {other:?}"),
                    }
                }
                prop_assert_eq!(packets, cut.records + usize::from(cut.is_record) + later.packets().len());
            }
        }
    }
}

//! Damage of any kind is counted, and never stops the pipeline.

use std::fs;
use std::sync::Arc;

use mirror_user::batch::BATCH_FRAMES;
use mirror_user::replay::ReplaySource;
use mirror_user::sink::Format;
use mirror_user::source::{Frame, FrameSource, LinkType, Received};
use mirror_user::time::Timestamp;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::Block;
use pcap_file::{DataLink, Endianness};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tempfile::NamedTempFile;

use crate::pipeline::{Outcome, Records, run};
use crate::{capture, crafted, golden};

/// Frames in memory as a source.
struct Frames {
    frames: Vec<Vec<u8>>,
    link_type: LinkType,
    /// Bytes of the first of the buffers that a frame spans; headers are read from that one only.
    first_buffer: usize,
    /// Bytes that each frame lacks at its end.
    missing: u32,
    /// The current batch.
    batch: std::ops::Range<usize>,
}

impl FrameSource for Frames {
    fn receive(&mut self) -> std::io::Result<Received> {
        let end = self.frames.len().min(self.batch.end + BATCH_FRAMES);
        self.batch = self.batch.end..end;
        Ok(if self.batch.is_empty() { Received::End } else { Received::Frames(self.batch.len()) })
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let frame = &self.frames[self.batch.start + index];
        let captured_length = u32::try_from(frame.len()).unwrap();
        Frame {
            data: &frame[..frame.len().min(self.first_buffer)],
            captured_length,
            original_length: captured_length.saturating_add(self.missing),
            timestamp: Timestamp(index as u64),
            link_type: self.link_type,
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.frames[self.batch.start + index][from..]);
    }

    fn release(&mut self) {}
}

const PACKETS: Records = Records { packets: true, flows: false };
const FLOWS: Records = Records { packets: false, flows: true };
const BOTH: Records = Records { packets: true, flows: true };

/// Frames that are right, of every kind there is.
fn whole_frames() -> Vec<Vec<u8>> {
    let own = golden::all().into_iter().flat_map(|golden| capture::read(&golden.capture()));
    own.map(|packet| packet.bytes).chain(crafted::frames().into_iter().map(|(_, frame)| frame)).collect()
}

/// Some damage to some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Repeat(Index),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        // Headers end by byte 192; what is behind them is of little interest.
        let place = || any::<Index>();
        prop_oneof![
            4 => (place(), prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()])
                .prop_map(|(place, byte)| Self::Set(place, byte)),
            4 => (place(), 0..8_u8).prop_map(|(place, bit)| Self::Flip(place, bit)),
            1 => place().prop_map(Self::Cut),
            1 => place().prop_map(Self::Repeat),
        ]
    }

    /// Does damage within the first `reach` bytes.
    fn apply(&self, reach: usize, bytes: &mut Vec<u8>) {
        let reach = reach.min(bytes.len());
        if reach == 0 {
            return;
        }
        match self {
            Self::Set(place, byte) => bytes[place.index(reach)] = *byte,
            Self::Flip(place, bit) => bytes[place.index(reach)] ^= 1 << bit,
            Self::Cut(place) => bytes.truncate(place.index(reach)),
            Self::Repeat(place) => bytes.extend_from_within(..place.index(reach)),
        }
    }
}

/// Damaged frames, and a few whole ones among them.
fn damaged_frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    const HEADERS: usize = 192;
    let frame = (select(whole_frames()), vec(Damage::any(), 0..4)).prop_map(|(mut frame, damages)| {
        damages.iter().for_each(|damage| damage.apply(HEADERS, &mut frame));
        frame
    });
    vec(frame, 1..2 * BATCH_FRAMES)
}

/// Packets that the records in `written` account for: each by its own record if it has one, as documented.
fn accounted(written: &[u8], format: Format, records: Records) -> Result<u64, TestCaseError> {
    let mut packets = 0;
    match format {
        Format::Ndjson => {
            for line in written.split_inclusive(|byte| *byte == b'\n') {
                prop_assert!(line.ends_with(b"\n"));
                let record: serde_json::Value = serde_json::from_slice(line).unwrap();
                prop_assert!(record["mirror"]["outer"].is_object());
                let flow = record["event"]["dataset"] == "mirror.flow";
                packets += match (flow, records.packets) {
                    (true, true) => 0,
                    (true, false) => record["network"]["packets"].as_u64().unwrap(),
                    (false, _) => 1,
                };
            }
        }
        Format::Pcapng if written.is_empty() => {}
        Format::Pcapng => {
            let mut reader = PcapNgReader::new(written).unwrap();
            while let Some(block) = reader.next_block() {
                packets += u64::from(matches!(block.unwrap().0, Block::EnhancedPacket(_)));
            }
        }
    }
    Ok(packets)
}

proptest! {
    #[test]
    fn damaged_frames_are_counted(
        frames in damaged_frames(),
        link_type in prop_oneof![3 => Just(LinkType::Ethernet), 1 => Just(LinkType::Ip)],
        first_buffer in prop_oneof![3 => Just(usize::MAX), 1 => 1..250_usize],
        missing in prop_oneof![3 => Just(0), 1 => 0..2000_u32, 1 => Just(u32::MAX)],
        (format, records) in select(vec![
            (Format::Pcapng, PACKETS),
            (Format::Ndjson, PACKETS),
            (Format::Ndjson, FLOWS),
            (Format::Ndjson, BOTH),
        ]),
    ) {
        let received = frames.len() as u64;
        let source = Frames { frames, link_type, first_buffer, missing, batch: 0..0 };
        let Outcome { written, ledger, ended } = run(source, format, records);
        prop_assert!(ended.is_ok());
        prop_assert!(ledger.balanced, "{}", ledger.table());
        prop_assert_eq!(ledger.seen, received);
        prop_assert_eq!(accounted(&written, format, records)?, ledger.recorded);
    }

    #[test]
    fn damaged_files_end_and_balance(
        pcapng in any::<bool>(),
        records in select(vec![PACKETS, FLOWS, BOTH]),
        endianness in select(vec![Endianness::Little, Endianness::Big]),
        damages in vec(Damage::any(), 1..6),
        reach in select(vec![64, 400, usize::MAX]),
    ) {
        let packets = capture::read(&golden::mixed().capture());
        let mut file = if pcapng {
            capture::pcapng(endianness, &packets)
        } else {
            capture::pcap(DataLink::ETHERNET, endianness, &packets)
        };
        damages.iter().for_each(|damage| damage.apply(reach, &mut file));
        let path = NamedTempFile::new().unwrap().into_temp_path();
        fs::write(&path, file).unwrap();
        if let Ok(source) = ReplaySource::open(vec![path.to_path_buf()], Arc::default(), Arc::default()) {
            let Outcome { written, ledger, .. } = run(source, Format::Ndjson, records);
            prop_assert!(ledger.balanced, "{}", ledger.table());
            prop_assert_eq!(accounted(&written, Format::Ndjson, records)?, ledger.recorded);
        }
    }
}

//! Capture files as a [`FrameSource`]: the same pipeline, without a NIC and without privileges.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapReader, PcapTsResolution};
use pcap_file::pcapng::{Block, PcapNgReader};
use thiserror::Error;

use crate::source::{BATCH, Frame, FrameSource, LinkType, Received, Timestamp};

/// Why a capture file cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is no capture file.
    #[error("{} is neither pcap nor pcapng, also not compressed by gzip or zstd: {detail}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader made of it.
        detail: String,
    },
    /// Its packets begin with a header that holds no Ethernet and no IP.
    #[error(
        "{} was captured with link type {link_type}; Ethernet, raw IP, BSD loopback and Linux cooked captures can \
         be replayed (`editcap` converts and splits)",
        path.display()
    )]
    LinkType {
        /// The file.
        path: PathBuf,
        /// The link type's number.
        link_type: u32,
    },
    /// It is damaged or cut short; what stands before has been read.
    #[error(
        "{} is damaged or cut short behind packet {packets}: {detail}; the packets before it were replayed",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Packets that were read from it.
        packets: u64,
        /// What the reader made of it.
        detail: String,
    },
}

/// One packet of the batch, copied out of the file.
#[derive(Debug)]
struct Slot {
    bytes: Vec<u8>,
    original_length: u32,
    timestamp: Timestamp,
    link_type: LinkType,
}

/// Capture files, one after the other, as one stream of frames.
pub struct ReplaySource {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Capture>,
    progress: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    slots: Vec<Slot>,
    /// How many of `slots` hold a frame of the current batch.
    held: usize,
    /// Reported once the frames that were read before it have been handed out.
    failed: Option<ReplayError>,
}

impl ReplaySource {
    /// Opens the first of `files`, to fail early; `-` is standard input. The number of bytes read so far, as they
    /// lie on disk, is added to `progress`. The stream ends where `stop` becomes true.
    ///
    /// # Errors
    ///
    /// When a file does not exist, or the first is no capture file.
    pub fn open(
        files: Vec<PathBuf>,
        progress: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ReplayError> {
        for path in files.iter().filter(|path| !is_stdin(path)) {
            File::open(path).map_err(|source| ReplayError::Open { path: path.clone(), source })?;
        }
        let mut source = Self {
            files: files.into_iter(),
            current: None,
            progress,
            stop,
            slots: Vec::with_capacity(BATCH),
            held: 0,
            failed: None,
        };
        source.current = source.open_next()?;
        Ok(source)
    }

    fn open_next(&mut self) -> Result<Option<Capture>, ReplayError> {
        self.files.next().map(|path| Capture::open(path, Arc::clone(&self.progress))).transpose()
    }

    /// Reads the next packet into the next slot. `false`: there is none.
    fn read(&mut self) -> Result<bool, ReplayError> {
        loop {
            let Some(capture) = &mut self.current else { return Ok(false) };
            if self.held == self.slots.len() {
                let timestamp = Timestamp::default();
                self.slots.push(Slot {
                    bytes: Vec::new(),
                    original_length: 0,
                    timestamp,
                    link_type: LinkType::Ip,
                });
            }
            let Some(slot) = self.slots.get_mut(self.held) else { return Ok(false) };
            if capture.read(slot)? {
                self.held += 1;
                return Ok(true);
            }
            self.current = self.open_next()?;
        }
    }
}

impl FrameSource for ReplaySource {
    fn receive(&mut self) -> io::Result<Received> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(Received::End);
        }
        while self.held < BATCH && self.failed.is_none() {
            match self.read() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.failed = Some(error),
            }
        }
        match (self.held, self.failed.take()) {
            (0, None) => Ok(Received::End),
            (0, Some(error)) => Err(io::Error::other(error)),
            (frames, failed) => {
                self.failed = failed;
                Ok(Received::Frames(frames))
            }
        }
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let slot = &self.slots[index];
        let captured_length = u32::try_from(slot.bytes.len()).unwrap_or(u32::MAX);
        Frame {
            data: &slot.bytes,
            captured_length,
            original_length: slot.original_length.max(captured_length),
            timestamp: slot.timestamp,
            link_type: slot.link_type,
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        let slot = self.slots.get(index).and_then(|slot| slot.bytes.get(from..));
        bytes.extend_from_slice(slot.unwrap_or_default());
    }

    fn release(&mut self) {
        self.held = 0;
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// One open capture file.
struct Capture {
    path: PathBuf,
    packets: u64,
    reader: Reader,
}

enum Reader {
    Pcap(PcapReader<Box<dyn Read + Send>>),
    PcapNg(PcapNgReader<Box<dyn Read + Send>>),
}

impl Capture {
    fn open(path: PathBuf, progress: Arc<AtomicU64>) -> Result<Self, ReplayError> {
        let opened = |source| ReplayError::Open { path: path.clone(), source };
        let raw: Box<dyn Read + Send> = if is_stdin(&path) {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&path).map_err(opened)?)
        };
        let mut raw = BufReader::with_capacity(1 << 18, Counted { inner: raw, progress });
        let magic = peek(&mut raw).map_err(opened)?;
        let mut plain: BufReader<Box<dyn Read + Send>> = BufReader::with_capacity(
            1 << 18,
            match magic {
                [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
                [0x28, 0xb5, 0x2f, 0xfd] => {
                    Box::new(zstd::stream::read::Decoder::with_buffer(raw).map_err(opened)?)
                }
                _ => Box::new(raw),
            },
        );
        // What is compressed may be damaged from the start.
        let magic = peek(&mut plain).map_err(|error| ReplayError::Damaged {
            path: path.clone(),
            packets: 0,
            detail: error.to_string(),
        })?;
        let format = |error: &dyn std::error::Error| ReplayError::Format {
            path: path.clone(),
            detail: with_causes(error),
        };
        let plain: Box<dyn Read + Send> = Box::new(plain);
        let reader = if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            Reader::PcapNg(PcapNgReader::new(plain).map_err(|error| format(&error))?)
        } else {
            let reader = PcapReader::new(plain).map_err(|error| format(&error))?;
            supported(reader.header().datalink, &path)?;
            Reader::Pcap(reader)
        };
        Ok(Self { path, packets: 0, reader })
    }

    /// Reads the next packet into `slot`. `false`: the file has ended.
    fn read(&mut self, slot: &mut Slot) -> Result<bool, ReplayError> {
        let Self { path, packets, reader } = self;
        let read = match reader {
            Reader::Pcap(reader) => read_pcap(reader, slot),
            Reader::PcapNg(reader) => read_pcapng(reader, slot, path),
        };
        match read {
            Ok(true) => *packets += 1,
            Ok(false) => {}
            Err(ReadFailure::Replay(error)) => return Err(error),
            Err(ReadFailure::Damaged(detail)) => {
                return Err(ReplayError::Damaged { path: path.clone(), packets: *packets, detail });
            }
        }
        Ok(matches!(read, Ok(true)))
    }
}

/// Why the next packet cannot be read.
enum ReadFailure {
    Replay(ReplayError),
    Damaged(String),
}

fn damaged(error: impl std::error::Error) -> ReadFailure {
    ReadFailure::Damaged(with_causes(&error))
}

/// What an error says, and its causes: an error of the reader's own does not say why reading failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn read_pcap(reader: &mut PcapReader<Box<dyn Read + Send>>, slot: &mut Slot) -> Result<bool, ReadFailure> {
    let header = reader.header();
    let Some(packet) = reader.next_raw_packet() else { return Ok(false) };
    let packet = packet.map_err(damaged)?;
    let fraction = u64::from(packet.ts_frac)
        * match header.ts_resolution {
            PcapTsResolution::MicroSecond => 1_000,
            PcapTsResolution::NanoSecond => 1,
        };
    let timestamp = Timestamp(u64::from(packet.ts_sec) * 1_000_000_000 + fraction);
    slot.fill(header.datalink, &packet.data, packet.orig_len, timestamp);
    Ok(true)
}

fn read_pcapng(
    reader: &mut PcapNgReader<Box<dyn Read + Send>>,
    slot: &mut Slot,
    path: &Path,
) -> Result<bool, ReadFailure> {
    loop {
        let Some(block) = reader.next_block() else { return Ok(false) };
        let (block, state) = block.map_err(damaged)?;
        let (interface, bytes, original_length, timestamp) = match &block {
            Block::EnhancedPacket(packet) => {
                (packet.interface_id, &packet.data, packet.original_len, packet.timestamp)
            }
            // A simple packet has no time of its own; RFC draft pcapng, section 4.4.
            Block::SimplePacket(packet) => (0, &packet.data, packet.original_len, Duration::ZERO),
            _ => continue,
        };
        let Some(link) = usize::try_from(interface).ok().and_then(|index| state.interfaces().get(index))
        else {
            return Err(ReadFailure::Damaged(format!(
                "a packet of interface {interface}, which is not described"
            )));
        };
        supported(link.linktype, path).map_err(ReadFailure::Replay)?;
        let timestamp = Timestamp(u64::try_from(timestamp.as_nanos()).unwrap_or(u64::MAX));
        slot.fill(link.linktype, bytes, original_length, timestamp);
        return Ok(true);
    }
}

/// Refuses link types whose packets hold neither Ethernet nor IP at a known place.
fn supported(link_type: DataLink, path: &Path) -> Result<(), ReplayError> {
    match link_type {
        DataLink::ETHERNET
        | DataLink::RAW
        | DataLink::IPV4
        | DataLink::IPV6
        | DataLink::NULL
        | DataLink::LOOP
        | DataLink::LINUX_SLL
        | DataLink::LINUX_SLL2 => Ok(()),
        other => Err(ReplayError::LinkType { path: path.to_owned(), link_type: other.into() }),
    }
}

impl Slot {
    /// Takes a packet over, without the pseudo-header of its link type.
    fn fill(&mut self, link: DataLink, bytes: &[u8], original_length: u32, timestamp: Timestamp) {
        let (link_type, skip) = match link {
            DataLink::ETHERNET => (LinkType::Ethernet, 0),
            DataLink::NULL | DataLink::LOOP => (LinkType::Ip, 4),
            DataLink::LINUX_SLL => (LinkType::Ip, 16),
            DataLink::LINUX_SLL2 => (LinkType::Ip, 20),
            _ => (LinkType::Ip, 0),
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes.get(skip..).unwrap_or_default());
        self.original_length = original_length.saturating_sub(u32::try_from(skip).unwrap_or(0));
        self.timestamp = timestamp;
        self.link_type = link_type;
    }
}

/// The first four bytes, left in the reader; zeros where there are fewer.
fn peek<R: Read>(reader: &mut BufReader<R>) -> io::Result<[u8; 4]> {
    use std::io::BufRead as _;
    Ok(reader.fill_buf()?.first_chunk().copied().unwrap_or_default())
}

/// Adds the bytes that pass through to a counter.
struct Counted<R> {
    inner: R,
    progress: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A pcap file of one packet per payload, with the given link type.
    fn pcap(link: u32, payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        for field in [2_u16, 4] {
            file.extend_from_slice(&field.to_le_bytes());
        }
        for field in [0_u32, 0, 65_535, link] {
            file.extend_from_slice(&field.to_le_bytes());
        }
        for (second, payload) in (1_u32..).zip(payloads) {
            let length = u32::try_from(payload.len()).unwrap();
            for field in [second, 5, length, length + 10] {
                file.extend_from_slice(&field.to_le_bytes());
            }
            file.extend_from_slice(payload);
        }
        file
    }

    type Packet = (Vec<u8>, u32, Timestamp, LinkType);

    fn replay(bytes: &[u8]) -> Result<Vec<Packet>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let progress = Arc::new(AtomicU64::new(0));
        let mut source =
            ReplaySource::open(vec![file.path().to_owned()], Arc::clone(&progress), Arc::default())
                .map_err(|error| error.to_string())?;
        let mut frames = Vec::new();
        loop {
            match source.receive().map_err(|error| error.to_string())? {
                Received::Frames(count) => {
                    for index in 0..count {
                        let frame = source.frame(index);
                        frames.push((
                            frame.data.to_vec(),
                            frame.original_length,
                            frame.timestamp,
                            frame.link_type,
                        ));
                    }
                    source.release();
                }
                Received::Idle => {}
                Received::End => break,
            }
        }
        assert_eq!(progress.load(Ordering::Relaxed), bytes.len() as u64);
        Ok(frames)
    }

    #[test]
    fn reads_pcap_plain_and_compressed() {
        let plain = pcap(1, &[b"first", b"second packet"]);
        let expected = vec![
            (b"first".to_vec(), 15, Timestamp(1_000_000_005), LinkType::Ethernet),
            (b"second packet".to_vec(), 23, Timestamp(2_000_000_005), LinkType::Ethernet),
        ];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = zstd::encode_all(&plain[..], 1).unwrap();
        for file in [plain, gzip.finish().unwrap(), zstd] {
            assert_eq!(replay(&file).unwrap(), expected);
        }
    }

    #[test]
    fn takes_pseudo_headers_off() {
        for (link, header, link_type) in [
            (1, 0, LinkType::Ethernet),
            (101, 0, LinkType::Ip),
            (228, 0, LinkType::Ip),
            (229, 0, LinkType::Ip),
            (0, 4, LinkType::Ip),
            (108, 4, LinkType::Ip),
            (113, 16, LinkType::Ip),
            (276, 20, LinkType::Ip),
        ] {
            let mut payload = vec![0xff; header];
            payload.extend_from_slice(b"packet");
            let frames = replay(&pcap(link, &[&payload])).unwrap();
            assert_eq!(
                frames,
                [(b"packet".to_vec(), 16, Timestamp(1_000_000_005), link_type)],
                "link type {link}"
            );
        }
    }

    #[test]
    fn more_packets_than_a_batch() {
        let payloads = vec![&b"packet"[..]; BATCH * 2 + 3];
        assert_eq!(replay(&pcap(1, &payloads)).unwrap().len(), payloads.len());
    }

    #[test]
    fn names_what_is_wrong() {
        let wlan = replay(&pcap(105, &[b"x"])).unwrap_err();
        assert!(wlan.contains("link type 105") && wlan.contains("editcap"), "{wlan}");
        let text = replay(b"not a capture, but a text of some length").unwrap_err();
        assert!(text.contains("neither pcap nor pcapng"), "{text}");
        let empty = replay(b"").unwrap_err();
        assert!(empty.contains("neither pcap nor pcapng"), "{empty}");
        let mut short = pcap(1, &[b"first", b"second"]);
        short.truncate(short.len() - 2);
        let short = replay(&short).unwrap_err();
        assert!(short.contains("behind packet 1: ") && short.contains("unexpected end of file"), "{short}");
        let compressed = zstd::encode_all(&pcap(1, &[b"first"])[..], 1).unwrap();
        let cut = replay(&compressed[..compressed.len() / 2]).unwrap_err();
        assert!(cut.contains("behind packet 0: ") && cut.contains("incomplete frame"), "{cut}");
        let missing =
            ReplaySource::open(vec![PathBuf::from("/no/such.pcap")], Arc::default(), Arc::default());
        assert!(missing.err().unwrap().to_string().starts_with("cannot open /no/such.pcap"));
    }

    #[test]
    fn packets_before_the_damage_are_handed_out() {
        let mut bytes = pcap(1, &[b"first", b"second"]);
        bytes.truncate(bytes.len() - 2);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let mut source =
            ReplaySource::open(vec![file.path().to_owned()], Arc::default(), Arc::default()).unwrap();
        assert_eq!(source.receive().unwrap(), Received::Frames(1));
        assert_eq!(source.frame(0).data, b"first");
        source.release();
        assert!(source.receive().is_err());
    }
}

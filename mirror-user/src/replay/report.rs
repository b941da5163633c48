//! Reports of capture files: packets, those that cannot be read, and files that are damaged or none.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::decompress::CompressionFault;
use super::input::is_stdin;
use super::link;
use super::step::{FaultKind, Unread};
use super::window::StopReason;
use crate::DropReason;
use crate::error::chain;

/// Findings in all files.
#[derive(Debug, Default)]
pub struct Report {
    /// Findings in each file, in the order in which they were read.
    pub files: Vec<FileReport>,
}

/// Findings in one file.
#[derive(Debug)]
pub struct FileReport {
    /// The file; `-` for standard input.
    pub path: PathBuf,
    /// Packets that were read.
    pub packets: u64,
    /// Packets that were read and have no time of their own: their records have the beginning of 1970.
    pub timeless: u64,
    /// Bytes of the file that could not be read, as they lie on disk, where that is known.
    pub unread_bytes: u64,
    /// Link types of the packets at the end of the file.
    pub link_types: Vec<u32>,
    /// Packets that were not read, by link type.
    other_links: BTreeMap<u32, u64>,
    /// Packets of interfaces that are not described.
    no_interface: u64,
    /// Packets that are longer than their block, or than a packet can be.
    too_long: u64,
    /// Packets that the file ends within.
    cut_off: u64,
    /// Problem for which the rest of the file, or all of it, was not read.
    pub(super) problem: Option<Problem>,
}

/// Problem for which the rest of a file, or all of it, cannot be read.
#[derive(Debug)]
pub(super) enum Problem {
    Open(io::Error),
    Empty {
        is_compressed: bool,
    },
    /// It is compressed by another program than those whose formats are read.
    OtherCompression {
        command: &'static str,
    },
    /// It is no capture.
    Format {
        magic: Vec<u8>,
        is_compressed: bool,
    },
    /// A directory without a capture.
    NoCaptures,
    Damaged {
        kind: FaultKind,
        /// Offset of the faulty packet or block.
        offset: u64,
        /// Offset of the end of the bytes read of it.
        end: u64,
        packets: u64,
        is_compressed: bool,
    },
    Compression {
        fault: CompressionFault,
        offset: u64,
        packets: u64,
    },
    Io {
        detail: String,
        packets: u64,
    },
}

impl Problem {
    pub(super) fn stopped(stopped: &StopReason, packets: u64) -> Self {
        match stopped {
            StopReason::Compression(fault, offset) => {
                Self::Compression { fault: fault.clone(), offset: *offset, packets }
            }
            StopReason::Io(error) => Self::Io { detail: chain(error).to_string(), packets },
        }
    }

    /// The problem of the file called `name`, and the remedy.
    fn text(&self, name: &str) -> String {
        let position = |is_compressed: bool| if is_compressed { " after decompression" } else { "" };
        match self {
            Self::Open(error) => format!("cannot open {name}: {}", chain(error)),
            Self::Empty { is_compressed: true } => {
                format!("{name} is empty: there is nothing in the compressed data")
            }
            Self::Empty { is_compressed: false } => {
                format!("{name} is empty: it has 0 bytes, not even the header of a capture file")
            }
            Self::OtherCompression { command } => format!(
                "{name} is compressed in a way that replay does not read (gzip and zstd it does): \
                 `{command} FILE | mirror-capture replay -`"
            ),
            Self::Format { magic, is_compressed } => {
                let magic: Vec<_> = magic.iter().map(|byte| format!("{byte:02x}")).collect();
                format!(
                    "{name} is neither pcap nor pcapng: it begins with the bytes {}{}; `editcap FILE NEW.pcapng` \
                     converts other formats of captures",
                    magic.join(" "),
                    position(*is_compressed)
                )
            }
            Self::NoCaptures => format!("{name} has no capture files in it; subdirectories are not searched"),
            Self::Damaged { kind: FaultKind::CutOff, offset, end, packets, is_compressed, .. } => format!(
                "{name} is cut off: it ends at byte {end}, within the packet or block that begins at byte {offset}{}; {}. \
                 Copy it again, or let the capture end first",
                position(*is_compressed),
                were_read(*packets)
            ),
            Self::Damaged { kind, offset, packets, is_compressed, .. } => format!(
                "{name} is damaged at byte {offset}{}: {kind}; {}. Copy it again, or repair it (`pcapfix`)",
                position(*is_compressed),
                were_read(*packets),
            ),
            Self::Compression { fault, offset, packets } => format!(
                "{name} cannot be decompressed beyond byte {offset} of the file: {fault}; {}. Copy it again; `gzip -t` and \
                 `zstd -t` test a file",
                were_read(*packets)
            ),
            Self::Io { detail, packets } => {
                format!("{name} cannot be read on: {detail}; {}", were_read(*packets))
            }
        }
    }
}

fn were_read(packets: u64) -> String {
    match packets {
        0 => "no packet was read before that".to_owned(),
        1 => "the packet before that was read".to_owned(),
        _ => format!("the {packets} packets before that were read"),
    }
}

/// A number of packets, with the verb that follows.
fn packets(number: u64, one: &str, more: &str) -> String {
    if number == 1 { format!("1 packet {one}") } else { format!("{number} packets {more}") }
}

impl FileReport {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            packets: 0,
            timeless: 0,
            unread_bytes: 0,
            link_types: Vec::new(),
            other_links: BTreeMap::new(),
            no_interface: 0,
            too_long: 0,
            cut_off: 0,
            problem: None,
        }
    }

    pub(super) fn with(path: PathBuf, problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::new(path) }
    }

    pub(super) fn count(&mut self, unread: Unread) {
        match unread {
            Unread::LinkType(number) => *self.other_links.entry(number).or_default() += 1,
            Unread::Interface => self.no_interface += 1,
            Unread::Length => self.too_long += 1,
            Unread::CutOff => self.cut_off += 1,
        }
    }

    /// Packets of the file that were not read, by reason.
    fn unread(&self) -> [(DropReason, u64); 4] {
        [
            (DropReason::FileLinkType, self.other_links.values().sum()),
            (DropReason::FileInterface, self.no_interface),
            (DropReason::FileLength, self.too_long),
            (DropReason::FileCutOff, self.cut_off),
        ]
    }

    /// The problems for which not all of the file was read, one message each, with its remedy.
    pub fn problems(&self) -> Vec<String> {
        let name = name(&self.path);
        let mut problems: Vec<String> = self.problem.iter().map(|problem| problem.text(&name)).collect();
        for (&number, &count) in &self.other_links {
            problems.push(format!(
                "{name}: {} of link type {}, not read: Ethernet, raw IP, BSD loopback and Linux cooked captures can be \
                 replayed; capture on the interface where the tunnel packets arrive",
                packets(count, "is", "are"),
                link_name(number)
            ));
        }
        if self.no_interface > 0 {
            problems.push(format!(
                "{name}: {} to an interface that the file does not describe, not read: it may be a part of another file; \
                 copy that from its beginning",
                packets(self.no_interface, "belongs", "belong")
            ));
        }
        // The one at which the file could not be read on is part of its problem.
        let is_reported = matches!(
            self.problem,
            Some(Problem::Damaged { kind: FaultKind::PacketLength(_) | FaultKind::BlockLength(_), .. })
        );
        let too_long = self.too_long - u64::from(is_reported).min(self.too_long);
        if too_long > 0 {
            problems.push(format!(
                "{name}: {} longer than the block around it, not read: the file is damaged; copy it again",
                packets(too_long, "is", "are")
            ));
        }
        problems
    }

    /// Notes on the file for its user.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let name = name(&self.path);
        let unread: u64 = self.unread().iter().map(|(_, packets)| packets).sum();
        if self.problem.is_none() && self.packets + unread == 0 {
            notes.push(format!("{name} has the header of a capture file, and no packets"));
        }
        if self.timeless > 0 {
            notes.push(format!(
                "{name}: {} no time in the file (Simple Packet Block); the records say 1970-01-01",
                packets(self.timeless, "has", "have")
            ));
        }
        notes
    }
}

impl Report {
    /// Packets that were found, read or not.
    pub fn found(&self) -> u64 {
        self.files.iter().map(|file| file.packets).sum::<u64>()
            + self.unread().iter().map(|(_, packets)| packets).sum::<u64>()
    }

    /// Packets that were not read, by reason.
    pub fn unread(&self) -> [(DropReason, u64); 4] {
        self.files.iter().map(FileReport::unread).fold(
            FileReport::new(PathBuf::new()).unread(),
            |sums, file| {
                let mut sums = sums;
                for (sum, (_, packets)) in sums.iter_mut().zip(file) {
                    sum.1 += packets;
                }
                sums
            },
        )
    }

    /// The problems of all files, one message each; [`None`] where there are none.
    pub fn error(&self) -> Option<ReplayError> {
        let problems: Vec<String> = self.files.iter().flat_map(FileReport::problems).collect();
        (!problems.is_empty()).then_some(ReplayError { problems })
    }
}

/// Capture files that cannot be read, or not in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\nerror: "))]
pub struct ReplayError {
    /// A message for each problem: file, place, reason and remedy.
    pub problems: Vec<String>,
}

/// Name of a file for messages.
pub(super) fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// Number and name of a link type.
pub(super) fn link_name(number: u32) -> String {
    match link::name(number) {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    }
}

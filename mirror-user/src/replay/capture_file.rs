//! One capture file that is being read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::decompress::other_command;
use super::input::Input;
use super::report::{FileReport, Problem};
use super::slot::Slot;
use super::step::Step;
use super::window::{Available, Window};
use super::{pcap, pcapng};

/// One capture file that is being read.
pub(super) struct CaptureFile {
    window: Window,
    format: FileFormat,
    report: FileReport,
}

/// The format of a file.
enum FileFormat {
    /// Not enough of the file has been read.
    Unknown,
    Pcap(pcap::Reader),
    PcapNg(Box<pcapng::Reader>),
}

/// Outcome of reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOn {
    /// There is another packet in the slot.
    Packet,
    /// Nothing for now.
    Wait,
    /// The file has no more packets that could be read.
    End,
}

impl CaptureFile {
    /// Opens a file. The number of bytes that are read is added to `progress`.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn open(path: PathBuf, progress: Arc<AtomicU64>) -> Result<Self, Box<FileReport>> {
        let mut report = FileReport::new(path);
        match Input::open(&report.path, progress) {
            Ok(input) => Ok(Self { window: Window::new(input), format: FileFormat::Unknown, report }),
            Err(error) => {
                report.problem = Some(Problem::Open(error));
                Err(Box::new(report))
            }
        }
    }

    /// `true` if packets come as they are captured, not from a file.
    pub(super) const fn is_stream(&self) -> bool {
        self.window.is_stream()
    }

    /// Detects the format. Waits for at most `wait`, and answers [`ReadOn::Packet`] where the format is known.
    pub(super) fn detect(&mut self, wait: Duration) -> ReadOn {
        if !matches!(self.format, FileFormat::Unknown) {
            return ReadOn::Packet;
        }
        let magic = match self.window.fill(4, wait) {
            Available::Wait => return ReadOn::Wait,
            Available::Enough => self.window.first().copied(),
            Available::Ended => None,
        };
        match magic {
            Some(magic) if pcapng::is_magic(magic) => self.format = FileFormat::PcapNg(Box::default()),
            Some(magic) if pcap::is_magic(magic) => self.format = FileFormat::Pcap(pcap::Reader::default()),
            _ => {
                self.report.problem = Some(self.problem_of_format());
                return ReadOn::End;
            }
        }
        ReadOn::Packet
    }

    /// Problem for which a file is no capture that can be read.
    fn problem_of_format(&mut self) -> Problem {
        let is_compressed = self.window.is_compressed();
        let begins = self.window.bytes();
        if let Some(stopped) = self.window.stop_reason() {
            return Problem::stopped(stopped, 0);
        }
        if begins.is_empty() {
            return Problem::Empty { is_compressed };
        }
        let magic: Vec<u8> = begins.iter().copied().take(4).collect();
        match other_command(&magic) {
            Some(command) => Problem::OtherCompression { command },
            None => Problem::Format { magic, is_compressed },
        }
    }

    /// Reads on. Packets that cannot be read are counted and skipped. Waits for at most `wait`.
    pub(super) fn next(&mut self, slot: &mut Slot, wait: Duration) -> ReadOn {
        match self.detect(wait) {
            ReadOn::Packet => {}
            other => return other,
        }
        let Self { window, format, report } = self;
        loop {
            let step = match format {
                FileFormat::Unknown => return ReadOn::Wait,
                FileFormat::Pcap(reader) => reader.next(window, slot, wait),
                FileFormat::PcapNg(reader) => reader.next(window, slot, wait),
            };
            match step {
                Step::Packet => {
                    report.packets += 1;
                    return ReadOn::Packet;
                }
                Step::Unread(unread) => report.count(unread),
                Step::Wait => return ReadOn::Wait,
                Step::End => {
                    // The data may stop between two packets as well.
                    report.problem =
                        window.stop_reason().map(|stopped| Problem::stopped(stopped, report.packets));
                    return ReadOn::End;
                }
                Step::Fault(fault) => {
                    if let Some(unread) = fault.packet {
                        report.count(unread);
                    }
                    report.problem = Some(match window.stop_reason() {
                        Some(stopped) => Problem::stopped(stopped, report.packets),
                        None => Problem::Damaged {
                            kind: fault.kind,
                            offset: fault.offset,
                            end: window.offset() + window.bytes().len() as u64,
                            packets: report.packets,
                            is_compressed: window.is_compressed(),
                        },
                    });
                    return ReadOn::End;
                }
            }
        }
    }

    /// Ends reading, and returns the report.
    pub(super) fn finish(self) -> FileReport {
        let Self { mut report, format, window } = self;
        if report.problem.is_some() {
            report.unread_bytes = window.unread().unwrap_or(0);
        }
        match format {
            FileFormat::Unknown => {}
            FileFormat::Pcap(reader) => report.link_types.extend(reader.link_type()),
            FileFormat::PcapNg(reader) => {
                report.timeless = reader.timeless();
                report.link_types.extend(reader.link_types().take(8));
                report.link_types.dedup();
            }
        }
        report
    }
}

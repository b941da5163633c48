//! Capture files as a [`FrameSource`]: the same pipeline, without a NIC and without privileges.
//!
//! In the order of the data:
//!
//! 1. `arguments`: from the arguments of a command to files; a directory stands for the captures in it.
//! 2. `input`: the bytes of a file, of a pipe or of standard input.
//! 3. `decompress`: gzip and zstd; `window`: the decompressed bytes, in memory of fixed size.
//! 4. `pcap` and `pcapng`: the packets in them, one format each; `step` has the outcomes of reading on. `link`: the bytes in
//!    front of Ethernet or IP.
//! 5. `capture_file`: one file, from its first byte to its last; `report`: its packets, and the ones that could not be read.
//!
//! Reading is tolerant: side information never decides over packets. Packets that cannot be read are counted; a file that
//! cannot be read on is named with position, reason and remedy, and the files behind it are read.
//!
//! A pipe is a live source: its packets are handed out as they come, and `stream_clock` has the time between them. `survey`
//! describes packets that belong to no tunnel.

mod arguments;
mod capture_file;
mod decompress;
mod input;
mod link;
mod order;
mod pcap;
mod pcapng;
mod report;
mod slot;
mod step;
mod stream_clock;
mod survey;
mod window;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub use self::arguments::CaptureFiles;
pub use self::report::{FileReport, ReplayError, Report};
pub use self::survey::Survey;

use self::capture_file::{CaptureFile, ReadOn};
use self::slot::Slot;
use self::stream_clock::StreamClock;
use crate::batch::BATCH_FRAMES;
use crate::source::{Frame, FrameSource, Received};
use crate::time::Timestamp;

/// Longest wait of a call for packets of a stream, and so of a request to stop.
const WAIT: Duration = Duration::from_millis(20);

/// Capture files, one after the other, as one stream of frames.
pub struct ReplaySource {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<CaptureFile>,
    report: Report,
    progress: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    slots: Vec<Slot>,
    /// Number of `slots` that hold a frame of the current batch.
    held: usize,
    /// The last call found nothing.
    idle: bool,
    clock: StreamClock,
    survey: Survey,
}

impl ReplaySource {
    /// Opens the first of `files` that is a capture, to fail early; `-` is standard input. Does not wait for the
    /// first bytes of a pipe. The number of bytes read so far, as they lie on disk, is added to `progress`. The stream ends where
    /// `stop` becomes true.
    ///
    /// # Errors
    ///
    /// When none of the files is a capture.
    pub fn open(
        files: impl Into<CaptureFiles>,
        progress: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ReplayError> {
        let CaptureFiles { paths, problems, .. } = files.into();
        let mut source = Self {
            files: paths.into_iter(),
            current: None,
            report: Report { files: problems },
            progress,
            stop,
            slots: (0..BATCH_FRAMES).map(|_| Slot::default()).collect(),
            held: 0,
            idle: false,
            clock: StreamClock::default(),
            survey: Survey::default(),
        };
        while source.open_next() {
            if source.is_capture() {
                return Ok(source);
            }
            source.close();
        }
        Err(source.report.error().unwrap_or(ReplayError { problems: vec!["there are no files".to_owned()] }))
    }

    /// The report of the files so far; of all files once the source has ended.
    pub fn into_report(mut self) -> (Report, Survey) {
        self.close();
        (self.report, self.survey)
    }

    /// Opens the next file that can be opened; `true` if there is one.
    fn open_next(&mut self) -> bool {
        for path in self.files.by_ref() {
            match CaptureFile::open(path, Arc::clone(&self.progress)) {
                Ok(capture) => {
                    self.current = Some(capture);
                    return true;
                }
                Err(report) => self.report.files.push(*report),
            }
        }
        false
    }

    /// Closes the current file, and keeps its report.
    fn close(&mut self) {
        if let Some(capture) = self.current.take() {
            self.report.files.push(capture.finish());
        }
    }

    /// `true` if the current file is a capture, as far as can be told without waiting.
    fn is_capture(&mut self) -> bool {
        let Some(capture) = &mut self.current else { return false };
        loop {
            match capture.detect(Duration::ZERO) {
                ReadOn::Packet => return true,
                ReadOn::Wait if capture.is_stream() => return true,
                ReadOn::Wait => {}
                ReadOn::End => return false,
            }
        }
    }

    /// Reads packets into the slots until these are full, or nothing comes; `true` if more may come.
    fn fill(&mut self) -> bool {
        let wait = if self.idle { WAIT } else { Duration::ZERO };
        while let Some(slot) = self.slots.get_mut(self.held) {
            let Some(capture) = &mut self.current else { return false };
            let wait = if self.held == 0 { wait } else { Duration::ZERO };
            match capture.next(slot, wait) {
                ReadOn::Packet => {
                    self.held += 1;
                    self.survey.add(&slot.frame());
                }
                ReadOn::Wait => return true,
                ReadOn::End => {
                    self.close();
                    self.open_next();
                }
            }
        }
        true
    }

    fn is_stream(&self) -> bool {
        self.current.as_ref().is_some_and(CaptureFile::is_stream)
    }
}

impl FrameSource for ReplaySource {
    fn receive(&mut self) -> io::Result<Received> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(Received::End);
        }
        let may_come = self.fill();
        self.idle = self.held == 0;
        match (self.held, may_come) {
            (0, false) => Ok(Received::End),
            (0, true) => Ok(Received::Idle),
            (frames, _) => {
                if let Some(last) = self.slots.get(frames - 1).filter(|_| self.is_stream()) {
                    self.clock.observe(last.timestamp);
                }
                Ok(Received::Frames(frames))
            }
        }
    }

    fn now(&self) -> Option<Timestamp> {
        if self.is_stream() { self.clock.now() } else { None }
    }

    fn idle_limit(&self) -> u32 {
        // The source has waited for an empty pipe already. A file is never empty before its end.
        if self.is_stream() { 1 } else { u32::MAX }
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        self.slots[index].frame()
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        let slot = self.slots.get(index).and_then(|slot| slot.bytes.get(from..));
        bytes.extend_from_slice(slot.unwrap_or_default());
    }

    fn release(&mut self) {
        self.held = 0;
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

//! The same frames in a capture file, with timestamps that depend on nothing but the rate.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mirror_traffic::Position;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapTsResolution, PcapWriteError, PcapWriter};
use thiserror::Error;

use super::report::Report;
use crate::traffic::Traffic;

/// A failure to write a capture file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It could not be created.
    #[error("cannot create {path}")]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It could not be written to.
    #[error("cannot write to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The writer's answer.
        source: PcapWriteError,
    },
}

/// The times of a file's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time of the first packet since 1970-01-01 00:00:00 UTC.
    pub start: Duration,
    /// Packets per second: 1 to 10^9.
    pub rate: u64,
}

impl Schedule {
    /// Time of packet `number` after the first.
    fn after(&self, number: u64) -> Duration {
        let (seconds, rest) = (number / self.rate, number % self.rate);
        Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / self.rate)
    }
}

/// Writes the first `packets` packets of `traffic` to a capture file (pcap with nanoseconds) at `path`, or fewer if
/// `stop` is set.
///
/// # Errors
///
/// When the file cannot be created or written.
pub fn write(
    traffic: &Traffic,
    path: &Path,
    packets: u64,
    schedule: Schedule,
    stop: &AtomicBool,
) -> Result<Report, FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let file = File::create(path).map_err(|source| FileError::Create { path: path.to_owned(), source })?;
    let header = PcapHeader { ts_resolution: PcapTsResolution::NanoSecond, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(failed)?;
    let mut by_kind: Vec<_> = traffic.kinds().map(|kind| (kind, 0)).collect();
    let mut buffer = traffic.buffer();
    let mut position = Position::new(0, traffic.mix().flows);
    let mut bytes = 0;
    while position.number < packets && !stop.load(Ordering::Relaxed) {
        let frame = traffic.frame(&position, &mut buffer);
        let time = schedule.start + schedule.after(position.number);
        let length = frame.bytes.len().try_into().unwrap_or(u32::MAX);
        let packet = PcapPacket::new(time, length, frame.bytes).map_err(|error| failed(error.into()))?;
        writer.write_packet(&packet).map_err(failed)?;
        by_kind[frame.kind].1 += 1;
        bytes += u64::from(length);
        position.advance(traffic.mix().flows);
    }
    writer.flush().map_err(failed)?;
    let seconds = schedule.after(position.number.saturating_sub(1)).as_secs_f64();
    Ok(Report::new("file", traffic, position.number, bytes, seconds, by_kind))
}

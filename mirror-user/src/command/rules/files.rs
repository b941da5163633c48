//! The lines of NDJSON files, also compressed with gzip or zstd; and of the records that a replay makes of capture files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use super::RulesError;
use super::record::Line;
use crate::config::Config;
use crate::pipeline::{Outputs, Pipeline, PipelineError};
use crate::replay::{CaptureFiles, ReplaySource};
use crate::rules::RecordKind;
use crate::shutdown::Shutdown;
use crate::sink::{Format, Output, PartialWrite, SinkConfig, SinkError, Unfinished};
use crate::time::Timestamp;

/// Longest line that is kept; records of other programs may be longer than this one's.
const MAX_LINE: usize = 1 << 20;
/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// A file that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    source: io::Error,
}

/// Hands every line of `files` to `each`: of NDJSON files as they are, of capture files the flow records. `-` is standard input,
/// which is NDJSON.
///
/// # Errors
///
/// When a file cannot be read.
pub(super) fn read(
    files: &[PathBuf],
    config: &Config,
    shutdown: &Shutdown,
    mut each: impl FnMut(Line<'_>) + Send,
) -> Result<(), RulesError> {
    for path in files {
        let error = |source| FileError { path: path.clone(), source };
        let mut reader = open(path).map_err(error)?;
        let is_stdin = path.as_os_str() == "-";
        // A file that is cut off so early is no capture that a replay would read either.
        let is_ndjson = is_stdin || begins_with_object(&mut reader).map_err(error)?;
        if is_ndjson {
            let mut lines = Lines::default();
            read_lines(&mut reader, &mut lines, &mut each).map_err(error)?;
            lines.end(&mut each);
        } else {
            replay(path, config, shutdown, &mut each)?;
        }
    }
    Ok(())
}

/// Opens a file, and decompresses it as its first bytes say.
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let raw: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut reader = BufReader::with_capacity(CHUNK, raw);
    let first = reader.fill_buf()?;
    Ok(if first.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(reader)))
    } else if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(BufReader::with_capacity(CHUNK, zstd::Decoder::with_buffer(reader)?))
    } else {
        Box::new(reader)
    })
}

/// `true` if the file begins with a JSON object, or is empty.
fn begins_with_object(reader: &mut impl BufRead) -> io::Result<bool> {
    Ok(matches!(reader.fill_buf()?.trim_ascii_start(), [b'{', ..] | []))
}

fn read_lines(
    reader: &mut impl BufRead,
    lines: &mut Lines,
    each: &mut impl FnMut(Line<'_>),
) -> io::Result<()> {
    loop {
        let bytes = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines.push(bytes, each);
        let length = bytes.len();
        reader.consume(length);
    }
}

/// Cuts bytes that come in pieces into lines, in bounded memory.
#[derive(Default)]
struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    fn push(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.begun.is_empty() && !self.is_too_long && line.len() <= MAX_LINE {
                each(Line::Whole(line));
            } else {
                self.keep(line);
                self.end(each);
            }
            bytes = rest;
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.begun.len() + bytes.len() > MAX_LINE;
        if self.is_too_long {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    /// Ends the line that has begun, if one has.
    fn end(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if self.is_too_long {
            each(Line::TooLong);
        } else if !self.begun.is_empty() {
            each(Line::Whole(&self.begun));
        }
        self.begun.clear();
        self.is_too_long = false;
    }
}

/// Hands the flow records of a capture file to `each`, as the replay pipeline makes them.
fn replay(
    path: &Path,
    config: &Config,
    shutdown: &Shutdown,
    each: &mut (impl FnMut(Line<'_>) + Send),
) -> Result<(), RulesError> {
    let mut config = config.clone();
    config.output.records = Some(vec![RecordKind::Flow]);
    config.sink = vec![SinkConfig { format: Format::Ndjson, ..SinkConfig::default() }];
    let files = CaptureFiles::find(vec![path.to_owned()]);
    let source = ReplaySource::open(files, Arc::new(AtomicU64::new(0)), shutdown.flag())
        .map_err(PipelineError::Replay)?;
    let (batches, received) = mpsc::sync_channel(BATCHES);
    let report = Arc::new(Mutex::new(None));
    let give_back = {
        let report = Arc::clone(&report);
        move |source: ReplaySource| {
            *report.lock().unwrap_or_else(PoisonError::into_inner) = source.into_report().0.error();
        }
    };
    let outputs = Outputs::Given(vec![Box::new(Collector { batches })]);
    let mut pipeline = Pipeline::read(&config, shutdown, source, outputs, give_back)?;
    // The records are taken here until the pipeline, which has its own threads, has come to its end and dropped the output.
    let mut ended = thread::scope(|scope| {
        let taking = scope.spawn(move || {
            let mut lines = Lines::default();
            for batch in received {
                lines.push(&batch, each);
            }
            lines.end(each);
        });
        let mut failure = None;
        loop {
            match pipeline.watch() {
                Ok(true) => thread::sleep(WATCH),
                Ok(false) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let ended = pipeline.stop();
        // It has reported its panic itself.
        let _ = taking.join();
        failure
            .into_iter()
            .chain(ended.failures)
            .chain(ended.unwritten.into_iter().map(PipelineError::Sink))
            .collect::<Vec<_>>()
    });
    let unread = report.lock().unwrap_or_else(PoisonError::into_inner).take();
    ended.extend(unread.map(PipelineError::Replay));
    ended.into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

/// Batches of records on their way to be read.
const BATCHES: usize = 4;
/// Interval between looks at the pipeline.
const WATCH: Duration = Duration::from_millis(2);

/// Passes encoded records on.
struct Collector {
    batches: mpsc::SyncSender<Vec<u8>>,
}

impl Output for Collector {
    fn path(&self) -> &Path {
        Path::new("records")
    }

    fn is_single(&self) -> bool {
        true
    }

    fn is_file(&self) -> bool {
        false
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        Ok(false)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe).into();
        self.batches.send(bytes.to_owned()).map_err(gone)
    }

    fn is_due(&self, _now: Timestamp) -> bool {
        false
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        unfinished.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come() {
        let long = "x".repeat(MAX_LINE + 1);
        let text = format!("a\n\nbc\n{long}\n{}\nlast", &long[1..]);
        let whole: Vec<String> = text.lines().map(|line| line.chars().take(MAX_LINE + 1).collect()).collect();
        for piece in [1, 7, 4096, usize::MAX] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            let mut each = |line: Line<'_>| match line {
                Line::Whole(line) => found.push(Some(String::from_utf8(line.to_vec()).unwrap())),
                Line::TooLong => found.push(None),
            };
            for bytes in text.as_bytes().chunks(piece.min(text.len())) {
                lines.push(bytes, &mut each);
            }
            lines.end(&mut each);
            // An empty line that comes in pieces is no line.
            found.retain(|line| line.as_deref() != Some(""));
            let expected = whole.iter().filter(|line| !line.is_empty());
            let expected: Vec<_> =
                expected.map(|line| Some(line.clone()).filter(|line| line.len() <= MAX_LINE)).collect();
            assert!(found == expected, "pieces of {piece} bytes");
        }
    }
}

//! The records that the daemon wrote.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Records are shown from the start, and from there on in these steps.
const SHOWN_EVERY: u64 = 5_000;
/// So many at most.
const SHOWN: usize = 2;

/// The contents of the file of records.
pub struct Records {
    /// Number of lines.
    pub lines: u64,
    /// Number of packets that the records account for.
    pub packets: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

/// A record, as far as the demo reads it.
#[derive(Deserialize)]
struct Record {
    event: Event,
    #[serde(default)]
    network: Network,
}

#[derive(Deserialize)]
struct Event {
    dataset: String,
}

#[derive(Default, Deserialize)]
struct Network {
    packets: Option<u64>,
}

impl Record {
    /// Packets that the record accounts for.
    fn packets(&self) -> u64 {
        match self.event.dataset.as_str() {
            "mirror.flow" => self.network.packets.unwrap_or(0),
            _ => 1,
        }
    }
}

impl Records {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When the file is not there, cannot be read to its end, or has a line that is no record.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut records = Self { lines: 0, packets: 0, samples: Vec::new() };
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).with_context(|| path.display().to_string())? == 0 {
                return Ok(records);
            }
            let record: Record = serde_json::from_slice(&line)
                .with_context(|| format!("line {} of {} is no record", records.lines + 1, path.display()))?;
            if records.samples.len() < SHOWN && records.lines.is_multiple_of(SHOWN_EVERY) {
                records.samples.push(String::from_utf8_lossy(&line).into_owned());
            }
            records.lines += 1;
            records.packets += record.packets();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_their_packets_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.ndjson");
        let packet = "{\"event\":{\"dataset\":\"mirror.packet\"},\"network\":{\"bytes\":68}}\n";
        let flow = "{\"event\":{\"dataset\":\"mirror.flow\"},\"network\":{\"packets\":20}}\n";
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Records::read(&path)
        };
        for (text, lines, packets) in [
            (String::new(), 0, 0),
            (packet.repeat(3), 3, 3),
            (flow.repeat(2), 2, 40),
            (flow.to_owned() + packet, 2, 21),
        ] {
            let records = read(&text).unwrap();
            assert_eq!((records.lines, records.packets), (lines, packets), "{text:?}");
            assert_eq!(records.samples.len() as u64, lines.min(1));
        }
        let error = read(&format!("{flow}{{\"event\"")).err().unwrap().to_string();
        assert!(error.contains("line 2 of"), "{error}");
        assert_eq!(read(&packet.repeat(11_000)).unwrap().samples.len(), SHOWN);
    }
}

//! The amount of traffic that one or several records tell of.

use std::fmt::{self, Display, Formatter};

use crate::Time;
use crate::date::Date;

/// Records with their packets, bytes and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Packets in both directions.
    pub packets: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Time of the first packet.
    pub first: Time,
    /// Time of the last packet.
    pub last: Time,
}

impl Default for Amount {
    /// Nothing; [`Self::first`] is later than any time.
    fn default() -> Self {
        Self { records: 0, packets: 0, bytes: 0, first: Time(u64::MAX), last: Time(0) }
    }
}

impl Amount {
    /// Adds what another tells of.
    pub fn add(&mut self, other: &Self) {
        self.records = self.records.saturating_add(other.records);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Display for Amount {
    /// As `12 records, 340 packets, 51000 bytes, last seen 2026-11-28`.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { records, packets, bytes, last, .. } = self;
        write!(formatter, "{records} records, {packets} packets, {bytes} bytes")?;
        match Date::of(*last) {
            Some(date) if self.records > 0 => write!(formatter, ", last seen {date}"),
            _ => Ok(()),
        }
    }
}

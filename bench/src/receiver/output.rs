//! Outputs in memory: encoded records are discarded, or searched for their latency first.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hdrhistogram::{CreationError, Histogram};
use memchr::memmem::Finder;
use mirror_traffic::header::STAMP_SHIFT;
use mirror_user::sink::{Output, PartialWrite, SinkError, Unfinished};
use mirror_user::time::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Longest latency that the histogram resolves, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;
/// The text before the stamp in a record.
const KEY: &[u8] = br#""flow_cookie":""#;

/// Latencies from the moment for which a packet was meant to the moment when its record was encoded, in nanoseconds.
/// Clones share one histogram.
#[derive(Clone, Debug)]
pub struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Latencies {
    /// An empty histogram.
    ///
    /// # Errors
    ///
    /// When there is no memory for the histogram.
    pub fn new() -> Result<Self, CreationError> {
        Ok(Self(Arc::new(Mutex::new(Histogram::new_with_bounds(1, LONGEST, 3)?))))
    }

    /// Number of latencies so far.
    pub fn count(&self) -> u64 {
        self.lock().len()
    }

    /// Takes the latencies so far out.
    pub fn take(&self) -> Histogram<u64> {
        let mut histogram = self.lock();
        let taken = histogram.clone();
        histogram.reset();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the stamp of the packet in each record.
#[derive(Debug)]
struct Stamps {
    latencies: Latencies,
    finder: Finder<'static>,
}

impl Stamps {
    /// Records the latencies of the records in `bytes`, all of which were encoded at `now`, in nanoseconds of the monotonic clock.
    fn record(&self, bytes: &[u8], now: u64) {
        let mut histogram = self.latencies.lock();
        for place in self.finder.find_iter(bytes) {
            let start = place + KEY.len();
            if let Some(stamp) = bytes.get(start..start + 8).and_then(hexadecimal) {
                histogram.saturating_record(age(stamp, now));
            }
        }
    }
}

/// Nanoseconds since `stamp`. A stamp that is later than `now` by the rounding of its clock is 0 old.
fn age(stamp: u32, now: u64) -> u64 {
    let [_, _, _, _, now @ ..] = (now >> STAMP_SHIFT).to_be_bytes();
    let units = u32::from_be_bytes(now).wrapping_sub(stamp);
    u64::try_from(units.cast_signed()).unwrap_or(0) << STAMP_SHIFT
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The monotonic clock, which the stamps are read from.
fn monotonic() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    tv_sec.cast_unsigned() * 1_000_000_000 + tv_nsec.cast_unsigned()
}

/// An output that discards everything.
pub(crate) fn discarding() -> Box<dyn Output> {
    Box::new(Callback(|bytes: &[u8]| {
        std::hint::black_box(bytes);
    }))
}

/// An output that records the latency of each record, and discards it.
pub(super) fn timing(latencies: Latencies) -> Box<dyn Output> {
    let stamps = Stamps { latencies, finder: Finder::new(KEY) };
    Box::new(Callback(move |bytes: &[u8]| stamps.record(bytes, monotonic())))
}

/// An output that passes the bytes to a function.
struct Callback<Function>(Function);

impl<Function: FnMut(&[u8]) + Send> Output for Callback<Function> {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn is_single(&self) -> bool {
        true
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        Ok(false)
    }

    fn is_file(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        self.0(bytes);
        Ok(())
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
    fn ages_of_stamps() {
        for (stamp, now, expected) in [
            (100, 100 << STAMP_SHIFT, 0),
            (100, (101 << STAMP_SHIFT) + 17, 64),
            (101, 100 << STAMP_SHIFT, 0),
            (u32::MAX, (1 << 32) << STAMP_SHIFT, 64),
            (u32::MAX - 1, ((5 << 32) + 3) << STAMP_SHIFT, 5 * 64),
        ] {
            assert_eq!(age(stamp, now), expected, "{stamp} at {now}");
        }
    }

    #[test]
    fn records_are_found_in_what_the_sink_writes() {
        let latencies = Latencies::new().unwrap();
        let stamps = Stamps { latencies: latencies.clone(), finder: Finder::new(KEY) };
        let line = |stamp: u32| format!("{{\"mirror\":{{\"flow_cookie\":\"{stamp:08x}\",\"queue\":0}}}}\n");
        let bytes = format!("{}{}{{\"cut\":{{\"flow_cookie\":\"00", line(1000), line(900));
        stamps.record(bytes.as_bytes(), 1100 << STAMP_SHIFT);
        let histogram = latencies.take();
        assert_eq!(histogram.len(), 2);
        assert!(histogram.equivalent(histogram.min(), 100 << STAMP_SHIFT));
        assert!(histogram.equivalent(histogram.max(), 200 << STAMP_SHIFT));
        assert_eq!(latencies.take().len(), 0);
    }
}

//! A worker's busy time: the time stamp counter around batches that are not empty.

use std::io;
use std::sync::Arc;

use mirror_user::counters::Counter;
use mirror_user::pipeline::Observer;
use mirror_user::source::Received;

use super::throttle::Throttle;
use super::tsc::{ticks, ticks_per_nanosecond};

/// Time spent on batches that were not empty: from the query of the ring that found packets until the worker waits for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// Packets.
    pub packets: u64,
    /// Batches.
    pub batches: u64,
    /// Ticks of the time stamp counter.
    pub ticks: u64,
}

impl Busy {
    /// The difference to `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            batches: self.batches - earlier.batches,
            ticks: self.ticks - earlier.ticks,
        }
    }

    /// Nanoseconds per packet; none without packets.
    pub fn nanoseconds_per_packet(&self) -> Option<f64> {
        (self.packets != 0).then(|| self.ticks as f64 / ticks_per_nanosecond() / self.packets as f64)
    }

    /// Packets in a batch; none without batches.
    pub fn packets_per_batch(&self) -> Option<f64> {
        (self.batches != 0).then(|| self.packets as f64 / self.batches as f64)
    }
}

/// Counters of a [`WorkerMeter`], which any thread may read.
#[derive(Debug, Default)]
pub struct Meter {
    packets: Counter,
    batches: Counter,
    ticks: Counter,
}

impl Meter {
    /// Adds to the numbers. To be called by one thread only.
    #[inline]
    pub(crate) fn add(&self, busy: Busy) {
        self.packets.add(busy.packets);
        self.batches.add(busy.batches);
        self.ticks.add(busy.ticks);
    }

    /// The numbers so far.
    pub fn read(&self) -> Busy {
        Busy { packets: self.packets.get(), batches: self.batches.get(), ticks: self.ticks.get() }
    }
}

/// Meters a worker's time for each batch, and can slow the worker down.
pub struct WorkerMeter {
    meter: Arc<Meter>,
    throttle: Option<Throttle>,
    /// Tick at which the latest batch was asked for.
    asked: u64,
    /// Packets of the batch that is being worked on.
    batch: Option<usize>,
}

impl WorkerMeter {
    /// Counts in `meter`, and makes the worker `slowdown` times slower; the time that it is held up is not metered.
    pub fn new(meter: Arc<Meter>, slowdown: f64) -> Self {
        Self { meter, throttle: Throttle::new(slowdown), asked: 0, batch: None }
    }
}

impl Observer for WorkerMeter {
    fn before_pause(&mut self) {
        if let Some(packets) = self.batch.take() {
            let now = ticks();
            let ticks = now.wrapping_sub(self.asked);
            self.meter.add(Busy { packets: packets as u64, batches: 1, ticks });
            if let Some(throttle) = &self.throttle {
                throttle.wait(now, ticks);
            }
        }
    }

    fn before_receive(&mut self) {
        self.asked = ticks();
    }

    fn after_receive(&mut self, answer: &io::Result<Received>) {
        if let Ok(Received::Frames(count)) = answer {
            self.batch = Some(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    const NAP: Duration = Duration::from_millis(30);

    /// Drives a meter as a worker does whose source has batches of these sizes, 0 for none.
    fn work(batches: [usize; 4]) -> Busy {
        let meter = Arc::new(Meter::default());
        let mut worker = WorkerMeter::new(Arc::clone(&meter), 1.0);
        for count in batches {
            worker.before_pause();
            thread::sleep(NAP);
            worker.before_receive();
            if count == 0 {
                thread::sleep(NAP);
                worker.after_receive(&Ok(Received::Idle));
            } else {
                worker.after_receive(&Ok(Received::Frames(count)));
                thread::sleep(Duration::from_millis(5));
            }
        }
        meter.read()
    }

    #[test]
    fn only_batches_with_packets_count_and_no_wait() {
        let busy = work([3, 0, 5, 0]);
        assert_eq!((busy.packets, busy.batches), (8, 2));
        let milliseconds = busy.nanoseconds_per_packet().unwrap() * 8.0 / 1e6;
        assert!((10.0..30.0).contains(&milliseconds), "two naps of 5 ms, none of 30: {milliseconds}");
        assert_eq!(busy.packets_per_batch(), Some(4.0));
        assert_eq!(Busy::default().nanoseconds_per_packet(), None);
    }
}

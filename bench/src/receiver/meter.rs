//! A worker's busy time: the time stamp counter around batches that are not empty.

use std::io;
use std::sync::Arc;

use mirror_user::counters::Counter;
use mirror_user::source::{Backlog, Frame, FrameSource, Received};
use mirror_user::time::Timestamp;

use super::throttle::Throttle;
use super::tsc::{ticks, ticks_per_nanosecond};

/// Time spent on batches that were not empty: from the query of the ring that found packets to the next query.
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

/// Counters of a [`Metered`] source, which any thread may read.
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

/// A source that measures its user's time for each batch, and can slow the user down.
pub struct Metered<Source> {
    source: Source,
    meter: Arc<Meter>,
    throttle: Option<Throttle>,
    /// Packets of the batch that is being worked on, and when it was asked for.
    batch: Option<(usize, u64)>,
}

impl<Source> Metered<Source> {
    /// Meters `source`, and makes its user `slowdown` times slower; the time that it is held up is not metered.
    pub fn new(source: Source, meter: Arc<Meter>, slowdown: f64) -> Self {
        Self { source, meter, throttle: Throttle::new(slowdown), batch: None }
    }

    /// The source itself.
    pub fn into_inner(self) -> Source {
        self.source
    }
}

impl<Source: FrameSource> FrameSource for Metered<Source> {
    fn receive(&mut self) -> io::Result<Received> {
        let mut now = ticks();
        if let Some((packets, start)) = self.batch.take() {
            let ticks = now.wrapping_sub(start);
            self.meter.add(Busy { packets: packets as u64, batches: 1, ticks });
            if let Some(throttle) = &self.throttle {
                now = throttle.wait(now, ticks);
            }
        }
        let received = self.source.receive();
        if let Ok(Received::Frames(count)) = received {
            self.batch = Some((count, now));
        }
        received
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        self.source.frame(index)
    }

    fn idle_limit(&self) -> u32 {
        self.source.idle_limit()
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        self.source.append(index, from, bytes);
    }

    fn backlog(&mut self) -> Backlog {
        self.source.backlog()
    }

    fn release(&mut self) {
        self.source.release();
    }

    fn now(&self) -> Option<Timestamp> {
        self.source.now()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Hands out batches of these sizes, 0 for none.
    struct Scripted(std::vec::IntoIter<usize>);

    impl FrameSource for Scripted {
        fn receive(&mut self) -> io::Result<Received> {
            Ok(match self.0.next() {
                None => Received::End,
                Some(0) => {
                    thread::sleep(Duration::from_millis(30));
                    Received::Idle
                }
                Some(count) => Received::Frames(count),
            })
        }

        fn frame(&self, _index: usize) -> Frame<'_> {
            unreachable!("nobody asks")
        }

        fn append(&self, _index: usize, _from: usize, _bytes: &mut Vec<u8>) {}

        fn release(&mut self) {}

        fn now(&self) -> Option<Timestamp> {
            None
        }
    }

    #[test]
    fn only_batches_with_packets_count() {
        let meter = Arc::new(Meter::default());
        let mut source = Metered::new(Scripted(vec![3, 0, 5, 0].into_iter()), Arc::clone(&meter), 1.0);
        while source.receive().unwrap() != Received::End {
            if source.batch.is_some() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let busy = meter.read();
        assert_eq!((busy.packets, busy.batches), (8, 2));
        let milliseconds = busy.nanoseconds_per_packet().unwrap() * 8.0 / 1e6;
        assert!(
            (10.0..30.0).contains(&milliseconds),
            "two naps of 5 ms, none of the two of 30: {milliseconds}"
        );
        assert_eq!(busy.packets_per_batch(), Some(4.0));
        assert_eq!(Busy::default().nanoseconds_per_packet(), None);
    }
}

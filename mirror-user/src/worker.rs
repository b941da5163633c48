//! The loop of one worker: frames in, records out, every packet counted.

use std::io;
use std::sync::Arc;

use crate::counters::WorkerCounters;
use crate::decap::{DecapConfig, decapsulate};
use crate::record::AccountedBy;
use crate::sink::Producer;
use crate::source::{FrameSource, Received};

/// How often in a row a source must be found empty before a partly filled batch is handed over: a pause between
/// two bursts is no reason to send small batches.
const IDLE_BEFORE_FLUSH: u32 = 32;

/// What a worker does when its sink has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drops the packet and counts it: the receive ring must not wait.
    Drop,
    /// Waits: a capture file has time.
    Wait,
}

/// Takes frames from a source, finds the mirrored packets in them and hands records to a sink. It shares nothing
/// but its counters, and the batches that move between it and its sink.
pub struct Worker<Source> {
    /// Where frames come from.
    pub source: Source,
    /// How mirrored packets are found.
    pub decap: DecapConfig,
    /// The way to the sink.
    pub producer: Producer,
    /// What happens when that way is full.
    pub when_full: WhenFull,
    /// What is counted here.
    pub counters: Arc<WorkerCounters>,
}

impl<Source: FrameSource> Worker<Source> {
    /// Works until the source ends, or until it is empty and `stop` says so. What was received is recorded in any
    /// case; the source comes back, for its own counters to be read.
    pub fn run(mut self, stop: impl Fn() -> bool) -> (Source, io::Result<()>) {
        let mut idle: u32 = 0;
        let result = loop {
            match self.source.receive() {
                Ok(Received::Frames(count)) => {
                    idle = 0;
                    self.record(count);
                    self.source.release();
                }
                Ok(Received::Idle) => {
                    idle = idle.wrapping_add(1);
                    if idle.is_multiple_of(IDLE_BEFORE_FLUSH) {
                        self.producer.flush();
                    }
                    if stop() {
                        break Ok(());
                    }
                }
                Ok(Received::End) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (self.source, result)
    }

    /// Records the `count` frames of the current batch.
    fn record(&mut self, count: usize) {
        let Self { source, decap, producer, when_full, counters } = self;
        let (mut bytes, mut decapsulated) = (0, 0);
        for index in 0..count {
            let frame = source.frame(index);
            bytes += u64::from(frame.captured_length);
            let packet = match decapsulate(&frame, decap) {
                Ok(packet) => packet,
                Err(reason) => {
                    counters.drop_packet(reason);
                    continue;
                }
            };
            decapsulated += 1;
            let batch = match when_full {
                WhenFull::Drop => producer.batch(),
                WhenFull::Wait => producer.wait_for_batch(),
            };
            match batch {
                Ok(batch) => {
                    batch.push(
                        frame.timestamp,
                        counters.queue,
                        packet,
                        AccountedBy::Packet,
                        |from, bytes| {
                            source.append(index, from, bytes);
                        },
                    );
                }
                Err(reason) => counters.drop_packet(reason),
            }
        }
        counters.received.add(count as u64);
        counters.received_bytes.add(bytes);
        counters.decapsulated.add(decapsulated);
    }
}

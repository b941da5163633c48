//! The generator's traffic as a source, without a network: each batch is made when it is asked for, and the time for
//! that is nobody's.

use std::io;
use std::sync::Arc;

use mirror_testkit::traffic::Traffic;
use mirror_traffic::Position;
use mirror_user::batch::BATCH_FRAMES;
use mirror_user::source::{Frame, FrameSource, LinkType, Received};
use mirror_user::time::Timestamp;

use crate::receiver::meter::{Busy, Meter};
use crate::receiver::tsc::ticks;

/// Arrival of the first packet: 2026-01-01 00:00:00 UTC, in nanoseconds.
const START: u64 = 1_767_225_600_000_000_000;
/// Time from packet to packet, in nanoseconds: five million packets per second.
const INTERVAL: u64 = 200;

/// The traffic as a source.
pub struct Synthetic {
    traffic: Traffic,
    position: Position,
    packets: u64,
    /// Packets whose time is not counted.
    warm_up: u64,
    buffers: Vec<Vec<u8>>,
    /// Bytes of each frame of the batch.
    lengths: [usize; BATCH_FRAMES],
    count: usize,
    /// Tick at which the batch was handed out.
    handed_out: u64,
    meter: Arc<Meter>,
}

impl Synthetic {
    /// The first `packets` packets of `traffic`. The time that their user takes is counted in `meter`, except for the
    /// first `warm_up` of them.
    pub fn new(traffic: &Traffic, warm_up: u64, packets: u64, meter: Arc<Meter>) -> Self {
        Self {
            position: Position::new(0, traffic.mix().flows),
            packets,
            warm_up,
            buffers: (0..BATCH_FRAMES).map(|_| traffic.buffer()).collect(),
            lengths: [0; BATCH_FRAMES],
            count: 0,
            handed_out: 0,
            meter,
            traffic: traffic.clone(),
        }
    }

    /// Makes the next batch; returns how many frames it has. A function of its own so that callgrind can leave it out.
    #[inline(never)]
    pub(super) fn make_batch(&mut self) -> usize {
        let Self { traffic, position, packets, buffers, lengths, .. } = self;
        let mut count = 0;
        for (buffer, length) in buffers.iter_mut().zip(lengths) {
            if position.number >= *packets {
                break;
            }
            *length = traffic.frame(position, buffer).bytes.len();
            position.advance(traffic.mix().flows);
            count += 1;
        }
        self.count = count;
        count
    }

    /// Number of packets that were handed out before those of the batch.
    pub(super) fn handed_out(&self) -> u64 {
        self.position.number - self.count as u64
    }
}

impl FrameSource for Synthetic {
    fn receive(&mut self) -> io::Result<Received> {
        let now = ticks();
        if self.count != 0 && self.handed_out() >= self.warm_up {
            let ticks = now.wrapping_sub(self.handed_out);
            self.meter.add(Busy { packets: self.count as u64, batches: 1, ticks });
        }
        let received = match self.make_batch() {
            0 => Received::End,
            count => Received::Frames(count),
        };
        self.handed_out = ticks();
        Ok(received)
    }

    #[inline]
    fn frame(&self, index: usize) -> Frame<'_> {
        let data = &self.buffers[index][..self.lengths[index]];
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        Frame {
            data,
            captured_length: length,
            original_length: length,
            timestamp: Timestamp(START + (self.handed_out() + index as u64) * INTERVAL),
            link_type: LinkType::Ethernet,
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.frame(index).data.get(from..).unwrap_or_default());
    }

    fn release(&mut self) {}

    /// As with a socket, one clock gives all timestamps.
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(START + self.position.number * INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::matrix;

    #[test]
    fn it_hands_out_the_packets_of_the_traffic_and_counts_those_after_the_warm_up() {
        let traffic = Traffic::new(&matrix::base()).unwrap();
        let meter = Arc::new(Meter::default());
        let mut source = Synthetic::new(&traffic, 128, 300, Arc::clone(&meter));
        let mut buffer = traffic.buffer();
        let mut number = 0;
        while let Received::Frames(count) = source.receive().unwrap() {
            for index in 0..count {
                let expected = traffic.frame(&Position::new(number, traffic.mix().flows), &mut buffer);
                let frame = source.frame(index);
                assert_eq!(frame.data, expected.bytes);
                assert_eq!(frame.timestamp, Timestamp(START + number * INTERVAL));
                number += 1;
            }
            source.release();
        }
        assert_eq!(number, 300);
        let busy = meter.read();
        assert_eq!((busy.packets, busy.batches), (300 - 128, 3));
    }
}

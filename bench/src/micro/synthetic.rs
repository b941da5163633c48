//! Frames that are the same in every run as a source, without a network: each batch is made when it is asked for, and the
//! time for that is nobody's.

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

/// Frames that are made one after the other.
pub trait Frames {
    /// Time from frame to frame, in nanoseconds.
    const INTERVAL: u64;

    /// Room for the longest frame.
    fn buffer(&self) -> Vec<u8>;

    /// Writes the next frame to the front of `buffer`, and returns its length.
    fn write(&mut self, buffer: &mut [u8]) -> usize;
}

/// The generator's traffic.
pub struct Generated {
    traffic: Traffic,
    position: Position,
}

impl Frames for Generated {
    /// Five million packets per second.
    const INTERVAL: u64 = 200;

    fn buffer(&self) -> Vec<u8> {
        self.traffic.buffer()
    }

    fn write(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.traffic.frame(&self.position, buffer).bytes.len();
        self.position.advance(self.traffic.mix().flows);
        length
    }
}

/// Frames as a source: those of the generator's traffic, or others.
pub struct Synthetic<Made = Generated> {
    frames: Made,
    packets: u64,
    /// Packets that were made, those of the batch included.
    made: u64,
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

impl Synthetic<Generated> {
    /// The first `packets` packets of `traffic`. The time that their user takes is counted in `meter`, except for the
    /// first `warm_up` of them.
    pub fn new(traffic: &Traffic, warm_up: u64, packets: u64, meter: Arc<Meter>) -> Self {
        let frames = Generated { position: Position::new(0, traffic.mix().flows), traffic: traffic.clone() };
        Self { warm_up, meter, ..Self::of(frames, packets) }
    }
}

impl<Made: Frames> Synthetic<Made> {
    /// The first `packets` of `frames`.
    pub fn of(frames: Made, packets: u64) -> Self {
        Self {
            packets,
            made: 0,
            warm_up: 0,
            buffers: (0..BATCH_FRAMES).map(|_| frames.buffer()).collect(),
            lengths: [0; BATCH_FRAMES],
            count: 0,
            handed_out: 0,
            meter: Arc::default(),
            frames,
        }
    }

    /// Makes the next batch; returns how many frames it has. A function of its own so that callgrind can leave it out.
    #[inline(never)]
    pub(super) fn make_batch(&mut self) -> usize {
        let Self { frames, packets, made, buffers, lengths, .. } = self;
        let mut count = 0;
        for (buffer, length) in buffers.iter_mut().zip(lengths) {
            if *made >= *packets {
                break;
            }
            *length = frames.write(buffer);
            *made += 1;
            count += 1;
        }
        self.count = count;
        count
    }

    /// Number of packets that were handed out before those of the batch.
    pub(super) fn handed_out(&self) -> u64 {
        self.made - self.count as u64
    }
}

impl<Made: Frames> FrameSource for Synthetic<Made> {
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
            timestamp: Timestamp(START + (self.handed_out() + index as u64) * Made::INTERVAL),
            link_type: LinkType::Ethernet,
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.frame(index).data.get(from..).unwrap_or_default());
    }

    fn release(&mut self) {}

    /// As with a socket, one clock gives all timestamps.
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(START + self.made * Made::INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirror_testkit::traffic::Profile;

    #[test]
    fn it_hands_out_the_packets_of_the_traffic_and_counts_those_after_the_warm_up() {
        let traffic = Traffic::new(&Profile::geneve()).unwrap();
        let meter = Arc::new(Meter::default());
        let mut source = Synthetic::new(&traffic, 128, 300, Arc::clone(&meter));
        let mut buffer = traffic.buffer();
        let mut number = 0;
        while let Received::Frames(count) = source.receive().unwrap() {
            for index in 0..count {
                let expected = traffic.frame(&Position::new(number, traffic.mix().flows), &mut buffer);
                let frame = source.frame(index);
                assert_eq!(frame.data, expected.bytes);
                assert_eq!(frame.timestamp, Timestamp(START + number * Generated::INTERVAL));
                number += 1;
            }
            source.release();
        }
        assert_eq!(number, 300);
        let busy = meter.read();
        assert_eq!((busy.packets, busy.batches), (300 - 128, 3));
    }
}

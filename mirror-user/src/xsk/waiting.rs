//! The policy by which a worker waits for packets. It decides and does nothing itself; time is an argument.
//!
//! Spinning on the ring answers at once, but takes a whole processor, also from the sink thread that writes what the worker
//! records. Waking a sleeping worker for each packet costs the CPU that receives as much as twenty packets. So a worker that
//! has emptied its ring
//!
//! 1. sleeps for a set time, which wakes nobody and costs the receiving CPU nothing, if packets come at some rate: at most
//!    [`LONGEST_SLEEP_NS`], and never longer than the ring has room for ([`Waiting::next`] has the rule);
//! 2. sleeps until the next packet wakes it, where hardly any come ([`FEW`] in the longest sleep);
//! 3. spins where the ring is too small for its rate to sleep [`SHORTEST_SLEEP_NS`].
//!
//! A processor that the worker has for itself need not be saved: the worker spins on an empty ring for [`SPIN_NS`], longer
//! than the pauses between the bursts of a busy queue, and then sleeps until a packet wakes it ([`WaitMode::Spin`]).

use crate::batch::BATCH_FRAMES;

/// How a worker waits for packets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum WaitMode {
    /// Spin on processors that the kernel keeps for it (isolcpus), adaptive on others
    #[default]
    Auto,
    /// Sleep for times that the ring bridges, so that others can use the processor
    Adaptive,
    /// Spin, and sleep only in long pauses: for a processor that nobody else needs
    Spin,
}

/// Time for which a worker spins on an empty ring before it sleeps, in nanoseconds.
const SPIN_NS: u64 = 50_000;

/// Looks at an empty ring between two readings of the clock.
const LOOKS: u32 = 64;

/// Longest sleep that no packet ends, in nanoseconds: the delay that it adds.
const LONGEST_SLEEP_NS: u64 = 250_000;

/// Shortest sleep that is worth it, in nanoseconds: to fall asleep and to wake takes some 10 µs.
const SHORTEST_SLEEP_NS: u64 = 40_000;

/// Packets in the longest sleep below which the next packet wakes the worker.
const FEW: u64 = 2;

/// Part of the ring that may fill up in a sleep, at the rate seen lately: the rest is for a worker that is scheduled late.
const SHARE: u64 = 4;

/// Rate at which a burst may begin in a sleep without filling the ring, in packets a second: more than a queue gets on any
/// hardware seen so far.
const FASTEST: u64 = 8_000_000;

/// Shortest time over which a rate is measured, in nanoseconds.
const MEASURE_NS: u64 = 20_000;

const SECOND: u64 = 1_000_000_000;

/// The next step of a worker that has emptied its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Looks again at once.
    Spin,
    /// Sleeps for so many nanoseconds.
    Sleep(u64),
    /// Sleeps until a packet arrives.
    Poll,
}

/// State of a worker's waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// It spins where it can.
    spins: bool,
    /// Entries of the receive ring.
    ring: u64,
    /// Looks in a row that found the ring empty.
    looks: u32,
    /// Time of the first reading of the clock among those, in nanoseconds.
    empty_since: u64,
    /// The latest batch took all that was there.
    drained: bool,
    /// Packets since the rate was measured, and the time then.
    packets: u64,
    measured_at: u64,
    /// Packets a second: the greatest rate of late.
    rate: u64,
}

impl Waiting {
    /// For a ring with so many entries.
    pub(super) fn new(ring: u32, spins: bool) -> Self {
        Self {
            spins,
            ring: ring.into(),
            looks: 0,
            empty_since: 0,
            drained: false,
            packets: 0,
            measured_at: 0,
            rate: 0,
        }
    }

    /// Packets have arrived: the ring's whole content, if there were fewer than [`BATCH_FRAMES`].
    pub(super) fn received(&mut self, packets: usize) {
        self.looks = 0;
        self.packets += packets as u64;
        self.drained = packets < BATCH_FRAMES;
    }

    /// `true` if the ring has been emptied, and [`Self::next`] may say to sleep before it is looked at again.
    pub(super) fn has_drained(&self) -> bool {
        self.drained && !self.spins
    }

    /// The ring was found empty. `true` if the time is to be read and given to [`Self::next`].
    pub(super) fn found_empty(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        !self.spins || self.looks.is_multiple_of(LOOKS)
    }

    /// `true` if the worker does not look at an empty ring without having slept.
    pub(super) fn sleeps(&self) -> bool {
        !self.spins && self.sleep().is_none_or(|sleep| sleep >= SHORTEST_SLEEP_NS)
    }

    /// The next step at the time `now` of a monotonic clock, in nanoseconds.
    pub(super) fn next(&mut self, now: u64) -> Wait {
        if self.spins {
            return self.spin(now, LOOKS);
        }
        self.measure(now);
        self.drained = false;
        match self.sleep() {
            // The first look that finds the ring empty is reported, so that records need not wait for the next packet.
            None if self.looks > 1 => Wait::Poll,
            None => Wait::Spin,
            Some(sleep) if sleep < SHORTEST_SLEEP_NS => self.spin(now, 1),
            Some(sleep) => Wait::Sleep(sleep),
        }
    }

    /// Spins for a time; `first` is the number of the first look at which the clock was read.
    fn spin(&mut self, now: u64, first: u32) -> Wait {
        if self.looks <= first {
            self.empty_since = now;
        }
        if now.saturating_sub(self.empty_since) > SPIN_NS { Wait::Poll } else { Wait::Spin }
    }

    /// Measures the rate: a higher one counts at once, a lower one little by little.
    fn measure(&mut self, now: u64) {
        let elapsed = now.saturating_sub(self.measured_at);
        if elapsed < MEASURE_NS {
            return;
        }
        let rate = self.packets.saturating_mul(SECOND) / elapsed;
        self.rate = rate.max(self.rate - self.rate.div_ceil(8));
        self.packets = 0;
        self.measured_at = now;
    }

    /// Time to sleep, in nanoseconds; [`None`]: until the next packet.
    fn sleep(&self) -> Option<u64> {
        if self.rate < FEW * SECOND / LONGEST_SLEEP_NS {
            return None;
        }
        let at_this_rate = self.ring * (SECOND / SHARE) / self.rate;
        let in_a_burst = self.ring * SECOND / FASTEST;
        Some(LONGEST_SLEEP_NS.min(at_this_rate).min(in_a_burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at an empty ring every `step_ns` from `now` on, until the worker sleeps; the time then.
    fn sleeps_at(waiting: &mut Waiting, mut now: u64, step_ns: u64) -> u64 {
        loop {
            if waiting.found_empty() && waiting.next(now) == Wait::Poll {
                return now;
            }
            now += step_ns;
        }
    }

    #[test]
    fn a_worker_spins_through_a_short_pause_and_sleeps_in_a_long_one() {
        let mut waiting = Waiting::new(4096, true);
        let asleep = sleeps_at(&mut waiting, 1_000_000, 10);
        let spun = asleep - 1_000_000;
        assert!((SPIN_NS..SPIN_NS + 3 * u64::from(LOOKS) * 10).contains(&spun), "{spun}");
        // As long as nothing arrives, it sleeps again without spinning.
        let again = sleeps_at(&mut waiting, asleep + 10_000_000, 10);
        assert!(again - asleep - 10_000_000 <= u64::from(LOOKS) * 10);
        // A packet begins a new pause.
        waiting.received(1);
        assert!(!waiting.has_drained() && !waiting.sleeps(), "it never sleeps for a set time");
        let later = sleeps_at(&mut waiting, again, 10);
        assert!(later - again > SPIN_NS);
    }

    /// A ring that fills at some rate and is emptied in batches, by a worker to which time passes only by what it does.
    struct Simulation {
        waiting: Waiting,
        ring: u64,
        /// Nanoseconds between two packets, and that a packet takes to be worked on.
        interval: u64,
        work: u64,
        /// Time by which a sleep lasts longer than asked for.
        late: u64,
        now: u64,
        arrived: u64,
        taken: u64,
        lost: u64,
        slept: u64,
        wakes: u64,
        /// Times at which the worker was woken by a packet.
        woken: u64,
        longest: u64,
    }

    impl Simulation {
        fn new(ring: u32, rate: u64, work: u64) -> Self {
            Self {
                waiting: Waiting::new(ring, false),
                ring: ring.into(),
                interval: SECOND / rate,
                work,
                late: 60_000,
                now: SECOND,
                arrived: 0,
                taken: 0,
                lost: 0,
                slept: 0,
                wakes: 0,
                woken: 0,
                longest: 0,
            }
        }

        fn pass(&mut self, time: u64) {
            self.now += time;
            let arrived = (self.now - SECOND) / self.interval;
            let room = self.ring - (self.arrived - self.taken - self.lost);
            let new = arrived - self.arrived;
            self.arrived = arrived;
            self.lost += new.saturating_sub(room);
        }

        fn sleep(&mut self, wait: Wait) {
            match wait {
                Wait::Spin => self.pass(100),
                Wait::Sleep(time) => {
                    self.longest = self.longest.max(time);
                    self.slept += time;
                    self.wakes += 1;
                    self.pass(time + self.late);
                }
                Wait::Poll => {
                    let next = SECOND + (self.arrived + 1) * self.interval;
                    let time = (next - self.now).min(10_000_000);
                    self.slept += time;
                    self.woken += 1;
                    self.pass(time);
                }
            }
        }

        /// Works as `XskSource::receive` does, for so long.
        fn run(&mut self, time: u64) -> &mut Self {
            let end = self.now + time;
            (self.slept, self.wakes, self.woken, self.longest) = (0, 0, 0, 0);
            while self.now < end {
                if self.waiting.has_drained() {
                    let wait = self.waiting.next(self.now);
                    if let Wait::Sleep(_) = wait {
                        self.sleep(wait);
                    }
                }
                let batch = (self.arrived - self.taken - self.lost).min(BATCH_FRAMES as u64);
                if batch > 0 {
                    self.taken += batch;
                    self.waiting.received(usize::try_from(batch).unwrap());
                    self.pass(batch * self.work + 200);
                } else if self.waiting.found_empty() {
                    let wait = self.waiting.next(self.now);
                    self.sleep(wait);
                }
            }
            self
        }
    }

    const MILLISECOND: u64 = 1_000_000;

    #[test]
    fn at_every_rate_nothing_is_lost_and_the_processor_is_left_to_others() {
        for (rate, work, least_asleep) in [
            (10_000, 300, 90),
            (50_000, 300, 90),
            (500_000, 400, 60),
            (1_000_000, 200, 50),
            (3_000_000, 150, 30),
        ] {
            let mut simulation = Simulation::new(4096, rate, work);
            simulation.run(20 * MILLISECOND).run(100 * MILLISECOND);
            assert_eq!(simulation.lost, 0, "{rate}");
            let asleep = 100 * (simulation.slept + simulation.wakes * simulation.late) / (100 * MILLISECOND);
            assert!(asleep >= least_asleep, "{rate}: {asleep} %");
            assert!(simulation.longest <= LONGEST_SLEEP_NS);
            assert_eq!(simulation.woken, 0, "{rate}: the receiving CPU wakes nobody");
        }
    }

    #[test]
    fn a_small_ring_is_not_slept_through() {
        for (ring, rate) in [(64, 500_000), (256, 1_000_000), (512, 4_000_000), (1024, 6_000_000)] {
            let mut simulation = Simulation::new(ring, rate, 100);
            simulation.late = 5_000;
            simulation.run(50 * MILLISECOND);
            assert_eq!(simulation.lost, 0, "{ring} entries, {rate}");
        }
    }

    #[test]
    fn hardly_any_packets_wake_the_worker_themselves_and_at_once() {
        let mut simulation = Simulation::new(4096, 1000, 300);
        simulation.run(20 * MILLISECOND).run(100 * MILLISECOND);
        assert_eq!(simulation.wakes, 0, "no sleep delays them");
        assert!((99..=101).contains(&simulation.woken), "{}", simulation.woken);
    }

    #[test]
    fn a_burst_from_silence_finds_room_for_what_comes_in_a_sleep() {
        let mut simulation = Simulation::new(4096, 20_000, 100);
        simulation.run(50 * MILLISECOND);
        assert!(simulation.longest > 0);
        let before = simulation.arrived;
        simulation.interval = SECOND / 6_000_000;
        // Time goes on from the burst's beginning.
        simulation.now = SECOND + before * simulation.interval;
        simulation.waiting.measured_at = simulation.now;
        simulation.run(20 * MILLISECOND);
        assert_eq!(simulation.lost, 0);
    }

    #[test]
    fn after_a_burst_the_worker_comes_to_rest() {
        let mut simulation = Simulation::new(4096, 2_000_000, 100);
        simulation.run(20 * MILLISECOND);
        let mut waiting = simulation.waiting;
        let (mut now, mut steps) = (simulation.now, 0);
        while waiting.found_empty() {
            match waiting.next(now) {
                Wait::Sleep(time) => now += time,
                Wait::Spin => now += 100,
                Wait::Poll => break,
            }
            steps += 1;
        }
        assert!(now - simulation.now < 20 * MILLISECOND && steps < 100, "{} {steps}", now - simulation.now);
    }

    #[test]
    fn the_first_empty_look_is_reported_before_the_worker_sleeps_until_the_next_packet() {
        let mut waiting = Waiting::new(4096, false);
        waiting.received(1);
        assert!(waiting.has_drained());
        assert_eq!(waiting.next(SECOND), Wait::Spin);
        assert!(waiting.found_empty());
        assert_eq!(waiting.next(SECOND + 100), Wait::Spin);
        assert!(waiting.found_empty());
        assert_eq!(waiting.next(SECOND + 200), Wait::Poll);
    }
}

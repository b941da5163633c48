//! Receive times of all packets of a queue, from those of some.
//!
//! Reading the clock costs the XDP program more than all else that it does. So it stamps one packet in so many with its receive
//! time, and [`Arrivals`] works out the others' times, in the order in which they arrived:
//!
//! - A packet between two stamped ones arrived between them; their times are spread evenly.
//! - A packet behind the last stamped one arrived as long after the one before it as they did lately, and before it was taken from
//!   the ring.
//! - A packet that is taken from a ring which was empty before did not arrive before that, as far as the kernel publishes what
//!   it received.
//!
//! # The interval
//!
//! An interpolated time is wrong by no more than the time between the stamped packets around it. So [`Arrivals::interval`] is
//! the largest with which fewer than one packet in a hundred lies between stamps that are more than [`LONGEST_NS`] apart. Under full
//! load packets come evenly, and one stamp in up to [`MOST_PACKETS`] will do. Where packets come in bursts, with pauses in between,
//! every packet is stamped: then the processor that receives has time to spare. While the worker sleeps, the next packet is
//! stamped in any case.

/// Longest time between stamps that an interpolated time may lie in, in nanoseconds; of one packet in a hundred it may be longer.
pub const LONGEST_NS: u64 = 20_000;

/// Most packets of which one is stamped.
pub const MOST_PACKETS: u64 = 64;

/// Packets after which the interval is reviewed.
const WINDOW: u64 = 1024;

/// Time between two stamps after which every packet is stamped at once, in nanoseconds: the rate has fallen.
const PAUSE_NS: u64 = 1_000_000;

/// Receive times of the packets of one queue, in nanoseconds on the kernel's monotonic clock.
#[derive(Debug)]
pub struct Arrivals {
    /// Time of the latest packet.
    last: u64,
    /// Time at which the ring was seen empty.
    empty: u64,
    /// Time of the latest stamp.
    stamp: u64,
    /// Packets behind that one.
    behind: u64,
    /// Time between two packets lately.
    gap: u64,
    interval: Interval,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::new()
    }
}

impl Arrivals {
    /// The times of a queue from which no packet has come, and every packet of which is stamped.
    pub const fn new() -> Self {
        Self { last: 0, empty: 0, stamp: 0, behind: 0, gap: 0, interval: Interval::new() }
    }

    /// Packets of which one is to be stamped: a power of two.
    pub const fn interval(&self) -> u64 {
        self.interval.packets
    }

    /// Replaces zeros among `times`, the stamps of the next packets, by the times of the packets without a stamp. `taken` is the
    /// time at which they were taken from the ring. Returns how many were replaced.
    #[inline]
    pub fn fill(&mut self, times: &mut [u64], taken: impl FnOnce() -> u64) -> usize {
        let (mut start, mut stamped) = (0, 0);
        for index in 0..times.len() {
            let stamp = times[index];
            self.behind += 1;
            if stamp == 0 {
                continue;
            }
            stamped += 1;
            if let Some(times) = times.get_mut(start..=index) {
                self.spread(times, stamp);
            }
            self.measure(stamp);
            start = index + 1;
        }
        if let Some(times) = times.get_mut(start..).filter(|times| !times.is_empty()) {
            self.extend(times, taken());
        }
        times.len() - stamped
    }

    /// Spreads `times` evenly up to the stamp of the last of them.
    #[inline]
    fn spread(&mut self, times: &mut [u64], stamp: u64) {
        let end = stamp.max(self.last);
        let begin = self.last.max(self.empty).min(end);
        let [between @ .., last] = times else { return };
        if !between.is_empty() {
            let step = (end - begin) / (between.len() as u64 + 1);
            let mut time = begin;
            for between in between {
                time += step;
                *between = time;
            }
        }
        *last = end;
        self.last = end;
    }

    /// Lets `times` go on as the ones before.
    fn extend(&mut self, times: &mut [u64], taken: u64) {
        let mut time = self.last.max(self.empty.min(taken));
        for unstamped in times {
            time = (time + self.gap).min(taken).max(self.last);
            *unstamped = time;
        }
        self.last = time;
    }

    /// Learns from the latest stamp.
    #[inline]
    fn measure(&mut self, stamp: u64) {
        let elapsed = stamp.saturating_sub(self.stamp);
        self.gap = if self.behind == 1 { elapsed } else { elapsed / self.behind };
        self.interval.review(elapsed, self.behind);
        self.stamp = stamp;
        self.behind = 0;
    }

    /// Notes that the ring is empty at the time `now`.
    pub const fn ring_is_empty(&mut self, now: u64) {
        self.empty = now;
    }

    /// Has every packet stamped, since nobody will be there to notice a pause.
    pub const fn sleep(&mut self) {
        self.interval = Interval::new();
    }
}

/// Observer that measures how far worked-out times are from true ones, under a program that stamps every packet.
pub trait Witness: Send {
    /// Keeps the stamps of a batch, and zeroes those that a program with this interval would not have taken.
    fn hide(&mut self, times: &mut [u64], interval: u64);

    /// Compares the times that were worked out with the stamps that were kept.
    fn compare(&mut self, times: &[u64]);
}

/// Packets of which one is stamped, and how far apart stamps are.
#[derive(Debug)]
struct Interval {
    packets: u64,
    /// Packets since the last review,
    seen: u64,
    /// of which between stamps that are too far apart,
    far: u64,
    /// and which would be if every other stamp were missing.
    far_if_doubled: u64,
    /// The first of two stretches between stamps: nanoseconds and packets.
    half: Option<(u64, u64)>,
}

impl Interval {
    const fn new() -> Self {
        Self { packets: 1, seen: 0, far: 0, far_if_doubled: 0, half: None }
    }

    const fn of(packets: u64) -> Self {
        Self { packets, ..Self::new() }
    }

    /// Takes note of a stretch between two stamps.
    #[inline]
    fn review(&mut self, elapsed: u64, packets: u64) {
        self.seen += packets;
        if packets > 1 && elapsed > LONGEST_NS {
            self.far += packets;
            if elapsed > PAUSE_NS {
                *self = Self::new();
                return;
            }
        }
        match self.half.take() {
            None => self.half = Some((elapsed, packets)),
            Some((before, packets_before)) if before + elapsed > LONGEST_NS => {
                self.far_if_doubled += packets_before + packets;
            }
            Some(_) => {}
        }
        if self.seen >= WINDOW {
            *self = Self::of(self.next());
        }
    }

    /// The interval that follows from what was seen.
    const fn next(&self) -> u64 {
        if self.far * 4 > self.seen {
            1
        } else if self.far * 100 > self.seen && self.packets > 1 {
            self.packets / 2
        } else if self.far_if_doubled * 200 <= self.seen && self.packets < MOST_PACKETS {
            self.packets * 2
        } else {
            self.packets
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times at which packets arrive, and how they reach the worker.
    struct Simulation {
        arrivals: Arrivals,
        /// Packets that the program has redirected.
        redirected: u64,
        errors: Vec<u64>,
        stamped: usize,
    }

    impl Simulation {
        fn new() -> Self {
            Self { arrivals: Arrivals::new(), redirected: 0, errors: Vec::new(), stamped: 0 }
        }

        /// Delivers the packets of `times` in batches: each when the worker looks, every `look` nanoseconds, at most 64.
        fn deliver(&mut self, times: &[u64], look: u64) {
            let mut rest = times;
            let mut now = times.first().copied().unwrap_or(0);
            let mut last = 0;
            while !rest.is_empty() {
                now += look;
                let count = rest.iter().take(64).take_while(|&&time| time <= now).count();
                if count == 0 {
                    self.arrivals.ring_is_empty(now);
                    if rest[0] - now > 50_000 {
                        self.arrivals.sleep();
                        now = rest[0];
                    }
                    continue;
                }
                let (batch, later) = rest.split_at(count);
                rest = later;
                let mask = self.arrivals.interval() - 1;
                let mut filled: Vec<u64> = batch
                    .iter()
                    .map(|&time| {
                        let stamped = self.redirected & mask == 0;
                        self.redirected += 1;
                        if stamped { time } else { 0 }
                    })
                    .collect();
                self.stamped += count - self.arrivals.fill(&mut filled, || now);
                for (&filled, &time) in filled.iter().zip(batch) {
                    assert!(filled >= last, "packets keep their order");
                    assert!(filled <= now, "no packet arrives after it was taken");
                    last = filled;
                    self.errors.push(filled.abs_diff(time));
                }
            }
        }

        fn p99(&mut self) -> u64 {
            self.errors.sort_unstable();
            self.errors[self.errors.len() * 99 / 100]
        }

        fn stamped_share(&self) -> f64 {
            self.stamped as f64 / self.errors.len() as f64
        }
    }

    /// Pauses that look random, of `mean` nanoseconds on average.
    fn random(count: u64, mean: u64) -> Vec<u64> {
        let mut state = 1_u64;
        (0..count)
            .scan(1_000_000_000, |time, _| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *time += (state >> 33) % (2 * mean);
                Some(*time)
            })
            .collect()
    }

    /// Bursts of `size` packets, 250 ns apart, at a mean distance of `mean` nanoseconds between packets.
    fn bursts(count: u64, size: u64, mean: u64) -> Vec<u64> {
        (0..count).map(|number| 1_000_000_000 + number / size * size * mean + number % size * 250).collect()
    }

    #[test]
    fn times_are_exact_to_twenty_microseconds_whatever_the_traffic() {
        for mean in [300, 1_000, 3_000, 20_000, 1_000_000] {
            let count = 400_000.min(2_000_000_000 / mean);
            for (name, times) in [
                ("even", bursts(count, 1, mean)),
                ("random", random(count, mean)),
                ("bursts of 8", bursts(count, 8, mean)),
                ("bursts of 64", bursts(count, 64, mean)),
                ("bursts of 500", bursts(count, 500, mean)),
            ] {
                for look in [300, 20_000, 100_000] {
                    let mut simulation = Simulation::new();
                    simulation.deliver(&times, look);
                    let p99 = simulation.p99();
                    assert!(
                        p99 <= LONGEST_NS,
                        "{name}, every {mean} ns, looked at every {look} ns: {p99} ns"
                    );
                }
            }
        }
    }

    #[test]
    fn few_packets_are_stamped_at_full_load_and_all_at_low_rates() {
        let share = |times: &[u64]| {
            let mut simulation = Simulation::new();
            simulation.deliver(times, 10_000);
            simulation.stamped_share()
        };
        assert!(share(&random(1_000_000, 300)) < 0.04);
        assert!(share(&random(1_000_000, 1_000)) < 0.14);
        assert!((share(&bursts(2_000, 1, 1_000_000)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn every_packet_is_stamped_again_when_the_rate_falls() {
        let mut simulation = Simulation::new();
        simulation.deliver(&random(100_000, 300), 10_000);
        assert!(simulation.arrivals.interval() >= 32);
        let later: Vec<u64> = (0..200).map(|number| 2_000_000_000 + number * 1_000_000).collect();
        simulation.errors.clear();
        simulation.deliver(&later, 10_000);
        assert_eq!(simulation.arrivals.interval(), 1);
        assert_eq!(simulation.errors.iter().max(), Some(&0), "the worker slept, and had all of them stamped");
    }

    #[test]
    fn stamps_are_kept_to_the_nanosecond() {
        let mut arrivals = Arrivals::new();
        let mut times = [1_000, 1_700, 2_300];
        assert_eq!(arrivals.fill(&mut times, || unreachable!("every packet has its time")), 0);
        assert_eq!(times, [1_000, 1_700, 2_300]);
        let mut times = [0, 3_300, 0, 0, 0];
        assert_eq!(arrivals.fill(&mut times, || 4_000), 4);
        assert_eq!(times, [2_800, 3_300, 3_800, 4_000, 4_000]);
        // The next one is stamped with a time before that of the last estimate.
        let mut times = [3_900, 4_200];
        arrivals.fill(&mut times, || 5_000);
        assert_eq!(times, [4_000, 4_200]);
        // Behind an empty ring, packets did not arrive before that.
        arrivals.ring_is_empty(9_000);
        let mut times = [0, 10_000];
        arrivals.fill(&mut times, || 11_000);
        assert_eq!(times, [9_500, 10_000]);
    }
}

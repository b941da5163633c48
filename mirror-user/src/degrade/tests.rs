use proptest::prelude::*;

use super::*;
use crate::number::SamplingRate;

const AUTO: DegradeConfig = DegradeConfig {
    mode: DegradeMode::Auto,
    rates: [SamplingRate::one_in(8).unwrap(), SamplingRate::one_in(64).unwrap()],
    high_fill: 0.75,
    low_fill: 0.25,
    window: Duration::from_millis(50),
    down_after: [
        Duration::ZERO,
        Duration::from_millis(50),
        Duration::from_millis(200),
        Duration::from_secs(1),
    ],
    calm: Duration::from_secs(1),
    longest_calm: Duration::from_secs(8),
    relapse: Duration::from_secs(10),
};
const CALM: Pressure = Pressure { ring_fill: 0.1, ring_drops: 0, sink_queue_full: 0 };
const BUSY: Pressure = Pressure { ring_fill: 0.5, ..CALM };
const HIGH: Pressure = Pressure { ring_fill: 0.9, ..CALM };
const DROPS: Pressure = Pressure { ring_drops: 3, ..CALM };
const REFUSED: Pressure = Pressure { sink_queue_full: 1, ..CALM };

/// A worker that observes once per millisecond.
struct Run {
    degradation: Degradation,
    /// In milliseconds.
    now: u64,
}

impl Run {
    fn new(config: DegradeConfig) -> Self {
        Self { degradation: Degradation::new(config).unwrap(), now: 0 }
    }

    fn observe(&mut self, pressure: Pressure) -> Option<Transition> {
        self.now += 1;
        self.degradation.observe(Timestamp(self.now * 1_000_000), pressure)
    }

    /// The same pressure for some milliseconds: what changed, and when.
    fn hold(&mut self, pressure: Pressure, milliseconds: u64) -> Vec<(u64, String)> {
        let begin = self.now;
        (0..milliseconds)
            .filter_map(|_| {
                let transition = self.observe(pressure)?;
                Some((self.now - begin, transition.to_string()))
            })
            .collect()
    }
}

#[track_caller]
fn assert_changes(found: &[(u64, String)], expected: &[(u64, &str)]) {
    let found: Vec<_> = found.iter().map(|(time, change)| (*time, change.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_default_is_what_the_documentation_speaks_of() {
    assert_eq!(DegradeConfig { mode: DegradeMode::Auto, ..DegradeConfig::default() }, AUTO);
}

#[test]
fn levels_are_reached_by_pressure_that_lasts_and_left_one_per_calm_period() {
    let mut run = Run::new(AUTO);
    assert_changes(&run.hold(BUSY, 1000), &[]);
    assert_changes(
        &run.hold(HIGH, 3000),
        &[
            // The ring is seen to be full from the first millisecond on, for 50; after each step, for another 50.
            (51, "from full to flows (ring_fill)"),
            (102, "from flows to sampled 1:8 (ring_fill)"),
            (201, "from sampled 1:8 to sampled 1:64 (ring_fill)"),
            (1001, "from sampled 1:64 to counters (ring_fill)"),
        ],
    );
    assert_changes(
        &run.hold(CALM, 60_000),
        &[
            (1_001, "from counters to sampled 1:64 (calm)"),
            (2_002, "from sampled 1:64 to sampled 1:8 (calm)"),
            (3_003, "from sampled 1:8 to flows (calm)"),
            (4_004, "from flows to full (calm)"),
        ],
    );
}

#[test]
fn drops_step_down_at_once_and_on_if_they_last() {
    for (pressure, reason) in [(DROPS, "ring_drops"), (REFUSED, "sink_queue_full")] {
        let mut run = Run::new(AUTO);
        run.hold(CALM, 1000);
        let found = run.hold(pressure, 2000);
        let steps = ["full to flows", "flows to sampled 1:8", "sampled 1:8 to sampled 1:64"];
        let steps = steps.into_iter().chain(["sampled 1:64 to counters"]).zip([1, 51, 201, 1001]);
        let expected: Vec<_> = steps.map(|(step, time)| (time, format!("from {step} ({reason})"))).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn pressure_lasts_over_short_pauses() {
    for (pause, expected) in [(99, DegradeLevel::Counters), (100, DegradeLevel::Flows)] {
        let mut run = Run::new(AUTO);
        run.hold(CALM, 1000);
        for _ in 0..15 {
            run.hold(DROPS, 1);
            run.hold(BUSY, pause);
        }
        assert_eq!(run.degradation.level(), expected, "{pause} ms");
    }
}

#[test]
fn short_bursts_and_half_full_rings_change_nothing() {
    let mut run = Run::new(AUTO);
    for _ in 0..100 {
        assert_changes(&run.hold(HIGH, 50), &[]);
        assert_changes(&run.hold(CALM, 1), &[]);
    }
    run.hold(DROPS, 1);
    assert_eq!(run.degradation.level(), DegradeLevel::Flows);
    assert_changes(&run.hold(BUSY, 100_000), &[]);
    for _ in 0..10 {
        assert_changes(&run.hold(CALM, 999), &[]);
        assert_changes(&run.hold(BUSY, 1), &[]);
    }
}

#[test]
fn relapses_double_the_wait_until_a_step_up_holds() {
    let mut run = Run::new(AUTO);
    run.hold(CALM, 1000);
    run.hold(DROPS, 1);
    for wait in [1_001, 2_001, 4_001, 8_001, 8_001] {
        assert_changes(&run.hold(CALM, wait), &[(wait, "from flows to full (calm)")]);
        run.hold(BUSY, 9_000);
        assert_eq!(run.hold(DROPS, 1).len(), 1);
    }
    assert_eq!(run.hold(CALM, 8_001).len(), 1);
    run.hold(BUSY, 10_001);
    assert_eq!(run.hold(DROPS, 1).len(), 1);
    assert_changes(&run.hold(CALM, 1_001), &[(1_001, "from flows to full (calm)")]);
}

#[test]
fn the_wait_is_that_of_one_level() {
    let mut run = Run::new(AUTO);
    run.hold(CALM, 1000);
    run.hold(DROPS, 1);
    for _ in 0..5 {
        run.hold(CALM, 8_001);
        run.hold(DROPS, 1);
    }
    // Full has not held, the others have nothing to do with that.
    run.hold(DROPS, 2_000);
    assert_eq!(run.degradation.level(), DegradeLevel::Counters);
    let times: Vec<u64> = run.hold(CALM, 60_000).into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [1_001, 2_002, 3_003, 11_004]);
}

#[test]
fn nothing_is_recorded_for_so_long_at_most() {
    let mut run = Run::new(AUTO);
    run.hold(CALM, 1000);
    run.hold(DROPS, 1_001);
    assert_changes(
        &run.hold(DROPS, 20_000),
        &[
            (8_000, "from counters to sampled 1:64 (try)"),
            (9_001, "from sampled 1:64 to counters (ring_drops)"),
            (17_001, "from counters to sampled 1:64 (try)"),
            (18_002, "from sampled 1:64 to counters (ring_drops)"),
        ],
    );
}

#[test]
fn fixed_modes_stay() {
    for (mode, level, sampling) in [
        (DegradeMode::Off, "full", Some(1)),
        (DegradeMode::Flows, "flows", Some(1)),
        (DegradeMode::Sampled, "sampled 1:8", Some(8)),
        (DegradeMode::Counters, "counters", None),
    ] {
        let mut run = Run::new(DegradeConfig { mode, ..AUTO });
        run.degradation.count(7);
        for pressure in [CALM, HIGH, DROPS, REFUSED] {
            assert_changes(&run.hold(pressure, 20_000), &[]);
        }
        assert_eq!(run.degradation.level().to_string(), level);
        assert_eq!(run.degradation.level().sampling().map(SamplingRate::get), sampling);
        for used in run.degradation.levels() {
            let expected = if used.level == run.degradation.level() { (79_999, 7) } else { (0, 0) };
            assert_eq!((used.time.as_millis(), used.packets), expected);
        }
    }
}

#[test]
fn silence_is_no_calm() {
    let mut run = Run::new(AUTO);
    run.hold(CALM, 100);
    run.hold(DROPS, 1);
    run.observe(CALM);
    // An hour passes, or the clock is set.
    run.now += 3_600_000;
    assert_changes(&run.hold(CALM, 400), &[]);
    assert_eq!(run.hold(CALM, 150).len(), 1);
}

#[test]
fn a_clock_that_is_set_back_stops_for_one_observation() {
    let mut run = Run::new(AUTO);
    run.now = 10_000_000;
    run.hold(CALM, 100);
    run.hold(DROPS, 1);
    run.hold(CALM, 500);
    run.now = 0;
    assert_changes(&run.hold(CALM, 600), &[(502, "from flows to full (calm)")]);
    let total: Duration = run.degradation.levels().iter().map(|used| used.time).sum();
    assert_eq!(total.as_millis(), 99 + 1 + 500 + 599);
}

#[test]
fn limits() {
    let [first, second] = AUTO.rates;
    assert_eq!(AUTO.checked(), Ok(AUTO));
    assert!(DegradeConfig::default().checked().is_ok());
    let long = Duration::from_hours(1);
    for (bad, error) in [
        (DegradeConfig { rates: [second, first], ..AUTO }, DegradeConfigError::Rates(64, 8)),
        (DegradeConfig { rates: [SamplingRate::EVERY, second], ..AUTO }, DegradeConfigError::Rates(1, 64)),
        (DegradeConfig { low_fill: 0.75, ..AUTO }, DegradeConfigError::Fill(0.75, 0.75)),
        (DegradeConfig { high_fill: 1.0, ..AUTO }, DegradeConfigError::Fill(0.25, 1.0)),
        (
            DegradeConfig { window: Duration::ZERO, ..AUTO },
            DegradeConfigError::Calm(AUTO.calm, Duration::ZERO),
        ),
        (DegradeConfig { window: long, ..AUTO }, DegradeConfigError::Calm(AUTO.calm, long)),
        (DegradeConfig { calm: long, ..AUTO }, DegradeConfigError::LongestCalm(AUTO.longest_calm, long)),
    ] {
        assert_eq!(bad.checked(), Err(error));
        assert!(Degradation::new(bad).is_err());
    }
    assert!(DegradeConfig { low_fill: f32::NAN, ..AUTO }.checked().is_err());
    let mut down_after = AUTO.down_after;
    down_after.reverse();
    let error = DegradeConfig { down_after, ..AUTO }.checked().unwrap_err();
    assert_eq!(error, DegradeConfigError::DownAfter(down_after));
}

fn pressure() -> impl Strategy<Value = Pressure> {
    let rarely = || prop_oneof![30 => Just(0_u64), 1 => 1..100_u64];
    let fill = prop_oneof![8 => 0.0..0.25_f32, 1 => 0.25..0.75_f32, 1 => 0.75..1.0_f32];
    (fill, rarely(), rarely()).prop_map(|(ring_fill, ring_drops, sink_queue_full)| Pressure {
        ring_fill,
        ring_drops,
        sink_queue_full,
    })
}

/// The same pressure for some observations, each some microseconds after the one before; seldom, the clock is set.
fn phases() -> impl Strategy<Value = Vec<(Pressure, usize, i64)>> {
    let step = prop_oneof![
        20 => 1..20_000_i64,
        5 => 20_000..1_000_000_i64,
        1 => -100_000_000..100_000_000_i64,
    ];
    prop::collection::vec((pressure(), 1..100_usize, step), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However the pressure changes, the level does so by one at a time, once per window, and up after calm only.
    #[test]
    fn never_faster_than_the_rule(phases in phases()) {
        let mut degradation = Degradation::new(AUTO).unwrap();
        let order = degradation.levels().map(|used| used.level);
        let position = |level| order.iter().position(|other| *other == level).unwrap();
        let mut now = 1_u64 << 60;
        let (mut total, mut packets) = (Duration::ZERO, 0);
        // Observed time since the level changed, and without pressure.
        let (mut since_change, mut calm) = (Duration::ZERO, Duration::ZERO);
        // Observed time since pressure may have begun that is not over.
        let mut pressed = Duration::ZERO;
        let mut relieved = Duration::ZERO;
        let mut before = None;
        for (pressure, count, microseconds) in phases {
            for _ in 0..count {
                now = now.saturating_add_signed(microseconds * 1000);
                let elapsed = before.map_or(0, |before| now.saturating_sub(before));
                before = Some(now);
                let elapsed = Duration::from_nanos(elapsed);
                total += elapsed;
                since_change += elapsed;
                let pressing = pressure.ring_fill >= AUTO.low_fill
                    || pressure.ring_drops + pressure.sink_queue_full > 0;
                calm = if pressing { Duration::ZERO } else { calm + elapsed };
                let is_pressure = pressure.ring_fill > AUTO.high_fill
                    || pressure.ring_drops + pressure.sink_queue_full > 0;
                relieved = if is_pressure { Duration::ZERO } else { relieved + elapsed };
                pressed = if relieved < 2 * AUTO.window { pressed + elapsed } else { Duration::ZERO };
                let level = degradation.level();
                degradation.count(3);
                packets += 3;
                let Some(transition) = degradation.observe(Timestamp(now), pressure) else {
                    prop_assert_eq!(degradation.level(), level);
                    continue;
                };
                prop_assert_eq!((transition.from, transition.to), (level, degradation.level()));
                prop_assert!(since_change >= AUTO.window);
                let (from, to) = (position(transition.from), position(transition.to));
                prop_assert_eq!(from.abs_diff(to), 1);
                prop_assert_eq!(to < from, matches!(transition.reason, TransitionReason::Calm | TransitionReason::Try));
                if transition.reason == TransitionReason::Try {
                    prop_assert_eq!(transition.from, DegradeLevel::Counters);
                    prop_assert!(since_change >= AUTO.longest_calm);
                } else if to < from {
                    prop_assert!(calm >= AUTO.calm && since_change >= AUTO.calm);
                } else {
                    prop_assert!(pressing && pressed >= AUTO.down_after[from]);
                }
                since_change = Duration::ZERO;
            }
        }
        let levels = degradation.levels();
        prop_assert_eq!(levels.iter().map(|used| used.time).sum::<Duration>(), total);
        prop_assert_eq!(levels.iter().map(|used| used.packets).sum::<u64>(), packets);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    /// Under one pressure the level moves one way only, and comes to an end; at the lowest one, with tries.
    #[test]
    fn constant_pressure_moves_one_way(first in pressure(), second in pressure()) {
        let mut run = Run::new(AUTO);
        for pressure in [first, second] {
            let mut changes = Vec::new();
            let mut is_try = false;
            for millisecond in 0..100_000_u64 {
                let Some(Transition { to, reason, .. }) = run.observe(pressure) else { continue };
                // A try, or its end.
                let is_of_try = reason == TransitionReason::Try || (is_try && to == DegradeLevel::Counters);
                is_try = reason == TransitionReason::Try;
                if !is_of_try {
                    changes.push((millisecond, reason == TransitionReason::Calm));
                }
            }
            prop_assert!(changes.windows(2).all(|pair| pair[0].1 == pair[1].1), "{:?}", changes);
            prop_assert!(changes.last().is_none_or(|last| last.0 < 40_000), "{:?}", changes);
        }
    }
}

/// A worker with a receive ring, of whose records there are fewer at each level, so that it manages more packets.
struct Simulation {
    run: Run,
    /// Packets in the ring.
    ring: f64,
    /// Milliseconds at each level.
    spent: [u64; LEVELS],
    changes: Vec<(u64, Transition)>,
}

/// Packets per millisecond that the worker manages at each level.
const MANAGED: [f64; LEVELS] = [1_000.0, 1_500.0, 2_500.0, 3_500.0, 6_000.0];
const RING: f64 = 4_096.0;
const SECOND: u64 = 1_000;

impl Simulation {
    fn new() -> Self {
        let mut run = Run::new(AUTO);
        run.hold(CALM, 100);
        Self { run, ring: 0.0, spent: [0; LEVELS], changes: Vec::new() }
    }

    fn position(&self) -> usize {
        let level = self.run.degradation.level();
        self.run.degradation.levels().iter().position(|used| used.level == level).unwrap()
    }

    /// So many packets come in each of the next milliseconds.
    fn send(&mut self, packets: f64, milliseconds: u64) {
        for _ in 0..milliseconds {
            let position = self.position();
            self.spent[position] += 1;
            self.ring = (self.ring + packets - MANAGED[position]).max(0.0);
            let dropped = (self.ring - RING).max(0.0);
            self.ring -= dropped;
            #[expect(clippy::cast_possible_truncation, reason = "a share, and a number of packets")]
            let pressure = Pressure {
                ring_fill: (self.ring / RING) as f32,
                ring_drops: dropped.ceil() as u64,
                sink_queue_full: 0,
            };
            if let Some(transition) = self.run.observe(pressure) {
                self.changes.push((self.run.now, transition));
            }
        }
    }

    /// Milliseconds spent at each level since this was asked last.
    fn take(&mut self) -> [u64; LEVELS] {
        std::mem::take(&mut self.spent)
    }
}

const USUAL: f64 = 400.0;
const FLOOD: f64 = 20_000.0;

#[test]
fn a_short_burst_costs_two_seconds() {
    let mut simulation = Simulation::new();
    simulation.send(FLOOD, 100);
    simulation.send(USUAL, 60 * SECOND);
    let [_, flows, sampled, rarely, counters] = simulation.take();
    assert!(flows + sampled <= 2_200 && sampled <= 1_200, "{flows} {sampled}");
    assert_eq!((rarely, counters), (0, 0));
}

#[test]
fn bursts_once_a_minute_find_all_as_it_was() {
    let mut simulation = Simulation::new();
    for _ in 0..60 {
        assert_eq!(simulation.run.degradation.level(), DegradeLevel::Full);
        simulation.send(FLOOD, 100);
        simulation.send(USUAL, 60 * SECOND - 100);
        let [full, .., rarely, counters] = simulation.take();
        assert!(full >= 57 * SECOND && rarely + counters == 0, "{full} {rarely} {counters}");
    }
}

#[test]
fn floods_once_a_minute_cannot_keep_it_blind() {
    let mut simulation = Simulation::new();
    for _ in 0..60 {
        assert_eq!(simulation.run.degradation.level(), DegradeLevel::Full);
        simulation.send(FLOOD, 3 * SECOND);
        simulation.send(USUAL, 57 * SECOND);
        let [full, .., counters] = simulation.take();
        assert!(full >= 52 * SECOND && counters <= 3 * SECOND + 100, "{full} {counters}");
    }
}

#[test]
fn a_long_flood_is_seen_in_part_and_over_soon() {
    for flood in [FLOOD, 5_000.0] {
        let mut simulation = Simulation::new();
        simulation.send(flood, 600 * SECOND);
        let [.., rarely, counters] = simulation.take();
        assert!(rarely >= 60 * SECOND && counters <= 540 * SECOND, "{rarely} {counters}");
        simulation.send(USUAL, 60 * SECOND);
        let [full, .., counters] = simulation.take();
        assert!(full >= 60 * SECOND - 11_100 && counters <= 8 * SECOND + 10, "{full} {counters}");
    }
}

#[test]
fn a_load_that_is_too_high_is_met_at_the_level_that_can_bear_it() {
    for (load, position) in [(1_200.0, 1), (2_000.0, 2), (3_000.0, 3), (5_000.0, 4)] {
        let mut simulation = Simulation::new();
        simulation.send(load, 60 * SECOND);
        simulation.take();
        simulation.changes.clear();
        simulation.send(load, 600 * SECOND);
        let spent = simulation.take();
        // Where records are made, nine tenths of the time; 8 s, and one to find that it is too early, where none are.
        let least = if position == LEVELS - 1 { 520 } else { 580 };
        assert!(spent[position] >= least * SECOND, "{load}: {spent:?}");
        assert!(simulation.changes.len() <= 2 * 600 / 8, "{load}: {} changes", simulation.changes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is sent in bursts of less than a second, something is recorded all the time.
    #[test]
    fn bursts_never_blind(
        bursts in prop::collection::vec((1..900_u64, 1_000.0..30_000.0_f64, 130..20_000_u64), 1..40),
    ) {
        let mut simulation = Simulation::new();
        for (length, packets, pause) in bursts {
            simulation.send(packets, length);
            simulation.send(USUAL, pause);
            prop_assert_eq!(simulation.spent[LEVELS - 1], 0);
        }
    }

    /// Whatever has been sent, a second after the pressure there are records again at the latest (eight seconds after many
    /// floods), and half a minute later all is as before.
    #[test]
    fn it_recovers_from_anything(
        loads in prop::collection::vec((1..5_000_u64, 0.0..30_000.0_f64), 1..60),
    ) {
        let mut simulation = Simulation::new();
        for (length, packets) in loads {
            simulation.send(packets, length);
        }
        simulation.take();
        simulation.send(USUAL, 40 * SECOND);
        let [full, .., counters] = simulation.take();
        prop_assert!(counters <= 8 * SECOND + 10, "{counters}");
        prop_assert!(full >= 8 * SECOND - 50, "{full}");
        prop_assert_eq!(simulation.run.degradation.level(), DegradeLevel::Full);
    }
}

use proptest::prelude::*;

use super::*;

const AUTO: DegradeConfig = DegradeConfig {
    mode: DegradeMode::Auto,
    rates: [SamplingRate::one_in(8).unwrap(), SamplingRate::one_in(64).unwrap()],
    high_fill: 0.75,
    low_fill: 0.25,
    window: Duration::from_millis(50),
    calm: Duration::from_secs(10),
    longest_calm: Duration::from_secs(45),
    relapse: Duration::from_mins(1),
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
fn every_level_is_reached_one_per_window_and_left_one_per_calm_period() {
    let mut run = Run::new(AUTO);
    assert_changes(&run.hold(BUSY, 1000), &[]);
    assert_changes(
        &run.hold(HIGH, 1000),
        &[
            // The ring is seen to be full from the first millisecond on, for 50.
            (51, "from full to flows (ring_fill)"),
            (102, "from flows to sampled 1:8 (ring_fill)"),
            (153, "from sampled 1:8 to sampled 1:64 (ring_fill)"),
            (204, "from sampled 1:64 to counters (ring_fill)"),
        ],
    );
    assert_changes(
        &run.hold(CALM, 60_000),
        &[
            (10_001, "from counters to sampled 1:64 (calm)"),
            (20_002, "from sampled 1:64 to sampled 1:8 (calm)"),
            (30_003, "from sampled 1:8 to flows (calm)"),
            (40_004, "from flows to full (calm)"),
        ],
    );
}

#[test]
fn drops_step_down_at_once() {
    for (pressure, change) in
        [(DROPS, "from full to flows (ring_drops)"), (REFUSED, "from full to flows (sink_queue_full)")]
    {
        let mut run = Run::new(AUTO);
        run.hold(CALM, 1000);
        assert_changes(&run.hold(pressure, 1), &[(1, change)]);
        // What the step has not cured within the window takes another one.
        assert_changes(&run.hold(pressure, 49), &[]);
        assert_eq!(run.hold(pressure, 1).len(), 1);
        assert_eq!(run.hold(pressure, 1000).len(), 2);
        assert_eq!(run.degradation.level(), Level::Counters);
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
    assert_eq!(run.degradation.level(), Level::Flows);
    assert_changes(&run.hold(BUSY, 100_000), &[]);
    for _ in 0..10 {
        assert_changes(&run.hold(CALM, 9_999), &[]);
        assert_changes(&run.hold(BUSY, 1), &[]);
    }
}

#[test]
fn relapses_double_the_wait_until_a_step_up_holds() {
    let mut run = Run::new(AUTO);
    run.hold(CALM, 1000);
    run.hold(DROPS, 1);
    for wait in [10_001, 20_001, 40_001, 45_001, 45_001] {
        assert_changes(&run.hold(CALM, wait), &[(wait, "from flows to full (calm)")]);
        run.hold(BUSY, 59_000);
        assert_eq!(run.hold(DROPS, 1).len(), 1);
    }
    assert_eq!(run.hold(CALM, 45_001).len(), 1);
    run.hold(BUSY, 60_001);
    assert_eq!(run.hold(DROPS, 1).len(), 1);
    assert_changes(&run.hold(CALM, 10_001), &[(10_001, "from flows to full (calm)")]);
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
    assert_changes(&run.hold(CALM, 8_000), &[]);
    assert_eq!(run.hold(CALM, 1_500).len(), 1);
}

#[test]
fn a_clock_that_is_set_back_stops_for_one_observation() {
    let mut run = Run::new(AUTO);
    run.now = 10_000_000;
    run.hold(CALM, 100);
    run.hold(DROPS, 1);
    run.hold(CALM, 5_000);
    run.now = 0;
    assert_changes(&run.hold(CALM, 6_000), &[(5_002, "from flows to full (calm)")]);
    let total: Duration = run.degradation.levels().iter().map(|used| used.time).sum();
    assert_eq!(total.as_millis(), 99 + 1 + 5_000 + 5_999);
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
                prop_assert_eq!(to < from, transition.reason == Reason::Calm);
                if to < from {
                    prop_assert!(calm >= AUTO.calm && since_change >= AUTO.calm);
                } else {
                    prop_assert!(pressing);
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

    /// Under one pressure the level moves one way only, and comes to an end.
    #[test]
    fn constant_pressure_moves_one_way(first in pressure(), second in pressure()) {
        let mut run = Run::new(AUTO);
        for pressure in [first, second] {
            let mut directions = Vec::new();
            for _ in 0..250_000 {
                directions.extend(run.observe(pressure).map(|transition| transition.reason == Reason::Calm));
            }
            prop_assert!(directions.windows(2).all(|pair| pair[0] == pair[1]));
            for _ in 0..50_000 {
                prop_assert_eq!(run.observe(pressure), None);
            }
        }
    }
}

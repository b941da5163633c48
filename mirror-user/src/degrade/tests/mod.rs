//! The rule, step by step; as properties of any course of pressure; and with a simulated ring.

mod properties;
mod simulation;

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

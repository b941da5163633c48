//! Properties that hold whatever the pressure does.

use proptest::prelude::*;

use super::*;

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

//! The cost of the daemon's XDP program alone.
//!
//! A loop that receives and recycles, and reads nothing, stands behind the least program that redirects, and behind the
//! daemon's, in turns. The generator is not paced, so its processor has nothing to do but generate, run the program and copy
//! into the socket: the time of a packet there is a second divided by the packets of a second. The difference is the cost
//! of the program, with all that follows from it in the kernel, such as metadata that is copied.

use std::fmt;
use std::time::Duration;

use mirror_testkit::traffic::Profile;
use mirror_user::config::Config;
use mirror_user::value::Timestamps;
use serde::{Deserialize, Serialize};

use super::{Effort, Setting, TrafficFacts};
use crate::measure::{Harness, Load, MeasureError, Measured};
use crate::receiver::{ProgramSetup, ReceiverKind};
use crate::statistics::Summary;

/// The cost of the XDP program in several configurations, under one traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct XdpCost {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Nanoseconds per packet on the receiving processor behind the least program that redirects; the generator's part is among
    /// them.
    pub least: Summary,
    /// Each configuration of the program.
    pub programs: Vec<ProgramCost>,
    /// Every round, in order: the least program, then the configurations.
    pub rounds: Vec<Vec<Measured>>,
}

/// The cost of the program in one configuration, in nanoseconds per packet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProgramCost {
    /// The configuration.
    pub name: String,
    /// Time on the receiving processor.
    pub nanoseconds: Summary,
    /// Time beyond that of the least program, round by round.
    pub difference: Summary,
}

/// The configurations that are measured.
pub fn setups() -> Vec<ProgramSetup> {
    let with = |name, change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        ProgramSetup { name, config: Box::new(config) }
    };
    vec![
        with("as it is by default under full load", |_| {}),
        with("exact time stamps", |config| config.capture.timestamps = Timestamps::Exact),
        with("any destination", |config| config.capture.any_destination = true),
        with("any destination, cut to 128 bytes", |config| {
            config.capture.any_destination = true;
            config.capture.snap_length = 128;
        }),
    ]
}

/// Eight rounds of a second and a half each.
pub const fn effort() -> Effort {
    Effort { warm_up: Duration::from_millis(200), duration: Duration::from_millis(1500), repeat: 8 }
}

impl XdpCost {
    /// Measures the program in the configurations `setups` under `profile`.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        setups: &[ProgramSetup],
        effort: Effort,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let load = Load { rate: None, duration: effort.duration };
        let kinds: Vec<ReceiverKind> = std::iter::once(ReceiverKind::RxDrop)
            .chain(setups.iter().cloned().map(ReceiverKind::XdpOnly))
            .collect();
        let mut rounds = Vec::with_capacity(effort.repeat);
        for _ in 0..effort.repeat {
            let mut round = Vec::with_capacity(kinds.len());
            for kind in &kinds {
                setting.progress.set_message(format!("XDP program: {}", kind.name()));
                round.push(harness.measure(kind, effort.warm_up, load)?.0);
            }
            rounds.push(round);
            setting.progress.inc(1);
        }
        let names = setups.iter().map(|setup| setup.name);
        Ok(Self::of(profile.into(), names, rounds))
    }

    /// Sums `rounds` up, each of which has the least program first.
    fn of<'a>(
        traffic: TrafficFacts,
        names: impl Iterator<Item = &'a str>,
        rounds: Vec<Vec<Measured>>,
    ) -> Self {
        let time = |round: &Vec<Measured>, place: usize| {
            round.get(place).map_or(f64::NAN, Measured::nanoseconds_at_the_kernel)
        };
        let summary =
            |value: &dyn Fn(&Vec<Measured>) -> f64| Summary::of(rounds.iter().map(value)).unwrap_or_default();
        let programs = (1..)
            .zip(names)
            .map(|(place, name)| ProgramCost {
                name: name.to_owned(),
                nanoseconds: summary(&|round| time(round, place)),
                difference: summary(&|round| time(round, place) - time(round, 0)),
            })
            .collect();
        Self { traffic, least: summary(&|round| time(round, 0)), programs, rounds }
    }
}

impl fmt::Display for XdpCost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, least, programs, rounds } = self;
        writeln!(
            formatter,
            "{traffic}; ns per packet on the processor of generator and kernel, {} rounds",
            rounds.len()
        )?;
        write!(formatter, "  {:<36} {least:.1}", "the least program that redirects")?;
        for ProgramCost { name, nanoseconds, difference } in programs {
            write!(
                formatter,
                "\n  {name:<36} {nanoseconds:.1}: {difference:+.1} more, from {:+.1} to {:+.1}",
                difference.least, difference.greatest
            )?;
        }
        write!(formatter, "\n\n  round by round: ns per packet, the loss in parentheses")?;
        for (number, round) in rounds.iter().enumerate() {
            write!(formatter, "\n  {:<6}", number + 1)?;
            for measured in round {
                let (time, loss) = (measured.nanoseconds_at_the_kernel(), measured.loss());
                write!(formatter, " {time:>8.1} ({loss:.4})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_taken_round_by_round() {
        let measured = |offered, refused| Measured { offered, refused, seconds: 1.0, ..Measured::default() };
        // 100 and 125 ns, then a phase of the machine that is twice as slow.
        let rounds = vec![
            vec![measured(10_000_000, 0), measured(8_000_000, 0)],
            vec![measured(6_000_000, 1_000_000), measured(4_000_000, 0)],
            vec![measured(5_000_000, 0), measured(4_000_000, 0)],
        ];
        let cost = XdpCost::of(TrafficFacts::from(&Profile::geneve()), ["one"].into_iter(), rounds);
        let [program] = cost.programs.as_slice() else { panic!("{cost:?}") };
        assert!((cost.least.median - 200.0).abs() < 1e-6);
        assert!((program.nanoseconds.median - 250.0).abs() < 1e-6);
        assert!((program.difference.least - 25.0).abs() < 1e-6, "{cost}");
        assert!((program.difference.median - 50.0).abs() < 1e-6, "{cost}");
    }
}

//! Retention: the part of bare AF_XDP's throughput that the pipeline retains.
//!
//! Both receivers take turns, A B A B, so that what disturbs the machine for longer than a measurement disturbs both. The
//! ratio is that of what they deliver while the generator sends as fast as it can. Generator and kernel share a
//! processor: a pipeline that costs the kernel more also lowers what it is offered, which is part of its cost. So every pair
//! counts, whatever it shows. Beside it, both are offered the same rate, for the loss of each.

use std::fmt;
use std::time::Duration;

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::{Effort, Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Measured};
use crate::receiver::{PipelineSetup, ReceiverKind, Records, SinkKind};
use crate::statistics::Summary;

/// The paced rate as a part of what the generator can offer to the slower receiver.
const PACED: f64 = 0.9;

/// The part of the bare loop's rate that the pipeline retains, under one traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Records that the pipeline made.
    pub records: Records,
    /// Their destination.
    pub sink: SinkKind,
    /// The generator sends as fast as it can.
    pub unpaced: Turns,
    /// Both receivers are offered the same rate.
    pub paced: Turns,
}

/// Pairs of measurements under the same load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turns {
    /// Packets per second that both were to be offered, in millions; none where the generator was not paced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Delivered by the pipeline as a part of what the bare loop delivered, over all pairs.
    pub ratio: Summary,
    /// The bare loop.
    pub bare: Side,
    /// The pipeline.
    pub pipeline: Side,
    /// Every pair, in order.
    pub pairs: Vec<Pair>,
}

/// The measurements of one receiver, summed up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Side {
    /// Packets per second that were offered, in millions.
    pub offered: Summary,
    /// Packets per second that were delivered, in millions.
    pub delivered: Summary,
    /// The part of the offered packets that was lost.
    pub loss: Summary,
    /// User-space nanoseconds per packet in batches that were not empty; for the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds_per_packet: Option<Summary>,
}

/// Two measurements, one right after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The bare loop.
    pub bare: Measured,
    /// The pipeline.
    pub pipeline: Measured,
}

impl Pair {
    /// Delivered by the pipeline as a part of what the bare loop delivered.
    pub fn ratio(&self) -> f64 {
        self.pipeline.delivered_rate() / self.bare.delivered_rate()
    }
}

impl Side {
    fn of(measured: &[&Measured]) -> Self {
        let summary = |value: fn(&Measured) -> f64| {
            Summary::of(measured.iter().map(|measured| value(measured))).unwrap_or_default()
        };
        Self {
            offered: summary(|measured| millions(measured.offered_rate())),
            delivered: summary(|measured| millions(measured.delivered_rate())),
            loss: summary(Measured::loss),
            nanoseconds_per_packet: Summary::of(
                measured.iter().filter_map(|measured| measured.nanoseconds_per_packet),
            ),
        }
    }
}

impl Turns {
    /// Sums up all of `pairs`.
    fn of(rate: Option<u64>, pairs: Vec<Pair>) -> Self {
        Self {
            rate: rate.map(|rate| millions(rate as f64)),
            ratio: Summary::of(pairs.iter().map(Pair::ratio)).unwrap_or_default(),
            bare: Side::of(&pairs.iter().map(|pair| &pair.bare).collect::<Vec<_>>()),
            pipeline: Side::of(&pairs.iter().map(|pair| &pair.pipeline).collect::<Vec<_>>()),
            pairs,
        }
    }
}

/// The measurements of one retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Pairs without pacing, and each of their measurements.
    pub unpaced: Effort,
    /// Pairs at the same rate.
    pub paced: Effort,
    /// Packets per second to offer to both in paced pairs; without it, nine tenths of what can be offered to the slower one.
    pub rate: Option<u64>,
}

impl Pairing {
    /// The pairs of the headline: twelve, and three at the same rate.
    pub const fn headline() -> Self {
        let (warm_up, duration) = (Duration::from_secs(2), Duration::from_secs(2));
        Self {
            unpaced: Effort { warm_up, duration, repeat: 12 },
            paced: Effort { warm_up, duration, repeat: 3 },
            rate: None,
        }
    }

    /// One pair at a rate that is no trouble, to see that everything works.
    pub const fn quick() -> Self {
        let (warm_up, duration) = (Duration::from_millis(20), Duration::from_millis(100));
        let effort = Effort { warm_up, duration, repeat: 1 };
        Self { unpaced: effort, paced: effort, rate: Some(50_000) }
    }

    /// Measurements of both kinds.
    pub const fn steps(&self) -> usize {
        self.unpaced.repeat + self.paced.repeat
    }
}

impl Retention {
    /// Measures `pipeline` against the bare loop under `profile`.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        pipeline: &PipelineSetup,
        pairing: Pairing,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let [bare, full] = [ReceiverKind::RxDrop, ReceiverKind::Pipeline(pipeline.clone())];
        let traffic = TrafficFacts::from(profile);
        let take_turns = |words: &str, rate, effort: Effort| -> Result<Turns, MeasureError> {
            let load = Load { rate, duration: effort.duration };
            let mut pairs = Vec::with_capacity(effort.repeat);
            for _ in 0..effort.repeat {
                setting
                    .progress
                    .set_message(format!("{traffic}, {} records: {words}", pipeline.records.name()));
                let (bare, _) = harness.measure(&bare, effort.warm_up, load)?;
                let (pipeline, _) = harness.measure(&full, effort.warm_up, load)?;
                pairs.push(Pair { bare, pipeline });
                setting.progress.inc(1);
            }
            Ok(Turns::of(rate, pairs))
        };
        let unpaced = take_turns("unpaced", None, pairing.unpaced)?;
        let rate = pairing.rate.unwrap_or_else(|| common_rate(&unpaced));
        let paced = take_turns("paced", Some(rate), pairing.paced)?;
        Ok(Self { traffic, records: pipeline.records, sink: pipeline.sink, unpaced, paced })
    }
}

/// A rate that can be offered to both, in packets per second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate below 10^9")]
fn common_rate(unpaced: &Turns) -> u64 {
    let slower = unpaced.bare.offered.median.min(unpaced.pipeline.offered.median);
    ((slower * 1e6 * PACED) as u64).max(1)
}

impl fmt::Display for Retention {
    /// Medians, quartiles and range; with `#`, also each pair.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, records, sink, unpaced, paced } = self;
        writeln!(formatter, "{traffic}; {} records, sink {}", records.name(), sink.name())?;
        let Turns { ratio, bare, pipeline, pairs, .. } = unpaced;
        writeln!(
            formatter,
            "  retention   {ratio:.3}, from {:.3} to {:.3} (all {} pairs, unpaced)",
            ratio.least,
            ratio.greatest,
            pairs.len()
        )?;
        writeln!(
            formatter,
            "  unpaced     pipeline {:.3} Mpps, rxdrop {:.3} Mpps",
            pipeline.delivered, bare.delivered
        )?;
        write!(
            formatter,
            "  at {:.3} Mpps  pipeline offered {:.3}, loss {:.4}; rxdrop offered {:.3}, loss {:.4} ({} pairs)",
            paced.rate.unwrap_or_default(),
            paced.pipeline.offered,
            paced.pipeline.loss,
            paced.bare.offered,
            paced.bare.loss,
            paced.pairs.len()
        )?;
        if let Some(nanoseconds) = &pipeline.nanoseconds_per_packet {
            write!(formatter, "\n  user space  {nanoseconds:.1} ns per packet, unpaced")?;
        }
        if formatter.alternate() {
            for (words, turns) in [("unpaced", unpaced), ("paced", paced)] {
                write!(
                    formatter,
                    "\n\n  {words:<8}  rxdrop: offered, delivered   pipeline: offered, delivered  (in records, open)   ratio"
                )?;
                for (number, pair) in turns.pairs.iter().enumerate() {
                    let Pair { bare, pipeline } = pair;
                    let [in_records, open] =
                        [pipeline.recorded, pipeline.open].map(Option::unwrap_or_default);
                    write!(
                        formatter,
                        "\n  {:<8} {:>16.3} {:>11.3} {:>18.3} {:>11.3}  ({in_records:>10}, {open:>9})  {:.3}",
                        number + 1,
                        millions(bare.offered_rate()),
                        millions(bare.delivered_rate()),
                        millions(pipeline.offered_rate()),
                        millions(pipeline.delivered_rate()),
                        pair.ratio()
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(bare: u64, pipeline: u64) -> Pair {
        let measured =
            |packets| Measured { offered: packets, delivered: packets, seconds: 2.0, ..Measured::default() };
        Pair { bare: measured(bare), pipeline: measured(pipeline) }
    }

    #[test]
    fn every_pair_counts_however_different_the_offers_are() {
        let pairs = vec![pair(1_000_000, 980_000), pair(1_000_000, 500_000), pair(900_000, 1_000_000)];
        let turns = Turns::of(None, pairs);
        assert_eq!((turns.ratio.count, turns.pairs.len()), (3, 3));
        assert_eq!((turns.ratio.least, turns.ratio.median), (0.5, 0.98));
        assert!((turns.ratio.greatest - 10.0 / 9.0).abs() < 1e-9);
    }

    #[test]
    fn the_ratio_is_that_of_what_was_delivered_and_loss_is_apart() {
        let mut pair = pair(1000, 1000);
        (pair.bare.delivered, pair.pipeline.delivered) = (900, 720);
        let turns = Turns::of(Some(500), vec![pair]);
        assert!((turns.ratio.median - 0.8).abs() < 1e-9);
        assert!(
            (turns.bare.loss.median - 0.1).abs() < 1e-9 && (turns.pipeline.loss.median - 0.28).abs() < 1e-9
        );
    }

    #[test]
    fn the_paced_rate_can_be_offered_to_the_slower_receiver() {
        let turns = Turns::of(None, vec![pair(2_000_000, 1_000_000)]);
        assert_eq!(common_rate(&turns), 450_000);
    }

    #[test]
    fn each_pair_is_shown_where_that_is_asked_for() {
        let traffic = TrafficFacts::from(&Profile::mirrored());
        let unpaced = Turns::of(None, vec![pair(4_000_000, 3_000_000), pair(4_000_000, 3_200_000)]);
        let paced = Turns::of(Some(1_000_000), vec![pair(2_000_000, 2_000_000)]);
        let (records, sink) = (Records::Flow, SinkKind::Null);
        let retention = Retention { traffic, records, sink, unpaced, paced };
        let shown = format!("{retention:#}");
        for text in [
            "0.775 (0.762–0.788), from 0.750 to 0.800 (all 2 pairs, unpaced)",
            "  0.750\n",
            "  0.800\n",
            "  1.000",
        ] {
            assert!(shown.contains(text), "{text} in {shown}");
        }
        assert!(!format!("{retention}").contains("  0.750\n"));
    }
}

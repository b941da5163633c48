//! Retention: the part of bare AF_XDP's throughput that the pipeline retains.
//!
//! Both receivers take turns, A B A B, so that what disturbs the machine for longer than a measurement disturbs both.
//! They are offered the same rate: the most that the generator can offer to either of them, for a generator on the
//! kernel's own processor is faster when the receiver asks less of the kernel. A pair whose offered rates differ all the
//! same is discarded. The highest rate of each is measured before, without pacing.

use std::fmt;
use std::time::Duration;

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use super::{Effort, Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Measured};
use crate::receiver::{PipelineSetup, ReceiverKind, Records, SinkKind};
use crate::statistics::Summary;

/// Greatest difference of the offered rates of a pair, as a part of the higher one.
pub const TOLERANCE: f64 = 0.05;
/// The offered rate as a part of the highest that can be offered to both.
const MARGIN: f64 = 0.97;
/// Greatest number of discarded pairs for each that is kept.
const PATIENCE: usize = 2;

/// The part of the bare loop's rate that the pipeline retains, under one traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Records that the pipeline made.
    pub records: Records,
    /// Their destination.
    pub sink: SinkKind,
    /// Packets per second that both were to be offered, in millions.
    pub offered: f64,
    /// Delivered by the pipeline as a part of what the bare loop delivered, over the pairs that were kept; none where
    /// none was kept.
    pub ratio: Option<Summary>,
    /// Pairs that were discarded because their offered rates differed by more than [`TOLERANCE`].
    pub thrown_out: usize,
    /// The same ratio where both are offered as much as the generator can, which is not the same for both.
    pub peak_ratio: f64,
    /// The bare loop without pacing.
    pub bare_peak: Rate,
    /// The pipeline without pacing.
    pub pipeline_peak: Rate,
    /// Every pair.
    pub pairs: Vec<Pair>,
}

/// Two measurements, one right after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The bare loop.
    pub bare: Measured,
    /// The pipeline.
    pub pipeline: Measured,
    /// True if both were offered the same rate.
    pub kept: bool,
}

impl Pair {
    fn new(bare: Measured, pipeline: Measured) -> Self {
        let kept = alike(bare.offered_rate(), pipeline.offered_rate());
        Self { bare, pipeline, kept }
    }

    fn ratio(&self) -> f64 {
        self.pipeline.delivered_rate() / self.bare.delivered_rate()
    }
}

/// True if two offered rates differ by no more than [`TOLERANCE`].
fn alike(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE * one.max(other)
}

/// The measurements of one retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Pairs that are kept, and each of their measurements.
    pub pairs: Effort,
    /// The measurements without pacing, of each receiver.
    pub peaks: usize,
    /// Packets per second to offer to both; without it, as many as can be offered to both.
    pub rate: Option<u64>,
}

impl Default for Pairing {
    /// Ten pairs of two seconds.
    fn default() -> Self {
        let (warm_up, duration) = (Duration::from_millis(300), Duration::from_secs(2));
        Self { pairs: Effort { warm_up, duration, repeat: 10 }, peaks: 5, rate: None }
    }
}

impl Pairing {
    /// One pair at a rate that is no trouble, to see that everything works.
    pub fn quick() -> Self {
        let (warm_up, duration) = (Duration::from_millis(20), Duration::from_millis(100));
        Self { pairs: Effort { warm_up, duration, repeat: 1 }, peaks: 1, rate: Some(50_000) }
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
        let kinds = [ReceiverKind::RxDrop, ReceiverKind::Pipeline(pipeline.clone())];
        let Effort { warm_up, duration, repeat } = pairing.pairs;
        let measure_both = |rate| -> Result<[Measured; 2], MeasureError> {
            let load = Load { rate, duration };
            let [bare, full] = &kinds;
            Ok([harness.measure(bare, warm_up, load)?.0, harness.measure(full, warm_up, load)?.0])
        };
        let traffic = TrafficFacts::from(profile);
        setting.progress.set_message(format!("{traffic}, {} records: peaks", pipeline.records.name()));
        let mut peaks = [Vec::new(), Vec::new()];
        for _ in 0..pairing.peaks {
            for (peaks, measured) in peaks.iter_mut().zip(measure_both(None)?) {
                peaks.push(measured);
            }
            setting.progress.inc(1);
        }
        let [bare, full] = peaks;
        let (bare_peak, pipeline_peak) =
            (Rate::of(&kinds[0], profile, bare), Rate::of(&kinds[1], profile, full));
        let rate = pairing.rate.unwrap_or_else(|| common_rate(&bare_peak, &pipeline_peak));

        let mut pairs: Vec<Pair> = Vec::with_capacity(repeat);
        let mut kept = 0;
        while kept < repeat && pairs.len() < (1 + PATIENCE) * repeat {
            setting.progress.set_message(format!("{traffic}, {} records: pairs", pipeline.records.name()));
            let [bare, full] = measure_both(Some(rate))?;
            let pair = Pair::new(bare, full);
            kept += usize::from(pair.kept);
            setting.progress.inc(u64::from(pair.kept));
            pairs.push(pair);
        }
        setting.progress.inc((repeat - kept) as u64);
        Ok(Self {
            traffic,
            records: pipeline.records,
            sink: pipeline.sink,
            offered: millions(rate as f64),
            ratio: Summary::of(pairs.iter().filter(|pair| pair.kept).map(Pair::ratio)),
            thrown_out: pairs.len() - kept,
            peak_ratio: pipeline_peak.delivered.median / bare_peak.delivered.median,
            bare_peak,
            pipeline_peak,
            pairs,
        })
    }

    /// User-space nanoseconds per packet over the pairs, in batches that were not empty.
    pub fn nanoseconds_per_packet(&self) -> Option<Summary> {
        Summary::of(self.pairs.iter().filter_map(|pair| pair.pipeline.nanoseconds_per_packet))
    }
}

/// The rate that can be offered to both, in packets per second.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate below 10^9")]
fn common_rate(bare: &Rate, pipeline: &Rate) -> u64 {
    let slower = bare.offered.median.min(pipeline.offered.median);
    ((slower * 1e6 * MARGIN) as u64).max(1)
}

impl fmt::Display for Retention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, records, sink, offered, thrown_out, peak_ratio, .. } = self;
        writeln!(formatter, "{traffic}, {} records, sink {}", records.name(), sink.name())?;
        write!(formatter, "  retention  ")?;
        match &self.ratio {
            Some(ratio) => write!(formatter, "{ratio:.3}, from {:.3} to {:.3}", ratio.least, ratio.greatest)?,
            None => write!(formatter, "not measured: the machine is too unsteady")?,
        }
        let kept = self.pairs.len() - thrown_out;
        writeln!(formatter, " ({kept} pairs at {offered:.3} Mpps, {thrown_out} discarded)")?;
        let (bare, pipeline) = (&self.bare_peak.delivered, &self.pipeline_peak.delivered);
        write!(
            formatter,
            "  unpaced    pipeline {pipeline:.3} Mpps, rxdrop {bare:.3} Mpps: {peak_ratio:.3}"
        )?;
        if let Some(nanoseconds) = self.nanoseconds_per_packet() {
            write!(formatter, "\n  user space {nanoseconds:.1} ns per packet")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(offered: u64, delivered: u64) -> Measured {
        Measured { offered, delivered, seconds: 2.0, ..Measured::default() }
    }

    #[test]
    fn pairs_with_different_offers_are_thrown_out() {
        for (bare, pipeline, kept) in [
            (1_000_000, 1_000_000, true),
            (1_000_000, 951_000, true),
            (1_000_000, 949_000, false),
            (949_000, 1_000_000, false),
            (0, 1, false),
        ] {
            let pair = Pair::new(measured(bare, bare), measured(pipeline, pipeline));
            assert_eq!(pair.kept, kept, "{bare} and {pipeline}");
        }
    }

    #[test]
    fn the_ratio_is_that_of_what_was_delivered() {
        let pair = Pair::new(measured(1000, 900), measured(1000, 720));
        assert!((pair.ratio() - 0.8).abs() < 1e-9);
    }
}

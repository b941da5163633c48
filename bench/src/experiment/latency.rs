//! Latency: the time from the moment for which a packet was meant to the moment when its record is encoded.
//!
//! The generator stamps each packet with the time at which it is due by its rate, also when it comes too late to send
//! it then: what waits behind a stall counts as having waited. Packets without a record are no latencies; they are
//! reported apart.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::ndr::{self, SOME_LOSS};
use super::plan::Plan;
use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError};
use crate::receiver::{Latencies, PipelineSetup, ReceiverKind, Records};
use crate::search::Trials;

/// Traffic before each measurement.
const WARM_UP: Duration = Duration::from_millis(500);
/// Time limit for records after the last packet.
const PATIENCE: Duration = Duration::from_secs(5);
/// Quantiles of a curve: as many nines as the number of packets bears.
const QUANTILES: [f64; 16] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99999,
    0.999_999,
];

/// The latencies of the pipeline at several rates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// The rate of which the others are fractions, in millions of packets per second.
    pub rate: f64,
    /// One for each rate.
    pub curves: Vec<Curve>,
}

/// The latencies at one rate; times in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The part of the rate that was offered.
    pub fraction: f64,
    /// Packets per second that were in fact offered, in millions.
    pub offered: f64,
    /// Packets that were offered.
    pub packets: u64,
    /// Packets among them without a record.
    pub lost: u64,
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The 99.9th percentile.
    pub p999: u64,
    /// The greatest.
    pub max: u64,
    /// Quantiles, from 0 to 1, and their times.
    pub quantiles: Vec<(f64, u64)>,
}

/// Parts of the sustainable rate at which latencies are measured.
pub const FRACTIONS: [f64; 4] = [0.1, 0.5, 0.75, 0.9];

/// The default plan: ten seconds at each rate.
pub fn plan() -> Plan {
    Plan::thorough(Duration::from_secs(10))
}

/// The plan of one short measurement, to see that everything works, and its part of the rate.
pub const fn quick_plan() -> (Plan, [f64; 1]) {
    (Plan::quick(Duration::from_millis(200)), [0.5])
}

impl Latency {
    /// Measures the latency of packet records under `profile`, at `fractions` of the plan's rate.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        plan: &Plan,
        fractions: &[f64],
    ) -> Result<Self, MeasureError> {
        let profile = Profile { stamped: true, ..profile.clone() };
        let latencies = Latencies::new()?;
        let pipeline = PipelineSetup {
            records: Records::Packet,
            latencies: Some(latencies.clone()),
            ..PipelineSetup::default()
        };
        let rate = match plan.rate {
            Some(rate) => rate,
            None => sustainable(setting, &profile, &pipeline, &plan.search)?,
        };
        let harness = Harness::new(&profile, setting.processors, &setting.interrupt)?;
        let session = harness.start(&ReceiverKind::Pipeline(pipeline))?;
        let mut curves = Vec::with_capacity(fractions.len());
        for &fraction in fractions {
            setting.progress.set_message(format!("latencies at {:.0} %", fraction * 100.0));
            let rate = Some(scale(rate, fraction));
            session.send(Load { rate, duration: WARM_UP.min(plan.duration) })?;
            thread::sleep(Duration::from_millis(100)); // the sink writes what is left
            latencies.take();
            let measured = session.send(Load { rate, duration: plan.duration })?;
            let histogram = wait_for(&latencies, measured.delivered);
            let lost = measured.offered.saturating_sub(histogram.len());
            curves.push(Curve::new(fraction, &histogram, measured.offered, measured.offered_rate(), lost));
            setting.progress.inc(1);
        }
        session.stop()?;
        Ok(Self { traffic: (&profile).into(), rate: millions(rate as f64), curves })
    }
}

/// The highest rate with little loss.
fn sustainable(
    setting: &Setting,
    profile: &Profile,
    pipeline: &PipelineSetup,
    trials: &Trials,
) -> Result<u64, MeasureError> {
    // Stamps need a rate, and the first look at what can be offered has none.
    let profile = Profile { stamped: false, ..profile.clone() };
    let harness = Harness::new(&profile, setting.processors, &setting.interrupt)?;
    let session = harness.start(&ReceiverKind::Pipeline(pipeline.clone()))?;
    let greatest = ndr::greatest_offer(&session, trials.short)?;
    let found = ndr::find(setting, &session, SOME_LOSS, trials, greatest)?;
    session.stop()?;
    Ok(found.rate.unwrap_or_else(|| scale(greatest, 0.1)))
}

/// Takes the latencies of `records` records, once the sink has come to them.
fn wait_for(latencies: &Latencies, records: u64) -> Histogram<u64> {
    let deadline = Instant::now() + PATIENCE;
    while latencies.count() < records && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    latencies.take()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a rate")]
fn scale(rate: u64, fraction: f64) -> u64 {
    ((rate as f64 * fraction) as u64).max(1)
}

impl Curve {
    fn new(fraction: f64, histogram: &Histogram<u64>, packets: u64, offered_rate: f64, lost: u64) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        // A quantile that no packet decides about says nothing.
        let told = |quantile: &&f64| (1.0 - **quantile) * histogram.len() as f64 >= 1.0;
        let mut quantiles: Vec<(f64, u64)> =
            QUANTILES.iter().filter(told).map(|&quantile| (quantile, at(quantile))).collect();
        quantiles.push((1.0, histogram.max()));
        Self {
            fraction,
            offered: millions(offered_rate),
            packets,
            lost,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            quantiles,
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, rate, curves } = self;
        writeln!(formatter, "{traffic}: from the intended time of sending to the record, in microseconds")?;
        write!(formatter, "  of {rate:.3} Mpps     p50       p99     p99.9       max    lost")?;
        for Curve { fraction, offered, packets, lost, p50, p99, p999, max, .. } in curves {
            let [p50, p99, p999, max] = [p50, p99, p999, max].map(|&time| time as f64 / 1e3);
            let share = *lost as f64 / (*packets).max(1) as f64 * 100.0;
            write!(
                formatter,
                "\n  {:>3.0} %, {offered:.3} {p50:>9.1} {p99:>9.1} {p999:>9.1} {max:>9.1} {lost:>7} ({share:.3} %)",
                fraction * 100.0
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_the_quantiles_that_its_packets_decide_about() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        (1..=1000).for_each(|time| histogram.record(time * 100).unwrap());
        let curve = Curve::new(0.5, &histogram, 1003, 2e6, 3);
        assert_eq!((curve.offered, curve.packets, curve.lost), (2.0, 1003, 3));
        for (told, expected) in
            [(curve.p50, 50_000), (curve.p99, 99_000), (curve.p999, 99_900), (curve.max, 100_000)]
        {
            assert!(histogram.equivalent(told, expected), "{told} for {expected}");
        }
        let quantiles: Vec<f64> = curve.quantiles.iter().map(|(quantile, _)| *quantile).collect();
        assert_eq!(quantiles.last(), Some(&1.0));
        assert!(!quantiles.contains(&0.9995), "half a packet");
        assert!(curve.quantiles.is_sorted_by_key(|(_, time)| *time));
    }
}

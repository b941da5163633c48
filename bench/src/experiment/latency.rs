//! How long a packet takes from the moment for which it was meant to the moment when its record is encoded.
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

use super::ndr::{self, SOME};
use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError};
use crate::receiver::{Kind, Latencies, Pipeline, Records};

/// The part of the greatest rate that packets before a measurement come at.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long records may take after the last packet.
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
    /// Packets per second that really were offered, in millions.
    pub offered: f64,
    /// Packets that were offered.
    pub packets: u64,
    /// Packets among them without a record.
    pub lost: u64,
    /// Half of the packets took less.
    pub p50: u64,
    /// 99 of 100.
    pub p99: u64,
    /// 999 of 1,000.
    pub p999: u64,
    /// None took longer.
    pub max: u64,
    /// Quantiles, from 0 to 1, and their times.
    pub quantiles: Vec<(f64, u64)>,
}

/// How the time is spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Packets per second of which `fractions` are fractions; without it, the highest with 0.5 % loss.
    pub rate: Option<u64>,
    /// The rates.
    pub fractions: Vec<f64>,
    /// Each measurement.
    pub duration: Duration,
    /// The search for the rate.
    pub search: ndr::Plan,
}

impl Default for Plan {
    /// From a tenth of the rate to nine tenths, ten seconds each.
    fn default() -> Self {
        let search = ndr::Plan { long: Duration::from_secs(5), ..ndr::Plan::default() };
        Self { rate: None, fractions: vec![0.1, 0.5, 0.75, 0.9], duration: Duration::from_secs(10), search }
    }
}

impl Plan {
    /// One short measurement, to see that everything works.
    pub fn quick() -> Self {
        let duration = Duration::from_millis(200);
        Self { rate: None, fractions: vec![0.5], duration, search: ndr::Plan::quick() }
    }
}

impl Latency {
    /// Measures the way of packets to records of packets under `profile`.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(setting: &Setting, profile: &Profile, plan: &Plan) -> Result<Self, MeasureError> {
        let profile = Profile { stamped: true, ..profile.clone() };
        let latencies = Latencies::new()?;
        let pipeline =
            Pipeline { records: Records::Packet, latencies: Some(latencies.clone()), ..Pipeline::default() };
        let rate = match plan.rate {
            Some(rate) => rate,
            None => sustainable(setting, &profile, &pipeline, &plan.search)?,
        };
        let harness = Harness::new(&profile, setting.processors, &setting.interrupt)?;
        let session = harness.start(&Kind::Pipeline(pipeline))?;
        let mut curves = Vec::with_capacity(plan.fractions.len());
        for &fraction in &plan.fractions {
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
    pipeline: &Pipeline,
    plan: &ndr::Plan,
) -> Result<u64, MeasureError> {
    // Stamps need a rate, and the first look at what can be offered has none.
    let profile = Profile { stamped: false, ..profile.clone() };
    let harness = Harness::new(&profile, setting.processors, &setting.interrupt)?;
    let session = harness.start(&Kind::Pipeline(pipeline.clone()))?;
    let greatest = ndr::greatest_offer(&session, plan.short)?;
    let found = ndr::find(setting, &session, &plan.goal(SOME), greatest)?;
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

//! Overload: at twice its sustainable rate the pipeline must keep its throughput and its memory, and account for every
//! packet.
//!
//! Generator and kernel share a processor, and on a small machine that is the bottleneck: the worker can take all that
//! they can offer. It is then made slower, in proportion to its own work, until they can offer twice what it takes.
//! Nothing is left off by degradation, so whatever is delivered has its full records.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::ndr::{self, SOME_LOSS};
use super::plan::Plan;
use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Session};
use crate::receiver::{PipelineSetup, ReceiverKind, Records, SinkKind};

/// The least part of its peak rate that the pipeline must keep.
pub const KEPT: f64 = 0.95;
/// Greatest growth of memory, in bytes, that counts as none: batches of the sink that were never needed before.
pub const FLAT: u64 = 16 << 20;
/// The offered rate as a multiple of the sustainable one.
const FACTOR: f64 = 2.0;
/// The least multiple that shows anything.
pub const LEAST_FACTOR: f64 = 1.9;
/// The least rate of the unpaced generator as a multiple of the rate that the pipeline takes.
const HEADROOM: f64 = 2.4;
/// Attempts to slow the worker down so far.
const ATTEMPTS: usize = 5;
/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// The part of the time that it may take for the memory to have its size.
const SETTLED: f64 = 0.2;

/// The behaviour of the pipeline under overload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overload {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// The records that were made.
    pub records: Records,
    /// The destination of the records.
    pub sink: SinkKind,
    /// Factor by which the worker was slowed down.
    pub slowdown: f64,
    /// The highest rate with 0.5 % loss, in millions of packets per second; none where more is lost at any rate.
    pub sustainable: Option<f64>,
    /// The most that was delivered at that rate or at the highest that the generator can offer, likewise.
    pub peak: f64,
    /// The offered rate during the overload, likewise.
    pub offered: f64,
    /// That rate as a multiple of the sustainable one, or of the peak where that is higher.
    pub factor: f64,
    /// Duration of the overload in seconds.
    pub seconds: f64,
    /// The delivered rate during the overload, in millions of packets per second.
    pub delivered: f64,
    /// The part of the peak that this is.
    pub kept: f64,
    /// Growth of the program's memory in bytes, once it had settled.
    pub memory_growth: u64,
    /// True if the ledger balances.
    pub balanced: bool,
    /// Packets that were dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Samples during the overload.
    pub samples: Vec<Sample>,
}

/// A sample during the overload.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since it began.
    pub seconds: f64,
    /// Packets delivered so far.
    pub delivered: u64,
    /// Resident memory of the program in bytes.
    pub memory: u64,
}

/// The default plan: half a minute of overload.
pub fn plan() -> Plan {
    Plan::thorough(Duration::from_secs(30))
}

/// The plan of half a second, to see that everything works.
pub const fn quick_plan() -> Plan {
    Plan::quick(Duration::from_millis(500))
}

impl Overload {
    /// Overloads `pipeline` with the packets of `profile`. Its worker is made `slowdown` times slower; without that, as
    /// much slower as the generator needs it to be.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        pipeline: &PipelineSetup,
        plan: &Plan,
        slowdown: Option<f64>,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let slowdown = match slowdown {
            Some(slowdown) => slowdown,
            None => slowdown_needed(setting, &harness, pipeline, plan.search.short)?,
        };
        let pipeline = PipelineSetup { slowdown, ..pipeline.clone() };
        let session = harness.start(&ReceiverKind::Pipeline(pipeline.clone()))?;
        let Best { sustainable, peak } = Best::measure(setting, &session, plan)?;

        setting.progress.set_message("overloaded");
        let most = sustainable.map_or(peak, |rate| peak.max(rate as f64));
        let load = Load { rate: Some(times(most, FACTOR)), duration: plan.duration };
        let before = session.counts()?;
        let (report, samples) = send_watched(&harness, &session, load)?;
        let delivered = session.settled(before.received + report.sent)?.delivered - before.delivered;
        let ended = session.stop()?;
        setting.progress.inc(1);

        let [offered, delivered] = [report.offered, delivered].map(|packets| packets as f64 / report.seconds);
        Ok(Self {
            traffic: profile.into(),
            records: pipeline.records,
            sink: pipeline.sink,
            slowdown,
            sustainable: sustainable.map(|rate| millions(rate as f64)),
            peak: millions(peak),
            offered: millions(offered),
            factor: offered / most,
            seconds: report.seconds,
            delivered: millions(delivered),
            kept: delivered / peak,
            memory_growth: growth(&samples),
            balanced: ended.ledger.as_ref().is_some_and(|ledger| ledger.balanced),
            dropped: ended.ledger.map(|ledger| owned(ledger.dropped)).unwrap_or_default(),
            samples,
        })
    }

    /// True if the pipeline met every goal.
    pub fn passed(&self) -> bool {
        self.factor >= LEAST_FACTOR && self.kept >= KEPT && self.memory_growth <= FLAT && self.balanced
    }
}

/// The same drops with names that can be read back from a report.
fn owned(dropped: BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    dropped.into_iter().map(|(reason, packets)| (reason.to_owned(), packets)).collect()
}

/// The slowdown of the worker with which the generator offers [`HEADROOM`] times the rate that it takes.
fn slowdown_needed(
    setting: &Setting,
    harness: &Harness,
    pipeline: &PipelineSetup,
    duration: Duration,
) -> Result<f64, MeasureError> {
    let mut slowdown = 1.0;
    for _ in 0..ATTEMPTS {
        setting.progress.set_message(format!("a worker {slowdown:.1} times slower"));
        let kind = ReceiverKind::Pipeline(PipelineSetup { slowdown, ..pipeline.clone() });
        let (measured, _) = harness.measure(&kind, duration / 2, Load { rate: None, duration })?;
        setting.progress.inc(1);
        let headroom = measured.offered_rate() / measured.delivered_rate();
        if headroom >= HEADROOM {
            break;
        }
        // From the worker's own time per packet, as far as it is known: it may have been waiting for packets.
        let own = measured.nanoseconds_per_packet.unwrap_or_default() / 1e9;
        let needed = HEADROOM / (measured.offered_rate() * own);
        slowdown = needed.max(slowdown * HEADROOM / headroom);
    }
    Ok(slowdown)
}

/// The highest rates of the pipeline, in packets per second.
struct Best {
    /// The highest rate with 0.5 % loss.
    sustainable: Option<u64>,
    /// The highest rate that is delivered.
    peak: f64,
}

impl Best {
    fn measure(setting: &Setting, session: &Session<'_>, plan: &Plan) -> Result<Self, MeasureError> {
        let delivered = |rate, words| -> Result<f64, MeasureError> {
            setting.progress.set_message(words);
            let measured = session.send(Load { rate, duration: plan.search.long })?;
            setting.progress.inc(1);
            Ok(measured.delivered_rate())
        };
        if plan.rate.is_some() {
            return Ok(Self {
                sustainable: plan.rate,
                peak: delivered(plan.rate, "at the sustainable rate")?,
            });
        }
        let greatest = ndr::greatest_offer(session, plan.search.short)?;
        let sustainable = ndr::find(setting, session, SOME_LOSS, &plan.search, greatest)?.rate;
        let mut peak = delivered(None, "at the greatest rate")?;
        if sustainable.is_some() {
            // A machine that does other things, too, loses packets long before it is at its best.
            peak = peak.max(delivered(sustainable, "at the sustainable rate")?);
        }
        Ok(Self { sustainable, peak })
    }
}

/// Sends, and takes samples meanwhile.
fn send_watched(
    harness: &Harness,
    session: &Session<'_>,
    load: Load,
) -> Result<(mirror_testkit::generator::report::Report, Vec<Sample>), MeasureError> {
    let mut samples = Vec::new();
    let start = Instant::now();
    let before = session.counts()?.delivered;
    let report = thread::scope(|scope| {
        let sending = scope.spawn(|| harness.send(load));
        while !sending.is_finished() {
            thread::sleep(SAMPLE);
            let delivered = session.counts()?.delivered - before;
            samples.push(Sample {
                seconds: start.elapsed().as_secs_f64(),
                delivered,
                memory: resident_memory(),
            });
        }
        sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    Ok((report, samples))
}

/// Growth of memory, in bytes, after it had settled.
fn growth(samples: &[Sample]) -> u64 {
    let Some(last) = samples.last() else { return 0 };
    let settled = samples.iter().find(|sample| sample.seconds >= last.seconds * SETTLED);
    let most = samples.iter().map(|sample| sample.memory).max();
    settled.zip(most).map_or(0, |(settled, most)| most.saturating_sub(settled.memory))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate")]
fn times(rate: f64, factor: f64) -> u64 {
    ((rate * factor) as u64).max(1)
}

/// Resident memory of this process in bytes.
fn resident_memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

impl fmt::Display for Overload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            traffic, records, sink, slowdown, peak, offered, factor, seconds, delivered, kept, ..
        } = self;
        let verdict = |good| if good { "" } else { "  <-- fails" };
        writeln!(formatter, "{traffic}, {} records, sink {}: overload", records.name(), sink.name())?;
        if *slowdown > 1.0 {
            writeln!(
                formatter,
                "  worker       made {slowdown:.1} times slower, for the generator to offer twice what it takes"
            )?;
        }
        match self.sustainable {
            Some(rate) => write!(formatter, "  sustainable  {rate:.3} Mpps with 0.5 % loss")?,
            None => write!(formatter, "  sustainable  none with 0.5 % loss")?,
        }
        writeln!(formatter, "; at its peak it delivers {peak:.3} Mpps")?;
        writeln!(
            formatter,
            "  offered      {offered:.3} Mpps for {seconds:.1} s, {factor:.2} times as much{}",
            verdict(*factor >= LEAST_FACTOR)
        )?;
        writeln!(
            formatter,
            "  delivered    {delivered:.3} Mpps, {:.1} % of the peak, nothing left off by degradation{}",
            kept * 100.0,
            verdict(*kept >= KEPT)
        )?;
        let mebibytes = self.memory_growth as f64 / f64::from(1 << 20);
        writeln!(
            formatter,
            "  memory       grew by {mebibytes:.1} MiB{}",
            verdict(self.memory_growth <= FLAT)
        )?;
        let ledger = if self.balanced { "balances" } else { "does not balance" };
        write!(formatter, "  ledger       {ledger}{}", verdict(self.balanced))?;
        for (reason, packets) in self.dropped.iter().filter(|(_, packets)| **packets > 0) {
            write!(formatter, "\n    dropped    {packets} as {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_may_grow_at_first() {
        let sample = |seconds, memory| Sample { seconds, delivered: 0, memory };
        let course =
            [sample(0.5, 10), sample(1.0, 50), sample(2.0, 100), sample(6.0, 103), sample(10.0, 101)];
        assert_eq!(growth(&course), 3);
        assert_eq!(growth(&course[..1]), 0);
        assert_eq!(growth(&[]), 0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_memory() > 1 << 20);
    }
}

//! Twice the rate that the pipeline can take: it must go on at its best, in the same memory, and account for every
//! packet.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::ndr::{self, SOME};
use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Session};
use crate::receiver::{Kind, Pipeline};
use crate::traffic::Profile;

/// The least part of its best rate that the pipeline must keep.
pub const KEPT: f64 = 0.95;
/// By how many bytes memory may grow and still be flat: batches of the sink that were never needed before.
pub const FLAT: u64 = 16 << 20;
/// How much more than sustainable is offered.
const FACTOR: u64 = 2;
/// Between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// The part of the time that it may take for the memory to have its size.
const SETTLED: f64 = 0.2;

/// How the pipeline bore it.
#[derive(Clone, Debug, Serialize)]
pub struct Overload {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// The highest rate with 0.5 % loss, in millions of packets per second.
    pub sustainable: f64,
    /// What was delivered at that rate, likewise.
    pub peak: f64,
    /// What was offered then, likewise.
    pub offered: f64,
    /// How much more that was than sustainable. Below 2 where the kernel, which shares its processor with the
    /// generator, left no time for more.
    pub factor: f64,
    /// What was delivered then, in millions of packets per second.
    pub delivered: f64,
    /// The part of the peak that this is.
    pub kept: f64,
    /// By how many bytes the program's memory grew, once it had settled.
    pub memory_growth: u64,
    /// Whether the ledger balances.
    pub balanced: bool,
    /// Packets that were dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// The course of it.
    pub samples: Vec<Sample>,
}

/// A moment of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since it began.
    pub seconds: f64,
    /// Packets delivered so far.
    pub delivered: u64,
    /// Resident memory of the program in bytes.
    pub memory: u64,
}

/// How the time is spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The sustainable rate in packets per second; without it, the highest with 0.5 % loss.
    pub rate: Option<u64>,
    /// The overload.
    pub duration: Duration,
    /// The search for the sustainable rate.
    pub search: ndr::Plan,
}

impl Default for Plan {
    /// Half a minute.
    fn default() -> Self {
        let search = ndr::Plan { long: Duration::from_secs(5), ..ndr::Plan::default() };
        Self { rate: None, duration: Duration::from_secs(30), search }
    }
}

impl Plan {
    /// Half a second, to see that everything works.
    pub fn quick() -> Self {
        Self { rate: None, duration: Duration::from_millis(500), search: ndr::Plan::quick() }
    }
}

impl Overload {
    /// Overloads `pipeline` with the packets of `profile`.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        pipeline: &Pipeline,
        plan: &Plan,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let session = harness.start(&Kind::Pipeline(pipeline.clone()))?;
        let rate = match plan.rate {
            Some(rate) => rate,
            None => {
                let greatest = ndr::greatest_offer(&session, plan.search.short)?;
                let found = ndr::find(setting, &session, &plan.search.goal(SOME), greatest)?;
                found.rate.unwrap_or(greatest)
            }
        };
        setting.progress.set_message("at the sustainable rate");
        let load = Load { rate: Some(rate), duration: plan.search.long };
        let peak = session.send(load)?.delivered_rate();
        setting.progress.inc(1);

        setting.progress.set_message("overloaded");
        let load = Load { rate: Some(rate.saturating_mul(FACTOR)), duration: plan.duration };
        let before = session.counts()?.delivered;
        let (report, samples) = send_watched(&harness, &session, load)?;
        let delivered = session.settled()?.delivered - before;
        let ended = session.stop()?;
        setting.progress.inc(1);

        let [offered, delivered] = [report.offered, delivered].map(|packets| packets as f64 / report.seconds);
        Ok(Self {
            traffic: profile.into(),
            sustainable: millions(rate as f64),
            peak: millions(peak),
            offered: millions(offered),
            factor: offered / rate as f64,
            delivered: millions(delivered),
            kept: delivered / peak,
            memory_growth: growth(&samples),
            balanced: ended.ledger.as_ref().is_some_and(|ledger| ledger.balanced),
            dropped: ended.ledger.map(|ledger| ledger.dropped).unwrap_or_default(),
            samples,
        })
    }

    /// Whether everything is as it must be.
    pub fn passed(&self) -> bool {
        self.kept >= KEPT && self.memory_growth <= FLAT && self.balanced
    }
}

/// Sends, and takes samples meanwhile.
fn send_watched(
    harness: &Harness,
    session: &Session<'_>,
    load: Load,
) -> Result<(crate::generator::report::Report, Vec<Sample>), MeasureError> {
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

/// By how much memory grew after it had settled.
fn growth(samples: &[Sample]) -> u64 {
    let Some(last) = samples.last() else { return 0 };
    let settled = samples.iter().find(|sample| sample.seconds >= last.seconds * SETTLED);
    let most = samples.iter().map(|sample| sample.memory).max();
    settled.zip(most).map_or(0, |(settled, most)| most.saturating_sub(settled.memory))
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
        let Self { traffic, sustainable, peak, offered, factor, delivered, kept, .. } = self;
        let verdict = |good| if good { "" } else { "  <-- fails" };
        writeln!(formatter, "{traffic}: overload")?;
        writeln!(formatter, "  sustainable  {sustainable:.3} Mpps, of which {peak:.3} Mpps were delivered")?;
        writeln!(formatter, "  offered      {offered:.3} Mpps, {factor:.2} times as much")?;
        if *factor < 1.9 {
            writeln!(
                formatter,
                "               (generator and kernel share a processor, which could do no more)"
            )?;
        }
        let kept_verdict = verdict(*kept >= KEPT);
        writeln!(
            formatter,
            "  delivered    {delivered:.3} Mpps, {:.1} % of the peak{kept_verdict}",
            kept * 100.0
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

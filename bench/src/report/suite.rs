//! The suites of a report: full, short and smoke.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use mirror_testkit::interrupt::{Interrupt, Interrupted};
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::Profile;
use mirror_user::error::chain;
use serde::{Deserialize, Serialize};

use super::{MeasuredCell, Modes, Report};
use crate::experiment::compare::Comparison;
use crate::experiment::latency::{self, Latency};
use crate::experiment::matrix::{self, Axis};
use crate::experiment::ndr::Ndr;
use crate::experiment::overload::{self, Overload};
use crate::experiment::plan::Plan;
use crate::experiment::rate::Rate;
use crate::experiment::retention::{Pairing, Retention};
use crate::experiment::{Effort, Setting, TrafficFacts};
use crate::machine::Machine;
use crate::measure::{Load, MeasureError};
use crate::micro::time::Amount;
use crate::micro::{Micro, MicroError, Observer, Part};
use crate::receiver::{PipelineSetup, ReceiverKind};
use crate::search::Trials;

/// Packets per second at which programs are compared: what the kernel's network stack can give them.
const COMPARED_RATE: u64 = 1_000_000;

/// A named suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Everything, thoroughly: about an hour
    #[default]
    Full,
    /// Everything, in short measurements: a few minutes
    Short,
    /// Everything, as short as possible: the figures mean little
    Smoke,
}

impl Suite {
    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Short => "short",
            Self::Smoke => "smoke",
        }
    }

    const fn pick<T: Copy>(self, full: T, short: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
            Self::Smoke => smoke,
        }
    }

    fn retention(self) -> Pairing {
        let full = Pairing::default();
        let pairs = Effort { repeat: 5, duration: full.pairs.duration / 4, ..full.pairs };
        self.pick(full, Pairing { pairs, peaks: 2, ..full }, Pairing::quick())
    }

    fn rate(self) -> Effort {
        Effort { repeat: self.pick(7, 3, 1), ..self.retention().pairs }
    }

    fn ndr(self) -> Trials {
        let full = Trials::default();
        let short = Trials { short: full.short / 4, long: full.long / 10, resolution: 0.03, ..full };
        self.pick(full, short, Trials::quick())
    }

    fn latency(self) -> Plan {
        let full = latency::plan();
        let short = Plan { duration: full.duration / 5, search: self.ndr(), ..full };
        self.pick(full, short, latency::quick_plan().0)
    }

    /// Parts of the sustainable rate at which latencies are measured.
    fn fractions(self) -> Vec<f64> {
        match self {
            Self::Full | Self::Short => latency::FRACTIONS.to_vec(),
            Self::Smoke => latency::quick_plan().1.to_vec(),
        }
    }

    fn overload(self) -> Plan {
        let full = overload::plan();
        let short = Plan { duration: full.duration / 6, search: self.ndr(), ..full };
        self.pick(full, short, overload::quick_plan())
    }

    fn micro(self) -> Amount {
        let amount = |packets, runs| Amount { packets, runs };
        self.pick(amount(2_000_000, 7), amount(500_000, 3), amount(20_000, 1))
    }

    fn comparison(self) -> Load {
        Load { rate: Some(COMPARED_RATE), duration: self.latency().duration / 2 }
    }

    /// The matrix of retention, or one cell of each axis that has a plot.
    fn cells(self) -> Vec<matrix::Cell> {
        let mut cells = matrix::cells();
        if self == Self::Smoke {
            cells.retain(|cell| matches!(cell.axis, Axis::FrameSize | Axis::Flows));
            cells.reverse();
            cells.dedup_by_key(|cell| cell.axis);
        }
        cells
    }

    /// Steps of progress that are known before.
    fn steps(self) -> usize {
        let cells = self.cells();
        let retention = self.retention();
        let sizes = cells.iter().filter(|cell| cell.axis == Axis::FrameSize).count();
        let mut different: Vec<_> = cells
            .iter()
            .map(|matrix::Cell { profile, pipeline, .. }| {
                (TrafficFacts::from(profile).to_string(), pipeline.records.name(), pipeline.sink.name())
            })
            .collect();
        different.sort_unstable();
        different.dedup();
        let micro: usize = Part::ALL.iter().map(|part| part.steps(self.micro())).sum();
        different.len() * (retention.peaks + retention.pairs.repeat) + sizes * self.rate().repeat + micro
    }

    /// Measures everything. The report names what cannot be measured, and what an interrupt left out.
    pub fn run(self, interrupt: &Interrupt, progress: &ProgressBar) -> (Report, Result<(), Interrupted>) {
        progress.set_length(self.steps() as u64);
        let start = Instant::now();
        let mut report = Report {
            suite: self,
            command: format!("mirror-bench report --suite {}", self.name()),
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            seconds: 0.0,
            machine: Machine::current(),
            processors: None,
            modes: Modes::default(),
            xdp_drop: Vec::new(),
            retention: Vec::new(),
            ndr: Vec::new(),
            latency: None,
            overload: None,
            micro: Micro::default(),
            comparison: None,
            not_measured: Vec::new(),
        };
        let ended = self.measure(interrupt, progress, &mut report);
        if ended.is_err() {
            report.not_measured.push("everything that was still to come: interrupted".to_owned());
        }
        report.seconds = start.elapsed().as_secs_f64();
        (report, ended)
    }

    fn measure(
        self,
        interrupt: &Interrupt,
        progress: &ProgressBar,
        report: &mut Report,
    ) -> Result<(), Interrupted> {
        match Processors::choose() {
            Ok(processors) => {
                report.processors = Some(processors);
                let setting =
                    Setting { processors, interrupt: interrupt.clone(), progress: progress.clone() };
                self.run_live(&setting, report)?;
            }
            Err(error) => report.not_measured.push(format!("everything with a network: {}", chain(&error))),
        }
        let observer = Observer { interrupt: interrupt.clone(), progress: progress.clone() };
        let micro = Micro::measure(&observer, &Part::ALL, self.micro());
        report.keep("parts in memory", micro, |report, micro| report.micro = micro)
    }

    /// Runs the experiments that need a network.
    fn run_live(self, setting: &Setting, report: &mut Report) -> Result<(), Interrupted> {
        let base = Profile::geneve();
        let pipeline = PipelineSetup::default();
        for cell in self.cells() {
            let traffic = TrafficFacts::from(&cell.profile);
            let what = format!("retention: {traffic}");
            let is_same = |done: &&MeasuredCell| {
                let Retention { traffic: of, records, sink, .. } = &done.retention;
                (of, *records, *sink) == (&traffic, cell.pipeline.records, cell.pipeline.sink)
            };
            // The same combination stands on several axes.
            let measured = match report.retention.iter().find(is_same) {
                Some(done) => Ok(done.retention.clone()),
                None => Retention::measure(setting, &cell.profile, &cell.pipeline, self.retention()),
            };
            report.keep(&what, measured, |report, retention| {
                report.retention.push(MeasuredCell { axis: cell.axis, retention });
            })?;
            if cell.axis == Axis::FrameSize {
                let rate = Rate::measure(setting, &cell.profile, &ReceiverKind::XdpDrop, None, self.rate());
                report.keep("xdp-drop", rate, |report, rate| report.xdp_drop.push(rate))?;
            }
        }
        for kind in [ReceiverKind::RxDrop, ReceiverKind::Pipeline(pipeline.clone())] {
            let ndr = Ndr::measure(setting, &base, &kind, &self.ndr());
            report.keep("rates without loss", ndr, |report, ndr| report.ndr.push(ndr))?;
        }
        let latency = Latency::measure(setting, &base, &self.latency(), &self.fractions());
        report.keep("latencies", latency, |report, latency| report.latency = Some(latency))?;
        let overload = Overload::measure(setting, &base, &pipeline, &self.overload(), None);
        report.keep("overload", overload, |report, overload| report.overload = Some(overload))?;
        let comparison = Comparison::measure(setting, &base, &pipeline, self.comparison());
        report.keep("other programs", comparison, |report, it| report.comparison = Some(it))
    }
}

/// An error that may be the user's interrupt.
trait MayInterrupt: std::error::Error {
    fn is_interrupt(&self) -> bool;
}

impl MayInterrupt for MeasureError {
    fn is_interrupt(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }
}

impl MayInterrupt for MicroError {
    fn is_interrupt(&self) -> bool {
        matches!(self, Self::Interrupted(_))
    }
}

impl Report {
    /// Keeps a result, or notes why there is none.
    fn keep<T, E: MayInterrupt>(
        &mut self,
        what: &str,
        result: Result<T, E>,
        keep: impl FnOnce(&mut Self, T),
    ) -> Result<(), Interrupted> {
        match result {
            Ok(value) => keep(self, value),
            Err(error) if error.is_interrupt() => return Err(Interrupted),
            Err(error) => self.not_measured.push(format!("{what}: {}", chain(&error))),
        }
        Ok(())
    }
}

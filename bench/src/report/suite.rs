//! The suites of a report: full, short and smoke.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use mirror_testkit::interrupt::{Interrupt, Interrupted};
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::{Lifetimes, Profile};
use mirror_user::error::chain;
use serde::{Deserialize, Serialize};

use super::{MeasuredCell, Modes, Report};
use crate::experiment::compare::{self, Comparison};
use crate::experiment::latency::{self, Latency};
use crate::experiment::matrix::{self, Place};
use crate::experiment::ndr::Ndr;
use crate::experiment::overload::{self, Overload};
use crate::experiment::plan::Plan;
use crate::experiment::rate::Rate;
use crate::experiment::retention::{Pairing, Retention};
use crate::experiment::timestamps::{self, TimestampErrors};
use crate::experiment::xdp::{self, XdpCost};
use crate::experiment::{Effort, Setting};
use crate::machine::Machine;
use crate::measure::MeasureError;
use crate::micro::time::Amount;
use crate::micro::{Micro, MicroError, Observer, Part};
use crate::receiver::{PipelineSetup, ReceiverKind};
use crate::search::Trials;

/// A named suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Everything, thoroughly: some 25 minutes
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

    /// The pairs of a cell: more of them for the headline. Without flows that end, nothing needs to be warm but caches.
    fn pairing(self, cell: &matrix::Cell) -> Pairing {
        let headline = Pairing::headline();
        let ends = cell.profile.lifetimes == Lifetimes::HeavyTailed;
        let warm_up = if ends { headline.unpaced.warm_up } else { Duration::from_millis(300) };
        let effort = |repeat, duration| Effort { warm_up, duration, repeat };
        let duration = headline.unpaced.duration;
        let full =
            Pairing { unpaced: effort(4, duration * 3 / 4), paced: effort(1, duration / 2), rate: None };
        let short = Pairing { unpaced: effort(3, duration / 2), paced: effort(1, duration / 4), rate: None };
        let full = if cell.places.contains(&Place::Headline) { headline } else { full };
        self.pick(full, short, Pairing::quick())
    }

    fn rate(self) -> Effort {
        let effort = |duration, repeat| Effort {
            warm_up: Duration::from_millis(duration / 4),
            duration: Duration::from_millis(duration),
            repeat,
        };
        self.pick(effort(1000, 5), effort(500, 3), effort(100, 1))
    }

    fn xdp(self) -> Effort {
        let full = xdp::effort();
        let short = Effort { duration: full.duration / 2, repeat: 5, ..full };
        self.pick(full, short, self.rate())
    }

    /// Time for which the error of timestamps is measured, at each rate.
    fn timestamps(self) -> Duration {
        self.pick(Duration::from_secs(3), Duration::from_secs(1), Duration::from_millis(200))
    }

    fn ndr(self) -> Trials {
        let full = Trials { long: Duration::from_secs(3), ..Trials::default() };
        let short = Trials { short: full.short / 4, long: full.long / 4, resolution: 0.03, ..full };
        self.pick(full, short, Trials::quick())
    }

    fn latency(self) -> Plan {
        let full = Plan { duration: Duration::from_secs(5), search: self.ndr(), ..latency::plan() };
        let short = Plan { duration: full.duration / 3, search: self.ndr(), ..full };
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
        let full = Plan { duration: Duration::from_secs(20), search: self.ndr(), ..overload::plan() };
        let short = Plan { duration: full.duration / 4, search: self.ndr(), ..full };
        self.pick(full, short, overload::quick_plan())
    }

    fn micro(self) -> Amount {
        let amount = |packets, runs| Amount { packets, runs };
        self.pick(amount(2_000_000, 7), amount(500_000, 3), amount(20_000, 1))
    }

    fn comparison(self) -> compare::Plan {
        let full = compare::Plan::thorough();
        let short = compare::Plan { duration: full.duration / 2, rounds: 2, ..full.clone() };
        match self {
            Self::Full => full,
            Self::Short => short,
            Self::Smoke => compare::Plan::quick(),
        }
    }

    /// The matrix of retention, or the headline and one cell of each plot.
    fn cells(self) -> Vec<matrix::Cell> {
        let mut cells = matrix::cells();
        if self == Self::Smoke {
            let last = |place| cells.iter().rfind(|cell| cell.places.contains(&place)).map(|cell| cell.name);
            let kept = [Place::Headline, Place::FrameSize, Place::Flows].map(last);
            cells.retain(|cell| kept.contains(&Some(cell.name)));
        }
        cells
    }

    /// Steps of progress that are known before.
    fn steps(self) -> usize {
        let cells = self.cells();
        let sizes = cells.iter().filter(|cell| cell.places.contains(&Place::FrameSize)).count();
        let retention: usize = cells.iter().map(|cell| self.pairing(cell).steps()).sum();
        let comparison = self.comparison();
        let micro: usize = Part::ALL.iter().map(|part| part.steps(self.micro())).sum();
        retention
            + (sizes + 1) * self.rate().repeat
            + 2 * self.xdp().repeat
            + timestamps::STEPS
            + comparison.rates.len() * comparison.rounds
            + micro
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
            xdp: Vec::new(),
            timestamps: None,
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
        let base = Profile::mirrored();
        let pipeline = PipelineSetup::default();
        for cell in self.cells() {
            let measured = Retention::measure(setting, &cell.profile, &cell.pipeline, self.pairing(&cell));
            report.keep(&format!("retention: {}", cell.name), measured, |report, retention| {
                let (name, places) = (cell.name.to_owned(), cell.places.clone());
                report.retention.push(MeasuredCell { name, places, retention });
            })?;
            if cell.places.contains(&Place::FrameSize) || cell.places.contains(&Place::Headline) {
                let rate = Rate::measure(setting, &cell.profile, &ReceiverKind::XdpDrop, None, self.rate());
                report.keep("xdp-drop", rate, |report, rate| report.xdp_drop.push(rate))?;
            }
        }
        for profile in [&base, &Profile::geneve()] {
            let cost = XdpCost::measure(setting, profile, &xdp::setups(), self.xdp());
            report.keep("the XDP program alone", cost, |report, cost| report.xdp.push(cost))?;
        }
        let errors = TimestampErrors::measure(setting, &base, self.timestamps());
        report.keep("timestamps", errors, |report, errors| report.timestamps = Some(errors))?;
        for kind in [ReceiverKind::RxDrop, ReceiverKind::Pipeline(pipeline.clone())] {
            let ndr = Ndr::measure(setting, &base, &kind, &self.ndr());
            report.keep("rates without loss", ndr, |report, ndr| report.ndr.push(ndr))?;
        }
        let latency = Latency::measure(setting, &base, &self.latency(), &self.fractions());
        report.keep("latencies", latency, |report, latency| report.latency = Some(latency))?;
        let overload = Overload::measure(setting, &base, &pipeline, &self.overload(), None);
        report.keep("overload", overload, |report, overload| report.overload = Some(overload))?;
        let comparison = Comparison::measure(setting, &base, &pipeline, &self.comparison());
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

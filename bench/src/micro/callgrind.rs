//! Instructions per packet, counted by callgrind on traffic that is the same in every run: a figure without noise, on
//! any machine.
//!
//! Callgrind runs this program again with one [`Stage`] to work on, and is told which functions to count: collection
//! is toggled where they are entered and left. The making of the traffic stands in a function that is left out. The
//! stages on the traffic of mirror sessions count the encoding of the records as well, which another thread does.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io};

use mirror_user::batch::BATCH_FRAMES;
use mirror_user::decap::{self, decapsulate};
use mirror_user::flow::{FlowConfig, FlowTable};
use mirror_user::packet::Packet;
use mirror_user::source::{FrameSource, Received};
use mirror_user::time::Timestamp;
use mirror_user::worker::Worker;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sessions::{Length, Sessions};
use super::setup::{DECAP, flow_table, traffic, worker, worker_with};
use super::synthetic::{Frames, Synthetic};
use super::{MicroError, Observer};
use crate::receiver::Records;

/// Flows of the generator's traffic.
const FLOWS: u64 = 1000;
/// Batches between worker and sink: enough for a record of every packet.
const BATCHES: usize = 128;
/// Part by which instructions may exceed the committed ones.
pub const TOLERANCE: f64 = 0.03;

/// The work whose instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Decapsulation alone.
    Parse,
    /// The flow table alone.
    FlowUpdate,
    /// A worker that makes records of flows.
    WorkerFlow,
    /// A worker that makes records of packets.
    WorkerPacket,
    /// A worker that makes both.
    WorkerBoth,
    /// From the frames of mirror sessions to the encoded records of long flows.
    LongFlows,
    /// The same of flows with 20 packets on average, each with its record.
    ShortFlows,
    /// The same of many flows in few tunnels, to compare with the next one.
    FewTunnels,
    /// The same of as many flows in 10,000 tunnels.
    ManyTunnels,
}

/// Instructions per packet, by stage.
pub type Instructions = BTreeMap<Stage, f64>;

/// Instructions could not be counted, or are too many.
#[derive(Debug, Error)]
pub enum CallgrindError {
    /// A debug build has other instructions.
    #[error(
        "instructions are counted in a release build only: `cargo run --release -p mirror-bench -- micro`"
    )]
    NotOptimised,
    /// Valgrind is missing.
    #[error("cannot run valgrind; install the package valgrind")]
    Missing(#[source] io::Error),
    /// Valgrind failed.
    #[error("valgrind failed on {stage:?}: {words}")]
    Failed {
        /// The work.
        stage: Stage,
        /// The end of its messages.
        words: String,
    },
    /// Its output cannot be read.
    #[error("callgrind counted nothing on {0:?}: its functions are not where they are looked for")]
    Nothing(Stage),
    /// The committed values cannot be read.
    #[error("cannot read the committed instructions in {}; `mirror-bench micro --record` writes them anew", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The committed values cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The source tree is not there.
    #[error(
        "no {FILE} in {} or a directory above it, nor in the source tree that the program was built from ({}): \
         run it in a source tree, or name the file with --committed", here.display(), built.display()
    )]
    NoTree {
        /// The current directory.
        here: PathBuf,
        /// The file of the source tree that the program was built from.
        built: PathBuf,
    },
    /// There are more instructions than were committed.
    #[error("over 3 % more instructions per packet than are committed: {0}")]
    Exceeded(String),
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 9] = [
        Self::Parse,
        Self::FlowUpdate,
        Self::WorkerFlow,
        Self::WorkerPacket,
        Self::WorkerBoth,
        Self::LongFlows,
        Self::ShortFlows,
        Self::FewTunnels,
        Self::ManyTunnels,
    ];

    /// Name in results and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::FlowUpdate => "flow-update",
            Self::WorkerFlow => "worker-flow",
            Self::WorkerPacket => "worker-packet",
            Self::WorkerBoth => "worker-both",
            Self::LongFlows => "long-flows",
            Self::ShortFlows => "short-flows",
            Self::FewTunnels => "few-tunnels",
            Self::ManyTunnels => "many-tunnels",
        }
    }

    /// Packets of the traffic.
    const fn packets(self) -> u64 {
        match self {
            Self::Parse | Self::FlowUpdate | Self::WorkerFlow | Self::WorkerPacket | Self::WorkerBoth => {
                100_000
            }
            Self::LongFlows => 200_000,
            Self::ShortFlows | Self::FewTunnels | Self::ManyTunnels => 400_000,
        }
    }

    /// The traffic of mirror sessions, for the stages on it.
    fn sessions(self) -> Option<Sessions> {
        match self {
            Self::Parse | Self::FlowUpdate | Self::WorkerFlow | Self::WorkerPacket | Self::WorkerBoth => None,
            Self::LongFlows => Some(Sessions::new(1_000, 100, Length::Endless)),
            Self::ShortFlows => Some(Sessions::new(1_000, 100, Length::Short)),
            Self::FewTunnels => Some(Sessions::new(10_000, 100, Length::Endless)),
            Self::ManyTunnels => Some(Sessions::new(10_000, 10_000, Length::Endless)),
        }
    }

    /// The functions where counting begins when they are entered and ends when they are left; within a worker the
    /// other way round for the one that makes the traffic.
    const fn toggles(self) -> &'static [&'static str] {
        match self {
            Self::Parse => &["mirror_bench::micro::callgrind::parse_batch*"],
            Self::FlowUpdate => &["mirror_bench::micro::callgrind::update_batch*"],
            Self::WorkerFlow | Self::WorkerPacket | Self::WorkerBoth => &[
                "mirror_bench::micro::callgrind::run_worker*",
                "mirror_bench::micro::synthetic::Synthetic*make_batch*",
            ],
            Self::LongFlows | Self::ShortFlows | Self::FewTunnels | Self::ManyTunnels => &[
                "mirror_bench::micro::callgrind::run_worker*",
                "mirror_bench::micro::synthetic::Synthetic*make_batch*",
                "mirror_user::sink::encoder::Encoder::encode*",
            ],
        }
    }

    /// Does what callgrind is to count.
    ///
    /// # Errors
    ///
    /// When the pipeline cannot be made.
    pub fn work(self) -> Result<(), MicroError> {
        if let Some(sessions) = self.sessions() {
            let source = Synthetic::of(sessions, self.packets());
            let (worker, sinks) = worker_with(source, Records::Flow, BATCHES, session_flows())?;
            run_worker(worker)?;
            return sinks.join().map_err(MicroError::Output);
        }
        let mut source = Synthetic::new(&traffic(FLOWS)?, 0, self.packets(), Default::default());
        let records = match self {
            Self::Parse => {
                while let Received::Frames(count) = source.receive()? {
                    parse_batch(&source, count);
                }
                return Ok(());
            }
            Self::FlowUpdate => {
                let mut table = flow_table()?;
                let mut found = Vec::with_capacity(BATCH_FRAMES);
                while let Received::Frames(count) = source.receive()? {
                    found.clear();
                    for index in 0..count {
                        let frame = source.frame(index);
                        let packet = decapsulate(&frame, &DECAP).map_err(MicroError::Traffic)?;
                        found.push((frame.timestamp, packet));
                    }
                    update_batch(&mut table, &found);
                }
                return Ok(());
            }
            Self::WorkerFlow => Records::Flow,
            Self::WorkerPacket => Records::Packet,
            _ => Records::Both,
        };
        let (worker, sinks) = worker(source, records, BATCHES)?;
        run_worker(worker)?;
        sinks.join().map_err(MicroError::Output)
    }
}

#[inline(never)]
fn parse_batch(source: &Synthetic, count: usize) {
    for index in 0..count {
        black_box(decap::find(&source.frame(index), &DECAP));
    }
}

#[inline(never)]
fn update_batch(table: &mut FlowTable, packets: &[(Timestamp, Packet)]) {
    table.update(packets.iter().map(|(timestamp, packet)| (*timestamp, packet)), &mut |record| {
        black_box(record);
    });
}

#[inline(never)]
fn run_worker<Made: Frames>(worker: Worker<Synthetic<Made>>) -> io::Result<()> {
    worker.run(|| false).1
}

/// A flow table in which flows that are over end within the few seconds of the traffic, as they do in a long run.
fn session_flows() -> FlowConfig {
    FlowConfig { closing_timeout: Duration::from_millis(100), ..FlowConfig::default() }
}

/// Counts the instructions of every stage.
pub(super) fn measure(observer: &Observer) -> Result<Instructions, MicroError> {
    if cfg!(debug_assertions) {
        return Err(CallgrindError::NotOptimised.into());
    }
    let mut instructions = Instructions::new();
    for stage in Stage::ALL {
        observer.interrupt.check()?;
        observer.progress.set_message(format!("instructions: {}", stage.name()));
        instructions.insert(stage, count(stage)?);
        observer.progress.inc(1);
    }
    Ok(instructions)
}

/// Runs callgrind on one stage.
fn count(stage: Stage) -> Result<f64, MicroError> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())]);
    for function in stage.toggles() {
        command.arg(format!("--toggle-collect={function}"));
    }
    command.arg(env::current_exe()?).args(["micro", "--callgrind-target", stage.name()]);
    let output = command.output().map_err(CallgrindError::Missing)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.lines().rev().take(5).collect::<Vec<_>>();
        let words = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(CallgrindError::Failed { stage, words }.into());
    }
    let total = total(&fs::read_to_string(&file)?).filter(|&total| total > 0);
    let total = total.ok_or(CallgrindError::Nothing(stage))?;
    Ok(total as f64 / stage.packets() as f64)
}

/// The number of instructions in callgrind's output.
fn total(output: &str) -> Option<u64> {
    output.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// The file of the committed values in a source tree.
const FILE: &str = "bench/instructions.json";

/// The file of committed values: that of the source tree around `here`, or else that of the tree that the program was
/// built from. Those differ where several trees share a target directory, or a build was copied.
///
/// # Errors
///
/// [`CallgrindError::NoTree`].
pub fn committed_path(here: &Path) -> Result<PathBuf, CallgrindError> {
    let around = here.ancestors().map(|directory| directory.join(FILE)).find(|file| file.is_file());
    if let Some(file) = around {
        return Ok(file);
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    if built.is_file() { Ok(built) } else { Err(CallgrindError::NoTree { here: here.to_owned(), built }) }
}

/// Reads committed values.
///
/// # Errors
///
/// When there are none.
pub fn read_committed(path: &Path) -> Result<Instructions, CallgrindError> {
    let wrong = |source| CallgrindError::Read { path: path.to_owned(), source };
    let text = fs::read(path).map_err(wrong)?;
    serde_json::from_slice(&text).map_err(|error| wrong(error.into()))
}

/// Writes the values that are to be committed, rounded up to whole instructions.
///
/// # Errors
///
/// When they cannot be written.
pub fn record(instructions: &Instructions, path: &Path) -> Result<(), CallgrindError> {
    let wrong = |source| CallgrindError::Write { path: path.to_owned(), source };
    let rounded: Instructions = instructions.iter().map(|(&stage, value)| (stage, value.ceil())).collect();
    let text = serde_json::to_string_pretty(&rounded).map_err(|error| wrong(error.into()))?;
    fs::write(path, text + "\n").map_err(wrong)
}

/// Compares with committed values.
///
/// # Errors
///
/// When a stage has more instructions than [`TOLERANCE`] allows, or none are committed for it.
pub fn check(instructions: &Instructions, committed: &Instructions) -> Result<(), CallgrindError> {
    let exceeded: Vec<String> = instructions
        .iter()
        .filter_map(|(stage, &now)| {
            let before = committed.get(stage).copied().unwrap_or(0.0);
            let name = stage.name();
            (now > before * (1.0 + TOLERANCE)).then(|| format!("{name} {now:.1} instead of {before:.1}"))
        })
        .collect();
    if exceeded.is_empty() { Ok(()) } else { Err(CallgrindError::Exceeded(exceeded.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_callgrind_s_output() {
        let output = "events: Ir\nsummary: 20\nfn=(1) main\n1 20\ntotals: 12345\n";
        assert_eq!(total(output), Some(12345));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn more_than_three_percent_fail() {
        let committed = Instructions::from([(Stage::Parse, 100.0), (Stage::WorkerFlow, 500.0)]);
        check(&Instructions::from([(Stage::Parse, 103.0), (Stage::WorkerFlow, 400.0)]), &committed).unwrap();
        let error = check(&Instructions::from([(Stage::Parse, 103.1)]), &committed).unwrap_err();
        assert!(error.to_string().contains("parse 103.1 instead of 100.0"), "{error}");
        check(&Instructions::from([(Stage::FlowUpdate, 1.0)]), &committed).unwrap_err();
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("instructions.json");
        record(&Instructions::from([(Stage::Parse, 99.2)]), &path).unwrap();
        assert_eq!(read_committed(&path).unwrap(), Instructions::from([(Stage::Parse, 100.0)]));
        fs::write(&path, "{\"parse\":").unwrap();
        assert!(read_committed(&path).unwrap_err().to_string().contains("--record"));
    }

    #[test]
    fn the_values_of_every_stage_are_committed() {
        let committed =
            read_committed(&committed_path(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()).unwrap();
        assert!(Stage::ALL.iter().all(|stage| committed.contains_key(stage)), "{committed:?}");
    }

    #[test]
    fn every_stage_does_its_work() {
        for stage in Stage::ALL {
            stage.work().unwrap();
        }
    }

    #[test]
    fn the_committed_values_are_those_of_the_tree_around_the_current_directory() {
        let tree = tempfile::tempdir().unwrap();
        let deep = tree.path().join("target/release");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(tree.path().join("bench")).unwrap();
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
        assert_eq!(committed_path(&deep).unwrap(), built, "no tree around it");
        let file = tree.path().join(FILE);
        record(&Instructions::from([(Stage::Parse, 1.5)]), &file).unwrap();
        assert_eq!(committed_path(&deep).unwrap(), file);
        assert_eq!(read_committed(&file).unwrap(), Instructions::from([(Stage::Parse, 2.0)]));
    }
}

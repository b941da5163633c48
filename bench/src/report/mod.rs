//! Everything in one run: raw figures as JSON, a page to read, and plots.
//!
//! - [`suite`]: what is measured, and how thoroughly.
//! - `page`: the page in Markdown.
//! - `plots`: the plots.

mod page;
mod plots;
pub mod suite;

use std::path::{Path, PathBuf};
use std::{fs, io};

use mirror_testkit::processors::Processors;
use serde::Serialize;
use thiserror::Error;

use self::suite::Suite;
use crate::experiment::compare::Comparison;
use crate::experiment::latency::Latency;
use crate::experiment::matrix::Axis;
use crate::experiment::ndr::Ndr;
use crate::experiment::overload::Overload;
use crate::experiment::rate::Rate;
use crate::experiment::retention::Retention;
use crate::machine::Machine;
use crate::micro::Micro;

/// Everything that was measured in one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The suite.
    pub suite: Suite,
    /// The command that repeats it.
    pub command: String,
    /// When it began: seconds since 1970-01-01 00:00:00 UTC.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The machine.
    pub machine: Machine,
    /// Which processor does what; none where there is one only.
    pub processors: Option<Processors>,
    /// How packets travel.
    pub modes: Modes,
    /// A drop in the driver, by frame size.
    pub xdp_drop: Vec<Rate>,
    /// The pipeline against the bare loop.
    pub retention: Vec<Cell>,
    /// The rates with no and little loss: of the bare loop, and of the pipeline.
    pub ndr: Vec<Ndr>,
    /// Latencies.
    pub latency: Option<Latency>,
    /// Overload.
    pub overload: Option<Overload>,
    /// Parts in memory.
    pub micro: Micro,
    /// Other programs.
    pub comparison: Option<Comparison>,
    /// What could not be measured, and why.
    pub not_measured: Vec<String>,
}

/// How packets travel on the testbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Modes {
    /// The driver of both ends.
    pub driver: &'static str,
    /// Where XDP programs run.
    pub xdp: &'static str,
    /// Who writes packets into the memory of user space.
    pub af_xdp: &'static str,
    /// Where packets come from.
    pub source: &'static str,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            driver: "veth",
            xdp: "native",
            af_xdp: "copy",
            source: "live frames (BPF_PROG_TEST_RUN); frames above 3400 bytes from a packet socket",
        }
    }
}

/// One cell of the matrix of retention.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// What is varied.
    pub axis: Axis,
    /// What came of it.
    #[serde(flatten)]
    pub retention: Retention,
}

/// A file of the report could not be written.
#[derive(Debug, Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

impl Report {
    /// Writes `report.json`, `report.md` and the plots into `directory`, which is made where it is missing. Returns the
    /// files.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, WriteError> {
        fs::create_dir_all(directory).map_err(|source| WriteError { path: directory.to_owned(), source })?;
        let json = serde_json::to_string_pretty(self).map(|text| text + "\n");
        let json =
            json.map_err(|error| WriteError { path: directory.join("report.json"), source: error.into() })?;
        let plots = plots::draw(self);
        let page = page::write(self, &plots);
        let texts = [("report.json", json), ("report.md", page)];
        let plots = plots.into_iter().map(|plot| (plot.file, plot.svg));
        let mut files = Vec::new();
        for (name, text) in texts.into_iter().chain(plots) {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|source| WriteError { path: path.clone(), source })?;
            files.push(path);
        }
        Ok(files)
    }

    /// The cells in which `axis` is varied.
    fn along(&self, axis: Axis) -> impl Iterator<Item = &Retention> {
        self.retention.iter().filter(move |cell| cell.axis == axis).map(|cell| &cell.retention)
    }
}

//! Everything in one run: raw figures as JSON, a page to read, and plots.
//!
//! - [`suite`]: the suites full, short and smoke.
//! - `page`: the page in Markdown.
//! - `plots`: the plots.

mod page;
mod plots;
pub mod suite;

use std::path::{Path, PathBuf};
use std::{fs, io};

use mirror_testkit::processors::Processors;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::suite::Suite;
use crate::experiment::compare::Comparison;
use crate::experiment::latency::Latency;
use crate::experiment::matrix::Place;
use crate::experiment::ndr::Ndr;
use crate::experiment::overload::Overload;
use crate::experiment::rate::Rate;
use crate::experiment::retention::Retention;
use crate::experiment::timestamps::TimestampErrors;
use crate::experiment::xdp::XdpCost;
use crate::machine::Machine;
use crate::micro::Micro;
use crate::plot::PlotError;

/// Limits of the figures, which the page and the headline state.
pub const LIMITS: &str = "\
These figures come from one host, on which generator, kernel and pipeline run side by side: the generator and the kernel's receive path \
share one processor, so neither can be measured at its own limit, and a receiver that costs the kernel more is also offered less. \
The path is a veth pair in AF_XDP copy mode: there is no NIC, no interrupt, no DMA, no hardware time stamp and no zero-copy, and one \
receive queue. Connections that close end 0.25 s later, not 5 s as by default, so that their records are made and written while it is \
measured; flows of UDP do not end within a measurement. Ratios of measurements in turns hold better than rates; a NIC, several queues or another host will give other \
ones.";

/// Everything that was measured in one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The suite.
    pub suite: Suite,
    /// The command that repeats it.
    pub command: String,
    /// Its start: seconds since 1970-01-01 00:00:00 UTC.
    pub started: u64,
    /// Its duration in seconds.
    pub seconds: f64,
    /// The machine.
    pub machine: Machine,
    /// The processors of generator and worker; none if there is one only.
    pub processors: Option<Processors>,
    /// The path of packets.
    pub modes: Modes,
    /// A drop in the driver, by frame size.
    pub xdp_drop: Vec<Rate>,
    /// The pipeline against the bare loop; the headline first.
    pub retention: Vec<MeasuredCell>,
    /// The XDP program alone.
    pub xdp: Vec<XdpCost>,
    /// The error of receive times that are worked out.
    pub timestamps: Option<TimestampErrors>,
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
    /// Measurements that failed, and the reasons.
    pub not_measured: Vec<String>,
}

/// The path of packets on the testbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modes {
    /// The driver of both ends.
    pub driver: String,
    /// The mode of XDP programs.
    pub xdp: String,
    /// The mode of AF_XDP sockets.
    pub af_xdp: String,
    /// The source of packets.
    pub source: String,
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            driver: "veth".to_owned(),
            xdp: "native".to_owned(),
            af_xdp: "copy".to_owned(),
            source: "live frames (BPF_PROG_TEST_RUN); frames above 3400 bytes from a packet socket"
                .to_owned(),
        }
    }
}

/// One cell of the matrix of retention.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MeasuredCell {
    /// Name of its row.
    pub name: String,
    /// Tables and plots that it belongs to.
    pub places: Vec<Place>,
    /// The result.
    #[serde(flatten)]
    pub retention: Retention,
}

/// A report could not be read or written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The file of figures cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no report.
    #[error("{} is no report.json of this version of mirror-bench", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place in it, and the fault.
        source: serde_json::Error,
    },
    /// A file or the directory cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A plot cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl Report {
    /// Reads the figures of an earlier run from its `report.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no report.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
        serde_json::from_slice(&text).map_err(|source| ReportError::Parse { path: path.to_owned(), source })
    }

    /// Writes `report.json`, `report.md` and the plots into `directory`, which is made where it is missing. Returns the
    /// files.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>, ReportError> {
        let mut files = vec![("report.json", self.json(directory)?)];
        files.extend(self.pages()?);
        write_files(directory, files)
    }

    /// Writes `report.md` and the plots into `directory`, but not the figures. Returns the files.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write_pages(&self, directory: &Path) -> Result<Vec<PathBuf>, ReportError> {
        write_files(directory, self.pages()?)
    }

    fn json(&self, directory: &Path) -> Result<String, ReportError> {
        let json = serde_json::to_string_pretty(self).map(|text| text + "\n");
        json.map_err(|error| ReportError::Write { path: directory.join("report.json"), source: error.into() })
    }

    /// The page and the plots: names of files, and their texts.
    fn pages(&self) -> Result<Vec<(&'static str, String)>, PlotError> {
        let plots = plots::draw(self)?;
        let page = page::write(self, &plots);
        let plots = plots.into_iter().map(|plot| (plot.file, plot.svg));
        Ok([("report.md", page)].into_iter().chain(plots).collect())
    }

    /// The cells of a table or plot.
    fn cells(&self, place: Place) -> impl Iterator<Item = &MeasuredCell> {
        self.retention.iter().filter(move |cell| cell.places.contains(&place))
    }
}

fn write_files(directory: &Path, files: Vec<(&'static str, String)>) -> Result<Vec<PathBuf>, ReportError> {
    let cannot = |path: &Path, source| ReportError::Write { path: path.to_owned(), source };
    fs::create_dir_all(directory).map_err(|source| cannot(directory, source))?;
    let write = |(name, text): (&str, String)| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|source| cannot(&path, source))?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory of the committed report.
    fn results() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let report = Report::read(&results().join("report.json")).unwrap();
        let committed = fs::read(results().join("report.json")).unwrap();
        let committed: serde_json::Value = serde_json::from_slice(&committed).unwrap();
        assert!(serde_json::to_value(&report).unwrap() == committed, "a field was lost or gained");
    }

    #[test]
    fn committed_pages_are_those_of_the_committed_figures() {
        for (name, text) in Report::read(&results().join("report.json")).unwrap().pages().unwrap() {
            let committed = fs::read_to_string(results().join(name)).unwrap();
            assert!(
                text == committed,
                "bench/results/{name} is not up to date: run `mirror-bench report --from bench/results/report.json`"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_report_is_named_with_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        assert!(matches!(Report::read(&path), Err(ReportError::Read { .. })));
        fs::write(&path, "{\"suite\": \"full\"}").unwrap();
        let error = anyhow::Error::from(Report::read(&path).unwrap_err());
        let text = format!("{error:#}");
        assert!(text.contains("report.json") && text.contains("missing field `command`"), "{text}");
    }
}

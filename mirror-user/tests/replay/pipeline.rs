//! The pipeline inside of the test's process.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use mirror_user::DropReason;
use mirror_user::config::Config;
use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::ledger::Ledger;
use mirror_user::packet::Packet;
use mirror_user::pipeline::{Ended, Outputs, Pipeline, PipelineError};
use mirror_user::replay::ReplaySource;
use mirror_user::rules::RecordKind;
use mirror_user::shutdown::Shutdown;
use mirror_user::sink::{Format, Output, PartialWrite, SinkError, Unfinished};
use mirror_user::source::{FrameSource, Received};
use mirror_user::time::Timestamp;

/// As the program is configured where nothing is said.
pub const DECAP: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

/// The results of a pipeline.
pub struct Outcome {
    /// Records as they were written.
    pub written: Vec<u8>,
    /// The ledger: the end of every packet.
    pub ledger: Ledger,
    /// The end of the source.
    pub ended: Result<(), PipelineError>,
}

/// The kinds of records.
#[derive(Clone, Copy, Debug)]
pub struct Records {
    pub packets: bool,
    pub flows: bool,
}

/// Everything that `source` has, through the pipeline. There is room for a few flows and tunnels only, so that some flows end
/// early and some packets have none.
pub fn run(source: impl FrameSource + Send + 'static, format: Format, records: Records) -> Outcome {
    let written = Arc::default();
    let mut config = Config::default();
    let sink = config.only_sink_mut().unwrap();
    (sink.format, sink.queue_batches) = (format, 2);
    (config.flow.max_flows, config.flow.max_tunnels) = (16, 8);
    let kinds = [(RecordKind::Packet, records.packets), (RecordKind::Flow, records.flows)];
    config.output.records =
        Some(kinds.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)).collect());
    let outputs = Outputs::Given(vec![Box::new(Memory(Arc::clone(&written)))]);
    let mut pipeline = Pipeline::read(&config, &Shutdown::new(), source, outputs, drop).unwrap();
    while pipeline.watch().unwrap() {
        thread::yield_now();
    }
    let Ended { snapshot, failures, unwritten } = pipeline.stop();
    assert!(unwritten.is_empty(), "{unwritten:?}");
    let ended = failures.into_iter().next().map_or(Ok(()), Err);
    let written = written.lock().unwrap().clone();
    Outcome { written, ledger: Ledger::new(&snapshot), ended }
}

/// Keeps what is written.
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Output for Memory {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn is_single(&self) -> bool {
        true
    }

    fn prepare(&mut self, _: Timestamp) -> io::Result<bool> {
        Ok(self.0.lock().unwrap().is_empty())
    }

    fn is_file(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn is_due(&self, _: Timestamp) -> bool {
        false
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        unfinished.keep();
        Ok(())
    }
}

/// The result of decapsulation for each packet of the capture at `path`.
pub fn decapsulate_all(path: &Path) -> Vec<Result<Packet, DropReason>> {
    let mut source = ReplaySource::open(vec![path.to_owned()], Arc::default(), Arc::default()).unwrap();
    let mut results = Vec::new();
    while let Received::Frames(count) = source.receive().unwrap() {
        results.extend((0..count).map(|index| decapsulate(&source.frame(index), &DECAP)));
        source.release();
    }
    results
}

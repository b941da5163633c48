//! The pipeline inside of the test's process.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mirror_user::DropReason;
use mirror_user::counters::WorkerCounters;
use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::degrade::{Degradation, DegradeConfig};
use mirror_user::flow::{FlowConfig, FlowTable};
use mirror_user::ledger::{Ledger, QueueLedger, RunFacts};
use mirror_user::number::QueueId;
use mirror_user::packet::Packet;
use mirror_user::replay::ReplaySource;
use mirror_user::rules::{Recording, Rules};
use mirror_user::sink::{self, Format, Output, PartialWrite, SinkConfig, SinkError, Unfinished};
use mirror_user::source::{FrameSource, Received};
use mirror_user::time::Timestamp;
use mirror_user::worker::{WhenFull, Worker};

/// As the program is configured where nothing is said.
pub const DECAP: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

/// What came out of the pipeline.
pub struct Outcome {
    /// Records as they were written.
    pub written: Vec<u8>,
    /// Where every packet went.
    pub ledger: Ledger,
    /// How the source ended.
    pub ended: io::Result<()>,
}

/// Which records are made.
#[derive(Clone, Copy, Debug)]
pub struct Records {
    pub packets: bool,
    pub flows: bool,
}

/// Everything that `source` has, through worker and sink. There is room for a few flows and tunnels only, so that some
/// flows end early and some packets have none.
pub fn run(source: impl FrameSource, format: Format, records: Records) -> Outcome {
    let written = Arc::default();
    let config = SinkConfig { format, queue_batches: 2, ..SinkConfig::default() };
    let output = Box::new(Memory(Arc::clone(&written)));
    let (mut producers, sinks) = sink::start_with(&config, 1, vec![output]).unwrap();
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let Records { packets, flows } = records;
    let rules = Rules::new(&[], Recording { packets, flows, ..Recording::default() }).unwrap();
    let degradation = Degradation::new(DegradeConfig::default()).unwrap();
    let producer = producers.remove(0);
    let mut worker =
        Worker::new(source, DECAP, rules, degradation, producer, WhenFull::Wait, Arc::clone(&counters));
    if flows {
        let scarce = FlowConfig { max_flows: 16, max_tunnels: 8, ..FlowConfig::default() };
        worker = worker.with_flows(FlowTable::new(scarce).unwrap());
    }
    let ended = worker.run(|| false).1;
    let sink = Arc::clone(sinks.counters());
    sinks.join().unwrap();
    let queue = QueueLedger::new(&counters, &sink.workers()[0], None);
    let ledger = Ledger::new(RunFacts::default(), vec![queue]);
    let written = written.lock().unwrap().clone();
    Outcome { written, ledger, ended }
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

/// What decapsulation makes of each packet of the capture at `path`.
pub fn decapsulate_all(path: &Path) -> Vec<Result<Packet, DropReason>> {
    let mut source = ReplaySource::open(vec![path.to_owned()], Arc::default(), Arc::default()).unwrap();
    let mut results = Vec::new();
    while let Received::Frames(count) = source.receive().unwrap() {
        results.extend((0..count).map(|index| decapsulate(&source.frame(index), &DECAP)));
        source.release();
    }
    results
}

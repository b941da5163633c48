//! A worker on synthetic traffic, put together as the daemon does it, but with a hash that is the same in every run.

use std::sync::Arc;

use mirror_common::port;
use mirror_testkit::traffic::{Profile, Traffic};
use mirror_user::counters::WorkerCounters;
use mirror_user::decap::DecapConfig;
use mirror_user::degrade::{Degradation, DegradeConfig};
use mirror_user::flow::{FlowConfig, FlowTable};
use mirror_user::number::QueueId;
use mirror_user::rules::{Recording, Rules};
use mirror_user::sink::{self, SinkConfig, Sinks};
use mirror_user::source::FrameSource;
use mirror_user::worker::{WhenFull, Worker};

use super::MicroError;
use crate::receiver::{Records, output};

/// The ports and nesting of mirrored packets.
pub(super) const DECAP: DecapConfig =
    DecapConfig { geneve_port: port::GENEVE, vxlan_port: port::VXLAN, max_depth: 2 };

/// The traffic of the figures, with so many flows.
pub(super) fn traffic(flows: u64) -> Result<Traffic, MicroError> {
    Ok(Traffic::new(&Profile { flows, ..Profile::geneve() })?)
}

/// An empty flow table.
pub(super) fn flow_table() -> Result<FlowTable, MicroError> {
    Ok(FlowTable::new(FlowConfig::default())?)
}

/// A worker on `source`, whose records are encoded as NDJSON and discarded. It has `batches` batches, so many that it
/// need not wait for the sink.
pub(super) fn worker<Source: FrameSource>(
    source: Source,
    records: Records,
    batches: usize,
) -> Result<(Worker<Source>, Sinks), MicroError> {
    worker_with(source, records, batches, FlowConfig::default())
}

/// Like [`worker`], with a flow table that is configured so.
pub(super) fn worker_with<Source: FrameSource>(
    source: Source,
    records: Records,
    batches: usize,
    flows: FlowConfig,
) -> Result<(Worker<Source>, Sinks), MicroError> {
    let config = SinkConfig { queue_batches: batches, ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start_with(&config, 1, vec![output::discarding()])?;
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let recording = Recording {
        packets: matches!(records, Records::Packet | Records::Both),
        flows: matches!(records, Records::Flow | Records::Both),
        ..Recording::default()
    };
    let rules = Rules::uniform(recording);
    let degradation = Degradation::new(DegradeConfig::default())?;
    let producer = producers.remove(0);
    let worker = Worker::new(source, DECAP, rules, degradation, producer, WhenFull::Drop, counters);
    Ok((if recording.flows { worker.with_flows(FlowTable::new(flows)?) } else { worker }, sinks))
}

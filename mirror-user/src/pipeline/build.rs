//! The parts of the pipeline, as the configuration asks for them.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use ipnet::IpNet;

use super::error::PipelineError;
use crate::config::Config;
use crate::counters::WorkerCounters;
use crate::degrade::{Degradation, DegradeConfig};
use crate::enrichment::{Enrichment, Owners};
use crate::flow::{FlowConfig, FlowTable};
use crate::privacy::{Privacy, WorkerPrivacy};
use crate::rules::Rules;
use crate::sink::Producer;
use crate::source::FrameSource;
use crate::value::Timestamps;
use crate::worker::{WhenFull, Worker};
use crate::xdp::{Prefix, ProgramConfig};

/// What decides over the records of all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    pub(super) rules: Rules,
    pub(super) privacy: Privacy,
    /// Knows the owners that privacy rules go by.
    pub(super) enrichment: Option<Arc<Enrichment>>,
}

/// Makes the worker of a queue, with the records that it is to make.
///
/// # Errors
///
/// When an option is out of its range.
pub(super) fn worker<Source: FrameSource>(
    config: &Config,
    Policies { rules, privacy, enrichment }: &Policies,
    source: Source,
    producer: Producer,
    when_full: WhenFull,
    counters: &Arc<WorkerCounters>,
) -> Result<Worker<Source>, PipelineError> {
    let queue = counters.queue;
    let degradation =
        Degradation::new(DegradeConfig { mode: config.output.degradation, ..DegradeConfig::default() })?;
    let flows = rules.any(|recording| recording.follows());
    let applications = rules.applications();
    let (rules, counters) = (rules.clone(), Arc::clone(counters));
    let identities = enrichment.as_ref().map(|enrichment| Box::new(Owners::new(enrichment)) as Box<_>);
    let worker = Worker::new(source, config.tunnel, rules, degradation, producer, when_full, counters)
        .with_privacy(WorkerPrivacy::new(privacy, identities));
    if !flows {
        return Ok(worker);
    }
    // Senders must not know which flows share a bucket.
    let seed = RandomState::new().hash_one(queue);
    let mut table = FlowTable::new(FlowConfig { seed, queue, ..config.flow })?;
    if let Some(bounds) = config.application.inspector() {
        table = table.with_inspection(bounds, applications);
    }
    Ok(worker.with_flows(table))
}

/// Options of the XDP program, on an interface with so many receive queues.
pub(super) fn program_options(config: &Config, rules: &Rules, queues: u32) -> ProgramConfig {
    let Config { capture, tunnel, .. } = config;
    ProgramConfig {
        geneve_port: tunnel.geneve_port,
        vxlan_port: capture.vxlan.then_some(tunnel.vxlan_port),
        session_port: (tunnel.max_depth > 1).then_some(tunnel.vxlan_port),
        snap_length: rules.rest().snap_length,
        snap_lengths: rules.snap_lengths(),
        allowed_sources: capture.allowed_sources.as_ref().map(|sources| {
            let prefix = |net: &IpNet| Prefix { address: net.addr(), length: net.prefix_len() };
            sources.iter().map(prefix).collect()
        }),
        own_addresses_only: !capture.any_destination,
        exact_timestamps: capture.timestamps == Timestamps::Exact,
        queues,
        log_level: capture.ebpf_log.into(),
    }
}

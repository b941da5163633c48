//! The flow table of one worker, and its counters.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::time::Duration;

use super::config::FlowConfig;
use super::entry::{ColdPart, Flow};
use super::fragments::{Fragments, HeldFragments};
use super::hash::Hasher;
use super::index::Index;
use super::initiators::Initiators;
use super::inspection::Inspection;
use super::key::WideAddresses;
use super::lru::Lru;
use super::memory;
use super::prepared_packet::PreparedPacket;
use super::sampling::Sampler;
use super::slab::Slab;
use super::tunnels::Tunnels;
use crate::batch::BATCH_FRAMES;
use crate::number::SamplingRate;
use crate::value::ValueError;

/// The sampling seed of this process where none is given: the same for all workers, so that both directions of a flow are
/// selected together whichever queues they come by.
static RANDOM_SAMPLING_SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("sampling"));

/// The flows of one worker.
#[derive(Debug)]
pub struct FlowTable {
    pub(super) config: FlowConfig,
    pub(super) timeouts: Timeouts,
    /// The time of the last call of [`FlowTable::expire`].
    pub(super) now: u64,
    pub(super) hasher: Hasher,
    pub(super) sampler: Sampler,
    pub(super) tunnels: Tunnels,
    pub(super) fragments: Fragments,
    pub(super) initiators: Initiators,
    pub(super) index: Index,
    pub(super) flows: Slab<Flow>,
    /// By the number of the flow's slot.
    pub(super) cold_parts: Vec<ColdPart>,
    pub(super) wide: Slab<WideAddresses>,
    pub(super) lru: Lru,
    pub(super) counters: FlowCounters,
    /// The packets that are prepared and not counted yet.
    pub(super) batch: Vec<PreparedPacket>,
    /// The addresses of those of them that are IPv6.
    pub(super) wide_of_batch: Vec<WideAddresses>,
    /// Fragments that join packets of the batch, which they waited for.
    pub(super) joining: Vec<HeldFragments>,
    /// The inspector of payload, where payload is looked into.
    pub(super) inspection: Option<Inspection>,
}

/// The timeouts of [`FlowConfig`] in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) idle: u64,
    pub(super) active: u64,
    pub(super) closing: u64,
    /// The shorter one of `idle` and `active`.
    pub(super) shortest: u64,
}

impl Timeouts {
    fn new(config: &FlowConfig) -> Self {
        let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let (idle, active) = (nanoseconds(config.idle_timeout), nanoseconds(config.active_timeout));
        Self { idle, active, closing: nanoseconds(config.closing_timeout), shortest: idle.min(active) }
    }
}

/// Counters of the packets that a table was given, by their outcome.
///
/// Once [`FlowTable::drain`] was called, the first is the sum of the next five, and `attributed` is the sum of the
/// packets of all records. Packets with a record of their own are left out of the four reasons not to be in a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Packets given.
    pub packets: u64,
    /// Packets that were counted in a flow.
    pub attributed: u64,
    /// Packets that are neither IPv4 nor IPv6.
    pub not_ip: u64,
    /// Fragments without ports whose first fragment did not come in time.
    pub fragments_unattributed: u64,
    /// Packets of a tunnel that there was no room for.
    pub tunnels_exhausted: u64,
    /// Packets of flows that were not selected by [`FlowTable::set_sampling`].
    pub not_sampled: u64,
    /// Flows that began.
    pub created: u64,
    /// Flows that ended early, to make room.
    pub evicted: u64,
    /// Tunnels whose flows ended early, to make room for another tunnel.
    pub tunnels_evicted: u64,
    /// Records made.
    pub records: u64,
}

/// Bytes for a packet of the batch.
const PER_PACKET: usize =
    size_of::<PreparedPacket>() + size_of::<WideAddresses>() + size_of::<HeldFragments>();

impl FlowTable {
    /// Bytes that a table takes when it is full, all flows with IPv6 addresses.
    pub const fn bytes(config: &FlowConfig) -> u64 {
        let capacity = config.max_flows as usize;
        Slab::<Flow>::bytes(capacity)
            + Slab::<ColdPart>::bytes(capacity + 1)
            + Slab::<WideAddresses>::bytes(capacity)
            + Lru::bytes(capacity)
            + Index::bytes(config.max_flows)
            + Tunnels::bytes(config.max_tunnels)
            + Fragments::BYTES
            + Initiators::BYTES
            + (BATCH_FRAMES * PER_PACKET) as u64
    }

    /// An empty table. All memory is set aside here; the system gives pages as flows first need them.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of range.
    pub fn new(config: FlowConfig) -> Result<Self, ValueError> {
        config.check()?;
        let hasher = Hasher::new(config.seed);
        let capacity = config.max_flows as usize;
        let mut cold_parts = memory::huge_vec(capacity + 1);
        cold_parts.push(ColdPart::default());
        Ok(Self {
            config,
            timeouts: Timeouts::new(&config),
            now: 0,
            hasher,
            sampler: Sampler::new(config.sampling_seed.map_or_else(|| *RANDOM_SAMPLING_SEED, |seed| seed.0)),
            tunnels: Tunnels::with_capacity(config.max_tunnels, hasher),
            fragments: Fragments::new(config.fragment_timeout, hasher),
            initiators: Initiators::new(hasher),
            index: Index::with_capacity(config.max_flows),
            flows: Slab::with_capacity(capacity),
            cold_parts,
            wide: Slab::with_capacity(capacity),
            lru: Lru::with_capacity(capacity),
            counters: FlowCounters::default(),
            batch: Vec::with_capacity(BATCH_FRAMES),
            wide_of_batch: Vec::with_capacity(BATCH_FRAMES),
            joining: Vec::with_capacity(BATCH_FRAMES),
            inspection: None,
        })
    }

    /// From the next packet on, of the flows that are not in the table only one in so many begins. Flows that are in
    /// it continue, and records have the rate at which a reader scales them.
    pub const fn set_sampling(&mut self, rate: SamplingRate) {
        self.sampler.set_rate(rate);
    }

    /// The counters so far.
    pub fn counters(&self) -> FlowCounters {
        let FlowCounters { fragments_unattributed, .. } = self.counters;
        let given_up = self.fragments.given_up();
        FlowCounters { fragments_unattributed: fragments_unattributed + given_up, ..self.counters }
    }

    /// Flows in the table.
    pub const fn active_flows(&self) -> usize {
        self.flows.len()
    }

    /// Tunnels that have flows in the table.
    pub const fn active_tunnels(&self) -> usize {
        self.tunnels.len()
    }
}

//! Flows: who spoke with whom, through which tunnel, how much and for how long.
//!
//! A [`FlowTable`] belongs to one worker and shares nothing. It takes batches of packets and hands out
//! [`FlowRecord`]s as flows open, go on and end. It makes no threads and no system calls, and reads no clock.
//!
//! # Time
//!
//! The times of a flow are those of its own packets, in whatever order they come, and so are its timeouts: a packet that
//! comes after the idle timeout, by the timestamps of the flow's packets alone, begins a new flow; so does one that is
//! older than the flow by as much. What falls due without a packet is up to [`FlowTable::expire`], which is told the
//! time: the one and only clock that is not the flow's own.
//!
//! # Passes
//!
//! A batch goes through in passes, each of which fetches the memory that the next one needs, since with many
//! flows it is memory that takes the time:
//!
//! 1. each packet's key, hash and tunnel number; fetch its bucket of the index;
//! 2. the slot that the bucket names; fetch the flow;
//! 3. fetch the flow's neighbours in the order of idle time, and its addresses in IPv6;
//! 4. packet by packet: find or make the flow, count, follow TCP, make the flow the latest.
//!
//! The first three only look ahead; what is true is decided in the last one, in the order of the packets.
//!
//! # Memory
//!
//! Per flow 96 bytes for what each packet touches, 48 for what is seldom needed, 8 for the order of idle time
//! and 6.4 for the index: 158.4; with IPv6 addresses 190.4. All of it is set aside at the start, but what no flow
//! has needed yet is address space only.
//!
//! # Records
//!
//! Records tell what came since the record before, so that sums are exact. See [`FlowRecord`] for when there
//! is one.

mod community_id;
mod config;
mod direction;
mod entry;
mod expiry;
mod fragments;
mod hash;
mod icmp;
mod index;
mod initiators;
mod interner;
mod key;
mod lru;
mod memory;
mod record;
mod sampling;
mod slab;
mod tcp;
#[cfg(test)]
mod testing;
mod tunnels;
mod update;

use std::time::Duration;

pub use self::community_id::CommunityId;
pub use self::config::{FlowConfig, FlowConfigError};
pub use self::direction::NetworkDirection;
pub use self::record::{Action, Connection, EndReason, FlowRecord, FlowTransport, Initiator, Traffic};

use self::entry::{ColdPart, Flow};
use self::fragments::{Fragments, Held};
use self::hash::Hasher;
use self::index::Index;
use self::initiators::Initiators;
use self::key::WideAddresses;
use self::lru::Lru;
use self::sampling::Sampler;
use self::slab::Slab;
use self::tunnels::Tunnels;
use self::update::Visit;
use crate::batch::BATCH_FRAMES;
use crate::number::SamplingRate;

/// The flows of one worker.
#[derive(Debug)]
pub struct FlowTable {
    config: FlowConfig,
    timeouts: Timeouts,
    /// The time that [`FlowTable::expire`] was told last.
    now: u64,
    hasher: Hasher,
    sampler: Sampler,
    tunnels: Tunnels,
    fragments: Fragments,
    initiators: Initiators,
    index: Index,
    flows: Slab<Flow>,
    /// By the number of the flow's slot.
    cold_parts: Vec<ColdPart>,
    wide: Slab<WideAddresses>,
    lru: Lru,
    counters: FlowCounters,
    /// The packets that were taken up and are not counted yet.
    batch: Vec<Visit>,
    /// Fragments that come with packets of the batch, which they waited for.
    joining: Vec<Held>,
}

/// The timeouts of [`FlowConfig`] in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    idle: u64,
    active: u64,
    closing: u64,
    /// The shorter one of `idle` and `active`.
    shortest: u64,
}

impl Timeouts {
    fn new(config: &FlowConfig) -> Self {
        let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let (idle, active) = (nanoseconds(config.idle), nanoseconds(config.active));
        Self { idle, active, closing: nanoseconds(config.closing), shortest: idle.min(active) }
    }
}

/// What became of the packets that a table was given.
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
            + (BATCH_FRAMES * (size_of::<Visit>() + size_of::<Held>())) as u64
    }

    /// An empty table. All memory is set aside here; the system gives pages as flows first need them.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of range.
    pub fn new(config: FlowConfig) -> Result<Self, FlowConfigError> {
        let config = config.checked()?;
        let hasher = Hasher::new(config.seed);
        let capacity = config.max_flows as usize;
        let mut cold_parts = memory::huge_vec(capacity + 1);
        cold_parts.push(ColdPart::default());
        Ok(Self {
            config,
            timeouts: Timeouts::new(&config),
            now: 0,
            hasher,
            sampler: Sampler::new(config.sampling_seed),
            tunnels: Tunnels::with_capacity(config.max_tunnels, hasher),
            fragments: Fragments::new(config.fragment, hasher),
            initiators: Initiators::new(hasher),
            index: Index::with_capacity(config.max_flows),
            flows: Slab::with_capacity(capacity),
            cold_parts,
            wide: Slab::with_capacity(capacity),
            lru: Lru::with_capacity(capacity),
            counters: FlowCounters::default(),
            batch: Vec::with_capacity(BATCH_FRAMES),
            joining: Vec::with_capacity(BATCH_FRAMES),
        })
    }

    /// From the next packet on, of the flows that are not in the table only one in so many begins. Flows that are in
    /// it go on, and records tell the rate at which a reader scales them.
    pub const fn set_sampling(&mut self, rate: SamplingRate) {
        self.sampler.set_rate(rate);
    }

    /// What became of the packets so far.
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

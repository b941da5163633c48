//! Counters of one worker, which other threads may read at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::DropReason;
use crate::degrade::{LEVELS, LevelUse};
use crate::flow::FlowTable;
use crate::number::QueueId;
use crate::xsk::XskStatistics;

/// A number that one thread adds to and any thread reads. Adding takes no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. To be called by one thread only, or additions are lost.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Replaces the number, for counters that are kept elsewhere and only shown here.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Work at one level.
#[derive(Debug, Default)]
struct LevelCounters {
    nanoseconds: Counter,
    packets: Counter,
}

/// Counters of one worker. `received` equals `decapsulated` plus what decapsulation dropped.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// The queue that the worker serves.
    pub queue: QueueId,
    /// Frames taken from the ring or file.
    pub received: Counter,
    /// Bytes of those frames, as captured.
    pub received_bytes: Counter,
    /// Packets found in them.
    pub decapsulated: Counter,
    /// Frames whose receive time was worked out from that of others.
    pub interpolated_times: Counter,
    /// Times that the queue's socket was made again.
    pub rebinds: Counter,
    /// Times that the system's wall clock was set meanwhile, which the arrival times of live frames follow.
    pub wall_clock_steps: Counter,
    /// Records of packets that the queue to the sink had no room for.
    pub packet_records_refused: Counter,
    /// Records of flows that the queue to the sink had no room for.
    pub flow_records_refused: Counter,
    /// Records of applications that the queue to the sink had no room for.
    pub application_records_refused: Counter,
    /// Flows in the table now.
    pub flows_active: Counter,
    /// Flows that began.
    pub flows_created: Counter,
    /// Flows that ended early, to make room.
    pub flows_evicted: Counter,
    /// Tunnels whose flows ended early, to make room for another tunnel.
    pub tunnels_evicted: Counter,
    /// Times that the clock of the packets stepped back by more than a second.
    pub clock_steps: Counter,
    /// Changes of the level of the work.
    pub level_changes: Counter,
    /// The worker panicked; what comes after that is counted, and not recorded.
    panicked: AtomicBool,
    /// The kernel's counters of the queue's sockets, as they were read last.
    socket: SocketCounters,
    /// Work at each level.
    levels: [LevelCounters; LEVELS],
    /// The inspector of the flows' payload; [`None`] where there is none.
    applications: Mutex<Option<mirror_app::Counters>>,
    /// Packets that ended here, by reason.
    dropped: ByReason,
}

/// The kernel's counters of the sockets of a queue.
#[derive(Debug, Default)]
struct SocketCounters {
    is_there: AtomicBool,
    rx_dropped: Counter,
    rx_ring_full: Counter,
    rx_invalid_descs: Counter,
    rx_fill_ring_empty_descs: Counter,
}

/// A counter for each [`DropReason`].
#[derive(Debug)]
struct ByReason([Counter; DropReason::COUNT]);

impl Default for ByReason {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl WorkerCounters {
    /// Counters of the worker for `queue`, all zero.
    pub fn new(queue: QueueId) -> Self {
        Self { queue, ..Self::default() }
    }

    /// Counts packets that ended for `reason`.
    #[inline]
    pub fn drop_packets(&self, reason: DropReason, packets: u64) {
        if let Some(counter) = self.dropped.0.get(reason as usize) {
            counter.add(packets);
        }
    }

    /// Packets that ended here for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.0.get(reason as usize).map_or(0, Counter::get)
    }

    /// Notes that the worker has panicked.
    pub fn set_panicked(&self) {
        self.panicked.store(true, Ordering::Relaxed);
    }

    /// `true` once the worker has panicked. Its thread goes on, and counts what arrives.
    pub fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    /// Shows what the kernel has counted for the queue's sockets so far.
    pub fn publish_socket(&self, statistics: XskStatistics) {
        let socket = &self.socket;
        socket.rx_dropped.set(statistics.rx_dropped);
        socket.rx_ring_full.set(statistics.rx_ring_full);
        socket.rx_invalid_descs.set(statistics.rx_invalid_descs);
        socket.rx_fill_ring_empty_descs.set(statistics.rx_fill_ring_empty_descs);
        socket.is_there.store(true, Ordering::Relaxed);
    }

    /// The kernel's counters of the queue's sockets, as they were read last; [`None`] without a socket.
    pub fn socket(&self) -> Option<XskStatistics> {
        let socket = &self.socket;
        socket.is_there.load(Ordering::Relaxed).then(|| XskStatistics {
            rx_dropped: socket.rx_dropped.get(),
            rx_ring_full: socket.rx_ring_full.get(),
            rx_invalid_descs: socket.rx_invalid_descs.get(),
            rx_fill_ring_empty_descs: socket.rx_fill_ring_empty_descs.get(),
        })
    }

    /// Shows what was done at each level so far.
    pub fn publish_levels(&self, levels: &[LevelUse; LEVELS]) {
        for (counters, used) in self.levels.iter().zip(levels) {
            counters.nanoseconds.set(u64::try_from(used.time.as_nanos()).unwrap_or(u64::MAX));
            counters.packets.set(used.packets);
        }
    }

    /// Time and packets at each level, from [`DegradeLevel::Full`](crate::degrade::DegradeLevel::Full) down.
    pub fn levels(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.levels.iter().map(|level| (Duration::from_nanos(level.nanoseconds.get()), level.packets.get()))
    }

    /// Shows what was found in the payload of a table's flows so far.
    pub fn publish_applications(&self, table: &FlowTable) {
        if let Some(counters) = table.inspection_counters() {
            *self.applications.lock().unwrap_or_else(PoisonError::into_inner) = Some(counters.clone());
        }
    }

    /// What was found in the payload of flows, as it was published last.
    pub fn applications(&self) -> Option<mirror_app::Counters> {
        self.applications.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows what a flow table has counted so far.
    pub fn publish_flows(&self, table: &FlowTable) {
        let counters = table.counters();
        self.flows_active.set(table.active_flows() as u64);
        self.flows_created.set(counters.created);
        self.flows_evicted.set(counters.evicted);
        self.tunnels_evicted.set(counters.tunnels_evicted);
        for (reason, packets) in [
            (DropReason::FlowNotIp, counters.not_ip),
            (DropReason::FlowFragment, counters.fragments_unattributed),
            (DropReason::FlowTunnels, counters.tunnels_exhausted),
            (DropReason::NotSampled, counters.not_sampled),
        ] {
            if let Some(counter) = self.dropped.0.get(reason as usize) {
                counter.set(packets);
            }
        }
    }
}

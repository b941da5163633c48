//! The kernel's counters of a socket.

/// The kernel's counters of a socket (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct XskStatistics {
    /// Packets for which the fill ring held no frame.
    pub rx_dropped: u64,
    /// Packets for which the receive ring had no room.
    pub rx_ring_full: u64,
    /// Descriptors that the kernel found invalid in the fill ring.
    pub rx_invalid_descs: u64,
    /// Times that the kernel found the fill ring empty; the same events as `rx_dropped`, seen from the ring.
    pub rx_fill_ring_empty_descs: u64,
}

impl std::ops::Add for XskStatistics {
    type Output = Self;

    /// The sums over both sockets.
    fn add(self, other: Self) -> Self {
        Self {
            rx_dropped: self.rx_dropped.saturating_add(other.rx_dropped),
            rx_ring_full: self.rx_ring_full.saturating_add(other.rx_ring_full),
            rx_invalid_descs: self.rx_invalid_descs.saturating_add(other.rx_invalid_descs),
            rx_fill_ring_empty_descs: self
                .rx_fill_ring_empty_descs
                .saturating_add(other.rx_fill_ring_empty_descs),
        }
    }
}

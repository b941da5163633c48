//! Configuration of a socket.

use std::time::Duration;

/// Size of a UMEM frame in bytes; ENA accepts no other.
pub const FRAME_SIZE: u32 = 4096;

/// Bytes of a UMEM frame that can hold packet data, behind the headroom that the kernel keeps.
pub const FRAME_DATA: u32 = FRAME_SIZE - 256;

/// Largest MTU with which a whole frame fits into one UMEM frame, as zero-copy needs it: besides the packet, the kernel counts
/// an Ethernet header, two VLAN tags and the frame check sequence (`ETH_PAD_LEN` in `net/xdp/xsk_buff_pool.c`).
pub const ZERO_COPY_MTU: u32 = FRAME_DATA - (14 + 2 * 4 + 4);

/// Mode in which packets get into the UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// The NIC writes them there (`XDP_ZEROCOPY`).
    ZeroCopy,
    /// The kernel copies them (`XDP_COPY`).
    Copy,
}

impl CopyMode {
    /// Name in logs and ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        }
    }
}

/// Configuration of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XskConfig {
    /// Entries of the receive ring; a power of two.
    pub rx_ring: u32,
    /// Frames of the UMEM and entries of the fill ring; a power of two, at least `rx_ring`.
    pub frames: u32,
    /// Zero-copy or copy.
    pub copy_mode: CopyMode,
    /// Put the UMEM on huge pages (`MAP_HUGETLB`).
    pub huge_pages: bool,
    /// Busy poll the queue for this long per system call (`SO_BUSY_POLL`, in microseconds). `None`: interrupts.
    pub busy_poll: Option<Duration>,
    /// Spin on an empty ring, and do not sleep for set times ([`WaitMode`](super::WaitMode)).
    pub spin: bool,
}

impl XskConfig {
    /// Bytes of the packet buffers.
    pub fn buffer_memory(&self) -> u64 {
        u64::from(self.frames) * u64::from(FRAME_SIZE)
    }

    /// Bytes that the socket takes besides: the four rings, and the kernel's structure for each buffer (`struct xdp_buff_xsk`).
    pub fn ring_memory(&self) -> u64 {
        const DESCRIPTOR: u64 = 16;
        const ADDRESS: u64 = 8;
        const BUFFER_STRUCTURE: u64 = 128;
        /// Entries of the ring to transmit, which is not used (`XSK_RING_PROD__DEFAULT_NUM_DESCS`).
        const TRANSMIT: u64 = 2048;
        let (receive, frames) = (u64::from(self.rx_ring), u64::from(self.frames));
        let fill = frames * 2;
        (receive + TRANSMIT) * DESCRIPTOR + (fill + receive) * ADDRESS + frames * BUFFER_STRUCTURE
    }
}

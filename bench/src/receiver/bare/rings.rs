//! The rings of an AF_XDP socket, straight from the kernel's documentation (`Documentation/networking/af_xdp.rst`):
//! nothing between the loop and the shared memory.
#![expect(unsafe_code, reason = "rings are memory that is shared with the kernel")]

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions,
    XdpRingOffset, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

/// Bytes of a frame: a page.
const FRAME: u32 = 4096;
/// Entries of the receive ring, as the daemon has them.
const RX_ENTRIES: u32 = 4096;
/// Frames, all of which begin in the fill ring.
const FRAMES: u32 = 2 * RX_ENTRIES;
/// Most descriptors that are moved before the kernel is told of it.
const BATCH: u32 = 64;

/// A bound socket, whose frames go around between receive ring and fill ring.
#[derive(Debug)]
pub(super) struct Rings {
    receive: Ring<XdpDesc>,
    fill: Ring<u64>,
    socket: OwnedFd,
    _frames: Mapping,
}

/// One ring. User space consumes the receive ring and produces into the fill ring.
#[derive(Debug)]
struct Ring<Entry> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    entries: NonNull<Entry>,
    mask: u32,
    /// The index of this side.
    own: u32,
    _mapping: Mapping,
}

// SAFETY: the pointers are into mappings that the rings own; nobody else in the process has them.
unsafe impl Send for Rings {}

impl Rings {
    /// Makes a socket for queue 0 of the interface with this index, in copy mode, and puts every frame into the fill
    /// ring.
    pub fn open(interface: u32) -> io::Result<Self> {
        let socket = socket(AddressFamily::XDP, SocketType::RAW, None)?;
        let frames = Mapping::anonymous(FRAME as usize * FRAMES as usize)?;
        sockopt::set_xdp_umem_reg(
            &socket,
            XdpUmemReg {
                addr: frames.address.as_ptr().addr() as u64,
                len: frames.length as u64,
                chunk_size: FRAME,
                headroom: 0,
                flags: XdpUmemRegFlags::empty(),
                tx_metadata_len: 0,
            },
        )?;
        sockopt::set_xdp_umem_fill_ring_size(&socket, FRAMES)?;
        sockopt::set_xdp_umem_completion_ring_size(&socket, RX_ENTRIES)?; // unused, but asked for
        sockopt::set_xdp_rx_ring_size(&socket, RX_ENTRIES)?;
        let offsets = sockopt::xdp_mmap_offsets(&socket)?;
        let receive = Ring::map(&socket, XDP_PGOFF_RX_RING, offsets.rx, RX_ENTRIES)?;
        let mut fill = Ring::map(&socket, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, FRAMES)?;
        for frame in 0..FRAMES {
            fill.put(frame, u64::from(frame) * u64::from(FRAME));
        }
        fill.publish(FRAMES);
        let flags = SocketAddrXdpFlags::XDP_COPY | SocketAddrXdpFlags::XDP_USE_SG;
        bind(&socket, &SocketAddrXdp::new(flags, interface, 0))?;
        Ok(Self { receive, fill, socket, _frames: frames })
    }

    /// Puts the frames of what was received back into the fill ring. Returns how many packets it was.
    #[inline]
    pub fn recycle(&mut self) -> u64 {
        let Self { receive, fill, .. } = self;
        let count = receive.available().min(BATCH);
        let mut packets = 0;
        for index in 0..count {
            let descriptor = receive.get(index);
            packets += u64::from(!descriptor.options.contains(XdpDescOptions::XDP_PKT_CONTD));
            // The kernel rounds the address down to that of the frame.
            fill.put(index, descriptor.addr);
        }
        if count != 0 {
            fill.publish(count);
            receive.give_back(count);
        }
        packets
    }

    /// Packets that the kernel dropped for want of a frame or of room in the receive ring.
    pub fn dropped(&self) -> io::Result<u64> {
        let statistics = sockopt::xdp_statistics(&self.socket)?;
        Ok(statistics.rx_dropped + statistics.rx_ring_full.unwrap_or(0))
    }
}

impl AsRawFd for Rings {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl<Entry: Copy> Ring<Entry> {
    /// Maps the ring of `socket` that the kernel offers at `offset`.
    fn map(socket: &OwnedFd, offset: u64, offsets: XdpRingOffset, entries: u32) -> io::Result<Self> {
        let place = |offset: u64| usize::try_from(offset).map_err(io::Error::other);
        let first = place(offsets.desc)?;
        let mapping = Mapping::shared(socket.as_fd(), offset, first + entries as usize * size_of::<Entry>())?;
        let at = |offset: usize| {
            // SAFETY: the kernel says that the ring's parts lie at these offsets, and the mapping is long enough.
            unsafe { mapping.address.byte_add(offset) }
        };
        Ok(Self {
            producer: at(place(offsets.producer)?).cast(),
            consumer: at(place(offsets.consumer)?).cast(),
            entries: at(first).cast(),
            mask: entries - 1,
            own: 0,
            _mapping: mapping,
        })
    }

    /// Address of the entry that is `index` entries ahead.
    #[inline]
    fn entry(&self, index: u32) -> NonNull<Entry> {
        let slot = self.own.wrapping_add(index) & self.mask;
        // SAFETY: the mask keeps it within the entries, which the mapping holds.
        unsafe { self.entries.add(slot as usize) }
    }
}

impl Ring<XdpDesc> {
    /// Number of entries that the kernel has produced and that were not given back.
    #[inline]
    fn available(&self) -> u32 {
        // SAFETY: a word of the mapping, which the kernel writes atomically.
        unsafe { self.producer.as_ref() }.load(Ordering::Acquire).wrapping_sub(self.own)
    }

    /// The entry that is `index` entries ahead, below [`available`](Self::available).
    #[inline]
    fn get(&self, index: u32) -> XdpDesc {
        // SAFETY: the kernel has written it and leaves it alone until it is given back.
        unsafe { self.entry(index).read() }
    }

    /// Gives `count` entries back.
    #[inline]
    fn give_back(&mut self, count: u32) {
        self.own = self.own.wrapping_add(count);
        // SAFETY: a word of the mapping, which only this side writes.
        unsafe { self.consumer.as_ref() }.store(self.own, Ordering::Release);
    }
}

impl Ring<u64> {
    /// Writes the entry that is `index` entries ahead. There is always room: each frame is in one place only.
    #[inline]
    fn put(&mut self, index: u32, frame: u64) {
        // SAFETY: the kernel does not read it before it is published.
        unsafe { self.entry(index).write(frame) };
    }

    /// Publishes `count` entries.
    #[inline]
    fn publish(&mut self, count: u32) {
        self.own = self.own.wrapping_add(count);
        // SAFETY: a word of the mapping, which only this side writes.
        unsafe { self.producer.as_ref() }.store(self.own, Ordering::Release);
    }
}

/// Mapped memory, unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    address: NonNull<c_void>,
    length: usize,
}

impl Mapping {
    const PROTECTION: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

    fn anonymous(length: usize) -> io::Result<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        Self::new(unsafe { mmap_anonymous(ptr::null_mut(), length, Self::PROTECTION, flags) }?, length)
    }

    fn shared(file: BorrowedFd<'_>, offset: u64, length: usize) -> io::Result<Self> {
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping, at an address that the kernel chooses.
        Self::new(unsafe { mmap(ptr::null_mut(), length, Self::PROTECTION, flags, file, offset) }?, length)
    }

    fn new(address: *mut c_void, length: usize) -> io::Result<Self> {
        let address =
            NonNull::new(address).ok_or_else(|| io::Error::other("memory was mapped at address 0"))?;
        Ok(Self { address, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and what points into it goes with it.
        let unmapped = unsafe { munmap(self.address.as_ptr(), self.length) };
        debug_assert!(unmapped.is_ok(), "a mapping can be unmapped");
    }
}

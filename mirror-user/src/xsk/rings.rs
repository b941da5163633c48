//! The rings and the UMEM of a socket: the one place in user space where memory is shared with the kernel.
//!
//! Every UMEM frame is in exactly one place: in the fill ring or on its way through the kernel, or held here until
//! it is released. Held frames are lent by index, so that the borrow checker keeps anyone from reading a frame that
//! has gone back to the kernel.
#![expect(
    unsafe_code,
    reason = "rings and UMEM are shared with the kernel; every block says why it is sound"
)]

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use xsk_rs::config::{FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, Socket, TxQueue, Umem};

use super::bind;
use super::config::{CopyMode, FRAME_SIZE, XskConfig};
use super::error::{XskError, root_cause};
use super::statistics::XskStatistics;
use crate::batch::BATCH_FRAMES;
use crate::number::QueueId;

/// Bytes of a frame that may hold headers: those of a load balancer, a mirror session and the packet within take 168.
#[cfg(target_arch = "x86_64")]
const HEADERS: usize = 192;
/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// A bound socket with a UMEM of its own, and the descriptors that user space holds at the moment.
pub(super) struct Rings {
    rx: RxQueue,
    fill: FillQueue,
    // Held for as long as the socket: dropping them would unmap their rings.
    _tx: TxQueue,
    _completion: CompQueue,
    umem: Umem,
    /// Address of the UMEM, whose provenance is exposed.
    base: usize,
    rx_size: u32,
    held: [FrameDesc; BATCH_FRAMES],
    count: usize,
}

impl Rings {
    /// Makes a socket for `queue` of `interface`, and puts every frame into its fill ring.
    pub(super) fn open(interface: &str, queue: QueueId, config: &XskConfig) -> Result<Self, XskError> {
        let rx_size = ring_size("rx_ring", config.rx_ring)?;
        if config.frames < config.rx_ring {
            return Err(XskError::RingSize {
                name: "frames",
                value: config.frames,
                remedy: "there must be at least as many frames as the receive ring has entries",
            });
        }
        let umem_error = |error| XskError::Umem {
            mib: u64::from(config.frames) * u64::from(FRAME_SIZE) / (1 << 20),
            huge_pages: config.huge_pages,
            error,
        };
        let frame_size = FrameSize::new(FRAME_SIZE).map_err(|error| umem_error(io::Error::other(error)))?;
        // The kernel publishes only now and then how far it has read the fill ring: an entry may seem occupied although its
        // frame has come back. Twice the number of frames is always room enough.
        let fill_size = ring_size("frames", config.frames.saturating_mul(2))?;
        let umem_config = UmemConfig::builder()
            .frame_size(frame_size)
            .fill_queue_size(fill_size)
            .comp_queue_size(rx_size)
            .build()
            .map_err(|error| umem_error(io::Error::other(error)))?;
        let count = NonZeroU32::new(config.frames).unwrap_or(NonZeroU32::MIN);
        let (umem, mut frames) = Umem::new(umem_config, count, config.huge_pages)
            .map_err(|error| umem_error(root_cause(&error).unwrap_or_else(|| io::Error::other(error))))?;

        let socket_config = SocketConfig::builder()
            .rx_queue_size(rx_size)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(bind::flags(config.copy_mode))
            .build();
        let bind_error = |error: io::Error| XskError::Bind {
            interface: interface.to_owned(),
            queue,
            mode: config.copy_mode,
            remedy: bind::remedy(config.copy_mode, &error),
            error,
        };
        let name: Interface = interface
            .parse()
            .map_err(|_| bind_error(io::Error::new(io::ErrorKind::InvalidInput, "a NUL byte in the name")))?;
        // SAFETY: the UMEM is not shared, so no other socket can be bound to this pair from it.
        let (tx, rx, rings) = unsafe { Socket::new(socket_config, &umem, &name, queue.0) }
            .map_err(|error| bind_error(root_cause(&error).unwrap_or_else(|| io::Error::other(error))))?;
        let Some((mut fill, completion)) = rings else {
            return Err(bind_error(io::Error::other("the UMEM has no fill ring")));
        };

        let base = umem_base(&umem, &mut frames);
        // SAFETY: the frames are of this UMEM and have just been made: nobody else holds them.
        let filled = unsafe { fill.produce(&frames) };
        if filled != frames.len() {
            return Err(bind_error(io::Error::other("the fill ring takes fewer frames than it has entries")));
        }
        close_on_exec(rx.fd().as_raw_fd()).map_err(bind_error)?;
        if let Some(time) = config.busy_poll {
            set_busy_poll(rx.fd().as_raw_fd(), time).map_err(|(option, error)| XskError::Option {
                option,
                queue,
                error,
                remedy: "leave out --busy-poll, or use Linux 5.11 or later with CAP_NET_ADMIN",
            })?;
        }
        let held = [FrameDesc::default(); BATCH_FRAMES];
        Ok(Self {
            rx,
            fill,
            _tx: tx,
            _completion: completion,
            umem,
            base,
            rx_size: config.rx_ring,
            held,
            count: 0,
        })
    }

    /// Takes as many descriptors as have arrived and are not more than [`BATCH_FRAMES`] with those that are held already;
    /// returns how many were added.
    pub(super) fn receive(&mut self) -> usize {
        let room = self.held.get_mut(self.count..).unwrap_or_default();
        // SAFETY: the descriptors are used with this socket's UMEM only.
        let taken = unsafe { self.rx.consume(room) };
        self.count += taken;
        taken
    }

    /// Number of descriptors held; they are numbered from 0, in the order of arrival.
    pub(super) fn held(&self) -> usize {
        self.count
    }

    fn descriptor(&self, index: usize) -> Option<&FrameDesc> {
        self.held.get(..self.count)?.get(index)
    }

    /// `true` if the frame continues in the next descriptor.
    pub(super) fn continues(&self, index: usize) -> bool {
        self.descriptor(index).is_some_and(FrameDesc::has_more_frames)
    }

    /// The bytes of a descriptor; none where it is not held.
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        self.descriptor(index).map_or(&[], |descriptor| {
            // SAFETY: the descriptor came from the receive ring and is still held, so that the kernel does not
            // write to its frame; the slice cannot outlive `release`, which needs `&mut self`.
            unsafe { self.umem.data(descriptor) }.contents()
        })
    }

    /// Prefetches the cache lines of the headers of each held descriptor.
    pub(super) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for descriptor in self.held.iter().take(self.count) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let data = self.base + descriptor.addr();
            let lines = (0..descriptor.lengths().data().min(HEADERS)).step_by(CACHE_LINE);
            for address in lines.map(|offset| data + offset) {
                // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
                unsafe { _mm_prefetch(std::ptr::with_exposed_provenance(address), _MM_HINT_T0) };
            }
        }
    }

    /// Gives the first `done` descriptors back to the kernel; the others move up.
    pub(super) fn release(&mut self, done: usize) {
        let held = self.held.get_mut(..self.count).unwrap_or_default();
        let done = held.get(..done).unwrap_or(held);
        // SAFETY: the frames are of this UMEM; they are forgotten below, so that nobody reads them any more.
        let returned = unsafe { self.fill.produce(done) };
        // The fill ring has room for every frame twice, see `open`.
        assert_eq!(returned, done.len(), "the fill ring refused a frame of its own UMEM");
        held.copy_within(returned.., 0);
        self.count -= returned;
    }

    /// `true` if the kernel waits for a system call before it reads the fill ring again.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Wakes the kernel and waits for packets, at most for the timeout.
    pub(super) fn poll(&mut self, timeout_ms: i32) -> io::Result<()> {
        self.rx.poll(timeout_ms).map(drop)
    }

    /// Asks the kernel for packets: the answer says whether the socket is bound to a queue of a device that is up. No data is
    /// transferred; but where busy polling is on, the kernel receives packets from the NIC in this thread, as many as its
    /// budget allows (`xsk_recvmsg`). `poll` does neither.
    pub(super) fn probe(&self) -> io::Result<()> {
        // SAFETY: no byte is written to the buffer, which has none.
        let result = unsafe { libc::recv(self.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_DONTWAIT) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Number of the NAPI instance that serves the queue, as far as the kernel knows it: newer kernels (6.18)
    /// learn it from the driver when the socket is bound, older ones (6.6) from the first packet. Without one, there is no busy
    /// polling.
    pub(super) fn napi_id(&self) -> Option<u32> {
        option(self.as_raw_fd(), libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID).filter(|&id| id != 0)
    }

    /// Share of the receive ring that is full.
    pub(super) fn fill(&mut self) -> f32 {
        self.rx.nb_avail_exact() as f32 / self.rx_size as f32
    }

    /// The kernel's counters.
    pub(super) fn statistics(&self) -> io::Result<XskStatistics> {
        let statistics = self.rx.fd().xdp_statistics()?;
        Ok(XskStatistics {
            rx_dropped: statistics.rx_dropped(),
            rx_ring_full: statistics.rx_ring_full(),
            rx_invalid_descs: statistics.rx_invalid_descs(),
            rx_fill_ring_empty_descs: statistics.rx_fill_ring_empty_descs(),
        })
    }

    /// The mode that the kernel bound the socket in (`XDP_OPTIONS`).
    pub(super) fn copy_mode(&self) -> CopyMode {
        const XDP_OPTIONS: libc::c_int = 8;
        const XDP_OPTIONS_ZEROCOPY: u32 = 1;
        match option(self.as_raw_fd(), libc::SOL_XDP, XDP_OPTIONS) {
            Some(flags) if flags & XDP_OPTIONS_ZEROCOPY != 0 => CopyMode::ZeroCopy,
            _ => CopyMode::Copy,
        }
    }
}

impl AsRawFd for Rings {
    fn as_raw_fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }
}

/// Address of the first byte of the UMEM, with its provenance exposed.
fn umem_base(umem: &Umem, frames: &mut [FrameDesc]) -> usize {
    frames.first_mut().map_or(0, |first| {
        let offset = first.addr();
        // SAFETY: nobody else holds the frame yet, and nothing is written.
        let mut data = unsafe { umem.data_mut(first) };
        data.contents_mut().as_mut_ptr().expose_provenance() - offset
    })
}

fn ring_size(name: &'static str, value: u32) -> Result<QueueSize, XskError> {
    QueueSize::new(value).map_err(|_| XskError::RingSize { name, value, remedy: "it must be a power of two" })
}

/// Closes the socket, and with it the queue, in processes that this one starts: libxdp does not.
fn close_on_exec(socket: RawFd) -> io::Result<()> {
    // SAFETY: the command takes an integer, and the descriptor is this socket's.
    let result = unsafe { libc::fcntl(socket, libc::F_SETFD, libc::FD_CLOEXEC) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Turns busy polling on; an error comes with the option that failed.
fn set_busy_poll(socket: RawFd, time: Duration) -> Result<(), (&'static str, io::Error)> {
    let microseconds = libc::c_int::try_from(time.as_micros()).unwrap_or(libc::c_int::MAX);
    let budget = libc::c_int::try_from(BATCH_FRAMES).unwrap_or(libc::c_int::MAX);
    for (name, option, value) in [
        ("SO_PREFER_BUSY_POLL", libc::SO_PREFER_BUSY_POLL, 1),
        ("SO_BUSY_POLL", libc::SO_BUSY_POLL, microseconds),
        ("SO_BUSY_POLL_BUDGET", libc::SO_BUSY_POLL_BUDGET, budget),
    ] {
        // SAFETY: the pointer is to a live local of the size given.
        let result = unsafe {
            libc::setsockopt(
                socket,
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                option_length::<libc::c_int>(),
            )
        };
        if result != 0 {
            return Err((name, io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// The value of a socket option of 32 bits; [`None`] where the kernel does not return it.
fn option(socket: RawFd, level: libc::c_int, name: libc::c_int) -> Option<u32> {
    let mut value = 0_u32;
    let mut length = option_length::<u32>();
    // SAFETY: both pointers are to live locals of the sizes given.
    let result = unsafe { libc::getsockopt(socket, level, name, (&raw mut value).cast(), &raw mut length) };
    (result == 0).then_some(value)
}

/// Size of a socket option's value.
fn option_length<Value>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<Value>()).unwrap_or(libc::socklen_t::MAX)
}

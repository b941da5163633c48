//! An AF_XDP socket as a [`FrameSource`]: the one place in user space where memory is shared with the kernel.
//!
//! An [`XskSource`] owns its socket and its UMEM. Every UMEM frame is in exactly one place: in the fill ring or
//! on its way through the kernel, or in the batch that was received last. [`FrameSource::release`] puts the batch
//! back into the fill ring, which has room for all frames of the UMEM, so that none is ever left over.
//!
//! Kernel interface: `Documentation/networking/af_xdp.rst`.
#![expect(unsafe_code, reason = "rings and UMEM are shared with the kernel; every block says why it is sound")]

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mirror_common::metadata::{self, Metadata, PREAMBLE_ETHERTYPE, PREAMBLE_LENGTH};
use thiserror::Error;
use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::umem::frame::FrameDesc;
use xsk_rs::{CompQueue, FillQueue, RxQueue, Socket, TxQueue, Umem};

use crate::source::{BATCH, Frame, FrameSource, LinkType, Received, Timestamp};
use crate::wire::number::QueueId;

/// Size of a UMEM frame in bytes; ENA accepts no other.
pub const FRAME_SIZE: u32 = 4096;

/// Bytes of a frame that can hold packet data: the rest is the headroom that the kernel keeps before it.
pub const FRAME_DATA: u32 = FRAME_SIZE - 256;

/// How long [`FrameSource::receive`] waits at most when nothing arrives.
const IDLE_WAIT_MS: i32 = 10;

/// How often an empty ring is looked at before the worker sleeps.
const IDLE_SPINS: u32 = 64;

/// How long one measurement of the distance between monotonic and wall-clock time is used, in nanoseconds.
const CLOCK_SYNC_NS: u64 = 100_000_000;

/// Who may copy a packet into the UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// The NIC itself (`XDP_ZEROCOPY`).
    ZeroCopy,
    /// The kernel (`XDP_COPY`).
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

/// What a socket is made with.
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
}

/// Why a socket could not be made.
#[derive(Debug, Error)]
pub enum XskError {
    /// A ring size is not a power of two, or the sizes do not fit together.
    #[error("{name} = {value} does not do: {remedy}")]
    RingSize {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: u32,
        /// What it must be.
        remedy: &'static str,
    },
    /// The UMEM could not be had.
    #[error(
        "no memory for {mib} MiB of packet buffers{on}: {source}; use smaller rings (--frames), allow more locked \
         memory (`ulimit -l unlimited`, LimitMEMLOCK= in systemd) or reserve huge pages (sysctl vm.nr_hugepages)",
        on = if *huge_pages { " on huge pages" } else { "" }
    )]
    Umem {
        /// Size that was asked for.
        mib: u64,
        /// Whether huge pages were asked for.
        huge_pages: bool,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket could not be bound to the queue.
    #[error("cannot bind an AF_XDP socket to queue {queue} of {interface} in {} mode: {source}{remedy}", mode.name())]
    Bind {
        /// The interface.
        interface: String,
        /// The receive queue.
        queue: QueueId,
        /// The mode that was asked for.
        mode: CopyMode,
        /// The kernel's answer.
        source: io::Error,
        /// What to do, or nothing.
        remedy: &'static str,
    },
    /// A socket option was refused.
    #[error("the kernel refuses {option} on the AF_XDP socket of queue {queue}: {source}; {remedy}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// The receive queue.
        queue: QueueId,
        /// The kernel's answer.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
}

/// What the kernel counted for a socket (`XDP_STATISTICS`).
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

/// A frame of the current batch: which descriptors it spans, and what its metadata says.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first: u16,
    descriptors: u16,
    /// Bytes before the packet in the first descriptor: the preamble, where there is one.
    skip: u16,
    captured_length: u32,
    original_length: u32,
    timestamp: Timestamp,
}

/// An AF_XDP socket bound to one receive queue, with a UMEM of its own.
pub struct XskSource {
    rx: RxQueue,
    fill: FillQueue,
    // Held for as long as the socket: dropping them would unmap their rings.
    _tx: TxQueue,
    _completion: CompQueue,
    umem: Umem,
    base: usize,
    queue: QueueId,
    copy_mode: CopyMode,
    busy_poll: bool,
    frames: usize,
    batch: Batch,
    clock: Clock,
    idle: u32,
    without_metadata: u64,
}

/// Descriptors taken from the receive ring and not yet given back.
struct Batch {
    descriptors: [FrameDesc; BATCH],
    /// How many of `descriptors` are held.
    held: usize,
    /// How many of those belong to whole frames; the rest is the beginning of a frame that the next batch ends.
    whole: usize,
    spans: [Span; BATCH],
}

impl XskSource {
    /// Makes a socket for `queue` of `interface`, in the network namespace of the calling thread, and fills its
    /// fill ring. Packets arrive once the socket's descriptor stands in the XSKMAP.
    ///
    /// # Errors
    ///
    /// See [`XskError`]. Nothing is left behind.
    pub fn open(interface: &str, queue: QueueId, config: &XskConfig) -> Result<Self, XskError> {
        let rx_size = ring_size("rx_ring", config.rx_ring)?;
        let frame_count = ring_size("frames", config.frames)?;
        if config.frames < config.rx_ring {
            return Err(XskError::RingSize {
                name: "frames",
                value: config.frames,
                remedy: "there must be at least as many frames as the receive ring has entries",
            });
        }
        let umem_error = |source| XskError::Umem {
            mib: u64::from(config.frames) * u64::from(FRAME_SIZE) / (1 << 20),
            huge_pages: config.huge_pages,
            source,
        };
        let frame_size = FrameSize::new(FRAME_SIZE).map_err(|error| umem_error(io::Error::other(error)))?;
        let umem_config = UmemConfig::builder()
            .frame_size(frame_size)
            .fill_queue_size(frame_count)
            .comp_queue_size(rx_size)
            .build()
            .map_err(|error| umem_error(io::Error::other(error)))?;
        let count = NonZeroU32::new(config.frames).unwrap_or(NonZeroU32::MIN);
        let (umem, mut frames) = Umem::new(umem_config, count, config.huge_pages)
            .map_err(|error| umem_error(root_cause(&error).unwrap_or_else(|| io::Error::other(error))))?;

        let socket_config = SocketConfig::builder()
            .rx_queue_size(rx_size)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(
                BindFlags::XDP_USE_NEED_WAKEUP
                    | BindFlags::XDP_USE_SG
                    | match config.copy_mode {
                        CopyMode::ZeroCopy => BindFlags::XDP_ZEROCOPY,
                        CopyMode::Copy => BindFlags::XDP_COPY,
                    },
            )
            .build();
        let bind_error = |source: io::Error| XskError::Bind {
            interface: interface.to_owned(),
            queue,
            mode: config.copy_mode,
            remedy: bind_remedy(&source),
            source,
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
        if let Some(time) = config.busy_poll {
            set_busy_poll(rx.fd().as_raw_fd(), time).map_err(|source| XskError::Option {
                option: "SO_PREFER_BUSY_POLL",
                queue,
                source,
                remedy: "leave out --busy-poll, or use Linux 5.11 or later with CAP_NET_ADMIN",
            })?;
        }
        Ok(Self {
            copy_mode: if is_zero_copy(rx.fd().as_raw_fd()) { CopyMode::ZeroCopy } else { CopyMode::Copy },
            busy_poll: config.busy_poll.is_some(),
            frames: frames.len(),
            batch: Batch {
                descriptors: [FrameDesc::default(); BATCH],
                held: 0,
                whole: 0,
                spans: [Span::default(); BATCH],
            },
            clock: Clock::default(),
            idle: 0,
            without_metadata: 0,
            rx,
            fill,
            _tx: tx,
            _completion: completion,
            umem,
            base,
            queue,
        })
    }

    /// The mode that the kernel really uses.
    pub fn copy_mode(&self) -> CopyMode {
        self.copy_mode
    }

    /// The receive queue that the socket is bound to.
    pub fn queue(&self) -> QueueId {
        self.queue
    }

    /// Frames that came without metadata, whose arrival time is therefore that of the batch.
    pub fn without_metadata(&self) -> u64 {
        self.without_metadata
    }

    /// What the kernel counted for this socket since it was made.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket option.
    pub fn statistics(&self) -> io::Result<XskStatistics> {
        let statistics = self.rx.fd().xdp_statistics()?;
        Ok(XskStatistics {
            rx_dropped: statistics.rx_dropped(),
            rx_ring_full: statistics.rx_ring_full(),
            rx_invalid_descs: statistics.rx_invalid_descs(),
            rx_fill_ring_empty_descs: statistics.rx_fill_ring_empty_descs(),
        })
    }

    /// The bytes of a descriptor of the current batch.
    fn bytes(&self, descriptor: &FrameDesc) -> &[u8] {
        // SAFETY: the descriptor came from the receive ring and has not been given back, so the kernel does not
        // write to its frame; the slice cannot outlive `release`, which needs `&mut self`.
        unsafe { self.umem.data(descriptor) }.contents()
    }

    /// The descriptors of a frame of the current batch.
    fn descriptors(&self, span: Span) -> &[FrameDesc] {
        let first = usize::from(span.first);
        self.batch.descriptors.get(first..first + usize::from(span.descriptors)).unwrap_or_default()
    }

    /// Groups the held descriptors into frames and reads the metadata of each; returns how many are whole.
    fn group(&mut self) -> usize {
        let mut frames = 0;
        let mut first = 0;
        let mut length = 0;
        self.batch.whole = 0;
        for index in 0..self.batch.held {
            let Some(descriptor) = self.batch.descriptors.get(index) else { break };
            length += descriptor.lengths().data();
            if descriptor.has_more_frames() {
                continue;
            }
            let span = self.span(first, index + 1 - first, length);
            if let Some(slot) = self.batch.spans.get_mut(frames) {
                *slot = span;
            }
            frames += 1;
            first = index + 1;
            length = 0;
            self.batch.whole = first;
        }
        frames
    }

    /// Reads the metadata of the frame in `descriptors` descriptors from `first` on, `length` bytes long.
    fn span(&mut self, first: usize, descriptors: usize, length: usize) -> Span {
        let found = self.batch.descriptors.get(first).and_then(|head| {
            let bytes = self.bytes(head);
            match preamble(bytes) {
                Some(metadata) => Some((metadata, PREAMBLE_LENGTH)),
                None => self.metadata_before(head).map(|metadata| (metadata, 0)),
            }
        });
        let (metadata, skip) = match found {
            Some(found) => found,
            None => {
                self.without_metadata += 1;
                (Metadata { monotonic_ns: self.clock.monotonic(), ..Metadata::default() }, 0)
            }
        };
        let captured_length = length_u32(length.saturating_sub(skip));
        Span {
            first: length_u16(first),
            descriptors: length_u16(descriptors),
            skip: length_u16(skip),
            captured_length,
            original_length: metadata.original_length.max(captured_length),
            timestamp: self.clock.wall(metadata.monotonic_ns),
        }
    }

    /// The metadata that stands before the first byte of `descriptor`, if the XDP program put any there.
    fn metadata_before(&self, descriptor: &FrameDesc) -> Option<Metadata> {
        let offset = descriptor.addr() % FRAME_SIZE as usize;
        if offset < metadata::LENGTH {
            return None;
        }
        let address = self.base + descriptor.addr() - metadata::LENGTH;
        // SAFETY: the address lies in the same UMEM frame as the packet, before its data, because the offset of
        // the data in the frame is at least `LENGTH`; the frame belongs to user space until it is released, and
        // every bit pattern is a valid `Metadata`. The mapping's provenance was exposed by `umem_base`.
        let metadata =
            unsafe { std::ptr::with_exposed_provenance::<Metadata>(address).read_unaligned() };
        (metadata.magic == metadata::MAGIC).then_some(metadata)
    }

    /// Asks the cache for the lines of every held frame that are read next: its metadata and its headers.
    fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for descriptor in self.batch.descriptors.iter().take(self.batch.held) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let data = self.base + descriptor.addr();
            for address in [data.wrapping_sub(metadata::LENGTH), data, data + 64, data + 128] {
                // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
                unsafe { _mm_prefetch(std::ptr::with_exposed_provenance(address), _MM_HINT_T0) };
            }
        }
    }

    /// Wakes the kernel where it asks for it, and waits for packets for a short time.
    fn wait(&mut self) -> io::Result<()> {
        self.idle = self.idle.saturating_add(1);
        if self.busy_poll {
            return self.poll(0);
        }
        if self.idle <= IDLE_SPINS {
            if self.fill.needs_wakeup() {
                return self.poll(0);
            }
            std::hint::spin_loop();
            return Ok(());
        }
        self.poll(IDLE_WAIT_MS)
    }

    fn poll(&mut self, timeout_ms: i32) -> io::Result<()> {
        self.rx.poll(timeout_ms).map(drop)
    }
}

impl FrameSource for XskSource {
    fn receive(&mut self) -> io::Result<Received> {
        let Some(room) = self.batch.descriptors.get_mut(self.batch.held..) else {
            return Ok(Received::Idle);
        };
        // SAFETY: the descriptors are used with this socket's UMEM only.
        let taken = unsafe { self.rx.consume(room) };
        if taken == 0 {
            self.wait()?;
            return Ok(Received::Idle);
        }
        self.idle = 0;
        self.batch.held += taken;
        self.prefetch();
        match self.group() {
            0 => Ok(Received::Idle),
            frames => Ok(Received::Frames(frames)),
        }
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let span = self.batch.spans[index];
        let data = self.descriptors(span).first().map_or(&[][..], |head| self.bytes(head));
        Frame {
            data: data.get(usize::from(span.skip)..).unwrap_or_default(),
            captured_length: span.captured_length,
            original_length: span.original_length,
            timestamp: span.timestamp,
            link_type: LinkType::Ethernet,
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        let Some(&span) = self.batch.spans.get(index) else { return };
        let mut skip = usize::from(span.skip) + from;
        for descriptor in self.descriptors(span) {
            let part = self.bytes(descriptor);
            bytes.extend_from_slice(part.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(part.len());
        }
    }

    fn release(&mut self) {
        let Batch { descriptors, held, whole, .. } = &mut self.batch;
        let Some(done) = descriptors.get(..*whole) else { return };
        // SAFETY: the frames are of this UMEM; they leave the batch below, so that nobody reads them any more.
        let returned = unsafe { self.fill.produce(done) };
        // The fill ring has an entry for every frame of the UMEM, and these are not in it.
        assert_eq!(returned, done.len(), "the fill ring of {} frames refused frames of its own", self.frames);
        descriptors.copy_within(*whole..*held, 0);
        *held -= *whole;
        *whole = 0;
    }
}

impl AsRawFd for XskSource {
    fn as_raw_fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }
}

/// The distance between the kernel's monotonic clock, which the metadata has, and the wall clock.
#[derive(Debug, Default)]
struct Clock {
    offset: u64,
    synchronised_at: u64,
}

impl Clock {
    fn monotonic(&self) -> u64 {
        nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
    }

    /// Wall-clock time of the moment `monotonic_ns`.
    fn wall(&mut self, monotonic_ns: u64) -> Timestamp {
        if monotonic_ns.wrapping_sub(self.synchronised_at) > CLOCK_SYNC_NS {
            let wall = nanoseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
            self.synchronised_at = self.monotonic();
            self.offset = wall.wrapping_sub(self.synchronised_at);
        }
        Timestamp(monotonic_ns.wrapping_add(self.offset))
    }
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The preamble's metadata, if the frame begins with one.
fn preamble(bytes: &[u8]) -> Option<Metadata> {
    let ethertype = bytes.get(12..14)?;
    if ethertype != PREAMBLE_ETHERTYPE.to_be_bytes() {
        return None;
    }
    let metadata = bytes.get(PREAMBLE_LENGTH - metadata::LENGTH..PREAMBLE_LENGTH)?;
    let (monotonic_ns, rest) = metadata.split_first_chunk()?;
    let (original_length, rest) = rest.split_first_chunk()?;
    let (magic, _) = rest.split_first_chunk()?;
    Some(Metadata {
        monotonic_ns: u64::from_ne_bytes(*monotonic_ns),
        original_length: u32::from_ne_bytes(*original_length),
        magic: u32::from_ne_bytes(*magic),
    })
    .filter(|metadata| metadata.magic == metadata::MAGIC)
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

/// The operating system's error at the bottom of an error of xsk-rs.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = error.source();
    }
    None
}

fn bind_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY) => {
            "; another AF_XDP socket has the queue: stop the other capture (`ss --xdp` on a recent iproute2, or \
             `bpftool net`, shows it)"
        }
        Some(libc::EINVAL) => {
            "; the queue does not exist (`ethtool -l` shows how many there are), or the kernel is older than 6.6 \
             and cannot do AF_XDP multi-buffer"
        }
        Some(libc::EPERM) => "; run as root, or with CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF",
        Some(libc::EOPNOTSUPP) => "; the driver does not offer this mode: use --zero-copy off",
        Some(libc::ENOMEM | libc::ENOBUFS) => {
            "; not enough locked memory: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in systemd"
        }
        _ => "",
    }
}

/// Whether the kernel bound the socket in zero-copy mode (`XDP_OPTIONS`).
fn is_zero_copy(socket: RawFd) -> bool {
    const XDP_OPTIONS: libc::c_int = 8;
    const XDP_OPTIONS_ZEROCOPY: u32 = 1;
    let mut flags: u32 = 0;
    let mut length = size_of::<u32>() as libc::socklen_t;
    // SAFETY: both pointers are to live locals of the sizes given.
    let result = unsafe {
        libc::getsockopt(socket, libc::SOL_XDP, XDP_OPTIONS, (&raw mut flags).cast(), &raw mut length)
    };
    result == 0 && flags & XDP_OPTIONS_ZEROCOPY != 0
}

fn set_busy_poll(socket: RawFd, time: Duration) -> io::Result<()> {
    let microseconds = libc::c_int::try_from(time.as_micros()).unwrap_or(libc::c_int::MAX);
    let budget = libc::c_int::try_from(BATCH).unwrap_or(libc::c_int::MAX);
    for (option, value) in [
        (libc::SO_PREFER_BUSY_POLL, 1),
        (libc::SO_BUSY_POLL, microseconds),
        (libc::SO_BUSY_POLL_BUDGET, budget),
    ] {
        // SAFETY: the pointer is to a live local of the size given.
        let result = unsafe {
            libc::setsockopt(
                socket,
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn length_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

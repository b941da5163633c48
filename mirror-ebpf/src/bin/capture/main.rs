//! The capture program: steers tunnel packets into the AF_XDP sockets of their receive queues, and leaves
//! everything else to the kernel.
//!
//! - [`outer`]: the outer headers, which tell tunnel packets from others.
//! - [`snap`]: how much of the packet is kept, by its endpoint and VNI.
//! - [`wire`]: the headers that both read.
//! - [`handover`]: the cut and the preamble that a packet gets on its way to user space.
#![no_std]
#![no_main]
#![expect(
    unsafe_code,
    reason = "packets, maps and helpers are raw memory and calls, which the verifier checks"
)]

mod handover;
mod outer;
mod snap;
mod wire;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, XskMap};
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::{debug, info, warn};
use mirror_common::address::{Address, FAMILY_BITS, FirstAddresses, FirstPrefixes};
use mirror_common::config::CaptureConfig;
use mirror_common::verdict::{Counts, Verdict};

use self::outer::{Ip, Outer};

/// Configuration from the loader. The verifier knows the values, as the section is read-only; the compiler must not, or
/// it would take the zeroes here for them: read each field with [`setting!`].
#[unsafe(no_mangle)]
static CONFIG: CaptureConfig = CaptureConfig {
    snap_length: 0,
    shortest_snap_length: 0,
    queues: 0,
    check_sources: 0,
    check_destinations: 0,
    exact_timestamps: 0,
    geneve_port: 0,
    vxlan_port: 0,
    session_port: 0,
    snap_kinds: 0,
};

/// The first IPv4 prefixes of [`ALLOWED_SOURCES`], from the loader, as [`CONFIG`]: comparing with constants takes a tenth of
/// the time that a look-up takes.
#[unsafe(no_mangle)]
static FIRST_SOURCES: FirstPrefixes = FirstPrefixes::NONE;

/// Reads a field of [`CONFIG`] as the loader left it.
macro_rules! setting {
    ($field:ident) => {
        // SAFETY: a reference to a static is valid, aligned and initialised.
        unsafe { core::ptr::read_volatile(&raw const crate::CONFIG.$field) }
    };
}
use setting;

/// The AF_XDP socket of each receive queue. The loader sets the size.
#[map]
static XSKS: XskMap = XskMap::with_max_entries(1, 0);

/// Outer sources that may send tunnel packets. The loader sets the size.
#[map]
static ALLOWED_SOURCES: LpmTrie<Address, u8> = LpmTrie::with_max_entries(1, 0);

/// The first of the interface's own IPv4 addresses. They are among [`OWN_ADDRESSES`] too; to find one here takes a tenth of
/// the time.
#[map]
static FIRST_ADDRESSES: Array<FirstAddresses> = Array::with_max_entries(1, 0);

/// The interface's own addresses. The loader sets the size.
#[map]
static OWN_ADDRESSES: HashMap<Address, u8> = HashMap::with_max_entries(1, 0);

/// Packets by receive queue and verdict. The loader sets the size.
#[map]
static COUNTERS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);

/// Entry point: one packet, one verdict, one count.
#[xdp(frags)]
#[expect(clippy::needless_pass_by_value, reason = "the signature that the macro calls")]
fn mirror_capture(ctx: XdpContext) -> u32 {
    let queue = ctx.rx_queue_index();
    // Queues that the loader did not know share the last entry. There always is one, which the verifier cannot know.
    let Some(counts) = COUNTERS.get_ptr_mut(queue.min(setting!(queues))) else { return XDP_PASS };
    // SAFETY: the entry belongs to this CPU, on which nothing else runs the program meanwhile.
    let counts = unsafe { &mut *counts };
    let verdict = match steer(&ctx, queue, counts[Verdict::Redirected as usize]) {
        Ok(()) => Verdict::Redirected,
        Err(verdict) => verdict,
    };
    counts[verdict as usize] += 1;
    match verdict {
        Verdict::Redirected => XDP_REDIRECT,
        Verdict::DroppedSource | Verdict::DroppedNoHeadroom | Verdict::DroppedNotCut => XDP_DROP,
        Verdict::PassedNotIp
        | Verdict::PassedNotTunnel
        | Verdict::PassedFragment
        | Verdict::PassedTooShort
        | Verdict::PassedOtherDestination
        | Verdict::PassedNoSocket => XDP_PASS,
    }
}

/// Makes the packet ready for the socket of its queue, to which `redirected` packets were sent before.
///
/// # Errors
///
/// The reason why the packet does not go there.
#[inline(always)]
fn steer(ctx: &XdpContext, queue: u32, redirected: u64) -> Result<(), Verdict> {
    let Outer { ip, udp } = outer::open(ctx)?;
    if setting!(check_destinations) != 0 && !is_own(&ip) {
        match ip {
            Ip::V4(header) => debug!(ctx, "queue {}: passed a packet to {:i}", queue, header.destination),
            Ip::V6(header) => debug!(ctx, "queue {}: passed a packet to {:i}", queue, header.destination),
        }
        return Err(Verdict::PassedOtherDestination);
    }
    if setting!(check_sources) != 0 && !is_allowed(&ip) {
        match ip {
            Ip::V4(header) => warn!(ctx, "queue {}: dropped a tunnel packet from {:i}", queue, header.source),
            Ip::V6(header) => warn!(ctx, "queue {}: dropped a tunnel packet from {:i}", queue, header.source),
        }
        return Err(Verdict::DroppedSource);
    }
    // The helper only notes where the packet is to go once the program returns XDP_REDIRECT. So it can be asked
    // first, and a packet that no socket waits for goes to the kernel as it came.
    if XSKS.redirect(queue, XDP_PASS.into()).is_err() {
        info!(ctx, "queue {}: passed a tunnel packet, as no AF_XDP socket waits for it", queue);
        return Err(Verdict::PassedNoSocket);
    }
    handover::prepare(ctx, queue, udp, redirected)
}

/// `true` if the packet's source may send tunnel packets.
#[inline(always)]
fn is_allowed(ip: &Ip<'_>) -> bool {
    if let Ip::V4(header) = *ip {
        for place in FIRST_SOURCES.places() {
            // SAFETY: a reference to a static is valid, aligned and initialised.
            if unsafe { core::ptr::read_volatile(place) }.contains(header.source) {
                return true;
            }
        }
    }
    ALLOWED_SOURCES.get(Key::new(FAMILY_BITS + ip.bits(), ip.source())).is_some()
}

/// `true` if the packet is addressed to the interface.
#[inline(always)]
fn is_own(ip: &Ip<'_>) -> bool {
    if let Ip::V4(header) = *ip
        && FIRST_ADDRESSES.get(0).is_some_and(|first| first.contain(header.destination))
    {
        return true;
    }
    OWN_ADDRESSES.get_ptr(ip.destination()).is_some()
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

//! The generator program: turns templates into varied traffic.
//!
//! It is run by `BPF_PROG_TEST_RUN` in live-frames mode: the kernel calls it over and over with a frame from a page
//! pool and transmits what it redirects. A frame keeps what the program wrote into it when its page comes around
//! again, and gets its length back; so every byte of the header is written each time, and the rest, which depends
//! on nothing but its place, is never touched.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "maps, globals and packet data are raw memory to a BPF program")]

use core::ptr;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::{
    bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
};
use aya_ebpf::macros::{map, raw_tracepoint, xdp};
use aya_ebpf::maps::{Array, PerCpuArray, XskMap};
use aya_ebpf::programs::{RawTracePointContext, XdpContext};
use mirror_traffic::count::{KINDS, TEMPLATES as TEMPLATE_COUNT};
use mirror_traffic::header::HEADER_LENGTH;
use mirror_traffic::program::{DUE_FRACTION, LONGEST_LAG_NS};
use mirror_traffic::{Header, Mix, Packet, Position, Progress};

/// See [`mirror_traffic::program::MIX`]. The loader puts the values of this and the next globals in.
#[unsafe(no_mangle)]
static MIX: Mix = Mix {
    seed: 0,
    flows: 1,
    ends: 0,
    endpoints: 1,
    interfaces: 1,
    vxlan: 0,
    ipv6: 0,
    udp: 0,
    icmp: 0,
    malformed: 0,
    faults: 0,
    internet_mix: 0,
    stride: 0,
    stamped: 0,
};
/// See [`mirror_traffic::program::INTERFACE`].
#[unsafe(no_mangle)]
static INTERFACE: u32 = 0;
/// See [`mirror_traffic::program::FRAME_LENGTH`].
#[unsafe(no_mangle)]
static FRAME_LENGTH: u64 = 0;
/// See [`mirror_traffic::program::PACKETS`].
#[unsafe(no_mangle)]
static PACKETS: u64 = 0;
/// See [`mirror_traffic::program::INTERVAL`].
#[unsafe(no_mangle)]
static INTERVAL: u64 = 0;

#[map]
static TEMPLATES: Array<Header> = Array::with_max_entries(TEMPLATE_COUNT as u32, 0);
#[map]
static PROGRESS: Array<Progress> = Array::with_max_entries(1, 0);
#[map]
static SENDER: Array<Sender> = Array::with_max_entries(1, 0);
#[map]
static DISCARDED: PerCpuArray<[u64; 2]> = PerCpuArray::with_max_entries(1, 0);
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);

/// Packets whose kind and length are remembered until the kernel has reported on them: more than a bulk (16
/// frames, `DEV_MAP_BULK_SIZE`) and the packet that comes when it is full.
const RECENT: usize = 32;
/// Most frames in one report.
const BULK: u64 = 16;

/// The program's state from packet to packet.
#[repr(C)]
struct Sender {
    /// Of the next packet.
    position: Position,
    /// Time at which pacing began: nanoseconds of `CLOCK_MONOTONIC`.
    start_ns: u64,
    /// Time at which the next packet is due, in [`DUE_FRACTION`]ths of a nanosecond since then.
    due: u64,
    /// The clock when it was last read, likewise.
    now: u64,
    /// The CPU that the program runs on.
    cpu: u64,
    /// Kind (upper half) and length (lower half) of the latest packets, by their numbers modulo [`RECENT`].
    recent: [u64; RECENT],
}

/// Reads a global that the loader has put a value in, which the compiler must not take for the one in the source.
macro_rules! global {
    ($name:ident) => {
        // SAFETY: the address of a static is valid and aligned, and nothing writes to it while the program runs.
        unsafe { ptr::read_volatile(&raw const $name) }
    };
}

/// Sends the next packet, if one is due.
#[xdp]
pub fn mirror_generate(ctx: XdpContext) -> u32 {
    match send(&ctx) {
        // SAFETY: the helper takes plain numbers.
        Some(()) => unsafe { bpf_redirect(global!(INTERFACE), 0) as u32 },
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn send(ctx: &XdpContext) -> Option<()> {
    // SAFETY: the values of both maps live as long as the program; one CPU at a time runs it, and the only other
    // program that writes to them runs on the same CPU between two calls of this one.
    let (sender, progress) = unsafe { (&mut *SENDER.get_ptr_mut(0)?, &mut *PROGRESS.get_ptr_mut(0)?) };
    if sender.position.number >= global!(PACKETS) || !due(sender) {
        return None;
    }
    let mix = global!(MIX);
    let packet = Packet::new(&mix, &sender.position);
    let template = TEMPLATES.get(packet.template())?;
    if ctx.data() + HEADER_LENGTH > ctx.data_end() {
        return None;
    }
    // SAFETY: the header lies within the packet, as just compared. The kernel aligns packet data to 8 bytes: it
    // stands 256 bytes (`XDP_PACKET_HEADROOM`) behind a structure of whole words at the start of a page.
    let header = unsafe { &mut *(ctx.data() as *mut Header) };
    packet.write(template, header);
    if mix.stamped != 0 {
        header.stamp(sender.start_ns + sender.due / DUE_FRACTION);
    }
    let length = template.frame_length();
    let surplus = global!(FRAME_LENGTH) as i32 - length as i32;
    // SAFETY: the context is the one that the kernel passed in; no pointer into the packet is used after the call.
    if surplus != 0 && unsafe { bpf_xdp_adjust_tail(ctx.ctx, -surplus) } != 0 {
        return None;
    }
    if sender.position.number == 0 {
        // SAFETY: the helpers here and below take no arguments.
        progress.first_ns = unsafe { bpf_ktime_get_ns() };
    }
    // SAFETY: as above.
    sender.cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    sender.recent[sender.position.number as usize % RECENT] =
        u64::from(packet.kind) << 32 | u64::from(length);
    sender.position.advance(mix.flows);
    sender.due += global!(INTERVAL);
    progress.offered = sender.position.number;
    progress.offered_bytes += u64::from(length);
    progress.offered_kinds[packet.kind as usize % KINDS] += 1;
    Some(())
}

/// True once the next packet's time has come. The clock is read only where its last reading does not settle that: a
/// sender that lags behind spends no time on it.
#[inline(always)]
fn due(sender: &mut Sender) -> bool {
    if global!(INTERVAL) == 0 || sender.due < sender.now {
        return true;
    }
    // SAFETY: the helper takes no arguments.
    let clock = unsafe { bpf_ktime_get_ns() };
    if sender.start_ns == 0 {
        sender.start_ns = clock;
    }
    sender.now = (clock - sender.start_ns) * DUE_FRACTION;
    if sender.due + LONGEST_LAG_NS * DUE_FRACTION < sender.now {
        sender.due = sender.now;
    }
    sender.due <= sender.now
}

/// Counts the frames of a bulk that the driver accepted and refused.
///
/// The tracepoint's arguments are: device from, device to, frames sent, frames dropped, error. A driver takes the
/// frames of a bulk in their order until it refuses one, and the rest is dropped.
#[raw_tracepoint(tracepoint = "xdp_devmap_xmit")]
pub fn mirror_account(ctx: RawTracePointContext) -> i32 {
    account(&ctx);
    0
}

#[inline(always)]
fn account(ctx: &RawTracePointContext) -> Option<()> {
    // SAFETY: as in `send`.
    let (sender, progress) = unsafe { (&*SENDER.get_ptr_mut(0)?, &mut *PROGRESS.get_ptr_mut(0)?) };
    let (sent, dropped) = (ctx.arg::<u32>(2), ctx.arg::<u32>(3));
    let (sent, dropped) = (u64::from(sent), u64::from(dropped));
    // Other programs' frames: on another CPU, or on this one after the kernel has reported on all of ours.
    // SAFETY: the helper takes no arguments.
    let cpu = u64::from(unsafe { bpf_get_smp_processor_id() });
    if sender.cpu != cpu || sent + dropped > progress.offered - progress.reported {
        return None;
    }
    if dropped != 0 {
        let first = progress.reported + sent;
        for index in 0..BULK {
            if index < dropped {
                let recent = sender.recent[(first + index) as usize % RECENT];
                progress.refused_kinds[(recent >> 32) as usize % KINDS] += 1;
                progress.refused_bytes += recent & 0xffff_ffff;
            }
        }
        progress.refused += dropped;
    }
    progress.reported += sent + dropped;
    // SAFETY: as above.
    progress.last_ns = unsafe { bpf_ktime_get_ns() };
    Some(())
}

/// Counts packets and bytes, and drops them: the least that a receiver does, for the other end of the cable.
#[xdp(frags)]
pub fn mirror_discard(ctx: XdpContext) -> u32 {
    if let Some(discarded) = DISCARDED.get_ptr_mut(0) {
        // SAFETY: the value lives as long as the program and belongs to this CPU.
        let [packets, bytes] = unsafe { &mut *discarded };
        *packets += 1;
        // SAFETY: the context is the one that the kernel passed in. The length is that of all buffers.
        *bytes += unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    }
    xdp_action::XDP_DROP
}

/// Hands every packet to the socket: the least that a capture costs.
#[xdp(frags)]
pub fn mirror_redirect(_ctx: XdpContext) -> u32 {
    match SOCKETS.redirect(0, u64::from(xdp_action::XDP_DROP)) {
        Ok(action) | Err(action) => action,
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

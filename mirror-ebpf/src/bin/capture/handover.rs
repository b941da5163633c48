//! The cut and the preamble that a packet gets on its way to user space.
#![expect(clippy::cast_possible_truncation, reason = "lengths of frames and headers, far below 2^31")]

use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::{error, trace};
use mirror_common::preamble::{LENGTH, Preamble};
use mirror_common::verdict::Verdict;

use crate::setting;
use crate::snap::snap_length;
use crate::wire::Udp;

/// Masks of the counts at which a packet gets its receive time, by receive queue. The loader sets the size.
#[map]
static STAMP_MASKS: Array<u64> = Array::with_max_entries(1, 0);

/// Cuts the packet, whose outer UDP header is `udp`, and puts a preamble in front of it where there is something to tell
/// user space: the receive time, for which it may be the packet's turn after `redirected` others, or the length of a
/// packet that was cut.
///
/// # Errors
///
/// [`Verdict::DroppedNotCut`], where the kernel refuses the cut; [`Verdict::DroppedNoHeadroom`], where the driver leaves no
/// room for the length.
#[inline(always)]
pub fn prepare(ctx: &XdpContext, queue: u32, udp: &Udp, redirected: u64) -> Result<(), Verdict> {
    let Ok(original_length) = cut(ctx, snap_length(ctx, udp)) else {
        error!(ctx, "queue {}: dropped a tunnel packet that could not be cut", queue);
        return Err(Verdict::DroppedNotCut);
    };
    trace!(ctx, "queue {}: redirected {} bytes", queue, length(ctx));
    // SAFETY: a helper call without arguments.
    let monotonic_ns = if is_stamped(queue, redirected) { unsafe { bpf_ktime_get_ns() } } else { 0 };
    if monotonic_ns == 0 && original_length == 0 {
        return Ok(());
    }
    if prepend(ctx, Preamble::new(monotonic_ns, original_length)) || original_length == 0 {
        Ok(())
    } else {
        error!(ctx, "queue {}: dropped a tunnel packet without room for its length", queue);
        Err(Verdict::DroppedNoHeadroom)
    }
}

/// `true` if the packet gets its receive time. Reading the clock costs more than all else that the program does.
#[inline(always)]
fn is_stamped(queue: u32, redirected: u64) -> bool {
    setting!(exact_timestamps) != 0 || STAMP_MASKS.get(queue).is_none_or(|mask| redirected & *mask == 0)
}

/// Bytes of the packet, in all of its buffers.
#[inline(always)]
fn length(ctx: &XdpContext) -> u32 {
    // SAFETY: a helper call with the program's own context.
    unsafe { bpf_xdp_get_buff_len(ctx.ctx) as u32 }
}

/// Cuts the packet, over all of its buffers, to the snap length, if that is not 0. Returns the length that it had, or 0
/// if it stays as it is.
///
/// # Errors
///
/// When the kernel refuses it.
#[inline(always)]
fn cut(ctx: &XdpContext, snap_length: u32) -> Result<u32, ()> {
    if snap_length == 0 {
        return Ok(0);
    }
    let length = length(ctx);
    if length <= snap_length {
        return Ok(0);
    }
    // SAFETY: a helper call with the program's own context. No pointer into the packet is held.
    match unsafe { bpf_xdp_adjust_tail(ctx.ctx, snap_length as i32 - length as i32) } {
        0 => Ok(length),
        _ => Err(()),
    }
}

/// Puts the preamble into bytes that are added to the packet's front, if there is headroom.
#[inline(always)]
fn prepend(ctx: &XdpContext, preamble: Preamble) -> bool {
    // SAFETY: a helper call with the program's own context. No pointer into the packet is held.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, -(LENGTH as i32)) } != 0 {
        return false;
    }
    let start = ctx.data();
    if start + LENGTH > ctx.data_end() {
        return false;
    }
    // SAFETY: the bytes belong to the packet's buffer, as was checked. BPF stores need no alignment on machines with
    // efficient unaligned access; on others the verifier refuses the program.
    unsafe { (start as *mut Preamble).write(preamble) };
    true
}

//! The cut and the metadata that a packet gets on its way to user space.
#![expect(clippy::cast_possible_truncation, reason = "lengths of frames and headers, far below 2^31")]

use aya_ebpf::helpers::{
    bpf_ktime_get_ns, bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
};
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::error;
use mirror_common::metadata::{LENGTH, MAGIC, Metadata, PREAMBLE_ETHERTYPE, PREAMBLE_LENGTH, Preamble, mode};
use mirror_common::verdict::Verdict;

use crate::setting;
use crate::snap::snap_length;
use crate::wire::Udp;

/// Cuts the packet, whose outer UDP header is `udp`, and puts its metadata in front of it. Returns its length on the
/// wire in bytes.
///
/// # Errors
///
/// [`Verdict::DroppedNotCut`], where the kernel refuses the cut; [`Verdict::DroppedNoHeadroom`], where the driver leaves
/// room for neither metadata nor preamble.
#[inline(always)]
pub fn prepare(ctx: &XdpContext, queue: u32, udp: &Udp) -> Result<u32, Verdict> {
    // SAFETY: a helper call with the program's own context.
    let original_length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) } as u32;
    // SAFETY: a helper call without arguments.
    let metadata = Metadata { monotonic_ns: unsafe { bpf_ktime_get_ns() }, original_length, magic: MAGIC };
    if !cut(ctx, original_length, snap_length(ctx, udp)) {
        error!(ctx, "queue {}: dropped a tunnel packet that could not be cut", queue);
        return Err(Verdict::DroppedNotCut);
    }
    if (setting!(metadata_mode) == mode::METADATA && put_in_room(ctx, metadata))
        || put_in_preamble(ctx, metadata)
    {
        Ok(original_length)
    } else {
        error!(ctx, "queue {}: dropped a tunnel packet without room for its metadata", queue);
        Err(Verdict::DroppedNoHeadroom)
    }
}

/// Cuts the packet, over all of its buffers, to the snap length, if that is not 0. Returns whether it is no longer now.
#[inline(always)]
fn cut(ctx: &XdpContext, length: u32, snap_length: u32) -> bool {
    if snap_length == 0 || length <= snap_length {
        return true;
    }
    // SAFETY: a helper call with the program's own context. No pointer into the packet is held.
    unsafe { bpf_xdp_adjust_tail(ctx.ctx, snap_length as i32 - length as i32) == 0 }
}

/// Puts the metadata into the driver's metadata room, if it has one.
#[inline(always)]
fn put_in_room(ctx: &XdpContext, metadata: Metadata) -> bool {
    // SAFETY: a helper call with the program's own context. No pointer into the packet is held.
    let refused = unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(LENGTH as i32)) } != 0;
    !refused && put(ctx.metadata(), ctx.metadata_end(), metadata)
}

/// Puts the metadata into bytes that are added to the packet's front, if there is headroom.
#[inline(always)]
fn put_in_preamble(ctx: &XdpContext, metadata: Metadata) -> bool {
    let preamble = Preamble {
        addresses: [0; 12],
        ethertype: PREAMBLE_ETHERTYPE.to_be_bytes(),
        padding: [0; 2],
        metadata,
    };
    // SAFETY: a helper call with the program's own context. No pointer into the packet is held.
    let refused = unsafe { bpf_xdp_adjust_head(ctx.ctx, -(PREAMBLE_LENGTH as i32)) } != 0;
    !refused && put(ctx.data(), ctx.data_end(), preamble)
}

/// Writes `value` to `start`, if it ends by `end`: what the verifier wants to see checked.
#[inline(always)]
fn put<T: Copy>(start: usize, end: usize, value: T) -> bool {
    if start + size_of::<T>() > end {
        return false;
    }
    // SAFETY: the bytes belong to the packet's buffer, as was checked. BPF stores need no alignment on machines with
    // efficient unaligned access; on others the verifier refuses the program.
    unsafe { (start as *mut T).write(value) };
    true
}

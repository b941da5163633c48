//! Hints to the CPU and the kernel about memory ahead of its use. Nothing here changes the program's results.
#![expect(unsafe_code, reason = "prefetch instructions and madvise have no safe interface")]

use std::mem::MaybeUninit;

/// Size of a cache line in bytes.
pub(super) const CACHE_LINE: usize = 64;

/// Fetches all cache lines of `value` ahead of their use.
#[inline(always)]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of::<T>()).step_by(CACHE_LINE) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = std::ptr::from_ref(value).cast::<i8>().wrapping_add(offset);
        // SAFETY: SSE is part of x86_64; the instruction reads no memory that the program could see, and
        // `line` lies within `value`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A vector with room for `capacity` values, on huge pages where the kernel allows them.
///
/// Without huge pages (`/sys/kernel/mm/transparent_hugepage/enabled` says `never`), the vector works all the
/// same. Pages are taken from the system when they are first written, so room that is never used costs
/// address space only.
pub(super) fn huge_vec<T>(capacity: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(capacity);
    advise_huge_pages(values.spare_capacity_mut());
    values
}

#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(room: &mut [MaybeUninit<T>]) {
    use rustix::mm::{Advice, madvise};

    let page = rustix::param::page_size();
    let bytes = room.as_mut_ptr_range();
    let skipped = bytes.start.cast::<u8>().align_offset(page);
    let length = size_of_val(room).saturating_sub(skipped) / page * page;
    if length > 0 {
        let start = bytes.start.cast::<u8>().wrapping_add(skipped);
        // SAFETY: `start..start + length` are whole pages within `room`, which is borrowed here alone. The
        // advice changes the size of pages that are taken later, never what is in them. The kernel may
        // decline; then small pages serve.
        let _ = unsafe { madvise(start.cast(), length, Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_room: &mut [MaybeUninit<T>]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_as_asked() {
        for capacity in [0, 1, 100, 5_000_000] {
            let mut values = huge_vec::<u64>(capacity);
            assert!(values.is_empty());
            assert!(values.capacity() >= capacity);
            values.extend(0..capacity as u64);
            assert_eq!(values.last().copied(), (capacity as u64).checked_sub(1));
        }
    }
}

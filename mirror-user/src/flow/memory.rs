//! Hints to the CPU and the kernel about memory ahead of its use, which do not change the program's results; and the
//! comparison of a cache line.
#![expect(unsafe_code, reason = "vector and prefetch instructions and madvise have no safe interface")]

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

/// One bit for each lane that is `value` in the bits of `mask`, that of the first lane lowest.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn equal_lanes(lanes: &[u32; CACHE_LINE / 4], value: u32, mask: u32) -> u32 {
    use core::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set_epi32,
        _mm_set1_epi32,
    };

    // The compiler takes the loop below apart into twice as many instructions, as it does not find the mask of bytes.
    // SAFETY: SSE2 is part of x86_64, and none of these instructions reads memory by a pointer.
    unsafe {
        let (value, mask) = (_mm_set1_epi32(value.cast_signed()), _mm_set1_epi32(mask.cast_signed()));
        let equal = |first: usize| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|place| lanes[first + place].cast_signed());
            _mm_cmpeq_epi32(_mm_and_si128(_mm_set_epi32(d, c, b, a), mask), value)
        };
        let lower = _mm_packs_epi32(equal(0), equal(4));
        let upper = _mm_packs_epi32(equal(8), equal(12));
        _mm_movemask_epi8(_mm_packs_epi16(lower, upper)).cast_unsigned()
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn equal_lanes_one_by_one(lanes: &[u32; CACHE_LINE / 4], value: u32, mask: u32) -> u32 {
    let lanes = lanes.iter().enumerate();
    lanes.fold(0, |equal, (place, lane)| equal | u32::from(lane & mask == value) << place)
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use equal_lanes_one_by_one as equal_lanes;

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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lanes_are_compared_as_one_by_one(
            lanes in prop::array::uniform16(prop_oneof![0..4_u32, any::<u32>()]),
            value in 0..4_u32,
            mask in prop_oneof![Just(3_u32), Just(u32::MAX), any::<u32>()],
        ) {
            prop_assert_eq!(equal_lanes(&lanes, value, mask), equal_lanes_one_by_one(&lanes, value, mask));
            let [first, ..] = lanes;
            let all = equal_lanes(&[first; 16], first & mask, mask);
            prop_assert_eq!(all, 0xffff);
        }
    }

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

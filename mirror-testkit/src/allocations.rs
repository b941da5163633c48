//! An allocator that counts the allocations of each thread and of all.
#![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator, which counts the requests. For `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// Allocations of all threads.
static ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Allocations of this thread, and the bytes that it asked for.
    static OWN: Cell<Own> = const { Cell::new(Own { allocations: 0, bytes: 0 }) };
}

/// The requests of one thread so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Number of allocations.
    pub allocations: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
}

/// The requests of the calling thread so far; 0 in a program that does not run on [`Counting`].
pub fn own() -> Own {
    OWN.get()
}

/// Allocations of all threads so far; 0 in a program that does not run on [`Counting`].
pub fn all() -> u64 {
    ALL.load(Ordering::Relaxed)
}

/// True in a program that runs on [`Counting`].
pub fn are_counted() -> bool {
    let before = own();
    drop(std::hint::black_box(Box::new(0)));
    own() != before
}

fn count(bytes: usize) {
    ALL.fetch_add(1, Ordering::Relaxed);
    let Own { allocations, bytes: asked } = OWN.get();
    OWN.set(Own { allocations: allocations + 1, bytes: asked + bytes as u64 });
}

// SAFETY: everything is handed on to the system's allocator. Counting allocates nothing: the thread's counter is
// initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for; the same below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

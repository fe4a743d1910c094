//! The allocator: some of the executable's own memory first, then the C library's.
//!
//! What a start needs is a few kilobytes, once. For so little malloc asks the kernel for memory
//! several times and touches a page for each size: a twelfth of the time until execve.
//!
//! Where there is no more memory to be had, one line says so and the process ends with zroot's own
//! exit status: what the standard library does then is several lines and an abort.

#![allow(unsafe_code)] // an allocator is unsafe by nature

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is said where there is no more memory. A supervisor says it to nobody.
const OUT_OF_MEMORY: &[u8] = b"zroot: out of memory\n";

/// The exit status of zroot's own failures; `error::FAILED`, which is the library's.
const FAILED: libc::c_int = 125;

/// Enough for a start with an ordinary environment. Only pages that are used count: it is part of
/// .bss.
const SIZE: usize = 16 << 10;

/// Blocks, one behind the other. Only the last one can grow or be given back, so nothing has to be
/// known of the others.
#[repr(C, align(16))] // `used` on the page of the first blocks
pub struct Arena {
    used: AtomicUsize,
    space: UnsafeCell<[u8; SIZE]>,
}

// SAFETY: `used` gives each byte of `space` to one block at most, and nothing here looks at the
// bytes of a block but `realloc`, whose caller owns it.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty arena.
    pub const fn new() -> Arena {
        Arena {
            used: AtomicUsize::new(0),
            space: UnsafeCell::new([0; SIZE]),
        }
    }

    /// A new block, if there is room.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let base = self.space.get().cast::<u8>();
        let mut used = self.used.load(Relaxed);
        loop {
            let start = (base.addr() + used).next_multiple_of(layout.align()) - base.addr();
            let end = start
                .checked_add(layout.size())
                .filter(|end| *end <= SIZE)?;
            match self.used.compare_exchange_weak(used, end, Relaxed, Relaxed) {
                Ok(_) => return Some(base.wrapping_add(start)),
                Err(now) => used = now,
            }
        }
    }

    /// Where `block` begins in the arena, if it is of it.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        block
            .addr()
            .checked_sub(self.space.get().addr())
            .filter(|offset| *offset < SIZE)
    }

    /// Lets the last block, at `offset`, be `new` bytes instead of `old`, if it is the last and
    /// there is room.
    fn resize(&self, offset: usize, old: usize, new: usize) -> bool {
        let end = offset.saturating_add(new);
        end <= SIZE
            && self
                .used
                .compare_exchange(offset + old, end, Relaxed, Relaxed)
                .is_ok()
    }
}

/// `block`, unless there is none: then the process ends, without as much as another block.
#[inline]
fn or_end(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        end();
    }
    block
}

#[cold]
#[inline(never)]
fn end() -> ! {
    let (message, len) = (OUT_OF_MEMORY.as_ptr().cast(), OUT_OF_MEMORY.len());
    // SAFETY: the kernel reads that many bytes of a constant; _exit(2) only ends the process.
    unsafe {
        libc::write(libc::STDERR_FILENO, message, len);
        libc::_exit(FAILED)
    }
}

// SAFETY: blocks are disjoint (see above), of the size and alignment asked for, and stay where they
// are until they are given back; those of the C library go back to it.
unsafe impl GlobalAlloc for Arena {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is what it needs.
        self.take(layout)
            .unwrap_or_else(|| or_end(unsafe { System.alloc(layout) }))
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            // SAFETY: the block is new and has that size.
            Some(block) => unsafe {
                block.write_bytes(0, layout.size()); // it may have been used before
                block
            },
            // SAFETY: as in `alloc`.
            None => or_end(unsafe { System.alloc_zeroed(layout) }),
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            Some(offset) => {
                self.resize(offset, layout.size(), 0);
            }
            // SAFETY: it came from there.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        let Some(offset) = self.offset(block) else {
            // SAFETY: it came from there.
            return or_end(unsafe { System.realloc(block, layout, new) });
        };
        if self.resize(offset, layout.size(), new) {
            return block;
        }
        // SAFETY: the caller promises that `new` with this alignment is a layout; the two blocks
        // are disjoint, and each has the bytes copied.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new, layout.align()));
            ptr::copy_nonoverlapping(block, moved, layout.size().min(new));
            self.dealloc(block, layout);
            moved
        }
    }
}

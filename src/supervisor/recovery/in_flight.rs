//! The call in hand, where a supervisor's guard and its successor see it, so that the one can
//! finish what the other began.

#![allow(unsafe_code)] // mmap(2)

use std::fmt;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use crate::filter::policy::{Class, ClassSet};
use crate::supervisor::target::listener::{Notification, Response};

/// Laid out in the shared page. Zeroes are a desk with nothing on it.
#[repr(C)]
struct Page {
    notification: Notification,
    response: Response,
    /// Whether `response` is what the call is to be answered with.
    is_answered: AtomicBool,
    /// Whether one of them is about to make a file where there was none.
    is_making: AtomicBool,
    /// How many supervisors have had the call in hand.
    tries: AtomicU32,
    /// How many calls have been taken in hand, and how many are done with.
    begun: AtomicU64,
    done: AtomicU64,
    /// The supervisor has been given up: it finishes its call and ends.
    is_retired: AtomicBool,
}

/// A value in memory that the processes forked from now on share. It is never given back: there are
/// few in a process.
struct Shared<T>(NonNull<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Shared<T> {
    /// All zeroes.
    ///
    /// # Safety
    /// They must be a value of `T`, and whatever forked processes may change at once must be
    /// atomic.
    unsafe fn zeroed() -> Result<Shared<T>, Errno> {
        let len = NonZeroUsize::new(size_of::<T>()).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping, which nothing else refers to. Its address is a multiple of any
        // alignment.
        let memory = unsafe {
            mmap_anonymous(
                None,
                len,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
            )?
        };
        Ok(Shared(memory.cast()))
    }

    fn get(&self) -> &T {
        // SAFETY: the mapping is never unmapped, and holds a T (see `zeroed`).
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// No other process may look at the parts that are changed.
    unsafe fn get_mut(&mut self) -> &mut T {
        // SAFETY: as in `get`; the rest is the caller's promise.
        unsafe { self.0.as_mut() }
    }
}

/// A desk. One process at a time puts something on it.
pub struct Desk {
    page: Shared<Page>,
}

impl Desk {
    /// An empty one, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Desk, Errno> {
        // SAFETY: a page is integers. Those that are not atomic are the supervisor's while it
        // lives.
        Ok(Desk {
            page: unsafe { Shared::zeroed()? },
        })
    }

    fn page(&self) -> &Page {
        self.page.get()
    }

    /// Clears the desk for the next call and returns where it goes.
    pub fn clear(&mut self) -> &mut Notification {
        let page = self.page();
        page.is_answered.store(false, Ordering::Release);
        page.is_making.store(false, Ordering::Release);
        page.tries.store(0, Ordering::Release);
        // SAFETY: only the supervisor, which holds the desk mutably, touches this field and the
        // response while it lives.
        unsafe { &mut self.page.get_mut().notification }
    }

    /// Says that a call is in hand.
    pub fn begin(&self) {
        self.page().begun.fetch_add(1, Ordering::AcqRel);
    }

    /// The call in hand, whatever has become of it.
    #[must_use]
    pub fn notification(&self) -> &Notification {
        &self.page().notification
    }

    /// Says that the file which the call asks for is not there and will be made.
    pub fn make(&self) {
        self.page().is_making.store(true, Ordering::Release);
    }

    /// Whether a supervisor that died over this call may have made its file.
    #[must_use]
    pub fn may_be_made(&self) -> bool {
        self.page().is_making.load(Ordering::Acquire)
    }

    /// Puts down what the call is to be answered with.
    pub fn answer(&mut self, response: Response) {
        // SAFETY: as in `clear`.
        unsafe { self.page.get_mut().response = response };
        self.page().is_answered.store(true, Ordering::Release);
    }

    /// What the call is to be answered with, if that is known.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        self.page()
            .is_answered
            .load(Ordering::Acquire)
            .then(|| &self.page().response)
    }

    /// Says that the call is answered.
    pub fn finish(&mut self) {
        // SAFETY: as in `clear`.
        unsafe { self.page.get_mut().notification.notif.id = 0 };
        let begun = self.page().begun.load(Ordering::Acquire);
        self.page().done.store(begun, Ordering::Release);
    }

    /// Counts the supervisors that take this call in hand; true for the first few.
    #[must_use]
    pub fn try_again(&self) -> bool {
        self.page().tries.fetch_add(1, Ordering::AcqRel) < 2
    }

    /// The number of the call in hand, counted from the first; `None` between calls.
    #[must_use]
    pub fn in_hand(&self) -> Option<u64> {
        let begun = self.page().begun.load(Ordering::Acquire);
        (self.page().done.load(Ordering::Acquire) != begun).then_some(begun)
    }

    /// Gives the supervisor up.
    pub fn retire(&self) {
        self.page().is_retired.store(true, Ordering::Release);
    }

    /// Whether it has been given up.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.page().is_retired.load(Ordering::Acquire)
    }
}

/// A set of classes that grows, seen by all processes forked from now on.
#[derive(Clone, Copy)]
pub struct Seen {
    bits: Shared<AtomicU32>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({})", self.classes())
    }
}

impl Seen {
    /// An empty one.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Seen, Errno> {
        // SAFETY: zero is a value, and it is atomic.
        Ok(Seen {
            bits: unsafe { Shared::zeroed()? },
        })
    }

    /// Adds a class.
    pub fn add(&self, class: Class) {
        self.bits
            .get()
            .fetch_or(ClassSet::EMPTY.with(class).bits().into(), Ordering::AcqRel);
    }

    /// What has been added.
    #[must_use]
    pub fn classes(&self) -> ClassSet {
        ClassSet::from_bits(
            self.bits
                .get()
                .load(Ordering::Acquire)
                .try_into()
                .unwrap_or_default(),
        )
    }
}

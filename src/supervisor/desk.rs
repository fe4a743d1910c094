//! The call in hand, where a supervisor's guard and its successor see it, so that the one can finish what the other began.

#![allow(unsafe_code)] // mmap(2)

use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

use super::listener::{Notification, Response};
use crate::filter::policy::{Class, ClassSet};

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

/// A desk. One process at a time puts something on it.
pub struct Desk {
    page: NonNull<Page>,
}

impl Desk {
    /// An empty one, shared with the processes forked from now on. Its memory is never given back: there is one in a process, or two.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Desk, Errno> {
        let len = NonZeroUsize::new(size_of::<Page>()).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping, which nothing else refers to.
        let memory = unsafe { mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)? };
        Ok(Desk { page: memory.cast() })
    }

    fn page(&self) -> &Page {
        // SAFETY: the mapping holds a page, is never unmapped, and zeroes are values of all its fields.
        unsafe { self.page.as_ref() }
    }

    /// Clears the desk for the next call and returns where it goes.
    pub fn clear(&mut self) -> &mut Notification {
        let page = self.page();
        page.is_answered.store(false, Ordering::Release);
        page.is_making.store(false, Ordering::Release);
        page.tries.store(0, Ordering::Release);
        // SAFETY: as in `page`; only the supervisor, which holds the desk mutably, touches these two fields while it lives.
        unsafe { &mut self.page.as_mut().notification }
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
        unsafe { self.page.as_mut().response = response };
        self.page().is_answered.store(true, Ordering::Release);
    }

    /// What the call is to be answered with, if that is known.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        self.page().is_answered.load(Ordering::Acquire).then(|| &self.page().response)
    }

    /// Says that the call is answered.
    pub fn finish(&mut self) {
        // SAFETY: as in `clear`.
        unsafe { self.page.as_mut().notification.notif.id = 0 };
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
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    bits: NonNull<AtomicU32>,
}

impl Seen {
    /// An empty one. Its memory is never given back: there is one in a process.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Seen, Errno> {
        let len = NonZeroUsize::new(size_of::<AtomicU32>()).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping, which nothing else refers to.
        let memory = unsafe { mmap_anonymous(None, len, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)? };
        Ok(Seen { bits: memory.cast() })
    }

    fn bits(&self) -> &AtomicU32 {
        // SAFETY: the mapping holds an integer, is never unmapped, and zero is a value of it.
        unsafe { self.bits.as_ref() }
    }

    /// Adds a class.
    pub fn add(&self, class: Class) {
        self.bits().fetch_or(ClassSet::EMPTY.with(class).bits().into(), Ordering::AcqRel);
    }

    /// What has been added.
    #[must_use]
    pub fn classes(&self) -> ClassSet {
        ClassSet::from_bits(self.bits().load(Ordering::Acquire).try_into().unwrap_or_default())
    }
}

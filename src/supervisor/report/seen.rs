//! Which classes had a call pretended, where another process can see it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

use crate::filter::policy::{Class, ClassSet};
use crate::sys::memory::Shared;

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
        Ok(Seen {
            bits: Shared::zeroed()?,
        })
    }

    /// Adds a class.
    pub fn add(&self, class: Class) {
        self.bits
            .fetch_or(ClassSet::EMPTY.with(class).bits(), Ordering::AcqRel);
    }

    /// What has been added.
    #[must_use]
    pub fn classes(&self) -> ClassSet {
        ClassSet::from_bits(self.bits.load(Ordering::Acquire))
    }
}

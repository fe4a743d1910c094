//! The callers that called last, each held by a descriptor: they are likely to call again. (A pidfd
//! never leads to a later process with the same number.)
//!
//! Most callers are plain: they have the supervisor's root directory and rights. That is looked up
//! once for each, where every call that could change it is seen ([`Roaming`]).

use std::cell::{Cell, RefCell};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::sys::memory::Shared;
use crate::sys::process::{descriptor_of, is_alive, pidfd_open_thread};

/// How many are held: as many as work at once in most builds. Each takes a descriptor.
const MOST: usize = 8;

/// Whether any process may have changed its root directory or its rights, in memory that a
/// successor shares.
#[derive(Clone, Copy)]
pub struct Roaming(Shared<AtomicBool>);

impl Roaming {
    /// None has yet.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Roaming, Errno> {
        Ok(Roaming(Shared::zeroed()?))
    }
}

/// The last ones.
#[derive(Default)]
pub struct Callers {
    /// The one that called last is the last.
    known: RefCell<Vec<Caller>>,
    /// Which call was asked about last, and whether its caller is plain.
    answer: Cell<(u64, bool)>,
    /// `None` where nobody tells.
    roaming: Option<Roaming>,
}

struct Caller {
    tid: i32,
    thread: OwnedFd,
    is_plain: Option<bool>,
}

impl Callers {
    /// None yet, of whom `roaming` tells whether any has changed what makes it plain.
    #[must_use]
    pub fn new(roaming: Option<Roaming>) -> Callers {
        Callers {
            roaming,
            ..Callers::default()
        }
    }

    /// A copy of descriptor `fd` of thread `tid`, which waits for the answer to `call`.
    ///
    /// # Errors
    /// pidfd_open(2)'s; pidfd_getfd(2)'s: `EBADF`.
    pub fn descriptor(&self, tid: i32, call: u64, fd: RawFd) -> Result<OwnedFd, Errno> {
        if let Some(caller) = self.find(tid) {
            match descriptor_of(&caller.thread, fd) {
                // An earlier one with the same number.
                Err(Errno::ESRCH) => {}
                found => {
                    // It is the one that was looked at.
                    if let (Ok(_), Some(is_plain)) = (&found, caller.is_plain) {
                        self.answer.set((call, is_plain));
                    }
                    self.keep(caller);
                    return found;
                }
            }
        }
        let caller = Caller {
            tid,
            thread: pidfd_open_thread(tid)?,
            is_plain: None,
        };
        let found = descriptor_of(&caller.thread, fd);
        self.keep(caller);
        found
    }

    /// Whether thread `tid`, which waits for the answer to `call`, is plain; `look` finds out.
    pub fn is_plain(&self, tid: i32, call: u64, look: impl FnOnce() -> bool) -> bool {
        let Some(roaming) = &self.roaming else {
            return false;
        };
        if roaming.0.load(Ordering::Acquire) {
            return false;
        }
        if self.answer.get().0 == call {
            return self.answer.get().1;
        }
        let known = self.find(tid).filter(|caller| is_alive(&caller.thread));
        let caller = known.or_else(|| {
            Some(Caller {
                tid,
                thread: pidfd_open_thread(tid).ok()?,
                is_plain: None,
            })
        });
        let Some(mut caller) = caller else {
            return false;
        };
        let is_plain = *caller.is_plain.get_or_insert_with(look);
        self.keep(caller);
        self.answer.set((call, is_plain));
        is_plain
    }

    /// Says that a process may be about to change what makes it plain, or another that shares that.
    pub fn roam(&self) {
        if let Some(roaming) = &self.roaming {
            roaming.0.store(true, Ordering::Release);
        }
    }

    fn find(&self, tid: i32) -> Option<Caller> {
        let mut known = self.known.borrow_mut();
        let at = known.iter().rposition(|caller| caller.tid == tid)?;
        Some(known.remove(at))
    }

    fn keep(&self, caller: Caller) {
        let mut known = self.known.borrow_mut();
        if known.len() == MOST {
            known.remove(0);
        }
        known.push(caller);
    }
}

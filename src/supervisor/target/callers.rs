//! The caller that called last, held by a descriptor: it is likely to call again. (A pidfd never
//! leads to a later process with the same number.)

use std::cell::RefCell;
use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;

use crate::sys::process::{descriptor_of, pidfd_open_thread};

/// The last one.
#[derive(Default)]
pub struct Callers {
    last: RefCell<Option<(i32, OwnedFd)>>,
}

impl Callers {
    /// A copy of descriptor `fd` of thread `tid`.
    ///
    /// # Errors
    /// pidfd_open(2)'s; pidfd_getfd(2)'s: `EBADF`.
    pub fn descriptor(&self, tid: i32, fd: RawFd) -> Result<OwnedFd, Errno> {
        let mut last = self.last.borrow_mut();
        if let Some((_, thread)) = last.as_ref().filter(|(last, _)| *last == tid) {
            match descriptor_of(thread, fd) {
                // An earlier one with the same number.
                Err(Errno::ESRCH) => {}
                found => return found,
            }
        }
        let (_, thread) = last.insert((tid, pidfd_open_thread(tid)?));
        descriptor_of(thread, fd)
    }
}

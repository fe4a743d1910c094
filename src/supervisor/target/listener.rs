//! The listener: the descriptor over which the kernel hands notified calls to the supervisor and
//! takes the answers (seccomp_unotify(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::signal::{SigSet, Signal};

use super::wake::Wake;
use crate::sys::seccomp::{self, NotificationRoom, seccomp_notif_resp};

/// What [`Listener::receive`] comes back with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A notification is there.
    Call,
    /// Nothing, because of a signal or because the caller is gone already.
    Nothing,
    /// No process uses the filter any more.
    End,
}

/// A listener. A forked process's shares the kernel's queue.
pub struct Listener {
    fd: OwnedFd,
    /// `None` before Linux 6.6, where RECV does not return either when the last process is gone
    /// (kernel/seccomp.c, `recv_wait_event`).
    wake: Option<Wake>,
}

impl Listener {
    /// Takes over `fd`, which seccomp(2) returned.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Listener {
        let wake = Wake::new(fd.as_fd());
        Listener { fd, wake }
    }

    /// Waits for the next notification and puts it into `room`.
    ///
    /// # Errors
    /// ioctl(2)'s. The next call would fail the same way.
    pub fn receive(&mut self, room: &NotificationRoom) -> Result<Received, Errno> {
        if self.wake.is_none() && self.is_unused(PollTimeout::NONE) {
            return Ok(Received::End);
        }
        let before = self.wake.as_mut().map(|wake| wake.wait(self.fd.as_fd()));
        match seccomp::receive(self.fd.as_fd(), room) {
            Ok(()) => {
                if let (Some(wake), Some(before)) = (&mut self.wake, before) {
                    let caller = seccomp::notification(room).pid;
                    let is_crowded = || has_next(&self.fd);
                    wake.choose(self.fd.as_fd(), caller, &before, is_crowded);
                }
                Ok(Received::Call)
            }
            Err(Errno::ENOENT) if self.is_unused(PollTimeout::ZERO) => Ok(Received::End),
            Err(Errno::ENOENT | Errno::EINTR) => Ok(Received::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// Waits until a notification is there or the end has come (true), or `signal` arrives, or
    /// something happens that one of `others` waits for (false).
    #[must_use]
    pub fn is_ready(&self, signal: Signal, others: Vec<PollFd>) -> bool {
        let mut mask = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::all());
        mask.remove(signal);
        let mut fds = vec![PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        fds.extend(others);
        let _ = ppoll(&mut fds, None, Some(mask));
        fds[0].any().unwrap_or(false)
    }

    /// Waits for something to happen, at most `timeout`; whether that was the end of the last
    /// process under the filter (since 5.9: kernel/seccomp.c, `seccomp_notify_poll`).
    fn is_unused(&self, timeout: PollTimeout) -> bool {
        let events = events(&self.fd, timeout);
        events.contains(PollFlags::POLLHUP) && !events.contains(PollFlags::POLLIN)
    }

    /// Answers. An error says that nobody waits for the answer: the caller died, or a signal
    /// interrupted its call.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn send(&self, response: seccomp_notif_resp) -> Result<(), Errno> {
        seccomp::send(self.fd.as_fd(), response)
    }

    /// Gives the caller of notification `id` a descriptor for `file`
    /// ([`add_fd`](seccomp::add_fd)).
    ///
    /// # Errors
    /// `EMFILE`; `ENOENT` if nobody waits any more.
    pub fn give(&self, id: u64, file: BorrowedFd, is_cloexec: bool) -> Result<i32, Errno> {
        seccomp::add_fd(self.fd.as_fd(), id, file, is_cloexec)
    }

    /// Whether the caller of notification `id` still waits: what was read of it up to now was its
    /// own, not that of a later process with its number.
    #[must_use]
    pub fn is_valid(&self, id: u64) -> bool {
        seccomp::is_valid(self.fd.as_fd(), id)
    }
}

fn events(listener: &OwnedFd, timeout: PollTimeout) -> PollFlags {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, timeout);
    fds[0].revents().unwrap_or(PollFlags::empty())
}

fn has_next(listener: &OwnedFd) -> bool {
    events(listener, PollTimeout::ZERO).contains(PollFlags::POLLIN)
}

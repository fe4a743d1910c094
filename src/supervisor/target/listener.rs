//! The listener: the descriptor over which the kernel hands notified calls to the supervisor and
//! takes the answers (seccomp_unotify(2)).

#![allow(unsafe_code)] // ioctl(2) on it: no crate has a safe call

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::sched_getcpu;

use crate::supervisor::target::call::Answer;
use crate::supervisor::target::processor_of;

pub use libc::{seccomp_notif, seccomp_notif_resp};

/// Room for one notification, as large as any kernel's.
#[repr(C, align(8))]
pub struct Notification {
    /// What every kernel fills in.
    pub notif: seccomp_notif,
    /// A later kernel's fields.
    more: [u8; 256 - size_of::<seccomp_notif>()],
}

/// The answer to one notification, with room for a later kernel's fields.
#[repr(C, align(8))]
pub struct Response {
    /// What every kernel reads.
    pub resp: seccomp_notif_resp,
    more: [u8; 64 - size_of::<seccomp_notif_resp>()],
}

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

/// From which wait on it is worth to look where another caller than the last is; that costs as much
/// as a call.
const SHORT: Duration = Duration::from_micros(50);
/// The same for the last caller, which may have been moved meanwhile but seldom is.
const LONG: Duration = Duration::from_millis(1);

/// A listener. Its clones and a forked process's share the kernel's queue.
pub struct Listener {
    fd: OwnedFd,
    /// Whether RECV itself returns when the last process is gone: since 6.6 (kernel/seccomp.c,
    /// `recv_wait_event`), as is the flag that tells.
    recv_ends: bool,
    /// Whether who is woken goes on where the waker was.
    is_synchronous: bool,
    /// Whose call was received last.
    last: u32,
    /// Whether that caller was on another processor than the supervisor.
    is_elsewhere: bool,
}

impl Listener {
    /// Takes over `fd`, which seccomp(2) returned.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Listener {
        let mut listener = Listener {
            fd,
            recv_ends: false,
            is_synchronous: false,
            last: 0,
            is_elsewhere: false,
        };
        listener.recv_ends = listener.wake_on_this_cpu(true);
        listener.is_synchronous = listener.recv_ends;
        listener
    }

    /// Has both sides wake each other on the same processor, as a function call would go on there,
    /// or wherever the scheduler likes. Whether the kernel can.
    fn wake_on_this_cpu(&self, on: bool) -> bool {
        /// include/uapi/linux/seccomp.h.
        const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: libc::c_ulong = 1;
        let flags = if on {
            SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
        } else {
            0
        };
        // SAFETY: this ioctl takes its argument by value.
        unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _,
                flags,
            ) == 0
        }
    }

    /// Has the next one that is woken, on either side, go on here or elsewhere.
    fn set_synchronous(&mut self, on: bool) {
        if on != self.is_synchronous {
            self.wake_on_this_cpu(on);
            self.is_synchronous = on;
        }
    }

    /// Chooses where `caller` goes on, which has been received after a wait that began on processor
    /// `before` at `since`.
    ///
    /// One caller at a time is best answered where it waits, and where it has woken us: the other
    /// processors sleep, or have their work. Of many, the next already waits while one is answered,
    /// and they are better off on other processors. But where we are is not always where the caller
    /// is: a sleeper whose share is used up stays on its processor's queue for a while
    /// (kernel/sched/fair.c, `DELAY_DEQUEUE`), and is woken there. Had here, the caller would stand
    /// behind whatever else runs here, and its own processor would be idle until the scheduler sees
    /// that, milliseconds later.
    fn choose_processor(&mut self, caller: u32, before: Option<usize>, since: Instant) {
        let here = sched_getcpu().ok();
        let is_last = caller == self.last;
        if here != before {
            self.is_elsewhere = false;
        } else if since.elapsed() >= if is_last { LONG } else { SHORT } {
            let there = i32::try_from(caller).ok().and_then(processor_of);
            self.is_elsewhere = there.is_some() && there != here;
        } else if !is_last {
            self.is_elsewhere = false;
        }
        let is_crowded = (!is_last || !self.is_synchronous)
            && self.poll(PollTimeout::ZERO).contains(PollFlags::POLLIN);
        self.set_synchronous(!self.is_elsewhere && !is_crowded);
        self.last = caller;
    }

    /// Waits for the next notification and puts it into `room`.
    ///
    /// # Errors
    /// ioctl(2)'s that no other call will do better.
    pub fn receive(&mut self, room: &mut Notification) -> Result<Received, Errno> {
        if self.recv_ends {
            // The next one may have us come.
            if self.is_elsewhere {
                self.set_synchronous(true);
            }
        } else if self.is_unused(PollTimeout::NONE) {
            return Ok(Received::End);
        }
        let (before, since) = (sched_getcpu().ok(), Instant::now());
        // The kernel wants it zeroed (kernel/seccomp.c, seccomp_notify_recv: check_zeroed_user).
        // SAFETY: a notification is plain integers, for which zero is a value.
        unsafe { std::ptr::write_bytes(&raw mut *room, 0, 1) };
        // SAFETY: `room` is as large as the kernel's structure, or larger.
        match Errno::result(unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV as _,
                &raw mut *room,
            )
        }) {
            Ok(_) => {
                if self.recv_ends {
                    self.choose_processor(room.notif.pid, before, since);
                }
                Ok(Received::Call)
            }
            Err(Errno::EINTR) => Ok(Received::Nothing),
            Err(Errno::ENOENT) => Ok(if self.is_unused(PollTimeout::ZERO) {
                Received::End
            } else {
                Received::Nothing
            }),
            Err(errno) => Err(errno),
        }
    }

    /// Waits for something to happen, at most `timeout`; whether that was the end of the last
    /// process under the filter (since 5.9: kernel/seccomp.c, `seccomp_notify_poll`).
    fn is_unused(&self, timeout: PollTimeout) -> bool {
        let events = self.poll(timeout);
        events.contains(PollFlags::POLLHUP) && !events.contains(PollFlags::POLLIN)
    }

    fn poll(&self, timeout: PollTimeout) -> PollFlags {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, timeout);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }

    /// Answers. An error says that nobody waits for it any more: the caller died, or a signal
    /// called it away.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn send(&self, response: &Response) -> Result<(), Errno> {
        // SAFETY: the kernel reads and writes its structure, which is not larger than `Response`.
        let result = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as _,
                (&raw const *response).cast_mut(),
            )
        };
        Errno::result(result).map(drop)
    }

    /// Whether the caller of notification `id` still waits: what was read of it up to now was its
    /// own, not that of a later process with its number.
    #[must_use]
    pub fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the kernel reads eight bytes.
        unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _,
                &raw const id,
            ) == 0
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Response {
    /// What the kernel is told about notification `id`.
    #[must_use]
    pub fn new(id: u64, answer: Answer) -> Response {
        let (val, error, flags) = match answer {
            Answer::Value(value) => (value, 0, 0),
            Answer::Error(errno) => (0, -(errno as i32), 0),
            Answer::Real => (0, 0, 1), // SECCOMP_USER_NOTIF_FLAG_CONTINUE
        };
        Response {
            resp: seccomp_notif_resp {
                id,
                val,
                error,
                flags,
            },
            more: [0; 64 - size_of::<seccomp_notif_resp>()],
        }
    }
}

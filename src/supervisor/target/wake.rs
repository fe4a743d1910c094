//! On which processor a woken process runs next: a caller that has its answer, or the supervisor
//! that gets a call.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::sched::sched_getcpu;
use nix::sys::stat::Mode;

use crate::sys::seccomp;

/// For so long a caller is taken to be where it was: since the last look if several call by turns,
/// since the last call if one does. Looking costs as much as a call.
const LONG: Duration = Duration::from_millis(1);

/// Of how many callers it is known where they are.
const MOST: usize = 8;

/// What is known of where the two sides of a listener run. The kernel can be told since Linux 6.6
/// (kernel/seccomp.c, `seccomp_notify_set_flags`).
pub struct Wake {
    /// Whether a woken process runs where its waker does.
    is_synchronous: bool,
    /// Whose call was received last.
    last: u32,
    /// Whether that caller was on another processor than the supervisor.
    is_elsewhere: bool,
    /// Where callers were, the last one last.
    known: Vec<Known>,
}

/// Where a caller was.
#[derive(Clone, Copy)]
struct Known {
    caller: u32,
    processor: Option<usize>,
    since: Instant,
}

/// Where and when a wait began.
pub struct Before {
    processor: Option<usize>,
    since: Instant,
}

impl Wake {
    /// For `listener`; `None` where the kernel wakes as it likes.
    pub fn new(listener: BorrowedFd) -> Option<Wake> {
        seccomp::set_sync_wake_up(listener, true).ok()?;
        Some(Wake {
            is_synchronous: true,
            last: 0,
            is_elsewhere: false,
            known: Vec::new(),
        })
    }

    /// Says that the supervisor is about to wait.
    pub fn wait(&mut self, listener: BorrowedFd) -> Before {
        // Let the next caller wake us on its own processor.
        if self.is_elsewhere {
            self.set_synchronous(listener, true);
        }
        Before {
            processor: sched_getcpu().ok(),
            since: Instant::now(),
        }
    }

    /// Chooses where `caller` runs once it has its answer. It has been received after a wait that
    /// began as `before` says. `is_crowded` tells whether the next call waits already.
    ///
    /// A single caller is best woken on the supervisor's processor: it waited there, and other
    /// processors sleep or have their own work. With many callers the next one waits already while
    /// one is answered, so they are better spread over the processors.
    ///
    /// But the supervisor does not always run where its caller does. A sleeper that has used up its
    /// share stays on its processor's queue for a while (kernel/sched/fair.c, `DELAY_DEQUEUE`) and
    /// is woken there. A caller that is woken here instead would queue behind whatever else runs
    /// here, while its own processor idles until the scheduler notices, milliseconds later.
    pub fn choose(
        &mut self,
        listener: BorrowedFd,
        caller: u32,
        before: &Before,
        is_crowded: impl FnOnce() -> bool,
    ) {
        let here = sched_getcpu().ok();
        let is_last = caller == self.last;
        let now = Instant::now();
        let at = self.known.iter().position(|known| known.caller == caller);
        let known = at.map(|at| self.known.remove(at));
        // What calls again and again is seldom moved, but for what it does between two calls.
        let is_fresh = |known: &Known| {
            let since = if is_last { before.since } else { known.since };
            now.saturating_duration_since(since) < LONG
        };
        let mut there = match known.filter(is_fresh) {
            // It has woken us on its own processor.
            _ if here != before.processor => here,
            Some(known) => known.processor,
            None => i32::try_from(caller).ok().and_then(processor_of),
        };
        self.is_elsewhere = there.is_some() && there != here;
        let is_crowded = (!is_last || !self.is_synchronous) && is_crowded();
        let is_synchronous = !self.is_elsewhere && !is_crowded;
        self.set_synchronous(listener, is_synchronous);
        self.last = caller;
        if is_synchronous {
            there = here;
        }
        let since = known.filter(is_fresh).map_or(now, |known| known.since);
        if self.known.len() == MOST {
            self.known.remove(0);
        }
        self.known.push(Known {
            caller,
            processor: there,
            since,
        });
    }

    /// Has the next process that is woken, on either side, run here or wherever it was.
    fn set_synchronous(&mut self, listener: BorrowedFd, on: bool) {
        if on != self.is_synchronous {
            // It was possible once.
            let _ = seccomp::set_sync_wake_up(listener, on);
            self.is_synchronous = on;
        }
    }
}

/// The processor that thread `tid` ran on last: field 39 of `/proc/TID/stat`, proc_pid_stat(5),
/// read from `/proc`, where the supervisor stands. `None` if that is not to be read.
fn processor_of(tid: i32) -> Option<usize> {
    let mut buffer = [0; 1024];
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = open(format!("{tid}/stat").as_str(), flags, Mode::empty()).ok()?;
    let len = nix::unistd::read(&file, &mut buffer).ok()?;
    // The second field is a name in brackets, which may have blanks and brackets of its own.
    let behind_name = buffer[..len].rsplit(|byte| *byte == b')').next()?;
    let processor = behind_name.split(|byte| *byte == b' ').nth(37)?;
    std::str::from_utf8(processor).ok()?.parse().ok()
}

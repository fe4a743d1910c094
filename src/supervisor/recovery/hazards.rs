//! Which file systems do not always answer: those that a target serves itself (FUSE), those of a
//! server that is gone. A call on one of them is not for the process that serves all others. Nor is
//! one that gives its caller a descriptor, where callers take long to come for it.
//!
//! In memory that the guard shares: it is the guard that sees a server hang.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use crate::sys::memory::{Shared, shareable};

/// How many there may be at a time. With more, the first ones are found out anew.
const MOST: usize = 64;
/// After as many calls that did not hang, a file system is as good as any other again: the kernel
/// gives the number of an unmounted one to the next.
const CALM: u32 = 1000;

/// A caller that is given a descriptor, in the place of a device: it takes part in that, once it
/// has a processor.
const CALLER: u64 = u64::MAX;

shareable! {
    /// A file system that has made a server hang.
    struct Hazard {
        /// Its device; 0 for none.
        device: AtomicU64,
        /// How many calls have come back in good time since then.
        calm: AtomicU32,
    }
}

shareable! {
    struct Page {
        /// Whether any server has hung. Before that, nobody looks which file system is asked.
        is_wary: AtomicBool,
        hazards: [Hazard; MOST],
        /// Where the next one goes.
        next: AtomicU32,
    }
}

/// What is known of them.
#[derive(Clone, Copy)]
pub struct Hazards {
    page: Shared<Page>,
    /// The device of the file system that this process is asking something; 0 for none.
    asked: Shared<AtomicU64>,
}

impl Hazards {
    /// None yet, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Hazards, Errno> {
        Ok(Hazards {
            page: Shared::zeroed()?,
            asked: Shared::zeroed()?,
        })
    }

    /// The same for a process that asks beside the one that serves.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn beside(&self) -> Result<Hazards, Errno> {
        Ok(Hazards {
            asked: Shared::zeroed()?,
            ..*self
        })
    }

    /// Whether it matters which file system is asked.
    #[must_use]
    pub fn are_possible(&self) -> bool {
        self.page.is_wary.load(Ordering::Acquire)
    }

    /// Says that the file system of `device` (major and minor number) is about to be asked
    /// something; false if it may not answer.
    #[must_use]
    pub fn may_ask(&self, device: (u32, u32)) -> bool {
        let device = number(device);
        self.asked.store(device, Ordering::Release);
        self.find(device).is_none()
    }

    /// Whether a caller is likely to come soon for a descriptor that it is given.
    #[must_use]
    pub fn may_give(&self) -> bool {
        self.find(CALLER).is_none()
    }

    /// Says that a caller is about to be given one.
    pub fn gives(&self) {
        self.asked.store(CALLER, Ordering::Release);
    }

    /// Whether a caller is given a descriptor.
    #[must_use]
    pub fn is_giving(&self) -> bool {
        self.asked.load(Ordering::Acquire) == CALLER
    }

    /// Says that nobody is asked.
    pub fn asks_nobody(&self) {
        self.asked.store(0, Ordering::Release);
    }

    /// Takes note that the one which is asked does not answer. The first time it may not be known
    /// which one that is.
    pub fn learn(&self) {
        let device = self.asked.load(Ordering::Acquire);
        if device != CALLER {
            self.page.is_wary.store(true, Ordering::Release);
        }
        if device == 0 || self.find(device).is_some() {
            return;
        }
        let next = self.page.next.fetch_add(1, Ordering::AcqRel) as usize % MOST;
        let hazard = &self.page.hazards[next];
        hazard.calm.store(0, Ordering::Release);
        hazard.device.store(device, Ordering::Release);
    }

    /// Takes note that the one which was asked last has answered, and whether in good time.
    pub fn has_answered(&self, in_time: bool) {
        let Some(hazard) = self.find(self.asked.load(Ordering::Acquire)) else {
            return;
        };
        if !in_time {
            hazard.calm.store(0, Ordering::Release);
        } else if hazard.calm.fetch_add(1, Ordering::AcqRel) >= CALM {
            hazard.device.store(0, Ordering::Release);
        }
    }

    fn find(&self, device: u64) -> Option<&Hazard> {
        let known = |hazard: &&Hazard| hazard.device.load(Ordering::Acquire) == device;
        self.page.hazards.iter().find(known).filter(|_| device != 0)
    }
}

/// A device as one number, which is not 0.
fn number((major, minor): (u32, u32)) -> u64 {
    1 << 63 | u64::from(major) << 32 | u64::from(minor)
}

#[cfg(test)]
mod tests {
    use super::{CALM, Hazards, MOST};

    #[test]
    fn one_that_hangs_is_known_until_it_is_calm() {
        let hazards = Hazards::new().expect("memory");
        assert!(hazards.may_ask((0, 50)));
        hazards.learn();
        assert!(hazards.may_ask((0, 51)));
        for _ in 0..=CALM {
            assert!(!hazards.may_ask((0, 50)));
            hazards.has_answered(true);
        }
        assert!(hazards.may_ask((0, 50)));
    }

    #[test]
    fn a_caller_that_is_slow_is_no_file_system() {
        let hazards = Hazards::new().expect("memory");
        assert!(hazards.may_give() && !hazards.is_giving());
        hazards.gives();
        assert!(hazards.is_giving());
        hazards.learn();
        assert!(!hazards.may_give() && !hazards.are_possible());
        for _ in 0..=CALM {
            hazards.has_answered(true);
        }
        assert!(hazards.may_give());
    }

    #[test]
    fn the_last_ones_are_known() {
        let hazards = Hazards::new().expect("memory");
        let many = u32::try_from(MOST).expect("a small number");
        for minor in 0..=many {
            assert!(hazards.may_ask((0, minor)));
            hazards.learn();
        }
        assert!(hazards.may_ask((0, 0)) && !hazards.may_ask((0, 1)) && !hazards.may_ask((0, many)));
    }
}

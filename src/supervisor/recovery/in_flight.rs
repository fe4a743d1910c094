//! The call in hand, where the guard and a successor see it, so that the one can finish what the
//! other began.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use crate::supervisor::target::answer::Answer;
use crate::sys::memory::{Shared, shareable};
use crate::sys::seccomp::{self, NotificationRoom, seccomp_notif, seccomp_notif_resp};

/// How many processes may die of one call, before it is taken for what kills them.
const FAULTS: u32 = 2;
/// How many may take it in hand, whatever they die of.
const TRIES: u32 = 100;

shareable! {
    /// Laid out in the shared page. Zeroes are a page with no call in hand.
    struct Page {
        /// The call in hand; zeroes if there is none.
        notification: NotificationRoom,
        /// Whether `value`, `errno` and `flags` are what the call is to be answered with.
        is_answered: AtomicBool,
        value: AtomicU64,
        errno: AtomicU32,
        flags: AtomicU32,
        /// Whether its server is about to make a file where there was none.
        is_creating: AtomicBool,
        /// Whether it is about to remove one.
        is_removing: AtomicBool,
        /// Which, if by that it loses its last name, by device and inode; else 0.
        removed_dev: AtomicU64,
        removed_ino: AtomicU64,
        /// How many processes have had the call in hand.
        tries: AtomicU32,
        /// How many of them died, and nobody had killed them.
        faults: AtomicU32,
        /// How many calls have been taken in hand, and how many are done with.
        begun: AtomicU64,
        done: AtomicU64,
        /// Whether the guard is to be woken by the next call.
        guard_sleeps: AtomicBool,
        /// The server has been given up: it finishes its call and ends.
        is_retired: AtomicBool,
    }
}

/// A file that was made for a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Created {
    /// The thread.
    pub tid: u32,
    /// The file's device.
    pub dev: (u32, u32),
    /// The file's inode.
    pub ino: u64,
}

/// How many calls helpers may have in hand where a successor finds them.
const MOST: usize = 256;

/// Places for calls that helpers have in hand.
#[derive(Clone, Copy)]
pub struct Places {
    pages: Shared<[Page; MOST]>,
}

impl Places {
    /// All free, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Places, Errno> {
        Ok(Places {
            pages: Shared::zeroed()?,
        })
    }

    /// A free one; where all are taken, one that no successor finds.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn free(self) -> Result<InFlight, Errno> {
        let free = self.all().find(|place| !place.has_call());
        free.map_or_else(InFlight::new, Ok)
    }

    /// Those that have a call.
    pub fn taken(self) -> impl Iterator<Item = InFlight> {
        self.all().filter(InFlight::has_call)
    }

    fn all(self) -> impl Iterator<Item = InFlight> {
        self.pages.each().map(InFlight::at)
    }
}

/// The place for the call in hand. One process at a time puts something there.
pub struct InFlight {
    page: Shared<Page>,
    /// What has been made for the call in hand.
    created: Option<Created>,
    /// What was made for a call that a signal interrupted before it was answered. Its thread will
    /// ask again.
    orphan: Option<Created>,
}

impl InFlight {
    /// An empty one, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<InFlight, Errno> {
        Shared::zeroed().map(InFlight::at)
    }

    fn at(page: Shared<Page>) -> InFlight {
        InFlight {
            page,
            created: None,
            orphan: None,
        }
    }

    /// Takes over the call that `other` has in hand, from its beginning.
    pub fn take_from(&self, other: &InFlight) {
        self.begin_anew();
        seccomp::copy(&other.page.notification, &self.page.notification);
    }

    /// Has no call in hand any more.
    pub fn clear(&self) {
        seccomp::clear(&self.page.notification);
    }

    fn begin_anew(&self) {
        self.page.is_answered.store(false, Ordering::Release);
        self.page.is_creating.store(false, Ordering::Release);
        self.page.is_removing.store(false, Ordering::Release);
        self.page.tries.store(0, Ordering::Release);
        self.page.faults.store(0, Ordering::Release);
    }

    /// Clears the place for the next call and returns where that goes.
    pub fn room(&mut self) -> &NotificationRoom {
        self.begin_anew();
        self.created = None;
        &self.page.notification
    }

    /// Says that a call is in hand.
    pub fn begin(&self) {
        self.page.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether there is a call in hand: from the moment on in which the kernel hands it over.
    #[must_use]
    pub fn has_call(&self) -> bool {
        self.id() != 0
    }

    /// The kernel's number for the call in hand; 0 if there is none.
    #[must_use]
    pub fn id(&self) -> u64 {
        seccomp::id(&self.page.notification)
    }

    /// The call in hand.
    #[must_use]
    pub fn notification(&self) -> Option<seccomp_notif> {
        self.has_call()
            .then(|| seccomp::notification(&self.page.notification))
    }

    /// Counts the processes that take this call in hand; false for one too many.
    #[must_use]
    pub fn try_again(&self) -> bool {
        let is_harmless = self.page.faults.load(Ordering::Acquire) < FAULTS;
        self.page.tries.fetch_add(1, Ordering::AcqRel) < TRIES && is_harmless
    }

    /// Says that a process has died with the call in hand, and that nobody had killed it.
    pub fn blame(&self) {
        self.page.faults.fetch_add(1, Ordering::AcqRel);
    }

    /// Says that the file which the call asks for is not there and will be made.
    pub fn create(&self) {
        self.page.is_creating.store(true, Ordering::Release);
    }

    /// Says that it has not been made: another was there first.
    pub fn does_not_create(&self) {
        self.page.is_creating.store(false, Ordering::Release);
    }

    /// Whether a process that died over this call may have made its file.
    #[must_use]
    pub fn may_be_created(&self) -> bool {
        self.page.is_creating.load(Ordering::Acquire)
    }

    /// Whether what is at its place has been made for this call: by a process that died over it, or
    /// when its caller asked before, and a signal interrupted that call.
    #[must_use]
    pub fn has_made(&self, there: Created) -> bool {
        self.may_be_created() || self.orphan(there.tid) == Some(there)
    }

    /// Says that the file which the call is about is there and will be removed, and its device and
    /// inode, if that is its last name.
    pub fn remove(&self, last_of: Option<((u32, u32), u64)>) {
        let ((major, minor), ino) = last_of.unwrap_or_default();
        let dev = u64::from(major) << 32 | u64::from(minor);
        self.page.removed_dev.store(dev, Ordering::Release);
        self.page.removed_ino.store(ino, Ordering::Release);
        self.page.is_removing.store(true, Ordering::Release);
    }

    /// Says that it has not been removed.
    pub fn does_not_remove(&self) {
        self.page.is_removing.store(false, Ordering::Release);
    }

    /// Which file has lost its last name, by device and inode, if a process has died over that.
    #[must_use]
    pub fn has_lost_last_name(&self) -> Option<((u32, u32), u64)> {
        let word = self.page.removed_dev.load(Ordering::Acquire);
        let part = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default();
        let ino = self.page.removed_ino.load(Ordering::Acquire);
        let is_removing = self.page.is_removing.load(Ordering::Acquire);
        (is_removing && ino != 0).then_some(((part(word >> 32), part(word)), ino))
    }

    /// Whether what is not in the directory `parent` any more has been removed for this call, as
    /// [`has_made`](InFlight::has_made); the directory stands for what was removed.
    #[must_use]
    pub fn has_removed(&self, parent: Created) -> bool {
        let is_removing = self.page.is_removing.load(Ordering::Acquire);
        is_removing || self.orphan(parent.tid) == Some(parent)
    }

    /// Says which file has been made for the call.
    pub fn has_created(&mut self, created: Created) {
        self.created = Some(created);
    }

    /// What was made for the last call of thread `tid`, if that never got its answer.
    #[must_use]
    pub fn orphan(&self, tid: u32) -> Option<Created> {
        self.orphan.filter(|orphan| orphan.tid == tid)
    }

    /// Puts down what the call is to be answered with.
    pub fn answer(&self, answer: Answer) {
        /// include/uapi/linux/seccomp.h.
        const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u32 = 1;
        let (value, errno, flags) = match answer {
            Answer::Value(value) => (value, 0, 0),
            Answer::Error(errno) => (0, errno as u32, 0),
            // There is nobody behind a helper but the kernel.
            Answer::Continue | Answer::Helper => (0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE),
        };
        let value = u64::from_ne_bytes(value.to_ne_bytes());
        self.page.value.store(value, Ordering::Relaxed);
        self.page.errno.store(errno, Ordering::Relaxed);
        self.page.flags.store(flags, Ordering::Relaxed);
        self.page.is_answered.store(true, Ordering::Release);
    }

    /// What the call is to be answered with, if that is known.
    #[must_use]
    pub fn response(&self) -> Option<seccomp_notif_resp> {
        let is_answered = self.page.is_answered.load(Ordering::Acquire);
        is_answered.then(|| seccomp_notif_resp {
            id: seccomp::id(&self.page.notification),
            val: i64::from_ne_bytes(self.page.value.load(Ordering::Relaxed).to_ne_bytes()),
            error: -i32::try_from(self.page.errno.load(Ordering::Relaxed)).unwrap_or(0),
            flags: self.page.flags.load(Ordering::Relaxed),
        })
    }

    /// Says that another process has the call in hand now.
    pub fn hand_on(&mut self) {
        self.created = None;
        self.end();
    }

    fn end(&self) {
        self.clear();
        let begun = self.page.begun.load(Ordering::Acquire);
        self.page.done.store(begun, Ordering::Release);
    }

    /// Says that the call of thread `tid` is over, and whether its caller got the answer.
    pub fn finish(&mut self, tid: u32, is_heard: bool) {
        let created = self.created.take();
        if !is_heard {
            self.orphan = created;
        } else if self.orphan.is_some_and(|orphan| orphan.tid == tid) {
            self.orphan = None;
        }
        self.end();
    }

    /// The number of the call in hand, counted from the first; `None` between calls.
    #[must_use]
    pub fn in_hand(&self) -> Option<u64> {
        let begun = self.page.begun.load(Ordering::Acquire);
        (self.page.done.load(Ordering::Acquire) != begun).then_some(begun)
    }

    /// How many calls have been taken in hand.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.page.begun.load(Ordering::Acquire)
    }

    /// Says that the guard sleeps until the next call; false if there is one already.
    #[must_use]
    pub fn lets_guard_sleep(&self) -> bool {
        self.page.guard_sleeps.store(true, Ordering::SeqCst);
        let begun = self.page.begun.load(Ordering::SeqCst);
        let is_idle = self.page.done.load(Ordering::Acquire) == begun;
        if !is_idle {
            self.page.guard_sleeps.store(false, Ordering::Release);
        }
        is_idle
    }

    /// Whether the guard sleeps and is to be woken, which is to be asked once a call is in hand.
    #[must_use]
    pub fn wakes_guard(&self) -> bool {
        let sleeps = &self.page.guard_sleeps;
        sleeps.load(Ordering::SeqCst) && sleeps.swap(false, Ordering::AcqRel)
    }

    /// Gives the server up.
    pub fn retire(&self) {
        self.page.is_retired.store(true, Ordering::Release);
    }

    /// Whether it has been given up.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.page.is_retired.load(Ordering::Acquire)
    }
}

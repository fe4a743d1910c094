//! The mark that each process carries in its soft limit RLIMIT_LOCKS: the number of what it has set
//! ([`memory::processes`](crate::supervisor::memory::processes)), and whether Landlock restricts
//! it. fork(2) hands it on, execve(2) keeps it, and no target can change it.

use super::proc::Target;
use crate::sys::process::locks_limit;

/// Soft limits from here on are numbers: this one of no entry, the next even ones of entries. No
/// use of the limit had ones as large. A 32-bit kernel, on which this may run if it has 32 bits
/// itself, keeps 32 bits of a limit (`unsigned long`, kernel/sys.c, `rlim64_to_rlim`).
pub const FIRST: u64 = if cfg!(target_pointer_width = "32") {
    1 << 30
} else {
    1 << 40
};
/// What a process has that has set nothing.
pub const UNSET: u64 = u64::MAX;
/// The bit that Landlock's restriction sets.
pub const RESTRICTED: u64 = 1;

/// Whether `number` has the mark of Landlock's restriction.
#[must_use]
pub fn is_restricted(number: u64) -> bool {
    number >= FIRST && number != UNSET && number & RESTRICTED != 0
}

/// `number` with that mark.
#[must_use]
pub fn restricted(number: u64) -> u64 {
    // What users had as their limit before is no number.
    if number >= FIRST && number != UNSET {
        number | RESTRICTED
    } else {
        FIRST | RESTRICTED
    }
}

impl Target<'_> {
    /// Whether Landlock restricts the caller. What it permits, nobody but the kernel knows.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        is_restricted(locks_limit(self.request.tid, None).unwrap_or(UNSET))
    }
}

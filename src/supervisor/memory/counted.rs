//! Words of shared memory that lead to a place, and count how often they have been changed: who has
//! followed one looks at it again, and knows whether the place is still what it was.

use std::sync::atomic::{AtomicU64, Ordering};

/// Has `word` lead to `place`, if it still is what it was: then one change more is counted. If not,
/// what it is.
///
/// The count has 32 bits. It would have to be the same once more just when somebody who stopped
/// before goes on.
pub fn swap(word: &AtomicU64, was: u64, place: u32) -> Result<(), u64> {
    let new = joined((parts(was).0.wrapping_add(1), place));
    word.compare_exchange(was, new, Ordering::AcqRel, Ordering::Acquire)
        .map(drop)
}

/// The place that such a word leads to.
#[must_use]
pub fn place(word: u64) -> u32 {
    parts(word).1
}

/// Two halves in one word.
#[must_use]
pub fn joined((high, low): (u32, u32)) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The halves of a word.
#[must_use]
pub fn parts(word: u64) -> (u32, u32) {
    let low = |word: u64| u32::try_from(word & 0xffff_ffff).unwrap_or_default();
    (low(word >> 32), low(word))
}

/// A place's number in memory.
#[must_use]
pub fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

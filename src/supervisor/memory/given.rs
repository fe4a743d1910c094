//! Which files have been given to somebody else than root, as far as this session knows. At this
//! level the owner is forgotten, but not that there was one.
//!
//! A Bloom filter, in memory that a successor shares: a file that was given away is always known,
//! and of the others hardly any is taken for such.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use crate::sys::file::Place;
use crate::sys::memory::Shared;

/// For 20 000 files, 1 in 300 others is taken for one of them.
const WORDS: usize = 1 << 13;
const BITS: u64 = WORDS as u64 * 64;

/// Files that were given away.
#[derive(Clone, Copy)]
pub struct Given {
    words: Shared<[AtomicU64; WORDS]>,
}

impl Given {
    /// None yet, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Given, Errno> {
        Ok(Given {
            words: Shared::zeroed()?,
        })
    }

    /// Takes note that the file at `place` was given away.
    pub fn add(&self, place: Place) {
        for (word, bit) in bits(place) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether it may have been.
    #[must_use]
    pub fn may_have(&self, place: Place) -> bool {
        bits(place)
            .iter()
            .all(|(word, bit)| self.words[*word].load(Ordering::Relaxed) & bit != 0)
    }
}

/// Where a file's two bits are. Through which mount it is seen makes no difference.
fn bits(place: Place) -> [(usize, u64); 2] {
    let mut hasher = DefaultHasher::new();
    (place.dev, place.ino).hash(&mut hasher);
    let hash = hasher.finish();
    [hash % BITS, (hash >> 32) % BITS].map(|bit| {
        let word = usize::try_from(bit / 64).unwrap_or_default();
        (word, 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::Given;
    use crate::sys::file::Place;

    #[test]
    fn what_was_given_away_is_known() {
        let given = Given::new().expect("memory");
        let place = |ino| Place {
            dev: (8, 1),
            ino,
            mount: ino,
        };
        for ino in 0..20_000 {
            given.add(place(ino));
        }
        assert!((0..20_000).all(|ino| given.may_have(Place {
            mount: 0,
            ..place(ino)
        })));
        let others = (20_000..40_000).filter(|ino| given.may_have(place(*ino)));
        assert!(others.count() < 200);
    }
}

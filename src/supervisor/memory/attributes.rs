//! Extended attributes that the kernel does not keep: one file's are one text, and a text is never
//! changed. Who changes an attribute writes a new text, and has the file's record lead to it
//! ([`owners`](super::owners)).
//!
//! Texts are in memory that all servers share, in blocks of a power of two times 64 bytes. A
//! block that is spare is in the chain of those of its size. Who is killed leaves at most one block
//! that is neither spare nor used.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

use super::counted::{index, place, swap};
use crate::sys::memory::{Region, Shared, shareable};

/// A block of the smallest size.
const UNIT: usize = 64;
/// The sizes: up to 128 KiB, since a value may have 64 KiB (`XATTR_SIZE_MAX`).
const SIZES: usize = 12;
/// How many bytes a file's attributes may have. Each file system has such a limit.
const MOST_BYTES: usize = (UNIT << (SIZES - 1)) - size_of::<u64>();

/// Says of an attribute that the kernel has it, and that it has been removed all the same.
const REMOVED: u32 = u32::MAX;

shareable! {
    struct Head {
        /// How many units have been taken, but for number 0.
        taken: AtomicU32,
        /// Of each size, the block that was spared last, and how often that has changed.
        spare: [AtomicU64; SIZES],
    }
}

/// The memory for texts. A block is known by the number of its first unit; 0 is none.
#[derive(Clone, Copy)]
pub struct Texts {
    head: Shared<Head>,
    units: Region<[AtomicU64; UNIT / size_of::<u64>()]>,
}

impl Texts {
    /// Room for `units`, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn with(units: usize) -> Result<Texts, Errno> {
        Ok(Texts {
            head: Shared::zeroed()?,
            units: Region::reserve(units)?,
        })
    }

    /// Writes `text` into a block: its number.
    ///
    /// # Errors
    /// `ENOSPC` if it is too long for any; `ENOMEM`.
    pub fn put(&self, text: &[u8]) -> Result<u32, Errno> {
        if text.is_empty() {
            return Ok(0);
        }
        let size = size_for(text.len()).ok_or(Errno::ENOSPC)?;
        let number = self.room(size)?;
        let mut words = self.words(number, size);
        if let Some(first) = words.next() {
            first.store(text.len() as u64, Ordering::Release);
        }
        for (word, bytes) in words.zip(text.chunks(size_of::<u64>())) {
            let mut all = [0; size_of::<u64>()];
            all[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(all), Ordering::Release);
        }
        Ok(number)
    }

    /// The text in block `number`: anything, if somebody else has the block by now.
    #[must_use]
    pub fn read(&self, number: u32) -> Vec<u8> {
        if number == 0 {
            return Vec::new();
        }
        let (len, size) = self.len(number);
        let mut text = Vec::with_capacity(len.next_multiple_of(size_of::<u64>()));
        for word in self.words(number, size).skip(1) {
            if text.len() >= len {
                break;
            }
            text.extend(word.load(Ordering::Acquire).to_ne_bytes());
        }
        text.truncate(len);
        text
    }

    /// Gives the block `number` to whoever needs one of its size next.
    pub fn spare(&self, number: u32) {
        if number == 0 {
            return;
        }
        let (_, size) = self.len(number);
        let head = &self.head.spare[size];
        let mut word = head.load(Ordering::Acquire);
        loop {
            // In the place of the length.
            self.next(number)
                .store(place(word).into(), Ordering::Release);
            match swap(head, word, number) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
    }

    /// How long the text in block `number` is, and which size it has therefore.
    fn len(&self, number: u32) -> (usize, usize) {
        let len = self.units[index(number)][0].load(Ordering::Acquire);
        let len = usize::try_from(len).map_or(MOST_BYTES, |len| len.min(MOST_BYTES));
        (len, size_for(len).unwrap_or(SIZES - 1))
    }

    fn next(&self, number: u32) -> &AtomicU64 {
        &self.units[index(number)][0]
    }

    /// A block of `size`: a spare one, or a new one.
    fn room(&self, size: usize) -> Result<u32, Errno> {
        let head = &self.head.spare[size];
        let mut word = head.load(Ordering::Acquire);
        while place(word) != 0 {
            let number = place(word);
            // If another takes it now, this may be anything; but then the count has changed.
            let next = place(self.next(number).load(Ordering::Acquire));
            match swap(head, word, next) {
                Ok(()) => return Ok(number),
                Err(now) => word = now,
            }
        }
        self.take(1 << size)
    }

    /// As many units that nobody has had.
    fn take(&self, count: u32) -> Result<u32, Errno> {
        let mut taken = self.head.taken.load(Ordering::Acquire);
        loop {
            let number = taken.checked_add(1).ok_or(Errno::ENOMEM)?;
            let last = taken.checked_add(count).ok_or(Errno::ENOMEM)?;
            if index(last) >= self.units.len() {
                return Err(Errno::ENOMEM);
            }
            let mut ready = index(number);
            while ready <= index(last) {
                ready = self.units.populate(ready)?;
            }
            let head = &self.head.taken;
            match head.compare_exchange(taken, last, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(number),
                Err(now) => taken = now,
            }
        }
    }

    /// The words of a block, as far as there are any.
    fn words(&self, number: u32, size: usize) -> impl Iterator<Item = &AtomicU64> {
        let start = index(number).min(self.units.len());
        let end = start.saturating_add(1 << size).min(self.units.len());
        self.units[start..end].iter().flatten()
    }
}

/// The smallest size that has room for a text of `len` bytes.
fn size_for(len: usize) -> Option<usize> {
    (0..SIZES).find(|size| len + size_of::<u64>() <= UNIT << size)
}

/// What is remembered of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// It has this value.
    Value(Vec<u8>),
    /// It is not there, though the kernel has one.
    Removed,
}

/// What is remembered of one file's attributes, by their names.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Attributes(Vec<(Vec<u8>, Known)>);

impl Attributes {
    /// What `text` says, or its beginning if it is none.
    pub(super) fn of(text: &[u8]) -> Attributes {
        let mut all = Vec::new();
        let mut rest = text;
        let mut take = || -> Option<(Vec<u8>, Known)> {
            let (head, behind) = rest.split_at_checked(8)?;
            let (name, value) = head.split_at(4);
            let [name, value] =
                [name, value].map(|len| u32::from_ne_bytes(len.try_into().unwrap_or_default()));
            let (name, behind) = behind.split_at_checked(index(name))?;
            let known = if value == REMOVED {
                rest = behind;
                Known::Removed
            } else {
                let (value, behind) = behind.split_at_checked(index(value))?;
                rest = behind;
                Known::Value(value.to_vec())
            };
            Some((name.to_vec(), known))
        };
        while let Some(attribute) = take() {
            all.push(attribute);
        }
        Attributes(all)
    }

    /// As a text.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(REMOVED);
        for (name, known) in &self.0 {
            text.extend(len(name).to_ne_bytes());
            let (value, says) = match known {
                Known::Value(value) => (&value[..], len(value)),
                Known::Removed => (&[][..], REMOVED),
            };
            text.extend(says.to_ne_bytes());
            text.extend(name);
            text.extend(value);
        }
        text
    }

    /// What is known of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Known> {
        let (_, known) = self.0.iter().find(|(own, _)| own == name)?;
        Some(known)
    }

    /// From now on `known` is known of `name`; with `None`, nothing.
    pub fn set(&mut self, name: &[u8], known: Option<Known>) {
        let at = self.0.iter().position(|(own, _)| own == name);
        match (at, known) {
            (Some(at), Some(known)) => self.0[at].1 = known,
            (Some(at), None) => drop(self.0.remove(at)),
            (None, Some(known)) => self.0.push((name.to_vec(), known)),
            (None, None) => {}
        }
    }

    /// Each name, and what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Known)> {
        self.0.iter().map(|(name, known)| (&name[..], known))
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Attributes, Errno, Known, MOST_BYTES, Ordering, Texts};

    #[test]
    fn a_block_is_used_again_by_a_text_of_its_size() {
        let texts = Texts::with(1 << 16).expect("memory");
        for len in [1, 56, 57, 4000, 70_000, MOST_BYTES] {
            let text = vec![7; len];
            let number = texts.put(&text).expect("room");
            assert!(texts.read(number) == text, "{len}");
            let taken = texts.head.taken.load(Ordering::Acquire);
            texts.spare(number);
            assert_eq!(texts.put(&text), Ok(number));
            assert_eq!(texts.head.taken.load(Ordering::Acquire), taken);
        }
        assert_eq!(texts.put(&vec![7; MOST_BYTES + 1]), Err(Errno::ENOSPC));
        assert_eq!(texts.put(&[]), Ok(0));
    }

    #[test]
    fn no_room_is_an_error() {
        let texts = Texts::with(4).expect("memory");
        let blocks: Vec<_> = (0..4).map(|_| texts.put(b"a")).collect();
        assert_eq!(blocks, [Ok(1), Ok(2), Ok(3), Err(Errno::ENOMEM)]);
        texts.spare(2);
        assert_eq!(texts.put(b"b"), Ok(2));
        assert_eq!(texts.read(3), b"a");
    }

    proptest! {
        #[test]
        fn a_text_says_what_was_set(
            steps in vec(
                (vec(any::<u8>(), 0..3), proptest::option::of(vec(any::<u8>(), 0..9))),
                0..20,
            ),
            garbage in vec(any::<u8>(), 0..64),
        ) {
            let (mut all, mut model) = (Attributes::default(), BTreeMap::new());
            for (name, value) in steps {
                let known = value.map(|value| match value.len() {
                    8 => Known::Removed,
                    _ => Known::Value(value),
                });
                all.set(&name, known.clone());
                match known {
                    Some(known) => drop(model.insert(name, known)),
                    None => drop(model.remove(&name)),
                }
                all = Attributes::of(&all.text());
                prop_assert!(model.iter().all(|(name, known)| all.get(name) == Some(known)));
                prop_assert_eq!(all.iter().count(), model.len());
            }
            // What is not a text is read to its end all the same.
            drop(Attributes::of(&garbage));
        }
    }
}

//! Who owns which file, which device it is, and which extended attributes it has, by inode: what
//! level full remembers.
//!
//! A hash table in memory that all servers share: the one that serves, its successor, helpers, and
//! a server that was given up and comes back. Each may be killed between any two instructions, so
//! nobody ever waits for another, and the table itself is what a successor goes on with.
//!
//! - An inode's entry is linked into its bucket's chain once, at the head, and stays. The head is
//!   as it was when the chain was searched, or the link fails: no inode has two entries.
//! - What is remembered of an inode is never changed in place. It is written where nobody looks,
//!   and then one word of the entry, `record`, says where: that is the moment at which the change
//!   happens, for everybody. The place of what was there before goes to the spare ones.
//! - The word counts its changes. Who has read a record looks at the word again: if it is the same,
//!   nobody has used the place for something else meanwhile.
//!
//! Who is killed leaves at most one place that is neither spare nor used.

use std::fs;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::attributes::{Attributes, Texts};
use super::counted::{index, joined, parts, place, swap};
use crate::sys::file::Place;
use crate::sys::memory::{Region, Shared, shareable};

/// How many entries are asked for, and with how many less we are content. They take memory once
/// they are used; before, only addresses.
const MOST: usize = 1 << 26;
const LEAST: usize = 1 << 16;
/// How many where each that is asked for is taken from what others may have, used or not.
const STRICT: usize = 1 << 20;
/// For as many entries there is one unit of memory for attributes.
const PER_TEXT: usize = 4;
/// How many are kept for changes of what is known, when no new inode fits in.
const KEPT: usize = 64;
/// How many chains there are: 4 MB, if all are used.
const BUCKETS: usize = 1 << 20;
/// The permissions are shown in place of the kernel's.
const SHOWN: u32 = 1 << 16;
/// The inode has lost its last name.
const GONE: u32 = 1 << 17;
/// Up to how many inodes with consecutive numbers have their chains side by side.
const RUN: u32 = 20;

shareable! {
    /// An inode's place in a chain, and room for a record, which need not be that inode's. Nothing
    /// in a chain leads to number 0.
    struct Entry {
        /// The next in the chain; 0 at its end.
        next: AtomicU32,
        /// The next place that is spare, if this one is; 0 at the end.
        next_spare: AtomicU32,
        /// The inode: device (major and minor number) and number.
        dev: AtomicU64,
        ino: AtomicU64,
        /// How often it has been changed, and the entry where the inode's record is now; 0 for
        /// none.
        record: AtomicU64,
        /// A record. The birth tells its inode from a later one of the same number.
        birth: AtomicU64,
        owner: AtomicU64,
        device: AtomicU64,
        attributes: AtomicU32,
        /// `st_mode`, and [`SHOWN`] and [`GONE`].
        mode: AtomicU32,
    }
}

shareable! {
    struct Head {
        /// How many entries have been taken, but for number 0.
        taken: AtomicU32,
        /// Up to which number entries have memory.
        ready: AtomicU32,
        /// The place that was spared last, with a count as in `record`.
        spare: AtomicU64,
        /// Which 64ths of the buckets have memory: of the others, none has a chain.
        buckets: AtomicU64,
    }
}

/// A file's inode, through whichever mount it is seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Inode {
    /// The device of its file system: major and minor number.
    pub dev: (u32, u32),
    /// Its number.
    pub ino: u64,
}

impl From<Place> for Inode {
    fn from(place: Place) -> Inode {
        Inode {
            dev: place.dev,
            ino: place.ino,
        }
    }
}

/// A device that a file is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Device {
    /// `S_IFCHR` or `S_IFBLK`.
    pub kind: u32,
    /// Major number, of at most 28 bits (the kernel has 12), and minor number.
    pub number: (u32, u32),
}

/// What is remembered of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// User and group.
    pub owner: (u32, u32),
    /// The device, if it is one.
    pub device: Option<Device>,
    /// The permissions that it has in place of the kernel's.
    pub permissions: Option<u32>,
}

impl Record {
    /// Of a file with the kernel's permissions.
    #[must_use]
    pub const fn new(owner: (u32, u32), device: Option<Device>) -> Record {
        Record {
            owner,
            device,
            permissions: None,
        }
    }
}

/// What tells a file from a later one with its inode's number, and what it was seen to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Looks {
    /// When it was made, or what else the two differ in.
    pub birth: u64,
    /// Its type and permissions, as `st_mode`.
    pub mode: u32,
}

/// A file and all that is remembered of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembrance {
    /// Which file it is.
    pub inode: Inode,
    /// What it was when something was last remembered of it. The type of a device is that of what
    /// stands for it.
    pub looks: Looks,
    /// Whose it is, and what.
    pub record: Record,
    /// Its attributes.
    pub attributes: Attributes,
}

/// All that an entry has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Whole {
    looks: Looks,
    record: Record,
    /// Whether it has lost its last name.
    is_gone: bool,
    /// The block that has the attributes.
    attributes: u32,
}

/// The table.
#[derive(Clone, Copy)]
pub struct Owners {
    head: Shared<Head>,
    buckets: Region<AtomicU32>,
    entries: Region<Entry>,
    texts: Texts,
    /// Keeps whoever chooses inodes' numbers from choosing those of one chain.
    seed: u64,
}

impl Owners {
    /// An empty one, shared with the processes forked from now on. Where there are few addresses to
    /// be had, it has room for fewer inodes.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Owners, Errno> {
        // 2: MAP_NORESERVE counts for nothing (mm/mmap.c).
        let is_strict =
            fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.starts_with(b"2"));
        #[allow(clippy::useless_conversion)] // 32 bits on some
        let limit = getrlimit(Resource::RLIMIT_AS).map_or(u64::MAX, |(soft, _)| soft.into());
        let most = most(limit, is_strict);
        let table = Owners::with(1, BUCKETS)?;
        Ok(Owners {
            entries: as_many(most, LEAST, Region::reserve)?,
            texts: as_many(most / PER_TEXT, LEAST / PER_TEXT, Texts::with)?,
            ..table
        })
    }

    /// One of `entries`, less than 2^32, and `buckets`, a power of two, at most 2^20.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn with(entries: usize, buckets: usize) -> Result<Owners, Errno> {
        let buckets: Region<AtomicU32> = Region::reserve(buckets)?;
        // Whoever wants long chains has to guess it. Not by std's `RandomState`: a kernel that has
        // no random numbers to give would end zroot.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let address = buckets.as_ptr().addr() as u64;
        let seed = mixed(address ^ u64::from(now.map_or(0, |now| now.subsec_nanos())) << 32);
        Ok(Owners {
            head: Shared::zeroed()?,
            buckets,
            entries: Region::reserve(entries)?,
            texts: Texts::with(entries)?,
            seed,
        })
    }

    /// Whether anything has ever been remembered.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.head.buckets.load(Ordering::Acquire) != 0
    }

    /// What is remembered of `inode`, if that is the one whose `birth` this is. That is asked for
    /// only if something is remembered of its number.
    #[must_use]
    pub fn find(&self, inode: Inode, birth: impl FnOnce() -> u64) -> Option<Record> {
        let entry = self.known(inode)?;
        if place(entry.record.load(Ordering::Acquire)) == 0 {
            return None;
        }
        let birth = birth();
        let (_, found) = self.read(entry);
        found
            .filter(|found| found.looks.birth == birth)
            .map(|found| found.record)
    }

    /// The attributes of `inode` with `birth` that are remembered.
    #[must_use]
    pub fn attributes(&self, inode: Inode, birth: u64) -> Attributes {
        let Some(entry) = self.known(inode) else {
            return Attributes::default();
        };
        loop {
            let (word, found) = self.read(entry);
            let Some(found) = found.filter(|found| found.looks.birth == birth) else {
                return Attributes::default();
            };
            let text = self.texts.read(found.attributes);
            // Then nobody has given the block away.
            if entry.record.load(Ordering::Acquire) == word {
                return Attributes::of(&text);
            }
        }
    }

    /// The birth of the inode of which something is remembered under the number of `inode`.
    #[must_use]
    pub fn birth(&self, inode: Inode) -> Option<u64> {
        self.known_of(inode).map(|(looks, _)| looks.birth)
    }

    /// What it is, and what is remembered of it.
    #[must_use]
    pub fn known_of(&self, inode: Inode) -> Option<(Looks, Record)> {
        let (_, found) = self.read(self.known(inode)?);
        found.map(|found| (found.looks, found.record))
    }

    /// Visits all files of which something is remembered, but for those that have lost their last
    /// name. What is changed meanwhile is visited as it was or as it is.
    pub fn each(&self, mut visit: impl FnMut(Remembrance)) {
        let with_memory = self.head.buckets.load(Ordering::Acquire);
        for at in 0..self.buckets.len() {
            if with_memory & self.part(at) == 0 {
                continue;
            }
            for entry in self.chain(self.buckets[at].load(Ordering::Acquire), 0) {
                let inode = Inode {
                    dev: parts(entry.dev.load(Ordering::Acquire)),
                    ino: entry.ino.load(Ordering::Acquire),
                };
                let (_, Some(found)) = self.read(entry) else {
                    continue;
                };
                if !found.is_gone {
                    visit(Remembrance {
                        inode,
                        looks: found.looks,
                        record: found.record,
                        attributes: self.attributes(inode, found.looks.birth),
                    });
                }
            }
        }
    }

    /// Knows what is remembered of `inode` with the birth `from` by `to` from now on. Where memory
    /// is short it stays known by the old one.
    pub fn rename(&self, inode: Inode, from: u64, to: u64) {
        let Some(entry) = self.known(inode) else {
            return;
        };
        let (word, Some(known)) = self.read(entry) else {
            return;
        };
        let Ok(number) = self.room() else {
            return;
        };
        // Who changes it at the same time is right; the next one to look will try again.
        let looks = Looks {
            birth: to,
            ..known.looks
        };
        self.entry(number).write(Whole { looks, ..known });
        if known.looks.birth == from && swap(&entry.record, word, number).is_ok() {
            self.spare(place(word));
        } else {
            self.spare(number);
        }
    }

    /// Remembers `record` of `inode`, in place of what was known.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn set(&self, inode: Inode, looks: Looks, record: Record) -> Result<(), Errno> {
        self.change(inode, looks.birth, |_| {
            Ok(Whole {
                looks,
                record,
                is_gone: false,
                attributes: 0,
            })
        })
    }

    /// Gives `inode` to `uid` and `gid`, as far as there are. The rest of what is known stays, and
    /// if nothing is, the owner is taken to have been `otherwise`.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn update(
        &self,
        inode: Inode,
        looks: Looks,
        uid: Option<u32>,
        gid: Option<u32>,
        otherwise: (u32, u32),
    ) -> Result<(), Errno> {
        self.change(inode, looks.birth, |known| {
            let mut now = Whole::seen(known, looks, otherwise);
            let owner = now.record.owner;
            now.record.owner = (uid.unwrap_or(owner.0), gid.unwrap_or(owner.1));
            Ok(now)
        })
    }

    /// Has `change` made to the attributes of `inode` that are remembered. It may be asked more
    /// than once. If nothing else is known, the owner is taken to be `otherwise`.
    ///
    /// # Errors
    /// Those of `change`; `ENOSPC` if they are too long; `ENOMEM`. Then nothing has changed.
    pub fn change_attributes(
        &self,
        inode: Inode,
        looks: Looks,
        otherwise: (u32, u32),
        change: impl Fn(&mut Attributes) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        self.change(inode, looks.birth, |known| {
            let now = Whole::seen(known, looks, otherwise);
            let old = self.texts.read(now.attributes);
            let mut attributes = Attributes::of(&old);
            change(&mut attributes)?;
            let new = attributes.text();
            Ok(Whole {
                attributes: if new == old {
                    now.attributes
                } else {
                    self.texts.put(&new)?
                },
                ..now
            })
        })
    }

    /// Says of a file of which something is remembered that it has these permissions now, for the
    /// kernel, too.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn has_mode(&self, inode: Inode, looks: Looks) -> Result<(), Errno> {
        self.change_known(inode, looks.birth, |known| {
            known.looks.mode = looks.mode;
            known.record.permissions = None;
        })
    }

    /// Remembers the permissions of what is seen as `looks`, which are shown from now on. If
    /// nothing else is known, the owner is taken to be `otherwise`.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn keep_mode(
        &self,
        inode: Inode,
        looks: Looks,
        otherwise: (u32, u32),
    ) -> Result<(), Errno> {
        self.change(inode, looks.birth, |known| {
            let mut now = Whole::seen(known, looks, otherwise);
            now.record.permissions = Some(looks.mode & !libc::S_IFMT);
            Ok(now)
        })
    }

    /// Takes from the permissions that are shown the set-id bits that fall when the owner changes;
    /// the set-gid bit always, if `is_strange`.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn drop_set_id(&self, inode: Inode, birth: u64, is_strange: bool) -> Result<(), Errno> {
        self.change_known(inode, birth, |known| {
            if let Some(permissions) = &mut known.record.permissions {
                // Without that one it is no set-gid program, and the bit means something else.
                let is_program = *permissions & libc::S_IXGRP != 0;
                if is_program || is_strange {
                    *permissions &= !libc::S_ISGID;
                }
                *permissions &= !libc::S_ISUID;
            }
        })
    }

    /// Says that the `inode` whose birth is remembered as `from` is the one with the birth `to`,
    /// and whether its permissions are the kernel's. Returns whether there is one.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn is_born(
        &self,
        inode: Inode,
        from: u64,
        to: u64,
        are_kernels: bool,
    ) -> Result<bool, Errno> {
        if self.birth(inode) != Some(from) {
            return Ok(false);
        }
        self.change_known(inode, from, |known| {
            known.looks.birth = to;
            if are_kernels {
                known.record.permissions = None;
            }
        })?;
        Ok(true)
    }

    /// Says of a file of which something is remembered that it has lost its last name. It may still
    /// be open, and asked for.
    ///
    /// # Errors
    /// `ENOMEM`; then nothing has changed.
    pub fn is_gone(&self, inode: Inode, birth: u64) -> Result<(), Errno> {
        self.change_known(inode, birth, |known| known.is_gone = true)
    }

    fn change_known(
        &self,
        inode: Inode,
        birth: u64,
        change: impl Fn(&mut Whole),
    ) -> Result<(), Errno> {
        let Some(entry) = self.known(inode) else {
            return Ok(());
        };
        let changed = self.replace(entry, birth, |known| {
            let mut now = known.ok_or(Errno::ENOENT)?;
            change(&mut now);
            Ok(now)
        });
        match changed {
            Err(Errno::ENOENT) => Ok(()),
            changed => changed,
        }
    }

    /// Forgets `inode`.
    pub fn forget(&self, inode: Inode) {
        let Some(entry) = self.known(inode) else {
            return;
        };
        while let (word, Some(known)) = self.read(entry) {
            if swap(&entry.record, word, 0).is_ok() {
                self.texts.spare(known.attributes);
                return self.spare(place(word));
            }
        }
    }

    /// Remembers what `new` makes of what is known of `inode`. It may be asked more than once, and
    /// what it finds of attributes may be anything then.
    fn change(
        &self,
        inode: Inode,
        birth: u64,
        new: impl Fn(Option<Whole>) -> Result<Whole, Errno>,
    ) -> Result<(), Errno> {
        let bucket = self.bucket_with_memory(inode)?;
        let mut head = bucket.load(Ordering::Acquire);
        if let Some(entry) = self.search(head, 0, inode) {
            return self.replace(entry, birth, new);
        }
        let first = new(None)?;
        let number = self
            .take(KEPT)
            .inspect_err(|_| self.texts.spare(first.attributes))?;
        let entry = self.entry(number);
        entry.dev.store(joined(inode.dev), Ordering::Release);
        entry.ino.store(inode.ino, Ordering::Release);
        entry.write(first);
        entry.record.store(joined((0, number)), Ordering::Release);
        loop {
            entry.next.store(head, Ordering::Release);
            let linked = bucket.compare_exchange(head, number, Ordering::AcqRel, Ordering::Acquire);
            let Err(now) = linked else {
                return Ok(());
            };
            // Somebody was faster. If with the same inode, we have a place too many.
            if let Some(entry) = self.search(now, head, inode) {
                self.texts.spare(first.attributes);
                self.spare(number);
                return self.replace(entry, birth, new);
            }
            head = now;
        }
    }

    /// The same for the inode of `entry`, which is in a chain.
    fn replace(
        &self,
        entry: &Entry,
        birth: u64,
        new: impl Fn(Option<Whole>) -> Result<Whole, Errno>,
    ) -> Result<(), Errno> {
        let mut room = None;
        let done = loop {
            let (word, there) = self.read(entry);
            let known = there.filter(|there| there.looks.birth == birth);
            let is_same = || entry.record.load(Ordering::Acquire) == word;
            let now = match new(known) {
                Ok(now) if known == Some(now) && is_same() => break Ok(()),
                Ok(now) => now,
                Err(_) if !is_same() => continue,
                Err(error) => break Err(error),
            };
            // A new text is ours alone until the word leads to it.
            let attributes = known.map_or(0, |known| known.attributes);
            let own = if now.attributes == attributes {
                0
            } else {
                now.attributes
            };
            let number = match room.map_or_else(|| self.room(), Ok) {
                Ok(number) => *room.insert(number),
                Err(error) => {
                    self.texts.spare(own);
                    break Err(error);
                }
            };
            self.entry(number).write(now);
            if swap(&entry.record, word, number).is_ok() {
                if let Some(there) = there {
                    self.spare(place(word));
                    if there.attributes != now.attributes {
                        self.texts.spare(there.attributes);
                    }
                }
                return Ok(());
            }
            self.texts.spare(own);
        };
        if let Some(room) = room {
            self.spare(room);
        }
        done
    }

    /// The inode's entry, whether or not anything is remembered of it.
    fn known(&self, inode: Inode) -> Option<&Entry> {
        let at = self.bucket(inode);
        let has_memory = self.head.buckets.load(Ordering::Acquire) & self.part(at) != 0;
        let bucket = has_memory.then(|| &self.buckets[at])?;
        self.search(bucket.load(Ordering::Acquire), 0, inode)
    }

    /// The inode's entry in the chain that begins with `from`, before entry `to`.
    fn search(&self, from: u32, to: u32, inode: Inode) -> Option<&Entry> {
        self.chain(from, to).find(|entry| entry.is_of(inode))
    }

    fn chain(&self, from: u32, to: u32) -> impl Iterator<Item = &Entry> {
        let mut number = from;
        std::iter::from_fn(move || {
            let entry = (number != to).then(|| self.entry(number))?;
            number = entry.next.load(Ordering::Acquire);
            Some(entry)
        })
    }

    /// What is known of `entry`'s inode, if anything is; and the word that says so.
    fn read(&self, entry: &Entry) -> (u64, Option<Whole>) {
        let mut word = entry.record.load(Ordering::Acquire);
        loop {
            if place(word) == 0 {
                return (word, None);
            }
            let found = self.entry(place(word)).read();
            // What we read was written before the word was. If any of it is of a later record, then
            // the place was spared before, the word had been changed before that, and we see it.
            let now = entry.record.load(Ordering::Acquire);
            if now == word {
                return (word, Some(found));
            }
            word = now;
        }
    }

    fn entry(&self, number: u32) -> &Entry {
        &self.entries[index(number)]
    }

    // Buckets.

    /// The number of the inode's bucket. Inodes that were made together have numbers that are
    /// close, and buckets that are, so that few pages are touched.
    fn bucket(&self, inode: Inode) -> usize {
        let run = mixed(mixed(self.seed ^ joined(inode.dev)) ^ (inode.ino >> RUN));
        let mask = self.buckets.len() as u64 - 1;
        usize::try_from(run.wrapping_add(inode.ino) & mask).unwrap_or_default()
    }

    /// The bit in [`Head::buckets`] of the bucket numbered `at`.
    fn part(&self, at: usize) -> u64 {
        1 << (at / self.buckets.len().div_ceil(64))
    }

    fn bucket_with_memory(&self, inode: Inode) -> Result<&AtomicU32, Errno> {
        let at = self.bucket(inode);
        let part = self.part(at);
        if self.head.buckets.load(Ordering::Acquire) & part == 0 {
            self.buckets.populate(at)?;
            self.head.buckets.fetch_or(part, Ordering::AcqRel);
        }
        Ok(&self.buckets[at])
    }

    // Entries.

    /// An entry that nobody has had, unless only `but` are left.
    fn take(&self, but: usize) -> Result<u32, Errno> {
        let mut taken = self.head.taken.load(Ordering::Acquire);
        loop {
            let number = taken.checked_add(1).ok_or(Errno::ENOMEM)?;
            if index(number) >= self.entries.len().saturating_sub(but) {
                return Err(Errno::ENOMEM);
            }
            if number >= self.head.ready.load(Ordering::Acquire) {
                let end = self.entries.populate(index(number))?;
                let end = u32::try_from(end).unwrap_or(u32::MAX);
                self.head.ready.fetch_max(end, Ordering::AcqRel);
            }
            let head = &self.head.taken;
            match head.compare_exchange(taken, number, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(number),
                Err(now) => taken = now,
            }
        }
    }

    /// A place for a record: a spare one, or a new entry's.
    fn room(&self) -> Result<u32, Errno> {
        let mut word = self.head.spare.load(Ordering::Acquire);
        while place(word) != 0 {
            // If another takes it now, this may be anything; but then the count has changed.
            let next = self.entry(place(word)).next_spare.load(Ordering::Acquire);
            match swap(&self.head.spare, word, next) {
                Ok(()) => return Ok(place(word)),
                Err(now) => word = now,
            }
        }
        self.take(0)
    }

    /// Gives the place numbered `number` to whoever needs one next.
    fn spare(&self, number: u32) {
        let mut word = self.head.spare.load(Ordering::Acquire);
        loop {
            let next = &self.entry(number).next_spare;
            next.store(place(word), Ordering::Release);
            match swap(&self.head.spare, word, number) {
                Ok(()) => return,
                Err(now) => word = now,
            }
        }
    }
}

impl Entry {
    fn is_of(&self, inode: Inode) -> bool {
        self.ino.load(Ordering::Acquire) == inode.ino
            && self.dev.load(Ordering::Acquire) == joined(inode.dev)
    }

    /// Writes a record here. The place is the caller's own.
    fn write(&self, whole: Whole) {
        let record = whole.record;
        let device = record.device.map_or(0, |device| {
            let kind = (device.kind & 0xf000) << 16;
            joined((kind | device.number.0 & 0x0fff_ffff, device.number.1))
        });
        // Not Relaxed: who sees one of these sees what has been done before, too.
        let shown = record.permissions.map_or(0, |_| SHOWN);
        let gone = if whole.is_gone { GONE } else { 0 };
        let permissions = record.permissions.unwrap_or(whole.looks.mode) & 0o7777;
        let mode = whole.looks.mode & libc::S_IFMT | permissions;
        self.birth.store(whole.looks.birth, Ordering::Release);
        self.owner.store(joined(record.owner), Ordering::Release);
        self.device.store(device, Ordering::Release);
        self.attributes.store(whole.attributes, Ordering::Release);
        self.mode.store(mode | shown | gone, Ordering::Release);
    }

    /// The record here: of several, if the place is somebody's who writes.
    fn read(&self) -> Whole {
        let birth = self.birth.load(Ordering::Acquire);
        let owner = parts(self.owner.load(Ordering::Acquire));
        let (major, minor) = parts(self.device.load(Ordering::Acquire));
        let device = (major != 0).then_some(Device {
            kind: major >> 16 & 0xf000,
            number: (major & 0x0fff_ffff, minor),
        });
        let word = self.mode.load(Ordering::Acquire);
        let mode = word & 0xffff;
        Whole {
            looks: Looks { birth, mode },
            record: Record {
                owner,
                device,
                permissions: (word & SHOWN != 0).then_some(mode & !libc::S_IFMT),
            },
            is_gone: word & GONE != 0,
            attributes: self.attributes.load(Ordering::Acquire),
        }
    }
}

impl Whole {
    /// What is `known` of a file that is seen to be `looks`. If nothing is, it is `owner`'s.
    fn seen(known: Option<Whole>, looks: Looks, owner: (u32, u32)) -> Whole {
        let nothing = Whole {
            looks,
            record: Record::new(owner, None),
            is_gone: false,
            attributes: 0,
        };
        Whole {
            looks,
            is_gone: false,
            ..known.unwrap_or(nothing)
        }
    }
}

/// How many entries to ask for, so that a quarter of the `limit` on addresses is enough.
fn most(limit: u64, is_strict: bool) -> usize {
    let mut entries = if is_strict { STRICT } else { MOST };
    while entries > LEAST && entries as u64 * size_of::<Entry>() as u64 > limit / 4 {
        entries = fewer(entries, LEAST);
    }
    entries
}

/// What `make` makes of `count`, or of less where that is too much, but not of less than `least`.
fn as_many<T>(
    mut count: usize,
    least: usize,
    make: fn(usize) -> Result<T, Errno>,
) -> Result<T, Errno> {
    loop {
        match make(count) {
            Err(_) if count > least => count = fewer(count, least),
            made => return made,
        }
    }
}

fn fewer(count: usize, least: usize) -> usize {
    (count / 4).max(least)
}

/// Another number for each, no bit of which says much of `number` (the end of splitmix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{
        BUCKETS, Device, Entry, Errno, Inode, KEPT, LEAST, Looks, MOST, Ordering, Owners, Record,
        STRICT, index, most, place,
    };

    fn inode(ino: u64) -> Inode {
        Inode { dev: (8, 1), ino }
    }

    fn record(number: u32) -> Record {
        Record::new((number, !number), None)
    }

    fn looks(birth: u64) -> Looks {
        Looks {
            birth,
            mode: 0o100_644,
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Set(u64, Record),
        Update(u64, Option<u32>, Option<u32>),
        Forget,
        Find(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<(Inode, Step)>> {
        let inode = (
            0..3_u32,
            prop_oneof![0..6_u64, Just(u64::MAX), Just(1 << 20)],
        )
            .prop_map(|(major, ino)| Inode {
                dev: (major, 7),
                ino,
            });
        let id = prop_oneof![0..3_u32, Just(u32::MAX)];
        let kind = prop_oneof![Just(0o020_000), Just(0o060_000)];
        let number = prop_oneof![Just((0, 0)), Just((0xfff, 0xf_ffff)), Just((1, u32::MAX))];
        let device = proptest::option::of((kind, number));
        let record = (id.clone(), id.clone(), device).prop_map(|(uid, gid, device)| Record {
            owner: (uid, gid),
            device: device.map(|(kind, number)| Device { kind, number }),
            permissions: (uid == 1).then_some(0o4755),
        });
        let some_id = proptest::option::of(id);
        let birth = 0..3_u64;
        let step = prop_oneof![
            3 => (birth.clone(), record).prop_map(|(birth, record)| Step::Set(birth, record)),
            3 => (birth.clone(), some_id.clone(), some_id)
                .prop_map(|(birth, uid, gid)| Step::Update(birth, uid, gid)),
            1 => Just(Step::Forget),
            3 => birth.prop_map(Step::Find),
        ];
        vec((inode, step), 0..200)
    }

    proptest! {
        #[test]
        fn it_is_a_map(steps in steps(), buckets in 0..8_u32) {
            let owners = Owners::with(1 << 10, 1 << buckets).expect("memory");
            let mut model = BTreeMap::<Inode, (u64, Record)>::new();
            for (inode, step) in steps {
                let known = |birth| {
                    model.get(&inode).filter(|known| known.0 == birth).map(|known| known.1)
                };
                match step {
                    Step::Set(birth, record) => {
                        owners.set(inode, looks(birth), record).expect("memory");
                        model.insert(inode, (birth, record));
                    }
                    Step::Update(birth, uid, gid) => {
                        let otherwise = (10, 20);
                        owners.update(inode, looks(birth), uid, gid, otherwise).expect("memory");
                        let mut record = known(birth).unwrap_or(Record::new(otherwise, None));
                        let (old_uid, old_gid) = record.owner;
                        record.owner = (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid));
                        model.insert(inode, (birth, record));
                    }
                    Step::Forget => {
                        owners.forget(inode);
                        model.remove(&inode);
                    }
                    Step::Find(birth) => {
                        let mut is_asked = false;
                        let found = owners.find(inode, || {
                            is_asked = true;
                            birth
                        });
                        prop_assert_eq!(found, known(birth));
                        prop_assert_eq!(is_asked, model.contains_key(&inode));
                    }
                }
            }
            // One entry for each inode, and one more to write to.
            let chains = owners.buckets.iter().map(|head| head.load(Ordering::Acquire));
            let linked: usize = chains.map(|head| owners.chain(head, 0).count()).sum();
            let taken = index(owners.head.taken.load(Ordering::Acquire));
            prop_assert!(taken <= linked + 1, "{taken} for {linked}");
        }
    }

    #[test]
    fn none_are_known_before_the_first() {
        let owners = Owners::new().expect("memory");
        assert!(!owners.are_any());
        assert_eq!(owners.find(inode(1), || unreachable!()), None);
        owners.forget(inode(1));
        assert!(!owners.are_any());
        owners.set(inode(1), looks(0), record(1)).expect("memory");
        assert!(owners.are_any());
    }

    /// How many entries are looked at to find each of `inodes`: on the average and at most.
    fn looked_at(owners: &Owners, inodes: impl Iterator<Item = Inode>) -> (f64, usize) {
        let (mut sum, mut most, mut all) = (0, 0, 0);
        for inode in inodes {
            let head = owners.buckets[owners.bucket(inode)].load(Ordering::Acquire);
            let mut chain = owners.chain(head, 0);
            let at = 1 + chain
                .position(|entry| entry.is_of(inode))
                .expect("an entry");
            (sum, most, all) = (sum + at, most.max(at), all + 1);
        }
        (
            f64::from(u32::try_from(sum).expect("few")) / f64::from(all),
            most,
        )
    }

    #[test]
    fn a_million_are_found_as_a_thousand_are() {
        // One after the other, as addresses, in the runs of an XFS, and anyhow.
        let ways: [fn(u64) -> u64; 4] = [
            |i| i + 11,
            |i| i << 6,
            |i| (i % 64) | (i / 64) << 11,
            |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ];
        for way in ways {
            let owners = Owners::new().expect("memory");
            for count in [1_000, 1_000_000] {
                let inodes = || (0..count).map(|i| inode(way(i)));
                for (number, inode) in (0..).zip(inodes()) {
                    owners.set(inode, looks(0), record(number)).expect("memory");
                }
                let (mean, most) = looked_at(&owners, inodes());
                // 1.5 on the average; how the runs lie on each other is chance (0.09 more or less).
                assert!(mean < 2.0 && most <= 24, "{count}: {mean}, {most}");
            }
            let found = owners.find(inode(way(70_000)), || 0);
            assert_eq!(found, Some(record(70_000)));
        }
    }

    #[test]
    fn a_full_table_takes_changes_only() {
        let owners = Owners::with(1_000, 1 << 4).expect("memory");
        let all = 1_000 - 1 - KEPT as u64;
        for ino in 0..all {
            owners.set(inode(ino), looks(0), record(0)).expect("memory");
        }
        let error = owners
            .set(inode(all), looks(0), record(0))
            .expect_err("no memory");
        assert_eq!(error, Errno::ENOMEM);
        assert_eq!(owners.find(inode(all), || 0), None);
        for ino in (0..all).cycle().take(10_000) {
            owners
                .update(inode(ino), looks(0), Some(1), None, (0, 0))
                .expect("memory");
            owners.set(inode(ino), looks(1), record(2)).expect("memory");
            owners.set(inode(ino), looks(0), record(1)).expect("memory");
        }
        assert!((0..all).all(|ino| owners.find(inode(ino), || 0) == Some(record(1))));
    }

    #[test]
    fn the_place_of_what_is_gone_is_used_again() {
        let owners = Owners::with(1 << 10, BUCKETS).expect("memory");
        for number in 0..100_000 {
            owners
                .set(inode(5), looks(u64::from(number)), record(number))
                .expect("memory");
            assert_eq!(
                owners.find(inode(5), || u64::from(number)),
                Some(record(number))
            );
            owners.forget(inode(5));
            assert_eq!(owners.find(inode(5), || unreachable!()), None);
        }
        assert_eq!(place(owners.head.spare.load(Ordering::Acquire)), 1);
        assert_eq!(owners.head.taken.load(Ordering::Acquire), 1);
    }

    #[test]
    fn addresses_are_left_for_others() {
        assert_eq!(size_of::<Entry>(), 64);
        assert_eq!(most(u64::MAX, false), MOST);
        assert_eq!(most(u64::MAX, true), STRICT);
        assert_eq!(most(1 << 32, false), MOST / 4);
        assert_eq!(most(0, false), LEAST);
    }
}

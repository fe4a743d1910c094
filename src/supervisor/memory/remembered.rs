//! Whose a file is, which device it stands for, and which attributes it has, where the kernel does
//! not know: by its inode ([`owners`](super::owners) is the table), as long as that is the one it
//! was.
//!
//! File systems give an inode's number to the next file, ext4 at once. What tells the two apart is
//! when they were made; that is told in ticks of the kernel's clock, so that two may be made in
//! one. So an inode that was young when it was looked at is known by its file system's handle for
//! it instead, which costs a call more.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use super::attributes::{Attributes, Known};
use super::owners::{Inode, Looks, Owners, Record, Remembrance};
use crate::supervisor::target::object::Object;
use crate::sys::file::Look;
use crate::sys::memory::Shared;

/// A birth time is older than a tick, at the latest after as many nanoseconds.
const YOUNG: i128 = 20_000_000;
/// What is known of a birth is a handle's hash.
const BY_HANDLE: u64 = 1 << 63;
/// Nothing is known of a birth: the next file that is seen under the number is the one.
const UNKNOWN: u64 = u64::MAX;
/// The attribute that a directory hands on.
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// What is remembered of files.
#[derive(Clone, Copy)]
pub struct Remembered {
    owners: Owners,
    /// Whether a directory may hand something on that the kernel does not know of.
    has_heirs: Shared<AtomicBool>,
    /// Whether any attribute has ever been remembered.
    has_attributes: Shared<AtomicBool>,
    /// Whether any file has ever been shown with other permissions than the kernel's.
    shows_modes: Shared<AtomicBool>,
}

impl Remembered {
    /// Nothing yet, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Remembered, Errno> {
        Remembered::of_table(Owners::new()?)
    }

    /// All that `owners` knows, and what will be added.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn of_table(owners: Owners) -> Result<Remembered, Errno> {
        Ok(Remembered {
            owners,
            has_heirs: Shared::zeroed()?,
            has_attributes: Shared::zeroed()?,
            shows_modes: Shared::zeroed()?,
        })
    }

    /// Whether what is made in a directory may get a group or an ACL from it that the kernel does
    /// not know of: some directory has one.
    #[must_use]
    pub fn has_heirs(&self) -> bool {
        self.has_heirs.load(Ordering::Acquire)
    }

    /// Says that a file with `mode` is of group `gid` now, as it is remembered.
    pub fn may_have_heirs(&self, mode: u32, gid: u32) {
        let is_set_gid = mode & libc::S_ISGID != 0;
        if is_set_gid && mode & libc::S_IFMT == libc::S_IFDIR && gid != 0 {
            self.has_heirs.store(true, Ordering::Release);
        }
    }

    /// Whether any attribute has ever been remembered.
    #[must_use]
    pub fn has_attributes(&self) -> bool {
        self.has_attributes.load(Ordering::Acquire)
    }

    /// Whether any file has ever been shown with other permissions than the kernel's.
    #[must_use]
    pub fn shows_modes(&self) -> bool {
        self.shows_modes.load(Ordering::Acquire)
    }

    fn may_show_mode(&self, record: &Record) {
        if record.permissions.is_some() {
            self.shows_modes.store(true, Ordering::Release);
        }
    }

    /// The attributes of `object` that are remembered.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn attributes(&self, object: &Object) -> Result<Attributes, Errno> {
        if !self.has_attributes() {
            return Ok(Attributes::default());
        }
        Ok(self.attributes_of(&object.found()?, || object.handle()))
    }

    /// Those of the file that was `found`, as [`of`](Remembered::of).
    pub fn attributes_of(&self, found: &Look, handle: impl FnOnce() -> Option<u64>) -> Attributes {
        let inode = Inode::from(found.place);
        let is_known = self.known(inode, found, handle).is_some();
        // Another may have renamed it: it is the same file.
        let birth = self.owners.birth(inode).filter(|_| is_known);
        birth.map_or_else(Attributes::default, |birth| {
            self.owners.attributes(inode, birth)
        })
    }

    /// Has `change` made to those of `object`, as [`Owners::change_attributes`].
    ///
    /// # Errors
    /// statx(2)'s; those of [`Owners::change_attributes`].
    pub fn change_attributes(
        &self,
        object: &Object,
        otherwise: (u32, u32),
        change: impl Fn(&mut Attributes) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (inode, looks) = self.identity(object)?;
        self.has_attributes.store(true, Ordering::Release);
        self.owners
            .change_attributes(inode, looks, otherwise, change)
    }

    /// Says that a directory has an ACL now, for what is made in it, that the kernel does not know.
    pub fn has_default_acl(&self) {
        self.has_heirs.store(true, Ordering::Release);
    }

    /// Whether anything has ever been remembered.
    #[must_use]
    pub fn are_any(&self) -> bool {
        self.owners.are_any()
    }

    /// What is remembered of `object`.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn find(&self, object: &Object) -> Result<Option<Record>, Errno> {
        if !self.owners.are_any() {
            return Ok(None);
        }
        Ok(self.of(&object.found()?, || object.handle()))
    }

    /// What is remembered of the file that was `found`, whose handle `handle` asks for if that
    /// matters.
    pub fn of(&self, found: &Look, handle: impl FnOnce() -> Option<u64>) -> Option<Record> {
        if !self.owners.are_any() {
            return None;
        }
        let inode = Inode::from(found.place);
        let birth = self.known(inode, found, handle)?;
        // It is not young any more: from now on the cheaper way will do.
        if birth & BY_HANDLE != 0 && is_old(found.born) {
            self.owners.rename(inode, birth, by_time(found.born));
        }
        // Another may have renamed it, or given it away: it is the same file.
        let birth = self.owners.birth(inode)?;
        self.owners.find(inode, || birth)
    }

    /// Remembers that `object` is `uid`'s and `gid`'s, where `None` leaves one as it is: as it is
    /// remembered, or else as `otherwise` says.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn give(
        &self,
        object: &Object,
        (uid, gid): (Option<u32>, Option<u32>),
        otherwise: (u32, u32),
    ) -> Result<(), Errno> {
        let (inode, looks) = self.identity(object)?;
        self.owners.update(inode, looks, uid, gid, otherwise)
    }

    /// Says that `object` has the mode with which it is found now, for the kernel, too: what is
    /// saved of it, if anything is remembered.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn has_mode(&self, object: &Object) -> Result<(), Errno> {
        if !self.owners.are_any() {
            return Ok(());
        }
        let (inode, looks) = self.identity(object)?;
        self.owners.has_mode(inode, looks)
    }

    /// Remembers the permissions with which `object` is found now, which are shown from now on. If
    /// nothing else is known, the owner is taken to be `otherwise`.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn keep_mode(&self, object: &Object, otherwise: (u32, u32)) -> Result<(), Errno> {
        let (inode, looks) = self.identity(object)?;
        self.shows_modes.store(true, Ordering::Release);
        self.owners.keep_mode(inode, looks, otherwise)
    }

    /// Has the set-id bits fall with which `object` is shown in the place of the kernel's, as its
    /// own do when the owner changes (fs/attr.c, `setattr_should_drop_suidgid`). `is_strange` says
    /// that the caller is none of its group.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn drop_set_id(&self, object: &Object, is_strange: bool) -> Result<(), Errno> {
        if !self.shows_modes() || object.found()?.mode & libc::S_IFMT == libc::S_IFDIR {
            return Ok(());
        }
        let (inode, looks) = self.identity(object)?;
        self.owners.drop_set_id(inode, looks.birth, is_strange)
    }

    /// Says that `inode`, of which something is remembered, has lost its last name.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn is_gone(&self, inode: Inode) -> Result<(), Errno> {
        match self.owners.birth(inode) {
            Some(birth) => self.owners.is_gone(inode, birth),
            None => Ok(()),
        }
    }

    /// Visits all files of which something is remembered, but for those that are gone, as far as
    /// that was seen.
    pub fn each(&self, visit: impl FnMut(Remembrance)) {
        self.owners.each(visit);
    }

    /// What [`load_birth`](Remembered::load_birth) is to be told of the birth of a file of these
    /// `looks`; `None` if it has not been seen since it was loaded.
    #[must_use]
    pub fn birth_of(looks: Looks) -> Option<u64> {
        (looks.birth != UNKNOWN).then_some(looks.birth)
    }

    /// Remembers `record` of the next file of the type that `mode` has that is seen under the
    /// number of `inode`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn load(&self, inode: Inode, mode: u32, record: Record) -> Result<(), Errno> {
        let looks = Looks {
            birth: UNKNOWN,
            mode,
        };
        self.may_have_heirs(mode, record.owner.1);
        self.may_show_mode(&record);
        self.owners.set(inode, looks, record)
    }

    /// Says which of all files that get its number is meant by `inode`, of which something has been
    /// loaded, and whether its permissions are the kernel's. Returns whether there is one.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn load_birth(&self, inode: Inode, birth: u64, are_kernels: bool) -> Result<bool, Errno> {
        self.owners.is_born(inode, UNKNOWN, birth, are_kernels)
    }

    /// Remembers an attribute of `inode`, of which something has been loaded. Returns whether there
    /// is one.
    ///
    /// # Errors
    /// `ENOSPC` for too many; `ENOMEM`.
    pub fn load_attribute(&self, inode: Inode, name: &[u8], known: &Known) -> Result<bool, Errno> {
        let Some((looks, record)) = self.owners.known_of(inode) else {
            return Ok(false);
        };
        self.has_attributes.store(true, Ordering::Release);
        if name == DEFAULT_ACL {
            self.has_default_acl();
        }
        self.owners
            .change_attributes(inode, looks, record.owner, |all| {
                all.set(name, Some(known.clone()));
                Ok(())
            })?;
        Ok(true)
    }

    /// Remembers `record` of `object`, and nothing else.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn set(&self, object: &Object, record: Record) -> Result<(), Errno> {
        let found = object.found()?;
        let looks = Looks {
            birth: birth_of(&found, || object.handle()),
            mode: found.mode,
        };
        self.may_show_mode(&record);
        self.owners.set(found.place.into(), looks, record)
    }

    /// The same of the file that was `found`, as [`of`](Remembered::of).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn learn(
        &self,
        found: &Look,
        handle: impl FnOnce() -> Option<u64>,
        record: Record,
    ) -> Result<(), Errno> {
        let looks = Looks {
            birth: birth_of(found, handle),
            mode: found.mode,
        };
        let mode = found.mode | record.permissions.unwrap_or(0);
        self.may_have_heirs(mode, record.owner.1);
        self.may_show_mode(&record);
        self.owners.set(found.place.into(), looks, record)
    }

    /// Which inode `object` is, and what it is, with its birth as it is remembered or is to be.
    fn identity(&self, object: &Object) -> Result<(Inode, Looks), Errno> {
        let found = object.found()?;
        let inode = found.place.into();
        let handle = || object.handle();
        let birth = self.known(inode, &found, handle);
        let looks = Looks {
            birth: birth.unwrap_or_else(|| birth_of(&found, handle)),
            mode: found.mode,
        };
        Ok((inode, looks))
    }

    /// The birth that is remembered of `inode`, if that is still the file that was `found`, with
    /// that `handle`.
    fn known(
        &self,
        inode: Inode,
        found: &Look,
        handle: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let birth = self.owners.birth(inode)?;
        if birth == UNKNOWN {
            return self.born_at_last(inode, found, handle);
        }
        let is_it = if birth & BY_HANDLE == 0 {
            birth == by_time(found.born)
        } else {
            by_handle(handle()) == Some(birth)
        };
        is_it.then_some(birth)
    }

    /// The same where nothing has been known of a birth up to now.
    #[inline(never)]
    fn born_at_last(
        &self,
        inode: Inode,
        found: &Look,
        handle: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let (looks, record) = self.owners.known_of(inode)?;
        let kind = |mode: u32| mode & libc::S_IFMT;
        let stands_for_device = record.device.is_some() && kind(found.mode) == libc::S_IFREG;
        if kind(looks.mode) != kind(found.mode) && !stands_for_device {
            return None;
        }
        let birth = birth_of(found, handle);
        self.owners.rename(inode, UNKNOWN, birth);
        // Where memory is short, it stays as it is.
        Some(self.owners.birth(inode)?).filter(|now| *now == birth || *now == UNKNOWN)
    }
}

/// What tells the file that was `found` from a later one.
fn birth_of(found: &Look, handle: impl FnOnce() -> Option<u64>) -> u64 {
    let handle = if is_old(found.born) {
        None
    } else {
        by_handle(handle())
    };
    handle.unwrap_or_else(|| by_time(found.born))
}

fn by_handle(hash: Option<u64>) -> Option<u64> {
    // None is as that of an unknown birth.
    hash.map(|hash| hash | BY_HANDLE)
        .map(|hash| hash.min(UNKNOWN - 1))
}

/// 0 for a file system that does not tell birth times.
fn by_time(born: Option<i128>) -> u64 {
    born.map_or(0, |born| {
        let born = born.rem_euclid(i128::from(BY_HANDLE));
        u64::try_from(born).unwrap_or_default()
    })
}

fn is_old(born: Option<i128>) -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
    born.is_some_and(|born| born + YOUNG < now)
}

//! Whose a file is, and which device it stands for, where the kernel does not know: by its inode
//! ([`owners`](super::owners) is the table), as long as that is the one it was.
//!
//! File systems give an inode's number to the next file, ext4 at once. What tells the two apart is
//! when they were made; that is told in ticks of the kernel's clock, so that two may be made in
//! one. So an inode that was young when it was looked at is known by its file system's handle for
//! it instead, which costs a call more.

use nix::errno::Errno;

use super::owners::{Inode, Owners, Record};
use crate::supervisor::target::object::Object;

/// A birth time is older than a tick, at the latest after as many nanoseconds.
const YOUNG: i128 = 20_000_000;
/// What is known of a birth is a handle's hash.
const BY_HANDLE: u64 = 1 << 63;

/// What is remembered of files.
#[derive(Clone, Copy)]
pub struct Remembered {
    owners: Owners,
}

impl Remembered {
    /// Nothing yet, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Remembered, Errno> {
        Ok(Remembered {
            owners: Owners::new()?,
        })
    }

    /// What is remembered of `object`.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn find(&self, object: &Object) -> Result<Option<Record>, Errno> {
        if !self.owners.are_any() {
            return Ok(None);
        }
        let (inode, born) = inode(object)?;
        let Some(birth) = self.known(object, inode, born) else {
            return Ok(None);
        };
        // It is not young any more: from now on the cheaper way will do.
        if birth & BY_HANDLE != 0 && is_old(born) {
            self.owners.rename(inode, birth, by_time(born));
        }
        // Another may have renamed it, or given it away: it is the same file.
        let Some(birth) = self.owners.birth(inode) else {
            return Ok(None);
        };
        Ok(self.owners.find(inode, || birth))
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
        let (inode, born) = inode(object)?;
        let birth = self.known(object, inode, born);
        let birth = birth.unwrap_or_else(|| birth_of(object, born));
        self.owners.update(inode, birth, uid, gid, otherwise)
    }

    /// Remembers `record` of `object`, and nothing else.
    ///
    /// # Errors
    /// statx(2)'s; `ENOMEM`.
    pub fn set(&self, object: &Object, record: Record) -> Result<(), Errno> {
        let (inode, born) = inode(object)?;
        self.owners.set(inode, birth_of(object, born), record)
    }

    /// The birth that is remembered of `inode`, if that is `object`'s.
    fn known(&self, object: &Object, inode: Inode, born: Option<i128>) -> Option<u64> {
        let birth = self.owners.birth(inode)?;
        let is_it = if birth & BY_HANDLE == 0 {
            birth == by_time(born)
        } else {
            by_handle(object) == Some(birth)
        };
        is_it.then_some(birth)
    }
}

/// Which inode `object` is, and when that was made.
fn inode(object: &Object) -> Result<(Inode, Option<i128>), Errno> {
    let found = object.found()?;
    let inode = Inode {
        dev: found.place.dev,
        ino: found.place.ino,
    };
    Ok((inode, found.born))
}

/// What tells `object`, which was made when `born` says, from a later one.
fn birth_of(object: &Object, born: Option<i128>) -> u64 {
    let handle = if is_old(born) {
        None
    } else {
        by_handle(object)
    };
    handle.unwrap_or_else(|| by_time(born))
}

fn by_handle(object: &Object) -> Option<u64> {
    object.handle().map(|hash| hash | BY_HANDLE)
}

/// 0 for a file system that does not tell birth times.
fn by_time(born: Option<i128>) -> u64 {
    born.map_or(0, |born| born as u64 & !BY_HANDLE)
}

fn is_old(born: Option<i128>) -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
    born.is_some_and(|born| born + YOUNG < now)
}

//! A file that has been found for a caller, and what can be done to it. It is held by a descriptor,
//! so that whatever becomes of the path, the act is on what was found.
//!
//! Extended attributes are reached by the supervisor's own link to it, from `/proc`, where it
//! stands: setxattrat(2) does not take a descriptor opened with `O_PATH`.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, PROC_SUPER_MAGIC, fstatfs};
use nix::sys::statvfs::{FsFlags, Statvfs, fstatvfs};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

use super::base::{Base, own_link};
use crate::sys::file::{
    Look, Place, Time, chmod_at, chmod_empty, getxattr, handle, has_fchmodat2, listxattr, look,
    removexattr, setxattr, statx, touch_empty,
};
use crate::sys::process::Capabilities;

/// `ST_NOSYMFOLLOW`, include/linux/statfs.h.
pub const NO_SYMLINKS: libc::c_ulong = 0x2000;

/// The id that says "leave alone".
pub const SAME: u32 = u32::MAX;

/// A file: for a symbolic link that was not followed, the link.
pub struct Object<'a> {
    file: OwnedFd,
    base: &'a Base,
    found: OnceCell<Look>,
    /// The capabilities of whom it was found for.
    pub caller: Capabilities,
}

impl<'a> Object<'a> {
    /// What `file`, opened with `O_PATH` or for use, refers to.
    #[must_use]
    pub(super) fn new(
        file: OwnedFd,
        base: &'a Base,
        found: Option<Look>,
        caller: Capabilities,
    ) -> Object<'a> {
        Object {
            file,
            base,
            found: found.map_or_else(OnceCell::new, OnceCell::from),
            caller,
        }
    }

    /// What it is; as it was when this was asked first.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn found(&self) -> Result<Look, Errno> {
        if let Some(found) = self.found.get() {
            return Ok(*found);
        }
        let found = look(self.fd(), c"", AtFlags::AT_EMPTY_PATH)?;
        Ok(*self.found.get_or_init(|| found))
    }

    /// The same object, as it is now.
    #[must_use]
    pub fn looked_at_anew(self) -> Object<'a> {
        Object {
            found: OnceCell::new(),
            ..self
        }
    }

    /// statx(2) of it, with `flags` and `mask` as the kernel takes them.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn statx(&self, flags: libc::c_int, mask: u32) -> Result<libc::statx, Errno> {
        let flags = flags | libc::AT_EMPTY_PATH;
        statx(self.fd(), c"", flags, mask)
    }

    /// What tells its inode from a later one with the same number ([`handle`]).
    #[must_use]
    pub fn handle(&self) -> Option<u64> {
        handle(self.fd(), c"")
    }

    /// What `file` is open at, found for the same caller.
    ///
    /// # Errors
    /// dup(2)'s.
    pub fn beside(&self, file: &OwnedFd) -> Result<Object<'a>, Errno> {
        let file = file.try_clone();
        let file = file.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        Ok(Object::new(file, self.base, None, self.caller))
    }

    /// The file `name` in this directory, if it is there: a symbolic link itself.
    ///
    /// # Errors
    /// openat(2)'s.
    pub fn child(&self, name: &CStr) -> Result<Object<'a>, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(self.fd(), name, flags, Mode::empty())?;
        Ok(Object::new(file, self.base, None, self.caller))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What `name` in this directory is. A symbolic link is not followed.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn look_at(&self, name: &CStr) -> Result<Look, Errno> {
        look(self.fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// What a caller hears that may not change it: that nobody may comes first (fs/namespace.c,
    /// `mnt_want_write`).
    #[must_use]
    pub fn refusal(&self) -> Errno {
        let is_read_only = |system: Statvfs| system.flags().contains(FsFlags::ST_RDONLY);
        if self.system().is_ok_and(is_read_only) {
            Errno::EROFS
        } else {
            Errno::EPERM
        }
    }

    /// The mount through which it was found.
    ///
    /// # Errors
    /// statvfs(2)'s.
    pub(super) fn system(&self) -> Result<Statvfs, Errno> {
        fstatvfs(self.fd())
    }

    /// The supervisor's own link to it, from `/proc`.
    pub(super) fn link(&self) -> CString {
        own_link(self.fd())
    }

    /// Its path, as the supervisor's root directory has it.
    ///
    /// # Errors
    /// readlink(2)'s.
    pub fn name(&self) -> Result<Vec<u8>, Errno> {
        self.base.name_of(self.fd())
    }

    /// Gives it to `uid` and `gid`, where [`SAME`] leaves one alone.
    ///
    /// # Errors
    /// fchownat(2)'s.
    pub fn chown(&self, uid: u32, gid: u32) -> Result<(), Errno> {
        let uid = (uid != SAME).then_some(Uid::from_raw(uid));
        let gid = (gid != SAME).then_some(Gid::from_raw(gid));
        fchownat(self.fd(), c"", uid, gid, AtFlags::AT_EMPTY_PATH)
    }

    /// Changes its mode.
    ///
    /// # Errors
    /// chmod(2)'s.
    pub fn chmod(&self, mode: u32) -> Result<(), Errno> {
        if has_fchmodat2() {
            chmod_empty(self.fd(), mode)
        } else {
            chmod_at(self.base.proc_dir(), &own_link(self.fd()), mode)
        }
    }

    /// Has an overlay make its own copy of it, which is another inode, where that is ours: as
    /// whatever changes it would (fs/overlayfs/copy_up.c).
    pub fn copy_up(&self) {
        let is_on_overlay = fstatfs(&self.file)
            .is_ok_and(|system| system.filesystem_type() == OVERLAYFS_SUPER_MAGIC);
        if !is_on_overlay {
            return;
        }
        // To replace an attribute that is not there comes too late (fs/overlayfs/xattrs.c,
        // `ovl_xattr_set`).
        let replaced = self.set_xattr(c"user.zroot.none", b"", libc::XATTR_REPLACE);
        if replaced != Err(Errno::EPERM) {
            return;
        }
        // Only a regular file or a directory has such attributes. Of another that its mode stays is
        // a change, too, unless somebody changes it meanwhile.
        if let Ok(status) = self.statx(0, libc::STATX_MODE) {
            let _ = self.chmod(u32::from(status.stx_mode) & !libc::S_IFMT);
        }
    }

    /// Changes its times.
    ///
    /// # Errors
    /// utimensat(2)'s.
    pub fn touch(&self, times: &[Time; 2]) -> Result<(), Errno> {
        touch_empty(self.fd(), times)
    }

    /// Sets an extended attribute; `flags` is `XATTR_CREATE`, `XATTR_REPLACE` or 0.
    ///
    /// # Errors
    /// setxattr(2)'s.
    pub fn set_xattr(&self, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
        setxattr(&own_link(self.fd()), name, value, flags)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// removexattr(2)'s.
    pub fn remove_xattr(&self, name: &CStr) -> Result<(), Errno> {
        removexattr(&own_link(self.fd()), name)
    }

    /// An extended attribute's value.
    ///
    /// # Errors
    /// getxattr(2)'s.
    pub fn xattr(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        getxattr(&own_link(self.fd()), name)
    }

    /// Whether it has no attributes whoever asks, and nowhere to keep any: the kernel makes it up,
    /// as what is in `/proc`, a pipe or a socket. Their file systems have no blocks.
    #[must_use]
    pub fn keeps_nothing(&self) -> bool {
        self.xattr(c"security.zroot.none") == Err(Errno::EOPNOTSUPP)
            && fstatfs(&self.file).is_ok_and(|system| system.blocks() == 0)
    }

    /// The names of its extended attributes that the supervisor sees, each with its end.
    ///
    /// # Errors
    /// listxattr(2)'s.
    pub fn xattr_names(&self) -> Result<Vec<u8>, Errno> {
        listxattr(&own_link(self.fd()))
    }

    /// Opens it, a regular file, as open(2) does with `flags`.
    ///
    /// # Errors
    /// open(2)'s.
    pub fn open(&self, flags: OFlag) -> Result<OwnedFd, Errno> {
        let link = own_link(self.fd());
        let flags = flags.difference(OFlag::O_NOFOLLOW) | OFlag::O_CLOEXEC;
        openat(self.base.proc_dir(), link.as_c_str(), flags, Mode::empty())
    }

    /// Makes a regular file in this directory, where there is none, and opens it as open(2) does
    /// with `flags`; for `O_TMPFILE`, one without a name, for which `name` is `.`.
    ///
    /// # Errors
    /// open(2)'s: `EEXIST` for one.
    pub fn open_new(&self, name: &CStr, flags: OFlag, mode: Mode) -> Result<OwnedFd, Errno> {
        openat(self.fd(), name, flags | OFlag::O_CLOEXEC, mode)
    }

    /// Gives the file `file`, which has no name yet, this one in this directory.
    ///
    /// # Errors
    /// linkat(2)'s.
    pub fn link_new(&self, file: &Object, name: &CStr) -> Result<(), Errno> {
        let (from, link) = (self.base.proc_dir(), own_link(file.fd()));
        linkat(from, &*link, self.fd(), name, AtFlags::AT_SYMLINK_FOLLOW)
    }

    /// Makes a directory in this one.
    ///
    /// # Errors
    /// mkdir(2)'s.
    pub fn mkdir(&self, name: &CStr, mode: Mode) -> Result<(), Errno> {
        mkdirat(self.fd(), name, mode)
    }

    /// Makes a symbolic link to `text` in this directory.
    ///
    /// # Errors
    /// symlink(2)'s.
    pub fn symlink(&self, text: &CStr, name: &CStr) -> Result<(), Errno> {
        symlinkat(text, self.fd(), name)
    }

    /// Removes `name` from this directory: a directory, or anything else.
    ///
    /// # Errors
    /// unlinkat(2)'s.
    pub fn unlink(&self, name: &CStr, kind: UnlinkatFlags) -> Result<(), Errno> {
        unlinkat(self.fd(), name, kind)
    }

    /// Gives `name` in this directory the name `new` in the directory `to`, where it takes the
    /// place of what is there.
    ///
    /// # Errors
    /// rename(2)'s.
    pub fn rename(&self, name: &CStr, to: &Object, new: &CStr) -> Result<(), Errno> {
        renameat(self.fd(), name, to.fd(), new)
    }

    /// Removes `name` from this directory, if that is the file `file`.
    pub fn remove(&self, name: &CStr, file: Place) {
        if self.look_at(name).is_ok_and(|found| found.place == file) {
            let _ = unlinkat(self.fd(), name, UnlinkatFlags::NoRemoveDir);
        }
    }

    /// The text of this symbolic link, which may be followed from the directory `parent`; `None`
    /// for a link that only the kernel follows, or refuses to: a magic one, one on a mount without
    /// symbolic links, a stranger's in a directory for all (fs/namei.c, `may_follow_link`).
    ///
    /// # Errors
    /// statfs(2)'s, readlink(2)'s.
    pub fn link_text(&self, parent: &Object) -> Result<Option<Vec<u8>>, Errno> {
        let (link, directory) = (self.found()?, parent.found()?);
        let system = fstatfs(&self.file)?;
        if system.filesystem_type() == PROC_SUPER_MAGIC
            || system.flags().bits() & NO_SYMLINKS != 0
            || is_for_all(directory) && link.uid != self.base.uid && link.uid != directory.uid
        {
            return Ok(None);
        }
        readlinkat(self.fd(), c"").map(|text| Some(text.into_encoded_bytes()))
    }

    /// Whether open(2) with `O_CREAT` may refuse this file in the directory `parent`, though it may
    /// be opened: fs/namei.c, `may_create_in_sticky`.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn is_protected_in(&self, parent: &Object) -> Result<bool, Errno> {
        let (file, directory) = (self.found()?, parent.found()?);
        let own = self.base.uid;
        Ok(is_for_all(directory) && file.uid != own && file.uid != directory.uid)
    }

    /// Mounts a file system of `kind` on it, which needs no source.
    ///
    /// # Errors
    /// mount(2)'s.
    pub fn mount(
        &self,
        source: Option<&CStr>,
        kind: &CStr,
        flags: MsFlags,
        options: &CStr,
    ) -> Result<(), Errno> {
        let place = own_link(self.fd());
        mount(source, &*place, Some(kind), flags, Some(options))
    }

    /// Makes a file in this directory.
    ///
    /// # Errors
    /// mknod(2)'s.
    pub fn mknod(&self, name: &CStr, kind: SFlag, mode: Mode, dev: u64) -> Result<(), Errno> {
        mknodat(self.fd(), name, kind, mode, dev)
    }
}

/// Whether anybody may make files in a directory, and only their owner remove them. One for a group
/// counts, too, as it may for the kernel (fs.protected_regular).
fn is_for_all(directory: Look) -> bool {
    directory.mode & libc::S_ISVTX != 0 && directory.mode & (libc::S_IWOTH | libc::S_IWGRP) != 0
}

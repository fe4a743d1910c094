//! Finding a caller's files with the caller's rights: the one place where that is done.
//!
//! What a call is about is found as the caller would find it, and held by a descriptor; then the
//! caller is asked whether it still waits; then the call is made on what the descriptor holds. A
//! magic link of `/proc` is never followed with the supervisor's rights.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, OpenHow, ResolveFlag, fcntl, openat, openat2};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chroot, fchdir};

use super::answer::Failed;
use super::base::Base;
use super::object::Object;
use super::proc::{Target, looked};
use super::request::Named;
use super::walk::Walk;
use crate::sys::file::{Look, Place, look};
use crate::sys::process::{descriptor_of, pidfd_open};

/// Which file a call is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum File {
    /// The one that is open for reading or writing at a descriptor, as fchown(2) has it.
    Open(i32),
    /// The one that a descriptor, which may be opened with `O_PATH`, or `AT_FDCWD` refers to, as
    /// `AT_EMPTY_PATH` has it.
    Empty(i32),
    /// The one at a path, from a directory descriptor or `AT_FDCWD`.
    At(i32, CString),
}

/// `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH`, if there are no others.
///
/// # Errors
/// `EINVAL`.
pub fn known_flags(flags: AtFlags) -> Result<AtFlags, Errno> {
    let known = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH;
    if known.contains(flags) {
        Ok(flags)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Where a caller's path starts, held.
pub(super) struct Start {
    /// The caller's root directory, if that is not the supervisor's.
    root: Option<OwnedFd>,
    root_place: Place,
    /// The directory that a relative path starts from.
    dir: Option<OwnedFd>,
}

/// Where a caller's paths start from, held: for calls that take no descriptor.
pub struct There<'a> {
    /// Its root directory, if that is not the supervisor's.
    root: Option<OwnedFd>,
    /// Its working directory.
    dir: OwnedFd,
    base: &'a Base,
}

impl There<'_> {
    /// Does `act` there, with `mask` as the umask, if the caller's `path` leads to `object` there
    /// as well, without magic links, which would be this process's own. `act` must not use names
    /// in `/proc`. A helper stays in that root directory.
    ///
    /// # Errors
    /// Those of `act`; [`Failed::Kernel`] if it does not.
    pub fn act<T>(
        &self,
        mask: Mode,
        (path, object): (&CStr, &Object),
        act: impl FnOnce() -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let done = self.enter().and_then(|()| {
            let within = ResolveFlag::empty();
            let found = by_kernel(self.dir.as_fd(), path, true, within, false);
            let found = found.and_then(|found| look(found, c"", AtFlags::AT_EMPTY_PATH));
            if found.map_err(|_| Failed::Kernel)?.place != object.found()?.place {
                return Err(Failed::Kernel);
            }
            umask(mask);
            act()
        });
        self.base.stand()?;
        done
    }

    fn enter(&self) -> Result<(), Failed> {
        let enter = || {
            if let Some(root) = &self.root {
                fchdir(root)?;
                chroot(".")?;
            }
            fchdir(&self.dir)
        };
        enter().map_err(|_: Errno| Failed::Kernel)
    }
}

impl<'a> Target<'a> {
    /// The file that the call names, and whether a link at its end is to be followed.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags; what reading the path brings; `ENOSYS` if the call names none.
    pub fn named_file(&self) -> Result<(File, bool), Failed> {
        match self.request.named().ok_or(Errno::ENOSYS)? {
            Named::Open(fd) => Ok((File::Open(fd), true)),
            Named::At { dir, path, flags } => {
                let flags = known_flags(flags)?;
                let path = self.path(path)?;
                if path.is_empty() && flags.contains(AtFlags::AT_EMPTY_PATH) {
                    Ok((File::Empty(dir), true))
                } else {
                    let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
                    Ok((File::At(dir, path), follow))
                }
            }
        }
    }

    /// Finds `file`. When this returns, the caller still waits, and this process has its rights.
    ///
    /// # Errors
    /// What keeps the caller from the file, `EBADF` for one; [`Failed::Helper`],
    /// [`Failed::Kernel`], [`Failed::Unreadable`].
    pub fn find(&self, file: &File, follow: bool) -> Result<Object<'a>, Failed> {
        let (dir, path) = match file {
            File::Open(fd) => return self.held(self.descriptor(*fd, true)?),
            File::Empty(libc::AT_FDCWD) => return self.held(self.link("cwd")?),
            File::Empty(fd) => return self.held(self.descriptor(*fd, false)?),
            File::At(_, path) if path.is_empty() => return Err(Errno::ENOENT.into()),
            File::At(dir, path) => (*dir, path),
        };
        let start = self.start(dir, path)?;
        self.walk(&start, path, follow)
    }

    /// The same for a path that is to be followed as openat2(2) has it with `resolve`.
    ///
    /// # Errors
    /// As [`find`](Target::find); [`Failed::Kernel`] where it leads nowhere.
    pub fn find_within(
        &self,
        file: &File,
        follow: bool,
        resolve: ResolveFlag,
    ) -> Result<Object<'a>, Failed> {
        match file {
            File::At(dir, path) if !resolve.is_empty() => self.within(*dir, path, follow, resolve),
            _ => self.find(file, follow),
        }
    }

    fn within(
        &self,
        dir: i32,
        path: &CStr,
        follow: bool,
        resolve: ResolveFlag,
    ) -> Result<Object<'a>, Failed> {
        // With these, `/` is the directory as well.
        let is_at_home = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_BENEATH;
        let start = if resolve.intersects(is_at_home) {
            self.start(dir, c".")?
        } else {
            self.start(dir, path)?
        };
        let caller = self.take_rights()?;
        self.still_waits()?;
        let (from, within) = match &start.dir {
            Some(dir) if resolve.intersects(is_at_home) => (dir.as_fd(), ResolveFlag::empty()),
            _ => self.way(&start, path).ok_or(Failed::Kernel)?,
        };
        let found = by_kernel(from, path, follow, within | resolve, false);
        let object = Object::new(found.map_err(|_| Failed::Kernel)?, self.base, None, caller);
        if self.base.is_own_proc(object.found()?.place) {
            return Err(Failed::Kernel);
        }
        self.may_ask(Some(&object.found()?))?;
        Ok(object)
    }

    /// Finds the directory in which `file` is to be made, and the name that it gets there.
    ///
    /// # Errors
    /// As [`find`](Target::find); `EEXIST` for a path that ends in no name.
    pub fn find_parent(&self, file: &File) -> Result<(Object<'a>, CString), Failed> {
        self.find_parent_within(file, ResolveFlag::empty())
    }

    /// The same for a path that is to be followed as openat2(2) has it with `resolve`.
    ///
    /// # Errors
    /// As [`find_within`](Target::find_within); `EEXIST` for a path that ends in no name.
    pub fn find_parent_within(
        &self,
        file: &File,
        resolve: ResolveFlag,
    ) -> Result<(Object<'a>, CString), Failed> {
        let File::At(dir, path) = file else {
            return Err(Errno::ENOENT.into());
        };
        let (parent, name) = parent_and_name(path)?;
        if !resolve.is_empty() {
            return Ok((self.within(*dir, &parent, true, resolve)?, name));
        }
        let start = self.start(*dir, path)?;
        Ok((self.walk(&start, &parent, true)?, name))
    }

    /// What a descriptor of the caller's refers to, held already.
    fn held(&self, file: OwnedFd) -> Result<Object<'a>, Failed> {
        let found = self.known(&file)?;
        let caller = self.take_rights()?;
        self.still_waits()?;
        self.may_ask(found.as_ref())?;
        Ok(Object::new(file, self.base, found, caller))
    }

    /// What `file` is, if that matters yet.
    fn known(&self, file: &OwnedFd) -> Result<Option<Look>, Errno> {
        let is_needed = self.hazards.are_possible();
        let look = || look(file, c"", AtFlags::AT_EMPTY_PATH);
        is_needed.then(look).transpose()
    }

    /// Where the caller's `path` starts.
    pub(super) fn start(&self, dir: i32, path: &CStr) -> Result<Start, Failed> {
        // The directory first: to have it tells which caller this is (`Callers::is_plain`).
        let dir = match dir {
            _ if is_absolute(path) => None,
            libc::AT_FDCWD => Some(self.link("cwd")?),
            fd => Some(self.descriptor(fd, false)?),
        };
        self.start_from(dir)
    }

    /// The same, for a path that starts from `dir`, or is absolute.
    pub(super) fn start_from(&self, dir: Option<OwnedFd>) -> Result<Start, Failed> {
        let root_place = if self.is_plain() {
            self.base.root_place()
        } else {
            let link = self.entry("root");
            looked(look(self.base.proc_dir(), &link, AtFlags::empty()))?.place
        };
        let root = if self.base.is_root(root_place) {
            None
        } else {
            Some(self.link("root")?)
        };
        Ok(Start {
            root,
            root_place,
            dir,
        })
    }

    fn walk(&self, start: &Start, path: &CStr, follow: bool) -> Result<Object<'a>, Failed> {
        // Not to be seen any more afterwards.
        let own = self.is_helper.then(|| self.identity());
        let caller = self.take_rights()?;
        self.still_waits()?;
        if let Some((from, within)) = self.way(start, path) {
            if let Ok(file) = by_kernel(from, path, follow, within, true) {
                let found = look(&file, c"", AtFlags::AT_EMPTY_PATH);
                // It may be in the supervisor's own directory.
                let certain = found.ok().filter(|found| {
                    !self.base.is_own_proc(found.place) && self.may_ask(Some(found)).is_ok()
                });
                if let Some(found) = certain {
                    return Ok(Object::new(file, self.base, Some(found), caller));
                }
            }
        }
        let root = self.root_of(start);
        let from = start.dir.as_ref().map_or(root, AsFd::as_fd);
        let walk = Walk {
            target: *self,
            root,
            root_place: start.root_place,
            own: own.map_or_else(OnceCell::new, OnceCell::from),
        };
        let file = walk.to(from, path, follow)?;
        // It has looked at the caller once more.
        self.still_waits()?;
        let found = self.known(&file)?;
        self.may_ask(found.as_ref())?;
        Ok(Object::new(file, self.base, found, caller))
    }

    fn root_of<'s>(&'s self, start: &'s Start) -> BorrowedFd<'s> {
        start.root.as_ref().map_or(self.base.root(), AsFd::as_fd)
    }

    /// From where, and how, the kernel goes the caller's way; `None` where it cannot be told to.
    pub(super) fn way<'s>(
        &'s self,
        start: &'s Start,
        path: &CStr,
    ) -> Option<(BorrowedFd<'s>, ResolveFlag)> {
        let root = self.root_of(start);
        let is_absolute = is_absolute(path);
        let within = match (&start.root, is_absolute) {
            (None, _) => ResolveFlag::empty(),
            (Some(_), true) => ResolveFlag::RESOLVE_IN_ROOT,
            // It cannot be told of a root directory as well. A way down needs none.
            (Some(_), false) if has_parent(path) => return None,
            (Some(_), false) => ResolveFlag::RESOLVE_NO_SYMLINKS,
        };
        let from = if is_absolute {
            root
        } else {
            start.dir.as_ref().map_or(root, AsFd::as_fd)
        };
        Some((from, within))
    }

    /// What descriptor `fd` of the caller's refers to. With `is_used`, one that was opened with
    /// `O_PATH` will not do.
    ///
    /// # Errors
    /// `EBADF`; [`Failed::Unreadable`].
    pub fn descriptor(&self, fd: i32, is_used: bool) -> Result<OwnedFd, Failed> {
        if fd < 0 {
            return Err(Errno::EBADF.into());
        }
        match self
            .callers
            .descriptor(self.request.tid, self.request.id, fd)
        {
            Err(Errno::EBADF) => return Err(Errno::EBADF.into()),
            Ok(file) if is_used && is_path_only(&file)? => return Err(Errno::EBADF.into()),
            Ok(file) => return Ok(file),
            // Before 5.6; a thread of a process before 6.9; a profile of a container runtime's.
            Err(_) => {}
        }
        let name = format!("fd/{fd}");
        // There is no `/proc/TID/fd/N` if N is not open.
        let not_open = |failed| match failed {
            Failed::Error(Errno::ENOENT) => Failed::Error(Errno::EBADF),
            failed => failed,
        };
        let file = self.link(&name).map_err(not_open)?;
        if is_used {
            // The link's permissions say what the descriptor is open for (fs/proc/fd.c,
            // tid_fd_update_inode): nothing with O_PATH.
            let nofollow = AtFlags::AT_SYMLINK_NOFOLLOW;
            let link = look(self.base.proc_dir(), &self.entry(&name), nofollow);
            if looked(link).map_err(not_open)?.mode & libc::S_IRWXU == 0 {
                return Err(Errno::EBADF.into());
            }
        }
        Ok(file)
    }

    /// A copy of the caller's descriptor `fd`, to be used as the caller would.
    ///
    /// # Errors
    /// `EBADF`; [`Failed::Kernel`] where there can be none.
    pub fn copy_of(&self, fd: i32) -> Result<OwnedFd, Failed> {
        match self
            .callers
            .descriptor(self.request.tid, self.request.id, fd)
        {
            Ok(copy) => return Ok(copy),
            Err(Errno::EBADF) => return Err(Errno::EBADF.into()),
            Err(_) => {}
        }
        // A thread, before 6.9. Its descriptors are its process's, mostly.
        let process = pidfd_open(Pid::from_raw(self.process()?)).map_err(|_| Failed::Kernel)?;
        let copy = descriptor_of(process, fd).map_err(|_| Failed::Kernel)?;
        let link = self.entry(format_args!("fd/{fd}"));
        let own = looked(look(self.base.proc_dir(), &link, AtFlags::empty()))?.place;
        let copied = look(&copy, c"", AtFlags::AT_EMPTY_PATH)?.place;
        if (own.dev, own.ino) == (copied.dev, copied.ino) {
            Ok(copy)
        } else {
            Err(Failed::Kernel)
        }
    }

    /// Where the caller's paths start from.
    ///
    /// # Errors
    /// [`Failed::Helper`] if its root directory is not the supervisor's.
    pub fn there(&self) -> Result<There<'a>, Failed> {
        let Start { root, .. } = self.start(libc::AT_FDCWD, c"/")?;
        if root.is_some() && !self.is_helper {
            return Err(Failed::Helper);
        }
        Ok(There {
            root,
            dir: self.link("cwd")?,
            base: self.base,
        })
    }

    /// What a link of the caller's in `/proc` leads to.
    pub(super) fn link(&self, name: &str) -> Result<OwnedFd, Failed> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let link = self.entry(name);
        looked(openat(self.base.proc_dir(), &*link, flags, Mode::empty()))
    }
}

/// The path of the directory in which a file is to be made at `path`, and the name that it gets
/// there.
///
/// # Errors
/// `ENOENT`; `EEXIST` for a path that ends in no name.
pub fn parent_and_name(path: &CStr) -> Result<(CString, CString), Errno> {
    let bytes = path.to_bytes();
    // Slashes at the end belong to the name: what is to be a directory is not made here.
    let end = bytes.iter().rposition(|byte| *byte != b'/');
    let Some(end) = end else {
        return Err(if bytes.is_empty() {
            Errno::ENOENT
        } else {
            Errno::EEXIST
        });
    };
    let slash = bytes[..end].iter().rposition(|byte| *byte == b'/');
    let (parent, name) = slash.map_or((&b"."[..], bytes), |at| bytes.split_at(at + 1));
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    Ok((text(parent)?, text(name)?))
}

/// Has the kernel find what is at `path`, where it finds it without magic links, and with
/// `is_cached` without waiting for anybody. An error may be the supervisor's own.
pub(super) fn by_kernel(
    from: BorrowedFd,
    path: &CStr,
    follow: bool,
    within: ResolveFlag,
    is_cached: bool,
) -> Result<OwnedFd, Errno> {
    /// include/uapi/linux/openat2.h, since 5.12.
    const RESOLVE_CACHED: ResolveFlag = ResolveFlag::from_bits_retain(0x20);
    let nofollow = if follow {
        OFlag::empty()
    } else {
        OFlag::O_NOFOLLOW
    };
    let how = |cached| {
        OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC | nofollow)
            .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS | within | cached)
    };
    let cached = if is_cached {
        RESOLVE_CACHED
    } else {
        ResolveFlag::empty()
    };
    match openat2(from, path, how(cached)) {
        Err(Errno::EINVAL) if is_cached => openat2(from, path, how(ResolveFlag::empty())),
        file => file,
    }
}

/// Whether a descriptor was opened with `O_PATH`.
fn is_path_only(file: &OwnedFd) -> Result<bool, Errno> {
    let flags = fcntl(file, FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_PATH))
}

/// Whether `path` starts from the root directory.
pub(super) fn is_absolute(path: &CStr) -> bool {
    path.to_bytes().starts_with(b"/")
}

/// Whether `..` is on the way of `path`.
fn has_parent(path: &CStr) -> bool {
    path.to_bytes()
        .split(|byte| *byte == b'/')
        .any(|name| name == b"..")
}

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
use nix::sys::stat::Mode;

use super::answer::Failed;
use super::object::Object;
use super::proc::{Target, looked};
use super::request::Named;
use super::walk::Walk;
use crate::sys::file::{Look, Place, handle, look, statx};

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

/// A file that has been looked at for a caller, which has been told nothing of it yet.
pub struct Glance<'a> {
    /// What the kernel says of it.
    pub status: libc::statx,
    at: At<'a>,
}

/// Where that file is.
enum At<'a> {
    /// Found with the caller's rights, and held.
    Found(Object<'a>),
    /// Held; whether the caller could find it is not known. Who holds a descriptor of it need not.
    Held { file: OwnedFd, needs_rights: bool },
    /// Behind a name of one component, which is no link. The caller is plain.
    Named { dir: OwnedFd, name: CString },
    /// The same from `/proc`.
    NamedInProc(CString),
}

impl<'a> Glance<'a> {
    /// To be asked before anything of it is told.
    ///
    /// # Errors
    /// As [`Target::find`].
    pub fn confirm(&self, target: Target<'a>) -> Result<(), Failed> {
        match self.at {
            At::Held {
                needs_rights: true, ..
            } => target.take_rights().map(drop),
            _ => Ok(()),
        }
    }

    /// What tells its inode from a later one with the same number ([`handle`]).
    #[must_use]
    pub fn handle(&self, target: Target) -> Option<u64> {
        match &self.at {
            At::Found(object) => object.handle(),
            At::Held { file, .. } => handle(file, c""),
            At::Named { dir, name } => handle(dir, name),
            At::NamedInProc(name) => handle(target.base.proc_dir(), name),
        }
    }

    /// What the kernel says of it with `flags` and `mask` as statx(2) takes them.
    ///
    /// # Errors
    /// statx(2)'s; `ESTALE` if the name leads to another file by now.
    pub fn statx(&self, target: Target, flags: i32, mask: u32) -> Result<libc::statx, Errno> {
        let empty = flags | libc::AT_EMPTY_PATH;
        let named = flags | libc::AT_SYMLINK_NOFOLLOW;
        let status = match &self.at {
            At::Found(object) => object.statx(flags, mask)?,
            At::Held { file, .. } => statx(file, c"", empty, mask)?,
            At::Named { dir, name } => statx(dir, name, named, mask | libc::STATX_INO)?,
            At::NamedInProc(name) => {
                statx(target.base.proc_dir(), name, named, mask | libc::STATX_INO)?
            }
        };
        let inode = |it: &libc::statx| (it.stx_dev_major, it.stx_dev_minor, it.stx_ino);
        if inode(&status) == inode(&self.status) {
            Ok(status)
        } else {
            Err(Errno::ESTALE)
        }
    }
}

/// Where a caller's path starts, held.
struct Start {
    /// The caller's root directory, if that is not the supervisor's.
    root: Option<OwnedFd>,
    root_place: Place,
    /// The directory that a relative path starts from.
    dir: Option<OwnedFd>,
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

    /// Looks at `file`, for a question that the kernel can answer in most cases: rights are not
    /// asked for before it is known that it cannot. `sync` is the question's `AT_STATX_*_SYNC`.
    /// `None` if the kernel is to answer.
    ///
    /// # Errors
    /// As [`find`](Target::find).
    pub fn glance(
        &self,
        file: &File,
        follow: bool,
        sync: i32,
    ) -> Result<Option<Glance<'a>>, Failed> {
        const ALL: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        let careful = || {
            let object = self.find(file, follow)?;
            Ok(Some(Glance {
                status: object.statx(sync, ALL)?,
                at: At::Found(object),
            }))
        };
        // What is asked may not answer, or rights are taken before the first look.
        if self.is_helper || self.hazards.are_possible() {
            return careful();
        }
        let held = |file: OwnedFd, needs_rights| -> Result<_, Failed> {
            let status = statx(&file, c"", sync | libc::AT_EMPTY_PATH, ALL)?;
            let at = At::Held { file, needs_rights };
            Ok(Some(Glance { status, at }))
        };
        let (dir, path) = match file {
            File::Open(fd) => return held(self.descriptor(*fd, true)?, false),
            File::Empty(libc::AT_FDCWD) => return held(self.link("cwd")?, false),
            File::Empty(fd) => return held(self.descriptor(*fd, false)?, false),
            File::At(_, path) if path.is_empty() => return Ok(None),
            File::At(dir, path) => (*dir, path),
        };
        if self.is_plain() && is_name(path) {
            match self.glance_by_name(dir, path, sync | libc::AT_SYMLINK_NOFOLLOW, ALL) {
                // The caller comes to no other end.
                Err(Errno::ENOENT) => return Ok(None),
                Ok(glance) => {
                    let found = Look::from(&glance.status);
                    let is_link = found.mode & libc::S_IFMT == libc::S_IFLNK;
                    if !(self.base.is_own_proc(found.place) || is_link && follow) {
                        return Ok(Some(glance));
                    }
                }
                Err(_) => {}
            }
        }
        let start = self.start(dir, path)?;
        let Some((from, within)) = self.way(&start, path) else {
            return careful();
        };
        let found = match by_kernel(from, path, follow, within, true) {
            // Nobody has hung yet: it costs too much to go step by step for each file that is
            // looked at for the first time.
            Err(Errno::EAGAIN) => by_kernel(from, path, follow, within, false),
            found => found,
        };
        match found {
            Ok(file) => {
                let glance = held(file, true)?;
                // It may be in the supervisor's own directory.
                let is_own = |glance: &Glance| {
                    let found = Look::from(&glance.status);
                    self.base.is_own_proc(found.place)
                };
                if glance.as_ref().is_some_and(is_own) {
                    careful()
                } else {
                    Ok(glance)
                }
            }
            Err(errno) if is_callers_too(errno, from, path, within) => Ok(None),
            Err(_) => careful(),
        }
    }

    /// The same for `name`, of one component, in `dir`, by one call.
    fn glance_by_name(
        &self,
        dir: i32,
        name: &CStr,
        flags: i32,
        mask: u32,
    ) -> Result<Glance<'a>, Errno> {
        if dir == libc::AT_FDCWD {
            let text = [b"/cwd/", name.to_bytes()].concat();
            let text = [self.request.tid.to_string().as_bytes(), &text].concat();
            let name = CString::new(text).map_err(|_| Errno::EINVAL)?;
            return Ok(Glance {
                status: statx(self.base.proc_dir(), &name, flags, mask)?,
                at: At::NamedInProc(name),
            });
        }
        let dir = self
            .callers
            .descriptor(self.request.tid, self.request.id, dir);
        let dir = dir.map_err(|_| Errno::EBADF)?; // whatever it is, it is not the file's
        Ok(Glance {
            status: statx(&dir, name, flags, mask)?,
            at: At::Named {
                dir,
                name: name.to_owned(),
            },
        })
    }

    /// Finds the directory in which `file` is to be made, and the name that it gets there.
    ///
    /// # Errors
    /// As [`find`](Target::find); `EEXIST` for a path that ends in no name.
    pub fn find_parent(&self, file: &File) -> Result<(Object<'a>, CString), Failed> {
        let File::At(dir, path) = file else {
            return Err(Errno::ENOENT.into());
        };
        let bytes = path.to_bytes();
        // Slashes at the end belong to the name: what is to be a directory is not made here.
        let end = bytes.iter().rposition(|byte| *byte != b'/');
        let Some(end) = end else {
            let errno = if bytes.is_empty() {
                Errno::ENOENT
            } else {
                Errno::EEXIST
            };
            return Err(errno.into());
        };
        let slash = bytes[..end].iter().rposition(|byte| *byte == b'/');
        let (parent, name) = slash.map_or((&b"."[..], bytes), |at| bytes.split_at(at + 1));
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let (parent, name) = (text(parent)?, text(name)?);
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
    fn start(&self, dir: i32, path: &CStr) -> Result<Start, Failed> {
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
        let is_absolute = path.to_bytes().starts_with(b"/");
        let dir = match dir {
            _ if is_absolute => None,
            libc::AT_FDCWD => Some(self.link("cwd")?),
            fd => Some(self.descriptor(fd, false)?),
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
    fn way<'s>(&'s self, start: &'s Start, path: &CStr) -> Option<(BorrowedFd<'s>, ResolveFlag)> {
        let root = self.root_of(start);
        let is_absolute = path.to_bytes().starts_with(b"/");
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
    fn descriptor(&self, fd: i32, is_used: bool) -> Result<OwnedFd, Failed> {
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

    /// What a link of the caller's in `/proc` leads to.
    fn link(&self, name: &str) -> Result<OwnedFd, Failed> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let link = self.entry(name);
        looked(openat(self.base.proc_dir(), &*link, flags, Mode::empty()))
    }
}

/// Has the kernel find what is at `path`, where it finds it without magic links, and with
/// `is_cached` without waiting for anybody. An error may be the supervisor's own.
fn by_kernel(
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

/// Whether the caller gets no further than the supervisor, which has met `errno` on the way of
/// `path`. Only what is below `/proc/self` is another for each. Then the path says so, or a
/// link leads there, as `/dev/fd` does: not where all is one mount, or there is no link.
fn is_callers_too(errno: Errno, from: BorrowedFd, path: &CStr, within: ResolveFlag) -> bool {
    let is_met_on_the_way = matches!(
        errno,
        Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ENAMETOOLONG
    );
    let is_met_again = |how| {
        let found = by_kernel(from, path, false, within | how, false);
        found.is_err_and(|again| again == errno)
    };
    is_met_on_the_way
        && !has_name_of_self(path)
        && (is_met_again(ResolveFlag::RESOLVE_NO_XDEV)
            || is_met_again(ResolveFlag::RESOLVE_NO_SYMLINKS))
}

/// Whether a descriptor was opened with `O_PATH`.
fn is_path_only(file: &OwnedFd) -> Result<bool, Errno> {
    let flags = fcntl(file, FcntlArg::F_GETFL)?;
    Ok(OFlag::from_bits_retain(flags).contains(OFlag::O_PATH))
}

/// Whether `path` is the name of something in a directory, and nothing else.
fn is_name(path: &CStr) -> bool {
    let bytes = path.to_bytes();
    !bytes.contains(&b'/') && bytes != b"." && bytes != b".."
}

/// Whether `self` or `thread-self` may be on the way of `path`.
fn has_name_of_self(path: &CStr) -> bool {
    path.to_bytes().windows(4).any(|name| name == b"self")
}

/// Whether `..` is on the way of `path`.
fn has_parent(path: &CStr) -> bool {
    path.to_bytes()
        .split(|byte| *byte == b'/')
        .any(|name| name == b"..")
}

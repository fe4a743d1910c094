//! Looking at a caller's file, for a question that the kernel can answer in most cases: what a look
//! comes to is told to nobody before the caller's rights are known.
//!
//! Files are found as in [`files`](super::files), without its care where nothing depends on it: a
//! magic link is not followed, and where one is met the careful way is taken.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, ResolveFlag, openat};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::answer::Failed;
use super::base::own_link;
use super::files::{File, by_kernel, is_absolute};
use super::object::Object;
use super::proc::Target;
use crate::sys::file::{Look, getxattr, handle, look, statx};

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
    /// Behind a name of one component, which is no link, in the directory `dir` or from `/proc`. No
    /// root directory is on the way.
    Named { dir: Option<OwnedFd>, name: CString },
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
            }
            | At::Named { .. } => target.take_rights().map(drop),
            _ => Ok(()),
        }
    }

    /// What tells its inode from a later one with the same number ([`handle`]).
    #[must_use]
    pub fn handle(&self, target: Target) -> Option<u64> {
        match &self.at {
            At::Found(object) => object.handle(),
            At::Held { file, .. } => handle(file, c""),
            At::Named { dir, name } => handle(place(dir.as_ref(), target), name),
        }
    }

    /// The thread whose file in the `/proc` that the supervisor stands in it is.
    #[must_use]
    pub fn thread(&self, target: Target) -> Option<i32> {
        let path = match &self.at {
            At::Found(object) => object.name(),
            At::Held { file, .. } => target.base.name_of(file.as_fd()),
            At::Named { .. } => return None,
        };
        let path = path.ok()?;
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let number = |name: &[u8]| std::str::from_utf8(name).ok()?.parse().ok();
        let place = Look::from(&self.status).place;
        // Where `/proc` is in that path, the way from there tells.
        (0..names.len()).find_map(|at| {
            let process: i32 = number(names[at])?;
            let way = CString::new(names[at..].join(&b'/')).ok()?;
            let there = look(target.base.proc_dir(), &way, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
            if (there.place.dev, there.place.ino) != (place.dev, place.ino) {
                return None;
            }
            match names[at + 1..] {
                // What is in there is no process's (fs/proc/proc_net.c).
                [b"net", _, ..] | [b"task", _, b"net", _, ..] => None,
                [b"task", thread, ..] => number(thread),
                _ => Some(process),
            }
        })
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
            At::Named { dir, name } => {
                let dir = place(dir.as_ref(), target);
                statx(dir, name, named, mask | libc::STATX_INO)?
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

impl Glance<'_> {
    /// The first bytes of it, a regular file: how many. Nothing where it cannot be read, or was
    /// looked at by its name.
    ///
    /// # Errors
    /// [`Failed::Helper`].
    pub fn start(&self, target: Target, buffer: &mut [u8]) -> Result<usize, Failed> {
        target.may_ask(Some(&Look::from(&self.status)))?;
        let link = match &self.at {
            At::Found(object) => object.link(),
            At::Held { file, .. } => own_link(file.as_fd()),
            At::Named { .. } => return Ok(0),
        };
        // Nobody is waited for who has a lease of it.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(target.base.proc_dir(), &*link, flags, Mode::empty());
        let read = file.and_then(|file| nix::unistd::read(&file, buffer));
        Ok(read.unwrap_or(0))
    }

    /// An extended attribute of it. To be asked after [`start`](Glance::start).
    ///
    /// # Errors
    /// getxattr(2)'s.
    pub fn xattr(&self, name: &CStr) -> Result<Vec<u8>, Errno> {
        match &self.at {
            At::Found(object) => object.xattr(name),
            At::Held { file, .. } => getxattr(&own_link(file.as_fd()), name),
            At::Named { .. } => Err(Errno::ENODATA),
        }
    }

    /// Whether set-id bits do not count where it is.
    ///
    /// # Errors
    /// statvfs(2)'s.
    pub fn is_on_nosuid(&self) -> Result<bool, Errno> {
        let system = match &self.at {
            At::Found(object) => object.system()?,
            At::Held { file, .. } => fstatvfs(file)?,
            At::Named { .. } => return Ok(true),
        };
        Ok(system.flags().contains(FsFlags::ST_NOSUID))
    }
}

impl<'a> Target<'a> {
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
        let dir = match dir {
            _ if is_absolute(path) => Dir::Root,
            libc::AT_FDCWD => Dir::Working,
            // To have it tells which caller this is (`Callers::is_plain`).
            fd => Dir::Held(self.descriptor(fd, false)?),
        };
        if is_name(path) {
            let flags = sync | libc::AT_SYMLINK_NOFOLLOW;
            let (place, name) = match &dir {
                Dir::Held(dir) => (dir.as_fd(), path.to_owned()),
                _ => (self.base.proc_dir(), self.name_in_proc(path)?),
            };
            match statx(place, &name, flags, ALL) {
                // The caller comes to no other end.
                Err(Errno::ENOENT) => return Ok(None),
                Ok(status) => {
                    let found = Look::from(&status);
                    let is_link = found.mode & libc::S_IFMT == libc::S_IFLNK;
                    if !(self.base.is_own_proc(found.place) || is_link && follow) {
                        let at = At::Named {
                            dir: match dir {
                                Dir::Held(dir) => Some(dir),
                                _ => None,
                            },
                            name,
                        };
                        return Ok(Some(Glance { status, at }));
                    }
                }
                Err(_) => {}
            }
        }
        let start = self.start_from(match dir {
            Dir::Root => None,
            Dir::Working => Some(self.link("cwd")?),
            Dir::Held(dir) => Some(dir),
        })?;
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

    /// `name` in the caller's working directory, from `/proc`.
    fn name_in_proc(&self, name: &CStr) -> Result<CString, Errno> {
        let text = [self.entry("cwd/").to_bytes(), name.to_bytes()].concat();
        CString::new(text).map_err(|_| Errno::EINVAL)
    }
}

/// From where a name is looked up that is in `dir`, or starts from `/proc`.
fn place<'a>(dir: Option<&'a OwnedFd>, target: Target<'a>) -> BorrowedFd<'a> {
    dir.map_or(target.base.proc_dir(), AsFd::as_fd)
}

/// Where a caller's path starts.
enum Dir {
    Root,
    Working,
    Held(OwnedFd),
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

/// Whether `path` is the name of something in a directory, and nothing else.
fn is_name(path: &CStr) -> bool {
    let bytes = path.to_bytes();
    !bytes.contains(&b'/') && bytes != b"." && bytes != b".."
}

/// Whether `self` or `thread-self` may be on the way of `path`.
fn has_name_of_self(path: &CStr) -> bool {
    path.to_bytes().windows(4).any(|name| name == b"self")
}

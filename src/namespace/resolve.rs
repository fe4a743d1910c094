//! Resolving a path inside an untrusted directory as if that directory were `/`: symbolic links,
//! `..` and races never lead outside of it.
//!
//! What openat2(2) does with `RESOLVE_IN_ROOT`, on every kernel: component by component, each
//! opened with `O_PATH | O_NOFOLLOW` from the descriptor of the one before, and `..` by going back
//! to the descriptor that led here. FIFOs and devices are never opened for real.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// The kernel's own limit of symbolic links in one path (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// What a path leads to.
pub enum Resolved {
    /// Something that is there: an `O_PATH` descriptor, never of a symbolic link.
    Found(OwnedFd),
    /// Nothing, but its deepest existing directory is there.
    Missing {
        /// That directory.
        parent: OwnedFd,
        /// The components that are missing below it; never empty, and no `..` among them.
        rest: Vec<OsString>,
        /// Whether a symbolic link led here.
        through_link: bool,
    },
}

/// Resolves `path`, absolute or not, with `root` as both `/` and working directory.
///
/// # Errors
/// What the kernel says of a component, `ELOOP` for too many links or a magic link of a procfs
/// inside the tree (which would lead out), `ENOENT` for `..` behind something that is missing.
pub fn resolve(root: BorrowedFd, path: &Path) -> Result<Resolved, Errno> {
    let mut ahead: VecDeque<(OsString, bool)> = VecDeque::new();
    push_front(&mut ahead, path, false);
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some((name, from_link)) = ahead.pop_front() {
        if name == ".." {
            way.pop();
            continue;
        }
        let here = way.last().map_or(root, AsFd::as_fd);
        let next = match open_component(here, &name) {
            Ok(next) => next,
            Err(Errno::ENOENT) => {
                let through_link = from_link || ahead.iter().any(|(_, from_link)| *from_link);
                let rest: Vec<OsString> = std::iter::once(name)
                    .chain(ahead.into_iter().map(|(name, _)| name))
                    .collect();
                if rest.iter().any(|name| name == "..") {
                    return Err(Errno::ENOENT);
                }
                let parent = here.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
                return Ok(Resolved::Missing {
                    parent,
                    rest,
                    through_link,
                });
            }
            Err(errno) => return Err(errno),
        };
        if kind(&fstat(&next)?) != SFlag::S_IFLNK {
            way.push(next);
            continue;
        }
        links += 1;
        if links > MAX_LINKS || fstatfs(&next)?.filesystem_type() == PROC_SUPER_MAGIC {
            return Err(Errno::ELOOP);
        }
        let target = PathBuf::from(readlinkat(&next, "")?);
        if target.is_absolute() {
            way.clear();
        }
        push_front(&mut ahead, &target, true);
    }
    match way.pop() {
        Some(found) => Ok(Resolved::Found(found)),
        None => open_component(root, OsStr::new(".")).map(Resolved::Found),
    }
}

/// The type bits of a file.
#[must_use]
pub fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits())
}

fn open_component(dir: BorrowedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(
        dir,
        name,
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

fn push_front(ahead: &mut VecDeque<(OsString, bool)>, path: &Path, from_link: bool) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front((name.to_owned(), from_link)),
            Component::ParentDir => ahead.push_front(("..".into(), from_link)),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}

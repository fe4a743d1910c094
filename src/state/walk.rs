//! A way through all files below a directory that nobody vouches for.
//!
//! Names are looked up one at a time, from descriptors, and no link is followed. What is mounted
//! somewhere below is left out. A few descriptors are open at a time, however deep it goes, and
//! what is kept of a directory is its name and those of the directories in it that are still to
//! come.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::{Failure, shown};
use crate::sys::file::{Look, Place, look};

const FOUND: OFlag = OFlag::O_PATH
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// A file on the way: for a symbolic link, the link.
pub struct Entry<'a> {
    /// Opened with `O_PATH`.
    pub file: BorrowedFd<'a>,
    /// What it is.
    pub found: Look,
    /// Its name from the top on.
    pub path: &'a [u8],
}

/// A directory on the way down.
struct Above {
    place: Place,
    /// How much of the path is its name.
    name_ends: usize,
    /// The directories in it that are still to come.
    ahead: Vec<CString>,
}

/// Has `each` look at all files below `top`, but not at `top` itself, a directory before what is in
/// it. `unread` hears of each directory that cannot be read.
///
/// # Errors
/// Those of `each`; a [`Failure`] if a directory is moved meanwhile.
pub fn walk(
    top: BorrowedFd,
    mut each: impl FnMut(&Entry) -> Result<(), Failure>,
    mut unread: impl FnMut(&[u8], Errno),
) -> Result<(), Failure> {
    let mut path = Vec::new();
    let mut dir = match openat(top, c".", READ, Mode::empty()) {
        Ok(dir) => dir,
        Err(errno) => {
            unread(&path, errno);
            return Ok(());
        }
    };
    let place = look(&dir, c"", AtFlags::AT_EMPTY_PATH)
        .map_err(|errno| Failure::errno("cannot look at the root directory", errno))?
        .place;
    let mut above = vec![Above {
        place,
        name_ends: 0,
        ahead: read(&dir, place.mount, &mut path, &mut each, &mut unread)?,
    }];
    while let Some(here) = above.last_mut() {
        if let Some(name) = here.ahead.pop() {
            path.truncate(here.name_ends);
            add(&mut path, &name);
            match enter(&dir, &name, place.mount) {
                Ok(Some((next, place))) => {
                    dir = next;
                    above.push(Above {
                        place,
                        name_ends: path.len(),
                        ahead: read(&dir, place.mount, &mut path, &mut each, &mut unread)?,
                    });
                }
                // It is gone, or something else now.
                Ok(None) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => unread(&path, errno),
            }
            continue;
        }
        let left = above.pop();
        if let (Some(here), Some(left)) = (above.last(), left) {
            path.truncate(left.name_ends);
            match enter(&dir, c"..", place.mount) {
                Ok(Some((next, place))) if place == here.place => dir = next,
                Ok(_) => {
                    let message = format!("{} was moved meanwhile", shown_path(&path));
                    return Err(Failure::new(message).hint("leave the tree alone until zroot ends"));
                }
                Err(errno) => return Err(Failure::errno(shown_path(&path), errno)),
            }
        }
    }
    Ok(())
}

/// The directory `name` of `dir`, and which it is; `None` if it is mounted there.
fn enter(dir: &OwnedFd, name: &CStr, mount: u64) -> Result<Option<(OwnedFd, Place)>, Errno> {
    let next = openat(dir, name, READ, Mode::empty())?;
    let place = look(&next, c"", AtFlags::AT_EMPTY_PATH)?.place;
    Ok((place.mount == mount).then_some((next, place)))
}

/// Has `each` look at what is in `dir`, whose name is `path`; the directories among it.
fn read(
    dir: &OwnedFd,
    mount: u64,
    path: &mut Vec<u8>,
    each: &mut impl FnMut(&Entry) -> Result<(), Failure>,
    unread: &mut impl FnMut(&[u8], Errno),
) -> Result<Vec<CString>, Failure> {
    let (mut ahead, name_ends) = (Vec::new(), path.len());
    // It closes its own.
    let opened = openat(dir, c".", READ, Mode::empty()).and_then(Dir::from_fd);
    let mut names = match opened {
        Ok(names) => names,
        Err(errno) => {
            unread(path, errno);
            return Ok(ahead);
        }
    };
    for entry in names.iter() {
        path.truncate(name_ends);
        let entry = match entry {
            Ok(entry) => entry,
            Err(errno) => {
                unread(path, errno);
                break;
            }
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        add(path, name);
        let opened = openat(dir, name, FOUND, Mode::empty());
        let looked = opened.and_then(|file| {
            let found = look(&file, c"", AtFlags::AT_EMPTY_PATH)?;
            Ok((file, found))
        });
        let (file, found) = match looked {
            Ok((file, found)) if found.place.mount == mount => (file, found),
            // It is gone.
            Ok(_) | Err(Errno::ENOENT) => continue,
            Err(errno) => {
                unread(path, errno);
                continue;
            }
        };
        each(&Entry {
            file: file.as_fd(),
            found,
            path,
        })?;
        if found.mode & libc::S_IFMT == libc::S_IFDIR {
            ahead.push(name.to_owned());
        }
    }
    path.truncate(name_ends);
    Ok(ahead)
}

fn add(path: &mut Vec<u8>, name: &CStr) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
}

/// A name from the top on, for a message.
pub fn shown_path(path: &[u8]) -> String {
    use std::os::unix::ffi::OsStrExt;
    shown(std::ffi::OsStr::from_bytes(if path.is_empty() {
        b"."
    } else {
        path
    }))
}

//! Reaching a caller's files as the caller would: the one place where that is done.
//!
//! To reach a path the supervisor goes into the caller's root and working directory (the links
//! `/proc/TID/root` and `cwd` lead there, whatever the mount namespace), makes the call that was
//! asked for, and goes back to its [`Base`](super::base::Base) before it answers.

use std::ffi::{CStr, CString};
use std::fs;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::lstat;
use nix::unistd::{chdir, chroot};

use super::answer::Failed;
use super::proc::{Target, looked};
use super::request::Named;
use crate::sys::file::place;

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

impl Target<'_> {
    /// The file that the call names, and `AT_SYMLINK_NOFOLLOW` if a link at its end is not to be
    /// followed.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags; what reading the path brings; `ENOSYS` if the call names none.
    pub fn named_file(&self) -> Result<(File, AtFlags), Failed> {
        match self.request.named().ok_or(Errno::ENOSYS)? {
            Named::Open(fd) => Ok((File::Open(fd), AtFlags::empty())),
            Named::At { dir, path, flags } => {
                let flags = known_flags(flags)?;
                let path = self.path(path)?;
                if path.is_empty() && flags.contains(AtFlags::AT_EMPTY_PATH) {
                    Ok((File::Empty(dir), AtFlags::empty()))
                } else {
                    Ok((File::At(dir, path), flags & AtFlags::AT_SYMLINK_NOFOLLOW))
                }
            }
        }
    }

    /// Calls `act` with a path that leads the supervisor to the file which the caller means.
    ///
    /// # Errors
    /// What keeps the caller from the file, `EBADF` for one; what `act` says.
    pub fn reach<T>(
        &self,
        file: &File,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Failed> {
        let (dir, path) = match file {
            File::Open(fd) => return self.reach_open(*fd, act),
            File::Empty(fd) => return self.reach_empty(*fd, act),
            File::At(_, path) if path.is_empty() => return Err(Errno::ENOENT.into()),
            File::At(dir, path) => (*dir, path),
        };
        let is_relative = !path.to_bytes().starts_with(b"/");
        let root = self.entry("root");
        let is_elsewhere = !self.base.is_root(looked(place(&root))?);
        if is_elsewhere {
            chroot(root.as_c_str())?;
        }
        let result = (|| {
            if let Some(path) = self.own_path(path) {
                self.still_waits()?;
                return act(&path);
            }
            if is_relative && dir == libc::AT_FDCWD {
                chdir(self.entry("cwd").as_c_str())?;
            } else if is_relative {
                chdir(self.descriptor(dir)?.as_c_str()).map_err(not_open)?;
            }
            self.still_waits()?;
            act(path)
        })();
        // From any other place all later paths would lead elsewhere. A successor starts at the
        // right one.
        if is_elsewhere {
            self.base
                .return_to_root()
                .expect("back in the own root directory");
        }
        if is_elsewhere || is_relative {
            self.base.stand().expect("back in /proc");
        }
        Ok(result?)
    }

    fn reach_open<T>(
        &self,
        fd: i32,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Failed> {
        let path = self.descriptor(fd)?;
        // The link's permissions say what the descriptor is open for (fs/proc/fd.c,
        // tid_fd_update_inode): nothing with O_PATH.
        let link = looked(lstat(path.as_c_str()).map_err(not_open))?;
        if link.st_mode & libc::S_IRWXU == 0 {
            return Err(Errno::EBADF.into());
        }
        self.reach_link(&path, act)
    }

    fn reach_empty<T>(
        &self,
        fd: i32,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Failed> {
        let is_working_dir = fd == libc::AT_FDCWD;
        let path = if is_working_dir {
            self.entry("cwd")
        } else {
            self.descriptor(fd)?
        };
        self.reach_link(&path, act)
    }

    /// The same for a link of the caller's in `/proc`.
    fn reach_link<T>(
        &self,
        path: &CStr,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Failed> {
        self.still_waits()?;
        match act(path) {
            Err(Errno::EACCES) => {
                // Does the file refuse it, or does the kernel keep us from the caller's links?
                match looked(place(&self.entry("root"))) {
                    Err(Failed::Unreadable) => Err(Failed::Unreadable),
                    _ => Err(Errno::EACCES.into()),
                }
            }
            result => Ok(result.map_err(not_open)?),
        }
    }

    /// For a path by which a process names its own files, the same from `/proc`: `/proc/self` would
    /// be the supervisor.
    fn own_path(&self, path: &CStr) -> Option<CString> {
        let bytes = path.to_bytes().strip_prefix(b"/")?;
        let (link, entry, rest) = if let Some(rest) = behind(bytes, "proc") {
            let rest = behind(rest, "self").or_else(|| behind(rest, "thread-self"));
            ("/proc/self", "", rest.filter(|rest| !rest.is_empty())?)
        } else {
            let dev = behind(bytes, "dev")?;
            let streams = [("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
            let mut streams = streams.into_iter();
            let stream =
                || streams.find_map(|(name, entry)| Some(("/dev/fd", entry, behind(dev, name)?)));
            behind(dev, "fd")
                .filter(|rest| !rest.is_empty())
                .map(|rest| ("/dev/fd", "fd", rest))
                .or_else(stream)?
        };
        // In a root directory without /proc or /dev there is nothing at that path. And one that
        // leads back out is not the process's own.
        fs::symlink_metadata(link).ok()?;
        if leads_out(rest) {
            return None;
        }
        let rest = if entry.is_empty() { &rest[1..] } else { rest };
        let own = self.entry(entry);
        CString::new([own.as_bytes(), rest].concat()).ok()
    }

    fn descriptor(&self, fd: i32) -> Result<CString, Errno> {
        if fd < 0 {
            Err(Errno::EBADF)
        } else {
            Ok(self.entry(&format!("fd/{fd}")))
        }
    }
}

/// What follows the component `name` at the beginning of `path`: nothing, or a slash and more.
/// Slashes and single dots before it do not count.
fn behind<'a>(mut path: &'a [u8], name: &str) -> Option<&'a [u8]> {
    while let Some(rest) = path.strip_prefix(b"/").or_else(|| path.strip_prefix(b"./")) {
        path = rest;
    }
    path.strip_prefix(name.as_bytes())
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether a path from a process's directory in `/proc` leaves that by `..`, and not by a link to
/// another place.
fn leads_out(path: &[u8]) -> bool {
    let mut depth = 0;
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            b"cwd" | b"root" => return false,
            number if number.iter().all(u8::is_ascii_digit) => return false,
            _ => depth += 1,
        }
    }
    false
}

/// There is no `/proc/TID/fd/N` if N is not open.
fn not_open(errno: Errno) -> Errno {
    if errno == Errno::ENOENT {
        Errno::EBADF
    } else {
        errno
    }
}

//! A `/run` in memory, as a booted system has one: for root directories whose `/etc/resolv.conf` is
//! a link to a file there that systemd-resolved or resolvconf would make. Nothing is written into
//! the tree; what the command writes there is gone at its end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlink, readlinkat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{mkfifoat, symlinkat};

use super::mount::by_descriptor;
use super::resolve::{Resolved, kind, resolve};
use crate::file_limit::with_room;

/// How many entries of the tree's own `/run` are copied, how deep, and how large a file may be, in
/// bytes. A tree that was never booted has a few directories there.
const ENTRIES: usize = 1000;
const DEPTH: usize = 16;
const LARGEST: u64 = 64 << 10;

/// A file that is wanted below `/run`.
pub struct RunFile {
    /// `/run` or `/var/run`: the directory in the tree.
    run: PathBuf,
    /// Where below that the file is.
    below: PathBuf,
    contents: Vec<u8>,
}

impl RunFile {
    /// Where the symbolic link at `path` in `root` leads to, if that is a file below `/run` that is
    /// missing.
    #[must_use]
    pub fn behind_link(root: BorrowedFd, path: &Path, contents: &[u8]) -> Option<RunFile> {
        let missing = resolve(root, path).ok()?;
        let Resolved::Missing {
            parent,
            rest,
            through_link: true,
        } = missing
        else {
            return None;
        };
        let name = |fd: BorrowedFd| readlink(&by_descriptor(fd)).map(PathBuf::from).ok();
        let parent = name(parent.as_fd())?;
        let existing = parent.strip_prefix(name(root)?).ok()?;
        let run = ["run", "var/run"].map(Path::new);
        let run = run.into_iter().find(|run| existing.starts_with(run))?;
        let below = existing.strip_prefix(run).ok()?;
        Some(RunFile {
            run: Path::new("/").join(run),
            below: rest
                .iter()
                .fold(below.to_owned(), |path, name| path.join(name)),
            contents: contents.to_owned(),
        })
    }

    /// Mounts a tmpfs on `/run` in `root`, the root of a mount, with what the tree has there and
    /// the file.
    ///
    /// # Errors
    /// mount(2)'s, or those of the calls that make a file.
    pub fn serve(&self, root: BorrowedFd) -> Result<(), Errno> {
        let at = || match resolve(root, &self.run)? {
            Resolved::Found(found) => Ok(found),
            Resolved::Missing { .. } => Err(Errno::ENOENT),
        };
        let tree = at()?;
        mount(
            Some("tmpfs"),
            &by_descriptor(tree.as_fd()),
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            Some("mode=755"),
        )?;
        let memory = at()?;
        copy(&tree, &memory, &mut ENTRIES.clone(), DEPTH)?;
        let mut here = memory;
        let mut parts = self.below.components().peekable();
        while let Some(Component::Normal(name)) = parts.next() {
            if parts.peek().is_some() {
                here = dir(here.as_fd(), name, Mode::from_bits_truncate(0o755))?;
            } else {
                write(
                    here.as_fd(),
                    name,
                    &self.contents,
                    Mode::from_bits_truncate(0o644),
                )?;
            }
        }
        Ok(())
    }
}

/// The directory `name` in `parent`, which may be there already.
fn dir(parent: BorrowedFd, name: &OsStr, mode: Mode) -> Result<OwnedFd, Errno> {
    match mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = openat(parent, name, flags, Mode::empty())?;
    fchmod(&dir, mode)?; // whatever the umask is
    Ok(dir)
}

fn write(parent: BorrowedFd, name: &OsStr, contents: &[u8], mode: Mode) -> Result<(), Errno> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(parent, name, flags, mode)?);
    fchmod(&file, mode)?;
    let written = with_room(contents.len(), || file.write_all(contents))?;
    written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}

/// Copies what is in `from` to `to`, as far as that can be done, at most `left` entries.
fn copy(from: &OwnedFd, to: &OwnedFd, left: &mut usize, depth: usize) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    // The tree's may not be readable.
    let Ok(mut entries) = Dir::openat(from, ".", flags, Mode::empty()) else {
        return Ok(());
    };
    for entry in entries.iter().flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if *left == 0 || depth == 0 {
            break;
        }
        *left -= 1;
        match copy_entry(from, to, name, left, depth) {
            // Of the one entry.
            Ok(()) | Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ELOOP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_entry(
    from: &OwnedFd,
    to: &OwnedFd,
    name: &OsStr,
    left: &mut usize,
    depth: usize,
) -> Result<(), Errno> {
    let status = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_bits_truncate(status.st_mode & 0o7777);
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    match kind(&status) {
        SFlag::S_IFDIR => {
            let theirs = openat(from, name, flags | OFlag::O_PATH, Mode::empty())?;
            let ours = dir(to.as_fd(), name, mode | Mode::S_IRWXU)?;
            copy(&theirs, &ours, left, depth - 1)
        }
        SFlag::S_IFLNK => symlinkat(&*readlinkat(from, name)?, to, name),
        SFlag::S_IFIFO => {
            mkfifoat(to, name, mode)?;
            fchmodat(to, name, mode, FchmodatFlags::FollowSymlink) // whatever the umask is
        }
        SFlag::S_IFREG => {
            let file = openat(from, name, flags | OFlag::O_RDONLY, Mode::empty())?;
            if kind(&fstat(&file)?) != SFlag::S_IFREG {
                return Ok(());
            }
            let mut contents = Vec::new();
            let read = File::from(file).take(LARGEST).read_to_end(&mut contents);
            read.map_err(|_| Errno::ENOENT)?;
            write(to.as_fd(), name, &contents, mode)
        }
        _ => Ok(()), // a socket, or a device, which nobody serves here
    }
}

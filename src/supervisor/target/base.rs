//! Where the supervisor stands between calls: in `/proc`, in the command's root directory, so that
//! it keeps no file system busy.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir};

use crate::sys::file::{Place, place};

/// `/proc` and `/`.
pub struct Base {
    proc_dir: OwnedFd,
    root: OwnedFd,
    root_place: Place,
}

impl Base {
    /// Opens both, and looks whether `/proc` knows this process.
    ///
    /// # Errors
    /// What is wrong with `/proc`: open(2)'s, or `ESRCH` if it is that of another PID namespace.
    pub fn open() -> Result<Base, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc_dir = open("/proc", flags, Mode::empty())?;
        let root = open("/", flags, Mode::empty())?;
        let own = std::process::id().to_string();
        let known = readlinkat(&proc_dir, "self").map_err(|_| Errno::ENOENT)?;
        if known.as_bytes() != own.as_bytes() {
            return Err(Errno::ESRCH);
        }
        Ok(Base {
            proc_dir,
            root,
            root_place: place(c"/")?,
        })
    }

    /// The descriptors that must stay open.
    #[must_use]
    pub fn descriptors(&self) -> [i32; 2] {
        [self.proc_dir.as_raw_fd(), self.root.as_raw_fd()]
    }

    /// Whether a root directory at `place` is this one.
    #[must_use]
    pub fn is_root(&self, place: Place) -> bool {
        place == self.root_place
    }

    /// The whole of `path`, as the present root directory has it.
    ///
    /// # Errors
    /// open(2)'s, readlink(2)'s.
    pub fn name_of(&self, path: &CStr, follow: bool) -> Result<Vec<u8>, Errno> {
        let nofollow = if follow {
            OFlag::empty()
        } else {
            OFlag::O_NOFOLLOW
        };
        let file = open(
            path,
            OFlag::O_PATH | OFlag::O_CLOEXEC | nofollow,
            Mode::empty(),
        )?;
        let link = format!("self/fd/{}", file.as_raw_fd());
        readlinkat(&self.proc_dir, link.as_str()).map(OsString::into_encoded_bytes)
    }

    /// Goes to `/proc`.
    ///
    /// # Errors
    /// fchdir(2)'s.
    pub fn stand(&self) -> Result<(), Errno> {
        fchdir(&self.proc_dir)
    }

    /// Takes `/` for the root directory again, from whichever there was. The working directory is
    /// `/`, too, then.
    ///
    /// # Errors
    /// fchdir(2)'s, chroot(2)'s.
    pub fn return_to_root(&self) -> Result<(), Errno> {
        fchdir(&self.root).and_then(|()| chroot("."))
    }
}

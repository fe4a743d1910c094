//! Where the supervisor stands: in `/proc`, in the command's root directory, so that it keeps no
//! file system busy. And who it is, which callers are compared with.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use caps::Capability;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::{fchdir, geteuid};

use crate::sys::file::{Place, look, namespace};
use crate::sys::process::{Capabilities, capabilities};

/// `/proc` and `/`, and what the supervisor may do there.
pub struct Base {
    proc_dir: OwnedFd,
    proc_place: Place,
    root: OwnedFd,
    root_place: Place,
    /// The supervisor's own user, as its user namespace numbers users.
    pub uid: u32,
    /// The supervisor's own capabilities.
    pub capabilities: Capabilities,
    /// The supervisor's own user namespace.
    pub user_namespace: u64,
    /// The label that a security module (AppArmor, SELinux) gave the supervisor; `None` where there
    /// is no such module.
    pub label: Option<Vec<u8>>,
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
        let place = |dir: &OwnedFd| Ok::<_, Errno>(look(dir, c"", AtFlags::AT_EMPTY_PATH)?.place);
        Ok(Base {
            proc_place: place(&proc_dir)?,
            root_place: place(&root)?,
            user_namespace: match namespace(&proc_dir, c"self/ns/user") {
                Err(Errno::ENOENT) => 0, // a kernel may have none
                namespace => namespace?,
            },
            uid: geteuid().as_raw(),
            capabilities: capabilities(0)?,
            label: std::fs::read("/proc/self/attr/current").ok(),
            proc_dir,
            root,
        })
    }

    /// The descriptors that must stay open.
    #[must_use]
    pub fn descriptors(&self) -> [i32; 2] {
        [self.proc_dir.as_raw_fd(), self.root.as_raw_fd()]
    }

    /// `/proc`.
    #[must_use]
    pub fn proc_dir(&self) -> BorrowedFd<'_> {
        self.proc_dir.as_fd()
    }

    /// `/`.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether a root directory at `place` is this one.
    #[must_use]
    pub fn is_root(&self, place: Place) -> bool {
        place == self.root_place
    }

    /// Where `/` is.
    #[must_use]
    pub fn root_place(&self) -> Place {
        self.root_place
    }

    /// Whether `place` is on the procfs that the supervisor stands in.
    #[must_use]
    pub fn is_own_proc(&self, place: Place) -> bool {
        place.dev == self.proc_place.dev
    }

    /// The path of what is open at `file`, as the supervisor's root directory has it.
    ///
    /// # Errors
    /// readlink(2)'s.
    pub fn name_of(&self, file: BorrowedFd) -> Result<Vec<u8>, Errno> {
        readlinkat(&self.proc_dir, own_link(file).as_c_str()).map(OsString::into_encoded_bytes)
    }

    /// Whether the kernel would let this process make devices.
    #[must_use]
    pub fn may_make_devices(&self) -> bool {
        self.has_for_all(Capability::CAP_MKNOD)
    }

    /// Whether this process has `capability` in its user namespace.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.capabilities.effective & 1 << capability as u8 != 0
    }

    /// Whether this process has `capability` where it counts for the whole machine: real root has
    /// it, in the first user namespace.
    #[must_use]
    pub fn has_for_all(&self, capability: Capability) -> bool {
        /// `PROC_USER_INIT_INO`, include/uapi/linux/nsfs.h.
        const FIRST: u64 = 0xEFFF_FFFD;
        self.user_namespace == FIRST && self.has(capability)
    }

    /// How many open files nobody may ask for more than, not even root.
    #[must_use]
    pub fn most_files(&self) -> Option<u64> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.proc_dir, "sys/fs/nr_open", flags, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// Goes to `/proc`.
    ///
    /// # Errors
    /// fchdir(2)'s.
    pub fn stand(&self) -> Result<(), Errno> {
        fchdir(&self.proc_dir)
    }
}

/// The magic link to `file` in the supervisor's own directory, from `/proc`.
#[must_use]
pub fn own_link(file: BorrowedFd) -> CString {
    CString::new(format!("self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

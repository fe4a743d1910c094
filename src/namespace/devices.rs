//! A `/dev` of a root directory's own (`--dev=private`), in which nodes can be removed, and others
//! made in their place.
//!
//! A user may mount the host's nodes, but what is mounted on cannot be removed. So the host's whole
//! `/dev` is mounted at one place that `*` does not match, and the nodes are links into it. Not one
//! by one, because the kernel looks for `pts` beside `ptmx` (fs/devpts/inode.c,
//! `devpts_ptmx_path`). `pts` is mounted once more under its own name, by which programs know their
//! terminals: the host's, and no new one, in which the caller's terminal would have no name.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fchmod, fstatat, mkdirat};
use nix::unistd::symlinkat;

use super::mount::bind;

/// Where the host's are.
const HOSTS: &str = ".host";

/// Those that everybody may use.
const NAMES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "ptmx"];

/// Links that every system has.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// What of the host's users can write to: it would not be as private as it looks.
const SHARED: [&str; 2] = ["shm", "mqueue"];

const DIRECTORY: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// The host's `/dev`, as this mount namespace has it.
///
/// # Errors
/// open(2)'s.
pub fn of_host() -> Result<OwnedFd, Errno> {
    open("/dev", OFlag::O_PATH | DIRECTORY, Mode::empty())
}

/// Puts into `dev`, an empty directory in memory, what belongs there, with the devices of `host`.
///
/// # Errors
/// mount(2)'s, or those of the calls that make a file.
pub fn put(dev: BorrowedFd, host: BorrowedFd) -> Result<(), Errno> {
    bind(host, make_dir(dev, HOSTS, 0o755)?.as_fd())?;
    let shm = make_dir(dev, "shm", 0o1777)?;
    let hosts = |name: &str| {
        let path = format!("{HOSTS}/{name}");
        match openat(dev, &*path, OFlag::O_PATH | DIRECTORY, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None), // none of its own
            found => found.map(Some),
        }
    };
    if let Some(pts) = hosts("pts")? {
        bind(pts.as_fd(), make_dir(dev, "pts", 0o755)?.as_fd())?;
    }
    for name in SHARED {
        if let Some(shared) = hosts(name)? {
            bind(shm.as_fd(), shared.as_fd())?;
        }
    }
    for name in NAMES {
        if fstatat(host, name, AtFlags::empty()).is_ok() {
            symlinkat(&*format!("{HOSTS}/{name}"), dev, name)?;
        }
    }
    for (name, target) in LINKS {
        symlinkat(target, dev, name)?;
    }
    Ok(())
}

/// Makes a directory, whatever the umask is.
fn make_dir(parent: BorrowedFd, name: &str, mode: libc::mode_t) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_bits_truncate(mode);
    mkdirat(parent, name, mode)?;
    let dir = openat(parent, name, OFlag::O_RDONLY | DIRECTORY, Mode::empty())?;
    fchmod(&dir, mode)?;
    Ok(dir)
}

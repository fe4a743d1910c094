//! apt drops to the user `_apt` and verifies that it did, which no filter can satisfy. Its sandbox
//! is switched off by configuration that the command inherits: `APT_CONFIG` names a file in memory.
//! No file in the image, no rewriting of command lines.
//!
//! The name is `/proc/PID/fd/N`, with PID the command's own, and not `/proc/self/fd/N`: whoever
//! runs apt may have closed the descriptor (Python's subprocess does, and apt itself before
//! maintainer scripts), but the command that zroot became still holds it.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl, readlink};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use crate::error::cause;
use crate::namespace::scratch;

/// The variable that apt reads its extra configuration file's name from.
pub const VARIABLE: &str = "APT_CONFIG";

/// By the first line a nested zroot knows that the file is an enclosing zroot's.
const SETTINGS: &str =
    "// zroot: one id only, so apt cannot drop to another\nAPT::Sandbox::User \"root\";\n";

/// The descriptor's lowest number. Scripts choose 0 to 9, dash and bash take theirs from 10. From
/// 64 every process's descriptor table would have to grow (include/linux/fdtable.h,
/// `NR_OPEN_DEFAULT`). bash counts down from there for `<(...)`, but skips what is taken.
const LOWEST_FD: i32 = 50;

/// The configuration could not be made.
#[derive(Debug)]
pub struct ConfigError(io::Error);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot hold apt's configuration in memory: {}",
            cause(&self.0)
        )
    }
}

impl std::error::Error for ConfigError {}

impl<E: Into<io::Error>> From<E> for ConfigError {
    fn from(error: E) -> ConfigError {
        ConfigError(error.into())
    }
}

/// Makes the configuration and returns the value for [`VARIABLE`], or `None` where there is no
/// `/proc` to name it by. `inherited` is the variable's present value: that file's contents come
/// last, so that the user's own settings win. If that file cannot be read, it counts as empty: apt
/// only warns of that.
///
/// # Errors
/// memfd_create(2)'s, fcntl(2)'s or write(2)'s.
#[inline]
pub fn config_in_memory(inherited: Option<&CStr>) -> Result<Option<CString>, ConfigError> {
    // The process's number in this /proc, which may belong to another pid namespace: getpid(2)
    // would be wrong there.
    let pid = match readlink(c"/proc/self") {
        Ok(pid) => pid,
        Err(Errno::ENOENT | Errno::EINVAL | Errno::ENOTDIR | Errno::EACCES) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let memfd = memfd_create(c"apt.conf", MFdFlags::empty())?;
    let fd = fcntl(&memfd, FcntlArg::F_DUPFD(LOWEST_FD)).or_else(|errno| match errno {
        Errno::EINVAL => fcntl(&memfd, FcntlArg::F_DUPFD(0)), // RLIMIT_NOFILE is lower than that
        _ => Err(errno),
    })?;
    // Nobody can have made it smaller, so that a short write means no memory.
    let contents = contents(inherited);
    if nix::unistd::write(memfd, &contents)? < contents.len() {
        return Err(Errno::ENOSPC.into());
    }
    let path = [b"/proc/", pid.as_bytes(), format!("/fd/{fd}").as_bytes()].concat();
    let path = CString::new(path)?;
    // A copy of a /proc has a "self", too. (Looking for the file itself would be dear: the kernel
    // would make an inode for each part of its path.)
    Ok(statfs(c"/proc")
        .is_ok_and(|proc| proc.filesystem_type() == PROC_SUPER_MAGIC)
        .then_some(path))
}

/// The fallback of [`config_in_memory`], for apparent root in a chroot without `/proc`: a file on a
/// private tmpfs over the empty `/proc`, or over `/sys` if that has contents. These two because
/// nothing that is written there is meant to stay. Returns `None` if `inherited` names such a file
/// already, a parent zroot's.
///
/// # Errors
/// [`scratch::file`]'s.
#[inline(never)]
pub fn config_in_scratch(inherited: Option<&CStr>) -> io::Result<Option<CString>> {
    let contents = contents(inherited);
    if inherited.is_some_and(|path| read(path).is_some_and(|old| *old == *contents)) {
        return Ok(None);
    }
    let path = scratch::file(
        &[Path::new("/proc"), Path::new("/sys")],
        "apt.conf",
        &contents,
    )?;
    Ok(Some(CString::new(path.into_os_string().into_vec())?))
}

#[inline]
fn contents(inherited: Option<&CStr>) -> Cow<'static, [u8]> {
    match inherited.and_then(read) {
        None => SETTINGS.as_bytes().into(),
        Some(own) if own.starts_with(SETTINGS.as_bytes()) => own.into(),
        Some(own) => [SETTINGS.as_bytes(), &own].concat().into(),
    }
}

/// The contents of a regular file; a FIFO would make us wait.
#[inline(never)]
fn read(path: &CStr) -> Option<Vec<u8>> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    path.metadata().ok().filter(fs::Metadata::is_file)?;
    fs::read(path).ok()
}

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
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl, readlink};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};

use crate::error::{cause, shown};
use crate::file_limit::with_room;
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

/// The largest file of the user's own that is taken over, in bytes. apt's own manual, with all that
/// can be configured, is a tenth of that.
const LARGEST: u64 = 1 << 20;

/// The configuration could not be made.
#[derive(Debug)]
pub enum ConfigError {
    /// The kernel says so.
    Io(io::Error),
    /// The hard limit on the size of files is below that of this one.
    FileSize,
    /// The file that [`VARIABLE`] names is too large. Its name, for a message.
    TooLarge(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            ConfigError::TooLarge(name) => {
                return write!(f, "{VARIABLE} names {name}, which is larger than 1 MiB");
            }
            ConfigError::Io(error) => &cause(error),
            ConfigError::FileSize => "the limit on the size of files is too low",
        };
        write!(f, "cannot hold apt's configuration in memory: {why}")
    }
}

impl std::error::Error for ConfigError {}

impl<E: Into<io::Error>> From<E> for ConfigError {
    fn from(error: E) -> ConfigError {
        ConfigError::Io(error.into())
    }
}

/// Whether this system has apt.
#[must_use]
pub fn is_there() -> bool {
    access(c"/etc/apt", AccessFlags::F_OK).is_ok()
}

/// Where dpkg keeps what is installed, which apt locks.
const INSTALLED: &CStr = c"/var/lib/dpkg";

/// Whether `command` is one of apt's that changes the packages of this system, which are somebody
/// else's. Where other options say what is meant, it may be another system.
#[must_use]
#[inline]
pub fn asks_for_root(command: &[Cow<CStr>]) -> bool {
    let Some((name, args)) = command.split_first() else {
        return false;
    };
    let name = name.to_bytes();
    if !matches!(name.first(), Some(b'a' | b'.' | b'/')) {
        return false; // nearly every command
    }
    let is_one = [&b"apt"[..], b"apt-get", b"aptitude"].iter().any(|apt| {
        let dir = name.strip_suffix(*apt);
        dir.is_some_and(|dir| dir.is_empty() || dir.ends_with(b"/"))
    });
    is_one && changes_packages(args)
}

#[inline(never)]
fn changes_packages(args: &[Cow<CStr>]) -> bool {
    const VERBS: [&[u8]; 14] = [
        b"autopurge",
        b"autoremove",
        b"build-dep",
        b"dist-upgrade",
        b"full-upgrade",
        b"install",
        b"purge",
        b"reinstall",
        b"remove",
        b"safe-upgrade",
        b"satisfy",
        b"update",
        b"upgrade",
        b"dselect-upgrade",
    ];
    let is_elsewhere = |arg: &[u8]| {
        [
            &b"-o"[..],
            b"-c",
            b"-s",
            b"--option",
            b"--config-file",
            b"--simulate",
            b"--dry-run",
            b"--no-act",
            b"--just-print",
            b"--print-uris",
        ]
        .iter()
        .any(|option| arg.starts_with(option))
    };
    let mut args = args.iter().map(|arg| arg.to_bytes());
    args.clone().any(|arg| VERBS.contains(&arg))
        && !args.any(is_elsewhere)
        && matches!(
            access(INSTALLED, AccessFlags::W_OK),
            Err(Errno::EACCES | Errno::EROFS)
        )
}

/// Makes the configuration and returns the value for [`VARIABLE`], or `None` where there is no
/// `/proc` to name it by. `inherited` is the variable's present value: that file's contents come
/// last, so that the user's own settings win. If that file cannot be read, it counts as empty: apt
/// only warns of that.
///
/// # Errors
/// memfd_create(2)'s, fcntl(2)'s or write(2)'s; what is too large for a limit.
#[inline]
pub fn config_in_memory(inherited: Option<&CStr>) -> Result<Option<CString>, ConfigError> {
    let contents = contents(inherited)?;
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
    let write = || nix::unistd::write(memfd, &contents);
    let written = with_room(contents.len(), write).map_err(too_large)??;
    if written < contents.len() {
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
/// [`scratch::file`]'s; what is too large for a limit.
#[inline(never)]
pub fn config_in_scratch(inherited: Option<&CStr>) -> Result<Option<CString>, ConfigError> {
    let contents = contents(inherited)?;
    if let Some(path) = inherited {
        if read(path)?.is_some_and(|old| *old == *contents) {
            return Ok(None);
        }
    }
    let dirs = [Path::new("/proc"), Path::new("/sys")];
    let write = || scratch::file(&dirs, "apt.conf", &contents);
    let path = with_room(contents.len(), write).map_err(too_large)??;
    Ok(Some(CString::new(path.into_os_string().into_vec())?))
}

#[inline]
fn contents(inherited: Option<&CStr>) -> Result<Cow<'static, [u8]>, ConfigError> {
    let own = match inherited {
        None => None,
        Some(path) => read(path)?,
    };
    Ok(match own {
        None => SETTINGS.as_bytes().into(),
        Some(own) if own.starts_with(SETTINGS.as_bytes()) => own.into(),
        Some(own) => [SETTINGS.as_bytes(), &own].concat().into(),
    })
}

/// The contents of a regular file; a FIFO would make us wait. `None` if it cannot be read.
///
/// # Errors
/// [`ConfigError::TooLarge`].
#[inline(never)]
fn read(path: &CStr) -> Result<Option<Vec<u8>>, ConfigError> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    if !path.metadata().is_ok_and(|about| about.is_file()) {
        return Ok(None);
    }
    let mut contents = Vec::new();
    // What is said of its size may be wrong: in /proc it is 0.
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut contents));
    match read {
        Err(_) => Ok(None),
        Ok(len) if len as u64 > LARGEST => Err(ConfigError::TooLarge(shown(path))),
        Ok(_) => Ok(Some(contents)),
    }
}

fn too_large(errno: Errno) -> ConfigError {
    match errno {
        Errno::EFBIG => ConfigError::FileSize,
        errno => errno.into(),
    }
}

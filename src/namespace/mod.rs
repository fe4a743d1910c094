//! Becoming apparent root: a user namespace in which the caller's own uid and gid are 0.

pub mod devices;
pub mod lent;
pub mod mount;
pub mod pid;
pub mod resolve;
pub mod root;
pub mod run;
pub mod scratch;

use std::ffi::CStr;
use std::fmt;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, getegid, geteuid};

/// The steps of entering a user namespace, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// `unshare(CLONE_NEWUSER)`.
    Unshare,
    /// Writing `deny` to `/proc/self/setgroups`, without which no user may write `gid_map`
    /// (kernel/user_namespace.c, `new_idmap_permitted`).
    Setgroups,
    /// Writing `/proc/self/uid_map`.
    UidMap,
    /// Writing `/proc/self/gid_map`.
    GidMap,
}

/// A user namespace could not be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The step that failed.
    pub stage: Stage,
    /// Its error.
    pub errno: Errno,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Unshare => "cannot make a user namespace",
            Stage::Setgroups => "cannot deny setgroups in the user namespace",
            Stage::UidMap => "cannot map user ids",
            Stage::GidMap => "cannot map group ids",
        })?;
        write!(f, ": {}", self.errno.desc())
    }
}

impl std::error::Error for Refused {}

/// How the process came to be apparent root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entered {
    /// A new user namespace maps these ids to 0.
    Namespace(Uid, Gid),
    /// The process was uid 0 before and the kernel refuses it a namespace: in a chroot(2), under a
    /// container's filter, or without the capability that it takes.
    AlreadyRoot(Errno),
}

/// Makes the process root of a new user namespace. Needs a single thread and `/proc`.
///
/// # Errors
/// [`Refused`]. If the stage is [`Stage::Unshare`], nothing has changed; later stages leave a
/// process without mapped ids, good for nothing but saying so.
#[inline]
pub fn become_root() -> Result<Entered, Refused> {
    let (uid, gid) = (geteuid(), getegid());
    // Since 5.12 only who had CAP_SETFCAP before the unshare can map the outer uid 0
    // (kernel/user_namespace.c, verify_root_map). After it, it would be too late to turn back. A
    // container that drops all capabilities is like that.
    if uid.is_root()
        && !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETFCAP).unwrap_or(true)
    {
        return Ok(Entered::AlreadyRoot(Errno::EPERM));
    }
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
        return if uid.is_root() {
            Ok(Entered::AlreadyRoot(errno))
        } else {
            Err(Refused {
                stage: Stage::Unshare,
                errno,
            })
        };
    }
    write(Stage::Setgroups, c"/proc/self/setgroups", "deny")?;
    write(Stage::UidMap, c"/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write(Stage::GidMap, c"/proc/self/gid_map", &format!("0 {gid} 1"))?;
    Ok(Entered::Namespace(uid, gid))
}

#[inline]
fn write(stage: Stage, path: &CStr, text: &str) -> Result<(), Refused> {
    let attempt = || {
        // No O_CLOEXEC, which costs musl a call more: there is one thread, and the file is closed
        // here.
        let file = open(path, OFlag::O_WRONLY, Mode::empty())?;
        nix::unistd::write(file, text.as_bytes()) // whole or not at all (kernel/user_namespace.c)
    };
    let result = match attempt() {
        // If the user may not read the executable (mode 0711), the process is not dumpable, and
        // its files in /proc/self belong to root (fs/exec.c, would_dump). execve sets that anew.
        Err(Errno::EACCES) => set_dumpable(true).and_then(|()| attempt()),
        result => result,
    };
    result.map(drop).map_err(|errno| Refused { stage, errno })
}

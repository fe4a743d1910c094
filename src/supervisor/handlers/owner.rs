//! chown and its kin: performed as far as the kernel lets us, so that real errors and side effects
//! (set-uid bits that fall) are real.

use std::ffi::CStr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{Gid, Uid, fchownat};

use crate::arch::Sysno;
use crate::supervisor::target::{File, Target};
use crate::supervisor::{IdMaps, with_flags};

/// Answers a call of class `owner`.
///
/// # Errors
/// The kernel's, but for a refusal.
pub fn answer(target: &Target, maps: &IdMaps) -> Result<i64, Errno> {
    let call = target.call;
    let by_path = |flags| {
        let path = target.path(call.pointer(0))?;
        chown(
            target,
            File::At(AT_FDCWD.as_raw_fd(), &path),
            flags,
            maps,
            (call.owner(1), call.owner(2)),
        )
    };
    match call.sysno {
        Sysno::fchown | Sysno::fchown32 => chown(
            target,
            File::Open(call.int(0)),
            AtFlags::empty(),
            maps,
            (call.owner(1), call.owner(2)),
        ),
        Sysno::chown | Sysno::chown32 => by_path(AtFlags::empty()),
        Sysno::lchown | Sysno::lchown32 => by_path(AtFlags::AT_SYMLINK_NOFOLLOW),
        _ => with_flags(
            target,
            call.int(0),
            call.pointer(1),
            call.int(4),
            |file, flags| chown(target, file, flags, maps, (call.owner(2), call.owner(3))),
        ),
    }
}

fn chown(
    target: &Target,
    file: File,
    flags: AtFlags,
    maps: &IdMaps,
    (uid, gid): (u32, u32),
) -> Result<i64, Errno> {
    const SAME: u32 = u32::MAX;
    let change = |path: &CStr, uid: u32, gid: u32| {
        let uid = (uid != SAME).then_some(Uid::from_raw(uid));
        let gid = (gid != SAME).then_some(Gid::from_raw(gid));
        fchownat(AT_FDCWD, path, uid, gid, flags)
    };
    // What stands for an id that is not mapped here: our own, to which everything of ours belongs.
    let own = (
        if uid == SAME { SAME } else { maps.own.0 },
        if gid == SAME { SAME } else { maps.own.1 },
    );
    let possible = (
        if maps.has_uid(uid) { uid } else { own.0 },
        if maps.has_gid(gid) { gid } else { own.1 },
    );
    let result = target.reach(file, |path| match change(path, possible.0, possible.1) {
        Err(Errno::EPERM) if own != possible => {
            target.is_pretended.set(true);
            change(path, own.0, own.1)
        }
        result => result,
    });
    if possible != (uid, gid) {
        target.is_pretended.set(true);
    }
    target.or_pretend(result)
}

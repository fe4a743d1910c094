//! Mounting by descriptor, and what is done to whole mount namespaces.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlink};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

use crate::sys;

/// `/proc/self/fd/N`: the way to hand a descriptor to a call that takes a path.
#[must_use]
pub fn by_descriptor(fd: BorrowedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Sets `propagation` for all mounts of this process's new mount namespace.
///
/// Where mounts are shared, and the new namespace belongs to the same user namespace, they are
/// still shared with the one it was copied from (fs/namespace.c, `copy_mnt_ns`): what is mounted
/// here would appear there.
///
/// The kernel sets propagation from a mount's root only (`do_change_type`). In a chroot the root
/// directory is not one. But ".." leads out of a chroot for a process whose root directory is below
/// its working directory. `below` is any directory, to make that true. Nothing out there is
/// touched, and the root and working directory are as before when this returns.
///
/// # Errors
/// mount(2)'s, open(2)'s or chroot(2)'s.
pub fn set_propagation(propagation: MsFlags, below: &Path) -> Result<(), Errno> {
    const DEEPEST: usize = libc::PATH_MAX as usize / "../".len();
    let set = |root: &str| {
        mount(
            None::<&str>,
            root,
            None::<&str>,
            MsFlags::MS_REC | propagation,
            None::<&str>,
        )
    };
    match set("/") {
        Err(Errno::EINVAL) => {}
        done => return done,
    }
    let here = |dir| {
        open(
            dir,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    };
    let (root, working) = (here("/")?, here(".")?);
    chdir("/")?;
    chroot(below)?;
    // The namespace's own root is its own parent, so more than enough does no harm.
    let done = chdir("../".repeat(DEEPEST).as_str()).and_then(|()| set("."));
    // Both were opened as directories of this process, so they can be entered again.
    fchdir(root)
        .and_then(|()| chroot("."))
        .and_then(|()| fchdir(working))
        .and(done)
}

/// Mounts `source`, and all that is mounted below it, on `place`.
///
/// With what is below, because that is locked to the source in a user's mount namespace
/// (fs/namespace.c, `has_locked_children`).
///
/// # Errors
/// mount(2)'s.
pub fn bind(source: BorrowedFd, place: BorrowedFd) -> Result<(), Errno> {
    mount(
        Some(&by_descriptor(source)),
        &by_descriptor(place),
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
}

/// Makes the mount with the root `place`, and all that is mounted below it, read-only.
///
/// # Errors
/// mount_setattr(2)'s or mount(2)'s; `ENOSYS` before 5.12 if something is mounted below.
pub fn make_read_only(place: &OwnedFd) -> Result<(), Errno> {
    match sys::mount::make_read_only(place.as_fd()) {
        Err(Errno::ENOSYS) => remount_read_only(place),
        done => done,
    }
}

/// Before 5.12: one mount only. Others below it would stay writable, against what was asked for,
/// so there must be none.
fn remount_read_only(place: &OwnedFd) -> Result<(), Errno> {
    // The flags that are locked to the mount must stay (fs/namespace.c, can_change_locked_flags).
    // MS_RELATIME is not among them: it is what a mount has unless told otherwise, and keeps if
    // told nothing (path_mount).
    let present = fstatvfs(place)?.flags();
    let locked = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
    ];
    let locked = locked
        .iter()
        .filter(|(flag, _)| present.contains(*flag))
        .fold(MsFlags::empty(), |all, (_, flag)| all | *flag);
    let path = by_descriptor(place.as_fd());
    let here = readlink(&path)?;
    let below = escaped(&[here.as_encoded_bytes(), b"/"].concat());
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    if mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .any(|at| at.starts_with(&below))
    {
        return Err(Errno::ENOSYS);
    }
    mount(
        None::<&str>,
        &path,
        None::<&str>,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | locked,
        None::<&str>,
    )
}

/// A path as mountinfo has it (fs/proc_namespace.c, `show_mountinfo`).
fn escaped(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|byte| {
            if b" \t\n\\".contains(byte) {
                format!("\\{byte:03o}").into_bytes()
            } else {
                vec![*byte]
            }
        })
        .collect()
}

/// Makes the working directory, which is the root of a mount, `/`, and lets the old one go.
///
/// # Errors
/// pivot_root(2)'s, umount2(2)'s, mount(2)'s, chroot(2)'s or chdir(2)'s.
pub fn become_slash() -> Result<(), Errno> {
    match pivot_root(".", ".") {
        // The old root is now mounted on top of the new one, where `.` leads to (pivot_root(2),
        // NOTES).
        Ok(()) => umount2(".", MntFlags::MNT_DETACH)?,
        // The old root is no mount (in a chroot), or the initial ramfs, which cannot be moved
        // (fs/namespace.c, pivot_root).
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
            chroot(".")?;
        }
        Err(errno) => return Err(errno),
    }
    chdir("/")
}

//! A place for one small file that vanishes with the command, for roots without `/proc`.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgroups, setgroups};

/// Puts `contents` into a file called `name` on a private tmpfs over the empty directory `dir`, in a mount namespace of the process's own: no
/// other process sees it, and nothing of it is left when the last one inside ends.
///
/// # Errors
/// Whatever the kernel says. [`io::ErrorKind::Unsupported`] for privileged root, whose mounts would spread to the host's: a mount namespace
/// starts with the old one's shared mounts, and inside a chroot they cannot be made private (fs/namespace.c, `do_change_type` wants a
/// mount's root). One that belongs to another user namespace starts with slaves instead (`copy_mnt_ns`, `CL_SLAVE`).
pub fn file(dir: &Path, name: &str, contents: &[u8]) -> io::Result<std::path::PathBuf> {
    // Where a user made the namespace, setgroups is denied: the sign that does not need /proc. Setting the groups that are set changes nothing.
    if setgroups(&getgroups()?).is_ok() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if fs::read_dir(dir)?.next().is_some() {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), dir, Some("tmpfs"), flags, Some("size=1m,mode=755"))?;
    let path = dir.join(name);
    fs::write(&path, contents)?;
    Ok(path)
}

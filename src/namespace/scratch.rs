//! A place for one small file that vanishes with the command, for roots without `/proc`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir};

/// Puts `contents` into a file called `name` on a read-only tmpfs over the first of `dirs` that is an empty directory, or holds only a file of
/// that name, in a mount namespace of the process's own: no other process sees it, and nothing of it is left when the last one inside ends.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no such directory; else whatever the kernel says.
pub fn file(dirs: &[&Path], name: &str, contents: &[u8]) -> io::Result<PathBuf> {
    let dir = dirs.iter().find(|dir| is_free(dir, name)).ok_or(io::ErrorKind::NotFound)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    keep_mounts_here(dir)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), *dir, Some("tmpfs"), flags, Some("size=64k,mode=555"))?;
    let path = dir.join(name);
    fs::write(&path, contents)?;
    // What the command writes there must fail as it does in a /proc or /sys, not be lost with the mount.
    mount(None::<&str>, *dir, None::<&str>, flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>)?;
    Ok(path)
}

fn is_free(dir: &Path, name: &str) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == name)))
}

/// Stops what is mounted in this new mount namespace from appearing in the one it was copied from, which shares its mounts where they are
/// shared and belong to the same user namespace (fs/namespace.c, `copy_mnt_ns`).
///
/// That can be said only of a mount's root (`do_change_type`), which the root directory in a chroot is not. But ".." leads out of a chroot
/// for one whose root directory is below the working directory. `below` is any directory to make that true; nothing out there is
/// touched, and the root and working directory are as before when this returns.
fn keep_mounts_here(below: &Path) -> nix::Result<()> {
    const DEEPEST: usize = libc::PATH_MAX as usize / "../".len();
    let here = |dir| open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let (root, working) = (here("/")?, here(".")?);
    chdir("/")?;
    chroot(below)?;
    // The namespace's own root is its own parent, so more than enough does no harm.
    let kept = chdir("../".repeat(DEEPEST).as_str())
        .and_then(|()| mount(None::<&str>, ".", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>));
    // Both were opened as directories of this process, so they can be entered again.
    fchdir(root).and_then(|()| chroot(".")).and_then(|()| fchdir(working)).expect("way back into the root directory");
    kept
}

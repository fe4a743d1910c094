//! A place for one small file that vanishes with the command, for roots without `/proc`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::mount::set_propagation;

/// Puts `contents` into a file called `name` on a read-only tmpfs over the first of `dirs` that is
/// an empty directory, or holds only a file of that name, in a mount namespace of the process's
/// own: no other process sees it, and nothing of it is left when the last one inside ends.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no such directory; else whatever the kernel says.
pub fn file(dirs: &[&Path], name: &str, contents: &[u8]) -> io::Result<PathBuf> {
    let dir = dirs.iter().find(|dir| is_free(dir, name)).ok_or_else(|| {
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy()).collect();
        let why = format!("no empty directory is {}", dirs.join(" or "));
        io::Error::new(io::ErrorKind::NotFound, why)
    })?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    set_propagation(MsFlags::MS_SLAVE, dir)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("tmpfs"),
        *dir,
        Some("tmpfs"),
        flags,
        Some("size=64k,mode=555"),
    )?;
    let path = dir.join(name);
    fs::write(&path, contents)?;
    // What the command writes there must fail as it does in a /proc or /sys, not be lost with the
    // mount.
    mount(
        None::<&str>,
        *dir,
        None::<&str>,
        flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        None::<&str>,
    )?;
    Ok(path)
}

fn is_free(dir: &Path, name: &str) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == name))
    })
}

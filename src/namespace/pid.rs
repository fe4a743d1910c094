//! What a PID namespace needs of mounts: a `/proc` of its own.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::os::fd::AsFd;

use super::mount::{by_descriptor, set_propagation};
use super::resolve::{Resolved, resolve};
use crate::error::Failure;

/// Makes a mount namespace of this process's own, in which the present root directory stays.
///
/// # Errors
/// [`Failure`]; the process is good for nothing but saying so.
pub fn have_own_mounts() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| set_propagation(MsFlags::MS_SLAVE, Path::new("/proc")))
        .map_err(|errno| {
            let hint = "--pid needs CAP_SYS_ADMIN, which --userns=auto brings where user namespaces are allowed";
            Failure::errno("cannot make a mount namespace", errno).hint(hint)
        })
}

/// Mounts the `/proc` of the PID namespace that this process is in, over the one that is there.
///
/// # Errors
/// [`Failure`] that names the cause.
pub fn mount_proc() -> Result<(), Failure> {
    let mounted = (|| {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open("/", flags, Mode::empty())?;
        let Resolved::Found(place) = resolve(root.as_fd(), Path::new("/proc"))? else {
            return Err(Errno::ENOENT);
        };
        let (name, flags) = (
            Some("proc"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        );
        mount(
            name,
            &by_descriptor(place.as_fd()),
            name,
            flags,
            None::<&str>,
        )
    })();
    mounted.map_err(|errno| {
        let failure = Failure::errno("cannot mount a /proc for the PID namespace", errno);
        match errno {
            // fs/namespace.c, mount_too_revealing
            Errno::EPERM => failure.hint("parts of /proc are covered here, as container runtimes do: have them show all of it (podman: --security-opt unmask=ALL), or leave out --pid"),
            Errno::ENOENT => failure.hint("the root directory has no /proc: make one"),
            _ => failure,
        }
    })
}

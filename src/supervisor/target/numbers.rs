//! How a caller numbers other processes, which is not always as the supervisor does.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::Mode;

use super::answer::Failed;
use super::proc::{Target, looked};
use crate::sys::file::{look, namespace};
use crate::sys::process::parent_of_namespace;

impl Target<'_> {
    /// The number that process `pid` has in the caller's PID namespace; 0 if it has none there, or
    /// is gone and cannot be asked any more.
    ///
    /// # Errors
    /// readlink(2)'s.
    pub fn number_of(&self, pid: i32) -> Result<i32, Failed> {
        let proc_dir = self.base.proc_dir();
        let own = namespace(proc_dir, c"self/ns/pid")?;
        let theirs = looked(namespace(proc_dir, &self.entry("ns/pid")))?;
        if own == theirs {
            return Ok(pid);
        }
        let request = self.request.by(pid);
        let process = Target {
            request: &request,
            ..*self
        };
        Ok(process.number_in(theirs).unwrap_or(0))
    }

    /// The caller's number in the PID namespace `wanted`.
    fn number_in(&self, wanted: u64) -> Result<i32, Failed> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let link = self.entry("ns/pid");
        let mut namespace = looked(openat(self.base.proc_dir(), &*link, flags, Mode::empty()))?;
        // It has one in each namespace from its own, whose is the last, up to ours.
        for number in self.status("NSpid")?.split_whitespace().rev() {
            if look(&namespace, c"", AtFlags::AT_EMPTY_PATH)?.place.ino == wanted {
                return Ok(number.parse().map_err(|_| Errno::ESRCH)?);
            }
            namespace = parent_of_namespace(&namespace)?;
        }
        Err(Errno::ESRCH.into())
    }
}

//! Whether the kernel permits a caller what it permits the supervisor. The supervisor acts for such
//! a caller only. For any other a helper does, a process of its own, which takes the caller's
//! rights first.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_keepcaps;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::answer::Failed;
use super::proc::{Target, looked};
use crate::sys::file::{look, namespace};
use crate::sys::process::{Capabilities, capabilities, set_capabilities};

/// As much of a label is compared, in bytes: none is longer, but for nested namespaces of policies.
const LABEL: usize = 1024;

impl Target<'_> {
    /// Has this process act with the caller's rights from now on: the supervisor has them already,
    /// or a helper takes them. To be asked after the last look at the caller that needs more.
    /// Returns the caller's capabilities.
    ///
    /// # Errors
    /// [`Failed::Helper`] if a helper must do it; [`Failed::Kernel`] if not even a helper can have
    /// these rights.
    pub fn take_rights(&self) -> Result<Capabilities, Failed> {
        if self.is_plain() {
            return Ok(self.base.capabilities);
        }
        self.has_our_label()?;
        let theirs = capabilities(self.request.tid)?;
        let namespace = self.user_namespace()?;
        let is_here = namespace == self.base.user_namespace;
        let is_able = theirs.effective == self.base.capabilities.effective;
        if is_here && is_able && !(self.ids_may_differ && self.has_other_ids()?) {
            return Ok(theirs);
        }
        if !self.is_helper {
            return Err(Failed::Helper);
        }
        self.join(namespace).map_err(|_| Failed::Kernel)?;
        let ids = self.take_ids();
        // Whatever it took to get here goes last.
        set_capabilities(theirs)
            .and(ids)
            .map_err(|_| Failed::Kernel)?;
        Ok(theirs)
    }

    /// The caller's namespace that `/proc` calls `ns/NAME`.
    ///
    /// # Errors
    /// [`Failed::Unreadable`]; `ESRCH`.
    pub fn namespace(&self, name: &str) -> Result<OwnedFd, Failed> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let entry = self.entry(format_args!("ns/{name}"));
        looked(openat(self.base.proc_dir(), &*entry, flags, Mode::empty()))
    }

    /// Has a helper go into that namespace, if it is in another one, and stand in `/proc` there.
    ///
    /// # Errors
    /// setns(2)'s: `EPERM` where it is that of another user namespace.
    pub fn enter(&self, theirs: OwnedFd, own: &CStr) -> Result<(), Errno> {
        let inode = |file: &OwnedFd| Ok::<_, Errno>(look(file, c"", AtFlags::AT_EMPTY_PATH)?.place);
        let own = look(self.base.proc_dir(), own, AtFlags::empty())?.place;
        if inode(&theirs)? == own {
            return Ok(());
        }
        setns(theirs, CloneFlags::empty())?;
        self.base.stand()
    }

    /// Whether a security module, which knows more than ids and capabilities, takes the caller for
    /// the same as the supervisor.
    ///
    /// # Errors
    /// [`Failed::Kernel`] if not.
    pub fn has_our_label(&self) -> Result<(), Failed> {
        if let Some(label) = &self.base.label {
            let mut theirs = [0; LABEL];
            let len = looked(self.start_of("attr/current", &mut theirs))?;
            if theirs[..len] != **label {
                return Err(Failed::Kernel);
            }
        }
        Ok(())
    }

    /// Whether the caller is known to have the supervisor's root directory and rights.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        if self.is_helper {
            return false;
        }
        let look = || {
            let root = look(self.base.proc_dir(), &self.entry("root"), AtFlags::empty());
            root.is_ok_and(|root| self.base.is_root(root.place))
                && self.user_namespace() == Ok(self.base.user_namespace)
                && capabilities(self.request.tid)
                    .is_ok_and(|theirs| theirs.effective == self.base.capabilities.effective)
        };
        let (tid, call) = (self.request.tid, self.request.id);
        self.callers.is_plain(tid, call, look)
    }

    /// Enters the caller's user namespace, with all capabilities in it.
    fn join(&self, theirs: u64) -> Result<(), Errno> {
        let own = || namespace(self.base.proc_dir(), c"self/ns/user").unwrap_or_default();
        if own() == theirs {
            return Ok(());
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let entry = self.entry("ns/user");
        let file = openat(self.base.proc_dir(), &*entry, flags, Mode::empty())?;
        setns(file, CloneFlags::CLONE_NEWUSER)?;
        // What follows would be wrong anywhere else.
        if own() == theirs {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    fn has_other_ids(&self) -> Result<bool, Failed> {
        let theirs = self.file("status")?;
        Ok(ids(&self.own_status()?) != ids(&theirs))
    }

    /// By our own `/proc`: another one, which does not know us, may be mounted over it.
    fn own_status(&self) -> Result<Vec<u8>, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let status = openat(self.base.proc_dir(), "self/status", flags, Mode::empty());
        let mut text = Vec::new();
        match File::from(status?).read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(_) => Err(Errno::ESRCH),
        }
    }

    /// Takes the caller's ids, where they differ. A namespace may permit its root no setgroups(2):
    /// nobody in it can have made one then.
    fn take_ids(&self) -> Result<(), Errno> {
        if !self.ids_may_differ {
            return Ok(());
        }
        let own = ids(&self.own_status()?);
        let theirs = ids(&self.file("status").map_err(|_| Errno::ESRCH)?);
        if own == theirs {
            return Ok(());
        }
        // The fourth of each is the file system's, the only one that counts here.
        let (Some(uid), Some(gid)) = (theirs.uids.get(3), theirs.gids.get(3)) else {
            return Err(Errno::ESRCH);
        };
        set_keepcaps(true)?;
        if own.groups != theirs.groups {
            let groups: Vec<Gid> = theirs.groups.iter().copied().map(Gid::from_raw).collect();
            setgroups(&groups)?;
        }
        let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
        setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid))
    }
}

/// Who a process is, by `/proc/TID/status`.
#[derive(PartialEq, Eq)]
struct Who {
    uids: Vec<u32>,
    gids: Vec<u32>,
    groups: BTreeSet<u32>,
}

fn ids(status: &[u8]) -> Who {
    let text = String::from_utf8_lossy(status);
    let field = |name: &str| -> Vec<u32> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let numbers = line.unwrap_or_default().split_whitespace();
        numbers.filter_map(|id| id.parse().ok()).collect()
    };
    Who {
        uids: field("Uid:"),
        gids: field("Gid:"),
        groups: field("Groups:").into_iter().collect(),
    }
}

//! The way of a path, component by component, where the kernel's own walk would lead the supervisor
//! and not the caller: through `/proc/self`, through magic links, from another root directory.
//!
//! What the kernel looks at on the way is looked at here as well: search permission (it does that),
//! the mount's `nosymfollow`, fs.protected_symlinks.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::answer::Failed;
use super::object::NO_SYMLINKS;
use super::proc::Target;
use crate::sys::file::{Look, Place, look};

/// The kernel's own limit of symbolic links in one path (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// A walk for a caller.
pub struct Walk<'a> {
    pub target: Target<'a>,
    /// The caller's root directory.
    pub root: BorrowedFd<'a>,
    pub root_place: Place,
    /// What tells the caller's process from all others, once that has been looked up.
    pub own: OnceCell<Option<Identity>>,
}

/// What tells a process from all others, in every procfs that shows it: its PID namespace, and its
/// number there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    namespace: (u64, (u32, u32)),
    number: String,
}

/// Where a link leads.
enum Link {
    /// To another path.
    Text(Vec<u8>),
    /// To a file.
    Jump(OwnedFd),
}

impl Walk<'_> {
    /// Finds what is at `path` from `start`; the link itself, if one is at its end and `follow` is
    /// false.
    ///
    /// # Errors
    /// The kernel's; [`Failed::Helper`].
    pub fn to(&self, start: BorrowedFd, path: &CStr, follow: bool) -> Result<OwnedFd, Failed> {
        let mut here = reopen(start)?;
        let mut rest = path.to_bytes().to_vec();
        if rest.starts_with(b"/") {
            here = reopen(self.root)?;
        }
        let mut links = 0;
        // Whether the way has come from the place of `self` without a turn.
        let mut is_own = false;
        loop {
            let from = rest.iter().position(|byte| *byte != b'/');
            let Some(from) = from else {
                // A slash at the end asks for a directory.
                if !rest.is_empty() && !is_directory(&look_at(&here)?) {
                    return Err(Errno::ENOTDIR.into());
                }
                return Ok(here);
            };
            let len = rest[from..].iter().position(|byte| *byte == b'/');
            let to = len.map_or(rest.len(), |len| from + len);
            let name = CString::new(&rest[from..to]).map_err(|_| Errno::EINVAL)?;
            let tail = rest[to..].to_vec();
            let present = look_at(&here)?;
            if !is_directory(&present) {
                return Err(Errno::ENOTDIR.into());
            }
            self.target.may_ask(Some(&present))?;
            if name.as_c_str() == c"."
                || name.as_c_str() == c".." && present.place == self.root_place
            {
                // Also this needs the permission to search the directory.
                here = open(here.as_fd(), c".", OFlag::O_DIRECTORY)?;
                rest = tail;
                continue;
            }
            is_own &= name.as_c_str() != c"..";
            let next = match open(here.as_fd(), &name, OFlag::O_NOFOLLOW) {
                // A procfs shows `self` to those only whom it knows.
                Err(Errno::ENOENT) if is_self(&name) && is_proc(&here)? => {
                    (links, rest) = self.substitute(&here, &name, &tail, links)?;
                    is_own = true;
                    continue;
                }
                next => next?,
            };
            let found = look_at(&next)?;
            // Another process's directory may be mounted there.
            is_own &= found.place.mount == present.place.mount;
            let is_last = tail.is_empty();
            if !is_link(&found) || is_last && !follow {
                (here, rest) = (next, tail);
                continue;
            }
            if is_self(&name) && is_proc(&here)? {
                (links, rest) = self.substitute(&here, &name, &tail, links)?;
                is_own = true;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP.into());
            }
            let link = self.follow(&here, &present, &name, (&next, &found), is_own)?;
            is_own = false;
            match link {
                Link::Jump(there) => (here, rest) = (there, tail),
                Link::Text(text) => {
                    if text.starts_with(b"/") {
                        here = reopen(self.root)?;
                    }
                    rest = [text, tail].concat();
                }
            }
        }
    }

    /// What stands for `self` or `thread-self` in the root directory of a procfs.
    fn substitute(
        &self,
        proc_dir: &OwnedFd,
        name: &CStr,
        tail: &[u8],
        links: usize,
    ) -> Result<(usize, Vec<u8>), Failed> {
        let number = self.number_in(proc_dir)?;
        let is_thread = name == c"thread-self";
        let entry = if is_thread {
            format!("{number}/task/{number}")
        } else {
            number
        };
        Ok((links + 1, [entry.as_bytes(), tail].concat()))
    }

    /// The caller's number in a procfs.
    fn number_in(&self, proc_dir: &OwnedFd) -> Result<String, Failed> {
        let tid = self.target.request.tid.to_string();
        if self.target.base.is_own_proc(look_at(proc_dir)?.place) {
            return Ok(tid);
        }
        // It has one number in each PID namespace from ours to its own.
        let numbers = self.target.status("NSpid")?;
        let is_it = |number: &&str| {
            let entry = CString::new(*number).ok()?;
            let entry = open(proc_dir.as_fd(), &entry, OFlag::O_DIRECTORY).ok()?;
            Some(self.is_own(identity(&entry).as_ref()))
        };
        let mut numbers = numbers.split_whitespace();
        let number = numbers.find(|number| is_it(number).unwrap_or(false));
        Ok(number.ok_or(Errno::ENOENT)?.to_owned())
    }

    /// Whether that is the caller's process.
    fn is_own(&self, process: Option<&Identity>) -> bool {
        let own = self.own.get_or_init(|| self.target.identity());
        process.is_some() && process == own.as_ref()
    }

    /// Where the link `name` in the directory `here` leads. `is_own` tells whether that is known to
    /// be the caller's directory in a procfs, or below it.
    fn follow(
        &self,
        here: &OwnedFd,
        present: &Look,
        name: &CStr,
        (link, found): (&OwnedFd, &Look),
        is_own: bool,
    ) -> Result<Link, Failed> {
        let system = fstatfs(link)?;
        if system.flags().bits() & NO_SYMLINKS != 0 {
            return Err(Errno::ELOOP.into());
        }
        if system.filesystem_type() == PROC_SUPER_MAGIC && is_magic(here, name) {
            return self.jump(here, name, is_own).map(Link::Jump);
        }
        // fs/namei.c, may_follow_link. Where the kernel shows us no owner, it is not said to be the
        // same one.
        let sticky = libc::S_ISVTX | libc::S_IWOTH;
        let own = nix::unistd::geteuid().as_raw();
        if present.mode & sticky == sticky
            && found.uid != own
            && (found.uid != present.uid || found.uid == OVERFLOW)
            && links_are_protected()
        {
            return Err(Errno::EACCES.into());
        }
        let text = readlinkat(link, c"")?.into_vec();
        if text.is_empty() {
            return Err(Errno::ENOENT.into());
        }
        Ok(Link::Text(text))
    }

    /// Follows a magic link in `here`, a process's directory in a procfs or one below it. A process
    /// may follow its own; whether it may follow another's, the kernel says, which is asked by a
    /// helper with the caller's rights: this process could follow more.
    fn jump(&self, here: &OwnedFd, name: &CStr, is_own: bool) -> Result<OwnedFd, Failed> {
        let whose = if is_own { None } else { owner(here) };
        if !is_own && !self.is_own(whose.as_ref()) {
            // Which of them Landlock permits, nobody but the kernel knows.
            if self.target.is_restricted() {
                return Err(Failed::Kernel);
            }
            if !self.target.is_helper {
                return Err(Failed::Helper);
            }
            // The caller knows nothing of this process.
            let myself = open(self.target.base.proc_dir(), c"self", OFlag::O_DIRECTORY);
            if whose.is_some() && myself.ok().and_then(|it| identity(&it)) == whose {
                return Err(Errno::EACCES.into());
            }
        }
        Ok(open(here.as_fd(), name, OFlag::empty())?)
    }
}

impl Target<'_> {
    /// What tells the caller's process from all others.
    pub(super) fn identity(&self) -> Option<Identity> {
        let entry = self.entry("");
        identity(&open(self.base.proc_dir(), &entry, OFlag::O_DIRECTORY).ok()?)
    }

    /// Whether the file system of what was `found` may be asked something here.
    ///
    /// # Errors
    /// [`Failed::Helper`].
    pub(super) fn may_ask(&self, found: Option<&Look>) -> Result<(), Failed> {
        let may_ask = |found: &Look| self.hazards.may_ask(found.place.dev);
        if found.is_none_or(may_ask) || self.is_helper {
            Ok(())
        } else {
            Err(Failed::Helper)
        }
    }
}

/// The id that stands for all that are not mapped (kernel/sysctl.c, `overflowuid`).
const OVERFLOW: u32 = 65534;

fn links_are_protected() -> bool {
    // Where that cannot be read, it is so.
    !std::fs::read("/proc/sys/fs/protected_symlinks").is_ok_and(|value| value.starts_with(b"0"))
}

fn open(dir: BorrowedFd, name: &CStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(
        dir,
        name,
        flags | OFlag::O_PATH | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
}

fn reopen(file: BorrowedFd) -> Result<OwnedFd, Errno> {
    file.try_clone_to_owned()
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EMFILE)))
}

fn look_at(file: &OwnedFd) -> Result<Look, Errno> {
    look(file, c"", AtFlags::AT_EMPTY_PATH)
}

fn has_type(found: &Look, kind: SFlag) -> bool {
    found.mode & SFlag::S_IFMT.bits() == kind.bits()
}

fn is_directory(found: &Look) -> bool {
    has_type(found, SFlag::S_IFDIR)
}

fn is_link(found: &Look) -> bool {
    has_type(found, SFlag::S_IFLNK)
}

fn is_self(name: &CStr) -> bool {
    name == c"self" || name == c"thread-self"
}

fn is_proc(file: &OwnedFd) -> Result<bool, Errno> {
    Ok(fstatfs(file)?.filesystem_type() == PROC_SUPER_MAGIC)
}

/// Whether a link in a procfs is one that leads to a file, not to a path.
fn is_magic(here: &OwnedFd, name: &CStr) -> bool {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    matches!(openat2(here, name, how), Err(Errno::ELOOP))
}

/// Whose directory in a procfs `here` is, or the directory above it.
fn owner(here: &OwnedFd) -> Option<Identity> {
    identity(here).or_else(|| identity(&open(here.as_fd(), c"..", OFlag::O_DIRECTORY).ok()?))
}

/// Whose directory in a procfs `entry` is; `None` also where the kernel does not let us know.
fn identity(entry: &OwnedFd) -> Option<Identity> {
    let namespace = look(entry, c"ns/pid", AtFlags::empty()).ok()?.place;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let status = openat(entry, c"status", flags, Mode::empty()).ok()?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(status), &mut text).ok()?;
    // The last one is the process's number in its own namespace.
    let numbers = text.lines().find_map(|line| line.strip_prefix("NStgid:"))?;
    Some(Identity {
        namespace: (namespace.ino, namespace.dev),
        number: numbers.split_whitespace().last()?.to_owned(),
    })
}

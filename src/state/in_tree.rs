//! `--owners=xattr`: owners and devices in attributes of the files themselves. They are read from a
//! root directory before the command begins, and written there at its end.
//!
//! Why these attributes, and both: docs/decisions/owners-in-the-tree.md.
//!
//! A file's own owner may not be able to write to it, and then not to its attributes either. So
//! both are done in a child, as root of a user namespace. It shares the memory of what is
//! remembered.

use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::child::{end_with, in_child};
use super::override_stat::{Kind, OVERRIDE_STAT, ROOTLESS, Told, parse_rootless, rootless};
use super::walk::{Entry, shown_path, walk};
use crate::error::Failure;
use crate::namespace;
use crate::supervisor::memory::owners::Record;
use crate::supervisor::memory::remembered::Remembered;
use crate::sys::file::{getxattr_short, handle, look, removexattr, setxattr};

/// A root directory whose files say themselves whose they are.
pub struct InTree {
    top: OwnedFd,
    remembered: Remembered,
    /// Whether to enter a user namespace for it.
    is_apart: bool,
}

/// Files that cannot say whose they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// The first one, and why; empty if there is none.
    pub first: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost { count, first } = self;
        let files = if *count == 1 { "file" } else { "files" };
        write!(f, "{count} {files} cannot carry an owner: {first}")?;
        if *count > 1 {
            f.write_str(", ...; -v names all")?;
        }
        f.write_str("; --save keeps every owner")
    }
}

impl Lost {
    fn parts(self) -> Vec<String> {
        vec![self.count.to_string(), self.first]
    }

    fn of_parts(parts: Vec<String>) -> Lost {
        let mut parts = parts.into_iter();
        Lost {
            count: parts
                .next()
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
            first: parts.next().unwrap_or_default(),
        }
    }

    fn add(&mut self, say: &dyn Fn(fmt::Arguments), path: &[u8], why: impl fmt::Display) {
        let file = format!("{} ({why})", shown_path(path));
        say(format_args!("no owner can be written to {file}"));
        if self.count == 0 {
            self.first = file;
        }
        self.count += 1;
    }
}

impl InTree {
    /// The directory `top`, of whose files `remembered` is to know. Nothing is read yet.
    #[must_use]
    pub fn new(top: OwnedFd, remembered: Remembered, is_apart: bool) -> InTree {
        InTree {
            top,
            remembered,
            is_apart,
        }
    }

    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.top.as_raw_fd()
    }

    /// Remembers what the files say.
    ///
    /// # Errors
    /// A [`Failure`] if a file says what makes no sense: at the end that would be lost. Or if there
    /// is no memory, or no child.
    pub fn read(&self) -> Result<(), Failure> {
        self.in_child(|| {
            self.learn(&self.top()?)?;
            // What cannot be read belongs to somebody else.
            walk(self.top.as_fd(), |entry| self.learn(entry), |_, _| {})?;
            Ok(Lost::default())
        })
        .map(drop)
    }

    /// Has the files say what is remembered of them, and no others say anything. `say` hears of
    /// each that cannot.
    ///
    /// # Errors
    /// A [`Failure`] if that has not been done to the end.
    pub fn write(&self, say: &dyn Fn(fmt::Arguments)) -> Result<Lost, Failure> {
        self.in_child(|| {
            let (mut lost, mut unread) = (Lost::default(), Lost::default());
            let mut are_any = false;
            walk(
                self.top.as_fd(),
                |entry| {
                    match self.wanted(entry) {
                        Ok(wanted) => {
                            are_any |= wanted.is_some();
                            if let Err(errno) = tell(entry, wanted) {
                                lost.add(say, entry.path, errno.desc());
                            }
                        }
                        Err(kind) => lost.add(say, entry.path, kind),
                    }
                    Ok(())
                },
                |path, errno| unread.add(say, path, errno.desc()),
            )?;
            let top = self.top()?;
            // fuse-overlayfs looks for it at the top, and then believes the others.
            let marked = are_any.then(|| told(&top, (0, 0), top.found.mode, None));
            let wanted = self.wanted(&top).unwrap_or_default();
            if let Err(errno) = tell(&top, wanted.or(marked)) {
                if wanted.is_some() {
                    lost.add(say, top.path, errno.desc());
                }
            }
            lost.count += unread.count;
            if lost.first.is_empty() {
                lost.first = unread.first;
            }
            Ok(lost)
        })
    }

    fn top(&self) -> Result<Entry<'_>, Failure> {
        let found = look(&self.top, c"", AtFlags::AT_EMPTY_PATH)
            .map_err(|errno| Failure::errno("cannot look at the root directory", errno))?;
        Ok(Entry {
            file: self.top.as_fd(),
            found,
            path: b"",
        })
    }

    /// Remembers what a file says.
    fn learn(&self, entry: &Entry) -> Result<(), Failure> {
        if !can_say(entry) {
            return Ok(());
        }
        let damaged = |name: &CStr, what: &str| {
            let (file, name) = (shown_path(entry.path), name.to_string_lossy());
            Failure::new(format!("{file}: the attribute {name} {what}")).hint(format!(
                "remove it, by 'setfattr -x {name} FILE', or mend it"
            ))
        };
        let value = |name: &CStr| match attribute(entry, name) {
            Err(Errno::ERANGE) => Err(damaged(name, "is too long to be one")),
            Err(errno) => Err(Failure::errno(shown_path(entry.path), errno)),
            Ok(value) => Ok(value),
        };
        let record = if let Some(value) = value(OVERRIDE_STAT)? {
            let no_sense = || damaged(OVERRIDE_STAT, "is not of the form UID:GID:MODE[:TYPE]");
            let told = Told::parse(&value).ok_or_else(no_sense)?;
            let device = match told.kind {
                Some(Kind::Device(device)) if is_regular(entry) => Some(device),
                Some(kind) if kind.bits() != entry.found.mode & libc::S_IFMT => {
                    return Err(damaged(
                        OVERRIDE_STAT,
                        "says that the file is of another type",
                    ));
                }
                _ => None,
            };
            let permissions = entry.found.mode & 0o7777;
            Record {
                permissions: (told.mode != permissions).then_some(told.mode),
                ..Record::new(told.owner, device)
            }
        } else if let Some(value) = value(ROOTLESS)? {
            let owner = parse_rootless(&value)
                .ok_or_else(|| damaged(ROOTLESS, "is not a message with two numbers"))?;
            Record::new(owner, None)
        } else {
            return Ok(());
        };
        let handle = || handle(entry.file, c"");
        self.remembered
            .learn(&entry.found, handle, record)
            .map_err(|errno| Failure::errno("cannot remember the owners", errno))
    }

    /// What a file is to say, if anything; why it cannot.
    fn wanted(&self, entry: &Entry) -> Result<Option<Told>, &'static str> {
        let handle = || handle(entry.file, c"");
        let Some(record) = self.remembered.of(&entry.found, handle) else {
            return Ok(None);
        };
        let permissions = entry.found.mode & 0o7777;
        let mode = record.permissions.unwrap_or(permissions);
        if record.owner == (0, 0) && record.device.is_none() && mode == permissions {
            return Ok(None);
        }
        if can_say(entry) {
            let kind = record.device.map(Kind::Device);
            return Ok(Some(told(entry, record.owner, mode, kind)));
        }
        Err(match entry.found.mode & libc::S_IFMT {
            libc::S_IFLNK => "a symbolic link",
            libc::S_IFIFO => "a FIFO",
            libc::S_IFSOCK => "a socket",
            _ => "a device",
        })
    }

    /// Does `work` in a child, as root of a user namespace.
    fn in_child(&self, work: impl FnOnce() -> Result<Lost, Failure>) -> Result<Lost, Failure> {
        let own = Pid::this();
        let work = || {
            if self.is_apart {
                // Where there is none to be had, all is as without.
                let _ = namespace::become_root();
                // The kernel forgets it when credentials change.
                end_with(own);
            }
            work().map(Lost::parts)
        };
        // Its end says no more than what it says.
        let wait = |child| {
            while waitpid(child, None) == Err(Errno::EINTR) {}
            Ok(())
        };
        in_child(work, wait).map(Lost::of_parts)
    }
}

fn is_regular(entry: &Entry) -> bool {
    entry.found.mode & libc::S_IFMT == libc::S_IFREG
}

/// Whether the kernel permits attributes of users for files of that type.
fn can_say(entry: &Entry) -> bool {
    is_regular(entry) || entry.found.mode & libc::S_IFMT == libc::S_IFDIR
}

fn told(entry: &Entry, owner: (u32, u32), mode: u32, kind: Option<Kind>) -> Told {
    Told {
        owner,
        mode: mode & 0o7777,
        kind: kind.or(Some(Kind::Plain(entry.found.mode & libc::S_IFMT))),
    }
}

/// Has a file say what is `wanted`. What it says already stays as it is.
fn tell(entry: &Entry, wanted: Option<Told>) -> Result<(), Errno> {
    if !can_say(entry) {
        return Ok(());
    }
    let text = wanted.map(|told| told.text().into_bytes());
    let owner = wanted.and_then(|told| rootless(told.owner));
    for (name, wanted) in [(OVERRIDE_STAT, text), (ROOTLESS, owner)] {
        let there = match attribute(entry, name) {
            // Whatever it is, it is not what is wanted.
            Err(Errno::ERANGE) => Some(Vec::new()),
            there => there?,
        };
        if there == wanted {
            continue;
        }
        let link = link(entry.file);
        match wanted {
            Some(value) => setxattr(&link, name, &value, 0)?,
            None => removexattr(&link, name)?,
        }
    }
    Ok(())
}

/// A file's attribute; `None` if it has none, or none that we may know of.
fn attribute(entry: &Entry, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    match getxattr_short(&link(entry.file), name) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Attributes are not to be had of a descriptor that was opened with `O_PATH`, but by its link.
fn link(file: BorrowedFd) -> CString {
    CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default()
}

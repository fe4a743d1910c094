//! What zroot had to create inside a root directory, and the process that removes it again.
//!
//! zroot becomes the command, so it cannot tidy up after it. If, and only if, something was
//! created, a detached process waits outside of the namespaces until the last process inside is
//! gone. Then it removes what nobody has changed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{
    FileStat, Mode, SFlag, UtimensatFlags, fstat, fstatat, futimens, mkdirat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Pid, UnlinkatFlags, close, pipe2, unlinkat};

use crate::detach::{detached, hold_nothing_but};
use crate::sys::process::pidfd_open;

use super::mount::by_descriptor;
use super::resolve::kind;

/// An inode, by its device and number.
type Id = (libc::dev_t, libc::ino_t);

/// One thing that was not there before.
struct Thing {
    parent: OwnedFd,
    name: OsString,
    /// Which inode it is. If another has its name later, that is the command's and stays.
    id: Id,
    what: What,
    /// The parent's times before and after: restored if nobody else has changed the directory
    /// since.
    parent_times: (FileStat, FileStat),
}

enum What {
    Dir,
    /// A file that holds this, and was not there, or was there and empty.
    File {
        contents: Vec<u8>,
        was_there: Option<FileStat>,
    },
}

/// All that was created, in that order. Dropping it removes everything again.
#[derive(Default)]
pub struct Created {
    things: Vec<Thing>,
    /// The root directory; other processes in it may be using what was created.
    root: Option<OwnedFd>,
}

impl Created {
    /// Nothing yet. Nothing will be removed while a process has the directory `root` as its `/`,
    /// or is about to.
    ///
    /// # Errors
    /// dup(2)'s.
    pub fn inside(root: BorrowedFd) -> Result<Created, Errno> {
        let root = root.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        Ok(Created {
            things: Vec::new(),
            root: Some(root),
        })
    }

    /// Creates the directory `name` in `parent` and returns an `O_PATH` descriptor of it.
    ///
    /// # Errors
    /// mkdir(2)'s.
    pub fn dir(&mut self, parent: BorrowedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
        let before = fstat(parent)?;
        let kept = parent.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => {
                let status = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                self.record(kept, name, before, &status, What::Dir)?;
            }
            Err(Errno::EEXIST) => {} // another zroot's, of the same moment
            Err(errno) => return Err(errno),
        }
        openat(
            parent,
            name,
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    }

    /// Writes `contents` to the file `name` in `parent`, which must not be there, or be empty, and
    /// returns an `O_PATH` descriptor of it.
    ///
    /// # Errors
    /// open(2)'s or write(2)'s; `ENOTEMPTY` if the file has something in it, `EMLINK` if it has
    /// other names.
    pub fn file(
        &mut self,
        parent: BorrowedFd,
        name: &OsStr,
        contents: &[u8],
    ) -> Result<OwnedFd, Errno> {
        let before = fstat(parent)?;
        let kept = parent.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let (file, is_new) = match openat(
            parent,
            name,
            flags | OFlag::O_CREAT | OFlag::O_EXCL,
            Mode::from_bits_truncate(0o644),
        ) {
            Ok(file) => (file, true),
            Err(Errno::EEXIST) => (openat(parent, name, flags, Mode::empty())?, false),
            Err(errno) => return Err(errno),
        };
        let status = fstat(&file)?;
        if status.st_nlink != 1 {
            return Err(Errno::EMLINK); // its other names may be outside
        }
        let was_there = (!is_new).then_some(status);
        // What has just been created may have been written by another zroot that found it.
        if (!is_new && status.st_size != 0) || kind(&status) != SFlag::S_IFREG {
            return Err(Errno::ENOTEMPTY);
        }
        self.record(
            kept,
            name,
            before,
            &status,
            What::File {
                contents: contents.to_vec(),
                was_there,
            },
        )?;
        let mut file = File::from(file);
        if let Err(error) = file.write_all(contents) {
            // A part of it would look like the command's.
            let _ = file.set_len(0);
            if let Some(Thing {
                what: What::File { contents, .. },
                ..
            }) = self.things.last_mut()
            {
                contents.clear();
            }
            return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
        }
        openat(
            parent,
            name,
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    }

    fn record(
        &mut self,
        parent: OwnedFd,
        name: &OsStr,
        before: FileStat,
        status: &FileStat,
        what: What,
    ) -> Result<(), Errno> {
        let after = fstat(&parent)?;
        self.things.push(Thing {
            parent,
            name: name.to_owned(),
            id: id(status),
            what,
            parent_times: (before, after),
        });
        Ok(())
    }
}

impl Created {
    /// Removes everything, the last first, but for directories that something is in.
    fn remove_all(&mut self) {
        self.things = std::mem::take(&mut self.things)
            .into_iter()
            .rev()
            .filter(|thing| thing.remove() == Err(Errno::ENOTEMPTY))
            .collect();
        self.things.reverse();
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        self.remove_all();
    }
}

impl Thing {
    /// Removes it, if nobody has changed it.
    fn remove(&self) -> Result<(), Errno> {
        let status = fstatat(
            &self.parent,
            self.name.as_os_str(),
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?;
        let untouched = same_mtime(&self.parent_times.1, &self.parent);
        if id(&status) != self.id {
            return Ok(());
        }
        match &self.what {
            What::Dir => unlinkat(
                &self.parent,
                self.name.as_os_str(),
                UnlinkatFlags::RemoveDir,
            )?,
            What::File {
                contents,
                was_there,
            } => {
                let flags =
                    OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let mut file = File::from(openat(
                    &self.parent,
                    self.name.as_os_str(),
                    flags,
                    Mode::empty(),
                )?);
                // Another may have been exchanged for it, even one with names outside.
                if id(&fstat(&file)?) != self.id {
                    return Err(Errno::ESTALE);
                }
                let mut now = Vec::new();
                (&mut file)
                    .take(contents.len() as u64 + 1)
                    .read_to_end(&mut now)
                    .map_err(|_| Errno::EIO)?;
                // Another zroot that found it before anything was in it may have emptied it again.
                if now != *contents && !now.is_empty() {
                    return Ok(());
                }
                match was_there {
                    Some(before) => {
                        let (atime, mtime) = times(before);
                        file.set_len(0).map_err(|_| Errno::EIO)?;
                        futimens(&file, &atime, &mtime)?;
                    }
                    None => unlinkat(
                        &self.parent,
                        self.name.as_os_str(),
                        UnlinkatFlags::NoRemoveDir,
                    )?,
                }
            }
        }
        if untouched {
            let (atime, mtime) = times(&self.parent_times.0);
            // By path, since a directory without read permission cannot be opened for futimens(2).
            let path = by_descriptor(self.parent.as_fd());
            utimensat(
                AT_FDCWD,
                &path,
                &atime,
                &mtime,
                UtimensatFlags::FollowSymlink,
            )?;
        }
        Ok(())
    }
}

fn id(status: &FileStat) -> Id {
    (status.st_dev, status.st_ino)
}

fn times(status: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(status.st_atime, status.st_atime_nsec),
        TimeSpec::new(status.st_mtime, status.st_mtime_nsec),
    )
}

fn same_mtime(then: &FileStat, dir: &OwnedFd) -> bool {
    fstat(dir)
        .is_ok_and(|now| (now.st_mtime, now.st_mtime_nsec) == (then.st_mtime, then.st_mtime_nsec))
}

/// What zroot holds of the detached process, until execve closes it.
pub struct Guard {
    inotify: Inotify,
    armed: OwnedFd,
}

impl Guard {
    /// Starts the process that removes `created`, if there is anything. It does so when the last
    /// process in the mount namespace and in the root directory is gone; at once if zroot ends
    /// without [`arm`](Guard::arm).
    ///
    /// # Errors
    /// fork(2)'s, pipe(2)'s or inotify_init(2)'s; nothing is left then.
    #[inline(never)]
    pub fn start(created: Created) -> Result<Option<Guard>, Errno> {
        if created.things.is_empty() {
            return Ok(None);
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let (wait, armed) = pipe2(OFlag::O_CLOEXEC)?;
        detached(|| {
            // What the closure does not own is not dropped there.
            let _ = close(armed.as_raw_fd());
            tidy_up(&inotify, wait, created);
        })?;
        Ok(Some(Guard { inotify, armed }))
    }

    /// From now on everything stays until the present mount namespace ends. `root` is the root of a
    /// file system that is mounted only there, so that inotify tells of its end (fs/super.c,
    /// `generic_shutdown_super`).
    ///
    /// # Errors
    /// inotify_add_watch(2)'s or write(2)'s.
    pub fn arm(&self, root: BorrowedFd) -> Result<(), Errno> {
        self.inotify.add_watch(
            &by_descriptor(root),
            AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DELETE_SELF,
        )?;
        nix::unistd::write(&self.armed, b"armed").map(drop)
    }
}

/// What the detached process does.
fn tidy_up(inotify: &Inotify, wait: OwnedFd, mut created: Created) {
    let _ = nix::unistd::chdir("/");
    let own = created
        .things
        .iter()
        .map(|thing| thing.parent.as_raw_fd())
        .chain(created.root.as_ref().map(AsRawFd::as_raw_fd));
    hold_nothing_but(
        &own.chain([inotify.as_fd().as_raw_fd(), wait.as_raw_fd()])
            .collect::<Vec<_>>(),
    );
    let _ = nix::sys::prctl::set_name(c"zroot-tidy");
    // Ends when zroot does, by execve or otherwise.
    let mut armed = Vec::new();
    if File::from(wait).read_to_end(&mut armed).is_ok() && !armed.is_empty() {
        // One event comes: when the command's mount namespace, and every copy of it, is gone.
        while inotify
            .read_events()
            .is_err_and(|errno| errno == Errno::EINTR)
        {}
    }
    // Another zroot may use what this one created, and removing a directory removes the mounts on
    // it from all namespaces (fs/namei.c, vfs_rmdir: detach_mounts).
    let Some(root) = created.root.take() else {
        return;
    };
    let mut tries = 0;
    while !created.things.is_empty() && tries < 100 {
        let lock = lock(root.as_fd(), FlockArg::LockExclusive).ok();
        if let Some(process) = somebody_in(&root) {
            drop(lock);
            wait_for_process(process);
            continue;
        }
        created.remove_all();
        drop(lock);
        // A directory that is not empty holds what is the command's, or another zroot's that will
        // remove it.
        if !created.things.is_empty() {
            tries += 1;
            let _ = poll(&mut [], PollTimeout::from(10u8));
        }
    }
}

/// A lock to hold from the first look at a root directory until execve, so that nothing vanishes
/// between the look and what follows from it: whoever removes something in there holds it, too.
/// `None` without the right to read the directory, or where something else has locked it.
#[must_use]
pub fn starting(root: BorrowedFd) -> Option<Flock<OwnedFd>> {
    for _ in 0..1000 {
        match lock(root, FlockArg::LockSharedNonblock) {
            Err(Errno::EWOULDBLOCK) => drop(poll(&mut [], PollTimeout::from(1u8))),
            done => return done.ok(),
        }
    }
    None
}

fn lock(root: BorrowedFd, how: FlockArg) -> Result<Flock<OwnedFd>, Errno> {
    let dir = openat(
        root,
        ".",
        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    Flock::lock(dir, how).map_err(|(_, errno)| errno)
}

/// A process of ours whose root directory is `root`.
fn somebody_in(root: &OwnedFd) -> Option<Pid> {
    let root = id(&fstat(root).ok()?);
    std::fs::read_dir("/proc")
        .ok()?
        .filter_map(Result::ok)
        .find_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let status = nix::sys::stat::stat(&process.path().join("root")).ok()?;
            (id(&status) == root).then_some(Pid::from_raw(pid))
        })
}

/// Returns when `process` has ended, or after a moment where the kernel cannot tell (before 5.3).
fn wait_for_process(process: Pid) {
    let pidfd = pidfd_open(process).ok();
    let mut ends: Vec<PollFd> = pidfd
        .iter()
        .map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN))
        .collect();
    let _ = poll(
        &mut ends,
        if pidfd.is_some() {
            PollTimeout::NONE
        } else {
            PollTimeout::from(100u8)
        },
    );
}

//! What had to be made inside a root directory, and the process that takes it away again.
//!
//! zroot becomes the command, so nobody is left to tidy up behind it. If, and only if, something was made, a detached process waits outside of
//! the namespaces until the last process inside is gone, and removes what is still as it was made.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fstat, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, UnlinkatFlags, fork, pipe2, setsid, unlinkat};

/// An inode, by its device and number.
type Id = (libc::dev_t, libc::ino_t);

/// One thing that was not there before.
struct Thing {
    parent: OwnedFd,
    name: OsString,
    /// Which inode it is: if another has its name by then, that is the command's and stays.
    id: Id,
    what: What,
    /// The parent's times before and after: restored if nobody else has changed the directory since.
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

/// All that was made, in the order of making. Dropping it takes everything away again.
#[derive(Default)]
pub struct Made {
    things: Vec<Thing>,
    /// The root directory; other processes in it may be using what was made.
    root: Option<OwnedFd>,
    /// Set before anything is made.
    mark: Option<Mark>,
}

impl Made {
    /// Nothing yet. As long as a process has the directory `root` as its `/`, or is about to, nothing will be taken away.
    ///
    /// # Errors
    /// dup(2)'s.
    pub fn inside(root: BorrowedFd) -> Result<Made, Errno> {
        let root = root.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        let mark = Mark::waiting(root.as_fd());
        Ok(Made { things: Vec::new(), root: Some(root), mark })
    }

    /// Makes the directory `name` in `parent` and returns an `O_PATH` descriptor of it.
    ///
    /// # Errors
    /// mkdir(2)'s.
    pub fn dir(&mut self, parent: BorrowedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
        let before = fstat(parent)?;
        let kept = parent.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        mkdirat(parent, name, Mode::from_bits_truncate(0o755))?;
        let status = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        self.record(kept, name, before, &status, What::Dir)?;
        openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// Writes `contents` to the file `name` in `parent`, which must not be there, or be empty, and returns an `O_PATH` descriptor of it.
    ///
    /// # Errors
    /// open(2)'s or write(2)'s; `ENOTEMPTY` if the file has something in it, `EMLINK` if it has other names.
    pub fn file(&mut self, parent: BorrowedFd, name: &OsStr, contents: &[u8]) -> Result<OwnedFd, Errno> {
        let before = fstat(parent)?;
        let kept = parent.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let (file, is_new) = match openat(parent, name, flags | OFlag::O_CREAT | OFlag::O_EXCL, Mode::from_bits_truncate(0o644)) {
            Ok(file) => (file, true),
            Err(Errno::EEXIST) => (openat(parent, name, flags, Mode::empty())?, false),
            Err(errno) => return Err(errno),
        };
        let status = fstat(&file)?;
        if status.st_nlink != 1 {
            return Err(Errno::EMLINK); // its other names may be outside
        }
        let was_there = (!is_new).then_some(status);
        if (!is_new && status.st_size != 0) || super::resolve::kind(&status) != nix::sys::stat::SFlag::S_IFREG {
            return Err(Errno::ENOTEMPTY);
        }
        self.record(kept, name, before, &status, What::File { contents: contents.to_vec(), was_there })?;
        let mut file = File::from(file);
        if let Err(error) = file.write_all(contents) {
            // A part of it would look like the command's.
            let _ = file.set_len(0);
            if let Some(Thing { what: What::File { contents, .. }, .. }) = self.things.last_mut() {
                contents.clear();
            }
            return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
        }
        openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn record(&mut self, parent: OwnedFd, name: &OsStr, before: FileStat, status: &FileStat, what: What) -> Result<(), Errno> {
        let after = fstat(&parent)?;
        self.things.push(Thing { parent, name: name.to_owned(), id: id(status), what, parent_times: (before, after) });
        Ok(())
    }

    /// Takes everything away as soon as nobody uses it. Another zroot may have found there what this one made, and removing a directory removes the
    /// mounts on it from all namespaces (fs/namei.c, `vfs_rmdir`: `detach_mounts`).
    fn take_away_unused(&mut self) {
        let Some(root) = self.root.take() else { return self.take_away() };
        let mut pause = 1;
        loop {
            let tidying = Mark::set(root.as_fd(), TIDYING);
            // In this order: who is no longer starting is in, and who is no longer in has things to take away first, below what is this one's.
            let busy = if tidying.as_ref().is_some_and(|mark| mark.sees(STARTING, 1)) {
                true
            } else if let Some(process) = somebody_in(root.as_fd()) {
                drop(tidying);
                wait_for_process(process);
                continue;
            } else if let Some(mark) = &self.mark {
                mark.sees(mark.at + 1, 0)
            } else {
                tidying.as_ref().is_some_and(|mark| mark.sees(WAITING, 0))
            };
            if busy {
                drop(tidying);
                sleep_ms(pause);
                pause = pause.saturating_mul(2);
                continue;
            }
            self.take_away();
            // What is in a directory that stays may be another's that made at the same time: once more when all others are done.
            if self.things.is_empty() || self.mark.take().is_none() {
                return;
            }
        }
    }

    /// Takes everything away, the last first, but for directories that something is in; these stay recorded.
    fn take_away(&mut self) {
        self.things =
            std::mem::take(&mut self.things).into_iter().rev().filter(|thing| thing.take_away() == Err(Errno::ENOTEMPTY)).collect();
        self.things.reverse();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.take_away();
    }
}

impl Thing {
    /// Removes it, if it is still what was made. Nobody could be told of an error.
    fn take_away(&self) -> Result<(), Errno> {
        let is_it = |status: FileStat| if id(&status) == self.id { Ok(()) } else { Err(Errno::ESTALE) };
        is_it(fstatat(&self.parent, self.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?)?;
        let untouched = same_mtime(&self.parent_times.1, &self.parent);
        match &self.what {
            What::Dir => unlinkat(&self.parent, self.name.as_os_str(), UnlinkatFlags::RemoveDir)?,
            What::File { contents, was_there } => {
                let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
                let mut file = File::from(openat(&self.parent, self.name.as_os_str(), flags, Mode::empty())?);
                is_it(fstat(&file)?)?; // which another may have been exchanged for
                let mut now = Vec::new();
                (&mut file).take(contents.len() as u64 + 1).read_to_end(&mut now).map_err(|_| Errno::EIO)?;
                // Another zroot that found it before anything was in it has emptied it again.
                if now != *contents && !now.is_empty() {
                    return Ok(());
                }
                match was_there {
                    Some(before) => {
                        let (atime, mtime) = times(before);
                        file.set_len(0).map_err(|_| Errno::EIO)?;
                        futimens(&file, &atime, &mtime)?;
                    }
                    None => unlinkat(&self.parent, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir)?,
                }
            }
        }
        if untouched {
            let (atime, mtime) = times(&self.parent_times.0);
            // By path, since a directory without read permission cannot be opened for futimens(2).
            let path = super::root::by_descriptor(self.parent.as_fd());
            utimensat(AT_FDCWD, &path, &atime, &mtime, UtimensatFlags::FollowSymlink)?;
        }
        Ok(())
    }
}

fn id(status: &FileStat) -> Id {
    (status.st_dev, status.st_ino)
}

fn times(status: &FileStat) -> (TimeSpec, TimeSpec) {
    (TimeSpec::new(status.st_atime, status.st_atime_nsec), TimeSpec::new(status.st_mtime, status.st_mtime_nsec))
}

fn same_mtime(then: &FileStat, dir: &OwnedFd) -> bool {
    fstat(dir).is_ok_and(|now| (now.st_mtime, now.st_mtime_nsec) == (then.st_mtime, then.st_mtime_nsec))
}

/// The detached process's other end, held by zroot until execve closes it.
pub struct Guard {
    inotify: Inotify,
    armed: OwnedFd,
}

impl Guard {
    /// Starts the process that takes `made` away, if anything was made: at once when zroot ends without [`arm`](Guard::arm), else when the last
    /// process of the mount namespace is gone, and of the root directory.
    ///
    /// # Errors
    /// fork(2)'s, pipe(2)'s or inotify_init(2)'s; nothing is left then.
    pub fn start(made: Made) -> Result<Option<Guard>, Errno> {
        if made.things.is_empty() {
            return Ok(None);
        }
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let (wait, armed) = pipe2(OFlag::O_CLOEXEC)?;
        // SAFETY: zroot has one thread, so that the child may do whatever the parent may.
        #[allow(unsafe_code)]
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                let ended = loop {
                    match waitpid(child, None) {
                        Err(Errno::EINTR) => {}
                        ended => break ended,
                    }
                };
                match ended {
                    // No status is kept where the caller ignores SIGCHLD, which survives execve.
                    Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD) => {}
                    _ => return Err(Errno::EAGAIN), // the second fork's; what was made goes here
                }
                std::mem::forget(made); // the other process's now
                Ok(Some(Guard { inotify, armed }))
            }
            ForkResult::Child => {
                // The command may send a signal to its process group at once.
                let _ = setsid();
                // Twice, so that the command does not find a child that it did not start.
                // SAFETY: as above.
                #[allow(unsafe_code)]
                let second = unsafe { fork() };
                if matches!(second, Ok(ForkResult::Child)) {
                    drop(armed);
                    tidy_up(&inotify, wait, made);
                } else {
                    std::mem::forget(made);
                }
                // Not exit(3): what is buffered or registered is the parent's.
                // SAFETY: _exit(2) only ends the process.
                #[allow(unsafe_code)]
                unsafe {
                    libc::_exit(second.is_err().into())
                }
            }
        }
    }

    /// From now on everything stays until the present mount namespace ends. `root` is the root of a file system that is mounted there and nowhere
    /// else: its end tells inotify (fs/super.c, `generic_shutdown_super`).
    ///
    /// # Errors
    /// inotify_add_watch(2)'s or write(2)'s.
    pub fn arm(&self, root: BorrowedFd) -> Result<(), Errno> {
        self.inotify.add_watch(&super::root::by_descriptor(root), AddWatchFlags::IN_ONLYDIR | AddWatchFlags::IN_DELETE_SELF)?;
        nix::unistd::write(&self.armed, b"armed").map(drop)
    }
}

/// What the detached process does.
fn tidy_up(inotify: &Inotify, wait: OwnedFd, mut made: Made) {
    let _ = nix::unistd::chdir("/");
    let _ = nix::sys::prctl::set_name(c"zroot-tidy");
    hold_nothing_else(&[inotify.as_fd(), wait.as_fd()], &made);
    // Ends when zroot does, by execve or otherwise.
    let mut armed = Vec::new();
    if File::from(wait).read_to_end(&mut armed).is_ok() && !armed.is_empty() {
        // There is one event to come, when neither the command's mount namespace is left nor one that was copied from it.
        while inotify.read_events().is_err_and(|errno| errno == Errno::EINTR) {}
    }
    made.take_away_unused();
}

/// What a [`Mark`] says, as an offset in the directory: a zroot is looking at what is there, and then entering it.
const STARTING: libc::off_t = 0;
/// What was made is being removed.
const TIDYING: libc::off_t = 1;
/// From here on: what was made will be removed. Who makes later is further on, as far as clocks tell.
const WAITING: libc::off_t = 2;

/// A note to other zroots that is gone when it is dropped, or with the process: a read lock on a byte of the directory, which takes no right
/// but to read it, and is in the way of nobody else, flock(1) included.
pub struct Mark {
    dir: OwnedFd,
    at: libc::off_t,
}

impl Mark {
    /// None where the directory cannot be read, or the file system has no locks.
    fn set(root: BorrowedFd, at: libc::off_t) -> Option<Mark> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(root, ".", flags, Mode::empty()).ok()?;
        fcntl(&dir, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, at, 1))).ok()?;
        Some(Mark { dir, at })
    }

    /// The mark of a zroot that starts, set when what zroots before it made is gone, unless somebody is still using that. Whoever is not done
    /// in a second is something else.
    #[must_use]
    pub fn starting(root: BorrowedFd) -> Option<Mark> {
        let begin = Instant::now();
        loop {
            let mark = Mark::set(root, STARTING)?;
            let wait = mark.sees(TIDYING, 1) || mark.sees(WAITING, 0) && somebody_in(root).is_none();
            if !wait || begin.elapsed() > Duration::from_secs(1) {
                return Some(mark);
            }
            drop(mark); // for which they would wait
            sleep_ms(1);
        }
    }

    fn waiting(root: BorrowedFd) -> Option<Mark> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Where off_t has 32 bits, the seconds of the last 34 years.
        let now = libc::off_t::try_from(now.as_nanos()).or_else(|_| libc::off_t::try_from(now.as_secs() & 0x3fff_ffff)).ok()?;
        Mark::set(root, WAITING + now)
    }

    /// Whether others have set any of `length` marks, 0 for all, from `first` on.
    fn sees(&self, first: libc::off_t, length: libc::off_t) -> bool {
        let mut lock = lock(libc::F_WRLCK, first, length);
        fcntl(&self.dir, FcntlArg::F_OFD_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    }
}

fn lock(kind: i32, first: libc::off_t, length: libc::off_t) -> libc::flock {
    // SAFETY: it is made of numbers, and some targets have more of them than are set here.
    #[allow(unsafe_code)]
    let empty: libc::flock = unsafe { std::mem::zeroed() };
    let kind = libc::c_short::try_from(kind).expect("a small number");
    // l_whence is 0, SEEK_SET.
    libc::flock { l_type: kind, l_start: first, l_len: length, ..empty }
}

fn sleep_ms(milliseconds: u8) {
    let _ = poll(&mut [], PollTimeout::from(milliseconds));
}

/// A process of ours whose root directory is `root`.
fn somebody_in(root: BorrowedFd) -> Option<Pid> {
    let root = id(&fstat(root).ok()?);
    std::fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let status = nix::sys::stat::stat(&process.path().join("root")).ok()?;
        (id(&status) == root).then_some(Pid::from_raw(pid))
    })
}

/// Returns when `process` has ended, or after a moment where the kernel cannot tell (before 5.3).
fn wait_for_process(process: Pid) {
    match open_pidfd(process) {
        Ok(pidfd) => drop(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)),
        Err(_) => sleep_ms(100),
    }
}

#[allow(unsafe_code)]
fn open_pidfd(process: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open(2) takes two integers; what it returns is a new descriptor, which nobody else owns.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?))
    }
}

/// Closes every descriptor but these: a pipe of the caller's, held open, would keep its reader waiting. The standard ones may be among these, where the
/// caller has closed its own.
fn hold_nothing_else(keep: &[BorrowedFd], made: &Made) {
    let parents = made
        .things
        .iter()
        .map(|thing| &thing.parent)
        .chain(&made.root)
        .chain(made.mark.iter().map(|mark| &mark.dir))
        .map(AsRawFd::as_raw_fd);
    let ours: Vec<i32> = keep.iter().map(AsRawFd::as_raw_fd).chain(parents).collect();
    let close = |fds: &mut dyn Iterator<Item = i32>| {
        for fd in fds.filter(|fd| !ours.contains(fd)) {
            let _ = nix::unistd::close(fd);
        }
    };
    close(&mut (0..3)); // which makes room for the one that comes next, if there was none
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    close(&mut open.into_iter());
    while let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > 2 {
            break;
        }
        std::mem::forget(null);
    }
}

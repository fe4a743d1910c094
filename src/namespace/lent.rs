//! Files of the host's that a root directory lacks, lent to it while the command runs: one that is
//! missing is made, one that is empty is filled, and at the end that is undone if nobody has
//! changed it.
//!
//! Not a mount: packages rename over these files, and a mount point refuses that (fs/namei.c,
//! `vfs_rename`: EBUSY).
//!
//! The first line of a lent file says that it is one, what will become of it, and by a checksum
//! whether it is unchanged. By that other zroots in the same directory know it, and later ones, if
//! all who could undo it were killed.
//! Whoever uses it holds a shared lock on it (flock(2)), and the last one takes it back. Its time
//! of modification is the one to be set then: of the directory, or of the empty file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlink};
use nix::poll::{PollTimeout, poll};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstat, fstatat, futimens, utimensat};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};
use nix::sys::time::TimeSpec;
use nix::unistd::{LinkatFlags, UnlinkatFlags, linkat, unlinkat};

use super::mount::by_descriptor;
use super::resolve::{Resolved, kind, resolve};
use crate::file_limit::with_room;
use crate::sys::file::{Lock, lock, statx};
use crate::sys::memory::Shared;

/// A file of the host's.
pub struct Wanted {
    /// Where it is, here and there.
    pub path: &'static str,
    /// What it says.
    pub contents: Vec<u8>,
    /// What somebody else makes where there is none.
    pub twin: Option<Twin>,
}

/// A file that a package's script makes if there is none, and another one with it. Where only the
/// other one has come to be, the script has taken the lent file for the tree's own.
#[derive(Clone, Copy)]
pub struct Twin {
    /// The other one's name in the same directory.
    pub name: &'static str,
    /// What the script would have made in the place of the lent file.
    pub contents: &'static str,
}

/// What becomes of a lent file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// There was none.
    Removed,
    /// It was empty.
    Emptied,
}

impl Fate {
    const ALL: [Fate; 2] = [Fate::Removed, Fate::Emptied];

    /// What a lent file of that mode says.
    fn contents(self, mode: u32, body: &[u8]) -> Vec<u8> {
        let fate = match self {
            Fate::Removed => "removed",
            Fate::Emptied => "emptied",
        };
        let sum = checksum(mode, body);
        let mark = format!(
            "# Lent by zroot while it runs a command here, and {fate} after that ({sum:016x}).\n"
        );
        [mark.as_bytes(), body].concat()
    }

    /// What will become of a file of that mode which says this; `None` if it is not lent, or not
    /// any more.
    fn of(mode: u32, contents: &[u8]) -> Option<Fate> {
        let end = contents.iter().position(|byte| *byte == b'\n')?;
        let body = &contents[end + 1..];
        let is_it = |fate: &Fate| fate.contents(mode, body) == contents;
        Fate::ALL.into_iter().find(is_it)
    }
}

/// Fowler, Noll and Vo's hash of 64 bits, FNV-1a: whoever changes a file does not mean to keep it.
fn checksum(mode: u32, body: &[u8]) -> u64 {
    let bytes = mode.to_le_bytes().into_iter().chain(body.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Larger ones are nobody's resolv.conf, in bytes.
pub const LARGEST: u64 = 64 << 10;
/// How often to look again where another zroot does something at the same moment, every
/// millisecond.
const TRIES: usize = 1000;

/// The same where it does so for some microseconds, and anybody can have a lock.
const FEW_TRIES: usize = 200;

/// It is being taken back.
const TAKING: u32 = 1;
/// It is back, or somebody else's now.
const BACK: u32 = 2;

/// What has been lent, or will be.
#[derive(Default)]
pub struct Lent {
    loans: Vec<Loan>,
    /// How far taking it back has come, also for the process that watches: [`TAKING`], [`BACK`].
    state: Option<Shared<AtomicU32>>,
}

struct Loan {
    dir: OwnedFd,
    name: OsString,
    fate: Fate,
    /// What the host's says.
    body: Vec<u8>,
    /// The file, with a lock on it. `None` before it is made where files cannot be made without a
    /// name, and in a process that only watches.
    file: Option<File>,
    /// The times to be set when it is taken back: of the directory, or of the empty file.
    times: (TimeSpec, TimeSpec),
    /// How the file was once it was there; `None` before that.
    given: Option<FileStat>,
    /// What has not come to be yet.
    twin: Option<Twin>,
}

impl Lent {
    /// Looks for what `root` lacks of what is `wanted`. Nothing changes yet. `say` hears of what
    /// cannot be lent.
    pub fn look(root: BorrowedFd, wanted: Vec<Wanted>, say: &dyn Fn(fmt::Arguments)) -> Lent {
        let look = |wanted: Wanted| {
            look(root, &wanted).unwrap_or_else(|errno| {
                let (name, why) = (wanted.path, errno.desc());
                say(format_args!("{name} stays as it is inside ({why})"));
                None
            })
        };
        let loans: Vec<Loan> = wanted.into_iter().filter_map(look).collect();
        let shared = (!loans.is_empty()).then(Shared::zeroed);
        Lent {
            loans,
            // Without it, a time may be left to be set if this process is killed.
            state: shared.and_then(Result::ok),
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loans.is_empty()
    }

    /// The descriptors that must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let files = self.loans.iter().filter_map(|loan| loan.file.as_ref());
        let dirs = self.loans.iter().map(|loan| loan.dir.as_raw_fd());
        files.map(AsRawFd::as_raw_fd).chain(dirs)
    }

    /// Puts it all there. `say` hears of what cannot be.
    pub fn give(&mut self, say: &dyn Fn(fmt::Arguments)) {
        let is_given = |loan: &mut Loan, given: Result<(), Errno>| {
            if let Err(errno) = given {
                loan.withdraw();
                let (name, why) = (Path::new(&loan.name).display(), errno.desc());
                say(format_args!("{name} stays as it is inside ({why})"));
            }
            given.is_ok()
        };
        self.loans.retain_mut(|loan| {
            let given = loan.give();
            is_given(loan, given)
        });
        // Not before all are there: who finds one of them finds the others.
        self.loans.retain_mut(|loan| {
            let given = loan.end_giving();
            is_given(loan, given)
        });
    }

    /// Takes back what nobody has changed, and nobody else uses.
    ///
    /// # Errors
    /// That of the first one that cannot be taken back.
    pub fn take_back(&mut self) -> Result<(), Errno> {
        let state = |new| self.state.map(|state| state.swap(new, Ordering::AcqRel));
        let was_taken = state(TAKING) == Some(TAKING);
        if was_taken {
            // By a process that was killed over it.
            for loan in &self.loans {
                loan.set_time();
            }
        }
        let taken = self.loans.iter_mut().map(|loan| again(|| loan.take_back()));
        let taken = taken.fold(Ok(()), Result::and);
        if taken.is_ok() {
            state(BACK);
        }
        taken
    }

    /// Whether it is back, or somebody else's now.
    #[must_use]
    pub fn is_back(&self) -> bool {
        let state = self.state.map(|state| state.load(Ordering::Acquire));
        state == Some(BACK)
    }

    /// Becomes what another process needs to take it back when this one is killed: by name, and
    /// without a lock of its own.
    pub fn watch(&mut self) {
        for loan in &mut self.loans {
            loan.file = None;
        }
    }
}

/// What `root` lacks of that file.
fn look(root: BorrowedFd, wanted: &Wanted) -> Result<Option<Loan>, Errno> {
    for _ in 0..TRIES {
        let found = match resolve(root, Path::new(wanted.path))? {
            Resolved::Missing { parent, rest, .. } => match &rest[..] {
                [name] => match Loan::missing(parent, name, &wanted.contents)? {
                    Some(loan) => return Ok(Some(loan.with(wanted.twin))),
                    None => continue, // it has come to be meanwhile
                },
                // Directories are not made: they would stay if something came to be in them.
                _ => return Err(Errno::ENOENT),
            },
            Resolved::Found(file) => file,
        };
        match Loan::found(&found, &wanted.contents)? {
            Found::Own => return Ok(None),
            Found::Lent(loan) => return Ok(Some(loan.with(wanted.twin))),
            Found::Busy => drop(poll(&mut [], PollTimeout::from(1_u8))),
        }
    }
    Err(Errno::EBUSY)
}

/// What a file that is there is.
#[allow(clippy::large_enum_variant)] // there is one at a time
enum Found {
    /// The tree's own.
    Own,
    /// Empty, or lent already.
    Lent(Loan),
    /// Another zroot is about to change it.
    Busy,
}

impl Loan {
    /// With `twin`, unless that is there already.
    fn with(self, twin: Option<Twin>) -> Loan {
        let is_missing = |twin: &Twin| !self.has_come(twin);
        let twin = twin.filter(is_missing);
        Loan { twin, ..self }
    }

    fn has_come(&self, twin: &Twin) -> bool {
        fstatat(&self.dir, twin.name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Of what will be made as `name` in `dir`; `None` if it is there.
    fn missing(dir: OwnedFd, name: &OsStr, body: &[u8]) -> Result<Option<Loan>, Errno> {
        // It gets its name when it is complete, and locked.
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let file = match openat(&dir, ".", flags, Mode::from_bits_truncate(0o644)) {
            Ok(file) => Some(File::from(file)),
            // The file system has no such files, or the kernel does not know of them.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOSYS) => None,
            Err(errno) => return Err(errno),
        };
        if let Some(file) = &file {
            lock(file, Lock::Exclusive)?;
            fill(file, Fate::Removed, body)?;
        }
        let times = {
            // The directory's own time, and not what another zroot has made of it for a moment.
            let _calm = locked(&dir, Lock::Shared);
            let times = times(&fstat(&dir)?);
            match fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => times,
                there => return there.map(|_| None),
            }
        };
        Ok(Some(Loan {
            times,
            name: name.to_owned(),
            dir,
            fate: Fate::Removed,
            body: body.to_owned(),
            file,
            given: None,
            twin: None,
        }))
    }

    /// Of what is there.
    fn found(found: &OwnedFd, body: &[u8]) -> Result<Found, Errno> {
        let status = fstat(found)?;
        if kind(&status) != SFlag::S_IFREG || size(&status) > 2 * LARGEST {
            return Ok(Found::Own);
        }
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = openat(
            AT_FDCWD,
            &by_descriptor(found.as_fd()),
            flags,
            Mode::empty(),
        );
        let file = match opened {
            Ok(file) => File::from(file),
            Err(errno) if size(&status) == 0 => return Err(errno),
            Err(_) => return Ok(Found::Own),
        };
        let before = read(&file)?;
        let fate = match Fate::of(status.st_mode, &before) {
            Some(fate) => fate,
            None if before.is_empty() => Fate::Emptied,
            None => return Ok(Found::Own),
        };
        if status.st_nlink > 1 {
            return Err(Errno::EMLINK); // its other names may be outside
        }
        let (dir, name) = match place(found) {
            Err(Errno::ENOENT | Errno::ESTALE) => return Ok(Found::Busy), // it has gone
            place => place?,
        };
        let is_only = lock(&file, Lock::Exclusive)?;
        if !is_only && (before.is_empty() || !lock(&file, Lock::Shared)?) {
            return Ok(Found::Busy);
        }
        let mut loan = Loan {
            fate,
            body: body.to_owned(),
            file: None,
            times: times(&status),
            dir,
            name,
            given: None,
            twin: None,
        };
        // Before there was a lock it may have been given, changed or taken back.
        if read(&file)? != before || !loan.is_in_place(&file)? {
            return Ok(Found::Busy);
        }
        if before.is_empty() {
            loan.file = Some(file);
            return Ok(Found::Lent(loan));
        }
        let (now, dir) = (fstat(&file)?, fstat(&loan.dir)?);
        let has_others_time = fate == Fate::Removed && !is_untouched(&dir, &now);
        let status = if has_others_time { dir } else { now };
        loan.times = (TimeSpec::UTIME_OMIT, mtime_of(&status));
        // If nobody else uses it, all who did were killed, and it may be an old one.
        if is_only {
            fill(&file, fate, body)?;
            loan.hand_over(&file)?;
        }
        loan.given = Some(fstat(&file)?);
        loan.file = Some(file);
        Ok(Found::Lent(loan))
    }

    /// Whether `file` still has its name.
    fn is_in_place(&self, file: &File) -> Result<bool, Errno> {
        let named = match fstatat(&self.dir, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok(false),
            named => named?,
        };
        let open = fstat(file)?;
        Ok((named.st_dev, named.st_ino, named.st_nlink) == (open.st_dev, open.st_ino, 1))
    }

    fn give(&mut self) -> Result<(), Errno> {
        for _ in 0..TRIES {
            match self.try_to_give() {
                // Another zroot had made it, and has taken it back.
                Err(Errno::ENOENT) => drop(poll(&mut [], PollTimeout::from(1_u8))),
                given => return given,
            }
        }
        Err(Errno::ENOENT)
    }

    fn try_to_give(&mut self) -> Result<(), Errno> {
        if self.given.is_some() {
            return Ok(()); // another zroot has
        }
        match (&self.file, self.fate) {
            (Some(file), Fate::Emptied) => fill(file, self.fate, &self.body)?,
            (Some(file), Fate::Removed) => {
                let from = by_descriptor(file.as_fd());
                let flags = LinkatFlags::AT_SYMLINK_FOLLOW;
                let link = || linkat(AT_FDCWD, &from, &self.dir, &*self.name, flags);
                match self.in_the_dirs_time(link) {
                    Err(Errno::EEXIST) => return self.join(),
                    done => done?,
                }
            }
            (None, _) => {
                let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                let mode = Mode::from_bits_truncate(0o644);
                let make = || openat(&self.dir, &*self.name, flags, mode);
                let file = match self.in_the_dirs_time(make) {
                    Err(Errno::EEXIST) => return self.join(),
                    file => File::from(file?),
                };
                let filled =
                    lock(&file, Lock::Exclusive).and_then(|_| fill(&file, self.fate, &self.body));
                self.file = Some(file);
                filled?;
            }
        }
        Ok(())
    }

    /// Makes a file by `make`, and leaves its directory the time that it has: several files lent
    /// there, by several zroots, come and go one by one.
    fn in_the_dirs_time<T>(&self, make: impl Fn() -> nix::Result<T>) -> Result<T, Errno> {
        let _busy = locked(&self.dir, Lock::Exclusive);
        let before = mtime_of(&fstat(&self.dir)?);
        let made = make()?;
        // Who may make a file there need not own the directory.
        let _ = self.set_dirs_time(&TimeSpec::UTIME_OMIT, &before);
        Ok(made)
    }

    /// By path, since a directory without read permission cannot be opened for futimens(2).
    fn set_dirs_time(&self, atime: &TimeSpec, mtime: &TimeSpec) -> Result<(), Errno> {
        let path = by_descriptor(self.dir.as_fd());
        again(|| utimensat(AT_FDCWD, &path, atime, mtime, UtimensatFlags::FollowSymlink))
    }

    /// Lets others have a part in what this zroot has made or filled.
    fn end_giving(&mut self) -> Result<(), Errno> {
        if let (None, Some(file)) = (&self.given, &self.file) {
            self.hand_over(file)?;
            self.given = Some(fstat(file)?);
        }
        Ok(())
    }

    /// Has all as it was before a part of it was given.
    fn withdraw(&mut self) {
        let (Some(file), (atime, mtime)) = (&self.file, &self.times) else {
            return;
        };
        // If it has come to this, nothing more can be done.
        let _ = match self.fate {
            Fate::Emptied => again(|| file.set_len(0).map_err(|error| errno_of(&error)))
                .and_then(|()| again(|| futimens(file, atime, mtime))),
            Fate::Removed if again(|| self.is_in_place(file)) == Ok(true) => {
                self.remove(None, true)
            }
            Fate::Removed => Ok(()),
        };
    }

    /// Removes the file, and sets the time of its directory: what it was before that was lent, or
    /// what somebody else has made of it since.
    /// `opened` is the file, if that is not the loan's own.
    fn remove(&mut self, opened: Option<File>, is_untouched: bool) -> Result<(), Errno> {
        let _busy = locked(&self.dir, Lock::Exclusive);
        let before = mtime_of(&fstat(&self.dir)?);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let held = is_in_user_space(&self.dir)
            .then(|| openat(&self.dir, &*self.name, flags, Mode::empty()).ok());
        again(|| unlinkat(&self.dir, &*self.name, UnlinkatFlags::NoRemoveDir))?;
        // Such a server gives what is open another name there, until it hears that it is closed.
        if let Some(Some(held)) = held {
            (self.file, _) = (None, opened);
            wait_until_gone(&held);
        }
        let (atime, mtime) = &self.times;
        if is_untouched {
            self.set_dirs_time(atime, mtime)
        } else {
            self.set_dirs_time(&TimeSpec::UTIME_OMIT, &before)
        }
    }

    /// Sets the time that is left to be set once the file is taken back, if it is.
    fn set_time(&self) {
        let dir = self.dir.as_fd();
        let named = fstatat(dir, &*self.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        let (atime, mtime) = &self.times;
        let _ = match (self.fate, named) {
            (Fate::Removed, Err(Errno::ENOENT)) => self.set_dirs_time(atime, mtime),
            (Fate::Emptied, Ok(now)) if now.st_size == 0 && kind(&now) == SFlag::S_IFREG => {
                let flags = UtimensatFlags::NoFollowSymlink;
                utimensat(dir, &*self.name, atime, mtime, flags)
            }
            _ => Ok(()),
        };
    }

    /// Lets others share the file, which is locked for this process alone until then.
    fn hand_over(&self, file: &File) -> Result<(), Errno> {
        let (atime, mtime) = &self.times;
        let _ = futimens(file, atime, mtime); // somebody else's empty file keeps its new time
        lock(file, Lock::Shared).map(drop)
    }

    /// Another zroot was quicker, or somebody else.
    fn join(&mut self) -> Result<(), Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        for _ in 0..TRIES {
            let there = openat(&self.dir, &*self.name, flags, Mode::empty())?;
            match Loan::found(&there, &self.body)? {
                Found::Lent(loan) if loan.fate == self.fate => {
                    *self = loan.with(self.twin);
                    return Ok(());
                }
                Found::Busy => drop(poll(&mut [], PollTimeout::from(1_u8))),
                Found::Own | Found::Lent(_) => return Err(Errno::EEXIST),
            }
        }
        Err(Errno::EBUSY)
    }

    /// Locks `file` for this process alone, unless somebody else uses it.
    fn is_last(&self, file: &File) -> Result<bool, Errno> {
        // One that was killed may seem to have gone a moment before its lock goes: the kernel
        // closes its descriptors one by one, in any order (kernel/task_work.c, task_work_run).
        let tries = if self.file.is_some() { 1 } else { TRIES };
        for _ in 1..tries {
            if lock(file, Lock::Exclusive)? {
                return Ok(true);
            }
            let _ = poll(&mut [], PollTimeout::from(1_u8));
        }
        lock(file, Lock::Exclusive)
    }

    fn take_back(&mut self) -> Result<(), Errno> {
        let mut opened = None;
        let file = if let Some(file) = &self.file {
            file
        } else {
            let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
            let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
            opened.insert(openat(&self.dir, &*self.name, flags, Mode::empty())?.into())
        };
        let now = fstat(file)?;
        let is_changed = |then: &FileStat| version(then) != version(&now);
        if kind(&now) != SFlag::S_IFREG
            || !self.is_in_place(file)?
            || self.given.as_ref().is_some_and(is_changed)
            || Fate::of(now.st_mode, &read(file)?) != Some(self.fate)
            || !self.is_last(file)?
        {
            return Ok(());
        }
        let (atime, mtime) = &self.times;
        match self.fate {
            Fate::Emptied => {
                file.set_len(0).map_err(|error| errno_of(&error))?;
                again(|| futimens(file, atime, mtime))
            }
            Fate::Removed => {
                if let Some(twin) = self.twin.filter(|twin| self.has_come(twin)) {
                    return write(file, twin.contents.as_bytes());
                }
                let is_untouched = is_untouched(&fstat(&self.dir)?, &now);
                self.remove(opened, is_untouched)
            }
        }
    }
}

/// `dir`, locked: who lends a file there, or takes it back, changes the directory's time for a
/// moment. `None` where it cannot be, for want of a permission or because somebody keeps it locked.
fn locked(dir: impl AsFd, how: Lock) -> Option<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let file = File::from(openat(dir, ".", flags, Mode::empty()).ok()?);
    for _ in 0..FEW_TRIES {
        if lock(&file, how).ok()? {
            return Some(file);
        }
        let _ = poll(&mut [], PollTimeout::from(1_u8));
    }
    None
}

/// Whether a process serves the file system that `dir` is in (FUSE).
fn is_in_user_space(dir: impl AsFd) -> bool {
    fstatfs(dir).is_ok_and(|system| system.filesystem_type() == FUSE_SUPER_MAGIC)
}

/// Waits until `file` has no name any more, but not for ever: somebody else may have it open.
fn wait_until_gone(file: &OwnedFd) {
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_FORCE_SYNC;
    for _ in 0..TRIES {
        match statx(file, c"", flags, libc::STATX_NLINK) {
            Ok(status) if status.stx_nlink > 0 => drop(poll(&mut [], PollTimeout::from(1_u8))),
            _ => return,
        }
    }
}

/// Whether nothing has been made in `dir`, or removed, since the file there was `lent`, whose times
/// were set just after that.
fn is_untouched(dir: &FileStat, lent: &FileStat) -> bool {
    let changed = TimeSpec::new(lent.st_ctime, lent.st_ctime_nsec);
    mtime_of(dir) <= changed
}

/// What changes with a file: when it was changed last, its mode and its size.
#[allow(clippy::useless_conversion)] // some machines have smaller ones
fn version(status: &FileStat) -> (i64, i64, u32, i64) {
    let (seconds, nanoseconds) = (status.st_ctime.into(), status.st_ctime_nsec.into());
    (seconds, nanoseconds, status.st_mode, status.st_size.into())
}

fn mtime_of(status: &FileStat) -> TimeSpec {
    times(status).1
}

fn times(status: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(status.st_atime, status.st_atime_nsec),
        TimeSpec::new(status.st_mtime, status.st_mtime_nsec),
    )
}

fn size(status: &FileStat) -> u64 {
    u64::try_from(status.st_size).unwrap_or(u64::MAX)
}

/// All that a file says, from its beginning.
fn read(file: &File) -> Result<Vec<u8>, Errno> {
    let mut contents = Vec::new();
    let mut piece = [0; 4096];
    // Whatever is longer is not lent.
    while contents.len() as u64 <= 2 * LARGEST {
        match file.read_at(&mut piece, contents.len() as u64) {
            Ok(0) => break,
            Ok(len) => contents.extend(&piece[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(errno_of(&error)),
        }
    }
    Ok(contents)
}

/// Has `file` say what a lent one says.
fn fill(file: &File, fate: Fate, body: &[u8]) -> Result<(), Errno> {
    write(file, &fate.contents(fstat(file)?.st_mode, body))
}

/// Has `file` say `contents`.
fn write(file: &File, contents: &[u8]) -> Result<(), Errno> {
    let size = fstat(file)?.st_size;
    let write = || {
        // An empty file would have another time already.
        if size != 0 {
            file.set_len(0)?;
        }
        file.write_all_at(contents, 0)
    };
    with_room(contents.len(), write)?.map_err(|error| errno_of(&error))
}

/// Does once more what has failed: nobody does it later.
fn again<T>(mut what: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    what().or_else(|_| what())
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The directory that a file is in, and its name there.
fn place(file: &OwnedFd) -> Result<(OwnedFd, OsString), Errno> {
    let path = PathBuf::from(readlink(&by_descriptor(file.as_fd()))?);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::ENOENT);
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = openat(AT_FDCWD, dir, flags, Mode::empty())?;
    // Whatever has that path now, it counts only if it is the same.
    let (there, status) = (
        fstatat(&dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?,
        fstat(file)?,
    );
    if (there.st_dev, there.st_ino) == (status.st_dev, status.st_ino) {
        Ok((dir, name.to_owned()))
    } else {
        Err(Errno::ESTALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lent_file_is_known_until_it_is_changed() {
        for fate in Fate::ALL {
            for body in [
                &b"nameserver 192.0.2.1\n"[..],
                b"",
                b"\n\n",
                b"no line break",
            ] {
                let contents = fate.contents(0o100_644, body);
                assert_eq!(Fate::of(0o100_644, &contents), Some(fate));
                assert_eq!(Fate::of(0o100_600, &contents), None);
                let more = [&contents, &b"x"[..]].concat();
                assert_eq!(Fate::of(0o100_644, &more), None);
            }
        }
        for own in [
            &b""[..],
            b"\n",
            b"nameserver 192.0.2.1\n",
            b"# Lent by zroot",
        ] {
            assert_eq!(Fate::of(0o100_644, own), None);
        }
    }

    #[test]
    fn the_last_one_takes_it_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let root = File::open(dir.path()).expect("a directory");
        let lend = || {
            let wanted = Wanted {
                path: "/file",
                contents: b"the host's\n".to_vec(),
                twin: None,
            };
            let mut lent = Lent::look(root.as_fd(), vec![wanted], &|said| panic!("{said}"));
            lent.give(&|said| panic!("{said}"));
            assert!(
                std::fs::read(&path)
                    .expect("a file")
                    .ends_with(b"\nthe host's\n")
            );
            lent
        };
        let (mut first, mut second) = (lend(), lend());
        first.take_back().expect("taken back");
        drop(first);
        assert!(path.exists());
        second.take_back().expect("taken back");
        assert!(!path.exists());
        drop(second);
        // All were killed; somebody comes later.
        drop(lend());
        assert!(path.exists());
        lend().take_back().expect("taken back");
        assert!(!path.exists());
        // One that watched takes it back, unless somebody uses it.
        let mut watching = lend();
        let using = lend();
        watching.watch();
        watching.take_back().expect("taken back");
        assert!(path.exists());
        drop(using);
        watching.take_back().expect("taken back");
        assert!(!path.exists());
    }
}

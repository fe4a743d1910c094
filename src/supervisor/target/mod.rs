//! Reading and writing a target's memory, and reaching its files as it would: the one place where
//! either is done.
//!
//! The supervisor stands in `/proc` when it is idle. To reach a path of a target's it goes into
//! that target's root and working directory (the links `/proc/TID/root` and `cwd` lead there,
//! whatever the mount namespace), makes the call that was asked for, and goes back before it
//! answers, so that it keeps no file system busy.

#![allow(unsafe_code)] // statx(2), prlimit(2) of another process and process_vm_writev(2): no crate has a safe call for them here

use std::cell::Cell;
use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open, readlinkat};
use nix::sys::stat::{Mode, lstat};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::{Pid, chdir, chroot, fchdir};

pub mod call;
pub mod listener;

use call::Call;
use listener::Listener;

/// `PATH_MAX`, include/uapi/linux/limits.h: the longest path with its end, in bytes.
const PATH_MAX: usize = 4096;

/// A directory, told apart from all others: device, inode, and the mount through which it is seen
/// (0 where the kernel does not say, before 5.8).
type Place = (u32, u32, u64, u64);

/// Where the supervisor stands.
pub struct Home {
    proc_dir: OwnedFd,
    root: OwnedFd,
    root_place: Place,
}

impl Home {
    /// Opens `/proc` and `/`, and looks whether `/proc` knows this process.
    ///
    /// # Errors
    /// What is wrong with `/proc`: open(2)'s, or `ESRCH` if it is that of another PID namespace.
    pub fn open() -> Result<Home, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let proc_dir = open("/proc", flags, Mode::empty())?;
        let root = open("/", flags, Mode::empty())?;
        let own = std::process::id().to_string();
        if readlinkat(&proc_dir, "self")
            .map_err(|_| Errno::ENOENT)?
            .as_bytes()
            != own.as_bytes()
        {
            return Err(Errno::ESRCH);
        }
        Ok(Home {
            proc_dir,
            root,
            root_place: place(c"/")?,
        })
    }

    /// The descriptors that must stay open.
    #[must_use]
    pub fn descriptors(&self) -> [i32; 2] {
        [self.proc_dir.as_raw_fd(), self.root.as_raw_fd()]
    }

    /// The whole of `path`, as the present root directory has it.
    ///
    /// # Errors
    /// open(2)'s, readlink(2)'s.
    pub fn name_of(&self, path: &CStr, follow: bool) -> Result<Vec<u8>, Errno> {
        let flags = OFlag::O_PATH
            | OFlag::O_CLOEXEC
            | if follow {
                OFlag::empty()
            } else {
                OFlag::O_NOFOLLOW
            };
        let file = open(path, flags, Mode::empty())?;
        let link = format!("self/fd/{}", file.as_raw_fd());
        readlinkat(&self.proc_dir, link.as_str()).map(OsString::into_encoded_bytes)
    }

    /// Goes to `/proc`.
    ///
    /// # Errors
    /// fchdir(2)'s.
    pub fn stand(&self) -> Result<(), Errno> {
        fchdir(&self.proc_dir)
    }
}

/// One waiting call's thread.
pub struct Target<'a> {
    /// The call.
    pub call: &'a Call,
    /// Where it came from.
    pub listener: &'a Listener,
    /// Where the supervisor stands.
    pub home: &'a Home,
    /// Whether the kernel has kept us from looking into the process: one that runs an executable
    /// which only others may read belongs to an outer namespace (fs/exec.c, `would_dump`).
    pub is_closed: Cell<bool>,
    /// Whether the answer is another than the kernel's.
    pub is_pretended: Cell<bool>,
}

/// Which file a call is about.
#[derive(Clone, Copy, Debug)]
pub enum File<'a> {
    /// The one that is open for reading or writing at a descriptor, as fchown(2) has it.
    Open(i32),
    /// The one that a descriptor, which may be opened with `O_PATH`, or `AT_FDCWD` refers to, as
    /// `AT_EMPTY_PATH` has it.
    Named(i32),
    /// The one at a path, from a directory descriptor or `AT_FDCWD`.
    At(i32, &'a CStr),
}

impl Target<'_> {
    /// Success in the place of a refusal.
    pub fn pretend(&self) -> i64 {
        self.is_pretended.set(true);
        0
    }

    /// The result of what was done: a refusal is taken for success, every other error stays.
    ///
    /// # Errors
    /// `result`'s.
    pub fn or_pretend(&self, result: Result<(), Errno>) -> Result<i64, Errno> {
        match result {
            Ok(()) => Ok(0),
            Err(Errno::EPERM) => Ok(self.pretend()),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the caller still waits. To be asked after the last look at it and before anything is
    /// done for it.
    ///
    /// # Errors
    /// `ESRCH`, which nobody will see.
    pub fn still_waits(&self) -> Result<(), Errno> {
        if self.listener.is_valid(self.call.id) {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// Fills `buffer` from the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` if not all of it is there.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let len = buffer.len();
        if len == 0 || self.read_some(address, buffer)? == len {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Reads from the caller's memory up to the first page that is not there.
    fn read_some(&self, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        // Beyond the reach of a supervisor with smaller addresses than its target's.
        let Ok(base) = usize::try_from(address) else {
            return self.read_by_file(address, buffer);
        };
        // A transfer that fails in the middle is told only by the pieces, so that there is one per
        // page.
        let mut pieces = [RemoteIoVec { base: 0, len: 0 }; 20];
        let mut done = 0;
        while done < buffer.len() {
            let mut used = 0;
            let mut asked = done;
            for piece in &mut pieces {
                if asked == buffer.len() {
                    break;
                }
                let at = base.checked_add(asked).ok_or(Errno::EFAULT)?;
                let len = (4096 - at % 4096).min(buffer.len() - asked);
                *piece = RemoteIoVec { base: at, len };
                asked += len;
                used += 1;
            }
            let got = match process_vm_readv(
                self.pid(),
                &mut [IoSliceMut::new(&mut buffer[done..asked])],
                &pieces[..used],
            ) {
                // A kernel without CONFIG_CROSS_MEMORY_ATTACH.
                Err(Errno::ENOSYS) => {
                    self.read_by_file(address + done as u64, &mut buffer[done..asked])?
                }
                Err(_) if done > 0 => 0,
                got => self.looked(got)?,
            };
            done += got;
            if done < asked {
                break;
            }
        }
        Ok(done)
    }

    fn read_by_file(&self, at: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.memory(false)?
            .read_at(buffer, at)
            .map_err(|_| Errno::EFAULT)
    }

    fn memory(&self, write: bool) -> Result<fs::File, Errno> {
        let file = fs::OpenOptions::new()
            .read(!write)
            .write(write)
            .open(self.entry("mem").as_path());
        self.looked(file.map_err(|error| errno(&error)))
    }

    /// Writes to the caller's memory.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let written = match usize::try_from(address) {
            Ok(base) => process_vm_writev(
                self.pid(),
                &[IoSlice::new(bytes)],
                &[RemoteIoVec {
                    base,
                    len: bytes.len(),
                }],
            ),
            Err(_) => Err(Errno::ENOSYS),
        };
        let done = match written {
            Err(Errno::ENOSYS) => self
                .memory(true)?
                .write_at(bytes, address)
                .map_err(|_| Errno::EFAULT)?,
            done => self.looked(done)?,
        };
        if done == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Reads a path.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG`.
    pub fn path(&self, address: u64) -> Result<CString, Errno> {
        self.string(address, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)
    }

    /// Reads a string of less than `limit` bytes; `None` if it is longer.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn string(&self, address: u64, limit: usize) -> Result<Option<CString>, Errno> {
        let mut buffer = [0; PATH_MAX];
        let limit = limit.min(PATH_MAX);
        let mut len = 0;
        // Most paths are short.
        for end in [192, PATH_MAX] {
            let end = end.min(limit);
            let got = self.read_some(address + len as u64, &mut buffer[len..end])?;
            if let Ok(string) = CStr::from_bytes_until_nul(&buffer[..len + got]) {
                return Ok(Some(string.to_owned()));
            }
            if len + got < end {
                return Err(Errno::EFAULT);
            }
            len = end;
        }
        Ok(None)
    }

    /// Has `act` do the real thing to `file`: it is called with a path that means for the
    /// supervisor what `file` means for the caller.
    ///
    /// # Errors
    /// What keeps the caller from the file, `EBADF` for one; what `act` says.
    pub fn reach<T>(
        &self,
        file: File,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (dir, path) = match file {
            File::Open(fd) | File::Named(fd) => return self.reach_descriptor(file, fd, act),
            File::At(_, path) if path.is_empty() => return Err(Errno::ENOENT),
            File::At(dir, path) => (dir, path),
        };
        let is_relative = !path.to_bytes().starts_with(b"/");
        let is_elsewhere = self.looked(place(&self.entry("root")))? != self.home.root_place;
        if is_elsewhere {
            chroot(self.entry("root").as_c_str())?;
        }
        let result = (|| {
            if let Some(path) = self.own_path(path) {
                self.still_waits()?;
                return act(&path);
            }
            if is_relative && dir == AT_FDCWD.as_raw_fd() {
                chdir(self.entry("cwd").as_c_str())?;
            } else if is_relative {
                chdir(self.descriptor(dir)?.as_c_str()).map_err(not_open)?;
            }
            self.still_waits()?;
            act(path)
        })();
        // Not to be back would mean to take all later paths for what they are not. Another
        // supervisor does better.
        if is_elsewhere {
            fchdir(&self.home.root)
                .and_then(|()| chroot("."))
                .expect("back in the own root directory");
        }
        if is_elsewhere || is_relative {
            self.home.stand().expect("back in /proc");
        }
        result
    }

    fn reach_descriptor<T>(
        &self,
        file: File,
        fd: i32,
        act: impl FnOnce(&CStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let is_named = matches!(file, File::Named(_));
        let path = if is_named && fd == AT_FDCWD.as_raw_fd() {
            self.entry("cwd")
        } else {
            self.descriptor(fd)?
        };
        // The link's permissions say what the descriptor is open for (fs/proc/fd.c,
        // tid_fd_update_inode): nothing with O_PATH.
        if !is_named && lstat(path.as_c_str()).map_err(not_open)?.st_mode & libc::S_IRWXU == 0 {
            return Err(Errno::EBADF);
        }
        self.still_waits()?;
        act(&path).map_err(|errno| {
            if errno == Errno::EACCES {
                // Of the file, or of the way to it?
                let _ = self.looked(place(&self.entry("root")));
            }
            not_open(errno)
        })
    }

    /// For a path by which a process names its own files, the same from `/proc`: `/proc/self` would
    /// be the supervisor.
    fn own_path(&self, path: &CStr) -> Option<CString> {
        let bytes = path.to_bytes().strip_prefix(b"/")?;
        let (link, entry, rest) = if let Some(rest) = behind(bytes, "proc") {
            (
                "/proc/self",
                "",
                behind(rest, "self")
                    .or_else(|| behind(rest, "thread-self"))
                    .filter(|rest| !rest.is_empty())?,
            )
        } else {
            let dev = behind(bytes, "dev")?;
            let streams = [("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")];
            let stream = || {
                streams
                    .into_iter()
                    .find_map(|(name, entry)| Some(("/dev/fd", entry, behind(dev, name)?)))
            };
            behind(dev, "fd")
                .filter(|rest| !rest.is_empty())
                .map(|rest| ("/dev/fd", "fd", rest))
                .or_else(stream)?
        };
        // In a root directory without /proc or /dev there is nothing at that path. And one that
        // leads back out is not the process's own.
        fs::symlink_metadata(link).ok()?;
        if leads_out(rest) {
            return None;
        }
        let rest = if entry.is_empty() { &rest[1..] } else { rest };
        let own = self.entry(entry);
        CString::new([own.as_bytes(), rest].concat()).ok()
    }

    /// `TID/NAME`, from `/proc`.
    fn entry(&self, name: &str) -> CString {
        CString::new(format!("{}/{name}", self.call.tid)).unwrap_or_default()
    }

    fn descriptor(&self, fd: i32) -> Result<CString, Errno> {
        if fd < 0 {
            Err(Errno::EBADF)
        } else {
            Ok(self.entry(&format!("fd/{fd}")))
        }
    }

    /// Passes on what came of a look into the process.
    fn looked<T>(&self, result: Result<T, Errno>) -> Result<T, Errno> {
        if matches!(result, Err(Errno::EPERM | Errno::EACCES)) {
            self.is_closed.set(true);
        }
        result
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.call.tid)
    }

    /// A field of `/proc/TID/status`.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn status(&self, field: &str) -> Result<String, Errno> {
        let status = self.file("status")?;
        let text = String::from_utf8_lossy(&status);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value
            .map(|value| value.trim().to_owned())
            .ok_or(Errno::ESRCH)
    }

    /// Fills `buffer` from `/proc/TID/NAME`; how much of it.
    ///
    /// # Errors
    /// open(2)'s, read(2)'s.
    pub fn start_of(&self, name: &str, buffer: &mut [u8]) -> Result<usize, Errno> {
        let file = open(
            self.entry(name).as_c_str(),
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        nix::unistd::read(&file, buffer)
    }

    /// The contents of `/proc/TID/NAME`.
    ///
    /// # Errors
    /// open(2)'s; `ESRCH`.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, Errno> {
        let mut contents = Vec::new();
        let mut file =
            self.looked(fs::File::open(self.entry(name).as_path()).map_err(|error| errno(&error)))?;
        file.read_to_end(&mut contents).map_err(|_| Errno::ESRCH)?;
        Ok(contents)
    }
}

/// A small help for the paths that [`Target::entry`] makes.
trait AsPath {
    fn as_path(&self) -> &Path;
}

impl AsPath for CString {
    fn as_path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(self.as_bytes()))
    }
}

/// What follows the component `name` at the beginning of `path`: nothing, or a slash and more.
/// Slashes and single dots before it do not count.
fn behind<'a>(mut path: &'a [u8], name: &str) -> Option<&'a [u8]> {
    while let Some(rest) = path.strip_prefix(b"/").or_else(|| path.strip_prefix(b"./")) {
        path = rest;
    }
    path.strip_prefix(name.as_bytes())
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Whether a path from a process's directory in `/proc` leaves that by `..`, and not by a link to
/// another place.
fn leads_out(path: &[u8]) -> bool {
    let mut depth = 0;
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            b"cwd" | b"root" => return false,
            number if number.iter().all(u8::is_ascii_digit) => return false,
            _ => depth += 1,
        }
    }
    false
}

/// There is no `/proc/TID/fd/N` if N is not open.
fn not_open(errno: Errno) -> Errno {
    if errno == Errno::ENOENT {
        Errno::EBADF
    } else {
        errno
    }
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Where `path` leads.
fn place(path: &CStr) -> Result<Place, Errno> {
    /// include/uapi/linux/stat.h; unknown bits of a mask are ignored.
    const STATX_MNT_ID: libc::c_uint = 0x1000;
    let mut status = MaybeUninit::<libc::statx>::zeroed();
    let (flags, mask) = (libc::AT_NO_AUTOMOUNT, libc::STATX_INO | STATX_MNT_ID);
    // libc's own would be a null pointer: the standard library refers to it weakly, so that a
    // static executable goes without. SAFETY: the kernel reads a path that ends in a null byte and
    // writes a struct statx.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            AT_FDCWD.as_raw_fd(),
            path.as_ptr(),
            flags,
            mask,
            status.as_mut_ptr(),
        )
    };
    Errno::result(result)?;
    // SAFETY: of plain integers, for which the zeroes that were there are values.
    let status = unsafe { status.assume_init() };
    Ok((
        status.stx_dev_major,
        status.stx_dev_minor,
        status.stx_ino,
        status.stx_mnt_id,
    ))
}

/// The processor that thread `tid` ran on last: field 39 of `/proc/TID/stat`, proc_pid_stat(5),
/// read from `/proc`, where the supervisor stands. `None` if that is not to be read.
#[must_use]
pub fn processor_of(tid: i32) -> Option<usize> {
    let mut buffer = [0; 1024];
    let file = open(
        format!("{tid}/stat").as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let len = nix::unistd::read(&file, &mut buffer).ok()?;
    // The second field is a name in brackets, which may have blanks and brackets of its own.
    let behind_name = buffer[..len].rsplit(|byte| *byte == b')').next()?;
    let processor = behind_name.split(|byte| *byte == b' ').nth(37)?;
    std::str::from_utf8(processor).ok()?.parse().ok()
}

/// The soft limit RLIMIT_LOCKS of the process that thread `tid` is in, set to `new` if that is
/// given; the value before. It limits nothing since Linux 2.4.25, fork(2) copies it and execve(2)
/// keeps it: a place for a number that follows a process and its children.
///
/// # Errors
/// prlimit(2)'s.
pub fn locks_limit(tid: i32, new: Option<u64>) -> Result<u64, Errno> {
    // struct rlimit64: the soft limit, the hard limit.
    let mut old = [0_u64; 2];
    let limits = new.map(|soft| [soft, libc::RLIM64_INFINITY]);
    let pointer = limits.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel reads one struct rlimit64, or nothing, and writes one.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            tid,
            libc::RLIMIT_LOCKS,
            pointer,
            &raw mut old,
        )
    };
    Errno::result(result)?;
    Ok(old[0])
}

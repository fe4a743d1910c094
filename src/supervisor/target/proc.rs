//! A caller, as `/proc` and its memory show it: the one place where either is read.

use std::ffi::{CStr, CString};
use std::fmt::{self, Write};
use std::fs;
use std::io::{IoSlice, IoSliceMut, Read};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

use super::answer::Failed;
use super::base::Base;
use super::callers::Callers;
use super::listener::Listener;
use super::request::Request;
use crate::supervisor::recovery::hazards::Hazards;
use crate::sys::file::{Look, look, namespace};
use crate::sys::process::pidfd_open;

/// `PATH_MAX`, include/uapi/linux/limits.h: the longest path with its end, in bytes.
const PATH_MAX: usize = 4096;

/// Room for a thread's number, a name of ours, and a null byte.
const ENTRY: usize = 64;

/// A path below `/proc`, which takes no memory from the heap: there are several in each call.
pub(super) struct Entry {
    bytes: [u8; ENTRY],
    len: usize,
}

impl fmt::Write for Entry {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        // The last byte stays null.
        let room = self.bytes[..ENTRY - 1].get_mut(self.len..end);
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Deref for Entry {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

/// The thread whose call waits.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The call.
    pub request: &'a Request,
    /// Where it came from.
    pub listener: &'a Listener,
    /// Where the supervisor stands.
    pub base: &'a Base,
    /// The caller that called last.
    pub callers: &'a Callers,
    /// Which file systems may not answer.
    pub hazards: &'a Hazards,
    /// Whether this process does nothing but this call, so that it may wait, and take the caller's
    /// rights.
    pub is_helper: bool,
    /// Whether the kernel's ids of a caller may be other ones than the supervisor's.
    pub ids_may_differ: bool,
}

impl Target<'_> {
    /// Whether the caller still waits. To be asked after the last look at it and before anything is
    /// done for it.
    ///
    /// # Errors
    /// `ESRCH`, which nobody will see.
    pub fn still_waits(&self) -> Result<(), Errno> {
        if self.listener.is_valid(self.request.id) {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// Fills `buffer` from the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` if not all of it is there.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Failed> {
        let len = buffer.len();
        if len == 0 || self.read_some(address, buffer)? == len {
            Ok(())
        } else {
            Err(Errno::EFAULT.into())
        }
    }

    /// Reads from the caller's memory up to the first page that is not there.
    fn read_some(&self, address: u64, buffer: &mut [u8]) -> Result<usize, Failed> {
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
            let mut into = [IoSliceMut::new(&mut buffer[done..asked])];
            let got = match process_vm_readv(self.pid(), &mut into, &pieces[..used]) {
                // A kernel without CONFIG_CROSS_MEMORY_ATTACH.
                Err(Errno::ENOSYS) => {
                    self.read_by_file(address + done as u64, &mut buffer[done..asked])?
                }
                Err(_) if done > 0 => 0,
                got => looked(got)?,
            };
            done += got;
            if done < asked {
                break;
            }
        }
        Ok(done)
    }

    fn read_by_file(&self, at: u64, buffer: &mut [u8]) -> Result<usize, Failed> {
        Ok(self
            .memory(false)?
            .read_at(buffer, at)
            .map_err(|_| Errno::EFAULT)?)
    }

    fn memory(&self, write: bool) -> Result<fs::File, Failed> {
        let mut how = fs::OpenOptions::new();
        looked(
            how.read(!write)
                .write(write)
                .open(path(&self.entry("mem")))
                .map_err(|error| errno(&error)),
        )
    }

    /// Writes to the caller's memory, if it still waits.
    ///
    /// # Errors
    /// `EFAULT`; `ESRCH`.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Failed> {
        self.still_waits()?;
        let written = match usize::try_from(address) {
            Ok(base) => {
                let there = RemoteIoVec {
                    base,
                    len: bytes.len(),
                };
                process_vm_writev(self.pid(), &[IoSlice::new(bytes)], &[there])
            }
            Err(_) => Err(Errno::ENOSYS),
        };
        let done = match written {
            Err(Errno::ENOSYS) => self
                .memory(true)?
                .write_at(bytes, address)
                .map_err(|_| Errno::EFAULT)?,
            done => looked(done)?,
        };
        if done == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT.into())
        }
    }

    /// Reads a path.
    ///
    /// # Errors
    /// `EFAULT`; `ENAMETOOLONG`.
    pub fn path(&self, address: u64) -> Result<CString, Failed> {
        Ok(self.string(address, PATH_MAX)?.ok_or(Errno::ENAMETOOLONG)?)
    }

    /// Reads a string of less than `limit` bytes; `None` if it is longer.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn string(&self, address: u64, limit: usize) -> Result<Option<CString>, Failed> {
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
                return Err(Errno::EFAULT.into());
            }
            len = end;
        }
        Ok(None)
    }

    /// `TID/NAME`, from `/proc`.
    pub(super) fn entry(&self, name: impl fmt::Display) -> Entry {
        let mut entry = Entry {
            bytes: [0; ENTRY],
            len: 0,
        };
        // The longest of our names fits.
        let _ = write!(entry, "{}/{name}", self.request.tid);
        entry
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.request.tid)
    }

    /// A field of `/proc/TID/status`.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn status(&self, field: &str) -> Result<String, Failed> {
        let status = self.file("status")?;
        let text = String::from_utf8_lossy(&status);
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value
            .map(|value| value.trim().to_owned())
            .ok_or(Errno::ESRCH)?)
    }

    /// What the caller has left out of the permissions of files that it makes.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn umask(&self) -> Result<u32, Failed> {
        let mask = u32::from_str_radix(&self.status("Umask")?, 8);
        Ok(mask.map_err(|_| Errno::ESRCH)?)
    }

    /// The thread, or the process, that the caller calls `number`, which is itself for 0.
    ///
    /// # Errors
    /// [`Failed::Kernel`] if nobody but the kernel knows.
    pub fn thread(&self, number: i32) -> Result<i32, Failed> {
        if number == 0 || self.own_number() == Some(number) {
            Ok(self.request.tid)
        } else if self.has_our_numbers() {
            Ok(number)
        } else {
            Err(Failed::Kernel)
        }
    }

    /// What the caller calls itself, in its own PID namespace.
    #[must_use]
    pub fn own_number(&self) -> Option<i32> {
        let numbers = self.status("NSpid").ok()?;
        numbers.split_whitespace().last()?.parse().ok()
    }

    /// Whether the caller is in the supervisor's PID namespace.
    #[must_use]
    pub fn has_our_numbers(&self) -> bool {
        // It has a number in each namespace from that of this /proc on.
        match self.status("NSpid") {
            Ok(numbers) => numbers.split_whitespace().count() == 1,
            // A kernel may have no such namespaces.
            Err(_) => true,
        }
    }

    /// The number of the process that the caller is a thread of.
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn process(&self) -> Result<i32, Failed> {
        // There is one for processes only.
        if pidfd_open(self.pid()).is_ok() {
            return Ok(self.request.tid);
        }
        Ok(self.status("Tgid")?.parse().map_err(|_| Errno::ESRCH)?)
    }

    /// The number of the user namespace that the caller is in; 0 on a kernel that has none.
    ///
    /// # Errors
    /// readlink(2)'s.
    pub fn user_namespace(&self) -> Result<u64, Failed> {
        match namespace(self.base.proc_dir(), &self.entry("ns/user")) {
            Err(Errno::ENOENT) => Ok(0),
            found => looked(found),
        }
    }

    /// The file that the caller executes.
    ///
    /// # Errors
    /// statx(2)'s.
    pub fn executable(&self) -> Result<Look, Failed> {
        let entry = self.entry("exe");
        looked(look(self.base.proc_dir(), &entry, AtFlags::empty()))
    }

    /// Fills `buffer` from `/proc/TID/NAME`; how much of it.
    ///
    /// # Errors
    /// open(2)'s, read(2)'s.
    pub fn start_of(&self, name: &str, buffer: &mut [u8]) -> Result<usize, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = open(&*self.entry(name), flags, Mode::empty())?;
        nix::unistd::read(&file, buffer)
    }

    /// Whether the caller has memory from `start` to `end` without a gap.
    ///
    /// # Errors
    /// open(2)'s; `ESRCH`.
    pub fn has_mapped(&self, start: u64, end: u64) -> Result<bool, Failed> {
        let maps = self.file("maps")?;
        let address = |text: &str| u64::from_str_radix(text, 16).ok();
        let mut reached = start;
        for line in String::from_utf8_lossy(&maps).lines() {
            let range = line
                .split(' ')
                .next()
                .and_then(|range| range.split_once('-'));
            let range = range.and_then(|(from, to)| Some((address(from)?, address(to)?)));
            let (from, to) = range.ok_or(Errno::ESRCH)?;
            if from <= reached && reached < to {
                reached = to;
            }
        }
        Ok(reached >= end)
    }

    /// The contents of `/proc/TID/NAME`.
    ///
    /// # Errors
    /// open(2)'s; `ESRCH`.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, Failed> {
        // Read at once, in most cases: a file of /proc does not say how large it is.
        let mut contents = Vec::with_capacity(PATH_MAX);
        let file = fs::File::open(path(&self.entry(name)));
        let file = looked(file.map_err(|error| errno(&error)))?;
        let mut file = file.take(u64::MAX);
        file.read_to_end(&mut contents).map_err(|_| Errno::ESRCH)?;
        Ok(contents)
    }
}

/// Looks whether the kernel lets this process read the memory of `process`, from which it was
/// forked.
///
/// # Errors
/// process_vm_readv(2)'s: `EPERM`.
pub fn may_look_into(process: Pid) -> Result<(), Errno> {
    static ANYTHING: u8 = 0;
    let there = RemoteIoVec {
        base: &raw const ANYTHING as usize,
        len: 1,
    };
    match process_vm_readv(process, &mut [IoSliceMut::new(&mut [0])], &[there]) {
        Err(Errno::ENOSYS) => fs::File::open(format!("/proc/{process}/mem"))
            .map(drop)
            .map_err(|error| errno(&error)),
        read => read.map(drop),
    }
}

/// Passes on what came of a look into a process: the kernel keeps us from it, or it brings an error
/// like any other.
pub(super) fn looked<T>(result: Result<T, Errno>) -> Result<T, Failed> {
    result.map_err(|errno| match errno {
        Errno::EPERM | Errno::EACCES => Failed::Unreadable,
        errno => errno.into(),
    })
}

fn path(entry: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(entry.to_bytes()))
}

fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

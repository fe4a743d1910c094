//! Modes and times of files that one does not own: real first, then pretended.

#![allow(unsafe_code)] // fchmodat2(2), which no crate has a call for, and utimensat(2) with 64-bit times also where libc's have 32

use std::ffi::CStr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};

use crate::arch::{Abi, Sysno};
use crate::supervisor::target::{File, Target};
use crate::supervisor::with_flags;

/// Answers a call of class `foreign`.
///
/// # Errors
/// The kernel's, but for a refusal.
pub fn answer(target: &Target) -> Result<i64, Errno> {
    let call = target.call;
    let here = AT_FDCWD.as_raw_fd();
    match call.sysno {
        Sysno::chmod => chmod(
            target,
            File::At(here, &target.path(call.pointer(0))?),
            call.word(1),
        ),
        Sysno::fchmod => chmod(target, File::Open(call.int(0)), call.word(1)),
        Sysno::fchmodat => chmod(
            target,
            File::At(call.int(0), &target.path(call.pointer(1))?),
            call.word(2),
        ),
        Sysno::fchmodat2 => with_flags(
            target,
            call.int(0),
            call.pointer(1),
            call.int(3),
            |file, flags| {
                target.or_pretend(
                    target.reach(file, |path| chmod_with_flags(path, call.word(2), flags)),
                )
            },
        ),
        Sysno::utime => touch(
            target,
            here,
            call.pointer(0),
            Unit::Seconds,
            call.pointer(1),
            0,
        ),
        Sysno::utimes => touch(
            target,
            here,
            call.pointer(0),
            Unit::Microseconds,
            call.pointer(1),
            0,
        ),
        Sysno::futimesat => touch(
            target,
            call.int(0),
            call.pointer(1),
            Unit::Microseconds,
            call.pointer(2),
            0,
        ),
        Sysno::utimensat => touch(
            target,
            call.int(0),
            call.pointer(1),
            Unit::Nanoseconds,
            call.pointer(2),
            call.int(3),
        ),
        _ => touch(
            target,
            call.int(0),
            call.pointer(1),
            Unit::WideNanoseconds,
            call.pointer(2),
            call.int(3),
        ),
    }
}

fn chmod(target: &Target, file: File, mode: u32) -> Result<i64, Errno> {
    let mode = Mode::from_bits_truncate(mode);
    target.or_pretend(target.reach(file, |path| {
        fchmodat(AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink)
    }))
}

fn chmod_with_flags(path: &CStr, mode: u32, flags: AtFlags) -> Result<(), Errno> {
    // SAFETY: the kernel reads a path that ends in a null byte.
    let result = unsafe {
        libc::syscall(
            native(&[Sysno::fchmodat2]),
            libc::AT_FDCWD,
            path.as_ptr(),
            mode,
            flags.bits(),
        )
    };
    Errno::result(result).map(drop)
}

/// `struct __kernel_timespec`, include/uapi/linux/time_types.h, which all ABIs have by now.
#[derive(Clone, Copy)]
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

/// `UTIME_NOW` and `UTIME_OMIT`, include/uapi/linux/stat.h.
const NOW: i64 = 0x3fff_ffff;
const OMIT: i64 = 0x3fff_fffe;

fn set_times(path: &CStr, times: &[Time; 2], flags: AtFlags) -> Result<(), Errno> {
    let number = native(if Abi::NATIVE.long_is_64bit() {
        &[Sysno::utimensat]
    } else {
        &[Sysno::utimensat_time64, Sysno::utimensat]
    });
    // SAFETY: the kernel reads a path that ends in a null byte, and two times.
    let result = unsafe {
        libc::syscall(
            number,
            libc::AT_FDCWD,
            path.as_ptr(),
            times.as_ptr(),
            flags.bits(),
        )
    };
    Errno::result(result).map(drop)
}

/// The number by which this executable makes the first of `calls` that its ABI has.
fn native(calls: &[Sysno]) -> libc::c_long {
    calls
        .iter()
        .find_map(|call| call.nr(Abi::NATIVE))
        .and_then(|number| i32::try_from(number).ok())
        .unwrap_or(-1)
        .into()
}

/// What the two members of a time are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// `struct utimbuf`: there is one member only.
    Seconds,
    /// `struct timeval`.
    Microseconds,
    /// `struct timespec`.
    Nanoseconds,
    /// `struct timespec` of 64 bits where the ABI's own has 32.
    WideNanoseconds,
}

/// Sets times: `times` points to the two of them, or is null for now.
fn touch(
    target: &Target,
    dir: i32,
    path: u64,
    unit: Unit,
    times: u64,
    flags: i32,
) -> Result<i64, Errno> {
    let now = Time {
        seconds: 0,
        nanoseconds: NOW,
    };
    let times = if times == 0 {
        [now; 2]
    } else {
        read_times(target, unit, times)?
    };
    // Then the kernel does not even look for the file (fs/utimes.c, utimensat).
    if times.iter().all(|time| time.nanoseconds == OMIT) {
        return Ok(0);
    }
    let is_now = times.iter().all(|time| time.nanoseconds == NOW);
    let change = |file: File, flags: AtFlags| {
        target.or_pretend(
            target.reach(file, |path| match set_times(path, &times, flags) {
                // To set them to now, write permission will do, so that its lack is what is
                // complained of. Or a directory on the way cannot be searched.
                Err(Errno::EACCES) if is_now && fstatat(AT_FDCWD, path, flags).is_ok() => {
                    Err(Errno::EPERM)
                }
                result => result,
            }),
        )
    };
    // utimensat(2), "C library/kernel ABI differences".
    if path == 0 && dir != AT_FDCWD.as_raw_fd() {
        return if flags == 0 {
            change(File::Open(dir), AtFlags::empty())
        } else {
            Err(Errno::EINVAL)
        };
    }
    with_flags(target, dir, path, flags, change)
}

fn read_times(target: &Target, unit: Unit, address: u64) -> Result<[Time; 2], Errno> {
    let abi = target.call.abi;
    // x32 has the 64-bit structures, though its own long has 32
    // (arch/x86/include/uapi/asm/posix_types_x32.h).
    let is_wide = abi.long_is_64bit() || abi == Abi::X32 || unit == Unit::WideNanoseconds;
    let count = if unit == Unit::Seconds { 2 } else { 4 };
    let width = if is_wide { 8 } else { 4 };
    let mut bytes = [0; 32];
    target.read(address, &mut bytes[..count * width])?;
    let member = |i: usize| -> i64 {
        let bytes = &bytes[i * width..];
        if is_wide {
            i64::from_ne_bytes(bytes[..8].try_into().unwrap_or_default())
        } else {
            i32::from_ne_bytes(bytes[..4].try_into().unwrap_or_default()).into()
        }
    };
    let time = |i: usize| -> Result<Time, Errno> {
        Ok(match unit {
            Unit::Seconds => Time {
                seconds: member(i),
                nanoseconds: 0,
            },
            Unit::Microseconds => {
                let (seconds, micros) = (member(2 * i), member(2 * i + 1));
                if !(0..1_000_000).contains(&micros) {
                    return Err(Errno::EINVAL);
                }
                Time {
                    seconds,
                    nanoseconds: micros * 1000,
                }
            }
            // The upper half may be padding (kernel/time/time.c, get_timespec64).
            Unit::Nanoseconds | Unit::WideNanoseconds if !abi.long_is_64bit() => Time {
                seconds: member(2 * i),
                nanoseconds: member(2 * i + 1) & 0xffff_ffff,
            },
            Unit::Nanoseconds | Unit::WideNanoseconds => Time {
                seconds: member(2 * i),
                nanoseconds: member(2 * i + 1),
            },
        })
    };
    Ok([time(0)?, time(1)?])
}

//! Modes and times of files that one does not own: real first, then pretended.

use caps::Capability;
use nix::errno::Errno;

use super::rights::{Rights, look_at_own};
use crate::arch::Abi;
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};
use crate::sys::file::{Look, Time};

/// `UTIME_NOW` and `UTIME_OMIT`, include/uapi/linux/stat.h.
const NOW: i64 = 0x3fff_ffff;
const OMIT: i64 = 0x3fff_fffe;

/// Answers chmod(2) and its kin.
pub fn answer_mode(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(chmod(session, session.target(request)), Outcome::PRETENDED)
}

/// Answers utime(2) and its kin.
pub fn answer_times(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(touch(session, session.target(request)), Outcome::PRETENDED)
}

fn chmod(session: &Session, target: Target) -> Result<How, Failed> {
    // A type among them is not looked at (fs/open.c, chmod_common: S_IALLUGO).
    let mode = target.request.arg(Kind::Mode)?.word() & !libc::S_IFMT;
    let (file, follow) = target.named_file()?;
    // With that bit a directory may have heirs. What is saved of a file has its mode.
    if mode & libc::S_ISGID == 0 && session.kept_bits(mode) == 0 {
        if let Some(glance) = look_at_own(session, target, &file, follow)? {
            let found = Look::from(&glance.status);
            let remembered = session.owners.filter(|_| session.keeps_modes());
            if remembered.is_none_or(|owners| owners.of(&found, || glance.handle(target)).is_none())
            {
                return Err(Failed::Kernel);
            }
        }
    }
    let object = target.find(&file, follow)?;
    let rights = Rights::of(session, target, &object);
    // That a link has none comes before whose it is (fs/attr.c, notify_change).
    let is_link = object.found()?.mode & libc::S_IFMT == libc::S_IFLNK;
    if !is_link && !rights.may_own(&object) {
        return Err(object.refusal().into());
    }
    let mode = if rights.may_set_gid_bit() {
        mode
    } else {
        mode & !libc::S_ISGID
    };
    let kind = object.found()?.mode & libc::S_IFMT;
    if let Some(owners) = session
        .owners
        .as_ref()
        .filter(|_| mode & libc::S_ISGID != 0)
    {
        if let Some(record) = owners.find(&object)? {
            owners.may_have_heirs(kind | mode, record.owner.1);
        }
    }
    let done = object.chmod(mode).map(|()| How::Real);
    if done.is_ok() && session.keeps_modes() {
        if let Some(owners) = &session.owners {
            // That of a directory on an overlay may be another inode's by now.
            let object = object.looked_at_anew();
            let found = object.found()?;
            if session.kept_bits(found.mode) == 0 || !rights.have(Capability::CAP_FSETID) {
                owners.has_mode(&object)?;
            } else {
                owners.keep_mode(&object, session.maps.shows(found.uid, found.gid))?;
            }
        }
    }
    rights.pretend(Capability::CAP_FOWNER, done)
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

fn touch(session: &Session, target: Target) -> Result<How, Failed> {
    let named = touched_file(target);
    if let Ok((file, follow)) = &named {
        if look_at_own(session, target, file, *follow)?.is_some() {
            return Err(Failed::Kernel);
        }
    }
    let times = read_times(target)?;
    // Then the kernel does not even look for the file (fs/utimes.c, utimensat).
    if times.iter().all(|time| time.nanoseconds == OMIT) {
        return Ok(How::Real);
    }
    let is_now = times.iter().all(|time| time.nanoseconds == NOW);
    let (file, follow) = named?;
    let object = target.find(&file, follow)?;
    let rights = Rights::of(session, target, &object);
    // To set them to now takes no more than the right to write, which is the kernel's to know.
    if !is_now && !rights.may_own(&object) {
        return Err(object.refusal().into());
    }
    let done = match object.touch(&times) {
        // Setting them to now needs only write permission, so that the kernel complains of that: a
        // refusal like the others.
        Err(Errno::EACCES) if is_now && rights.have(Capability::CAP_FOWNER) => Err(Errno::EPERM),
        done => done,
    };
    rights.pretend(Capability::CAP_FOWNER, done.map(|()| How::Real))
}

/// The file whose times are to change, and whether a link at its end is to be followed.
fn touched_file(target: Target) -> Result<(File, bool), Failed> {
    match target.request.named().ok_or(Errno::ENOSYS)? {
        // utimensat(2), "C library/kernel ABI differences".
        Named::At {
            dir,
            path: 0,
            flags,
        } if dir != libc::AT_FDCWD => {
            if flags.is_empty() {
                Ok((File::Open(dir), true))
            } else {
                Err(Errno::EINVAL.into())
            }
        }
        _ => target.named_file(),
    }
}

fn read_times(target: Target) -> Result<[Time; 2], Failed> {
    let units = [
        (Kind::Seconds, Unit::Seconds),
        (Kind::Microseconds, Unit::Microseconds),
        (Kind::Nanoseconds, Unit::Nanoseconds),
        (Kind::WideNanoseconds, Unit::WideNanoseconds),
    ];
    let (address, unit) = units
        .into_iter()
        .find_map(|(kind, unit)| Some((target.request.arg(kind).ok()?.pointer(), unit)))
        .ok_or(Errno::ENOSYS)?;
    if address == 0 {
        return Ok([Time {
            seconds: 0,
            nanoseconds: NOW,
        }; 2]);
    }
    let abi = target.request.abi;
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
        let (seconds, rest) = match unit {
            Unit::Seconds => {
                return Ok(Time {
                    seconds: member(i),
                    nanoseconds: 0,
                });
            }
            _ => (member(2 * i), member(2 * i + 1)),
        };
        let nanoseconds = match unit {
            Unit::Microseconds if !(0..1_000_000).contains(&rest) => return Err(Errno::EINVAL),
            Unit::Microseconds => rest * 1000,
            // The upper half may be padding (kernel/time/time.c, get_timespec64).
            _ if !abi.long_is_64bit() => rest & 0xffff_ffff,
            _ => rest,
        };
        Ok(Time {
            seconds,
            nanoseconds,
        })
    };
    Ok([time(0)?, time(1)?])
}

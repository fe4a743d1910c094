//! Limits: one that is raised beyond what a user may have is set as far as that goes.
//!
//! RLIMIT_LOCKS, with which the supervisor marks processes
//! ([`processes`](crate::supervisor::memory::processes)), is apart: there seems to be none, and
//! setting one does nothing. It limits nothing since Linux 2.4.25.

use caps::Capability;
use nix::errno::Errno;
use nix::sys::resource::Resource;

use super::rights;

use crate::arch::signature::Kind;
use crate::arch::{Abi, Sysno};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::process::{Limit, limit};

/// `RLIMIT_LOCKS`, include/uapi/asm-generic/resource.h.
const LOCKS: u32 = 10;

/// `RLIMIT_NOFILE`, which mips has at another number
/// (arch/mips/include/uapi/asm/resource.h).
const FILES: u32 = Resource::RLIMIT_NOFILE as u32;

/// Answers a call that sets another limit than that.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    raise(session, session.target(request)).unwrap_or_else(Failed::or_the_kernels)
}

fn raise(session: &Session, target: Target) -> Result<Outcome, Failed> {
    let request = target.request;
    let resource = request.arg(Kind::Resource)?.word();
    let mut pointers = request.all(Kind::Pointer).map(Argument::pointer);
    let mut pointer = || pointers.next().unwrap_or_default();
    let (new, old) = (pointer(), pointer());
    let new = read(target, new)?;
    let process = match request.arg(Kind::Number) {
        Ok(pid) => target.thread(pid.int())?,
        Err(_) => request.tid,
    };
    let before = limit(process, resource, None)?;
    // Anybody may do that, or nobody may.
    let is_too_much = || {
        let most = target.base.most_files();
        resource == FILES && most.is_some_and(|most| new.hard > most)
    };
    if new.hard <= before.hard
        || new.soft > new.hard
        || is_too_much()
        || !rights::has(session, target, Capability::CAP_SYS_RESOURCE)?
    {
        return Ok(Outcome::CONTINUE);
    }
    target.take_rights()?;
    target.still_waits()?;
    let how = match limit(process, resource, Some(new)) {
        Ok(_) => How::Real,
        Err(Errno::EPERM) => {
            let possible = Limit {
                soft: new.soft.min(before.hard),
                hard: before.hard,
            };
            limit(process, resource, Some(possible))?;
            How::Pretended
        }
        Err(errno) => return Err(errno.into()),
    };
    // The limit is set then already (kernel/sys.c, `prlimit64`).
    let is_told = old == 0 || target.write(old, &bytes(target.request, before)).is_ok();
    Ok(Outcome {
        answer: if is_told {
            Answer::Value(0)
        } else {
            Answer::Error(Errno::EFAULT)
        },
        how,
    })
}

/// Whether `request` is about RLIMIT_LOCKS.
#[must_use]
pub fn is_about_locks(request: &Request) -> bool {
    request
        .arg(Kind::Resource)
        .is_ok_and(|resource| resource.word() == LOCKS)
}

/// Answers that. Of what prlimit64(2) says of other processes nothing is looked at: whoever they
/// are, they have no such limit.
pub fn answer_locks(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(answered(session.target(request)), Outcome::PRETENDED)
}

fn answered(target: Target) -> Result<How, Failed> {
    let mut pointers = target.request.all(Kind::Pointer).map(Argument::pointer);
    let mut pointer = || pointers.next().unwrap_or_default();
    match target.request.sysno {
        Sysno::prlimit64 => {
            let (new, old) = (pointer(), pointer());
            // In this order, as the kernel has it (kernel/sys.c, `prlimit64`).
            let how = if new == 0 {
                How::Real
            } else {
                set(target, new)?
            };
            if old != 0 {
                get(target, old)?;
            }
            Ok(how)
        }
        Sysno::setrlimit => set(target, pointer()),
        _ => get(target, pointer()),
    }
}

/// Looks at a new limit, and forgets it.
fn set(target: Target, address: u64) -> Result<How, Failed> {
    let new = read(target, address)?;
    if new.soft > new.hard {
        return Err(Errno::EINVAL.into());
    }
    // Of no limit there is nothing to pretend.
    Ok(if new.soft == libc::RLIM64_INFINITY {
        How::Real
    } else {
        How::Pretended
    })
}

/// Says that there is none.
fn get(target: Target, address: u64) -> Result<How, Failed> {
    let none = Limit {
        soft: libc::RLIM64_INFINITY,
        hard: libc::RLIM64_INFINITY,
    };
    target.write(address, &bytes(target.request, none))?;
    Ok(How::Real)
}

/// Reads a limit as the call has it.
fn read(target: Target, address: u64) -> Result<Limit, Failed> {
    let layout = Layout::of(target.request);
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..2 * layout.width];
    target.read(address, bytes)?;
    let (soft, hard) = bytes.split_at(layout.width);
    let [soft, hard] = [soft, hard].map(|bytes| {
        let value = match *bytes {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            _ => u64::from_ne_bytes(bytes.try_into().unwrap_or_default()),
        };
        // As the kernel has it (kernel/sys.c, `compat_setrlimit`).
        if value == layout.infinity {
            libc::RLIM64_INFINITY
        } else {
            value
        }
    });
    Ok(Limit { soft, hard })
}

/// `limit` as the call has it.
fn bytes(request: &Request, limit: Limit) -> Vec<u8> {
    let layout = Layout::of(request);
    let members = [limit.soft, limit.hard].map(|value| value.min(layout.infinity));
    if layout.width == 8 {
        members.map(u64::to_ne_bytes).concat()
    } else {
        let narrow = |value| u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes();
        members.map(narrow).concat()
    }
}

/// How a call has the two members of a limit.
struct Layout {
    /// In bytes.
    width: usize,
    infinity: u64,
}

impl Layout {
    fn of(request: &Request) -> Layout {
        // x32 has the 64-bit structure, though its own long has 32, as in mode_and_time.
        let abi = request.abi;
        if request.sysno == Sysno::prlimit64 || abi.long_is_64bit() || abi == Abi::X32 {
            return Layout {
                width: 8,
                infinity: u64::MAX,
            };
        }
        // The old getrlimit knows 31 bits (kernel/sys.c, `old_getrlimit`), and mips has no more
        // (arch/mips/include/uapi/asm/resource.h).
        let is_old = request.sysno == Sysno::getrlimit && matches!(abi, Abi::I386 | Abi::S390);
        let is_mips = matches!(abi, Abi::Mipsn32el | Abi::Mipsel);
        Layout {
            width: 4,
            infinity: if is_old || is_mips {
                0x7fff_ffff
            } else {
                0xffff_ffff
            },
        }
    }
}

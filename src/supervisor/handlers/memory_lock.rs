//! mlock(2) and its kin: real as far as the limit RLIMIT_MEMLOCK goes, beyond it pretended.
//!
//! Nobody can lock another's memory, so that what the kernel would say has to be known before.

use caps::Capability;
use nix::errno::Errno;
use nix::sys::resource::Resource;
use nix::unistd::{SysconfVar, sysconf};

use super::rights;
use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::process::limit;

/// `RLIMIT_MEMLOCK`, which mips has at another number
/// (arch/mips/include/uapi/asm/resource.h).
const MEMORY_LOCK: u32 = Resource::RLIMIT_MEMLOCK as u32;

/// `MLOCK_ONFAULT`, and `MCL_CURRENT`, `MCL_FUTURE` and `MCL_ONFAULT`,
/// include/uapi/asm-generic/mman.h; powerpc has others.
const LOCK_ON_FAULT: u32 = libc::MLOCK_ONFAULT;
const ALL: i32 = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;

/// Answers a call of these.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    lock(session, session.target(request)).unwrap_or_else(Failed::or_the_kernels)
}

fn lock(session: &Session, target: Target) -> Result<Outcome, Failed> {
    let most = limit(target.request.tid, MEMORY_LOCK, None)?.soft;
    let needs_no_limit = || {
        let has = rights::has(session, target, Capability::CAP_IPC_LOCK);
        has.is_ok_and(|has| has && !target.base.has_for_all(Capability::CAP_IPC_LOCK))
    };
    if most == libc::RLIM64_INFINITY || !needs_no_limit() {
        return Ok(Outcome::CONTINUE);
    }
    if target.request.sysno == Sysno::mlockall {
        lock_all(target, most)
    } else {
        lock_range(target, most)
    }
}

fn lock_all(target: Target, most: u64) -> Result<Outcome, Failed> {
    let flags = target.request.arg(Kind::Number)?.int();
    let is_wrong = flags & ALL == 0 || flags & !ALL != 0 || flags == libc::MCL_ONFAULT;
    // With what is mapped later the kernel would come to the limit in mmap(2), which fails then.
    let is_beyond = most == 0 || flags & libc::MCL_FUTURE != 0 || bytes(target, "VmSize")? > most;
    Ok(if is_wrong || !is_beyond {
        Outcome::CONTINUE
    } else {
        Outcome::PRETENDED
    })
}

fn lock_range(target: Target, most: u64) -> Result<Outcome, Failed> {
    let request = target.request;
    let start = request.arg(Kind::Pointer)?.pointer();
    let mut numbers = request.all(Kind::Number);
    let len = numbers.next().map(Argument::long).unwrap_or_default();
    let flags = numbers.next().map(Argument::word).unwrap_or_default();
    let page = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|page| u64::try_from(page).ok());
    let page = page.unwrap_or(4096);
    // mm/mlock.c, `do_mlock`.
    let first = start - start % page;
    let len = len.wrapping_add(start % page + page - 1) / page * page;
    let is_beyond = most == 0 || bytes(target, "VmLck")?.saturating_add(len) > most;
    if flags & !LOCK_ON_FAULT != 0 || !is_beyond {
        return Ok(Outcome::CONTINUE);
    }
    let Some(end) = first.checked_add(len) else {
        return Ok(Outcome::real(Answer::Error(Errno::EINVAL)));
    };
    // There may be many mappings, and others wait.
    if !target.is_helper {
        return Err(Failed::Helper);
    }
    Ok(if target.has_mapped(first, end)? {
        Outcome::PRETENDED
    } else {
        Outcome::real(Answer::Error(Errno::ENOMEM))
    })
}

/// A field of the caller's status that is an amount of memory.
fn bytes(target: Target, field: &str) -> Result<u64, Failed> {
    let text = target.status(field)?;
    let kilobytes = text.trim_end_matches(" kB").parse::<u64>();
    Ok(kilobytes.map_err(|_| Errno::ESRCH)?.saturating_mul(1024))
}

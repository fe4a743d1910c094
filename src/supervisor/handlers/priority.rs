//! Priorities: nice values, scheduling policies, those of input and output. Tried first, then
//! pretended.

use caps::Capability;
use nix::errno::Errno;
use nix::unistd::{Pid, getpgid};

use super::rights;
use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::scheduling;

/// `SCHED_ATTR_SIZE_VER0`, include/uapi/linux/sched/types.h, and the most that the kernel reads.
const ATTRIBUTES: std::ops::RangeInclusive<usize> = 48..=4096;

/// `PRIO_PROCESS` and `PRIO_PGRP`, include/uapi/linux/resource.h. `IOPRIO_WHO_*` is one more.
const PROCESS: i32 = 0;
const GROUP: i32 = 1;

/// `IOPRIO_CLASS_RT` and `IOPRIO_CLASS_BE`, include/uapi/linux/ioprio.h, and where they stand.
const REAL_TIME: i32 = 1;
const BEST_EFFORT: i32 = 2;
const CLASS_SHIFT: i32 = 13;

/// Answers a call of these. What is wrong with it in any other way is the kernel's to say.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    attempt(session, session.target(request)).unwrap_or_else(Failed::or_the_kernels)
}

fn attempt(session: &Session, target: Target) -> Result<Outcome, Failed> {
    // The kernel refuses what takes more than a user has.
    if !rights::has(session, target, Capability::CAP_SYS_NICE)? {
        return Ok(Outcome::CONTINUE);
    }
    let request = target.request;
    let mut numbers = request.all(Kind::Number).map(Argument::int);
    let mut number = || numbers.next().unwrap_or_default();
    let param = |request: &Request| request.arg(Kind::Pointer).map(Argument::pointer);
    // All that is to be looked at comes before the caller's rights are taken.
    let done = match request.sysno {
        Sysno::nice => {
            // kernel/sched/syscalls.c, `nice`.
            let nice = scheduling::nice_of(request.tid)? + number().clamp(-40, 40);
            be_the_caller(target)?;
            scheduling::set_nice(PROCESS, request.tid, nice)
        }
        Sysno::setpriority => {
            let which = number();
            let (who, nice) = (whom(target, which, number())?, number());
            be_the_caller(target)?;
            scheduling::set_nice(which, who, nice)
        }
        Sysno::sched_setscheduler => {
            let (tid, policy) = (target.thread(number())?, number());
            let priority = word(target, param(request)?)?;
            be_the_caller(target)?;
            scheduling::set_scheduler(tid, policy, priority)
        }
        Sysno::sched_setparam => {
            let tid = target.thread(number())?;
            let priority = word(target, param(request)?)?;
            be_the_caller(target)?;
            scheduling::set_scheduler_priority(tid, priority)
        }
        Sysno::sched_setattr => {
            let (tid, flags) = (target.thread(number())?, number());
            let mut attributes = attributes(target, param(request)?)?;
            be_the_caller(target)?;
            scheduling::set_scheduler_attributes(tid, &mut attributes, flags)
        }
        Sysno::ioprio_set => {
            let which = number();
            let (who, priority) = (whom(target, which.wrapping_sub(1), number())?, number());
            be_the_caller(target)?;
            match scheduling::set_io_priority(which, who, priority) {
                Err(Errno::EPERM) if priority >> CLASS_SHIFT == REAL_TIME => {
                    return Ok(near_real_time(which, who, priority));
                }
                done => done,
            }
        }
        _ => Err(Errno::ENOSYS),
    };
    match done {
        Ok(()) => Ok(Outcome::of(Ok(How::Real), Outcome::CONTINUE)),
        Err(Errno::EPERM | Errno::EACCES) => Ok(Outcome::PRETENDED),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives input and output the priority that is next to that of class "real time". The kernel looks
/// for that class's privilege before anything else (block/ioprio.c, `ioprio_check_cap`), so that
/// only this tells what else is wrong.
fn near_real_time(which: i32, who: i32, priority: i32) -> Outcome {
    let priority = priority ^ (REAL_TIME ^ BEST_EFFORT) << CLASS_SHIFT;
    match scheduling::set_io_priority(which, who, priority) {
        Ok(()) | Err(Errno::EPERM) => Outcome::PRETENDED,
        Err(errno) => Outcome::real(Answer::Error(errno)),
    }
}

/// To be done after the last look at the caller and before anything is done for it.
fn be_the_caller(target: Target) -> Result<(), Failed> {
    target.take_rights()?;
    Ok(target.still_waits()?)
}

/// Whom a call means, counted from `PRIO_PROCESS` on, as the supervisor numbers them.
fn whom(target: Target, which: i32, who: i32) -> Result<i32, Failed> {
    match which {
        PROCESS => target.thread(who),
        GROUP if who == 0 => {
            let group = getpgid(Some(Pid::from_raw(target.request.tid)))?.as_raw();
            // One that comes from another PID namespace has no number here, and 0 is our own.
            if group == 0 {
                Err(Failed::Kernel)
            } else {
                Ok(group)
            }
        }
        // Of a user's processes those count that the caller can see.
        _ if target.has_our_numbers() => Ok(who),
        _ => Err(Failed::Kernel),
    }
}

/// An `int` in the caller's memory: `struct sched_param`.
fn word(target: Target, address: u64) -> Result<i32, Failed> {
    let mut bytes = [0; 4];
    target.read(address, &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}

/// A `struct sched_attr`, which begins with its size.
fn attributes(target: Target, address: u64) -> Result<Vec<u8>, Failed> {
    // kernel/sched/syscalls.c, `sched_copy_attr`.
    let size = match word(target, address)? {
        0 => *ATTRIBUTES.start(),
        size => usize::try_from(size).map_err(|_| Errno::E2BIG)?,
    };
    if !ATTRIBUTES.contains(&size) {
        return Err(Errno::E2BIG.into());
    }
    let mut attributes = vec![0; size];
    target.read(address, &mut attributes)?;
    // Meanwhile it may have another.
    let size = u32::try_from(size).unwrap_or_default();
    attributes[..4].copy_from_slice(&size.to_ne_bytes());
    Ok(attributes)
}

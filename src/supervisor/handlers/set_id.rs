//! execve: what a set-id file gives, by the owner that is remembered of it, and what a file with
//! capabilities gives. The kernel knows none of that, and has `no_new_privs` on for zroot's sake.
//! So it executes the file, and who becomes another by it is told so from then on. And
//! `no_new_privs`, as far as a process has set it.
//!
//! What is found here only says which file the kernel has to come to: that it has is looked at
//! afterwards ([`processes`](crate::supervisor::memory::processes)).

use std::ffi::{CStr, CString};

use caps::Capability;
use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::identity;
use super::rights::{is_since, is_unheard_of};
use crate::arch::signature::Kind;
use crate::arch::{Abi, Sysno};
use crate::supervisor::memory::attributes::Known;
use crate::supervisor::memory::credentials::{Credentials, FileCapabilities, SetId};
use crate::supervisor::memory::processes::Executable;
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::files::{File, known_flags};
use crate::supervisor::target::glance::Glance;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};
use crate::sys::file::Look;

/// How many scripts may be each other's interpreters (fs/exec.c, `exec_binprm`).
const MOST_SCRIPTS: usize = 5;
/// As much of a file is looked at (`BINPRM_BUF_SIZE`, include/uapi/linux/binfmts.h).
const START: usize = 256;

/// Whether `request` is a prctl of this class.
#[must_use]
pub fn is_prctl(request: &Request) -> bool {
    request.sysno == Sysno::prctl
        && request.arg(Kind::Request).is_ok_and(|option| {
            matches!(
                option.int(),
                libc::PR_SET_MM | libc::PR_SET_NO_NEW_PRIVS | libc::PR_GET_NO_NEW_PRIVS
            )
        })
}

/// Answers that.
pub fn answer_prctl(session: &mut Session, request: &Request) -> Outcome {
    let option = request.arg(Kind::Request);
    if option.is_ok_and(|option| option.int() == libc::PR_SET_MM) {
        // Afterwards it may seem to execute a file that it has never executed.
        let target = session.sight.target(request);
        session.processes.settled(target);
        return match session.processes.announce(target, None) {
            Ok(()) => Outcome::CONTINUE,
            Err(failed) => failed.outcome(Outcome::real(Answer::Error(Errno::EPERM))),
        };
    }
    no_new_privs(session, request).unwrap_or_else(|failed| failed.outcome(Outcome::CONTINUE))
}

fn no_new_privs(session: &mut Session, request: &Request) -> Result<Outcome, Failed> {
    let target = session.sight.target(request);
    let processes = &mut session.processes;
    // In another user namespace no file gives anything.
    if !processes.is_at_home(target) {
        return Ok(Outcome::CONTINUE);
    }
    let option = request.arg(Kind::Request)?.int();
    let setter = processes.setter(target)?;
    let mut now = Credentials::clone(&setter.credentials);
    let value = now
        .prctl(option, identity::rest(request))
        .ok_or(Errno::EINVAL)??;
    identity::remember(target, processes, &setter, now)?;
    // The kernel has it on already.
    Ok(Outcome::real(Answer::Value(value.into())))
}

/// Answers execve and execveat: the kernel executes it.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match announce(session, request) {
        // It is a file that works with all of its capabilities only.
        Err(Failed::Error(Errno::EPERM)) => Outcome::real(Answer::Error(Errno::EPERM)),
        // Whatever fails here, the file gives nothing.
        _ => Outcome::CONTINUE,
    }
}

fn announce(session: &mut Session, request: &Request) -> Result<(), Failed> {
    let has_set = session.processes.are_any();
    let all_are_roots = session.maps.shows_root_only()
        && session
            .owners
            .as_ref()
            .is_none_or(|owners| !owners.are_any());
    // Root gains nothing by what is root's.
    if !has_set && all_are_roots {
        return Ok(());
    }
    let target = session.sight.target(request);
    // What the last execve has come to, before the next one.
    let is_root = session.processes.settled(target).is_none();
    let gives = if is_root && all_are_roots {
        None
    } else {
        match gives(session, target) {
            Err(Failed::Error(Errno::EPERM)) => return Err(Errno::EPERM.into()),
            // An error is the kernel's to tell, and a helper could not put down what it finds.
            gives => gives.unwrap_or(None),
        }
    };
    session.processes.announce(target, gives)
}

/// The file that the kernel is about to execute, and what that gives the caller, if it does.
fn gives(session: &Session, target: Target) -> Result<Option<(Executable, SetId)>, Failed> {
    let Some((glance, is_program)) = last_file(target)? else {
        return Ok(None);
    };
    let found = Look::from(&glance.status);
    let has = |bits: u32| found.mode & bits == bits;
    let (has_uid, has_gid) = (has(libc::S_ISUID), has(libc::S_ISGID | libc::S_IXGRP));
    // Root has them all.
    let is_root = session.processes.changed(target).is_none();
    let capabilities = if is_root {
        None
    } else {
        file_capabilities(session, target, &glance)
    };
    let gives_nothing = !has_uid && !has_gid && capabilities.is_none();
    if gives_nothing || !session.processes.is_at_home(target) || glance.is_on_nosuid()? {
        return Ok(None);
    }
    let remembered = session
        .owners
        .as_ref()
        .and_then(|owners| owners.of(&found, || glance.handle(target)));
    let caller = session.processes.setter(target)?.credentials;
    let (uid, gid) = match (remembered, session.processes.set_since(target)) {
        (Some(record), _) => record.owner,
        // It may have made it itself.
        (None, Some((_, since)))
            if is_since(&found, since) && is_unheard_of(session, target, &found) =>
        {
            return Ok(None);
        }
        (None, _) => session.maps.shows(found.uid, found.gid),
    };
    // The kernel would execute it also for who may not.
    if !may_execute(&caller, found.mode, (uid, gid)) {
        return Ok(None);
    }
    let gives = SetId {
        uid: has_uid.then_some(uid),
        gid: has_gid.then_some(gid),
        capabilities,
        is_traced: !session.processes.is_tracer_capable(target)?,
    };
    let with = |gives| {
        let mut caller = Credentials::clone(&caller);
        caller.execve(gives).map(|()| caller)
    };
    let given = with(gives);
    // The kernel looks at what a file is before it looks at its capabilities (fs/binfmt_elf.c,
    // `load_elf_binary`).
    if given.is_err() && !is_program {
        return Ok(None);
    }
    let is_any = given? != with(SetId::default())?;
    Ok(is_any.then(|| (Executable::from(&found), gives)))
}

/// The capabilities of the file that was looked at.
fn file_capabilities(
    session: &Session,
    target: Target,
    glance: &Glance,
) -> Option<FileCapabilities> {
    const NAME: &CStr = c"security.capability";
    let found = Look::from(&glance.status);
    let remembered = session
        .owners
        .filter(Remembered::has_attributes)
        .and_then(|owners| {
            let all = owners.attributes_of(&found, || glance.handle(target));
            all.get(NAME.to_bytes()).cloned()
        });
    match remembered {
        Some(Known::Value(value)) => FileCapabilities::of(&value),
        Some(Known::Removed) => None,
        None => FileCapabilities::of(&glance.xattr(NAME).ok()?),
    }
}

/// Whether a file of that `mode` and `owner` may be executed (fs/namei.c, `generic_permission`).
fn may_execute(caller: &Credentials, mode: u32, owner: (u32, u32)) -> bool {
    let bit = if caller.has(Capability::CAP_DAC_OVERRIDE) {
        libc::S_IXUSR | libc::S_IXGRP | libc::S_IXOTH
    } else if caller.uid.filesystem == owner.0 {
        libc::S_IXUSR
    } else if caller.is_in_group(owner.1) {
        libc::S_IXGRP
    } else {
        libc::S_IXOTH
    };
    mode & bit != 0
}

/// The file whose bits count: of a script that of its interpreter, which may be one as well. `None`
/// for what is not executed. And whether the kernel executes that itself.
fn last_file(target: Target<'_>) -> Result<Option<(Glance<'_>, bool)>, Failed> {
    let (mut file, mut follow) = file_at(target)?;
    for _ in 0..=MOST_SCRIPTS {
        // What a server says of it matters no more than what it will have been.
        let Some(glance) = target.glance(&file, follow, libc::AT_STATX_DONT_SYNC)? else {
            return Ok(None);
        };
        if Look::from(&glance.status).mode & libc::S_IFMT != libc::S_IFREG {
            return Ok(None);
        }
        let mut start = [0; START];
        let len = glance.start(target, &mut start)?;
        match interpreter(&start[..len]) {
            None => return Ok(Some((glance, is_program(&start[..len])))),
            Some(path) => (file, follow) = (File::At(libc::AT_FDCWD, held(path)?), true),
        }
    }
    Ok(None)
}

/// The file that the call names, and whether a link at its end is followed.
fn file_at(target: Target) -> Result<(File, bool), Failed> {
    let Named::At { dir, path, flags } = target.request.named().ok_or(Errno::ENOSYS)? else {
        return Err(Errno::ENOSYS.into());
    };
    // With AT_EXECVE_CHECK nothing is executed.
    let flags = known_flags(flags)?;
    let path = target.path(path)?;
    if path.is_empty() && flags.contains(AtFlags::AT_EMPTY_PATH) {
        return Ok((File::Empty(dir), true));
    }
    let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
    Ok((File::At(dir, held(path.to_bytes())?), follow))
}

/// `path` with a slash, so that the file is looked at by a descriptor, and not by its name.
fn held(path: &[u8]) -> Result<CString, Errno> {
    let dir: &[u8] = if path.is_empty() || path.contains(&b'/') {
        b""
    } else {
        b"./"
    };
    CString::new([dir, path].concat()).map_err(|_| Errno::EINVAL)
}

/// Whether a file that starts like this is a program for a machine that this kernel may be
/// (include/uapi/linux/elf.h).
fn is_program(start: &[u8]) -> bool {
    /// `ET_EXEC` and `ET_DYN`.
    const KINDS: [Option<u32>; 2] = [Some(2), Some(3)];
    let number = |at: usize| {
        let bytes = start.get(at..at + 2)?.try_into().ok()?;
        Some(u32::from(u16::from_ne_bytes(bytes)))
    };
    let is_for = |abi: &Abi| number(18) == Some(abi.elf_machine());
    start.starts_with(b"\x7fELF")
        && KINDS.contains(&number(16))
        && Abi::NATIVE.family().iter().any(is_for)
}

/// The interpreter of a script that starts like this (fs/binfmt_script.c).
fn interpreter(start: &[u8]) -> Option<&[u8]> {
    let line = start.strip_prefix(b"#!")?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = line.iter().position(|byte| !is_blank(byte))?;
    let name = &line[from..];
    let is_end = |byte: &u8| is_blank(byte) || matches!(byte, b'\n' | 0);
    let name = &name[..name.iter().position(is_end).unwrap_or(name.len())];
    (!name.is_empty()).then_some(name)
}

//! What removes a file, where what is remembered is saved at the end: an inode that has lost its
//! last name must not be, since the next file gets its number.
//!
//! Such a file is removed by the supervisor, which holds it meanwhile and so learns whether that
//! was its last name. All else is left to the kernel, errors too.

use std::ffi::{CStr, CString};

use nix::errno::Errno;
use nix::unistd::UnlinkatFlags;

use super::maker::created;
use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::supervisor::memory::owners::Inode;
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};

/// A name in a directory.
type Entry<'a> = (Object<'a>, CString);

/// Answers unlink, rmdir, rename and their kin.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match remove(session, request) {
        Ok(true) => Outcome::real(Answer::Value(0)),
        // An error may be the supervisor's own; the kernel finds the caller's.
        Ok(false) | Err(Failed::Error(_) | Failed::Unreadable) => Outcome::CONTINUE,
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    }
}

/// Removes what the call asks for, if that is remembered; whether it has.
fn remove(session: &mut Session, request: &Request) -> Result<bool, Failed> {
    let target = session.sight.target(request);
    let Some(owners) = session.owners.filter(Remembered::are_any) else {
        return Ok(false);
    };
    // What Landlock keeps a process from, the supervisor must not do for it.
    if target.is_restricted() {
        return Ok(false);
    }
    let mut names = entries(target)?.into_iter();
    let (Some(first), second) = (names.next(), names.next()) else {
        return Ok(false);
    };
    // What a name is given loses it.
    let (parent, name) = second.as_ref().unwrap_or(&first);
    let own = created(request.tid, &first.0.found()?);
    // Of two names the first is gone as well.
    match first.0.look_at(&first.1) {
        Err(Errno::ENOENT) if session.in_flight.has_removed(own) => {
            session.in_flight.has_created(own);
            if let Some((dev, ino)) = session.in_flight.has_lost_last_name() {
                let _ = owners.is_gone(Inode { dev, ino });
            }
            return Ok(true);
        }
        found => found?,
    };
    let file = parent.child(name)?;
    let found = file.found()?;
    if owners.of(&found, || file.handle()).is_none() {
        return Ok(false);
    }
    let inode = Inode::from(found.place);
    // A directory has one name.
    let is_last = found.links == 1 || found.mode & libc::S_IFMT == libc::S_IFDIR;
    session
        .in_flight
        .remove(is_last.then_some((inode.dev, inode.ino)));
    let done = match &second {
        Some((to, new)) => first.0.rename(&first.1, to, new),
        None => parent.unlink(name, kind(request)?),
    };
    if done.is_err() {
        session.in_flight.does_not_remove();
        return Ok(false);
    }
    session.in_flight.has_created(own);
    // It is removed, whether or not that can be put down.
    let is_gone = file
        .looked_at_anew()
        .found()
        .is_ok_and(|now| now.links == 0);
    let _ = is_gone.then(|| owners.is_gone(inode));
    Ok(true)
}

/// The names that the call is about; none where it does more than to remove, or less.
fn entries(target: Target) -> Result<Vec<Entry>, Failed> {
    let request = target.request;
    let is_rename = request.sysno == Sysno::renameat2;
    if is_rename && request.arg(Kind::Number)?.word() != 0 {
        return Ok(Vec::new());
    }
    let mut dirs = request.all(Kind::Dir).map(Argument::int);
    let mut files = Vec::new();
    // All is read before any is looked for, which is done with the caller's rights.
    for path in request.all(Kind::Link) {
        let dir = dirs.next().unwrap_or(libc::AT_FDCWD);
        files.push(File::At(dir, target.path(path.pointer())?));
    }
    let entries = files.iter().map(|file| target.find_parent(file));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let are_plain = entries.iter().all(|(_, name)| is_plain(name));
    Ok(if are_plain { entries } else { Vec::new() })
}

/// Whether `name` is nothing but a name in a directory.
fn is_plain(name: &CStr) -> bool {
    let name = name.to_bytes();
    !matches!(name, b"." | b"..") && !name.ends_with(b"/")
}

/// What the call removes.
fn kind(request: &Request) -> Result<UnlinkatFlags, Errno> {
    match request.sysno {
        Sysno::rmdir => Ok(UnlinkatFlags::RemoveDir),
        Sysno::unlinkat => match request.arg(Kind::Number)?.int() {
            0 => Ok(UnlinkatFlags::NoRemoveDir),
            libc::AT_REMOVEDIR => Ok(UnlinkatFlags::RemoveDir),
            _ => Err(Errno::EINVAL),
        },
        _ => Ok(UnlinkatFlags::NoRemoveDir),
    }
}

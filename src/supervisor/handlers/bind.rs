//! bind(2) to a path: the file that it makes is whose its maker has become, or the group's that its
//! directory was given to. It is made as the kernel would make it, and remembered.

use std::ffi::CString;

use nix::errno::Errno;

use super::maker::{Maker, created};
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::files::{File, parent_and_name};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;
use crate::sys::socket::{bind_to_path, path_of};

/// `struct sockaddr_un`, include/uapi/linux/un.h: the family, and room for a path.
const FAMILY: usize = 2;
const PATH: usize = 108;

/// Answers bind(2).
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match bind(session, request) {
        Ok(outcome) => outcome,
        // The error may be the supervisor's own; the kernel finds the caller's.
        Err(Failed::Error(_) | Failed::Unreadable) => Outcome::CONTINUE,
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    }
}

fn bind(session: &mut Session, request: &Request) -> Result<Outcome, Failed> {
    let target = session.sight.target(request);
    let Some(maker) = Maker::of(session, target)? else {
        return Ok(Outcome::CONTINUE);
    };
    let Some(path) = path(target)? else {
        return Ok(Outcome::CONTINUE);
    };
    let socket = target.copy_of(request.arg(Kind::Socket)?.int())?;
    let bound = path_of(&socket).ok_or(Failed::Kernel)?;
    let there = target.there()?;
    let (directory, name) = parent_and_name(&path)?;
    let (parent, _) = target.find_parent(&File::At(libc::AT_FDCWD, path.clone()))?;
    let Some(owner) = maker.owner_in(session, &parent)? else {
        return Ok(Outcome::CONTINUE);
    };
    let made = || {
        let file = parent.child(&name)?;
        let found = file.found()?;
        let is_socket = found.mode & libc::S_IFMT == libc::S_IFSOCK;
        is_socket.then_some(()).ok_or(Errno::ESTALE)?;
        Ok::<_, Errno>((file, created(request.tid, &found)))
    };
    if bound == path.to_bytes() {
        // A server that died over this call has made it, or a signal interrupted that call.
        let (file, created) = made()?;
        if !session.in_flight.has_made(created) {
            return Ok(Outcome::CONTINUE);
        }
        let how = remember(&maker, &parent, &file, owner);
        session.in_flight.has_created(created);
        return Ok(how);
    }
    // The kernel says what is in the way.
    if !bound.is_empty() || parent.look_at(&name) != Err(Errno::ENOENT) {
        return Ok(Outcome::CONTINUE);
    }
    there.act(maker.mask(target)?, (&directory, &parent), || {
        target.still_waits()?;
        session.in_flight.create();
        Ok(bind_to_path(&socket, path.to_bytes())?)
    })?;
    let Ok((file, created)) = made() else {
        // Somebody was quicker to take it away.
        return Ok(Outcome::real(Answer::Value(0)));
    };
    let outcome = remember(&maker, &parent, &file, owner);
    session.in_flight.has_created(created);
    Ok(outcome)
}

/// Remembers that `file`, which is there by now in `parent`, is `owner`'s.
fn remember(maker: &Maker, parent: &Object, file: &Object, owner: (u32, u32)) -> Outcome {
    let how = match maker.remember(parent, file, owner, None) {
        Ok(()) => How::Remembered,
        Err(_) => How::Real,
    };
    Outcome {
        answer: Answer::Value(0),
        how,
    }
}

/// The path that the call gives to the socket; `None` if it is another kind of address, or none at
/// all (net/unix/af_unix.c, `unix_bind`).
fn path(target: Target) -> Result<Option<CString>, Failed> {
    let request = target.request;
    let len = usize::try_from(request.arg(Kind::Number)?.int()).unwrap_or(0);
    if !(FAMILY + 1..=FAMILY + PATH).contains(&len) {
        return Ok(None);
    }
    let mut bytes = [0; FAMILY + PATH];
    let bytes = &mut bytes[..len];
    target.read(request.arg(Kind::Address)?.pointer(), bytes)?;
    let (family, path) = bytes.split_at(FAMILY);
    let is_unix = family == u16::try_from(libc::AF_UNIX).unwrap_or(0).to_ne_bytes();
    let end = path.iter().position(|byte| *byte == 0);
    let path = &path[..end.unwrap_or(path.len())];
    Ok(if is_unix && !path.is_empty() {
        CString::new(path).ok()
    } else {
        None
    })
}

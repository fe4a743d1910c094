//! Who is at the other end of a socket: `SO_PEERCRED` and `SO_PEERGROUPS`. The kernel keeps the
//! process, and who that was when it connected, listened or made the pair; so do we.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{AcceptConn, PeerCredentials};
use nix::sys::socket::{UnixCredentials, getsockopt};

use super::{bind, view};
use crate::arch::signature::Kind;
use crate::arch::{Abi, Sysno};
use crate::supervisor::memory::credentials::Credentials;
use crate::supervisor::memory::peers::{Standing, Way};
use crate::supervisor::memory::processes::Identity;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::socket::{path_of, path_of_peer};

/// Answers a call of class `peer`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    // socketcall(2) is another way to the same calls.
    let Ok(Some(call)) = called(session.target(request)) else {
        return Outcome::CONTINUE;
    };
    match call.sysno {
        Sysno::bind => bind::answer(session, &call),
        Sysno::getsockopt => match peer(session, session.target(&call)) {
            Ok(answer) => Outcome::real(answer),
            // Other errors are the kernel's to find.
            Err(Failed::Error(_) | Failed::Unreadable) => Outcome::CONTINUE,
            Err(failed) => failed.outcome(Outcome::CONTINUE),
        },
        _ => {
            let way = match call.sysno {
                Sysno::listen => Way::Listens,
                _ => Way::Connects,
            };
            // Who is gone meets nobody.
            let _ = session
                .processes
                .meets_peer(session.sight.target(&call), way);
            Outcome::CONTINUE
        }
    }
}

/// The call that is meant.
fn called(target: Target) -> Result<Option<Request>, Failed> {
    let request = *target.request;
    if request.sysno != Sysno::socketcall {
        return Ok(Some(request));
    }
    // `SYS_*`, include/uapi/linux/net.h, and how many arguments each has.
    let (sysno, count) = match request.arg(Kind::Request)?.int() {
        2 => (Sysno::bind, 3),
        3 => (Sysno::connect, 3),
        4 => (Sysno::listen, 2),
        8 => (Sysno::socketpair, 4),
        15 => (Sysno::getsockopt, 5),
        _ => return Ok(None),
    };
    let width = if request.abi.long_is_64bit() { 8 } else { 4 };
    let mut bytes = [0; 5 * 8];
    let bytes = &mut bytes[..count * width];
    target.read(request.arg(Kind::Arguments)?.pointer(), bytes)?;
    let mut args = [0; 6];
    for (arg, bytes) in args.iter_mut().zip(bytes.chunks_exact(width)) {
        *arg = match *bytes {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            _ => u64::from_ne_bytes(bytes.try_into().unwrap_or_default()),
        };
    }
    Ok(Some(request.in_turn(sysno, args)))
}

/// What the kernel would say (net/core/sock.c, `sk_getsockopt`).
fn peer(session: &Session, target: Target) -> Result<Answer, Failed> {
    let request = target.request;
    let (level, option) = (
        request.arg(Kind::SocketLevel)?.word(),
        request.arg(Kind::SocketOption)?.word(),
    );
    let is_asked =
        level == request.abi.sol_socket() && request.abi.peer_options().contains(&option);
    if !is_asked {
        return Ok(Answer::Continue);
    }
    let mut pointers = request.all(Kind::Pointer).map(Argument::pointer);
    let [value, length] = [(); 2].map(|()| pointers.next().unwrap_or_default());
    let mut room = [0; 4];
    target.read(length, &mut room)?;
    let Ok(room) = usize::try_from(i32::from_ne_bytes(room)) else {
        return Ok(Answer::Continue);
    };
    // Whether it may ask at all.
    target.has_our_label()?;
    let socket = target.copy_of(request.arg(Kind::Socket)?.int())?;
    let found = getsockopt(&socket, PeerCredentials)?;
    let Some(Identity {
        credentials,
        namespace,
        ..
    }) = identity(session, target, &socket, found)
    else {
        return Ok(Answer::Continue);
    };
    let mut bytes = Vec::new();
    if option == Abi::SO_PEERGROUPS {
        let groups = view::of_groups(session, target, namespace, &credentials.groups)?;
        let Some(groups) = groups else {
            return Ok(Answer::Continue);
        };
        bytes.extend(groups.into_iter().flat_map(u32::to_ne_bytes));
    } else {
        let ids = (credentials.uid.effective, credentials.gid.effective);
        let Some((uid, gid)) = view::of_ids(session, target, namespace, ids)? else {
            return Ok(Answer::Continue);
        };
        bytes.extend(target.number_of(found.pid())?.to_ne_bytes());
        bytes.extend([uid, gid].into_iter().flat_map(u32::to_ne_bytes));
        bytes.truncate(room);
    }
    // From here on the kernel would say something else, and an error is the caller's own.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
    let told = if room < bytes.len() {
        target.write(length, &len).and(Err(Errno::ERANGE.into()))
    } else {
        target
            .write(value, &bytes)
            .and_then(|()| target.write(length, &len))
    };
    match told {
        Ok(()) => Ok(Answer::Value(0)),
        Err(Failed::Error(errno)) => Ok(Answer::Error(errno)),
        Err(failed) => Err(failed),
    }
}

/// How the peer of `socket` has met it.
fn way_of(socket: &OwnedFd) -> Way {
    // What was accepted has the name of what listens, and so has the peer of what connected.
    // (Where both have a name, it is taken for the former.)
    let is_listener = getsockopt(socket, AcceptConn).unwrap_or(false);
    let has_name = |name: Option<Vec<u8>>| name.is_none_or(|name| !name.is_empty());
    if is_listener || !has_name(path_of(socket)) && has_name(path_of_peer(socket)) {
        Way::Listens
    } else {
        Way::Connects
    }
}

/// Who the peer of `socket` was, of whom the kernel says what was `found`; `None` if that is right.
fn identity(
    session: &Session,
    target: Target,
    socket: &OwnedFd,
    found: UnixCredentials,
) -> Option<Identity> {
    let pid = found.pid();
    // Nobody, one of a PID namespace above ours, or another user's.
    if pid <= 0 || found.uid() != session.maps.own.0 {
        return None;
    }
    let root = || Identity {
        credentials: Credentials::root().into(),
        namespace: session.sight.base.user_namespace,
        has_executed: false,
    };
    let processes = &session.processes;
    let now = || {
        let request = target.request.by(pid);
        processes.identity(processes.standing(session.target(&request)))
    };
    match processes.as_peer(pid, way_of(socket)) {
        Some(Standing::Kernels) => None,
        Some(Standing::Root) => Some(root()),
        Some(standing) => processes.identity(standing).or_else(now),
        // One that has never met anybody is none of ours, unless another has taken its place.
        None => now(),
    }
}

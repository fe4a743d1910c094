//! System V objects that are to belong to somebody whom the kernel does not know here: to us
//! instead. All else of them is the kernel's.

use crate::arch::Abi;
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::ipc::{self, Structure};

/// `IPC_SET`, include/uapi/linux/ipc.h, and the bit by which some ABIs ask for the structures that
/// all have here.
const SET: i32 = 1;
const NEW: i32 = 0x100;

/// Answers semctl(2), msgctl(2) and shmctl(2).
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    give(session, request).unwrap_or_else(Failed::or_the_kernels)
}

fn give(session: &Session, request: &Request) -> Result<Outcome, Failed> {
    let numbers: Vec<i32> = request.all(Kind::Number).map(Argument::int).collect();
    let (Some(&id), Some(&command)) = (numbers.first(), numbers.last()) else {
        return Ok(Outcome::CONTINUE);
    };
    // Other ABIs have other structures.
    if command & !NEW != SET || request.abi != Abi::NATIVE {
        return Ok(Outcome::CONTINUE);
    }
    let target = session.target(request);
    let mut bytes = [0; size_of::<Structure>()];
    let size = ipc::size(request.sysno);
    target.read(request.arg(Kind::Pointer)?.pointer(), &mut bytes[..size])?;
    // Every structure begins with a struct ipc64_perm, and that with the key.
    let id_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let (uid, gid) = (id_at(4), id_at(8));
    let maps = &session.maps;
    let (has_uid, has_gid) = (maps.has_uid(uid), maps.has_gid(gid));
    if has_uid && has_gid || !session.processes.is_at_home(target) {
        return Ok(Outcome::CONTINUE);
    }
    // The object is in a namespace.
    if !target.is_helper {
        return Err(Failed::Helper);
    }
    for (at, id, is_mapped, own) in [(4, uid, has_uid, maps.own.0), (8, gid, has_gid, maps.own.1)] {
        let id = if is_mapped { id } else { own };
        bytes[at..at + 4].copy_from_slice(&id.to_ne_bytes());
    }
    let mut structure: Structure = [0; 32];
    for (word, bytes) in structure.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    let theirs = target.namespace("ipc")?;
    target.take_rights()?;
    target.still_waits()?;
    target.enter(theirs, c"self/ns/ipc")?;
    Ok(match ipc::set(request.sysno, id, command, &structure) {
        Ok(()) => Outcome::of(Ok(How::Pretended), Outcome::CONTINUE),
        Err(errno) => Outcome::real(Answer::Error(errno)),
    })
}

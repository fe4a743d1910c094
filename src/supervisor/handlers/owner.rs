//! chown and its kin: performed as far as the kernel lets us, so that real errors and side effects
//! (set-uid bits that fall) are real.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::unistd::{Gid, Uid, fchownat};

use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome, or_pretend};
use crate::supervisor::target::request::Request;

/// The id that says "leave alone".
const SAME: u32 = u32::MAX;

/// Answers a call of class `owner`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(chown(session, request), Outcome::PRETENDED)
}

fn chown(session: &Session, request: &Request) -> Result<How, Failed> {
    let target = session.target(request);
    let wanted = request.owner().ok_or(Errno::ENOSYS)?;
    let (file, flags) = target.named_file()?;
    let change = |path: &CStr, (uid, gid): (u32, u32)| {
        let uid = (uid != SAME).then_some(Uid::from_raw(uid));
        let gid = (gid != SAME).then_some(Gid::from_raw(gid));
        fchownat(AT_FDCWD, path, uid, gid, flags)
    };
    let maps = &session.maps;
    // What stands for an id that is not mapped here: our own, to which everything of ours belongs.
    let own = (
        if wanted.0 == SAME { SAME } else { maps.own.0 },
        if wanted.1 == SAME { SAME } else { maps.own.1 },
    );
    let possible = (
        if maps.has_uid(wanted.0) {
            wanted.0
        } else {
            own.0
        },
        if maps.has_gid(wanted.1) {
            wanted.1
        } else {
            own.1
        },
    );
    let done = target.reach(&file, |path| match change(path, possible) {
        Ok(()) if possible == wanted => Ok(How::Real),
        Ok(()) => Ok(How::Pretended),
        Err(Errno::EPERM) if own != possible => change(path, own).map(|()| How::Pretended),
        Err(errno) => Err(errno),
    });
    or_pretend(done)
}

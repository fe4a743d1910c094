//! chown and its kin: performed as far as the kernel lets us, so that real errors and side effects
//! (set-uid bits that fall) are real.

use caps::Capability;
use nix::errno::Errno;

use super::rights::Rights;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::object::SAME;
use crate::supervisor::target::request::Request;

/// Answers a call of class `owner`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(chown(session, request), Outcome::PRETENDED)
}

fn chown(session: &Session, request: &Request) -> Result<How, Failed> {
    let target = session.target(request);
    let wanted = request.owner().ok_or(Errno::ENOSYS)?;
    let (file, follow) = target.named_file()?;
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
    let object = target.find(&file, follow)?;
    let rights = Rights::of(session, target, &object);
    if !rights.may_give(wanted.0, wanted.1) {
        return Err(object.refusal().into());
    }
    // Root's group is nobody else.
    if wanted.0 != SAME && wanted.0 != 0 {
        session.given.add(object.found()?.place);
    }
    let done = match object.chown(possible.0, possible.1) {
        Ok(()) if possible == wanted => Ok(How::Real),
        Ok(()) => Ok(How::Pretended),
        Err(Errno::EPERM) if own != possible => object.chown(own.0, own.1).map(|()| How::Pretended),
        Err(errno) => Err(errno),
    };
    rights.pretend(Capability::CAP_CHOWN, done)
}

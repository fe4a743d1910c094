//! chown and its kin: performed as far as the kernel lets us, so that real errors and side effects
//! (set-uid bits that fall) are real.

use caps::Capability;
use nix::errno::Errno;

use super::rights::{Rights, look_at_own};
use crate::supervisor::memory::attributes::Known;
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::object::{Object, SAME};
use crate::supervisor::target::request::Request;
use crate::sys::file::Look;

/// The attribute that has a file's capabilities.
const CAPABILITIES: &[u8] = b"security.capability";

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
    // At a level that does not remember owners, it is noted who gets a file.
    let is_root = wanted.0 == SAME || wanted.0 == 0;
    // Without a user namespace the kernel gives nothing to anybody.
    let is_possible = possible == wanted && (maps.is_root() || own == wanted);
    if is_possible && (is_root || session.owners.is_some()) {
        if let Some(glance) = look_at_own(session, target, &file, follow)? {
            let found = Look::from(&glance.status);
            let handle = || glance.handle(target);
            let remembered = session.owners.as_ref();
            if remembered.is_none_or(|owners| owners.of(&found, handle).is_none())
                && shows_kernels(session, (found.uid, found.gid))
                && session.kept_bits(found.mode) == 0
            {
                return Err(Failed::Kernel);
            }
        }
    }
    let object = target.find(&file, follow)?;
    let rights = Rights::of(session, target, &object);
    if !rights.may_give(&object, wanted.0, wanted.1) {
        return Err(object.refusal().into());
    }
    // Root's group is nobody else.
    if session.owners.is_none() && wanted.0 != SAME && wanted.0 != 0 {
        session.given.add(object.found()?.place);
    }
    // Not to be looked for where nothing is kept.
    let mode = if session.is_fakeroot() {
        object.found()?.mode
    } else {
        0
    };
    let done = match object.chown(possible.0, possible.1) {
        Ok(()) if possible == wanted => Ok(How::Real),
        Ok(()) => Ok(How::Pretended),
        Err(Errno::EPERM) if own != possible => object.chown(own.0, own.1).map(|()| How::Pretended),
        Err(errno) => Err(errno),
    };
    let how = rights.pretend(Capability::CAP_CHOWN, done)?;
    if rights.set_gid_bit_falls(&object) {
        let mode = object.found()?.mode;
        if mode & libc::S_IFMT != libc::S_IFDIR {
            // The set-uid bit has fallen already.
            object.chmod(mode & 0o1777)?;
        }
    }
    // To make it another's may have made it another inode (fs/overlayfs/copy_up.c).
    let object = object.looked_at_anew();
    if session.is_fakeroot() && rights.have(Capability::CAP_FSETID) {
        if session.kept_bits(mode) != 0 {
            // The mode of a file that is not ours stays.
            let _ = object.chmod(mode & !libc::S_IFMT);
        }
    } else if let Some(owners) = &session.owners {
        owners.drop_set_id(&object, !rights.may_set_gid_bit())?;
    }
    match &session.owners {
        Some(owners) => remember(session, owners, &object, wanted, how),
        None => Ok(how),
    }
}

/// Whether a file of which nothing is remembered, and the kernel says `owner`, is shown as that.
fn shows_kernels(session: &Session, owner: (u32, u32)) -> bool {
    session.maps.shows(owner.0, owner.1) == owner
}

/// Remembers that `object` is `wanted`'s, of which the kernel has done as `how` says.
fn remember(
    session: &Session,
    owners: &Remembered,
    object: &Object,
    wanted: (u32, u32),
    how: How,
) -> Result<How, Failed> {
    // What a file's capabilities are worth, its owner says (security/commoncap.c,
    // `cap_inode_killpriv`). The kernel has removed its own.
    let attributes = owners.attributes(object)?;
    if let Some(Known::Value(_)) = attributes.get(CAPABILITIES) {
        owners.change_attributes(object, (0, 0), |all| {
            all.set(CAPABILITIES, None);
            Ok(())
        })?;
    }
    let given = |id| (id != SAME).then_some(id);
    let found = object.found()?;
    let otherwise = session.maps.shows(found.uid, found.gid);
    let (uid, gid) = (given(wanted.0), given(wanted.1));
    // What is shown anyway need not be remembered; but what was, must be right.
    let is_shown = (uid.unwrap_or(otherwise.0), gid.unwrap_or(otherwise.1)) == otherwise;
    if is_shown && owners.find(object)?.is_none() {
        return Ok(how);
    }
    owners.give(object, (uid, gid), otherwise)?;
    if wanted.1 != SAME {
        owners.may_have_heirs(found.mode, wanted.1);
    }
    Ok(How::Remembered)
}

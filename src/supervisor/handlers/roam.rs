//! chroot, pivot_root, setns and unshare: the kernel executes them, and what is known of root
//! directories and rights is forgotten. chroot is refused to who has given up what it takes.

use caps::Capability;
use nix::errno::Errno;

use super::rights;
use crate::arch::Sysno;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;

/// Answers them all.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    session.sight.callers.roam();
    if request.sysno != Sysno::chroot {
        return Outcome::CONTINUE;
    }
    match may_not(session, session.target(request)) {
        Ok(None) => Outcome::CONTINUE,
        Ok(Some(errno)) => Failed::Error(errno).outcome(Outcome::CONTINUE),
        Err(failed) => failed.or_the_kernels(),
    }
}

/// What somebody else than root hears; what is wrong with the directory comes first, and is the
/// kernel's to say (fs/open.c, chroot).
fn may_not(session: &Session, target: Target) -> Result<Option<Errno>, Failed> {
    if rights::has(session, target, Capability::CAP_SYS_CHROOT)? {
        return Ok(None);
    }
    let (file, follow) = target.named_file()?;
    let found = target.find(&file, follow)?.found()?;
    let is_dir = found.mode & libc::S_IFMT == libc::S_IFDIR;
    Ok(is_dir.then_some(Errno::EPERM))
}

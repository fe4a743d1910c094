//! mknod of a device: where the kernel refuses, an empty regular file stands in its place, with the
//! mode that was asked for.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::{Mode, SFlag, fstatat, mknodat, umask};
use std::os::fd::AsRawFd;

use crate::arch::Sysno;
use crate::supervisor::recovery::in_flight::Desk;
use crate::supervisor::target::{File, Target};

/// A file that was made for a thread: its number, then device and inode.
pub type Made = (i32, libc::dev_t, libc::ino_t);

/// Answers a call of class `device`. `unanswered` is what was made for a call that a signal took
/// away before it had its answer: the thread will ask again. The second part of the result is what
/// was made now.
///
/// # Errors
/// The kernel's, but for the refusal.
pub fn answer(
    target: &Target,
    unanswered: Option<Made>,
    desk: &Desk,
) -> Result<(i64, Option<Made>), Errno> {
    let call = target.call;
    let at = usize::from(call.sysno == Sysno::mknodat);
    let dir = if at == 1 {
        call.int(0)
    } else {
        AT_FDCWD.as_raw_fd()
    };
    let path = target.path(call.pointer(at))?;
    let (mode, dev) = (call.word(at + 1), call.word(at + 2));
    // open(2) and its like heed the caller's, which only it can tell otherwise.
    let mask = u32::from_str_radix(&target.status("Umask")?, 8).map_err(|_| Errno::ESRCH)?;
    umask(Mode::from_bits_truncate(mask));
    let permissions = Mode::from_bits_truncate(mode);
    let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
    target.reach(File::At(dir, &path), |path| {
        let id = || {
            fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)
                .map(|status| (call.tid, status.st_dev, status.st_ino))
        };
        let is_made = desk.may_be_made();
        match mknodat(AT_FDCWD, path, kind, permissions, dev.into()) {
            Err(Errno::EPERM) => {
                target.is_pretended.set(true);
                // There was none, or the error would have been EEXIST (fs/namei.c, do_mknodat): if
                // there is one later, it is ours.
                desk.make();
                mknodat(AT_FDCWD, path, SFlag::S_IFREG, permissions, 0)
            }
            Err(Errno::EEXIST) if is_made || unanswered.is_some() && id().ok() == unanswered => {
                Ok(())
            }
            result => result,
        }?;
        Ok((0, id().ok()))
    })
}

//! What zroot, which stays beside the command, and the supervisor say to each other: that the
//! command has ended, and that the report is complete.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, shutdown, socketpair,
};

use crate::sys::memory::Shared;

/// What has become of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Complete {
    /// It is complete.
    Yes,
    /// There was nothing to report: the command has never begun.
    NeverBegun,
    /// The supervisor is gone without it.
    Lost,
    /// It could not be written to what has that name.
    Failed(String, Errno),
}

/// Zroot's side.
pub struct Reader {
    socket: OwnedFd,
    begun: Begun,
    /// Where the trace goes, and the summary.
    names: [String; 2],
}

/// Whether the command has begun, which zroot learns from its child.
#[derive(Clone, Copy, Debug)]
pub struct Begun(Shared<AtomicBool>);

impl Begun {
    /// Says that it is about to.
    pub fn set(self) {
        self.0.store(true, Ordering::Release);
    }

    /// It has not.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Begun, Errno> {
        Shared::zeroed().map(Begun)
    }

    /// Whether that was said.
    #[must_use]
    pub fn is_set(self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The supervisor's side.
#[derive(Debug)]
pub struct Writer {
    socket: OwnedFd,
    /// Whether the report has been complete already, also for a successor.
    was_complete: Shared<AtomicBool>,
}

/// Both sides, for a trace and a summary that go to what has these names, of a command that has
/// `begun` or not.
///
/// # Errors
/// socketpair(2)'s, mmap(2)'s.
pub fn pair(names: [String; 2], begun: Begun) -> Result<(Reader, Writer), Errno> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    let (here, there) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
    let writer = Writer {
        socket: there,
        was_complete: Shared::zeroed()?,
    };
    let reader = Reader {
        socket: here,
        begun,
        names,
    };
    Ok((reader, writer))
}

impl Reader {
    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Says that the command has ended. The end of this process says so, too.
    pub fn ask(&self) {
        // The other side may be gone.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
    }

    /// Waits for the report.
    #[must_use]
    pub fn wait(self) -> Complete {
        let mut failed = false;
        loop {
            let mut message = [0; 8];
            match recv(self.socket.as_raw_fd(), &mut message, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                // There is no other way to learn of it.
                Err(_) if !failed => failed = true,
                Ok(8) => {
                    let (trace, summary) = message.split_at(4);
                    let errors = [trace, summary]
                        .map(|error| i32::from_ne_bytes(error.try_into().unwrap_or_default()));
                    let failed = errors
                        .into_iter()
                        .zip(self.names)
                        .find(|(error, _)| *error != 0);
                    return failed.map_or(Complete::Yes, |(error, name)| {
                        Complete::Failed(name, Errno::from_raw(error))
                    });
                }
                _ if self.begun.is_set() => return Complete::Lost,
                _ => return Complete::NeverBegun,
            }
        }
    }
}

impl Writer {
    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Where something arrives at the command's end.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the command has ended.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        let said = recv(self.socket.as_raw_fd(), &mut [0; 8], MsgFlags::MSG_DONTWAIT);
        !matches!(said, Err(Errno::EAGAIN | Errno::EINTR))
    }

    /// Says that the report is complete, or what has kept trace and summary from it.
    pub fn complete(&self, errors: [Option<Errno>; 2]) {
        self.was_complete.store(true, Ordering::Release);
        let errors = errors.map(|error| error.map_or(0, |errno| errno as i32).to_ne_bytes());
        // If it cannot be said, nobody waits for it.
        let message = errors.as_flattened();
        let _ = send(self.socket.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }

    /// Whether that has been said.
    #[must_use]
    pub fn was_complete(&self) -> bool {
        self.was_complete.load(Ordering::Acquire)
    }
}

//! A notification, decoded: which call, through which ABI, and its arguments by what they are
//! ([`arch::signature`](crate::arch::signature)).

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use crate::arch::signature::{Kind, Signature};
use crate::arch::{Abi, Sysno};
use crate::sys::seccomp::seccomp_notif;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The notification's own number.
    pub id: u64,
    /// The calling thread, in the supervisor's PID namespace.
    pub tid: i32,
    /// Through which ABI the call was made. Not always that of the program: a 64-bit process can
    /// use `int 0x80`.
    pub abi: Abi,
    /// Which call.
    pub sysno: Sysno,
    /// The registers.
    args: [u64; 6],
}

/// One argument: a register, read as the ABI has it.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    abi: Abi,
    register: u64,
}

/// Which file a call names, before its path has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// The one that is open at a descriptor.
    Open(i32),
    /// The one at a path.
    At {
        /// Where the path starts: a descriptor or `AT_FDCWD`.
        dir: i32,
        /// The path's address.
        path: u64,
        /// The call's `AT_*` flags; for a call that has none, `AT_SYMLINK_NOFOLLOW` or nothing, as
        /// it behaves.
        flags: AtFlags,
    },
}

impl Request {
    /// Reads a notification; `None` if it is of a call that the matrix does not have.
    #[must_use]
    pub fn decode(notif: &seccomp_notif) -> Option<Request> {
        let nr = u32::from_ne_bytes(notif.data.nr.to_ne_bytes());
        let abi = Abi::of(notif.data.arch, nr)?;
        Some(Request {
            id: notif.id,
            tid: notif.pid.try_into().ok()?,
            abi,
            sysno: Sysno::of(abi, nr)?,
            args: notif.data.args,
        })
    }

    /// The same as if `tid` had made it: for a look at that thread.
    #[must_use]
    pub fn by(&self, tid: i32) -> Request {
        Request { tid, ..*self }
    }

    /// What the arguments are.
    #[must_use]
    pub const fn signature(&self) -> &'static Signature {
        self.sysno.signature()
    }

    /// The first argument of `kind`.
    ///
    /// # Errors
    /// `ENOSYS` if the call has none.
    pub fn arg(&self, kind: Kind) -> Result<Argument, Errno> {
        self.all(kind).next().ok_or(Errno::ENOSYS)
    }

    /// Every argument of `kind`.
    pub fn all(&self, kind: Kind) -> impl Iterator<Item = Argument> {
        let params = self.signature().params.iter().zip(self.args);
        params
            .filter(move |(param, _)| param.kind == kind)
            .map(|(_, register)| Argument {
                abi: self.abi,
                register,
            })
    }

    /// The ids that the call is given, with the names of the arguments, where -1 says "leave
    /// alone". The old calls of some ABIs take 16 bits, and have a -1 of their own
    /// (include/linux/highuid.h, `low2highuid`).
    pub fn ids(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let params = self.signature().params.iter().zip(self.args);
        params
            .filter(|(param, _)| matches!(param.kind, Kind::Uid | Kind::Gid))
            .map(|(param, register)| {
                let id = Argument {
                    abi: self.abi,
                    register,
                }
                .word();
                let id = match (self.has_16bit_ids(), id & 0xffff) {
                    (false, _) => id,
                    (true, 0xffff) => u32::MAX,
                    (true, low) => low,
                };
                (param.name, id)
            })
    }

    /// The owner and group that a file is to have, where -1 says "leave alone"; `None` if that is
    /// not what the call is about.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.named()?;
        let mut ids = self.ids();
        Some((ids.next()?.1, ids.next()?.1))
    }

    /// Whether the call takes and gives ids of 16 bits.
    #[must_use]
    pub const fn has_16bit_ids(&self) -> bool {
        self.abi.has_16bit_ids() && self.signature().is_old
    }

    /// The file that the call is about.
    #[must_use]
    pub fn named(&self) -> Option<Named> {
        if let Ok(fd) = self.arg(Kind::Fd) {
            return Some(Named::Open(fd.int()));
        }
        let (path, own) = match self.arg(Kind::Path) {
            Ok(path) => (path, AtFlags::empty()),
            Err(_) => (self.arg(Kind::Link).ok()?, AtFlags::AT_SYMLINK_NOFOLLOW),
        };
        let dir = self.arg(Kind::Dir).map_or(libc::AT_FDCWD, Argument::int);
        let flags = self
            .arg(Kind::AtFlags)
            .map_or(own, |flags| AtFlags::from_bits_retain(flags.int()));
        Some(Named::At {
            dir,
            path: path.pointer(),
            flags,
        })
    }
}

impl Argument {
    /// As an `unsigned int`.
    #[must_use]
    pub const fn word(self) -> u32 {
        (self.register & 0xffff_ffff) as u32
    }

    /// As an `int`: a descriptor, flags.
    #[must_use]
    pub const fn int(self) -> i32 {
        i32::from_ne_bytes(self.word().to_ne_bytes())
    }

    /// As an address in the caller's memory.
    #[must_use]
    pub const fn pointer(self) -> u64 {
        self.register & self.abi.pointer_mask()
    }

    /// As an `unsigned long`: a size.
    #[must_use]
    pub const fn long(self) -> u64 {
        if self.abi.long_is_64bit() {
            self.register
        } else {
            self.word() as u64
        }
    }
}

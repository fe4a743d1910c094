//! One notified call as the supervisor sees it, and what it can be answered with.

use nix::errno::Errno;

use crate::arch::{Abi, Sysno};
use crate::supervisor::target::listener::seccomp_notif;

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The notification's own number.
    pub id: u64,
    /// The calling thread, in the supervisor's PID namespace.
    pub tid: i32,
    /// Through which ABI the call was made. Not always that of the program: a 64-bit process can
    /// use `int 0x80`.
    pub abi: Abi,
    /// Which call.
    pub sysno: Sysno,
    args: [u64; 6],
}

impl Call {
    /// Reads a notification; `None` if it is of a call that the matrix does not have.
    #[must_use]
    pub fn decode(notif: &seccomp_notif) -> Option<Call> {
        let nr = u32::from_ne_bytes(notif.data.nr.to_ne_bytes());
        let abi = Abi::of(notif.data.arch, nr)?;
        Some(Call {
            id: notif.id,
            tid: notif.pid.try_into().ok()?,
            abi,
            sysno: Sysno::of(abi, nr)?,
            args: notif.data.args,
        })
    }

    /// Argument `i` as an `unsigned int`.
    #[must_use]
    pub const fn word(&self, i: usize) -> u32 {
        (self.args[i] & 0xffff_ffff) as u32
    }

    /// Argument `i` as an `int`: a descriptor, flags.
    #[must_use]
    pub const fn int(&self, i: usize) -> i32 {
        i32::from_ne_bytes(self.word(i).to_ne_bytes())
    }

    /// Argument `i` as an address or a size in the caller's memory.
    #[must_use]
    pub const fn pointer(&self, i: usize) -> u64 {
        self.args[i] & self.abi.pointer_mask()
    }

    /// Argument `i` as a `long`.
    #[must_use]
    pub const fn long(&self, i: usize) -> u64 {
        if self.abi.long_is_64bit() {
            self.args[i]
        } else {
            self.word(i) as u64
        }
    }

    /// Argument `i` as a uid or gid, where -1 says "leave alone". The old calls of some ABIs take
    /// 16 bits, and have a -1 of their own (include/linux/highuid.h, `low2highuid`).
    #[must_use]
    pub const fn owner(&self, i: usize) -> u32 {
        let id = self.word(i);
        if !self.has_16bit_ids() {
            id
        } else if id & 0xffff == 0xffff {
            u32::MAX
        } else {
            id & 0xffff
        }
    }

    /// Whether this is one of the calls that take and give ids of 16 bits: on ABIs that have them,
    /// those with a twin whose name ends in 32.
    #[must_use]
    pub const fn has_16bit_ids(&self) -> bool {
        use Sysno::{
            chown, fchown, getegid, geteuid, getgid, getgroups, getresgid, getresuid, getuid,
            lchown, setfsgid, setfsuid, setgid, setgroups, setregid, setresgid, setresuid,
            setreuid, setuid,
        };
        self.abi.has_16bit_ids()
            && matches!(
                self.sysno,
                chown
                    | fchown
                    | lchown
                    | setuid
                    | setgid
                    | setreuid
                    | setregid
                    | setresuid
                    | setresgid
                    | setfsuid
                    | setfsgid
                    | setgroups
                    | getuid
                    | geteuid
                    | getgid
                    | getegid
                    | getresuid
                    | getresgid
                    | getgroups
            )
    }
}

/// What a call is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It returns this.
    Value(i64),
    /// It fails.
    Error(Errno),
    /// The kernel executes it after all.
    Real,
}

impl From<Result<i64, Errno>> for Answer {
    fn from(result: Result<i64, Errno>) -> Answer {
        result.map_or_else(Answer::Error, Answer::Value)
    }
}

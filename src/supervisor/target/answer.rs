//! What a call is answered with, and what that answer is worth.

use nix::errno::Errno;

/// What the caller gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The call returns this.
    Value(i64),
    /// The call fails.
    Error(Errno),
    /// The kernel executes the call after all (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`).
    Continue,
    /// What a helper says, a process of its own. Nothing has been done yet.
    Helper,
}

/// What an answer is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It is the kernel's, or what the kernel would have said. A question is always real: to answer
    /// it changes nothing.
    Real,
    /// The kernel was not told, but later questions are answered accordingly.
    Remembered,
    /// The caller hears of success, and not all that it asked for was done.
    Pretended,
}

/// What a handler comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What the caller gets.
    pub answer: Answer,
    /// What that is worth.
    pub how: How,
}

impl Outcome {
    /// The kernel executes the call.
    pub const CONTINUE: Outcome = Outcome::real(Answer::Continue);

    /// Success in the place of a refusal.
    pub const PRETENDED: Outcome = Outcome {
        answer: Answer::Value(0),
        how: How::Pretended,
    };

    /// An answer that hides nothing.
    #[must_use]
    pub const fn real(answer: Answer) -> Outcome {
        Outcome {
            answer,
            how: How::Real,
        }
    }

    /// Success, and what it is worth; or the error of `result`. Where the kernel keeps us from
    /// looking into the process, `unreadable`.
    #[must_use]
    pub fn of(result: Result<How, Failed>, unreadable: Outcome) -> Outcome {
        match result {
            Ok(how) => Outcome {
                answer: Answer::Value(0),
                how,
            },
            Err(failed) => failed.outcome(unreadable),
        }
    }
}

/// Why a call cannot be served as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// It fails with this.
    Error(Errno),
    /// The kernel keeps us from looking into the process: one that runs an executable which only
    /// others may read belongs to an outer namespace (fs/exec.c, `would_dump`).
    Unreadable,
    /// A helper must do it: a process that may wait, and that takes the caller's rights.
    Helper,
    /// No process of ours can have the caller's rights: the kernel is to answer.
    Kernel,
}

impl Failed {
    /// The error, or `unreadable` in the place of what we could not look at.
    #[must_use]
    pub const fn outcome(self, unreadable: Outcome) -> Outcome {
        match self {
            Failed::Error(errno) => Outcome::real(Answer::Error(errno)),
            Failed::Unreadable => unreadable,
            Failed::Helper => Outcome::real(Answer::Helper),
            Failed::Kernel => Outcome::CONTINUE,
        }
    }

    /// The kernel's answer in the place of every error: nothing has been done, and it knows best.
    #[must_use]
    pub const fn or_the_kernels(self) -> Outcome {
        match self {
            Failed::Helper => Outcome::real(Answer::Helper),
            Failed::Error(_) | Failed::Unreadable | Failed::Kernel => Outcome::CONTINUE,
        }
    }
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Failed {
        Failed::Error(errno)
    }
}

//! The one shape of zroot's own errors: what and why on one line, what to do about it, and the exit
//! status.

use std::ffi::OsStr;
use std::fmt;
use std::io;

use nix::errno::Errno;

/// The exit status of zroot's own failures, bad usage among them.
pub const FAILED: u8 = 125;

/// The exit status where `--fail-on` has found what it forbids.
pub const PRETENDED: u8 = 124;

/// Something that ends zroot before the command has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// [`FAILED`]; 126 for a command that cannot be run, 127 for one that is not found.
    pub status: u8,
    /// What and why, on one line.
    pub message: String,
    /// What to do about it, on one line.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of zroot's own, without advice.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            status: FAILED,
            message: message.into(),
            hint: None,
        }
    }

    /// `what` failed because the kernel said `errno`.
    #[must_use]
    pub fn errno(what: impl fmt::Display, errno: Errno) -> Failure {
        Failure::new(format!("{what}: {}", errno.desc()))
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A name for a message: in quotes and on one line, whatever bytes it has.
#[must_use]
pub fn shown(name: impl AsRef<OsStr>) -> String {
    format!("'{}'", name.as_ref().to_string_lossy().escape_debug())
}

/// What an error of the standard library means, without the number that it puts behind it.
#[must_use]
pub fn cause(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| Errno::from_raw(number).desc().into(),
    )
}

//! The error of the interface.

use std::fmt;

use crate::error::Failure;
use crate::hint;
use crate::host::Facts;
use crate::launch;

/// Why there is no filter, or why a command has not begun.
///
/// Displayed, it is one line: the message, and the hint in parentheses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(Failure);

impl Error {
    /// The exit status that zroot ends with for this: 127 if the command is not found, 126 if it
    /// cannot be run, else 125.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.0.status
    }

    /// What is wrong and why, on one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, on one line. It may name options of the command `zroot`.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        self.hint().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for Error {}

#[doc(hidden)] // not for other crates
impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        Error(failure)
    }
}

#[doc(hidden)] // not for other crates
impl From<launch::Error> for Error {
    fn from(error: launch::Error) -> Error {
        Error(hint::advised(error, Facts::read))
    }
}

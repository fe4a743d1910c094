//! What ends zroot before the command runs.

use std::fmt;

use crate::error::Failure;
use crate::filter::install::InstallError;
use crate::launch::apt::ConfigError;
use crate::namespace::Refused;
use crate::supervisor::Unavailable;

/// What ends zroot before the command runs, by who can say what to do about it (`hint`).
#[derive(Debug)]
pub enum Error {
    /// It brings its own advice.
    Failure(Failure),
    /// There is no user namespace to be had.
    Namespace(Refused),
    /// The filter is not on.
    Filter(InstallError),
    /// There is no supervisor to be had.
    Supervisor(Unavailable),
    /// apt's configuration could not be made.
    AptConfig(ConfigError),
    /// Anything else; its message says it all.
    Other(anyhow::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failure(error) => error.fmt(f),
            Error::Namespace(error) => error.fmt(f),
            Error::Filter(error) => error.fmt(f),
            Error::Supervisor(error) => error.fmt(f),
            Error::AptConfig(error) => error.fmt(f),
            // With its causes.
            Error::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<Failure> for Error {
    fn from(error: Failure) -> Error {
        Error::Failure(error)
    }
}

impl From<Refused> for Error {
    fn from(error: Refused) -> Error {
        Error::Namespace(error)
    }
}

impl From<InstallError> for Error {
    fn from(error: InstallError) -> Error {
        Error::Filter(error)
    }
}

impl From<Unavailable> for Error {
    fn from(error: Unavailable) -> Error {
        Error::Supervisor(error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Error {
        Error::AptConfig(error)
    }
}

/// For what has been given its context.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Error {
        Error::Other(error)
    }
}

//! Opens what reports go to.

use std::fs::File;
use std::io::{self, stderr};
use std::os::fd::AsFd;

use super::plan::Output;
use crate::error::{Failure, cause, shown};
use crate::supervisor::report::Sink;

/// Opens `output`. What is written to a file whose name ends in `.json` is for machines.
///
/// # Errors
/// [`Failure`] that names the file.
#[inline(never)] // for a small stack where it is not called
pub fn open(output: Output) -> Result<Sink, Failure> {
    let failed = |name: &str, error: &io::Error| {
        Failure::new(format!("cannot write to {name}: {}", cause(error)))
    };
    match output {
        Output::Stderr => {
            let output = stderr()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| failed("standard error", &error))?;
            Ok(Sink {
                output: output.into(),
                is_json: false,
            })
        }
        Output::File(path) => Ok(Sink {
            output: File::create(&path).map_err(|error| failed(&shown(&path), &error))?,
            is_json: path
                .extension()
                .is_some_and(|extension| extension == "json"),
        }),
    }
}

//! Opens what reports go to.

use std::fs::{self, File};
use std::io::{self, Write, stderr};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use super::plan::Output;
use crate::error::{Failure, cause, shown};
use crate::filter::policy::Level;
use crate::supervisor::report::{self, Sink};
use crate::sys::file::duplicate;
use crate::whole_file::WholeFile;

/// The kernel's own limit of symbolic links in one path (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// How messages name `output`.
#[must_use]
pub fn name(output: &Output) -> String {
    match output {
        Output::Stderr => "standard error".into(),
        Output::File(path) => shown(path),
    }
}

/// Opens `output`, of which a part is written now and then. What is written to a file whose name
/// ends in `.json` is for machines.
///
/// # Errors
/// [`Failure`] that names the file.
#[inline(never)] // for a small stack where it is not called
pub fn open(output: &Output) -> Result<Sink, Failure> {
    let opened = match output {
        Output::Stderr => stderr().as_fd().try_clone_to_owned().map(File::from),
        Output::File(path) => descriptor(path).unwrap_or_else(|| File::create(path)),
    };
    sink(output, opened.map(report::Output::Stream))
}

/// The open file that `path` leads to, as /dev/stdout and /dev/fd/3 do: by a magic link of a
/// procfs. Others write to it, too, and it is as they have it.
fn descriptor(path: &Path) -> Option<io::Result<File>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let target = path.read_link().ok()?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !statfs(dir).is_ok_and(|there| there.filesystem_type() == PROC_SUPER_MAGIC) {
            path = dir.join(target);
            continue;
        }
        let own = fs::canonicalize("/proc/self/fd").ok();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        return Some(match number {
            Some(number) if fs::canonicalize(dir).ok() == own => {
                duplicate(number).map(File::from).map_err(io::Error::from)
            }
            // Another process's, whose place in the file is its own.
            _ => File::options().append(true).open(&path),
        });
    }
    None
}

/// The same for what is written at once. A regular file stays as it is until then.
///
/// # Errors
/// [`Failure`] that names the file.
#[inline(never)]
pub fn open_whole(output: &Output) -> Result<Sink, Failure> {
    let whole = match output {
        Output::File(path) if descriptor(path).is_none() => WholeFile::at(path).transpose(),
        _ => None,
    };
    match whole {
        Some(file) => sink(output, file.map(report::Output::Whole)),
        None => open(output),
    }
}

fn sink(output: &Output, opened: io::Result<report::Output>) -> Result<Sink, Failure> {
    Ok(Sink {
        output: opened.map_err(|error| failed(output, &error))?,
        is_json: is_json(output),
    })
}

fn is_json(output: &Output) -> bool {
    let extension = match output {
        Output::Stderr => None,
        Output::File(path) => Path::new(path).extension(),
    };
    extension.is_some_and(|extension| extension == "json")
}

fn failed(output: &Output, error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot write to {}: {}",
        name(output),
        cause(error)
    ))
}

/// Writes the summary of a run in which nothing is pretended.
///
/// # Errors
/// [`Failure`] that names the file.
#[inline(never)]
pub fn nothing(level: Level, output: &Output) -> Result<(), Failure> {
    let sink = open_whole(output)?;
    let text = report::of_nothing(level, sink.is_json);
    let written = match sink.output {
        report::Output::Stream(mut file) => file.write_all(text.as_bytes()),
        report::Output::Whole(file) => file.write(text.as_bytes()).map_err(io::Error::from),
    };
    written.map_err(|error| failed(output, &error))
}

//! The files of `--load` and `--save`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::text::{self, Wrong};
use crate::error::{Failure, cause, shown};
use crate::supervisor::memory::remembered::Remembered;
use crate::sys::process::ignore_signal;
use crate::whole_file::{LockedFile, WholeFile};

/// Has `all` remember what the file at `path` says.
///
/// # Errors
/// [`Failure`] that names the file, and the line where that is to blame.
#[inline(never)]
pub fn load(path: &Path, all: &Remembered) -> Result<(), Failure> {
    let cannot =
        |error: &io::Error| Failure::new(format!("cannot load {}: {}", shown(path), cause(error)));
    let file = File::open(path).map_err(|error| {
        let failure = cannot(&error);
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint("leave --load out the first time"),
            _ => failure,
        }
    })?;
    text::read(BufReader::new(file), all).map_err(|wrong| match wrong {
        Wrong::Unreadable(error) => cannot(&error),
        Wrong::Line(number, what) => {
            let failure = Failure::new(format!("{}: line {number}: {what}", shown(path)));
            failure.hint(
                "the file is damaged, or neither fakeroot nor zroot saved it; nothing was run",
            )
        }
        Wrong::Kept(errno) => Failure::errno(
            format_args!("cannot remember what {} says", shown(path)),
            errno,
        ),
    })
}

/// Where to save, at the end.
#[derive(Debug)]
pub struct Saver {
    path: PathBuf,
    /// `None` for what is no regular file: it is opened at the end, as a pipe waits for its reader.
    file: Option<LockedFile>,
}

impl Saver {
    /// To the file at `path`, which nobody else saves to until this is done.
    ///
    /// # Errors
    /// [`Failure`] that names the file.
    #[inline(never)]
    pub fn open(path: &Path) -> Result<Saver, Failure> {
        let failed = |errno| failed(path, &io::Error::from(errno));
        let whole = WholeFile::at(path).map_err(|error| self::failed(path, &error))?;
        let file = match whole.map(WholeFile::lock).transpose() {
            Ok(Some(None)) => {
                let failure = Failure::new(format!("another zroot saves to {}", shown(path)));
                return Err(failure.hint("wait for its end, or name another file"));
            }
            Err(Errno::EEXIST) => {
                let mut way = OsString::from(".");
                way.push(path.file_name().unwrap_or_default());
                way.push(".zroot");
                let hint = format!("{} beside it is not a file of yours: remove it", shown(way));
                return Err(failed(Errno::EEXIST).hint(hint));
            }
            Err(Errno::EACCES) => {
                return Err(failed(Errno::EACCES).hint(
                    "its directory must be writable: a new file, made there, takes its place",
                ));
            }
            locked => locked.map_err(failed)?.flatten(),
        };
        // From now on it does not matter where we are.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if file.is_none() && path.is_dir() {
            return Err(failed(Errno::EISDIR));
        }
        Ok(Saver { path, file })
    }

    /// The descriptors that must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.file.iter().flat_map(LockedFile::descriptors)
    }

    /// The file's name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        shown(&self.path)
    }

    /// Saves what `all` remembers, with what is only root's if `with_roots`.
    ///
    /// # Errors
    /// [`Failure`] that names the file, which is as it was before then.
    #[inline(never)]
    pub fn save(self, all: &Remembered, with_roots: bool) -> Result<(), Failure> {
        // The limit was meant for the command. Beyond the hard one there is an error.
        ignore_signal(nix::sys::signal::Signal::SIGXFSZ);
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_FSIZE) {
            let _ = setrlimit(Resource::RLIMIT_FSIZE, hard, hard);
        }
        let write = |file: &mut File| {
            let mut file = BufWriter::with_capacity(1 << 16, file);
            text::write(all, with_roots, &mut file)?;
            file.flush()
        };
        let written = match self.file {
            Some(file) => file.write(write),
            None => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.path)
                .and_then(|mut file| write(&mut file)),
        };
        written.map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot save to {}: {}", shown(path), cause(error)))
}

//! This program once more, with one of its tests alone, as the unprivileged user.

use std::env;
use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::common;

/// A test of this program, in a copy at a path that the unprivileged user can reach.
pub struct ThisTest {
    name: String,
    dir: TempDir,
}

impl ThisTest {
    /// The test `name` of the module `module_path`.
    pub fn new(module_path: &str, name: &str) -> ThisTest {
        let this = ThisTest {
            name: crate::full_name(module_path, name),
            dir: common::dir(),
        };
        // By cp: children that other tests' threads fork while this process writes a program keep
        // it from being executed (ETXTBSY).
        common::run(
            Command::new("cp")
                .arg(env::current_exe().expect("this program's path"))
                .arg(this.program()),
        )
        .succeeds();
        this
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("this-test")
    }

    /// The command line that runs it.
    pub fn command(&self) -> Vec<OsString> {
        let options = ["--exact", &self.name, "--nocapture", "--test-threads=1"];
        iter::once(self.program().into())
            .chain(options.map(OsString::from))
            .collect()
    }
}

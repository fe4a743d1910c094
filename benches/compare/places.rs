//! Where and as whom commands run.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::{Builder, TempDir};

use crate::common::{give, uid, user};
use crate::output::output;

/// Directories of the unprivileged user's own, removed at the end.
pub struct Places {
    pub disk: TempDir,
    pub tmpfs: TempDir,
}

impl Places {
    pub fn make(disk: &Path, tmpfs: &Path) -> Places {
        let make = |base: &Path| {
            let dir = Builder::new()
                .prefix("zroot-bench-")
                .tempdir_in(base)
                .unwrap_or_else(|error| panic!("{}: {error}", base.display()));
            give(dir.path());
            dir
        };
        let places = Places {
            disk: make(disk),
            tmpfs: make(tmpfs),
        };
        let timer = places.timer();
        let this = std::env::current_exe().expect("this program's path");
        std::fs::copy(this, &timer).expect("a copy of this program");
        give(Path::new(&timer));
        places
    }

    pub fn timer(&self) -> String {
        text(&self.disk.path().join("timer"))
    }

    /// A command of the unprivileged user's, or of real root's.
    pub fn command<S: AsRef<str>>(&self, root: bool, words: &[S]) -> Command {
        let mut command = user(words[0].as_ref());
        if root {
            command.uid(0).gid(0);
        }
        command.args(words[1..].iter().map(AsRef::as_ref));
        let id = uid().to_string();
        command
            .envs([("USER", id.as_str()), ("PSEUDO_PREFIX", "/usr")])
            .env("PSEUDO_LOCALSTATEDIR", self.disk.path().join("pseudo"))
            // Where pseudoroot unpacks its library.
            .env("XDG_CACHE_HOME", self.disk.path().join("cache"));
        command
    }

    /// Runs a shell script as the unprivileged user; it must succeed.
    pub fn prepare(&self, script: &str) {
        output(&mut self.command(false, &["sh", "-ec", script]))
            .unwrap_or_else(|error| panic!("{script}: {error}"));
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // pseudo's server waits half a minute for more work.
        let _ = self.command(false, &["pseudo", "-S"]).output();
        // Some of it has modes that keep out its owner, who is root in this namespace.
        for dir in [self.disk.path(), self.tmpfs.path()] {
            let _ = self
                .command(false, &["unshare", "-r", "rm", "-rf", "--", &text(dir)])
                .output();
        }
    }
}

/// A path in UTF-8, which all of ours are.
pub fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Compiles with `cc`; `None`, and a line that says so, where that cannot be.
pub fn compile(
    places: &Places,
    cc: &str,
    name: &str,
    source: &Path,
    flags: &[&str],
) -> Option<String> {
    let to: PathBuf = places.disk.path().join(name);
    let mut command = Command::new(cc);
    command
        .args(["-O2", "-fno-builtin"])
        .args(flags)
        .arg("-o")
        .arg(&to)
        .arg(source);
    match output(&mut command) {
        Ok(_) => {
            give(&to);
            Some(text(&to))
        }
        Err(error) => {
            println!("Left out: {name}, which {cc} does not make: {error}");
            None
        }
    }
}

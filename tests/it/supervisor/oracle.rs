//! Programs of `tests/fixtures` at both levels and as real root, whom the kernel answers.
#![allow(unsafe_code)] // setgroups(2) in a child

use std::cell::Cell;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use tempfile::TempDir;
use zroot::internals::host;

use super::compile;
use crate::common::{self, dir, for_root_only, give, is_root, plain, run, zroot_with};

/// A program of `tests/fixtures`, and where it runs.
pub struct Fixture {
    pub dir: TempDir,
    runs: Cell<u32>,
}

impl Fixture {
    /// Builds `source` with `options`; `None` after a SKIP where that or level selective does not
    /// work.
    pub fn new(test: &str, source: &str, options: &[&str]) -> Option<Fixture> {
        let fixture = Fixture {
            dir: dir(),
            runs: Cell::new(0),
        };
        if common::program("cc").is_none() {
            common::skip(test, "there is no cc");
            return None;
        }
        let built = compile(source, options, &fixture.program());
        if built.status != 0 {
            common::skip(
                test,
                &format!("cc {options:?} builds nothing: {}", built.stderr),
            );
            return None;
        }
        let tried = run(&mut zroot_with(["-c", "selective", "true"]));
        if tried.status != 0 {
            common::skip(test, &format!("there is no supervisor: {}", tried.stderr));
            return None;
        }
        Some(fixture)
    }

    pub fn program(&self) -> PathBuf {
        self.dir.path().join("program")
    }

    pub fn fresh_dir(&self) -> PathBuf {
        self.runs.set(self.runs.get() + 1);
        let path = self.dir.path().join(self.runs.get().to_string());
        fs::create_dir(&path).expect("a directory");
        path
    }

    /// What the program prints at a level.
    #[track_caller]
    pub fn at_level(&self, level: &str, args: &[&str]) -> String {
        let dir = self.fresh_dir();
        give(&dir);
        let ran = run(zroot_with(["-c", level, "--"])
            .arg(self.program())
            .args(args)
            .current_dir(dir))
        .succeeds();
        assert_eq!(ran.stderr, "", "{}", ran.command);
        ran.stdout
    }

    /// What it prints as real root, whose only supplementary group is 0.
    #[track_caller]
    pub fn as_root(&self, args: &[&str]) -> String {
        let mut command = plain(self.program());
        command.args(args).current_dir(self.fresh_dir());
        // SAFETY: the closure only makes a system call.
        unsafe {
            command.pre_exec(|| Ok(nix::unistd::setgroups(&[0.into()])?));
        }
        let ran = run(&mut command).succeeds();
        assert_eq!(ran.stderr, "", "{}", ran.command);
        ran.stdout
    }
}

/// The capabilities that root has here, in hexadecimal: all but those that its own bounding set
/// lacks.
pub fn capabilities() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("CapEff")
        .trim()
        .to_owned();
    if is_root() {
        own
    } else {
        "1ffffffffff".to_owned()
    }
}

/// Whether there is a real root to compare with: in a container root may have fewer ids and
/// capabilities.
pub fn has_oracle(test: &str) -> bool {
    // CAP_CHOWN to CAP_SETPCAP but CAP_KILL; CAP_SYS_CHROOT, CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETFCAP.
    const NEEDED: u64 = 0x1df | 1 << 18 | 1 << 21 | 1 << 27 | 1 << 31;
    if for_root_only(&format!("{test}, as far as it compares with real root,")) {
        return false;
    }
    let own = u64::from_str_radix(&capabilities(), 16).expect("a number");
    let is_real = own & NEEDED == NEEDED && host::is_real_root() == Some(true);
    if !is_real {
        common::skip(test, "root is not real here");
    }
    is_real
}

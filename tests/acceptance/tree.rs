//! One Debian tree, prepared once, and a copy of it for each column.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{PATH, Ran, run, zroot_with};
use crate::debian::Root;
use crate::owners::{MOUNTS, Owners, forget, noted, split};
use crate::suite::{Column, skip};

/// What the small images of Debian have: no documentation, and no waiting for the disk. And no
/// daemons: a chroot of real root's would start them.
const SLIM: &str = r"
printf 'path-exclude=%s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' >/etc/dpkg/dpkg.cfg.d/slim
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/quick
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
apt-get clean
";

/// A copy of the tests' Debian tree, made small, in which `script` has run, at level selective.
pub fn prepared(part: &str, script: &str) -> Result<Root, String> {
    let root = Root::copy(part).ok_or_else(|| skip("there is no Debian tree"))?;
    let mut command = zroot_with(["-c", "selective", "--no-sync", "--root"]);
    ended(&run(command.arg(root.path()).args([
        "--",
        "/bin/sh",
        "-ec",
        &format!("{SLIM}{script}"),
    ])))
    .map(|()| root)
}

pub enum Tree {
    /// Belongs to the unprivileged user.
    Users(Root, Column),
    /// Real root's, for real root.
    Roots(TempDir),
}

impl Tree {
    /// Makes the copy of `base` for `column`.
    pub fn copy(base: &Root, column: Column) -> Tree {
        if column != Column::RealRoot {
            return Tree::Users(base.again(), column);
        }
        let copy = tempfile::Builder::new()
            .prefix("zroot-test-")
            .tempdir_in("/tmp")
            .expect("a temporary directory");
        let mut cp = Command::new("cp");
        run(cp
            .args(["-a", "--no-preserve=ownership", "--reflink=auto", "-T"])
            .args([base.path(), copy.path()]))
        .succeeds();
        // For who is not root inside.
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        Tree::Roots(copy)
    }

    /// What the shell comes to that runs `script` inside as a builder's would, in the tree's
    /// column; zroot with `options` besides.
    pub fn run(&self, options: &[&str], script: &str) -> Ran {
        let shell = ["/bin/sh", "-ec", script];
        match self {
            Tree::Roots(tree) => run(&mut really(tree.path(), shell)),
            Tree::Users(root, column) => match column.options() {
                None => run(&mut root.chroot_with_mounts(shell)),
                Some(level) => run(zroot_with(level.iter().chain(options))
                    .arg("--root")
                    .arg(root.path())
                    .arg("--")
                    .args(shell)),
            },
        }
    }

    /// `scripts` one after another, as answers; where owners are remembered all in one run, which
    /// says what they are in the end. Real root begins with none, as every run of zroot does.
    pub fn pass(&self, options: &[&str], scripts: &[&str]) -> Result<Option<Owners>, String> {
        let keeps = match self {
            Tree::Roots(tree) => {
                forget(tree.path());
                true
            }
            Tree::Users(_, column) => column.keeps_owners(),
        };
        if !keeps {
            for script in scripts {
                self.passes(options, script)?;
            }
            return Ok(None);
        }
        let each: Vec<String> = scripts.iter().map(|one| format!("(\n{one}\n)")).collect();
        let ran = self.run(options, &noted(&each.join("\n"), "/", MOUNTS));
        ended(&ran)?;
        Ok(split(&ran.stdout).1)
    }

    /// The same, as an answer.
    pub fn passes(&self, options: &[&str], script: &str) -> Result<(), String> {
        ended(&self.run(options, script))
    }
}

/// Whether it ended with status 0, else what it said. The command is not in it, so that nobody
/// finds there what it should have said.
pub fn ended(ran: &Ran) -> Result<(), String> {
    if ran.status == 0 {
        Ok(())
    } else {
        Err(format!(
            "exit status {}: {}{}",
            ran.status, ran.stdout, ran.stderr
        ))
    }
}

/// `ARGS...` as real root in a chroot: processes and mounts of its own, and a /dev with nothing of
/// the host's but copies of harmless nodes.
fn really<A: AsRef<OsStr>>(tree: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let script = r#"mount -t proc proc "$0/proc"
        mount -t tmpfs -o mode=755 tmpfs "$0/dev"
        cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/fd /dev/stdin /dev/stdout /dev/stderr "$0/dev"
        exec chroot "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.env_clear().envs([
        ("PATH", PATH),
        ("HOME", "/tmp"),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ]);
    command
        .stdin(Stdio::null())
        .current_dir("/")
        .args(["-mpf", "sh", "-ec", script])
        .arg(tree)
        .args(args);
    command
}

//! Red Hat's and SUSE's package managers install packages with files of other owners, from a
//! repository made in the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Ran, control, dir, give, run, user, zroot_with};

/// Packages and what they are installed into.
struct Repository {
    dir: TempDir,
}

impl Repository {
    /// Builds both packages of `fixtures/rpm`, as the unprivileged user, and the metadata over
    /// them.
    fn build() -> Repository {
        let repository = Repository { dir: dir() };
        let specs = [
            ("base", include_str!("../../fixtures/rpm/base.spec")),
            ("keysign", include_str!("../../fixtures/rpm/keysign.spec")),
        ];
        for (name, text) in specs {
            fs::write(repository.path(name), text).expect("a spec");
        }
        repository.own_dir("home");
        let mut rpmbuild = repository.at_home(user("rpmbuild"));
        rpmbuild.args([
            "-bb",
            "--quiet",
            "--define",
            "__os_install_post %{nil}",
            "--define",
        ]);
        rpmbuild.arg(format!("_topdir {}", repository.path("top").display()));
        run(rpmbuild.args(specs.map(|(name, _)| repository.path(name)))).succeeds();
        run(user("createrepo_c").arg(repository.rpms())).succeeds();
        // rpmbuild leaves a database in its home; what comes next shall leave nothing.
        fs::remove_dir_all(repository.path("home")).expect("removal");
        repository.own_dir("home");
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rpms(&self) -> PathBuf {
        self.path("top/RPMS")
    }

    fn own_dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).expect("a directory");
        give(&path);
        path
    }

    fn at_home(&self, mut command: Command) -> Command {
        command.env("HOME", self.path("home"));
        command
    }

    /// Asserts that `install` puts both packages into an empty root directory under zroot, and that
    /// without the faked chown, and without the filter, the same fails with `refusal`, but not for
    /// the package that is all root's.
    fn installs(&self, refusal: &str, install: impl Fn(Command, &Path, &str) -> Ran) {
        let root = self.own_dir("root");
        let ran = install(self.at_home(zroot_with(["--"])), &root, "keysign").succeeds();
        let said = ran.stdout + &ran.stderr;
        assert!(
            said.contains("pre runs as 0")
                && said.contains("post: chown passed")
                && !said.contains("warning"),
            "{said}"
        );
        for (file, mode) in [
            ("usr/libexec/keysign", 0o2555),
            ("usr/bin/become", 0o4755),
            ("usr/bin/rawnet", 0o755),
            ("var/spool/keysign", 0o770),
            ("var/spool/keysign/queue", 0o640),
        ] {
            let status =
                fs::metadata(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(status.permissions().mode() & 0o7777, mode, "{file}");
        }
        let getcap = run(user("getcap").arg(root.join("usr/bin/rawnet"))).succeeds();
        assert!(getcap.stdout.ends_with("cap_net_raw=ep\n"), "{getcap:#?}");

        install(
            self.at_home(zroot_with(["--no-fake=owner", "--"])),
            &self.own_dir("no-owner"),
            "keysign",
        )
        .fails_with(refusal);
        install(
            self.at_home(control([""; 0])),
            &self.own_dir("control"),
            "keysign",
        )
        .fails_with(refusal);
        install(
            self.at_home(control([""; 0])),
            &self.own_dir("plain"),
            "base",
        )
        .succeeds();
        assert_eq!(
            fs::read_dir(self.path("home")).expect("the home").count(),
            0,
            "something was left in the home directory"
        );
    }
}

#[test]
fn dnf_installs_files_of_other_owners() {
    need!(
        "dnf_installs_files_of_other_owners",
        "dnf",
        "rpmbuild",
        "createrepo_c",
        "busybox",
        "getcap"
    );
    let repository = Repository::build();
    // dnf keeps rpm's "cpio: chown failed" to itself.
    repository.installs(
        "Error unpacking rpm package keysign",
        |mut command, root, package| {
            command
                .arg("dnf")
                .arg(format!("--installroot={}", root.display()));
            command.arg(format!(
                "--repofrompath=local,{}",
                repository.rpms().display()
            ));
            run(command.args(["--repo=local", "--nogpgcheck", "-y", "install", package]))
        },
    );
}

#[test]
fn rpm_installs_files_of_other_owners() {
    need!(
        "rpm_installs_files_of_other_owners",
        "rpm",
        "rpmbuild",
        "createrepo_c",
        "busybox",
        "getcap"
    );
    let repository = Repository::build();
    let base = repository
        .rpms()
        .join(std::env::consts::ARCH)
        .join(format!("base-1.0-1.{}.rpm", std::env::consts::ARCH));
    let keysign = repository.rpms().join("noarch/keysign-1.0-1.noarch.rpm");
    repository.installs("cpio: chown failed", |mut command, root, package| {
        command
            .args(["rpm", "--dbpath", "/var/lib/rpm", "--root"])
            .args([root, "-i".as_ref(), &base]);
        run(if package == "keysign" {
            command.arg(&keysign)
        } else {
            &mut command
        })
    });
}

#[test]
fn zypper_installs_files_of_other_owners() {
    need!(
        "zypper_installs_files_of_other_owners",
        "zypper",
        "rpmbuild",
        "createrepo_c",
        "busybox",
        "getcap"
    );
    let repository = Repository::build();
    repository.installs("cpio: chown failed", |mut command, root, package| {
        command.args([
            "zypper",
            "--non-interactive",
            "--no-gpg-checks",
            "--plus-repo",
        ]);
        command
            .arg(format!("dir://{}", repository.rpms().display()))
            .arg("--root")
            .arg(root);
        run(command.args(["install", package]))
    });
}

//! The suites.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{run, user};
use crate::sources;

/// Where a suite comes from, unless `ZROOT_SUITES_NAME` is a directory with it.
enum Origin {
    /// Debian's source package of the suite's name.
    Debian,
    /// A directory only: it has to be built, by its own makefiles.
    Built {
        home: &'static str,
        program: &'static str,
    },
    /// The machine's own Python, if it has its test suite.
    Python,
}

pub struct Suite {
    pub name: &'static str,
    origin: Origin,
    /// What is run: an interpreter, and its script, which gets the suite's directory and the unit.
    pub script: (&'static [&'static str], &'static str),
    /// The script gets in $RUN what it is to put before commands, in the place of being run by it.
    pub runs_by_itself: bool,
    /// Files of tests; all there are if empty.
    units: &'static [&'static str],
    /// Those of them that CI runs.
    pub sample: &'static [&'static str],
}

const SHELL: &[&str] = &["sh", "-c"];

pub const SUITES: &[Suite] = &[
    Suite {
        name: "fakeroot",
        origin: Origin::Debian,
        script: (SHELL, include_str!("scripts/fakeroot.sh")),
        runs_by_itself: true,
        units: &[],
        // Not every mirror has its source package.
        sample: &[],
    },
    Suite {
        name: "attr",
        origin: Origin::Debian,
        script: (SHELL, include_str!("scripts/perl.sh")),
        runs_by_itself: false,
        units: &["attr.test", "root/getfattr.test"],
        sample: &["root/getfattr.test"],
    },
    Suite {
        name: "acl",
        origin: Origin::Debian,
        script: (SHELL, include_str!("scripts/perl.sh")),
        runs_by_itself: false,
        units: &[
            "cp.test",
            "getfacl-lfs.test",
            "getfacl-noacl.test",
            "malformed-restore.test",
            "misc.test",
            "sbits-restore.test",
            "setfacl-X.test",
            "root/getfacl.test",
            "root/permissions.test",
            "root/restore.test",
            "root/setfacl.test",
        ],
        sample: &["cp.test", "setfacl-X.test", "root/setfacl.test"],
    },
    Suite {
        name: "coreutils",
        origin: Origin::Debian,
        script: (SHELL, include_str!("scripts/coreutils.sh")),
        runs_by_itself: false,
        // Those for root that need no mount and no SELinux (all_root_tests in tests/local.mk).
        units: &[
            "chown/basic",
            "cp/capability",
            "cp/preserve-gid",
            "cp/special-bits",
            "id/setgid",
            "install/install-C-root",
            "ls/capability",
            "ls/nameless-uid",
            "misc/chroot-credentials",
            "misc/truncate-owned-by-other",
            "rm/fail-2eperm",
            "rm/no-give-up",
            "touch/now-owned-by-other",
        ],
        sample: &[
            "chown/basic",
            "cp/preserve-gid",
            "id/setgid",
            "install/install-C-root",
            "ls/nameless-uid",
        ],
    },
    Suite {
        name: "tar",
        origin: Origin::Debian,
        script: (SHELL, include_str!("scripts/tar.sh")),
        runs_by_itself: false,
        units: &[
            "xattr01", "xattr02", "xattr03", "xattr04", "xattr05", "acls01", "acls02",
        ],
        sample: &["xattr03"],
    },
    Suite {
        name: "cpython",
        origin: Origin::Python,
        script: (
            &["/usr/bin/python3", "-c"],
            include_str!("scripts/cpython.py"),
        ),
        runs_by_itself: false,
        units: &[
            "test_posix",
            "test_shutil",
            "test_subprocess",
            "test_tarfile",
            "test_os",
            "test_grp",
            "test_pwd",
        ],
        sample: &["test_posix"],
    },
    Suite {
        name: "pjdfstest",
        origin: Origin::Built {
            home: "github.com/pjd/pjdfstest",
            program: "pjdfstest",
        },
        script: (SHELL, include_str!("scripts/pjdfstest.sh")),
        runs_by_itself: false,
        units: &[],
        sample: &[],
    },
    Suite {
        name: "ltp",
        origin: Origin::Built {
            home: "github.com/linux-test-project/ltp",
            program: "testcases",
        },
        script: (SHELL, include_str!("scripts/ltp.sh")),
        runs_by_itself: false,
        units: &[
            "capset02",
            "chmod05",
            "chmod06",
            "chown03",
            "chown04",
            "chown05",
            "chroot01",
            "creat08",
            "fchmod05",
            "fchmod06",
            "fchown03",
            "fchown04",
            "fchown05",
            "fchownat01",
            "fchownat02",
            "fchownat03",
            "flistxattr01",
            "lchown01",
            "lchown02",
            "lgetxattr01",
            "lgetxattr02",
            "listxattr01",
            "listxattr02",
            "llistxattr01",
            "mkdir02",
            "mkdir05",
            "mknod03",
            "mknod04",
            "mknod05",
            "mknod07",
            "mknod08",
            "open10",
            "setresgid04",
            "setresuid05",
            "setxattr02",
            "stat01",
            "statx01",
            "utime06",
            "utimes01",
        ],
        sample: &[],
    },
];

impl Suite {
    /// Where it is on this machine, or why nowhere.
    pub fn place(&self) -> Result<PathBuf, String> {
        let variable = format!("ZROOT_SUITES_{}", self.name.to_uppercase());
        let place = match (sources::named(&variable), &self.origin) {
            (Some(place), _) => place,
            (None, Origin::Debian) => sources::debian(self.name)?.join("sources"),
            (None, Origin::Built { home, .. }) => {
                return Err(format!(
                    "{variable} has to name a tree of {home} that has been built"
                ));
            }
            (None, Origin::Python) => "/".into(),
        };
        sources::readable(&place)?;
        match self.origin {
            Origin::Built { program, .. } if !place.join(program).exists() => {
                Err(format!("there is no {program} in {}", place.display()))
            }
            Origin::Python => {
                let test = run(user("/usr/bin/python3").args(["-c", "import test.test_posix"]));
                if test.status == 0 {
                    Ok(place)
                } else {
                    Err(
                        "Python has no test suite (Debian's libpython3.11-testsuite or its like)"
                            .into(),
                    )
                }
            }
            _ => Ok(place),
        }
    }

    /// The files of tests.
    pub fn units(&self, place: &Path) -> Vec<String> {
        if !self.units.is_empty() {
            return self.units.iter().map(|unit| (*unit).to_owned()).collect();
        }
        match self.name {
            "pjdfstest" => found(&place.join("tests"), 2, |name| name.ends_with(".t")),
            _ => found(&place.join("test"), 1, |name| name.starts_with("t.")),
        }
    }

    /// Which version of it is in `place`.
    pub fn version(&self, place: &Path) -> String {
        let git = run(user("git").arg("-C").arg(place).args([
            "-c",
            "safe.directory=*",
            "describe",
            "--tags",
            "--always",
        ]));
        if let Origin::Python = self.origin {
            let version = run(user("/usr/bin/python3").arg("--version")).stdout;
            return version.trim().trim_start_matches("Python ").to_owned();
        }
        let dsc = found(place.parent().unwrap_or(place), 1, |name| {
            name.ends_with(".dsc")
        });
        match dsc.first().and_then(|name| name.strip_suffix(".dsc")) {
            Some(name) => name
                .split_once('_')
                .map_or("", |(_, version)| version)
                .to_owned(),
            None => git.stdout.trim().to_owned(),
        }
    }
}

/// The files that are `depth` levels below `dir`, and whose name is wanted.
fn found(dir: &Path, depth: usize, is_wanted: fn(&str) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if depth > 1 {
            let below = found(&entry.path(), depth - 1, is_wanted);
            names.extend(below.into_iter().map(|below| format!("{name}/{below}")));
        } else if is_wanted(&name) {
            names.push(name);
        }
    }
    names.sort();
    names
}

//! Debian's packages whose unpacking or scripts do privileged things, each into a tree of its own
//! with plain `apt-get install`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::common::{give, is_root, keep, run, user, zroot_with};
use crate::compared::{Outcome, Short, Tree, two_at_a_time, verdict};
use crate::debian::{self, BARE};
use crate::suite::{Column, Suite, skip};

/// `name | what it does that needs root`.
const PACKAGES: &str = include_str!("debian-packages");

/// What CI installs.
const SAMPLE: &[&str] = &[
    "bcron",
    "iputils-ping",
    "makedev",
    "man-db",
    "munge",
    "openssh-server",
];

/// Answers for debconf.
const ANSWERS: &[(&str, &str)] = &[
    (
        "wireshark-common",
        "wireshark-common wireshark-common/install-setuid boolean true",
    ),
    (
        "gitolite3",
        concat!(
            "gitolite3 gitolite3/adminkey string ssh-ed25519 ",
            "AAAAC3NzaC1lZDI1NTE5AAAAIN54VY2WPGKu+HGLksHPzU7LKltueAScdY5QI+lQlP98 admin"
        ),
    ),
];

/// These make devices: in the tree's own /dev, not in the host's.
const MAKES_DEVICES: &[&str] = &["iodine", "makedev", "openvpn"];

/// These are in every tree already.
const THERE_ALREADY: &[&str] = &["passwd"];

/// As apparent root without zroot: apt does not become another user there, so that this is not all.
const WITHOUT: &[Short] = &[
    Short {
        cases: &["makedev"],
        columns: &[Column::Without],
        says: "mknod: console-: Operation not permitted",
        others: &[],
        cause: "it makes devices",
        ends_well: false,
    },
    Short {
        cases: ROOT_ALONE,
        columns: &[Column::Without],
        says: "chown to root:adm of file /var/log/apt/term.log failed",
        others: &[],
        cause: "all of it is root's, but apt's log",
        ends_well: true,
    },
];

/// For all others.
const OWNERS: Short = Short {
    cases: &[],
    columns: &[Column::Without],
    says: "Invalid argument",
    others: &[],
    cause: "users and groups whom the namespace does not know",
    ends_well: false,
};

/// All that these bring in this release, and all that they bring with them, belongs to root.
const ROOT_ALONE: &[&str] = &[
    "apt-cudf",
    "environment-modules",
    "iputils-ping",
    "kea-common",
    "krb5-kdc",
    "libgstreamer1.0-0",
    "mtr-tiny",
    "newpid",
    "ntfs-3g",
    "openvpn",
    "rpcbind",
    "schroot",
    "shadowsocks-libev",
    "sudo",
    "tex-common",
    "udev",
];

const SHORT: &[Short] = &[
    Short {
        cases: &["bcron"],
        columns: &[Column::Zero],
        says: "setfacl: /var/spool/cron/crontabs: Invalid argument",
        others: &[],
        cause: "its script sets an ACL that names user cron, whom the namespace does not know",
        ends_well: false,
    },
    Short {
        cases: &["makedev"],
        columns: &[Column::Zero],
        says: "makedev null c 1 3 root root 0666: failed",
        others: &[],
        cause: "MAKEDEV changes owner and mode of devices that are not there",
        ends_well: false,
    },
    Short {
        cases: &["postgresql-15"],
        columns: &[Column::Zero],
        says: "Error: Could not change user id",
        others: CLUSTER,
        cause: "its cluster is missing: pg_createcluster verifies the ids that it has set",
        ends_well: true,
    },
    Short {
        cases: &["postgresql-15"],
        columns: &[Column::Selective],
        says: "initdb: error: cannot be run as root",
        others: CLUSTER,
        cause: "its cluster is missing: initdb is a new program, and is root again (needs level full)",
        ends_well: true,
    },
    Short {
        cases: &["spamassassin"],
        columns: &[Column::Zero],
        says: "on /var/log/journal failed: Invalid argument",
        others: &["/.spamassassin"],
        cause: "systemd's ACL, as for others; and sa-compile, run as user debian-spamd, is root, and has its cache in root's home",
        ends_well: true,
    },
    Short {
        cases: &["spamassassin"],
        columns: &[Column::Selective],
        says: "./root/.spamassassin: nothing for real root",
        others: &["/.spamassassin"],
        cause: "sa-compile, run as user debian-spamd, is a new program and root again, and has its cache in root's home (needs level full)",
        ends_well: true,
    },
    Short {
        cases: &["mpd-sima"],
        columns: &[Column::Full],
        says: "/sima/__pycache__: root's for real root",
        others: &["__pycache__"],
        cause: "its script runs Python as user mpd before root compiles its files: the kernel lets that user write there, where the real one may not",
        ends_well: true,
    },
    Short {
        cases: PULL_SYSTEMD,
        columns: &[Column::Zero],
        says: "on /var/log/journal failed: Invalid argument",
        // udev's, if it comes as well: the host's devices belong to somebody else.
        others: &["fchmod() of /dev/"],
        cause: "systemd-tmpfiles sets an ACL that names group adm, which the namespace does not know; only the ACL is missing",
        ends_well: true,
    },
];

const CLUSTER: &[&str] = &[
    "Error: initdb failed",
    "could not create default cluster",
    "/postgresql",
];

/// With what these depend on or recommend comes systemd.
const PULL_SYSTEMD: &[&str] = &[
    "amavisd-new",
    "cups-daemon",
    "docker.io",
    "gitolite3",
    "keystone",
    "openssh-server",
    "rtkit",
    "stunnel4",
    "systemd",
    "wireshark-common",
];

pub fn cases(suite: &Suite) {
    let packages: Vec<&str> = PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" | "))
        .map(|(name, _)| name)
        .filter(|name| suite.wants("debian", name) && (suite.full || SAMPLE.contains(name)))
        .collect();
    let base = Base::make(&packages);
    two_at_a_time(packages, |package| case(suite, &base, package));
}

fn case(suite: &Suite, base: &Result<Base, String>, package: &'static str) {
    let real = OnceCell::new();
    let install = |column| match base {
        Ok(base) => base.install(package, column),
        Err(reason) => Err(skip(reason)),
    };
    let real = || {
        if is_root() {
            real.get_or_init(|| install(Column::RealRoot))
                .as_ref()
                .map(Some)
                .map_err(String::clone)
        } else {
            Ok(None)
        }
    };
    for column in Column::ALL {
        let short = match column {
            Column::Without => Short::of(WITHOUT, package, column).or(Some(&OWNERS)),
            _ => Short::of(SHORT, package, column),
        };
        suite.case("debian", package, column, Short::expect(short), || {
            let real = real()?;
            let faults = match (column, real) {
                (Column::RealRoot, Some(real)) => real.faults(Some(real)),
                (Column::Without, _) => install(column)?.faults(None),
                _ => install(column)?.faults(real),
            };
            verdict(faults, short)
        });
    }
}

/// The tree that is copied for each, and its packages.
struct Base {
    tree: debian::Tree,
    debs: PathBuf,
    /// Packages that cannot be had, and why.
    missing: BTreeMap<&'static str, String>,
}

impl Base {
    /// Makes the tree, and downloads what `packages` need.
    fn make(packages: &[&'static str]) -> Result<Base, String> {
        let tree = debian::Tree::find(&BARE)?;
        let (debs, mut missing) = (keep().join("bare-debs"), BTreeMap::new());
        // In the tree, since another tree needs other versions.
        let done = tree.path.join("debs");
        run(user("mkdir")
            .args(["-p"])
            .args([&done, &debs.join("partial")]))
        .succeeds();
        for package in packages {
            if done.join(package).exists() {
                continue;
            }
            let apt = [
                "apt-get",
                "install",
                "-y",
                "--download-only",
                "-o",
                "Dir::Cache::Archives=/debs",
            ];
            let bind = format!("{}:/debs", debs.display());
            let mut command = zroot_with(["--bind", &bind, "--root"]);
            let ran = run(command
                .arg(&tree.path)
                .arg("--")
                .args(apt)
                .args(again(package))
                .arg(package));
            if ran.status == 0 {
                fs::write(done.join(package), "").expect("a file");
                give(&done.join(package));
            } else {
                missing.insert(
                    *package,
                    format!("{} is not to be had: {}", package, ran.stderr.trim()),
                );
            }
        }
        Ok(Base {
            tree,
            debs,
            missing,
        })
    }

    fn install(&self, package: &str, column: Column) -> Result<Outcome, String> {
        if let Some(reason) = self.missing.get(package) {
            return Err(skip(reason));
        }
        let mut tree = Tree::copy(&self.tree.path, column);
        let debs = self.debs.display().to_string();
        // Daemons are not started, and the packages are there.
        let script = r#"printf '#!/bin/sh\nexit 101\n' >"$0/usr/sbin/policy-rc.d"; chmod 755 "$0/usr/sbin/policy-rc.d"; mkdir "$0/../dev"
            cd "$1"; ln -s -t "$0/var/cache/apt/archives" $(printf '/debs/%s ' *.deb)"#;
        tree.prepare(script, &[&debs]);
        tree.debs = Some(debs);
        tree.own_dev = MAKES_DEVICES.contains(&package);
        let answer = ANSWERS
            .iter()
            .find(|(name, _)| *name == package)
            .map_or_else(String::new, |(_, answer)| {
                format!("echo '{answer}' | debconf-set-selections && ")
            });
        // Its own sandbox would be all that fails without zroot.
        let sandbox = if column == Column::Without {
            "-o APT::Sandbox::User=root"
        } else {
            ""
        };
        let again = again(package).unwrap_or_default();
        Ok(tree.outcome_inside(&format!(
            "{answer}exec apt-get install -y --no-download {sandbox} {again} {package}"
        )))
    }
}

fn again(package: &str) -> Option<&'static str> {
    THERE_ALREADY.contains(&package).then_some("--reinstall")
}

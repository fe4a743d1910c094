//! Debian trees from nothing, for this machine's release, for a newer one and for another
//! processor.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{give, is_root, keep, program, run, user};
use crate::compared::{Outcome, QEMU, Short, Tree, two_at_a_time, verdict};
use crate::debian::{self, BULLSEYE, Mirror};
use crate::suite::{Column, Suite, skip};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    Debootstrap,
    Mmdebstrap,
    /// Debian 11's systemd into a tree of Debian 11, with apt: it sets ACLs that name a group.
    Systemd,
}

/// A tree that is made: name, tool, release (the machine's own if empty), architecture.
type Way = (&'static str, Tool, &'static str, Option<&'static str>);

const WAYS: &[Way] = &[
    ("debootstrap-arm64", Tool::Debootstrap, "", Some("arm64")),
    ("mmdebstrap-arm64", Tool::Mmdebstrap, "", Some("arm64")),
    ("debootstrap", Tool::Debootstrap, "", None),
    ("debootstrap-trixie", Tool::Debootstrap, "trixie", None),
    ("mmdebstrap", Tool::Mmdebstrap, "", None),
    ("mmdebstrap-trixie", Tool::Mmdebstrap, "trixie", None),
    ("mmdebstrap-sid", Tool::Mmdebstrap, "sid", None),
    ("systemd-bullseye", Tool::Systemd, "", None),
];

/// What CI makes, and at which levels.
const SAMPLE: &[(&str, &[Column])] = &[
    ("mmdebstrap-trixie", &[Column::Without, Column::Zero]),
    (
        "debootstrap",
        &[Column::Zero, Column::Selective, Column::Full],
    ),
];

pub fn cases(suite: &Suite) {
    let wanted =
        |(name, ..): &&Way| suite.wants("bootstrap", name) && !columns(suite, name).is_empty();
    two_at_a_time(WAYS.iter().filter(wanted).collect(), |way| case(suite, way));
}

/// The columns in which the tree `name` is made.
fn columns(suite: &Suite, name: &str) -> &'static [Column] {
    if suite.full {
        return &Column::ALL;
    }
    SAMPLE
        .iter()
        .find(|(sample, _)| *sample == name)
        .map_or(&[], |(_, columns)| columns)
}

fn case(suite: &Suite, way: &Way) {
    let (name, _, _, architecture) = *way;
    let real = OnceCell::new();
    let compared = is_root() && suite.full && architecture.is_none();
    let real = || {
        if compared {
            real.get_or_init(|| make(way, Column::RealRoot))
                .as_ref()
                .map(Some)
                .map_err(String::clone)
        } else {
            Ok(None)
        }
    };
    for &column in columns(suite, name) {
        if column == Column::RealRoot && !compared {
            continue;
        }
        let short = Short::of(SHORT, name, column);
        suite.case("bootstrap", name, column, Short::expect(short), || {
            let faults = match (column, real()?) {
                (Column::RealRoot, Some(real)) => real.faults(Some(real)),
                (Column::Without, _) => make(way, column)?.faults(None),
                (_, real) => make(way, column)?.faults(real),
            };
            verdict(faults, short)
        });
    }
}

fn make(&(_, tool, release, architecture): &Way, column: Column) -> Result<Outcome, String> {
    let mirror = Mirror::find().map_err(skip)?;
    if !release.is_empty() {
        Mirror::has(&mirror.uri, release).map_err(|reason| skip(&reason))?;
    }
    if tool == Tool::Systemd {
        let base = debian::Tree::find(&BULLSEYE).map_err(|reason| skip(&reason))?;
        let tree = Tree::copy(&base.path, column);
        let sandbox = if column == Column::Without {
            "-o APT::Sandbox::User=root"
        } else {
            ""
        };
        let install = format!(
            "exec apt-get install -y --no-download --no-install-recommends {sandbox} systemd"
        );
        return Ok(tree.outcome_inside(&install));
    }
    let name = if tool == Tool::Debootstrap {
        "debootstrap"
    } else {
        "mmdebstrap"
    };
    if program(name).is_none() {
        return Err(skip(&format!("there is no {name}")));
    }
    let mut tree = Tree::new(column);
    if let Some(architecture) = architecture {
        tree.foreign = true;
        runs_foreign_programs(&tree, architecture)?;
    }
    let mut command = Command::new(name);
    if tool == Tool::Debootstrap {
        command.arg("--variant=minbase");
        command.args(architecture.map(|it| format!("--arch={it}")));
        if column != Column::RealRoot && architecture.is_none() {
            let cache = keep().join("debootstrap");
            if fs::create_dir(&cache).is_ok() {
                give(&cache);
            }
            command.arg(format!("--cache-dir={}", cache.display()));
        }
        command.args([
            if release.is_empty() {
                mirror.release.as_str()
            } else {
                release
            },
            &tree.root(),
            &mirror.uri,
        ]);
        if let Some(proxy) = mirror
            .settings
            .iter()
            .find_map(|setting| setting.strip_prefix("Acquire::http::Proxy "))
        {
            command.env("http_proxy", proxy.trim_matches('"'));
        }
    } else {
        command.arg("--variant=apt");
        if column != Column::RealRoot {
            command.arg("--skip=chroot/mount");
        }
        command
            .args(architecture.map(|it| format!("--architectures={it}")))
            .args(architecture.map(|_| "--skip=check/qemu"));
        command
            .args(
                mirror
                    .settings
                    .iter()
                    .map(|setting| format!("--aptopt={setting}")),
            )
            .args(["", &tree.root()]);
        if release.is_empty() {
            command.args(&mirror.lines);
        } else {
            command.arg(format!("deb {} {release} main", mirror.uri));
        }
    }
    let mut outcome = tree.outcome_of(&command);
    let log = fs::read_to_string(Path::new(&tree.root()).join("debootstrap/debootstrap.log"))
        .unwrap_or_default();
    outcome.said += &log;
    if outcome.status == 0 {
        let (status, said) =
            tree.run(tree.inside("apt-get check >/dev/null && dpkg --print-architecture"));
        let right = architecture.map_or_else(
            || run(user("dpkg").arg("--print-architecture")).stdout,
            |it| format!("{it}\n"),
        );
        if status != 0 || said != right {
            return Err(format!("apt-get check in the tree: {status}, {said}"));
        }
    }
    Ok(outcome)
}

/// Whether qemu is there and the kernel can be told so.
fn runs_foreign_programs(tree: &Tree, architecture: &str) -> Result<(), String> {
    if !Path::new(QEMU).exists() {
        return Err(skip(&format!(
            "there is no qemu-user-static for {architecture}"
        )));
    }
    let (status, said) = tree.run(user("true"));
    if status == 0 {
        Ok(())
    } else {
        Err(skip(&format!(
            "nobody may tell this kernel of qemu: {}",
            said.trim()
        )))
    }
}

const DEBOOTSTRAP: &[&str] = &["debootstrap", "debootstrap-trixie", "debootstrap-arm64"];

const SHORT: &[Short] = &[
    Short {
        cases: DEBOOTSTRAP,
        columns: &[Column::Without],
        says: "test-dev-null: Operation not permitted",
        others: &[],
        cause: "it tries mknod of a device first",
        ends_well: false,
    },
    Short {
        cases: DEBOOTSTRAP,
        columns: &[Column::Zero],
        says: "mknod: cannot set permissions of",
        others: &[],
        cause: "mknod -m changes the mode of a device that is not there",
        ends_well: false,
    },
    Short {
        cases: &[
            "mmdebstrap",
            "mmdebstrap-trixie",
            "mmdebstrap-sid",
            "mmdebstrap-arm64",
        ],
        columns: &[Column::Without],
        says: "Cannot change ownership to uid 0",
        others: &[],
        cause: "files of other groups than root's",
        ends_well: false,
    },
    Short {
        cases: &["systemd-bullseye"],
        columns: &[Column::Without],
        says: "fchownat() of /var/log/journal failed: Invalid argument",
        others: &[],
        cause: "systemd-tmpfiles gives the journal to group systemd-journal",
        ends_well: false,
    },
    Short {
        cases: &["systemd-bullseye"],
        columns: &[Column::Zero],
        says: "on /var/log/journal failed: Invalid argument",
        others: &[],
        cause: "systemd-tmpfiles sets an ACL that names group adm, which the namespace does not know, and Debian 11's script gives up",
        ends_well: false,
    },
];

//! `apt-get install` of a fixed set of packages. Each run gets a fresh copy of a tree that has them
//! in apt's cache.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{give, is_root, keep, program, run, user, zroot, zroot_with};
use crate::debian::Mirror;
use crate::measure::{Case, Group, Source, TIMES};
use crate::places::text;
use crate::workloads::Bench;

const QUICK: &str = "man-db openssh-client";
const FULL: &str = "gcc openssh-server man-db perl python3";

/// A Debian tree with apt, eatmydata, and the packages of both sets in apt's cache. zroot makes it
/// once, as an unprivileged user, and it stays beside the tests' trees.
pub fn tree() -> Result<String, String> {
    let mirror = Mirror::find()?;
    if program("mmdebstrap").is_none() {
        return Err("there is no mmdebstrap".into());
    }
    let tree: PathBuf = keep().join("bench");
    let recipe = format!(
        "{}\n{}\n{QUICK} {FULL}\n",
        mirror.lines.join("\n"),
        mirror.settings.join("\n")
    );
    let stamp = tree.with_extension("recipe");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        return Ok(text(&tree));
    }
    eprintln!("making a Debian tree in {}", tree.display());
    let _ = fs::remove_file(&stamp);
    run(user("unshare").args(["-r", "rm", "-rf", "--"]).arg(&tree)).succeeds();
    let settings = mirror
        .settings
        .iter()
        .map(|setting| format!("--aptopt={setting}"));
    let options = [
        "mmdebstrap",
        "--variant=apt",
        "--skip=chroot/mount",
        "--include=eatmydata",
    ];
    run(zroot_with(options)
        .args(settings)
        .arg("")
        .arg(&tree)
        .args(&mirror.lines))
    .succeeds();
    // Keeps the packages from starting daemons, which real root's chroot would permit.
    let policy = tree.join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 101\n").expect("policy-rc.d");
    run(std::process::Command::new("chmod").arg("755").arg(&policy)).succeeds();
    give(&policy);
    let download = format!("apt-get update && apt-get install -y --download-only {QUICK} {FULL}");
    run(zroot_with(["--root"])
        .arg(&tree)
        .args(["--", "sh", "-c", &download]))
    .succeeds();
    fs::write(&stamp, recipe).expect("the tree's stamp");
    give(&stamp);
    Ok(text(&tree))
}

/// On the disk, or on tmpfs.
pub fn install(bench: &Bench, tree: &str, disk: bool) -> Group {
    let set = if bench.full { FULL } else { QUICK };
    let place = if disk {
        bench.places.disk.path()
    } else {
        bench.places.tmpfs.path()
    };
    let title = format!(
        "`apt-get install {set}` on {}",
        if disk { "the disk" } else { "tmpfs" }
    );
    let cases = cases(bench, tree, &place.join("apt"), disk, set);
    Group {
        title,
        columns: TIMES.to_vec(),
        source: Source::Times,
        cases,
        rounds: bench.rounds(3, 15),
        warm: false,
    }
}

fn cases(bench: &Bench, tree: &str, copy: &Path, disk: bool, set: &str) -> Vec<Case> {
    let (copy, zroot) = (text(copy), text(zroot()));
    let apt: Vec<&str> = "apt-get install -qq -y --no-download"
        .split(' ')
        .chain(set.split(' '))
        .collect();
    let case = |name: &str, root: bool, launcher: &[&str]| {
        let copy = format!("{copy}-{}", if root { "root" } else { "user" });
        let launcher = launcher.iter().map(|word| word.replace("COPY", &copy));
        let command = launcher
            .chain(apt.iter().map(|word| (*word).to_owned()))
            .collect();
        // On a disk the last copy is kept until the end: a file system that discards freed blocks
        // would do so during the next run.
        let remove = match (disk, root) {
            (true, _) => format!(
                "mkdir -p {copy}-old && {{ [ ! -e {copy} ] || mv {copy} {copy}-old/$(date +%s%N); }}"
            ),
            (false, true) => format!("rm -rf {copy}"),
            (false, false) => format!("unshare -r rm -rf {copy}"),
        };
        let owners = if root {
            "--no-preserve=ownership"
        } else {
            "--preserve=all"
        };
        // Write the copy out now, or apt's own fsync would wait for it.
        let before = format!("{remove}; cp -a {owners} {tree} {copy}; sync -f {copy}");
        Case {
            root,
            before: Some(before),
            ..Case::new(name, command)
        }
    };
    let chroot = r#"mount --rbind /proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@""#;
    let real = ["unshare", "-m", "sh", "-c", chroot, "COPY"];
    let inside = [zroot.as_str(), "--root", "COPY", "--"];
    let mut cases = Vec::new();
    if is_root() {
        cases.push(case("real root", true, &real));
    }
    cases.push(case("zroot --root", false, &inside));
    if !disk {
        cases.push(case(
            "zroot -c selective --root",
            false,
            &[&zroot, "-c", "selective", "--root", "COPY", "--"],
        ));
        cases.push(case(
            "zroot -c full --root",
            false,
            &[&zroot, "-c", "full", "--root", "COPY", "--"],
        ));
    }
    if disk {
        cases.push(case(
            "zroot --root --no-sync",
            false,
            &[&zroot, "--no-sync", "--root", "COPY", "--"],
        ));
        cases.push(case(
            "zroot --root, eatmydata",
            false,
            &[&inside[..], &["eatmydata"]].concat(),
        ));
        if is_root() {
            cases.push(case(
                "real root, eatmydata",
                true,
                &[&real[..], &["eatmydata"]].concat(),
            ));
        }
    } else if bench.full {
        if program("fakechroot").is_some() && program("fakeroot").is_some() {
            cases.push(case(
                "fakechroot+fakeroot",
                false,
                &["fakechroot", "fakeroot", "chroot", "COPY"],
            ));
        }
        if program("proot").is_some() {
            cases.push(case(
                "PRoot -0 -r",
                false,
                &[
                    "proot", "-0", "-r", "COPY", "-b", "/proc", "-b", "/dev", "-w", "/",
                ],
            ));
        }
        for case in &mut cases {
            case.once = matches!(case.name.as_str(), "fakechroot+fakeroot" | "PRoot -0 -r");
        }
    }
    cases
}

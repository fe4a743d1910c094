//! Package managers inside a root directory, of a newer Debian: rpm 4.20, pacman 7 with its
//! sandbox, nix. Only with --full.

use std::fs;
use std::path::Path;

use crate::common::{self, give, is_root, user, zroot_with};
use crate::debian::{Root, TRIXIE};
use crate::scripts::{CASE, Case, Inputs, fails, prepare, real, real_dir, refused, run_all, said};
use crate::suite::{Expect, Suite};
use crate::{pacman, rpm};

const RPM: Case = Case {
    ignored: IGNORED,
    without: refused("cpio: chown failed"),
    ..CASE
};
const PACMAN: Case = Case {
    ignored: IGNORED,
    without: refused("failed to synchronize all databases"),
    ..CASE
};

const IGNORED: &str = "-path './var/lib/rpm/*' -o -path './var/lib/pacman/*'";

const CASES: &[Case] = &[
    Case { name: "rpm 4.20: all", script: "i base $ALL; v $KEPT; is usr/bin/both 6711", ..RPM },
    Case {
        name: "rpm 4.20: device nodes",
        script: "i base device; is dev/zero 666",
        without: refused("cpio: mknod failed"),
        zero: fails("cpio: ", "at zero mknod of a device leaves no file, and rpm's chmod of it fails; selective leaves a placeholder"),
        ..RPM
    },
    Case {
        name: "rpm 4.20: users from sysusers.d",
        script: "rpmbuild -bb --quiet --define '_topdir /x/top' /in/native.spec 2>&1; i base; rpm -i top/RPMS/noarch/native-1-1.noarch.rpm; rm -r top
            grep ^native: root/etc/passwd; is var/lib/native 2750",
        ..RPM
    },
    Case {
        name: "rpm 4.20: into the root directory it is in",
        script: "command rpm --nodeps -i $IN/rpms/owners-1.rpm $IN/rpms/setid-1.rpm $IN/rpms/caps-1.rpm
            command rpm -V --nodeps $ASIDE owners setid caps; [ $(stat -c %a /usr/bin/both) = 6711 ]
            command rpm --nodeps -e owners setid caps; [ ! -e /usr/bin/both ]",
        ..RPM
    },
    Case {
        name: "pacman 7: downloads by another user in a sandbox",
        script: "OPTION='DownloadUser = daemon'; repository first; pacman -Sy base owners; is usr/bin/become 4755",
        ..PACMAN
    },
    Case {
        name: "pacman 7: without its sandbox",
        script: "repository first; pacman --disable-sandbox -Sy base owners; is usr/bin/become 4755",
        without: refused("warning given when extracting"),
        ..PACMAN
    },
    Case {
        name: "nix-build without build users",
        script: "new; nix-build --option sandbox false --option substitute false --option build-users-group '' -o result made.nix; cp result root/made; rm result",
        without: Expect::Pass,
        ..PACMAN
    },
    // Not with build users: to be rid of what one has left running, nix becomes that user and calls
    // kill(-1, SIGKILL), which at a level that only pretends to be another user reaches every
    // process of the plain user's.
];

/// Not what the case before has built.
const NEW: &str =
    r#"new() { sed "s/made/made-$(cat /proc/sys/kernel/random/uuid)/" $IN/made.nix >made.nix; }"#;

const NIX: &str = r#"derivation { name = "made"; system = builtins.currentSystem; builder = "/bin/sh"; args = ["-c" "echo text > $out"]; }"#;

pub fn run(suite: &Suite) {
    if !suite.full {
        return;
    }
    let trees = Root::copy_of(&TRIXIE, "trees")
        .ok_or_else(|| "there is no tree of Debian 13".to_owned())
        .and_then(|tree| {
            fill(tree.path())?;
            let copy = real_dir();
            let is_copied = is_root().then(|| {
                common::run(
                    real(["cp", "-a", "--no-preserve=ownership", "-T"])
                        .arg(tree.path())
                        .arg(copy.path()),
                )
            });
            is_copied.as_ref().map_or(Ok(()), said)?;
            Ok((tree, copy))
        });
    let inputs = trees
        .as_ref()
        .map(|(tree, copy)| Inputs::Trees(tree.path(), copy.path()))
        .map_err(String::as_str);
    let prologue = format!("cd /x\n{NEW}\n{}\n{}", rpm::PROLOGUE, pacman::PROLOGUE);
    run_all(suite, "trees", CASES, &prologue, inputs);
}

/// Installs the package managers in the tree and puts there into `/in` what the parts `rpm` and
/// `pacman` have.
fn fill(root: &Path) -> Result<(), String> {
    let install = "apt-get install -y --no-download --no-install-recommends rpm pacman-package-manager libarchive-tools nix-bin nix-setup-systemd";
    said(&common::run(
        zroot_with(["--no-sync", "--root"])
            .arg(root)
            .args(["--", "sh", "-ec", install]),
    ))?;
    let (rpms, repository) = (
        prepare(rpm::BUILD, rpm::FILES)?,
        prepare(pacman::BUILD, pacman::FILES)?,
    );
    let copy = r#"mkdir "$0/in" "$0/x"; cp -r "$1/rpms" "$1/native.spec" "$2/repo" "$2/first" "$2/second" "$2/pacman.conf" "$0/in""#;
    said(&common::run(
        user("sh")
            .args(["-ec", copy])
            .arg(root)
            .args([rpms.path(), repository.path()]),
    ))?;
    let nix = root.join("in/made.nix");
    fs::write(&nix, NIX).expect("a file");
    give(&nix);
    Ok(())
}

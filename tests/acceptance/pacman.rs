//! pacman and makepkg.

use crate::scripts::{CASE, Case, Inputs, fails, prepare, refused, run_all};
use crate::suite::{Expect, Suite};

pub const FILES: &[(&str, &str)] = &[
    ("base.sh", include_str!("fixtures/base.sh")),
    ("packages.sh", include_str!("fixtures/pacman/packages.sh")),
    ("PKGBUILD", include_str!("fixtures/pacman/PKGBUILD")),
];

pub const BUILD: &str = "sh packages.sh";

/// A root directory with the package base, and pacman for it. What it warns of does not change its
/// exit status, so that it counts here.
pub const PROLOGUE: &str = r#"
    mkdir -p root/var/lib/pacman cache
    pacman() {
        command pacman --root "$PWD/root" --dbpath "$PWD/root/var/lib/pacman" --cachedir "$PWD/cache" --gpgdir "$PWD/gnupg" \
            --hookdir "$PWD/hooks" --logfile "$PWD/pacman.log" --config "${CONFIG:-$IN/pacman.conf}" --noconfirm "$@" >log 2>&1 || { cat log; exit 1; }
        cat log
        if grep -E '^(warning|error)' log; then exit 1; fi
    }
    u() { for name; do set -- "$@" $IN/repo/$name-1-any.pkg.tar.gz; shift; done; pacman -U "$@"; }
    is() { [ "$(stat -c %a "root/$1")" = "$2" ]; }
    # A repository that is there in one state and then in the other.
    repository() { { cat $IN/pacman.conf; echo $OPTION; printf '%s\n' '[fixture]' "Server = file://$IN/$1"; } >pacman.conf; CONFIG=$PWD/pacman.conf; }
    # What stands for fakeroot.
    makepkg() {
        mkdir -p bin; cp $IN/PKGBUILD .; echo 'post_install() { :; }' >made.install
        printf '#!/bin/sh\ncase $1 in -v) echo version 0;; *) [ "$1" != -- ] || shift; FAKEROOTKEY=1 exec %s "$@";; esac\n' "$AS" >bin/fakeroot; chmod 755 bin/fakeroot
        PATH=$PWD/bin:$PATH command makepkg --nodeps --config /etc/makepkg.conf "$@" 2>&1
    }"#;

const IGNORED: &str = "-path './var/lib/pacman/*'";
const PACMAN: Case = Case {
    needs: &["pacman", "bsdtar"],
    ignored: IGNORED,
    without: refused("warning given when extracting"),
    ..CASE
};
const MAKEPKG: Case = Case {
    needs: &["makepkg", "pacman", "bsdtar"],
    plain: true,
    real: None,
    without: refused("cannot change owner"),
    ..PACMAN
};

const OWNERS_LOST: &str =
    "bsdtar looks at the files' owners, which are not remembered before level full";

const CASES: &[Case] = &[
    Case { name: "only root's", script: "u base-1", without: Expect::Pass, ..PACMAN },
    Case { name: "owners and set-id bits", sample: true, script: "u base-1; u owners-1; is usr/bin/become 4755; is var/lib/owners 3775; pacman -Q owners", ..PACMAN },
    Case {
        name: "install, upgrade, remove with scriptlets",
        sample: true,
        script: "u base-1; u upgrade-1; is var/lib/upgrade 2770; is var/lib/upgrade/queue 620; grep ^upgrade: root/etc/shadow; u upgrade-2; [ ! -e root/usr/bin/only1 ]
            is usr/bin/service 4755; pacman -R upgrade; [ ! -e root/var/lib/upgrade ]; ! grep ^upgrade: root/etc/passwd",
        ..PACMAN
    },
    Case {
        name: "device nodes",
        sample: true,
        script: "u base-1 device-1; is dev/null 666; is dev/loop0 660",
        without: refused("warning given when extracting"),
        zero: fails("dev/null", "at zero mknod of a device leaves no file; selective leaves a placeholder"),
        ..PACMAN
    },
    Case { name: "a hook that calls chown", script: "u base-1 hook-1; u plugin-1; is var/cache/plugins 1777", without: refused("chown: /usr/lib/plugins: Invalid argument"), ..PACMAN },
    Case {
        name: "-Sy and -Su from a repository",
        script: "repository first; pacman -Sy base owners upgrade; repository second; pacman -Syu; [ -e root/usr/bin/only2 ]",
        ..PACMAN
    },
    Case { name: "makepkg", sample: true, script: "makepkg; bsdtar -tvf made-1-1-any.pkg.tar.gz | grep '^-rwsr-xr-x.*usr/bin/made'", ..MAKEPKG },
    Case {
        name: "makepkg: owners in the package",
        script: "makepkg; bsdtar -tvf made-1-1-any.pkg.tar.gz; bsdtar -tvf made-1-1-any.pkg.tar.gz | grep 'daemon *mail'",
        zero: fails("root", OWNERS_LOST),
        selective: fails("root", OWNERS_LOST),
        ..MAKEPKG
    },
];

pub fn run(suite: &Suite) {
    let inputs = prepare(BUILD, FILES);
    let inputs = inputs
        .as_ref()
        .map(|dir| Inputs::Dir(dir.path()))
        .map_err(String::as_str);
    run_all(suite, "pacman", CASES, PROLOGUE, inputs);
}

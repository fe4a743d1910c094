//! Debian packages with other owners than root, built by `dpkg-buildpackage` under zroot by that
//! name and under the real fakeroot: the same archives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::user_with_ours;
use crate::common::{dir, executable, give, run, skip, user, zroot};
use crate::sources;
use crate::supervisor::compile;

const CONTROL: &str = "Source: pp\nMaintainer: m <m@m>\nStandards-Version: 4.6.2\n";
const BINARY: &str = "\nPackage: pp\nArchitecture: any\nDescription: p\n";

/// Rules as they were before debhelper, of a game: the set-gid bit comes before the group.
const GAME: &str = "#!/usr/bin/make -f
build build-arch build-indep clean:
binary-indep:
binary binary-arch:
\trm -rf debian/pp; install -d debian/pp/DEBIAN debian/pp/usr/games debian/pp/var/games
\tinstall -m 2755 /bin/true debian/pp/usr/games/pp; echo 0 >debian/pp/var/games/p.scores
\tchmod 664 debian/pp/var/games/p.scores; chown root:games debian/pp/usr/games/pp debian/pp/var/games/p.scores
\tinstall -d -o games -g games -m 2775 debian/pp/var/games/p; mknod debian/pp/var/games/null c 1 3
\tdpkg-gencontrol -Pdebian/pp; dpkg-deb --build debian/pp ..
";

/// Rules of which only one command needs root, and says so.
const TARGETED: &str = "#!/usr/bin/make -f
build build-arch build-indep clean:
binary-indep:
binary binary-arch:
\trm -rf debian/pp; install -d debian/pp/DEBIAN debian/pp/var/spool/p; dpkg-gencontrol -Pdebian/pp
\t! chown daemon debian/pp/var/spool/p 2>/dev/null
\t$(DEB_GAIN_ROOT_CMD) sh -c 'chown daemon:mail debian/pp/var/spool/p && chmod 2770 debian/pp/var/spool/p && dpkg-deb --build debian/pp ..'
";

/// debhelper's, with a static program among them that looks at what is there, and whose list goes
/// into the package.
const LISTED: &str = "#!/usr/bin/make -f
%:
\tdh $@
override_dh_auto_install:
\tinstall -D -m 4755 /bin/true debian/pp/usr/sbin/p; install -d debian/pp/var/lib/p; echo x >debian/pp/var/lib/p/x
override_dh_fixperms:
\tdh_fixperms; chown -R daemon:mail debian/pp/var/lib/p; chmod 4750 debian/pp/usr/sbin/p; chown :daemon debian/pp/usr/sbin/p
\tcd debian/pp && ../look usr/sbin/p var/lib/p var/lib/p/x usr >../list; truncate -s 200 ../list; install -m 644 ../list var/lib/p/list
";

/// Writes a source package `pp` with `rules` below `dir`.
fn source(dir: &Path, rules: &str, requires: &str) -> PathBuf {
    let place = dir.join("pp-1");
    run(user("mkdir").arg("-p").arg(place.join("debian/source"))).succeeds();
    let control = format!("{CONTROL}{requires}Build-Depends: debhelper-compat (= 13)\n{BINARY}");
    let changelog =
        "pp (1) unstable; urgency=low\n\n  * 1\n\n -- m <m@m>  Thu, 01 Jan 2015 00:00:00 +0000\n";
    for (name, text) in [
        ("control", &control[..]),
        ("changelog", changelog),
        ("source/format", "3.0 (native)\n"),
    ] {
        let path = place.join("debian").join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        give(&path);
    }
    executable(&place.join("debian/rules"), rules);
    place
}

/// What is in the packages that `command`, a shell, builds of what `unpack` puts into a directory.
fn built(mut command: Command, unpack: impl FnOnce(&Path) -> PathBuf, options: &str) -> String {
    let place = dir();
    let source = unpack(place.path());
    let script = format!(
        "dpkg-buildpackage -b -d -us -uc {options} >../log 2>&1 || {{ tail -n 40 ../log; exit 1; }}
        for p in ../*.deb; do dpkg-deb -f $p Package; dpkg-deb -c $p; dpkg-deb --fsys-tarfile $p | tar tv --numeric-owner; done"
    );
    command.args(["-ec", &script]).current_dir(source);
    // Nothing of the machine's own settings.
    run(command.env("DEB_BUILD_OPTIONS", "nocheck"))
        .succeeds()
        .stdout
}

/// The same with zroot as `fakeroot`, as `-r'zroot -c full'`, and with the real fakeroot. `says` is
/// in it.
#[track_caller]
fn same(unpack: impl Fn(&Path) -> PathBuf, says: &[&str]) {
    let theirs = built(user("sh"), &unpack, "-r/usr/bin/fakeroot");
    for part in says {
        assert!(theirs.contains(part), "no '{part}' in {theirs}");
    }
    let ours = built(user_with_ours("sh"), &unpack, "-rfakeroot");
    assert_eq!(ours, theirs);
    // It clears set-id bits as the kernel does: the control.
    let own = format!("-r'{} -c full'", zroot().display());
    let own = built(user("sh"), &unpack, &own);
    let bits = |text: &str| text.replace("rwsr", "rwxr").replace("r-s", "r-x");
    assert_eq!(bits(&own), bits(&theirs));
}

#[test]
fn a_game_by_old_rules() {
    need!(
        "a_game_by_old_rules",
        "fakeroot",
        "dpkg-buildpackage",
        "dpkg-deb",
        "dh",
        "make"
    );
    let requires = "Rules-Requires-Root: binary-targets\n";
    same(
        |dir| source(dir, GAME, requires),
        &["-rwxr-sr-x root/games", "drwxrwsr-x games/games", "crw-"],
    );
    // The control: by itself and at level zero the filter alone forgets.
    let lost = format!("-r{}", zroot().display());
    let lost = built(
        user("sh"),
        |dir| source(dir, &GAME.replace("; mknod", "; true"), requires),
        &lost,
    );
    assert!(
        lost.contains("root/root") && !lost.contains("games/games"),
        "{lost}"
    );
    // And at level selective, where a change to another owner is a pretence that --fail-on knows.
    let place = dir();
    let rules = source(place.path(), GAME, requires);
    let command = format!("-r{} -c selective --fail-on owner", zroot().display());
    let ran = run(user("dpkg-buildpackage")
        .args(["-b", "-d", "-us", "-uc", &command])
        .current_dir(rules));
    ran.fails_with("calls were pretended that --fail-on forbids: owner");
}

#[test]
fn rules_that_gain_root_for_one_command() {
    need!(
        "rules_that_gain_root_for_one_command",
        "fakeroot",
        "dpkg-buildpackage",
        "dpkg-deb",
        "dh",
        "make"
    );
    let requires = "Rules-Requires-Root: dpkg/target-subcommand\n";
    same(
        |dir| source(dir, TARGETED, requires),
        &["drwxrws--- daemon/mail"],
    );
}

#[test]
fn a_static_program_that_looks() {
    let test = "a_static_program_that_looks";
    need!(
        test,
        "fakeroot",
        "dpkg-buildpackage",
        "dpkg-deb",
        "dh",
        "make",
        "cc"
    );
    let look = dir();
    let look = look.path().join("look");
    let built_statically = compile("owners.c", &["-static"], &look);
    if built_statically.status != 0 {
        skip(
            test,
            &format!("cc builds nothing static: {}", built_statically.stderr),
        );
        return;
    }
    let requires = "Rules-Requires-Root: binary-targets\n";
    let unpack = |dir: &Path| {
        let place = source(dir, LISTED, requires);
        run(user("cp").arg(&look).arg(place.join("debian/look"))).succeeds();
        place
    };
    same(
        unpack,
        &[
            "-rwsr-x--- root/daemon",
            "drwxr-xr-x daemon/mail",
            "-rw-r--r-- root/root",
        ],
    );
    // What it saw is in the package: to it the real fakeroot shows nothing.
    let list = |mut command: Command, options: &str| {
        let place = dir();
        let source = unpack(place.path());
        let script = format!(
            "dpkg-buildpackage -b -d -us -uc {options} >../log 2>&1; dpkg-deb --fsys-tarfile ../pp_1_*.deb | tar xO ./var/lib/p/list"
        );
        let ran = run(command.args(["-ec", &script]).current_dir(source)).succeeds();
        ran.stdout.trim_end_matches('\0').to_owned()
    };
    let saw = list(user_with_ours("sh"), "-rfakeroot");
    assert_eq!(
        saw,
        "usr/sbin/p 0:1\nvar/lib/p 1:8\nvar/lib/p/x 1:8\nusr 0:0\n"
    );
    assert_ne!(list(user("sh"), "-r/usr/bin/fakeroot"), saw);
}

/// Debian's own, whose program is set-gid mail.
#[test]
fn debians_liblockfile() {
    let test = "debians_liblockfile";
    need!(
        test,
        "fakeroot",
        "dpkg-buildpackage",
        "dpkg-deb",
        "dh",
        "make",
        "cc"
    );
    let place = match sources::debian("liblockfile") {
        Ok(place) => place,
        Err(reason) => return skip(test, &reason),
    };
    let unpack = |dir: &Path| {
        let to = dir.join("liblockfile");
        run(user("cp").arg("-a").arg(place.join("sources")).arg(&to)).succeeds();
        to
    };
    same(unpack, &["-rwxr-sr-x root/mail"]);
}

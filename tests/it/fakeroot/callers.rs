//! Who calls fakeroot, in the words of each. Those that are not here are replayed: the words that
//! they use, with something in the place of what they run.

use std::fs;

use super::{ours, theirs, user_with_ours};
use crate::common::{dir, executable, names, program, run, skip, user};

/// `call`, whose `$FAKEROOT` is a path and `$WORK` a command that gives files away and lists an
/// archive of them: as the real fakeroot.
#[track_caller]
fn replayed(call: &str) {
    let work = r#"#!/bin/sh -e
        [ "$FAKEROOTKEY" ]; mkdir target; touch target/a; chown 5:6 target/a; chmod 4755 target/a; mknod target/n c 5 1
        tar c --numeric-owner --mtime=@1 target | tar tv --numeric-owner --utc; echo "$@""#;
    let with = |fakeroot: &str| {
        let place = dir();
        executable(&place.path().join("work"), work);
        let mut command = user("sh");
        command.args(["-ec", call]).current_dir(place.path());
        command
            .env("FAKEROOT", fakeroot)
            .env("WORK", place.path().join("work"));
        run(&mut command).succeeds()
    };
    let ours = with(names().join("fakeroot").to_str().expect("UTF-8"));
    let theirs = with("/usr/bin/fakeroot");
    assert_eq!(ours.stdout, theirs.stdout, "{call}");
    assert!(ours.stdout.contains("5/6"), "{ours:#?}");
}

#[test]
fn others_words() {
    need!("others_words", "fakeroot", "tar");
    for call in [
        // Alpine's abuild.
        r#"FAKEROOT="$FAKEROOT --"; $FAKEROOT "$WORK" -F rootpkg"#,
        // buildroot: a script that it has written.
        r#"FAKEROOTDONTTRYCHOWN=1 $FAKEROOT -- "$WORK" -x"#,
        // OpenWrt, now and before.
        r#"$FAKEROOT "$WORK" -m """#,
        r#"$FAKEROOT -l /usr/lib/*/libfakeroot/libfakeroot-sysv.so -f /usr/bin/faked-sysv "$WORK""#,
        // debuild, and what others have in Makefiles.
        r#"exec $FAKEROOT -u -- sh -c 'umask 022; exec "$0"' "$WORK""#,
        r#"$FAKEROOT <<end
            umask 022; "$WORK"
end"#,
    ] {
        replayed(call);
    }
}

#[test]
fn makepkg() {
    need!("makepkg", "fakeroot", "makepkg", "bsdtar");
    let recipe = r"pkgname=p; pkgver=1; pkgrel=1; arch=(any)
        package() {
            install -d -o 5 -g 6 -m 2775 $pkgdir/var/games; echo x >$pkgdir/var/games/scores; chown 5:6 $pkgdir/var/games/scores
            install -D -m 755 /bin/true $pkgdir/usr/bin/p; chmod 4755 $pkgdir/usr/bin/p; chown 0:7 $pkgdir/usr/bin/p
        }";
    let build = r"makepkg --nodeps --config /etc/makepkg.conf >log 2>&1 || { cat log; exit 1; }
        bsdtar xOf p-1-*.pkg.tar* .PKGINFO | grep '^# using fakeroot version'
        bsdtar tvf p-1-*.pkg.tar* | awk '{print $1, $3, $4, $NF}' | grep -v ' \.'";
    let built = |mut command: std::process::Command| {
        let place = dir();
        fs::write(place.path().join("PKGBUILD"), recipe).expect("written");
        command
            .args(["-ec", build])
            .env("PACKAGER", "me")
            .env("SOURCE_DATE_EPOCH", "1");
        run(command.current_dir(place.path())).succeeds().stdout
    };
    let (ours, theirs) = (built(user_with_ours("sh")), built(user("sh")));
    let (version, ours) = ours.split_once('\n').expect("lines");
    assert!(version.contains("(zroot "), "{version}");
    assert_eq!(ours, theirs.split_once('\n').expect("lines").1);
    assert!(ours.contains("drwxrwsr-x games disk var/games/"), "{ours}");
    assert!(ours.contains("-rwsr-xr-x root lp usr/bin/p"), "{ours}");
}

/// Programs that ask whether they run under fakeroot.
#[test]
fn debhelper_asks() {
    let test = "debhelper_asks";
    need!(test, "fakeroot", "perl");
    let script = "use Debian::Debhelper::Dh_Lib; print Debian::Debhelper::Dh_Lib::_internal_optional_file_args()";
    if program("dh").is_none() {
        skip(test, "there is no debhelper");
        return;
    }
    let ran = run(ours(["--", "perl", "-e", script]).current_dir("/tmp")).succeeds();
    assert_eq!(ran.stdout, "--no-sandbox");
    let real = run(theirs(["--", "perl", "-e", script]).current_dir("/tmp")).succeeds();
    assert_eq!(real.stdout, ran.stdout);
    // The control.
    let plain = run(user("perl").args(["-e", script])).succeeds();
    assert_eq!(plain.stdout, "");
}

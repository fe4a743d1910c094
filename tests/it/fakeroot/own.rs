//! fakeroot's own tests, with zroot in its place: by the machine's programs, and by static ones, to
//! which the real fakeroot shows nothing.

use std::fs;
use std::io::{Write, stderr};
use std::path::Path;

use crate::common::{dir, executable, names, program, run, skip, user};
use crate::sources;
use crate::supervisor::compile;

/// Programs that the tests use, and busybox has as well.
const STATIC: &str =
    "chgrp chmod cat cp find grep gzip id install ln ls mkdir mknod mv rm sed stat tar touch";

/// Runs all tests in `tests` by the `fakeroot` named, and prints those that fail. `$2` are programs
/// that come first.
const ALL: &str = r#"
    set -e; tests=$0; mkdir scripts test .libs first; ln -s "$1" scripts/fakeroot; : >faked >.libs/libfakeroot.so
    cd first; for p in $2; do ln -s "$BUSYBOX" $p; done; [ -z "$2" ] || ln -s "$CHOWN" chown; cd ..
    PATH=$PWD/first:$PATH; cd test; sed 's/@LDPRELOADVAR@/LD_PRELOAD/' "$tests/defs.in" >defs
    export srcdir="$tests" posixshell=/bin/sh libfakeroot=libfakeroot.so
    count=0; for t in "$tests"/t.*; do count=$((count + 1)); sh "$t" || echo "not ok ${t##*/}"; done; echo "$count tests"
    chmod -R u+rwX ."#;

#[test]
fn fakeroots_own_tests() {
    let test = "fakeroots_own_tests";
    need!(test, "uudecode", "busybox", "cc");
    let source = match sources::named("ZROOT_SUITES_FAKEROOT") {
        Some(place) => Ok(place),
        None => sources::debian("fakeroot").map(|place| place.join("sources")),
    };
    let source = match source {
        Ok(source) => source.join("test"),
        // What a mirror lacks, no machine can be given.
        Err(reason) => {
            let _ = writeln!(stderr(), "SKIP {test}: {reason}");
            return;
        }
    };
    let place = dir();
    let chown = place.path().join("chown");
    let built = compile("chown.c", &["-static"], &chown);
    if built.status != 0 {
        return skip(test, &format!("cc builds nothing static: {}", built.stderr));
    }
    let busybox = program("busybox").expect("busybox");
    let all = |fakeroot: &Path, first: &str| {
        let place = dir();
        let mut command = user("sh");
        command
            .args(["-c", ALL])
            .arg(&source)
            .arg(fakeroot)
            .arg(first);
        command.env("BUSYBOX", &busybox).env("CHOWN", &chown);
        run(command.current_dir(place.path())).succeeds().stdout
    };
    let zroot = names().join("fakeroot");
    let count = fs::read_dir(&source)
        .expect("tests")
        .flatten()
        .filter(|test| test.file_name().as_encoded_bytes().starts_with(b"t."))
        .count();
    assert!(count > 10, "{count}");
    let expected = format!("{count} tests\n");
    assert_eq!(all(&zroot, ""), expected);
    assert_eq!(all(&zroot, STATIC), expected);
    // The control: the tests start it with a library of their own, which the one that is installed
    // has already.
    if program("fakeroot").is_some() {
        let real = place.path().join("fakeroot");
        executable(&real, "#!/bin/sh\nshift 4\nexec /usr/bin/fakeroot \"$@\"\n");
        assert_eq!(all(&real, ""), expected);
        assert!(all(&real, STATIC).contains("not ok t.mknod\n"));
    }
}

//! Who may change what: callers who are root, owner, member of the group, another, or have some
//! capabilities only, and files of root's, the owner's and others', with real root's kernel as the
//! judge.

use super::{as_real_root, script};
use crate::supervisor::oracle::Fixture;

#[test]
fn refusals_are_as_the_kernels() {
    let Some(fixture) = Fixture::new("refusals_are_as_the_kernels", "full.c", &[]) else {
        return;
    };
    let said = as_real_root(&fixture, &["refusals"]);
    let count = |result: &str| {
        let has = |line: &&str| line.contains(&format!(" = {result} |"));
        said.lines().filter(has).count()
    };
    assert!(count("0") > 500 && count("EPERM") > 500, "{said}");
}

/// LTP's chroot01: who has given root up cannot, and what is wrong with the directory comes first.
#[test]
fn chroot_is_roots() {
    const TRY: &str = r#"try() { perl -e 'for (@ARGV) { print "$_: ", chroot $_ ? "done" : $!, "\n" }' "$@"; }; "#;
    let test = "chroot_is_roots";
    need!(test, "perl", "setpriv");
    let said = script(
        test,
        &format!(
            r#"{TRY}mkdir d; echo >f; try d
            setpriv --reuid 5 --clear-groups sh -ec '{quoted}try gone f f/ d'
            setpriv --bounding-set -sys_chroot sh -ec '{quoted}try gone d'
            perl -e '$> = 5; print chroot "d" ? "done" : $!, "\n"; $> = 0; print chroot "d" ? "done" : $!, "\n"'"#,
            quoted = TRY.replace('\'', r"'\''"),
        ),
    );
    assert!(
        said.contains("d: Operation not permitted") && said.contains("d: done"),
        "{said}"
    );
}

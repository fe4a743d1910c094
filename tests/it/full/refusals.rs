//! Who may change what: callers who are root, owner, member of the group, another, or have some
//! capabilities only, and files of root's, the owner's and others', with real root's kernel as the
//! judge.

use super::as_real_root;
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

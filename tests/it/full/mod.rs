//! Level full: owners, devices and identities that are remembered. What zroot shows is compared
//! with what real root sees of the same.

mod attributes;
mod files;
mod found;
mod histories;
mod identity;
mod killed;
mod makers;
mod mounts;
mod peers;
mod programs;
mod refusals;
mod sample;
mod setid;
mod shows;

use crate::common::{Ran, dir, plain, run, zroot_with};
use crate::supervisor::oracle::{Fixture, has_oracle};

/// A part of `fixtures/full.c` at level full and as real root says the same; at level selective,
/// where nothing is remembered, something else.
#[track_caller]
fn as_real_root(fixture: &Fixture, args: &[&str]) -> String {
    let full = fixture.at_level("full", args);
    assert_ne!(
        full,
        fixture.at_level("selective", args),
        "the control of {args:?}"
    );
    if has_oracle(args[0]) {
        assert_eq!(full, fixture.as_root(args), "{args:?}");
    }
    full
}

/// The same of a shell script, which runs in an empty directory.
#[track_caller]
fn script(test: &str, script: &str) -> String {
    let at_level = |level: &str| -> Ran {
        run(zroot_with(["-c", level, "--", "sh", "-ec", script]).current_dir(dir().path()))
    };
    let full = at_level("full").succeeds();
    assert_ne!(
        at_level("selective").stdout,
        full.stdout,
        "the control of {full:#?}"
    );
    if has_oracle(test) {
        let real = run(plain("sh").args(["-ec", script]).current_dir(dir().path())).succeeds();
        assert_eq!(full.stdout, real.stdout, "{full:#?}");
    }
    full.stdout
}

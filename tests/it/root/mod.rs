//! `zroot --root`: hostile root directories, bad input, what is left behind (nothing), and that it
//! works.

mod hostile;
mod input;
mod leftovers;
mod nesting;
mod works;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ran, SmallTree, run, user, wait_for, zroot};

/// The processes that tidy up for `tree`: they hold directories in it.
fn tidying(tree: &SmallTree) -> Vec<PathBuf> {
    let holds = |process: &Path| {
        let fds = fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|to| to.starts_with(tree.place()))
    };
    let is_it = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name == "zroot-tidy\n")
            && holds(process)
    };
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .map(|process| process.path())
        .filter(is_it)
        .collect()
}

/// Waits until there are none.
#[track_caller]
fn tidied(tree: &SmallTree) {
    wait_for("nothing tidies up any more", || {
        tidying(tree).is_empty().then_some(())
    });
}

/// Runs a script as root of namespaces of its own, where zroot is `"$0"`. `before` notes how the
/// tree is, `same` waits until it is so again.
fn in_namespaces(tree: &SmallTree, options: &[&str], script: &str) -> Ran {
    const FUNCTIONS: &str = r#"
        list() { find root/ src canary -xdev -printf '%p %y %m %T@ %l\n' | sort; cat canary/secret canary/empty; grep "$PWD" /proc/self/mountinfo || true; }
        before() { list > "$PWD.before"; }
        same() {
            tries=0
            until list | cmp -s "$PWD.before"; do
                tries=$((tries + 1))
                if [ $tries -gt 2000 ]; then list | diff "$PWD.before" - >&2; exit 9; fi
                sleep 0.005
            done
            rm "$PWD.before"
        }
    "#;
    let before = tree.listing();
    let mut command = user("unshare");
    command
        .args(options)
        .args(["--", "sh", "-ec", &format!("{FUNCTIONS}{script}")])
        .arg(zroot())
        .current_dir(tree.place());
    let ran = run(&mut command).succeeds();
    tree.settles(&before);
    ran
}

//! `zroot --root`: hostile root directories, bad input, what is left behind, what is lent, and that
//! it works.

mod dev;
mod environment;
mod hostile;
mod input;
mod leftovers;
mod lent;
mod nesting;
mod run_dir;
mod works;

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use crate::common::{Ran, SmallTree, run, user, zroot};

/// What is made in a root directory that has none of them.
const SYSTEM: [&str; 3] = ["proc/", "sys/", "dev/"];

/// Starts a command that says a line and ends when its standard input does; with that line.
#[track_caller]
fn start(command: &mut Command) -> (Child, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zroot");
    let (mut said, mut byte) = (Vec::new(), [0]);
    let stdout = child.stdout.as_mut().expect("a pipe");
    while stdout.read(&mut byte).expect("a line") == 1 && byte != *b"\n" {
        said.push(byte[0]);
    }
    (child, String::from_utf8(said).expect("UTF-8"))
}

/// The processes whose parent is `parent`: the number and the name of each.
fn children(parent: u32) -> Vec<(u32, String)> {
    let about = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let of: u32 = rest.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then(|| (pid, name.to_owned()))
    };
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|process| about(process.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Runs a script as root of namespaces of its own, where zroot is `"$0"`. `before` notes how the
/// tree is. `same` holds it against that: it takes the names of directories that have been made in
/// `root` since, which must be empty, and takes them away.
fn in_namespaces(tree: &SmallTree, options: &[&str], script: &str) -> Ran {
    const FUNCTIONS: &str = r#"
        list() {
            find root/ src canary -xdev -printf '%p %y %m %T@ %l\n' | sort
            cat canary/secret canary/empty
            grep "$PWD" /proc/self/mountinfo || true
        }
        before() { list > "$PWD.before"; touch -r root "$PWD.time"; }
        same() {
            for name; do
                if grep -q "^root/$name " "$PWD.before"; then echo "$name was there" >&2; exit 8; fi
                rmdir "root/$name"
            done
            if [ $# -gt 0 ]; then touch -r "$PWD.time" root; fi
            list | diff "$PWD.before" - >&2 || exit 9
            rm "$PWD.before" "$PWD.time"
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
    tree.as_before(&before);
    ran
}

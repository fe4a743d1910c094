//! What a supervisor does for one call, counted in system calls of its own: they are what the call
//! costs, beside the two switches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use super::{Bench, Live, SUPERVISOR, compile};
use crate::common::{user, zroot};

/// The calls of `fixtures/costs.c`, in its order.
const FORMS: [&str; 6] = [
    "fstat",
    "newfstatat of a descriptor",
    "a path",
    "a name in a directory, not followed",
    "a name",
    "statx of a path",
];

/// Who has given a file away, whose is what nobody has, and what the host's root has.
const FILES: [&str; 3] = ["given", "own", "the host's"];

/// What is done to the first two files, in the order of `fixtures/costs.c`: the one is another's
/// then, the other is root's.
const CHANGES: [&str; 9] = [
    "fchown",
    "fchownat of a name, not followed",
    "fchownat of a path",
    "fchmod",
    "fchmodat of a name",
    "fchmodat of a path",
    "utimensat of a descriptor",
    "utimensat of a name, not followed",
    "utimensat of a path",
];

#[test]
fn a_call_on_a_file_costs_what_it_did() {
    const TEST: &str = "a_call_on_a_file_costs_what_it_did";
    need!(TEST, "strace");
    let Some(bench) = Bench::new(TEST) else {
        return;
    };
    let place = bench.dir.path();
    // Before the compiler runs, so that they are not young any more (`memory::remembered`).
    let files = ["given", "own"].map(|name| place.join(name));
    for file in &files {
        crate::common::run(user("touch").arg(file)).succeeds();
    }
    let program = place.join("costs");
    compile("costs.c", &[], &program).succeeds();
    // Nothing of it is changed: only who has a file of one's own can give it away.
    let mut command = bench.command([zroot()]);
    command.args(["-c", "full"]).arg(&program);
    let mut live = Live::start(command.args(&files).arg("/etc/passwd"));
    live.says("ready");
    let log = place.join("log");
    let mut strace = user("strace")
        .arg("-o")
        .arg(&log)
        .args(["-p", &bench.one(SUPERVISOR).to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace");
    let mut said = String::new();
    let mut stderr = BufReader::new(strace.stderr.take().expect("a pipe"));
    stderr.read_line(&mut said).expect("a line");
    assert!(said.contains("attached"), "{said}");
    writeln!(live.stdin.as_mut().expect("a pipe"), "go").expect("heard");
    live.ends("");
    // It ends with whom it watches.
    strace.wait().expect("strace's end");
    let log = fs::read_to_string(&log).expect("a log");
    let mut costs = costs(&log).into_iter();
    let mut text = String::new();
    let mut line = |what: &str| {
        let cost = costs.next().expect("a cost");
        if what.is_empty() {
            return;
        }
        writeln!(text, "{what}: {cost}").expect("a String takes all");
    };
    line("execve where nobody has set anything");
    line(""); // a file is given away
    for file in FILES {
        for form in FORMS {
            line(&format!("{file}, {form}"));
        }
    }
    for file in &FILES[..2] {
        for change in CHANGES {
            line(&format!("{file}, {change}"));
        }
    }
    for what in [
        "mkdirat by root",
        "openat that makes a file by root",
        "a path of nothing",
        "a name of nothing",
        "getuid",
        "execve by root where a file has another owner",
        "execve by another user",
        "getuid of another user",
    ] {
        line(what);
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/full/costs");
    if std::env::var_os("ZROOT_BLESS").is_some_and(|value| value == "1") {
        fs::write(&golden, &text).expect("a golden file");
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(
        text, expected,
        "if that is as it should be: ZROOT_BLESS=1 cargo test --release --test it costs"
    );
    bench.nothing_is_left();
}

/// For each stretch between probes what was done most often for one call. (It wakes its guard now
/// and then.) Not counted is the look at which processor its caller is on, which depends on what
/// else the machine does.
fn costs(log: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut stretch: BTreeMap<String, usize> = BTreeMap::new();
    let mut cost: Option<Vec<&str>> = None;
    let (mut is_probe, mut looks) = (false, false);
    for line in log.lines() {
        let name = line.split('(').next().unwrap_or_default();
        if line.contains("SECCOMP_IOCTL_NOTIF_RECV") {
            is_probe = line.contains("__NR_kexec_load");
            cost = Some(Vec::new());
        } else if line.contains("SECCOMP_IOCTL_NOTIF_SEND") {
            let done = cost.take().unwrap_or_default().join(" ");
            if is_probe {
                let often = stretch.iter().max_by_key(|(_, count)| **count);
                all.push(often.map(|(cost, _)| cost.clone()).unwrap_or_default());
                stretch.clear();
            } else {
                *stretch.entry(done).or_default() += 1;
            }
        } else if let Some(cost) = &mut cost {
            match name {
                "ioctl" if line.contains("SECCOMP_IOCTL_NOTIF_ID_VALID") => {
                    cost.push("still-waits");
                }
                // How the next one is woken.
                "ioctl" => {}
                "openat" if line.contains("/stat\"") => looks = true,
                "read" if looks => {}
                "close" if looks => looks = false,
                name => cost.push(name),
            }
        }
    }
    all
}

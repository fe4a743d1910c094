//! More than a user may have, of limits, priorities and memory that stays in memory:
//! `fixtures/raise.c`, with real root as the oracle; and programs that ask for it.

use super::oracle::{Fixture, capabilities, has_oracle};
use crate::common::{self, Ran, run, user, zroot_with};

const LEVELS: [&str; 2] = ["selective", "full"];

/// What root may, and who has given that up may not.
const LIMITS: [(&str, &str); 2] = [
    (
        "",
        "setrlimit RLIMIT_NOFILE, set_narrow(1000, 1000): 0\n\
         soft is as high as hard\n\
         setrlimit RLIMIT_CORE, set_narrow(ULONG_MAX, ULONG_MAX): 0\n\
         setrlimit RLIMIT_NOFILE, set_narrow(50, 60): 0\n\
         setrlimit RLIMIT_NOFILE, set_narrow(60, 60): 0\n\
         setrlimit RLIMIT_NOFILE, set_narrow(60, 61): 0\n\
         prlimit64 0, RLIMIT_NOFILE, set(70, 1000), old: 0\n\
         old 64 128\n\
         prlimit64 getpid(), RLIMIT_NOFILE, set(70, 1000), NULL: 0\n\
         prlimit64 of the parent: 0\n",
    ),
    (
        "dropped",
        "setrlimit RLIMIT_NOFILE, set_narrow(1000, 1000): EPERM\n\
         soft is lower\n\
         setrlimit RLIMIT_CORE, set_narrow(ULONG_MAX, ULONG_MAX): EPERM\n\
         setrlimit RLIMIT_NOFILE, set_narrow(50, 60): 0\n\
         setrlimit RLIMIT_NOFILE, set_narrow(60, 60): 0\n\
         setrlimit RLIMIT_NOFILE, set_narrow(60, 61): EPERM\n\
         prlimit64 0, RLIMIT_NOFILE, set(70, 1000), old: EPERM\n\
         old 0 0\n\
         prlimit64 getpid(), RLIMIT_NOFILE, set(70, 1000), NULL: EPERM\n\
         prlimit64 of the parent: EPERM\n",
    ),
];

/// Whether real root has the capabilities of that mask here.
fn root_has(mask: u64) -> bool {
    u64::from_str_radix(&capabilities(), 16).expect("a number") & mask == mask
}

const IPC_LOCK: u64 = 1 << 14;
const NICE: u64 = 1 << 23;
const RESOURCE: u64 = 1 << 24;

fn check(test: &str, options: &[&str]) {
    let Some(fixture) = Fixture::new(test, "raise.c", options) else {
        return;
    };
    if run(user(fixture.program()).args(["memory", "incapable"])).status != 0 {
        return common::skip(test, "this kernel does not run it");
    }
    for level in LEVELS {
        for (mode, says) in LIMITS {
            let said = fixture.at_level(level, &["limits", mode]);
            assert!(said.starts_with(says), "{level} {mode}: {said}");
        }
    }
    // The control: the kernel refuses.
    let ran = run(user(fixture.program()).args(["limits", ""])).succeeds();
    assert!(ran.stdout.starts_with(LIMITS[1].1), "{}", ran.stdout);
    if !has_oracle(test) {
        return;
    }
    for (part, needs) in [
        ("limits", RESOURCE),
        ("priorities", NICE),
        ("memory", IPC_LOCK),
    ] {
        for mode in ["", "dropped", "incapable"] {
            // Who has given it up needs none.
            if mode.is_empty() && !root_has(needs) {
                continue;
            }
            let real = fixture.as_root(&[part, mode]);
            for level in LEVELS {
                let said = fixture.at_level(level, &[part, mode]);
                assert_eq!(said, real, "{level} {part} {mode}");
            }
            if mode.is_empty() {
                let plain = run(user(fixture.program()).args([part, mode])).succeeds();
                assert_ne!(plain.stdout, real, "{part}");
            }
        }
    }
}

#[test]
fn more_than_a_user_may_have() {
    check("more_than_a_user_may_have", &[]);
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn more_than_a_user_may_have_of_i386() {
    check("more_than_a_user_may_have_of_i386", &["-m32"]);
}

/// Runs `script`, which has to end well at each level with a supervisor and otherwise not, and
/// returns what it says at each of these.
#[track_caller]
fn only_answered(script: &str, otherwise: &str) -> [String; 2] {
    let with = |options: &[&str]| run(zroot_with(options).args(["--", "sh", "-ec", script]));
    let not = |ran: Ran| {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(otherwise), "{ran:#?}");
    };
    not(with(&["-c", "zero"]));
    not(with(&["-c", "full", "--no-fake=limits"]));
    LEVELS.map(|level| {
        let ran = with(&["-c", level]).succeeds();
        assert_eq!(ran.stderr, "", "{level}: {ran:#?}");
        ran.stdout
    })
}

#[test]
fn programs_ask_for_more() {
    need!("programs_ask_for_more", "chrt", "ionice", "nice", "renice");
    // Who can have 19 can have 20.
    for said in only_answered("nice -n -5 nice; nice -n 3 nice", "cannot set niceness") {
        assert_eq!(said, "0\n3\n");
    }
    only_answered("renice -n -3 -p $$ >/dev/null", "Permission denied");
    only_answered("chrt -f 10 true; chrt -r 1 true", "not permitted");
    // What is next to it.
    for said in only_answered("ionice -c1 -n3 sh -c 'ionice -p $$'", "not permitted") {
        assert_eq!(said, "best-effort: prio 3\n");
    }
    let script = "ulimit -n 40; ulimit -Sn 30; ulimit -n 1000; ulimit -n; ulimit -Hn; ulimit -n 20; ulimit -n";
    for said in only_answered(script, "not permitted") {
        assert_eq!(said, "40\n40\n20\n");
    }
}

/// pam_limits has su and login end if it cannot set one of them.
#[test]
fn pam_limits_opens_a_session() {
    let test = "pam_limits_opens_a_session";
    need!(test, "su", "unshare");
    if !std::path::Path::new("/etc/security").is_dir() {
        return common::skip(test, "there is no pam_limits");
    }
    let script = r#"unshare -m sh -ec '
        mount -t tmpfs none /etc/security
        mkdir /etc/security/limits.d
        printf "%s\n" "root - priority -1" "* hard nofile 1048576" "root hard nofile 1048576" \
            "root soft memlock unlimited" "root hard memlock unlimited" >/etc/security/limits.conf
        mount -t tmpfs none /etc/pam.d
        printf "%s\n" "auth sufficient pam_permit.so" "account sufficient pam_permit.so" \
            "session required pam_limits.so" >/etc/pam.d/su
        su -s /bin/sh root -c "echo opened"'"#;
    for said in only_answered(script, "open session") {
        assert_eq!(said, "opened\n");
    }
}

/// What a process in a namespace of its own asks for, a helper does.
#[test]
fn in_other_namespaces() {
    need!("in_other_namespaces", "unshare", "chrt", "setpriv");
    for namespaces in ["-r", "-rpf --mount-proc", "-pf"] {
        let asks = "nice -n -5 true && renice -n 2 -p $$ >/dev/null && nice && chrt -f 1 true \
            && ulimit -n 2000 && ulimit -n 1000 && ulimit -n 100000 && ulimit -n";
        let script = format!("ulimit -n 3000; unshare {namespaces} sh -ec '{asks}'");
        for level in LEVELS {
            let ran = run(zroot_with(["-c", level, "--", "sh", "-ec"]).arg(&script)).succeeds();
            assert_eq!((&*ran.stdout, &*ran.stderr), ("2\n1000\n", ""), "{ran:#?}");
        }
    }
    // Who has given up the capability in the kernel.
    let given_up = "setpriv --bounding-set=-sys_nice,-sys_resource --inh-caps=-all \
        sh -c 'chrt -f 1 true && echo real; ulimit -n 100000 && echo real; nice -n -5 true'";
    for level in LEVELS {
        let ran = run(zroot_with(["-c", level, "--", "sh", "-c"]).arg(given_up)).succeeds();
        assert_eq!(ran.stdout, "");
        for says in [
            "failed to set pid",
            "error setting limit",
            "cannot set niceness",
        ] {
            assert!(ran.stderr.contains(says), "{ran:#?}");
        }
    }
}

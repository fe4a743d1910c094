//! What the supervisor remembers of a process, and where that ends: `fixtures/remembered.c`, with
//! the kernel as the oracle.

use super::oracle::{Fixture, has_oracle};
use super::{Bench, Live, SUPERVISOR, compile};
use crate::common::{self, control, give, run, user, zroot_with};

/// What the program says of RLIMIT_LOCKS, with this limit for its ABI's calls, its longest number,
/// and what is told of other limits.
fn no_locks(old: &str, new: &str, files: &str) -> String {
    let (wide, stays) = ("ffffffffffffffff", "5555555555555555");
    let behind = &stays[..new.len()];
    let has_both = if old == new {
        String::new()
    } else {
        format!("ugetrlimit: 0 {new} {new} {behind}\n")
    };
    format!(
        "setrlimit 7: 0\n\
         setrlimit without: 0\n\
         setrlimit wrong: EINVAL\n\
         setrlimit nowhere: EFAULT\n\
         getrlimit: 0 {old} {old} {behind}\n\
         {has_both}\
         getrlimit nowhere: EFAULT\n\
         prlimit64 set: 0 {stays} {stays} {stays}\n\
         prlimit64 both: 0 {wide} {wide} {stays}\n\
         prlimit64 wrong: EINVAL {stays} {stays} {stays}\n\
         prlimit64 get: 0 {wide} {wide} {stays}\n\
         prlimit64 nowhere: EFAULT\n\
         prlimit64 neither: 0\n\
         files: {files}\n\
         uid: 5\n"
    )
}

/// pam_limits sets every limit, in the middle of su.
fn limits(test: &str, options: &[&str], old: &str, new: &str) {
    let Some(fixture) = Fixture::new(test, "remembered.c", options) else {
        return;
    };
    if run(user(fixture.program()).args(["make", "/"])).status != 0 {
        return common::skip(test, "this kernel does not run it");
    }
    for options in [
        &["-c", "selective"][..],
        &["-cselective", "--no-fake=limits"],
    ] {
        let ran = run(zroot_with(options)
            .arg("--")
            .arg(fixture.program())
            .arg("locks"));
        let wanted = no_locks(old, new, "77");
        assert_eq!(ran.succeeds().stdout, wanted, "{options:?}");
    }
    // The control: there is such a limit.
    let ran = run(user(fixture.program()).arg("locks")).succeeds();
    assert!(
        ran.stdout.contains("getrlimit: 0 7 9 ") && ran.stdout.contains("setrlimit without: EPERM"),
        "{ran:#?}"
    );
}

#[cfg(target_pointer_width = "64")]
#[test]
fn the_limit_on_locks_leaves_ids_alone() {
    let infinity = "ffffffffffffffff";
    limits(
        "the_limit_on_locks_leaves_ids_alone",
        &[],
        infinity,
        infinity,
    );
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn the_limit_on_locks_leaves_ids_of_i386_alone() {
    let test = "the_limit_on_locks_leaves_ids_of_i386_alone";
    limits(test, &["-m32"], "7fffffff", "ffffffff");
}

#[test]
fn shells_set_the_limit_on_locks() {
    need!("shells_set_the_limit_on_locks", "bash", "prlimit");
    let script = "ulimit -x 5; ulimit -x; prlimit --locks=3 --pid $$; \
        prlimit --locks --pid $$ --noheadings -o HARD | tr -d ' '; ulimit -Sn 77; ulimit -n";
    let says = |level: &str| {
        run(zroot_with(["-c", level, "--", "bash", "-c"]).arg(script))
            .succeeds()
            .stdout
    };
    assert_eq!(says("zero"), "5\n3\n77\n");
    assert_eq!(says("selective"), "unlimited\nunlimited\n77\n");
}

#[test]
fn ids_are_those_of_the_user_namespace() {
    let test = "ids_are_those_of_the_user_namespace";
    let Some(bench) = Bench::new(test) else {
        return;
    };
    let ids = "id -u; id -g; grep Cap /proc/self/status";
    let mut ways = vec![
        &["unshare", "-U", "--map-user=1000", "--map-group=1000"][..],
        &["unshare", "-U"],
        &["unshare", "-rU"],
        &["unshare", "-rU", "unshare", "-U", "--map-user=7"],
        &[
            "unshare",
            "-U",
            "--map-user=1000",
            "setpriv",
            "--keep-groups",
            "--nnp",
        ],
    ];
    if common::program("bwrap").is_some() {
        ways.push(&[
            "bwrap",
            "--uid",
            "1000",
            "--gid",
            "7",
            "--unshare-user",
            "--ro-bind",
            "/",
            "/",
        ]);
        ways.push(&["bwrap", "--unshare-user", "--ro-bind", "/", "/"]);
    }
    for way in ways {
        let words = [way, &["sh", "-c", ids]].concat();
        // The oracle: the same in a plain namespace of one id.
        let plain = run(&mut control(&words)).succeeds().stdout;
        let ran = run(&mut bench.selective(&words)).succeeds();
        assert_eq!(ran.stdout, plain, "{way:?}");
    }
    // Who is no root there, and has no capabilities, may not become another.
    let way = [
        "unshare",
        "-U",
        "--map-user=1000",
        "setpriv",
        "--reuid=5",
        "id",
        "-u",
    ];
    run(&mut control(way)).fails_with("setresuid failed");
    run(&mut bench.selective(&way)).fails_with("setresuid failed");
    // Without a namespace of its own, root is the supervisor's.
    let never = |words: &[&str]| {
        let ran = run(bench.selective(&["--userns=never", "--"]).args(words));
        ran.succeeds().stdout
    };
    assert_eq!(never(&["id", "-u"]), "0\n");
    assert_eq!(never(&["unshare", "-U", "id", "-u"]), "65534\n");
    bench.nothing_is_left();
}

#[test]
fn what_was_set_means_nothing_in_the_next_user_namespace() {
    let test = "what_was_set_means_nothing_in_the_next_user_namespace";
    let Some(fixture) = Fixture::new(test, "remembered.c", &[]) else {
        return;
    };
    let zroot = fixture.at_level("selective", &["userns"]);
    let [nobody, mapped] = [
        "65534 65534, 65534 65534 65534",
        "1000 1000, 1000 1000 1000",
    ];
    let before = format!(
        "set: 5 5, 5 5 5\nunmapped: {nobody}\nmapped: {mapped}\nsetresuid: 0\nset to the same: {mapped}\n"
    );
    // The one intended difference: an id that is not mapped seems to be set.
    let pretended = "setresuid, not mapped: 0\nset again: 7 7, 7 7 7\nchild: 7 7, 7 7 7\n";
    let refused = format!("setresuid, not mapped: EINVAL\nset again: {mapped}\nchild: {mapped}\n");
    let after = "parent: 5 5, 5 5 5\n";
    assert_eq!(zroot, format!("{before}{pretended}{after}"));
    if has_oracle(test) {
        assert_eq!(
            fixture.as_root(&["userns"]),
            format!("{before}{refused}{after}")
        );
    }
}

#[test]
fn the_bounding_set_is_heeded() {
    let test = "the_bounding_set_is_heeded";
    let Some(fixture) = Fixture::new(test, "remembered.c", &[]) else {
        return;
    };
    let zroot = fixture.at_level("selective", &["bounding"]);
    for says in [
        "dropped: chown 110 bounding 0 setpcap 110 bounding 1",
        "inherit chown: EPERM",
        "drop kill: EPERM, none: EPERM",
        "kill: 1",
        "next program: chown 000 bounding 0 setpcap 110 bounding 1",
    ] {
        assert!(zroot.lines().any(|line| line == says), "{says} in {zroot}");
    }
    if has_oracle(test) {
        assert_eq!(zroot, fixture.as_root(&["bounding"]));
    }
    need!(test, "capsh", "setpriv");
    // As real root would, as far as its bounding set goes.
    let sets = "cat /proc/self/status | grep Cap | grep -v Inh";
    let ways: [&[&str]; 4] = [
        &["capsh", "--drop=cap_chown,cap_sys_admin", "--", "-c", sets],
        &[
            "capsh",
            "--drop=cap_setpcap",
            "--",
            "-c",
            "capsh --drop=cap_chown",
        ],
        &["setpriv", "--bounding-set=-all", "sh", "-c", sets],
        &[
            "setpriv",
            "--bounding-set=-setpcap",
            "setpriv",
            "--bounding-set=-chown",
            "true",
        ],
    ];
    for way in ways {
        let plain = run(&mut control(way));
        let ran = run(zroot_with(["-c", "selective", "--"]).args(way));
        assert_eq!(
            (ran.status, &ran.stdout, &ran.stderr),
            (plain.status, &plain.stdout, &plain.stderr),
            "{way:?}"
        );
    }
}

#[test]
fn nothing_is_made_for_whom_landlock_restricts() {
    let test = "nothing_is_made_for_whom_landlock_restricts";
    let Some(fixture) = Fixture::new(test, "remembered.c", &[]) else {
        return;
    };
    if run(user(fixture.program()).args(["landlock", "try"])).status != 0 {
        return common::skip(test, "this kernel has no Landlock");
    }
    let made = |name: &str| format!("{name}: made, a file\n");
    let refused = |name: &str| format!("{name}: refused, nothing\n");
    let all = |line: &dyn Fn(&str) -> String| {
        let [itself, set, back, child, program] =
            ["itself", "ids-set", "ids-back", "child", "program"].map(line);
        format!("{itself}uid: 5\n{set}{back}{child}{program}")
    };
    // Who is not root makes no devices anyway.
    let as_root = |name: &str| {
        if name == "ids-set" {
            refused(name)
        } else {
            made(name)
        }
    };
    let says = |how: &str| fixture.at_level("selective", &["landlock", how]);
    // The control.
    assert_eq!(says("not"), all(&as_root));
    for how in ["self", "ids"] {
        assert_eq!(
            says(how),
            format!("restricted: 0\n{}", all(&refused)),
            "{how}"
        );
    }
    // A thread's restriction is taken for that of its process.
    for how in ["thread", "thread with ids"] {
        let [thread, other] = ["thread", "other"].map(refused);
        assert_eq!(
            says(how),
            format!("restricted: 0\n{thread}{other}"),
            "{how}"
        );
    }
}

/// The mark is nothing that a supervisor could take with it.
#[test]
fn a_successor_knows_whom_landlock_restricts() {
    let test = "a_successor_knows_whom_landlock_restricts";
    let Some(bench) = Bench::new(test) else {
        return;
    };
    let program = bench.dir.path().join("remembered");
    compile("remembered.c", &[], &program).succeeds();
    give(&program);
    if run(user(&program).args(["landlock", "try"])).status != 0 {
        return common::skip(test, "this kernel has no Landlock");
    }
    for (prefix, says) in [(&[][..], "made"), (&["restrict"], "refused")] {
        let script = r"echo; while ! read line; do :; done; mknod x c 1 3 2>/dev/null && echo made || echo refused; rm -f x";
        let mut command = bench.selective(&[]);
        if !prefix.is_empty() {
            command.arg(&program).args(prefix);
        }
        let mut live = Live::start(command.args(["sh", "-c", script]));
        live.says("");
        let old = bench.one(SUPERVISOR);
        super::send(old, nix::sys::signal::Signal::SIGKILL);
        bench.successor(SUPERVISOR, old);
        std::io::Write::write_all(live.stdin.as_mut().expect("a pipe"), b"\n").expect("written");
        live.ends(says);
        bench.nothing_is_left();
    }
}

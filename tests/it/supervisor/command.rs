//! What the command finds, what the supervisor holds, and that both end together.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::{Bench, GUARD, Live, SUPERVISOR, program, stat};
use crate::common::{self, is_root, run, user, zroot};

/// A process that adopts orphans is given neither the supervisor nor its guard.
#[test]
fn who_adopts_orphans_does_not_find_the_supervisor() {
    let test = "who_adopts_orphans_does_not_find_the_supervisor";
    need!(test, "perl");
    let first = ["-rpf", "--mount-proc", "--"];
    if run(user("unshare").args(first).arg("true")).status != 0 {
        common::skip(test, "there are no PID namespaces for users");
        return;
    }
    let wait = r#"my $children = 0; $children++ while wait() != -1; print "$children, as $$";"#;
    // As the first process of a PID namespace.
    let ran = run(user("unshare").args(first).arg(zroot()).args([
        "-c",
        "selective",
        "--",
        "perl",
        "-e",
        wait,
    ]))
    .succeeds();
    assert_eq!(ran.stdout, "0, as 1", "{ran:#?}");
    // As a subreaper, which execve leaves: PR_SET_CHILD_SUBREAPER is 36.
    let reaper = r"syscall($ARGV[0], 36, 1, 0, 0, 0) == 0 or die; shift; exec @ARGV";
    let number = libc::SYS_prctl.to_string();
    let command = [
        "-c",
        "selective",
        "--",
        "perl",
        "-e",
        r"my $children = 0; $children++ while wait() != -1; print $children",
    ];
    let ran = run(user("perl")
        .args(["-e", reaper, &number])
        .arg(zroot())
        .args(command))
    .succeeds();
    assert_eq!(ran.stdout, "0", "{ran:#?}");
}

#[test]
fn the_command_finds_itself_as_at_level_zero() {
    let Some(bench) = Bench::new("the_command_finds_itself_as_at_level_zero") else {
        return;
    };
    let file = bench.dir.path().join("said");
    for how in ["nothing", "ignored", "blocked"] {
        let says = |level: &str| {
            // In place: the numbers of the process, its group and session are the caller's.
            let script = r#"echo "$$"; umask 027; exec "$0" with "$1" "$2" -c "$3" "$0" state"#;
            let mut command = bench.command(["sh", "-c", script]);
            let ran = run(command.arg(program()).arg(how).arg(zroot()).arg(level)).succeeds();
            let pid = ran.stdout.lines().next().expect("a line").to_owned();
            assert!(ran.stdout.contains(&format!("\npid {pid}, ")), "{ran:#?}");
            ran.stdout
                .replace(&pid, "PID")
                .replace(&format!("parent {}", std::process::id()), "parent")
        };
        let (zero, selective) = (says("zero"), says("selective"));
        assert!(
            zero.contains("umask 27") && zero.contains("memfd:apt.conf"),
            "{zero}"
        );
        assert_eq!(zero, selective, "{how}");
        bench.nothing_is_left();
    }
    // Closed standard descriptors stay closed.
    let script = r#"exec "$0" with closed "$1" -c selective "$0" with nothing sh -c 'readlink /proc/$$/fd/[012] 1>"$0"; ls /proc/$$/fd >>"$0"' "$2""#;
    run(bench
        .command(["sh", "-c", script])
        .arg(program())
        .arg(zroot())
        .arg(&file))
    .succeeds();
    let said = fs::read_to_string(&file).expect("said");
    assert!(
        said.lines().all(|line| !matches!(line, "0" | "2"))
            && said.lines().any(|line| line == "50"),
        "{said}"
    );
    bench.nothing_is_left();
}

#[test]
fn the_supervisor_holds_nothing_of_the_caller() {
    let Some(bench) = Bench::new("the_supervisor_holds_nothing_of_the_caller") else {
        return;
    };
    // A daemon keeps the supervisor; the pipe, held open by nobody else, ends nevertheless.
    let script = r#"exec 9<&0
        { "$0" -c selective sh -c '"$0" leave <&9 >/dev/null 2>&1 8>&- 9<&-' "$1" 2>&1 8>&1; } | cat; echo ended"#;
    let (input, end) = std::io::pipe().expect("a pipe");
    let ran = run(bench
        .command(["sh", "-c", script])
        .arg(zroot())
        .arg(program())
        .stdin(input))
    .succeeds();
    assert_eq!(ran.stdout, "ended\n");
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    let session = |pid| stat(pid).expect("stat");
    let own = session(i32::try_from(std::process::id()).expect("a pid"));
    assert!(
        [supervisor, guard]
            .into_iter()
            .all(|pid| session(pid).2 != own.2 && session(pid).1 != own.1 && session(pid).3 == 0)
    );
    if is_root() {
        for pid in [supervisor, guard] {
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).expect("a link");
            assert_eq!(link("cwd"), Path::new("/proc"));
            for entry in fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("fd")
                .flatten()
            {
                let (fd, to) = (
                    entry.file_name(),
                    link(&format!(
                        "fd/{}",
                        entry.file_name().to_str().expect("a number")
                    )),
                );
                let to = to.to_str().expect("UTF-8");
                let known = [
                    "/dev/null",
                    "/proc",
                    "/",
                    "/memfd:zroot-journal (deleted)",
                    "anon_inode:seccomp notify",
                ]
                .contains(&to);
                // The guard's end of the pipe by which it learns of the supervisor's end.
                assert!(known || to.starts_with("pipe:"), "{fd:?} of {pid} is {to}");
            }
        }
    }
    drop(end);
    bench.nothing_is_left();
}

#[test]
fn no_file_system_is_kept_busy() {
    let Some(bench) = Bench::new("no_file_system_is_kept_busy") else {
        return;
    };
    let place = bench.dir.path().join("place");
    run(user("mkdir").arg(&place)).succeeds();
    bench.right(&["busy", place.to_str().expect("UTF-8"), "200"], "right");
    bench.nothing_is_left();
}

#[test]
fn nothing_is_left_after_the_last_target() {
    let Some(bench) = Bench::new("nothing_is_left_after_the_last_target") else {
        return;
    };
    run(&mut bench.selective(&["true"])).succeeds();
    bench.nothing_is_left();
    // Killed.
    let mut live = Live::start(&mut bench.supervised(&["canary", "a"]));
    live.says("ready");
    bench.one(SUPERVISOR);
    live.kill();
    bench.nothing_is_left();
    // A daemon that the command left behind: until it ends, and no longer.
    let mut live = Live::start(bench.supervised(&["leave"]).stderr(Stdio::null()));
    assert!(live.child.wait().expect("waited for").success());
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    assert_eq!(bench.processes().len(), 3);
    assert_eq!(
        (bench.one(SUPERVISOR), bench.one(GUARD)),
        (supervisor, guard)
    );
    drop(live);
    bench.nothing_is_left();
    // zroot cannot become the command after all.
    let script = bench.dir.path().join("script");
    common::executable(&script, "#!/no/such/interpreter\n");
    let ran = run(&mut bench.selective(&[script.to_str().expect("UTF-8")]));
    assert_eq!(
        ran.refused(126).1,
        "its interpreter '/no/such/interpreter' does not exist: install it, or correct the #! line"
    );
    bench.nothing_is_left();
}

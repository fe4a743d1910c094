//! This process becomes the command.
#![allow(unsafe_code)] // fork

use std::env;
use std::process::{Stdio, exit};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use zroot::{Command, Level};

use super::{builder, own_status};
use crate::common::{SmallTree, dir, run};

/// Does `work` in a child, which has no other thread, and ends as that does.
fn alone(work: impl FnOnce() -> i32) -> i32 {
    // SAFETY: glibc's fork takes malloc's locks, and the other thread only waits for this one.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => exit(work()),
        ForkResult::Parent { child } => match waitpid(child, None).expect("waited for") {
            WaitStatus::Exited(_, status) => status,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            other => panic!("{other:?}"),
        },
    }
}

/// Becomes `command`; else says why not.
fn becomes(command: Command) -> i32 {
    let error = command.exec();
    println!("error {}: {error}", error.status());
    99
}

/// The line of `/proc/self/status` that says which signals are ignored has SIGPIPE.
fn ignores_sigpipe(line: &str) -> bool {
    let set = line.trim_start_matches("SigIgn:").trim();
    let set = u64::from_str_radix(set, 16).expect("a set of signals");
    set & 1 << (libc::SIGPIPE - 1) != 0
}

#[test]
fn the_process_becomes_the_command() {
    let (_this, mut builder) = builder(module_path!(), "the_process_becomes_the_command", || {
        alone(|| {
            let ignored = own_status("SigIgn");
            assert!(ignores_sigpipe(&ignored)); // as in every program of Rust's
            println!("pid {}", std::process::id());
            let script = r#"echo "pid $$"; echo "has $1,$X,${LC_ALL-none},$PWD,$(id -u)"
                    grep SigIgn /proc/self/status; chown 5:7 "$0" && exit 42"#;
            let file = env::var("FILE").expect("a file");
            let command = Command::new("sh").args(["-c", script, &file, "an arg"]);
            let command = command.env("X", "x y").env_remove("LC_ALL");
            becomes(command.current_dir("/usr"))
        })
    });
    let file = tempfile::NamedTempFile::new_in("/tmp").expect("a file");
    crate::common::give(file.path());
    let ran = run(builder.env("FILE", file.path()));
    assert_eq!(ran.status, 42, "{ran:#?}");
    let line = |name: &str| -> Vec<&str> {
        ran.stdout
            .lines()
            .filter(|line| line.starts_with(name))
            .collect()
    };
    let pids = line("pid ");
    assert!(pids.len() == 2 && pids[0] == pids[1], "{ran:#?}");
    assert_eq!(line("has "), ["has an arg,x y,none,/usr,0"]);
    assert!(!ignores_sigpipe(line("SigIgn:")[0]), "{ran:#?}");
}

#[test]
fn it_is_root_at_each_level() {
    let (_this, mut builder) = builder(module_path!(), "it_is_root_at_each_level", || {
        let script = "touch f-$0; chown 5:7 f-$0; stat -c \"$0 %u:%g\" f-$0";
        for (level, owner) in [
            (Level::Zero, "0:0"),
            (Level::Selective, "0:0"),
            (Level::Full, "5:7"),
        ] {
            let command = Command::new("sh")
                .args(["-c", script, level.name()])
                .level(level);
            println!("expected {level} {owner}");
            assert_eq!(alone(|| becomes(command)), 0, "{level}");
        }
        0
    });
    let dir = dir();
    let ran = run(builder.current_dir(dir.path())).succeeds();
    for expected in ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("expected "))
    {
        assert!(ran.stdout.lines().any(|line| line == expected), "{ran:#?}");
    }
    assert!(ran.stdout.contains("\nfull 5:7\n"), "{ran:#?}");
}

#[test]
fn the_process_ends_as_the_command_where_something_is_left_to_be_done() {
    let name = "the_process_ends_as_the_command_where_something_is_left_to_be_done";
    let Some(tree) = SmallTree::new(name) else {
        return;
    };
    let (_this, mut builder) = builder(module_path!(), name, || {
        let sh = |script: &str| Command::new("sh").args(["-c", script]);
        let save = |script: &str, file| alone(|| becomes(sh(script).save(file)));
        assert_eq!(save("touch f; chown 5:7 f; exit 7", "state"), 7);
        assert_eq!(save("kill -9 $$", "other"), 128 + 9);
        // It has begun, and there is nobody to return to.
        assert_eq!(save("rm -r d", "d/state"), 125);
        // A root directory is lent a resolv.conf.
        let rooted = alone(|| becomes(sh("test -e /bin/busybox && exit 3").root("root")));
        assert_eq!(rooted, 3);
        0
    });
    tree.prepare("mkdir d");
    let ran = run(builder.current_dir(tree.place())).succeeds();
    let said: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("zroot: "))
        .collect();
    assert!(said.len() == 1 && said[0].contains("d/state"), "{ran:#?}");
    let state = std::fs::read_to_string(tree.place().join("state")).expect("a state");
    assert!(state.contains("uid=5,gid=7"), "{state}");
}

#[test]
fn what_keeps_it_from_beginning_comes_back() {
    let (_this, mut builder) = builder(
        module_path!(),
        "what_keeps_it_from_beginning_comes_back",
        || {
            alone(|| {
                let before = ["Uid", "SigIgn", "Threads"].map(own_status);
                for (command, status, message) in [
                    (Command::new("zroot-none"), 127, "command not found"),
                    (Command::new("/etc/passwd"), 126, "Permission denied"),
                    (
                        Command::new("true").root("/none"),
                        125,
                        "root directory '/none'",
                    ),
                    (
                        Command::new("true").stdin(Stdio::null()),
                        125,
                        "standard streams",
                    ),
                    (Command::new("true").env("X", "\0"), 125, "null byte"),
                ] {
                    let error = command.exec();
                    assert_eq!(error.status(), status, "{error}");
                    assert!(error.message().contains(message), "{error}");
                }
                // This process is as it was.
                assert_eq!(["Uid", "SigIgn", "Threads"].map(own_status), before);
                becomes(Command::new("true"))
            })
        },
    );
    let ran = run(&mut builder).succeeds();
    assert!(!ran.stderr.contains("zroot:"), "{ran:#?}");
}

#[test]
fn a_process_with_more_threads_is_told_so_before_anything_is_changed() {
    let (_this, mut builder) = builder(
        module_path!(),
        "a_process_with_more_threads_is_told_so_before_anything_is_changed",
        || {
            let command = || Command::new("true").current_dir("/");
            let status = || ["Uid", "SigIgn", "NoNewPrivs", "Seccomp"].map(own_status);
            let before = (status(), env::current_dir().expect("a directory"));
            let error = command().exec();
            assert_eq!(error.status(), 125);
            assert!(error.message().contains("one thread"), "{error}");
            assert!(
                error.hint().is_some_and(|hint| hint.contains("spawn")),
                "{error}"
            );
            assert_eq!((status(), env::current_dir().expect("a directory")), before);
            // The control: it is the threads.
            alone(|| becomes(command()))
        },
    );
    run(builder.current_dir("/usr")).succeeds();
}

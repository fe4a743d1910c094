//! A child becomes the command, by the executable.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::{env, fs};

use zroot::{Class, Command, Error, Level};

use super::{builder, executable};
use crate::common::{dir, run, zroot};

fn sh(script: &str) -> Command {
    Command::new("sh")
        .args(["-c", script])
        .program(executable())
}

/// What the command says on standard output, and its exit status.
fn ends(command: Command) -> (String, Option<i32>) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("begun");
    let mut said = String::new();
    let stdout = child.stdout.as_mut().expect("a pipe");
    stdout.read_to_string(&mut said).expect("read");
    (said, child.wait().expect("waited for").code())
}

/// How it fails.
fn fails(command: Command) -> Error {
    command
        .spawn()
        .map(|child: Child| child.id())
        .expect_err("an error")
}

#[test]
fn the_status_is_the_commands_own_once_it_has_begun() {
    let name = "the_status_is_the_commands_own_once_it_has_begun";
    let (_this, mut builder) = builder(module_path!(), name, || {
        for status in [0, 1, 124, 125, 126, 127, 255] {
            // What it says itself is not zroot's word.
            let script = format!("echo zroot: said; echo zroot: said >&2; exit {status}");
            for level in [Level::Zero, Level::Full] {
                let command = sh(&script).level(level);
                assert_eq!(ends(command), ("zroot: said\n".into(), Some(status)));
            }
        }
        0
    });
    run(&mut builder).succeeds();
}

#[test]
fn what_keeps_it_from_beginning_is_an_error() {
    let (_this, mut builder) = builder(
        module_path!(),
        "what_keeps_it_from_beginning_is_an_error",
        || {
            let new = |name: &str| Command::new(name).program(executable());
            for (command, status, message) in [
                (new("zroot-none"), 127, "'zroot-none': command not found"),
                (new(""), 127, "'': the command is an empty string"),
                (
                    new("/etc/passwd"),
                    126,
                    "cannot run '/etc/passwd': Permission denied",
                ),
                (
                    new("true").root("/none"),
                    125,
                    "root directory '/none': No such file",
                ),
                (new("true").save("/none/state"), 125, "'/none/state'"),
                (
                    new("true").current_dir("/none"),
                    125,
                    "cannot change to '/none'",
                ),
                (
                    new("true").with(Class::Stat),
                    125,
                    "level zero has no calls of class stat",
                ),
                (new("true").program("/none"), 125, "'/none': No such file"),
                (new("true").arg("\0"), 125, "has a null byte"),
            ] {
                let error = fails(command);
                assert_eq!(error.status(), status, "{error}");
                assert!(error.message().contains(message), "{error}");
            }
            let error = fails(new("/etc/passwd"));
            let hint = error.hint().expect("a hint");
            assert!(
                hint.ends_with("chmod +x it") && error.to_string().contains(hint),
                "{error}"
            );
            0
        },
    );
    let ran = run(&mut builder).succeeds();
    assert!(!ran.stderr.contains("zroot:"), "{ran:#?}");
}

#[test]
fn the_executable_is_looked_for_in_the_callers_path() {
    let (_this, mut builder) = builder(
        module_path!(),
        "the_executable_is_looked_for_in_the_callers_path",
        || {
            // The command's own PATH does not have it.
            let command = || Command::new("id").arg("-u").env("PATH", "/usr/bin:/bin");
            if env::var_os("HAS_IT").is_some() {
                assert_eq!(ends(command()), ("0\n".into(), Some(0)));
                return 0;
            }
            let error = fails(command());
            let says = "'zroot': command not found";
            assert_eq!((error.status(), error.message()), (125, says));
            assert!(error.hint().is_some_and(|hint| hint.contains("program()")));
            0
        },
    );
    let empty = dir();
    run(builder.env("PATH", empty.path())).succeeds();
    let names = zroot().parent().expect("a directory");
    run(builder.env("PATH", names).env("HAS_IT", "")).succeeds();
}

#[test]
fn it_returns_when_the_command_has_begun() {
    let (_this, mut builder) = builder(
        module_path!(),
        "it_returns_when_the_command_has_begun",
        || {
            let command = || Command::new("cat").program(executable());
            let dir = env::current_dir().expect("a directory");
            for command in [
                command(),
                command().level(Level::Selective),
                command().auto(),
                command().save(dir.join("state")), // zroot stays beside it
                command().no_user_namespace(),
            ] {
                let mut child = command
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .expect("begun");
                assert_eq!(child.try_wait().expect("asked for"), None);
                let mut stdin = child.stdin.take().expect("a pipe");
                stdin.write_all(b"through\n").expect("written");
                drop(stdin);
                let output = child.wait_with_output().expect("waited for");
                assert!(output.status.success() && output.stdout == b"through\n");
            }
            assert!(fs::exists(dir.join("state")).expect("asked for"));
            0
        },
    );
    let dir = dir();
    run(builder.current_dir(dir.path())).succeeds();
}

#[test]
fn the_command_has_what_it_was_given_and_no_descriptor_more() {
    let (_this, mut builder) = builder(
        module_path!(),
        "the_command_has_what_it_was_given_and_no_descriptor_more",
        || {
            let own = fs::read_dir("/proc/self/fd").expect("descriptors");
            let own = own.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            let own: Vec<PathBuf> = own.collect();
            let script = r#"echo "$X,${Y-none},${LC_ALL-none},$PWD,$(id -u)"; ls -l /proc/$$/fd"#;
            let command = sh(script).env("X", "a b").env_remove("LC_ALL");
            let (said, status) = ends(command.current_dir("/usr").stderr(Stdio::null()));
            let first = said.lines().next();
            assert_eq!(
                (first, status),
                (Some("a b,none,none,/usr,0"), Some(0)),
                "{said}"
            );
            // Of pipes that this process does not have standard output is the only one, though there
            // was one to hear zroot.
            let is_new = |line: &&str| {
                let file = line.rsplit(' ').next().unwrap_or_default();
                file.starts_with("pipe:") && !own.iter().any(|own| own.as_os_str() == file)
            };
            let pipes: Vec<&str> = said.lines().filter(is_new).collect();
            assert!(pipes.len() == 1 && pipes[0].contains(" 1 -> "), "{said}");

            let (said, _) = ends(sh("echo ${HOME-none}").env("HOME", "/").env_clear());
            assert_eq!(said, "none\n");
            0
        },
    );
    run(&mut builder).succeeds();
}

//! `#!` lines and `-S`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::show_arguments;
use crate::common::{PATH, Ran, dir, executable, run, user, zroot, zroot_with};

/// Writes `lines` to an executable script and runs it with `args`, among them what a careless shell
/// would split, expand or drop.
fn run_script(lines: &str, args: &[&str]) -> Ran {
    let dir = dir();
    let path = dir.path().join("a script");
    executable(&path, lines);
    let mut ran = run(user(&path).args(args));
    ran.stdout = ran.stdout.replace(path.to_str().expect("UTF-8"), "SCRIPT");
    ran
}

#[test]
fn zroot_is_an_interpreter() {
    let body = "printf '<%s>' \"$0\" \"$@\"; printf ' %s' $(id -u) $-; false; echo after\n";
    let args = ["a  b", "", "-v", "--", "--help", "*", "-S", "end "];
    let shown = "<SCRIPT><a  b><><-v><--><--help><*><-S><end > 0";
    let zroot = zroot().display();

    let ran = run_script(&format!("#!{zroot} /bin/sh\n{body}"), &args);
    assert_eq!(ran.succeeds().stdout, format!("{shown}after\n"));
    for line in [
        "-S --no-sync -- /bin/sh -e",
        "-S/bin/sh -e",
        "-S   /bin/sh\t-e  ",
        "--split-string=/bin/sh '-e'",
        "-S 'sh' \"-e\" # comment",
    ] {
        let ran = run_script(&format!("#!{zroot} {line}\n{body}"), &args);
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str(), ran.status),
            (format!("{shown} e").as_str(), "", 1),
            "{line}"
        );
    }
    let ran = run_script(
        &format!("#!{zroot} -vS --no-sync /bin/sh -e\n{body}"),
        &args,
    );
    assert_eq!((ran.stdout, ran.status), (format!("{shown} e"), 1));
    assert!(
        ran.stderr
            .contains("fakes owner,identity,capability,device,probe,sync"),
        "{}",
        ran.stderr
    );
    // Without -S, all that follows is one argument, and zroot must not take it for options of its
    // own.
    let (what, _) = run_script(&format!("#!{zroot} /bin/sh -e\n{body}"), &args).refused(127);
    assert!(what.contains("'/bin/sh -e'"), "{what}");
}

#[test]
fn options_or_arguments_in_a_line_need_the_option_that_splits_it() {
    let zroot = zroot().display();
    for (line, status) in [
        ("/usr/bin/env sh", 127),
        ("-c selective -- /bin/sh", 125),
        ("--no-sync /bin/sh", 125),
        ("/bin/sh -e", 127),
    ] {
        let (_, hint) =
            run_script(&format!("#!{zroot} {line}\necho ran\n"), &["a b"]).refused(status);
        let advice = format!("'#!{zroot} -S {line}'");
        assert!(hint.ends_with(&advice), "{line}: {hint}");
        // The control: what it says works.
        let ran = run_script(&format!("#!{zroot} -S {line}\necho ran\n"), &["a b"]).succeeds();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("ran\n", ""));
    }
    // By hand it is no script's line.
    let (_, hint) = run(&mut zroot_with(["/bin/sh -e", "/bin/sh"])).refused(127);
    assert!(!hint.contains("#!"), "{hint}");
    let (_, hint) = run(&mut zroot_with(["-c selective", "/bin/sh"])).refused(125);
    assert!(!hint.contains("#!"), "{hint}");
}

/// It would start zroot again, until the kernel stacks no more filters, or for ever where a
/// supervisor is shared.
#[test]
fn a_line_that_names_no_interpreter_is_said_to() {
    let zroot = zroot();
    let script = |line: &str| format!("#!{}{line}\necho ran\n", zroot.display());
    let refused = |ran: Ran| {
        let (what, hint) = ran.refused(125);
        assert_eq!(
            what,
            "the #! line of 'SCRIPT' names no interpreter"
                .replace("SCRIPT", what.split('\'').nth(1).expect("a name"))
        );
        assert!(
            hint.contains("zroot /bin/sh'") && hint.contains("-S OPTIONS -- /bin/sh'"),
            "{hint}"
        );
    };
    for line in ["", " ", " -S", " --no-sync", " -S -v", " -S -c selective"] {
        refused(run_script(&script(line), &["a b", ""]));
        // Started by zroot, too.
        let dir = dir();
        let path = dir.path().join("script");
        executable(&path, script(line));
        refused(run(&mut zroot_with([&path])));
        refused(run(zroot_with(["-c", "selective"]).arg(&path)));
    }
    // By way of env(1), where the kernel tells zroot nothing of the script.
    let dir = dir();
    let path = dir.path().join("script");
    executable(&path, "#!/usr/bin/env zroot\necho ran\n");
    let here = zroot.parent().and_then(Path::to_str).expect("UTF-8");
    let path_variable = format!("{here}:{PATH}");
    refused(run(zroot_with(["-c", "selective"])
        .arg(&path)
        .env("PATH", &path_variable)));
    let (_, hint) = run(zroot_with([&path]).env("PATH", &path_variable)).refused(125);
    assert!(hint.contains("let no #! line end with zroot"), "{hint}");
    // The controls: zroot is asked to run itself, and a script that names it and another.
    for args in [&["true"][..], &[zroot.to_str().expect("UTF-8"), "true"]] {
        run(zroot_with([zroot]).args(args)).succeeds();
    }
    executable(&path, format!("#!{} /bin/sh\necho ran\n", zroot.display()));
    for options in [&[][..], &["-c", "selective"]] {
        assert_eq!(
            run(zroot_with(options).arg(&path)).succeeds().stdout,
            "ran\n"
        );
    }
}

#[test]
fn a_script_that_names_itself_leads_nowhere() {
    let dir = dir();
    executable(&dir.path().join("self"), "#!./self\necho ran\n");
    let (what, hint) = run(zroot_with(["./self"]).current_dir(dir.path())).refused(126);
    assert_eq!(
        what,
        "cannot run './self': its #! line leads to no interpreter"
    );
    assert!(
        hint.contains("'./self', which is a script as well"),
        "{hint}"
    );
    // The control: four scripts, of which the last names a program, are followed.
    executable(&dir.path().join("0"), "#!/bin/echo ran\n");
    for n in 1..4 {
        executable(&dir.path().join(n.to_string()), format!("#!./{}\n", n - 1));
    }
    run(zroot_with(["./3"]).current_dir(dir.path())).succeeds();
}

#[test]
fn lines_that_end_as_windows_has_them_are_named() {
    let zroot = zroot().display();
    let (what, hint) = run_script(&format!("#!{zroot} /bin/sh\r\necho ran\r\n"), &[]).refused(127);
    assert!(
        what.contains("'/bin/sh\\r'") && hint.contains("CR LF") && hint.contains("sed -i"),
        "{what} / {hint}"
    );
    let dir = dir();
    let path = dir.path().join("script");
    executable(&path, "#!/bin/sh\r\necho ran\r\n");
    let (_, hint) = run(&mut zroot_with([&path])).refused(126);
    assert!(hint.contains("CR LF"), "{hint}");
    // What it says mends it.
    run(user("sed").args(["-i", r"s/\r$//"]).arg(&path)).succeeds();
    assert_eq!(run(&mut zroot_with([&path])).succeeds().stdout, "ran\n");
    // The control: an interpreter that is missing without one.
    executable(&path, "#!/nonexistent/sh\n");
    let (_, hint) = run(&mut zroot_with([&path])).refused(126);
    assert!(!hint.contains("CR LF"), "{hint}");
}

/// Strings after `-S SHOW` for which zroot and coreutils' env must agree, be it that both refuse.
const SPLITS: &[&str] = &[
    "",
    " ",
    "a",
    "a b",
    "  a \t b  ",
    "a\nb",
    "a\x0bb\x0cc\rd",
    "'a b'",
    "\"a b\"",
    "a'b'c",
    "a'b c'\"d e\"f",
    "''",
    "\"\"",
    "'' ''",
    "a '' b",
    "a''",
    "'\"'",
    "\"'\"",
    "# comment",
    "a # comment",
    "a#b",
    "a '#' b",
    "'#a'",
    "\"#a\"",
    "\\#a",
    "a \\# b",
    "a\\_b",
    "a\\_\\_b",
    "\\_a",
    "\"a\\_b\"",
    "'a\\_b'",
    "a\\tb",
    "a\\nb\\rc\\fd\\ve",
    "\"a\\tb\\n\"",
    "'a\\tb'",
    "\\t",
    "\\\"a b\\\"",
    "\\'a b\\'",
    "'a\\'b'",
    "'a\\\\b'",
    "\"a\\\"b\"",
    "\"a\\'b\"",
    "\"a\\\\b\"",
    "a\\\\b",
    "a\\c b",
    "a \\c b",
    "a\\$b",
    "\"a\\$b\"",
    "'$X'",
    "'${X}'",
    "${X}",
    "a${X}b",
    "\"${X}\"",
    "\"a ${X} b\"",
    "${X}${X}",
    "${BLANKS}",
    "\"${BLANKS}\"",
    "a${BLANKS}b",
    "${UNSET}",
    "a ${UNSET} b",
    "a${UNSET}b",
    "\"${UNSET}\"",
    "${EMPTY}",
    "a ${EMPTY} b",
    "${QUOTES}",
    "${_U1}",
    "-v",
    "--help",
    "-- -x",
    "X=y",
    "\u{fc}ml\u{e4}ut",
    "*",
    "~ $",
    "$X",
    "${}",
    "${X",
    "${1}",
    "${X-y}",
    "${X }",
    "$(true)",
    "a$",
    "\"$\"",
    "'a",
    "\"a",
    "a'",
    "a\\",
    "\"a\\",
    "'a\\",
    "a\\qb",
    "\"a\\qb\"",
    "'a\\qb'",
    "\"a\\cb\"",
    "'a\\cb'",
    "a\\ b",
    "a\\\nb",
    "\"${X\"",
    "\"\" # \"",
    "a \\c '",
    "# '",
    "\\_",
    "\\_\\_",
    "a\\_",
    "\\c",
    "\"#\" a",
    "a ${UNSET}# b",
    "${UNSET}#b",
    "''#b",
    "a\\_#b",
];

#[test]
fn a_string_is_split_as_env_does() {
    let dir = dir();
    let show = show_arguments(dir.path());
    let with_variables = |program: &Path, string: &str| {
        let mut command = user(program);
        command.envs([
            ("X", "x y"),
            ("EMPTY", ""),
            ("BLANKS", "  p  q "),
            ("QUOTES", "'a b' \"c"),
            ("_U1", "u"),
        ]);
        run(command.arg("-S").arg(string).args(["last one", "#"]))
    };
    let mut refused = 0;
    for split in SPLITS {
        // With the string first, in the middle and last of what is split; leading blanks must not
        // matter.
        for string in [
            format!("{} {split}", show.display()),
            format!(" {} 1 {split} ", show.display()),
        ] {
            let (env, ours) = (
                with_variables(Path::new("env"), &string),
                with_variables(zroot(), &string),
            );
            if env.status == 0 {
                assert_eq!(
                    (ours.status, ours.stdout),
                    (0, env.stdout),
                    "-S '{string}': {}",
                    ours.stderr
                );
            } else {
                assert_eq!(env.status, 125, "{env:#?}");
                let (what, hint) = ours.refused(125);
                assert!(
                    what.starts_with("-S: ") && hint.contains("env(1)"),
                    "{what} / {hint}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "only {refused} refusals");
}

#[test]
fn a_string_may_hold_options_and_the_command_follow_it() {
    let ran = run(&mut zroot_with([
        "-S",
        "-C /usr --no-apt-config",
        "sh",
        "-c",
        "pwd; echo ${APT_CONFIG-none}",
    ]))
    .succeeds();
    assert_eq!(ran.stdout, "/usr\nnone\n");
    let ran = run(&mut zroot_with(["--split-string", "echo a", "-S", "b"])).succeeds();
    assert_eq!(ran.stdout, "a -S b\n");
    let (what, _) = run(&mut zroot_with(["-S", "-S true"])).refused(125);
    assert!(what.contains("-S must be the first"), "{what}");
    let (what, _) = run(&mut zroot_with(["-S", ""])).refused(125);
    assert!(what.starts_with("no command given"), "{what}");
    let ran = run(zroot_with([
        OsStr::new("-S"),
        OsStr::from_bytes(b"printf %s '\xff ${X}'${X}"),
    ])
    .env("X", OsStr::from_bytes(b"\xfe")));
    assert_eq!(ran.succeeds().stdout, "\u{fffd} ${X}\u{fffd}");
}

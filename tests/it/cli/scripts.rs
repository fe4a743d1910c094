//! `#!` lines and `-S`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::show_arguments;
use crate::common::{Ran, dir, executable, run, user, zroot, zroot_with};

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

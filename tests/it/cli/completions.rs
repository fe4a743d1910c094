//! The completions in `completions/` are made from the one definition of the options, and work.

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::{Generator, Shell, generate};
use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::cli::{Arch, definition};
use zroot::internals::filter::Class;
use zroot::internals::filter::dump::Format;

use crate::common::{self, run, skip, user};

/// The definition, with what zroot itself reads in ways of its own: lists of names, and the
/// command.
fn definition_for_shells() -> Command {
    let names =
        |arg: Arg, names: Vec<&'static str>| arg.value_parser(PossibleValuesParser::new(names));
    let classes = || {
        Class::ALL
            .into_iter()
            .map(Class::name)
            .chain(["all"])
            .collect()
    };
    let abis = Abi::ALL
        .into_iter()
        .map(Abi::name)
        .chain([Arch::ALL_NAME])
        .collect();
    definition()
        .mut_arg("fake", |arg| names(arg, classes()))
        .mut_arg("no_fake", |arg| names(arg, classes()))
        .mut_arg("dump_filter", |arg| {
            names(arg, Format::ALL.map(Format::name).to_vec())
        })
        .mut_arg("arch", |arg| names(arg, abis))
        .mut_arg("explain", |arg| {
            names(arg, Sysno::ALL.iter().map(|call| call.name()).collect())
        })
        .mut_arg("chdir", |arg| arg.value_hint(ValueHint::DirPath))
        .mut_arg("root", |arg| arg.value_hint(ValueHint::DirPath))
        .mut_arg("bind", |arg| arg.value_hint(ValueHint::AnyPath))
        .arg(
            Arg::new("command")
                .num_args(1..)
                .trailing_var_arg(true)
                .value_hint(ValueHint::CommandWithArguments),
        )
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn path(shell: Shell) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("completions")
        .join(shell.file_name("zroot"))
}

#[test]
fn the_completions_are_those_of_the_definition() {
    for shell in SHELLS {
        let mut made = Vec::new();
        generate(shell, &mut definition_for_shells(), "zroot", &mut made);
        if env::var_os("ZROOT_BLESS").is_some_and(|value| value == "1") {
            fs::write(path(shell), &made).expect("written");
        }
        let is = fs::read(path(shell)).unwrap_or_default();
        assert!(
            is == made,
            "{shell} is not as the options are now: ZROOT_BLESS=1 cargo test --release --test it completions"
        );
    }
}

#[test]
fn each_shell_can_read_its_own() {
    for shell in SHELLS {
        let name = shell.to_string();
        if common::program(&name).is_none() {
            skip(
                "each_shell_can_read_its_own",
                &format!("there is no {name}"),
            );
            continue;
        }
        let text = fs::read_to_string(path(shell)).expect("completions");
        let ran = run(user(&name).args(["-n", "/dev/stdin"]).stdin(piped(&text)));
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    }
}

/// A standard input with `text`.
fn piped(text: &str) -> fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile_in("/tmp").expect("a file");
    file.write_all(text.as_bytes())
        .and_then(|()| file.rewind())
        .expect("written");
    file
}

#[test]
fn bash_completes_options_and_values() {
    need!("bash_completes_options_and_values", "bash");
    let text = fs::read_to_string(path(Shell::Bash)).expect("completions");
    for (words, expected) in [
        (&["--dump"][..], &["--dump-filter"][..]),
        (&["--no-s"], &["--no-sync"]),
        (&["--userns", ""], &["auto", "never"]),
        (&["-c", "se"], &["selective"]),
        (&["--no-fake", "ow"], &["owner"]),
        (&["--arch", "s390"], &["s390x", "s390"]),
        (&["--explain", "kex"], &["kexec_load"]),
    ] {
        let line = words.join(" ");
        let script = format!(
            "{text}\nCOMP_WORDS=(zroot {}) COMP_CWORD={} COMP_LINE='zroot {line}'\n_zroot zroot '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(" "),
            words.len(),
            words[words.len() - 1],
            words.len().checked_sub(2).map_or("zroot", |at| words[at]),
        );
        let ran = run(user("bash").args(["-c", &script])).succeeds();
        assert_eq!(
            ran.stdout.lines().collect::<Vec<_>>(),
            expected,
            "{words:?}"
        );
    }
}

#[test]
fn fish_completes_options_and_values() {
    need!("fish_completes_options_and_values", "fish");
    let text = fs::read_to_string(path(Shell::Fish)).expect("completions");
    for (typed, expected) in [
        (
            "--dump-filter=",
            &[
                "--dump-filter=asm",
                "--dump-filter=c",
                "--dump-filter=oci",
                "--dump-filter=raw",
            ][..],
        ),
        ("--arch s390", &["s390", "s390x"]),
        ("--no-fake ow", &["owner"]),
        ("--userns ", &["auto", "never"]),
    ] {
        let script = format!("{text}\ncomplete -C 'zroot {typed}'");
        let ran = run(user("fish")
            .args(["--no-config", "-c", &script])
            .env("HOME", "/nonexistent"));
        let words: Vec<&str> = ran
            .stdout
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        assert_eq!(words, expected, "'{typed}': {ran:#?}");
    }
}

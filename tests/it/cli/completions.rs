//! The completions in `completions/` are made from the one definition of the options, and work in
//! the real shells.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, str};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ValueHint};
use clap_complete::{Shell, generate};
use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::cli::{Arch, definition};
use zroot::internals::filter::Class;
use zroot::internals::filter::dump::Format;

use crate::common::{self, PATH, dir, executable, run, skip, user, wait_for};

/// The definition, with what zroot itself reads in ways of its own: lists of names, and the
/// command.
fn definition_for_shells() -> clap::Command {
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
        .mut_arg("fail_on", |arg| names(arg, classes()))
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
        .mut_arg("summary", |arg| arg.value_hint(ValueHint::FilePath))
        .mut_arg("trace", |arg| arg.value_hint(ValueHint::FilePath))
        .mut_arg("split_string", |arg| arg.value_hint(ValueHint::Other))
}

/// What a shell has to know of an option.
struct Opt {
    short: Option<char>,
    long: String,
    help: String,
    takes_value: bool,
    /// Whether the value is joined to the name, or left out.
    is_joined: bool,
    /// Whether it is a list with commas.
    is_list: bool,
    words: Vec<String>,
    hint: ValueHint,
}

fn options() -> Vec<Opt> {
    let mut definition = definition_for_shells();
    definition.build();
    definition
        .get_arguments()
        .map(|arg| Opt {
            short: arg.get_short(),
            long: arg.get_long().expect("a long name").to_owned(),
            help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            takes_value: arg.get_action().takes_values(),
            is_joined: arg.is_require_equals_set(),
            is_list: arg.get_value_delimiter().is_some(),
            words: arg
                .get_possible_values()
                .iter()
                .filter(|_| arg.get_action().takes_values())
                .map(|value| value.get_name().to_owned())
                .collect(),
            hint: arg.get_value_hint(),
        })
        .collect()
}

impl Opt {
    /// As it is typed, by both names.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        let short = self.short.map(|short| format!("-{short}"));
        short.into_iter().chain([format!("--{}", self.long)])
    }
}

const NOTE: &str = "# Made from the definition of the options: ZROOT_BLESS=1 cargo test --release --test it completions\n";

/// bash: the words before the cursor say whether COMMAND has begun, which is completed by its own
/// completion then.
fn bash() -> String {
    let options = options();
    let joined =
        |words: &mut dyn Iterator<Item = String>, by: &str| words.collect::<Vec<_>>().join(by);
    let with_value = |option: &&Opt| option.takes_value && !option.is_joined;
    let separate = joined(
        &mut options.iter().filter(with_value).flat_map(Opt::names),
        "|",
    );
    let shorts: String = options
        .iter()
        .filter(with_value)
        .filter_map(|option| option.short)
        .collect();
    let mut values = String::new();
    for option in options.iter().filter(|option| option.takes_value) {
        let act = match (&option.words[..], option.hint) {
            (words @ [_, ..], _) if option.is_list => {
                format!("_zroot_list \"{}\"", words.join(" "))
            }
            (words @ [_, ..], _) => {
                format!(
                    "COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))",
                    words.join(" ")
                )
            }
            ([], ValueHint::DirPath) => "_zroot_files -d".into(),
            ([], ValueHint::Other) => ":".into(),
            ([], _) => "_zroot_files -f".into(),
        };
        let names = joined(&mut option.names(), "|");
        let _ = writeln!(values, "        {names}) {act} ;;");
    }
    let names = joined(&mut options.iter().flat_map(Opt::names), " ");
    format!(
        r#"{NOTE}
# Names of files, as the shell itself completes them.
_zroot_files() {{
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen "$1" -- "$cur"))
}}

# The last of some words with commas between them.
_zroot_list() {{
    local before=
    [[ $cur == *,* ]] && before=${{cur%,*}},
    COMPREPLY=($(compgen -P "$before" -W "$1" -- "${{cur##*,}}"))
    compopt -o nospace 2>/dev/null
}}

_zroot() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} at=1 option= word none=
    COMPREPLY=()
    # Bash has '=' as a word of its own.
    while ((at < COMP_CWORD)); do
        word=${{COMP_WORDS[at]}} option=
        case $word in
            --) ((at++)); none=1; break ;;
            --explain|--check|--dump-filter) none=nothing ;;&
            {separate}) option=$word ;;
            --*) ;;
            -*[{shorts}]) [[ ${{word%?}} == *[{shorts}]* ]] || option=-${{word: -1}} ;;
            -?*) ;;
            *) none=${{none:-1}}; break ;;
        esac
        if [[ ${{COMP_WORDS[at + 1]}} == = && $word == --* ]]; then
            option=$word
            ((at + 1 == COMP_CWORD)) && cur=
            ((at += 2))
        elif [[ $option ]]; then
            ((at++))
        fi
        ((at == COMP_CWORD)) && break
        ((at++ )); option=
    done
    if [[ $option ]] && ((at == COMP_CWORD)); then
        case $option in
{values}        esac
    elif [[ $none != 1 && $cur == -* ]]; then
        COMPREPLY=($(compgen -W "{names}" -- "$cur"))
    elif [[ $none == nothing ]]; then
        :
    elif declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$at"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$at"
    elif ((at == COMP_CWORD)); then
        COMPREPLY=($(compgen -c -- "$cur"))
    else
        _zroot_files -f
    fi
}}

complete -F _zroot zroot
"#
    )
}

/// zsh: what clap makes, but for lists, values that are joined to the name, and COMMAND.
fn zsh() -> String {
    let mut made = Vec::new();
    generate(Shell::Zsh, &mut definition_for_shells(), "zroot", &mut made);
    let mut text = String::from_utf8(made).expect("UTF-8");
    for option in options() {
        if option.is_joined {
            text = text.replace(
                &format!("'--{}=[", option.long),
                &format!("'--{}=-[", option.long),
            );
        }
        if option.is_list {
            let words = option.words.join(" ");
            text = text.replace(
                &format!(":CLASS,...:({words})'"),
                &format!(":CLASS,...: _sequence compadd - {words}'"),
            );
        }
    }
    let end = "&& ret=0";
    assert_eq!(text.matches(end).count(), 1, "{text}");
    text.replace(
        end,
        "'(-)1:command: _command_names -e' \\\n'*::argument: _normal' \\\n&& ret=0",
    )
}

/// fish: each option as long as COMMAND has not begun; then COMMAND's own completion.
fn fish() -> String {
    let options = options();
    let with_value: Vec<String> = options
        .iter()
        .filter(|option| option.takes_value && !option.is_joined)
        .flat_map(Opt::names)
        .collect();
    let shorts: String = options
        .iter()
        .filter(|option| option.takes_value && !option.is_joined)
        .filter_map(|option| option.short)
        .collect();
    let mut out = format!(
        r#"{NOTE}
# The words of COMMAND before the cursor, or status 1 where it has not begun.
function __zroot_command
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        switch $words[1]
            case --
                set -e words[1]
                set -q words[1]; and printf '%s\n' $words
                return 0
            case {}
                set -e words[1]
                # Its value is what is being typed.
                set -q words[1]; or return 1
            case '-*'
                if string match -qr -- '^-[^-{shorts}]*[{shorts}]$' $words[1]
                    set -e words[1]
                    set -q words[1]; or return 1
                end
            case '*'
                printf '%s\n' $words
                return 0
        end
        set -e words[1]
    end
    return 1
end

function __zroot_complete_command
    set -l words (__zroot_command)
    set -l word (commandline -ct)
    # zroot's own options come first.
    set -q words[1]; or not string match -q -- '-*' $word; or return
    set -l line (string join ' ' -- (string escape -- $words) $word)
    complete --do-complete="$line"
end

# Whether an option comes next that runs no COMMAND.
function __zroot_runs_none
    string match -qr -- '^--(explain|check|dump-filter)' (commandline -opc)
end

complete -c zroot -f
complete -c zroot -n 'not __zroot_runs_none' -a '(__zroot_complete_command)'
"#,
        with_value.join(" ")
    );
    for option in &options {
        out += "complete -c zroot -n 'not __zroot_command >/dev/null'";
        if let Some(short) = option.short {
            let _ = write!(out, " -s {short}");
        }
        let help = option.help.replace('\\', "\\\\").replace('\'', "\\'");
        let _ = write!(out, " -l {} -d '{help}'", option.long);
        if option.takes_value && !option.is_joined {
            out += " -r";
        }
        let words = option.words.join(" ");
        match (option.words.is_empty(), option.hint) {
            _ if !option.takes_value => {}
            (false, _) if option.is_list => {
                let _ = write!(out, " -f -a '(__fish_append , {words})'");
            }
            (false, _) => {
                let _ = write!(out, " -f -a '{words}'");
            }
            (true, ValueHint::DirPath) => out += " -f -a '(__fish_complete_directories)'",
            (true, ValueHint::Other) => out += " -f",
            (true, _) => out += " -F",
        }
        out.push('\n');
    }
    out
}

type Make = fn() -> String;

const SHELLS: [(Shell, Make); 3] = [(Shell::Bash, bash), (Shell::Zsh, zsh), (Shell::Fish, fish)];

fn path(shell: Shell) -> PathBuf {
    use clap_complete::Generator;
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("completions")
        .join(shell.file_name("zroot"))
}

#[test]
fn the_completions_are_those_of_the_definition() {
    for (shell, make) in SHELLS {
        let made = make();
        if env::var_os("ZROOT_BLESS").is_some_and(|value| value == "1") {
            fs::write(path(shell), &made).expect("written");
        }
        let is = fs::read_to_string(path(shell)).unwrap_or_default();
        assert!(
            is == made,
            "{shell} is not as the options are now: ZROOT_BLESS=1 cargo test --release --test it completions"
        );
    }
}

#[test]
fn each_shell_can_read_its_own() {
    for (shell, _) in SHELLS {
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
    use std::io::Seek;
    let mut file = tempfile::tempfile_in("/tmp").expect("a file");
    file.write_all(text.as_bytes())
        .and_then(|()| file.rewind())
        .expect("written");
    file
}

/// What is typed before the tabulator key, and the words that are there then. `COMMAND` is a
/// program with a completion of its own.
const TYPED: &[(&str, &[&str])] = &[
    ("--dump", &["--dump-filter"]),
    ("--no-s", &["--no-sync"]),
    ("-C /etc --no-s", &["-C", "/etc", "--no-sync"]),
    ("--userns ne", &["--userns", "never"]),
    ("--userns=ne", &["--userns=never"]),
    ("-c se", &["-c", "selective"]),
    ("-vc se", &["-vc", "selective"]),
    ("--no-fake ow", &["--no-fake", "owner"]),
    ("--fake ow", &["--fake", "owner"]),
    ("--fail-on ow", &["--fail-on", "owner"]),
    ("--fail-on owner,dev", &["--fail-on", "owner,device"]),
    ("--arch ppc", &["--arch", "ppc64le"]),
    ("--explain kex", &["--explain", "kexec_load"]),
    ("--check=js", &["--check=json"]),
    // COMMAND and what is its own.
    ("zroot-test-comm", &["COMMAND"]),
    ("-c full zroot-test-comm", &["-c", "full", "COMMAND"]),
    ("--summary zroot-test-comm", &["--summary", "COMMAND"]),
    ("-- zroot-test-comm", &["--", "COMMAND"]),
    ("COMMAND own-w", &["COMMAND", "own-word"]),
    (
        "-C /etc COMMAND own-w",
        &["-C", "/etc", "COMMAND", "own-word"],
    ),
    ("-v -- COMMAND own-w", &["-v", "--", "COMMAND", "own-word"]),
    ("COMMAND --own-o", &["COMMAND", "--own-option"]),
    // Nothing of ours there.
    ("COMMAND --no-s", &["COMMAND", "--no-s"]),
    (
        "COMMAND --fail-on ow",
        &["COMMAND", "--fail-on", "own-word"],
    ),
    ("-- COMMAND --dump", &["--", "COMMAND", "--dump"]),
];

const COMMAND: &str = "zroot-test-command";

/// A directory with that program, and its completion for `shell`.
fn place(shell: Shell) -> (tempfile::TempDir, String) {
    let dir = dir();
    executable(&dir.path().join(COMMAND), "#!/bin/sh\n");
    let completion = match shell {
        Shell::Bash => format!(
            "_own() {{ COMPREPLY=($(compgen -W 'own-word --own-option' -- \"$2\")); }}; complete -F _own {COMMAND}"
        ),
        Shell::Zsh => {
            format!("_own() {{ compadd -- own-word --own-option }}; compdef _own {COMMAND}")
        }
        _ => format!("complete -c {COMMAND} -f -a 'own-word --own-option'"),
    };
    (dir, completion)
}

/// A shell on a terminal, to which keys are typed.
struct Session {
    terminal: nix::pty::PtyMaster,
    shell: std::process::Child,
    shown: String,
}

impl Session {
    /// The prompt is to be `READY`.
    fn start(mut shell: Command) -> Session {
        use nix::fcntl::OFlag;
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let terminal = nix::pty::posix_openpt(flags).expect("a terminal");
        nix::pty::grantpt(&terminal).expect("granted");
        nix::pty::unlockpt(&terminal).expect("unlocked");
        let name = nix::pty::ptsname_r(&terminal).expect("a name");
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NOCTTY)
                .open(&name)
                .expect("opened")
        };
        let shell = shell
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .expect("started");
        let mut session = Session {
            terminal,
            shell,
            shown: String::new(),
        };
        session.wait_for("READY");
        session
    }

    fn wait_for(&mut self, text: &str) -> String {
        let mut bytes = [0; 4096];
        wait_for(text, || {
            if let Ok(len @ 1..) = self.terminal.read(&mut bytes) {
                self.shown += &String::from_utf8_lossy(&bytes[..len]);
            }
            let at = self.shown.find(text)? + text.len();
            Some(self.shown.drain(..at).collect())
        })
    }

    /// The words of the line once `typed` is completed.
    fn complete(&mut self, typed: &str) -> Vec<String> {
        // A tabulator; to the beginning, where a command is put that shows the words; to the end.
        let keys = format!("zroot {typed}\t\x01printf '<%s>' \x05 '=end='\r");
        self.terminal.write_all(keys.as_bytes()).expect("typed");
        let shown = self.wait_for("<=end=>");
        let line = shown.rsplit("<zroot>").next().expect("a line");
        let line = line.trim_end_matches("<=end=>");
        self.wait_for("READY");
        line.split(['<', '>'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Asserts [`TYPED`] of the shell that `start` prepares, with the file for it to read.
#[track_caller]
fn completes(shell: Shell, start: impl FnOnce(&Path, &str) -> Command) {
    let (dir, own) = place(shell);
    let mut command = start(dir.path(), &own);
    let paths = format!("{}:{PATH}", dir.path().display());
    command.env("PATH", paths).env("TERM", "dumb");
    let mut session = Session::start(command);
    for (typed, expected) in TYPED {
        let words = session.complete(&typed.replace("COMMAND", COMMAND));
        let expected: Vec<String> = expected
            .iter()
            .map(|word| word.replace("COMMAND", COMMAND))
            .collect();
        assert_eq!(words, expected, "{shell}: zroot {typed}");
    }
}

#[test]
fn bash_completes_options_values_and_the_command() {
    const TEST: &str = "bash_completes_options_values_and_the_command";
    need!(TEST, "bash", "setsid");
    let library = "/usr/share/bash-completion/bash_completion";
    if !Path::new(library).exists() {
        return skip(TEST, "there is no bash-completion");
    }
    completes(Shell::Bash, |dir, own| {
        let file = dir.join("bashrc");
        let ours = path(Shell::Bash);
        let text = format!(
            "PS1=READY\n. {library}\n{}\n{own}\n",
            fs::read_to_string(ours).expect("read")
        );
        executable(&file, text);
        let mut bash = user("setsid");
        bash.args(["--ctty", "bash", "--noprofile", "--rcfile"])
            .arg(file)
            .arg("-i");
        bash
    });
}

/// Where bash-completion is not installed, names of commands and files are left.
#[test]
fn bash_alone_completes_names() {
    need!("bash_alone_completes_names", "bash", "setsid");
    let (dir, _) = place(Shell::Bash);
    let file = dir.path().join("bashrc");
    let ours = fs::read_to_string(path(Shell::Bash)).expect("read");
    executable(&file, format!("PS1=READY\n{ours}\n"));
    let mut bash = user("setsid");
    bash.args(["--ctty", "bash", "--noprofile", "--rcfile"])
        .arg(&file)
        .arg("-i");
    bash.env("PATH", format!("{}:{PATH}", dir.path().display()))
        .env("TERM", "dumb");
    let mut session = Session::start(bash);
    for (typed, expected) in [
        ("zroot-test-comm", &[COMMAND][..]),
        ("-c full -- zroot-test-comm", &["-c", "full", "--", COMMAND]),
        ("cat /etc/passw", &["cat", "/etc/passwd"]),
        ("--fail-on ow", &["--fail-on", "owner"]),
    ] {
        let words = session.complete(typed);
        assert!(
            words.len() == expected.len()
                && words
                    .iter()
                    .zip(expected)
                    .all(|(word, expected)| word.starts_with(expected)),
            "{typed}: {words:?}"
        );
    }
}

#[test]
fn zsh_completes_options_values_and_the_command() {
    need!(
        "zsh_completes_options_values_and_the_command",
        "zsh",
        "setsid"
    );
    completes(Shell::Zsh, |dir, own| {
        fs::copy(path(Shell::Zsh), dir.join("_zroot")).expect("copied");
        let here = dir.display();
        let text = format!(
            "bindkey -e\nfpath=({here} $fpath)\nautoload -U compinit\ncompinit -u -D\n{own}\nPS1=READY\n"
        );
        executable(&dir.join(".zshrc"), text);
        let mut zsh = user("setsid");
        zsh.args(["--ctty", "zsh", "-i", "--no-globalrcs"])
            .env("ZDOTDIR", dir);
        zsh
    });
}

/// fish says what it would complete.
#[test]
fn fish_completes_options_values_and_the_command() {
    need!("fish_completes_options_values_and_the_command", "fish");
    let (dir, own) = place(Shell::Fish);
    let text = fs::read_to_string(path(Shell::Fish)).expect("completions");
    let complete = |typed: &str| -> Vec<String> {
        let script = format!("{text}\n{own}\ncomplete -C 'zroot {typed}'");
        let ran = run(user("fish")
            .args(["--no-config", "-c", &script])
            .env("PATH", format!("{}:{PATH}", dir.path().display()))
            .env("HOME", dir.path()));
        assert_eq!(ran.stderr, "", "{ran:#?}");
        ran.stdout
            .lines()
            .filter_map(|line| Some(line.split('\t').next()?.to_owned()))
            // Of an option with a value to be joined, fish names both forms.
            .filter(|word| !word.ends_with('='))
            .collect()
    };
    for (typed, expected) in TYPED {
        let (typed, last) = (
            typed.replace("COMMAND", COMMAND),
            expected.last().expect("a word").replace("COMMAND", COMMAND),
        );
        // What stays as it is typed has no completion.
        let expected = if typed.ends_with(&last) {
            vec![]
        } else {
            vec![last]
        };
        assert_eq!(complete(&typed), expected, "zroot {typed}");
    }
    assert_eq!(
        complete("--dump-filter="),
        ["asm", "c", "oci", "raw"].map(|form| format!("--dump-filter={form}"))
    );
    assert_eq!(complete("--arch s390"), ["s390", "s390x"]);
    assert_eq!(complete("--explain kexec_load "), [""; 0]);
}

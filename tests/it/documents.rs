//! The commands in README.md and docs/ are run as they stand there, as an unprivileged user.
//!
//! A block of `sh` is a script, run by `sh -eu`. In a block of `console` the lines after `$ ` are
//! commands, and the lines behind each are what it says, exactly; a line `...` stands for any
//! lines. All blocks of one file run in one directory, one after the other. Words behind the
//! block's language, which no reader sees, say what is special:
//!
//! - `rootfs`: `./rootfs` is a Debian tree before the block;
//! - `needs=PROGRAM,...`: left out, with a SKIP, where the machine has not all of these;
//! - `fails=STATUS`: ends with this exit status;
//! - `not-run=WHY`: is not run.
//!
//! Debian trees come from the mirror that the machine's own apt uses: `mmdebstrap` is one that is
//! given it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{PATH, Ran, dir, executable, give, program, run, skip, user, zroot};
use crate::debian::{self, Mirror, Tree};

/// A block of a file that may be run.
struct Block {
    /// Of its first line, from 1.
    line: usize,
    language: String,
    words: BTreeMap<String, String>,
    text: String,
}

/// The fenced blocks of `text`.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (i, line) in text.lines().enumerate() {
        if let Some(info) = line.strip_prefix("```") {
            is_inside = !is_inside;
            if is_inside {
                let mut words = info.split_whitespace();
                blocks.push(Block {
                    line: i + 2,
                    language: words.next().unwrap_or_default().to_owned(),
                    words: words
                        .map(|word| word.split_once('=').unwrap_or((word, "")))
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect(),
                    text: String::new(),
                });
            }
        } else if is_inside {
            let block = blocks.last_mut().expect("inside of one");
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!is_inside, "a block has no end");
    blocks
}

/// Files with commands.
fn files() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![top.join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(top.join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    files.sort();
    files
}

/// Where the blocks of one file run.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: dir() };
        for name in ["bin", "home", "work"] {
            let path = place.at(name);
            fs::create_dir(&path).expect("a directory");
            give(&path);
        }
        std::os::unix::fs::symlink(zroot(), place.at("bin/zroot")).expect("a link");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        run(user("cp").arg("-r").arg(&examples).arg(place.at("work"))).succeeds();
        if let (Ok(mirror), Some(own)) = (Mirror::find(), program("mmdebstrap")) {
            let mut wrapper = format!("#!/bin/sh\nexec {} \"$@\"", own.display());
            for setting in &mirror.settings {
                let _ = write!(wrapper, " --aptopt='{setting}'");
            }
            for line in &mirror.lines {
                let _ = write!(wrapper, " '{line}'");
            }
            executable(&place.at("bin/mmdebstrap"), wrapper + "\n");
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has a tree at `./rootfs`, or says why it cannot.
    fn has_tree(&self) -> Result<(), String> {
        let path = self.at("work/rootfs");
        if !path.exists() {
            let tree = Tree::find(&debian::OWN)?;
            fs::create_dir(&path).expect("a directory");
            give(&path);
            debian::copy(&tree.path, &path);
        }
        Ok(())
    }

    fn shell(&self, script: &str) -> Ran {
        run(user("sh")
            .args(["-euc", script])
            .current_dir(self.at("work"))
            .env("HOME", self.at("home"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("PATH", format!("{}:{PATH}", self.at("bin").display())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Directories that their owner may not enter.
        run(user("unshare")
            .args(["-r", "rm", "-rf"])
            .arg(self.at("work")));
    }
}

/// The commands of a console block, and what each says.
fn dialogue(text: &str) -> Vec<(String, String)> {
    let mut said: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            said.push((command.to_owned(), String::new()));
        } else {
            let last = said.last_mut().expect("a command before what it says");
            last.1.push_str(line);
            last.1.push('\n');
        }
    }
    said
}

/// Whether `said` is what `wanted` says, in which a line `...` stands for any lines.
fn is_said(wanted: &str, said: &str) -> bool {
    let Some((before, after)) = wanted.split_once("...\n") else {
        return wanted == said;
    };
    said.strip_prefix(before).is_some_and(|rest| {
        let ends = rest.match_indices('\n').map(|(i, _)| i + 1);
        [0].into_iter()
            .chain(ends)
            .any(|i| is_said(after, &rest[i..]))
    })
}

/// Runs what can be run of `path`; says what went wrong.
fn faults(test: &str, path: &Path) -> String {
    let text = fs::read_to_string(path).expect("text");
    let name = path
        .strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .expect("below");
    let (mut wrong, mut place) = (String::new(), None);
    for block in blocks(&text) {
        let at = format!("{}:{}", name.display(), block.line);
        for word in block.words.keys() {
            if !["rootfs", "needs", "fails", "not-run"].contains(&&**word) {
                let _ = writeln!(wrong, "{at}: the word {word} is not known");
            }
        }
        if !["sh", "console"].contains(&&*block.language) || block.words.contains_key("not-run") {
            continue;
        }
        let needs = block.words.get("needs").map_or("", |needs| needs);
        if let Some(missing) = needs
            .split(',')
            .find(|name| !name.is_empty() && program(name).is_none())
        {
            skip(test, &format!("{at}: there is no {missing}"));
            continue;
        }
        let place = place.get_or_insert_with(Place::new);
        let mut needed = Ok(());
        if block.text.contains("mmdebstrap") {
            needed = Mirror::find().map(drop).map_err(str::to_owned);
        }
        if block.words.contains_key("rootfs") {
            needed = needed.and_then(|()| place.has_tree());
        }
        if let Err(reason) = needed {
            skip(test, &format!("{at}: {reason}"));
            break;
        }
        if block.language == "console" {
            for (command, wanted) in dialogue(&block.text) {
                let ran = place.shell(&format!("exec 2>&1; {command}"));
                if !is_said(&wanted, &ran.stdout) {
                    let _ = writeln!(wrong, "{at}: $ {command}: not what is printed\n{ran:#?}");
                }
            }
        } else {
            let status = block.words.get("fails").map_or(0, |status| {
                status.parse().expect("an exit status behind fails=")
            });
            let ran = place.shell(&block.text);
            if ran.status != status {
                let _ = writeln!(wrong, "{at}: {ran:#?}");
            }
        }
    }
    wrong
}

#[test]
fn the_commands_of_the_readme_work() {
    let wrong = faults("the_commands_of_the_readme_work", &files()[0]);
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_commands_of_the_other_pages_work() {
    let test = "the_commands_of_the_other_pages_work";
    let wrong: String = files()[1..].iter().map(|path| faults(test, path)).collect();
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A command that is wrong, and an output that is not what is printed, are found out.
#[test]
fn what_does_not_work_is_found() {
    let test = "what_does_not_work_is_found";
    let place = dir();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Read as a page of this project's, wherever it lies.
    let say = |text: &str| {
        let path = place.path().join("page.md");
        fs::write(&path, text).expect("page.md");
        let up = "../".repeat(top.components().count() - 1);
        faults(
            test,
            &top.join(up).join(path.strip_prefix("/").expect("absolute")),
        )
    };
    let found = say("```sh\nzroot false\n```\n```sh fails=3\nzroot sh -c 'exit 3'\n```\n");
    assert!(found.contains(":2: ") && !found.contains(":5: "), "{found}");
    let found = say("```console\n$ echo a; echo b\na\nc\n$ seq 9\n1\n...\n9\n```\n");
    assert!(
        found.contains("$ echo a") && !found.contains("$ seq"),
        "{found}"
    );
    assert_eq!(
        say("```text\nfalse\n```\n```sh not-run=why\nfalse\n```\n"),
        ""
    );
    assert!(say("```sh whatever\ntrue\n```\n").contains("whatever"));
}

/// Links of one page to another lead somewhere.
#[test]
fn links_lead_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files();
    let others = [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "tests/README.md",
    ];
    pages.extend(others.map(|name| top.join(name)));
    let mut wrong = String::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("text");
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let path = link.split('#').next().expect("a path");
            if !page.parent().expect("a folder").join(path).exists() {
                let _ = writeln!(wrong, "{}: {link}", page.display());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// The first two pages are short enough to be read.
#[test]
fn the_first_pages_are_short() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, lines) in [("README.md", 120), ("ARCHITECTURE.md", 140)] {
        let text = fs::read_to_string(top.join(name)).expect("text");
        let count = text.lines().count();
        assert!(count <= lines, "{name} has {count} lines, for {lines}");
    }
}

/// What ARCHITECTURE.md says that holds an invariant is there.
#[test]
fn the_tests_that_the_architecture_names_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(top.join("ARCHITECTURE.md")).expect("text");
    let from = text.find("## What must stay true").expect("invariants");
    let to = text
        .find("## Where a change goes")
        .expect("the end of these");
    let names: Vec<&str> = text[from..to]
        .split('`')
        .filter_map(|word| {
            let word = word.strip_prefix("it ").unwrap_or(word);
            (word.contains("::") && word != "X::" && !word.contains(' ')).then_some(word)
        })
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let (module, function) = name.rsplit_once("::").expect("a module");
        let path = top.join("tests/it").join(module.replace("::", "/"));
        let source = fs::read_to_string(path.with_extension("rs"))
            .or_else(|_| fs::read_to_string(path.join("mod.rs")))
            .unwrap_or_else(|_| panic!("there is no module for {name}"));
        assert!(source.contains(&format!("fn {function}")), "{name}");
    }
}

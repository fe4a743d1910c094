//! The manual pages and `--help` against the one definition of the options, and against the policy:
//! nothing undocumented, nothing that is gone.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use zroot::internals::arch::Sysno;
use zroot::internals::cli::definition;
use zroot::internals::filter::policy::{Action, Policy, Rule};
use zroot::internals::filter::{Class, Level};

const MAN: &str = include_str!("../../../man/zroot.1");

/// The page with its hyphens as they are typed.
fn page() -> String {
    MAN.replace("\\-", "-")
}

#[test]
fn every_option_is_in_the_manual_page_and_no_other() {
    let mut definition = definition();
    definition.build();
    let defined: BTreeSet<String> = definition
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .map(|long| format!("--{long}"))
        .collect();
    let page = page();
    let options = page
        .split(".SH OPTIONS")
        .nth(1)
        .and_then(|rest| rest.split(".SH").next())
        .expect("a section OPTIONS");
    let described: BTreeSet<String> = options
        .lines()
        .zip(options.lines().skip(1))
        .filter(|(before, _)| *before == ".TP")
        .flat_map(|(_, tag)| tag.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')))
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect();
    assert_eq!(described, defined);
    for arg in definition.get_arguments() {
        if let (Some(short), Some(long)) = (arg.get_short(), arg.get_long()) {
            assert!(
                options.contains(&format!("-{short} \", \" --{long}")),
                "-{short} does not stand beside --{long}"
            );
        }
    }
}

#[test]
fn every_class_and_the_version_are_in_the_manual_page() {
    let page = page();
    for class in Class::ALL {
        assert!(
            page.contains(&format!(".TP\n.B {class}\n")),
            "class {class} has no entry"
        );
        for rule in Level::ALL.into_iter().flat_map(|level| class.rules(level)) {
            let name = rule.call.name();
            // 32-bit twins, timespec64 twins and arm's spelling are covered by their siblings.
            let spelled = name
                .trim_end_matches("_time64")
                .trim_end_matches("32")
                .trim_end_matches("64")
                .trim_end_matches('2');
            let family = [
                "lsetxattr",
                "fsetxattr",
                "setxattrat",
                "lremovexattr",
                "fremovexattr",
                "removexattrat",
            ];
            assert!(
                page.contains(spelled) || family.contains(&name),
                "{name} is not in the manual page"
            );
        }
    }
    assert!(
        page.contains(&format!("zroot {}", zroot::VERSION)),
        "the page is of another version"
    );
}

/// What the page of the levels says between these lines is made from the policy.
const BEGIN: &str = ".\\\" BEGIN TABLES: ZROOT_BLESS=1 cargo test --release --test it man\n";
const END: &str = ".\\\" END TABLES\n";

#[test]
fn the_answer_to_every_call_is_in_the_page_of_the_levels() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/zroot-consistency.7");
    let page = fs::read_to_string(&path).expect("read");
    let (before, rest) = page.split_once(BEGIN).expect("the beginning");
    let (is, after) = rest.split_once(END).expect("the end");
    let made = tables();
    if env::var_os("ZROOT_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, [before, BEGIN, &made, END, after].concat()).expect("written");
        return;
    }
    assert!(
        is == made,
        "the page is not as the policy is now: ZROOT_BLESS=1 cargo test --release --test it man"
    );
    // Whatever a level answers by default is in a table.
    for level in Level::ALL {
        for rule in Policy::of(level).rules() {
            let name = rule.call.name();
            assert!(
                made.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .any(|word| word == name),
                "{name} is missing"
            );
        }
    }
    assert!(
        page.contains(&format!("zroot {}", zroot::VERSION)),
        "the page is of another version"
    );
}

/// A table for each class, and the conditions.
fn tables() -> String {
    let mut conditions: Vec<&'static str> = Vec::new();
    let mut out = String::from(".nh\n.na\n"); // names of calls are not divided
    let rule_of = |class: Class, level: Level, call: Sysno| -> Option<Rule> {
        class.rules(level).find(|rule| rule.call == call)
    };
    let mut cell = |rule: Option<Rule>, is_on: bool| {
        let Some(rule) = rule else {
            return String::from("kernel");
        };
        let mut text = String::from(match rule.action {
            Action::Allow => "kernel",
            Action::FakeSuccess => "0",
            Action::Notify => "asked",
            Action::Absent => "ENOSYS",
        });
        if !is_on {
            text = format!("[{text}]");
        }
        if let Some(condition) = rule.when.condition() {
            let known = conditions.iter().position(|known| *known == condition);
            let at = known.unwrap_or_else(|| {
                conditions.push(condition);
                conditions.len() - 1
            });
            let _ = write!(text, " ({})", at + 1);
        }
        text
    };
    let mut table = |name: &str, rows: &[(Sysno, [String; Level::ALL.len()])]| {
        let _ = write!(
            out,
            ".SS {name}\n.TS\nlw(38n) l l l.\ncalls\tzero\tselective\tfull\n"
        );
        let mut rows = rows.iter().peekable();
        while let Some((call, cells)) = rows.next() {
            // Calls that are answered alike stand in one row.
            let mut calls = vec![call.name()];
            while let Some((call, _)) = rows.next_if(|(_, next)| next == cells) {
                calls.push(call.name());
            }
            let _ = writeln!(out, "T{{\n{}\nT}}\t{}", calls.join(" "), cells.join("\t"));
        }
        out += ".TE\n";
    };
    let mut named = BTreeSet::new();
    for class in Class::ALL {
        let mut calls: Vec<Sysno> = Vec::new();
        for rule in Level::ALL.into_iter().flat_map(|level| class.rules(level)) {
            if named.insert(rule.call.name()) {
                calls.push(rule.call);
            }
        }
        let rows: Vec<_> = calls
            .into_iter()
            .map(|call| {
                let cells = Level::ALL.map(|level| {
                    let is_on = level.default_classes().contains(class);
                    cell(rule_of(class, level, call), is_on)
                });
                (call, cells)
            })
            .collect();
        table(&class.to_string().replace('-', "\\-"), &rows);
    }
    // What a level notes beside its classes, and what it answers otherwise than a class alone.
    let saved = |level| Policy {
        is_saved: true,
        ..Policy::of(level)
    };
    let mut beside: Vec<(Sysno, [String; Level::ALL.len()])> = Vec::new();
    for &call in Sysno::ALL {
        let rules = Level::ALL.map(|level| saved(level).rules().find(|rule| rule.call == call));
        let of_classes = Level::ALL.map(|level| {
            let mut classes = level.default_classes().iter();
            classes.find_map(|class| rule_of(class, level, call))
        });
        if rules != of_classes {
            beside.push((call, rules.map(|rule| cell(rule, true))));
        }
    }
    beside.sort_by(|one, other| one.1.cmp(&other.1));
    table("Beside the classes", &beside);
    out += ".PP\nThese are noted for classes owner, identity and set\\-id; unlink, rmdir and rename only with\n.BR \\-\\-save \" or \" \\-\\-owners .\n.SS Conditions\n";
    for (at, condition) in conditions.iter().enumerate() {
        let _ = writeln!(out, ".IP ({}) 5\n{condition}.", at + 1);
    }
    out + ".hy\n.ad\n"
}

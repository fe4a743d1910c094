//! The manual page and `--help` against the one definition of the options: nothing undocumented,
//! nothing that is gone.

use std::collections::BTreeSet;

use zroot::internals::cli::definition;
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

//! The ways to run zroot.

/// A way to run zroot.
pub struct Mode {
    pub name: &'static str,
    pub options: &'static [&'static str],
    /// What the root directory is to have, as a script in it; none where there is no root directory.
    pub tree: Option<&'static str>,
    /// What the command is to find, beside a chown that succeeds.
    pub finds: &'static [&'static str],
    /// Part of the sample.
    pub is_quick: bool,
}

const FURNISHED: &str = "mkdir proc sys dev; echo nameserver 192.0.2.1 > etc/resolv.conf";
const EMPTY: &str = ": > etc/resolv.conf; : > etc/hosts; touch -d 2001-02-03 etc/*";

/// What is remembered at level full.
const REMEMBERED: &[&str] = &["owner", "device", "kept", "identity"];

const PLAIN: Mode = Mode {
    name: "plain",
    options: &[],
    tree: None,
    finds: &[],
    is_quick: true,
};

/// All of them.
pub const MODES: [Mode; 20] = [
    PLAIN,
    Mode {
        name: "no-apt-config",
        options: &["--no-apt-config"],
        ..PLAIN
    },
    Mode {
        name: "chdir",
        options: &["-C", "sub"],
        finds: &["in=PLACE/sub"],
        ..PLAIN
    },
    Mode {
        name: "verbose",
        options: &["-v"],
        ..PLAIN
    },
    Mode {
        name: "if-needed",
        options: &["--if-needed"],
        ..PLAIN
    },
    Mode {
        name: "root",
        options: &["--root", "root"],
        tree: Some(FURNISHED),
        finds: &["in=/"],
        ..PLAIN
    },
    Mode {
        name: "root-bare",
        options: &["--root", "root"],
        tree: Some("rmdir etc"),
        finds: &["in=/"],
        ..PLAIN
    },
    Mode {
        name: "root-empty",
        options: &["--root", "root"],
        tree: Some(EMPTY),
        finds: &["in=/"],
        ..PLAIN
    },
    Mode {
        name: "root-bind",
        options: &[
            "--root=root",
            "--bind=src:/job/deep",
            "--bind=src/file:/job/file:ro",
        ],
        tree: Some(FURNISHED),
        finds: &["in=/", "there=/job/deep/file", "readonly=/job/file"],
        ..PLAIN
    },
    Mode {
        name: "selective",
        options: &["-c", "selective"],
        finds: &["identity"],
        ..PLAIN
    },
    Mode {
        name: "selective-never",
        options: &["-c", "selective", "--userns=never"],
        finds: &["identity"],
        ..PLAIN
    },
    Mode {
        name: "full",
        options: &["-c", "full"],
        finds: REMEMBERED,
        ..PLAIN
    },
    Mode {
        name: "full-never",
        options: &["-c", "full", "--userns=never"],
        finds: REMEMBERED,
        is_quick: false,
        ..PLAIN
    },
    Mode {
        name: "full-root",
        options: &["-c", "full", "--root", "root"],
        tree: Some(""),
        finds: &["in=/", "owner", "device", "kept", "identity"],
        ..PLAIN
    },
    // Which may do without a supervisor.
    Mode {
        name: "auto",
        options: &["-c", "auto"],
        ..PLAIN
    },
    Mode {
        name: "selective-root",
        options: &["-c", "selective", "--root", "root"],
        tree: Some(""),
        finds: &["in=/", "identity"],
        ..PLAIN
    },
    Mode {
        name: "reports",
        options: &["--summary=summary", "--trace=trace"],
        ..PLAIN
    },
    Mode {
        name: "fail-on",
        options: &["--fail-on=device"],
        ..PLAIN
    },
    Mode {
        name: "summary-root",
        options: &["-c", "selective", "--summary=summary", "--root", "root"],
        tree: Some(EMPTY),
        finds: &["in=/", "identity"],
        ..PLAIN
    },
    Mode {
        name: NESTED,
        options: &["-c", "selective"],
        finds: &["identity"],
        ..PLAIN
    },
];

/// The mode that runs inside of another zroot, which is not traced.
pub const NESTED: &str = "nested";

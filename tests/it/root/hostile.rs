//! Hostile root directories.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{SYSTEM, in_namespaces};
use crate::common::{self, Listing, Ran, SmallTree, run, user, zroot};

/// What must come of a hostile tree.
enum End {
    /// One `zroot:` line that has this, and exit status 125.
    Refused(&'static str),
    /// The command runs, and sees nothing of the canary's.
    Contained,
    /// The same, and this is what it prints.
    Prints(&'static str),
}
use End::{Contained, Prints, Refused};

/// A hostile tree: its name, the script that makes it, zroot's options beside `--root root`, and
/// its end. `$0` is the directory that holds `root` and `canary`.
type Case = (&'static str, &'static str, &'static [&'static str], End);

const NOT_A_DIRECTORY: &str = "is not a directory";
const LEADS_OUT: &str = "a symbolic link on the way leads to nothing inside";

/// Where one of the host's trees is to be mounted.
const IN_PLACE_OF_SYSTEM: &[Case] = &[
    (
        "proc is an absolute link",
        "ln -s $0/canary root/proc",
        &[],
        Refused("'root/proc' is not a directory"),
    ),
    (
        "proc is a relative link",
        "ln -s ../canary root/proc",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "sys is a link to ..",
        "ln -s .. root/sys",
        &[],
        Refused("'root/sys' is not a directory"),
    ),
    (
        "sys is a link to itself",
        "ln -s sys root/sys",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "dev is a link to a host directory",
        "ln -s /tmp root/dev",
        &[],
        Refused("'root/dev' is not a directory"),
    ),
    (
        "dev is a dangling link",
        "ln -s /nowhere root/dev",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "proc is a link to the tree",
        "ln -s / root/proc",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "dev is a link to etc",
        "ln -s etc root/dev",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "proc is a magic link",
        "ln -s /proc/self/cwd root/proc",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "proc is a file",
        ": > root/proc",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "proc is a hard link to the canary",
        "ln canary/empty root/proc",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "sys is a FIFO",
        "mkfifo root/sys",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "dev is a socket",
        "mv socket root/dev",
        &[],
        Refused(NOT_A_DIRECTORY),
    ),
    (
        "all have mode 000",
        "mkdir -m 000 root/proc root/sys root/dev",
        &[],
        Contained,
    ),
    ("all are missing", "", &[], Contained),
    (
        "the root directory takes nothing",
        "chmod 555 root",
        &[],
        Contained,
    ),
    (
        "the root directory takes nothing but etc does",
        "chmod 555 root; chmod 755 root/etc",
        &[],
        Prints("lent lent"),
    ),
];

/// Files for name resolution: what there is of /etc/resolv.conf and of /etc/hosts. `lent` is the
/// host's with a line before it, `host` the host's alone, else it is a number of bytes.
const IN_PLACE_OF_FILES: &[Case] = &[
    (
        "etc is an absolute link",
        "rmdir root/etc; ln -s $0/canary root/etc",
        &[],
        Prints("0 0"),
    ),
    (
        "etc is a relative link",
        "rmdir root/etc; ln -s ../../../../../../$0/canary root/etc",
        &[],
        Prints("0 0"),
    ),
    (
        "etc is a link to ../..",
        "rmdir root/etc; ln -s ../../.. root/etc",
        &[],
        Prints("lent lent"),
    ),
    (
        "etc is a link to a host directory",
        "rmdir root/etc; ln -s /usr/share root/etc",
        &[],
        Prints("0 0"),
    ),
    (
        "etc is a file",
        "rmdir root/etc; : > root/etc",
        &[],
        Prints("0 0"),
    ),
    ("etc is missing", "rmdir root/etc", &[], Prints("0 0")),
    ("etc has mode 000", "chmod 000 root/etc", &[], Contained),
    (
        "resolv.conf is an absolute link",
        "ln -s $0/canary/empty root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a relative link",
        "ln -s ../../../../../../../../$0/canary/empty root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to a link",
        "ln -s ../a root/etc/resolv.conf; ln -s ../canary/empty root/a",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to the resolver's",
        "ln -s ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to the resolver's in /run",
        "mkdir root/run; ln -s ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf",
        &[],
        Prints("host lent"),
    ),
    (
        "resolv.conf is a link to the resolver's in /var/run",
        "mkdir -p root/var/run; ln -s /var/run/resolvconf/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("host lent"),
    ),
    (
        "resolv.conf is a link to a link in /run",
        "mkdir root/run; ln -s b root/run/a; ln -s /run/a root/etc/resolv.conf",
        &[],
        Prints("host lent"),
    ),
    (
        "resolv.conf is a link to a link out of /run",
        "mkdir root/run; ln -s $0/canary/none root/run/a; ln -s /run/a root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to a link beside it",
        "ln -s other root/etc/resolv.conf",
        &[],
        Prints("lent lent"),
    ),
    (
        "run is a link to /",
        "ln -s / root/run; ln -s /run/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("lent lent"),
    ),
    (
        "run is a link to / and more is missing",
        "ln -s / root/run; ln -s /run/systemd/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "run is a link out",
        "ln -s $0/canary root/run; ln -s /run/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "run is a link to etc",
        "ln -s etc root/run; ln -s /run/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "run is a file",
        ": > root/run; ln -s /run/resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "run has mode 000",
        "mkdir -m 000 root/run; ln -s /run/resolv.conf root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is a link to itself",
        "ln -s resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a FIFO",
        "mkfifo root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is a socket",
        "mv socket root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a directory",
        "mkdir root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link by root",
        "ln -s /proc/self/root/$0/canary/empty root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is a link by cwd",
        "mkdir root/proc; ln -s /proc/self/cwd/canary/empty root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is a link to a device",
        "ln -s /dev/null root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to a descriptor",
        "mkdir root/dev; ln -s /dev/../proc/self/fd/9 root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is a link to a directory to be",
        "ln -s a/b/c/../d root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is empty",
        ": > root/etc/resolv.conf; touch -d 2001-02-03 root/etc/resolv.conf",
        &[],
        Prints("lent lent"),
    ),
    (
        "resolv.conf is empty and read-only",
        ": > root/etc/resolv.conf; chmod 444 root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is empty with mode 000",
        ": > root/etc/resolv.conf; chmod 000 root/etc/resolv.conf",
        &[],
        Contained,
    ),
    (
        "resolv.conf is the tree's own",
        "echo 'nameserver 192.0.2.1' > root/etc/resolv.conf",
        &[],
        Prints("21 lent"),
    ),
    (
        "resolv.conf is the empty canary",
        "ln canary/empty root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is a link to the empty canary",
        "ln canary/empty root/etc/a; ln -s a root/etc/resolv.conf",
        &[],
        Prints("0 lent"),
    ),
    (
        "resolv.conf is the canary's secret",
        "ln canary/secret root/etc/resolv.conf",
        &[],
        Prints("7 lent"),
    ),
    (
        "hosts is a link out",
        "ln -s $0/canary/empty root/etc/hosts",
        &[],
        Prints("lent 0"),
    ),
    ("hosts is a FIFO", "mkfifo root/etc/hosts", &[], Contained),
    (
        "hosts is the empty canary",
        "ln canary/empty root/etc/hosts",
        &[],
        Prints("lent 0"),
    ),
    (
        "hosts is a link to a file to be",
        "ln -s other root/etc/hosts",
        &[],
        Prints("lent lent"),
    ),
    (
        "hosts is a link to a file to be, out",
        "ln -s $0/canary/none root/etc/hosts",
        &[],
        Prints("lent 0"),
    ),
    (
        "networks is a link out",
        "ln -s $0/canary/empty root/etc/networks",
        &[],
        Prints("lent lent"),
    ),
    (
        "hosts is empty",
        ": > root/etc/hosts; touch -d 2001-02-03 root/etc/hosts",
        &[],
        Prints("lent lent"),
    ),
    (
        "hosts is empty, resolv.conf the tree's own",
        ": > root/etc/hosts; echo 'nameserver 192.0.2.1' > root/etc/resolv.conf",
        &[],
        Prints("21 lent"),
    ),
    (
        "hosts is the tree's own",
        "echo 127.0.0.1 localhost > root/etc/hosts",
        &[],
        Prints("lent 20"),
    ),
];

/// Where something is to be bound. `/bound` is what the command looks at.
const BINDS: &[Case] = &[
    (
        "bind to an absolute link",
        "ln -s $0/canary root/a",
        &["--bind=src:/a"],
        Refused(LEADS_OUT),
    ),
    (
        "bind to a relative link",
        "ln -s ../canary root/a",
        &["--bind=src:/a"],
        Refused(LEADS_OUT),
    ),
    (
        "bind through a link",
        "ln -s ../../../../$0 root/a",
        &["--bind=src:/a/canary"],
        Refused(LEADS_OUT),
    ),
    (
        "bind a file to a link",
        "ln -s $0/canary/secret root/a",
        &["--bind=src/file:/a"],
        Refused(LEADS_OUT),
    ),
    (
        "bind to a link loop",
        "ln -s a root/a",
        &["--bind=src:/a"],
        Refused("Too many symbolic links encountered"),
    ),
    (
        "bind to ..",
        "",
        &["--bind=src:/../../../../canary"],
        Contained,
    ),
    (
        "bind to /",
        "",
        &["--bind=src:/"],
        Refused("it is the root directory itself"),
    ),
    (
        "bind to / by ..",
        "",
        &["--bind=src:/bin/../.."],
        Refused("it is the root directory itself"),
    ),
    (
        "bind to / by a link",
        "ln -s / root/a",
        &["--bind=src:/a"],
        Refused("it is the root directory itself"),
    ),
    (
        "bind below a magic link",
        "mkdir root/proc",
        &["--bind=src:/proc/self/root/bound"],
        Refused("cannot mount '/proc/self/root/bound'"),
    ),
    (
        "bind below cwd",
        "",
        &["--bind=src:/proc/self/cwd/canary"],
        Refused("cannot mount '/proc/self/cwd/canary'"),
    ),
    (
        "bind by a link below proc",
        "mkdir -p root/proc/self/cwd; ln -s proc/self/cwd root/a",
        &["--bind=src:/a"],
        Refused("cannot mount '/a'"),
    ),
    (
        "bind on proc's own",
        "",
        &["--bind=src:/proc/sys/fs"],
        Contained,
    ),
    (
        "bind by .. after proc",
        "",
        &["--bind=src:/proc/../bound"],
        Refused("No such file or directory"),
    ),
    ("bind over proc", "", &["--bind=src:/proc"], Contained),
    (
        "bind over a bind",
        "",
        &["--bind=canary:/bound", "--bind=src:/bound"],
        Contained,
    ),
    (
        "bind below a bind",
        "",
        &["--bind=src:/bound", "--bind=src:/bound/sub"],
        Contained,
    ),
    (
        "bind below a read-only bind",
        "",
        &["--bind=src:/bound:ro", "--bind=src/file:/bound/file"],
        Contained,
    ),
    (
        "bind through a link in a bind",
        "ln -s $0/canary src/a",
        &["--bind=src:/bound", "--bind=src:/bound/a"],
        Refused("cannot mount '/bound/a'"),
    ),
    (
        "bind of the tree's own dev",
        "mkdir -p root/dev",
        &["--bind=root/dev:/dev"],
        Contained,
    ),
    (
        "bind of what another bind covers",
        "mkdir -p root/a/b",
        &["--bind=src:/a", "--bind=root/a/b:/bound"],
        Contained,
    ),
    (
        "bind on a file",
        ": > root/a",
        &["--bind=src:/a"],
        Refused("the source is a directory, the target a file"),
    ),
    (
        "bind of a file on a directory",
        "mkdir root/a",
        &["--bind=src/file:/a"],
        Refused("the source is a file, the target a directory"),
    ),
    (
        "bind on a FIFO",
        "mkfifo root/a",
        &["--bind=src/file:/a"],
        Contained,
    ),
    (
        "bind on a hard link",
        "ln canary/empty root/a",
        &["--bind=src/file:/a"],
        Contained,
    ),
    (
        "bind below a file",
        ": > root/a",
        &["--bind=src:/a/b"],
        Refused("Not a directory"),
    ),
    (
        "bind to a name with a line break",
        "",
        &["--bind=src:/a\nb"],
        Contained,
    ),
    (
        "bind through a link with a line break",
        "ln -s nowhere 'root/a\nb'",
        &["--bind=src:/a\nb"],
        Refused(r"'/a\nb'"),
    ),
    (
        "bind of a socket",
        "mv socket src",
        &["--bind=src/socket:/bound/s"],
        Contained,
    ),
];

/// Fails where something of the canary's can be seen; else prints the sizes of the files for name
/// resolution.
const LOOK: &str = r#"
    for place in / /proc /sys /dev /etc /tmp /bound /a /canary; do test ! -e $place/secret || echo "leak: $place"; done
    size() {
        if [ ! -f $1 ]; then echo 0; return; fi
        if head -n 1 $1 | grep -q "^# Lent by zroot while "; then echo lent$(($(wc -c < $1) - $(head -n 1 $1 | wc -c))); else wc -c < $1; fi
    }
    echo $(size /etc/resolv.conf) $(size /etc/hosts)"#;

/// What is made to mount on, beside [`SYSTEM`], in the cases of these names.
const MADE: &[(&str, &[&str])] = &[
    ("bind to ..", &["canary/"]),
    ("bind over a bind", &["bound/"]),
    ("bind below a bind", &["bound/"]),
    ("bind below a read-only bind", &["bound/"]),
    ("bind of what another bind covers", &["bound/"]),
    ("bind to a name with a line break", &["a\nb/"]),
    ("bind of a socket", &["bound/s"]),
    // These are refused later than others, when it has been made.
    ("bind below a magic link", &[]),
    ("bind below cwd", &[]),
    ("bind by a link below proc", &[]),
    ("bind through a link in a bind", &["bound/"]),
];

/// What the case `name` has made where there was `before`.
fn made(tree: &SmallTree, before: &Listing, name: &str, end: &End) -> Vec<&'static str> {
    let by_bind = MADE.iter().find(|(of, _)| *of == name);
    if matches!(end, Refused(_)) && by_bind.is_none() {
        return Vec::new();
    }
    let takes = |root: &Path| fs::metadata(root).is_ok_and(|status| status.mode() & 0o200 != 0);
    let is_missing =
        |name: &&str| !before.contains_key(&tree.root().join(name.trim_end_matches('/')));
    let system = SYSTEM.into_iter().filter(is_missing);
    let system = system.filter(|_| takes(&tree.root()));
    system
        .chain(
            by_bind
                .into_iter()
                .flat_map(|(_, made)| made.iter().copied()),
        )
        .collect()
}

fn tried(test: &str, cases: &[Case]) {
    for (name, make, options, end) in cases {
        let Some(tree) = SmallTree::new(test) else {
            return;
        };
        let _socket = UnixListener::bind(tree.place().join("socket")).expect("a socket");
        common::give(&tree.place().join("socket"));
        tree.prepare(make);
        let before = tree.listing();
        let ran = run(&mut tree.inside(options, LOOK));
        println!("{name}: {ran:?}");
        match end {
            Refused(part) => {
                let (what, _) = ran.refused(125);
                assert!(what.contains(part), "{name}: no '{part}' in: {what}");
            }
            Contained | Prints(_) => {
                assert!(!ran.stdout.contains("leak"), "{name}: {ran:#?}");
                let printed = ran.succeeds().stdout;
                if let Prints(expected) = end {
                    assert_eq!(in_words(&printed), *expected, "{name}");
                }
            }
        }
        tree.as_before_but_for(&before, &made(&tree, &before, name, end));
    }
}

/// What [`LOOK`] prints, without the sizes of the machine's own files.
fn in_words(printed: &str) -> String {
    let word = |(size, path): (&str, &str)| {
        let own = fs::metadata(path).expect(path).len().to_string();
        match size.strip_prefix("lent") {
            Some(size) if size == own => "lent".to_owned(),
            None if size == own => "host".to_owned(),
            _ => size.to_owned(),
        }
    };
    let files = ["/etc/resolv.conf", "/etc/hosts"];
    let words: Vec<String> = printed.split_whitespace().zip(files).map(word).collect();
    words.join(" ")
}

#[test]
fn hostile_places_of_proc_sys_and_dev() {
    tried("hostile_places_of_proc_sys_and_dev", IN_PLACE_OF_SYSTEM);
}

#[test]
fn hostile_places_of_resolv_conf_and_hosts() {
    tried("hostile_places_of_resolv_conf_and_hosts", IN_PLACE_OF_FILES);
}

#[test]
fn hostile_places_of_binds() {
    tried("hostile_places_of_binds", BINDS);
}

#[test]
fn bind_targets_with_long_names() {
    let Some(tree) = SmallTree::new("bind_targets_with_long_names") else {
        return;
    };
    let before = tree.listing();
    let long = "n".repeat(255);
    run(&mut tree.inside(
        &[&format!("--bind=src:/{long}/{long}")],
        &format!("test -f /{long}/{long}/file"),
    ))
    .succeeds();
    let made = format!("{long}/{long}/");
    tree.as_before_but_for(&before, &[&SYSTEM[..], &[&made]].concat());
    let before = tree.listing();
    let (what, _) =
        run(&mut tree.inside(&[&format!("--bind=src:/{long}n")], "echo ran")).refused(125);
    assert!(what.ends_with("File name too long"), "{what}");
    tree.as_before(&before);
    // Longer than a path may be, with a component that exists and one that does not.
    for (target, made) in [
        (format!("{}/bound", "/bin/..".repeat(1000)), Ok("bound/")),
        ("/./a".repeat(2000), Err("")),
        ("/a".repeat(3000), Err("")),
        ("/bin".repeat(2000), Err("bin")),
    ] {
        let before = tree.listing();
        let options = [&*format!("--bind=src:{target}")];
        // Each directory of a path takes a descriptor.
        let mut command = user("sh");
        let script = "ulimit -n 500; exec \"$0\" --root root \"$1\" -- echo ran";
        command.args(["-c", script]).arg(zroot()).args(options);
        let ran = run(command.current_dir(tree.place()));
        match made {
            Ok(made) => {
                ran.succeeds();
                tree.as_before_but_for(&before, &[made]);
            }
            // What was made on the way is taken away again.
            Err(dir) => {
                ran.refused(125);
                tree.as_before_but_for_time_of(dir, &before);
            }
        }
    }
}

/// The ways to name the root directory.
#[test]
fn names_of_the_root_directory() {
    let Some(tree) = SmallTree::new("names_of_the_root_directory") else {
        return;
    };
    tree.prepare("ln -s root link; ln -s link link2; mkdir -p 'a b\nc' other; mv root 'a b\nc/root'; ln -s 'a b\nc/root' root");
    let place = tree.place().to_str().expect("UTF-8");
    tree.prepare("touch -r root/ time");
    // `root` is a link now.
    let unmake = "cd 'a b\nc/root'; rmdir proc sys dev; touch -r \"$0/time\" .";
    let names = [
        "root",
        "root/",
        "./root",
        "root/.",
        "link",
        "link2/",
        "other/../root",
        "a b\nc/root",
        "a b\nc/root/bin/..",
    ];
    for name in names
        .map(str::to_owned)
        .into_iter()
        .chain(["root", "link2"].map(|name| format!("{place}/{name}")))
    {
        let before = tree.listing();
        let ran = run(&mut tree.zroot(["--root", &name, "--", "sh", "-c", LOOK])).succeeds();
        assert!(!ran.stdout.contains("leak"), "{name}: {ran:#?}");
        tree.prepare(unmake);
        tree.as_before(&before);
    }
    // What is mounted on the working directory is not where `.` leads.
    for (dir, name) in [
        ("root", "."),
        ("root", "./"),
        ("root", "./."),
        ("root", "bin/.."),
        ("root/bin", ".."),
        ("root/bin", "../."),
    ] {
        let before = tree.listing();
        let ran = run(tree
            .zroot(["--root", name, "--", "sh", "-c", LOOK])
            .current_dir(tree.place().join(dir)))
        .succeeds();
        assert!(!ran.stdout.contains("leak"), "{name}: {ran:#?}");
        tree.prepare(unmake);
        tree.as_before(&before);
    }
}

/// On file systems that only a mount namespace's owner can mount.
#[test]
fn root_directories_on_mounts() {
    let Some(tree) = SmallTree::new("root_directories_on_mounts") else {
        return;
    };
    let zroot = format!(
        "before; \"$0\" --root root -- sh -c '{LOOK}' > out; same $made; cat out; ! grep leak out"
    );
    let copy = "cp -a root/. src/root; mount -n --move src/root root";
    let cases = [
        ("a bind mount", "mount --bind root root".to_owned(), "proc sys dev"),
        ("a shared mount", "mount --bind root root; mount --make-rshared /".to_owned(), "proc sys dev"),
        ("a tmpfs", format!("mkdir src/root; mount -t tmpfs none src/root; {copy}"), "proc sys dev"),
        (
            "a full tmpfs",
            format!(
                "mkdir src/root; mount -t tmpfs -o size=4m none src/root; {copy}; mkdir root/proc; ! cat /dev/zero > root/tmp/a 2> /dev/null"
            ),
            "sys dev",
        ),
        (
            "a tmpfs without inodes",
            format!("mkdir src/root; mount -t tmpfs -o nr_inodes=$(($(find root | wc -l) + 1)) none src/root; {copy}"),
            "proc",
        ),
        (
            "an overlay",
            "mount -t tmpfs none src/sub; mkdir src/sub/up src/sub/job; mount -t overlay -o userxattr,lowerdir=root,upperdir=src/sub/up,workdir=src/sub/job none root".into(),
            "proc sys dev",
        ),
        ("a read-only mount", "mkdir root/proc root/sys root/dev; mount --bind root root; mount -o remount,bind,ro root".into(), ""),
        ("a read-only mount without places", "mount --bind root root; mount -o remount,bind,ro root".into(), ""),
        (
            "a mount with others below",
            "mount --bind root root; mkdir root/proc; mount -t tmpfs none root/proc; mount -t tmpfs none root/tmp".into(),
            "sys dev",
        ),
    ];
    for (name, make, made) in cases {
        let undo = "cd ..; umount -lR $OLDPWD/root; cd $OLDPWD; rm -rf out src/root; rmdir root/proc root/sys root/dev 2> /dev/null || :";
        let times = "touch -r root /tmp/$$; touch -r src /tmp/$$.src";
        let again = "touch -r /tmp/$$ root; touch -r /tmp/$$.src src; rm /tmp/$$ /tmp/$$.src";
        let outer =
            "touch -r . /tmp/$$.place; trap 'touch -r /tmp/$$.place .; rm /tmp/$$.place' EXIT";
        let ran = in_namespaces(
            &tree,
            &["-rm"],
            &format!("{outer}; {times}; {make}; made='{made}'; {zroot}; {undo}; {again}"),
        );
        assert_eq!(ran.status, 0, "{name}: {ran:#?}");
    }
}

/// A procfs that was left mounted in the tree, whose magic links lead to other roots.
#[test]
fn a_procfs_left_in_the_tree() {
    let Some(tree) = SmallTree::new("a_procfs_left_in_the_tree") else {
        return;
    };
    tree.prepare("mkdir root/proc root/sys root/dev");
    for link in [
        "/proc/self/root/$PWD/canary/empty",
        "/proc/self/cwd/canary/empty",
        "/proc/1/root/$PWD/canary/empty",
        "/proc/self/fd/0",
        "/proc/version",
    ] {
        let script = format!(
            r#"mount -t proc none root/proc; touch -r root/etc /tmp/$$; ln -s {link} root/etc/resolv.conf; before;
            "$0" --root root -- sh -c '{LOOK}' > /dev/null < canary/empty
            "$0" --root root --bind src:/etc/resolv.conf -- true 2> /dev/null && exit 1
            same; rm root/etc/resolv.conf; touch -r /tmp/$$ root/etc; rm /tmp/$$"#
        );
        in_namespaces(&tree, &["-rmpf", "--mount-proc"], &script).succeeds();
    }
}

/// The same directory and device as `/`, but mounted read-only.
#[test]
fn the_present_root_mounted_in_another_place() {
    let Some(tree) = SmallTree::new("the_present_root_mounted_in_another_place") else {
        return;
    };
    let script = r#"
        mount --rbind / root; mount -o remount,bind,ro root
        "$0" --root / -- touch "$PWD/src/file"
        "$0" --root root -- touch "$PWD/src/file" 2>&1 && exit 1
        umount -l root"#;
    tree.prepare("touch -d 2001-02-03 src/file");
    let ran = run(user("unshare")
        .args(["-rm", "sh", "-ec", script])
        .arg(zroot())
        .current_dir(tree.place()))
    .succeeds();
    assert!(ran.stdout.contains("Read-only file system"), "{ran:#?}");
}

/// Exchanges two names until told to stop.
fn exchange(one: &Path, other: &Path, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        nix::fcntl::renameat2(
            nix::fcntl::AT_FDCWD,
            one,
            nix::fcntl::AT_FDCWD,
            other,
            nix::fcntl::RenameFlags::RENAME_EXCHANGE,
        )
        .expect("renameat2");
    }
}

/// Somebody who may write in the tree exchanges its places for links to the canary all the while.
#[test]
fn a_race_for_the_places() {
    let Some(tree) = SmallTree::new("a_race_for_the_places") else {
        return;
    };
    tree.prepare(
        "cd root; mkdir proc sys dev bound; ln -s $0/canary proc.link; ln -s ../canary bound.link; : > etc/resolv.conf
        ln -s ../../canary/empty etc/link; : > etc/hosts; ln ../canary/empty etc/hosts.link; ln -s $0/canary etc.link",
    );
    let canary = || {
        tree.listing()
            .into_iter()
            .filter(|(path, what)| !path.starts_with(tree.root()) || what == "mounted")
            .collect::<Listing>()
    };
    let place = tree.listing().remove(&tree.root());
    let before = canary();
    let stop = AtomicBool::new(false);
    let root = tree.root();
    let pairs = [
        ("proc", "proc.link"),
        ("bound", "bound.link"),
        ("etc/resolv.conf", "etc/link"),
        ("etc/hosts", "etc/hosts.link"),
        ("etc", "etc.link"),
    ];
    let ends = std::thread::scope(|scope| {
        for (one, other) in &pairs[..4] {
            let (one, other) = (root.join(one), root.join(other));
            let stop = &stop;
            scope.spawn(move || exchange(&one, &other, stop));
        }
        let ends: Vec<Ran> = (0..200)
            .map(|_| run(&mut tree.inside(&["--bind=src:/bound"], LOOK)))
            .collect();
        stop.store(true, Ordering::Relaxed);
        ends
    });
    let count = |status: i32| ends.iter().filter(|ran| ran.status == status).count();
    println!("{} ran, {} were refused; {place:?}", count(0), count(125));
    assert_eq!(
        count(0) + count(125),
        ends.len(),
        "{:#?}",
        ends.iter().find(|ran| ![0, 125].contains(&ran.status))
    );
    for ran in ends {
        if ran.status == 125 {
            ran.refused(125);
        } else {
            assert!(!ran.stdout.contains("leak"), "{ran:#?}");
        }
    }
    assert_eq!(canary(), before);
}

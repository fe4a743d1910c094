//! `zroot --root`: hostile root directories, bad input, what is left behind (nothing), and that it
//! works.

mod common;
#[path = "common/debian.rs"]
mod debian;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Listing, Ran, SmallTree, control, filter_answering, run, under_filter, user, zroot};

// Hostile trees.

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
        Prints("0 0"),
    ),
];

/// Files for name resolution. The numbers are the bytes in /etc/resolv.conf, 1 for any, and in
/// /etc/hosts.
const IN_PLACE_OF_FILES: &[Case] = &[
    (
        "etc is an absolute link",
        "rmdir root/etc; ln -s $0/canary root/etc",
        &[],
        Prints("1 0"),
    ),
    (
        "etc is a relative link",
        "rmdir root/etc; ln -s ../../../../../../$0/canary root/etc",
        &[],
        Prints("1 0"),
    ),
    (
        "etc is a link to ../..",
        "rmdir root/etc; ln -s ../../.. root/etc",
        &[],
        Prints("1 0"),
    ),
    (
        "etc is a link to a host directory",
        "rmdir root/etc; ln -s /usr/share root/etc",
        &[],
        Prints("1 0"),
    ),
    (
        "etc is a file",
        "rmdir root/etc; : > root/etc",
        &[],
        Prints("0 0"),
    ),
    ("etc is missing", "rmdir root/etc", &[], Prints("1 0")),
    ("etc has mode 000", "chmod 000 root/etc", &[], Contained),
    (
        "resolv.conf is an absolute link",
        "ln -s $0/canary/empty root/etc/resolv.conf",
        &[],
        Prints("1 0"),
    ),
    (
        "resolv.conf is a relative link",
        "ln -s ../../../../../../../../$0/canary/empty root/etc/resolv.conf",
        &[],
        Prints("1 0"),
    ),
    (
        "resolv.conf is a link to a link",
        "ln -s ../a root/etc/resolv.conf; ln -s ../canary/empty root/a",
        &[],
        Prints("1 0"),
    ),
    (
        "resolv.conf is a link to the resolver's",
        "ln -s ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf",
        &[],
        Prints("1 0"),
    ),
    (
        "resolv.conf is a link to itself",
        "ln -s resolv.conf root/etc/resolv.conf",
        &[],
        Prints("0 0"),
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
        Prints("0 0"),
    ),
    (
        "resolv.conf is a directory",
        "mkdir root/etc/resolv.conf",
        &[],
        Prints("0 0"),
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
        Prints("0 0"),
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
        Prints("0 0"),
    ),
    (
        "resolv.conf is empty",
        ": > root/etc/resolv.conf; touch -d 2001-02-03 root/etc/resolv.conf",
        &[],
        Prints("1 0"),
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
        Prints("21 0"),
    ),
    (
        "resolv.conf is the empty canary",
        "ln canary/empty root/etc/resolv.conf",
        &[],
        Prints("0 0"),
    ),
    (
        "resolv.conf is a link to the empty canary",
        "ln canary/empty root/etc/a; ln -s a root/etc/resolv.conf",
        &[],
        Prints("0 0"),
    ),
    (
        "resolv.conf is the canary's secret",
        "ln canary/secret root/etc/resolv.conf",
        &[],
        Prints("7 0"),
    ),
    (
        "hosts is a link out",
        "ln -s $0/canary/empty root/etc/hosts",
        &[],
        Prints("1 0"),
    ),
    ("hosts is a FIFO", "mkfifo root/etc/hosts", &[], Contained),
    (
        "hosts is the empty canary",
        "ln canary/empty root/etc/hosts",
        &[],
        Prints("1 0"),
    ),
    (
        "hosts is the tree's own",
        "echo 127.0.0.1 localhost > root/etc/hosts",
        &[],
        Prints("1 20"),
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
    size() { if [ -f $1 ]; then wc -c < $1; else echo 0; fi }
    echo $(size /etc/resolv.conf) $(size /etc/hosts)"#;

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
                    // The size of the machine's own resolv.conf, whatever it is.
                    let printed = printed
                        .trim_end()
                        .replace(&format!("{} ", size_of_resolv_conf()), "1 ");
                    assert_eq!(printed, *expected, "{name}");
                }
            }
        }
        tree.settles(&before);
    }
}

fn size_of_resolv_conf() -> u64 {
    fs::metadata("/etc/resolv.conf")
        .expect("/etc/resolv.conf")
        .len()
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
    let (what, _) =
        run(&mut tree.inside(&[&format!("--bind=src:/{long}n")], "echo ran")).refused(125);
    assert!(what.ends_with("File name too long"), "{what}");
    // Longer than a path may be, with a component that exists and one that does not.
    for target in [
        format!("{}/bound", "/bin/..".repeat(1000)),
        "/./a".repeat(2000),
        "/a".repeat(3000),
        "/bin".repeat(2000),
    ] {
        let ran = run(&mut tree.inside(&[&format!("--bind=src:{target}")], "echo ran"));
        if ran.status != 0 {
            ran.refused(125);
        }
    }
    // The time of a directory that a zroot changed before the last one had tidied up may be
    // another.
    tree.settles_but_for(&before, |path| path.ends_with("root"));
}

/// The ways to name the root directory.
#[test]
fn names_of_the_root_directory() {
    let Some(tree) = SmallTree::new("names_of_the_root_directory") else {
        return;
    };
    tree.prepare("ln -s root link; ln -s link link2; mkdir -p 'a b\nc' other; mv root 'a b\nc/root'; ln -s 'a b\nc/root' root");
    let place = tree.place().to_str().expect("UTF-8");
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
        tree.settles(&before);
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
        tree.settles(&before);
    }
}

/// Runs a script as root of namespaces of its own, where zroot is `"$0"`. `before` notes how the
/// tree is, `same` waits until it is so again.
fn in_namespaces(tree: &SmallTree, options: &[&str], script: &str) -> Ran {
    const FUNCTIONS: &str = r#"
        list() { find root/ src canary -xdev -printf '%p %y %m %T@ %l\n' | sort; cat canary/secret canary/empty; grep "$PWD" /proc/self/mountinfo || true; }
        before() { list > "$PWD.before"; }
        same() {
            tries=0
            until list | cmp -s "$PWD.before"; do
                tries=$((tries + 1))
                if [ $tries -gt 2000 ]; then list | diff "$PWD.before" - >&2; exit 9; fi
                sleep 0.005
            done
            rm "$PWD.before"
        }
    "#;
    let before = tree.listing();
    let mut command = user("unshare");
    command
        .args(options)
        .args(["--", "sh", "-ec", &format!("{FUNCTIONS}{script}")])
        .arg(zroot())
        .current_dir(tree.place());
    let ran = run(&mut command).succeeds();
    tree.settles(&before);
    ran
}

/// On file systems that only a mount namespace's owner can mount.
#[test]
fn root_directories_on_mounts() {
    let Some(tree) = SmallTree::new("root_directories_on_mounts") else {
        return;
    };
    let zroot = format!(
        "before; \"$0\" --root root -- sh -c '{LOOK}' > out; same; cat out; ! grep leak out"
    );
    let copy = "cp -a root/. src/root; mount -n --move src/root root";
    let cases = [
        ("a bind mount", "mount --bind root root".to_owned()),
        ("a shared mount", "mount --bind root root; mount --make-rshared /".to_owned()),
        ("a tmpfs", format!("mkdir src/root; mount -t tmpfs none src/root; {copy}")),
        (
            "a full tmpfs",
            format!(
                "mkdir src/root; mount -t tmpfs -o size=4m none src/root; {copy}; mkdir root/proc; ! cat /dev/zero > root/tmp/a 2> /dev/null"
            ),
        ),
        (
            "a tmpfs without inodes",
            format!("mkdir src/root; mount -t tmpfs -o nr_inodes=$(($(find root | wc -l) + 1)) none src/root; {copy}"),
        ),
        (
            "an overlay",
            "mount -t tmpfs none src/sub; mkdir src/sub/up src/sub/job; mount -t overlay -o userxattr,lowerdir=root,upperdir=src/sub/up,workdir=src/sub/job none root".into(),
        ),
        ("a read-only mount", "mkdir root/proc root/sys root/dev; mount --bind root root; mount -o remount,bind,ro root".into()),
        ("a read-only mount without places", "mount --bind root root; mount -o remount,bind,ro root".into()),
        (
            "a mount with others below",
            "mount --bind root root; mkdir root/proc; mount -t tmpfs none root/proc; mount -t tmpfs none root/tmp".into(),
        ),
    ];
    for (name, make) in cases {
        let undo = "cd ..; umount -lR $OLDPWD/root; cd $OLDPWD; rm -rf out src/root; rmdir root/proc root/sys root/dev 2> /dev/null || :";
        let times = "touch -r root /tmp/$$; touch -r src /tmp/$$.src";
        let again = "touch -r /tmp/$$ root; touch -r /tmp/$$.src src; rm /tmp/$$ /tmp/$$.src";
        let outer =
            "touch -r . /tmp/$$.place; trap 'touch -r /tmp/$$.place .; rm /tmp/$$.place' EXIT";
        let ran = in_namespaces(
            &tree,
            &["-rm"],
            &format!("{outer}; {times}; {make}; {zroot}; {undo}; {again}"),
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
    tidied(&tree);
    assert_eq!(canary(), before);
}

// Bad input.

#[test]
fn bad_input_changes_nothing() {
    let Some(tree) = SmallTree::new("bad_input_changes_nothing") else {
        return;
    };
    tree.prepare(
        "mkdir -m 600 locked; mkdir -p empty 'a\nb'; : > file; ln -s $0/canary root/out; ln -s nowhere root/dangling
        : > root/tmp/plain; touch root/bin/dir; mkdir root/tmp/dir; ln -s /bin/loop root/bin/loop",
    );
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["--root", "nowhere", "true"],
            125,
            "root directory 'nowhere': No such file or directory",
        ),
        (
            &["--root", "nowhere/root", "true"],
            125,
            "root directory 'nowhere/root': No such file",
        ),
        (
            &["--root", "a\nb/c", "true"],
            125,
            r"root directory 'a\nb/c'",
        ),
        (&["--root", "", "true"], 125, "--root"),
        (
            &["--root", "file", "true"],
            125,
            "root directory 'file': Not a directory",
        ),
        (
            &["--root", "locked", "true"],
            125,
            "root directory 'locked': Permission denied",
        ),
        (
            &["--root", "empty", "true"],
            127,
            "'true': command not found",
        ),
        (
            &["--root", "empty", "/bin/sh"],
            127,
            "'/bin/sh': No such file or directory",
        ),
        (
            &["--root", "root", "no-such-command"],
            127,
            "'no-such-command': command not found",
        ),
        (
            &["--root", "root", "/usr/bin/env"],
            127,
            "'/usr/bin/env': No such file",
        ),
        (
            &["--root", "root", "/tmp/plain"],
            126,
            "cannot run '/tmp/plain': Permission denied",
        ),
        (
            &["--root", "root", "/tmp/dir"],
            126,
            "cannot run '/tmp/dir': it is a directory",
        ),
        (
            &["--root", "root", "/bin/loop"],
            126,
            "cannot run '/bin/loop': too many symbolic links",
        ),
        (
            &["--root", "root", "/out/secret"],
            127,
            "'/out/secret': No such file",
        ),
        (
            &["--root", "root", "--bind=src", "no-such-command"],
            127,
            "'no-such-command': command not found",
        ),
        (
            &["--root", "root", "--bind=src:/job", "/job/nothing"],
            127,
            "'/job/nothing'",
        ),
        (
            &["--root", "root", "--bind=src:/job", "/job/file"],
            126,
            "cannot run '/job/file': Permission denied",
        ),
        (
            &["--root", "root", "--bind", "nowhere:/a", "true"],
            125,
            "bind source 'nowhere': No such file",
        ),
        (
            &[
                "--root",
                "root",
                "--bind",
                "src:/ok",
                "--bind",
                "nowhere:/a",
                "true",
            ],
            125,
            "bind source 'nowhere'",
        ),
        (
            &["--root", "root", "--bind", "src:/out", "true"],
            125,
            "bind target '/out' in 'root'",
        ),
        (
            &["--root", "root", "--bind", "src:/out/a", "true"],
            125,
            "bind target '/out/a' in 'root'",
        ),
        (
            &["--root", "root", "--bind", "src:/dangling", "true"],
            125,
            "bind target '/dangling' in 'root'",
        ),
        (
            &["--root", "root", "-C", "/nowhere", "true"],
            125,
            "cannot change to '/nowhere': No such file",
        ),
        (
            &["--root", "root", "-C", "/tmp/plain", "true"],
            125,
            "cannot change to '/tmp/plain': Not a directory",
        ),
        (
            &["--root", "root", "-C", "/out", "true"],
            125,
            "cannot change to '/out': No such file",
        ),
        (&["--root", "root", "-C", "", "true"], 125, "--chdir"),
        (
            &[
                "--root",
                "root",
                "--bind=src:/job",
                "-C",
                "/job/nothing",
                "true",
            ],
            125,
            "cannot change to '/job/nothing': No such file",
        ),
        (
            &[
                "--root",
                "root",
                "--bind=src:/job",
                "-C",
                "/job/file",
                "true",
            ],
            125,
            "cannot change to '/job/file': Not a directory",
        ),
        (&["--bind", "src:/a", "true"], 125, "--bind needs --root"),
        (&["--root", "root", "--bind", "", "true"], 125, "--bind"),
        (
            &["--root", "root", "--bind", ":/a", "true"],
            125,
            "SRC is empty",
        ),
        (
            &["--root", "root", "--bind", "src:a", "true"],
            125,
            "DST must be absolute",
        ),
        (
            &["--root", "root", "--bind", "src:", "true"],
            125,
            "DST must be absolute",
        ),
        (
            &["--root", "root", "--bind", "src:/a:rw", "true"],
            125,
            "only ':ro' may follow",
        ),
        (
            &["--root", "root", "--bind", "src:/a:ro:", "true"],
            125,
            "only ':ro' may follow",
        ),
        (
            &["--root", "root", "--userns=never", "true"],
            125,
            "cannot make a mount namespace: Operation not permitted",
        ),
        (&["--root"], 125, "--root"),
    ];
    let before = tree.listing();
    for (args, status, part) in cases {
        let (what, _) = run(&mut tree.zroot(*args)).refused(*status);
        assert!(what.contains(part), "{args:?}: no '{part}' in: {what}");
        // Where something was made before the error, it is gone when zroot is, or a moment later.
        tree.settles(&before);
    }
}

// Nothing is left.

/// The processes that tidy up for `tree`: they hold directories in it.
fn tidying(tree: &SmallTree) -> Vec<PathBuf> {
    let holds = |process: &Path| {
        let fds = fs::read_dir(process.join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|to| to.starts_with(tree.place()))
    };
    let is_it = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name == "zroot-tidy\n")
            && holds(process)
    };
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .map(|process| process.path())
        .filter(is_it)
        .collect()
}

/// Waits until there are none.
#[track_caller]
fn tidied(tree: &SmallTree) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !tidying(tree).is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "still there: {:?}",
            tidying(tree)
        );
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

const MAKINGS: [&str; 5] = [
    "",
    "mkdir root/proc root/sys root/dev; echo nameserver 192.0.2.1 > root/etc/resolv.conf",
    "mkdir root/proc root/sys root/dev; : > root/etc/resolv.conf; : > root/etc/hosts; touch -d 2001-02-03 root/etc/*",
    "rmdir root/etc; chmod 311 root",
    "mkdir root/proc; ln -s ../run/resolv.conf root/etc/resolv.conf; chmod 2755 root",
];

const BIND_ALL: [&str; 3] = [
    "--bind=src:/job/deep/below",
    "--bind=src/file:/job/file:ro",
    "--bind=src",
];

#[test]
fn nothing_is_left_however_the_command_ends() {
    let ends = [
        ("exit 0", 0),
        ("exit 1", 1),
        ("kill -9 $$", 128 + libc::SIGKILL),
        ("kill -11 $$", 128 + libc::SIGSEGV),
        ("exec no-such-command", 127),
        ("umount -l /proc; umount -l /dev; umount -l /sys; exit 0", 0),
        ("mount -t tmpfs none /tmp; touch /tmp/a", 0),
        ("unshare -m sh -c 'exit 3'", 3),
        ("(sleep 0.01; ls /proc/self > /dev/null) & exit 4", 4),
        ("trap '' HUP TERM INT; kill -TERM 0; exit 0", 0),
    ];
    for make in MAKINGS {
        let Some(tree) = SmallTree::new("nothing_is_left_however_the_command_ends") else {
            return;
        };
        tree.prepare(make);
        let before = tree.listing();
        for (script, status) in ends {
            for options in [&[][..], &BIND_ALL] {
                let mut command = tree.inside(options, script);
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                let ran = run(&mut command);
                assert_eq!(ran.status, status, "{make}: {ran:#?}");
                tree.settles(&before);
            }
        }
        tidied(&tree);
    }
}

/// No process is needed where all exists.
#[test]
fn no_process_where_nothing_was_made() {
    let Some(tree) = SmallTree::new("no_process_where_nothing_was_made") else {
        return;
    };
    tree.prepare("mkdir root/proc root/sys root/dev root/job; echo nameserver 192.0.2.1 > root/etc/resolv.conf");
    let mut child = tree
        .inside(&["--bind=src:/job"], "echo; read line")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zroot");
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0]).expect("a line");
    assert_eq!(tidying(&tree), [""; 0].map(PathBuf::from));
    drop(child.stdin.take());
    child.wait().expect("zroot's end");
}

/// The process that tidies up is nobody's child, has no descriptor, terminal or directory of the
/// caller's, and waits for the last process.
#[test]
fn the_process_that_tidies_up() {
    let Some(tree) = SmallTree::new("the_process_that_tidies_up") else {
        return;
    };
    let before = tree.listing();
    // The pipe ends with the command, although a process stays behind.
    let mut keep = tree.inside(
        &["--bind=src:/job"],
        "sleep 1000 > /dev/null 2>&1 < /dev/null & echo $! $$",
    );
    let ran = run(keep.stdin(Stdio::piped())).succeeds();
    let (behind, command) = ran.stdout.trim().split_once(' ').expect("two ids");
    // It takes its name when it has let go of all else.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let tidy = loop {
        match &tidying(&tree)[..] {
            [tidy] => break tidy.clone(),
            others => assert!(
                std::time::Instant::now() < deadline,
                "not one process: {others:?}"
            ),
        }
    };
    let tidy = tidy.as_path();
    assert!(
        tree.root().join("proc").is_dir()
            && tree.root().join("job").is_dir()
            && tree.root().join("etc/resolv.conf").is_file()
    );

    let stat = fs::read_to_string(tidy.join("stat")).expect("stat");
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .expect("fields")
        .split(' ')
        .collect();
    let pid = tidy.file_name().and_then(OsStr::to_str).expect("an id");
    let (parent, session, terminal) = (fields[1], fields[3], fields[4]);
    assert!(parent != command && terminal == "0", "{stat}");
    // Neither the command's session and process group nor one that it could get a terminal in.
    let own = nix::unistd::getsid(None).expect("getsid").to_string();
    assert!(
        session != own && session != command && session != pid && fields[2] == session,
        "{stat}"
    );
    assert_eq!(
        fs::read_link(tidy.join("cwd")).expect("cwd"),
        Path::new("/")
    );
    assert_eq!(
        fs::read_link(tidy.join("root")).expect("root"),
        Path::new("/")
    );
    for namespace in ["mnt", "user"] {
        let of = |process: &Path| {
            fs::read_link(process.join("ns").join(namespace)).expect("a namespace")
        };
        assert_eq!(of(tidy), of(Path::new("/proc/self")));
    }
    let fds = fs::read_dir(tidy.join("fd"))
        .expect("fd")
        .flatten()
        .map(|fd| fs::read_link(fd.path()).expect("a descriptor"));
    for fd in fds {
        let known = fd.starts_with(tree.root())
            || fd == Path::new("/dev/null")
            || fd == Path::new("anon_inode:inotify");
        assert!(known, "{fd:?}");
    }
    run(user("kill").arg(behind)).succeeds();
    tree.settles(&before);
    tidied(&tree);
}

/// Those who wait for all children would wait for it.
#[test]
fn the_command_has_no_children() {
    let Some(tree) = SmallTree::new("the_command_has_no_children") else {
        return;
    };
    let script = r#"for status in /proc/[0-9]*/status; do
            { grep -q "^Name:.zroot-tidy$" $status && grep "^PPid:.$$\$" $status; } 2> /dev/null
        done; cat /proc/$$/task/$$/children 2> /dev/null; echo end"#;
    let out = run(&mut tree.inside(&[], script)).succeeds().stdout;
    // The one that cat itself is in the second list.
    assert!(!out.contains("PPid"), "{out}");
    assert!(out.split_whitespace().count() <= 2, "{out}");
}

#[test]
fn nothing_is_left_when_namespaces_are_refused() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_namespaces_are_refused") else {
        return;
    };
    let before = tree.listing();
    let as_1000 = [
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
    ];
    for (limit, part) in [
        ("user", "cannot make a user namespace"),
        ("mnt", "cannot make a mount namespace"),
    ] {
        let script = format!(
            r#"echo 0 > /proc/sys/user/max_{limit}_namespaces && exec "$0" --root root --bind src:/job echo ran"#
        );
        let ran = run(user("unshare")
            .args(as_1000)
            .args(["--", "sh", "-c", &script])
            .arg(zroot())
            .current_dir(tree.place()));
        let (what, _) = ran.refused(125);
        assert!(what.starts_with(part), "{what}");
        tree.settles(&before);
    }
    // The filter comes last.
    let filter = filter_answering(
        libc::SYS_seccomp,
        libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
    );
    let (what, _) = run(under_filter(
        &mut tree.inside(&BIND_ALL, "echo ran"),
        filter,
    ))
    .refused(125);
    assert!(what.starts_with("cannot install the filter"), "{what}");
    tree.settles(&before);
    tidied(&tree);
}

#[test]
fn nothing_is_left_when_descriptors_run_out() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_descriptors_run_out") else {
        return;
    };
    let before = tree.listing();
    let mut ran_once = false;
    for limit in 3..50 {
        let script =
            format!(r#"ulimit -n {limit}; exec "$0" --root root --bind src:/job/a/b true"#);
        let ran = run(user("sh")
            .args(["-c", &script])
            .arg(zroot())
            .current_dir(tree.place()));
        ran_once |= ran.status == 0;
        if ran.status != 0 {
            ran.refused(125);
        }
        tree.settles(&before);
    }
    assert!(ran_once);
    tidied(&tree);
}

/// Callers that differ from a shell: closed standard descriptors, ignored SIGCHLD, a strict umask.
#[test]
fn callers_of_other_kinds() {
    let Some(tree) = SmallTree::new("callers_of_other_kinds") else {
        return;
    };
    let before = tree.listing();
    let kinds = [
        "exec <&-",
        "exec >&-",
        "exec <&- >&- 2>&-",
        "exec <&- >&-; exec 3>&- 4>&-",
        "trap '' CHLD",
        "umask 077",
        "umask 000",
        "trap '' HUP INT TERM PIPE",
    ];
    for kind in kinds {
        let script = format!(
            r#"{kind}; exec "$0" --root root --bind src:/job sh -c 'test -f /job/file && test -s /etc/resolv.conf && test -e /proc/self'"#
        );
        run(user("sh")
            .args(["-c", &script])
            .arg(zroot())
            .current_dir(tree.place()))
        .succeeds();
        tree.settles(&before);
    }
    tidied(&tree);
}

/// What the first one made was taken away from under the second when the first one ended.
#[test]
fn two_zroots_in_one_directory() {
    let Some(tree) = SmallTree::new("two_zroots_in_one_directory") else {
        return;
    };
    let before = tree.listing();
    let start = || {
        let script = "echo; read line; test -e /proc/self && test -e /dev/null && test -s /etc/resolv.conf && test -f /job/file && exit 42";
        let mut child = tree
            .inside(&["--bind=src:/job"], script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("zroot");
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0])
            .expect("a line");
        child
    };
    let end = |mut child: std::process::Child| {
        drop(child.stdin.take());
        child.wait().expect("zroot's end").code()
    };
    let (first, second, third) = (start(), start(), start());
    assert_eq!(end(first), Some(42));
    assert_eq!(end(second), Some(42));
    assert_eq!(end(third), Some(42));
    tree.settles(&before);
    tidied(&tree);
}

/// One after the other: the second found what the first had made, and lost it at once. Side by
/// side: each makes what the others need.
#[test]
fn many_zroots_in_one_directory() {
    let Some(tree) = SmallTree::new("many_zroots_in_one_directory") else {
        return;
    };
    let before = tree.listing();
    let check = "test -e /proc/self && test -e /dev/null && test -d /sys/kernel && test -s /etc/resolv.conf && test -f $0/file";
    let once = |target: &str| {
        let options = [
            "--root",
            "root",
            &format!("--bind=src:{target}"),
            "sh",
            "-c",
            check,
            target,
        ];
        run(&mut tree.zroot(options)).succeeds();
    };
    for target in ["/job", "/job/deep", "/job/deep/er/still", "/job"]
        .iter()
        .cycle()
        .take(40)
    {
        once(target);
    }
    let times_aside = |path: &Path| path.ends_with("root");
    tree.settles_but_for(&before, times_aside);
    std::thread::scope(|scope| {
        for targets in [
            ["/job/a", "/job"],
            ["/job/a/b", "/other"],
            ["/job/c", "/job/a/b/c"],
            ["/tmp/x", "/job/a"],
        ] {
            scope.spawn(move || {
                targets
                    .iter()
                    .cycle()
                    .take(20)
                    .for_each(|target| once(target));
            });
        }
    });
    // Each of them had what it needs.
    tidied(&tree);
}

/// A process in a copy of the mount namespace lost /proc when the command ended.
#[test]
fn a_process_in_a_nested_mount_namespace() {
    let Some(tree) = SmallTree::new("a_process_in_a_nested_mount_namespace") else {
        return;
    };
    let before = tree.listing();
    // Ends when its standard input does, which is after the command.
    let nested =
        "unshare -m sh -c 'read line; test -e /proc/self && test -s /etc/resolv.conf && echo fine'";
    let script = format!(
        "exec 3<&0; {nested} <&3 & until [ \"$(readlink /proc/$!/ns/mnt)\" != \"$(readlink /proc/self/ns/mnt)\" ]; do :; done; exec 3<&-; echo $$"
    );
    let mut child = tree
        .inside(&[], &script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zroot");
    let stdin = child.stdin.take();
    assert!(child.wait().expect("zroot's end").success());
    assert_eq!(tidying(&tree).len(), 1);
    drop(stdin);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().expect("a pipe"), &mut said)
        .expect("its output");
    assert!(said.ends_with("\nfine\n"), "{said}");
    tree.settles(&before);
    tidied(&tree);
}

/// What the command has changed is the command's and stays.
#[test]
fn what_the_command_changes_stays() {
    let cases = [
        (
            "echo mine > /new; mv /new /etc/resolv.conf",
            "test \"$(cat root/etc/resolv.conf)\" = mine; test ! -e root/proc",
        ),
        (
            "echo more >> /etc/resolv.conf",
            "tail -1 root/etc/resolv.conf | grep -q more; test ! -e root/proc",
        ),
        (
            "rm /etc/resolv.conf",
            "test ! -e root/etc/resolv.conf; test ! -e root/proc",
        ),
        (
            "rm /etc/resolv.conf; ln -s ../run/x /etc/resolv.conf",
            "test -L root/etc/resolv.conf; test ! -e root/proc",
        ),
        (
            "mkdir /var /var/lib; echo a > /var/lib/a",
            "test -f root/var/lib/a; test ! -e root/proc",
        ),
        (
            "umount -l /job; echo a > /job/a",
            "test -f root/job/a; test ! -e root/proc",
        ),
        (
            "echo a > /job/a",
            "test -f src/a; test ! -e root/job; test ! -e root/proc",
        ),
        (
            "umount -l /sys && rmdir /sys && mkdir /sys",
            "test ! -e root/proc",
        ),
    ];
    for make in ["", ": > root/etc/resolv.conf"] {
        for (script, check) in cases {
            let Some(tree) = SmallTree::new("what_the_command_changes_stays") else {
                return;
            };
            tree.prepare(make);
            run(&mut tree.inside(&["--bind=src:/job"], script)).succeeds();
            tidied(&tree);
            tree.prepare(check);
        }
    }
}

// It works.

/// Scripts that exit 0 where all is as it should be.
const WORKS: &[(&str, &[&str], &str)] = &[
    (
        "root",
        &[],
        "test $(id -u) = 0 && test $(id -g) = 0 && test -O /etc && test \"$(pwd)\" = /",
    ),
    (
        "owners",
        &[],
        "touch /tmp/a; chown 1:2 /tmp/a; mknod /tmp/b c 1 3; rm /tmp/a",
    ),
    (
        "processes",
        &[],
        "test -r /proc/self/status && test \"$(readlink /proc/self/root)\" = /",
    ),
    ("sysfs", &[], "test -d /sys/kernel && test -d /sys/class"),
    (
        "devices",
        &[],
        "echo > /dev/null; head -c 9 /dev/urandom | wc -c | grep -q 9; test -d /dev/pts; test -c /dev/tty; test -e /dev/fd/0",
    ),
    (
        "shared memory",
        &[],
        "test ! -d /dev/shm || { echo > /dev/shm/zroot.$$; rm /dev/shm/zroot.$$; }",
    ),
    (
        "only this tree",
        &[],
        "test ! -e /usr && test ! -e /job && test ! -e /home",
    ),
    (
        "mounts",
        &[],
        "test $(grep -c ' / / ' /proc/self/mountinfo) -le 1 && ! grep oldroot /proc/self/mountinfo && mount -t tmpfs none /tmp && umount /tmp",
    ),
    (
        "pivot",
        &[],
        "test $(awk '$5 == \"/\"' /proc/self/mountinfo | wc -l) = 1",
    ),
    ("chroot", &[], "chroot / /bin/true && unshare -r true"),
    ("resolver", &[], "grep -q . /etc/resolv.conf"),
    (
        "resolver replaced",
        &[],
        "echo a > /etc/new; mv /etc/new /etc/resolv.conf; grep -q a /etc/resolv.conf",
    ),
    (
        "resolver removed",
        &[],
        "rm /etc/resolv.conf; test ! -e /etc/resolv.conf",
    ),
    (
        "directory bound",
        &["--bind=src:/job"],
        "grep -q source /job/file; touch /job/a; rm /job/a",
    ),
    (
        "file bound",
        &["--bind=src/file:/job"],
        "grep -q source /job",
    ),
    (
        "file in a new directory",
        &["--bind=src/file:/job/deep/file"],
        "grep -q source /job/deep/file",
    ),
    ("same place", &["--bind=/usr"], "test -d /usr/bin"),
    (
        "read-only",
        &["--bind=src:/job:ro"],
        "grep -q source /job/file; ! touch /job/a; ! echo > /job/file; ! mount -o remount,rw /job",
    ),
    (
        "read-only file",
        &["--bind=src/file:/job:ro"],
        "grep -q source /job; ! echo > /job",
    ),
    (
        "both",
        &["--bind=src:/job:ro", "--bind=src/sub:/job/sub"],
        "touch /job/sub/a; rm /job/sub/a; ! touch /job/a",
    ),
    (
        "device bound",
        &["--bind=/dev/null:/job/null"],
        "echo > /job/null",
    ),
    (
        "on an existing directory",
        &["--bind=src:/tmp"],
        "grep -q source /tmp/file",
    ),
    (
        "through a link inside",
        &["--bind=src:/linked"],
        "grep -q source /tmp/file",
    ),
    ("directory", &["-C", "/tmp"], "test \"$(pwd)\" = /tmp"),
    (
        "relative directory",
        &["-C", "etc/.."],
        "test \"$(pwd)\" = /",
    ),
    (
        "directory in a mount",
        &["-C", "/proc/self/task"],
        "test \"$(pwd)\" != /",
    ),
    (
        "directory in a bind",
        &["--bind=src:/job", "-C", "/job/sub"],
        "test \"$(pwd)\" = /job/sub",
    ),
    (
        "directory is a bind",
        &["--bind=src:/job", "-C", "/job"],
        "test \"$(pwd)\" = /job",
    ),
    (
        "directory in a bind by a link",
        &["--bind=src:/linked", "-C", "/linked/sub"],
        "test \"$(pwd)\" = /tmp/sub",
    ),
];

#[test]
fn it_works() {
    let Some(tree) = SmallTree::new("it_works") else {
        return;
    };
    tree.prepare("ln -s tmp root/linked");
    for (name, options, script) in WORKS {
        let ran = run(&mut tree.inside(options, &format!("set -e; {script}")));
        assert_eq!(ran.status, 0, "{name}: {ran:#?}");
        // The next case may want a file where this one made a directory. /proc was made first and
        // goes last.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while tree.root().join("proc").exists() {
            assert!(std::time::Instant::now() < deadline, "{name}: still there");
        }
    }
    // The control: the same directory without the filter.
    run(user("unshare")
        .args(["-r", "chroot"])
        .arg(tree.root())
        .args(["sh", "-c", "touch /tmp/a; chown 1:2 /tmp/a"]))
    .fails_with("Invalid argument");
    run(&mut tree.inside(&["--no-fake=owner"], "touch /tmp/a; chown 1:2 /tmp/a"))
        .fails_with("Invalid argument");
}

/// The command is the caller's child itself, with what the caller gave it.
#[test]
fn the_command_is_found_inside() {
    let Some(tree) = SmallTree::new("the_command_is_found_inside") else {
        return;
    };
    tree.prepare("mkdir root/opt; cp src/tool root/opt/only-inside; mkdir bin; cp src/tool bin/only-outside; : > root/placeholder; cp src/tool root/opt/bare; sed -i 1d root/opt/bare");
    let path = format!("{}/bin:/opt:/bin", tree.place().display());
    let ran = |args: &[&str]| {
        run(tree
            .zroot(
                [
                    &[
                        "--root",
                        "root",
                        "--bind=src:/job",
                        "--bind=src/tool:/placeholder:ro",
                    ],
                    args,
                ]
                .concat(),
            )
            .env("PATH", &path))
    };
    let tool = |args: &[&str]| assert_eq!(ran(args).succeeds().stdout, "tool\n", "{args:?}");
    tool(&["only-inside"]);
    tool(&["/opt/only-inside"]);
    tool(&["opt/only-inside"]);
    tool(&["/opt/bare"]);
    tool(&["-C", "/opt", "./only-inside"]);
    tool(&["/job/tool"]);
    tool(&["-C", "/job", "./tool"]);
    // What is mounted on it counts, not the placeholder, which cannot be run.
    tool(&["/placeholder"]);
    assert!(
        ran(&["only-outside"])
            .refused(127)
            .0
            .contains("'only-outside'")
    );
    assert!(
        ran(&["-C", "/opt", "only-outside"])
            .refused(127)
            .0
            .contains("'only-outside'")
    );
    let outside = tree.place().join("bin/only-outside");
    ran(&[outside.to_str().expect("UTF-8")]).refused(127);
}

#[test]
fn a_tree_of_another_machine() {
    let Some(tree) = SmallTree::new("a_tree_of_another_machine") else {
        return;
    };
    // An ELF header for a machine that is not this one.
    let (number, name) = if cfg!(target_arch = "s390x") {
        (183u8, "aarch64")
    } else {
        (22, "s390x")
    };
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 2, 1]);
    (header[17], header[19]) = (2, number);
    common::executable(&tree.root().join("bin/foreign"), header);
    let (what, hint) = run(&mut tree.zroot(["--root", "root", "foreign"])).refused(126);
    assert_eq!(what, "cannot run '/bin/foreign': Exec format error");
    assert!(
        hint.contains(&format!("an executable for {name}")) && hint.contains("binfmt_misc"),
        "{hint}"
    );
}

/// A source with something else mounted below.
#[test]
fn read_only_reaches_what_is_mounted_below() {
    let Some(tree) = SmallTree::new("read_only_reaches_what_is_mounted_below") else {
        return;
    };
    for name in ["work", "wo rk", "wo\\rk"] {
        let bind = format!(
            r#""$0" --root root --bind "src:/{name}:ro" sh -c 'cd "/{name}"; ! touch a 2> /dev/null; ! touch sub/a 2> /dev/null; cat sub/below'"#
        );
        let script = format!(
            "mount -t tmpfs none src/sub; echo below > src/sub/below; {bind}; touch src/sub/a"
        );
        assert_eq!(
            in_namespaces(&tree, &["-rm"], &script).succeeds().stdout,
            "below\n"
        );
    }
}

/// Before Linux 5.12 there was no mount_setattr(2).
#[test]
fn read_only_without_mount_setattr() {
    let Some(tree) = SmallTree::new("read_only_without_mount_setattr") else {
        return;
    };
    let filter = || {
        filter_answering(
            libc::SYS_mount_setattr,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        )
    };
    let before = tree.listing();
    for (source, check) in [
        ("src", "grep -q source /job/file; ! touch /job/a"),
        ("src/file", "grep -q source /job; ! echo > /job"),
    ] {
        run(under_filter(
            &mut tree.inside(&[&format!("--bind={source}:/job:ro")], check),
            filter(),
        ))
        .succeeds();
        tree.settles(&before);
    }
    // What is mounted below would stay writable.
    for name in ["work", "wo rk", "wo\\rk"] {
        let script =
            r#"mount -t tmpfs none src/sub; exec "$0" --root root --bind "src:/$1:ro" echo ran"#;
        let mut command = user("unshare");
        command
            .args(["-rm", "sh", "-ec", script])
            .arg(zroot())
            .arg(name)
            .current_dir(tree.place());
        let (what, _) = run(under_filter(&mut command, filter())).refused(125);
        assert!(
            what.starts_with("cannot make ")
                && what.ends_with("read-only: Function not implemented"),
            "{what}"
        );
        tree.settles(&before);
    }
}

// zroot --root in and around other things.

// The end of a PID namespace's first process is the end of all others in it, even of the one that
// tidies up: it waits for that here.
const AS_INIT: &str = "\"$@\" || exit 1; while [ -e root/proc ]; do :; done";

#[test]
fn roots_in_roots() {
    let Some(tree) = SmallTree::new("roots_in_roots") else {
        return;
    };
    tree.prepare("mkdir root/inner root/inner/etc; cp -a root/bin root/inner");
    let zroot_path = zroot().to_str().expect("UTF-8");
    let bind = format!("--bind={zroot_path}:/zroot:ro");
    let before = tree.listing();
    // The end of a PID namespace may come between the last removal and the restoring of the
    // directory's time.
    let times_aside =
        |path: &Path| path.ends_with("root") || path.ends_with("inner") || path.ends_with("etc");
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test -e /proc/self && test ! -e /inner && test -s /etc/resolv.conf && echo nested";
    let inner = ["/zroot", "--root", "/inner", "--", "sh", "-c", check];
    let outers: [&[&str]; 5] = [
        &[],
        &[zroot_path],
        &[zroot_path, zroot_path],
        &["unshare", "-r"],
        &[
            "unshare",
            "-rmpf",
            "--mount-proc",
            "sh",
            "-c",
            AS_INIT,
            "sh",
        ],
    ];
    for outer in outers {
        let words = outer
            .iter()
            .copied()
            .chain([zroot_path, "--root", "root", &bind])
            .chain(inner)
            .collect::<Vec<_>>();
        let ran = run(user(words[0]).args(&words[1..]).current_dir(tree.place())).succeeds();
        assert_eq!(ran.stdout, "nested\n", "{outer:?}");
        tree.settles_but_for(&before, times_aside);
    }
    // The directory that is / already.
    let script = "test -e /proc/self && test -f /job/file && test -e /bin && echo same";
    let ran = run(&mut tree.inside(
        &[&bind, "--bind=src:/src"],
        &format!("/zroot --root / --bind /src:/job -- sh -c '{script}'"),
    ))
    .succeeds();
    assert_eq!(ran.stdout, "same\n");
    tree.settles_but_for(&before, times_aside);
}

/// A chroot's root is no mount, which pivot_root(2) wants.
#[test]
fn a_root_in_a_chroot() {
    let Some(tree) = SmallTree::new("a_root_in_a_chroot") else {
        return;
    };
    tree.prepare("mkdir root/inner root/inner/etc; cp -a root/bin root/inner; : > root/zroot; : > root/etc/resolv.conf; mkdir root/proc root/dev root/inner/dev");
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test ! -e /inner && echo nested";
    let script = |before: &str| {
        format!(
            r#"{before}; mount --bind "$0" root/zroot; chroot root /zroot --root /inner -- sh -c '{check}'"#
        )
    };
    let before = tree.listing();
    let ran = |script: &str| {
        run(user("unshare")
            .args(["-rm", "sh", "-ec", script])
            .arg(zroot())
            .current_dir(tree.place()))
    };
    let with_proc = "mount --rbind /proc root/proc; mount --rbind /dev root/dev";
    assert_eq!(ran(&script(with_proc)).succeeds().stdout, "nested\n");
    tree.settles(&before);
    // Without /proc there is no way to mount by descriptor; and that is what it says.
    let (what, hint) = ran(&script(":")).refused(125);
    assert!(
        format!("{what} {hint}").contains("/proc"),
        "{what} / {hint}"
    );
    tree.settles(&before);
}

#[test]
fn a_root_in_bwrap() {
    need!("a_root_in_bwrap", "bwrap");
    let Some(tree) = SmallTree::new("a_root_in_bwrap") else {
        return;
    };
    let before = tree.listing();
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test -f /job/file && echo nested";
    let bwraps: [&[&str]; 3] = [
        &[],
        &["--unshare-all", "--proc", "/proc"],
        &[
            "--unshare-user",
            "--uid",
            "0",
            "--gid",
            "0",
            "--cap-add",
            "ALL",
        ],
    ];
    for options in bwraps {
        let mut command = user("bwrap");
        command
            .args(["--dev-bind", "/", "/"])
            .args(options)
            .arg(zroot())
            .args(["--root", "root", "--bind=src:/job", "sh", "-c", check]);
        let ran = run(command.current_dir(tree.place())).succeeds();
        assert_eq!(ran.stdout, "nested\n", "{options:?}");
        tree.settles(&before);
    }
}

/// For real root nothing is different: the tree's owner is another, and the mounts are in a
/// namespace of the command's own.
#[test]
fn real_root_gets_a_root_directory() {
    let name = "real_root_gets_a_root_directory";
    if common::for_root_only(name) {
        return;
    }
    let Some(tree) = SmallTree::new(name) else {
        return;
    };
    let before = tree.listing();
    for options in [&[][..], &["--if-needed"], &["--userns=never"]] {
        let script = "test $(id -u) = 0 && test -e /proc/self && test -s /etc/resolv.conf && test -f /job/file && echo fine";
        let mut command = Command::new(zroot());
        command
            .args(options)
            .args(["--root", "root", "--bind=src:/job", "sh", "-c", script])
            .current_dir(tree.place());
        assert_eq!(run(&mut command).succeeds().stdout, "fine\n", "{options:?}");
        tree.settles(&before);
    }
}

// Package managers.

const INSTALL: &str = "apt-get update && apt-get install -y --no-install-recommends --reinstall openssh-client man-db";

#[test]
fn packages_install_in_a_debian_tree() {
    let Some(tree) = debian::Root::copy("packages_install_in_a_debian_tree") else {
        return;
    };
    run(&mut tree.chroot_with_mounts(["sh", "-c", INSTALL])).fails_with("setgroups");
    let zroot = |script: &str| {
        run(user(zroot())
            .arg("--root")
            .arg(tree.path())
            .args(["--", "sh", "-ec", script]))
    };
    zroot(INSTALL).succeeds();
    assert_eq!(
        zroot("dpkg --audit; ldconfig; test -x /usr/bin/ssh && man -V | grep -c man")
            .succeeds()
            .stdout,
        "1\n"
    );
    assert_eq!(tree.leftovers(), [""; 0]);
    let _ = control(["true"]);
}

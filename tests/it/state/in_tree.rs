//! `--owners=xattr`: owners and devices in attributes of the tree's files, for the next run and for
//! other programs. The control of each is the same without the option.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::{
    Ran, SmallTree, for_root_only, plain, program, run, skip, user, wait_for, zroot, zroot_with,
};
use crate::debian::Root;
use crate::supervisor::{Live, send};

/// Level full is meant.
const OWNERS: [&str; 1] = ["--owners=xattr"];
const FORGETS: [&str; 2] = ["-c", "full"];

/// A small tree; `None` after a SKIP where something is missing.
fn tree(test: &str) -> Option<SmallTree> {
    if program("getfattr").is_none() {
        skip(test, "there is no getfattr (Debian's attr)");
        return None;
    }
    SmallTree::new(test)
}

impl SmallTree {
    /// What `script` says with `options` inside.
    #[track_caller]
    fn says(&self, options: &[&str], script: &str) -> String {
        let ran = run(&mut self.inside(options, script)).succeeds();
        assert_eq!(ran.stderr, "", "{}", ran.command);
        ran.stdout
    }

    /// The attributes `name` of all files, as `FILE VALUE`, sorted; the value of owners alone in
    /// hexadecimal.
    fn attributes(&self, name: &str) -> Vec<String> {
        let form = if name.ends_with("stat") {
            "text"
        } else {
            "hex"
        };
        let script = format!("getfattr -R -h -n {name} -e {form} --absolute-names . 2>/dev/null");
        // Who does not own a file's contents owns its attributes.
        let said = run(user("unshare")
            .args(["-r", "sh", "-c", &script])
            .current_dir(self.root()));
        let (mut all, mut file) = (Vec::new(), "");
        for line in said.stdout.lines() {
            if let Some(name) = line.strip_prefix("# file: ") {
                file = name;
            } else if let Some((_, value)) = line.split_once('=') {
                all.push(format!("{file} {}", value.trim_matches('"')));
            }
        }
        all.sort();
        all
    }
}

const STAT: &str = "user.containers.override_stat";
const ROOTLESS: &str = "user.rootlesscontainers";

/// Files of all kinds, some of which their own owner may neither read nor write.
const MAKE: &str =
    "umask 022; mkdir d d/e; echo >f; chown 5:7 f; chmod 444 f; echo >d/none; chown 3:4 d/none
    chmod 0 d/none; chown 8:9 d/e; chmod 555 d/e; mknod null c 1 3; mknod blk b 8 1; chown 0:6 blk
    echo >own; echo >suid; chown 0:4 suid; chmod 4750 suid; touch -d 2001-02-03 f d/e null";
const LOOK: &str = "stat -c '%n %u:%g %a %F %t,%T' f d/none d/e null blk own suid d";
const SEEN: &str = "f 5:7 444 regular file 0,0
d/none 3:4 0 regular file 0,0
d/e 8:9 555 directory 0,0
null 0:0 644 character special file 1,3
blk 0:6 644 block special file 8,1
own 0:0 644 regular file 0,0
suid 0:4 4750 regular file 0,0
d 0:0 755 directory 0,0
";
/// What is left of it without the option.
const FORGOTTEN: &str = "f 0:0 444 regular file 0,0
d/none 0:0 0 regular file 0,0
d/e 0:0 555 directory 0,0
null 0:0 644 regular empty file 0,0
blk 0:0 644 regular empty file 0,0
own 0:0 644 regular file 0,0
suid 0:0 4750 regular file 0,0
d 0:0 755 directory 0,0
";

#[test]
fn the_next_run_sees_owners_and_devices() {
    let Some(tree) = tree("the_next_run_sees_owners_and_devices") else {
        return;
    };
    let make = format!("{MAKE}; {LOOK}");
    assert_eq!(tree.says(&OWNERS, &make), SEEN);
    let times = "cd root; stat -c %Y f d null; unshare -r stat -c %Y d/e";
    let before = run(user("sh").args(["-ec", times]).current_dir(tree.place())).succeeds();
    assert!(before.stdout.starts_with("981"), "{before:#?}");
    assert_eq!(
        tree.attributes(STAT),
        [
            ". 0:0:0755:dir",
            "./blk 0:6:0644:block-8-1",
            "./d/e 8:9:0555:dir",
            "./d/none 3:4:0000:file",
            "./f 5:7:0444:file",
            "./null 0:0:0644:char-1-3",
            "./suid 0:4:4750:file",
        ]
    );
    // As umoci has it: root is "as the file system has it".
    assert_eq!(
        tree.attributes(ROOTLESS),
        [
            "./blk 0x08ffffffff0f1006",
            "./d/e 0x08081009",
            "./d/none 0x08031004",
            "./f 0x08051007",
            "./suid 0x08ffffffff0f1004",
        ]
    );
    for _ in 0..2 {
        assert_eq!(tree.says(&OWNERS, LOOK), SEEN);
    }
    assert_eq!(tree.says(&FORGETS, LOOK), FORGOTTEN);
    // Who only looks leaves all as it is, and who forgets, too.
    assert_eq!(tree.says(&OWNERS, LOOK), SEEN);
    let after = run(user("sh").args(["-ec", times]).current_dir(tree.place())).succeeds();
    assert_eq!(after.stdout, before.stdout);
    // What becomes root's says nothing any more.
    tree.says(
        &OWNERS,
        "chown 0:0 f d/e d/none suid; rm null blk; echo >blk",
    );
    assert_eq!(tree.attributes(STAT), [""; 0]);
    assert_eq!(tree.attributes(ROOTLESS), [""; 0]);
    assert_eq!(
        tree.says(&OWNERS, "stat -c '%n %u:%g' f d/e d/none"),
        "f 0:0\nd/e 0:0\nd/none 0:0\n"
    );
}

#[test]
fn without_the_option_nothing_is_written() {
    let Some(tree) = tree("without_the_option_nothing_is_written") else {
        return;
    };
    assert_eq!(tree.says(&FORGETS, &format!("{MAKE}; {LOOK}")), SEEN);
    assert_eq!(tree.attributes(STAT), [""; 0]);
    assert_eq!(tree.attributes(ROOTLESS), [""; 0]);
}

#[test]
fn what_can_carry_no_owner_is_named() {
    let Some(tree) = tree("what_can_carry_no_owner_is_named") else {
        return;
    };
    let make = "ln -s f l; chown -h 5:7 l; mkdir d; mkfifo d/p; chown 5:7 d/p; echo >f; chown 5 f; ln -s f mine; exit 3";
    let ran = run(&mut tree.inside(&OWNERS, make));
    assert_eq!(ran.status, 3, "{ran:#?}");
    let (line, rest) = ran.stderr.split_once('\n').expect("a line");
    assert_eq!(rest, "", "{ran:#?}");
    assert!(
        line.starts_with("zroot: 2 files cannot carry an owner: ") && line.contains("--save"),
        "{line}"
    );
    let look = "stat -c '%n %u:%g' l d/p f";
    assert_eq!(tree.says(&OWNERS, look), "l 0:0\nd/p 0:0\nf 5:0\n");
    let options = [&OWNERS[..], &["-v"]].concat();
    let ran = run(&mut tree.inside(&options, "chown -h 5:7 l d/p")).succeeds();
    for named in ["'l' (a symbolic link)", "'d/p' (a FIFO)"] {
        let line = format!("zroot: no owner can be written to {named}\n");
        assert!(ran.stderr.contains(&line), "{ran:#?}");
    }
    // Where nothing is lost nothing is said.
    assert_eq!(tree.says(&OWNERS, "rm l; chown 8 f"), "");
}

#[test]
fn what_others_have_written_is_read() {
    let Some(tree) = tree("what_others_have_written_is_read") else {
        return;
    };
    tree.prepare(
        r#"cd root; mkdir d; for f in storage rootless both foreign char late; do echo >$f; done; : >char
        say() { setfattr -n user.$2 -v "$3" $1; }
        say storage containers.override_stat 101:104:0644:file; say d containers.override_stat 0:8:2775:dir
        say foreign containers.override_stat 5:7:100640; say char containers.override_stat 0:5:0620:char-4-1
        say rootless rootlesscontainers 0x08ffffffff0f1005
        say both rootlesscontainers 0x08011002; say both containers.override_stat 3:4:0644
        chmod 2775 d; chmod 600 rootless; chmod 400 both"#
    );
    let look = "stat -c '%n %u:%g %F' storage d foreign char rootless both late; echo >d/new; stat -c %g d/new";
    let seen = "storage 101:104 regular file
d 0:8 directory
foreign 5:7 regular file
char 0:5 character special file
rootless 0:5 regular file
both 3:4 regular file
late 0:0 regular file
8
";
    assert_eq!(tree.says(&OWNERS, look), seen);
    // Modes, too: those that podman gives all files are not the image's.
    tree.prepare("cd root; chmod 700 storage; setfattr -n user.containers.override_stat -v 101:104:4711:file storage");
    let mode = "stat -c '%a %u:%g' storage";
    assert_eq!(tree.says(&OWNERS, mode), "4711 101:104\n");
    assert_eq!(tree.says(&FORGETS, mode), "700 0:0\n");
    assert!(
        tree.attributes(STAT)
            .contains(&"./storage 101:104:4711:file".into())
    );
    tree.says(&OWNERS, "chmod 640 storage; chown 0:0 storage");
    assert_eq!(tree.says(&OWNERS, mode), "640 0:0\n");
    assert!(
        tree.attributes(STAT)
            .iter()
            .all(|line| !line.contains("storage"))
    );
    let control = tree.says(&FORGETS, look);
    assert!(
        !control.contains("104") && !control.contains(":5"),
        "{control}"
    );
}

#[test]
fn a_value_that_makes_no_sense_stays_and_nothing_runs() {
    let test = "a_value_that_makes_no_sense_stays_and_nothing_runs";
    let Some(tree) = tree(test) else {
        return;
    };
    tree.prepare("cd root; mkdir d; echo >d/f; ln -s f d/l; mkfifo d/p");
    let long = "1".repeat(300);
    for (name, file, value) in [
        (STAT, "d/f", "1:2"),
        (STAT, "d/f", ""),
        (STAT, "d/f", "1:2:0644:dir"),
        (STAT, "d", "1:2:0755:char-1-3"),
        (STAT, "d/f", "0:0:0777:symlink"),
        (STAT, ".", "4294967295:0:0755:dir"),
        (STAT, "d/f", &long),
        (ROOTLESS, "d/f", "0x08"),
        (ROOTLESS, "d", "hello"),
    ] {
        tree.prepare(&format!("cd root; setfattr -n {name} -v '{value}' {file}"));
        let before = tree.attributes(name);
        assert_eq!(before.len(), 1, "{name} {value}");
        let (what, hint) = run(&mut tree.inside(&OWNERS, "echo it runs; chown 5 d/f")).refused(125);
        assert!(
            what.starts_with(&format!("'{file}': the attribute {name} ")),
            "{what}"
        );
        assert!(hint.contains("setfattr -x"), "{hint}");
        assert_eq!(tree.attributes(name), before);
        // Without the option it is nothing special.
        tree.says(&FORGETS, "chown 5 d/f");
        tree.prepare(&format!("cd root; setfattr -x {name} {file}"));
        tree.says(&OWNERS, "stat d/f >/dev/null");
    }
}

#[test]
fn it_needs_a_root_directory() {
    let Some(tree) = tree("it_needs_a_root_directory") else {
        return;
    };
    for (options, complaint) in [
        (&["--owners=xattr"][..], "--owners needs --root"),
        (
            &["-c", "selective", "--owners=xattr", "--root", "root"],
            "--owners: only level full remembers owners",
        ),
        (&["--owners=acl", "--root", "root"], "invalid value 'acl'"),
    ] {
        let ran = run(&mut tree.zroot(options.iter().chain(&["--", "true"])));
        let (what, _) = ran.refused(125);
        assert!(what.contains(complaint), "{what}");
    }
    // The zroot around it remembers for itself.
    let inner = tree.inside(&OWNERS, "true");
    let ran = run(tree
        .zroot(["-c", "full", "--"])
        .arg(inner.get_program())
        .args(inner.get_args()));
    let (what, _) = ran.refused(125);
    assert!(
        what.starts_with("--owners: a zroot around this one"),
        "{what}"
    );
}

/// Whose tree it is, is not our business: it may be deep, wide, lead out, and have mounts in it.
#[test]
fn a_tree_may_be_as_it_likes() {
    let Some(tree) = tree("a_tree_may_be_as_it_likes") else {
        return;
    };
    // Deeper than a path may be long.
    let at_the_bottom = |script: &str| {
        let perl = r#"chdir "root"; for (1..1500) { mkdir "ddddd"; chdir "ddddd" or die } exec "sh", "-ec", shift"#;
        run(user("perl")
            .args(["-e", perl, script])
            .current_dir(tree.place()))
        .succeeds()
        .stdout
    };
    at_the_bottom("echo >f; setfattr -n user.containers.override_stat -v 5:7:0644 f");
    tree.prepare(
        r#"cd root; mkdir wide mnt proc sys dev; cd wide; seq 1 20000 | xargs touch
        setfattr -n user.containers.override_stat -v 5:7:0644 777
        ln -s "$0/canary" out; cd "$0"; setfattr -n user.containers.override_stat -v rubbish canary canary/secret"#,
    );
    let before = tree.listing();
    // In a mount of its own, which belongs to somebody else.
    let script = r#"mount -t tmpfs none root/mnt; : >root/mnt/f
        setfattr -n user.containers.override_stat -v rubbish root/mnt/f 2>/dev/null || : >no-attributes
        ulimit -s 256; ulimit -n 64
        "$1" --owners=xattr --root root -- sh -ec 'stat -c %u:%g wide/777 wide/778 mnt/f; chown 3:4 wide/777; chown 8:9 mnt/f'
        getfattr -n user.containers.override_stat --only-values root/mnt/f 2>/dev/null || cat no-attributes"#;
    let ran = run(user("unshare")
        .args(["-rm", "sh", "-ec", script])
        .arg(tree.place())
        .arg(zroot())
        .current_dir(tree.place()))
    .succeeds();
    let said = ran.stdout.strip_suffix("rubbish").unwrap_or(&ran.stdout);
    assert_eq!(said, "5:7\n0:0\n0:0\n", "{ran:#?}");
    assert_eq!(ran.stderr, "");
    let all = tree.attributes(STAT);
    assert!(all.contains(&"./wide/777 3:4:0644:file".into()), "{all:?}");
    // It has been read, and written as zroot does.
    let bottom = at_the_bottom("getfattr --only-values -n user.containers.override_stat f");
    assert_eq!(bottom, "5:7:0644:file");
    // What is outside has not been touched, nor any file's time.
    let _ = fs::remove_file(tree.place().join("no-attributes"));
    tree.as_before(&before);
    let canary = run(user("getfattr")
        .args(["-n", STAT, "--only-values"])
        .arg(tree.place().join("canary")));
    assert_eq!(canary.stdout, "rubbish");
}

/// What a kill of zroot leaves is what the files said before.
#[test]
fn a_kill_leaves_what_was_there() {
    let Some(tree) = tree("a_kill_leaves_what_was_there") else {
        return;
    };
    tree.says(&OWNERS, "echo >f; chown 5:7 f");
    let before = tree.attributes(STAT);
    let ran = run(&mut tree.inside(&OWNERS, "chown 8:9 f bin; kill -9 $PPID; read never"));
    assert_eq!(ran.status, 128 + 9, "{ran:#?}");
    assert_eq!(tree.attributes(STAT), before);
    assert_eq!(tree.says(&OWNERS, "stat -c %u:%g f bin"), "5:7\n0:0\n");
}

/// Nor does anybody go on with what zroot was doing.
#[test]
fn who_is_killed_while_it_writes_writes_no_more() {
    let Some(tree) = tree("who_is_killed_while_it_writes_writes_no_more") else {
        return;
    };
    let make = "mkdir wide; cd wide; seq 1 20000 | xargs touch; cd ..; chown -R 5:7 wide";
    let mut zroot = tree.inside(&OWNERS, &format!("{make}; echo made; read line"));
    let mut live = Live::start(&mut zroot);
    live.says("made");
    live.enter();
    let children_of = |process: &str| -> Vec<String> {
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        let children = children.unwrap_or_default();
        children.split_whitespace().map(String::from).collect()
    };
    // Beside it there is one that takes back what the tree was lent.
    let zroot = live.child.id().to_string();
    let writer = wait_for("a process that writes", || {
        let mut children = children_of(&zroot).into_iter();
        children.find_map(|child| children_of(&child).pop())
    });
    let writer: i32 = writer.parse().expect("a number");
    let state = || {
        let status = fs::read_to_string(format!("/proc/{writer}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("State:"));
        line.map(str::to_owned)
    };
    let is_stopped = || state().filter(|state| state.contains("T (stopped)"));
    // It may not go on by itself, and is killed all the same. Not before it has begun to write: who
    // has just become root of a namespace is bound to nobody yet.
    wait_for("a stop while it writes", || {
        send(writer, Signal::SIGSTOP);
        wait_for("a stop", is_stopped);
        let has_begun = !tree.attributes(STAT).is_empty();
        if !has_begun {
            send(writer, Signal::SIGCONT);
        }
        has_begun.then_some(())
    });
    live.child.kill().expect("killed");
    live.child.wait().expect("its end");
    wait_for("its end", || is_stopped().is_none().then_some(()));
    assert!(tree.attributes(STAT).len() < 20_000);
}

/// The tar listing of an image's last layer: owner and name of each file.
fn layer(place: &Path) -> BTreeSet<String> {
    let script = r#"layer=$(ls -t oci/blobs/sha256/* | while read -r blob; do
            case $(head -c2 "$blob" | od -An -tx1) in *"1f 8b"*) echo "$blob"; break;; esac; done)
        tar --numeric-owner -tvzf "$layer""#;
    let listing = run(user("sh").args(["-ec", script]).current_dir(place)).succeeds();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", words[1], words[5])
    };
    listing.stdout.lines().map(line).collect()
}

#[test]
fn umoci_packs_and_unpacks_the_owners() {
    let test = "umoci_packs_and_unpacks_the_owners";
    need!(test, "umoci");
    let Some(tree) = tree(test) else {
        return;
    };
    let umoci = |script: &str| {
        run(user("sh")
            .args(["-ec", script])
            .env("HOME", tree.place())
            .current_dir(tree.place()))
        .succeeds()
    };
    for (options, owner, group) in [(&OWNERS[..], "5/7", "0/8"), (&FORGETS, "0/0", "0/0")] {
        umoci(
            "rm -rf oci bundle again; umoci init --layout oci; umoci new --image oci:x
            umoci unpack --rootless --image oci:x bundle; rm -rf bundle/rootfs; cp -a root bundle/rootfs",
        );
        let chown =
            "echo text >etc/f; chown 5:7 etc/f; mkdir g; chown 0:8 g; chmod 2755 g; echo >none";
        run(tree
            .zroot(["--root", "bundle/rootfs"])
            .args(options)
            .args(["--", "sh", "-c", chown]))
        .succeeds();
        umoci("umoci repack --image oci:x bundle");
        let packed = layer(tree.place());
        for line in [
            format!("{owner} etc/f"),
            format!("{group} g/"),
            "0/0 none".into(),
        ] {
            assert!(packed.contains(&line), "{line} in {packed:?}");
        }
        // And from there into another tree.
        umoci("umoci unpack --rootless --image oci:x again");
        let look = ["--", "stat", "-c", "%u/%g", "etc/f", "g", "none"];
        let ran = run(tree
            .zroot(["--root", "again/rootfs"])
            .args(OWNERS)
            .args(look))
        .succeeds();
        assert_eq!(ran.stdout, format!("{owner}\n{group}\n0/0\n"), "{ran:#?}");
    }
}

/// fuse-overlayfs shows owners and modes as they are written; from 1.14 on also files that say
/// nothing, from 1.15 on devices.
#[test]
fn fuse_overlayfs_shows_the_owners() {
    let test = "fuse_overlayfs_shows_the_owners";
    need!(test, "fuse-overlayfs");
    // To others than root the kernel shows mapped ids only.
    if for_root_only(test) {
        return;
    }
    if !Path::new("/dev/fuse").exists() {
        return skip(test, "there is no /dev/fuse");
    }
    let Some(tree) = tree(test) else {
        return;
    };
    let script =
        "mkdir up work merged; fuse-overlayfs -o lowerdir=root,upperdir=up,workdir=work merged
        cd merged; stat -c '%n %u:%g %a' f d/e suid; cd ..; umount merged; rm -rf up work merged";
    let look = || {
        let mut command = plain("unshare");
        command.args(["-m", "sh", "-ec", script]);
        run(command.current_dir(tree.place())).succeeds().stdout
    };
    let make = format!("{MAKE}; chown 8:9 d");
    tree.says(&FORGETS, &make);
    let control = look();
    assert!(!control.contains("5:7"), "{control}");
    tree.says(
        &OWNERS,
        "chown 5:7 f; chown 8:9 d d/e; chown 0:4 suid; chmod 4750 suid",
    );
    assert_eq!(look(), "f 5:7 444\nd/e 8:9 555\nsuid 0:4 4750\n");
}

/// All that is not root's, and all devices, in a tree's own words.
const FIND: &str = r"find / -xdev \( -path /tmp -o -path /run -o -path /proc -o -path /sys -o -path /dev \) -prune -o \( ! -uid 0 -o ! -gid 0 \) -printf '%y %m %U:%G %p\n' | sort";

#[test]
fn a_real_tree_keeps_its_owners() {
    let test = "a_real_tree_keeps_its_owners";
    let Some(root) = Root::copy(test) else {
        return;
    };
    let at_root = |options: &[&str], script: &str| -> Ran {
        run(zroot_with(options)
            .arg("--root")
            .arg(root.path())
            .args(["--", "sh", "-ec", script]))
    };
    let install = format!(
        "apt-get install -y --no-install-recommends man-db at openssh-client cron >/dev/null 2>&1
        ln -s x /var/link; chown -h 5:7 /var/link; {FIND}"
    );
    let installed = at_root(&OWNERS, &install).succeeds();
    assert!(
        installed.stderr.contains("'var/link' (a symbolic link)"),
        "{installed:#?}"
    );
    let seen: Vec<&str> = installed.stdout.lines().collect();
    for (mode, path) in [("6755", "/usr/bin/at"), ("2755", "/usr/bin/crontab")] {
        let is_it = |line: &&&str| line.starts_with(&format!("f {mode} ")) && line.ends_with(path);
        assert!(seen.iter().any(|line| is_it(&line)), "{path}: {seen:#?}");
    }
    assert!(
        seen.iter().any(|line| line.ends_with("/var/cache/man")),
        "{seen:#?}"
    );
    let again = at_root(&OWNERS, FIND).succeeds();
    let kept: Vec<&str> = seen
        .iter()
        .copied()
        .filter(|line| !line.starts_with('l'))
        .collect();
    assert_eq!(again.stdout.lines().collect::<Vec<_>>(), kept);
    assert_eq!(at_root(&FORGETS, FIND).succeeds().stdout, "");
}

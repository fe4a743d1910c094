//! What the command finds in a root directory as root's shell has it: PATH, HOME, and a name for
//! this machine. And what `--setenv`, `--unsetenv` and `--tmpfs` make of it.

use std::fs;

use crate::common::{SmallTree, run, zroot_with};

/// Debian's, for a user.
const USERS_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

#[test]
fn path_has_roots_programs_at_its_end() {
    let Some(tree) = SmallTree::new("path_has_roots_programs_at_its_end") else {
        return;
    };
    tree.prepare("mkdir -p root/usr/sbin root/opt; cp src/tool root/usr/sbin/of-root; cp src/tool root/opt/of-root; sed -i s/tool/opt/ root/opt/of-root");
    let path_of = |options: &[&str], path: &str| {
        let mut command = tree.inside(options, "echo $PATH");
        run(command.env("PATH", path)).succeeds().stdout
    };
    let roots = ":/usr/local/sbin:/usr/sbin:/sbin";
    let users = format!("{USERS_PATH}{roots}\n");
    assert_eq!(path_of(&[], USERS_PATH), users);
    // Of a tree the host's PATH says nothing.
    let all = ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin";
    assert_eq!(
        path_of(&[], "/gnu/bin:/bin"),
        format!("/gnu/bin:/bin{all}\n")
    );
    // Who says what it is to be gets that.
    let own = ["--setenv", "PATH", "/bin"];
    assert_eq!(path_of(&own, USERS_PATH), "/bin\n");
    let none = ["--root", "root", "--unsetenv", "PATH", "/bin/env"];
    let none = run(&mut tree.zroot(none)).succeeds();
    assert!(!none.stdout.contains("\nPATH="), "{none:#?}");
    // COMMAND is looked for there, at last.
    let of_root = |path: &str| {
        run(tree.zroot(["--root", "root", "of-root"]).env("PATH", path))
            .succeeds()
            .stdout
    };
    assert_eq!(of_root(USERS_PATH), "tool\n");
    assert_eq!(of_root(&format!("/opt:{USERS_PATH}")), "opt\n");
    run(tree
        .zroot(["--setenv", "PATH", "/bin", "--root", "root", "of-root"])
        .env("PATH", USERS_PATH))
    .refused(127);
}

/// Outside of a root directory PATH has the directory of root's programs beside that of everybody's.
#[test]
fn path_outside() {
    let path_of = |options: &[&str], path: &str| {
        let args = [options, &["/bin/sh", "-c", "echo $PATH"]].concat();
        run(zroot_with(args).env("PATH", path)).succeeds().stdout
    };
    let users = format!("{USERS_PATH}:/usr/local/sbin:/usr/sbin:/sbin\n");
    for options in [&[][..], &["-c", "selective"], &["-c", "full"]] {
        assert_eq!(path_of(options, USERS_PATH), users);
    }
    assert_eq!(path_of(&[], "/gnu/bin"), "/gnu/bin\n");
    assert_eq!(path_of(&["--setenv", "PATH", "/bin"], USERS_PATH), "/bin\n");
    // Nothing that a user calls is shadowed, and what is root's is found.
    let found = |options: &[&str]| {
        let args = [options, &["sh", "-c", "command -v ldconfig"]].concat();
        run(zroot_with(args).env("PATH", USERS_PATH))
    };
    assert!(found(&[]).succeeds().stdout.ends_with("/sbin/ldconfig\n"));
    assert_ne!(found(&["--setenv", "PATH", USERS_PATH]).status, 0);
}

#[test]
fn home_is_there() {
    let Some(tree) = SmallTree::new("home_is_there") else {
        return;
    };
    tree.prepare("mkdir -p root/home/u canary/home; ln -s ../canary root/out; ln -s /out root/again; : > root/file");
    let home = |options: &[&str], home: &str| {
        let mut command = tree.inside(options, "echo $HOME");
        run(command.env("HOME", home)).succeeds().stdout
    };
    // What is missing inside, a link out among it, is root's.
    let outside = tree.place().join("canary/home");
    let outside = outside.to_str().expect("UTF-8");
    for missing in ["/home/other", "/file", "/out/home", "/again/home", outside] {
        assert_eq!(home(&[], missing), "/root\n", "{missing}");
    }
    for there in ["/home/u", "/", "/tmp"] {
        assert_eq!(home(&[], there), format!("{there}\n"));
    }
    let bound = ["--bind", "canary/home:/home/bound"];
    assert_eq!(home(&bound, "/home/bound"), "/home/bound\n");
    assert_eq!(home(&["--setenv", "HOME", "/none"], "/"), "/none\n");
    let mut unset = tree.inside(&[], "env");
    let unset = run(unset.env_remove("HOME")).succeeds();
    assert!(!unset.stdout.contains("HOME="), "{unset:#?}");
    // Outside nobody's is another one.
    let outside = run(zroot_with(["sh", "-c", "echo $HOME"]).env("HOME", "/none"));
    assert_eq!(outside.succeeds().stdout, "/none\n");
}

#[test]
fn variables_are_set_and_removed() {
    let said = |args: &[&str]| {
        let args = [
            args,
            &["--", "sh", "-c", "echo \"<$A> <${B-none}> $ZROOT\""],
        ]
        .concat();
        run(zroot_with(args).env("B", "inherited"))
            .succeeds()
            .stdout
    };
    let version = zroot::VERSION;
    for (args, expected) in [
        (&[][..], "<> <inherited>"),
        (&["--setenv", "A", "x y=z"], "<x y=z> <inherited>"),
        (&["--setenv", "A", "-v", "--unsetenv", "B"], "<-v> <none>"),
        (
            &["--setenv", "A", "1", "--setenv", "A", ""],
            "<> <inherited>",
        ),
        (&["--setenv", "B", "2", "--unsetenv", "B"], "<> <2>"),
        // What zroot says of itself stays.
        (&["--unsetenv", "ZROOT", "--setenv", "B", "3"], "<> <3>"),
    ] {
        assert_eq!(said(args), format!("{expected} {version}\n"), "{args:?}");
    }
    for (args, says) in [
        (&["--setenv", "A"][..], "2 values required"),
        (&["--setenv", "A=B", "x", "true"], "'A=B' is no name"),
        (&["--setenv", "", "x", "true"], "'' is no name"),
    ] {
        let (what, _) = run(&mut zroot_with(args)).refused(125);
        assert!(what.contains(says), "{what}");
    }
}

/// Debian's netbase makes /etc/hosts when it is installed, if there is none, and /etc/networks.
#[test]
fn hosts_is_lent_and_left_to_netbase() {
    let Some(tree) = SmallTree::new("hosts_is_lent_and_left_to_netbase") else {
        return;
    };
    let postinst = "test -e /etc/hosts || echo made > /etc/hosts; test -e /etc/networks || echo made > /etc/networks";
    let before = tree.listing();
    run(&mut tree.inside(&[], "grep -qw localhost /etc/hosts")).succeeds();
    tree.as_before_but_for(&before, &super::SYSTEM);
    run(&mut tree.inside(&[], postinst)).succeeds();
    let hosts = fs::read_to_string(tree.root().join("etc/hosts")).expect("a file");
    assert!(hosts.starts_with("127.0.0.1\tlocalhost\n"), "{hosts}");
    // Now it is the tree's own.
    let before = tree.listing();
    run(&mut tree.inside(&[], "! grep zroot /etc/hosts")).succeeds();
    tree.as_before(&before);
    // Where the other one was there before, it says nothing.
    tree.prepare("rm root/etc/hosts");
    let before = tree.listing();
    run(&mut tree.inside(&[], postinst)).succeeds();
    tree.as_before(&before);
}

#[test]
fn an_empty_directory_in_memory() {
    let Some(tree) = SmallTree::new("an_empty_directory_in_memory") else {
        return;
    };
    tree.prepare("mkdir -m 1777 root/scratch; : > root/scratch/a; ln -s scratch root/linked; ln -s $0/canary root/out; : > root/file");
    let before = tree.listing();
    for target in ["/scratch", "/linked"] {
        let options = ["--tmpfs", target];
        let ran = run(&mut tree.inside(
            &options,
            "ls -A /scratch; stat -c %a /scratch; echo x > /scratch/b; cat /scratch/b",
        ));
        assert_eq!(ran.succeeds().stdout, "1777\nx\n", "{target}");
        tree.as_before_but_for(&before, &super::SYSTEM);
    }
    let options = ["--tmpfs", "/new/below", "--bind=src:/new/below/job"];
    let ran = run(&mut tree.inside(
        &options,
        "cat /new/below/job/file; ls -A /new/below; stat -c %a /new/below",
    ));
    assert_eq!(ran.succeeds().stdout, "source\njob\n755\n");
    let made = fs::read_dir(tree.root().join("new/below")).expect("made");
    assert_eq!(made.count(), 0);
    for (args, says) in [
        (&["--tmpfs", "/tmp", "true"][..], "--tmpfs needs --root"),
        (
            &["--root", "root", "--tmpfs", "tmp", "true"],
            "DIR must be absolute",
        ),
        (
            &["--root", "root", "--tmpfs", "/", "true"],
            "it is the root directory itself",
        ),
        (
            &["--root", "root", "--tmpfs", "/file", "true"],
            "the target a file",
        ),
        (
            &["--root", "root", "--tmpfs", "/out/x", "true"],
            "a symbolic link on the way leads to nothing inside",
        ),
    ] {
        let (what, _) = run(&mut tree.zroot(args)).refused(125);
        assert!(what.contains(says), "{what}");
    }
}

//! Bad input.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::SYSTEM;
use crate::common::{SmallTree, for_root_only, run};

#[test]
#[allow(clippy::too_many_lines)] // a table
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
        (&["--root"], 125, "--root"),
    ];
    let before = tree.listing();
    for (args, status, part) in cases {
        let (what, _) = run(&mut tree.zroot(*args)).refused(*status);
        assert!(what.contains(part), "{args:?}: no '{part}' in: {what}");
        tree.as_before(&before);
    }
    // Told only where all is mounted: what was missing to mount on has been made, and stays.
    tree.prepare("touch -r root time");
    let before = tree.listing();
    let bind = "--bind=src:/job";
    for (args, status, says) in [
        (
            &[bind, "no-such-command"][..],
            127,
            "'no-such-command': command not found",
        ),
        (
            &[bind, "/job/nothing"],
            127,
            "'/job/nothing': No such file or directory",
        ),
        (
            &[bind, "-C", "/job/nothing", "true"],
            125,
            "cannot change to '/job/nothing': No such file or directory",
        ),
        (
            &[bind, "--userns=never", "true"],
            125,
            "cannot make a mount namespace: Operation not permitted",
        ),
    ] {
        let (what, _) = run(tree.zroot(["--root", "root"]).args(args)).refused(status);
        assert_eq!(what, says);
        tree.as_before_but_for(&before, &[&SYSTEM[..], &["job/"]].concat());
        tree.prepare("cd root; rmdir proc sys dev job; touch -r ../time .");
    }
}

/// Nobody but its owner may do what would help with one of one's own.
#[test]
fn a_directory_of_somebody_elses_is_named_as_such() {
    const TEST: &str = "a_directory_of_somebody_elses_is_named_as_such";
    let Some(tree) = SmallTree::new(TEST) else {
        return;
    };
    tree.prepare("mkdir -m 0 locked");
    let (_, hint) = run(&mut tree.zroot(["--root", "locked", "true"])).refused(125);
    assert_eq!(hint, "it cannot be searched: chmod u+x it");
    if for_root_only(TEST) {
        return;
    }
    let roots = tempfile::tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(roots.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
    let name = roots.path().to_str().expect("UTF-8");
    let (what, hint) = run(&mut tree.zroot(["--root", name, "true"])).refused(125);
    assert_eq!(what, format!("root directory '{name}': Permission denied"));
    assert!(
        hint.contains("somebody else (uid 0, mode 0700)") && !hint.contains("chmod"),
        "{hint}"
    );
    let (what, hint) = run(&mut tree.zroot(["-C", name, "true"])).refused(125);
    assert_eq!(
        what,
        format!("cannot change to '{name}': Permission denied")
    );
    assert!(hint.contains("zroot gives no rights"), "{hint}");
}

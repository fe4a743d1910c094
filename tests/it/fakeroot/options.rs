//! The command line, what the command finds, and what ends it: as the real fakeroot has it.

use std::path::PathBuf;
use std::process::Command;

use super::{ours, user_with_ours};
use crate::common::{
    self, Ran, dir, filter_answering, names, plain, run, uid, under_filter, user, zroot, zroot_with,
};
use crate::supervisor::oracle::has_oracle;

/// `script`, whose `$1` is the fakeroot to be called, in a new directory of the user's.
fn shell(fakeroot: &str, script: &str) -> Ran {
    let place = dir();
    let mut command = user("sh");
    command.args(["-c", script, "sh", fakeroot]);
    run(command.env("SHELL", "/bin/echo").current_dir(place.path()))
}

/// Ours, after asserting that the real one comes to the same, but for its messages.
#[track_caller]
fn both(script: &str) -> Ran {
    let ours = shell(names().join("fakeroot").to_str().expect("UTF-8"), script);
    let theirs = shell("fakeroot", script);
    assert_eq!(
        (ours.status, &ours.stdout),
        (theirs.status, &theirs.stdout),
        "{ours:#?} {theirs:#?}"
    );
    ours
}

#[test]
fn arguments() {
    need!("arguments", "fakeroot");
    for (words, says) in [
        ("echo -u -v x", "-u -v x\n"),
        ("-- echo x", "x\n"),
        ("-u -- sh -c 'echo $FAKED_MODE'", "unknown-is-real\n"),
        ("-bu7 sh -c 'echo $FAKED_MODE'", "unknown-is-root\n"),
        ("--unkn sh -c 'echo $FAKED_MODE'", "unknown-is-real\n"),
        ("-b 7 --fd-base=8 --fd 9 echo x", "x\n"),
        (
            "-f /usr/bin/faked-sysv --faked=/usr/bin/faked-sysv echo x",
            "x\n",
        ),
        ("-l libfakeroot-sysv.so -v", "fakeroot version\n"),
        // $SHELL is echo.
        ("", "\n"),
        ("--", "\n"),
        ("''", "\n"),
    ] {
        let script = format!("\"$1\" {words} | sed 's/ version .*/ version/'");
        assert_eq!(both(&script).stdout, says, "{words}");
    }
    for words in [
        "-h",
        "--help",
        "--he -v",
        "-x",
        "-ux",
        "-s",
        "--lib",
        "--f x",
        "--no",
        "--version=1",
    ] {
        let ran = both(&format!(
            "\"$1\" {words}; echo $?; \"$1\" {words} >/dev/null 2>&1 || echo again"
        ));
        assert_eq!(ran.stdout, "1\nagain\n", "{words}");
        assert!(ran.stderr.contains("usage: fakeroot"), "{ran:#?}");
    }
}

#[test]
fn version() {
    let ran = run(&mut ours(["-v", "-h", "nothing"])).succeeds();
    let words: Vec<&str> = ran.stdout.split(' ').collect();
    assert_eq!(words[..2], ["fakeroot", "version"], "{ran:#?}");
    // A number that can be compared, and what it is really.
    assert!(words[2].parse::<f32>().is_ok(), "{ran:#?}");
    assert!(
        ran.stdout
            .ends_with(&format!("(zroot {})\n", zroot::VERSION)),
        "{ran:#?}"
    );
}

#[test]
fn a_file_to_load_that_is_missing_is_said_and_left_out() {
    need!(
        "a_file_to_load_that_is_missing_is_said_and_left_out",
        "fakeroot"
    );
    for file in ["none", ".", "/dev/null"] {
        let ran = both(&format!("\"$1\" -i {file} echo x"));
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "x\n"), "{file}");
        let says = format!("fakeroot: database file '{file}' does not exist.\n");
        assert_eq!(ran.stderr, says);
    }
}

#[test]
fn ends() {
    need!("ends", "fakeroot");
    for (command, status) in [
        ("sh -c 'exit 7'", "7"),
        ("no-such-command", "127"),
        ("/no/such/command", "127"),
        ("/etc/passwd", "126"),
        ("sh -c 'kill -9 $$'", "137"),
        ("sh -c 'kill $$'", "143"),
        ("sh -c 'kill -USR1 $$'", "138"),
    ] {
        let ran = both(&format!("\"$1\" {command}; echo $?"));
        assert_eq!(ran.stdout, format!("{status}\n"), "{command}");
    }
    // A script without its first line.
    let script = "echo 'echo $1' >script; chmod 755 script; \"$1\" ./script x";
    assert_eq!(both(script).stdout, "x\n");
}

#[test]
fn variables() {
    need!("variables", "fakeroot");
    // makepkg, debhelper and strip-nondeterminism ask whether it is true, to perl as well.
    let script = r#"[ "$FAKEROOTKEY" ] && perl -e 'print $ENV{FAKEROOTKEY} ? "yes" : "no"'; echo " $FAKED_MODE""#;
    for (options, says) in [
        ("", "yes unknown-is-root\n"),
        ("-u", "yes unknown-is-real\n"),
    ] {
        let ran = both(&format!(
            "\"$1\" {options} -- sh -c '{}'",
            script.replace('\'', r"'\''")
        ));
        assert_eq!(ran.stdout, says);
    }
    let names = |mut command: Command| {
        let ran = run(command.args(["env"])).succeeds();
        let mut names: Vec<String> = ran
            .stdout
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect();
        names.sort();
        names
    };
    let mut expected = names(user("env"));
    expected.extend(["FAKED_MODE", "FAKEROOTKEY", "ZROOT"].map(String::from));
    expected.sort();
    assert_eq!(names(ours(["--"])), expected);
    // Not by zroot's own name; that one has apt's configuration, which fakeroot knows nothing of.
    let own = names(zroot_with(["-c", "full", "--"]));
    assert!(!own.iter().any(|name| name.starts_with("FAKE")), "{own:?}");
    assert!(own.iter().any(|name| name == "APT_CONFIG"), "{own:?}");
}

/// The kernel clears set-id bits whenever the owner changes; packages' rules rely on fakeroot,
/// which does not.
#[test]
fn set_id_bits_stay_when_the_owner_changes() {
    let test = "set_id_bits_stay_when_the_owner_changes";
    need!(test, "fakeroot", "python3");
    let script = "for m in 4755 2755 6711 2644 755; do for to in 5:6 0:0 :6 5; do touch f; chmod $m f; chown $to f; chown $to f; stat -c '%a %u:%g' f
        rm f; done; done; touch f; chmod 6755 f; python3 -c 'import os; os.fchown(os.open(\"f\", 0), 7, 8)'; stat -c '%a %u:%g' f
        mkdir d; chmod 6755 d; chown 5:6 d; stat -c '%a' d; touch f; chmod 4755 f; ln f g; chown -R 9 .; stat -c '%a' f g
        echo >>f; : >g; stat -c '%a %u' f; chmod 755 f; stat -c %a g; echo >>g; stat -c %a f";
    let quoted = script.replace('\'', r"'\''");
    both(&format!("\"$1\" -- sh -ec '{quoted}'"));
    both(&format!("\"$1\" -u -- sh -ec '{quoted}'"));
    // The controls. To keep the bits over a write takes a capability over the whole machine.
    let write = "touch f; chmod 4755 f; echo >>f; stat -c %a f";
    let cleared =
        "touch f; chmod 4755 f; chown 5:6 f; stat -c %a f; chmod 4755 f; chown 0:0 f; stat -c %a f";
    let sh = |mut command: Command, script: &str| {
        let place = dir();
        run(command
            .args(["sh", "-ec", script])
            .current_dir(place.path()))
        .succeeds()
        .stdout
    };
    assert_eq!(sh(zroot_with(["-c", "full"]), cleared), "755\n755\n");
    assert_eq!(sh(ours(["--"]), cleared), "4755\n4755\n");
    assert_eq!(sh(zroot_with(["-c", "full"]), write), "755\n");
    // Root's alone: who has become another user has them cleared.
    let other = "chmod 777 .; setpriv --reuid 5 --regid 6 --clear-groups sh -c 'touch f; chmod 4755 f; chown 5:6 f; stat -c %a f'";
    assert_eq!(sh(ours(["--"]), other), "755\n");
    if has_oracle(test) {
        assert_eq!(sh(plain("env"), other), "755\n");
        assert_eq!(sh(plain("env"), cleared), "755\n755\n");
    }
}

#[test]
fn unknown_is_real() {
    need!("unknown_is_real", "fakeroot");
    let script = "id -u; for f in f l /etc/passwd .; do stat -c '%n %u:%g' $f; done; mkdir d; mknod n c 5 1; stat -c %u:%g d n
        chown 0:0 f; stat -c %u:%g f; chown 5 f; stat -c %u:%g f; chown -h 6:7 l; stat -c %u:%g l; tar c f d | tar tv --numeric-owner | cut -d' ' -f2; id -u";
    let quoted = script.replace('\'', r"'\''");
    let made = "touch f; ln -s f l";
    let ran = both(&format!("{made}; \"$1\" -u -- sh -ec '{quoted}'"));
    let own = format!("f {0}:{0}\n", uid());
    assert!(ran.stdout.contains(&own), "{ran:#?}");
    let ran = both(&format!("{made}; \"$1\" -- sh -ec '{quoted}'"));
    assert!(ran.stdout.contains("f 0:0\n"), "{ran:#?}");
    // As seen by a static program. And root's is what root makes, which the real one has no part in.
    let place = dir();
    let script = format!(
        "touch f; chown {0} f; busybox stat -c %u f; chown 0 f; busybox stat -c %u f; echo x >g; ln -s g h; cp g i; busybox stat -c %u:%g g h i",
        uid()
    );
    let ran = run(ours(["-u", "--", "sh", "-ec", &script]).current_dir(place.path())).succeeds();
    assert_eq!(ran.stdout, format!("{}\n0\n0:0\n0:0\n0:0\n", uid()));
}

/// What either has saved, the other loads.
#[test]
fn saved_and_loaded() {
    let test = "saved_and_loaded";
    need!(test, "fakeroot");
    let make = "touch a b; chown 5:6 a; chmod 4711 b; mknod n c 5 1; mkdir d; chown 7:8 d";
    let look = "stat -c '%n %u:%g %a %t:%T %F' a b n d";
    let change = "chown 9 a; chmod 600 b; rm n; mkfifo n; chown :10 n";
    let (ours, theirs) = (names().join("fakeroot"), "/usr/bin/fakeroot".into());
    for (first, second) in [(&ours, &theirs), (&theirs, &ours), (&ours, &ours)] {
        let place = dir();
        let at = |fakeroot: &PathBuf, options: &[&str], script: &str| {
            let mut command = user(fakeroot);
            command.args(options).args(["--", "sh", "-ec", script]);
            run(command.current_dir(place.path())).succeeds().stdout
        };
        let made = at(first, &["-s", "state"], &format!("{make}; {look}"));
        assert!(made.starts_with("a 5:6 644"), "{made}");
        assert_eq!(at(second, &["-i", "state"], look), made, "{second:?}");
        let both = ["-i", "state", "-s", "state"];
        let changed = at(second, &both, &format!("{change}; {look}"));
        assert_ne!(changed, made);
        assert_eq!(at(first, &["-i", "state"], look), changed, "{first:?}");
        // The control.
        assert_ne!(at(first, &[], look), changed);
    }
    // With -u it matters what is root's.
    let place = dir();
    let script = "touch a b; \"$1\" -u -s state chown 0:0 a; \"$1\" -u -i state stat -c %n:%u a b";
    let mut command = user("sh");
    command.args(["-ec", script, "sh"]).arg(&ours);
    let ran = run(command.current_dir(place.path())).succeeds();
    assert_eq!(ran.stdout, format!("a:0\nb:{}\n", uid()));
}

/// By zroot's own name, what files seem to be without a user namespace.
#[test]
fn without_a_user_namespace_owners_are_remembered_as_with_one() {
    let own = uid();
    let script = format!(
        "touch f; for to in 0:0 5:6 {own}:{own} 0 :{own} {own} :0; do chown $to f; stat -c %u:%g f; done"
    );
    for when in ["never", "auto"] {
        let place = dir();
        let userns = format!("--userns={when}");
        let mut command = zroot_with(["-c", "full", &userns, "sh", "-ec", &script]);
        let ran = run(command.current_dir(place.path())).succeeds();
        let says = format!("0:0\n5:6\n{own}:{own}\n0:{own}\n0:{own}\n{own}:{own}\n{own}:0\n");
        assert_eq!(ran.stdout, says, "{userns}");
    }
}

const GIVE: &str = "touch f; chown 5:6 f; stat -c %u:%g f; id -u; [ \"$FAKEROOTKEY\" ] && echo key";

#[test]
fn in_others_that_pretend() {
    let test = "in_others_that_pretend";
    let fakeroot = names().join("fakeroot");
    let fakeroot = fakeroot.to_str().expect("UTF-8");
    let zroot = zroot().to_str().expect("UTF-8");
    let nested = |words: &[&str]| {
        let place = dir();
        let mut command = user(words[0]);
        command.args(&words[1..]).args(["sh", "-ec", GIVE]);
        run(command.current_dir(place.path()))
    };
    for outer in [
        &[zroot, "-c", "full"][..],
        &[zroot, "-c", "auto", "--"],
        &[fakeroot],
        &[fakeroot, "--", fakeroot],
        // A filter of namespaces alone is no hindrance.
        &["unshare", "-r"],
    ] {
        let ran = nested(&[outer, &[fakeroot, "--"]].concat()).succeeds();
        assert_eq!(ran.stdout, "5:6\n0\nkey\n", "{outer:?}");
    }
    if common::program("fakeroot").is_some() {
        for words in [
            &["fakeroot", "--", fakeroot, "--"][..],
            &[zroot, "-c", "full", "fakeroot", "--"],
        ] {
            assert_eq!(
                nested(words).succeeds().stdout,
                "5:6\n0\nkey\n",
                "{words:?}"
            );
        }
        // The real one does not go into itself, and so not into ours.
        nested(&[fakeroot, "fakeroot", "--"]).fails_with("nested operation not yet supported");
    } else {
        common::skip(test, "there is no fakeroot");
    }
    // Less than was asked for is an error: packages would lose their owners without a word.
    for (outer, says, advice) in [
        (
            &[zroot, "-c", "selective"][..],
            "level full is not to be had",
            "give the outer one -c full",
        ),
        (
            &[zroot],
            "a filter around this process pretends already",
            "full",
        ),
    ] {
        let (what, hint) = nested(&[outer, &[fakeroot]].concat()).refused(125);
        assert!(
            what.contains(says) && hint.contains(advice),
            "{what} {hint}"
        );
    }
    let (what, hint) = nested(&[zroot, "-c", "full", fakeroot, "-u"]).refused(125);
    assert!(
        what.contains("files of unknown owners are root's"),
        "{what}"
    );
    assert!(hint.contains("leave out -u"), "{hint}");
}

/// The answer of a filter that refuses a call.
const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

#[test]
fn where_there_are_no_user_namespaces() {
    let filter = || filter_answering(libc::SYS_unshare, REFUSED);
    let place = dir();
    let mut command = ours(["--", "sh", "-ec", GIVE]);
    let ran = run(under_filter(&mut command, filter()).current_dir(place.path())).succeeds();
    assert_eq!(ran.stdout, "5:6\n0\nkey\n");
    // The control: by its own name zroot says so.
    let mut command = zroot_with(["-c", "full", "true"]);
    let (what, _) = run(under_filter(&mut command, filter())).refused(125);
    assert!(what.contains("cannot make a user namespace"), "{what}");
}

/// As Yama has it where `kernel.yama.ptrace_scope` is not 0.
#[test]
fn a_supervisor_that_is_kept_out_is_said_before_anything_runs() {
    let filter = || filter_answering(libc::SYS_process_vm_readv, REFUSED);
    let own = |args: &[&str]| zroot_with([args, &["echo", "ran"]].concat());
    for mut command in [
        ours(["-u", "echo", "ran"]),
        own(&["-c", "full", "--userns=never"]),
        own(&["-c", "selective", "--userns=never"]),
    ] {
        let (what, hint) = run(under_filter(&mut command, filter())).refused(125);
        assert!(what.contains("may not read the command's memory"), "{what}");
        assert!(
            hint.contains("an outer seccomp filter") && hint.contains("-u"),
            "{hint}"
        );
    }
    let mut command = own(&["-c", "auto", "--userns=never"]);
    assert_eq!(
        run(under_filter(&mut command, filter())).succeeds().stdout,
        "ran\n"
    );
    // The control.
    assert_eq!(
        run(&mut ours(["-u", "echo", "ran"])).succeeds().stdout,
        "ran\n"
    );
}

/// A zroot that nobody may read, whose memory is closed to others for that.
#[test]
fn an_executable_that_cannot_be_read() {
    let place = dir();
    let copy = place.path().join("fakeroot");
    run(plain("install").args(["-m", "711"]).arg(zroot()).arg(&copy)).succeeds();
    for options in [&[][..], &["-u"]] {
        let mut command = user_with_ours(&copy);
        command.args(options).args(["--", "sh", "-ec", GIVE]);
        let ran = run(command.current_dir(place.path())).succeeds();
        assert_eq!(ran.stdout, "5:6\n0\nkey\n", "{options:?}");
    }
}

/// As Debian's alternatives would have it.
#[test]
fn the_name_of_an_alternative() {
    let ran = run(user_with_ours("sh").args(["-c", "fakeroot-zroot -v"])).succeeds();
    assert!(ran.stdout.starts_with("fakeroot version "), "{ran:#?}");
}

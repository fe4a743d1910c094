//! The index of symptoms in `man/zroot-consistency.7`: each is provoked, and what the page names
//! cures it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::{self, Ran, control, dir, program, run, skip, user, zroot_with};
use crate::debian::Root;

const PAGE: &str = include_str!("../../../man/zroot-consistency.7");

/// How a symptom comes about.
enum Where {
    /// Under zroot with these options.
    Zroot(&'static [&'static str]),
    /// As root of a user namespace, without zroot.
    Without,
}

struct Symptom {
    /// What is in the page.
    says: &'static str,
    /// What the program says.
    message: &'static str,
    needs: &'static [&'static str],
    at: Where,
    script: &'static str,
    /// The options that each cure it.
    cures: &'static [&'static [&'static str]],
}

const SELECTIVE: &[&str] = &["-c", "selective"];
const FULL: &[&str] = &["-c", "full"];

/// Scripts run in an empty directory.
const SYMPTOMS: &[Symptom] = &[
    Symptom {
        says: "Cannot change ownership to uid",
        message: "Cannot change ownership to uid 5",
        needs: &["tar"],
        at: Where::Without,
        script: ": >f; tar --owner=5 --group=5 -cf a.tar f; tar --same-owner -xf a.tar",
        cures: &[&[], SELECTIVE, FULL],
    },
    Symptom {
        says: "initgroups",
        message: "PermissionError: [Errno 1] Operation not permitted",
        needs: &["python3"],
        at: Where::Without,
        // It is the call's name that servers say.
        script: "python3 -c 'import os; os.initgroups(\"games\", 60)'",
        cures: &[&[], SELECTIVE, FULL],
    },
    Symptom {
        says: "Could not change user id",
        message: "Could not change user id",
        needs: &["perl"],
        at: Where::Zroot(&[]),
        script: r#"perl -e '$) = "5 5"; $( = 5; $< = $> = 5; die "Could not change user id\n" if $< != 5'"#,
        cures: &[SELECTIVE, FULL],
    },
    Symptom {
        says: "Could not change user id",
        message: "Could not change user id",
        needs: &["setpriv"],
        at: Where::Zroot(SELECTIVE),
        script: r"setpriv --reuid 5 sh -c 'test $(id -u) = 5 || { echo Could not change user id; exit 1; }'",
        cures: &[FULL],
    },
    Symptom {
        says: "wrong ownership",
        message: "wrong ownership",
        needs: &[],
        at: Where::Zroot(SELECTIVE),
        script: ": >f; chown 5 f; test $(stat -c %u f) = 5 || { echo wrong ownership; exit 1; }",
        cures: &[FULL],
    },
    Symptom {
        says: "dubious ownership",
        message: "dubious ownership",
        needs: &["git"],
        at: Where::Zroot(&["--userns=never"]),
        script: "cp -r ../repository .; cd repository; git status",
        cures: &[&[], &["--userns=never", "-c", "full"]],
    },
    Symptom {
        says: ".....UG..",
        message: ".....UG..    /opt/f",
        needs: &["rpmbuild", "rpm"],
        at: Where::Zroot(SELECTIVE),
        script: r"mkdir -p root/etc; cp /etc/passwd /etc/group root/etc
            printf '%s\n' 'Name: t' 'Version: 1' 'Release: 1' 'Summary: t' 'License: t' 'BuildArch: noarch' \
                '%description' 't' '%install' 'mkdir -p %{buildroot}/opt; echo > %{buildroot}/opt/f' \
                '%files' '%attr(644, games, tty) /opt/f' > t.spec
            rpmbuild --quiet --define '_topdir '$PWD/top -bb t.spec 2>&1
            set -- --root $PWD/root --dbpath /var/lib/rpm --nodeps
            rpm $@ -i top/RPMS/noarch/t-1-1.noarch.rpm; rpm $@ -Va",
        cures: &[FULL],
    },
    Symptom {
        says: "cannot set permissions",
        message: "mknod: cannot set permissions of 'n'",
        needs: &["mknod"],
        at: Where::Zroot(&[]),
        script: "mknod -m 644 n c 1 3",
        cures: &[SELECTIVE, FULL],
    },
    Symptom {
        says: "setfacl: Invalid argument",
        message: "setfacl: f: Invalid argument",
        needs: &["setfacl"],
        at: Where::Zroot(&[]),
        script: ": >f; setfacl -m g:4:r f",
        cures: &[SELECTIVE, FULL],
    },
    Symptom {
        says: "setfattr: Operation not permitted",
        message: "setfattr: f: Operation not permitted",
        needs: &["setfattr"],
        at: Where::Zroot(&[]),
        script: ": >f; setfattr -n trusted.zroot -v 1 f",
        cures: &[SELECTIVE, FULL],
    },
    Symptom {
        says: "cannot modify limit",
        message: "cannot modify limit: Operation not permitted",
        needs: &["bash"],
        at: Where::Zroot(&[]),
        script: "bash -ec 'ulimit -n 100; ulimit -n 101'",
        cures: &[SELECTIVE, FULL, &["--fake=limits"]],
    },
    Symptom {
        says: "cannot set niceness",
        message: "nice: cannot set niceness",
        needs: &["nice"],
        at: Where::Zroot(&[]),
        script: "nice -n -5 true 2>&1 | grep . && exit 1; true",
        cures: &[SELECTIVE, FULL, &["--fake=limits"]],
    },
    Symptom {
        says: "while setting flags",
        message: "while setting flags",
        needs: &["chattr"],
        at: Where::Zroot(FULL),
        script: ": >f; chattr +i f",
        cures: &[&["--fake=inode-flags"]],
    },
    Symptom {
        says: "you must be root to change the host name",
        message: "you must be root to change the host name",
        needs: &["hostname"],
        at: Where::Zroot(FULL),
        script: "hostname zroot",
        cures: &[&["--fake=host"]],
    },
    Symptom {
        says: "mount: permission denied",
        message: "permission denied",
        needs: &["mount"],
        at: Where::Zroot(FULL),
        script: "mkdir d; mount -t tmpfs none d",
        cures: &[&["--fake=mount"]],
    },
];

/// Symptoms that other tests provoke, since they take a Debian tree or a repository of packages.
const ELSEWHERE: &[(&str, &str)] = &[
    ("Could not switch group", "packages::apt"),
    ("setgroups 65534 failed", "packages::apt"),
    ("are you root?", "packages::apt"),
    ("cpio: chown failed", "packages::rpm"),
    ("cannot open session", "su_and_runuser_in_a_tree"),
    ("Authentication failure", "su_and_runuser_in_a_tree"),
];

#[test]
fn each_symptom_is_provoked_and_cured() {
    const TEST: &str = "each_symptom_is_provoked_and_cured";
    for symptom in SYMPTOMS {
        if let Some(lacks) = symptom.needs.iter().find(|name| program(name).is_none()) {
            skip(TEST, &format!("there is no {lacks} for '{}'", symptom.says));
            continue;
        }
        let place = dir();
        if symptom.needs.contains(&"git") {
            let made = run(user("git")
                .args(["init", "-q", "repository"])
                .current_dir(place.path()));
            made.succeeds();
        }
        let at = |number: usize| {
            let dir = place.path().join(number.to_string());
            std::fs::create_dir(&dir).expect("a directory");
            common::give(&dir);
            dir
        };
        let script = ["sh", "-ec", symptom.script];
        let mut command = match symptom.at {
            Where::Without => control(script),
            Where::Zroot(options) => {
                let mut command = zroot_with(options);
                command.arg("--").args(script);
                command
            }
        };
        run(command.current_dir(at(0))).fails_with(symptom.message);
        for (number, options) in symptom.cures.iter().enumerate() {
            let mut command = zroot_with(*options);
            command.arg("--").args(script);
            let ran: Ran = run(command.current_dir(at(number + 1))).succeeds();
            assert!(!ran.stderr.contains(symptom.message), "{ran:#?}");
        }
    }
}

#[test]
fn every_symptom_in_the_page_is_one_that_is_provoked() {
    let section = PAGE
        .split(".SH SYMPTOMS")
        .nth(1)
        .and_then(|rest| rest.split(".SH").next());
    let in_page: BTreeSet<&str> = section
        .expect("a section")
        .lines()
        .filter_map(|line| line.strip_prefix(".B \\(dq")?.strip_suffix("\\(dq"))
        .collect();
    let provoked: BTreeSet<&str> = SYMPTOMS
        .iter()
        .map(|symptom| symptom.says)
        .chain(ELSEWHERE.iter().map(|(says, _)| *says))
        .collect();
    assert_eq!(in_page, provoked);
    // Those of other files are in these.
    for (says, place) in ELSEWHERE {
        let Some(file) = place.strip_prefix("packages::") else {
            continue;
        };
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/packages/{file}.rs"));
        let text = std::fs::read_to_string(path).expect("read");
        let part = says.split(' ').next().expect("a word");
        assert!(text.contains(part), "'{says}' is not in {place}");
    }
}

/// What the page says of changing to another user, at each level.
#[test]
fn su_and_runuser_in_a_tree() {
    let Some(root) = Root::copy("su_and_runuser_in_a_tree") else {
        return;
    };
    let inside = |options: &[&str], script: &str| {
        let mut command = zroot_with(options);
        command
            .arg("--root")
            .arg(root.path())
            .args(["sh", "-c", script]);
        run(&mut command)
    };
    let become_games = "su games -s /bin/sh -c 'id -un; touch /tmp/f; stat -c %U /tmp/f'; rm -f /tmp/f; runuser -u games -- id -un";
    for (level, user) in [("zero", "root"), ("selective", "root"), ("full", "games")] {
        let ran = inside(&["-c", level], become_games).succeeds();
        assert_eq!(ran.stdout, format!("{user}\n").repeat(3), "{level}");
    }
    root.write("etc/security/limits.conf", "games - priority -5\n");
    for command in ["su games -s /bin/sh -c true", "runuser -u games -- true"] {
        inside(&[], command).fails_with("cannot open session");
        for options in [SELECTIVE, FULL, &["--fake=limits"]] {
            inside(options, command).succeeds();
        }
    }
    // On the host, where the file of passwords is not to be read.
    if program("su").is_some() && run(user("cat").arg("/etc/shadow")).status != 0 {
        run(&mut zroot_with([
            "-c", "full", "su", "games", "-s", "/bin/sh", "-c", "true",
        ]))
        .fails_with("Authentication failure");
        run(&mut zroot_with([
            "-c", "full", "runuser", "-u", "games", "true",
        ]))
        .succeeds();
    }
}

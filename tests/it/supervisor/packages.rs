//! Package managers. Each claim has its control, as in `programs.rs`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{GUARD, Place, SUPERVISOR, processes};
use crate::common::{INVALID, for_root_only, is_root, keep, plain, run, uid, user, zroot_with};
use crate::debian::{BULLSEYE, Root};

/// `zroot -c LEVEL --root ROOT OPTIONS... -- ARGS...`
fn at(level: &str, root: &Path, options: &[&str], args: &[&str]) -> Command {
    let mut command = zroot_with(["-c", level, "--root"]);
    command.arg(root).args(options).arg("--").args(args);
    command
}

/// What below `root` is not the unprivileged user's.
fn stray_owners(root: &Path) -> Vec<String> {
    let found = run(user("find")
        .arg(root)
        .args(["!", "-uid", &uid().to_string()]));
    found.stdout.lines().map(str::to_owned).collect()
}

/// Its postinst sets an ACL that names group adm, as systemd-tmpfiles does.
#[test]
fn systemd_of_debian_11_installs() {
    const TEST: &str = "systemd_of_debian_11_installs";
    let Some(root) = Root::copy_of(&BULLSEYE, TEST) else {
        return;
    };
    let zroot = |level: &str, args: &str| {
        run(&mut at(
            level,
            root.path(),
            &["--no-sync"],
            &["sh", "-c", args],
        ))
    };
    let install = "apt-get install -y --no-download --no-install-recommends systemd";
    zroot("zero", install).fails_with("on /var/log/journal failed: Invalid argument");
    zroot("zero", "dpkg --purge systemd").succeeds();
    zroot("selective", install).succeeds();
    assert_eq!(
        run(&mut root.chroot(["dpkg", "--audit"])).succeeds().stdout,
        ""
    );
    zroot("selective", "systemd-tmpfiles --create").succeeds();
    zroot("zero", "systemd-tmpfiles --create")
        .fails_with("on /var/log/journal failed: Invalid argument");
}

/// What is installed at each level, and by real root. Not two of those that are recommended: they
/// compile and index for long, and do nothing that needs root.
const PACKAGES: &str = "apt-get install -y --no-download -o Dpkg::Options::=--force-unsafe-io openssh-server postfix dbus man-db polkitd python3- shared-mime-info-";

/// Type, mode and path of everything in a tree, and where links lead.
fn listing(root: &Path) -> BTreeSet<String> {
    let script = r"cd $0; find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -printf '%y %m %p %l\n'";
    let mut find = Command::new("sh");
    find.args(["-ec", script]).arg(root);
    if !is_root() {
        find = user("unshare");
        find.args(["-r", "sh", "-ec", script]).arg(root);
    }
    run(&mut find)
        .succeeds()
        .stdout
        .lines()
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn same(one: &BTreeSet<String>, other: &BTreeSet<String>) {
    let differ: Vec<&String> = one.symmetric_difference(other).collect();
    assert_eq!(differ, [""; 0]);
}

#[test]
fn packages_install_as_for_real_root_and_at_level_zero() {
    const TEST: &str = "packages_install_as_for_real_root_and_at_level_zero";
    let install = |level: &str| {
        let root = Root::copy(TEST)?;
        run(&mut at(
            level,
            root.path(),
            &["--no-sync"],
            &["sh", "-c", PACKAGES],
        ))
        .succeeds();
        Some(root)
    };
    // Side by side: at the end of the suite there is nothing else to do.
    let (selective, zero) = std::thread::scope(|scope| {
        let zero = scope.spawn(|| install("zero"));
        (install("selective"), zero.join().expect("an installation"))
    });
    let (Some(root), Some(zero)) = (selective, zero) else {
        return;
    };
    let at_selective = listing(root.path());
    assert!(
        at_selective.contains("f 4755 ./usr/lib/openssh/ssh-keysign "),
        "{at_selective:#?}"
    );
    assert_eq!(stray_owners(root.path()), [""; 0]);
    same(&at_selective, &listing(zero.path()));
    makedev_installs(&root, &zero);
    drop(zero);
    real_root_makes_the_same(TEST, &root, &at_selective);
    files_of_others_seem_to_change_inside(&root);
    programs_drop_root(&root);
    apt_finds_that_it_is_its_own_user(&root);
}

/// Makes every device there is, with mknod, chown, chmod and mv.
fn makedev_installs(selective: &Root, zero: &Root) {
    let place = Place::new();
    let install = |level: &str, root: &Root| {
        // Not into the host's /dev.
        let bind = format!("{}:/dev", place.path().display());
        run(&mut at(
            level,
            root.path(),
            &["--no-sync", "--bind", &bind],
            &["apt-get", "install", "-y", "--no-download", "makedev"],
        ))
    };
    let ran = install("zero", zero).fails_with("makedev null c 1 3 root root 0666: failed");
    assert_eq!(ran.status, 100, "{ran:#?}");
    install("selective", selective).succeeds();
    assert_eq!(
        run(&mut selective.chroot(["dpkg", "--audit"]))
            .succeeds()
            .stdout,
        ""
    );
    assert_eq!(
        place.plainly("stat -c '%a %F' zero kmem loop0"),
        "666 regular empty file\n640 regular empty file\n660 regular empty file"
    );
}

fn real_root_makes_the_same(test: &str, root: &Root, at_selective: &BTreeSet<String>) {
    if for_root_only(test) {
        return;
    }
    let copy = tempfile::Builder::new()
        .prefix("zroot-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    let script = format!(
        r#"cp -a --no-preserve=ownership -T "$1" "$0"; cp -p "$2/zroot" "$0"; cp -p "$2/etc/resolv.conf" "$0/etc"
        mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" {PACKAGES}"#
    );
    run(plain("unshare")
        .args(["-mpf", "sh", "-ec", &script])
        .arg(copy.path())
        .arg(keep().join("debian"))
        .arg(root.path()))
    .succeeds();
    same(at_selective, &listing(copy.path()));
}

/// Where `--root` has bound the host's /dev and /proc.
fn files_of_others_seem_to_change_inside(root: &Root) {
    let script = "chmod 666 /dev/null; touch -d 2001-02-03 /dev/null; chown root:tty /dev/tty; chmod 1777 /proc; chown -R daemon /tmp";
    run(&mut at(
        "selective",
        root.path(),
        &[],
        &["sh", "-ec", script],
    ))
    .succeeds();
    run(&mut at("zero", root.path(), &[], &["sh", "-ec", script]))
        .fails_with("changing permissions of '/dev/null'");
}

/// In the tree with openssh-server.
fn programs_drop_root(root: &Root) {
    let install = "apt-get install -y --no-download --no-install-recommends gosu daemontools ruby";
    run(&mut at(
        "selective",
        root.path(),
        &["--no-sync"],
        &["sh", "-c", install],
    ))
    .succeeds();
    let chroot = |script: &str| run(&mut root.chroot_with_mounts(["sh", "-ec", script]));
    let zroot =
        |level: &str, script: &str| run(&mut at(level, root.path(), &[], &["sh", "-ec", script]));
    for (script, says, refusal) in [
        (
            "mkdir -p /run/sshd; sshd -t; chown daemon /run/sshd",
            "",
            INVALID,
        ),
        ("su root -c 'id -u'", "0", "cannot set groups"),
        (
            "su - daemon -s /bin/sh -c 'id -u'",
            "0",
            "cannot set groups",
        ),
        ("runuser -u daemon -- id -u", "0", "cannot set groups"),
        ("gosu daemon id -u", "0", "operation not permitted"),
        ("setuidgid daemon id -u", "0", "unable to setgid"),
        (
            "start-stop-daemon --start --chuid daemon:mail --exec /usr/bin/id -- -u",
            "0",
            "start-stop-daemon",
        ),
        ("chroot --userspec=daemon:mail / id -u", "0", "chroot: "),
        ("sg mail 'id -g'", "0", "setgroups: Operation not permitted"),
    ] {
        let ran = zroot("selective", script).succeeds();
        assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
        chroot(script).fails_with(refusal);
    }
    let ruby = r#"Process::Sys.setresgid(7, 7, 7); Process::UID.change_privilege(5)
        raise "still #{Process.uid}" unless Process.uid == 5; print Process.euid, Process::GID.eid"#;
    let ruby = format!("ruby -e '{ruby}'");
    assert_eq!(zroot("selective", &ruby).succeeds().stdout, "57");
    zroot("zero", &ruby).fails_with("still 0");
}

fn apt_finds_that_it_is_its_own_user(root: &Root) {
    let update = |level: &str| {
        run(&mut at(
            level,
            root.path(),
            &["--no-apt-config"],
            &["apt-get", "update"],
        ))
    };
    update("selective").succeeds();
    update("zero").fails_with("Could not switch group");
}

/// A command that is watched.
struct Watched<'a> {
    root: &'a Path,
    child: Child,
    output: &'a Path,
    deadline: Instant,
}

impl<'a> Watched<'a> {
    /// Starts a script in the tree `root`, its output into a file.
    fn start(root: &'a Path, script: &str, output: &'a Path) -> Watched<'a> {
        let _ = fs::remove_file(root.join(LOG));
        let out = File::create(output).expect("a file");
        let err = out.try_clone().expect("a descriptor");
        let child = at("selective", root, &["--no-sync"], &["sh", "-c", script])
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("zroot");
        Watched {
            root,
            child,
            output,
            deadline: Instant::now() + Duration::from_secs(120),
        }
    }

    /// How many lines dpkg has logged.
    fn progress(&self) -> usize {
        fs::read_to_string(self.root.join(LOG)).map_or(0, |log| log.lines().count())
    }

    /// Waits until `what` holds.
    #[track_caller]
    fn wait_until(&mut self, mut what: impl FnMut(&mut Self) -> bool) {
        while !what(self) {
            if Instant::now() > self.deadline {
                let _ = self.child.kill();
                panic!("hangs: {}", self.output());
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// The process of this name that belongs to this zroot: it is in the command's user namespace.
    fn helper(&self, name: &str) -> Option<Pid> {
        let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let own = namespace(i32::try_from(self.child.id()).ok()?)?;
        processes(|pid| Some(namespace(pid)? == own))
            .into_iter()
            .find_map(|(pid, comm)| (comm == name).then(|| Pid::from_raw(pid)))
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.output).unwrap_or_default()
    }

    /// Kills the supervisor and its guard.
    #[track_caller]
    fn kill_both(&mut self) {
        let mut both = Vec::new();
        self.wait_until(|it| {
            both = [GUARD, SUPERVISOR]
                .into_iter()
                .filter_map(|name| it.helper(name))
                .collect();
            both.len() == 2 || !it.is_running()
        });
        assert_eq!(both.len(), 2, "{}", self.output());
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for process in &both {
                kill(*process, signal).expect("kill");
            }
        }
    }

    /// Its exit status and output.
    #[track_caller]
    fn end(mut self) -> (i32, String) {
        self.wait_until(|it| !it.is_running());
        let status = self.child.wait().expect("a child");
        (status.code().unwrap_or(-1), self.output())
    }
}

const LOG: &str = "var/log/dpkg.log";

const INSTALL: &str = "apt-get install -y --no-download --no-install-recommends --reinstall passwd at netbase base-files";

#[test]
fn a_killed_supervisor_is_replaced() {
    let Some(root) = Root::copy("a_killed_supervisor_is_replaced") else {
        return;
    };
    let place = Place::new();
    let output = place.path().join("output");
    let mut lines = 0;
    // The first one also installs what these packages need.
    for _ in 0..2 {
        let mut whole = Watched::start(root.path(), INSTALL, &output);
        whole.wait_until(|it| !it.is_running());
        lines = whole.progress();
        let (status, output) = whole.end();
        assert_eq!(status, 0, "{output}");
    }
    assert!(lines > 20, "{lines}");
    for moment in 0..10 {
        let mut installation = Watched::start(root.path(), INSTALL, &output);
        // The first time before dpkg runs, the last time among its last steps.
        let line = lines * moment / 10;
        let mut found = None;
        installation.wait_until(|it| {
            found = if it.progress() >= line {
                it.helper(SUPERVISOR)
            } else {
                None
            };
            found.is_some() || !it.is_running()
        });
        let killed = found.unwrap_or_else(|| {
            panic!(
                "no supervisor at line {line} of {lines}: {}",
                installation.output()
            )
        });
        kill(killed, Signal::SIGKILL).expect("kill");
        let mut successor = None;
        installation.wait_until(|it| {
            successor = it.helper(SUPERVISOR).filter(|pid| *pid != killed);
            successor.is_some() || !it.is_running()
        });
        assert!(
            successor.is_some(),
            "at line {line} of {lines}: {}",
            installation.output()
        );
        let (status, output) = installation.end();
        assert_eq!(status, 0, "killed at line {line} of {lines}: {output}");
    }
    assert_eq!(
        run(&mut root.chroot(["dpkg", "--audit"])).succeeds().stdout,
        ""
    );
    assert_eq!(
        root.inside("stat -c %a /usr/bin/passwd /usr/bin/at").stdout,
        "4755\n6755\n"
    );

    // The control: when there is no guard, either, nobody answers. Nothing hangs, and dpkg stops.
    let mut installation = Watched::start(root.path(), INSTALL, &output);
    installation.wait_until(|it| it.progress() >= lines / 2 || !it.is_running());
    installation.kill_both();
    let (status, said) = installation.end();
    // The latter if it is dpkg's question who it is that fails.
    let reasons = ["Function not implemented", "requires superuser privilege"];
    assert!(
        status != 0 && reasons.iter().any(|reason| said.contains(reason)),
        "{status}: {said}"
    );

    let script = "mkfifo /tmp/go; cat /tmp/go; chown daemon /tmp/go";
    let mut waiting = Watched::start(root.path(), script, &output);
    waiting.wait_until(|it| it.root.join("tmp/go").exists() || !it.is_running());
    waiting.kill_both();
    fs::write(root.path().join("tmp/go"), "").expect("a reader");
    let (status, said) = waiting.end();
    assert_eq!(
        (status, said.as_str()),
        (
            1,
            "chown: changing ownership of '/tmp/go': Function not implemented\n"
        )
    );
    assert_eq!(root.leftovers(), [""; 0]);
}

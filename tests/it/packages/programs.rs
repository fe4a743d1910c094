//! Real programs as apparent root. Each case that needs the filter also runs without it, and then
//! fails for the reason the filter is there.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::{
    self, INVALID, NOT_PERMITTED, Ran, control, dir, give, run, uid, user, zroot, zroot_with,
};

/// Where scripts run: each in a fresh directory with an empty file `f` and a directory `d/e`,
/// beside what [`Bench::file`] and [`Bench::make`] made.
struct Bench {
    dir: TempDir,
    runs: Cell<u32>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            dir: dir(),
            runs: Cell::new(0),
        }
    }

    fn file(&self, name: &str, contents: &str) {
        let path = self.dir.path().join(name);
        fs::write(&path, contents).expect("a file");
        give(&path);
    }

    /// Runs `script` as the plain user beside the scripts' directories.
    fn make(&self, script: &str) {
        run(user("sh")
            .args(["-ec", script])
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path()))
        .succeeds();
    }

    fn fresh_dir(&self) -> PathBuf {
        self.runs.set(self.runs.get() + 1);
        let path = self.dir.path().join(self.runs.get().to_string());
        for dir in [&path, &path.join("d"), &path.join("d/e")] {
            fs::create_dir(dir).expect("a directory");
            give(dir);
        }
        fs::write(path.join("f"), "").expect("a file");
        give(&path.join("f"));
        path
    }

    fn script(mut command: Command, script: &str, dir: &Path) -> Ran {
        run(command.args(["sh", "-ec", script]).current_dir(dir))
    }

    /// `script` succeeds under zroot and prints `says`; without the filter it fails with `refusal`.
    #[track_caller]
    fn pretends(&self, script: &str, says: &str, refusal: &str) {
        let ran = Bench::script(zroot_with(["--"]), script, &self.fresh_dir()).succeeds();
        assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
        Bench::script(control([""; 0]), script, &self.fresh_dir()).fails_with(refusal);
    }

    /// What `script` does under zroot is real: afterwards, outside of it, `look` prints `says`.
    #[track_caller]
    fn really(&self, script: &str, look: &str, says: &str) {
        let dir = self.fresh_dir();
        Bench::script(zroot_with(["--"]), script, &dir).succeeds();
        let ran = run(user("sh").args(["-ec", look]).current_dir(&dir)).succeeds();
        assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
    }
}

#[test]
fn tar_extracts_what_belongs_to_others() {
    let bench = Bench::new();
    bench.make(
        "mkdir t; echo hello >t/f; chmod 4755 t/f; tar --owner=daemon:1 --group=mail:8 -cf t.tar t",
    );
    bench.pretends(
        "tar --same-owner -xpf ../t.tar; stat -c %a t/f; cat t/f",
        "4755\nhello",
        "Cannot change ownership to uid 1, gid 8",
    );
}

#[test]
fn coreutils_give_files_away() {
    let bench = Bench::new();
    // Root's own files belong to nobody in a namespace of one id.
    bench.pretends(
        "cp -a /etc/hostname g; cmp /etc/hostname g",
        "",
        "failed to preserve ownership for 'g': Invalid argument",
    );
    bench.pretends(
        "install -o daemon -g daemon -m 4711 f g; stat -c %a g",
        "4711",
        "cannot change ownership of 'g': Invalid argument",
    );
    bench.pretends(
        "install -d -o daemon -g mail g; test -d g",
        "",
        "cannot change owner and permissions of 'g': Invalid argument",
    );
    bench.pretends(
        "chown -R daemon:mail d",
        "",
        "changing ownership of 'd/e': Invalid argument",
    );
    bench.pretends(
        "ln -s nowhere l; chown -h daemon l",
        "",
        "changing ownership of 'l': Invalid argument",
    );
    bench.pretends(
        "chgrp mail f",
        "",
        "changing group of 'f': Invalid argument",
    );
    bench.pretends("chown daemon f; stat -c %U:%G f", "root:root", INVALID);
}

#[test]
fn rsync_keeps_owners() {
    need!("rsync_keeps_owners", "rsync");
    Bench::new().pretends(
        "rsync -a -o -g /etc/hostname g; cmp /etc/hostname g",
        "",
        "failed: Invalid argument (22)",
    );
}

#[test]
fn cpio_extracts_and_copies_what_belongs_to_others() {
    need!("cpio_extracts_and_copies_what_belongs_to_others", "cpio");
    let bench = Bench::new();
    bench.make("mkdir t; echo hello >t/f; find t | cpio --quiet -o -H newc -R 1:8 >t.cpio");
    bench.pretends(
        "cpio --quiet -id <../t.cpio; cat t/f",
        "hello",
        "t/f: Cannot change ownership to uid 1, gid 8: Invalid argument",
    );
    bench.pretends(
        "echo /etc/hostname | cpio --quiet -pd .; cmp etc/hostname /etc/hostname",
        "",
        "etc/hostname: Cannot change ownership",
    );
}

#[test]
fn busybox_gives_files_away() {
    need!("busybox_gives_files_away", "busybox");
    let bench = Bench::new();
    bench.pretends(
        "busybox chown daemon:mail f",
        "",
        "chown: f: Invalid argument",
    );
    bench.pretends(
        "busybox mknod n c 1 3; ls",
        "d\nf",
        "mknod: n: Operation not permitted",
    );
    // Its tar does not mind that chown fails, so this would pass without the filter.
    bench.make(
        "mkdir t; echo hello >t/f; chmod 2755 t/f; tar --owner=daemon:1 --group=mail:8 -cf t.tar t",
    );
    bench.really(
        "busybox tar xpf ../t.tar",
        "stat -c %a t/f; cat t/f",
        "2755\nhello",
    );
}

#[test]
fn dpkg_installs_what_belongs_to_others() {
    need!(
        "dpkg_installs_what_belongs_to_others",
        "dpkg",
        "ar",
        "busybox"
    );
    let bench = Bench::new();
    bench.file("control", "Package: queue\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@localhost>\nDescription: a queue\n");
    bench.file(
        "postinst",
        "#!/bin/sh\nset -e\ntest $(id -u) = 0\nchown daemon:mail /var/spool/queue\nchgrp mail /usr/bin/queue\nchmod 2755 /usr/bin/queue\n",
    );
    // By hand, because dpkg-deb takes the owners from the files. The root directory has what the
    // maintainer script needs, and dpkg's own.
    bench.make(
        "chmod 755 postinst
        mkdir -p t/usr/bin t/var/spool/queue
        echo hello >t/usr/bin/queue; chmod 4755 t/usr/bin/queue; chmod 770 t/var/spool/queue
        tar --owner=daemon:1 --group=mail:8 -C t -czf data.tar.gz .
        tar --owner=root:0 --group=root:0 -czf control.tar.gz ./control ./postinst
        echo 2.0 >debian-binary; ar rc queue.deb debian-binary control.tar.gz data.tar.gz
        mkdir -p root/bin root/etc root/var/lib/dpkg/info root/var/lib/dpkg/updates
        touch root/var/lib/dpkg/status
        cp /bin/busybox root/bin; for name in sh id chown chgrp chmod; do ln -s busybox root/bin/$name; done
        echo root:x:0:0::/:/bin/sh >root/etc/passwd; echo daemon:x:1:1::/:/bin/sh >>root/etc/passwd
        echo root:x:0: >root/etc/group; echo mail:x:8: >>root/etc/group",
    );
    bench.pretends(
        "cp -r ../root .; dpkg --root=$PWD/root -i ../queue.deb >&2
        dpkg-query --admindir=root/var/lib/dpkg -W -f '${Status}\n' queue
        stat -c %a root/usr/bin/queue root/var/spool/queue",
        "install ok installed\n2755\n770",
        "error setting ownership of",
    );
}

#[test]
fn devices_are_pretended_and_other_nodes_real() {
    let bench = Bench::new();
    bench.pretends(
        "mknod n c 1 3; mknod n b 7 0; ls",
        "d\nf",
        "mknod: n: Operation not permitted",
    );
    bench.really("mkfifo n; mknod o p", "stat -c %F n o", "fifo\nfifo");
    bench.really(
        "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"n\")'",
        "stat -c %F n",
        "socket",
    );
    // Level zero leaves nothing for a chmod that follows.
    Bench::script(
        zroot_with(["--"]),
        "mknod -m 666 n c 1 3",
        &bench.fresh_dir(),
    )
    .fails_with("cannot set permissions of 'n'");

    // A whiteout of overlayfs: the kernel grants it since 5.8 (fs/namei.c, vfs_mknod).
    let whiteout = "mknod n c 0 0";
    if Bench::script(control([""; 0]), whiteout, &bench.fresh_dir()).status == 0 {
        bench.really(
            whiteout,
            "stat -c '%F %t:%T' n",
            "character special file 0:0",
        );
    } else {
        common::skip(
            "devices_are_pretended_and_other_nodes_real",
            "this kernel makes no whiteouts for users",
        );
    }
}

#[test]
fn what_the_kernel_grants_is_real() {
    let bench = Bench::new();
    bench.really("chmod 6755 f; chmod 1777 d", "stat -c %a f d", "6755\n1777");
    bench.really(
        "chown daemon:mail f",
        "stat -c %u:%g f",
        &format!("{0}:{0}", uid()),
    );
}

#[test]
fn file_capabilities_are_real() {
    need!("file_capabilities_are_real", "setcap", "getcap");
    Bench::new().really("setcap cap_net_raw+ep f", "getcap f", "f cap_net_raw=ep");
}

#[test]
fn user_xattrs_are_real() {
    need!("user_xattrs_are_real", "setfattr", "getfattr");
    let bench = Bench::new();
    let set = "setfattr -n user.x -v y f";
    if Bench::script(control([""; 0]), set, &bench.fresh_dir()).status == 0 {
        bench.really(set, "getfattr --only-values -n user.x f", "y");
    } else {
        common::skip("user_xattrs_are_real", "the file system of /tmp has none");
    }
}

#[test]
fn make_has_its_jobserver_in_a_fifo() {
    const TEST: &str = "make_has_its_jobserver_in_a_fifo";
    need!(TEST, "make", "apt-get", "dpkg-deb", "timeout");
    let bench = Bench::new();
    bench.file("Makefile", include_str!("../../fixtures/make/Makefile"));
    bench.make("mkfifo there back");
    let make = ["make", "--jobserver-style=fifo", "-j2", "-C"];
    let mut command = if run(user("make").args(make).args(["/", "--version"])).status == 0 {
        let mut command = zroot_with(["--", "timeout", "60"]);
        command.args(make).arg(bench.dir.path());
        command
    } else {
        if let Err(reason) = new_make(&bench) {
            common::skip(TEST, &reason);
            return;
        }
        let mut command = user("timeout");
        command
            .args(["60", "unshare", "-r", "chroot", "tree", "/zroot", "--"])
            .args(make)
            .arg("/work")
            .current_dir(bench.dir.path());
        command
    };
    let ran = run(&mut command).succeeds();
    assert!(ran.stdout.contains("--jobserver-auth=fifo:"), "{ran:#?}");
}

/// Makes a root directory `tree` with zroot, a make of version 4.4 and the Makefile and FIFOs of
/// `bench` in it.
fn new_make(bench: &Bench) -> Result<(), String> {
    let targets = [
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Label: Debian",
    ];
    let mirrors = run(user("apt-get").args(targets)).succeeds();
    let mirror = mirrors
        .stdout
        .lines()
        .next()
        .ok_or("apt has no mirror of Debian")?;
    bench.file(
        "sources.list",
        &format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} trixie main\n"
        ),
    );
    // Beyond the machine's configuration, whose proxies are needed: directories of the test's own,
    // and no hooks on the machine's.
    let dir = bench.dir.path().display();
    bench.file(
        "apt.conf",
        &format!(
            "Dir::State \"{dir}/apt\"; Dir::Cache \"{dir}/apt\"; Dir::State::status \"/dev/null\"; Dir::Etc::sourceparts \"-\";
            Dir::Etc::sourcelist \"{dir}/sources.list\"; Acquire::Languages \"none\";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;\n"
        ),
    );
    bench.make("mkdir -p apt/lists/partial apt/archives/partial tree/tmp tree/work");
    for args in [&["update"][..], &["download", "make", "libc6", "dash"]] {
        let ran = run(user("apt-get")
            .args(["-qq", "-c", "apt.conf"])
            .args(args)
            .current_dir(bench.dir.path()));
        if ran.status != 0 {
            return Err(format!(
                "{mirror} gives no trixie: {}",
                ran.stderr.trim_end().escape_debug()
            ));
        }
    }
    bench.make(&format!(
        "for deb in *.deb; do dpkg-deb -x $deb tree; done
        for dir in bin lib lib64; do test -e tree/$dir || ln -s usr/$dir tree; done
        cp {} tree/zroot; cp Makefile tree/work; mv there back tree/work",
        zroot().display()
    ));
    Ok(())
}

#[test]
fn c_programs_make_their_own_calls() {
    need!("c_programs_make_their_own_calls", "gcc");
    let bench = Bench::new();
    bench.file("raw.c", include_str!("../../fixtures/raw.c"));
    bench.make("gcc -static -o raw raw.c");
    bench.pretends(
        "../raw; ls",
        "all passed\nd\nf\nfifo\nfifoat",
        "fchownat failed",
    );
    bench.file("threads.c", include_str!("../../fixtures/threads.c"));
    bench.make("gcc -pthread -o threads threads.c");
    bench.pretends(
        "../threads",
        "all passed",
        "chown in a thread: Invalid argument",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn i386_programs_are_filtered_in_both_widths_of_ids() {
    const TEST: &str = "i386_programs_are_filtered_in_both_widths_of_ids";
    need!(TEST, "gcc");
    let bench = Bench::new();
    bench.file("raw.c", include_str!("../../fixtures/raw.c"));
    // No libc, hence no multilib: only the kernel's header, which the 64-bit libc brings too.
    bench.make(
        "gcc -m32 -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector \
        -I/usr/include/$(gcc -print-multiarch) -o raw raw.c",
    );
    if run(user("sh")
        .args(["-c", "./raw"])
        .current_dir(bench.dir.path()))
    .status
        > 1
    {
        common::skip(TEST, "this kernel runs no i386 programs");
        return;
    }
    bench.pretends(
        "../raw; ls",
        "all passed\nd\nf\nfifo\nfifoat",
        "chown32 failed",
    );
}

#[test]
fn go_programs_make_their_own_calls() {
    need!("go_programs_make_their_own_calls", "go");
    let bench = Bench::new();
    bench.file("owner.go", include_str!("../../fixtures/owner.go"));
    bench.make("GO111MODULE=off CGO_ENABLED=0 GOCACHE=$PWD/cache go build -o owner owner.go");
    bench.pretends(
        "../owner; ls",
        "all passed\nd\nf\nfifo",
        "a child with credentials failed",
    );
}

#[test]
fn perl_changes_owners_but_notices_that_it_is_still_root() {
    need!(
        "perl_changes_owners_but_notices_that_it_is_still_root",
        "perl"
    );
    let bench = Bench::new();
    bench.pretends(
        "perl -e 'chown(1, 8, \"f\") == 1 or die \"$!\"'",
        "",
        INVALID,
    );
    bench.pretends("perl -MPOSIX -e 'POSIX::setgid(8) or die \"$!\"; POSIX::setuid(1) or die \"$!\"; print getuid'", "0", INVALID);
    bench.pretends(
        "perl -e '$! = 0; $) = \"8 8\"; $> = 1; die \"$!\" if $!; print $>'",
        "0",
        INVALID,
    );
    // The documented way to know that $> took: read it back. Nothing can satisfy that at level
    // zero, where ids do not change.
    let verify = "perl -e '$> = 1; die \"still $>\\n\" unless $> == 1'";
    Bench::script(zroot_with(["--"]), verify, &bench.fresh_dir()).fails_with("still 0");
}

#[test]
fn python_changes_owners_and_identity() {
    need!("python_changes_owners_and_identity", "python3");
    let bench = Bench::new();
    for (call, refusal) in [
        ("os.chown('f', 1, 8)", INVALID),
        ("os.chown('f', 1, 8, follow_symlinks=False)", INVALID),
        ("os.setgroups([1, 8])", NOT_PERMITTED),
        ("os.initgroups('daemon', 1)", NOT_PERMITTED),
        ("os.setgid(8)", INVALID),
        ("os.setuid(1)", INVALID),
        ("os.seteuid(1)", INVALID),
        ("os.setreuid(1, 1)", INVALID),
        ("os.setresuid(1, 1, 1)", INVALID),
        ("os.mknod('n', 0o20666, os.makedev(1, 3))", NOT_PERMITTED),
        (
            "subprocess.run(['true'], check=True, user='daemon', group='mail', extra_groups=['mail'])",
            NOT_PERMITTED,
        ),
    ] {
        bench.pretends(
            &format!("python3 -c \"import os, subprocess; {call}; print(os.getuid())\"; ls"),
            "0\nd\nf",
            refusal,
        );
    }
}

#[test]
fn programs_drop_root_and_stay_root() {
    let bench = Bench::new();
    bench.pretends(
        "setpriv --reuid 1 --regid 8 --clear-groups id -u",
        "0",
        "setresuid failed: Invalid argument",
    );
    bench.pretends(
        "setpriv --reuid daemon --regid daemon --init-groups id -u",
        "0",
        "setresuid failed: Invalid argument",
    );
    bench.pretends(
        "chroot --userspec=daemon:mail / id -u",
        "0",
        "failed to set supplemental groups: Operation not permitted",
    );
    bench.pretends("chroot / chown daemon $PWD/f", "", INVALID);
    bench.pretends(
        "runuser -u daemon -- id -u",
        "0",
        "cannot set groups: Operation not permitted",
    );
}

#[test]
fn start_stop_daemon_drops_root() {
    need!("start_stop_daemon_drops_root", "start-stop-daemon");
    Bench::new().pretends(
        "start-stop-daemon --start --quiet --chuid daemon:mail --exec /bin/true",
        "",
        "unable to set gid to 8",
    );
}

#[test]
fn capabilities_are_dropped_and_taken() {
    need!("capabilities_are_dropped_and_taken", "capsh");
    let bench = Bench::new();
    let take = "capsh --caps=cap_sys_admin+ep -- -c 'echo taken'";
    // From a bounding set without it, not even the namespace's root can take one.
    bench.pretends(
        &format!("setpriv --bounding-set -sys_admin {take}"),
        "taken",
        "Unable to set capabilities",
    );
    // The bounding set itself is not pretended.
    let look = "capsh --drop=cap_sys_admin -- -c 'capsh --has-b=cap_sys_admin'";
    Bench::script(zroot_with(["--"]), look, &bench.fresh_dir())
        .fails_with("cap[cap_sys_admin] not in bounding vector");

    let without_namespace = |no_fake: &[&str]| {
        let mut options = vec!["--userns=never"];
        options.extend(no_fake);
        options.push("--");
        Bench::script(zroot_with(options), take, &bench.fresh_dir())
    };
    assert_eq!(without_namespace(&[]).succeeds().stdout, "taken\n");
    without_namespace(&["--no-fake=capability"]).fails_with("Unable to set capabilities");
}

/// Each class is needed by itself: without it, the programs that need it fail, and the others do
/// not.
#[test]
fn classes_are_switched_off_one_by_one() {
    let bench = Bench::new();
    let needs = [
        ("owner", "chown daemon f"),
        ("identity", "setpriv --reuid 1 true"),
        ("device", "mknod n c 1 3"),
        ("getid", "test $(id -u) = 0"),
    ];
    for (off, _) in needs {
        for (class, script) in needs {
            let option = format!("--no-fake={off}");
            let ran = Bench::script(
                zroot_with(["--userns=never", &option, "--"]),
                script,
                &bench.fresh_dir(),
            );
            assert_eq!(ran.status == 0, class != off, "{ran:#?}");
        }
    }
}

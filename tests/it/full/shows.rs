//! What programs find that look at what became of their calls. Each claim is checked beside real
//! root, who has to find the same, and has its control: at level selective it fails, or something
//! else is found.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::common::{self, Ran, dir, for_root_only, keep, plain, program, run, zroot_with};
use crate::debian::Root;
use crate::supervisor::compile;
use crate::supervisor::oracle::has_oracle;

/// Where scripts run, and beside whom.
struct Shows {
    has_oracle: bool,
}

impl Shows {
    /// `None` after a SKIP for want of one of `programs`.
    fn new(test: &str, programs: &[&str]) -> Option<Shows> {
        for name in programs {
            if program(name).is_none() {
                common::skip(test, &format!("there is no {name}"));
                return None;
            }
        }
        Some(Shows {
            has_oracle: has_oracle(test),
        })
    }

    /// `script` succeeds at level full and prints `says`. So it does as real root; and not at level
    /// selective.
    #[track_caller]
    fn right(&self, script: &str, says: &str) {
        let ran = at("full", script).succeeds();
        assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
        if self.has_oracle {
            assert_eq!(as_root(script).succeeds().stdout, ran.stdout, "{script}");
        }
        let less = at("selective", script);
        assert!(
            less.status != 0 || less.stdout != ran.stdout,
            "the same at level selective: {less:#?}"
        );
    }

    /// The same, where what real root prints is too long to be written down here.
    #[track_caller]
    fn same(&self, script: &str) {
        let ran = at("full", script).succeeds();
        self.right(script, ran.stdout.trim_end());
    }
}

/// At a level, in a fresh directory.
fn at(level: &str, script: &str) -> Ran {
    let place = dir();
    let mut command = zroot_with(["-c", level, "--", "sh", "-ec", script]);
    run(command.current_dir(place.path()))
}

/// As real root, who has no other groups, in a fresh directory of root's.
fn as_root(script: &str) -> Ran {
    let place = dir();
    let work = place.path().join("root");
    fs::create_dir(&work).expect("a directory");
    let mut command = plain("sh");
    command.args(["-ec", script]).uid(0).gid(0);
    run(command.current_dir(work))
}

/// One file of each kind in the directory `a`, and how it is listed.
const MAKE: &str = "mkdir a a/d; echo x >a/f; chown 5:7 a/f; chmod 4750 a/f; ln a/f a/g; ln -s nowhere a/l; chown -h 8:9 a/l
    mkfifo a/p; chown 10:11 a/p; mknod -m 620 a/c c 5 1; chown 12:5 a/c; chown 13:14 a/d; chmod 2775 a/d; ";
const LIST: &str = "; stat -c '%n %F %u:%g %a %t:%T %h' *";
const LISTED: &str = "\
c character special file 12:5 620 5:1 1
d directory 13:14 2775 0:0 2
f regular file 5:7 4750 0:0 2
g regular file 5:7 4750 0:0 2
l symbolic link 8:9 777 0:0 1
p fifo 10:11 644 0:0 1";

#[test]
fn nodes_are_shown() {
    let Some(shows) = Shows::new("nodes_are_shown", &[]) else {
        return;
    };
    shows.right(
        "mknod c c 1 3; stat -c '%F %t:%T' c",
        "character special file 1:3",
    );
    shows.right(
        "mknod c c 1 3; mknod -m 640 b b 7 300; stat -c '%F %t:%T %a %s' c b; test -c c; test -b b
        ls -ln c | cut -d' ' -f1-6; chmod 600 c; chown 5:6 c; stat -c '%F %a %u:%g' c",
        "character special file 1:3 644 0\nblock special file 7:12c 640 0\ncrw-r--r-- 1 0 0 1, 3\ncharacter special file 600 5:6",
    );
    shows.right(
        "cp -a /dev/null n; stat -c '%F %t:%T' n; mv n m; ln m o; test -c o; rm m o; : >m; stat -c %F m",
        "character special file 1:3\nregular empty file",
    );
}

#[test]
fn copies_and_archives_keep_owners_and_nodes() {
    const TEST: &str = "copies_and_archives_keep_owners_and_nodes";
    let Some(shows) = Shows::new(TEST, &["cpio", "rsync", "mksquashfs", "unsquashfs"]) else {
        return;
    };
    let copied = |script: &str| shows.right(&format!("{MAKE}{script}{LIST}"), LISTED);
    copied("cp -a a b; cd b");
    copied("cp -a a b; mv b c; cp -al c d; rm -r c; cd d");
    copied("tar -cf t a; mkdir b; tar -C b --same-owner -xpf t; tar -C b -df t; cd b/a");
    copied("find a | cpio --quiet -o -H newc >t; mkdir b; cd b; cpio --quiet -idm <../t; cd a");
    copied(
        "mksquashfs a s -quiet -no-progress >/dev/null; unsquashfs -quiet -no-progress -d b s; cd b",
    );
    // It would say what it changes.
    copied("rsync -aH --numeric-ids a/ b/; rsync -aHi --numeric-ids a/ b/; cd b");
    shows.right(
        &format!("{MAKE} rsync -aH a/ b/; chown 6 a/d; rsync -aHi --numeric-ids a/ b/"),
        ".d....o.... d/",
    );
    shows.right(
        &format!("{MAKE} tar -cf t a; tar --numeric-owner -tvf t | awk '{{print $1, $2}}' | sort"),
        "-rwsr-x--- 5/7\ncrw--w---- 12/5\ndrwxr-xr-x 0/0\ndrwxrwsr-x 13/14\nhrwsr-x--- 5/7\nlrwxrwxrwx 8/9\nprw-r--r-- 10/11",
    );
    shows.right(
        &format!("{MAKE} mksquashfs a s -quiet -no-progress >/dev/null; unsquashfs -lln s | awk '{{print $1, $2}}'"),
        "drwxr-xr-x 0/0\ncrw--w---- 12/5\ndrwxrwsr-x 13/14\n-rwsr-x--- 5/7\n-rwsr-x--- 5/7\nlrwxrwxrwx 8/9\nprw-r--r-- 10/11",
    );
    // An archive's own owners, and what it finds that they are.
    shows.right(
        "echo 1 >a; echo 2 >b; tar --owner=games:5 --group=mail:8 -cf t a b; tar --same-owner -xf t; tar -df t; stat -c %u:%g a b",
        "5:8\n5:8",
    );
}

#[test]
fn tools_that_look_find_what_they_did() {
    const TEST: &str = "tools_that_look_find_what_they_did";
    let Some(shows) = Shows::new(TEST, &["bash", "setpriv", "cc"]) else {
        return;
    };
    shows.right(
        "for twice in 1 2; do install -v -C -o 5 -g 7 -m 640 /etc/passwd x; done; stat -c '%u:%g %a' x
        install -d -o 6 -g 8 -m 3775 y/z; stat -c '%u:%g %a' y y/z",
        "'/etc/passwd' -> 'x'\n5:7 640\n0:0 755\n6:8 3775",
    );
    shows.right(
        &format!("{MAKE} find a ! -user root | sort; find a -uid 5 -gid 7 | sort; chown 54321:12345 a/d; find a -nouser -nogroup"),
        "a/c\na/d\na/f\na/g\na/l\na/p\na/f\na/g\na/d",
    );
    shows.right(
        ": >f; test -O f; test -G f; chown 5:7 f; test -O f || echo not own; bash -c '[[ -G f ]] || echo not the group'
        setpriv --reuid 5 --regid 7 --clear-groups bash -c '[[ -O f && -G f ]] && echo own; [[ -O . ]] || echo not the directory'",
        "not own\nnot the group\nown\nnot the directory",
    );
    shows.right(
        ": >f; : >g; chown 5:7 f; chown --from=5:7 8:9 f g; stat -c %u:%g f g; chown --reference=f g; chgrp 10 g; stat -c %u:%g g
        chown --from=8 0:0 f; stat -c %u:%g f; chown daemon:mail f; stat -c %U:%G f",
        "8:9\n0:0\n8:10\n0:0\ndaemon:mail",
    );
    // All names of a file, wherever they go; and not the next one with the name.
    shows.right(
        ": >f; chown 5:7 f; ln f g; mv f h; ln -s h s; stat -c %u:%g g h s; stat -Lc %u:%g s; mkdir d; mv g d; cd d
        chown 8 ../h; stat -c %u:%g g; rm g ../h; : >g; stat -c %u:%g g",
        "5:7\n5:7\n0:0\n5:7\n8:7\n0:0",
    );
    // Set-id bits fall, and a file's owner may do what owners may.
    shows.same(
        "cp /bin/true t; chmod 6755 t; chown 5:7 t; stat -c '%a %u:%g' t; chmod 6755 t
        setpriv --reuid 5 --regid 7 --clear-groups sh -c 'chmod 700 t; chgrp 7 t; chgrp 8 t 2>/dev/null || echo refused
            chown 6 t 2>/dev/null || echo refused; touch -d 2001-02-03 t; stat -c \"%a %y %u\" t'
        chown 6 t; stat -c '%a %u:%g' t; mkdir d; chmod 6777 d; chown 5:7 d; stat -c '%a %u:%g' d",
    );
}

/// Those whom the namespace does not know are nobody's at the other levels.
#[test]
fn files_of_the_hosts_users_are_roots() {
    let Some(shows) = Shows::new("files_of_the_hosts_users_are_roots", &[]) else {
        return;
    };
    shows.right(
        "stat -c %u:%g /etc/passwd /; cp -a /etc/passwd p; stat -c %u:%g p; test -O /etc/passwd; find /etc/passwd -user root -group root
        tar -cf - -C /etc passwd | tar --numeric-owner -tv | awk '{print $2}'",
        "0:0\n0:0\n0:0\n/etc/passwd\n0/0",
    );
}

#[test]
fn an_identity_outlives_execve() {
    const TEST: &str = "an_identity_outlives_execve";
    let Some(shows) = Shows::new(TEST, &["setpriv", "python3"]) else {
        return;
    };
    shows.right(
        "setpriv --reuid 5 --regid 7 --clear-groups sh -c 'id -u; setpriv --reuid 0 true 2>/dev/null || echo refused'; id -u",
        "5\nrefused\n0",
    );
    shows.right(
        "setpriv --reuid 5 --regid 7 --groups 8,9 sh -c 'id -g; id -G; (sh -c \"exec id -u\") & wait; nice sh -c \"echo \\$(id -ru)\"'",
        "7\n7 8 9\n5\n5",
    );
    // A real id alone is not given back; a saved one is gone after execve.
    let show = "import os; print(os.getresuid(), os.getresgid(), os.getgroups(), flush=True)";
    shows.right(
        &format!(
            "cat >show.py <<'END'\n{show}\nEND\npython3 -c '
import os
os.setgroups([1, 2, 3]); os.setresgid(7, 8, 9); os.setresuid(5, 0, 6); os.execvp(\"python3\", [\"python3\", \"show.py\"])'
python3 -c '
import os
os.setgroups([]); os.setresgid(7, 7, 7); os.setresuid(5, 5, 0); os.system(\"python3 show.py\")
try: os.setuid(0); print(\"back\")
except OSError as error: print(error.strerror)
os.seteuid(5)' || :"
        ),
        "(5, 0, 0) (7, 8, 8) [1, 2, 3]\n(5, 5, 5) (7, 7, 7) []\nback",
    );
}

#[test]
fn languages_find_what_they_did() {
    const TEST: &str = "languages_find_what_they_did";
    let Some(shows) = Shows::new(TEST, &["perl", "python3"]) else {
        return;
    };
    shows.right(
        r#": >f; mkdir d; perl -e '$| = 1;
        chown 5, 7, "f" or die; print join(":", (stat "f")[4, 5]), -o "f" ? " own" : " not own", "\n";
        open F, "f"; print join(":", (stat F)[4, 5]), "\n"; chown 8, -1, *F or die; print join(":", (lstat "f")[4, 5]), "\n";
        chown 6, 6, "d"; $) = "6 6"; $> = 6; print "$>\n", -o "d" ? "own" : "not own", "\n";
        print chown(5, -1, "d") ? "" : "$!\n", chmod(0700, "f") ? "" : "$!\n", chmod(0700, "d"), "\n"; $( = 6; $< = 6; exec "id", "-u"'"#,
        "5:7 not own\n5:7\n8:7\n6\nown\nOperation not permitted\nOperation not permitted\n1\n6",
    );
    shows.same(PYTHON);
    // What has no inode of a file system's, and what has no name any more.
    shows.same(SPECIAL);
}

const PYTHON: &str = r#": >f; ln -s f l; mkdir d; python3 -uc '
import os, shutil
def look(s): print(s.st_uid, s.st_gid, oct(s.st_mode))
os.chown("f", 5, 7); look(os.stat("f")); os.lchown("l", 8, 9); look(os.lstat("l")); look(os.stat("l"))
f = os.open("f", os.O_RDWR); os.fchown(f, -1, 6); look(os.fstat(f))
d = os.open(".", os.O_RDONLY); os.chown("d", 10, 11, dir_fd=d); look(os.stat("d", dir_fd=d))
for e in sorted(os.scandir("."), key=lambda e: e.name): look(e.stat(follow_symlinks=False))
os.mknod("c", 0o020644, os.makedev(1, 5)); s = os.stat("c"); look(s); print(os.major(s.st_rdev), os.minor(s.st_rdev))
shutil.chown("d", "daemon", "mail"); look(os.stat("d"))
for ids in (65534, 65534), (65535, 65535), (4294967294, 1), (0, 5), (0, 0), (-1, -1), (5, -1), (-1, 5), (0, 0), (-1, -1):
    os.chown("l", *ids); look(os.stat("f"))
os.chown("f", 5, 7)
pid = os.fork()
if pid == 0:
    os.setgroups([7]); os.setgid(7); os.setuid(5)
    for what in (lambda: os.chown("f", 6, -1), lambda: os.chown("f", -1, 7), lambda: os.chown("f", -1, 8), lambda: os.chmod("f", 0o600),
                 lambda: os.chmod("d", 0o700), lambda: os.utime("d", (1, 1)), lambda: os.setuid(0)):
        try: what(); print("done")
        except PermissionError as e: print(e.strerror)
    look(os.stat("f")); os.execvp("id", ["id", "-G"])
os.waitpid(pid, 0)'"#;

const SPECIAL: &str = r#"python3 -uc '
import os, socket
def look(n, s): print(n, s.st_uid, s.st_gid, oct(s.st_mode))
r, w = os.pipe(); os.fchown(r, 5, 7); look("pipe", os.fstat(r)); look("its other end", os.fstat(w))
a, b = socket.socketpair(); os.fchown(a.fileno(), 5, 7); look("socket", os.fstat(a.fileno())); look("its peer", os.fstat(b.fileno()))
m = os.memfd_create("m"); os.fchown(m, 5, 7); look("memory", os.fstat(m)); look("memory", os.stat("/proc/self/fd/%d" % m)); os.close(m)
m = os.memfd_create("m"); look("other memory", os.fstat(m))
s = socket.socket(socket.AF_UNIX); s.bind("s"); os.chown("s", 5, 7); look("bound", os.stat("s")); look("socket itself", os.fstat(s.fileno()))
open("f", "w"); os.chown("f", 5, 7); f = os.open("f", os.O_RDONLY)
look("by /proc", os.stat("/proc/self/fd/%d" % f)); look("by /dev", os.stat("/dev/fd/%d" % f)); os.unlink("f"); look("removed", os.fstat(f))
os.fchown(f, 8, -1); look("removed", os.fstat(f)); look("removed, by /proc", os.stat("/proc/self/fd/%d" % f))
os.mkdir("d"); os.symlink("d", "l"); open("f", "w"); os.chown("d", 5, 7); os.chown("f", 8, 9); os.lchown("l", 10, 11)
for p in ("d", "d/", "d/.", "l", "l/", "l/.", "f/", "f/.", "f", "./f", "d/../f", "l/../f", "", "x", "x/y", "a" * 256, "a/" * 2100, "/", "//", ".",
          "/proc/self/cwd/f", "/proc/self/root/etc", "/proc/thread-self/cwd/d"):
    for call in os.stat, os.lstat:
        try: s = call(p); print(p[:30], call.__name__, s.st_uid, s.st_gid)
        except OSError as e: print(p[:30], call.__name__, e.strerror)
'"#;

/// Threads that look, and one that gives away what has been given away, all at once.
#[test]
fn many_threads_find_what_was_set() {
    const TEST: &str = "many_threads_find_what_was_set";
    let Some(shows) = Shows::new(TEST, &["python3"]) else {
        return;
    };
    shows.right(
        r#"for i in 0 1 2 3 4 5 6 7 8 9; do : >f$i; chown 10$i:20$i f$i; done; python3 -c '
import os, threading, collections
found = collections.Counter()
def look(number):
    for _ in range(200):
        for i in range(10):
            s = os.stat("f%d" % i); found[(s.st_uid, s.st_gid) == (100 + i, 200 + i)] += 1
            if number == 0: os.chown("f%d" % i, -1, 200 + i)
threads = [threading.Thread(target=look, args=(number,)) for number in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found[False])'"#,
        "0",
    );
}

/// Another root directory, and another user namespace, in which root has another number.
#[test]
fn owners_are_seen_from_other_places() {
    const TEST: &str = "owners_are_seen_from_other_places";
    let Some(shows) = Shows::new(TEST, &["busybox", "unshare"]) else {
        return;
    };
    shows.right(
        "mkdir -p r/bin; cp /bin/busybox r/bin; : >r/f; chown 5:7 r/f; ln -s /f r/l; ln -s f r/m; chown -h 1:2 r/l r/m; box='chroot r /bin/busybox'
        $box stat -c %u:%g /f f ../f l m; $box stat -Lc %u:%g l m; $box sh -c 'busybox chown 8:9 /f; busybox stat -c %u:%g f'; stat -c %u:%g r/f",
        "5:7\n5:7\n5:7\n1:2\n1:2\n5:7\n5:7\n8:9\n8:9",
    );
    shows.right(
        ": >own; : >f; chown 5:7 f; chown 0:0 f; unshare --map-user=1000 --map-group=1000 sh -c 'stat -c %u:%g own f /etc/passwd; stat -c %u:%g - </etc/passwd; id -u; test -O f && echo own'
        unshare -r stat -c %u:%g own f /etc/passwd; chown 5:7 f; stat -c %u:%g own f",
        "1000:1000\n1000:1000\n1000:1000\n1000:1000\n1000\nown\n0:0\n0:0\n0:0\n0:0\n5:7",
    );
}

/// Programs that make their system calls themselves, and for another ABI.
#[test]
fn a_static_go_program_finds_what_it_did() {
    const TEST: &str = "a_static_go_program_finds_what_it_did";
    let Some(shows) = Shows::new(TEST, &["go", "file"]) else {
        return;
    };
    let place = dir();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/looks.go");
    let mut build = common::user("go");
    build.args(["build", "-o", "looks"]).arg(source);
    build.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]);
    build.env("GOCACHE", place.path().join("cache"));
    run(build.current_dir(place.path())).succeeds();
    let program = place.path().join("looks").display().to_string();
    shows.same(&format!(": >f; {program}"));
}

#[test]
fn programs_of_both_widths_find_what_they_did() {
    const TEST: &str = "programs_of_both_widths_find_what_they_did";
    let Some(shows) = Shows::new(TEST, &["cc"]) else {
        return;
    };
    let place = dir();
    for (name, options) in [
        ("native", &[][..]),
        ("i386", &["-m32"]),
        ("static", &["-static"]),
    ] {
        let path = place.path().join(name);
        let built = compile("looks.c", options, &path);
        if built.status != 0 {
            let reason = format!("cc {options:?} builds nothing: {}", built.stderr);
            common::skip(TEST, &reason);
            continue;
        }
        shows.same(&path.display().to_string());
    }
}

/// What packages and administrators do in a Debian tree.
const INSTALL: &str = "apt-get install -y --no-download --no-install-recommends -o Dpkg::Options::=--force-unsafe-io gosu daemontools at postfix >/dev/null 2>&1";
const USERS: &str = r#"
no() { "$@" 2>/dev/null || echo refused; }
useradd -m u; useradd -m -G audio,mail v
stat -c '%U:%G' /home/u /home/v /home/v/.profile
su u -c 'id -un; id -Gn; test -O /home/u && echo own; test -O /home/v || echo not own'
su - v -c 'id -un; id -Gn; echo $HOME; pwd'
runuser -u u -- id -un
gosu u id -un
gosu 5:7 sh -c 'id -u; id -g; id -G'
setuidgid u id -un
setpriv --reuid v --regid v --init-groups sh -c 'id -un; id -Gn'
start-stop-daemon --start --chuid u:mail --exec /usr/bin/id -- -un
start-stop-daemon --start --chuid u:mail --exec /usr/bin/id -- -Gn
chroot --userspec=u:mail --groups=7,8 / id
perl -e '$) = "8 8 7"; $( = 8; $< = $> = 5; exec "id"'
cat >/tmp/try <<'END'
no() { "$@" 2>/dev/null || echo refused; }
no chown v /home/u; no chgrp mail /home/u; no chmod 700 /home/v; no runuser -u v true; no gosu v true; no setpriv --reuid 0 true
no mknod /home/u/c c 1 3; no touch -d 2001-02-03 /home/v; no setcap cap_chown+ep /bin/true; no su -c true </dev/null; chmod 711 /home/u
END
su u -c 'sh /tmp/try'
stat -c '%a %U' /home/u /home/v
su v -c 'chgrp mail /home/v; chgrp audio /home/v/.profile'; stat -c %U:%G /home/v /home/v/.profile
usermod -u 4321 u; groupmod -g 4322 v; stat -c %u:%g /home/u /home/u/.profile
su u -c 'id -u'
chown -R v: /home/u; find /home -user v -maxdepth 1 | sort
stat -c '%U:%G %a %n' /etc/shadow /var/spool/cron/at* /var/spool/postfix/public /var/spool/postfix/private /usr/bin/at /usr/sbin/postqueue /var/mail
dpkg-statoverride --update --add daemon mail 4750 /usr/bin/at; stat -c '%U:%G %a' /usr/bin/at
chown -R u: /home/u; userdel -r u 2>/dev/null; test -e /home/u || echo gone"#;

/// In a Debian tree: who has become another user is that user, in whatever it executes, and owns
/// what is that user's.
#[test]
fn users_of_a_tree_are_who_they_are() {
    const TEST: &str = "users_of_a_tree_are_who_they_are";
    let Some(root) = Root::copy(TEST) else {
        return;
    };
    let at = |level: &str, script: &str| {
        let mut command = zroot_with(["-c", level, "--no-sync", "--root"]);
        command.arg(root.path()).args(["--", "sh", "-ec", script]);
        run(command.env("HOME", "/root"))
    };
    // The control first, which the rest would find a user of.
    let control = "useradd -m w; stat -c %U /home/w; su w -c 'id -un'; userdel -r w 2>/dev/null || :; rm -rf /home/w";
    assert_eq!(at("selective", control).succeeds().stdout, "root\nroot\n");
    let script = format!("{INSTALL}\n{USERS}");
    let said = at("full", &script).succeeds().stdout;
    let first = "u:u\nv:v\nv:v\nu\nu\nown\nnot own\nv\nv mail audio\n/home/v\n/home/v\nu\nu\n5\n7\n7\nu\nv\n";
    assert!(said.starts_with(first), "{said}");
    assert_eq!(said.matches("refused\n").count(), 10, "{said}");
    assert!(said.ends_with("daemon:mail 4750\ngone\n"), "{said}");
    if let Some(real) = real_root_says(TEST, &script) {
        assert_eq!(said, real);
    }
}

/// sshd looks whose a user's keys are, becomes that user, and starts its shell.
#[test]
fn sshd_lets_a_user_in_by_keys_that_are_the_users() {
    const TEST: &str = "sshd_lets_a_user_in_by_keys_that_are_the_users";
    let says = |level: &str| {
        let root = Root::copy(TEST)?;
        let mut command = zroot_with(["-c", level, "--no-sync", "--root"]);
        command.arg(root.path()).args(["--", "sh", "-ec", SSH]);
        Some(run(command.env("HOME", "/root")).succeeds().stdout)
    };
    if let Some(said) = says("full") {
        assert_eq!(said, "id\nid.pub\nu\n/home/u\nsent\nrefused\n");
    }
    if let Some(said) = says("selective") {
        assert_eq!(said, "id\nid.pub\nroot\n/home/u\nsent\n");
    }
}

const SSH: &str = r#"
apt-get install -y --no-download --no-install-recommends -o Dpkg::Options::=--force-unsafe-io openssh-server openssh-client >/dev/null 2>&1
useradd -m -p '*' u
su - u -c 'mkdir .ssh; ssh-keygen -q -t ed25519 -N "" -f .ssh/id'; test ! -e /root/.ssh; ls /home/u/.ssh
ssh-keygen -q -t ed25519 -N '' -f /root/key
rm -r /home/u/.ssh; install -d -o u -g u -m 700 /home/u/.ssh; install -o u -g u -m 600 /root/key.pub /home/u/.ssh/authorized_keys
mkdir -p /run/sshd; echo 'Subsystem sftp internal-sftp' >/root/sshd
cat >/root/ssh <<'END'
ProxyCommand /usr/sbin/sshd -i -f /root/sshd
IdentityFile /root/key
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
BatchMode yes
END
ssh -F /root/ssh u@here 'id -un; pwd'
echo sent >/root/file; scp -q -F /root/ssh /root/file u@here:; cat /home/u/file
chown daemon /home/u/.ssh/authorized_keys; ssh -F /root/ssh u@here true 2>/dev/null || echo refused"#;

/// What real root says in a copy of the same tree.
fn real_root_says(test: &str, script: &str) -> Option<String> {
    if for_root_only(test) || !has_oracle(test) {
        return None;
    }
    let copy = tempfile::Builder::new()
        .prefix("zroot-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    let enter = r#"cp -a --no-preserve=ownership -T "$1" "$0"
        mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" sh -ec "$2""#;
    let mut command: Command = plain("unshare");
    command.args(["-mpf", "sh", "-ec", enter]).arg(copy.path());
    command.arg(keep().join("debian")).arg(script);
    Some(
        run(command.env("HOME", "/root").uid(0).gid(0))
            .succeeds()
            .stdout,
    )
}

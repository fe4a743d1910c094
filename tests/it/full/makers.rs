//! What a process makes belongs to it.

use super::script;
use crate::common::{dir, run, zroot_with};

/// Makes a file of each kind, and shows whose they are.
const ALL_KINDS: &str = r#"
    echo text >file; mkdir directory; ln -s file link; mkfifo fifo; mknod node p; : >>appended; cp file copy; tar cf t.tar file; tar xf t.tar
    install -d -m 2775 deep/er; ln file other; mktemp -p . >/dev/null; printf more >>file; truncate -s 10 sparse
    find . ! -name . | sort | while read -r name; do stat -c '%n %u:%g %a %F' "$name"; done | sed 's/tmp[.][^ ]*/tmp/'"#;

#[test]
fn files_of_every_kind_are_their_makers() {
    let test = "files_of_every_kind_are_their_makers";
    need!(test, "setpriv", "tar");
    let set_group = "mkdir g; chown 3:9 g; chmod 2777 g; cd g";
    for (place, mask) in [
        ("mkdir -m 777 d; cd d", "022"),
        (set_group, "027"),
        (set_group, "0"),
    ] {
        for who in [
            "--reuid 5 --regid 7 --clear-groups",
            "--regid 7 --groups 7,9",
            "--reuid 5 --regid 0 --groups 0",
        ] {
            script(
                test,
                &format!(
                    "{place}; umask {mask}; setpriv {who} sh -ec '{}'",
                    ALL_KINDS.replace('\'', r"'\''")
                ),
            );
        }
    }
}

#[test]
fn a_set_group_directory_gives_its_group_to_what_root_makes() {
    let test = "a_set_group_directory_gives_its_group_to_what_root_makes";
    script(
        test,
        &format!(
            "mkdir g h; chown 0:9 g; chmod 2775 g; chmod 2775 h; chgrp 8 h; (cd g; {ALL_KINDS}); cd h; mkdir -p in/ner; mknod in/c c 1 3; touch in/f; stat -c '%n %u:%g %a' in in/*"
        ),
    );
}

#[test]
fn every_way_to_open_gives_the_file_to_its_maker() {
    let test = "every_way_to_open_gives_the_file_to_its_maker";
    need!(test, "python3", "setpriv");
    script(
        test,
        r#"mkdir -m 777 d; mkdir -m 777 d/in; cd d; echo roots >old; chmod 666 old
        cat >../p.py <<'END'
import ctypes, errno, fcntl, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def whose(what, fd):
    s = os.fstat(fd)
    print(what, s.st_uid, s.st_gid, oct(s.st_mode), s.st_size, os.get_inheritable(fd), fcntl.fcntl(fd, fcntl.F_GETFL) & ~0o100000)
    os.close(fd)
def attempt(what, path, flags, mode=0o644, dir=None):
    try: whose(what, os.open(path, flags, mode, dir_fd=dir))
    except OSError as e: print(what, errno.errorcode[e.errno])
def openat2(what, path, flags, mode, resolve, size=24):
    how = ctypes.create_string_buffer(struct.pack("QQQ", flags, mode, resolve) + bytes(size - 24))
    fd = libc.syscall(437, here, path.encode(), how, ctypes.c_size_t(size))
    if fd < 0: print(what, errno.errorcode[ctypes.get_errno()])
    else: whose(what, fd)
C, X, W, RW, T = os.O_CREAT, os.O_EXCL, os.O_WRONLY, os.O_RDWR, os.O_TRUNC
here = os.open(".", os.O_PATH)
inner = os.open("in", os.O_RDONLY)
os.umask(0o26)
attempt("new", "new", C | W, 0o7777)
attempt("again", "new", C | RW | os.O_APPEND)
attempt("exclusive", "new", C | X)
attempt("exclusive new", "x", C | X | os.O_CLOEXEC)
attempt("from a directory", "f", C | W, dir=inner)
attempt("absolute", os.getcwd() + "/in/abs", C | W)
attempt("up", "in/../up", C | W)
attempt("existing", "old", C | W)
attempt("truncated", "old", C | W | T)
attempt("a directory", "in", C)
attempt("a directory to write", "in", C | W)
attempt("slash", "nothing/", C | W)
attempt("below nothing", "nothing/f", C | W)
attempt("below a file", "new/f", C | W)
attempt("empty", "", C | W)
attempt("too long", "a" * 256, C | W)
attempt("unnamed", ".", os.O_TMPFILE | RW, 0o4777)
attempt("unnamed elsewhere", "in", os.O_TMPFILE | W | X, 0o666)
attempt("unnamed below nothing", "nothing", os.O_TMPFILE | W)
attempt("unnamed to read", ".", os.O_TMPFILE)
attempt("path", "path", C | os.O_PATH)
attempt("directory and new", "dnew", C | os.O_DIRECTORY)
os.symlink("target", "dangling"); os.symlink("in/deep", "further"); os.symlink("further", "twice"); os.symlink("round", "round")
attempt("dangling", "dangling", C | W)
attempt("dangling twice", "twice", C | W)
attempt("dangling, absolute", "abs", C | W) if os.symlink(os.getcwd() + "/in/far", "abs") is None else 0
attempt("not to follow", "dangling", C | W | os.O_NOFOLLOW)
attempt("exclusive at a link", "dangling", C | W | X)
attempt("in a circle", "round", C | W)
attempt("null", "/dev/null", C | W | T)
attempt("own descriptor", "/proc/self/fd/%d" % os.open("target", RW), C | W)
os.mkfifo("fifo"); reader = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
attempt("a FIFO", "fifo", C | W)
fd = os.open(".", os.O_TMPFILE | RW); libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, b"named", 0x400); whose("named", fd)
openat2("openat2", "o1", C | W, 0o666, 0)
openat2("beneath", "in/o2", C | W, 0o600, 0x08)
openat2("beneath and out", "../o3", C | W, 0o600, 0x08)
openat2("in root", "/in/o4", C | W, 0o600, 0x10)
openat2("no links", "in/o5", C | W | X, 0o600, 0x04)
openat2("no links at the end", "dangling", C | W, 0o600, 0x04)
openat2("cached", "o6", C | W, 0o600, 0x20)
openat2("unknown flags", "o7", C | W | 1 << 40, 0o600, 0)
openat2("mode without need", "o8", W, 0o600, 0)
openat2("larger", "o9", C | W, 0o600, 0, 32)
openat2("unnamed by openat2", "in", os.O_TMPFILE | RW, 0o600, 0x08)
print(sorted(os.listdir(".")), sorted(os.listdir("in")))
for name in sorted(os.listdir(".")) + ["in/" + name for name in sorted(os.listdir("in"))]:
    s = os.lstat(name); print(name, s.st_uid, s.st_gid, oct(s.st_mode))
END
        setpriv --reuid 5 --regid 7 --clear-groups python3 ../p.py"#,
    );
}

/// Where no descriptor is left, nothing is made, and what is there keeps its contents.
#[test]
fn who_may_open_no_more_files_loses_none() {
    let test = "who_may_open_no_more_files_loses_none";
    need!(test, "python3", "setpriv");
    script(
        test,
        r#"mkdir -m 777 d; cd d; echo contents >old; chmod 666 old
        setpriv --reuid 5 --regid 7 --clear-groups python3 -c '
import errno, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
try:
    while True: os.open("/dev/null", os.O_RDONLY)
except OSError: pass
for path, flags in [("new", os.O_CREAT | os.O_WRONLY), ("old", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), (".", os.O_TMPFILE | os.O_RDWR)]:
    try: print(path, os.open(path, flags))
    except OSError as e: print(path, errno.errorcode[e.errno])
print(os.stat("old").st_size, os.path.exists("new"))
os.close(5)
print(os.open("new", os.O_CREAT | os.O_WRONLY), os.stat("new").st_uid)'"#,
    );
}

/// Two users remove each other's file and make it anew, again and again: it is always either's.
#[test]
fn a_file_that_is_made_again_at_once_is_its_last_makers() {
    let test = "a_file_that_is_made_again_at_once_is_its_last_makers";
    need!(test, "python3");
    script(
        test,
        r#"mkdir -m 777 d; cd d; python3 -c '
import os
def make(uid):
    os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid); os.umask(0)
    wrong = 0
    for _ in range(1500):
        fd = os.open("f", os.O_CREAT | os.O_RDWR, 0o666)
        wrong += os.fstat(fd).st_uid not in (5, 6, 7)
        os.close(fd)
        try: os.unlink("f")
        except FileNotFoundError: pass
    os._exit(wrong > 0)
children = []
for uid in (5, 6, 7):
    child = os.fork()
    if child == 0: make(uid)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])'"#,
    );
}

#[test]
fn makers_in_another_root_directory_or_namespace_have_their_files() {
    let test = "makers_in_another_root_directory_or_namespace_have_their_files";
    need!(test, "unshare", "setpriv", "chroot");
    script(
        test,
        &format!(
            r#"mkdir -p r/w; chmod 777 r/w; for d in bin lib lib64 usr etc; do test -e /$d && mkdir -p r/$d; done
            unshare -m sh -ec 'for d in bin lib lib64 usr etc; do test -e r/$d && mount --rbind /$d r/$d; done
                chroot r sh -ec "cd /w; setpriv --reuid 5 --regid 7 --clear-groups sh -ec \"echo >f; mkdir d; ln -s f l; mkfifo p; echo >/w/g; ln -s gone w; echo >w\"; stat -c \"%n %u:%g\" /w/*"'
            stat -c '%n %u:%g' r/w/*
            mkdir -m 777 n; cd n; unshare --pid --fork --mount-proc setpriv --reuid 6 --regid 8 --clear-groups sh -ec '{}'"#,
            ALL_KINDS.replace('\'', r"'\''")
        ),
    );
}

/// Without class `maker` nobody knows whose a new file is: who has dropped root may change its own.
#[test]
fn without_makers_new_files_are_roots_and_may_be_changed() {
    let test = "without_makers_new_files_are_roots_and_may_be_changed";
    need!(test, "setpriv");
    let script =
        "setpriv --reuid 5 --clear-groups sh -c 'echo >f; chmod 600 f && stat -c %u:%a f; id -u'";
    let words = ["-c", "full", "--no-fake=maker", "--", "sh", "-ec", script];
    let said = run(zroot_with(words).current_dir(dir().path())).succeeds();
    assert_eq!(said.stdout, "0:600\n5\n");
}

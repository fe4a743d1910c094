//! Real programs. Each claim has its control: the same at level zero, or without zroot where level
//! zero does as well, fails for the reason that the supervisor is there for.

use std::fs::{self};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::Place;
use crate::common::{INVALID, NOT_PERMITTED, Ran, control, is_root, run, uid};

const NOT_THERE: &str = "No such file or directory";

/// At level selective.
fn selective(script: &str) -> Ran {
    Place::new().zroot(&["-c", "selective"], script)
}

/// At level zero.
fn zero(script: &str) -> Ran {
    Place::new().zroot(&["-c", "zero"], script)
}

/// `script` succeeds and prints `says`; at level zero it fails with `refusal`.
#[track_caller]
fn passes(script: &str, says: &str, refusal: &str) {
    let ran = selective(script).succeeds();
    assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
    zero(script).fails_with(refusal);
}

/// `script` succeeds and prints `says`; in a user namespace without zroot it fails with `refusal`.
#[track_caller]
fn is_granted(script: &str, says: &str, refusal: &str) {
    let ran = selective(script).succeeds();
    assert_eq!(ran.stdout.trim_end(), says, "{ran:#?}");
    run(control(["sh", "-ec", script]).current_dir(Place::new().path())).fails_with(refusal);
}

/// `script` fails with `refusal`, as it does without the supervisor.
#[track_caller]
fn fails(script: &str, refusal: &str) {
    selective(script).fails_with(refusal);
    zero(script).fails_with(refusal);
}

/// What `script` does can be seen from outside, where `look` prints `says`; where the same calls
/// are only pretended, it does not.
#[track_caller]
fn is_real(script: &str, look: &str, says: &str) {
    let place = Place::new();
    place.zroot(&["-c", "selective"], script).succeeds();
    assert_eq!(place.plainly(look), says);
    let place = Place::new();
    place.zroot(&["--fake=xattr"], script).succeeds();
    assert_ne!(place.plainly(&format!("{look} || :")), says);
}

/// A place that a file of that mode and no size takes, so that what comes after mknod finds it.
#[test]
fn devices_leave_something_in_their_place() {
    passes(
        "mknod -m 600 c c 5 1; stat -c '%a %F %s' c",
        "600 regular empty file 0",
        "cannot set permissions of 'c'",
    );
    passes(
        "mknod n c 1 3; mknod b b 7 0; chmod 640 n b; stat -c '%a %s' n b",
        "640 0\n640 0",
        "cannot access 'n'",
    );
    // Its times as well.
    passes(
        "cp -a /dev/null x; stat -c %a x; test ! /dev/null -nt x; test ! x -nt /dev/null",
        "666",
        "preserving times for 'x'",
    );
    // mknod(2) does not replace what is there.
    passes(
        "mknod n c 1 3; if mknod n b 1 3; then echo replaced; exit 1; fi",
        "",
        "replaced",
    );
    is_granted(
        "install -d -o daemon -g mail -m 2750 i; stat -c %a i",
        "2750",
        "cannot change owner",
    );
    // A whiteout is real.
    passes(
        "mknod w c 0 0; mknod n c 1 3; stat -c %F w n",
        "character special file\nregular empty file",
        "cannot statx 'n'",
    );
}

#[test]
fn archives_with_devices_are_unpacked() {
    const TEST: &str = "archives_with_devices_are_unpacked";
    need!(TEST, "python3", "cpio", "rsync", "busybox");
    let place = Place::new();
    // Names, kinds, modes.
    let make = "import tarfile
tar = tarfile.open('devices.tar', 'w')
for name, kind, major, minor, mode in ('n/null', tarfile.CHRTYPE, 1, 3, 0o666), ('n/loop', tarfile.BLKTYPE, 7, 0, 0o660):
    member = tarfile.TarInfo(name)
    member.type, member.devmajor, member.devminor, member.mode, member.gid, member.mtime = kind, major, minor, mode, 6, 1000000000
    tar.addfile(member)
tar.close()";
    place.plainly(&format!(
        "python3 -c \"{make}\"; echo /dev/null | cpio --quiet -o -H newc >devices.cpio"
    ));
    let file = |name: &str| place.path().join(name).display().to_string();
    let (tar, cpio) = (file("devices.tar"), file("devices.cpio"));
    let look = "stat -c '%a %s %Y %n' n/*";
    let says = "660 0 1000000000 n/loop\n666 0 1000000000 n/null";
    passes(
        &format!("tar --same-owner -xpf {tar}; {look}"),
        says,
        "n/null: Cannot change mode to rw-rw-rw-",
    );
    passes(&format!("busybox tar xpf {tar}; {look}"), says, NOT_THERE);
    let look = "stat -c '%a %s' dev/null";
    passes(
        &format!("cpio --quiet -idm --no-absolute-filenames <{cpio}; {look}"),
        "666 0",
        "dev/null: Cannot change mode to rw-rw-rw-",
    );
    passes(
        &format!("echo /dev/null | cpio --quiet -pdm .; {look}"),
        "666 0",
        "dev/null: Cannot change mode to rw-rw-rw-",
    );
    passes(
        &format!("rsync -a --devices /dev/null dev/; {look}"),
        "666 0",
        "dev/null\" failed: No such file",
    );
}

#[test]
fn attributes_are_real_where_the_kernel_permits() {
    need!(
        "attributes_are_real_where_the_kernel_permits",
        "setfacl",
        "getfacl",
        "setcap",
        "getcap",
        "setfattr",
        "getfattr"
    );
    let own = uid();
    passes(
        "setfacl -m g:4:rx f; setfacl -m g:4:rx d; setfacl -d -m u:7:rwx d",
        "",
        "setfacl: f: Invalid argument",
    );
    passes(
        "setfacl -m g:4:rx d; setfacl -d -m u:7:rwx d",
        "",
        "setfacl: d: Invalid argument",
    );
    // The rest of such an ACL is real, and the file's mode has its mask. The owner stands for the
    // others, who permits itself nothing by it, so that the mask stays right.
    is_real(
        "chmod 640 f; setfacl -m u:4:rw f",
        "stat -c %a f; getfacl -nc f",
        &format!("660\nuser::rw-\nuser:{own}:rw-\ngroup::r--\nmask::rw-\nother::---"),
    );
    is_real(
        "chmod 640 f; setfacl -m g:4:rw f; setfacl -m u::rwx,g::r-x,o:- f",
        "stat -c %a f",
        "770",
    );
    is_real(
        "setfacl -b f; setfacl -d -m u:4:rw d; touch d/f",
        "getfacl -nc d/f",
        &format!("user::rw-\nuser:{own}:rw-\ngroup::r-x\t#effective:r--\nmask::rw-\nother::r--"),
    );
    fails(
        "setfacl -d -m u:4:rw f",
        "Only directories can have default ACLs",
    );
    is_real(
        "setfacl -m g:0:rx f",
        "getfacl -nc f",
        &format!("user::rw-\ngroup::r--\ngroup:{own}:r-x\nmask::r-x\nother::r--"),
    );
    is_real(
        "setfacl -m u:0:rx f; setfacl -b f; setfacl -m u:0:w f",
        "getfacl -nc f | grep user:.",
        &format!("user::rw-\nuser:{own}:-w-"),
    );
    is_real(
        "setcap cap_net_raw+ep f; getcap f",
        "getcap f",
        "f cap_net_raw=ep",
    );
    is_real(
        "setfattr -n user.x -v y f; setfattr -n user.z -v y f; setfattr -x user.z f",
        "getfattr -d f",
        "# file: f\nuser.x=\"y\"",
    );
    passes(
        "setfattr -n trusted.x -v y f; setfattr -x trusted.x f",
        "",
        NOT_PERMITTED,
    );
    // What real root is refused as well.
    fails(
        "ln -s f l; setfattr -h -n user.x -v y l",
        "setfattr: l: Operation not permitted",
    );
    fails("setfattr -n nonsense.x -v y f", "Operation not supported");
    fails("setfattr -x user.x f", "No such attribute");
    fails("setfattr -n user.x -v y nowhere", NOT_THERE);
    let group_4 = "010006000000000002000000000000000400040000000000080004000400000010000400000000002000040000000000";
    passes(
        &format!("setfattr -n system.posix_acl_access -v 0x02000000{group_4} f"),
        "",
        INVALID,
    );
    fails(
        &format!("setfattr -n system.posix_acl_access -v 0x03000000{group_4} f"),
        "Operation not supported",
    );
    for malformed in [
        "0x0200000001".to_owned(),
        format!("0x02000000{group_4}0077000000000000"),
    ] {
        fails(
            &format!("setfattr -n system.posix_acl_access -v {malformed} f"),
            INVALID,
        );
    }
}

/// Who sets its ids and reads them back finds what it set; the programs that it starts are root.
#[test]
fn programs_find_the_ids_that_they_set() {
    need!(
        "programs_find_the_ids_that_they_set",
        "perl",
        "python3",
        "setpriv",
        "node"
    );
    passes(
        "perl -e '$)=5; $>=5; die \"still $>\\n\" unless $>==5; print \"$> $)\"'",
        "5 5 0",
        "still 0",
    );
    passes(
        "perl -MPOSIX -e '$)=\"7 8\"; setgid(7); setuid(5); die \"still $<\\n\" unless $< == 5; print \"$< $> $( $) \", setuid(0) // \"refused\"'",
        "5 5 7 8 7 8 refused",
        "still 0",
    );
    is_granted(
        "setpriv --reuid 5 --regid 7 --clear-groups id -u",
        "0",
        "setresuid failed: Invalid argument",
    );
    is_granted(
        "setpriv --regid 7 --clear-groups sh -c 'chown 9 f; id -g'",
        "0",
        "setresgid failed: Invalid argument",
    );
    let python = |body: &str| format!("python3 -c \"import os, subprocess\n{body}\"");
    passes(
        &python(
            "os.setgroups([4, 5]); os.setresgid(7, 8, 9); os.setresuid(1, 2, 3)
assert os.getuid() == 1, 'still 0'
print(os.getresuid(), os.getresgid(), os.getgroups(), subprocess.check_output(['id', '-u']))
try: os.setresuid(0, 0, 0)
except PermissionError: print('refused')",
        ),
        "(1, 2, 3) (7, 8, 9) [4, 5] b'0\\n'\nrefused",
        "still 0",
    );
    // A child that has started no other program is who its parent is.
    passes(
        &python(
            "os.seteuid(5)
if os.fork() == 0: os._exit(os.geteuid())
assert os.waitstatus_to_exitcode(os.wait()[1]) == 5, 'still 0'
os.seteuid(0)
print(os.getresuid())",
        ),
        "(0, 0, 0)",
        "still 0",
    );
    let node = "process.initgroups('daemon', 1); process.setgid(7); process.setuid(5);
        if (process.getuid() != 5) throw 'still ' + process.getuid();
        console.log(process.getuid(), process.getgid(), process.getgroups().includes(1));";
    passes(&format!("node -e \"{node}\""), "5 7 true", "still 0");
}

/// Go has every thread make the call, and panics if their answers differ; its own signals come
/// meanwhile.
#[test]
fn go_finds_the_ids_that_it_set_on_all_threads() {
    need!("go_finds_the_ids_that_it_set_on_all_threads", "go");
    let place = Place::new();
    fs::write(
        place.path().join("identity.go"),
        include_str!("../../fixtures/identity.go"),
    )
    .expect("a file");
    place.plainly(
        "GO111MODULE=off CGO_ENABLED=0 GOCACHE=$PWD/cache go build -o identity identity.go",
    );
    for _ in 0..2 {
        passes(
            &place.path().join("identity").display().to_string(),
            "5 7 [7 8] 0 operation not permitted",
            "still 0 instead of 1",
        );
    }
}

#[test]
fn files_of_others_seem_to_change() {
    passes(
        "chmod 666 /dev/null; touch -d 2001-02-03 /dev/null",
        "",
        "changing permissions of '/dev/null'",
    );
    passes(
        "touch -d 2001-02-03 /dev/null; chown root:tty /dev/tty",
        "",
        "setting times of '/dev/null'",
    );
    passes(
        "python3 -c 'import os; os.fchmod(os.open(\"/dev/null\", os.O_RDWR), 0o600)'",
        "",
        "PermissionError",
    );
    is_granted(
        "chown root:tty /dev/tty; stat -c %a /dev/tty",
        "666",
        "changing ownership of '/dev/tty'",
    );
    fails("chmod 666 nowhere", NOT_THERE);
    fails("chmod 666 f/g", "Not a directory");
    fails("touch -d 2001-02-03 nowhere/f", NOT_THERE);
    fails("touch -h -d 2001-02-03 f/g", "Not a directory");
    let before = fs::metadata("/dev/null").expect("/dev/null");
    assert_eq!((before.mode() & 0o7777, before.uid()), (0o666, 0));
    // One's own change.
    let place = Place::new();
    place
        .zroot(
            &["-c", "selective"],
            "chmod 4751 f; touch -d @1000000000 f; chmod 1777 d",
        )
        .succeeds();
    assert_eq!(
        place.plainly("stat -c %a f d; stat -c %Y f"),
        "4751\n1777\n1000000000"
    );
}

/// After setuid(2) to another user, and without capabilities, calls that the supervisor answers are
/// refused as they are to real root's child.
#[test]
fn what_has_been_given_up_is_gone() {
    const TEST: &str = "what_has_been_given_up_is_gone";
    // Birth times are as coarse as the kernel's tick.
    const SCRIPT: &str = r#"
        chown 0:0 . f; chmod 777 .; mkdir e; chmod 777 e; touch given; chown 5 given
        now() { date +%s%N; }; start=$(now); while [ $(($(now) - start)) -lt 30000000 ]; do :; done
        perl -e 'use POSIX;
            sub said { print $_[0], $_[1] ? " done" : " $!", "\n" }
            POSIX::setuid(5);
            open my $own, ">", "e/own" or die;
            said "chown", chown 6, -1, "f";
            said "chown of its own", chown 6, -1, "e/own";
            said "no change", chown 5, -1, "e/own";
            said "chmod", chmod 0600, "f";
            said "chmod of its own", chmod 0600, "e/own";
            said "chmod of what it was given", chmod 0600, "given";
            said "utime", utime 1, 1, "f";
            said "utime of its own", utime 1, 1, "e/own";
            said "missing", chown 6, 6, "missing"'
        setpriv --reuid 5 true; setpriv --bounding-set=-all chown 5 f || echo no
        setpriv --bounding-set=-all chmod 640 f && echo root is the owner
        capsh --drop=cap_chown -- -c 'chown 5 f || echo no'
        setpriv --bounding-set=-mknod mknod e/device c 1 3 || echo no; test -e e/device || echo none"#;
    need!(TEST, "perl", "setpriv", "capsh");
    let ran = Place::new().zroot(&["-c", "selective"], SCRIPT).succeeds();
    let zero = Place::new().zroot(&["-c", "zero"], SCRIPT).succeeds();
    assert_ne!(zero.stdout, ran.stdout);
    assert_eq!(ran.stdout.matches("Operation not permitted").count(), 4);
    if is_root() {
        let place = Place::new();
        let real = run(Command::new("sh")
            .args(["-ec", SCRIPT])
            .env("LC_ALL", "C")
            .current_dir(place.path()))
        .succeeds();
        assert_eq!(ran.stdout, real.stdout);
    }
}

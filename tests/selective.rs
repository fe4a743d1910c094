//! Real programs at `--consistency=selective`. Each claim has its control: the same at level zero,
//! or without zroot where level zero does as well, fails for the reason that the supervisor is
//! there for.

mod common;
#[path = "common/debian.rs"]
mod debian;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{
    Ran, control, dir, for_root_only, give, is_root, keep, run, skip, uid, user, zroot_with,
};
use debian::{BULLSEYE, Mirror, Root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const INVALID: &str = "Invalid argument";
const NOT_PERMITTED: &str = "Operation not permitted";
const NOT_THERE: &str = "No such file or directory";

/// Where scripts run: each in a fresh directory with an empty file `f` and a directory `d`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(dir());
        place.plainly("mkdir d; : >f");
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// As the plain user.
    #[track_caller]
    fn plainly(&self, script: &str) -> String {
        let ran = run(user("sh")
            .args(["-ec", script])
            .env("HOME", self.path())
            .current_dir(self.path()))
        .succeeds();
        ran.stdout.trim_end().to_owned()
    }

    fn zroot(&self, options: &[&str], script: &str) -> Ran {
        run(zroot_with(options)
            .args(["--", "sh", "-ec", script])
            .current_dir(self.path()))
    }
}

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

/// `zroot -c LEVEL --root ROOT OPTIONS... -- ARGS...`
fn at(level: &str, root: &Path, options: &[&str], args: &[&str]) -> Command {
    let mut command = zroot_with(["-c", level, "--root"]);
    command.arg(root).args(options).arg("--").args(args);
    command
}

#[test]
fn debootstrap_makes_a_tree_from_nothing() {
    const TEST: &str = "debootstrap_makes_a_tree_from_nothing";
    need!(TEST, "debootstrap");
    let mirror = match Mirror::find() {
        Ok(mirror) => mirror,
        Err(reason) => return skip(TEST, reason),
    };
    let cache = keep().join("debootstrap");
    if fs::create_dir(&cache).is_ok() {
        give(&cache);
    }
    let place = Place::new();
    let proxy = mirror
        .settings
        .iter()
        .find_map(|setting| setting.strip_prefix("Acquire::http::Proxy "))
        .unwrap_or_default();
    let cache = format!("--cache-dir={}", cache.display());
    let debootstrap = |level: &str, tree: &str| {
        let mut command = zroot_with([
            "-c",
            level,
            "--no-sync",
            "--",
            "debootstrap",
            "--variant=minbase",
            &cache,
            &mirror.release,
            tree,
            &mirror.uri,
        ]);
        run(command
            .env("http_proxy", proxy.trim_matches('"'))
            .current_dir(place.path()))
    };
    debootstrap("selective", "./rootfs").succeeds();
    // After it has unpacked what it can.
    let ran = debootstrap("zero", "./zero");
    let log = fs::read_to_string(place.path().join("zero/debootstrap/debootstrap.log"))
        .unwrap_or_default();
    assert!(
        ran.status != 0 && log.contains("mknod: cannot set permissions of"),
        "{ran:#?} {log}"
    );

    let root = place.path().join("rootfs");
    let settings = root.join("etc/apt/apt.conf.d/mirror");
    fs::write(
        &settings,
        mirror
            .settings
            .iter()
            .flat_map(|setting| [setting, ";\n"])
            .collect::<String>(),
    )
    .expect("apt's settings");
    run(&mut at(
        "zero",
        &root,
        &["--no-sync"],
        &[
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
            "openssh-server",
        ],
    ))
    .succeeds();
    for level in ["zero", "selective"] {
        let script = "dpkg --audit; mkdir -p /run/sshd; sshd -t; dpkg-query -f '${Status}' -W openssh-server; stat -c ' %a' /bin/su";
        let ran = run(&mut at(level, &root, &[], &["sh", "-ec", script])).succeeds();
        assert_eq!(ran.stdout, "install ok installed 4755\n", "{ran:#?}");
    }
    fs::remove_file(&settings).expect("removal");
    assert_eq!(stray_owners(&root), [""; 0]);
    place.plainly("chmod -R u+rwx rootfs zero && rm -rf rootfs zero");
}

/// What below `root` is not the unprivileged user's.
fn stray_owners(root: &Path) -> Vec<String> {
    let found = run(user("find")
        .arg(root)
        .args(["!", "-uid", &uid().to_string()]));
    found.stdout.lines().map(str::to_owned).collect()
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
    // The rest of such an ACL is real, and the file's mode has its mask.
    let rest = "660\nuser::rw-\ngroup::r--\nmask::rw-\nother::---";
    is_real(
        "chmod 640 f; setfacl -m u:4:rw f",
        "stat -c %a f; getfacl -nc f",
        rest,
    );
    is_real(
        "setfacl -d -m u:4:rw d; touch d/f",
        "getfacl -nc d/f",
        "user::rw-\ngroup::r-x\t#effective:r--\nmask::rw-\nother::r--",
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
        include_str!("fixtures/identity.go"),
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

/// What is installed at each level, and by real root.
const PACKAGES: &str = "apt-get install -y --no-download -o Dpkg::Options::=--force-unsafe-io openssh-server postfix dbus man-db polkitd";

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
    let Some(root) = install("selective") else {
        return;
    };
    let at_selective = listing(root.path());
    assert!(
        at_selective.contains("f 4755 ./usr/lib/openssh/ssh-keysign "),
        "{at_selective:#?}"
    );
    assert_eq!(stray_owners(root.path()), [""; 0]);
    let zero = install("zero").expect("a tree");
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
    let mut command = Command::new("unshare");
    command.env_clear().envs([
        ("PATH", common::PATH),
        ("HOME", "/tmp"),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ]);
    run(command
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
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
        let own = namespace(&self.child.id().to_string())?;
        fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .find_map(|process| {
                let pid = process.file_name().into_string().ok()?;
                let is_it = fs::read_to_string(process.path().join("comm"))
                    .ok()?
                    .trim_end()
                    == name
                    && namespace(&pid)? == own;
                is_it.then(|| pid.parse().ok().map(Pid::from_raw))?
            })
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

const SUPERVISOR: &str = "zroot-supervise";
const GUARD: &str = "zroot-guard";

//! apt and dpkg, end to end, in a Debian tree that belongs to an unprivileged user. Each claim has
//! its control: the same without zroot, or with the ability in question switched off, fails.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{PATH, Ran, control, dir, give, is_root, run, skip, user, zroot_with};
use crate::debian::{Mirror, Root};

const INSTALL: &str = "apt-get update && apt-get install -y openssh-server dbus postfix";

/// apt drops to _apt for this, or tries to.
const DOWNLOAD: &str =
    "cd /tmp && rm -f netbase* && apt-get download -q netbase && test -s netbase*.deb";

/// What apt says when it runs as root over one id.
const KERNEL_REFUSES: &str = "setgroups";
/// What apt says when the filter pretends that it became _apt.
const APT_NOTICES: &str = "Could not switch group";

/// Asserts that the packages are there, configured, and that nothing of zroot's is left.
#[track_caller]
fn installed(root: &Root) {
    let status = run(&mut root.chroot([
        "dpkg-query",
        "-f",
        "${db:Status-Abbrev}${Package} ",
        "-W",
        "openssh-server",
        "dbus",
        "postfix",
    ]));
    assert_eq!(
        status.succeeds().stdout,
        "ii dbus ii openssh-server ii postfix "
    );
    audit_is_empty(root);
    assert_eq!(root.leftovers(), [""; 0]);
}

#[track_caller]
fn audit_is_empty(root: &Root) {
    let audit = run(&mut root.chroot(["dpkg", "--audit"])).succeeds();
    assert_eq!(audit.stdout, "", "{audit:#?}");
}

/// The issue's own command, in a chroot where nothing is mounted.
#[test]
fn openssh_dbus_and_postfix_install_where_there_is_no_proc() {
    let Some(root) = Root::copy("openssh_dbus_and_postfix_install_where_there_is_no_proc") else {
        return;
    };
    run(&mut root.chroot(["sh", "-c", INSTALL])).fails_with(KERNEL_REFUSES);
    run(&mut root.chroot(["/zroot", "--no-apt-config", "--", "sh", "-c", INSTALL]))
        .fails_with(APT_NOTICES);
    let ran = run(&mut root.chroot(["/zroot", "--", "sh", "-c", INSTALL])).succeeds();
    installed(&root);
    // Nothing that real root would not get in the same chroot.
    complains_only(
        &ran,
        &[
            "The key(s) in the keyring /dev/null are ignored",
            "E: Can not write log (Is /dev/pts mounted?)",
            "/proc/ is not mounted, but required for successful operation of systemd-tmpfiles.",
        ],
    );
}

/// The same where /proc is mounted: apt's configuration is in memory then.
#[test]
fn openssh_dbus_and_postfix_install_where_proc_is_mounted() {
    let Some(root) = Root::copy("openssh_dbus_and_postfix_install_where_proc_is_mounted") else {
        return;
    };
    run(&mut root.chroot_with_mounts(["sh", "-c", INSTALL])).fails_with(KERNEL_REFUSES);
    run(&mut root.chroot_with_mounts(["/zroot", "--no-apt-config", "--", "sh", "-c", INSTALL]))
        .fails_with(APT_NOTICES);
    let ran = run(&mut root.chroot_with_mounts(["/zroot", "--", "sh", "-c", INSTALL])).succeeds();
    installed(&root);
    // An ACL that names a group without an id here: the kernel refuses it and zero consistency
    // leaves that to the kernel.
    complains_only(
        &ran,
        &[
            "Setting access ACL \"u::rwx,g::r-x,g:adm:r-x,m::r-x,o::r-x\" on /var/log/journal failed: Invalid argument",
        ],
    );
}

/// Asserts that no line of the output looks like a complaint, but for these and what these packages
/// say on any machine.
#[track_caller]
fn complains_only(ran: &Ran, expected: &[&str]) {
    let usual = [
        "Could not get FQDN",
        "could not determine current runlevel",
        "No init system and policy-rc.d missing",
        "/etc/aliases exists, but does not have a root alias",
    ];
    let words = [
        "warning",
        "error",
        "fail",
        "cannot",
        "can not",
        "could not",
        "refuse",
        "permitted",
        "denied",
        "invalid",
        "unable",
    ];
    let is_complaint = |line: &&str| {
        let lower = line.to_lowercase();
        ["w: ", "e: ", "dpkg: "]
            .iter()
            .any(|start| lower.starts_with(start))
            || words.iter().any(|word| lower.contains(word))
    };
    let is_expected = |line: &&str| usual.iter().chain(expected).any(|part| line.contains(part));
    let output = ran.stdout.lines().chain(ran.stderr.lines());
    let complaints: Vec<&str> = output
        .filter(is_complaint)
        .filter(|line| !is_expected(line))
        .collect();
    assert_eq!(complaints, [""; 0]);
}

/// A way into a root.
type Enter = fn(&Root, &[&str]) -> Command;

/// Every way in which the configuration reaches apt, without /proc and with it.
#[test]
fn apt_finds_the_configuration_however_it_is_called() {
    let Some(root) = Root::copy("apt_finds_the_configuration_however_it_is_called") else {
        return;
    };
    run(&mut root.chroot(["/zroot", "apt-get", "install", "-y", "python3-minimal"])).succeeds();
    let ways: [Enter; 2] = [
        |root, args| root.chroot(args),
        |root, args| root.chroot_with_mounts(args),
    ];
    for enter in ways {
        scripts_of_all_kinds(&root, enter);
        own_apt_config_is_kept(&root, enter);
        maintainer_script_calls_apt_config(&root, enter);
        assert_eq!(root.leftovers(), [""; 0]);
    }
}

fn scripts_of_all_kinds(root: &Root, enter: Enter) {
    root.write("tmp/outer", "#!/bin/sh -e\n/tmp/inner\n");
    root.write("tmp/inner", &format!("#!/bin/sh -e\n{DOWNLOAD}\n"));
    let zroot = |args: &[&str]| run(&mut enter(root, &[&["/zroot"], args].concat()));
    run(&mut enter(root, &["/tmp/outer"])).fails_with(KERNEL_REFUSES);
    zroot(&["--no-apt-config", "/tmp/outer"]).fails_with(APT_NOTICES);
    zroot(&["/tmp/outer"]).succeeds();
    // Python's closes descriptors.
    zroot(&[
        "python3",
        "-c",
        "import subprocess; subprocess.run(['/tmp/outer'], check=True)",
    ])
    .succeeds();
    zroot(&["perl", "-e", "system('/tmp/outer') == 0 or exit 1"]).succeeds();
    zroot(&["/zroot", "/zroot", "/tmp/outer"]).succeeds();
    // Fewer descriptors than the number that the configuration usually has.
    run(&mut enter(
        root,
        &["sh", "-c", "ulimit -n 20; exec /zroot /tmp/outer"],
    ))
    .succeeds();
    // Who empties the environment loses the configuration.
    zroot(&["env", "-i", &format!("PATH={PATH}"), "/tmp/outer"]).fails_with(APT_NOTICES);
}

/// A user's own stays in force and has the last word, also through nested zroots, which add
/// nothing.
fn own_apt_config_is_kept(root: &Root, enter: Enter) {
    root.write(
        "tmp/own",
        "My::Setting \"kept\";\nAPT::Sandbox::User \"nobody\";\n",
    );
    let kept = "APT::Sandbox::User \"nobody\";\nMy::Setting \"kept\";\n1\n";
    let dump =
        "apt-config dump | grep -e ^My:: -e ^APT::Sandbox::User; grep -c zroot: \"$APT_CONFIG\"";
    let with = |own: &str, args: &[&str]| {
        let ran = run(enter(root, args).env("APT_CONFIG", own)).succeeds();
        assert_eq!(ran.stderr, "");
        ran.stdout
    };
    assert_eq!(with("/tmp/own", &["/zroot", "sh", "-c", dump]), kept);
    assert_eq!(
        with(
            "/tmp/own",
            &["/zroot", "/zroot", "/zroot", "sh", "-c", dump]
        ),
        kept
    );
    // One that is set on the way to a nested zroot.
    assert_eq!(
        with(
            "",
            &[
                "/zroot",
                "env",
                "APT_CONFIG=/tmp/own",
                "/zroot",
                "sh",
                "-c",
                dump
            ]
        ),
        kept
    );
    assert_eq!(
        with(
            "/tmp/own",
            &["/zroot", "--no-apt-config", "sh", "-c", "echo $APT_CONFIG"]
        ),
        "/tmp/own\n"
    );
    // One that cannot be read counts as empty, as for apt.
    assert_eq!(
        with("/nowhere", &["/zroot", "sh", "-c", dump]),
        "APT::Sandbox::User \"root\";\n1\n"
    );
}

/// apt closes what it inherited before it starts dpkg, so the script has the variable but not the
/// descriptor.
fn maintainer_script_calls_apt_config(root: &Root, enter: Enter) {
    root.inside("mkdir -p /tmp/caller/DEBIAN");
    let control = "Package: caller\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: calls apt-config\n";
    root.write("tmp/caller/DEBIAN/control", control);
    root.write(
        "tmp/caller/DEBIAN/postinst",
        "#!/bin/sh -e\napt-config shell USER APT::Sandbox::User\n",
    );
    root.inside("cd /tmp && dpkg-deb --build caller caller.deb");
    let ran = run(&mut enter(
        root,
        &[
            "/zroot",
            "apt-get",
            "install",
            "-y",
            "--reinstall",
            "/tmp/caller.deb",
        ],
    ))
    .succeeds();
    assert!(ran.stdout.contains("USER='root'"), "{ran:#?}");
    complains_only(&ran, &["Can not write log"]);
}

/// Where a root has no /proc, the configuration is on a private mount: over /proc, or over /sys if
/// /proc is missing or in use.
#[test]
fn place_of_the_configuration_without_proc() {
    let Some(root) = Root::copy("place_of_the_configuration_without_proc") else {
        return;
    };
    let show = format!("echo $APT_CONFIG; ({DOWNLOAD}) >&2");
    let shows = |expected: &str| {
        let ran = run(&mut root.chroot(["/zroot", "sh", "-c", &show])).succeeds();
        assert_eq!(ran.stdout, format!("{expected}\n"), "{ran:#?}");
    };
    run(&mut root.chroot(["sh", "-c", &show])).fails_with(KERNEL_REFUSES);
    shows("/proc/apt.conf");
    assert_eq!(root.leftovers(), [""; 0]);
    // What is written there fails as in a real /proc.
    run(&mut root.chroot(["/zroot", "sh", "-c", "echo > /proc/x"]))
        .fails_with("Read-only file system");
    // The working directory is as before, and nobody else sees the file.
    let script = r"cd /usr/share/doc; (ls /proc; pwd) | (/zroot pwd; cat)";
    assert_eq!(
        root.inside(script).stdout,
        "/usr/share/doc\n/usr/share/doc\n"
    );

    root.inside("rmdir /proc");
    shows("/sys/apt.conf");
    root.inside("mkdir -p /proc/1");
    shows("/sys/apt.conf");
    root.inside("rmdir /proc/1; ln -s 1 /proc/self"); // as in a mere copy of a /proc
    shows("/sys/apt.conf");
    root.inside("rmdir /sys"); // no place left, which is said with -v
    let ran = run(&mut root.chroot(["/zroot", "-v", "sh", "-c", &show])).fails_with(APT_NOTICES);
    assert!(
        ran.stderr.contains("no APT_CONFIG: there is no /proc"),
        "{ran:#?}"
    );
    root.inside("rm /proc/self; mkdir /sys");
    shared_mounts_do_not_leak_the_configuration(&root);
}

/// A mount namespace that shares its mounts with another would show the configuration there, for
/// good.
fn shared_mounts_do_not_leak_the_configuration(root: &Root) {
    // First with a root that is a mount itself, then with one that is not.
    let script = format!(
        r#"mount --make-rshared / && mount --bind "$0" "$0" && mount --make-shared "$0" || exit 1
        chroot "$0" /zroot sh -c 'echo $APT_CONFIG; ({DOWNLOAD}) >&2' || exit 1
        umount "$0"
        chroot "$0" /zroot sh -c 'echo $APT_CONFIG; ({DOWNLOAD}) >&2' || exit 1
        ls "$0/proc" "$0/sys"; grep -c -e apt.conf -e "$0" /proc/self/mountinfo"#
    );
    let expected = format!(
        "/proc/apt.conf\n/proc/apt.conf\n{0}/proc:\n\n{0}/sys:\n0\n",
        root.path().display()
    );
    let ran = run(user("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(root.path()));
    assert_eq!(ran.stdout, expected, "{ran:#?}");
    if is_root() {
        // Real root in a real chroot: its namespaces share by default. unshare's is private first,
        // so that a failure does not reach the host.
        let ran = run(Command::new("unshare")
            .env_clear()
            .env("PATH", PATH)
            .args(["-m", "sh", "-c", &script])
            .arg(root.path()));
        assert_eq!(ran.stdout, expected, "{ran:#?}");
    }
    assert_eq!(root.leftovers(), [""; 0]);
}

/// apt on the outside, for an unprivileged user, with directories of its own.
#[test]
fn apt_on_the_host_with_private_directories() {
    let mirror = match Mirror::find() {
        Ok(mirror) => mirror,
        Err(reason) => return skip("apt_on_the_host_with_private_directories", reason),
    };
    let home = dir();
    let state = home.path().join("state");
    let sources = home.path().join("sources.list");
    fs::write(&sources, mirror.lines.join("\n")).expect("a sources.list");
    let update = || {
        let _ = fs::remove_dir_all(&state);
        fs::create_dir(&state).expect("a directory");
        give(&state);
        let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
        [
            "apt-get".to_owned(),
            option("Dir::State", &state),
            option("Dir::Cache", &state),
            option("Dir::Etc::SourceList", &sources),
        ]
        .into_iter()
        .chain(
            [
                "-oDir::Etc::SourceParts=/dev/null",
                "-oAcquire::Languages=none",
                "update",
            ]
            .map(str::to_owned),
        )
    };
    run(&mut control(update())).fails_with(KERNEL_REFUSES);
    run(&mut zroot_with(
        ["--no-apt-config".to_owned()].into_iter().chain(update()),
    ))
    .fails_with(APT_NOTICES);
    let ran = run(&mut zroot_with(update())).succeeds();
    complains_only(&ran, &["/var/cache/apt/archives"]); // container images have a hook that wants to empty it
    assert!(
        fs::read_dir(state.join("lists")).expect("lists").count() > 2,
        "{ran:#?}"
    );
}

/// Archives with other owners, setuid and setgid files and a FIFO; overrides of owners and modes.
#[test]
fn dpkg_unpacks_owners_and_special_files() {
    let Some(root) = Root::copy("dpkg_unpacks_owners_and_special_files") else {
        return;
    };
    let modes = |files: &str| root.inside(&format!("stat -c '%a %n' {files}")).stdout;
    let zroot = |script: &str| run(&mut root.chroot(["/zroot", "sh", "-ec", script]));

    run(&mut root.chroot(["sh", "-c", "dpkg -i /var/cache/apt/archives/passwd_*.deb"]))
        .fails_with("error setting ownership of");
    let ran = zroot("apt-get install -y --no-install-recommends --reinstall base-files passwd openssh-client at man-db").succeeds();
    complains_only(&ran, &["Can not write log"]);
    audit_is_empty(&root);
    let special = "/usr/bin/passwd /usr/bin/chage /usr/bin/ssh-agent /usr/bin/at /usr/lib/openssh/ssh-keysign";
    let expected = "4755 /usr/bin/passwd\n2755 /usr/bin/chage\n2755 /usr/bin/ssh-agent\n6755 /usr/bin/at\n4755 /usr/lib/openssh/ssh-keysign\n";
    assert_eq!(modes(special), expected);

    let add = "dpkg-statoverride --update --add daemon mail 2750";
    run(&mut root.chroot(["sh", "-c", &format!("{add} /usr/bin/chfn")]))
        .fails_with("error setting ownership of");
    zroot(&format!(
        "dpkg-statoverride --remove /usr/bin/chfn || true; {add} /usr/bin/chfn"
    ))
    .succeeds();
    assert_eq!(modes("/usr/bin/chfn"), "2750 /usr/bin/chfn\n");
    zroot("dpkg -i /var/cache/apt/archives/passwd_*.deb").succeeds();
    assert_eq!(modes("/usr/bin/chfn"), "2750 /usr/bin/chfn\n");

    let control = "Package: fifo\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a FIFO\n";
    root.inside("mkdir -p /tmp/fifo/DEBIAN /tmp/fifo/opt; mkfifo /tmp/fifo/opt/fifo; chmod 620 /tmp/fifo/opt/fifo");
    root.write("tmp/fifo/DEBIAN/control", control);
    let build = "cd /tmp; chown -R nobody fifo; dpkg-deb --build fifo; dpkg -i fifo.deb; test -p /opt/fifo; dpkg -V fifo";
    zroot(build).succeeds();
    assert_eq!(modes("/opt/fifo"), "620 /opt/fifo\n");
    audit_is_empty(&root);
    assert_eq!(root.leftovers(), [""; 0]);
}

/// apt asks "are you root?" where it may not write, whoever it is.
#[test]
fn apt_on_the_hosts_own_tree_is_explained_beforehand() {
    const TEST: &str = "apt_on_the_hosts_own_tree_is_explained_beforehand";
    need!(TEST, "apt-get");
    let told = |ran: &Ran| {
        ran.stderr
            .lines()
            .any(|line| line.starts_with("zroot: warning: ") && line.contains("are you root?"))
    };
    for args in [
        &["apt-get", "install", "-y", "hello"][..],
        &["-c", "selective", "/usr/bin/apt-get", "-q", "update"],
    ] {
        let ran = run(&mut zroot_with(args));
        // The control: that is what apt says.
        let says = ran.stderr.contains("Permission denied") && ran.stderr.contains("are you root?");
        assert!(ran.status == 100 && told(&ran) && says, "{ran:#?}");
    }
    for args in [
        &["-q", "apt-get", "install", "-y", "hello"][..],
        &["apt-get", "--version"],
        &["apt-get", "-s", "install", "hello"],
        &["apt-get", "-o", "Dir=/nonexistent", "install", "hello"],
        &["echo", "apt-get", "install"],
        &["--no-fake=all", "true"],
    ] {
        let ran = run(&mut zroot_with(args));
        assert!(!told(&ran), "{ran:#?}");
    }
    // In a tree of one's own it is not true.
    let Some(root) = Root::copy(TEST) else {
        return;
    };
    let ran =
        run(&mut root.chroot(["/zroot", "--", "apt-get", "install", "-y", "dpkg"])).succeeds();
    assert!(!told(&ran), "{ran:#?}");
    let dir = root.path();
    let ran = run(zroot_with(["--root"])
        .arg(dir)
        .args(["apt-get", "install", "-y", "dpkg"]))
    .succeeds();
    assert!(!told(&ran), "{ran:#?}");
}

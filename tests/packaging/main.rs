//! What `packaging/build` makes, installed, used and removed in fresh root directories, and made
//! twice:
//!
//!     cargo test --release --test packaging [-- CASE...]
//!
//! Everything but the building runs as an unprivileged user. Exits 1 if anything was not as
//! expected.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/debian.rs"]
mod debian;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use common::{Ran, dir, give, program, run, skip, user, zroot_with};
use debian::{APPARMOR, OWN, Root};

/// A case: its name, a program that it needs, whether it compiles, and what runs it with the
/// packages.
type Case = (&'static str, Option<&'static str>, bool, fn(&Packages));

const CASES: &[Case] = &[
    ("deb", Some("bwrap"), false, deb),
    ("rpm", Some("bwrap"), false, rpm),
    ("tarball", None, false, tarball),
    ("layer", None, false, layer),
    ("makefile", None, false, makefile),
    ("apparmor", None, false, apparmor),
    ("licences", None, true, licences),
    ("static", None, true, refuses_dynamic),
    ("reproducible", None, true, reproducible),
];

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|wanted| wanted == name);
    let packages = match ["make", "dpkg-deb", "rpmbuild", "python3"]
        .into_iter()
        .find(|name| program(name).is_none())
    {
        Some(lacking) => Err(format!("there is no {lacking}")),
        None => Ok(Packages::build(Path::new(HERE), None)),
    };
    // Compilers beside downloads: two at a time.
    let cases = CASES.iter().filter(|(name, ..)| is_wanted(name));
    let (first, second): (Vec<&Case>, Vec<&Case>) = cases.partition(|(.., compiles, _)| *compiles);
    let lane = |cases: Vec<&Case>| -> Vec<Ended> {
        let run = |(name, need, _, case): &Case| end(name, *need, *case, &packages);
        cases.into_iter().map(run).collect()
    };
    let ended: Vec<Ended> = thread::scope(|scope| {
        let first = scope.spawn(|| lane(first));
        let second = lane(second);
        [first.join().expect("a lane"), second].concat()
    });
    let count = |end: Ended| ended.iter().filter(|ended| **ended == end).count();
    println!(
        "packaging: {} passed, {} failed, {} skipped",
        count(Ended::Passed),
        count(Ended::Failed),
        count(Ended::Skipped)
    );
    // None at all is no success.
    ExitCode::from(u8::from(
        count(Ended::Failed) > 0 || count(Ended::Passed) == 0,
    ))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    Skipped,
}

/// Runs a case, or says why it cannot be run.
fn end(
    name: &str,
    need: Option<&str>,
    case: fn(&Packages),
    packages: &Result<Packages, String>,
) -> Ended {
    let lacking = need.filter(|need| program(need).is_none());
    let packages = match (packages, lacking) {
        (Ok(packages), None) => packages,
        (Err(reason), _) => {
            skip(name, reason);
            return Ended::Skipped;
        }
        (_, Some(lacking)) => {
            skip(name, &format!("there is no {lacking}"));
            return Ended::Skipped;
        }
    };
    let started = Instant::now();
    let is_right = catch_unwind(AssertUnwindSafe(|| case(packages))).is_ok();
    let word = if is_right { "ok" } else { "FAILED" };
    println!("{word} {name} ({:.1?})", started.elapsed());
    if is_right {
        Ended::Passed
    } else {
        Ended::Failed
    }
}

/// Where `packaging/build` has put what it made.
struct Packages(PathBuf);

impl Packages {
    /// Builds in `checkout`, as whoever runs the tests. Without a repository there, `time` is the
    /// commit's.
    fn build(checkout: &Path, time: Option<&str>) -> Packages {
        let mut command = Command::new(checkout.join("packaging/build"));
        if let Some(time) = time {
            command.env("SOURCE_DATE_EPOCH", time);
        }
        run(&mut command).succeeds();
        Packages(checkout.join("target/packages"))
    }

    /// The only file whose name ends in `end`.
    fn file(&self, end: &str) -> PathBuf {
        let mut found: Vec<PathBuf> = fs::read_dir(&self.0)
            .expect("the packages")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with(end))
            .collect();
        assert_eq!(found.len(), 1, "{end}: {found:?}");
        found.remove(0)
    }

    fn sums(&self) -> String {
        fs::read_to_string(self.file("SHA256SUMS")).expect("sums")
    }
}

/// A file beside this one.
fn text(name: &str) -> String {
    let path = Path::new(HERE).join("tests/packaging").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `path`, in the unprivileged user's hands, as `to`.
fn put(path: &Path, to: &Path) {
    fs::copy(path, to).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    give(to);
}

/// `zroot --root ROOT sh -c SCRIPT ARG`: what an administrator does in ROOT.
fn inside(root: &Path, script: &str, arg: &str) -> Ran {
    let ran = run(zroot_with(["--root"])
        .arg(root)
        .args(["--", "sh", "-c", script, "sh", arg]))
    .succeeds();
    assert!(!ran.stderr.contains("warning: "), "{ran:#?}");
    ran
}

/// `use.sh` in ROOT by a user without rights, for whom `rootfs` is at /srv/rootfs.
fn used(root: &Path, rootfs: &Path) {
    fs::create_dir_all(root.join("srv/rootfs")).expect("a directory to mount on");
    give(&root.join("srv/rootfs"));
    let ran = run(user("bwrap")
        .args(["--unshare-all", "--share-net"])
        .args(["--uid", "1000", "--gid", "1000", "--setenv", "HOME", "/tmp"])
        .arg("--bind")
        .arg(root)
        .args(["/", "--proc", "/proc", "--dev", "/dev", "--bind"])
        .arg(rootfs)
        .args(["/srv/rootfs", "sh", "-c", &text("use.sh")]))
    .succeeds();
    print!("{}", ran.stdout);
    fs::remove_dir(root.join("srv/rootfs")).expect("nothing there");
}

/// A tree to install into and one to be used by what is installed. Both have no zroot.
fn roots(test: &str) -> Option<(Root, Root)> {
    let root = Root::copy_of(&OWN, test)?;
    fs::remove_file(root.path().join("zroot")).expect("zroot's copy");
    let other = root.again();
    Some((root, other))
}

fn deb(packages: &Packages) {
    let script = &text("deb.sh");
    let Some((root, other)) = roots("deb") else {
        return;
    };
    put(&packages.file(".deb"), &root.path().join("tmp/zroot.deb"));
    inside(root.path(), script, "install");
    used(root.path(), other.path());
    inside(root.path(), script, "alternative");
    inside(root.path(), script, "remove");
}

fn rpm(packages: &Packages) {
    let script = &text("rpm.sh");
    let Some((root, other)) = roots("rpm") else {
        return;
    };
    put(&packages.file(".rpm"), &root.path().join("tmp/zroot.rpm"));
    let place = dir();
    let spec = place.path().join("base.spec");
    fs::write(&spec, text("base.spec")).expect("written");
    let top = format!("_topdir {}", place.path().display());
    run(user("rpmbuild")
        .args(["-bb", "--define", &top, "--define", "_rpmfilename base.rpm"])
        .arg(&spec))
    .succeeds();
    put(
        &place.path().join("RPMS/base.rpm"),
        &root.path().join("tmp/base.rpm"),
    );
    inside(root.path(), script, "install");
    used(root.path(), other.path());
    inside(root.path(), script, "alternative");
    inside(root.path(), script, "remove");
}

/// Unpacked into /usr/local, it is found as it is.
fn tarball(packages: &Packages) {
    let Some((root, _)) = roots("tarball") else {
        return;
    };
    put(
        &packages.file("x86_64.tar.gz"),
        &root.path().join("tmp/zroot.tar.gz"),
    );
    let script = "set -e
        tar -xzf /tmp/zroot.tar.gz --strip-components=1 -C /usr/local
        [ -e /usr/local/share/man/man1/zroot.1 ]
        zroot -- chown 5:7 /tmp/zroot.tar.gz
        zroot --version";
    assert!(inside(root.path(), script, "").stdout.starts_with("zroot "));
}

/// The layer of an image alone is a root directory in which zroot runs.
fn layer(packages: &Packages) {
    let root = dir();
    run(user("tar")
        .arg("-xzf")
        .arg(packages.file("amd64.tar.gz"))
        .arg("-C")
        .arg(root.path()))
    .succeeds();
    let ran = run(zroot_with(["--root"]).arg(root.path()).args([
        "/usr/bin/zroot",
        "/usr/bin/zroot",
        "--version",
    ]))
    .succeeds();
    assert!(ran.stdout.starts_with("zroot "), "{ran:#?}");
    let containerfile = fs::read_to_string(packages.file("Containerfile")).expect("text");
    let name = packages.file("amd64.tar.gz");
    let name = name
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .replace("amd64", "$TARGETARCH");
    assert!(
        containerfile.contains(&format!("ADD {name} /")),
        "{containerfile}"
    );
}

/// What `make install` puts somewhere `make uninstall` takes away, and all of it.
fn makefile(packages: &Packages) {
    let place = dir();
    let files = || {
        run(common::plain("find")
            .arg(place.path())
            .args(["!", "-type", "d", "-printf", "%P\n"]))
        .stdout
    };
    let make = |target: &str| {
        run(common::plain("make")
            .args([
                "-C",
                HERE,
                target,
                "PREFIX=/opt/zroot",
                "EXECUTABLE=/bin/true",
            ])
            .arg(format!(
                "LICENCES={}",
                packages.file("SHA256SUMS").display()
            ))
            .arg(format!("DESTDIR={}", place.path().display())))
        .succeeds()
    };
    make("install");
    let installed = files();
    for file in [
        "bin/zroot",
        "bin/fakeroot-zroot",
        "share/man/man1/zroot.1",
        "share/zroot/register",
    ] {
        assert!(
            installed
                .lines()
                .any(|line| line == format!("opt/zroot/{file}")),
            "{installed}"
        );
    }
    let profile =
        fs::read_to_string(place.path().join("opt/zroot/share/zroot/apparmor")).expect("a profile");
    assert!(
        profile.contains("profile zroot /opt/zroot/bin/zroot "),
        "{profile}"
    );
    make("uninstall");
    assert_eq!(files(), "");
}

/// A profile that AppArmor can read is installed, also where AppArmor comes later; where it cannot,
/// none is.
fn apparmor(packages: &Packages) {
    let script = |install: &str| {
        format!(
            "set -e
        profile() {{ [ -e /etc/apparmor.d/zroot ] && echo there || echo none; }}
        {install}
        apparmor_parser --version | head -n 1 >&2
        profile
        /usr/bin/zroot --version >/dev/null
        apt-get purge -qq -y zroot >/dev/null
        profile"
        )
    };
    for (kind, expected) in [(&OWN, "none\nnone\n"), (&APPARMOR, "there\nnone\n")] {
        let Some(root) = Root::copy_of(kind, "apparmor") else {
            return;
        };
        put(&packages.file(".deb"), &root.path().join("tmp/zroot.deb"));
        for install in [
            "/tmp/zroot.deb; apt-get install -qq -y apparmor >/dev/null",
            "apparmor >/dev/null; apt-get install -qq -y /tmp/zroot.deb",
        ] {
            let install =
                format!("apt-get install -qq -y --no-install-recommends {install} >/dev/null");
            let ran = inside(root.path(), &script(&install), "");
            assert!(ran.stdout.ends_with(expected), "{ran:#?}");
            inside(root.path(), "apt-get purge -qq -y apparmor", "");
        }
    }
}

/// Cargo lists the packages; each has its licence in what is handed out.
fn licences(packages: &Packages) {
    let listed = run(Command::new("cargo").current_dir(HERE).args([
        "tree",
        "--locked",
        "--edges",
        "no-dev",
        "--target",
        "all",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}|{l}",
    ]))
    .succeeds()
    .stdout;
    let archive = packages.file("amd64.tar.gz");
    let text = run(common::plain("tar")
        .arg("-xOzf")
        .arg(archive)
        .arg("usr/share/doc/zroot/THIRD-PARTY-LICENCES"))
    .succeeds()
    .stdout;
    let parts: Vec<&str> = text.split(&"=".repeat(78)).map(str::trim).collect();
    let mut count = 0;
    for line in listed.lines().filter(|line| !line.starts_with("zroot ")) {
        let (package, licence) = line.split_once('|').expect("two columns");
        let mut words = package.split(' ');
        let (name, version) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let title = format!("{name} {}, {licence}", version.trim_start_matches('v'));
        let part = parts
            .iter()
            .find(|part| part.lines().next() == Some(&title))
            .unwrap_or_else(|| panic!("no licence of {title}"));
        // Words of its own, or the place where the same words stand.
        let places: Vec<&str> = part
            .lines()
            .filter_map(|line| Some(line.split_once(": as in ")?.1.split_once(", ")?.0))
            .collect();
        let has_text = part.len() > 700 || !places.is_empty();
        for place in places {
            assert!(
                parts.iter().any(|part| part.starts_with(place)),
                "no {place}"
            );
        }
        assert!(has_text, "{part}");
        count += 1;
    }
    assert!(count > 10, "{listed}");
    for own in ["Rich Felker", "The Rust Project"] {
        assert!(text.contains(own), "nothing of {own}");
    }
}

/// Without this checkout's configuration, as `cargo install` has it, a dynamic executable is an
/// error that says what to do.
fn refuses_dynamic(_: &Packages) {
    run(Command::new("cargo")
        .current_dir(HERE)
        .args(["check", "--release", "--locked", "--bin", "zroot"])
        .args(["--target-dir", "target/packaging"])
        .env("CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER", "")
        .env_remove("RUSTFLAGS"))
    .fails_with("RUSTFLAGS='-C target-feature=+crt-static' cargo install zroot --target TRIPLE");
}

/// Another directory, the same bytes.
fn reproducible(packages: &Packages) {
    let place = dir();
    let copy = place.path().join("elsewhere");
    fs::create_dir(&copy).expect("a directory");
    let script = r#"git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$0" && git log -1 --format=%ct"#;
    let time = run(Command::new("sh")
        .current_dir(HERE)
        .args(["-c", script])
        .arg(&copy))
    .succeeds()
    .stdout;
    let again = Packages::build(&copy, Some(time.trim()));
    assert_eq!(packages.sums(), again.sums());
}

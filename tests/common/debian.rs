//! Minimal Debian trees with apt, of the release that the machine's own apt knows and of an older
//! one, owned by the unprivileged user. Each is made once per machine, by zroot, in
//! `$ZROOT_TEST_DIR` or /var/tmp/zroot-tests-UID; each test gets a copy of its own.
#![allow(dead_code)] // each test program uses its part

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use crate::common::{
    Ran, dir, executable, give, keep, program, run, skip, user, zroot, zroot_with,
};

/// A tree, and what the tests install there: downloaded once into its own cache.
pub struct Kind {
    name: &'static str,
    /// The release, if it is not the machine's.
    release: Option<&'static str>,
    packages: &'static str,
    /// Packages without what they recommend.
    alone: &'static str,
}

/// Of the machine's own release.
pub const OWN: Kind = Kind {
    name: "debian",
    release: None,
    packages: "openssh-server dbus postfix base-files passwd openssh-client at man-db netbase polkitd",
    alone: "makedev gosu daemontools ruby sudo cron",
};

/// Of the machine's own release, with nothing in its cache. [`OWN`] begins as a copy of it.
pub const BARE: Kind = Kind {
    name: "bare",
    release: None,
    packages: "",
    alone: "",
};

/// Debian 11, whose systemd needs an ACL at its installation.
pub const BULLSEYE: Kind = Kind {
    name: "bullseye",
    release: Some("bullseye"),
    packages: "apt",
    alone: "systemd",
};

/// Debian 13, whose rpm makes users and whose pacman has a sandbox.
pub const TRIXIE: Kind = Kind {
    name: "trixie-packagers",
    release: Some("trixie"),
    packages: "apt",
    alone: "rpm pacman-package-manager libarchive-tools nix-bin nix-setup-systemd",
};

/// Debian 13, whose AppArmor knows of user namespaces.
pub const APPARMOR: Kind = Kind {
    name: "trixie-apparmor",
    release: Some("trixie"),
    packages: "apt",
    alone: "apparmor",
};

/// The Debian mirror of the machine: one sources.list line each for the release, its updates and
/// its security updates.
pub struct Mirror {
    pub lines: Vec<String>,
    /// Where it is, and the release.
    pub uri: String,
    pub release: String,
    /// Settings of the machine's apt without which the mirror cannot be used, one a line.
    pub settings: Vec<String>,
}

impl Mirror {
    /// Reads the machine's apt configuration and tries the mirror, or says what is missing.
    pub fn find() -> Result<&'static Mirror, &'static str> {
        static FOUND: OnceLock<Result<Mirror, String>> = OnceLock::new();
        FOUND
            .get_or_init(Mirror::look)
            .as_ref()
            .map_err(String::as_str)
    }

    fn look() -> Result<Mirror, String> {
        if program("apt-get").is_none() {
            return Err("there is no apt-get".into());
        }
        let format = "--format=deb $(REPO_URI) $(RELEASE) $(COMPONENT)";
        let targets = run(user("apt-get").args([
            "indextargets",
            format,
            "Created-By: Packages",
            "Origin: Debian",
        ]))
        .succeeds()
        .stdout;
        let mut lines: Vec<String> = Vec::new();
        for line in targets.lines() {
            if !lines.iter().any(|seen| seen == line) {
                lines.push(line.to_owned());
            }
        }
        let Some((uri, release)) = lines.first().and_then(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        }) else {
            return Err("apt knows no Debian mirror (apt-get update has to run once)".into());
        };
        Mirror::has(uri, release)?;
        let (uri, release) = (uri.to_owned(), release.to_owned());
        let needed = |line: &&str| {
            ["http::Proxy", "https::Proxy", "Check-"]
                .iter()
                .any(|name| line.starts_with(&format!("Acquire::{name}")))
        };
        let dump = run(user("apt-config").arg("dump")).succeeds().stdout;
        let settings = dump
            .lines()
            .filter(needed)
            .map(|line| line.trim_end_matches(';').to_owned())
            .collect();
        Ok(Mirror {
            lines,
            uri,
            release,
            settings,
        })
    }

    /// Tries whether the mirror at `uri` has `release`.
    pub fn has(uri: &str, release: &str) -> Result<(), String> {
        let place = dir();
        let (url, file) = (
            format!("{uri}dists/{release}/InRelease"),
            place.path().join("InRelease"),
        );
        let fetched = run(user("/usr/lib/apt/apt-helper")
            .arg("download-file")
            .arg(&url)
            .arg(&file));
        if fetched.status != 0 {
            return Err(format!("{url} is not to be had: {}", fetched.stderr.trim()));
        }
        Ok(())
    }
}

/// The tree itself. Nobody makes it anew meanwhile.
pub struct Tree {
    pub path: PathBuf,
    _turn: Flock<File>,
}

impl Tree {
    /// Makes it if need be, or says why the machine cannot.
    pub fn find(kind: &Kind) -> Result<Tree, String> {
        let mirror = Mirror::find()?;
        if program("mmdebstrap").is_none() {
            return Err("there is no mmdebstrap".into());
        }
        let home = keep();
        let (path, turn) = (home.join(kind.name), lock(&home, kind.name));
        make(&home, &path, mirror, kind)?;
        Ok(Tree { path, _turn: turn })
    }
}

/// A private copy of the tree, with zroot in it at `/zroot`; removed at the end.
pub struct Root(TempDir);

impl Root {
    /// Makes the copy, and the tree before it if need be. `None` where the machine cannot, after a
    /// SKIP line.
    pub fn copy(test: &str) -> Option<Root> {
        Root::copy_of(&OWN, test)
    }

    /// The same of a tree of this kind.
    pub fn copy_of(kind: &Kind, test: &str) -> Option<Root> {
        let tree = match Tree::find(kind) {
            Ok(tree) => tree,
            Err(reason) => {
                skip(test, &reason);
                return None;
            }
        };
        let copy = Root(dir());
        self::copy(&tree.path, copy.path());
        // A tree that lacks one is lent the host's, which real root's would not have.
        for name in ["etc/resolv.conf", "etc/hosts"] {
            let says = fs::read(Path::new("/").join(name)).expect(name);
            fs::write(copy.path().join(name), says).expect(name);
            give(&copy.path().join(name));
        }
        copy_zroot(copy.path());
        Some(copy)
    }

    /// Another private copy, of this one as it is now.
    pub fn again(&self) -> Root {
        let copy = Root(dir());
        self::copy(self.path(), copy.path());
        copy
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `unshare -r chroot ROOT ARGS...` as the unprivileged user: nothing is mounted in ROOT.
    pub fn chroot<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        chroot(self.path(), args)
    }

    /// The same with /proc and /dev mounted inside.
    pub fn chroot_with_mounts<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = user("unshare");
        command
            .args(["-rm", "sh", "-c", r#"mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@""#])
            .arg(self.path())
            .args(args);
        command
    }

    /// Runs a shell script inside, as apparent root without zroot.
    #[track_caller]
    pub fn inside(&self, script: &str) -> Ran {
        run(&mut self.chroot(["sh", "-ec", script])).succeeds()
    }

    /// Puts an executable file inside.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        executable(&path, text);
    }

    /// What is left of a run: mounts, processes, files of zroot's. Nothing, if all is well.
    pub fn leftovers(&self) -> Vec<String> {
        let path = self.path().to_str().expect("a path of ASCII");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let mut left: Vec<String> = mounts
            .lines()
            .filter(|line| line.contains(path))
            .map(str::to_owned)
            .collect();
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            if fs::read_link(process.path().join("root")).is_ok_and(|root| root.starts_with(path)) {
                left.push(fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
            }
        }
        let script = r#"cd "$0" && find proc sys -mindepth 1 && find . -name '*zroot*' && ! grep -rl 'zroot: one id' etc root run tmp var"#;
        left.extend(
            run(user("unshare").args(["-r", "sh", "-c", script, path]))
                .stdout
                .lines()
                .map(str::to_owned),
        );
        left.retain(|line| *line != "./zroot");
        left
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        remove(self.path());
    }
}

fn chroot<A: AsRef<OsStr>>(root: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = user("unshare");
    command.args(["-r", "chroot"]).arg(root).args(args);
    command
}

/// Copies a tree of the unprivileged user's.
pub fn copy(tree: &Path, to: &Path) {
    run(zroot_with(["cp", "-a", "--reflink=auto", "-T"]).args([tree, to])).succeeds();
}

/// Removes a tree of the unprivileged user's, directories without write permission and all.
fn remove(tree: &Path) {
    let removed: Ran = run(user("unshare").args(["-r", "rm", "-rf", "--"]).arg(tree));
    assert!(!tree.exists() || std::thread::panicking(), "{removed:#?}");
}

/// Puts zroot into a tree. By a child, for the reason that [`executable`] has.
fn copy_zroot(tree: &Path) {
    run(Command::new("cp").arg(zroot()).arg(tree.join("zroot"))).succeeds();
}

/// Waits for its turn: another test program may be making the tree.
fn lock(home: &Path, name: &str) -> Flock<File> {
    let path = home.join(format!("{name}.lock"));
    let file = File::create(&path).expect("the lock file");
    give(&path);
    Flock::lock(file, FlockArg::LockExclusive)
        .unwrap_or_else(|(_, errno)| panic!("cannot lock: {errno}"))
}

/// mmdebstrap's, beyond the machine's settings: no translations of descriptions, which are as large
/// as all else in apt's lists, and are copied and read with them; no waiting for the disk at every
/// file; the lists stay, which apt-get update need not download again.
const OPTIONS: [&str; 4] = [
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=force-unsafe-io",
    "--skip=cleanup/apt/lists",
    "--skip=chroot/mount",
];

/// Makes the tree unless it is there and was made the same way.
fn make(home: &Path, tree: &Path, mirror: &Mirror, kind: &Kind) -> Result<(), String> {
    let Kind {
        name,
        release,
        packages,
        alone,
    } = kind;
    let lines = release.map_or_else(
        || mirror.lines.clone(),
        |release| vec![format!("deb {} {release} main", mirror.uri)],
    );
    let download = format!(
        "apt-get update && apt-get install -y --reinstall --download-only {packages} &&
        apt-get install -y --no-install-recommends --download-only {alone}"
    );
    let recipe = format!(
        "{}\n{}\n{}\n{download}\n",
        lines.join("\n"),
        mirror.settings.join("\n"),
        OPTIONS.join("\n")
    );
    let stamp = home.join(format!("{name}.recipe"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == recipe) {
        return Ok(());
    }
    if let Some(release) = release {
        Mirror::has(&mirror.uri, release)?;
    }
    let _ = fs::remove_file(&stamp);
    remove(tree);
    let half_made = format!("{name}.new.");
    for entry in fs::read_dir(home)
        .expect("the directory of the tests")
        .flatten()
    {
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(half_made.as_bytes())
        {
            remove(&entry.path());
        }
    }
    // A name that the children of a killed test program do not write to.
    let new = home.join(format!("{half_made}{}", std::process::id()));
    if *name == OWN.name {
        let bare = Tree::find(&BARE)?;
        copy(&bare.path, &new);
        // What the acceptance suite has noted there is about that tree.
        let _ = fs::remove_dir_all(new.join("debs"));
    } else {
        let settings = mirror
            .settings
            .iter()
            .map(|setting| format!("--aptopt={setting}"));
        run(zroot_with(["mmdebstrap", "--variant=apt"])
            .args(settings)
            .args(OPTIONS)
            .arg("")
            .arg(&new)
            .args(&lines))
        .succeeds();
    }
    copy_zroot(&new);
    run(&mut chroot(&new, ["/zroot", "--", "sh", "-c", &download])).succeeds();
    fs::rename(&new, tree).expect("rename of the tree");
    fs::write(&stamp, recipe).expect("the tree's stamp");
    give(&stamp);
    Ok(())
}

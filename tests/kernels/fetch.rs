//! From the package mirror into a cache: kernels, headers, C libraries and programs of other
//! architectures, each by an apt of its own that needs no root and knows nothing of what is
//! installed here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::common::{give, keep, run, user};
use crate::debian::Mirror;
use crate::machines::{Kernel, Package};

/// Why something is not there: told apart from a failure of ours.
pub struct Unreachable(pub String);

pub type Fetched<T> = Result<T, Unreachable>;

/// A directory that is made once and stays; `make` fills it, and asks for no other. Its name is all
/// that says what is in it.
pub fn cached(name: &str, make: impl FnOnce(&Path) -> Fetched<()>) -> Fetched<PathBuf> {
    // Two jobs may want the same one.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let home = keep().join("kernels");
    let place = home.join(name);
    if place.exists() {
        return Ok(place);
    }
    let new = home.join(format!("{name}.new"));
    for dir in [&home, &new] {
        let _ = fs::remove_dir_all(&new);
        fs::create_dir_all(dir).expect("a directory of the cache");
        give(dir);
    }
    make(&new)?;
    fs::rename(&new, &place).expect("rename");
    Ok(place)
}

/// An apt for one release and one architecture.
struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(suite: &str, architecture: &str) -> Fetched<Apt> {
        let mirror = Mirror::find().map_err(|reason| Unreachable(reason.to_owned()))?;
        let dir = keep()
            .join("kernels")
            .join(format!("apt-{suite}-{architecture}"));
        let text = dir.to_str().expect("a path in UTF-8").to_owned();
        run(user("mkdir")
            .arg("-p")
            .args(["lists/partial", "cache/archives/partial"].map(|name| dir.join(name))))
        .succeeds();
        let config = format!(
            "{}\nAPT::Architecture \"{architecture}\"; APT::Architectures \"{architecture}\"; APT::Install-Recommends \"false\";
            Dir::State \"{text}\"; Dir::State::Lists \"{text}/lists\"; Dir::State::Status \"{text}/status\"; Dir::Cache \"{text}/cache\";
            Dir::Etc::SourceList \"{text}/sources.list\"; Dir::Etc::SourceParts \"/dev/null\"; Acquire::Languages \"none\";\n",
            mirror.settings.iter().map(|setting| format!("{setting};")).collect::<Vec<_>>().join("\n"),
        );
        for (name, contents) in [
            ("sources.list", format!("deb {} {suite} main\n", mirror.uri)),
            ("apt.conf", config),
            ("status", String::new()),
        ] {
            fs::write(dir.join(name), contents).expect("apt's configuration");
            give(&dir.join(name));
        }
        let apt = Apt {
            options: vec!["-q".into(), "-c".into(), format!("{text}/apt.conf")],
            dir,
        };
        // Once a run: packages vanish from the mirror when newer ones come.
        apt.run("apt-get", &["update"])?;
        Ok(apt)
    }

    fn run(&self, program: &str, args: &[&str]) -> Fetched<String> {
        let archives = self.dir.join("cache/archives");
        let ran = run(user(program)
            .args(&self.options)
            .args(args)
            .current_dir(archives));
        if ran.status == 0 {
            Ok(ran.stdout)
        } else {
            Err(Unreachable(format!(
                "{}: {}",
                ran.command,
                ran.stderr.trim()
            )))
        }
    }

    /// The package that `package` depends on and whose name begins with `prefix`.
    fn dependency(&self, package: &str, prefix: &str) -> Fetched<Option<String>> {
        let depends = self.run("apt-cache", &["depends", package])?;
        let mut names = depends
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names
            .find(|name| name.starts_with(prefix))
            .map(str::to_owned))
    }

    /// Downloads packages, with all that they depend on if asked to, and returns the archives.
    fn download(&self, packages: &[&str], with_dependencies: bool) -> Fetched<Vec<PathBuf>> {
        let archives = self.dir.join("cache/archives");
        for old in archives_in(&archives) {
            fs::remove_file(old).expect("an old archive");
        }
        let how: &[&str] = if with_dependencies {
            &["install", "-y", "--download-only"]
        } else {
            &["download"]
        };
        self.run("apt-get", &[how, packages].concat())?;
        Ok(archives_in(&archives))
    }
}

fn archives_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect()
}

/// Unpacks what matches `patterns` (tar's) into `to`, where /bin and its like are links.
fn unpack(archive: &Path, to: &Path, patterns: &[&str]) {
    let script = r#"deb=$1 to=$2; shift 2
        dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner --keep-directory-symlink --wildcards -C "$to" "$@""#;
    let mut command = user("bash");
    command
        .args(["-o", "pipefail", "-ec", script, "-"])
        .arg(archive)
        .arg(to)
        .args(patterns);
    run(&mut command).succeeds();
}

/// The kernel's image.
pub fn kernel(machine: &str, kernel: &Kernel) -> Fetched<PathBuf> {
    let place = cached(&format!("kernel-{}-{machine}", kernel.suite), |new| {
        let found = match kernel.package {
            Package::Image(meta) => {
                let apt = Apt::new(kernel.suite, machine)?;
                let image = apt
                    .dependency(meta, "linux-image-")?
                    .ok_or_else(|| Unreachable(format!("{meta} has no kernel")))?;
                // Since 6.17 the image's package has neither kernel nor modules, but depends on one
                // of each.
                let package = apt.dependency(&image, "linux-binary-")?.unwrap_or(image);
                unpack(&apt.download(&[&package], false)?[0], new, &["*/vmlinu*"]);
                find(new, &["vmlinu"])
            }
            Package::Netboot(package, name) => {
                let apt = Apt::new(kernel.suite, "amd64")?;
                unpack(
                    &apt.download(&[package], false)?[0],
                    new,
                    &[&format!("*/{name}*")],
                );
                find(new, &[name])
            }
        };
        let found = found.unwrap_or_else(|| panic!("no kernel in {}", new.display()));
        let image = new.join("vmlinuz");
        fs::rename(found, &image).expect("rename");
        unwrap_zboot(&image);
        Ok(())
    })?;
    Ok(place.join("vmlinuz"))
}

/// Newer kernels come as an EFI program that unpacks itself, which qemu without firmware cannot
/// start: takes the kernel out of it (drivers/firmware/efi/libstub/zboot-header.S: "zimg", where
/// the payload is and how long, at 24 how it is packed).
fn unwrap_zboot(image: &Path) {
    let bytes = fs::read(image).expect("the kernel");
    if bytes.get(4..8) != Some(b"zimg") {
        return;
    }
    let word =
        |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let packed = image.with_extension("packed");
    fs::write(&packed, &bytes[word(8)..word(8) + word(12)]).expect("written");
    let program = if bytes[24..].starts_with(b"zstd") {
        "zstd"
    } else {
        "gzip"
    };
    run(user("sh")
        .args(["-ec", r#"$0 -dc < "$1" > "$2""#, program])
        .arg(&packed)
        .arg(image))
    .succeeds();
}

/// The options that start `name` of a qemu that knows LoongArch's virtual machine well enough: 10
/// or newer. This machine's, or, unpacked and not installed, the one of its release's backports.
pub fn qemu_10(name: &str) -> Fetched<Vec<String>> {
    let version = crate::common::program(name)
        .map(|program| run(user(program).arg("--version")).stdout)
        .unwrap_or_default();
    let major = version
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 10) {
        return Ok(vec![name.into()]);
    }
    let place = cached("qemu-10", |new| {
        let apt = Apt::new(&format!("{}-backports", own_release()?), "amd64")?;
        for archive in apt.download(&["qemu-system-misc", "qemu-system-data"], false)? {
            unpack(&archive, new, &["./usr/*"]);
        }
        Ok(())
    })?;
    let path = |name: &str| {
        place
            .join(name)
            .to_str()
            .expect("a path in UTF-8")
            .to_owned()
    };
    Ok(vec![
        path(&format!("usr/bin/{name}")),
        "-L".into(),
        path("usr/share/qemu"),
    ])
}

/// The first file below `dir` whose name begins with one of `names`.
fn find(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    let mut ahead = vec![dir.to_owned()];
    while let Some(dir) = ahead.pop() {
        for path in fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
        {
            let file_name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !path.is_symlink() {
                ahead.push(path);
            } else if path.is_file() && names.iter().any(|name| file_name.starts_with(name)) {
                return Some(path);
            }
        }
    }
    None
}

/// The newest kernel's headers, of every architecture: `usr/lib/linux/uapi/ARCHITECTURE` and
/// `usr/include`.
pub fn headers() -> Fetched<PathBuf> {
    cached("headers", |new| {
        unpack(
            &Apt::new("sid", "amd64")?.download(&["linux-libc-dev"], false)?[0],
            new,
            &["./usr/*"],
        );
        Ok(())
    })
}

/// What a C compiler, or a linker, needs for `architecture` beside itself, from the release that
/// this machine has.
pub fn c_library(architecture: &str) -> Fetched<PathBuf> {
    cached(&format!("libc-{architecture}"), |new| {
        let apt = Apt::new(own_release()?, "amd64")?;
        let packages = [
            format!("libc6-dev-{architecture}-cross"),
            format!("libgcc-12-dev-{architecture}-cross"),
        ];
        for archive in apt.download(&packages.each_ref().map(String::as_str), false)? {
            unpack(&archive, new, &["./usr/*"]);
        }
        Ok(())
    })
}

/// A gcc that knows 31-bit s390, which clang does not.
pub fn gcc_for_s390() -> Fetched<PathBuf> {
    cached("gcc-s390", |new| {
        let apt = Apt::new(own_release()?, "amd64")?;
        let packages = [
            "gcc-12-s390x-linux-gnu",
            "cpp-12-s390x-linux-gnu",
            "binutils-s390x-linux-gnu",
            "linux-libc-dev-s390x-cross",
        ];
        for archive in apt.download(&packages, false)? {
            unpack(&archive, new, &["./usr/*"]);
        }
        Ok(())
    })
}

/// The release that this machine has.
pub fn own_release() -> Fetched<&'static str> {
    Mirror::find()
        .map(|mirror| mirror.release.as_str())
        .map_err(|reason| Unreachable(reason.to_owned()))
}

/// A Debian tree: a shell, coreutils, tar and dpkg, with what these need, and a static busybox.
pub fn tree(release: &str, architecture: &str) -> Fetched<PathBuf> {
    cached(&format!("tree-{release}-{architecture}"), |new| {
        run(user("sh")
            .args([
                "-ec",
                "cd $0; for d in bin sbin lib lib64; do mkdir -p usr/$d; ln -s usr/$d $d; done",
            ])
            .arg(new))
        .succeeds();
        let apt = Apt::new(release, architecture)?;
        let leave_out = [
            "doc",
            "locale",
            "man",
            "info",
            "i18n",
            "bash-completion",
            "perl5",
        ]
        .map(|name| format!("--exclude=./usr/share/{name}"));
        let leave_out: Vec<&str> = leave_out
            .iter()
            .map(String::as_str)
            .chain(["--exclude=*/gconv/*", "./*"])
            .collect();
        for archive in apt.download(
            &["dash", "coreutils", "tar", "dpkg", "busybox-static"],
            true,
        )? {
            unpack(&archive, new, &leave_out);
        }
        Ok(())
    })
}

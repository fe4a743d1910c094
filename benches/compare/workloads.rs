//! The workloads. Each function makes what it needs and says what to run.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use zroot::internals::arch::Abi;
use zroot::internals::filter;
use zroot::internals::filter::policy::Policy;

use crate::common::{give, program, run, user, zroot};
use crate::debian::Mirror;
use crate::measure::{Case, Group, Source, TIMES};
use crate::output::output;
use crate::peers::Peer;
use crate::places::{Places, compile, text};

/// The row of zroot as built for musl.
pub const MUSL: &str = "zroot, built for musl";

/// What the workloads share.
pub struct Bench {
    pub places: Places,
    pub peers: Vec<Peer>,
    pub ch_run: Option<String>,
    pub musl: Option<String>,
    pub full: bool,
    pub rounds: Option<usize>,
}

/// Owned strings of a list.
pub fn words<S: AsRef<str>>(list: &[S]) -> Vec<String> {
    list.iter().map(|word| word.as_ref().to_owned()).collect()
}

impl Bench {
    pub fn rounds(&self, quick: usize, full: usize) -> usize {
        self.rounds.unwrap_or(if self.full { full } else { quick })
    }

    fn pick<T>(&self, quick: T, full: T) -> T {
        if self.full { full } else { quick }
    }

    /// The same command under every peer.
    fn everywhere(&self, command: &[&str]) -> Vec<Case> {
        self.peers
            .iter()
            .map(|peer| Case {
                root: peer.root,
                ..Case::new(peer.name, peer.launch(command))
            })
            .collect()
    }

    /// `benches/floor.c` with zroot's own filter, as `cc` makes it.
    fn floor(&self, cc: &str, name: &str, flags: &[&str]) -> Option<String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
        if !source.is_file() {
            return None;
        }
        let mut define = String::from("-DFILTER=");
        for sock in filter::build(Abi::NATIVE.family(), Policy::DEFAULT).expect("a filter") {
            let _ = write!(
                define,
                "{{{},{},{},{}u}},",
                sock.code, sock.jt, sock.jf, sock.k
            );
        }
        compile(
            &self.places,
            cc,
            name,
            &source,
            &[&["-static", &define], flags].concat(),
        )
    }

    pub fn start(&self) -> Group {
        let command = ["/bin/true"];
        let mut cases = self.everywhere(&command);
        // The kernel's headers are not among musl's.
        let headers = [
            "-idirafter",
            "/usr/include",
            "-idirafter",
            &format!("/usr/include/{}", multiarch()),
        ];
        for (row, cc, name, flags) in [
            ("C, static, glibc", "cc", "floor", &[][..]),
            ("C, static, musl", "musl-gcc", "floor-musl", &headers),
            (
                "C, without libc",
                "cc",
                "floor-nolibc",
                &["-DNOLIBC", "-nostdlib", "-fno-stack-protector"],
            ),
        ] {
            if program(cc).is_none() {
                println!("Not found: {cc}, for {row}.");
            } else if let Some(path) = self.floor(cc, name, flags) {
                cases.insert(2, Case::new(row, vec![path, command[0].to_owned()]));
            }
        }
        if let Some(musl) = &self.musl {
            cases.insert(2, Case::new(MUSL, words(&[musl, command[0]])));
        }
        let rounds = self.rounds(20, 100);
        Group {
            title: "Start of `true`".into(),
            columns: vec!["start"],
            source: Source::Time(5),
            cases,
            rounds,
            warm: true,
        }
    }

    /// A root directory with a static busybox and the mount points that ch-run needs.
    /// `resolv_conf` is what its /etc/resolv.conf says: zroot --root fills an empty one, and then
    /// leaves a process behind that empties it again.
    pub fn tiny_tree(&self, name: &str, resolv_conf: &str) -> Option<String> {
        let busybox = program("busybox")?;
        let tree = self.places.disk.path().join(name);
        if !tree.exists() {
            let dirs = "bin dev etc home lib mnt opt proc root run srv sys tmp usr/bin var/tmp";
            let files = format!(
                "touch file etc/passwd etc/group etc/hosts; printf '{resolv_conf}' | tee etc/resolv.conf > etc/hosts"
            );
            self.places.prepare(&format!(
                "mkdir -p {0}; cd {0}; mkdir -p {dirs}; {files}",
                text(&tree)
            ));
            fs::copy(busybox, tree.join("bin/busybox")).expect("a copy of busybox");
            symlink("busybox", tree.join("bin/true")).expect("a link");
        }
        Some(text(&tree))
    }

    /// `true` in a root directory. busybox has to be static: nothing else is in there.
    pub fn root(&self, debian: Option<&str>) -> Vec<Group> {
        let mut trees: Vec<(&str, String)> = Vec::new();
        match self.tiny_tree("tree", "# none\\n") {
            Some(tree) => trees.push(("a static busybox", tree)),
            None => println!(
                "Left out: the root directory of a static busybox, which is not installed."
            ),
        }
        trees.extend(debian.map(|tree| ("Debian", tree.to_owned())));
        let group = |(what, tree): (&str, String)| {
            let mut cases = vec![
                Case::new("native", words(&[&format!("{tree}/bin/true")])),
                Case::new(
                    "zroot --root",
                    words(&[&text(zroot()), "--root", &tree, "--", "/bin/true"]),
                ),
                Case::new(
                    "unshare -r chroot, no mounts",
                    words(&["unshare", "-r", "chroot", &tree, "/bin/true"]),
                ),
            ];
            if let Some(musl) = &self.musl {
                cases.insert(
                    2,
                    Case::new(MUSL, words(&[musl, "--root", &tree, "--", "/bin/true"])),
                );
            }
            if program("bwrap").is_some() {
                cases.push(Case::new(
                    "bwrap --bind",
                    words(&["bwrap", "--bind", &tree, "/", "/bin/true"]),
                ));
                let mounts = [
                    "bwrap",
                    "--bind",
                    &tree,
                    "/",
                    "--proc",
                    "/proc",
                    "--dev-bind",
                    "/dev",
                    "/dev",
                    "/bin/true",
                ];
                cases.push(Case::new("bwrap --bind, /proc, /dev", words(&mounts)));
            }
            if let Some(empty) = self
                .tiny_tree("tree-empty", "")
                .filter(|_| what == "a static busybox")
            {
                let name = "zroot --root, where /etc/resolv.conf is empty";
                cases.push(Case::new(
                    name,
                    words(&[&text(zroot()), "--root", &empty, "--", "/bin/true"]),
                ));
            }
            if let Some(path) = &self.ch_run {
                cases.push(Case::new(
                    "ch-run",
                    words(&[path, &tree, "--", "/bin/true"]),
                ));
                cases.push(Case::new(
                    "ch-run --seccomp",
                    words(&[
                        path,
                        "--seccomp",
                        "--uid=0",
                        "--gid=0",
                        &tree,
                        "--",
                        "/bin/true",
                    ]),
                ));
            }
            if program("proot").is_some() {
                cases.push(Case::new(
                    "PRoot -0 -r",
                    words(&["proot", "-0", "-r", &tree, "/bin/true"]),
                ));
            }
            let title = format!("Start of `true` in a root directory: {what}");
            Group {
                title,
                columns: vec!["start"],
                source: Source::Time(5),
                cases,
                rounds: self.rounds(20, 100),
                warm: true,
            }
        };
        trees.into_iter().map(group).collect()
    }

    /// Nanoseconds per call: native ABI, then i386.
    pub fn calls(&self) -> Vec<Group> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/calls.c");
        let dynamic = compile(&self.places, "cc", "calls-dynamic", &source, &[]);
        let freestanding = [
            "-m32",
            "-DFREESTANDING",
            "-nostdlib",
            "-static",
            "-fno-pie",
            "-no-pie",
            "-fno-stack-protector",
        ];
        let i386 = if cfg!(target_arch = "x86_64") {
            compile(&self.places, "cc", "calls-i386", &source, &freestanding)
        } else {
            None
        };
        let dir = self.places.disk.path().join("calls");
        // Real root has a file of its own: it would make this one root's for the others.
        self.places.prepare(&format!(
            "mkdir -p {0}/root && touch {0}/file {0}/root/file",
            text(&dir)
        ));
        let programs = [
            (
                "native ABI",
                compile(&self.places, "cc", "calls-static", &source, &["-static"]),
            ),
            ("i386", i386),
        ];
        let group = |(abi, path): (&str, Option<String>)| {
            let path = path?;
            let mut cases = Vec::new();
            for peer in &self.peers {
                let program = match (&dynamic, peer.preload) {
                    (Some(dynamic), true) if abi != "i386" => dynamic,
                    (_, true) => continue, // out of its reach
                    _ => &path,
                };
                cases.push(Case {
                    root: peer.root,
                    ..Case::new(
                        peer.name,
                        peer.launch(&[
                            program,
                            &text(&if peer.root {
                                dir.join("root")
                            } else {
                                dir.clone()
                            }),
                        ]),
                    )
                });
            }
            cases.insert(
                1,
                Case::new(
                    "allow-everything filter",
                    words(&[&path, &text(&dir), "allow"]),
                ),
            );
            if let Some(case) = self.calls_in_ch_run(&path, abi) {
                cases.insert(3, case);
            }
            let columns = vec!["getppid", "openat+close", "fstat", "fchownat"];
            Some(Group {
                title: format!("One call, {abi}"),
                columns,
                source: Source::Printed,
                cases,
                rounds: self.rounds(7, 31),
                warm: true,
            })
        };
        programs.into_iter().filter_map(group).collect()
    }

    /// The program in ch-run, which needs a root directory and a copy of the program in there.
    fn calls_in_ch_run(&self, program: &str, abi: &str) -> Option<Case> {
        let ch_run = self.ch_run.as_ref()?;
        let tree = self.tiny_tree("tree", "# none\\n")?;
        let inside = format!("/calls-{}", abi.replace(' ', "-"));
        let copy = format!("{tree}{inside}");
        run(Command::new("install").args([program, &copy])).succeeds();
        give(Path::new(&copy));
        let words = words(&[
            ch_run,
            "--seccomp",
            "--uid=0",
            "--gid=0",
            &tree,
            "--",
            &inside,
            "/",
        ]);
        Some(Case::new("ch-run --seccomp", words))
    }

    /// Nanoseconds per call that a supervisor answers, if there is one: for one process, then for
    /// many at once.
    pub fn notified(&self) -> Option<Group> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/notified.c");
        let path = compile(&self.places, "cc", "notified", &source, &[])?;
        let dir = text(&self.places.tmpfs.path().join("notified"));
        let mut cases = self.everywhere(&[&path, &dir]);
        for case in &mut cases {
            case.before = Some(format!("rm -rf {dir} && mkdir {dir}"));
        }
        // PRoot would take minutes, and table `calls` has its costs.
        cases.retain(|case| !case.root && case.name != "PRoot -0");
        let columns = vec!["getuid", "fchown", "fchmodat", "fchownat", "by 8", "by 64"];
        let title = "A call that a supervisor answers".into();
        Some(Group {
            title,
            columns,
            source: Source::Printed,
            cases,
            rounds: self.rounds(5, 15),
            warm: true,
        })
    }

    /// Nanoseconds per look at a file: at one that nobody has given away, and at one that was.
    pub fn stats(&self) -> Option<Group> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/stats.c");
        let path = compile(&self.places, "cc", "stats", &source, &[])?;
        let dir = text(&self.places.tmpfs.path().join("stats"));
        let mut cases = self.everywhere(&[&path, &dir]);
        for case in &mut cases {
            case.before = Some(format!("rm -rf {dir} && mkdir {dir}"));
        }
        // PRoot would take minutes, and table `calls` has its costs.
        cases.retain(|case| !case.root && case.name != "PRoot -0");
        let columns = vec![
            "fstat",
            "stat",
            "lstat of a name",
            "ENOENT",
            "given: fstat",
            "given: stat",
            "given: lstat of a name",
        ];
        let title = "A look at a file".into();
        Some(Group {
            title,
            columns,
            source: Source::Printed,
            cases,
            rounds: self.rounds(5, 15),
            warm: true,
        })
    }

    /// Programs that look at many files, which were given away in the same run.
    pub fn looks(&self) -> Vec<Group> {
        let files = self.pick(2_000, 10_000);
        let dir = text(&self.places.tmpfs.path().join("looks"));
        let make = format!(
            "mkdir {dir} && cd {dir} && for d in $(seq 100); do mkdir $d; (cd $d; touch $(seq {})); done",
            files / 100
        );
        self.places.prepare(&make);
        let group = |look: &str| {
            // Three times, so that giving them away is the lesser part.
            let script = format!(
                "cd {dir}; chown -R 5:7 . 2>/dev/null; for i in 1 2 3; do {look} >/dev/null; done"
            );
            let mut cases = self.everywhere(&["sh", "-c", &script]);
            // Real root's would be nobody else's afterwards.
            cases.retain(|case| !case.root && case.name != "PRoot -0");
            Group {
                title: format!("`chown -R`, then three times `{look}`, of {files} files"),
                columns: TIMES.to_vec(),
                source: Source::Times,
                cases,
                rounds: self.rounds(3, 9),
                warm: true,
            }
        };
        ["ls -lR", "find . -ls", "tar c ."].map(group).into()
    }

    /// Nanoseconds per write and fsync on the disk, in a dynamic and in a static program.
    pub fn sync(&self) -> Option<Group> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/calls.c");
        let dir = self.places.disk.path().join("sync");
        self.places
            .prepare(&format!("mkdir -p {0} && touch {0}/file", text(&dir)));
        let mut cases = Vec::new();
        for (kind, flags) in [("dynamic", &[][..]), ("static", &["-static"][..])] {
            let path = compile(&self.places, "cc", &format!("sync-{kind}"), &source, flags)?;
            let zroot = text(zroot());
            for launcher in [
                &[][..],
                &[zroot.as_str()][..],
                &[&zroot, "--no-sync"][..],
                &["eatmydata"][..],
            ] {
                if launcher == ["eatmydata"] && program("eatmydata").is_none() {
                    continue;
                }
                let name = launcher.join(" ").replace(&zroot, "zroot");
                let name = format!("{}, {kind}", if name.is_empty() { "native" } else { &name });
                cases.push(Case::new(
                    &name,
                    [words(launcher), words(&[&path, &text(&dir), "sync"])].concat(),
                ));
            }
        }
        let columns = vec!["write+fsync"];
        Some(Group {
            title: "fsync on the disk".into(),
            columns,
            source: Source::Printed,
            cases,
            rounds: self.rounds(5, 31),
            warm: true,
        })
    }

    /// Whom files are given to. Without a launcher only one's own ids are allowed.
    fn owner(peer: &Peer) -> String {
        match peer.name {
            "native" => format!("{0}:{0}", crate::common::uid()),
            _ => "0:0".into(),
        }
    }

    pub fn chown(&self) -> Group {
        let dir = text(&self.places.tmpfs.path().join("chown"));
        let mut cases = Vec::new();
        for peer in &self.peers {
            let dir = format!("{dir}-{}", if peer.root { "root" } else { "user" });
            let before = format!(
                "cd {dir} 2>/dev/null || {{ mkdir {dir} && cd {dir} && seq 10000 | xargs touch; }}"
            );
            let command = peer.launch(&["chown", "-R", &Bench::owner(peer), &dir]);
            cases.push(Case {
                root: peer.root,
                before: Some(before),
                ..Case::new(peer.name, command)
            });
        }
        let title = "`chown -R` of 10 000 files".into();
        Group {
            title,
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(3, 15),
            warm: true,
        }
    }

    pub fn tar(&self) -> Group {
        let files = self.pick(2_000, 20_000);
        let (from, archive, to) = ("tar-from", "tar.tar", "tar-to");
        let [from, archive, to] =
            [from, archive, to].map(|name| text(&self.places.tmpfs.path().join(name)));
        let script = "mkdir -p $1 && cd $1 && for d in $(seq 100); do mkdir $d; (cd $d; for f in $(seq $3); do echo $f > $f; done); done
            tar cf $2 --owner=0 --group=0 . && rm -rf $1";
        self.places.prepare(&format!(
            "set -- {from} {archive} {}; {script}",
            files / 100
        ));
        let mut cases = Vec::new();
        for peer in &self.peers {
            let to = format!("{to}-{}", if peer.root { "root" } else { "user" });
            let owners = if peer.name == "native" {
                "--no-same-owner"
            } else {
                "--same-owner"
            };
            let command = peer.launch(&["tar", "xf", &archive, owners, "-C", &to]);
            cases.push(Case {
                root: peer.root,
                before: Some(format!("rm -rf {to} && mkdir {to}")),
                ..Case::new(peer.name, command)
            });
        }
        let title = format!("`tar x --same-owner` of {files} files");
        Group {
            title,
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(3, 7),
            warm: true,
        }
    }

    pub fn fork(&self) -> Group {
        let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done";
        let cases = self.everywhere(&["sh", "-c", script]);
        let title = "A shell's loop of 1 000 fork and exec".into();
        Group {
            title,
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(3, 9),
            warm: false,
        }
    }

    pub fn make(&self) -> Group {
        let files = self.pick(24, 120);
        let dir = text(&self.places.tmpfs.path().join("make"));
        let script = format!(
            "mkdir {dir} && cd {dir} && for i in $(seq {files}); do
                printf '#include <stdio.h>\\n#include <stdlib.h>\\n#include <string.h>\\nint f%d(char *s) {{ return printf(\"%%s\", s); }}\\n' $i > $i.c
            done && printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\\n%%.o: %%.c\\n\\tcc -O2 -c -o $@ $<\\n' > Makefile && chmod 777 ."
        );
        self.places.prepare(&script);
        let jobs = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut cases = self.everywhere(&["make", "-s", &format!("-j{jobs}"), "-C", &dir]);
        for case in &mut cases {
            case.before = Some(format!("rm -f {dir}/*.o"));
        }
        let title = format!("`make -j{jobs}` of {files} C files");
        Group {
            title,
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(3, 7),
            warm: true,
        }
    }

    /// The source package of GNU hello, in a new directory `name`, where `unpack` is run once apt
    /// has downloaded it.
    fn hello(&self, name: &str, unpack: &str) -> Option<String> {
        let mirror = Mirror::find()
            .map_err(|reason| println!("Left out: {name}: {reason}"))
            .ok()?;
        let dir = text(&self.places.tmpfs.path().join(name));
        let sources: Vec<String> = mirror
            .lines
            .iter()
            .map(|line| line.replacen("deb ", "deb-src ", 1))
            .collect();
        let settings: Vec<String> = mirror
            .settings
            .iter()
            .map(|setting| format!("{setting};"))
            .collect();
        self.places.prepare(&format!(
            "mkdir -p {dir}/lists/partial {dir}/cache/archives/partial"
        ));
        for (name, contents) in [("sources.list", sources), ("apt.conf", settings)] {
            fs::write(format!("{dir}/{name}"), contents.join("\n") + "\n")
                .expect("apt's configuration");
        }
        let options = format!(
            "-c {dir}/apt.conf -o Dir::Etc::SourceList={dir}/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists={dir}/lists -o Dir::Cache={dir}/cache"
        );
        let script = format!(
            "cd {dir} && apt-get -qq {options} update && apt-get -qq {options} source --download-only hello && {unpack}"
        );
        if let Err(error) = output(user("sh").args(["-ec", &script])) {
            println!("Left out: {name}, because apt does not bring the source of hello: {error}");
            return None;
        }
        Some(dir)
    }

    /// `dpkg-buildpackage` of Debian's hello. apt downloads the source.
    pub fn package(&self) -> Option<Group> {
        if program("dh").is_none() {
            println!("Left out: package: there is no debhelper.");
            return None;
        }
        let unpack = "dpkg-source -x hello_*.dsc source && mkdir build-user build-root && chmod 777 build-root";
        let dir = self.hello("package", unpack)?;
        let mut cases = Vec::new();
        for peer in &self.peers {
            let build = format!("{dir}/build-{}", if peer.root { "root" } else { "user" });
            // Whether a launcher is needed is for the package to say; all run under theirs whole.
            let script = format!("cd {build}/hello && dpkg-buildpackage -b -d -us -uc 2>/dev/null");
            cases.push(Case {
                root: peer.root,
                before: Some(format!(
                    "rm -rf {build}/* && cp -r {dir}/source {build}/hello"
                )),
                once: peer.name == "PRoot -0",
                ..Case::new(peer.name, peer.launch(&["sh", "-c", &script]))
            });
        }
        Some(Group {
            title: "`dpkg-buildpackage` of Debian's hello".into(),
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(1, 3),
            warm: false,
        })
    }

    /// `./configure` of GNU hello. apt downloads the source.
    pub fn configure(&self) -> Option<Group> {
        let unpack = "mkdir source && tar xf $(ls hello_*.orig.tar.* | grep -v asc$) -C source --strip-components=1";
        let dir = self.hello("configure", unpack)?;
        let mut cases = Vec::new();
        for peer in &self.peers {
            let build = format!("{dir}/build-{}", if peer.root { "root" } else { "user" });
            let command = peer.launch(&[
                "sh",
                "-c",
                &format!("cd {build} && ../source/configure FORCE_UNSAFE_CONFIGURE=1"),
            ]);
            let before = Some(format!("rm -rf {build} && mkdir {build}"));
            cases.push(Case {
                root: peer.root,
                before,
                once: peer.name == "PRoot -0",
                ..Case::new(peer.name, command)
            });
        }
        let title = "`./configure` of GNU hello".into();
        Some(Group {
            title,
            columns: TIMES.to_vec(),
            source: Source::Times,
            cases,
            rounds: self.rounds(1, 3),
            warm: false,
        })
    }
}

/// The directory below /usr/include that has the headers of this machine's architecture.
fn multiarch() -> String {
    let said = Command::new("cc")
        .arg("-print-multiarch")
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

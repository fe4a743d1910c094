//! The scripts of examples/, as they stand there, each beside itself with something else in the
//! place of zroot: apparent root without any pretence.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::builders::{Base, CH_IMAGE, CH_NEEDS, Studio, runs_crun};
use crate::common::{PATH, executable, is_root, program, run, user, zroot};
use crate::debian::Root;
use crate::suite::{Column, Expect, Suite, skip};

const PART: &str = "examples";

/// A script of examples/, and what shows that it works. The shell script `run` starts in a directory
/// with a copy of it, and of what is beside it. It finds `$BASE`, an image as builders name it, some
/// of whose files are another's, `$ARCHIVE`, a Debian tree as a tarball, and `$TREE`, one.
struct Example {
    /// Below examples/.
    script: &'static str,
    /// What of it, where it is tested more than once.
    of: &'static str,
    /// The level that it asks for.
    level: Column,
    /// Programs that the machine must have.
    needs: &'static [&'static str],
    /// Whether the user has an entry in /etc/passwd.
    has_entry: bool,
    run: &'static str,
    /// Run after it, says `says`.
    look: &'static str,
    says: &'static str,
    /// What is said without zroot.
    refused: &'static str,
    /// What real root has, if it can run this as well.
    really: Option<&'static str>,
}

const PLAIN: Example = Example {
    script: "",
    of: "",
    level: Column::Zero,
    needs: &[],
    has_entry: false,
    run: "",
    look: "",
    says: "",
    refused: "",
    really: None,
};

/// With an entry in /etc/passwd, without which rootless builders do not start.
const BUILDER: Example = Example {
    needs: &["buildah", "podman", "crun", "umoci"],
    has_entry: true,
    look: "layers out",
    says: ROOTS,
    refused: INSTALL,
    ..PLAIN
};

/// What the layers of an image have that was built by examples/builders/Dockerfile.
const ROOTS: &str =
    "-rwsr-sr-x 0/0 usr/bin/at\ndrwxr-s--- 0/0 srv/queue/\ndrwxr-xr-x 0/0 home/alice/";
const OWNERS: &str =
    "-rwsr-sr-x 1/1 usr/bin/at\ndrwxr-s--- 1/8 srv/queue/\ndrwxr-xr-x 1000/1000 home/alice/";

/// What apt says first where nothing is pretended.
const INSTALL: &str = "setgroups";
/// What buildah says before it starts a step (the base is in its storage already).
const GROUPS: &str = "error setting supplemental groups list: operation not permitted";

const EXAMPLES: &[Example] = &[
    Example {
        script: "builders/steps.sh",
        of: "buildah, SHELL",
        run: r"./steps.sh buildah Dockerfile.shell built --build-arg BASE=$BASE
            buildah --storage-driver overlay push -q built oci:out:built",
        really: Some(OWNERS),
        ..BUILDER
    },
    Example {
        script: "builders/steps.sh",
        of: "buildah, RUN zroot",
        run: r"./steps.sh buildah Dockerfile.run built --build-arg BASE=$BASE
            buildah --storage-driver overlay push -q built oci:out:built",
        ..BUILDER
    },
    Example {
        script: "builders/steps.sh",
        of: "podman, SHELL",
        run: r"./steps.sh podman Dockerfile.shell built --layers=false --build-arg BASE=$BASE
            podman --storage-driver overlay push -q built oci:out:built",
        ..BUILDER
    },
    Example {
        script: "builders/around-buildah.sh",
        has_entry: false,
        level: Column::Selective,
        run: r"./around-buildah.sh s built --build-arg BASE=$BASE
            zroot -- unshare -m buildah --root $PWD/s --runroot $PWD/s/run push -q localhost/built oci:out:built",
        refused: GROUPS,
        ..BUILDER
    },
    Example {
        script: "builders/owners-buildah.sh",
        has_entry: false,
        level: Column::Full,
        run: r"./owners-buildah.sh s built --build-arg BASE=$BASE
            zroot -- unshare -m buildah --storage-driver vfs --root $PWD/s --runroot $PWD/s/run push -q localhost/built oci:out:built",
        says: OWNERS,
        refused: GROUPS,
        ..BUILDER
    },
    Example {
        script: "builders/around-podman.sh",
        has_entry: false,
        level: Column::Selective,
        run: r"./around-podman.sh $HOME/s built --layers=false --build-arg BASE=$BASE
            zroot -- unshare -m podman --root $HOME/s --runroot $HOME/s/run --tmpdir $HOME/s/tmp push -q localhost/built oci:out:built",
        refused: GROUPS,
        ..BUILDER
    },
    Example {
        script: "builders/around-podman-home.sh",
        level: Column::Selective,
        run: r"./around-podman-home.sh built --layers=false --build-arg BASE=$BASE
            podman push -q built oci:out:built",
        refused: GROUPS,
        ..BUILDER
    },
    Example {
        script: "builders/seccomp.sh",
        of: "buildah",
        run: r"./seccomp.sh buildah built --build-arg BASE=$BASE
            buildah --storage-driver overlay push -q built oci:out:built",
        refused: "error setting ownership of './etc/at.deny': Invalid argument",
        ..BUILDER
    },
    Example {
        script: "builders/seccomp.sh",
        of: "podman",
        run: r"./seccomp.sh podman built --layers=false --build-arg BASE=$BASE
            podman --storage-driver overlay push -q built oci:out:built",
        refused: "error setting ownership of './etc/at.deny': Invalid argument",
        ..BUILDER
    },
    Example {
        script: "builders/ch-image.sh",
        needs: CH_NEEDS,
        has_entry: true,
        run: r"BASE=$ARCHIVE; has_ch_image; ./ch-image.sh Dockerfile.shell built --build-arg BASE=base
            ./ch-image.sh Dockerfile.run again --build-arg BASE=base",
        look: r"for image in built again; do ch-run $image -- stat -c '%A %n' /usr/bin/at /srv/queue /home/alice; done",
        says: "-rwsr-sr-x /usr/bin/at\ndrwxr-s--- /srv/queue\ndrwxr-xr-x /home/alice\n-rwsr-sr-x /usr/bin/at\ndrwxr-s--- /srv/queue\ndrwxr-xr-x /home/alice",
        refused: INSTALL,
        ..PLAIN
    },
    Example {
        script: "dpkg-buildpackage.sh",
        level: Column::Full,
        needs: &["dpkg-buildpackage", "dh_fixperms"],
        run: r"mkdir -p package/debian/source; cd package
            printf '%s\n' 'Source: package' 'Maintainer: m <m@m>' 'Rules-Requires-Root: binary-targets' \
                'Build-Depends: debhelper-compat (= 13)' '' 'Package: package' 'Architecture: all' 'Description: p' >debian/control
            printf '%s\n' 'package (1) unstable; urgency=low' '' '  * 1' '' ' -- m <m@m>  Thu, 01 Jan 2015 00:00:00 +0000' >debian/changelog
            echo '3.0 (native)' >debian/source/format
            printf '#!/usr/bin/make -f\n%%:\n\tdh $@\noverride_dh_fixperms:\n\tinstall -d -o daemon -g mail -m 2770 debian/package/var/spool/p\n' >debian/rules
            chmod 755 debian/rules
            ../dpkg-buildpackage.sh; mv ../package_1_all.deb ../one.deb; ../dpkg-buildpackage.sh -r'zroot -c full'",
        look: r"for deb in one package_1_all; do dpkg -c ../$deb.deb | grep -o '^.*spool/p/$' | tr -s ' ' | cut -d ' ' -f 1,2,6; done",
        says: "drwxrws--- daemon/mail ./var/spool/p/\ndrwxrws--- daemon/mail ./var/spool/p/",
        refused: "install: cannot change owner and permissions of 'debian/package/var/spool/p'",
        ..PLAIN
    },
    // zroot is not installed at /usr/bin here.
    Example {
        script: "install.sh",
        run: r#"sed "1s|/usr/bin/zroot|$(command -v zroot)|" install.sh >here.sh; chmod 755 here.sh
            ./here.sh prefix"#,
        look: "stat -c '%a %n' prefix/bin/tool prefix/share/spool",
        says: "4755 prefix/bin/tool\n750 prefix/share/spool",
        refused: "install: cannot change owner",
        ..PLAIN
    },
    Example {
        script: "ci-runner.sh",
        run: r#"proof() { "$@" ./ci-runner.sh sh -ec 'touch file; chown daemon:mail file; id -u' >>log 2>&1 || { cat log; exit 1; }; }
            proof env; proof without_namespaces"#,
        look: "cat log; grep -c 'NO  user namespace' zroot-check.txt",
        says: "ci-runner.sh: --userns=auto\n0\nci-runner.sh: --userns=never\n0\n1",
        refused: "changing ownership of 'file': Invalid argument",
        ..PLAIN
    },
    // The file system keeps no attributes, as that of some homes.
    Example {
        script: "login-node.sh",
        needs: &["mksquashfs", "unshare"],
        run: r#"mkdir -p scratch; unshare -rm sh -ec 'mount -t ramfs none scratch; exec ./login-node.sh "$@"' sh scratch $ARCHIVE image.squashfs at >log 2>&1 || { cat log; exit 1; }"#,
        look: r"grep -c 'NO  user attributes' log; unsquashfs -lln image.squashfs | tr -s ' ' | grep -o '.*usr/bin/at$' | cut -d ' ' -f 1,2,6",
        says: "1\n-rwsr-sr-x 0/0 squashfs-root/usr/bin/at",
        refused: INSTALL,
        ..PLAIN
    },
    Example {
        script: "slurm-job.sh",
        needs: &["mksquashfs", "bwrap"],
        run: r"[ -e base.squashfs ] || zroot mksquashfs $TREE base.squashfs -noappend -quiet -no-progress -comp lz4
            ./slurm-job.sh base.squashfs at sh -c 'id -u; ls base.squashfs; stat -c %A /usr/bin/at' >log",
        look: r#"tail -n 3 log | sed "s/^$(id -u)$/the user/""#,
        says: "the user\nbase.squashfs\n-rwsr-sr-x",
        refused: INSTALL,
        ..PLAIN
    },
    Example {
        script: "no-namespaces.sh",
        needs: &["proot"],
        run: r"cp --remove-destination $(command -v zroot) $TREE/usr/bin/zroot
            without_namespaces ./no-namespaces.sh $TREE apt-get install -y --reinstall --no-install-recommends at",
        // PRoot by itself is not enough.
        look: r"stat -c %A $TREE/usr/bin/at; unset TMPDIR
            without_namespaces proot -0 -r $TREE -b /proc -b /dev -w / apt-get install -y --reinstall at >alone 2>&1 ||
                grep -o 'error setting ownership of' alone || cat alone",
        says: "-rwsr-sr-x\nerror setting ownership of",
        refused: "requested operation requires superuser privilege",
        ..PLAIN
    },
    Example {
        script: "nested.sh",
        needs: &["bwrap", "proot", "fakeroot"],
        run: r"cp --remove-destination $(command -v zroot) $TREE/usr/bin/zroot
            ./nested.sh $TREE sh -ec 'cd /tmp; touch file; chown daemon:mail file; su -s /bin/sh daemon -c true; rm file; id -u' >log",
        look: r"tr '\n' ' ' <log",
        says: "0 0 0 0 0 0",
        refused: "changing ownership of 'file': Invalid argument",
        ..PLAIN
    },
];

/// What runs the scripts of examples/images, by their names.
const IMAGES: &str = include_str!("../it/state/images.rs");

/// In the place of zroot: apparent root, and nothing that is pretended.
const STAND_IN: &str = r#"#!/bin/sh
root= user=
while :; do
    case $1 in
        -S*) words=${1#-S}; shift; set -- $words "$@";;
        --dump-filter=oci) echo '{"defaultAction": "SCMP_ACT_ALLOW"}'; exit;;
        --check) exit;;
        --root) root=$2; shift 2;;
        --userns=never) user=1; shift;;
        -c) shift 2;;
        --) shift; break;;
        -*) shift;;
        *) break;;
    esac
done
[ -z "$root" ] || set -- chroot "$root" "$@"
[ "$user" ] || [ "$(id -u)" = 0 ] || set -- unshare -r -- "$@"
exec "$@"
"#;

/// What the scripts find besides.
const PROLOGUE: &str = r#"[ "$(id -u)" = 0 ] || unset CONTAINERS_STORAGE_CONF # as users have it; real root has a storage of its own
layers() {
    for layer in $1/blobs/sha256/*; do tar --numeric-owner -tvzf $layer 2>/dev/null || :; done | tr -s ' ' |
        cut -d ' ' -f 1,2,6 | grep -E ' (srv/queue/|usr/bin/at|home/alice/)$' | sort -u
}
without_namespaces() {
    unshare -r sh -c 'echo 1 >/proc/sys/user/max_user_namespaces; exec unshare --user --map-user=1000 --map-group=1000 "$@"' sh "$@"
}
"#;

/// An image with a layer of another's.
const IMAGE: &str = r#"umoci init --layout image; umoci new --image image:base; mkdir -p l/srv/others; echo text >l/srv/others/text
    tar --owner=1 --group=8 -C l -cf l.tar srv; umoci raw add-layer --image image:base "$0"; umoci raw add-layer --image image:base l.tar"#;

pub fn run_all(suite: &Suite) {
    if !suite.wants_part(PART) {
        return;
    }
    suite.case(PART, "each is run", Column::Zero, Expect::Pass, all_are_run);
    suite.case(
        PART,
        "docs/recipes.md",
        Column::Zero,
        Expect::Pass,
        commands_are_those_of_the_scripts,
    );
    let base = OnceLock::new();
    let base = || {
        base.get_or_init(base_with_image)
            .as_ref()
            .map_err(Clone::clone)
    };
    let next = AtomicUsize::new(0);
    // Two at a time, each with a studio of its own.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let studio = Studio::new(Column::Zero);
                while let Some(example) = EXAMPLES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    example.cases(suite, &studio, &base);
                }
            });
        }
    });
}

/// A tree, and the image that is made of it.
fn base_with_image() -> Result<Base, String> {
    let base = Base::new().ok_or_else(|| skip("there is no Debian tree"))?;
    if program("umoci").is_none() {
        return Err(skip("there is no umoci"));
    }
    run(user("sh")
        .args(["-ec", IMAGE])
        .arg(base.file("base.tar"))
        .current_dir(base.file("")))
    .succeeds();
    Ok(base)
}

impl Example {
    fn name(&self) -> String {
        let of = if self.of.is_empty() { "" } else { ": " };
        [self.script, of, self.of].concat()
    }

    /// With zroot, and then in the same place with the stand-in; as real root if that can be.
    fn cases<'a>(
        &self,
        suite: &Suite,
        studio: &Studio,
        base: &dyn Fn() -> Result<&'a Base, String>,
    ) {
        let name = self.name();
        let stage = OnceCell::new();
        let stage = || {
            stage
                .get_or_init(|| Stage::new(self, studio, base()?))
                .as_ref()
                .map_err(Clone::clone)
        };
        suite.case(PART, &name, self.level, Expect::Pass, || {
            stage()?.run(zroot(), self.says)
        });
        let without = Expect::Fail {
            saying: self.refused,
            cause: "nothing is pretended",
        };
        suite.case(PART, &name, Column::Without, without, || {
            let stage = stage()?;
            let stand_in = stage.place.join("stand-in");
            executable(&stand_in, STAND_IN);
            stage.run(&stand_in, self.says)
        });
        if let Some(says) = self.really.filter(|_| is_root()) {
            suite.case(PART, &name, Column::RealRoot, Expect::Pass, || {
                let studio = Studio::new(Column::RealRoot);
                Stage::new(self, &studio, base()?)?.run(zroot(), says)
            });
        }
    }
}

/// Where an example runs.
struct Stage<'a> {
    example: &'a Example,
    studio: &'a Studio,
    base: &'a Base,
    place: PathBuf,
    tree: Option<Root>,
}

impl<'a> Stage<'a> {
    fn new(example: &'a Example, studio: &'a Studio, base: &'a Base) -> Result<Stage<'a>, String> {
        if let Some(missing) = example.needs.iter().find(|name| program(name).is_none()) {
            return Err(skip(&format!("there is no {missing}")));
        }
        let name = example.name();
        let place = studio.own_dir(&name.replace(|c: char| !c.is_alphanumeric(), "_"));
        // What is beside the script comes with it. The user may not be able to read the source.
        let script = top().join(example.script);
        for entry in fs::read_dir(script.parent().expect("a folder")).expect("examples") {
            let from = entry.expect("an entry").path();
            if from.is_file() {
                let contents = fs::read(&from).expect("an example");
                executable(&place.join(from.file_name().expect("a name")), contents);
            }
        }
        let needs_tree = example.run.contains("$TREE");
        Ok(Stage {
            example,
            studio,
            base,
            place,
            tree: needs_tree.then(|| base.tree.again()),
        })
    }

    /// Runs the example with the program `zroot` by that name.
    fn run(&self, zroot: &Path, says: &str) -> Result<(), String> {
        let bin = self.place.join("bin");
        let script = format!(
            "{PROLOGUE}{CH_IMAGE}\nBASE=oci:image:base; ln -sfT $IMAGE image; mkdir -p bin; ln -sf {} bin/zroot\n{{ {}\n}} >&2\n{}",
            zroot.display(),
            self.example.run,
            self.example.look
        );
        let mut command = self.studio.shell(&script, self.example.has_entry);
        command
            .current_dir(&self.place)
            .env("PATH", format!("{}:{PATH}", bin.display()))
            .env("IMAGE", self.base.file("image"))
            .env("ARCHIVE", self.base.file("base.tar"));
        if let Some(tree) = &self.tree {
            command.env("TREE", tree.path());
        }
        let ran = run(&mut command);
        runs_crun(&ran)?;
        if ran.status == 0 && ran.stdout.trim_end() == says {
            Ok(())
        } else {
            Err(format!("{ran:#?}"))
        }
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The scripts of examples/.
fn scripts() -> BTreeSet<String> {
    let mut scripts = BTreeSet::new();
    let mut folders = vec![top()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("examples") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "sh") {
                let name = path.strip_prefix(top()).expect("below").to_str();
                scripts.insert(name.expect("UTF-8").to_owned());
            }
        }
    }
    scripts
}

/// Whether each script is run.
fn all_are_run() -> Result<(), String> {
    let is_run = |script: &String| match script.strip_prefix("images/") {
        Some(name) => IMAGES.contains(&format!("\"{name}\",")),
        None => EXAMPLES.iter().any(|example| example.script == script),
    };
    let mut scripts = scripts();
    scripts.retain(|script| !is_run(script));
    if scripts.is_empty() {
        Ok(())
    } else {
        Err(format!("no test runs {scripts:?} of examples/"))
    }
}

/// Whether docs/recipes.md names each script, and every block of it that says it is a script's
/// (`not-run=it-is-in-examples/SCRIPT`) is.
fn commands_are_those_of_the_scripts() -> Result<(), String> {
    let page = fs::read_to_string(top().join("../docs/recipes.md")).expect("docs/recipes.md");
    let mut wrong = String::new();
    for script in scripts() {
        if !page.contains(&format!("(../examples/{script})")) {
            let _ = writeln!(wrong, "there is no link to {script}");
        }
    }
    let mut count = 0;
    for block in page.split("\n```").filter(|block| block.contains(IS_IN)) {
        let (info, commands) = block.split_once('\n').expect("a first line");
        let name = info.split(IS_IN).nth(1).expect("a name").trim();
        let script = fs::read_to_string(top().join(name)).unwrap_or_default();
        for line in commands.lines() {
            if !script.lines().any(|one| one.trim() == line.trim()) {
                let _ = writeln!(wrong, "examples/{name} has no line '{line}'");
            }
        }
        count += 1;
    }
    if wrong.is_empty() && count > 5 {
        Ok(())
    } else {
        Err(format!("{count} blocks; {wrong}"))
    }
}

/// Behind the language of a block.
const IS_IN: &str = "not-run=it-is-in-examples/";

//! Builders of images, and other programs that make a root directory or go into one: zroot in their
//! steps, and around them.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{PATH, Ran, control, dir, give, is_root, program, run, uid, user, zroot};
use crate::debian::{Mirror, Root};
use crate::suite::{Column, Expect, Suite, skip};

const PART: &str = "builders";

/// A script, in an empty directory, and another that looks at what came of it and prints `says`.
/// Both find in their environment
///
/// - `IN`, `JSON`: the launcher inside of an image, as words and as the `SHELL` of a Containerfile;
///   without zroot nothing and a shell;
/// - `OUT`, `ROOT`: the launcher outside, and the one that takes a root directory; without zroot
///   `unshare -r`, and that with chroot;
/// - `OWNERS`, `ACCOUNTS`, `PACKAGES`, and as `STEPS` all three: what an image's steps do; `PROOF`:
///   what shows it, inside;
/// - `BUILD`, and the function `built`: buildah's build, and what runs a command in the image
///   `localhost/built`;
/// - `TREE`: a Debian tree; `BASE`: the same as an archive, which is `localhost/base` in buildah's
///   storage;
/// - `ZROOT`: its path; `MIRROR`, `RELEASE`, `SOURCES`, `SETTINGS`: the mirror's address, release,
///   sources.list and apt.conf.
struct Case {
    name: &'static str,
    /// Runs without --full as well.
    sample: bool,
    columns: &'static [Column],
    /// Programs that the machine must have.
    needs: &'static [&'static str],
    script: &'static str,
    look: &'static str,
    says: &'static str,
    /// What is said without zroot; `None` where it is not needed.
    refused: Option<&'static str>,
    /// What is said at a level that does not do, and why.
    zero: Option<(&'static str, &'static str)>,
    selective: Option<(&'static str, &'static str)>,
    full: Option<(&'static str, &'static str)>,
}

const OWNERS: &str = "install -d -o daemon -g mail -m 2750 /srv/queue && touch /srv/queue/job && chown -R daemon:mail /srv/queue && \
    install -o daemon -g mail -m 4711 /bin/true /srv/tool";
const ACCOUNTS: &str = "useradd -m -u 1234 alice && su alice -c true";
const PACKAGES: &str = "apt-get install -y --no-install-recommends at";

/// Who looks at what each has made finds, in the same run, if owners are remembered. By find(1),
/// since PRoot hands on the paths of statx(2) as they are.
const LOOKED: [&str; 3] = [
    " && test $(find /srv/queue /srv/tool -printf %u:%g:%m,) = daemon:mail:2750,daemon:mail:644,daemon:mail:4711,",
    " && test $(find /home/alice/.profile -printf %u:%g) = alice:alice",
    " && test $(find /usr/bin/at -printf %u:%g:%m) = daemon:daemon:6755",
];

const PROOF: &str =
    "dpkg --audit; stat -c '%a %U:%G %n' /srv/queue /srv/tool /home/alice /usr/bin/at";
const SAYS: &str = "2750 root:root /srv/queue\n4711 root:root /srv/tool\n755 root:root /home/alice\n6755 root:root /usr/bin/at";
/// For real root, who needs no emulation.
const REALLY: &str = "2750 daemon:mail /srv/queue\n4711 daemon:mail /srv/tool\n755 alice:alice /home/alice\n6755 daemon:daemon /usr/bin/at";

/// buildah's own call before a step, and why it fails.
const GROUPS: &str = "error setting supplemental groups list: operation not permitted";
const GROUPS_DENIED: &str = "buildah itself sets groups before a step, which a namespace of one id forbids, unless zroot is around it";

const USERS: &[Column] = &[
    Column::Without,
    Column::Zero,
    Column::Selective,
    Column::Full,
];

const PLAIN: Case = Case {
    name: "",
    sample: false,
    columns: USERS,
    needs: &[],
    script: "",
    look: IN_TREE,
    says: SAYS,
    refused: Some("cannot change owner and permissions of '/srv/queue'"),
    zero: None,
    selective: None,
    full: None,
};

const BUILT: &str = r#"built() { buildah run --network host $(buildah from --network host localhost/built) -- "$@"; }"#;

/// Looks into the tree.
const IN_TREE: &str = r#"unshare -r chroot "$TREE" sh -ec "$PROOF""#;
/// Looks into an image of buildah's storage.
const IN_IMAGE: &str = r#"built sh -ec "$PROOF""#;

const BUILDAH: Case = Case {
    columns: &Column::ALL,
    needs: &["buildah", "crun"],
    look: IN_IMAGE,
    ..PLAIN
};

const CASES: &[Case] = &[
    Case {
        name: "buildah, SHELL",
        script: r#"printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $BUILD -t localhost/built ."#,
        ..BUILDAH
    },
    Case {
        name: "buildah, RUN zroot, owners",
        script: r#"printf '%s\n' 'FROM localhost/base' "RUN $IN sh -ec '$OWNERS'" >Containerfile
            $BUILD -t localhost/built ."#,
        look: r"built stat -c '%a %n' /srv/queue /srv/tool",
        says: "2750 /srv/queue\n4711 /srv/tool",
        ..BUILDAH
    },
    Case {
        name: "buildah, RUN zroot, accounts",
        script: r#"printf '%s\n' 'FROM localhost/base' "RUN $IN sh -ec '$ACCOUNTS'" >Containerfile
            $BUILD -t localhost/built ."#,
        look: r"built sh -c 'id -u alice; ls /home'",
        says: "1234\nalice",
        refused: Some("su: cannot set groups: Operation not permitted"),
        ..BUILDAH
    },
    Case {
        name: "buildah, RUN zroot, packages",
        script: r#"printf '%s\n' 'FROM localhost/base' "RUN $IN sh -ec '$PACKAGES'" >Containerfile
            $BUILD -t localhost/built ."#,
        look: r"built sh -c 'dpkg --audit; stat -c %a /usr/bin/at'",
        says: "6755",
        refused: Some("setgroups"),
        ..BUILDAH
    },
    Case {
        name: "buildah, seccomp=unconfined",
        script: r#"printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $BUILD --security-opt seccomp=unconfined -t localhost/built ."#,
        columns: USERS,
        selective: None,
        ..BUILDAH
    },
    Case {
        name: "buildah, vfs",
        script: r#"export STORAGE_DRIVER=vfs CONTAINERS_STORAGE_CONF=$PWD/storage.conf
            printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/vfs"\nrunroot = "%s/run"\nrootless_storage_path = "%s/vfs"\n' \
                $PWD $PWD $PWD >storage.conf
            c=$(buildah from scratch); buildah add -q $c $BASE /; buildah commit -q $c localhost/base; buildah rm $c
            printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $BUILD -t localhost/built ."#,
        columns: USERS,
        ..BUILDAH
    },
    Case {
        name: "buildah, chroot isolation",
        script: r#"printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $BUILD --isolation chroot -t localhost/built ."#,
        columns: USERS,
        refused: Some(GROUPS),
        zero: Some((GROUPS, GROUPS_DENIED)),
        selective: Some((GROUPS, GROUPS_DENIED)),
        full: Some((GROUPS, GROUPS_DENIED)),
        ..BUILDAH
    },
    Case {
        name: "buildah in zroot, chroot isolation",
        script: r#"printf '%s\n' 'FROM localhost/base' "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $OUT unshare -m $BUILD --isolation chroot -t localhost/built ."#,
        columns: USERS,
        refused: Some(GROUPS),
        zero: Some((
            "Could not switch group",
            "buildah empties the environment of a step, so that apt is without zroot's configuration",
        )),
        selective: None,
        ..BUILDAH
    },
    Case {
        name: "buildah in zroot, zroot in its steps",
        script: r#"printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            $OUT unshare -m $BUILD --isolation chroot -t localhost/built ."#,
        columns: USERS,
        refused: Some(GROUPS),
        ..BUILDAH
    },
    // A layer with other owners.
    Case {
        name: "buildah, ignore_chown_errors",
        needs: &["buildah", "crun", "umoci"],
        script: r#"umoci init --layout oci; umoci new --image oci:others; mkdir -p l/srv; echo text >l/srv/text
            tar --owner=1 --group=8 -cf l.tar -C l srv; umoci raw add-layer --image oci:others $BASE; umoci raw add-layer --image oci:others l.tar
            if buildah pull oci:oci:others 2>log; then exit 1; fi; grep 'lchown /srv: invalid argument' log
            printf '%s\n' "FROM oci:oci:others" "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            buildah --storage-opt overlay.ignore_chown_errors=true ${BUILD#buildah} -t localhost/built ."#,
        columns: USERS,
        ..BUILDAH
    },
    Case {
        name: "buildah pull in zroot",
        needs: &["buildah", "umoci"],
        script: r"umoci init --layout oci; umoci new --image oci:others; mkdir -p l/srv; echo text >l/srv/text
            tar --owner=1 --group=8 -C l -cf l.tar srv; umoci raw add-layer --image oci:others l.tar
            $OUT buildah --storage-driver vfs --root $PWD/vfs --runroot $PWD/run pull oci:oci:others",
        look: "cat vfs/vfs/dir/*/srv/text",
        says: "text",
        refused: Some("lchown /srv: invalid argument"),
        columns: USERS,
        selective: None,
        ..BUILDAH
    },
    Case {
        name: "podman build, SHELL",
        needs: &["podman", "buildah"],
        script: r#"printf '%s\n' 'FROM localhost/base' "SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES" >Containerfile
            podman ${BUILD#buildah} --isolation $BUILDAH_ISOLATION -t localhost/built ."#,
        ..BUILDAH
    },
    Case {
        name: "podman build, RUN zroot",
        needs: &["podman", "buildah"],
        script: r#"printf '%s\n' 'FROM localhost/base' "RUN $IN sh -ec '$STEPS'" >Containerfile
            podman ${BUILD#buildah} --isolation $BUILDAH_ISOLATION -t localhost/built ."#,
        ..BUILDAH
    },
    Case {
        name: "podman run",
        needs: &["podman", "crun", "buildah"],
        script: r#"podman run --cgroups disabled --network host --name built localhost/base $IN sh -ec "$STEPS"
            podman commit -q built localhost/built"#,
        columns: USERS,
        ..BUILDAH
    },
    Case {
        name: "podman run, seccomp=unconfined",
        needs: &["podman", "crun", "buildah"],
        script: r#"podman run --security-opt seccomp=unconfined --cgroups disabled --network host --name open localhost/base $IN sh -ec "$STEPS"
            podman commit -q open localhost/built"#,
        columns: USERS,
        selective: None,
        ..BUILDAH
    },
    Case {
        name: "ch-image, SHELL",
        script: CH_SHELL,
        look: CH_LOOK,
        needs: CH_NEEDS,
        ..PLAIN
    },
    Case {
        name: "ch-image, RUN zroot",
        script: CH_RUN,
        look: CH_LOOK,
        needs: CH_NEEDS,
        ..PLAIN
    },
    Case {
        name: "ch-run",
        needs: &["ch-run"],
        script: r#"ch-run -w --no-passwd -u 0 -g 0 "$TREE" -- $IN sh -ec "$STEPS""#,
        ..PLAIN
    },
    Case {
        name: "bwrap",
        sample: true,
        needs: &["bwrap"],
        script: r#"bwrap --unshare-user --uid 0 --gid 0 --cap-add ALL --bind "$TREE" / --dev /dev --proc /proc $IN sh -ec "$STEPS""#,
        ..PLAIN
    },
    Case {
        name: "bwrap in zroot",
        needs: &["bwrap"],
        script: r#"$OUT bwrap --bind "$TREE" / --dev /dev --proc /proc sh -ec "$STEPS""#,
        ..PLAIN
    },
    Case {
        name: "bwrap --seccomp",
        needs: &["bwrap"],
        columns: &[Column::Without, Column::Zero],
        script: r#"echo 'APT::Sandbox::User "root";' >"$TREE/etc/apt/apt.conf.d/sandbox"
            $ZROOT --dump-filter=raw >filter; test "$IN" || : >filter
            bwrap ${IN:+--seccomp 9} --unshare-user --uid 0 --gid 0 --cap-add ALL --bind "$TREE" / --dev /dev --proc /proc \
                sh -ec "$STEPS" 9<filter"#,
        ..PLAIN
    },
    Case {
        name: "crun",
        needs: &["crun"],
        script: r#"bind() { echo "{\"destination\": \"$1\", \"type\": \"bind\", \"source\": \"$1\", \"options\": [\"rbind\"]}"; }
            caps='["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT"]'
            echo "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"$TREE\"}, \"mounts\": [$(bind /proc), $(bind /dev)],
                \"process\": {\"user\": {\"uid\": 0, \"gid\": 0}, \"cwd\": \"/\", \"env\": [\"PATH=$PATH\", \"DEBIAN_FRONTEND=noninteractive\"],
                    \"capabilities\": {\"bounding\": $caps, \"effective\": $caps, \"permitted\": $caps}, \"args\": [$JSON, \"$STEPS\"]},
                \"linux\": {\"namespaces\": [{\"type\": \"mount\"}]}}" >config.json
            unshare -rm sh -c 'mount -t tmpfs none /sys/fs/cgroup && exec crun --root "$0/run" --cgroup-manager=disabled run -b "$0" test' $PWD"#,
        ..PLAIN
    },
    Case {
        name: "umoci",
        needs: &["umoci"],
        script: r#"umoci init --layout oci; umoci new --image oci:base; umoci raw add-layer --image oci:base $BASE
            umoci unpack --rootless --image oci:base bundle; cp /etc/resolv.conf bundle/rootfs/etc
            $ROOT bundle/rootfs sh -ec "$STEPS"
            umoci repack --image oci:built bundle; umoci unpack --rootless --image oci:built again"#,
        look: r#"unshare -r chroot again/rootfs sh -ec "$PROOF""#,
        ..PLAIN
    },
    Case {
        name: "umoci unpack in zroot",
        needs: &["umoci"],
        script: r"umoci init --layout oci; umoci new --image oci:others; mkdir -p l/srv; echo text >l/srv/text; chmod 2750 l/srv
            tar --owner=1 --group=8 -C l -cf l.tar srv; umoci raw add-layer --image oci:others l.tar
            $OUT umoci unpack --image oci:others bundle",
        look: "stat -c %a bundle/rootfs/srv; cat bundle/rootfs/srv/text",
        says: "2750\ntext",
        refused: Some("lchown"),
        ..PLAIN
    },
    // Other emulators.
    Case {
        name: "zroot in proot",
        needs: &["proot"],
        script: r#"proot -r "$TREE" -b /proc -b /dev -w / $IN sh -ec "$STEPS""#, // PRoot's root is known to PRoot only.
        selective: Some((
            "a tracer around this process rewrites paths",
            "PRoot rewrites the paths of calls, so that zroot starts no supervisor there, and says so",
        )),
        full: Some((
            "a tracer around this process rewrites paths",
            "PRoot rewrites the paths of calls, so that zroot starts no supervisor there, and says so",
        )),
        ..PLAIN
    },
    Case {
        name: "proot in zroot",
        needs: &["proot"],
        script: r#"$OUT proot -r "$TREE" -b /proc -b /dev -w / sh -ec "$STEPS""#,
        ..PLAIN
    },
    Case {
        name: "fakechroot in zroot",
        needs: &["fakechroot"],
        script: r#"$OUT fakechroot chroot "$TREE" sh -ec "$STEPS""#,
        ..PLAIN
    },
    Case {
        name: "zroot in fakeroot",
        needs: &["fakeroot"],
        script: r#"if [ "$IN" ]; then fakeroot -- $ROOT "$TREE" sh -ec "$STEPS"; else unshare -r fakeroot -- chroot "$TREE" sh -ec "$STEPS"; fi"#,
        ..PLAIN
    },
    // mmdebstrap's modes.
    Case {
        name: "mmdebstrap --mode=root",
        script: r#"$OUT mmdebstrap --mode=root --skip=chroot/mount --variant=apt --aptopt="$SETTINGS" "$RELEASE" tree "$SOURCES""#,
        ..MMDEBSTRAP
    },
    Case {
        name: "mmdebstrap --mode=unshare",
        script: r#"$OUT mmdebstrap --mode=unshare --variant=apt --aptopt="$SETTINGS" "$RELEASE" tree "$SOURCES""#,
        zero: Some(DEVPTS),
        ..MMDEBSTRAP
    },
    Case {
        name: "mmdebstrap --mode=fakechroot",
        needs: &["mmdebstrap", "fakechroot", "fakeroot"],
        script: r#"$OUT mmdebstrap --mode=fakechroot --variant=apt --aptopt="$SETTINGS" "$RELEASE" tree "$SOURCES""#,
        ..MMDEBSTRAP
    },
    // Of packages whose scripts can do without a root directory none has other owners.
    Case {
        name: "mmdebstrap --mode=chrootless",
        script: r#"$OUT mmdebstrap --mode=chrootless --skip=check/chrootless --variant=custom --include=netbase --aptopt="$SETTINGS" \
            "$RELEASE" tree "$SOURCES""#,
        look: "ls tree/etc/protocols; dpkg --admindir=tree/var/lib/dpkg --audit",
        says: "tree/etc/protocols",
        refused: None,
        ..MMDEBSTRAP
    },
    Case {
        name: "multistrap",
        needs: &["multistrap"],
        script: r#"printf '%s\n' '[General]' 'noauth=true' 'unpack=true' 'bootstrap=Own' 'aptsources=Own' '[Own]' 'packages=apt passwd' \
                "source=$MIRROR" "suite=$RELEASE" 'omitdebsrc=true' >conf
            mkdir -p tree/etc/apt/trusted.gpg.d; cp /usr/share/keyrings/debian-archive-keyring.gpg tree/etc/apt/trusted.gpg.d
            $OUT multistrap -f conf -d tree"#,
        refused: Some("setgroups"),
        zero: Some((
            "Could not switch group",
            "it gives apt an APT_CONFIG of its own",
        )),
        ..MMDEBSTRAP
    },
    Case {
        name: "cdebootstrap",
        needs: &["cdebootstrap-static"],
        script: r#"$OUT unshare -mpf cdebootstrap-static --flavour=minimal --allow-unauthenticated "$RELEASE" tree "${MIRROR%/}" ||
            { tail -n 30 tree/var/log/bootstrap.log; exit 1; }"#,
        zero: Some((
            "Could not switch group",
            "apt's configuration lies behind the /proc of another pid namespace",
        )),
        ..MMDEBSTRAP
    },
];

const DEVPTS: (&str, &str) = (
    "mount /dev/pts failed",
    "it mounts a devpts for gid 5, which has no mapping",
);

const MMDEBSTRAP: Case = Case {
    needs: &["mmdebstrap"],
    look: "stat -c %a tree/usr/bin/passwd tree/usr/bin/chage; dpkg --admindir=tree/var/lib/dpkg --audit",
    says: "4755\n2755",
    refused: Some("Cannot change ownership to uid 0, gid "),
    ..PLAIN
};

/// Charliecloud's builder comes in a package that wants a Docker daemon, so that it is not
/// installed but unpacked, beside what it needs.
pub const CH_NEEDS: &[&str] = &["ch-run", "apt-get"];
macro_rules! ch_image {
    ($run:expr) => {
        concat!(
            "has_ch_image; printf '%s\\n' 'FROM base' ",
            $run,
            " >Dockerfile; ch-image build -t built -f Dockerfile ."
        )
    };
}
pub const CH_IMAGE: &str = r"has_ch_image() {
    export CH_IMAGE_STORAGE=$PWD/store CH_IMAGE_CACHE=disabled PATH=$PWD/ch/usr/bin:$PATH
    if [ ! -e ch ]; then
        apt-get -q download charliecloud-builders; dpkg-deb -x charliecloud-builders*.deb ch
        mkdir ch/usr/lib; ln -s /usr/lib/charliecloud ch/usr/lib; ln -s /usr/bin/ch-run /usr/bin/ch-run-oci ch/usr/bin
        ch-image import $BASE base
    fi
}";
const CH_SHELL: &str =
    ch_image!(r#""SHELL [$JSON]" "RUN $OWNERS" "RUN $ACCOUNTS" "RUN $PACKAGES""#);
const CH_RUN: &str = ch_image!(r#""RUN $IN sh -ec '$STEPS'""#);
const CH_LOOK: &str = r#"ch-run --no-passwd -u 0 -g 0 built -- sh -ec "$PROOF""#;

pub fn run_all(suite: &Suite) {
    let base = OnceCell::new();
    for column in Column::ALL {
        // A storage of the column's own.
        let studio = OnceCell::new();
        for case in CASES
            .iter()
            .filter(|case| (suite.full || case.sample) && case.columns.contains(&column))
        {
            suite.case(PART, case.name, column, case.expected(column), || {
                if let Some(missing) = case.needs.iter().find(|name| program(name).is_none()) {
                    return Err(skip(&format!("there is no {missing}")));
                }
                let base = base
                    .get_or_init(Base::new)
                    .as_ref()
                    .ok_or_else(|| skip("there is no Debian tree"))?;
                studio.get_or_init(|| Studio::new(column)).build(case, base)
            });
        }
    }
}

impl Case {
    fn expected(&self, column: Column) -> Expect {
        let short = match column {
            Column::RealRoot => None,
            Column::Without => self
                .refused
                .map(|saying| (saying, "the kernel knows no id but the user's there")),
            Column::Zero => self.zero,
            Column::Selective => self.selective,
            Column::Full => self.full,
        };
        short.map_or(Expect::Pass, |(saying, cause)| Expect::Fail {
            saying,
            cause,
        })
    }
}

/// What images and trees are made from.
pub struct Base {
    pub tree: Root,
    /// Holds the archive, and the mirror's settings.
    place: TempDir,
}

impl Base {
    pub fn new() -> Option<Base> {
        let (tree, place) = (Root::copy(PART)?, dir());
        let mirror = Mirror::find().ok()?;
        fs::write(
            place.path().join("sources.list"),
            mirror.lines.join("\n") + "\n",
        )
        .expect("sources.list");
        fs::write(
            place.path().join("apt.conf"),
            mirror.settings.join(";\n") + ";\n",
        )
        .expect("apt.conf");
        // As in images: no daemon is started.
        tree.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
        tree.inside("find /var/cache/apt/archives -name '*.deb' ! -name 'at_*' -delete; cd /usr/share; rm -rf doc info locale man");
        let archive = place.path().join("base.tar");
        let without = ["lists/*", "*.bin"].map(|name| format!("--exclude=./var/*/apt/{name}"));
        run(control(["tar"])
            .args(without)
            .arg("-C")
            .arg(tree.path())
            .arg("-cf")
            .args([&archive, Path::new(".")]))
        .succeeds();
        Some(Base { tree, place })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// The home of a builder, who has one id only but in the column of real root.
pub struct Studio {
    place: TempDir,
    column: Column,
    /// Whether the base image is in the storage.
    imported: OnceCell<()>,
}

/// Without an entry in /etc/passwd, which the tests' user has not, a rootless builder does not
/// start. crun refuses hosts with both kinds of control groups, so that it sees none.
const ROOTLESS: &str = r#"mount -t tmpfs none /sys/fs/cgroup
    if [ "$3" ]; then mount --bind "$0/passwd" /etc/passwd && mount --bind "$0/group" /etc/group; fi &&
    exec setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all sh -ec "$2""#;

impl Studio {
    pub fn new(column: Column) -> Studio {
        let place = if column == Column::RealRoot {
            root_dir()
        } else {
            dir()
        };
        let studio = Studio {
            place,
            column,
            imported: OnceCell::new(),
        };
        let at = |name: &str| studio.place.path().join(name);
        for name in ["home", "run", "tmp"] {
            studio.own_dir(name);
        }
        fs::set_permissions(at("run"), fs::Permissions::from_mode(0o700)).expect("chmod");
        let (here, id) = (studio.place.path().display(), uid());
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{here}/storage\"\nrunroot = \"{here}/runroot\"\nrootless_storage_path = \"{here}/storage\"\n"
        );
        fs::write(at("storage.conf"), storage).expect("storage.conf");
        let containers = "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n[containers]\nlog_driver = \"k8s-file\"\n";
        fs::write(at("containers.conf"), containers).expect("containers.conf");
        for (name, entry) in [
            (
                "passwd",
                format!("builder:x:{id}:{id}::{here}/home:/bin/sh\n"),
            ),
            ("group", format!("builder:x:{id}:\n")),
        ] {
            fs::write(
                at(name),
                fs::read_to_string(Path::new("/etc").join(name)).expect("accounts") + &entry,
            )
            .expect("accounts");
        }
        studio
    }

    pub fn own_dir(&self, name: &str) -> PathBuf {
        let path = self.place.path().join(name);
        fs::create_dir(&path).expect("a directory");
        if self.column != Column::RealRoot {
            give(&path);
        }
        path
    }

    /// `sh -ec SCRIPT`, as the builder, who has an entry in /etc/passwd or not.
    pub fn shell(&self, script: &str, has_entry: bool) -> Command {
        let at = |name: &str| self.place.path().join(name);
        let mut command = if is_root() {
            Command::new("unshare")
        } else {
            user("sh")
        };
        if self.column == Column::RealRoot {
            command.args(["-mpf", "--kill-child", "--mount-proc", "sh", "-ec", script]);
        } else if is_root() {
            command
                .args(["-mpf", "--kill-child", "--mount-proc", "sh", "-c", ROOTLESS])
                .arg(self.place.path())
                .arg(uid().to_string())
                .args([script, if has_entry { "entry" } else { "" }]);
        } else {
            command.args(["-ec", script]);
        }
        command.env_clear().stdin(Stdio::null()).envs([
            ("PATH", PATH),
            ("LC_ALL", "C"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ]);
        command.envs([
            ("HOME", at("home")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("TMPDIR", at("tmp")),
        ]);
        command.envs([
            ("CONTAINERS_STORAGE_CONF", at("storage.conf")),
            ("CONTAINERS_CONF", at("containers.conf")),
        ]);
        command.envs([
            ("USER", "builder"),
            ("BUILDAH_RUNTIME", "crun"),
            ("BUILDAH_LAYERS", "false"),
        ]);
        // crun wants to manage control groups, which is not what is asked here.
        command.env(
            "BUILDAH_ISOLATION",
            if self.column == Column::RealRoot {
                "chroot"
            } else {
                "rootless"
            },
        );
        command
    }

    fn build(&self, case: &Case, base: &Base) -> Result<(), String> {
        const IMPORT: &str = "c=$(buildah from scratch); buildah add -q $c $BASE /; buildah commit -q $c localhost/base; buildah rm $c";
        let mirror = Mirror::find()?;
        let text = [case.script, case.look].concat();
        let tree = text.contains("$TREE").then(|| base.tree.again());
        // The trees have the lists, the images have not.
        let packages = if tree.is_some() {
            PACKAGES.into()
        } else {
            format!("apt-get update && {PACKAGES} && rm -rf /var/lib/apt/lists/*")
        };
        let looked = if self.column.keeps_owners() {
            LOOKED
        } else {
            [""; 3]
        };
        let [owners, accounts, packages] =
            [0, 1, 2].map(|i| [[OWNERS, ACCOUNTS, &packages][i], looked[i]].concat());
        let steps = [&*owners, &accounts, &packages].join(" && ");
        let path = zroot().display().to_string();
        let (inside, outside) = match self.column.options() {
            None if self.column == Column::RealRoot => {
                ("/zroot --if-needed --".into(), "env".into())
            }
            None => (String::new(), "unshare -r --".into()),
            Some(options) => (
                format!("/zroot {} --", options.join(" ")),
                format!("{path} {} --", options.join(" ")),
            ),
        };
        let root = if outside.starts_with(&path) {
            outside.replace(" --", " --root")
        } else {
            format!("{outside} chroot")
        };
        let json: Vec<String> = inside
            .split_whitespace()
            .chain(["/bin/sh", "-ec"])
            .map(|word| format!("\"{word}\""))
            .collect();
        let here = self.own_dir(&case.name.replace(|c: char| !c.is_alphanumeric(), "_"));
        let in_place = |script: &str| {
            let mut command = self.shell(script, true);
            command.current_dir(&here).envs([
                ("IN", &inside),
                ("OUT", &outside),
                ("ROOT", &root),
                ("JSON", &json.join(", ")),
                ("STEPS", &steps),
            ]);
            command.envs([
                ("OWNERS", &*owners),
                ("ACCOUNTS", &accounts),
                ("PACKAGES", &packages),
                ("PROOF", PROOF),
                ("ZROOT", &path),
            ]);
            command.env("BUILD", "buildah build --format docker --network host");
            command
                .env("BASE", base.file("base.tar"))
                .env("RELEASE", &mirror.release)
                .env("SOURCES", base.file("sources.list"))
                .env("MIRROR", &mirror.uri);
            command.env("SETTINGS", base.file("apt.conf"));
            if let Some(tree) = &tree {
                command.env("TREE", tree.path());
            }
            run(&mut command)
        };
        if text.contains("localhost/base") {
            self.imported
                .get_or_init(|| drop(in_place(IMPORT).succeeds()));
        }
        let ran = in_place(&format!(
            "{BUILT}\n{CH_IMAGE}\n{{ {}\n}} >&2\n{}",
            case.script, case.look
        ));
        runs_crun(&ran)?;
        let says = if self.column == Column::RealRoot && case.says == SAYS {
            REALLY
        } else {
            case.says
        };
        if ran.status == 0 && ran.stdout.trim_end() == says {
            Ok(())
        } else {
            Err(format!("{ran:#?}"))
        }
    }
}

/// Whether this failed for what only root can hide.
pub fn runs_crun(ran: &Ran) -> Result<(), String> {
    if ran.stderr.contains("cgroups in hybrid mode not supported") {
        return Err(skip(
            "crun does not run where there are both kinds of control groups, and only root can hide them",
        ));
    }
    Ok(())
}

impl Drop for Studio {
    fn drop(&mut self) {
        // Directories that their owner may not enter.
        if self.column != Column::RealRoot {
            run(user("unshare")
                .args(["-r", "sh", "-c", "rm -rf \"$0\"/*"])
                .arg(self.place.path()));
        }
    }
}

/// A directory of real root's.
fn root_dir() -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix("zroot-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    dir
}

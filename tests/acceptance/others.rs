//! Whatever else restores owners, set-id bits and devices, or packs them: archivers, image tools,
//! other package managers.

use crate::scripts::{CASE, Case, Inputs, fails, in_part, prepare, refused, run_all};
use crate::suite::{Expect, Suite};

const INPUTS: &[(&str, &str)] = &[("inputs.sh", include_str!("fixtures/others/inputs.sh"))];

const PROLOGUE: &str = r#"is() { [ "$(stat -c %a "root/$1")" = "$2" ]; }"#;

const BLIND: &str =
    "at zero mknod of a device leaves no file for what follows; selective leaves a placeholder";
const OWNERS_LOST: &str = "owners are not remembered before level full";

// fs/inode.c, setattr_should_drop_suidgid, asks capable(), which means the initial user namespace.
const WRITTEN: &str = "it calls chmod and then writes, and to keep the set-uid bit then takes a CAP_FSETID that no user namespace gives";

const DEVICES: Case = Case {
    without: refused("Operation not permitted"),
    ..CASE
};

const CASES: &[Case] = &[
    Case { name: "tar: owners", sample: true, script: "tar --same-owner -xpf $IN/owners.tar -C root", without: refused("Cannot change ownership"), ..CASE },
    Case { name: "tar: devices", sample: true, script: "tar -xpf $IN/devices.tar -C root", zero: fails("No such file or directory", BLIND), ..DEVICES },
    Case {
        name: "tar: ACLs, extended attributes",
        script: "tar --acls --xattrs -xpf $IN/acl.tar -C root 2>&1 | tee log; getfattr -n user.note --only-values root/file; ! grep Cannot log",
        needs: &["getfattr"],
        zero: fails("Invalid argument", "an ACL that names ids which the kernel does not know here is real at zero; selective pretends it"),
        ..CASE
    },
    Case { name: "bsdtar: owners", needs: &["bsdtar"], script: "bsdtar -xpf $IN/owners.tar -C root", ..CASE },
    Case { name: "bsdtar: devices", needs: &["bsdtar"], script: "bsdtar -xpf $IN/devices.tar -C root", zero: fails("dev/null", BLIND), ..DEVICES },
    Case { name: "bsdtar: an ISO image", needs: &["bsdtar"], script: "bsdtar -xpf $IN/owners.iso -C root", ..CASE },
    Case { name: "busybox tar: owners", needs: &["busybox"], script: "busybox tar -xpf $IN/owners.tar -C root", without: Expect::Pass, ..CASE },
    Case { name: "busybox tar: devices", needs: &["busybox"], script: "busybox tar -xpf $IN/devices.tar -C root; is dev/null 666", zero: fails("dev/null", BLIND), ..DEVICES },
    Case { name: "cpio: owners", needs: &["cpio"], sample: true, script: "cd root; cpio -idm <$IN/owners.cpio", ..CASE },
    Case { name: "cpio: devices", needs: &["cpio"], script: "cd root; cpio -idm <$IN/devices.cpio", zero: fails("dev/null", BLIND), ..DEVICES },
    Case { name: "pax", needs: &["pax"], script: "cd root; pax -r -pe -f $IN/owners.tar", ..CASE },
    Case {
        name: "afio",
        needs: &["afio"],
        script: "cd root; afio -i $IN/own.afio",
        zero: fails("- f 4755 1 ./sub/program", WRITTEN),
        selective: fails("- f 4755 1 ./sub/program", WRITTEN),
        full: fails("- f 4755 1 ./sub/program", WRITTEN),
        ..CASE
    },
    Case {
        name: "dar",
        needs: &["dar"],
        script: "dar -Q -q -x $IN/own -R root 2>&1 | tee log; ! grep 'Could not' log",
        without: refused("Could not restore original file ownership"),
        ..CASE
    },
    Case { name: "unzip -X", needs: &["zip", "unzip"], script: "unzip -qX $IN/own.zip -d root", ..CASE },
    Case { name: "restic", needs: &["restic"], without: refused("invalid argument"), script: "RESTIC_PASSWORD=x restic --no-lock --no-cache -q -r $IN/restic restore latest --target root", ..CASE },
    Case { name: "cp -a: owners", script: "cp -a /usr/share/base-files root", ..CASE },
    Case { name: "cp -a: devices", script: "cp -a /dev/null root", zero: fails("No such file or directory", BLIND), ..DEVICES },
    Case { name: "rsync -a: owners", needs: &["rsync"], sample: true, script: "rsync -a /usr/share/base-files root", ..CASE },
    Case { name: "rsync -a: devices", needs: &["rsync"], script: "rsync -a /dev/null root", zero: fails("No such file or directory", BLIND), ..DEVICES },
    Case { name: "rsync --chown", needs: &["rsync"], script: "rsync -a --chown=daemon:mail $IN/own root", ..CASE },
    Case { name: "unsquashfs: owners", needs: &["unsquashfs"], sample: true, script: "unsquashfs -q -n -f -d root $IN/owners.squashfs", ..CASE },
    Case { name: "unsquashfs: devices", needs: &["unsquashfs"], script: "unsquashfs -q -n -f -d root $IN/devices.squashfs", zero: fails("null", BLIND), ..DEVICES },
    Case {
        name: "fsck.erofs --extract",
        needs: &["mkfs.erofs", "fsck.erofs"],
        script: "fsck.erofs --extract=root/own --preserve-owner $IN/own.erofs 2>&1 | tee log; ! grep 'failed to change' log",
        without: refused("failed to change ownership"),
        zero: fails("- f 755 1 ./own/sub/program", "it calls chmod and then chown, which takes the set-uid bit away, but not where it is only pretended"),
        ..CASE
    },
    Case { name: "debugfs rdump", needs: &["debugfs"], script: "debugfs -R 'rdump / root' $IN/own.ext4 2>&1 | tee log; ! grep 'while changing' log", ..CASE },
    Case {
        name: "mkfs.ext4 -d",
        needs: &["mkfs.ext4"],
        sample: true,
        script: "tar --same-owner -xpf $IN/owners.tar -C root; mkfs.ext4 -q -d root image 4M; e2fsck -fn image; debugfs -R 'stat /bin/both' image | grep 'Mode: *06711'",
        without: refused("Cannot change ownership"),
        ..CASE
    },
    Case {
        name: "mkfs.ext4 -d: owners in the image",
        needs: &["mkfs.ext4"],
        script: "tar --same-owner -xpf $IN/owners.tar -C root; mkfs.ext4 -q -d root image 4M; debugfs -R 'stat /bin/both' image | tee log; grep 'User: *1 *Group: *8' log",
        without: refused("Cannot change ownership"),
        zero: fails("User:     0   Group:     0", OWNERS_LOST),
        selective: fails("User:     0   Group:     0", OWNERS_LOST),
        ..CASE
    },
    Case { name: "dpkg-deb -x", needs: &["dpkg-deb"], script: "dpkg-deb -x $IN/owners.deb root", ..CASE },
    Case {
        name: "dpkg --root: owners",
        needs: &["dpkg"],
        script: "mkdir -p root/var/lib/dpkg/updates root/var/lib/dpkg/info; : >root/var/lib/dpkg/status; dpkg --root=$PWD/root -i $IN/owners.deb
            dpkg --root=$PWD/root --audit; is bin/become 4755; dpkg --root=$PWD/root -r owners; [ ! -e root/bin/become ]",
        ignored: DPKG,
        without: refused("error setting ownership"),
        ..CASE
    },
    Case {
        name: "dpkg --root: devices",
        needs: &["dpkg"],
        script: "mkdir -p root/var/lib/dpkg/updates root/var/lib/dpkg/info; : >root/var/lib/dpkg/status; dpkg --root=$PWD/root -i $IN/devices.deb; is dev/null 666",
        ignored: DPKG,
        zero: fails("No such file or directory", BLIND),
        ..DEVICES
    },
    Case {
        name: "dpkg-buildpackage -r",
        needs: &["dpkg-buildpackage", "dh"],
        plain: true,
        sample: true,
        script: "cp -r $IN/source .; (cd source; dpkg-buildpackage -us -uc -b -d -r\"$AS\" 2>&1); dpkg-deb -c source_1_all.deb | grep '^-rwxr-sr-x.*usr/bin/mailer'",
        without: refused("cannot change ownership"),
        ..CASE
    },
    Case {
        name: "dpkg-buildpackage -r: owners in the package",
        needs: &["dpkg-buildpackage", "dh"],
        plain: true,
        script: "cp -r $IN/source .; (cd source; dpkg-buildpackage -us -uc -b -d -r\"$AS\" 2>&1); dpkg-deb -c source_1_all.deb; dpkg-deb -c source_1_all.deb | grep root/mail",
        without: refused("cannot change ownership"),
        zero: fails("root/root", OWNERS_LOST),
        selective: fails("root/root", OWNERS_LOST),
        ..CASE
    },
    Case {
        name: "alien to rpm",
        needs: &["alien", "rpm"],
        script: "alien -r $IN/owners.deb; rpm -qplv owners-1-2.noarch.rpm | grep '^-rws--s--x.*/bin/both'",
        without: refused("Cannot change ownership"),
        ..CASE
    },
    Case {
        name: "alien to deb",
        needs: &["alien", "dh"],
        script: "gzip -c $IN/owners.tar >owners-1.tgz; alien -d owners-1.tgz; dpkg-deb -c owners_1-2_all.deb | grep '^-rws--s--x.*/bin/both'",
        without: refused("Cannot change ownership"),
        ..CASE
    },
    Case {
        name: "ostree into a bare repository",
        needs: &["ostree"],
        script: "ostree --repo=archive init --mode=archive; ostree --repo=archive commit -b main --tar-autocreate-parents --tree=tar=$IN/files.tar; ostree --repo=bare init --mode=bare
            ostree --repo=bare pull-local archive main; rmdir root; ostree --repo=bare checkout main root; is bin/both 6711",
        ..CASE
    },
    Case {
        name: "ostree fsck",
        needs: &["ostree"],
        script: "ostree --repo=bare init --mode=bare; ostree --repo=bare commit -b main --tar-autocreate-parents --tree=tar=$IN/files.tar; ostree --repo=bare fsck",
        zero: fails("orrupted", OWNERS_LOST),
        selective: fails("orrupted", OWNERS_LOST),
        ..CASE
    },
    Case {
        name: "umoci unpack: owners",
        needs: &["umoci"],
        script: "umoci init --layout image; umoci new --image image:x; umoci raw add-layer --image image:x $IN/owners.tar; umoci unpack --image image:x bundle
            rmdir root; mv bundle/rootfs root; is bin/both 6711",
        without: refused("invalid argument"),
        ..CASE
    },
    Case {
        name: "umoci unpack: devices",
        needs: &["umoci"],
        script: "umoci init --layout image; umoci new --image image:x; umoci raw add-layer --image image:x $IN/devices.tar; umoci unpack --image image:x bundle
            rmdir root; mv bundle/rootfs root; is dev/null 666",
        without: Expect::Pass,
        full: in_part(" as a device: ", "in a user namespace it makes empty files itself"),
        ..CASE
    },
    Case {
        name: "systemd-sysusers, systemd-tmpfiles",
        needs: &["systemd-sysusers", "systemd-tmpfiles"],
        sample: true,
        script: "mkdir -p root/etc root/var/lib/tree/sub; cp /etc/passwd /etc/group root/etc; systemd-sysusers --root=$PWD/root $IN/sysusers.conf
            systemd-tmpfiles --root=$PWD/root --create $IN/tmpfiles.conf; is var/lib/service 2750; is var/lib/tree 750; is var/lib/service/queue 620; grep '^mail:.*service' root/etc/group",
        ..CASE
    },
    Case {
        name: "systemd-tmpfiles: ACLs",
        needs: &["systemd-tmpfiles"],
        script: "mkdir -p root/etc; cp /etc/passwd /etc/group root/etc; systemd-tmpfiles --root=$PWD/root --create $IN/tmpfiles-acl.conf",
        zero: fails("Invalid argument", "an ACL that names ids which the kernel does not know here is real at zero; selective pretends it"),
        ..CASE
    },
    Case {
        name: "systemd-tmpfiles: devices",
        needs: &["systemd-tmpfiles"],
        script: "mkdir -p root/etc; cp /etc/passwd /etc/group root/etc; systemd-tmpfiles --root=$PWD/root --create $IN/tmpfiles-device.conf; is dev/null 666; is dev/loop0 660",
        without: refused("dev/null"),
        zero: fails("Failed to open device node", BLIND),
        selective: fails("is not a device node", "it looks for the device that it has made, and finds the file that stands for it; level full will show it"),
        ..DEVICES
    },
    Case {
        name: "nix-build",
        needs: &["nix-build"],
        script: "export NIX_STORE_DIR=$PWD/store NIX_STATE_DIR=$PWD/state NIX_LOG_DIR=$PWD/log NIX_CONF_DIR=$PWD/conf
            nix-build --option sandbox false --option build-users-group '' --option substitute false -o result -E '
                derivation { name = \"made\"; system = builtins.currentSystem; builder = \"/bin/sh\"; args = [\"-c\" \"echo text > $out\"]; }'; cp result root/result",
        without: Expect::Pass,
        ..CASE
    },
];

const DPKG: &str = "-path './var/lib/dpkg/*' -o -path './var/log/*'";

pub fn run(suite: &Suite) {
    let inputs = prepare("sh inputs.sh", INPUTS);
    let inputs = inputs
        .as_ref()
        .map(|dir| Inputs::Dir(dir.path()))
        .map_err(String::as_str);
    run_all(suite, "others", CASES, PROLOGUE, inputs);
}

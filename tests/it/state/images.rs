//! The examples that make images: what real root finds in each is what it gets when it installs the
//! same itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::{PATH, dir, executable, plain, run, skip, user, zroot, zroot_with};
use crate::debian::{Mirror, Root};
use crate::supervisor::oracle::has_oracle;

/// What is installed: set-id programs of others, directories of others, a file capability. And a
/// package of ours, which makes devices.
const PACKAGES: &str = "postfix at man-db iputils-ping /devices.deb";

const POSTINST: &str = "#!/bin/sh\nset -e\nmkdir /srv/dev; cd /srv/dev; mknod -m 660 disk b 8 1; chgrp disk disk
mknod -m 666 null c 1 3; ln -s null link; chown -h games:games link; mkfifo pipe; chown daemon:tty pipe
echo text >file; chown 12345:54321 file; chmod 6711 file\n";

/// A script of examples/images, what it makes beside the tree, and how real root takes that apart:
/// into `x`.
const IMAGES: [(&str, &str, &str); 4] = [
    (
        "tarball.sh",
        "tar",
        "mkdir x; tar --numeric-owner --xattrs --xattrs-include='*' -xpf root.tar -C x",
    ),
    (
        "squashfs.sh",
        "squashfs",
        "unsquashfs -q -n -d x root.squashfs >/dev/null",
    ),
    ("ext4.sh", "ext4", "mkdir x; mount -o loop,ro root.ext4 x"),
    (
        "oci.sh",
        "oci",
        "umoci unpack --image root.oci bundle; ln -s bundle/rootfs x",
    ),
];

/// Type, mode and owner of everything, devices, and capabilities. apt's directories for `_apt` are
/// real root's only; dev, proc and sys are mounts; the host lends a resolv.conf.
const LIST: &str = r"cd ./x/; find . \( -name partial -o -path ./dev -o -path ./proc -o -path ./sys -o -name lost+found \
        -o -path ./zroot -o -path ./etc/resolv.conf -o -path './var/lib/apt/lists/*' -o -path './var/cache/apt/*' -o -path ./var/log/apt \) -prune -o -printf '%p %y %m %U:%G\n' | sort
    find . -xdev -path ./dev -prune -o -type b,c -exec stat -c '%n %t,%T' {} + | sort; getcap -r . | sort";

/// Puts the package of ours into `root`.
fn add_package(root: &Path) {
    let control = "Package: devices\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: devices\n";
    let place = dir();
    let script = r#"mkdir -p p/DEBIAN; printf %s "$1" >p/DEBIAN/control; printf %s "$2" >p/DEBIAN/postinst
        chmod 755 p/DEBIAN/postinst; dpkg-deb --root-owner-group -b p "$0"/devices.deb >/dev/null"#;
    run(user("sh")
        .args(["-ec", script])
        .arg(root)
        .args([control, POSTINST])
        .current_dir(place.path()))
    .succeeds();
}

#[test]
fn images_are_as_real_root_would_have_made_them() {
    let test = "images_are_as_real_root_would_have_made_them";
    need!(test, "mksquashfs", "mke2fs", "umoci", "getcap", "dpkg-deb");
    let Some(fresh) = Root::copy(test) else {
        return;
    };
    add_package(fresh.path());
    let inside = |script: &str| {
        run(zroot_with(["--root"])
            .arg(fresh.path())
            .args(["--", "sh", "-ec", script]))
        .succeeds()
    };
    // All runs install the same files, and what they need not is no part of the images.
    inside(&format!(
        "apt-get -qq update; apt-get clean; apt-get -qq install -y --download-only {PACKAGES}
        rm -rf /usr/share/locale /usr/share/doc"
    ));
    let oracle = has_oracle(test).then(|| as_real_root(fresh.path()));
    let place = dir();
    let at = |program: &Path| {
        let mut command = user(program);
        let bin = zroot().parent().expect("a directory").display();
        command
            .env("PATH", format!("{bin}:{PATH}"))
            .env("HOME", place.path())
            .current_dir(place.path());
        command
    };
    run(at(zroot())
        .args(["--", "cp", "-a", "--reflink=auto"])
        .arg(fresh.path())
        .arg("root"))
    .succeeds();
    for (script, made, taken_apart) in IMAGES {
        // The user may not be able to reach the source.
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images");
        let example = fs::read(example.join(script)).expect("an example");
        let script = place.path().join(script);
        executable(&script, example);
        run(at(&script).arg("root").args(PACKAGES.split(' '))).succeeds();
        let image = place.path().join(format!("root.{made}"));
        assert!(image.exists(), "{}", image.display());
        if let Some(oracle) = &oracle {
            let look = format!("{taken_apart}\n{LIST}");
            let mut apart = plain("unshare");
            apart
                .args(["-m", "sh", "-ec", &look])
                .env("HOME", place.path());
            let found = run(apart.current_dir(place.path())).succeeds().stdout;
            same(oracle, &found, made);
        }
        run(plain("rm")
            .arg("-rf")
            .args(["bundle", "x"])
            .arg(image)
            .current_dir(place.path()));
    }
    // The control: who packs it without the state packs root's files.
    let forgets = r"zroot -c full tar --numeric-owner -c root | tar --numeric-owner -tv | grep -v ' 0/0 ' || true";
    let packed = run(at(Path::new("sh")).args(["-ec", forgets])).succeeds();
    assert_eq!(packed.stdout, "");
    run(user("unshare")
        .args(["-r", "rm", "-rf", "root"])
        .current_dir(place.path()));
}

/// What real root finds where it installs the same into the same tree itself.
fn as_real_root(fresh: &Path) -> String {
    let place = dir();
    let script = format!(
        r#"mkdir x; tar -C "$0" --owner=0 --group=0 --numeric-owner -c . | tar --numeric-owner -xp -C x
        for dir in proc sys dev; do mkdir -p x/$dir; mount --rbind /$dir x/$dir; done
        chroot x apt-get install -y {PACKAGES} >log 2>&1 || {{ cat log; exit 1; }}
        umount -l x/proc x/sys x/dev; {LIST}"#
    );
    let listed = run(plain("unshare")
        .args(["-m", "sh", "-ec", &script])
        .arg(fresh)
        .current_dir(place.path()))
    .succeeds();
    listed.stdout
}

/// Asserts that an image has what real root has.
#[track_caller]
fn same(real: &str, image: &str, script: &str) {
    for needed in [
        "./usr/bin/at f 6755 1:1",
        "./srv/dev/link l 777 5:60",
        "./srv/dev/disk 8,1",
        "./usr/bin/ping cap_net_raw=ep",
    ] {
        assert!(real.lines().any(|line| line == needed), "{needed}: {real}");
    }
    do_not_differ(real, image, script);
}

/// Asserts that two listings are the same.
#[track_caller]
fn do_not_differ(real: &str, image: &str, script: &str) {
    let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
    let (real, image) = (lines(real), lines(image));
    let missing: Vec<_> = real.difference(&image).collect();
    let other: Vec<_> = image.difference(&real).collect();
    assert!(
        missing.is_empty() && other.is_empty(),
        "{script}: real root has {missing:#?}, the image {other:#?}"
    );
}

/// From nothing to a tarball, in three runs: as real root's.
#[test]
fn a_system_from_nothing_is_real_roots() {
    let test = "a_system_from_nothing_is_real_roots";
    need!(test, "mmdebstrap", "getcap");
    let mirror = match Mirror::find() {
        Ok(mirror) => mirror,
        Err(reason) => return skip(test, reason),
    };
    if !has_oracle(test) {
        return;
    }
    // The mirror and the release are the machine's.
    let debstrap = |zroot: &str| {
        let quoted = |text: &String| format!("'{text}'");
        let settings: Vec<String> = mirror
            .settings
            .iter()
            .map(|setting| format!("'--aptopt={setting}'"))
            .collect();
        let lines: Vec<String> = mirror.lines.iter().map(quoted).collect();
        format!(
            "{zroot} mmdebstrap --variant=apt --skip=chroot/mount --skip=cleanup/apt/lists {} {} ./rootfs {}",
            settings.join(" "),
            mirror.release,
            lines.join(" ")
        )
    };
    let (ours, reals) = (dir(), dir());
    let script = format!(
        r#"{}
        zroot -i state -s state --root ./rootfs apt-get install -y postfix at man-db >/dev/null 2>&1
        zroot -i state tar -C ./rootfs --numeric-owner --xattrs --xattrs-include="*" -cf rootfs.tar ."#,
        debstrap("zroot -s state")
    );
    let bin = zroot().parent().expect("a directory").display();
    run(user("sh")
        .args(["-ec", &script])
        .env("PATH", format!("{bin}:{PATH}"))
        .current_dir(ours.path()))
    .succeeds();
    let look = format!(
        "mkdir x; tar --numeric-owner --xattrs --xattrs-include='*' -xpf rootfs.tar -C x; {LIST}"
    );
    let ours = run(plain("sh").args(["-ec", &look]).current_dir(ours.path())).succeeds();
    let script = format!(
        r"{} 2>/dev/null; mv rootfs x
        for dir in proc sys dev; do mount --rbind /$dir x/$dir; done
        chroot x apt-get install -y postfix at man-db >/dev/null 2>&1
        umount -l x/proc x/sys x/dev; {LIST}",
        debstrap("")
    );
    let reals = run(plain("unshare")
        .args(["-m", "sh", "-ec", &script])
        .current_dir(reals.path()))
    .succeeds();
    for needed in ["./usr/bin/at f 6755 1:1", "./etc/shadow f 640 0:42"] {
        assert!(
            reals.stdout.lines().any(|line| line == needed),
            "{needed}: {}",
            reals.stdout
        );
    }
    do_not_differ(&reals.stdout, &ours.stdout, "the tarball");
}

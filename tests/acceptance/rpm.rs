//! rpm, dnf and zypper install packages that hold what Fedora's and openSUSE's do.

use crate::scripts::{CASE, Case, Inputs, fails, prepare, refused, run_all};
use crate::suite::{Expect, Suite};

pub const FILES: &[(&str, &str)] = &[
    ("base.sh", include_str!("fixtures/base.sh")),
    ("features.spec", include_str!("fixtures/rpm/features.spec")),
    ("upgrade.spec", include_str!("fixtures/rpm/upgrade.spec")),
    ("native.spec", include_str!("fixtures/rpm/native.spec")),
    ("chown.spec", include_str!("fixtures/rpm/chown.spec")),
];

/// The packages, by the plain user, as NAME-VERSION.rpm in `$IN/rpms`, and the metadata over them.
pub const BUILD: &str = r#"
    build() {
        rpmbuild -bb --quiet --define "_topdir $PWD/top" --define "_sourcedir $PWD" --define "_rpmdir $PWD/rpms" \
            --define '_rpmfilename %%{NAME}-%%{VERSION}.rpm' --define '__os_install_post %{nil}' --define '_binary_payload w1.gzdio' "$@"
    }
    build features.spec; build --define 'v 1' upgrade.spec; build --define 'v 2' upgrade.spec
    rm -rf top; createrepo_c -q rpms"#;

/// A root directory, and the three programs for it. Each says its warnings, which do not change its
/// exit status, so that they count.
pub const PROLOGUE: &str = r#"
    # Debian's is in the home directory.
    echo '%_dbpath /var/lib/rpm' >$HOME/.rpmmacros
    strict() {
        "$@" >log 2>&1 || { cat log; exit 1; }
        cat log
        if grep -E '^(warning|error)|script(let)? failed' log | grep -v 'private mounts in chroot not'; then exit 1; fi
    }
    rpm() { strict command rpm --root "$PWD/root" "$@"; }
    dnf() {
        strict command dnf --installroot="$PWD/root" --setopt=reposdir=/nonexistent --repofrompath="local,$IN/rpms" --repo=local --nogpgcheck -y "$@"
    }
    zypper() { strict command zypper --non-interactive --no-gpg-checks --plus-repo "dir://$IN/rpms" --root "$PWD/root" "$@"; }
    i() { for name; do set -- "$@" "$IN/rpms/$name-1.rpm"; shift; done; rpm -i "$@"; }
    ALL='owners setid caps users sysusers scripts lua ghost trigger plugin'
    KEPT='owners setid caps users sysusers ghost trigger plugin'
    # Owners aside, which scripts of others may have changed.
    v() { rpm -V --nouser --nogroup "$@"; }
    is() { [ "$(stat -c %a "root/$1")" = "$2" ]; }"#;

/// rpm's databases, and what the package managers write of themselves.
const IGNORED: &str =
    "-path './var/lib/rpm/*' -o -path './var/lib/dnf*' -o -path './var/cache*' -o -path './var/log/dnf*' -o -path './var/log/hawkey*'
    -o -path './etc/zypp*' -o -path './var/lib/zypp*' -o -path './var/log/zypp*'";

const RPM: Case = Case {
    needs: &["rpm", "rpmbuild", "createrepo_c"],
    ignored: IGNORED,
    without: refused("cpio: chown failed"),
    ..CASE
};
const DNF: Case = Case {
    needs: &["rpm", "rpmbuild", "createrepo_c", "dnf"],
    without: refused("Error unpacking rpm package"),
    ..RPM
};
const ZYPPER: Case = Case {
    needs: &["rpm", "rpmbuild", "createrepo_c", "zypper"],
    ..RPM
};

const BLIND_DEVICE: &str = "at zero mknod of a device leaves no file, and rpm's chmod of it fails; selective leaves a placeholder";
const BLIND_MKNOD: &str =
    "at zero mknod of a device leaves no file for what follows; selective leaves a placeholder";
const ACL: &str = "an ACL that names ids which the kernel does not know here is real at zero; selective pretends it";

const CASES: &[Case] = &[
    Case { name: "rpm: only root's", script: "i base plain; v plain", without: Expect::Pass, ..RPM },
    Case { name: "rpm: all", sample: true, script: "i base $ALL; v $KEPT; is usr/bin/both 6711", ..RPM },
    Case { name: "rpm: owners", script: "i base; i owners; rpm -V $ASIDE owners; is etc/owners.conf 640", ..RPM },
    Case { name: "rpm: set-id and sticky bits", script: "i base setid; v setid; is usr/bin/become 4755; is var/lib/shared 3775", ..RPM },
    Case { name: "rpm: file capabilities", script: "i base caps; v caps; getcap root/usr/bin/raw | grep 'cap_net_raw=ep$'", ..RPM },
    Case { name: "rpm: useradd in %pre", script: "i base users; v users; grep ^users1: root/etc/shadow; grep ^mail:.*users1 root/etc/group", ..RPM },
    Case { name: "rpm: systemd-sysusers in %pre", script: "i base sysusers; v sysusers; grep ^sysusers: root/etc/passwd", ..RPM },
    Case {
        name: "rpm: chown, setcap, su in %post",
        script: "i base scripts; is var/lib/scripts 2770; is usr/bin/service 4755; is var/lib/scripts/queue 620",
        without: refused("%post(scripts-1-1.x86_64) scriptlet failed"),
        ..RPM
    },
    Case { name: "rpm: chown in Lua", script: "i base lua; is usr/bin/lua-tool 4755", without: refused("lua script failed"), ..RPM },
    Case {
        name: "rpm: setfacl in %post",
        sample: true,
        script: "i base acl; v acl",
        without: refused("setfacl: /var/lib/acl/file: Invalid argument"),
        zero: fails("setfacl: /var/lib/acl/file: Invalid argument", ACL),
        ..RPM
    },
    Case {
        name: "rpm: mknod in %post",
        script: "i base nodes; is dev/null 666; is dev/loop7 640",
        without: refused("mknod: /dev/null: Operation not permitted"),
        zero: fails("chown: /dev/null: No such file or directory", BLIND_MKNOD),
        ..RPM
    },
    Case {
        name: "rpm: device nodes",
        sample: true,
        script: "i base device; is dev/zero 666; is dev/loop0 660",
        without: refused("cpio: mknod failed"),
        zero: fails("cpio: ", BLIND_DEVICE),
        ..RPM
    },
    Case { name: "rpm: ghosts", script: "i base ghost; v ghost; rpm -e ghost; [ ! -e root/var/log/ghost ]", ..RPM },
    Case {
        name: "rpm: triggers",
        script: "i base trigger; i owners plugin; rpm -e owners; cat root/var/lib/triggers/list | tr '\n' . | grep '^owners./usr/lib/plugins/plugin.no owners.$'",
        ..RPM
    },
    Case {
        name: "rpm: upgrade, erase",
        sample: true,
        script: "i base upgrade; v upgrade; for file in upgrade kept; do echo own >>root/etc/$file.conf; done
            change() { command rpm --root $PWD/root \"$@\" >log 2>&1; cat log; if grep -E '^error|script(let)? failed' log; then exit 1; fi; }
            change -U $IN/rpms/upgrade-2.rpm
            is usr/bin/stays 2755; is var/lib/upgrade 2750; is etc/upgrade.conf.rpmnew 600; is etc/kept.conf.rpmsave 640; [ ! -e root/usr/bin/only1 ]
            change -e upgrade; [ ! -e root/var/lib/upgrade ]; ! grep upgrade root/etc/passwd",
        ..RPM
    },
    Case {
        name: "rpm: --restore",
        script: "i base owners setid; chmod 777 root/usr/bin/become root/etc/owners.conf; rpm --restore owners setid; rpm -V $ASIDE setid owners",
        ..RPM
    },
    Case {
        name: "rpmbuild as root",
        script: "rpmbuild -bb --quiet --define \"_topdir $PWD/top\" $IN/chown.spec 2>&1; [ -e top/RPMS/noarch/chown-1-1.noarch.rpm ]",
        without: refused("cannot change ownership"),
        ..RPM
    },
    Case {
        name: "dnf: all, upgrade, reinstall, remove",
        sample: true,
        script: "dnf install $ALL upgrade-1; v $KEPT upgrade; dnf upgrade; [ -e root/usr/bin/only2 ]; dnf reinstall setid; is usr/bin/become 4755
            dnf remove owners upgrade; [ ! -e root/var/lib/upgrade ]",

        ..DNF
    },
    Case {
        name: "dnf: device nodes",
        script: "dnf install device; is dev/zero 666",
        without: refused("Error unpacking rpm package device"),
        zero: fails("Error unpacking rpm package device", BLIND_DEVICE),
        ..DNF
    },
    Case {
        name: "zypper: all, update, remove",
        sample: true,
        script: "zypper install $ALL upgrade-1; v $KEPT upgrade; zypper update; [ -e root/usr/bin/only2 ]; zypper remove owners; [ ! -e root/etc/owners.conf ]",

        ..ZYPPER
    },
    Case {
        name: "zypper: device nodes",
        script: "zypper install device; is dev/zero 666",
        without: refused("cpio: mknod failed"),
        zero: fails("cpio: ", BLIND_DEVICE),
        ..ZYPPER
    },
];

pub fn run(suite: &Suite) {
    let inputs = prepare(BUILD, FILES);
    let inputs = inputs
        .as_ref()
        .map(|dir| Inputs::Dir(dir.path()))
        .map_err(String::as_str);
    run_all(suite, "rpm", CASES, PROLOGUE, inputs);
}

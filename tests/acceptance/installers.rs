//! What people run as root to install things: build systems, languages' package managers, the
//! programs that keep accounts and files of others, and those that become another user.

use std::cell::{OnceCell, RefCell};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{
    PATH, Ran, control, dir, executable, give, program, run, user, zroot, zroot_with,
};
use crate::debian::Root;
use crate::owners::{self, MOUNTS, Owners, forget, noted, split};
use crate::suite::{Column, Expect, Suite, skip};

const PART: &str = "installers";

/// Where a case's script runs.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// In a directory of its own.
    Dir,
    /// The same, as an executable file that names its launcher in its first line.
    Shebang,
    /// Inside a Debian tree, in /root.
    Inside,
    /// Outside of it: the tree is `$0`.
    Outside,
}

/// A script that succeeds and prints `says`.
struct Case {
    name: &'static str,
    /// Runs without --full as well.
    sample: bool,
    place: Place,
    /// Programs that the machine must have.
    needs: &'static [&'static str],
    /// What is there before.
    files: &'static [(&'static str, &'static str)],
    script: &'static str,
    says: &'static str,
    /// What is said without zroot; `None` where it is not needed, only must not be in the way.
    refused: Option<&'static str>,
    /// What is said at level zero if that is not enough, and why.
    zero: Option<(&'static str, &'static str)>,
    selective: Option<(&'static str, &'static str)>,
    full: Option<(&'static str, &'static str)>,
}

const PLAIN: Case = Case {
    name: "",
    sample: false,
    place: Place::Dir,
    needs: &[],
    files: &[],
    script: "",
    says: "",
    refused: None,
    zero: None,
    selective: None,
    full: None,
};

/// What the tree has for the sample; and for all.
const PACKAGES: &str = "cron logrotate sudo";
const ALL_PACKAGES: &str =
    "cron logrotate sudo ca-certificates initramfs-tools-core locales make ruby";

const INVALID: &str = "Invalid argument";
const NOT_OWNED: &str = "/home/gone not owned by gone, not removing";
const OWNERS_ARE_LOST: &str = "it removes only a home that is its user's, and owners are lost";

const CASES: &[Case] = &[
    // Build systems.
    Case {
        name: "make install",
        sample: true,
        needs: &["make"],
        files: &[("Makefile", MAKEFILE), ("prog", "#!/bin/sh\n")],
        script: "make -s install DESTDIR=root; stat -c '%a %n' root/usr/bin/prog root/var/spool/prog",
        says: "2755 root/usr/bin/prog\n750 root/var/spool/prog",
        refused: Some("cannot change owner and permissions of 'root/var/spool/prog'"),
        ..PLAIN
    },
    Case {
        name: "make install, autotools",
        needs: &["make", "autoreconf", "automake"],
        files: &[("configure.ac", CONFIGURE_AC), ("Makefile.am", MAKEFILE_AM), ("prog", "#!/bin/sh\n")],
        script: "(autoreconf -i && ./configure --prefix=/usr) >log 2>&1
            make -s install DESTDIR=$PWD/root >log; stat -c '%a %n' root/usr/bin/prog",
        says: "2755 root/usr/bin/prog",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "cmake --install",
        sample: true,
        needs: &["cmake", "make"],
        files: &[("CMakeLists.txt", CMAKE), ("prog", "#!/bin/sh\n")],
        script: "cmake -S . -B build -DCMAKE_INSTALL_PREFIX=/usr >log
            DESTDIR=$PWD/root cmake --install build >log; stat -c '%a %n' root/usr/bin/prog",
        says: "2755 root/usr/bin/prog",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "meson install",
        needs: &["meson", "ninja"],
        files: &[("meson.build", MESON), ("prog", "#!/bin/sh\n")],
        // It only mentions what it is refused.
        script: "meson setup build --prefix=/usr >log; meson install -C build --destdir=$PWD/root >log
            if grep ignoring log; then exit 1; fi; stat -c '%a %n' root/usr/bin/prog",
        says: "2755 root/usr/bin/prog",
        refused: Some("Non-existent numeric owner 'root' or group 'mail': ignoring"),
        ..PLAIN
    },
    Case {
        name: "make install, MakeMaker",
        needs: &["perl", "make"],
        files: &[("Makefile.PL", MAKEFILE_PL), ("prog", "#!/usr/bin/perl\n"), ("Prog.pm", "package Prog; 1;\n")],
        script: "(perl Makefile.PL INSTALLDIRS=vendor && make) >log; make install DESTDIR=$PWD/root >log
            stat -c '%a %n' root/usr/bin/prog; find root -name Prog.pm -printf '%m %f\\n'",
        says: "2755 root/usr/bin/prog\n444 Prog.pm",
        refused: Some(INVALID),
        ..PLAIN
    },
    // Languages' own.
    Case {
        name: "setup.py install",
        sample: true,
        needs: &["python3"],
        files: &[("setup.py", SETUP_PY), ("prog.py", ""), ("data", "")],
        script: "python3 setup.py -q install --root=$PWD/root --prefix=/usr 2>log || { cat log; exit 1; }
            find root '(' -name data -o -name spool ')' -printf '%m %f\\n' | sort",
        says: "2750 spool\n644 data",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "pip install",
        needs: &["pip3"],
        files: &[("setup.py", SETUP_PY), ("prog.py", ""), ("data", "")],
        // It warns whom it takes for root.
        script: "pip3 install --no-index --no-build-isolation --no-deps --root=$PWD/root . >log 2>&1 || { cat log; exit 1; }
            grep -o \"as the 'root' user\" log; find root -name data -printf '%m %f\\n'",
        says: "as the 'root' user\n644 data",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "npm install -g",
        needs: &["npm"],
        files: &[("package.json", PACKAGE_JSON), ("prog.js", "#!/usr/bin/env node\n")],
        script: "mkdir package; mv package.json prog.js package; tar --owner=1000 --group=1000 -czf package.tgz package
            npm install -g --prefix=$PWD/root --cache=$PWD/cache --offline --no-audit --no-fund --no-update-notifier ./package.tgz >log
            stat -L -c '%a %n' root/bin/prog",
        says: "2755 root/bin/prog",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "gem install",
        place: Place::Inside,
        files: &[("prog.gemspec", GEMSPEC), ("extconf.rb", EXTCONF)],
        script: "(gem build prog.gemspec && gem install --no-document --local prog-1.gem) >log 2>&1 || { cat log $(find /var/lib -name gem_make.out); exit 1; }
            gem list --local | grep prog; stat -c '%a %n' /var/spool/gem",
        says: "prog (1)\n2750 /var/spool/gem",
        refused: Some("cannot change owner and permissions of '/var/spool/gem'"),
        ..PLAIN
    },
    Case {
        name: "go install",
        needs: &["go"],
        files: &[("go.mod", "module example.org/prog\n"), ("prog.go", PROG_GO), ("file", "")],
        script: "export GOCACHE=$PWD/cache GOPATH=$PWD/path GOBIN=$PWD/bin CGO_ENABLED=0; go install . && bin/prog && echo installed",
        says: "installed",
        refused: Some("invalid argument"),
        ..PLAIN
    },
    Case {
        name: "cargo install",
        needs: &["cc"],
        files: &[("Cargo.toml", CARGO_TOML), ("prog.rs", PROG_RS), ("file", "")],
        script: "\"$CARGO\" install --quiet --offline --path . --root root && root/bin/prog && echo installed",
        says: "installed",
        refused: Some(INVALID),
        ..PLAIN
    },
    // Where nobody looks on.
    Case {
        name: "a script's first line",
        sample: true,
        place: Place::Shebang,
        script: "cd ${0%/*}; test $(id -u) = 0; install -d -o daemon -g mail -m 2770 spool
            echo job >spool/job; chown -R daemon:mail spool; chmod 640 spool/job; stat -c '%a %n' spool spool/job",
        says: "2770 spool\n640 spool/job",
        refused: Some("cannot change owner and permissions of 'spool'"),
        ..PLAIN
    },
    // Accounts.
    Case {
        name: "adduser --system",
        sample: true,
        place: Place::Inside,
        script: "adduser --quiet --system --group --home /var/lib/app app
            getent passwd app | cut -d: -f1,6; stat -c '%a %n' /var/lib/app",
        says: "app:/var/lib/app\n755 /var/lib/app",
        refused: Some(INVALID),
        ..PLAIN
    },
    // Nobody misses an owner here, not even without zroot.
    Case {
        name: "useradd, usermod",
        place: Place::Inside,
        script: "useradd -m -u 1500 one; echo hello >/home/one/file; usermod -u 1501 -d /home/two -m one
            cat /home/two/file; getent passwd one | cut -d: -f3,6",
        says: "hello\n1501:/home/two",
        ..PLAIN
    },
    Case {
        name: "userdel -r",
        place: Place::Inside,
        script: "useradd -m -u 1502 gone; userdel -r gone; test ! -e /home/gone && echo removed",
        says: "removed",
        refused: Some(NOT_OWNED),
        zero: Some((NOT_OWNED, OWNERS_ARE_LOST)),
        selective: Some((NOT_OWNED, OWNERS_ARE_LOST)),
        ..PLAIN
    },
    Case {
        name: "newusers, chpasswd, passwd, chage",
        place: Place::Inside,
        script: "groupadd staffers; echo three:secret:1600:staffers:Three:/home/three:/bin/sh >new; newusers new 2>&1
            echo three:other | chpasswd; passwd -q -l three; chage -M 90 three; passwd -S three | cut -d' ' -f1,2,5; ls -d /home/three",
        says: "three L 90\n/home/three",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "useradd --root",
        sample: true,
        place: Place::Outside,
        needs: &["useradd", "groupadd", "chpasswd"],
        script: "groupadd --root $0 -g 1700 four; useradd --root $0 -m -u 1700 -g four four; echo four:secret | chpasswd --root $0
            passwd --root $0 -q -l four; passwd --root $0 -S four | cut -d' ' -f1,2; cd $0; ls -d home/four",
        says: "four L\nhome/four",
        ..PLAIN
    },
    // Becoming somebody else.
    Case {
        name: "su, runuser",
        sample: true,
        place: Place::Inside,
        script: "su -s /bin/sh -c 'echo su' daemon; su - -s /bin/sh -c 'echo login' mail; runuser -u daemon -- echo runuser",
        says: "su\nlogin\nrunuser",
        refused: Some("cannot set groups: Operation not permitted"),
        ..PLAIN
    },
    Case {
        name: "sudo, visudo",
        sample: true,
        place: Place::Inside,
        script: "echo 'daemon ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/daemon; chmod 440 /etc/sudoers.d/daemon
            visudo -c -q; sudo -u daemon -g mail echo sudo",
        says: "sudo",
        refused: Some("sudo: PERM_SUDOERS: setresuid(-1, 1, -1): Invalid argument"),
        ..PLAIN
    },
    Case {
        name: "setpriv",
        place: Place::Inside,
        script: "setpriv --reuid=daemon --regid=mail --init-groups --inh-caps=-all echo setpriv",
        says: "setpriv",
        refused: Some("setpriv: setresuid failed: Invalid argument"),
        ..PLAIN
    },
    Case {
        name: "chroot --userspec",
        place: Place::Inside,
        script: "chroot --userspec=daemon:mail / echo inside",
        says: "inside",
        refused: Some("failed to set supplemental groups: Operation not permitted"),
        ..PLAIN
    },
    Case {
        name: "chroot --userspec, from outside",
        place: Place::Outside,
        script: "chroot --userspec=daemon:mail --groups=mail $0 echo inside",
        says: "inside",
        refused: Some("failed to set supplemental groups: Operation not permitted"),
        ..PLAIN
    },
    Case {
        name: "start-stop-daemon --chuid",
        sample: true,
        place: Place::Inside,
        script: "start-stop-daemon --start --quiet --chuid daemon:mail --umask 027 --pidfile none --startas /bin/sh -- -c 'echo started; umask'
            start-stop-daemon --start --quiet --background --make-pidfile --pidfile pid --chuid daemon --startas /bin/sleep -- 100
            start-stop-daemon --stop --quiet --retry 5 --remove-pidfile --pidfile pid; test ! -e pid && echo stopped",
        says: "started\n0027\nstopped",
        refused: Some("unable to set gid to 8"),
        ..PLAIN
    },
    // Files of others.
    Case {
        name: "crontab -u",
        sample: true,
        place: Place::Inside,
        script: "echo '@daily true' | crontab -u daemon -; crontab -u daemon -l; stat -c '%a %n' /var/spool/cron/crontabs/daemon",
        says: "@daily true\n600 /var/spool/cron/crontabs/daemon",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "logrotate create",
        sample: true,
        place: Place::Inside,
        files: &[("conf", "/var/log/app/log {\n rotate 1\n create 0640 daemon adm\n compress\n}\n")],
        script: "mkdir /var/log/app; echo line >/var/log/app/log; chmod 644 conf; logrotate -f -s state conf
            stat -c '%a %n' /var/log/app/log; zcat /var/log/app/log.1.gz",
        says: "640 /var/log/app/log\nline",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "logrotate su",
        place: Place::Inside,
        files: &[("conf", "/var/log/other/log {\n su daemon adm\n rotate 1\n create 0640 daemon adm\n compress\n}\n")],
        script: "mkdir -m 777 /var/log/other; echo line >/var/log/other/log; chmod 644 /root/conf; logrotate -f -s state conf
            stat -c '%a %n' /var/log/other/log; zcat /var/log/other/log.1.gz",
        says: "640 /var/log/other/log\nline",
        refused: Some(INVALID),
        zero: Some(("current euid (0) does not match uid of log configuration (1)", "it checks the ids that it has set")),
        ..PLAIN
    },
    Case {
        name: "dpkg-statoverride",
        place: Place::Inside,
        script: "dpkg-statoverride --update --add daemon mail 2750 /usr/bin/chfn; stat -c %a /usr/bin/chfn",
        says: "2750",
        refused: Some("error setting ownership of"),
        ..PLAIN
    },
    Case {
        name: "systemd-tmpfiles --root",
        place: Place::Outside,
        needs: &["systemd-tmpfiles"],
        script: "printf '%s\\n' 'd /srv/d 2750 daemon adm -' 'f /srv/d/file 0640 daemon mail - text' >$0/usr/lib/tmpfiles.d/thing.conf
            systemd-tmpfiles --root=$0 --create thing.conf; cd $0; stat -c '%a %n' srv/d srv/d/file",
        says: "2750 srv/d\n640 srv/d/file",
        refused: Some(INVALID),
        ..PLAIN
    },
    Case {
        name: "systemd-tmpfiles --root, ACL",
        place: Place::Outside,
        needs: &["systemd-tmpfiles"],
        script: "printf '%s\\n' 'd /srv/acl 0750 - - -' 'a+ /srv/acl - - - - g:adm:r-x' >$0/usr/lib/tmpfiles.d/acl.conf
            systemd-tmpfiles --root=$0 --create acl.conf && echo set",
        says: "set",
        refused: Some(INVALID),
        zero: Some((INVALID, "the kernel refuses an ACL that names an id without a mapping, and level zero leaves ACLs to the kernel")),
        ..PLAIN
    },
    // What zroot is not needed for.
    Case {
        name: "ldconfig, update-alternatives, update-rc.d",
        place: Place::Inside,
        files: &[("thing", "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: thing\n# Default-Start: 2\n# Default-Stop: 0\n### END INIT INFO\n")],
        script: "ldconfig; ldconfig -p | grep -o libc.so.6 | sort -u
            update-alternatives --quiet --install /usr/bin/thing thing /bin/true 10; readlink /etc/alternatives/thing
            install thing /etc/init.d; update-rc.d thing defaults; ls /etc/rc2.d | grep thing",
        says: "libc.so.6\n/bin/true\nS01thing",
        ..PLAIN
    },
    Case {
        name: "update-ca-certificates",
        place: Place::Inside,
        script: "update-ca-certificates --fresh >/dev/null; grep -q BEGIN /etc/ssl/certs/ca-certificates.crt && echo made",
        says: "made",
        ..PLAIN
    },
    Case {
        name: "locale-gen",
        place: Place::Inside,
        script: "echo 'de_DE.UTF-8 UTF-8' >/etc/locale.gen; locale-gen >/dev/null; LC_ALL=de_DE.UTF-8 locale mon | cut -d';' -f3",
        says: "März",
        ..PLAIN
    },
    Case {
        name: "mkinitramfs",
        place: Place::Inside,
        script: "mkdir -p /lib/modules/6.0; touch /lib/modules/6.0/modules.order /lib/modules/6.0/modules.builtin; depmod 6.0; echo CONFIG_RD_GZIP=y >/boot/config-6.0
            mkinitramfs -o initrd 6.0 >log 2>&1 || { cat log; exit 1; }; lsinitramfs -l initrd | awk '$NF == \"init\" { print $1, $3 }'",
        says: "-rwxr-xr-x root",
        ..PLAIN
    },
    Case {
        name: "systemctl --root",
        sample: true,
        place: Place::Outside,
        needs: &["systemctl"],
        script: "printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' >$0/etc/systemd/system/thing.service
            systemctl --root=$0 --quiet enable thing.service; systemctl --root=$0 is-enabled thing.service
            readlink $0/etc/systemd/system/multi-user.target.wants/thing.service",
        says: "enabled\n/etc/systemd/system/thing.service",
        ..PLAIN
    },
    Case {
        name: "systemd-sysusers --root",
        place: Place::Outside,
        needs: &["systemd-sysusers"],
        script: "mkdir -p $0/usr/lib/sysusers.d; echo 'u thing 800 Thing /var/lib/thing' >$0/usr/lib/sysusers.d/thing.conf
            systemd-sysusers --root=$0 thing.conf 2>/dev/null; grep -h thing: $0/etc/passwd $0/etc/group",
        says: "thing:x:800:800:Thing:/var/lib/thing:/usr/sbin/nologin\nthing:x:800:",
        ..PLAIN
    },
];

const MAKEFILE: &str = "install:
\tinstall -d -o daemon -g daemon -m 750 $(DESTDIR)/var/spool/prog
\tinstall -D -o root -g mail -m 2755 prog $(DESTDIR)/usr/bin/prog
\tchown -R daemon:daemon $(DESTDIR)/var/spool/prog
";

const CONFIGURE_AC: &str = "AC_INIT([prog], [1])
AM_INIT_AUTOMAKE([foreign])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
";
const MAKEFILE_AM: &str = "dist_bin_SCRIPTS = prog
install-exec-hook:
\tchown root:mail $(DESTDIR)$(bindir)/prog
\tchmod 2755 $(DESTDIR)$(bindir)/prog
";

const CMAKE: &str = r#"cmake_minimum_required(VERSION 3.19)
project(prog NONE)
install(PROGRAMS prog DESTINATION bin)
install(CODE "execute_process(COMMAND chown root:mail \$ENV{DESTDIR}/usr/bin/prog COMMAND_ERROR_IS_FATAL ANY)")
install(CODE "execute_process(COMMAND chmod 2755 \$ENV{DESTDIR}/usr/bin/prog COMMAND_ERROR_IS_FATAL ANY)")
"#;

const MESON: &str = "project('prog')
install_data('prog', install_dir: 'bin', install_mode: ['rwxr-sr-x', 'root', 'mail'])
";

const MAKEFILE_PL: &str = r"use ExtUtils::MakeMaker;
WriteMakefile(NAME => 'Prog', VERSION => 1, EXE_FILES => ['prog']);
sub MY::postamble { 'install :: ; chown root:mail $(DESTINSTALLVENDORBIN)/prog && chmod 2755 $(DESTINSTALLVENDORBIN)/prog' }
";

/// Gives a directory away, which a wheel does not have: pip does so only while it builds one.
const SETUP_PY: &str = "import os
from setuptools import setup
from setuptools.command.install import install

class Install(install):
    def run(self):
        super().run()
        spool = os.path.join(self.install_data, 'spool')
        os.mkdir(spool)
        os.chown(spool, 1, 8)
        os.chmod(spool, 0o2750)

setup(name='prog', version='1', py_modules=['prog'], data_files=[('share/prog', ['data'])], cmdclass={'install': Install})
";

const PACKAGE_JSON: &str = r#"{"name": "prog", "version": "1.0.0", "bin": {"prog": "prog.js"},
"scripts": {"postinstall": "test $(id -u) = 0 && chown daemon:mail prog.js && chmod 2755 prog.js"}}
"#;

const GEMSPEC: &str = "Gem::Specification.new do |spec|
  spec.name, spec.version, spec.summary, spec.authors = 'prog', '1', 'a program', ['nobody']
  spec.files = spec.extensions = ['extconf.rb']
end
";
const EXTCONF: &str = r#"File.write('Makefile', "all clean: ;\ninstall: ; install -d -o daemon -g mail -m 2750 /var/spool/gem\n")
"#;

const PROG_GO: &str = r#"package main

import "os"

func main() {
	if err := os.Chown("file", 1, 8); err != nil {
		panic(err)
	}
}
"#;

const CARGO_TOML: &str = "[package]
name = \"prog\"
version = \"1.0.0\"
edition = \"2021\"

[[bin]]
name = \"prog\"
path = \"prog.rs\"
";
const PROG_RS: &str = r#"fn main() {
    std::os::unix::fs::chown("file", Some(1), Some(8)).unwrap();
}
"#;

pub fn run_all(suite: &Suite) {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| (suite.full || case.sample) && suite.wants(PART, case.name))
        .collect();
    // The tree with its packages, and each column's copy, are made when the first case wants them.
    let base = OnceCell::new();
    let real: Vec<RefCell<Option<Owners>>> = cases.iter().map(|_| RefCell::new(None)).collect();
    for column in Column::ALL {
        let copy = OnceCell::new();
        let tree = || {
            let base = base
                .get_or_init(|| prepared(if suite.full { ALL_PACKAGES } else { PACKAGES }))
                .as_ref()?;
            Some(copy.get_or_init(|| Tree::new(base, column)).path())
        };
        for (case, real) in cases.iter().zip(&real) {
            let expect = case.expected(column);
            suite.case(PART, case.name, column, expect, || {
                let owners = case.run(column, &tree)?;
                owners::same(real, column, owners, expect)
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
            // It ends well, and differs in owners.
            Column::Full => {
                return self
                    .full
                    .map_or(Expect::Pass, |(saying, cause)| Expect::InPart {
                        saying,
                        cause,
                    });
            }
        };
        short.map_or(Expect::Pass, |(saying, cause)| Expect::Fail {
            saying,
            cause,
        })
    }

    /// What the run has said of owners, where they are remembered.
    fn run<'a>(
        &self,
        column: Column,
        tree: &dyn Fn() -> Option<&'a Path>,
    ) -> Result<Option<Owners>, String> {
        if let Some(missing) = self.needs.iter().find(|name| program(name).is_none()) {
            return Err(skip(&format!("there is no {missing}")));
        }
        let place = if column == Column::RealRoot {
            root_dir()
        } else {
            dir()
        };
        let tree = match self.place {
            Place::Dir | Place::Shebang => place.path(),
            Place::Inside | Place::Outside => {
                tree().ok_or_else(|| skip("there is no Debian tree"))?
            }
        };
        let files = if self.place == Place::Inside {
            tree.join("root")
        } else {
            place.path().to_owned()
        };
        for (name, contents) in self.files {
            let path = files.join(name);
            fs::write(&path, contents).expect("a file");
            if column != Column::RealRoot {
                give(&path);
            }
        }
        let script = if column.keeps_owners() {
            let dir = match self.place {
                Place::Inside => Path::new("/"),
                _ => tree,
            };
            noted(self.script, &dir.display().to_string(), MOUNTS)
        } else {
            self.script.to_owned()
        };
        if column == Column::RealRoot && tree != place.path() {
            // As every run of zroot begins.
            forget(tree);
        }
        let mut command = match (self.place, column) {
            (Place::Shebang, _) => shebang(column, place.path(), &script),
            (Place::Inside, Column::RealRoot) => root(
                "unshare",
                &["-mpf", "--kill-child", "--mount-proc", "sh", "-c", ENTER],
            ),
            (Place::Inside, Column::Without) => with(user("unshare"), &["-rm", "sh", "-c", ENTER]),
            (Place::Inside, _) => with(launcher(column), &["--root"]),
            (Place::Outside, Column::RealRoot) => {
                root("unshare", &["-mpf", "--kill-child", "--mount-proc"])
            }
            _ => launcher(column),
        };
        match self.place {
            Place::Inside if column.options().is_some() => command
                .arg(tree)
                .args(["-C", "/root", "--", "sh", "-ec", &script]),
            Place::Inside => command.arg(tree).arg(&script),
            Place::Outside | Place::Dir => command.args(["sh", "-ec", &script]).arg(tree),
            Place::Shebang => &mut command,
        };
        if self.place != Place::Shebang {
            command.env(
                "HOME",
                if self.place == Place::Inside {
                    Path::new("/root")
                } else {
                    place.path()
                },
            );
        }
        if let (Some(cargo), true) = (std::env::var_os("CARGO"), self.script.contains("$CARGO")) {
            if !user(&cargo)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
            {
                return Err(skip("an unprivileged user cannot run cargo where it is"));
            }
            // The compiler lies beside it.
            let bin = Path::new(&cargo)
                .parent()
                .expect("a directory")
                .display()
                .to_string();
            command
                .env("PATH", format!("{bin}:{PATH}"))
                .env("CARGO", &cargo)
                .env("CARGO_HOME", place.path().join("home"));
        }
        let ran = run(command.current_dir(place.path()));
        let (stdout, owners) = split(&ran.stdout);
        printed(&ran, stdout, self.says).map(|()| owners)
    }
}

/// Whether it succeeded and printed that.
fn printed(ran: &Ran, stdout: &str, says: &str) -> Result<(), String> {
    if ran.status == 0 && stdout.trim_end() == says.trim_end() {
        Ok(())
    } else {
        Err(format!("{ran:#?}"))
    }
}

/// Enters the tree `$0` and runs the script `$1` in it.
const ENTER: &str = r#"mount --rbind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" sh -ec "cd /root; $1""#;

/// What puts a command into its column.
fn launcher(column: Column) -> Command {
    match column {
        Column::RealRoot => root("env", &[]),
        Column::Without => control([""; 0]),
        Column::Zero | Column::Selective | Column::Full => {
            zroot_with(column.options().expect("a level"))
        }
    }
}

/// A script's file, to be executed with next to nothing around it.
fn shebang(column: Column, place: &Path, script: &str) -> Command {
    let first = match column.options() {
        None if column == Column::RealRoot => {
            format!("{} -S --if-needed -- /bin/sh -e", zroot().display())
        }
        None => "/bin/sh -e".into(),
        Some(options) => format!(
            "{} -S {} -- /bin/sh -e",
            zroot().display(),
            options.join(" ")
        ),
    };
    let path = place.join("job");
    executable(&path, format!("#!{first}\n{script}\n"));
    if column == Column::RealRoot {
        chown(&path, Some(0), Some(0)).expect("chown");
    }
    let mut command = match column {
        Column::RealRoot => root(&path, &[]),
        Column::Without => control([&path]),
        Column::Zero | Column::Selective | Column::Full => user(&path),
    };
    command.env_clear();
    command
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

/// A command of real root's, with the environment of [`user`].
fn root(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([
        ("PATH", PATH),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ]);
    command.stdin(Stdio::null()).args(args);
    command
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

/// The tree with `packages` in it.
fn prepared(packages: &str) -> Option<Root> {
    let root = Root::copy(PART)?;
    let script = format!(
        "apt-get install -y --no-install-recommends {packages} && rm -rf /var/cache/apt/archives /var/lib/apt/lists"
    );
    run(zroot_with(["--root"])
        .arg(root.path())
        .args(["--", "sh", "-ec", &script]))
    .succeeds();
    Some(root)
}

/// A copy for one column.
enum Tree {
    User(Root),
    Real(TempDir),
}

impl Tree {
    fn new(base: &Root, column: Column) -> Tree {
        if column != Column::RealRoot {
            return Tree::User(base.again());
        }
        let copy = root_dir();
        run(
            root("cp", &["-dR", "--preserve=mode,timestamps,links", "-T"])
                .arg(base.path())
                .arg(copy.path()),
        )
        .succeeds();
        Tree::Real(copy)
    }

    fn path(&self) -> &Path {
        match self {
            Tree::User(root) => root.path(),
            Tree::Real(dir) => dir.path(),
        }
    }
}

//! What fakeroot's manual promises, in one table. What real root finds, zroot by that name has to
//! show as well; so it has to a static program, which a preloaded library cannot reach. Each check
//! has its control: under `unshare -r` alone, something else is found.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{ours, theirs};
use crate::common::{Ran, control, dir, for_root_only, plain, program, run, skip};
use crate::supervisor::compile;

/// A name, the programs that it takes beside coreutils, and a script.
type Check = (&'static str, &'static [&'static str], &'static str);

/// `look FILE...` is what there is to see of files. It is done by a static program, too.
const CHECKS: &[Check] = &[
    ("chown u", &[], "touch f; chown 5 f; look f"),
    ("chown u:g", &[], "touch f; chown 5:6 f; look f"),
    ("chown :g", &[], "touch f; chown :6 f; look f"),
    ("chown u:", &[], "touch f; chown daemon: f; look f"),
    (
        "chown by name",
        &[],
        "touch f; chown bin:mail f; look f; ls -l f | cut -d' ' -f1-4",
    ),
    (
        "chown of a number that nobody has",
        &[],
        "touch f; chown 12345678:4294967294 f; look f",
    ),
    (
        "chown -R",
        &[],
        "mkdir -p d/e/f; touch d/a d/e/b; chown -R 5:6 d; look d d/a d/e d/e/b d/e/f",
    ),
    (
        "chown -h",
        &[],
        "touch f; ln -s f l; chown -h 5:6 l; look f l",
    ),
    (
        "chown -h of a link to nothing",
        &[],
        "ln -s no l; chown -h 5:6 l; look l",
    ),
    (
        "chown through a link",
        &[],
        "touch f; ln -s f l; chown 5:6 l; look f l",
    ),
    (
        "chown -RH, -RL, -RP",
        &[],
        "for o in H L P; do mkdir -p $o/d/e; touch $o/x; ln -s d $o/l; ln -s ../../x $o/d/e/m; chown -R$o 5:6 $o/l; look $o/x $o/l $o/d $o/d/e $o/d/e/m; done",
    ),
    (
        "chown --from",
        &[],
        "touch f g; chown 5:6 f g; chown --from=5 7 f; chown --from=:7 8 g; look f g",
    ),
    (
        "chown --reference",
        &[],
        "touch f g; chown 5:6 f; chown --reference=f g; look g",
    ),
    ("chgrp", &[], "touch f; chgrp 6 f; chgrp -h 7 f; look f"),
    (
        "chown back to root",
        &[],
        "touch f; chown 5:6 f; chown 0 f; look f; chown :0 f; look f; chown 7 f; look f",
    ),
    (
        "chown by a descriptor",
        &["perl"],
        r#"perl -e 'open F, ">f"; chown 5, 6, *F or die'; look f"#,
    ),
    (
        "chown by a directory's descriptor",
        &["python3"],
        r#"python3 -c 'import os; os.mkdir("d"); open("d/f", "w"); d = os.open("d", 0); os.chown("f", 5, 6, dir_fd=d); os.symlink("x", "l", dir_fd=d); os.lchown("d/l", 7, 8)'; look d/f d/l"#,
    ),
    (
        "stat by a descriptor",
        &["python3"],
        r#"touch f; chown 5:6 f; python3 -c 'import os; s = os.fstat(os.open("f", 0)); print(s.st_uid, s.st_gid); print([(e.name, e.stat().st_uid) for e in os.scandir()])'; look f"#,
    ),
    (
        "what is written to stays whose it is",
        &[],
        "echo a >f; chown 5:6 f; echo b >>f; : >f; look f",
    ),
    (
        "set-id bits when root writes",
        &[],
        "for m in 4755 2755 6711; do echo a >f; chmod $m f; echo b >>f; look f; : >f; look f; echo c | cat >f; chmod 700 f; look f; rm f; done; echo >f; chown 5:6 f; chmod 4750 f; echo >f; look f",
    ),
    (
        "sed -i",
        &[],
        "echo a >f; chown 5:6 f; sed -i s/a/b/ f; look f",
    ),
    (
        "test -O, -G",
        &["bash"],
        "touch f g; chown 5:6 f; bash -c '[ -O f ] || echo not; [ -G f ] || echo not; [ -O g ] && echo yes'; look f",
    ),
    (
        "ls",
        &[],
        "touch f; mkdir d; ln -s f l; chown 5:6 f; chown 7:8 d; chown -h 9:10 l; ls -n f l | awk '{print $1, $2, $3, $4, $NF}'; ls -dn d | awk '{print $1, $3, $4}'; look f",
    ),
    (
        "find",
        &[],
        r"mkdir d; touch d/f d/g; chown 5:6 d/f; chown 7 d; find d -uid 5 -o -gid 0 | sort; find d -printf '%P %U:%G %m %y\n' | sort; look d",
    ),
    (
        "find -user, -group, -nouser",
        &[],
        "touch f g h; chown daemon:mail f; chown 12345 g; find . -user daemon -group mail; find . -nouser; look f g",
    ),
    (
        "install",
        &[],
        "echo x >f; install -o 5 -g 6 -m 4750 f g; install -d -o 7 -g 8 -m 2770 d; install -D -o 9 f e/f; look g d e e/f",
    ),
    (
        "cp -a",
        &[],
        "mkdir d; touch d/f; ln -s f d/l; chown -h 5:6 d/f d/l d; cp -a d e; look e e/f e/l",
    ),
    (
        "cp -p",
        &[],
        "touch f; chown 5:6 f; chmod 6711 f; cp -p f g; cp --preserve=mode f h; look g h",
    ),
    (
        "mv",
        &[],
        "mkdir d; touch f; chown 5:6 f d; mv f d/g; mv d e; look e e/g",
    ),
    (
        "a copy is root's",
        &[],
        "touch f; chown 5:6 f; cp f g; look f g",
    ),
    (
        "hard links",
        &[],
        "touch f; ln f g; chown 5:6 f; look f g; ln g h; rm f g; look h",
    ),
    (
        "a file that comes later",
        &[],
        "for i in 1 2 3 4 5 6 7 8; do touch f; chown 5:6 f; look f; rm f; touch g; look g; rm g; done",
    ),
    (
        "modes",
        &[],
        "touch f; mkdir d; chown 5:6 f d; for m in 0 7 700 1777 4711 2750 6755; do chmod $m f d; look f d; done",
    ),
    (
        "what nobody may read",
        &[],
        "echo x >f; chmod 0 f; cat f; echo y >>f; mkdir -m 0 d; touch d/f; chown 5:6 f d d/f; look d/f f",
    ),
    (
        "umask",
        &[],
        "umask 027; touch f; mkdir d; mkdir -m 3777 e; chown 5 f d e; look f d e",
    ),
    (
        "tar c",
        &["tar"],
        "mkdir d; touch d/f; ln d/f d/g; ln -s f d/l; chown -h 5:6 d/f d/l; chown 7:8 d; chmod 4755 d/f; tar c d | tar tv --numeric-owner | awk '{print $1, $2, $NF}' | sort; look d/f",
    ),
    (
        "tar x",
        &["tar"],
        "mkdir d; touch d/f; ln -s f d/l; tar c --numeric-owner --owner=5 --group=6 d >t; rm -r d; tar x --numeric-owner <t; look d d/f d/l",
    ),
    (
        "tar x by names",
        &["tar"],
        "touch f; chown bin:mail f; chmod 2755 f; tar cf t f; rm f; tar xpf t; look f",
    ),
    (
        "tar of devices",
        &["tar"],
        "mkdir d; mknod d/c c 5 1; mknod d/b b 7 3; mkfifo d/p; chown 5:6 d/c; tar cf t d; rm -r d; tar xpf t; look d/c d/b d/p",
    ),
    (
        "cpio -o",
        &["cpio"],
        "touch f; mknod n c 4 2; chown 5:6 f; printf '%s\\n' f n | cpio -oH newc --quiet >t; cpio -itvn --quiet <t | awk '{print $1, $3, $4, $NF}'; look f",
    ),
    (
        "cpio -i",
        &["cpio"],
        "touch f; mknod n c 4 2; chown 5:6 f n; printf '%s\\n' f n | cpio -oH newc --quiet >t; rm f n; cpio -i --quiet <t; look f n",
    ),
    (
        "ar",
        &["ar"],
        "touch f; chown 5:6 f; ar rcU x.a f; ar tv x.a | cut -d' ' -f1,2; look f",
    ),
    (
        "dpkg-deb -b",
        &["dpkg-deb"],
        r"mkdir -p d/DEBIAN d/usr; printf 'Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m <m@m>\nDescription: p\n' >d/DEBIAN/control
        touch d/usr/f; mknod d/usr/n c 1 3; chown 5:6 d/usr/f; chmod 2755 d/usr/f; dpkg-deb -b d p.deb >/dev/null; dpkg-deb --fsys-tarfile p.deb | tar tv --numeric-owner | awk '{print $1, $2, $NF}'; look d/usr/f",
    ),
    (
        "dpkg-deb -x",
        &["dpkg-deb"],
        r"mkdir -p d/DEBIAN d/usr; printf 'Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m <m@m>\nDescription: p\n' >d/DEBIAN/control
        touch d/usr/f; chown 5:6 d/usr/f; dpkg-deb -b d p.deb >/dev/null; dpkg-deb -x p.deb e; look e/usr e/usr/f",
    ),
    (
        "rsync",
        &["rsync"],
        "mkdir d; touch d/f; ln -s f d/l; mknod d/n b 8 1; mkfifo d/p; chown -h 5:6 d d/*; rsync -a d/ e; look e e/f e/l e/n e/p",
    ),
    (
        "rsync --chown, -H",
        &["rsync"],
        "mkdir d; touch d/f; ln d/f d/g; chown 5:6 d/f; rsync -aH --chown=7:8 d/ e; look e e/f e/g",
    ),
    (
        "mksquashfs",
        &["mksquashfs", "unsquashfs"],
        "mkdir d; touch d/f; mknod d/n c 5 1; chown 5:6 d/f d; mksquashfs d s -noappend -quiet -no-progress >/dev/null 2>&1; unsquashfs -lln s | awk '/squashfs-root/ {print $1, $2, $NF}'; look d/f",
    ),
    (
        "mknod",
        &[],
        "mknod c c 5 1; mknod b b 259 70000; mknod -m 620 u u 1 3; mknod p p; look c b u p; ls -n c b | awk '{print $1, $3, $4, $5, $6}'",
    ),
    (
        "a device that is given away",
        &[],
        "mknod c c 5 1; chown 5:6 c; chmod 4711 c; ln c d; mv c e; look d e; rm e d; touch e; look e",
    ),
    (
        "cp -a of a device",
        &[],
        "mknod c c 5 1; chown 5:6 c; cp -a c d; cp -R c e; look d e",
    ),
    // (find asks readdir(3) of what it is not told by name; nobody but the kernel answers that.)
    (
        "tests for devices",
        &[],
        "mknod c c 5 1; mknod b b 5 1; [ -c c ] && [ -b b ] && [ ! -f c ] && echo yes; find c b -type c; look c b",
    ),
    (
        "trusted attributes",
        &["setfattr", "getfattr"],
        "touch f; setfattr -n trusted.x -v y f; chown 5 f; getfattr -d -m - f; cp -a f g; getfattr -d -m trusted g; setfattr -x trusted.x f; getfattr -d -m - f; look f",
    ),
    (
        "security attributes",
        &["setfattr", "getfattr"],
        "touch f; setfattr -n security.x -v y f; chown 5 f; getfattr -n security.x f; look f",
    ),
    (
        "capabilities",
        &["setcap", "getcap"],
        "touch f g; chown 5 f g; setcap cap_net_raw+ep f; getcap f; cp -a f h; getcap h; setcap -r f; getcap f; look f h",
    ),
    (
        "ACLs",
        &["setfacl", "getfacl"],
        "touch f; chown 5:6 f; setfacl -m u:bin:rw,g:8:r f; getfacl -n f; cp -a f g; getfacl -n g; chmod 600 f; getfacl -n f; setfacl -b f; getfacl -n f; look f g",
    ),
    (
        "default ACLs",
        &["setfacl", "getfacl"],
        "mkdir d; setfacl -d -m u:5:rwx d; touch d/f; mkdir d/e; getfacl -nR d; chown 7 d/f; look d/f d/e",
    ),
    (
        "tar --xattrs --acls",
        &["setfattr", "getfattr", "setfacl", "getfacl", "tar"],
        "touch f; setfattr -n trusted.x -v y f; setfacl -m u:5:r f; chown 7 f; tar c --xattrs --xattrs-include='*' --acls f >t; rm f; tar xp --xattrs --xattrs-include='*' --acls <t; getfattr -d -m trusted f; getfacl -n f; look f",
    ),
    (
        "set-gid directories",
        &[],
        "mkdir d; chown 5:6 d; chmod 2775 d; touch d/f; mkdir d/e; ln -s f d/l; mkfifo d/p; mknod d/n c 1 3; touch d/e/g; look d d/f d/e d/l d/p d/n d/e/g",
    ),
    (
        "a socket",
        &["python3"],
        r#"python3 -c 'import os, socket; socket.socket(socket.AF_UNIX).bind("s"); os.chown("s", 5, 6)'; look s"#,
    ),
    (
        "who am I",
        &[],
        "id -u; id -g; id -un; whoami; touch f; chown 5 f; look f",
    ),
    (
        "ids across exec",
        &["setpriv"],
        "chmod 777 .; setpriv --reuid 5 --regid 6 --clear-groups sh -c 'id -u; id -g; touch f; mkdir d; sh -c \"touch g\"'; look f d g",
    ),
    (
        "ids that are set",
        &["perl"],
        r#"chmod 777 .; perl -e '$) = "6 6"; $> = 5; print "$> $)\n"; open F, ">f"; close F; $> = 0; open F, ">g"'; look f g"#,
    ),
    (
        "who is not root may give nothing away",
        &["setpriv"],
        "touch f g; chown 5:6 f; chmod 777 .; setpriv --reuid 5 --regid 6 --clear-groups sh -c 'chown 7 f || echo no; chmod 700 f && echo yes; chmod 700 g || echo no' 2>/dev/null; look f g",
    ),
    (
        "errors",
        &[],
        "ln -s l l; for f in no no/no l .//no; do chown 5 $f 2>&1 || :; done; touch f; chown 5 f/g 2>&1 || :; mkdir d; chown 5 d; rmdir d; chown 5 d 2>&1 || :; chown 6 f; look f",
    ),
];

/// One check in a new directory, whose files the program `stat` looks at.
fn at(mut command: Command, stat: &str, script: &str) -> Ran {
    // The mode of a symbolic link is nobody's business; busybox has another word for empty files.
    let script = format!(
        "look() {{ for f; do {stat} -c '%n %u:%g %a %f %t:%T %h' \"$f\"; done; }}\n{script}"
    );
    command.args(["sh", "-ec", &script]);
    run(&mut command)
}

/// As real root, who has no other groups, in a directory of root's.
fn real_root(stat: &str, script: &str) -> Ran {
    let place = dir();
    let work = place.path().join("root");
    fs::create_dir(&work).expect("a directory");
    let mut command = plain("env");
    command.uid(0).gid(0).current_dir(work);
    at(command, stat, script)
}

/// As the user, under what `launch` makes.
fn launched(launch: impl Fn() -> Command, stat: &str, script: &str) -> Ran {
    let place = dir();
    let mut command = launch();
    command.current_dir(place.path());
    at(command, stat, script)
}

#[test]
fn what_fakeroots_manual_promises() {
    let test = "what_fakeroots_manual_promises";
    if for_root_only(test) {
        return;
    }
    if program("busybox").is_none() {
        skip(test, "there is no busybox (Debian's busybox-static)");
        return;
    }
    // How each looks: by the C library, statically, and as another ABI has it.
    let mut looks = vec!["stat", "busybox stat"];
    let place = dir();
    let small = place.path().join("look");
    let built = compile(
        "look.c",
        &["-m32", "-static", "-D_FILE_OFFSET_BITS=64"],
        &small,
    );
    if built.status == 0 {
        looks.push(small.to_str().expect("UTF-8"));
    } else {
        skip(test, &format!("as i386: {}", built.stderr));
    }
    let has_fakeroot = program("fakeroot").is_some();
    let (mut all, mut by_fakeroot, mut wrong) = (0, vec![0; looks.len()], Vec::new());
    for (name, programs, script) in CHECKS {
        let missing: Vec<_> = programs
            .iter()
            .filter(|name| program(name).is_none())
            .collect();
        if !missing.is_empty() {
            skip(test, &format!("{name}: there is no {missing:?}"));
            continue;
        }
        all += 1;
        for (i, stat) in looks.iter().copied().enumerate() {
            let real = real_root(stat, script).succeeds();
            let says = |ran: &Ran| (ran.status, ran.stdout.clone());
            let ran = launched(|| ours(["--"]), stat, script);
            if says(&ran) != says(&real) {
                wrong.push(format!("{name}, by {stat}: {ran:#?} instead of {real:#?}"));
            }
            let without = launched(|| control::<&str>([]), stat, script);
            assert_ne!(says(&without), says(&real), "the control of {name}");
            if has_fakeroot && says(&launched(|| theirs(["--"]), stat, script)) == says(&real) {
                by_fakeroot[i] += 1;
            }
        }
    }
    if has_fakeroot {
        eprintln!(
            "{all} checks, of which fakeroot passes {}, and {:?} where a static program looks",
            by_fakeroot[0],
            &by_fakeroot[1..]
        );
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {}",
        wrong.len(),
        looks.len() * all,
        wrong.join("\n")
    );
}

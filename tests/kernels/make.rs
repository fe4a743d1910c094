//! What goes into a guest: zroot and the checker for its ABIs, archives, the script that runs it
//! all, packed as an initramfs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zroot::internals::arch::signature::Kind;
use zroot::internals::arch::stat::layout;
use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::filter;
use zroot::internals::filter::policy::{Action, Class, ClassSet, Level, Policy, When};

use crate::common::{Ran, run};
use crate::fetch::{self, Fetched, Unreachable};
use crate::machines::{Toolchain, toolchain};

/// The modes of the checker, in its order, and what the filter answers with; none in the first.
pub const MODES: [(&str, Option<Policy>); 4] = [
    ("control", None),
    ("zero", Some(Policy::DEFAULT)),
    (
        "never",
        Some(Policy {
            classes: ClassSet::DEFAULT.with(Class::Getid),
            ..Policy::DEFAULT
        }),
    ),
    (
        "all",
        Some(Policy {
            classes: Level::Zero.classes(),
            ..Policy::DEFAULT
        }),
    ),
];

/// zroot's options that make the filter of a mode.
pub fn options(mode: &str) -> String {
    match mode {
        "never" => "--userns=never".into(),
        "all" => {
            let added = Level::Zero.classes().minus(ClassSet::DEFAULT);
            format!("--fake={added}")
        }
        _ => String::new(),
    }
}

/// How a call is answered in each mode, one letter each: F faked, A absent, R really, ? not to be
/// told. `is_hit`: its arguments are such that a rule with a condition applies.
fn answers(call: Sysno, is_hit: bool) -> String {
    let letter = |(mode, policy): &(&str, Option<Policy>)| {
        let rule = policy.and_then(|policy| policy.rules().find(|rule| rule.call == call));
        match rule
            .filter(|rule| is_hit || rule.when == When::Always)
            .map(|rule| rule.action)
        {
            Some(Action::FakeSuccess) => 'F',
            Some(Action::Absent) => 'A',
            // It has no result.
            _ if call == Sysno::sync => '?',
            // In the namespace the real answer is 0, too.
            _ if *mode == "zero" && gives_id(call) => '?',
            _ => 'R',
        }
    };
    MODES.iter().map(letter).collect()
}

/// Calls that return an id, which is 0 for root.
fn gives_id(call: Sysno) -> bool {
    let name = call.name();
    name.contains("setfs")
        || Class::Getid
            .rules(Level::Zero)
            .any(|rule| rule.call == call)
}

/// The rows of a call: arguments that no kernel accepts, once for each outcome of its rule's
/// condition.
fn rows(call: Sysno) -> Vec<(bool, [&'static str; 5])> {
    const ODD: &str = "12345"; // an id that is not mapped
    const BAD: &str = "-1";
    let all_rules = |level: Level| {
        Policy {
            classes: level.classes(),
            ..Policy::of(level)
        }
        .rules()
        .collect::<Vec<_>>()
    };
    let when = Level::ALL
        .into_iter()
        .flat_map(all_rules)
        .find(|rule| rule.call == call)
        .map(|rule| rule.when);
    let plain = [BAD; 5];
    let with = |pairs: &[(u8, &'static str)]| {
        let mut args = plain;
        for (arg, value) in pairs {
            args[usize::from(*arg)] = value;
        }
        args
    };
    match when {
        Some(When::DeviceNode { mode, dev }) => vec![
            (true, with(&[(mode, "0020666"), (dev, "0x103")])),
            (true, with(&[(mode, "0060666"), (dev, "0x103")])),
            (false, with(&[(mode, "0020666"), (dev, "0")])),
            (false, with(&[(mode, "0010666"), (dev, "0")])),
        ],
        // A resource that there is not.
        Some(When::NonNull { arg }) => vec![
            (true, with(&[(0, "0"), (1, "9999")])),
            (false, with(&[(0, "0"), (1, "9999"), (arg, "0")])),
        ],
        Some(When::IsLocksLimit { resource }) => vec![(false, with(&[(resource, "9999")]))],
        Some(When::IsLocksLimitOrNonNull { resource, arg }) => vec![
            (true, with(&[(0, "0"), (resource, "9999")])),
            (false, with(&[(0, "0"), (resource, "9999"), (arg, "0")])),
        ],
        Some(When::SetsInodeFlags { request }) => vec![
            (true, with(&[(request, "FS_IOC_SETFLAGS")])),
            (true, with(&[(request, "FS_IOC_FSSETXATTR")])),
            (false, with(&[(request, "FS_IOC_GETFLAGS")])),
        ],
        _ if call.name().starts_with("setgroups") => vec![(true, with(&[(0, "1")]))],
        _ if Class::Identity
            .rules(Level::Zero)
            .any(|rule| rule.call == call) =>
        {
            vec![(true, [ODD; 5])]
        }
        _ => vec![(true, plain)],
    }
}

/// The checker's `rows.h` for `abi`, and how many checks it has.
fn rows_header(abi: Abi) -> (String, usize) {
    let (mut text, mut checks) = (String::new(), 0);
    for call in Sysno::ALL {
        let name = call.name();
        let _ = writeln!(text, "#ifdef __NR_{name}");
        if call.nr(abi).is_some() {
            for (is_hit, args) in rows(*call) {
                let _ = writeln!(
                    text,
                    "ROW({name}, \"{}\", {})",
                    answers(*call, is_hit),
                    args.join(", ")
                );
                checks += 1;
            }
        } else {
            let _ = writeln!(text, "UNKNOWN({name})");
            checks += 1;
        }
        let _ = writeln!(
            text,
            "#else\nLACKING({name}, {})\n#endif",
            i32::from(call.nr(abi).is_some())
        );
    }
    (text, checks)
}

/// How many answers `guest.c` compares at a level that remembers owners: of each of its files, by
/// each way through each call of the stat family.
pub fn stat_answers(abi: Abi) -> usize {
    const FILES: usize = 10;
    let ways = |call: Sysno| match call.signature() {
        // PowerPC has numbers for the oldest calls, no more.
        _ if call.nr(abi).is_none() => 0,
        signature if signature.position(Kind::Statx).is_some() => 4 + 3,
        signature if signature.position(Kind::AtFlags).is_some() => 4,
        _ if layout(abi, call).is_some() => 1,
        _ => 0,
    };
    let calls = Class::Stat.rules(Level::Full).map(|rule| rule.call);
    FILES * calls.map(ways).sum::<usize>()
}

/// The numbers of calls that are younger than 31-bit s390's last header. From 424 on they are those
/// of 64-bit s390 (arch/s390/kernel/syscalls/syscall.tbl).
fn younger_calls(headers: &Path) -> String {
    let all = fs::read_to_string(headers.join("usr/lib/linux/uapi/s390/asm/unistd_64.h"))
        .expect("s390x's header");
    let mut text = String::new();
    for line in all.lines() {
        let mut words = line.split_whitespace().skip(1);
        if let (Some(name), Some(nr)) = (
            words.next(),
            words.next().and_then(|nr| nr.parse::<u32>().ok()),
        ) {
            if nr >= 424 {
                let _ = writeln!(text, "#ifndef {name}\n#define {name} {nr}\n#endif");
            }
        }
    }
    text
}

/// What is needed to compile and link, or what of it this machine lacks.
pub struct Tools {
    clang: PathBuf,
    linker: PathBuf,
}

impl Tools {
    pub fn find() -> Result<Tools, String> {
        let clang = (14..30)
            .rev()
            .map(|version| format!("clang-{version}"))
            .find_map(|name| crate::common::program(&name));
        let sysroot = run(Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(env!("CARGO_MANIFEST_DIR")))
        .stdout;
        let host = format!(
            "{}/lib/rustlib/{}-unknown-linux-gnu/bin/gcc-ld/ld.lld",
            sysroot.trim(),
            std::env::consts::ARCH
        );
        let linker = PathBuf::from(host);
        match clang {
            None => Err("there is no clang-16 or newer".into()),
            Some(_) if !linker.is_file() => Err("rustc has no rust-lld".into()),
            Some(clang) => Ok(Tools { clang, linker }),
        }
    }

    /// The checker for `abi` at `to`, and how many checks it makes.
    pub fn checker(&self, abi: Abi, to: &Path) -> Fetched<usize> {
        let Toolchain {
            clang,
            headers: architecture,
            ..
        } = toolchain(abi);
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
        let headers = fetch::headers()?;
        let (rows, checks) = rows_header(abi);
        let include = to.with_extension("include");
        fs::create_dir_all(&include).expect("a directory");
        fs::write(include.join("rows.h"), &rows).expect("rows.h");
        let mut command = if abi == Abi::S390 {
            // clang does not know 31 bits, nor do the newest headers.
            fs::write(include.join("rows.h"), younger_calls(&headers) + &rows).expect("rows.h");
            let gcc = fetch::gcc_for_s390()?.join("usr");
            let mut command = Command::new(gcc.join("bin/s390x-linux-gnu-gcc-12"));
            command
                .args(["-m31", "-mzarch", "-isystem"])
                .arg(gcc.join("s390x-linux-gnu/include"));
            command.env("LD_LIBRARY_PATH", gcc.join("lib/x86_64-linux-gnu"));
            command
        } else {
            let mut command = Command::new(&self.clang);
            command
                .args(clang)
                .arg(format!("--ld-path={}", self.linker.display()));
            for dir in [
                format!("usr/lib/linux/uapi/{architecture}"),
                "usr/include".into(),
            ] {
                command.arg("-isystem").arg(headers.join(dir));
            }
            command
        };
        let flags = "-std=gnu11 -Wall -Wextra -Werror -Wno-sign-compare -Os -nostdinc -nostdlib -static -ffreestanding -fno-pic";
        command
            .args(flags.split(' '))
            .args([
                "-fno-stack-protector",
                "-fno-builtin",
                "-Wl,-e,_start",
                "-I",
            ])
            .arg(&include);
        run(command.arg("-o").arg(to).arg(here.join("guest.c"))).succeeds();
        fs::remove_dir_all(include).expect("removed");
        Ok(checks)
    }

    /// zroot for `abi`, built from the sources in `from`; `None` where there is no standard library
    /// for it.
    pub fn zroot(&self, abi: Abi, from: &Path) -> Fetched<Option<PathBuf>> {
        let Toolchain { rust, clang, .. } = toolchain(abi);
        let Some((target, architecture, triplet)) = rust else {
            return Ok(None);
        };
        let built = from.join("target").join(target).join("release/zroot");
        let mut command = Command::new(env!("CARGO"));
        command
            .args([
                "build",
                "--release",
                "--quiet",
                "--bin",
                "zroot",
                "--target",
                target,
                "--target-dir",
                "target",
            ])
            .current_dir(from);
        if abi != Abi::NATIVE {
            let installed = run(Command::new("rustup")
                .args(["target", "add", target])
                .current_dir(from));
            if installed.status != 0 {
                return Err(Unreachable(format!(
                    "no standard library for {target}: {}",
                    last_line(&installed)
                )));
            }
            let library = fetch::c_library(architecture)?.join("usr");
            let mut flags = vec![
                format!("-Clinker={}", self.clang.display()),
                format!("-Clink-arg=--ld-path={}", self.linker.display()),
            ];
            flags.extend(
                clang
                    .iter()
                    .filter(|flag| flag.starts_with("--target"))
                    .map(|flag| format!("-Clink-arg={flag}")),
            );
            for dir in [
                library.join("lib/gcc-cross").join(triplet).join("12"),
                library.join(triplet).join("lib"),
            ] {
                flags.extend([
                    format!("-Clink-arg=-B{}", dir.display()),
                    format!("-Clink-arg=-L{}", dir.display()),
                ]);
            }
            command.env(
                format!(
                    "CARGO_TARGET_{}_RUSTFLAGS",
                    target.to_uppercase().replace('-', "_")
                ),
                flags.join(" "),
            );
        }
        run(&mut command).succeeds();
        Ok(Some(built))
    }
}

fn last_line(ran: &Ran) -> &str {
    ran.stderr.trim().lines().last().unwrap_or_default()
}

/// Writes the filters of all modes, for the checker's own loader.
pub fn filters(abi: Abi, to: &Path) {
    for (mode, policy) in MODES {
        let Some(policy) = policy else { continue };
        let dumped =
            filter::dump::dump(filter::dump::Format::Raw, &[abi], policy).expect("a filter");
        fs::write(to.join(format!("filter-{mode}")), dumped.contents).expect("written");
    }
}

/// An archive and a package with files of other owners: made as if by their owners, whoever runs
/// this.
pub fn archives(to: &Path) {
    let script = r#"
        mkdir -p files/usr/share/suite control; echo content > files/usr/share/suite/file; chmod 2755 files/usr/share/suite
        tar -cf suite.tar --owner=5 --group=7 --numeric-owner -C files .
        printf 'Package: suite\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: files of others\n' > control/control
        printf '#!/bin/sh\nchown -R 5:7 "$DPKG_ROOT/usr/share/suite"\n' > control/postinst; chmod 755 control/postinst
        tar -czf control.tar.gz --owner=0 --group=0 -C control .; gzip -kc suite.tar > data.tar.gz; echo 2.0 > debian-binary
        ar rc suite.deb debian-binary control.tar.gz data.tar.gz
        rm -r files control control.tar.gz data.tar.gz debian-binary"#;
    run(Command::new("sh").args(["-ec", script]).current_dir(to)).succeeds();
}

/// Packs trees, one over the other, as an initramfs of root's, whoever's they are.
pub fn initramfs(trees: &[&Path], to: &Path) {
    let script = r#"to=$1; shift; : > "$to"
        for tree in "$@"; do cd "$tree"; find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 >> "$to"; done"#;
    run(Command::new("bash")
        .args(["-o", "pipefail", "-ec", script, "-"])
        .arg(to)
        .args(trees))
    .succeeds();
}

//! What `arch::stat` says that the stat family writes: against the kernel's own headers for every
//! ABI, and against what this machine's kernel writes through each ABI that it executes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use zroot::internals::arch::signature::Kind;
use zroot::internals::arch::stat::{Facts, Field, Layout, Moment, Place, encode, layout};
use zroot::internals::arch::{Abi, Endian, Sysno};

use crate::common;

/// The calls that have a layout for `abi`, with it.
fn layouts(abi: Abi) -> impl Iterator<Item = (Sysno, &'static Layout)> {
    let with = move |call: &Sysno| Some((*call, layout(abi, *call)?));
    Sysno::ALL.iter().filter_map(with)
}

// The encoder.

const MOMENT: Moment = Moment {
    seconds: 0x1_2345_6789,
    nanoseconds: 987_654_321,
};

/// A file with which every call comes to an end, and no two fields are the same.
const FACTS: Facts = Facts {
    dev: (8, 17),
    ino: 0x4321,
    mode: 0o104_755,
    nlink: 3,
    uid: 1000,
    gid: 65535,
    rdev: (4, 64),
    size: 0x7fff_ffff,
    blksize: 4096,
    blocks: 0x1_0000_0008,
    accessed: MOMENT,
    modified: Moment {
        seconds: -2,
        nanoseconds: 500_000_000,
    },
    changed: Moment {
        seconds: i64::MIN,
        nanoseconds: 0,
    },
};

/// The number at `place` of what `call` writes.
fn read(abi: Abi, call: Sysno, facts: &Facts, field: Field) -> Option<u64> {
    let encoded = encode(abi, call, facts)?;
    let layout = layout(abi, call).expect("a layout");
    let mut places = layout.places.iter().filter(|place| place.field == field);
    let place = places.next().expect("a field of that name");
    assert_eq!(places.next(), None, "twice");
    let (from, width) = (usize::from(place.offset), usize::from(place.width));
    let bytes = encoded[from..from + width].iter();
    let add = |number, byte: &u8| number << 8 | u64::from(*byte);
    Some(match abi.endian() {
        Endian::Big => bytes.fold(0, add),
        Endian::Little => bytes.rev().fold(0, add),
    })
}

#[test]
fn these_calls_write_a_struct_stat() {
    for abi in Abi::ALL {
        for call in Sysno::ALL {
            let takes = call.signature().position(Kind::Stat).is_some();
            let is_there = call.nr(abi).is_some();
            // PowerPC's oldest calls are numbers only.
            let is_nothing = abi == Abi::Ppc64le && call.name().starts_with("old");
            let expected = takes && is_there && !is_nothing;
            assert_eq!(layout(abi, *call).is_some(), expected, "{call:?} on {abi}");
            let encoded = encode(abi, *call, &FACTS);
            assert_eq!(encoded.is_some(), expected, "{call:?} on {abi}");
        }
    }
    let named: Vec<&Sysno> = Sysno::ALL
        .iter()
        .filter(|call| call.name().contains("stat") && !call.name().contains("statf"))
        .collect();
    assert_eq!(named.len(), 12, "{named:?}");
    for call in named {
        let takes = |kind| call.signature().position(kind).is_some();
        assert!(takes(Kind::Stat) != takes(Kind::Statx), "{call:?}");
        let name = call.name();
        let expected = match name {
            "statx" => Kind::Dir,
            _ if name.contains("fstatat") => Kind::Dir,
            _ if name.contains("fstat") => Kind::Fd,
            _ if name.contains("lstat") => Kind::Link,
            _ => Kind::Path,
        };
        assert_eq!(call.signature().params[0].kind, expected, "{name}");
    }
}

#[test]
fn fields_lie_side_by_side() {
    for abi in Abi::ALL {
        for (call, layout) in layouts(abi) {
            let mut end = 0;
            for place in layout.places {
                assert!(place.offset >= end, "{call:?} on {abi}: {place:?}");
                assert!([2, 4, 8].contains(&place.width));
                assert_eq!(place.offset % place.width.min(4), 0);
                end = place.offset + place.width;
            }
            assert!(end <= layout.size, "{call:?} on {abi}");
        }
    }
}

#[test]
fn values_stand_in_their_fields() {
    for abi in Abi::ALL {
        for (call, layout) in layouts(abi) {
            let encoded = encode(abi, call, &FACTS).expect("bytes");
            assert_eq!(encoded.len(), usize::from(layout.size));
            let mut padding = encoded.to_vec();
            for Place {
                field,
                offset,
                width,
            } in layout.places
            {
                let value: i128 = match field {
                    Field::st_dev => 0x811,
                    Field::st_ino | Field::__st_ino => 0x4321,
                    Field::st_mode => 0o104_755,
                    Field::st_nlink => 3,
                    Field::st_uid => 1000,
                    Field::st_gid => 65535,
                    Field::st_rdev => 0x440,
                    Field::st_size => 0x7fff_ffff,
                    Field::st_blksize => 4096,
                    Field::st_blocks => 0x1_0000_0008,
                    Field::st_atime => 0x1_2345_6789,
                    Field::st_atime_nsec => 987_654_321,
                    Field::st_mtime => -2,
                    Field::st_mtime_nsec => 500_000_000,
                    Field::st_ctime => i64::MIN.into(),
                    Field::st_ctime_nsec => 0,
                };
                let cut = value.rem_euclid(1 << (8 * width));
                let read = read(abi, call, &FACTS, *field).map(i128::from);
                assert_eq!(read, Some(cut), "{field:?} of {call:?} on {abi}");
                let (from, width) = (usize::from(*offset), usize::from(*width));
                padding[from..from + width].fill(0);
            }
            assert!(padding.iter().all(|byte| *byte == 0), "{call:?} on {abi}");
        }
    }
}

#[test]
fn bytes_have_the_order_of_the_abi() {
    let first = |abi| encode(abi, Sysno::fstat, &FACTS).expect("bytes")[..8].to_vec();
    assert_eq!(first(Abi::X86_64), [17, 8, 0, 0, 0, 0, 0, 0]);
    assert_eq!(first(Abi::S390x), [0, 0, 0, 0, 0, 0, 8, 17]);
    assert_eq!(first(Abi::S390), [8, 17, 0, 0, 0, 0, 0x43, 0x21]);
    assert_eq!(first(Abi::I386), [17, 8, 0, 0, 0x21, 0x43, 0, 0]);
}

#[test]
fn what_does_not_fit_is_refused_or_cut_off() {
    // (what is large, the field that it is in, what is expected in that of a width)
    type Expected = fn(&str, u8) -> Option<u64>;
    let cases: [(Facts, Field, Expected); 8] = [
        (
            // `new_encode_dev` takes the minor number apart.
            Facts {
                dev: (0xabc, 0x1_2345),
                ..FACTS
            },
            Field::st_dev,
            |tag, width| match (tag, width) {
                ("__old_kernel_stat", 2) => Some(0xbf45),
                (_, 2) => None,
                _ => Some(0x123a_bc45),
            },
        ),
        (
            Facts {
                rdev: (0, 256),
                ..FACTS
            },
            Field::st_rdev,
            |tag, width| match (tag, width) {
                ("__old_kernel_stat", 2) => Some(0x100),
                (_, 2) => None,
                _ => Some(0x10_0000),
            },
        ),
        (
            Facts {
                ino: 1 << 16,
                ..FACTS
            },
            Field::st_ino,
            |_, width| (width > 2).then_some(1 << 16),
        ),
        (
            Facts {
                ino: u64::MAX - 1,
                ..FACTS
            },
            Field::st_ino,
            |_, width| (width == 8).then_some(u64::MAX - 1),
        ),
        (
            Facts {
                nlink: 1 << 16,
                ..FACTS
            },
            Field::st_nlink,
            |_, width| (width > 2).then_some(1 << 16),
        ),
        (
            Facts {
                size: 1 << 31,
                ..FACTS
            },
            Field::st_size,
            |tag, width| match (tag, width) {
                ("__old_kernel_stat", _) | (_, 8) => Some(1 << 31),
                _ => None,
            },
        ),
        (
            Facts {
                uid: 1 << 16,
                ..FACTS
            },
            Field::st_uid,
            |_, width| Some(if width == 2 { 65534 } else { 1 << 16 }),
        ),
        (
            Facts {
                gid: u32::MAX,
                ..FACTS
            },
            Field::st_gid,
            |_, width| Some(if width == 2 { 65534 } else { 0xffff_ffff }),
        ),
    ];
    for abi in Abi::ALL {
        for (call, layout) in layouts(abi) {
            for (facts, field, expected) in &cases {
                let place = layout.places.iter().find(|place| place.field == *field);
                let expected = expected(layout.tag, place.expect("a field").width);
                let read = read(abi, call, facts, *field);
                assert_eq!(read, expected, "{field:?} of {call:?} on {abi}");
            }
        }
    }
}

#[test]
fn what_is_cut_off_stands_elsewhere_or_nowhere() {
    let large = Facts {
        ino: 0x9_8765_4321,
        size: 5 << 32,
        ..FACTS
    };
    for abi in [Abi::I386, Abi::Arm, Abi::S390] {
        let read = |field| read(abi, Sysno::stat64, &large, field);
        assert_eq!(read(Field::__st_ino), Some(0x8765_4321), "{abi}");
        assert_eq!(read(Field::st_ino), Some(0x9_8765_4321), "{abi}");
        assert_eq!(read(Field::st_size), Some(5 << 32), "{abi}");
    }
    let long = Facts {
        size: 5 << 32 | 7,
        ..FACTS
    };
    let oldest = read(Abi::I386, Sysno::oldstat, &long, Field::st_size);
    assert_eq!(oldest, Some(7));
}

// The kernel's headers.

/// How a compiler of this machine's sees a header of `abi`: where the header may lie (for Debian 12
/// natively and in its cross packages, and where Debian's linux-libc-dev has all architectures),
/// which one it is, and what that architecture's compiler says of itself.
fn headers(
    abi: Abi,
) -> (
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
) {
    const X86: &[&str] = &[
        "/usr/include/x86_64-linux-gnu",
        "/usr/x86_64-linux-gnu/include",
        "/usr/lib/linux/uapi/x86",
    ];
    const S390: &[&str] = &["/usr/s390x-linux-gnu/include", "/usr/lib/linux/uapi/s390"];
    const MIPS: &[&str] = &[
        "/usr/mips64el-linux-gnuabi64/include",
        "/usr/lib/linux/uapi/mips",
    ];
    const OWN: &str = "asm/stat.h";
    match abi {
        Abi::X86_64 => (X86, OWN, &["-D__x86_64__"]),
        Abi::X32 => (X86, OWN, &["-D__x86_64__", "-D__ILP32__"]),
        Abi::I386 => (X86, OWN, &["-D__i386__"]),
        // They have none of their own (generic-y in their Kbuild).
        Abi::Aarch64 | Abi::Riscv64 | Abi::Riscv32 | Abi::Loongarch64 => {
            (&["/usr/include"], "asm-generic/stat.h", &[])
        }
        Abi::Arm => (
            &[
                "/usr/arm-linux-gnueabihf/include",
                "/usr/lib/linux/uapi/arm",
            ],
            OWN,
            &[],
        ),
        Abi::Ppc64le => (
            &[
                "/usr/powerpc64le-linux-gnu/include",
                "/usr/lib/linux/uapi/powerpc",
            ],
            OWN,
            &["-D__powerpc64__"],
        ),
        Abi::S390x => (S390, OWN, &["-D__s390x__"]),
        Abi::S390 => (S390, OWN, &[]),
        // n32's calls are those of n64 (arch/mips/kernel/syscalls/syscall_n32.tbl), whatever its
        // header says.
        Abi::Mips64el | Abi::Mipsn32el => (
            MIPS,
            OWN,
            &["-D_MIPS_SIM=_MIPS_SIM_ABI64", "-D_MIPS_SZLONG=64"],
        ),
        Abi::Mipsel => (
            MIPS,
            OWN,
            &["-D_MIPS_SIM=_MIPS_SIM_ABI32", "-D_MIPS_SZLONG=32"],
        ),
        _ => panic!("{abi} is new: where are its headers?"),
    }
}

/// What has a compiler of this machine's give types the sizes and alignment that `abi` has, which
/// is all that counts: x86-64 is as every 64-bit ABI, x32 as every 32-bit one but i386, which
/// aligns 64-bit numbers to 4 bytes.
fn width(abi: Abi) -> &'static str {
    match abi {
        Abi::I386 => "-m32",
        Abi::Mipsn32el => "-m64",
        _ if abi.long_is_64bit() || abi == Abi::X86_64 => "-m64",
        _ => "-mx32",
    }
}

/// The names of what `struct TAG` has in what the preprocessor made of a header.
fn members<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    let from = text.find(&format!("struct {tag} {{")).expect("the struct");
    let (_, body) = text[from..].split_once('{').expect("a body");
    let (body, _) = body.split_once('}').expect("its end");
    let name = |member: &'a str| {
        let word = member.split('[').next().unwrap_or_default().trim();
        word.rsplit(char::is_whitespace).next()
    };
    body.split(';')
        .filter(|member| !member.trim().is_empty())
        .filter_map(name)
        .collect()
}

#[test]
fn layouts_agree_with_the_kernel_headers() {
    const NAME: &str = "layouts_agree_with_the_kernel_headers";
    need!(NAME, "cc");
    let dir = common::dir();
    // Of all that asm-generic/stat.h includes.
    fs::create_dir_all(dir.path().join("asm")).expect("a directory");
    let bits = "#define __BITS_PER_LONG 64\n";
    fs::write(dir.path().join("asm/bitsperlong.h"), bits).expect("written");
    let source = dir.path().join("layout.c");
    for abi in Abi::ALL {
        let (places, header, defines) = headers(abi);
        let tags: BTreeMap<&str, &Layout> = layouts(abi)
            .map(|(_, layout)| (layout.tag, layout))
            .collect();
        assert_eq!(tags.is_empty(), abi == Abi::Riscv32, "{abi}");
        let there = |place: &&&str| Path::new(place).join(header).exists();
        let Some(place) = places.iter().find(there) else {
            common::skip(NAME, &format!("there is no header of {abi}"));
            continue;
        };
        let cc = |action: &str| {
            let mut cc = common::user("cc");
            cc.args([action, width(abi), "-nostdinc"])
                .args(["-U__x86_64__", "-U__i386__", "-U__ILP32__"])
                .args(defines)
                .args(["-I", place, "-I", "/usr/include", "-I"])
                .arg(dir.path());
            cc
        };
        let mut text = format!("#include <{header}>\n");
        for (tag, layout) in &tags {
            let _ = writeln!(
                text,
                "_Static_assert(sizeof(struct {tag}) == {}, \"size of {tag}\");",
                layout.size
            );
            for Place {
                field,
                offset,
                width,
            } in layout.places
            {
                let _ = writeln!(
                    text,
                    "_Static_assert(__builtin_offsetof(struct {tag}, {field:?}) == {offset} \
                     && sizeof(((struct {tag} *)0)->{field:?}) == {width}, \
                     \"{field:?} of {tag}\");"
                );
            }
        }
        fs::write(&source, "").expect("a source file");
        let is_able = common::run(cc("-fsyntax-only").arg(&source)).status == 0;
        if !is_able {
            common::skip(NAME, &format!("cc has no {}, for {abi}", width(abi)));
            continue;
        }
        fs::write(&source, &text).expect("a source file");
        common::run(cc("-fsyntax-only").arg(&source)).succeeds();
        // So that no field is left out.
        let preprocessed = common::run(cc("-E").arg("-P").arg(&source))
            .succeeds()
            .stdout;
        for (tag, layout) in &tags {
            for member in members(&preprocessed, tag) {
                let is_padding = ["__pad", "st_pad", "__unused"]
                    .iter()
                    .any(|start| member.starts_with(start));
                // arch/s390/kernel/compat_linux.c does not write them.
                let is_unwritten =
                    abi == Abi::S390 && *tag == "stat64" && member.ends_with("time_nsec");
                let is_field = layout
                    .places
                    .iter()
                    .any(|place| format!("{:?}", place.field) == member);
                assert_eq!(
                    is_field,
                    !is_padding && !is_unwritten,
                    "{member} of {tag} on {abi}"
                );
            }
        }
    }
}

// This machine's kernel.

/// Files of many kinds in the working directory, and what `$0` makes of them. In a file system of
/// its own inode numbers are small, as the oldest calls want them.
const FILES: &str = r#"
    if [ "$1" = own ]; then mount -t tmpfs none . && cd "$PWD" || exit 77; fi; shift
    : > empty; echo text > file; mkdir dir dir/sub; ln -s file link; ln file name; mkfifo fifo; chmod 6751 file
    truncate -s 5G sparse; truncate -s 2147483647 most; truncate -s 2147483648 more
    : > early; touch -d @-1.5 early; : > late; touch -d @4102444800.123456789 late; : > last; touch -d @2147483647.9 last
    files="empty file dir link name fifo sparse most more early late last /dev/null /dev/tty /proc/self /proc/version ."
    if mknod node c 259 70000 2>/dev/null; then chown 100000:100001 node; mknod block b 8 255; files="$files node block"; fi
    exec "$0" "$@" -- $files"#;

/// A file's facts from the numbers that `fixtures/stats.c` prints of statx.
fn facts(words: &[&str]) -> Facts {
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let word = |at: usize| words[at].parse::<u32>().expect("a number");
    let moment = |at: usize| Moment {
        seconds: words[at].parse().expect("seconds"),
        nanoseconds: word(at + 1),
    };
    Facts {
        dev: (word(0), word(1)),
        ino: number(2),
        mode: word(3),
        nlink: word(4),
        uid: word(5),
        gid: word(6),
        rdev: (word(7), word(8)),
        size: number(9),
        blksize: word(10),
        blocks: number(11),
        accessed: moment(12),
        modified: moment(14),
        changed: moment(16),
    }
}

/// How many words of a line are facts.
const FACT_WORDS: usize = 18;

/// What `fixtures/stats.c` fills the room with, for the second try.
const FILL: u8 = 0xa5;

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("a byte");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Whether what `call` wrote is what it should have: `line` is one of `fixtures/stats.c`. Returns
/// whether it wrote anything.
fn check(abi: Abi, call: Sysno, line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let [first, clear, second, filled] = words[FACT_WORDS..] else {
        panic!("{line}");
    };
    let facts = facts(&words);
    let what = format!("{call:?} on {abi}: {facts:x?}");
    assert_eq!(first, second, "{what}");
    let (clear, filled) = (bytes(clear), bytes(filled));
    let Some(encoded) = encode(abi, call, &facts) else {
        let error = if layout(abi, call).is_some() {
            libc::EOVERFLOW
        } else {
            libc::ENOSYS
        };
        assert_eq!(first, (-error).to_string(), "{what}");
        return false;
    };
    assert_eq!(first, "0", "{what}");
    let mut expected = encoded.to_vec();
    expected.resize(clear.len(), 0);
    assert_eq!(expected, clear, "{what}");
    let layout = layout(abi, call).expect("a layout");
    for (at, byte) in filled.iter().enumerate() {
        let is_field = layout.places.iter().any(|place| {
            let from = usize::from(place.offset);
            (from..from + usize::from(place.width)).contains(&at)
        });
        // Not every padding is written, and nothing behind the struct is.
        let is_left = *byte == FILL && !is_field;
        let is_written = at < encoded.len() && *byte == encoded[at];
        assert!(is_left || is_written, "byte {at} of {what}");
    }
    true
}

/// Says what is left out because of this machine's architecture or kernel, which no package
/// changes; so this is no failure with `ZROOT_MUST_RUN`.
fn note(test: &str, reason: &str) {
    // Not println: the harness would swallow it when the test passes.
    let _ = writeln!(std::io::stderr(), "NOTE {test}: {reason}");
}

/// Makes every call of `abi` on each file, and checks what it writes.
fn check_abi(test: &str, program: &Path, abi: Abi) {
    let calls: Vec<(Sysno, u32)> = Sysno::ALL
        .iter()
        .filter(|call| call.signature().position(Kind::Stat).is_some())
        .filter_map(|call| Some((*call, call.nr(abi)?)))
        .collect();
    let via = if abi == Abi::I386 { 'i' } else { 'n' };
    let told = calls.iter().map(|(call, nr)| {
        let shape = match call.signature().params[0].kind {
            Kind::Dir => 'd',
            Kind::Fd => 'f',
            Kind::Link => 'l',
            _ => 'p',
        };
        format!("{via}:{nr}:{shape}")
    });
    let told: Vec<String> = told.collect();
    let mut written = BTreeMap::new();
    for place in ["given", "own"] {
        let dir = common::dir();
        // Real root makes devices and gives files away; a user is root over the mount alone.
        let mut command = if common::is_root() {
            let mut command = common::plain("unshare");
            command.arg("-m");
            command
        } else {
            let mut command = common::user("unshare");
            command.arg("-rm");
            command
        };
        command.args(["sh", "-ec", FILES]).arg(program).arg(place);
        let ran = common::run(command.args(&told).current_dir(dir.path()));
        if ran.status == 77 {
            common::skip(test, "there is no tmpfs for it");
            continue;
        }
        if abi == Abi::I386 && Abi::NATIVE != Abi::I386 && ran.status == 128 + libc::SIGSEGV {
            return common::skip(test, "the kernel does not execute i386");
        }
        let ran = ran.succeeds();
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert!(lines.len() >= 17 * calls.len(), "{} lines", lines.len());
        let without = format!(" {} ", -libc::ENOSYS);
        if abi != Abi::NATIVE && lines.iter().all(|line| line.contains(&without)) {
            return note(test, &format!("the kernel does not execute {abi}"));
        }
        for (line, (call, _)) in lines.iter().zip(calls.iter().cycle()) {
            let (yes, no) = written.entry(*call).or_insert((0, 0));
            *(if check(abi, *call, line) { yes } else { no }) += 1;
        }
        if place == "own" {
            for (call, (yes, no)) in &written {
                let Some(layout) = layout(abi, *call) else {
                    continue;
                };
                let size = layout.places.iter().find(|one| one.field == Field::st_size);
                let is_narrow = size.expect("a size").width == 4;
                assert!(*yes > 10, "{call:?} on {abi}: {yes} times");
                assert_eq!(*no > 0, is_narrow, "{call:?} on {abi}: {no} times");
            }
        }
    }
}

#[test]
fn the_kernel_writes_what_is_encoded() {
    const NAME: &str = "the_kernel_writes_what_is_encoded";
    need!(NAME, "cc", "unshare", "mkfifo");
    let dir = common::dir();
    let (source, program) = (dir.path().join("stats.c"), dir.path().join("stats"));
    fs::write(&source, include_str!("../fixtures/stats.c")).expect("a source file");
    let mut cc = common::user("cc");
    cc.args(["-O1", "-Wall", "-Werror", "-o"]);
    let compiled = common::run(cc.arg(&program).arg(&source));
    if compiled.stderr.contains("No such file or directory") {
        return common::skip(NAME, "there are no kernel headers");
    }
    compiled.succeeds();
    for abi in Abi::NATIVE.family() {
        match (Abi::NATIVE, abi) {
            // Its calls can be made from x86-64 code, as x32's.
            (Abi::X86_64, _) => check_abi(NAME, &program, *abi),
            (native, _) if native == *abi => check_abi(NAME, &program, *abi),
            _ => note(NAME, &format!("nothing here makes calls of {abi}")),
        }
    }
}

//! The model of credentials against the kernel's own: random sequences of calls by a process that
//! really is root, and the sequences of well-known programs, which need no root.
#![cfg(target_pointer_width = "64")] // elsewhere some of the numbers are those of calls with 16-bit ids
#![allow(unsafe_code)] // calls by number, without libc's changing all threads
#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::many_single_char_names
)] // registers

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use caps::Capability::{
    self, CAP_CHOWN, CAP_NET_BIND_SERVICE, CAP_SETGID, CAP_SETPCAP, CAP_SETUID,
};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, execve, fork};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use zroot::internals::supervisor::memory::credentials::{
    ALL_CAPABILITIES, Credentials, FileCapabilities, Ids, LAST_CAPABILITY, SetId,
};
use zroot::internals::sys::file::setxattr;

use crate::common;

/// "Leave alone".
const SAME: u32 = u32::MAX;

/// A system call by number. Where the kernel wants pointers there are the values instead: setgroups
/// has the number of groups and then them, capset the effective, permitted and inheritable set.
/// execve has which of [`FILES`] is executed.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Step {
    name: &'static str,
    nr: i64,
    args: [u64; 5],
}

macro_rules! step {
    ($name:ident $(, $arg:expr)*) => {
        step(stringify!($name), libc::$name, &[$(u64::from($arg)),*])
    };
}

fn step(name: &'static str, nr: i64, given: &[u64]) -> Step {
    let mut args = [0; 5];
    args[..given.len()].copy_from_slice(given);
    Step { name, nr, args }
}

/// No calls, but what the process that makes the calls is told: begin with a new child, only say
/// what you are, and end.
const BEGIN: i64 = -1;
const SAY: i64 = -2;
const END: i64 = -3;

/// Copies of this program: name, mode, owner, group, capabilities.
const FILES: [(&str, &str, u32, u32, Option<FileCapabilities>); 13] = [
    ("plain", "755", 5, 7, None),
    ("0", "4755", 0, 7, None),
    ("5", "4755", 5, 7, None),
    ("group-7", "2755", 5, 7, None),
    ("0-and-group-7", "6755", 0, 7, None),
    ("5-and-group-0", "6755", 5, 0, None),
    ("not-of-the-group", "6745", 1, 9, None),
    ("p", "755", 5, 7, Some(has(&[CAP_SETUID], &[], false))),
    (
        "ep",
        "755",
        5,
        7,
        Some(has(&[CAP_SETUID, CAP_CHOWN], &[], true)),
    ),
    (
        "ei",
        "755",
        5,
        7,
        Some(has(&[], &[CAP_CHOWN, CAP_SETPCAP], true)),
    ),
    (
        "p-i",
        "755",
        0,
        0,
        Some(has(&[CAP_SETUID], &[CAP_CHOWN], false)),
    ),
    ("0-ep", "4755", 0, 7, Some(has(&[CAP_SETUID], &[], true))),
    (
        "5-eip",
        "6755",
        5,
        7,
        Some(has(&[CAP_SETGID], &[CAP_SETGID], true)),
    ),
];

const fn has(
    permitted: &[Capability],
    inheritable: &[Capability],
    are_effective: bool,
) -> FileCapabilities {
    const fn set(capabilities: &[Capability]) -> u64 {
        let (mut all, mut i) = (0, 0);
        while i < capabilities.len() {
            all |= 1 << capabilities[i] as u64;
            i += 1;
        }
        all
    }
    FileCapabilities {
        permitted: set(permitted),
        inheritable: set(inheritable),
        are_effective,
    }
}

/// The attribute that says so (include/uapi/linux/capability.h, `struct vfs_cap_data`).
fn attribute(has: FileCapabilities) -> Vec<u8> {
    let word = |set: u64, shift: u32| u32::try_from(set >> shift & 0xffff_ffff).expect("32 bits");
    let (permitted, inheritable) = (has.permitted, has.inheritable);
    let words = [
        0x0200_0000 | u32::from(has.are_effective),
        word(permitted, 0),
        word(inheritable, 0),
        word(permitted, 32),
        word(inheritable, 32),
    ];
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    assert_eq!(FileCapabilities::of(&bytes), Some(has));
    bytes
}

/// The one that gives nothing.
const PLAIN: u32 = 0;

/// How many groups an answer holds.
const GROUPS: usize = 32;

/// Return value, ids, sets, securebits and `no_new_privs`, number of groups, groups.
const ANSWER: usize = 17 + GROUPS;

/// What the kernel made of a step: the return value, or -errno, and what the process is afterwards.
type Outcome = (i64, Credentials);

// The side of the model.

/// The model's answer, as the kernel returns it.
fn apply(model: &mut Credentials, step: &Step) -> i64 {
    let [a, b, c, d, e] = step.args;
    let id = |arg: u64| u32::try_from(arg).expect("an id");
    let done = match step.nr {
        libc::SYS_setuid => model.setuid(id(a)),
        libc::SYS_setreuid => model.setreuid(id(a), id(b)),
        libc::SYS_setresuid => model.setresuid(id(a), id(b), id(c)),
        libc::SYS_setfsuid => return model.setfsuid(id(a)).into(),
        libc::SYS_setgid => model.setgid(id(a)),
        libc::SYS_setregid => model.setregid(id(a), id(b)),
        libc::SYS_setresgid => model.setresgid(id(a), id(b), id(c)),
        libc::SYS_setfsgid => return model.setfsgid(id(a)).into(),
        libc::SYS_setgroups => {
            model.setgroups([b, c, d, e].map(id)[..usize::try_from(a).expect("a number")].to_vec())
        }
        libc::SYS_capset => model.capset(a, b, c),
        libc::SYS_prctl => match model
            .prctl(i32::try_from(a).expect("an option"), [b, c, d, e])
            .expect("an option about credentials")
        {
            Ok(value) => return value.into(),
            Err(errno) => Err(errno),
        },
        libc::SYS_execve => {
            let (_, mode, uid, gid, has) = FILES[usize::try_from(a).expect("a number")];
            model.execve(SetId {
                uid: "46".contains(&mode[..1]).then_some(uid),
                gid: ["2755", "6755"].contains(&mode).then_some(gid),
                capabilities: has,
                is_traced: false,
            })
        }
        _ => unreachable!("{step:?}"),
    };
    done.map_or_else(|errno| -i64::from(errno as i32), |()| 0)
}

/// Whether a kernel of this version may answer `step` by a process like `before` in another way
/// than the model; some older ones have been corrected since.
fn differs(version: (u32, u32), before: &Credentials, step: &Step) -> bool {
    let at_rest = |ids: Ids| ids.effective == ids.filesystem;
    match step.nr {
        libc::SYS_setresuid => version < (6, 3) && !at_rest(before.uid),
        libc::SYS_setresgid => version < (6, 3) && !at_rest(before.gid),
        libc::SYS_prctl => {
            version < (6, 14)
                && step.args[0] == libc::PR_SET_SECUREBITS as u64
                && step.args[1] & 0xf00 != 0
        }
        libc::SYS_execve => version < (6, 17) && (before.ambient != 0 || before.no_new_privs),
        _ => false,
    }
}

/// The version of this machine's kernel.
fn version() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("osrelease");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// The process that makes the calls, and our end of its line.
struct Oracle {
    process: Child,
    line: UnixStream,
}

impl Oracle {
    fn start() -> (Oracle, tempfile::TempDir) {
        let (line, other) = UnixStream::pair().expect("a pair of sockets");
        // Who has lost all privileges must be able to execute it.
        let place = common::dir();
        for (name, mode, uid, gid, has) in FILES {
            let mut install = Command::new("install");
            install.args(["-o", &uid.to_string(), "-g", &gid.to_string(), "-m", mode]);
            let program = std::env::current_exe().expect("a path");
            let file = place.path().join(name);
            common::run(install.arg(program).arg(&file)).succeeds();
            if let Some(has) = has {
                let file = CString::new(file.into_os_string().into_encoded_bytes());
                let file = file.expect("no NUL");
                setxattr(&file, c"security.capability", &attribute(has), 0).expect("setxattr");
            }
        }
        let mut command = Command::new(place.path().join(FILES[0].0));
        command
            .args(only_oracle())
            .current_dir(place.path())
            .env_clear()
            .env("ORACLE", "server");
        let process = command
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        (Oracle { process, line }, place)
    }

    /// What the kernel makes of `steps`, by a new process.
    fn ask(&self, steps: &[Step]) -> Vec<Outcome> {
        let words = |nr: i64, args: [u64; 5]| {
            std::iter::once(nr as u64)
                .chain(args)
                .flat_map(u64::to_ne_bytes)
        };
        let calls = steps.iter().flat_map(|step| words(step.nr, step.args));
        let sent: Vec<u8> = words(BEGIN, [0; 5])
            .chain(words(SAY, [0; 5]))
            .chain(calls)
            .chain(words(END, [0; 5]))
            .collect();
        (&self.line).write_all(&sent).expect("steps are sent");
        (0..=steps.len()).map(|_| self.outcome()).collect()
    }

    fn outcome(&self) -> Outcome {
        let [value, rest @ ..]: [u64; ANSWER] = receive(&self.line).expect("an answer");
        let ids = |at: usize| {
            let [real, effective, saved, filesystem] =
                [0, 1, 2, 3].map(|i| u32::try_from(rest[at + i]).expect("an id"));
            Ids {
                real,
                effective,
                saved,
                filesystem,
            }
        };
        let [
            permitted,
            effective,
            inheritable,
            ambient,
            bounding,
            securebits,
            no_new_privs,
        ] = [8, 9, 10, 11, 12, 13, 14].map(|i| rest[i]);
        let (securebits, count) = (
            u32::try_from(securebits).expect("securebits"),
            usize::try_from(rest[15]).expect("a number"),
        );
        let groups = rest[16..]
            .iter()
            .take(count)
            .map(|gid| u32::try_from(*gid).expect("a gid"))
            .collect();
        let credentials = Credentials {
            uid: ids(0),
            gid: ids(4),
            groups,
            permitted,
            effective,
            inheritable,
            ambient,
            bounding,
            securebits,
            no_new_privs: no_new_privs != 0,
        };
        (value as i64, credentials)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.line.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

fn receive<const N: usize>(mut line: impl Read) -> std::io::Result<[u64; N]> {
    let mut bytes = vec![0; N * 8];
    line.read_exact(&mut bytes)?;
    Ok(std::array::from_fn(|i| {
        u64::from_ne_bytes(bytes[i * 8..][..8].try_into().expect("eight bytes"))
    }))
}

// The side of the kernel: this program once more, which makes the calls that come in through its
// standard input, a socket.

/// Has this program run [`oracle`] alone.
fn only_oracle() -> [String; 4] {
    let name = crate::full_name(module_path!(), "oracle");
    [
        name,
        "--exact".into(),
        "--nocapture".into(),
        "--test-threads=1".into(),
    ]
}

/// Not a test: those that compare start it, with a variable. Without that it does nothing.
#[test]
fn oracle() {
    match std::env::var("ORACLE").as_deref() {
        Ok("server") => serve(),
        Ok("executed") => {
            tell(0);
            obey();
        }
        _ => {}
    }
}

/// Has a new child obey, each time.
fn serve() {
    // The groups of the model's root. No matter if not: the model starts with those that are there.
    call(libc::SYS_setgroups, [1, 0, 0, 0, 0]);
    while let Ok([nr, ..]) = receive::<6>(&*line()) {
        assert_eq!(nr as i64, BEGIN);
        // SAFETY: glibc's fork takes malloc's locks, and the other thread only waits for this one.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => obey(),
            ForkResult::Parent { child } => drop(waitpid(child, None).expect("waited for")),
        }
    }
}

/// Does what it is told until the end.
fn obey() -> ! {
    while let Ok([nr, args @ ..]) = receive::<6>(&*line()) {
        match nr as i64 {
            END => break,
            SAY => tell(0),
            nr => tell(call(nr, args)),
        }
    }
    // SAFETY: ends the process, without what the test harness would do at its end.
    unsafe { libc::_exit(0) }
}

/// Standard input, which stays open.
fn line() -> std::mem::ManuallyDrop<File> {
    // SAFETY: standard input is open, and is not closed here.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(0) })
}

/// `struct __user_cap_header_struct` and `struct __user_cap_data_struct`,
/// include/uapi/linux/capability.h: version 3, and two words of each set.
const CAP_HEADER: [u32; 2] = [0x2008_0522, 0];

/// Makes a call for this thread alone. Returns -errno if it fails.
fn call(nr: i64, args: [u64; 5]) -> i64 {
    let [a, b, c, d, e] = args;
    match nr {
        libc::SYS_setgroups => {
            #[allow(clippy::cast_possible_truncation)]
            let groups = [b, c, d, e].map(|gid| gid as u32);
            raw(nr, [a, groups.as_ptr() as u64, 0, 0, 0])
        }
        libc::SYS_capset => {
            #[allow(clippy::cast_possible_truncation)]
            let data = [a, b, c, a >> 32, b >> 32, c >> 32].map(|word| word as u32);
            raw(
                nr,
                [CAP_HEADER.as_ptr() as u64, data.as_ptr() as u64, 0, 0, 0],
            )
        }
        libc::SYS_execve => {
            let text = |arg: String| CString::new(arg).expect("no NUL");
            let name = text(FILES[usize::try_from(a).expect("a number")].0.to_owned());
            let program = std::iter::once(name.clone());
            let program: Vec<CString> = program.chain(only_oracle().map(text)).collect();
            -i64::from(execve(&name, &program, &[c"ORACLE=executed"]).unwrap_err() as i32)
        }
        _ => raw(nr, args),
    }
}

fn raw(nr: i64, [a, b, c, d, e]: [u64; 5]) -> i64 {
    // SAFETY: pointers among the arguments are those of `call` and `tell`, to memory that is there
    // and large enough.
    let ret = unsafe { libc::syscall(nr, a, b, c, d, e) };
    if ret == -1 {
        -i64::from(Errno::last_raw())
    } else {
        ret
    }
}

/// Sends what a call returned, and what the process is.
fn tell(value: i64) {
    let mut answer = [0_u64; ANSWER];
    answer[0] = value as u64;
    for (at, get, set) in [
        (1, libc::SYS_getresuid, libc::SYS_setfsuid),
        (5, libc::SYS_getresgid, libc::SYS_setfsgid),
    ] {
        let mut ids = [0_u32; 3];
        let addresses = [0, 1, 2].map(|i| &raw mut ids[i] as u64);
        raw(get, [addresses[0], addresses[1], addresses[2], 0, 0]);
        answer[at..at + 3].copy_from_slice(&ids.map(u64::from));
        answer[at + 3] = raw(set, [SAME.into(), 0, 0, 0, 0]) as u64;
    }
    let mut sets = [0_u32; 6];
    raw(
        libc::SYS_capget,
        [
            CAP_HEADER.as_ptr() as u64,
            sets.as_mut_ptr() as u64,
            0,
            0,
            0,
        ],
    );
    let whole = |i: usize| u64::from(sets[i]) | u64::from(sets[i + 3]) << 32;
    let has = |option: i32, inner: Option<i32>, number: u64| {
        let args = inner.map_or([option as u64, number, 0, 0, 0], |inner| {
            [option as u64, inner as u64, number, 0, 0]
        });
        raw(libc::SYS_prctl, args) == 1
    };
    let all = |option, inner| {
        (0..=LAST_CAPABILITY as u64)
            .filter(|number| has(option, inner, *number))
            .fold(0, |set, number| set | 1 << number)
    };
    answer[9..12].copy_from_slice(&[whole(1), whole(0), whole(2)]);
    answer[12] = all(libc::PR_CAP_AMBIENT, Some(libc::PR_CAP_AMBIENT_IS_SET));
    answer[13] = all(libc::PR_CAPBSET_READ, None);
    answer[14] = raw(
        libc::SYS_prctl,
        [libc::PR_GET_SECUREBITS as u64, 0, 0, 0, 0],
    ) as u64;
    answer[15] = has(libc::PR_GET_NO_NEW_PRIVS, None, 0).into();
    let mut groups = [0_u32; GROUPS];
    answer[16] = raw(
        libc::SYS_getgroups,
        [GROUPS as u64, groups.as_mut_ptr() as u64, 0, 0, 0],
    ) as u64;
    answer[17..].copy_from_slice(&groups.map(u64::from));
    let bytes: Vec<u8> = answer.into_iter().flat_map(u64::to_ne_bytes).collect();
    line().write_all(&bytes).expect("an answer is sent");
}

// Random sequences.

fn any_id() -> impl Strategy<Value = u32> {
    select(vec![0, 0, 0, 5, 5, 5, 1, 7, 65534, 70000, SAME, SAME])
}

/// The capabilities that matter here, one that does not, and numbers that are none.
fn any_number() -> impl Strategy<Value = u64> {
    let named = [
        CAP_SETGID,
        CAP_SETUID,
        CAP_SETPCAP,
        CAP_CHOWN,
        CAP_NET_BIND_SERVICE,
        Capability::CAP_LINUX_IMMUTABLE,
        LAST_CAPABILITY,
    ];
    let numbers = named.map(|capability| capability as u64);
    prop_oneof![16 => select(numbers.to_vec()), 1 => select(vec![LAST_CAPABILITY as u64 + 1, 63, 64, u64::MAX])]
}

/// Most or few of `all`, and capabilities that do not exist.
fn any_set(all: u64) -> impl Strategy<Value = u64> {
    let few =
        vec(0..=63_u32, 0..4).prop_map(|bits| bits.into_iter().fold(0, |set, bit| set | 1 << bit));
    let named = vec(any_number(), 0..5).prop_map(|bits| {
        bits.into_iter()
            .filter(|bit| *bit < 64)
            .fold(0, |set, bit| set | 1_u64 << bit)
    });
    let named = named.boxed();
    prop_oneof![
        3 => Just(all),
        1 => Just(0),
        1 => Just(u64::MAX),
        4 => named.clone(),
        3 => named.prop_map(move |set| all & !set),
        1 => few
    ]
}

fn prctl(option: i32, args: &[u64]) -> Step {
    let mut all = vec![option as u64];
    all.extend(args);
    step("SYS_prctl", libc::SYS_prctl, &all)
}

fn ambient(inner: i32, number: u64) -> Step {
    prctl(libc::PR_CAP_AMBIENT, &[inner as u64, number])
}

fn any_prctl() -> impl Strategy<Value = Step> {
    let inner = select(vec![
        libc::PR_CAP_AMBIENT_RAISE,
        libc::PR_CAP_AMBIENT_RAISE,
        libc::PR_CAP_AMBIENT_LOWER,
        libc::PR_CAP_AMBIENT_IS_SET,
        libc::PR_CAP_AMBIENT_CLEAR_ALL,
        0,
        9,
    ]);
    let rest = || prop_oneof![20 => Just(0_u64), 1 => Just(1)];
    let bits = || {
        prop_oneof![
            Just(0_u64),
            (0..12_u32).prop_map(|bit| 1 << bit),
            (0..32_u32).prop_map(|bit| 1 << bit)
        ]
    };
    let securebits =
        (bits(), bits(), rest()).prop_map(|(one, other, high)| one | other | high << 32);
    prop_oneof![
        4 => prop_oneof![4 => Just(1_u64), 2 => Just(0), 1 => select(vec![2, u64::MAX])].prop_map(|keep| prctl(libc::PR_SET_KEEPCAPS, &[keep])),
        1 => any::<u64>().prop_map(|junk| prctl(libc::PR_GET_KEEPCAPS, &[junk])),
        4 => securebits.prop_map(|bits| prctl(libc::PR_SET_SECUREBITS, &[bits])),
        1 => any::<u64>().prop_map(|junk| prctl(libc::PR_GET_SECUREBITS, &[junk])),
        1 => any_number().prop_map(|number| prctl(libc::PR_CAPBSET_READ, &[number])),
        2 => any_number().prop_map(|number| prctl(libc::PR_CAPBSET_DROP, &[number])),
        6 => (inner.clone(), any_number(), rest(), rest())
            .prop_map(|(inner, number, d, e)| prctl(libc::PR_CAP_AMBIENT, &[inner as u64, number, d, e])),
        1 => Just(prctl(libc::PR_SET_NO_NEW_PRIVS, &[1])),
        1 => (select(vec![libc::PR_SET_NO_NEW_PRIVS, libc::PR_GET_NO_NEW_PRIVS]), 0..3_u64, rest())
            .prop_map(|(option, b, e)| prctl(option, &[b, 0, 0, e])),
        1 => (inner, rest()).prop_map(|(inner, e)| prctl(libc::PR_CAP_AMBIENT, &[inner as u64, 0, 0, e])),
    ]
}

fn any_step(all: u64) -> impl Strategy<Value = Step> {
    let capset = (any_set(all), any_set(all), any_set(all), any::<bool>()).prop_map(
        |(effective, permitted, inheritable, valid)| {
            let effective = if valid {
                effective & permitted
            } else {
                effective
            };
            step!(SYS_capset, effective, permitted, inheritable)
        },
    );
    let groups = (
        0..=4_usize,
        proptest::array::uniform4(prop_oneof![9 => 0..8_u32, 1 => any_id()]),
    );
    prop_oneof![
        3 => any_id().prop_map(|uid| step!(SYS_setuid, uid)),
        3 => (any_id(), any_id()).prop_map(|(r, e)| step!(SYS_setreuid, r, e)),
        5 => (any_id(), any_id(), any_id()).prop_map(|(r, e, s)| step!(SYS_setresuid, r, e, s)),
        3 => any_id().prop_map(|uid| step!(SYS_setfsuid, uid)),
        2 => any_id().prop_map(|gid| step!(SYS_setgid, gid)),
        2 => (any_id(), any_id()).prop_map(|(r, e)| step!(SYS_setregid, r, e)),
        4 => (any_id(), any_id(), any_id()).prop_map(|(r, e, s)| step!(SYS_setresgid, r, e, s)),
        2 => any_id().prop_map(|gid| step!(SYS_setfsgid, gid)),
        2 => groups.prop_map(|(count, [a, b, c, d])| step!(SYS_setgroups, count as u64, a, b, c, d)),
        4 => capset,
        8 => any_prctl(),
        3 => (0..FILES.len()).prop_map(|file| step!(SYS_execve, file as u64)),
    ]
}

/// Where random steps would seldom come to: ambient capabilities, of root and of others.
fn any_beginning(all: u64) -> impl Strategy<Value = Vec<Step>> {
    let inherit = step!(SYS_capset, all, all, all);
    let raise = [CAP_SETUID, CAP_SETPCAP, CAP_CHOWN]
        .map(|capability| ambient(libc::PR_CAP_AMBIENT_RAISE, capability as u64));
    let root = [&[inherit][..], &raise].concat();
    let user = [
        &[
            prctl(libc::PR_SET_KEEPCAPS, &[1]),
            step!(SYS_setresuid, 5_u32, 5_u32, 5_u32),
            inherit,
        ][..],
        &raise,
    ]
    .concat();
    prop_oneof![3 => Just(Vec::new()), 1 => Just(root), 2 => Just(user)]
}

/// Compares the model with the kernel after every step.
fn compare(oracle: &Oracle, start: &Credentials, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let version = version();
    let mut model = start.clone();
    let (mut made, mut expected) = (Vec::new(), vec![(0, model.clone())]);
    for step in steps {
        if !differs(version, &model, &step) {
            let value = apply(&mut model, &step);
            made.push(step);
            expected.push((value, model.clone()));
        }
    }
    let outcomes = oracle.ask(&made);
    for (i, (kernel, model)) in outcomes.iter().zip(&expected).enumerate() {
        prop_assert_eq!(
            kernel,
            model,
            "the kernel's and the model's, after {:#?}",
            &made[..i]
        );
    }
    Ok(())
}

/// A kernel to ask and what its root is, if there is a real one.
fn kernel(test: &str) -> Option<(Oracle, tempfile::TempDir, Credentials)> {
    if common::for_root_only(test) {
        return None;
    }
    let (oracle, place) = Oracle::start();
    // In a container root may have fewer capabilities than there are: the model starts with what
    // there is.
    let [(_, start)] = oracle.ask(&[]).try_into().expect("one answer");
    let needed = start.securebits == 0
        && [CAP_SETGID, CAP_SETUID, CAP_SETPCAP]
            .into_iter()
            .all(|capability| start.has(capability));
    let mapped = oracle.ask(&[step!(SYS_setuid, 70000_u32)])[1].0 == 0;
    if !needed || !mapped || nix::sys::prctl::get_no_new_privs().expect("PR_GET_NO_NEW_PRIVS") {
        common::skip(
            test,
            "root has not the ids and capabilities for it, or may not gain any",
        );
        return None;
    }
    let Credentials {
        permitted,
        effective,
        inheritable,
        bounding,
        securebits,
        groups,
        ..
    } = start.clone();
    let root = Credentials {
        permitted,
        effective,
        inheritable,
        bounding,
        securebits,
        groups,
        ..Credentials::root()
    };
    assert_eq!(start, root, "root's ids and ambient capabilities");
    Some((oracle, place, start))
}

#[test]
fn any_sequence_of_calls_comes_to_what_the_kernel_makes_of_it() {
    let Some((oracle, _place, start)) =
        kernel("any_sequence_of_calls_comes_to_what_the_kernel_makes_of_it")
    else {
        return;
    };
    let all = start.permitted;
    let sequence = (any_beginning(all), vec(any_step(all), 1..24))
        .prop_map(|(beginning, steps)| [beginning, steps].concat());
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(4000)
    };
    TestRunner::new(config)
        .run(&sequence, |steps| compare(&oracle, &start, steps))
        .unwrap_or_else(|error| panic!("{error}"));
}

// What well-known programs do.

/// Calls, and what each has to return.
type Script = Vec<(Step, i64)>;

const DONE: i64 = 0;
const REFUSED: i64 = -(libc::EPERM as i64);

/// glibc's seteuid(3) and setegid(3).
fn seteuid(uid: u32) -> Step {
    step!(SYS_setresuid, SAME, uid, SAME)
}

fn setegid(gid: u32) -> Step {
    step!(SYS_setresgid, SAME, gid, SAME)
}

/// A script in which every call succeeds.
fn done(steps: impl IntoIterator<Item = Step>) -> Script {
    steps.into_iter().map(|step| (step, DONE)).collect()
}

/// What a program may try that has root behind it for good.
fn no_way_back() -> Script {
    let ways = [
        step!(SYS_setuid, 0_u32),
        seteuid(0),
        step!(SYS_setreuid, 0_u32, 0_u32),
        step!(SYS_setgid, 0_u32),
        setegid(0),
        step!(SYS_setregid, 0_u32, SAME),
        step!(SYS_setgroups, 1_u32, 0_u32),
        prctl(libc::PR_CAPBSET_DROP, &[0]),
        prctl(libc::PR_SET_SECUREBITS, &[0]),
        step!(SYS_capset, 1_u32, 1_u32, 0_u32),
    ];
    ways.into_iter().map(|step| (step, REFUSED)).collect()
}

/// `setpriv --reuid 5 --regid 7 --clear-groups`: the uid goes first, the capabilities are taken
/// along and set again. `all`: root's.
fn setpriv(all: u64) -> Script {
    done([
        prctl(libc::PR_SET_KEEPCAPS, &[1]),
        step!(SYS_capset, all, all, 0_u32),
        step!(SYS_setresuid, 5_u32, 5_u32, 5_u32),
        step!(SYS_capset, all, all, 0_u32),
        step!(SYS_setresgid, 7_u32, 7_u32, 7_u32),
        step!(SYS_setgroups, 0_u32),
        step!(SYS_execve, PLAIN),
    ])
}

/// su, gosu, and everybody else who just goes.
fn su() -> Script {
    done([
        step!(SYS_setgroups, 2_u32, 7_u32, 4_u32),
        step!(SYS_setgid, 7_u32),
        step!(SYS_setuid, 5_u32),
    ])
}

/// apt's methods, before and with the check that there is no way back; sshd's
/// `permanently_set_uid()` is the same.
fn apt() -> Script {
    let (gid, uid) = (65534_u32, 42_u32);
    let drop = [
        step!(SYS_setgroups, 1_u32, gid),
        step!(SYS_setresgid, gid, gid, gid),
        step!(SYS_setresuid, uid, uid, uid),
    ];
    [done(drop), no_way_back()].concat()
}

/// Perl's `$) = "5 5"; $> = 5`, and back.
fn perl() -> Script {
    let there = [step!(SYS_setgroups, 1_u32, 5_u32), setegid(5), seteuid(5)];
    let back = [seteuid(0), step!(SYS_setgroups, 1_u32, 0_u32), setegid(0)];
    let early = [(step!(SYS_setgroups, 1_u32, 0_u32), REFUSED)];
    [&done(there)[..], &early, &done(back)].concat()
}

/// Perl's `($<, $>) = (5, 0)`, and the swap `($<, $>) = ($>, $<)` twice.
fn perl_swaps() -> Script {
    done(
        [(5_u32, 0_u32), (0, 5), (5, 0)]
            .map(|(real, effective)| step!(SYS_setresuid, real, effective, SAME)),
    )
}

/// The same by who knows no saved id.
fn swaps() -> Script {
    done(
        [(5_u32, 0_u32), (0, 5), (5, 0)]
            .map(|(real, effective)| step!(SYS_setreuid, real, effective)),
    )
}

/// sshd's `temporarily_use_uid()` and `restore_uid()`.
fn sshd() -> Script {
    let there = [
        step!(SYS_setgroups, 2_u32, 7_u32, 4_u32),
        setegid(7),
        seteuid(5),
    ];
    done(
        [
            &there[..],
            &[seteuid(0), setegid(0), step!(SYS_setgroups, 1_u32, 0_u32)],
        ]
        .concat(),
    )
}

/// Postfix's `set_eugid()` between root, its own user and a recipient, and then `set_ugid()`.
fn postfix() -> Script {
    let become_user = |uid: u32, gid: u32| {
        vec![
            seteuid(0),
            setegid(gid),
            step!(SYS_setgroups, 1_u32, gid),
            seteuid(uid),
        ]
    };
    let leave = vec![
        seteuid(0),
        step!(SYS_setgid, 7_u32),
        step!(SYS_setgroups, 1_u32, 7_u32),
        step!(SYS_setuid, 5_u32),
    ];
    let flips = [
        become_user(101, 104),
        become_user(70000, 70000),
        become_user(101, 104),
        leave,
    ]
    .concat();
    [done(flips), no_way_back()].concat()
}

/// What systemd does for `User=` with `AmbientCapabilities=CAP_NET_BIND_SERVICE`.
fn systemd(all: u64) -> Script {
    let port = 1_u64 << CAP_NET_BIND_SERVICE as u8;
    done([
        step!(SYS_setresgid, 7_u32, 7_u32, 7_u32),
        step!(SYS_setgroups, 0_u32),
        prctl(libc::PR_SET_SECUREBITS, &[1 << 4]),
        step!(SYS_setresuid, 5_u32, 5_u32, 5_u32),
        step!(SYS_capset, all, all, port),
        ambient(libc::PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE as u64),
        step!(SYS_execve, PLAIN),
    ])
}

/// A program that runs another one while only its effective uid is not root's.
fn half_way() -> Script {
    done([seteuid(5), step!(SYS_execve, PLAIN)])
}

/// Plays a script to the model's root and has the answers compared.
#[track_caller]
fn play(script: Script) -> Credentials {
    let mut model = Credentials::root();
    for (step, value) in script {
        assert_eq!(apply(&mut model, &step), value, "{step:?} by {model:?}");
    }
    model
}

/// A user without capabilities.
fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
    let root = Credentials::root();
    Credentials {
        uid: Ids::all(uid),
        gid: Ids::all(gid),
        groups: groups.to_vec(),
        permitted: 0,
        effective: 0,
        ..root
    }
}

#[test]
fn who_leaves_root_is_a_user_without_capabilities() {
    assert_eq!(play(setpriv(ALL_CAPABILITIES)), user(5, 7, &[]));
    assert_eq!(play(su()), user(5, 7, &[4, 7]));
    assert_eq!(play([su(), no_way_back()].concat()), user(5, 7, &[4, 7]));
    assert_eq!(play(apt()), user(42, 65534, &[65534]));
    assert_eq!(play(postfix()), user(5, 7, &[7]));
}

#[test]
fn setpriv_changes_its_groups_although_it_is_no_longer_root() {
    let mut script = setpriv(ALL_CAPABILITIES);
    script.truncate(4);
    let there = play(script.clone());
    assert_eq!(
        (there.uid, there.permitted, there.effective),
        (Ids::all(5), ALL_CAPABILITIES, ALL_CAPABILITIES)
    );
    script.remove(0);
    script.truncate(2);
    let without = play(script);
    assert_eq!(
        (without.permitted, without.effective),
        (0, 0),
        "nothing is kept that was not asked for"
    );
}

#[test]
fn who_changes_the_effective_ids_only_is_root_again() {
    for (script, there) in [(perl(), 3), (sshd(), 3)] {
        let away = play(script[..there].to_vec());
        assert_eq!(
            (away.uid, away.effective),
            (
                Ids {
                    effective: 5,
                    filesystem: 5,
                    ..Ids::all(0)
                },
                0
            )
        );
        assert_eq!(away.permitted, ALL_CAPABILITIES);
        assert_eq!(play(script), Credentials::root());
    }
    for script in [perl_swaps(), swaps()] {
        let swapped = play(script);
        assert_eq!(
            swapped.uid,
            Ids {
                real: 5,
                ..Ids::all(0)
            }
        );
        assert_eq!(swapped.effective, ALL_CAPABILITIES);
    }
}

#[test]
fn ambient_capabilities_survive_execve() {
    let port = 1 << CAP_NET_BIND_SERVICE as u8;
    let service = play(systemd(ALL_CAPABILITIES));
    assert_eq!(
        service,
        Credentials {
            permitted: port,
            effective: port,
            inheritable: port,
            ambient: port,
            ..user(5, 7, &[])
        }
    );
}

#[test]
fn execve_forgets_the_saved_ids() {
    let there = play(half_way());
    assert_eq!(
        there.uid,
        Ids {
            real: 0,
            ..Ids::all(5)
        }
    );
    assert_eq!((there.permitted, there.effective), (ALL_CAPABILITIES, 0));
    assert_eq!(
        play([half_way(), vec![(step!(SYS_setuid, 0_u32), DONE)]].concat()).effective,
        ALL_CAPABILITIES
    );
}

#[test]
fn what_is_not_about_credentials_is_not_answered() {
    let mut model = Credentials::root();
    for option in [libc::PR_SET_NAME, libc::PR_SET_DUMPABLE, 0, -1] {
        assert_eq!(model.prctl(option, [1, 0, 0, 0]), None);
    }
    assert_eq!(model, Credentials::root());
}

#[test]
fn a_list_of_groups_has_an_end() {
    let mut model = Credentials::root();
    assert_eq!(model.setgroups(vec![1; 65537]), Err(Errno::EINVAL));
    assert_eq!(model.setgroups(vec![1; 65536]), Ok(()));
    assert_eq!(model.groups.len(), 65536);
}

#[test]
fn the_kernel_makes_the_same_of_what_programs_do() {
    let Some((oracle, _place, start)) = kernel("the_kernel_makes_the_same_of_what_programs_do")
    else {
        return;
    };
    let all = start.permitted;
    let scripts = [
        setpriv(all),
        su(),
        apt(),
        perl(),
        perl_swaps(),
        swaps(),
        sshd(),
        postfix(),
        systemd(all),
        half_way(),
    ];
    for script in scripts {
        let (steps, wanted): (Vec<_>, Vec<_>) = script.into_iter().unzip();
        let returned: Vec<i64> = oracle
            .ask(&steps)
            .into_iter()
            .skip(1)
            .map(|(value, _)| value)
            .collect();
        assert_eq!(returned, wanted, "{steps:#?}");
        compare(&oracle, &start, steps).unwrap_or_else(|error| panic!("{error}"));
    }
}

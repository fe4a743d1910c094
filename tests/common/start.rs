//! What a program does between its first instruction and its execve, counted and not timed: the
//! same on a busy machine as on an idle one.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use zroot::internals::filter::{self, policy::Policy};

use crate::common::{run, user};

/// The PATH of these runs: the command is in its second directory.
pub const PATH: &str = "/nonexistent:/usr/bin";

/// What was done before execve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    pub calls: u64,
    pub faults: u64,
    /// Steps of the processor in user mode. Where it repeats an instruction (`rep movsb`) each
    /// repetition is one.
    pub instructions: u64,
}

/// What `program ARGS...` costs until it executes another, run as the unprivileged user.
pub fn cost(program: &Path, args: &[&str]) -> Cost {
    stay_on_one_processor();
    let (mut steps, mut stops, mut faults) = (0, 0, Vec::new());
    trace(program, args, |pid| ptrace::step(pid, None), |_| steps += 1);
    trace(
        program,
        args,
        |pid| ptrace::syscall(pid, None),
        |pid| {
            stops += 1;
            faults.push(minor_faults(pid));
        },
    );
    // The first stop is the program's start. Each call stops it twice, but execve's second stop
    // comes behind its event.
    Cost {
        calls: stops / 2,
        faults: faults[faults.len() - 1] - faults[0],
        instructions: steps - 1,
    }
}

/// Keeps this thread, and what it starts, on the processor it is on: a hundred thousand stops then
/// wake up nobody elsewhere.
fn stay_on_one_processor() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu().expect("a processor"))
        .expect("a processor of the set");
    sched_setaffinity(Pid::from_raw(0), &here).expect("affinity");
}

/// `program ARGS...` as the unprivileged user, with an environment of the same size on every
/// machine.
pub fn command(program: &Path, args: &[&str]) -> Command {
    let mut command = user(program);
    command.env("PATH", PATH).args(args);
    command
}

#[allow(unsafe_code)] // pre_exec
/// Has `program` go on with `go` from stop to stop, until it has executed another program; calls
/// `stopped` at each.
pub fn trace(
    program: &Path,
    args: &[&str],
    go: impl Fn(Pid) -> nix::Result<()>,
    mut stopped: impl FnMut(Pid),
) {
    let mut command = command(program, args);
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    assert!(
        matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))),
        "{command:?} did not stop behind its own execve"
    );
    ptrace::setoptions(
        pid,
        Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL,
    )
    .expect("options");
    loop {
        stopped(pid);
        go(pid).expect("going on");
        match waitpid(pid, None).expect("a stop") {
            WaitStatus::Stopped(..) | WaitStatus::PtraceSyscall(_) => {}
            WaitStatus::PtraceEvent(..) => break,
            end => panic!("{command:?} did not execute anything: {end:?}"),
        }
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
}

/// Page faults so far: field `minflt` of proc(5)'s `/proc/PID/stat`, the eighth behind the name in
/// parentheses.
fn minor_faults(pid: Pid) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    stat.rsplit(')')
        .next()
        .and_then(|fields| fields.split_whitespace().nth(7)?.parse().ok())
        .expect("minflt")
}

/// Compiles `benches/floor.c` in `dir`, with the filter that zroot installs; with `NOLIBC` if
/// `libc` is false.
pub fn floor(dir: &Path, libc: bool) -> PathBuf {
    let program = filter::program(Policy::DEFAULT).expect("a filter");
    let filter: Vec<String> = program
        .iter()
        .map(|i| format!("{{{},{},{},{}u}}", i.code, i.jt, i.jf, i.k))
        .collect();
    let path = dir.join(if libc { "floor" } else { "floor-nolibc" });
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-static", "-o"])
        .arg(&path)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/floor.c"));
    cc.arg(format!("-DFILTER={}", filter.join(",")));
    if !libc {
        cc.args(["-DNOLIBC", "-nostdlib", "-fno-stack-protector"]);
    }
    run(&mut cc).succeeds();
    path
}

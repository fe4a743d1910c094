//! Every ABI on a real kernel, old and new, under qemu:
//!
//!     cargo test --release --test kernels [-- [--all] [--write FILE] [MACHINE...]]
//!
//! Without --all: amd64, arm64 and s390x, which have 32-bit, x32 and big-endian ABIs, on their
//! oldest and newest kernel. In each guest a plain user runs zroot as built for each ABI of the
//! machine, and under it a program of each ABI that makes every call of the matrix and says who
//! answered; then programs of Debian's. Kernels, headers and libraries come from the package mirror
//! and are kept in the tests' directory.
//!
//! --seed-fault proves that the suite notices: it builds aarch64's zroot with a wrong number, and
//! must be red.

mod boot;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/debian.rs"]
mod debian;
mod fetch;
mod machines;
mod make;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use zroot::internals::arch::Abi;

use boot::{Booted, Step, Wanted};
use fetch::{Fetched, Unreachable};
use machines::{Kernel, MACHINES, Machine};
use make::Tools;

const COLUMNS: [&str; 7] = [
    "control",
    "zero",
    "never",
    "all",
    "selective",
    "full",
    "programs",
];

/// What stands above the table in the file.
const HEAD: &str = "# Every ABI on real kernels\n
Made by `cargo test --release --test kernels -- --all --write docs/kernels.md`: Debian's kernels under qemu. A number is how many runs were as they
should be, each of a program of that ABI that makes every call of the matrix (about 120) or, at level selective and in the last column, uses what it
was given. `refused` is zroot's own refusal, as it should be: where the sysctl forbids namespaces, where the kernel loses what a supervisor
returns, and at level full where the kernel is older than 5.14. `control` is without a filter, `zero` in a user namespace, `never` with
`--userns=never`, `all` with every class; each of the last three with the filter installed by zroot as built for each ABI of the machine, and by a loader
of each ABI that reads it from `--dump-filter=raw`. At level full each call of the stat family, by each way to name a file, of files of others, device nodes
and others (140 to 240 answers), says byte by byte what it says at level zero, but for what is remembered; and once, as the control, at level selective all
that it says at zero. `programs`
are Debian's tar, dpkg, chown and install, which must fail without zroot. Nothing in columns `selective` and `full`: Rust's standard library is not to be
had for that machine here, so that the filter is proven, and no executable.\n\n";

#[derive(Parser)]
#[command(about = "Every ABI on real kernels under qemu")]
struct Options {
    /// Of amd64 i386 arm64 armhf ppc64el s390x riscv64 loong64 mips64el mipsel
    machines: Vec<String>,
    /// All machines, all kernels
    #[arg(long)]
    all: bool,
    /// Where to write the table
    #[arg(long)]
    write: Option<PathBuf>,
    /// Build aarch64's zroot with a wrong system call number: the run must fail
    #[arg(long)]
    seed_fault: bool,
    /// Print what every guest's console said
    #[arg(long)]
    console: bool,
}

/// One boot to be done.
struct Job {
    machine: &'static Machine,
    kernel: &'static Kernel,
    /// Which sysctl is set from the start, to which value, if any: `NAME=VALUE`.
    setting: &'static str,
    initramfs: PathBuf,
    steps: Vec<Step>,
}

/// What came of a machine or a kernel.
enum Outcome {
    Booted(Booted),
    Unreachable(String),
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(unknown) = options
        .machines
        .iter()
        .find(|name| !MACHINES.iter().any(|machine| machine.name == *name))
    {
        eprintln!(
            "no machine {unknown}; there are {}",
            MACHINES
                .iter()
                .map(|machine| machine.name)
                .collect::<Vec<_>>()
                .join(" ")
        );
        return ExitCode::from(2);
    }
    let tools = match Tools::find() {
        Ok(tools) => tools,
        Err(reason) => {
            common::skip("kernels", &reason);
            println!("kernels: 0 passed, 0 failed, 1 skipped");
            return ExitCode::SUCCESS;
        }
    };
    let is_chosen = |machine: &&Machine| {
        let named = options.machines.iter().any(|name| name == machine.name);
        if options.machines.is_empty() {
            options.all || machine.is_fast
        } else {
            named
        }
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seeded = options.seed_fault.then(|| seed_fault(sources));
    let sources = seeded.as_ref().map_or(sources, |dir| dir.path());

    let place = common::dir();
    let mut prepared = Vec::new();
    let mut lacking = Vec::new();
    for machine in MACHINES.iter().filter(is_chosen) {
        match prepare(machine, &tools, sources, place.path().join(machine.name)) {
            Ok(guest) => prepared.push((machine, guest)),
            Err(Unreachable(reason)) => lacking.push((machine.name.to_owned(), reason)),
        }
    }
    let mut jobs = Vec::new();
    for (machine, guest) in &prepared {
        for (i, kernel) in machine.kernels.iter().enumerate() {
            let is_first_or_last = i == 0 || i == machine.kernels.len() - 1;
            if options.all || !options.machines.is_empty() || is_first_or_last {
                jobs.push(guest.job(machine, kernel, "", guest.steps(machine, kernel)));
            }
        }
        if machine.name == "amd64" {
            for setting in [
                "user.max_user_namespaces=0",
                "kernel.unprivileged_userns_clone=0",
            ] {
                let sysctl = setting.trim_end_matches("=0");
                let steps = guest.refusal_steps(machine.abis[0], sysctl);
                jobs.push(guest.job(machine, &machine.kernels[1], setting, steps));
            }
            // The first one is the control.
            for setting in ["kernel.yama.ptrace_scope=0", "kernel.yama.ptrace_scope=2"] {
                let kernel = machine.kernels.last().expect("a kernel");
                let steps = yama_steps(machine.abis[0], setting.ends_with('2'));
                jobs.push(guest.job(machine, kernel, setting, steps));
            }
        }
    }
    let outcomes = run_all(&jobs);

    let mut report = Report::default();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        report.add(job, &outcome, options.console);
    }
    for (name, reason) in lacking {
        common::skip(&format!("kernels, {name}"), &reason);
        report.skipped += 1;
    }
    println!("\n{}", report.table);
    if let Some(path) = options.write {
        fs::write(&path, format!("{HEAD}{}", report.table))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    println!(
        "kernels: {} passed, {} failed, {} skipped",
        report.passed, report.failed, report.skipped
    );
    ExitCode::from(u8::from(report.failed > 0 || report.passed == 0))
}

/// A copy of the sources in which aarch64's fchownat has the number of another call.
fn seed_fault(sources: &Path) -> tempfile::TempDir {
    let dir = common::dir();
    let script = r#"cp -r Cargo.toml Cargo.lock .cargo build.rs src tests benches "$0"
        sed -i -E 's/^(    \[fchownat +[0-9]+ +[0-9]+ +[0-9]+ +)54 /\155 /' "$0/src/arch/table.rs"; ! cmp -s src/arch/table.rs "$0/src/arch/table.rs""#;
    common::run(
        Command::new("sh")
            .args(["-ec", script])
            .arg(dir.path())
            .current_dir(sources),
    )
    .succeeds();
    dir
}

/// What the guests of one machine have in common.
struct Guest {
    place: PathBuf,
    tree: PathBuf,
    /// How many checks the checker of each ABI makes.
    checks: BTreeMap<Abi, usize>,
    /// What zroot is built for.
    executables: Vec<Abi>,
}

fn prepare(machine: &Machine, tools: &Tools, sources: &Path, place: PathBuf) -> Fetched<Guest> {
    let files = place.join("files");
    fs::create_dir_all(&files).expect("a directory");
    let release = machine.programs.map_or_else(fetch::own_release, Ok)?;
    let tree = fetch::tree(release, machine.name)?;
    let mut checks = BTreeMap::new();
    let mut executables = Vec::new();
    for abi in machine.abis {
        checks.insert(
            *abi,
            tools.checker(*abi, &files.join(format!("guest-{abi}")))?,
        );
        if let Some(built) = tools.zroot(*abi, sources)? {
            fs::copy(built, files.join(format!("zroot-{abi}"))).expect("a copy of zroot");
            executables.push(*abi);
        }
    }
    make::filters(machine.abis[0], &files);
    make::archives(&files);
    let init = files.join("init");
    fs::write(&init, boot::INIT).expect("init");
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).expect("chmod");
    Ok(Guest {
        place,
        tree,
        checks,
        executables,
    })
}

impl Guest {
    /// A boot that makes these steps.
    fn job(
        &self,
        machine: &'static Machine,
        kernel: &'static Kernel,
        setting: &'static str,
        steps: Vec<Step>,
    ) -> Job {
        let own = self.place.join(format!("{}{setting}", kernel.suite));
        fs::create_dir_all(&own).expect("a directory");
        fs::write(own.join("steps"), boot::script(&steps)).expect("the steps");
        let initramfs = own.with_extension("cpio");
        make::initramfs(&[&self.tree, &self.place.join("files"), &own], &initramfs);
        Job {
            machine,
            kernel,
            setting,
            initramfs,
            steps,
        }
    }

    /// Everything that is to be seen on a kernel.
    #[allow(clippy::too_many_lines)] // a list
    fn steps(&self, machine: &Machine, kernel: &Kernel) -> Vec<Step> {
        let Guest {
            checks,
            executables,
            ..
        } = self;
        let abis: Vec<Abi> = machine
            .abis
            .iter()
            .copied()
            .filter(|abi| Some(*abi) != kernel.lacks)
            .collect();
        let mut steps = Vec::new();
        let mut add =
            |abi: Abi, column: &'static str, by: &str, command: String, wanted: Wanted| {
                steps.push(Step {
                    abi,
                    column,
                    name: format!("{column}:{by}:{abi}"),
                    command,
                    wanted,
                });
            };
        let supervised = |success: Wanted| {
            if kernel.loses_values {
                Wanted::Refusal("loses the values")
            } else {
                success
            }
        };
        let full = |success: Wanted| {
            if kernel.is_old_for_full() {
                Wanted::Refusal("this kernel is older than 5.14")
            } else {
                supervised(success)
            }
        };
        for &abi in &abis {
            let all_right = Wanted::Checks(checks[&abi]);
            add(
                abi,
                "control",
                "none",
                format!("/guest-{abi} control"),
                all_right,
            );
            for (mode, _) in make::MODES.iter().skip(1) {
                for by in executables {
                    let command = format!(
                        "/zroot-{by} --no-apt-config {} -- /guest-{abi} {mode}",
                        make::options(mode)
                    );
                    add(abi, mode, &format!("zroot-{by}"), command, all_right);
                }
                for by in &abis {
                    let plain = if *mode == "never" { "-n " } else { "" };
                    let command =
                        format!("/guest-{by} load {plain}/filter-{mode} /guest-{abi} {mode}");
                    add(abi, mode, &format!("loader-{by}"), command, all_right);
                }
            }
            for by in executables {
                let command =
                    format!("/zroot-{by} -c selective -- /guest-{abi} selective /tmp/{by}-{abi}");
                add(
                    abi,
                    "selective",
                    &format!("zroot-{by}"),
                    command,
                    supervised(Wanted::Checks(SELECTIVE)),
                );
                if kernel.is_old_for_full() {
                    let command = format!("/zroot-{by} -c full -- /guest-{abi} give /tmp/none");
                    add(
                        abi,
                        "full",
                        &format!("zroot-{by}"),
                        command,
                        full(all_right),
                    );
                    continue;
                }
                // What files are said to be at a level, and then at level zero.
                for level in ["full", "selective"] {
                    let dir = format!("/tmp/{level}-{by}-{abi}");
                    let command = format!(
                        "busybox sh -ec '/zroot-{by} -c {level} -- /guest-{abi} give {dir}; /zroot-{by} -- /guest-{abi} compare {level} {dir}'"
                    );
                    let name = format!("{level}-zroot-{by}");
                    let answers = Wanted::Checks(make::stat_answers(abi));
                    add(abi, "full", &name, command, supervised(answers));
                }
            }
        }
        let native = abis[0];
        let is_built = executables.contains(&native);
        let zero = if is_built {
            format!("/zroot-{native}")
        } else {
            format!("/guest-{native} load /filter-zero")
        };
        let selective = format!("/zroot-{native} -c selective");
        let mut program = |name: &str, by: &str, command: String, wanted| {
            add(native, "programs", &format!("{name}-{by}"), command, wanted);
        };
        for (name, script, saying) in PROGRAMS {
            let command = |by: &str, dir: &str| {
                format!(
                    "{by} /bin/dash -ec 'mkdir /tmp/{dir}-{name} && cd /tmp/{dir}-{name} && {script}'"
                )
            };
            program(
                name,
                "without",
                command("busybox unshare -r", "without"),
                Wanted::Failure(saying),
            );
            program(name, "zero", command(&zero, "zero"), Wanted::Success);
            if is_built {
                program(
                    name,
                    "selective",
                    command(&selective, "selective"),
                    supervised(Wanted::Success),
                );
            }
        }
        if is_built {
            let nodes = "dash -ec 'mknod -m 640 /tmp/node-$0 c 1 3; test -f /tmp/node-$0; tar -C /tmp -cf /tmp/$0.tar node-$0'";
            program(
                "mknod",
                "zero",
                format!("{zero} {nodes} zero"),
                Wanted::Failure("cannot set permissions"),
            );
            program(
                "mknod",
                "selective",
                format!("{selective} {nodes} selective"),
                supervised(Wanted::Success),
            );
            let owners = "dash -ec 'mkdir /tmp/owners-$0; cd /tmp/owners-$0; touch f; chown 5:70000 f; mknod -m 640 n b 300 70000; stat -c %u:%g:%t:%T f n; \
                test -b n; test \"$(stat -c %u:%g f)\" = 5:70000; tar -cf t f n; tar -tvf t --numeric-owner | busybox grep -q 300,70000'";
            program(
                "owners",
                "selective",
                format!("/zroot-{native} -c selective {owners} selective"),
                if kernel.loses_values {
                    supervised(Wanted::Success)
                } else {
                    Wanted::Failure("0:0:0:0")
                },
            );
            program(
                "owners",
                "full",
                format!("/zroot-{native} -c full {owners} full"),
                full(Wanted::Says("0:0:12c:11170")),
            );
            program(
                "level",
                "auto",
                format!("/zroot-{native} -v -c auto true"),
                Wanted::Says(match kernel {
                    Kernel {
                        loses_values: true, ..
                    } => "level selective: ",
                    kernel if kernel.is_old_for_full() => "supervisor: level selective",
                    _ => "supervisor: level full",
                }),
            );
            program(
                "auto",
                "auto",
                format!("/zroot-{native} -c auto dash -ec 'touch /tmp/auto; chown 5:7 /tmp/auto'"),
                Wanted::Success,
            );
            program(
                "summary",
                "zero",
                format!("{zero} --summary chown 5:7 /tmp/auto"),
                Wanted::Success,
            );
            program(
                "check",
                "check",
                format!("/zroot-{native} --check"),
                Wanted::Success,
            );
        }
        steps
    }

    /// What is to be seen where namespaces are forbidden by `sysctl`.
    fn refusal_steps(&self, abi: Abi, sysctl: &'static str) -> Vec<Step> {
        let step = |column, command: String, wanted| Step {
            abi,
            column,
            name: column.into(),
            command,
            wanted,
        };
        let never = format!("/zroot-{abi} --userns=never --no-apt-config -- /guest-{abi} never");
        vec![
            step(
                "zero",
                format!("/zroot-{abi} true"),
                Wanted::Refusal(sysctl),
            ),
            step("never", never, Wanted::Checks(self.checks[&abi])),
        ]
    }
}

/// What is to be seen where Yama keeps processes without privileges from each other's memory, if it
/// does: only a user namespace gives the supervisor some.
fn yama_steps(abi: Abi, is_kept_out: bool) -> Vec<Step> {
    let step = |name: &str, command: &str, wanted| Step {
        abi,
        column: "full",
        name: name.into(),
        command: format!("busybox sh -ec '{command}'"),
        wanted,
    };
    let without = if is_kept_out {
        Wanted::Refusal("kernel.yama.ptrace_scope")
    } else {
        Wanted::Says("5:7")
    };
    let given =
        r#"busybox sh -ec ": >/tmp/f; busybox chown 5:7 /tmp/f; busybox stat -c %u:%g /tmp/f""#;
    let fakeroot = format!("busybox ln -sf /zroot-{abi} /tmp/fakeroot; /tmp/fakeroot");
    vec![
        step(
            "own-never",
            &format!("/zroot-{abi} -c full --userns=never {given}"),
            without,
        ),
        step("fakeroot-u", &format!("{fakeroot} -u -- {given}"), without),
        step(
            "own",
            &format!("/zroot-{abi} -c full {given}"),
            Wanted::Says("5:7"),
        ),
        step(
            "fakeroot",
            &format!("{fakeroot} -- {given}"),
            Wanted::Says("5:7"),
        ),
    ]
}

/// How many checks `guest.c` makes at level selective in its last program, which it executes only
/// if all before were as expected.
const SELECTIVE: usize = 2;

/// Debian's programs: name, script, and how it fails without a filter.
const PROGRAMS: &[(&str, &str, &str)] = &[
    (
        "tar",
        "tar --same-owner -xf /suite.tar && test -g usr/share/suite",
        "Cannot change ownership",
    ),
    (
        "chown",
        "mkdir -p a/b && touch a/b/c && chown -R 5:7 a",
        "Invalid argument",
    ),
    (
        "install",
        "install -o 5 -g 7 -m 4755 /suite.tar file && test -u file",
        "Invalid argument",
    ),
    (
        "dpkg",
        "mkdir -p r/var/lib/dpkg/info r/var/lib/dpkg/updates && touch r/var/lib/dpkg/status && \
         dpkg --force-script-chrootless --force-bad-path --root=$PWD/r -i /suite.deb && dpkg --root=r -s suite && test -f r/usr/share/suite/file",
        "Invalid argument",
    ),
];

impl Job {
    fn parameters(&self) -> String {
        if self.setting.is_empty() {
            String::new()
        } else {
            format!("sysctl.{}", self.setting)
        }
    }

    /// What distinguishes it from others of its machine and kernel.
    fn what(&self) -> String {
        if self.setting.is_empty() {
            String::new()
        } else {
            format!(", {}", self.setting)
        }
    }
}

fn do_job(job: &Job) -> Fetched<Outcome> {
    let machine = job.machine;
    let qemu = if machine.needs_qemu_10 {
        fetch::qemu_10(machine.qemu)?
    } else {
        vec![machine.qemu.to_owned()]
    };
    if !qemu[0].contains('/') && common::program(machine.qemu).is_none() {
        return Err(Unreachable(format!("there is no {}", machine.qemu)));
    }
    let kernel = fetch::kernel(machine.name, job.kernel)?;
    Ok(Outcome::Booted(boot::boot(
        machine,
        &qemu,
        &job.parameters(),
        &kernel,
        &job.initramfs,
        &job.steps,
    )))
}

/// Boots two at a time.
fn run_all(jobs: &[Job]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<Mutex<Option<Outcome>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(i) else { break };
                    let outcome = do_job(job)
                        .unwrap_or_else(|Unreachable(reason)| Outcome::Unreachable(reason));
                    *outcomes[i].lock().expect("nobody panics with it") = Some(outcome);
                }
            });
        }
    });
    let ended = |slot: Mutex<Option<Outcome>>| {
        slot.into_inner()
            .expect("nobody panics with it")
            .expect("every job is done")
    };
    outcomes.into_iter().map(ended).collect()
}

#[derive(Default)]
struct Report {
    table: String,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    fn add(&mut self, job: &Job, outcome: &Outcome, console: bool) {
        if self.table.is_empty() {
            let _ = writeln!(
                self.table,
                "| machine and kernel | ABI | {} | s |\n|---|---|{}---|",
                COLUMNS.join(" | "),
                "---|".repeat(COLUMNS.len())
            );
        }
        let title = format!("{}, {}{}", job.machine.name, job.kernel.suite, job.what());
        let booted = match outcome {
            Outcome::Unreachable(reason) => {
                common::skip(&format!("kernels, {title}"), reason);
                self.skipped += job.steps.len();
                return;
            }
            Outcome::Booted(booted) => booted,
        };
        if console || !booted.ended {
            println!("{title}: the console:\n{}", booted.console);
        }
        for (name, why) in &booted.wrong {
            println!("{title}: {name}: {why}");
        }
        let release = booted.console.split("THE-KERNEL ").nth(1);
        let version = release
            .and_then(|rest| rest.split(['\n', '-', '+']).next())
            .unwrap_or("did not start");
        let abis: Vec<Abi> = job
            .machine
            .abis
            .iter()
            .copied()
            .filter(|abi| job.steps.iter().any(|step| step.abi == *abi))
            .collect();
        for abi in abis {
            let _ = write!(
                self.table,
                "| {}, Linux {version}{} | {abi} |",
                job.machine.name,
                job.what()
            );
            for column in COLUMNS {
                let of_cell: Vec<&Step> = job
                    .steps
                    .iter()
                    .filter(|step| step.abi == abi && step.column == column)
                    .collect();
                let wrong = of_cell
                    .iter()
                    .filter(|step| booted.wrong.contains_key(&step.name))
                    .count();
                let _ = match (of_cell.len(), wrong) {
                    (0, _) => write!(self.table, " |"),
                    _ if wrong == 0
                        && of_cell
                            .iter()
                            .all(|step| matches!(step.wanted, Wanted::Refusal(_))) =>
                    {
                        write!(self.table, " refused |")
                    }
                    (all, 0) => write!(self.table, " {all} |"),
                    (all, wrong) => write!(self.table, " **{wrong} of {all} failed** |"),
                };
            }
            let _ = writeln!(self.table, " {:.0} |", booted.seconds);
        }
        self.failed += booted.wrong.len() + usize::from(!booted.ended);
        self.passed += job.steps.len() - booted.wrong.len();
    }
}

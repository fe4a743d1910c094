//! Compares zroot with its peers: `cargo bench --bench compare`. Installs nothing, and says which
//! peers it found. Prints the tables of docs/benchmarks.md, and a verdict for each target that was measured.
//!
//! Every round runs each launcher once on each workload, so that all of them see the same machine.
//! Ratios are taken within a round. Started by root, it runs everything but "real root" as an
//! unprivileged user. `benches/README.md` says more.

mod apt;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/common/debian.rs"]
mod debian;
mod measure;
mod output;
mod peers;
mod places;
mod workloads;

use std::path::{Path, PathBuf};

use clap::Parser;

use measure::{Group, Ratio, Table};
use places::Places;
use workloads::{Bench, MUSL};

/// All workloads, in the order in which they run. The first [`QUICK`] are the default. The others
/// take minutes.
const WORKLOADS: [&str; 15] = [
    "start",
    "root",
    "calls",
    "notified",
    "sync",
    "stats",
    "looks",
    "chown",
    "tar",
    "fork",
    "make",
    "apt",
    "apt-disk",
    "configure",
    "package",
];
const QUICK: usize = 11;

#[derive(Parser)]
#[command(about = "zroot beside its peers")]
struct Options {
    /// Of start root calls notified sync stats looks chown tar fork make apt apt-disk configure
    /// package; the first eleven without one, all with --full
    workloads: Vec<String>,
    /// More rounds, more files, the large set of packages, ./configure
    #[arg(long)]
    full: bool,
    /// How many rounds, whatever the workload
    #[arg(long)]
    rounds: Option<usize>,
    /// Charliecloud's ch-run; else $ZROOT_BENCH_CH_RUN, or from PATH
    #[arg(long)]
    ch_run: Option<PathBuf>,
    /// enroot's enroot-nsenter; else $ZROOT_BENCH_ENROOT, or from PATH
    #[arg(long)]
    enroot: Option<PathBuf>,
    /// zroot as built for musl, for the workloads `start` and `root`; else $ZROOT_BENCH_MUSL
    #[arg(long)]
    musl: Option<PathBuf>,
    /// A Debian tree for the workload `root` too; `apt` makes its own
    #[arg(long)]
    tree: Option<PathBuf>,
    /// A directory on a disk
    #[arg(long, default_value = "/var/tmp")]
    disk: PathBuf,
    /// A directory in memory
    #[arg(long, default_value = "/dev/shm")]
    tmpfs: PathBuf,
    /// What cargo bench passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("--time") => return measure::timer(false, args),
        Some("--times") => return measure::timer(true, args),
        _ => {}
    }
    let options = Options::parse();
    if let Some(unknown) = options
        .workloads
        .iter()
        .find(|name| !WORKLOADS.contains(&name.as_str()))
    {
        eprintln!("no workload {unknown}; there are {}", WORKLOADS.join(" "));
        std::process::exit(2);
    }
    let given = |option: &Option<PathBuf>, variable: &str| {
        option
            .clone()
            .or_else(|| std::env::var_os(variable).map(PathBuf::from))
    };
    let places = Places::make(&options.disk, &options.tmpfs);
    let ch_run = given(&options.ch_run, "ZROOT_BENCH_CH_RUN").or_else(|| common::program("ch-run"));
    println!("{}", environment(&options));
    if ch_run.is_none() {
        println!("No path given: ch-run.");
    }
    let peers = peers::find(given(&options.enroot, "ZROOT_BENCH_ENROOT").as_deref());
    let ch_run = ch_run.map(|path| places::text(&path));
    let musl = given(&options.musl, "ZROOT_BENCH_MUSL").map(|path| places::text(&path));
    if musl.is_none() {
        println!("No path given: zroot, built for musl.");
    }
    let bench = Bench {
        places,
        peers,
        ch_run,
        musl,
        full: options.full,
        rounds: options.rounds,
    };

    let default = &WORKLOADS[..if options.full { WORKLOADS.len() } else { QUICK }];
    let mut verdicts = Verdicts::default();
    for name in WORKLOADS {
        let chosen = if options.workloads.is_empty() {
            default.contains(&name)
        } else {
            options.workloads.iter().any(|one| one == name)
        };
        if !chosen {
            continue;
        }
        let groups: Vec<Group> = match name {
            "start" => vec![bench.start()],
            "root" => bench.root(options.tree.as_deref().map(places::text).as_deref()),
            "calls" => bench.calls(),
            "notified" => bench.notified().into_iter().collect(),
            "sync" => bench.sync().into_iter().collect(),
            "stats" => bench.stats().into_iter().collect(),
            "looks" => bench.looks(),
            "chown" => vec![bench.chown()],
            "tar" => vec![bench.tar()],
            "fork" => vec![bench.fork()],
            "make" => vec![bench.make()],
            "configure" => bench.configure().into_iter().collect(),
            "package" => bench.package().into_iter().collect(),
            _ => match apt::tree() {
                Ok(tree) => vec![apt::install(&bench, &tree, name == "apt-disk")],
                Err(reason) => {
                    println!("Left out: {name}: {reason}");
                    Vec::new()
                }
            },
        };
        for (i, group) in groups.into_iter().enumerate() {
            let table = group.run(&bench.places);
            table.print();
            verdicts.judge(name, i, &table);
        }
    }
    verdicts.print();
}

fn environment(options: &Options) -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kind = |path: &Path| {
        common::run(
            std::process::Command::new("stat")
                .args(["-f", "-c", "%T"])
                .arg(path),
        )
        .stdout
        .trim()
        .to_owned()
    };
    format!(
        "Linux {}, {cores} cores, load {}; {} on {}, {} on {}; as {}; medians (quartiles), x: against the first row",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        options.disk.display(),
        kind(&options.disk),
        options.tmpfs.display(),
        kind(&options.tmpfs),
        if common::is_root() {
            "root, dropping to an unprivileged user"
        } else {
            "an unprivileged user"
        },
    )
}

/// A ratio that must be at most `limit`, where both cells were measured.
struct Target {
    workload: &'static str,
    /// Which of the workload's tables.
    table: usize,
    what: &'static str,
    /// A row and a column, to be divided by another.
    of: (&'static str, usize),
    to: (&'static str, usize),
    limit: f64,
}

const fn target(
    (workload, table): (&'static str, usize),
    what: &'static str,
    of: (&'static str, usize),
    to: (&'static str, usize),
    limit: f64,
) -> Target {
    Target {
        workload,
        table,
        what,
        of,
        to,
        limit,
    }
}

#[rustfmt::skip] // one a line, or two
const TARGETS: &[Target] = &[
    target(("start", 0), "start against static C on glibc",
        ("zroot", 0), ("C, static, glibc", 0), 1.10),
    target(("start", 0), "start, built for musl, against static C on musl",
        (MUSL, 0), ("C, static, musl", 0), 1.10),
    target(("start", 0), "start against C without libc (to go towards)",
        ("zroot", 0), ("C, without libc", 0), 1.10),
    target(("start", 0), "start against enroot-nsenter",
        ("zroot", 0), ("enroot-nsenter", 0), 1.0),
    target(("start", 0), "start, built for musl, against C without libc (to go towards)",
        (MUSL, 0), ("C, without libc", 0), 1.10),
    target(("start", 0), "start, built for musl, against enroot-nsenter",
        (MUSL, 0), ("enroot-nsenter", 0), 1.0),

    target(("root", 0), "--root, busybox tree, against bwrap --bind",
        ("zroot --root", 0), ("bwrap --bind", 0), 1.0),
    target(("root", 0), "--root, busybox tree, against ch-run",
        ("zroot --root", 0), ("ch-run", 0), 1.0),
    target(("root", 1), "--root, Debian tree, against bwrap --bind",
        ("zroot --root", 0), ("bwrap --bind", 0), 1.0),
    target(("root", 1), "--root, Debian tree, against ch-run",
        ("zroot --root", 0), ("ch-run", 0), 1.0),

    target(("calls", 0), "getppid against an allow-everything filter",
        ("zroot", 0), ("allow-everything filter", 0), 1.02),
    target(("calls", 0), "openat+close against an allow-everything filter",
        ("zroot", 1), ("allow-everything filter", 1), 1.02),
    target(("calls", 0), "fstat against an allow-everything filter",
        ("zroot", 2), ("allow-everything filter", 2), 1.02),
    target(("calls", 0), "faked chown against the real one",
        ("zroot", 3), ("native", 3), 0.15),
    target(("calls", 0), "faked chown against ch-run's (2 % for noise)",
        ("zroot", 3), ("ch-run --seccomp", 3), 1.02),
    target(("calls", 1), "i386 getppid against an allow-everything filter",
        ("zroot", 0), ("allow-everything filter", 0), 1.02),
    target(("calls", 1), "i386 openat+close against an allow-everything filter",
        ("zroot", 1), ("allow-everything filter", 1), 1.02),
    target(("calls", 1), "i386 fstat against an allow-everything filter",
        ("zroot", 2), ("allow-everything filter", 2), 1.02),
    target(("calls", 1), "faked i386 chown against the real one",
        ("zroot", 3), ("native", 3), 0.15),
    target(("calls", 1), "faked i386 chown against ch-run's (2 % for noise)",
        ("zroot", 3), ("ch-run --seccomp", 3), 1.02),

    target(("sync", 0), "--no-sync against eatmydata, fsync by a dynamic program",
        ("zroot --no-sync, dynamic", 0), ("eatmydata, dynamic", 0), 1.0),
    target(("sync", 0), "--no-sync against eatmydata, fsync by a static program",
        ("zroot --no-sync, static", 0), ("eatmydata, static", 0), 1.0),

    target(("notified", 0), "a supervised chown, 8 processes at once, against one",
        ("zroot -c selective", 4), ("zroot -c selective", 3), 1.0),
    target(("notified", 0), "a supervised chown, 64 processes at once, against one",
        ("zroot -c selective", 5), ("zroot -c selective", 3), 1.0),

    target(("looks", 0), "ls -lR, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("tar", 0), "tar x, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("chown", 0), "chown -R, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("fork", 0), "a shell's loop, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("make", 0), "make, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("package", 0), "dpkg-buildpackage, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("configure", 0), "./configure, full, against fakeroot",
        ("zroot -c full", 0), ("fakeroot", 0), 1.0),
    target(("apt", 0), "apt-get install on tmpfs, full, against real root",
        ("zroot -c full --root", 0), ("real root", 0), 1.15),

    target(("apt", 0), "apt-get install on tmpfs against real root",
        ("zroot --root", 0), ("real root", 0), 1.02),
    target(("apt", 0), "apt-get install on tmpfs, selective, against real root",
        ("zroot -c selective --root", 0), ("real root", 0), 1.03),

    target(("apt-disk", 0), "apt-get install on disk, --no-sync, against real root",
        ("zroot --root --no-sync", 0), ("real root", 0), 0.85),
    target(("apt-disk", 0), "apt-get install on disk, --no-sync, against eatmydata in zroot",
        ("zroot --root --no-sync", 0), ("zroot --root, eatmydata", 0), 1.0),
    target(("apt-disk", 0), "apt-get install on disk, --no-sync, against eatmydata as real root",
        ("zroot --root --no-sync", 0), ("real root, eatmydata", 0), 1.0),
];

/// The targets that were measured.
#[derive(Default)]
struct Verdicts(Vec<(&'static Target, Ratio)>);

impl Verdicts {
    fn judge(&mut self, workload: &str, i: usize, table: &Table) {
        let here = |target: &&'static Target| target.workload == workload && target.table == i;
        let measured = |target: &'static Target| Some((target, table.ratio(target.of, target.to)?));
        self.0
            .extend(TARGETS.iter().filter(here).filter_map(measured));
    }

    fn print(&self) {
        println!("\n| target | at most | measured | interval | |\n|---|---:|---:|---:|---|");
        for (target, ratio) in &self.0 {
            let Target { what, limit, .. } = target;
            let Ratio {
                median,
                low,
                high,
                rounds,
            } = ratio;
            let verdict = if high <= limit {
                "met"
            } else if low > limit {
                "**not met**"
            } else if median <= limit {
                "undecided, rather met"
            } else {
                "undecided, rather not met"
            };
            let few = if *rounds < measure::ENOUGH {
                format!(", of only {rounds} rounds")
            } else {
                String::new()
            };
            println!(
                "| {what} | {limit:.2} | {median:.3} | {low:.3}..{high:.3} | {verdict}{few} |"
            );
        }
    }
}

//! zroot beside its peers: `cargo bench --bench compare`. Installs nothing; says which peers it
//! found. Prints the README's tables, and a verdict for each target that was measured.
//!
//! Every round runs each launcher once on each workload, so that all of them see the same machine;
//! what is compared are the ratios within a round. Started by root it runs everything but "real
//! root" as an unprivileged user. `README.md` beside this file says more.

mod apt;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/common/debian.rs"]
mod debian;
mod measure;
mod peers;
mod places;
mod workloads;

use std::path::{Path, PathBuf};

use clap::Parser;

use measure::{Group, Ratio, Table};
use places::Places;
use workloads::Bench;

/// All of them, in the order in which they run. The first [`QUICK`] are the default, the others
/// take minutes.
const WORKLOADS: [&str; 12] = [
    "start",
    "root",
    "calls",
    "notified",
    "sync",
    "chown",
    "tar",
    "fork",
    "make",
    "apt",
    "apt-disk",
    "configure",
];
const QUICK: usize = 9;

#[derive(Parser)]
#[command(about = "zroot beside its peers")]
struct Options {
    /// Of start root calls notified sync chown tar fork make apt apt-disk configure; the first nine
    /// without one, all with --full
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
    if args.next().as_deref() == Some("--time") {
        return measure::timer(args);
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
            "chown" => vec![bench.chown()],
            "tar" => vec![bench.tar()],
            "fork" => vec![bench.fork()],
            "make" => vec![bench.make()],
            "configure" => bench.configure().into_iter().collect(),
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

/// One line of the last table.
struct Verdict {
    what: String,
    limit: f64,
    ratio: Ratio,
}

#[derive(Default)]
struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// `of` must be at most `limit` times `to`, where both were measured.
    fn add(&mut self, table: &Table, what: &str, of: &str, to: &str, column: usize, limit: f64) {
        if let Some(ratio) = table.ratio(of, to, column) {
            self.0.push(Verdict {
                what: what.to_owned(),
                limit,
                ratio,
            });
        }
    }

    /// Of row `row`, column `of` must be at most `limit` times column `to`.
    fn add_columns(
        &mut self,
        table: &Table,
        what: &str,
        row: &str,
        of: usize,
        to: usize,
        limit: f64,
    ) {
        if let Some(ratio) = table.ratio_between((row, of), (row, to)) {
            self.0.push(Verdict {
                what: what.to_owned(),
                limit,
                ratio,
            });
        }
    }

    /// The targets that group `i` of a workload covers.
    fn judge(&mut self, workload: &str, i: usize, table: &Table) {
        match workload {
            "start" => {
                self.add(
                    table,
                    "start against static C on glibc",
                    "zroot",
                    "C, static, glibc",
                    0,
                    1.10,
                );
                self.add(
                    table,
                    "start, built for musl, against static C on musl",
                    workloads::MUSL,
                    "C, static, musl",
                    0,
                    1.10,
                );
                for (row, built) in [("zroot", ""), (workloads::MUSL, ", built for musl,")] {
                    let what = format!("start{built} against C without libc (to go towards)");
                    self.add(table, &what, row, "C, without libc", 0, 1.10);
                    self.add(
                        table,
                        &format!("start{built} against enroot-nsenter"),
                        row,
                        "enroot-nsenter",
                        0,
                        1.0,
                    );
                }
            }
            "root" => {
                for peer in ["bwrap --bind", "ch-run"] {
                    let what = format!(
                        "--root, {} tree, against {peer}",
                        if i == 0 { "busybox" } else { "Debian" }
                    );
                    self.add(table, &what, "zroot --root", peer, 0, 1.0);
                }
            }
            "calls" => {
                let abi = if i == 0 { "" } else { "i386 " };
                for (column, call) in ["getppid", "openat+close", "fstat"].into_iter().enumerate() {
                    let what = format!("{abi}{call} against an allow-everything filter");
                    self.add(
                        table,
                        &what,
                        "zroot",
                        "allow-everything filter",
                        column,
                        1.02,
                    );
                }
                self.add(
                    table,
                    &format!("faked {abi}chown against the real one"),
                    "zroot",
                    "native",
                    3,
                    0.15,
                );
                self.add(
                    table,
                    &format!("faked {abi}chown against ch-run's (2 % for noise)"),
                    "zroot",
                    "ch-run --seccomp",
                    3,
                    1.02,
                );
            }
            "sync" => {
                for kind in ["dynamic", "static"] {
                    let [of, to] =
                        ["zroot --no-sync", "eatmydata"].map(|name| format!("{name}, {kind}"));
                    self.add(
                        table,
                        &format!("--no-sync against eatmydata, fsync by a {kind} program"),
                        &of,
                        &to,
                        0,
                        1.0,
                    );
                }
            }
            "notified" => {
                let row = "zroot -c selective";
                for (column, many) in [(4, "8"), (5, "64")] {
                    self.add_columns(
                        table,
                        &format!("a supervised chown, {many} processes at once, against one"),
                        row,
                        column,
                        3,
                        1.0,
                    );
                }
            }
            "apt" => {
                self.add(
                    table,
                    "apt-get install on tmpfs against real root",
                    "zroot --root",
                    "real root",
                    0,
                    1.02,
                );
                let what = "apt-get install on tmpfs, selective, against real root";
                self.add(
                    table,
                    what,
                    "zroot -c selective --root",
                    "real root",
                    0,
                    1.03,
                );
            }
            "apt-disk" => {
                let of = "zroot --root --no-sync";
                self.add(
                    table,
                    "apt-get install on disk, --no-sync, against real root",
                    of,
                    "real root",
                    0,
                    0.85,
                );
                self.add(
                    table,
                    "apt-get install on disk, --no-sync, against eatmydata in zroot",
                    of,
                    "zroot --root, eatmydata",
                    0,
                    1.0,
                );
                self.add(
                    table,
                    "apt-get install on disk, --no-sync, against eatmydata as real root",
                    of,
                    "real root, eatmydata",
                    0,
                    1.0,
                );
            }
            _ => {}
        }
    }

    fn print(&self) {
        println!("\n| target | at most | measured | interval | |\n|---|---:|---:|---:|---|");
        for Verdict {
            what,
            limit,
            ratio:
                Ratio {
                    median,
                    low,
                    high,
                    rounds,
                },
        } in &self.0
        {
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

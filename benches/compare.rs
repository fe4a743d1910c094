//! zroot beside its peers: `cargo bench --bench compare`. Installs nothing; says which peers it found. Prints the README's table.
//!
//! Every round runs each launcher once on each workload, so that all of them see the same machine; the medians of the rounds are compared
//! with the same command without a launcher. Run it as an ordinary user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How often each launcher meets each workload.
const ROUNDS: usize = 15;

/// What is measured: a name, what one run does, and into how many operations its time is divided.
const WORKLOADS: [(&str, &[&str], u32); 3] = [
    ("start", &["/bin/true"], 1),
    ("stat", &["perl", "-e", "for (1..20000) { stat $ARGV[0] }", "FILE"], 20_000),
    ("chown", &["perl", "-e", "($u, $g) = ($>, $) + 0); for (1..20000) { chown $u, $g, $ARGV[0] or die $! }", "FILE"], 20_000),
];

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("file");
    fs::write(&file, "").expect("a file");
    let zroot = PathBuf::from(env!("CARGO_BIN_EXE_zroot"));
    let bwrap = ["bwrap", "--dev-bind", "/", "/"];
    let launchers: Vec<(&str, Vec<&str>)> = vec![
        ("no launcher", vec![]),
        ("zroot", vec![zroot.to_str().expect("a path in UTF-8")]),
        ("unshare -r", vec!["unshare", "-r"]),
        ("bwrap", bwrap.to_vec()),
        ("fakeroot", vec!["fakeroot"]),
        ("pseudo", vec!["pseudo"]),
        ("PRoot -0", vec!["proot", "-0"]),
    ];
    let (found, missing): (Vec<_>, Vec<_>) =
        launchers.into_iter().partition(|(_, launcher)| launcher.first().is_none_or(|program| exists(program)));
    println!("not found: {}", missing.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "));

    let mut times = vec![vec![Vec::new(); WORKLOADS.len()]; found.len()];
    for round in 0..=ROUNDS {
        for (i, (name, launcher)) in found.iter().enumerate() {
            for (j, (_, command, _)) in WORKLOADS.iter().enumerate() {
                let nanos = time(launcher, command, &file).unwrap_or_else(|| panic!("{name} failed on {command:?}"));
                if round > 0 {
                    times[i][j].push(nanos); // the first round warms up
                }
            }
        }
    }
    let medians: Vec<Vec<f64>> = times.into_iter().map(|row| row.into_iter().map(median).collect()).collect();
    // What a call costs is what the loop costs beyond the launcher's and Perl's start, which the workload `start` stands for.
    let cost = |i: usize, j: usize| if j == 0 { medians[i][0] } else { (medians[i][j] - medians[i][0]) / f64::from(WORKLOADS[j].2) };
    println!("| | start of `true`, ms | x | stat, us | x | chown, us | x |\n|---|---|---|---|---|---|---|");
    for (i, (name, _)) in found.iter().enumerate() {
        print!("| {name} |");
        for j in 0..WORKLOADS.len() {
            let unit = if j == 0 { 1e6 } else { 1e3 };
            print!(" {:.2} | {:.2} |", cost(i, j) / unit, cost(i, j) / cost(0, j));
        }
        println!();
    }
}

/// Nanoseconds of one run, or `None` if it failed.
fn time(launcher: &[&str], command: &[&str], file: &Path) -> Option<f64> {
    let words: Vec<&str> = launcher.iter().chain(command).copied().collect();
    let mut child = Command::new(words[0]);
    for word in &words[1..] {
        if *word == "FILE" {
            child.arg(file)
        } else {
            child.arg(word)
        };
    }
    let start = Instant::now();
    let status = child.stdin(Stdio::null()).stdout(Stdio::null()).status().ok()?;
    let nanos = start.elapsed().as_nanos();
    // Far below the 52 bits at which the conversion would lose any.
    #[allow(clippy::cast_precision_loss)]
    status.success().then_some(nanos as f64)
}

fn exists(program: &str) -> bool {
    program.starts_with('/') || std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

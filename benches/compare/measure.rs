//! Runs the cases in interleaved rounds and makes a table of the results.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::output::output;
use crate::places::Places;

/// One row: a command under a launcher.
pub struct Case {
    pub name: String,
    pub command: Vec<String>,
    /// Whether real root runs it.
    pub root: bool,
    /// A shell script that runs before each measurement, by the same user, and is not measured.
    pub before: Option<String>,
    /// Runs in the first round only, because the launcher takes minutes.
    pub once: bool,
}

impl Case {
    pub fn new(name: &str, command: Vec<String>) -> Case {
        Case {
            name: name.to_owned(),
            command,
            root: false,
            before: None,
            once: false,
        }
    }
}

/// The columns of [`Source::Times`].
pub const TIMES: [&str; 2] = ["time", "CPU"];

/// For so long a command's processes are waited for that go on without it.
const LINGER: Duration = Duration::from_millis(500);

/// Where a case's numbers come from.
#[derive(Clone, Copy)]
pub enum Source {
    /// The command's run time: the median of so many runs in a row.
    Time(usize),
    /// The command's run time, and what it and all its processes took of the processors, those that
    /// outlive it for a moment included: a supervisor, a server.
    Times,
    /// What the command prints: `NAME PICOSECONDS` a line.
    Printed,
}

pub struct Group {
    pub title: String,
    pub columns: Vec<&'static str>,
    pub source: Source,
    pub cases: Vec<Case>,
    pub rounds: usize,
    /// Whether a first round is run that does not count.
    pub warm: bool,
}

/// The results of a group.
pub struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// Nanoseconds by round (`None` where it was not run), by column.
    rounds: Vec<Option<Vec<f64>>>,
    /// Why it is measured no more.
    failure: Option<String>,
}

/// With so many rounds, the interval of a [`Ratio`] holds the true median in at least 95 of 100
/// cases. With fewer it cannot: n rounds all lie on one side of it with probability 2^(1-n).
pub const ENOUGH: usize = 6;

/// A median of per-round ratios, and an interval around it.
#[derive(Clone, Copy)]
pub struct Ratio {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub rounds: usize,
}

impl Group {
    pub fn run(self, places: &Places) -> Table {
        let row = |case: &Case| Row {
            name: case.name.clone(),
            rounds: Vec::new(),
            failure: None,
        };
        let mut rows: Vec<Row> = self.cases.iter().map(row).collect();
        eprintln!("{}: {} rounds", self.title, self.rounds);
        for case in &self.cases {
            forget(Path::new(&case.command[0]));
        }
        for round in 0..self.rounds + usize::from(self.warm) {
            for turn in 0..self.cases.len() {
                // No row always comes first, or always behind the same row: the kernel is still
                // freeing that one's filter.
                let turn = if round % 2 == 0 {
                    turn
                } else {
                    self.cases.len() - 1 - turn
                };
                let row = (turn + round) % self.cases.len();
                let case = &self.cases[row];
                let counts = !self.warm || round > 0;
                if rows[row].failure.is_some()
                    || (case.once && !rows[row].rounds.is_empty())
                    || (case.once && !counts)
                {
                    rows[row].rounds.push(None);
                    continue;
                }
                match sample(case, self.source, self.columns.len(), places) {
                    Ok(sample) if counts => rows[row].rounds.push(Some(sample)),
                    Ok(_) => {}
                    Err(message) => rows[row].failure = Some(message),
                }
            }
        }
        Table {
            title: self.title,
            columns: self.columns,
            rows,
        }
    }
}

/// Makes the kernel read an executable anew when it is next executed, as after a boot. A file that
/// was just written is in the page cache in larger folios, and its pages are mapped faster.
fn forget(path: &Path) {
    if let Ok(file) = File::open(path) {
        // What cannot be written back or is in use stays as it is.
        let _ = file.sync_all();
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

fn sample(
    case: &Case,
    source: Source,
    columns: usize,
    places: &Places,
) -> Result<Vec<f64>, String> {
    if let Some(script) = &case.before {
        output(&mut places.command(case.root, &["sh", "-ec", script]))
            .map_err(|message| format!("preparation: {message}"))?;
    }
    let timed = |words: &[&str]| {
        let timer = places.timer();
        let command = case.command.iter().map(String::as_str);
        let words: Vec<&str> = [timer.as_str()]
            .into_iter()
            .chain(words.iter().copied())
            .chain(command)
            .collect();
        output(&mut places.command(case.root, &words)).map(|text| numbers(&text, 1.0))
    };
    let numbers = match source {
        Source::Time(runs) => vec![median(&mut timed(&["--time", &runs.to_string()])?)],
        Source::Times => timed(&["--times"])?,
        Source::Printed => {
            let words: Vec<&str> = case.command.iter().map(String::as_str).collect();
            numbers(&output(&mut places.command(case.root, &words))?, 1000.0)
        }
    };
    if numbers.len() == columns {
        Ok(numbers)
    } else {
        Err("it printed something else".into())
    }
}

/// The last word of each line, divided by `unit`.
fn numbers(text: &str, unit: f64) -> Vec<f64> {
    text.lines()
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|number| number / unit)
        .collect()
}

/// What `--time RUNS COMMAND...` and `--times COMMAND...` do. This program starts itself again for
/// it: the process is then small and unprivileged, and its posix_spawn adds little.
pub fn timer(is_whole: bool, mut args: impl Iterator<Item = String>) {
    if is_whole {
        // Whoever outlives the command is ours then.
        let _ = set_child_subreaper(true);
        println!("{}", time(&args.collect::<Vec<_>>()).as_nanos());
        let until = Instant::now() + LINGER;
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what children took");
        let micros = usage.user_time() + usage.system_time();
        println!("{}", micros.num_microseconds() * 1000);
        return;
    }
    let runs: usize = args
        .next()
        .and_then(|runs| runs.parse().ok())
        .expect("a number of runs");
    let words: Vec<String> = args.collect();
    for _ in 0..runs {
        println!("{}", time(&words).as_nanos());
    }
}

/// How long a command takes, which must succeed.
fn time(words: &[String]) -> Duration {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let start = Instant::now();
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{}: {error}", words[0]));
    let time = start.elapsed();
    if !status.success() {
        std::process::exit(status.code().unwrap_or(1));
    }
    time
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(values, 1, 2)
}

fn quantile(sorted: &[f64], numerator: usize, denominator: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let (at, rest) = (
        last * numerator / denominator,
        last * numerator % denominator,
    );
    if rest == 0 {
        return sorted.get(at).copied().unwrap_or(f64::NAN);
    }
    #[allow(clippy::cast_precision_loss)] // small numbers
    let share = rest as f64 / denominator as f64;
    sorted[at] + (sorted[at + 1] - sorted[at]) * share
}

impl Table {
    fn samples(&self, row: usize, column: usize) -> Vec<f64> {
        let mut samples: Vec<f64> = self.rows[row]
            .rounds
            .iter()
            .flatten()
            .map(|sample| sample[column])
            .collect();
        samples.sort_by(f64::total_cmp);
        samples
    }

    /// One row and column against another, where both were measured.
    pub fn ratio(&self, of: (&str, usize), to: (&str, usize)) -> Option<Ratio> {
        let row = |name: &str| self.rows.iter().find(|row| row.name == name);
        let (of, of_column, to, to_column) = (row(of.0)?, of.1, row(to.0)?, to.1);
        let pairs = of
            .rounds
            .iter()
            .zip(&to.rounds)
            .filter_map(|pair| Some(pair.0.as_ref()?[of_column] / pair.1.as_ref()?[to_column]));
        let mut ratios: Vec<f64> = pairs.collect();
        if ratios.is_empty() {
            return None;
        }
        let median = median(&mut ratios);
        // The order statistics around the median: n/2 -+ 1.96 sqrt(n)/2.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )] // a few rounds
        let aside = (0.98 * (ratios.len() as f64).sqrt()).ceil() as usize;
        let low = ratios[(ratios.len() / 2).saturating_sub(aside)];
        let high = ratios[(ratios.len() / 2 + aside).min(ratios.len() - 1)];
        Some(Ratio {
            median,
            low,
            high,
            rounds: ratios.len(),
        })
    }

    /// As Markdown: medians, quartiles, and the ratio to the first row.
    pub fn print(&self) {
        let mut text = format!("\n**{}**\n\n| |", self.title);
        let mut rule = String::from("|---|");
        for (i, column) in self.columns.iter().enumerate() {
            let longest = self.samples(0, i).last().copied().unwrap_or_default();
            let _ = write!(text, " {column}, {} | x |", unit(longest).1);
            rule.push_str("---:|---:|");
        }
        let _ = writeln!(text, "\n{rule}");
        for (row, Row { name, failure, .. }) in self.rows.iter().enumerate() {
            let _ = write!(text, "| {name} |");
            for column in 0..self.columns.len() {
                if let Some(failure) = failure {
                    let _ = write!(
                        text,
                        " {} | |",
                        if column == 0 {
                            format!("fails: {failure}")
                        } else {
                            String::new()
                        }
                    );
                    continue;
                }
                let (scale, _) = unit(self.samples(0, column).last().copied().unwrap_or_default());
                let samples = self.samples(row, column);
                let [low, middle, high] =
                    [1, 2, 3].map(|quarter| number(quantile(&samples, quarter, 4) / scale));
                let ratio = self
                    .ratio((name, column), (&self.rows[0].name, column))
                    .map_or_else(String::new, |ratio| number(ratio.median));
                let _ = write!(text, " {middle} ({low}..{high}) | {ratio} |");
            }
            text.push('\n');
        }
        print!("{text}");
    }
}

/// The unit for a column whose first row says `nanos`.
fn unit(nanos: f64) -> (f64, &'static str) {
    match nanos {
        2e9.. => (1e9, "s"),
        2e6.. => (1e6, "ms"),
        2e4.. => (1e3, "us"),
        _ => (1.0, "ns"),
    }
}

/// Three digits.
fn number(value: f64) -> String {
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$}")
}

//! Reports for people.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::event::Event;
use super::tally::{OwnerTally, Tally};
use crate::supervisor::target::running::Running;
use crate::text::printable;

/// How many processes are named that still run.
const NAMED: usize = 20;

/// `PID PROGRAM CALL(ARGUMENTS) = RESULT`.
pub fn line(event: &Event) -> String {
    let path = event
        .path
        .as_ref()
        .map(|path| format!("\"{}\"", printable(path)));
    let arguments = event
        .arguments
        .iter()
        .map(|(name, value)| format!("{name}={}", printable(value)));
    let all: Vec<String> = path.into_iter().chain(arguments).collect();
    let (tid, program, call) = (event.tid, printable(&event.program), event.call.name());
    format!(
        "{tid} {program} {call}({}) = {}\n",
        all.join(", "),
        event.result
    )
}

/// That the reader of the trace has missed calls.
pub fn lost(calls: u64) -> String {
    format!("zroot: {calls} calls are not shown: nobody read them in time\n")
}

/// The summary, without what those that are `running` may do yet.
pub fn summary(tally: &Tally, running: &[Running]) -> String {
    let mut out = numbers(tally);
    if !running.is_empty() {
        let name = |Running { pid, program }: &Running| format!("{} ({pid})", printable(program));
        let mut named: Vec<String> = running.iter().take(NAMED).map(name).collect();
        if running.len() > NAMED {
            named.push(format!("and {} more", running.len() - NAMED));
        }
        let named = named.join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "zroot: still running, and counted only up to here: {named}"
        );
    }
    out
}

fn numbers(tally: &Tally) -> String {
    let mut out = String::new();
    let mut classes = tally.classes().peekable();
    if classes.peek().is_none() {
        return format!("zroot: nothing was pretended (level {})\n", tally.level);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "zroot: pretended calls (level {}):", tally.level);
    for class in classes {
        let (programs, calls) = (by_count(&class.programs), by_count(&class.calls));
        let (name, total) = (class.class.name(), class.total);
        let _ = writeln!(out, "  {name:<12}{total:>8}  by {programs} ({calls})");
    }
    let owners = tally.owners();
    if !owners.is_empty() {
        let what = match tally.kept.by() {
            Some(option) if tally.level.remembers() => {
                &format!("are remembered, and kept by {option}")
            }
            None if tally.level.remembers() => {
                "are remembered, and an archive that is made later will lack (--save and --owners keep them)"
            }
            _ => "the files do not have, and an archive of them will lack",
        };
        let _ = writeln!(out, "zroot: owners that {what}:");
    }
    for OwnerTally {
        user,
        group,
        files,
        named,
        ..
    } in owners
    {
        let some: Vec<String> = named.iter().take(10).map(|path| printable(path)).collect();
        let rest = match files - some.len() as u64 {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let _ = writeln!(
            out,
            "  {:<20} {}{rest}",
            format!("{user}:{group}"),
            some.join(" ")
        );
    }
    if !tally.devices.is_empty() {
        let what = match tally.kept.by() {
            Some(option) if tally.level.remembers() => {
                &format!("are remembered, and kept by {option}")
            }
            None if tally.level.remembers() => "are remembered, and only placeholders later",
            _ if tally.level.has_supervisor() => "are only placeholders",
            _ => "are not there",
        };
        let _ = writeln!(out, "zroot: devices that {what}:");
        for (path, device) in &tally.devices {
            let _ = writeln!(out, "  {} ({device})", printable(path));
        }
        if tally.more_devices > 0 {
            let _ = writeln!(out, "  and {} more", tally.more_devices);
        }
    }
    if !tally.checked.is_empty() {
        let programs: Vec<String> = tally.checked.iter().map(|name| printable(name)).collect();
        let _ = writeln!(
            out,
            "zroot: programs that asked for their ids after they had changed them: {}",
            programs.join(", ")
        );
    }
    out
}

/// `NAME COUNT, ...`, the largest count first.
fn by_count(counts: &BTreeMap<&str, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (Reverse(**count), **name));
    let items: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{} {count}", printable(name)))
        .collect();
    items.join(", ")
}

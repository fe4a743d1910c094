//! Reports for machines.

use std::collections::BTreeMap;

use super::event::Event;
use super::tally::{ClassTally, OwnerTally, Tally};
use crate::supervisor::target::running::Running;
use crate::text::{list_of, quoted};

/// The version of both forms, in each object's `schema`. It grows when a member changes its meaning
/// or goes.
const SCHEMA: u32 = 1;

/// One call, as an object on a line.
pub fn line(event: &Event) -> String {
    let Event {
        tid,
        class,
        call,
        abi,
        ..
    } = event;
    let path = event.path.as_deref().map_or_else(|| "null".into(), quoted);
    let argument = |(name, value): &(&str, String)| format!("{}:{}", quoted(name), quoted(value));
    let arguments: Vec<String> = event.arguments.iter().map(argument).collect();
    let (program, arguments) = (quoted(&event.program), arguments.join(","));
    let (call, result) = (call.name(), quoted(&event.result));
    format!(
        "{{\"schema\":{SCHEMA},\"pid\":{tid},\"program\":{program},\"class\":\"{class}\",\
         \"call\":\"{call}\",\"abi\":\"{abi}\",\"path\":{path},\"arguments\":{{{arguments}}},\
         \"result\":{result}}}\n"
    )
}

/// That the reader of the trace has missed calls, as an object on a line.
pub fn lost(calls: u64) -> String {
    format!("{{\"schema\":{SCHEMA},\"not_shown\":{calls}}}\n")
}

/// The summary, as an object on a line. It is not the last one while anything is `running`.
pub fn summary(tally: &Tally, running: &[Running]) -> String {
    let classes: Vec<String> = tally.classes().map(|class| class_member(&class)).collect();
    let owners: Vec<String> = tally.owners().iter().map(owner_object).collect();
    let device = |(path, device): (&String, &String)| {
        format!(
            "{{\"path\":{},\"device\":{}}}",
            quoted(path),
            quoted(device)
        )
    };
    let devices: Vec<String> = tally.devices.iter().map(device).collect();
    let (classes, owners, devices) = (classes.join(","), owners.join(","), devices.join(","));
    let (level, checked) = (tally.level, list_of(&tally.checked));
    let is_partial = !running.is_empty();
    let process = |Running { pid, program }: &Running| {
        format!("{{\"pid\":{pid},\"program\":{}}}", quoted(program))
    };
    let running: Vec<String> = running.iter().map(process).collect();
    let running = running.join(",");
    let kept_by = if tally.level.remembers() {
        r#""--save","--owners""#
    } else {
        ""
    };
    let is_kept = tally.level.remembers() && tally.kept.by().is_some();
    format!(
        "{{\"schema\":{SCHEMA},\"level\":\"{level}\",\"partial\":{is_partial},\
         \"classes\":{{{classes}}},\"owners\":[{owners}],\"kept_by\":[{kept_by}],\"kept\":{is_kept},\"devices\":[{devices}],\
         \"checked_ids\":{checked},\"running\":[{running}]}}\n"
    )
}

fn class_member(
    ClassTally {
        class,
        total,
        calls,
        programs,
    }: &ClassTally,
) -> String {
    let (calls, programs) = (object(calls), object(programs));
    format!("\"{class}\":{{\"total\":{total},\"calls\":{calls},\"programs\":{programs}}}")
}

fn owner_object(owner: &OwnerTally) -> String {
    let id = |id: u32| {
        if id == u32::MAX {
            "null".into()
        } else {
            id.to_string()
        }
    };
    let (uid, gid) = (id(owner.uid), id(owner.gid));
    let (user, group) = (quoted(&owner.user), quoted(&owner.group));
    let (files, named) = (owner.files, list_of(owner.named));
    format!(
        "{{\"uid\":{uid},\"gid\":{gid},\"user\":{user},\"group\":{group},\"files\":{files},\
         \"paths\":{named}}}"
    )
}

fn object(counts: &BTreeMap<&str, u64>) -> String {
    let members: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{}:{count}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

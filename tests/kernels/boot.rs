//! One boot: the script that the guest runs, and what came of each of its steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use zroot::internals::arch::Abi;

use crate::common::run;
use crate::machines::Machine;

/// What a step of the guest's must come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Status 0, and this last line.
    Checks(usize),
    /// Status 0.
    Success,
    /// Status 0, and somewhere in the output these words.
    Says(&'static str),
    /// Another status, and somewhere in the output these words: a control.
    Failure(&'static str),
    /// zroot's own failure, which says this.
    Refusal(&'static str),
}

/// One command in the guest.
pub struct Step {
    pub abi: Abi,
    /// The table's column.
    pub column: &'static str,
    /// What it is, unique within the boot; no blanks.
    pub name: String,
    pub command: String,
    pub wanted: Wanted,
}

/// What PID 1 does: the system's mounts, the steps as a plain user, the end.
pub const INIT: &str = r#"#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
busybox mkdir -p /proc /sys /dev /tmp /etc
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs -o mode=1777 tmp /tmp
echo root:x:0:0::/:/bin/sh > /etc/passwd
echo user:x:1000:1000::/tmp:/bin/sh >> /etc/passwd
echo "THE-KERNEL $(busybox uname -r)"
cd /tmp
busybox su user -c 'busybox sh /steps'
echo THE-END
busybox sync
busybox poweroff -f
busybox reboot -f
"#;

/// The steps as a shell script.
pub fn script(steps: &[Step]) -> String {
    let mut text = String::from(
        "step() { name=$1; shift; \"$@\" > /tmp/output 2>&1 < /dev/null; status=$?; busybox sed \"s/^/OUT $name /\" /tmp/output; echo \"END $name $status\"; }\n",
    );
    for step in steps {
        let _ = writeln!(text, "step {} {}", step.name, step.command);
    }
    text
}

/// What a boot came to.
pub struct Booted {
    /// What the console said, for when something is wrong.
    pub console: String,
    pub seconds: f64,
    /// Names of steps that did not come to what they should, and why.
    pub wrong: BTreeMap<String, String>,
    /// The guest came to its end and the machine was switched off.
    pub ended: bool,
}

/// Boots and judges.
pub fn boot(
    machine: &Machine,
    qemu: &[String],
    parameters: &str,
    kernel: &Path,
    initramfs: &Path,
    steps: &[Step],
) -> Booted {
    let start = std::time::Instant::now();
    let mut command = Command::new("timeout");
    command.arg("300").args(qemu).args(machine.options).args([
        "-accel",
        "tcg",
        "-m",
        "1024",
        "-nographic",
        "-no-reboot",
    ]);
    command
        .args(["-nodefaults", "-serial", "stdio", "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs);
    command
        .arg("-append")
        .arg(format!(
            "{} {parameters} quiet panic=-1 rdinit=/init",
            machine.parameters
        ))
        .stdin(Stdio::null());
    let ran = run(&mut command);
    let console = format!("{}{}", ran.stdout, ran.stderr).replace('\r', "");

    let mut outputs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut ends: BTreeMap<&str, &str> = BTreeMap::new();
    for line in console.lines() {
        if let Some((name, text)) = line
            .strip_prefix("OUT ")
            .and_then(|rest| rest.split_once(' '))
        {
            outputs.entry(name).or_default().push(text);
        } else if let Some((name, status)) = line
            .strip_prefix("END ")
            .and_then(|rest| rest.split_once(' '))
        {
            ends.insert(name, status);
        }
    }
    let mut wrong = BTreeMap::new();
    for step in steps {
        let output = outputs
            .get(step.name.as_str())
            .map(|lines| lines.join("\n"))
            .unwrap_or_default();
        let status = ends.get(step.name.as_str()).copied().unwrap_or("none");
        let last = output.lines().last().unwrap_or_default();
        let is_right = match step.wanted {
            Wanted::Checks(checks) => {
                status == "0" && last == format!("{checks} checks, all as expected")
            }
            Wanted::Success => status == "0",
            Wanted::Says(saying) => status == "0" && output.contains(saying),
            Wanted::Failure(saying) => !matches!(status, "0" | "none") && output.contains(saying),
            Wanted::Refusal(saying) => status == "125" && output.contains(saying),
        };
        if !is_right {
            wrong.insert(
                step.name.clone(),
                format!("status {status} of `{}`\n{output}", step.command),
            );
        }
    }
    let ended = ran.status == 0 && console.lines().any(|line| line == "THE-END");
    Booted {
        console,
        seconds: start.elapsed().as_secs_f64(),
        wrong,
        ended,
    }
}

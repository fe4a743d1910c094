//! Runs a command to its end.

use std::process::Command;

/// Standard output, or why the command failed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = stderr
        .lines()
        .rev()
        .find(|line| line.contains(": "))
        .or(stderr.lines().last())
        .unwrap_or_default();
    Err(format!(
        "{} ({})",
        output.status,
        said.chars().take(100).collect::<String>()
    ))
}

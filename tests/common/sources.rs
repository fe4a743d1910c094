//! Where the suites come from: a directory that the environment names, or Debian's source package,
//! by an apt of our own that reads the machine's sources, needs no root and changes nothing of the
//! machine's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{give, keep, program, run, user};
use crate::debian::Mirror;

/// The sources of `package`, unpacked: they are fetched once, and stay.
pub fn debian(package: &str) -> Result<PathBuf, String> {
    let home = keep().join("suites");
    let place = home.join(package);
    if place.exists() {
        return Ok(place);
    }
    if program("dpkg-source").is_none() {
        return Err("there is no dpkg-source (Debian's dpkg-dev)".into());
    }
    let new = home.join(format!("{package}.new"));
    let _ = fs::remove_dir_all(&new);
    for dir in [&home, &new] {
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        give(dir);
    }
    let config = configuration(&home)?;
    let script = r#"apt-get -q -c "$0" source --download-only --only-source "$1"
        dpkg-source --no-check --no-copy -x *.dsc sources"#;
    let ran = run(user("sh")
        .args(["-ec", script])
        .arg(&config)
        .arg(package)
        .current_dir(&new));
    if ran.status != 0 {
        let why = ran.stderr.lines().find(|line| line.starts_with("E: "));
        return Err(format!(
            "Debian's source package {package} is not to be had: {}",
            why.unwrap_or(ran.stderr.trim())
        ));
    }
    fs::rename(&new, &place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(place)
}

/// An apt that knows the source packages of the places where the machine's own finds its packages.
fn configuration(home: &Path) -> Result<PathBuf, String> {
    let mirror = Mirror::find()?;
    let dir = home.join("apt");
    let text = dir.to_str().ok_or("a path that is not UTF-8")?.to_owned();
    let lists = ["lists/partial", "cache/archives/partial"].map(|name| dir.join(name));
    run(user("mkdir").arg("-p").args(lists)).succeeds();
    let sources = mirror
        .lines
        .iter()
        .map(|line| ["deb-src ", line.trim_start_matches("deb "), "\n"].concat())
        .collect::<String>();
    let settings = mirror
        .settings
        .iter()
        .map(|setting| [setting, ";\n"].concat())
        .collect::<String>();
    let config = dir.join("apt.conf");
    let contents = format!(
        "{settings}Dir::State \"{text}\"; Dir::State::Lists \"{text}/lists\"; Dir::Cache \"{text}/cache\";
        Dir::Etc::SourceList \"{text}/sources.list\"; Dir::Etc::SourceParts \"/dev/null\"; Acquire::Languages \"none\";\n"
    );
    for (path, contents) in [
        (dir.join("sources.list"), sources),
        (config.clone(), contents),
    ] {
        fs::write(&path, contents).map_err(|error| format!("{}: {error}", path.display()))?;
        give(&path);
    }
    // Source packages vanish from a mirror when newer ones come. What fails here, fails again when
    // something is asked for.
    run(user("apt-get")
        .args(["-q", "-c"])
        .arg(&config)
        .arg("update"));
    Ok(config)
}

/// The directory that variable `name` has, if it has one.
pub fn named(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// Says why the user under whom zroot runs cannot use `dir`.
pub fn readable(dir: &Path) -> Result<(), String> {
    let can = run(user("sh")
        .args(["-c", r#"cd "$0" && ls >/dev/null"#])
        .arg(dir));
    if can.status == 0 {
        Ok(())
    } else {
        Err(format!(
            "user {} cannot read it: {}",
            crate::common::uid(),
            can.stderr.trim()
        ))
    }
}

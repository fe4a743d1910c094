//! Owners, types and device numbers, as the programs of a run see them: at level full they are
//! forgotten when its last process ends, so that the run itself has to look.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::common::run;
use crate::scripts::real;
use crate::suite::{Column, Expect};

/// What is not all root's, and what is a device, by path.
pub type Owners = BTreeMap<String, String>;

/// What stands before the list in what was said.
const MARK: &str = "== owners, at the end";

/// Behind the path of what may be a device.
const AS_DEVICE: &str = " as a device";

/// What is no part of a tree that is looked at from the inside.
pub const MOUNTS: &str = "-path ./proc -o -path ./sys -o -path './dev/*'";

/// The shell's script `script`, which says at a good end what it finds in `dir`, but for what
/// `ignored`, a condition of find(1)'s, is true for.
pub fn noted(script: &str, dir: &str, ignored: &str) -> String {
    let ignored = ignored.replace('\n', " ");
    format!(
        r#"(
{script}
)
status=$?; [ $status = 0 ] || exit $status
cd "{dir}"; echo; echo '{MARK}'
find . -xdev \( {ignored} \) -prune -o \( \( ! -uid 0 -o ! -gid 0 \) -printf '%p\t%y %m %U:%G\n' , \
    ! -type d ! -type l -size 0 -exec stat --printf '%n{AS_DEVICE}\t%F %t,%T\n' {{}} + \)"#
    )
}

/// What was said, in two: by the script, and by what looked after it.
pub fn split(said: &str) -> (&str, Option<Owners>) {
    let Some((before, list)) = said.rsplit_once(&format!("\n{MARK}\n")) else {
        return (said, None);
    };
    // An empty file is none.
    let line = |line: &str| {
        line.split_once('\t')
            .filter(|(path, what)| !path.ends_with(AS_DEVICE) || what.contains("special file"))
            .map(|(path, what)| (path.to_owned(), what.to_owned()))
    };
    (before, Some(list.lines().filter_map(line).collect()))
}

/// What is another's for real root by design, and why.
const BY_DESIGN: &[(&[&str], &str)] = &[(
    &["/partial", "/auxfiles"],
    "apt is told not to become user _apt, and gives it no directory",
)];

/// Where these are not real root's.
pub fn differences(real: &Owners, ours: &Owners) -> Vec<String> {
    let is_compared = |path: &&String| {
        let ends = |end: &&str| path.ends_with(end);
        !BY_DESIGN.iter().any(|(all, _)| all.iter().any(ends))
    };
    let paths: BTreeSet<&String> = real.keys().chain(ours.keys()).filter(is_compared).collect();
    let or_roots = |what: Option<&String>| what.map_or("root's", String::as_str).to_owned();
    paths
        .into_iter()
        .filter(|path| real.get(*path) != ours.get(*path))
        .map(|path| {
            format!(
                "{path}: {} for real root, here {}",
                or_roots(real.get(path)),
                or_roots(ours.get(path))
            )
        })
        .collect()
}

/// Where owners are remembered, compares what a run has said of them with what real root's has,
/// which comes first. Of differences that `expect` knows only others are told, if there are any.
pub fn same(
    of_real_root: &RefCell<Option<Owners>>,
    column: Column,
    ours: Option<Owners>,
    expect: Expect,
) -> Result<(), String> {
    if !column.keeps_owners() {
        return Ok(());
    }
    let ours = ours.ok_or("the run has not said which owners it sees")?;
    if column == Column::RealRoot {
        of_real_root.replace(Some(ours));
        return Ok(());
    }
    let of_real_root = of_real_root.borrow();
    let Some(real) = &*of_real_root else {
        return Ok(());
    };
    let known = |line: &String| {
        let (Expect::InPart { saying, .. } | Expect::Fail { saying, .. }) = expect else {
            return false;
        };
        line.contains(saying)
    };
    let (old, new): (Vec<String>, Vec<String>) =
        differences(real, &ours).into_iter().partition(known);
    let told = if new.is_empty() { old } else { new };
    if told.is_empty() {
        Ok(())
    } else {
        Err(format!("owners:\n    {}", told.join("\n    ")))
    }
}

/// Gives all of real root's `tree` back to root, and makes empty files of devices, with the modes
/// that they have: what another run of zroot finds.
pub fn forget(tree: &Path) {
    let script = r#"for file; do
        mode=$(stat -c %a "$file"); if [ -b "$file" ] || [ -c "$file" ]; then rm "$file"; : >"$file"; fi
        chown -h 0:0 "$file"; [ -L "$file" ] || chmod "$mode" "$file"; done"#;
    let which = "-xdev ( ! -uid 0 -o ! -gid 0 -o -type b -o -type c )";
    run(real(["find"])
        .arg(tree)
        .args(which.split(' '))
        .args(["-exec", "sh", "-ec", script, "sh", "{}", "+"]))
    .succeeds();
}

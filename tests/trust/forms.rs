//! The ways to name a file.
//!
//! `fixtures/cells.c` has open: 3 `P/f`, 4 the same by `O_PATH`, 5 `P/d` by `O_PATH`, 6 `P`,
//! 7 `/proc/self`, 8 `/proc/self/fd`, 9 `/proc`, 10 `P/link` itself, 11 `P/fifo` by `O_PATH`,
//! 12 `/dev`; from outside of the sandbox 20 `P/f` and 21 `P/d`; not 99. Its parent has 3 `P/o`, and stands in `P/d`.

use std::path::Path;

/// Which calls a form is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// Those with a path.
    Path,
    /// Those with a path that starts from a descriptor.
    Dir,
    /// Those with a path and `AT_*` flags.
    Flags,
    /// Those with a descriptor in place of a path.
    Fd,
}

/// What changes while the call is made, again and again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Race {
    /// Two names are exchanged: `A|B`.
    Exchange,
    /// The path in the caller's memory becomes another one, which differs in one byte.
    Overwrite,
}

#[derive(Clone, Debug)]
pub struct Form {
    pub name: String,
    pub of: For,
    /// Where the caller stands; `!` is a directory that is deleted.
    pub cwd: String,
    pub dir: i32,
    pub flags: i32,
    pub fd: i32,
    /// A file that is there.
    pub file: String,
    /// One that is to be made.
    pub new: String,
    /// With what else, and the two forms that the call then may be one of.
    pub race: Option<(Race, String, [String; 2])>,
}

const EMPTY: i32 = libc::AT_EMPTY_PATH;
const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;

/// From the places `P`, `Q` and `R` as the caller sees them.
pub fn all(places: [&str; 3]) -> Vec<Form> {
    let [p, q, r] = places;
    let mut forms: Vec<Form> = Vec::new();
    let plain = |name: &str, file: &str, new: &str| Form {
        name: name.into(),
        of: For::Path,
        cwd: "/".into(),
        dir: libc::AT_FDCWD,
        flags: 0,
        fd: -1,
        file: file.into(),
        new: new.into(),
        race: None,
    };
    let fill = |text: &str| text.replace("{P}", p).replace("{Q}", q).replace("{R}", r);

    for (name, file, new) in PATHS {
        forms.push(plain(name, &fill(file), &fill(new)));
    }
    forms.push(plain(
        "too long",
        &format!("{p}/{}", "a".repeat(256)),
        &format!("{p}/{}", "a".repeat(256)),
    ));
    for (name, file, dir) in MAGIC {
        forms.push(plain(name, &fill(file), &format!("{}/new", fill(dir))));
        if !file.contains('%') {
            let link = format!("{p}/links/{}", file_name(name));
            forms.push(plain(
                &format!("link to {name}"),
                &link,
                &format!("{link}.dir/new"),
            ));
        }
    }
    for (name, cwd, file, new) in RELATIVE {
        forms.push(Form {
            cwd: fill(cwd),
            ..plain(name, file, new)
        });
    }
    for (name, dir, file, new) in FROM_DESCRIPTOR {
        forms.push(Form {
            of: For::Dir,
            dir: *dir,
            ..plain(name, &fill(file), &fill(new))
        });
    }
    for (name, dir, flags, path) in WITH_FLAGS {
        forms.push(Form {
            of: For::Flags,
            cwd: format!("{p}/d"),
            dir: *dir,
            flags: *flags,
            ..plain(name, &fill(path), &fill(path))
        });
    }
    for (name, fd) in DESCRIPTORS {
        forms.push(Form {
            of: For::Fd,
            fd: *fd,
            ..plain(name, "", "")
        });
    }
    let mut race = |name: &str, path: &str, how, with: &str, is_one_of: [&str; 2]| {
        forms.push(Form {
            race: Some((how, fill(with), is_one_of.map(str::to_owned))),
            ..plain(
                name,
                &fill(&format!("{path}/f")),
                &fill(&format!("{path}/new")),
            )
        });
    };
    let (swap, magic) = ("{R}/swap|{R}/swapl", "{R}/mswap|{R}/mswapl");
    race(
        "exchanged with a link",
        "{R}/swap",
        Race::Exchange,
        swap,
        ["R/swap", "R/swapl"],
    );
    race(
        "exchanged with a link to fd/5",
        "{R}/mswap",
        Race::Exchange,
        magic,
        ["R/mswap", "R/mswapl"],
    );
    if p.len() == r.len() {
        // Of the file's name, or of the new one's: the caller fills in what is missing.
        race(
            "overwritten",
            "{R}/d",
            Race::Overwrite,
            "{P}/d",
            ["R/d", "absolute in P/d"],
        );
    }
    forms
}

/// The symbolic links in `P/links` that lead where the forms of [`MAGIC`] do.
pub fn links(top: &Path) -> Vec<(String, String)> {
    let fill = |text: &str| text.replace("{P}", &top.join("P").display().to_string());
    let of = |(name, file, dir): &(&str, &str, &str)| {
        let name = file_name(name);
        [
            (name.clone(), fill(file)),
            (format!("{name}.dir"), fill(dir)),
        ]
    };
    MAGIC
        .iter()
        .filter(|(_, file, _)| !file.contains('%'))
        .flat_map(of)
        .collect()
}

fn file_name(name: &str) -> String {
    name.replace('/', "_")
}

const PATHS: &[(&str, &str, &str)] = &[
    ("absolute", "{P}/f", "{P}/new"),
    ("absolute in P/d", "{P}/d/f", "{P}/d/new"),
    ("dots", "{P}/./d/..//f", "{P}/./d/..//new"),
    ("slash behind", "{P}/f/", "{P}/new/"),
    ("missing", "{P}/nothing/f", "{P}/nothing/new"),
    ("there already", "{P}/o", "{P}/o"),
    ("through a file", "{P}/f/x", "{P}/f/new"),
    ("loop", "{P}/loop/f", "{P}/loop/new"),
    ("link", "{P}/link", "{P}/link"),
    ("link to nothing", "{P}/nowhere", "{P}/nowhere"),
    ("link to a directory", "{P}/dlink/f", "{P}/dlink/new"),
    ("directory", "{P}/d", "{P}/d"),
    ("locked directory", "{P}/locked/f", "{P}/locked/new"),
    ("FIFO", "{P}/fifo", "{P}/fifo"),
    (
        "file without permissions",
        "{P}/unreadable",
        "{P}/unreadable/new",
    ),
    ("/dev/null", "/dev/null", "/dev/null"),
    ("empty", "", ""),
    ("beside", "{Q}/f", "{Q}/new"),
    ("somebody else's", "/etc/passwd", "/etc/new"),
    ("standard input", "/dev/stdin", "/dev/stdin"),
    ("R/d", "{R}/d/f", "{R}/d/new"),
    ("R/swap", "{R}/swap/f", "{R}/swap/new"),
    ("R/swapl", "{R}/swapl/f", "{R}/swapl/new"),
    ("R/mswap", "{R}/mswap/f", "{R}/mswap/new"),
    ("R/mswapl", "{R}/mswapl/f", "{R}/mswapl/new"),
];

/// Paths through links of /proc: to a file, and to a directory. `%p` and `%P` are the caller and
/// its parent.
const MAGIC: &[(&str, &str, &str)] = &[
    ("/proc/self/fd/N", "/proc/self/fd/3", "/proc/self/fd/5"),
    (
        "/proc/self/fd/N of O_PATH",
        "/proc/self/fd/4",
        "/proc/self/fd/6",
    ),
    (
        "/proc/self/fd/N of a FIFO",
        "/proc/self/fd/11",
        "/proc/self/fd/11",
    ),
    (
        "/proc/self/fd/N closed",
        "/proc/self/fd/99",
        "/proc/self/fd/99",
    ),
    (
        "/proc/self/fd/N from outside",
        "/proc/self/fd/20",
        "/proc/self/fd/21",
    ),
    (
        "/proc/thread-self/fd/N",
        "/proc/thread-self/fd/3",
        "/proc/thread-self/fd/5",
    ),
    ("/proc/PID/fd/N", "/proc/%p/fd/3", "/proc/%p/fd/5"),
    (
        "/proc/PID/task/TID/fd/N",
        "/proc/%p/task/%p/fd/3",
        "/proc/%p/task/%p/fd/5",
    ),
    ("/dev/fd/N", "/dev/fd/3", "/dev/fd/5"),
    // Which the supervisor has not open.
    ("/dev/fd/N from outside", "/dev/fd/20", "/dev/fd/21"),
    (
        "/proc/self/../self/fd/N",
        "/proc/self/../self/fd/3",
        "/proc/self/../self/fd/5",
    ),
    (
        "/dev/../proc/self/fd/N",
        "/dev/../proc/self/fd/3",
        "/dev/../proc/self/fd/5",
    ),
    (
        "/./proc//self/./fd/N",
        "/./proc//self/./fd/3",
        "/./proc//self/./fd/5",
    ),
    (
        "/proc/self/fd/../fd/N",
        "/proc/self/fd/../fd/3",
        "/proc/self/fd/../fd/5",
    ),
    (
        "/proc/self/fd/N/../f",
        "/proc/self/fd/5/../f",
        "/proc/self/fd/5/..",
    ),
    ("/proc/self/cwd", "/proc/self/cwd{P}/f", "/proc/self/cwd{P}"),
    (
        "/proc/thread-self/cwd",
        "/proc/thread-self/cwd{P}/f",
        "/proc/thread-self/cwd{P}",
    ),
    (
        "/proc/self/root",
        "/proc/self/root{P}/f",
        "/proc/self/root{P}",
    ),
    (
        "/proc/self/root/..",
        "/proc/self/root/..{P}/f",
        "/proc/self/root/..{P}",
    ),
    (
        "/proc/self/root/proc/self/fd/N",
        "/proc/self/root/proc/self/fd/3",
        "/proc/self/root/proc/self/fd/5",
    ),
    ("/proc/PPID/fd/N", "/proc/%P/fd/3", "/proc/%P/fd/5"),
    ("/proc/PPID/cwd", "/proc/%P/cwd/f", "/proc/%P/cwd"),
    ("/proc/PPID/root", "/proc/%P/root{P}/f", "/proc/%P/root{P}"),
    (
        "another procfs",
        "{P}/proc2/self/fd/3",
        "{P}/proc2/self/fd/5",
    ),
    (
        "another procfs, PID",
        "{P}/proc2/%p/fd/3",
        "{P}/proc2/%p/fd/5",
    ),
    (
        "another procfs, root",
        "{P}/proc2/self/root{P}/f",
        "{P}/proc2/self/root{P}",
    ),
    ("bound /proc", "{P}/proc3/self/fd/3", "{P}/proc3/self/fd/5"),
    (
        "bound /proc, cwd",
        "{P}/proc3/self/cwd{P}/f",
        "{P}/proc3/self/cwd{P}",
    ),
];

/// Where the caller stands, and the two paths.
const RELATIVE: &[(&str, &str, &str, &str)] = &[
    ("relative", "{P}", "f", "new"),
    ("relative upward", "{P}/d", "../f", "../new"),
    ("in a deleted directory", "!", "f", "new"),
    ("upward from a deleted directory", "!", "../f", "../new"),
    ("deleted directory", "!", ".", "."),
    ("fd/N in /dev", "/dev", "fd/3", "fd/5/new"),
    ("fd/N in /proc/self", "/proc/self", "fd/3", "fd/5/new"),
    ("N in /proc/self/fd", "/proc/self/fd", "3", "5/new"),
    (
        "../fd/N in /proc/self/fd",
        "/proc/self/fd",
        "../fd/3",
        "../fd/5/new",
    ),
    (
        "cwd in /proc/self",
        "/proc/self",
        "cwd/fd/3",
        "cwd/fd/5/new",
    ),
    (
        "root in /proc/self",
        "/proc/self",
        "root/proc/self/fd/3",
        "root/proc/self/fd/5/new",
    ),
    ("self/fd/N in /proc", "/proc", "self/fd/3", "self/fd/5/new"),
    (
        "thread-self/fd/N in /proc",
        "/proc",
        "thread-self/fd/3",
        "thread-self/fd/5/new",
    ),
    (
        "proc/self/fd/N in /",
        "/",
        "proc/self/fd/3",
        "proc/self/fd/5/new",
    ),
    ("fd/N in /proc/PPID", "/proc/%P", "fd/3", "fd/5/new"),
    (
        "self/fd/N in another procfs",
        "{P}/proc2",
        "self/fd/3",
        "self/fd/5/new",
    ),
    (
        "self/fd/N in bound /proc",
        "{P}/proc3",
        "self/fd/3",
        "self/fd/5/new",
    ),
];

const FROM_DESCRIPTOR: &[(&str, i32, &str, &str)] = &[
    ("from P", 6, "f", "new"),
    ("from P/d by O_PATH", 5, "f", "new"),
    ("from P/d upward", 5, "../f", "../new"),
    ("from a file", 3, "f", "new"),
    ("from a closed descriptor", 99, "f", "new"),
    ("absolute from a closed descriptor", 99, "{P}/f", "{P}/new"),
    ("from /proc/self", 7, "fd/3", "fd/5/new"),
    ("from /proc/self/fd", 8, "3", "5/new"),
    ("from /proc", 9, "self/fd/3", "self/fd/5/new"),
    ("from /dev", 12, "fd/3", "fd/5/new"),
    ("from outside", 21, "f", "new"),
    ("upward from outside", 21, "../f", "../new"),
    ("no path, descriptor", 3, "null", "null"),
    ("no path, descriptor by O_PATH", 4, "null", "null"),
    ("empty without the flag", 3, "", ""),
];

const WITH_FLAGS: &[(&str, i32, i32, &str)] = &[
    ("empty, descriptor", 3, EMPTY, ""),
    ("empty, descriptor by O_PATH", 4, EMPTY, ""),
    ("empty, FIFO by O_PATH", 11, EMPTY, ""),
    ("empty, directory by O_PATH", 5, EMPTY, ""),
    ("empty, link by O_PATH", 10, EMPTY, ""),
    ("empty, from outside", 20, EMPTY, ""),
    ("empty, closed", 99, EMPTY, ""),
    ("empty, working directory", libc::AT_FDCWD, EMPTY, ""),
    ("no path and the flag", 3, EMPTY, "null"),
    ("link itself", libc::AT_FDCWD, NOFOLLOW, "{P}/link"),
    ("fd/N itself", libc::AT_FDCWD, NOFOLLOW, "/proc/self/fd/3"),
    ("unknown flag", libc::AT_FDCWD, 4, "{P}/f"),
    (
        "a flag of statx's",
        libc::AT_FDCWD,
        libc::AT_STATX_FORCE_SYNC,
        "{P}/f",
    ),
    (
        "two flags of statx's",
        libc::AT_FDCWD,
        libc::AT_STATX_SYNC_TYPE,
        "{P}/f",
    ),
    (
        "no automount",
        libc::AT_FDCWD,
        libc::AT_NO_AUTOMOUNT,
        "{P}/f",
    ),
    (
        "no path and the flag, working directory",
        libc::AT_FDCWD,
        EMPTY,
        "null",
    ),
    ("no path and the flag, closed", 99, EMPTY, "null"),
    ("link itself, empty", 10, EMPTY | NOFOLLOW, ""),
];

const DESCRIPTORS: &[(&str, i32)] = &[
    ("descriptor", 3),
    ("descriptor by O_PATH", 4),
    ("directory by O_PATH", 5),
    ("directory", 6),
    ("descriptor of /proc/self", 7),
    ("descriptor from outside", 20),
    ("directory from outside", 21),
    ("closed descriptor", 99),
    ("descriptor -1", -1),
];

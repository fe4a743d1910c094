//! The places that callers are put in.

/// One such place.
pub struct Restriction {
    pub name: &'static str,
    /// Programs that it takes.
    pub needs: &'static [&'static str],
    /// A shell script that becomes `cells` in it: `$1` is the directory above `P`.
    pub script: &'static str,
    /// `P` is the root directory there.
    pub is_root: bool,
    /// `P` there is another file system, which is empty at first.
    pub is_elsewhere: bool,
    /// The caller has no capabilities there, so that real root's would be refused as well.
    pub gives_up: bool,
    /// Part of the sample.
    pub is_quick: bool,
}

const ORDINARY: Restriction = Restriction {
    name: "",
    needs: &[],
    script: "",
    is_root: false,
    is_elsewhere: false,
    gives_up: false,
    is_quick: true,
};

pub const RESTRICTIONS: &[Restriction] = &[
    Restriction {
        name: "none",
        script: r#"exec "$1/cells" "$1/P""#,
        ..ORDINARY
    },
    Restriction {
        name: "read-only bind",
        script: r#"exec unshare -m sh -ec 'mount --bind "$1/P" "$1/P"; mount -o remount,ro,bind "$1/P"; exec "$1/cells" "$1/P"' sh "$1""#,
        ..ORDINARY
    },
    Restriction {
        name: "tmpfs over it",
        script: r#"exec unshare -m sh -ec 'mount -t tmpfs none "$1/P"; exec "$1/cells" "$1/P"' sh "$1""#,
        is_elsewhere: true,
        ..ORDINARY
    },
    Restriction {
        name: "user namespace",
        script: r#"exec unshare -r "$1/cells" "$1/P""#,
        ..ORDINARY
    },
    Restriction {
        name: "user namespace without a map",
        script: r#"exec unshare -U "$1/cells" "$1/P""#,
        gives_up: true,
        ..ORDINARY
    },
    Restriction {
        name: "read-only and user namespace",
        script: r#"exec unshare -m sh -ec 'mount --bind "$1/P" "$1/P"; mount -o remount,ro,bind "$1/P"; exec unshare -r "$1/cells" "$1/P"' sh "$1""#,
        is_quick: false,
        ..ORDINARY
    },
    Restriction {
        name: "capabilities dropped",
        needs: &["bwrap"],
        script: r#"exec bwrap --unshare-user --bind / / --dev-bind /dev /dev --cap-drop ALL "$1/cells" "$1/P""#,
        gives_up: true,
        ..ORDINARY
    },
    Restriction {
        name: "chroot",
        script: r#"exec chroot "$1/P" /cells """#,
        is_root: true,
        ..ORDINARY
    },
    Restriction {
        name: "chroot with /proc and /dev",
        script: r#"exec unshare -m sh -ec 'mount --rbind /proc "$1/P/proc"; mount --rbind /dev "$1/P/dev"; exec chroot "$1/P" /cells ""' sh "$1""#,
        is_root: true,
        ..ORDINARY
    },
    Restriction {
        name: "pid namespace",
        script: r#"exec unshare -mpf --mount-proc sh -ec 'mount -t proc proc "$1/P/proc2"; mount --bind /proc "$1/P/proc3"; exec "$1/cells" "$1/P"' sh "$1""#,
        ..ORDINARY
    },
    Restriction {
        name: "pid namespace, procfs elsewhere only",
        script: r#"exec unshare -mpf sh -ec 'mount -t proc proc "$1/P/proc2"; mount --bind "$1/P/proc2" "$1/P/proc3"; exec "$1/cells" "$1/P"' sh "$1""#,
        is_quick: false,
        ..ORDINARY
    },
    Restriction {
        name: "sandbox",
        needs: &["bwrap"],
        script: r#"exec bwrap --ro-bind / / --bind "$1/R" "$1/R" --dev /dev --proc /proc --unshare-all --cap-drop ALL "$1/cells" "$1/P""#,
        gives_up: true,
        ..ORDINARY
    },
    Restriction {
        name: "sandbox with a tmpfs",
        needs: &["bwrap"],
        script: r#"exec bwrap --ro-bind / / --tmpfs "$1/P" --bind "$1/R" "$1/R" --dev /dev --proc /proc --unshare-pid "$1/cells" "$1/P""#,
        is_elsewhere: true,
        is_quick: false,
        ..ORDINARY
    },
    Restriction {
        name: "Landlock",
        script: r#"exec "$1/cells" "$1/P" landlock"#,
        ..ORDINARY
    },
];

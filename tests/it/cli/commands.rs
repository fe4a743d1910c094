//! Commands that cannot be run, and how they are found.

use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{sh, show_arguments};
use crate::common::{self, PATH, dir, executable, run, skip, user, zroot, zroot_with};

#[test]
fn a_command_that_is_not_there_is_127() {
    let dir = dir();
    let dangling = dir.path().join("dangling");
    symlink("/nonexistent", &dangling).expect("made");
    for (name, says) in [
        ("", "empty string"),
        (
            "nonexistent-command",
            "'nonexistent-command': command not found",
        ),
        ("./nonexistent-command", "No such file"),
        ("/nonexistent/command", "No such file"),
        ("/etc/passwd/command", "Not a directory"),
        (dangling.to_str().expect("UTF-8"), "No such file"),
    ] {
        let (what, _) = run(&mut zroot_with([name])).refused(127);
        assert!(what.contains(says), "{name}: {what}");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_126() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(at("plain"), "#!/bin/sh\necho ran\n").expect("written");
    symlink("loop", at("loop")).expect("made");
    nix::unistd::mkfifo(at("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).expect("made");
    for (name, says, advises) in [
        ("/".into(), "it is a directory", ""),
        (at(""), "it is a directory", ""),
        (at("plain"), "Permission denied", "chmod +x"),
        (at("loop"), "symbolic links", ""),
        (at("fifo"), "not a regular file", ""),
        ("/dev/null".into(), "not a regular file", ""),
        (format!("/{}", "x".repeat(256)), "too long", ""),
        (format!("/{}", "x/".repeat(2100)), "too long", ""),
    ] {
        let (what, hint) = run(&mut zroot_with([&name])).refused(126);
        assert!(
            what.contains(says) && hint.contains(advises),
            "{name}: {what} / {hint}"
        );
    }
    // In PATH, but not executable: found nevertheless, unless there is another further on.
    let (what, hint) = run(zroot_with(["plain"]).env("PATH", dir.path())).refused(126);
    assert!(
        what.contains("Permission denied") && hint.contains("chmod +x"),
        "{what} / {hint}"
    );
    let second = common::dir();
    executable(&second.path().join("plain"), "#!/bin/sh\necho second\n");
    let path = format!(
        "{}:{}:{PATH}",
        dir.path().display(),
        second.path().display()
    );
    assert_eq!(
        run(zroot_with(["plain"]).env("PATH", path))
            .succeeds()
            .stdout,
        "second\n"
    );
    // A directory of that name does not count either.
    fs::create_dir(second.path().join("true")).expect("made");
    run(zroot_with(["true"]).env("PATH", format!("{}:{PATH}", second.path().display()))).succeeds();
    let (what, _) = run(zroot_with(["x".repeat(300)]).env("PATH", PATH)).refused(126);
    assert!(what.contains("too long"), "{what}");
}

#[test]
fn path_is_searched_as_execvp_does() {
    let dir = dir();
    show_arguments(dir.path());
    let here = dir.path().display();
    for path in [
        format!("{here}"),
        format!("/nonexistent:{here}"),
        ":/bin".into(),
        "/bin:".into(),
        "/bin::/usr/bin".into(),
        ".:/bin".into(),
        "/etc/passwd:.".into(),
    ] {
        let ran = run(zroot_with(["show"])
            .env("PATH", &path)
            .current_dir(dir.path()))
        .succeeds();
        assert!(ran.stdout.ends_with("show>\n"), "PATH={path}: {ran:#?}");
    }
    let ran = run(zroot_with(["show"])
        .env("PATH", "bin:sub/..")
        .current_dir(dir.path()));
    assert_eq!(ran.status, 127, "{ran:#?}");
    fs::create_dir(dir.path().join("sub")).expect("made");
    run(zroot_with(["show"])
        .env("PATH", "bin:sub/..")
        .current_dir(dir.path()))
    .succeeds();
    // An empty PATH is the present directory; without one, the system's own commands are found.
    run(zroot_with(["show"]).env("PATH", "").current_dir(dir.path())).succeeds();
    run(zroot_with(["true"]).env("PATH", "").current_dir(dir.path())).refused(127);
    run(zroot_with(["true"]).env_remove("PATH")).succeeds();
    run(zroot_with(["show"])
        .env_remove("PATH")
        .current_dir(dir.path()))
    .refused(127);
    run(zroot_with(["true"]).env("PATH", "/nonexistent")).refused(127);
    run(zroot_with(["true"]).env("PATH", format!("/{}:/bin:/usr/bin", "x".repeat(5000))))
        .succeeds();
}

/// Behind an unsearchable directory there is nothing to be found; but apparent root can search the
/// user's own.
#[test]
fn an_unsearchable_path_directory_is_passed_over() {
    let dir = dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("made");
    show_arguments(&closed);
    common::give(&closed);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("chmod");
    let path = format!("{}:{PATH}", closed.display());
    run(sh("exec show", [""; 0]).env("PATH", &path)).fails_with("ermission denied");
    run(zroot_with(["show"]).env("PATH", &path)).succeeds();
    run(zroot_with(["true"]).env("PATH", &path)).succeeds();
    run(zroot_with(["nonexistent-command"]).env("PATH", &path)).refused(127);
    run(zroot_with(["nonexistent-command"]).env("PATH", &closed)).refused(127);
}

/// Directories that the unprivileged user may be unable to search.
const CLOSED: [&str; 4] = [
    "/lost+found",
    "/var/lib/private",
    "/etc/ssl/private",
    "/root",
];

#[test]
fn another_users_unsearchable_path_directory_is_passed_over() {
    let name = "another_users_unsearchable_path_directory_is_passed_over";
    let roots = tempfile::Builder::new()
        .tempdir_in("/tmp")
        .expect("a directory"); // mode 0700; root's own, if root makes it
    let known = CLOSED.map(Path::new);
    zroot();
    let is_closed = |path: &&Path| {
        run(user("stat").arg(path.join(".")))
            .stderr
            .contains("Permission denied")
    };
    let Some(closed) = [roots.path()]
        .into_iter()
        .chain(known)
        .find(is_closed)
        .and_then(Path::to_str)
    else {
        return skip(name, "every directory can be searched");
    };
    run(zroot_with(["true"]).env("PATH", format!("{closed}:{PATH}"))).succeeds();
    for path in [
        closed.to_owned(),
        format!("{closed}:/bin"),
        format!("/bin:{closed}"),
    ] {
        let (what, _) = run(zroot_with(["nonexistent-command"]).env("PATH", path)).refused(127);
        assert_eq!(what, "'nonexistent-command': command not found");
    }
    let (what, _) = run(&mut zroot_with([format!("{closed}/command")])).refused(126);
    assert!(what.contains("Permission denied"), "{what}");
}

/// An ELF header (elf(5)) of class 64 with one program header, `PT_INTERP`, that names
/// `interpreter`.
fn elf64(machine: u16, big_endian: bool, interpreter: &CStr) -> Vec<u8> {
    let number = |value: u64, size: usize| {
        let little = value.to_le_bytes();
        let mut bytes = little[..size].to_vec();
        if big_endian {
            bytes.reverse();
        }
        bytes
    };
    let name = interpreter.to_bytes_with_nul();
    let mut elf = b"\x7fELF\x02".to_vec();
    elf.extend([if big_endian { 2 } else { 1 }, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (value, size) in [
        (2, 2),
        (machine.into(), 2),
        (1, 4),
        (0x40_0000, 8),
        (64, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
    ] {
        elf.extend(number(value, size));
    }
    let len = name.len() as u64;
    for (value, size) in [
        (3, 4),
        (4, 4),
        (64 + 56, 8),
        (0, 8),
        (0, 8),
        (len, 8),
        (len, 8),
        (1, 8),
    ] {
        elf.extend(number(value, size));
    }
    elf.extend(name);
    elf
}

/// `e_machine` of the machine itself, from this test program's own header.
fn own_machine() -> u16 {
    let head = fs::read("/proc/self/exe").expect("read");
    u16::from_ne_bytes([head[18], head[19]])
}

#[test]
fn an_executable_for_another_machine_is_named_as_such() {
    let dir = dir();
    let foreign = dir.path().join("foreign");
    for (machine, big_endian, name) in [
        (22, true, "s390x"),
        (183, false, "aarch64"),
        (243, false, "riscv64"),
        (62, false, "x86-64"),
        (21, false, "ppc64"),
        (4242, false, "ELF machine 4242"),
    ] {
        if machine == own_machine() {
            continue;
        }
        executable(&foreign, elf64(machine, big_endian, c"/lib/ld.so"));
        let (what, hint) = run(zroot_with([&foreign]).arg("x")).refused(126);
        assert!(
            what.contains("Exec format error")
                && hint.contains(&format!("an executable for {name}, ")),
            "{what} / {hint}"
        );
    }
}

#[test]
fn broken_executables_are_126() {
    let dir = dir();
    let broken = dir.path().join("broken");
    let whole = elf64(
        own_machine(),
        cfg!(target_endian = "big"),
        c"/nonexistent/ld.so",
    );
    let garbage: Vec<u8> = (0..2000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    assert!(garbage.contains(&0));
    for contents in [
        &whole[..20],
        &whole[..4],
        &garbage,
        b"\0",
        b"\x7fELF\x02\x01\x01\0\0",
        &[b"MZ\0\0", &garbage[..]].concat(),
    ] {
        // Of a file without a NUL at its start nobody can tell that it is no script.
        if !contents.contains(&0) {
            continue;
        }
        executable(&broken, contents);
        let (what, hint) = run(&mut zroot_with([&broken])).refused(126);
        assert!(
            what.contains("Exec format error") && !hint.is_empty(),
            "{what} / {hint}"
        );
    }
}

/// Of a real program: what is there of it is for this machine.
#[test]
fn what_is_cut_off_is_damaged_and_not_another_machines() {
    let dir = dir();
    let path = dir.path().join("program");
    let whole = fs::read("/bin/true").expect("read");
    let hint_for = |contents: &[u8]| {
        executable(&path, contents);
        let (what, hint) = run(&mut zroot_with([&path])).refused(126);
        assert!(what.contains("Exec format error"), "{what}");
        hint
    };
    let mut object = whole.clone();
    object[16..18].copy_from_slice(&1_u16.to_ne_bytes());
    let mut core = whole.clone();
    core[16..18].copy_from_slice(&4_u16.to_ne_bytes());
    let mut sizeless = whole.clone();
    sizeless[54..56].copy_from_slice(&7_u16.to_ne_bytes());
    let foreign = elf64(4242, false, c"/lib/ld.so");
    for (contents, says) in [
        (&whole[..20], "damaged"),
        (&whole[..40], "damaged"),
        (&whole[..64], "damaged"),
        (&whole[..100], "damaged"),
        (&sizeless, "damaged"),
        (&foreign[..100], "damaged"),
        (&object, "an object file"),
        (&core, "a core dump"),
        // The control.
        (&foreign, "an executable for ELF machine 4242, "),
    ] {
        let hint = hint_for(contents);
        assert!(hint.contains(says), "{says}: {hint}");
        let is_foreign = hint.contains("which this kernel does not run");
        assert_eq!(is_foreign, says.starts_with("an executable for"), "{hint}");
    }
}

/// The name of its interpreter lies behind the end of the file.
#[test]
fn an_executable_that_ends_before_its_interpreters_name_is_damaged() {
    let dir = dir();
    let path = dir.path().join("program");
    let whole = elf64(own_machine(), cfg!(target_endian = "big"), c"/lib/ld.so");
    executable(&path, &whole[..64 + 56]);
    let (_, hint) = run(&mut zroot_with([&path])).refused(126);
    assert!(hint.contains("damaged"), "{hint}");
}

#[test]
fn a_name_that_is_no_commands_is_told_what_it_is() {
    for (name, advice) in [
        ("cd", "a command of the shell's own"),
        ("ulimit", "a command of the shell's own"),
        ("FOO=1", "env sets variables"),
        ("echo hi", "words of their own"),
        ("/bin/echo hi", "words of their own"),
        ("id;ls", "words of their own"),
        ("help", "--help"),
    ] {
        let (what, hint) = run(&mut zroot_with([name])).refused(127);
        assert!(
            what.contains(name) && hint.contains(advice),
            "{name}: {hint}"
        );
    }
    let (_, hint) = run(&mut zroot_with(["--", "-u", "id"])).refused(127);
    assert!(hint.contains("come before COMMAND"), "{hint}");
    // What the advice says is right.
    for args in [
        &["sh", "-c", "cd /usr && pwd"][..],
        &["env", "FOO=1", "pwd"],
    ] {
        run(&mut zroot_with(args)).succeeds();
    }
    // The control: a name that is nothing else.
    let (_, hint) = run(&mut zroot_with(["nonexistent-command"])).refused(127);
    assert_eq!(hint, "");
    // A file may have any name.
    let dir = dir();
    executable(&dir.path().join("a b;c=d"), "echo ran");
    let ran = run(zroot_with(["./a b;c=d"]).current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "ran\n");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_missing_loader_is_named() {
    let dir = dir();
    let path = dir.path().join("dangling");
    executable(
        &path,
        elf64(
            own_machine(),
            cfg!(target_endian = "big"),
            c"/nonexistent/ld.so",
        ),
    );
    let (what, hint) = run(&mut zroot_with([&path])).refused(126);
    assert!(
        what.contains("interpreter is missing") && hint.contains("'/nonexistent/ld.so'"),
        "{what} / {hint}"
    );
}

#[test]
fn a_missing_interpreter_of_a_script_is_named() {
    let dir = dir();
    let path = dir.path().join("crooked");
    for (line, named) in [
        ("#!/nonexistent/perl -w\n", "'/nonexistent/perl'"),
        ("#! \t/nonexistent/sh", "'/nonexistent/sh'"),
        ("#!/bin/sh\r\n", "'/bin/sh\\r'"),
    ] {
        executable(&path, line);
        let (what, hint) = run(zroot_with([&path]).arg("x")).refused(126);
        assert!(
            what.contains("interpreter is missing") && hint.contains(named),
            "{line:?}: {what} / {hint}"
        );
        let (what, hint) =
            run(zroot_with(["crooked"]).env("PATH", format!("{}:{PATH}", dir.path().display())))
                .refused(126);
        assert!(
            what.contains("interpreter is missing") && hint.contains(named),
            "{line:?}: {what} / {hint}"
        );
    }
    // One that is there but cannot be run.
    for line in ["#!/etc/passwd\n", "#!/usr\n"] {
        executable(&path, line);
        let (what, hint) = run(&mut zroot_with([&path])).refused(126);
        assert!(
            what.contains("Permission denied") && hint.contains(line[2..].trim()),
            "{line:?}: {what} / {hint}"
        );
    }
}

#[test]
fn a_script_without_its_first_line_is_the_shells() {
    let dir = dir();
    let path = dir.path().join("script");
    executable(&path, "printf '<%s>' \"$0\" \"$@\"; id -u\n");
    let ran = run(zroot_with([&path]).args(["a b", "", "-c"])).succeeds();
    assert_eq!(ran.stdout, format!("<{}><a b><><-c>0\n", path.display()));
    let ran =
        run(zroot_with(["script", "x"]).env("PATH", format!("{}:{PATH}", dir.path().display())))
            .succeeds();
    assert_eq!(ran.stdout, format!("<{}><x>0\n", path.display()));
    executable(&path, "");
    run(&mut zroot_with([&path])).succeeds();
}

#[test]
fn too_large_an_argument_list_is_said_to_be_so() {
    let big = "x".repeat(100_000);
    let string = format!("true {}", "${BIG}".repeat(21)); // MAX_ARG_STRLEN is 32 pages, of 64 KiB at most
    let (what, hint) = run(zroot_with(["-S", &string]).env("BIG", big)).refused(126);
    assert!(
        what.contains("Argument list too long") && hint.contains("environment"),
        "{what} / {hint}"
    );
}

#[test]
fn an_executable_that_is_being_written_is_busy() {
    let dir = dir();
    let path = dir.path().join("busy");
    executable(&path, fs::read("/bin/true").expect("read"));
    let writer = OpenOptions::new().append(true).open(&path).expect("opened");
    let (what, _) = run(&mut zroot_with([&path])).refused(126);
    assert!(what.contains("Text file busy"), "{what}");
    drop(writer);
}

#[test]
fn a_noexec_file_system_is_suspected() {
    let dir = dir();
    let script =
        r#"mount -t tmpfs -o noexec none "$1" && cp /bin/true "$1" && exec "$0" "$1/true""#;
    let ran = run(user("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(zroot())
        .arg(dir.path()));
    let (what, hint) = ran.refused(126);
    assert!(
        what.contains("Permission denied") && hint.contains("noexec"),
        "{what} / {hint}"
    );
}

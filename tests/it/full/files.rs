//! What others got wrong who remember owners.

use super::{as_real_root, script};
use crate::supervisor::oracle::Fixture;

const LIST: &str = r#"list() { for name; do stat -c '%n %F %a %u:%g %t:%T %h' "$name"; done; }; "#;

#[track_caller]
fn files(test: &str, steps: &str) -> String {
    script(test, &format!("{LIST}{steps}"))
}

fn part(test: &str, args: &[&str], options: &[&str]) -> Option<String> {
    let fixture = Fixture::new(test, "full.c", options)?;
    Some(as_real_root(&fixture, args))
}

/// A part that looks itself whether all is right; at level selective, for few, it is not.
#[track_caller]
fn right(test: &str, part: &str, count: &str) {
    if let Some(fixture) = Fixture::new(test, "full.c", &[]) {
        assert_eq!(fixture.at_level("full", &[part, count]), "right\n");
        let control = fixture.at_level("selective", &[part, "100"]);
        assert!(control.ends_with("wrong\n"), "{control}");
    }
}

#[test]
fn seventy_thousand_files_keep_their_owners() {
    right("seventy_thousand_files_keep_their_owners", "many", "70000");
}

#[test]
fn four_at_once_give_the_right_files_away() {
    right("four_at_once_give_the_right_files_away", "four", "20000");
}

#[test]
fn a_child_without_descriptors_sees_owners() {
    let test = "a_child_without_descriptors_sees_owners";
    if let Some(said) = part(test, &["closed"], &[]) {
        assert_eq!(said, "child 0, f right\n");
    }
}

#[test]
fn a_childs_identity_is_not_its_parents() {
    let test = "a_childs_identity_is_not_its_parents";
    if let Some(said) = part(test, &["child"], &[]) {
        assert!(
            said.contains("parent: 0 0 0, chown 0\nbecame: 7 7 7"),
            "{said}"
        );
    }
}

/// 93, 94 and 102 of i386 are fchown, lchown and getuid of x86-64.
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn the_numbers_of_i386_are_its_own() {
    let test = "the_numbers_of_i386_are_its_own";
    for options in [
        &["-m32"][..],
        &["-DINT80", "-static", "-no-pie", "-fno-pie"],
    ] {
        if let Some(said) = part(test, &["numbers"], options) {
            assert!(
                said.contains("ftruncate 0 size 77 of 70000:70001")
                    && said.contains("fchmod 0 mode 100640 of 70000:70001")
                    && said.contains("socketcall 0 1"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_link_that_goes_leaves_its_files_owner() {
    files(
        "a_link_that_goes_leaves_its_files_owner",
        "echo >f; ln -s f l; chown 5:7 f; chown -h 8:9 l; list f l; rm l; list f
        ln -s f l; list f l; rm f; echo >f; list f l",
    );
}

#[test]
fn all_links_have_one_owner() {
    files(
        "all_links_have_one_owner",
        "echo >f; mkdir d; ln f d/g; chown 5:7 d/g; list f d/g; rm f; list d/g; ln d/g h; chown 8 h
        list h d/g; mknod n c 1 3; ln n d/n; chown 6:6 d/n; list n d/n; rm n; list d/n",
    );
}

#[test]
fn what_is_renamed_over_is_gone() {
    files(
        "what_is_renamed_over_is_gone",
        "echo >f; chown 5:7 f; echo >g; mv g f; list f; echo >g; chown 8:9 g; chown 5:7 f; mv g f
        list f; mknod n b 4000 1; chown 3:3 n; mv n f; list f; echo >n; list n; mv n f; list f",
    );
}

#[test]
fn an_owner_goes_with_its_file() {
    files(
        "an_owner_goes_with_its_file",
        "mkdir d e; echo >d/f; chown 5:7 d d/f; mv d/f e/g; list e/g e d; mv d e/; list e/d
        mv e h; list h h/g h/d; chmod 4755 h/g; list h/g; chown 9 h/g; list h/g",
    );
}

/// A file that gets the number of one that was removed at once, again and again.
#[test]
fn a_file_in_anothers_place_is_roots() {
    files(
        "a_file_in_anothers_place_is_roots",
        "i=0; while [ $i -lt 100 ]; do echo >f; list f; chown 5:7 f; list f; rm f; mkdir f; list f
        chown 8:9 f; rmdir f; mknod f c 1 3; list f; rm f; i=$((i + 1)); done",
    );
}

/// Programs that show owners or hand them on.
#[test]
fn programs_see_owners() {
    let test = "programs_see_owners";
    need!(test, "tar", "find");
    files(
        test,
        r"umask 022; mkdir d; echo >d/f; mknod d/n c 1 3; ln -s f d/l; chown -hR 5:7 d; chown 8 d/f; chmod 4711 d/f
        find d -printf '%p %U:%G %m %y\n' | sort; ls -ln d | cut -c1-20 | sort
        tar cf t.tar --sort=name d; tar tvf t.tar --numeric-owner | cut -c1-18
        mkdir x; tar xf t.tar -C x --same-owner; list x/d x/d/f x/d/n x/d/l
        cp -a d y; list y y/f y/n y/l; test -O d/f || echo not mine; test -c d/n && echo device",
    );
}

/// chmod(2) with a type among the permissions, as LTP's mknod05 has it.
#[test]
fn a_type_in_chmod_hides_no_set_gid_directory() {
    files(
        "a_type_in_chmod_hides_no_set_gid_directory",
        r#"mkdir d; chown 5:7 d; perl -e 'chmod(012777, "d") or die $!'; list d; echo >d/f; mkdir d/e
        mkfifo d/p; list d/f d/e d/p"#,
    );
}

//! One file in several mounts has one owner.

use super::script;
use crate::common::{SmallTree, run};

#[test]
fn a_bind_mount_shows_the_same_owner() {
    let test = "a_bind_mount_shows_the_same_owner";
    need!(test, "unshare", "mount");
    script(
        test,
        "mkdir d e; echo >d/f; chown 5:7 d/f
        unshare -m sh -ec '
            mount --bind d e; stat -c %u:%g d/f e/f; chown 8:9 e/f; stat -c %u:%g d/f e/f
            mount -t tmpfs none d; echo >d/f; stat -c %u:%g d/f; chown 3:4 d/f; stat -c %u:%g d/f e/f'
        stat -c %u:%g d/f",
    );
}

#[test]
fn a_root_directory_shows_the_owners_of_what_is_bound() {
    let Some(tree) = SmallTree::new("a_root_directory_shows_the_owners_of_what_is_bound") else {
        return;
    };
    tree.prepare("mkdir root/mnt root/mnt/one root/mnt/two");
    let at_level = |level: &str| {
        let options = [
            "-c",
            level,
            "--bind",
            "src:/mnt/one",
            "--bind",
            "src:/mnt/two",
        ];
        let script = "chown 5:7 /mnt/one/file; stat -c %u:%g /mnt/one/file /mnt/two/file
            chown 8:9 /mnt/two/file; mv /mnt/two/file /mnt/two/sub; stat -c %u:%g /mnt/one/sub/file
            mv /mnt/one/sub/file /mnt/one";
        run(&mut tree.inside(&options, script)).succeeds().stdout
    };
    assert_eq!(at_level("full"), "5:7\n5:7\n8:9\n");
    assert_eq!(at_level("selective"), "0:0\n0:0\n0:0\n");
}

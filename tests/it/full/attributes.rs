//! Extended attributes that the kernel refuses, ACLs that name others, and capabilities of files: set,
//! read back, listed, copied and handed on as by real root.

use super::script;
use crate::common::{dir, run, zroot_with};

/// Says each command, what it says, and its status.
const TELL: &str = "t() { echo \"+ $*\"; \"$@\" 2>&1 || echo \"= $?\"; }\n";
/// Somebody without privileges.
const USER: &str = "user='setpriv --reuid 5 --regid 5 --clear-groups'; chmod 777 .\n";

#[track_caller]
fn told(test: &str, steps: &str) -> String {
    script(test, &format!("{TELL}{USER}{steps}"))
}

#[test]
fn refused_attributes_are_read_back() {
    let said = told(
        "refused_attributes_are_read_back",
        r"
touch f; mkdir d; ln -s f l; mkfifo p; mknod n c 1 3
t setfattr -n trusted.md5 -v abc f
t getfattr -n trusted.md5 f
t setfattr -n trusted.empty f
t setfattr -n security.foo -v 0x0102 f
t setfattr -n user.n -v hi f
t getfattr -d -m - f
for i in d p n; do t setfattr -n trusted.i -v $i $i; t getfattr -d -m - $i; done
t setfattr -h -n trusted.link -v z l; t getfattr -h -d -m - l; t getfattr -d -m - l
t setfattr -x trusted.none f; t setfattr -x security.none f; t setfattr -x trusted.md5 f
t setfattr -n trusted. -v 1 f; t setfattr -n security. -v 1 f; t setfattr -n trusted -v 1 f
t getfattr -d -m - f
ln f g; mv f h; t getfattr -d -m - g h
rm g h; touch f; t getfattr -d -m - f
",
    );
    assert!(said.contains("trusted.md5=\"abc\"") && said.contains("security.foo=0sAQI="));
}

#[test]
fn who_is_not_root_sees_no_trusted_ones() {
    told(
        "who_is_not_root_sees_no_trusted_ones",
        r"
touch f; setfattr -n trusted.a -v 1 f; setfattr -n security.b -v 2 f; chmod 666 f
t getfattr -d -m - f
t $user getfattr -d -m - f
t $user getfattr -n trusted.a f
t $user setfattr -n trusted.a -v 2 f; t $user setfattr -n security.b -v 3 f
t $user setfattr -x trusted.a f; t $user setfattr -x security.b f
t $user setfattr -n user.mine -v 4 f
t getfattr -d -m - f
$user touch own; t $user setfattr -n trusted.a -v 2 own; t setfattr -n trusted.a -v 2 own
t $user getfattr -d -m - own; t getfattr -d -m - own
",
    );
}

#[test]
fn flags_and_sizes_are_as_the_kernels() {
    told(
        "flags_and_sizes_are_as_the_kernels",
        r"
touch f
python3 - <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def t(call, *args):
    try: print(call.__name__, args, call(*args))
    except OSError as error: print(call.__name__, args, error.errno)
def raw(name, *args):
    result = getattr(libc, name)(*args)
    print(name, [arg for arg in args if not isinstance(arg, ctypes.Array)], result, ctypes.get_errno() if result < 0 else '')
for name in b'trusted.a', b'security.a':
    t(os.setxattr, 'f', name, b'123', os.XATTR_REPLACE)
    t(os.setxattr, 'f', name, b'123', os.XATTR_CREATE)
    t(os.setxattr, 'f', name, b'456', os.XATTR_CREATE)
    t(os.setxattr, 'f', name, b'45', os.XATTR_REPLACE)
    t(os.setxattr, 'f', name, b'45', 4)
    t(os.getxattr, 'f', name)
    room = ctypes.create_string_buffer(8)
    for size in 0, 1, 2, 8:
        raw('getxattr', b'f', name, room, size)
    print(room.raw)
    raw('getxattr', b'f', name, None, 0)
    raw('getxattr', b'f', name, None, 8)
    raw('getxattr', b'none', name, room, 8)
    raw('getxattr', b'f', b'x' * 300, room, 8)
    raw('getxattr', b'f', b'', room, 8)
    raw('getxattr', b'f', None, room, 8)
    raw('fgetxattr', 99, name, room, 8)
    fd, path = os.open('f', os.O_RDONLY), os.open('f', os.O_PATH)
    raw('fgetxattr', fd, name, room, 8)
    raw('fgetxattr', path, name, room, 8)
    raw('flistxattr', path, room, 8)
    for size in 0, 5, 8, 10, 64:
        room = ctypes.create_string_buffer(64)
        raw('listxattr', b'f', room, size)
        raw('flistxattr', fd, room, size)
        print(room.raw)
    t(os.setxattr, 'f', name, b'x' * 3000)
    print(len(os.getxattr('f', name)))
    t(os.setxattr, 'f', name, b'x' * 70000)
    t(os.removexattr, 'f', name)
    t(os.removexattr, 'f', name)
    t(os.getxattr, 'f', name)
t(os.listxattr, 'f')
END
",
    );
}

#[test]
fn acls_that_name_others_are_read_back() {
    let said = told(
        "acls_that_name_others_are_read_back",
        r"
touch f; chmod 644 f
t setfacl -m u:daemon:rw,g:games:r,m::rw f; t getfacl -n f; stat -c %A f
t chmod 640 f; t getfacl -n f
t setfacl -m u:0:r f; t getfacl -n f
t setfacl -x u:daemon f; t getfacl -n f; stat -c %A f
t setfacl -m u:5:7 f; chown 7:8 f; t getfacl -n f
t $user getfacl -n f; t $user setfacl -m u:5:7 f
t setpriv --reuid 7 --regid 8 --clear-groups setfacl -m u:9:6 f; t getfacl -n f
t setfacl -b f; t getfacl -n f; stat -c %A f
ln -s f l; t setfacl -h -m u:3:r l 2>/dev/null; t setfacl -m u:3:r l; t getfacl -n f
cp -a f g; t getfacl -n g; mv g d; t getfacl -n d
",
    );
    assert!(said.contains("user:1:rw-"), "{said}");
}

#[test]
fn default_acls_are_handed_on() {
    let said = told(
        "default_acls_are_handed_on",
        r"
mkdir d; chmod 777 d; t setfacl -d -m u:daemon:rwx,g:7:rx d; t getfacl -n d
(umask 077; cd d; touch a; mkdir b; mkfifo p; ln -s x l; mknod c c 1 3; echo > s; cp s t; mkdir -m 700 e)
$user sh -c 'umask 077; cd d; echo > u; mkdir v; mkdir v/w'
for i in a b p c s t e u v v/w; do t getfacl -n d/$i; stat -c %A d/$i; done
t setfacl -m u:9:7 d/a; t getfacl -n d/a
t setfacl -k d; t getfacl -n d; touch d/z; t getfacl -n d/z; touch d/v/y; t getfacl -n d/v/y
",
    );
    assert!(said.contains("default:user:1:rwx"), "{said}");
}

#[test]
fn they_are_copied_and_packed() {
    let said = told(
        "they_are_copied_and_packed",
        r#"
mkdir d; echo f > d/f; setfattr -n trusted.a -v 1 d/f; setfattr -n security.b -v 2 d/f
setfattr -n user.c -v 3 d/f; setfacl -m u:5:rw d/f; setfacl -d -m g:9:rw d; chown -R 7:8 d
look() { getfattr -R -h -d -m '^(trusted|security|user)' $1; getfacl -nR $1; }
cp -a d e; look e
tar --xattrs --xattrs-include='*' --acls -cf t.tar d; mkdir o
tar --xattrs --xattrs-include='*' --acls -xf t.tar -C o; look o
mkdir r; rsync -aAX d r/; look r
python3 -c 'import shutil, os; shutil.copy2("d/f", "g"); print(sorted(os.listxattr("g")))'
"#,
    );
    assert!(said.contains("trusted.a"), "{said}");
}

#[test]
fn capabilities_of_files_count() {
    let said = told(
        "capabilities_of_files_count",
        r"
cp $(which setpriv) s; t setcap cap_setuid,cap_setgid+ep s; t getcap s
t $user ./s --reuid 0 id -u
t $user ./s --bounding-set -setuid ./s true
t chown 5:5 s; t getcap s; t $user ./s --reuid 0 id -u
t setcap cap_setuid,cap_setgid=p s; t $user ./s --reuid 0 id -u
t setcap -r s; t getcap s
setcap cap_setuid+ep s; cp s c; t getcap c
",
    );
    assert!(said.contains("cap_setgid,cap_setuid=ep"), "{said}");
}

#[test]
fn names_may_end_with_a_dot() {
    told(
        "names_may_end_with_a_dot",
        r"
touch f; mkfifo p
t setfattr -n trusted.a. -v 1 f; t setfattr -n security.a. -v 1 f; t getfattr -d -m - f
t setfattr -n user.a. -v 1 p; t setfattr -n trusted. -v 1 f; t setfattr -n security. -v 1 f
",
    );
}

#[test]
fn flags_are_looked_at_each() {
    told(
        "flags_are_looked_at_each",
        r"
touch f
python3 - <<'END'
import os, struct
def t(call, *args):
    try: print(call.__name__, args, call(*args))
    except OSError as error: print(call.__name__, args, error.errno)
for name in 'trusted.a', 'security.a':
    for value in b'1', b'2': t(os.setxattr, 'f', name, value, 3)
    t(os.setxattr, 'f', name, b'3')
    t(os.setxattr, 'f', name, b'4', 3)
    t(os.getxattr, 'f', name)
acl = struct.pack('<I' + 5 * 'HHI', 2, 1, 6, 9, 2, 7, 5, 4, 4, 9, 16, 7, 9, 32, 4, 9)
for flags in 2, 1, 2, 3:
    t(os.setxattr, 'f', 'system.posix_acl_access', acl, flags)
    t(os.getxattr, 'f', 'system.posix_acl_access')
END
",
    );
}

#[test]
fn the_working_directory_has_no_name() {
    told(
        "the_working_directory_has_no_name",
        r"
setfattr -n trusted.a -v 123 .
python3 - <<'END'
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(8)
args = (ctypes.c_uint64 * 2)(ctypes.addressof(room), 8)
long, here, empty = ctypes.c_long, -100, 0x1000
for path in b'', None, b'.':
    # getxattrat, listxattrat
    for call in (464, here, path, empty, b'trusted.a', args, long(16)), (465, here, path, empty, room, long(8)):
        print(libc.syscall(*call), ctypes.get_errno(), room.raw)
END
getfattr -n trusted.a .
",
    );
}

#[test]
fn capabilities_may_be_for_anothers_namespace() {
    told(
        "capabilities_may_be_for_anothers_namespace",
        r"
cp $(which setpriv) s; t setcap -n 5 cap_setuid+ep s; t getcap -n s; t getfattr -d -m - s
t $user ./s --reuid 0 id -u; cp -a s c; t getcap -n c
t setcap cap_setgid+ep s; t getcap -n s; t setcap -n 5 cap_setuid+ep s; t getcap -n s
t setcap -n 4294967295 cap_setuid+ep c; t getcap -n c
t setcap -r s; t getcap s; t chown 7:7 c; t getcap c
",
    );
}

#[test]
fn what_the_kernel_makes_up_has_none() {
    told(
        "what_the_kernel_makes_up_has_none",
        r"
touch f; t setfattr -n trusted.a -v 1 f; t getfattr -n trusted.a f
python3 - <<'END'
import os, pty, socket
def t(call, *args):
    try: print(what, call.__name__, *args[1:], call(*args))
    except OSError as error: print(what, call.__name__, *args[1:], error.errno)
pipe, pair, terminal = os.pipe()[0], socket.socketpair()[0], pty.openpty()[1]
capabilities = bytes.fromhex('0100000280000000000000000000000000000000')
for what, file in ('process', '/proc/self/status'), ('system', '/proc/version'), ('pipe', pipe), \
        ('linked', f'/proc/self/fd/{pipe}'), ('socket', pair.fileno()), ('terminal', terminal):
    for name, value in ('trusted.a', b'1'), ('security.a', b'1'), ('security.capability', capabilities):
        t(os.setxattr, file, name, value)
        # What has never been set is the kernel's to tell, which hides whether there could be one.
        if 'security' in name: t(os.getxattr, file, name)
        # It says EAGAIN there.
        if what != 'socket' or 'security' not in name: t(os.removexattr, file, name)
    t(os.listxattr, file)
END
",
    );
}

#[test]
fn a_list_may_be_too_long() {
    let said = told(
        "a_list_may_be_too_long",
        r"
mkdir m; unshare -m sh -ec 'mount -t tmpfs none m; touch m/f; exec python3 -' <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(1 << 20)
for count in 200, 300:
    for number in range(count): os.setxattr('m/f', 'trusted.%0240d' % number, b'')
    for size in 0, 100, 1 << 16, (1 << 16) + 1, 1 << 20:
        print(count, size, libc.listxattr(b'm/f', room, size), ctypes.get_errno())
        ctypes.set_errno(0)
END
",
    );
    assert!(said.contains("300 1048576 -1 7"), "{said}");
}

#[test]
fn a_namespace_below_has_no_trusted_ones() {
    told(
        "a_namespace_below_has_no_trusted_ones",
        r"
touch f; setfattr -n trusted.a -v 1 f; setfattr -n security.b -v 2 f; setfacl -m u:0:r,u:1:rw f
for below in 'unshare -r' 'unshare --map-user=5 --map-group=5'; do
    t $below getfattr -d -m '^(trusted|security)' f; t $below getfattr -n trusted.a f
    t $below setfattr -n trusted.c -v 3 f; t $below setfattr -x trusted.a f
    t $below setfattr -n security.d -v 4 f; t $below setfattr -x security.b f
done
t getfattr -d -m '^(trusted|security)' f
unshare --map-user=5 --map-group=5 getfacl -n f | grep :5:
",
    );
}

/// Real root cannot name who is not there.
#[test]
fn acls_of_a_namespace_below_are_numbered_as_there() {
    let steps = "touch f; unshare --map-user=5 --map-group=5 sh -ec 'setfacl -m u:5:rw,g:5:r,u:9:x f; getfacl -cpn f'; getfacl -cpn f";
    let ran = run(zroot_with(["-c", "full", "sh", "-ec", steps]).current_dir(dir().path()));
    let said = ran.succeeds().stdout;
    let acl = |own: u32| {
        let named = format!("user:{own}:rw-\nuser:9:--x\ngroup::r--\ngroup:{own}:r--");
        format!("user::rw-\n{named}\nmask::rwx\nother::r--\n\n")
    };
    assert_eq!(said, [acl(5), acl(0)].concat());
}

#[test]
fn what_a_file_is_comes_before_its_capabilities() {
    let said = told(
        "what_a_file_is_comes_before_its_capabilities",
        r"
for f in text script program foreign; do echo garbage >$f; done; echo '#!/bin/nothing' >script
cp $(which setpriv) program; printf '\177ELF%060d' 0 >foreign
chmod 755 *; for f in text script program foreign; do setcap cap_setuid+ep $f; done
$user --bounding-set -setuid python3 - <<'END'
import os
for file in 'text', 'script', 'foreign', 'program':
    try: os.execv(file, [file])
    except OSError as error: print(file, error.errno)
END
chown 5:7 text; stat -c %u:%g text
",
    );
    assert!(
        said.contains("text 8\n") && said.contains("program 1\n"),
        "{said}"
    );
}

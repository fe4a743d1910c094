import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLong;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;

/** Java has no setuid of its own; programs reach libc's through JNA. */
class Java {
    static int libc(String name, Object... arguments) {
        return Function.getFunction("c", name).invokeInt(arguments);
    }

    static void must(String name, Object... arguments) {
        if (libc(name, arguments) != 0) {
            fail(name + ": errno " + Native.getLastError());
        }
    }

    static void fail(String text) {
        System.err.println(text);
        System.exit(1);
    }

    static void change() throws Exception {
        Path file = Path.of("f");
        Files.setAttribute(file, "unix:uid", 1);
        Files.setAttribute(file, "unix:gid", 1);
        Files.setAttribute(Path.of("l"), "unix:uid", 1, LinkOption.NOFOLLOW_LINKS);
        var names = file.getFileSystem().getUserPrincipalLookupService();
        Files.setOwner(file, names.lookupPrincipalByName("daemon"));
        Files.getFileAttributeView(file, PosixFileAttributeView.class).setGroup(names.lookupPrincipalByGroupName("daemon"));
    }

    static void drop() {
        must("setgroups", new NativeLong(1), new int[] {1});
        must("setgid", 1);
        must("setuid", 1);
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "chown" -> {
                change();
                System.out.println("changed");
            }
            case "owner" -> {
                change();
                String now = Files.getAttribute(Path.of("f"), "unix:uid") + ":" + Files.getAttribute(Path.of("f"), "unix:gid");
                if (!now.equals("1:1")) {
                    fail("still " + now);
                }
                System.out.println(now);
            }
            case "drop" -> {
                // A thread that is there already.
                var dropped = new CountDownLatch(1);
                var seen = new FutureTask<Integer>(() -> {
                    dropped.await();
                    return libc("getuid");
                });
                var thread = new Thread(seen);
                thread.setDaemon(true);
                thread.start();
                drop();
                dropped.countDown();
                if (libc("getuid") != 1 || libc("geteuid") != 1 || seen.get() != 1) {
                    fail("still " + libc("getuid") + ", the thread " + seen.get());
                }
                int[] groups = new int[8];
                if (libc("getgid") != 1 || libc("getegid") != 1 || libc("getgroups", 8, groups) != 1 || groups[0] != 1) {
                    fail("group " + libc("getgid"));
                }
                if (libc("setuid", 0) == 0) {
                    fail("root again");
                }
                System.out.println("dropped");
            }
            default -> {
                drop();
                var child = new ProcessBuilder("id", "-u").start();
                String uid = new String(child.getInputStream().readAllBytes()).trim();
                if (!uid.equals("1")) {
                    fail("child is " + uid);
                }
                System.out.println("child is 1");
            }
        }
    }
}

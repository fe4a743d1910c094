/* What runs in the guests, once per ABI: loads a filter, or makes every call of the matrix and says who answered.
 *
 *     guest MODE                    control, zero, never, all: each call with impossible arguments, as rows.h expects it
 *     guest selective DIR           what a supervisor answers, with arguments that are possible
 *     guest load [-n] FILTER COMMAND [ARG...]   user namespace (not with -n), no_new_privs, the filter in file FILTER, probe, execve
 *
 * The numbers are the kernel headers' own, so that a wrong one in src/arch/table.rs is not made twice. */

#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/fs.h>

#include "start.h"

#define sys(name, a, b, c, d, e) sys5(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define HERE (-100) /* AT_FDCWD */
#define CHARACTER 0020000
#define FIFO 0010000
#ifdef __mips__
#define CREATE 0x102 /* O_CREAT | O_RDWR */
#else
#define CREATE 0102
#endif

typedef unsigned int id;

/* Compilers call these by themselves. */
void *memcpy(void *to, const void *from, unsigned long n)
{
	char *at = to;
	while (n--)
		*at++ = *(const char *)from++;
	return to;
}

void *memset(void *to, int value, unsigned long n)
{
	char *at = to;
	while (n--)
		*at++ = value;
	return to;
}

/* ---- text ---- */

static unsigned long length(const char *text)
{
	unsigned long n = 0;
	while (text[n])
		n++;
	return n;
}

static int equal(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

static void say(const char *text)
{
	sys(write, 1, text, length(text), 0, 0);
}

static char *decimal(char *end, long value)
{
	unsigned long rest = value < 0 ? -value : value;
	*--end = 0;
	do
		*--end = '0' + rest % 10;
	while (rest /= 10);
	if (value < 0)
		*--end = '-';
	return end;
}

static void say_number(long value)
{
	char buffer[24];
	say(decimal(buffer + sizeof buffer, value));
}

static int total, failures;

static void report(const char *name, long got, const char *wanted)
{
	failures++;
	say(name);
	say(" gave ");
	say_number(got);
	say(", wanted ");
	say(wanted);
	say("\n");
}

static int done(void)
{
	say_number(total);
	say(failures ? " checks, failures: " : " checks, all as expected");
	if (failures)
		say_number(failures);
	say("\n");
	return failures != 0;
}

/* ---- every call of the matrix ---- */

/* F: 0, by the filter. A: ENOSYS, by the filter. R: the kernel's own answer, which is not 0 for these arguments. '?': cannot be told. */
static void row(const char *name, long nr, const char *wanted, int mode, long a, long b, long c, long d, long e)
{
	long got = sys5(nr, a, b, c, d, e);
	total++;
	if (wanted[mode] == 'F' && got != 0)
		report(name, got, "0, by the filter");
	if (wanted[mode] == 'A' && got != -ENOSYS)
		report(name, got, "-ENOSYS, by the filter");
	if (wanted[mode] == 'R' && got == 0)
		report(name, got, "the kernel's answer");
}

/* The header lacks the call; `known` says whether the matrix has it. */
static void lacking(const char *name, int known)
{
	total++;
	if (known)
		report(name, 0, "no number: the header has none");
}

static int every_call(int mode)
{
#define ROW(name, wanted, a, b, c, d, e) row(#name, __NR_##name, wanted, mode, a, b, c, d, e);
#define UNKNOWN(name) total++, report(#name, __NR_##name, "no number: the matrix has none");
#define LACKING(name, known) lacking(#name, known);
#include "rows.h"
	return done();
}

/* ---- what a supervisor answers ---- */

static void is(const char *what, long got, long wanted)
{
	char buffer[24];
	total++;
	if (got != wanted)
		report(what, got, decimal(buffer + sizeof buffer, wanted));
}

/* The ids that this program set are its own; the next one is root again. */
static int after_execve(void)
{
	is("getuid after execve", sys(getuid, 0, 0, 0, 0, 0), 0);
	is("getegid after execve", sys(getegid, 0, 0, 0, 0, 0), 0);
	return done();
}

static int selective(char **argv, char **envp)
{
	static char *again[] = { 0, "selective", 0, "again", 0 };
	const char *own = "own", *missing = "missing", *node = "node";
	int few[2] = { 7, 8 };
	id real = 1, effective = 1, saved = 1, groups[4] = { 0 };
	int fd;

	is("mkdirat", sys(mkdirat, HERE, argv[2], 0755, 0, 0), 0);
	is("chdir", sys(chdir, argv[2], 0, 0, 0, 0), 0);
	fd = sys(openat, HERE, own, CREATE, 0644, 0);
	is("openat", fd < 0 ? fd : 0, 0);

	is("fchownat of one's own file", sys(fchownat, HERE, own, 5, 6, 0), 0);
	is("fchownat of a missing file", sys(fchownat, HERE, missing, 5, 6, 0), -ENOENT);
	is("fchownat of a bad address", sys(fchownat, HERE, -1L, 5, 6, 0), -EFAULT);
	is("fchown", sys(fchown, fd, 5, 6, 0, 0), 0);
	is("fchown of a bad descriptor", sys(fchown, 99, 5, 6, 0, 0), -EBADF);
#ifdef __NR_chown
	is("chown", sys(chown, own, 5, 6, 0, 0), 0);
	is("lchown of a missing file", sys(lchown, missing, 5, 6, 0, 0), -ENOENT);
#endif
#ifdef __NR_chown32
	is("chown32", sys(chown32, own, 70000, 70000, 0, 0), 0);
	is("fchown32 of a bad descriptor", sys(fchown32, 99, 5, 6, 0, 0), -EBADF);
#endif

	is("mknodat of a device", sys(mknodat, HERE, node, CHARACTER | 0640, 0x103, 0), 0);
	is("mknodat of the same again", sys(mknodat, HERE, node, CHARACTER | 0640, 0x103, 0), -EEXIST);
	is("the node is there", sys(faccessat, HERE, node, 0, 0, 0), 0);
	is("fchmodat of the node", sys(fchmodat, HERE, node, 0600, 0, 0), 0);
	is("mknodat of a FIFO", sys(mknodat, HERE, "fifo", FIFO | 0600, 0, 0), 0);
	is("fchmodat of somebody else's file", sys(fchmodat, HERE, "/etc/passwd", 0600, 0, 0), 0);
	is("fchmodat of a missing file", sys(fchmodat, HERE, missing, 0600, 0, 0), -ENOENT);
#ifdef __NR_utimensat
	{
		long long times[4] = { 1, 0, 1, 0 };
		is("utimensat of somebody else's file", sys(utimensat, HERE, "/etc/passwd", times, 0, 0), 0);
		is("utimensat of a missing file", sys(utimensat, HERE, missing, times, 0, 0), -ENOENT);
	}
#endif
	is("setxattr that the kernel refuses", sys(setxattr, own, "trusted.t", "v", 1, 0), 0);
	is("setxattr of a missing file", sys(setxattr, missing, "trusted.t", "v", 1, 0), -ENOENT);

#ifdef __NR_setgroups32
	is("setgroups32", sys(setgroups32, 2, few, 0, 0, 0), 0);
	is("getgroups32", sys(getgroups32, 4, groups, 0, 0, 0), 2);
	is("the first group", groups[0], 7);
	is("the second group", groups[1], 8);
	is("setresgid32", sys(setresgid32, 70001, 6, 70003, 0, 0), 0);
	is("getresgid32", sys(getresgid32, &real, &effective, &saved, 0, 0), 0);
	is("its real group", real, 70001);
	is("its saved group", saved, 70003);
	{
		unsigned short small[3] = { 0 };
		is("getgid, where 70001 does not fit", sys(getgid, 0, 0, 0, 0, 0), 65534);
		is("setresuid", sys(setresuid, 5, 6, 7, 0, 0), 0);
		is("getresuid", sys(getresuid, small, small + 1, small + 2, 0, 0), 0);
		real = small[0], effective = small[1], saved = small[2];
	}
	is("geteuid32", sys(geteuid32, 0, 0, 0, 0, 0), 6);
	is("setuid32 to what is not one's own", sys(setuid32, 0, 0, 0, 0, 0), -EPERM);
#else
	is("setgroups", sys(setgroups, 2, few, 0, 0, 0), 0);
	is("getgroups", sys(getgroups, 4, groups, 0, 0, 0), 2);
	is("the first group", groups[0], 7);
	is("the second group", groups[1], 8);
	is("setresgid", sys(setresgid, 5, 6, 7, 0, 0), 0);
	is("setresuid", sys(setresuid, 5, 6, 7, 0, 0), 0);
	is("getresuid", sys(getresuid, &real, &effective, &saved, 0, 0), 0);
#endif
	is("the real id", real, 5);
	is("the effective id", effective, 6);
	is("the saved id", saved, 7);
	is("getuid", sys(getuid, 0, 0, 0, 0, 0), 5);
	is("geteuid", sys(geteuid, 0, 0, 0, 0, 0), 6);
	is("setuid to what is not one's own", sys(setuid, 0, 0, 0, 0, 0), -EPERM);
	if (failures)
		return done();
	again[0] = argv[0];
	again[2] = argv[2];
	return sys(execve, argv[0], again, envp, 0, 0);
}

/* ---- a filter from a file ---- */

struct program {
	unsigned short length;
	const void *filter;
};

static int put(const char *path, const char *text)
{
	int fd = sys(openat, HERE, path, 1 /* O_WRONLY */, 0, 0);
	return fd < 0 || sys(write, fd, text, length(text), 0, 0) != (long)length(text) || sys(close, fd, 0, 0, 0, 0);
}

static int map(const char *path, long own)
{
	static char text[40];
	char number[24], *from = decimal(number + sizeof number, own), *to = text;
	*to++ = '0';
	*to++ = ' ';
	while (*from)
		*to++ = *from++;
	*to++ = ' ';
	*to++ = '1';
	*to = 0;
	return put(path, text);
}

static int load(char **argv, char **envp)
{
	static char filter[65536];
	struct program program = { 0, filter };
	long uid = sys(geteuid, 0, 0, 0, 0, 0), gid = sys(getegid, 0, 0, 0, 0, 0), size;
	int has_namespace = !equal(argv[2], "-n");
	char **words = argv + (has_namespace ? 2 : 3);
	int fd = sys(openat, HERE, words[0], 0, 0, 0);

	size = sys(read, fd, filter, sizeof filter, 0, 0);
	program.length = size / 8;
	if (size <= 0 || size % 8)
		return say("load: no filter\n"), 125;
	if (has_namespace && (sys(unshare, 0x10000000 /* CLONE_NEWUSER */, 0, 0, 0, 0) || put("/proc/self/setgroups", "deny") ||
			      map("/proc/self/uid_map", uid) || map("/proc/self/gid_map", gid)))
		return say("load: no namespace\n"), 125;
	if (sys(prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0) || sys(seccomp, 1 /* SET_MODE_FILTER */, 0, &program, 0, 0))
		return say("load: the filter is refused\n"), 125;
	if (sys(kexec_load, -1L, -1L, -1L, -1L, 0))
		return say("load: the filter does not answer\n"), 125;
	sys(execve, words[1], words + 1, envp, 0, 0);
	return say("load: no such command\n"), 127;
}

static int run(char **argv, char **envp)
{
	static const char *const modes[] = { "control", "zero", "never", "all" };
	int mode;
	for (mode = 0; mode < 4; mode++)
		if (argv[1] && !argv[2] && equal(argv[1], modes[mode]))
			return every_call(mode);
	if (argv[1] && argv[2] && equal(argv[1], "selective"))
		return argv[3] ? after_execve() : selective(argv, envp);
	if (argv[1] && argv[2] && argv[3] && equal(argv[1], "load"))
		return load(argv, envp);
	say("bad arguments\n");
	return 2;
}

__attribute__((used)) void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	sys(exit_group, run(argv, argv + *stack + 1), 0, 0, 0, 0);
}

/* What runs in the guests, once per ABI: loads a filter, or makes every call of the matrix and says who answered.
 *
 *     guest MODE                    control, zero, never, all: each call with impossible arguments, as rows.h expects it
 *     guest selective DIR           what a supervisor answers, with arguments that are possible
 *     guest give DIR                makes files of others and device nodes in DIR, and keeps there what every call of the stat family says of them
 *     guest compare LEVEL DIR       makes the same calls once more: at LEVEL (selective, full) they have said the same, but for what it remembers
 *     guest load [-n] FILTER COMMAND [ARG...]   user namespace (not with -n), no_new_privs, the filter in file FILTER, probe, execve
 *
 * The numbers are the kernel headers' own, so that a wrong one in src/arch/table.rs is not made twice. */

#include <asm/errno.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "start.h"

#define sys(name, a, b, c, d, e) sys5(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define HERE (-100) /* AT_FDCWD */
#define CHARACTER 0020000
#define BLOCK 0060000
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

/* ---- what is remembered, as every call of the stat family says it ---- */

#ifdef __x86_64__ /* x32 as well */
typedef long long part; /* of a struct timespec */
#else
typedef long part;
#endif

#if defined(__mips__) && _MIPS_SIM == _ABIN32 /* has the calls of 64-bit mips, and the header of 32-bit mips */
typedef struct stat64 stat_now;
#else
typedef struct stat stat_now;
#endif

/* DIR has these; what is remembered of each. A kind makes it a device. */
static const struct file {
	const char *name;
	int is_remembered;
	id uid, gid;
	unsigned kind, major, minor;
} files[] = {
	{ "plain", 0, 0, 0, 0, 0, 0 },
	{ "given", 1, 5, 7, 0, 0, 0 },
	{ "half", 1, 9, 0, 0, 0, 0 },
	{ "node", 1, 5, 7, CHARACTER, 1, 3 },
	{ "large", 1, 0, 0, BLOCK, 300, 70000 },
	{ "directory", 1, 70001, 6, 0, 0, 0 },
	{ "huge", 1, 65535, 65536, 0, 0, 0 },
	/* Somebody's whom the namespace does not know: the suite has brought it. */
	{ "/suite.deb", 1, 0, 0, 0, 0, 0 },
	{ "far", 1, 70000, 80000, 0, 0, 0 },
	/* Leads to the one before. */
	{ "link", 1, 9, 10, 0, 0, 0 },
};
#define FILES ((int)(sizeof files / sizeof *files))

enum way { BY_PATH, BY_LINK, OPEN, AT_PATH, AT_LINK, AT_EMPTY, AT_NULL };
enum shape { OLD, NOW, LARGE, EXTENDED };

#define AT_CALLS(name, shape)                                                                                                  \
	{ #name, __NR_##name, AT_PATH, shape, 0xfff }, { #name, __NR_##name, AT_LINK, shape, 0xfff },                          \
		{ #name, __NR_##name, AT_EMPTY, shape, 0xfff }, { #name, __NR_##name, AT_NULL, shape, 0xfff },

static const struct call {
	const char *name;
	long nr;
	enum way way;
	enum shape shape;
	unsigned mask; /* statx's */
} calls[] = {
#ifdef __i386__ /* others have numbers for them, at most */
	{ "oldstat", __NR_oldstat, BY_PATH, OLD, 0 },
	{ "oldlstat", __NR_oldlstat, BY_LINK, OLD, 0 },
	{ "oldfstat", __NR_oldfstat, OPEN, OLD, 0 },
#endif
#ifdef __NR_stat
	{ "stat", __NR_stat, BY_PATH, NOW, 0 },
#endif
#ifdef __NR_lstat
	{ "lstat", __NR_lstat, BY_LINK, NOW, 0 },
#endif
#ifdef __NR_fstat
	{ "fstat", __NR_fstat, OPEN, NOW, 0 },
#endif
#ifdef __NR_newfstatat
	AT_CALLS(newfstatat, NOW)
#endif
#ifdef __NR_stat64
	{ "stat64", __NR_stat64, BY_PATH, LARGE, 0 },
#endif
#ifdef __NR_lstat64
	{ "lstat64", __NR_lstat64, BY_LINK, LARGE, 0 },
#endif
#ifdef __NR_fstat64
	{ "fstat64", __NR_fstat64, OPEN, LARGE, 0 },
#endif
#ifdef __NR_fstatat64
	AT_CALLS(fstatat64, LARGE)
#endif
#ifdef __NR_statx
	AT_CALLS(statx, EXTENDED)
	{ "statx", __NR_statx, AT_PATH, EXTENDED, 0 },
	{ "statx", __NR_statx, AT_PATH, EXTENDED, 0x7fffffff },
	{ "statx", __NR_statx, AT_PATH, EXTENDED, 0x80000000 }, /* is refused */
#endif
};
#define CALLS ((int)(sizeof calls / sizeof *calls))

struct answer {
	long result;
	unsigned char bytes[320];
};

/* Asks for `file`; what the kernel leaves alone is `fill`. */
static void ask(const struct call *call, const struct file *file, int fill, struct answer *answer)
{
	const char *path = file->name;
	int flags = call->way == AT_LINK ? AT_SYMLINK_NOFOLLOW : 0, dir = HERE, fd = -1;
	long out = (long)answer->bytes;
	memset(answer, fill, sizeof *answer);
	if (call->way == OPEN || call->way == AT_EMPTY || call->way == AT_NULL)
		fd = sys(openat, HERE, path, O_PATH | O_NOFOLLOW, 0, 0);
	if (call->way == AT_EMPTY || call->way == AT_NULL) {
		dir = fd;
		flags = AT_EMPTY_PATH;
		path = call->way == AT_NULL ? 0 : "";
	}
	if (call->way == OPEN)
		answer->result = sys5(call->nr, fd, out, 0, 0, 0);
	else if (call->way == BY_PATH || call->way == BY_LINK)
		answer->result = sys5(call->nr, (long)path, out, 0, 0, 0);
	else if (call->shape == EXTENDED)
		answer->result = sys5(call->nr, dir, (long)path, flags, call->mask, out);
	else
		answer->result = sys5(call->nr, dir, (long)path, out, flags, 0);
	if (fd >= 0)
		sys(close, fd, 0, 0, 0, 0);
}

static void touch(const char *name, part accessed, part modified)
{
#ifdef __NR_utimensat
	part times[4] = { accessed, 123456789, modified, 999999999 };
	is("utimensat", sys(utimensat, HERE, name, times, AT_SYMLINK_NOFOLLOW, 0), 0);
#endif
}

static unsigned device_number(const struct file *file)
{
	return (file->minor & 0xff) | file->major << 8 | (file->minor & ~0xffU) << 12;
}

static void make(const struct file *file)
{
	int fd = sys(openat, HERE, file->name, CREATE | O_LARGEFILE, 0640, 0);
	is("openat", fd < 0 ? fd : 0, 0);
	if (equal(file->name, "huge")) { /* 4 GiB, and no more than a page of it */
#ifdef __NR__llseek
		long long at;
		is("_llseek", sys(_llseek, fd, 0, 0xffffffff, &at, 0), 0);
#else
		sys(lseek, fd, (long)0xffffffffUL, 0, 0, 0);
#endif
	}
	is("write", sys(write, fd, "x", 1, 0, 0), 1);
	sys(close, fd, 0, 0, 0, 0);
}

/* Under a supervisor. */
static int give(const char *dir)
{
	static struct answer answer;
	int i, j, fd;
	is("mkdirat", sys(mkdirat, HERE, dir, 0755, 0, 0), 0);
	is("chdir", sys(chdir, dir, 0, 0, 0, 0), 0);
	for (i = 0; i < FILES; i++) {
		const struct file *file = files + i;
		if (*file->name == '/')
			continue;
		if (file->kind)
			is("mknodat", sys(mknodat, HERE, file->name, file->kind | 0640, device_number(file), 0), 0);
		else if (equal(file->name, "link"))
			is("symlinkat", sys(symlinkat, "far", HERE, file->name, 0, 0), 0);
		else if (equal(file->name, "directory"))
			is("mkdirat", sys(mkdirat, HERE, file->name, 0750, 0, 0), 0);
		else
			make(file);
		if (equal(file->name, "half"))
			is("fchownat", sys(fchownat, HERE, file->name, file->uid, -1, 0), 0);
		else if (file->uid)
			is("fchownat", sys(fchownat, HERE, file->name, file->uid, file->gid, AT_SYMLINK_NOFOLLOW), 0);
		/* A time before 1970; the link's is so late that following it leaves it alone. */
		touch(file->name, equal(file->name, "link") ? 2147483000 : -100000, -1);
	}
	fd = sys(openat, HERE, "answers", CREATE, 0644, 0);
	for (i = 0; i < CALLS; i++)
		for (j = 0; j < FILES; j++) {
			ask(calls + i, files + j, 0xaa, &answer);
			is("write", sys(write, fd, &answer, sizeof answer, 0, 0), sizeof answer);
		}
	return done();
}

#define NARROW(id, field) (sizeof(field) == 2 && (id) > 0xffff ? 65534 : (id))
#define PUT_OWNER(to, file) (to)->st_uid = NARROW((file)->uid, (to)->st_uid), (to)->st_gid = NARROW((file)->gid, (to)->st_gid)
#define PUT_DEVICE(to, file) (to)->st_mode = ((to)->st_mode & 07777) | (file)->kind, (to)->st_size = 0

/* Puts what is remembered in the place of what the kernel says; 0, or the error that is due where it has no room. */
static long remember(enum shape shape, const struct file *file, void *bytes)
{
	int is_large = file->major > 0xff || file->minor > 0xff;
	(void)is_large;
	if (shape == EXTENDED) {
		struct statx *to = bytes;
		to->stx_uid = file->uid;
		to->stx_gid = file->gid;
		if (file->kind) {
			to->stx_mode = (to->stx_mode & 07777) | file->kind;
			to->stx_rdev_major = file->major;
			to->stx_rdev_minor = file->minor;
			to->stx_size = to->stx_blocks = 0;
		}
#ifdef __NR_stat64
	} else if (shape == LARGE) {
		struct stat64 *to = bytes;
		PUT_OWNER(to, file);
		if (file->kind) {
			PUT_DEVICE(to, file);
			to->st_rdev = device_number(file);
			to->st_blocks = 0;
		}
#endif
#ifdef __i386__
	} else if (shape == OLD) {
		struct __old_kernel_stat *to = bytes;
		PUT_OWNER(to, file);
		if (file->kind) {
			PUT_DEVICE(to, file);
			to->st_rdev = file->major << 8 | file->minor;
		}
#endif
	} else {
		stat_now *to = bytes;
		PUT_OWNER(to, file);
		if (file->kind) {
			if (sizeof to->st_rdev == 2 && is_large)
				return -EOVERFLOW;
			PUT_DEVICE(to, file);
			to->st_rdev = device_number(file);
			to->st_blocks = 0;
		}
	}
	return 0;
}

static unsigned size_of(enum shape shape)
{
	return
#ifdef __NR_stat64
		shape == LARGE ? sizeof(struct stat64) :
#endif
#ifdef __i386__
		shape == OLD ? sizeof(struct __old_kernel_stat) :
#endif
		shape == EXTENDED ? sizeof(struct statx) : sizeof(stat_now);
}

static void differs(const struct call *call, const struct file *file, const char *what, long at, long got, long wanted)
{
	char buffer[24];
	say(file->name);
	say(", way ");
	say_number(call->way);
	say(", ");
	say(what);
	say(" ");
	say_number(at);
	say(": ");
	report(call->name, got, decimal(buffer + sizeof buffer, wanted));
}

/* At level zero: `was` has been said of `file` at another level, which remembers, or does not. */
static void compare_one(const struct call *call, const struct file *file, const struct answer *was, int remembers)
{
	static struct answer now, again;
	const struct file *meant = file;
	unsigned i, size = size_of(call->shape);
	int is_other = 0;
	unsigned char before[sizeof now.bytes];
	ask(call, file, 0xaa, &now);
	ask(call, file, 0x55, &again);
	memcpy(before, now.bytes, sizeof before);
	total++;
	if (equal(file->name, "link") && (call->way == BY_PATH || call->way == AT_PATH))
		meant--;
	if (remembers && meant->is_remembered && now.result == 0) {
		now.result = remember(call->shape, meant, now.bytes);
		for (i = 0; i < size; i++)
			is_other |= now.bytes[i] != before[i];
		/* The control: the kernel knows nothing of it. */
		if (now.result == 0 && !is_other)
			return differs(call, file, "nothing to remember in bytes", size, 0, 1);
	}
	if (was->result != now.result)
		return differs(call, file, "result", 0, was->result, now.result);
	for (i = 0; i < sizeof now.bytes; i++) {
		/* The kernel leaves some padding as it was; nobody minds zeros there. */
		int is_padding = i < size && before[i] == 0xaa && again.bytes[i] == 0x55;
		int wanted = now.result == 0 ? now.bytes[i] : 0xaa;
		if (was->bytes[i] != wanted && !(is_padding && was->bytes[i] == 0))
			return differs(call, file, "byte", i, was->bytes[i], wanted);
	}
}

static int compare(const char *dir, int remembers)
{
	static struct answer was;
	int i, j, fd;
	fd = sys(chdir, dir, 0, 0, 0, 0) ? -1 : sys(openat, HERE, "answers", 0, 0, 0);
	for (i = 0; i < CALLS; i++)
		for (j = 0; j < FILES; j++) {
			if (sys(read, fd, &was, sizeof was, 0, 0) != sizeof was)
				return say("compare: no answer\n"), 1;
			compare_one(calls + i, files + j, &was, remembers);
		}
	return done();
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
	if (argv[1] && argv[2] && !argv[3] && equal(argv[1], "give"))
		return give(argv[2]);
	if (argv[1] && argv[2] && argv[3] && equal(argv[1], "compare"))
		return compare(argv[3], equal(argv[2], "full"));
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

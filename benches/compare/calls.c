/* What one system call costs, measured inside one process so that no launch is in it.
 *
 *     calls DIR [allow]       prints "NAME PICOSECONDS" for each call; with "allow" under a filter
 *                             of its own that allows everything
 *     calls DIR sync          the same for a write and its fsync
 *
 * DIR has a file named "file". The calls go through libc, so that a library in LD_PRELOAD sees
 * them; with -DFREESTANDING, for i386, through int 0x80 and without any libc.
 */
#ifndef FREESTANDING
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct stat status;

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
#else
#define O_RDONLY 0
#define O_WRONLY 1
struct sock_filter { unsigned short code; unsigned char jt, jf; unsigned k; };
struct sock_fprog { unsigned short len; struct sock_filter *filter; };
#define PR_SET_NO_NEW_PRIVS 38
#define PR_SET_SECCOMP 22
#define SECCOMP_MODE_FILTER 2
#define SECCOMP_RET_ALLOW 0x7fff0000U
#define BPF_RET 6
#define BPF_K 0

static char status[256];

static long call(long nr, long a, long b, long c, long d, long e)
{
	long ret;
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return ret;
}
#define getppid() call(64, 0, 0, 0, 0, 0)
#define geteuid() call(201, 0, 0, 0, 0, 0)
#define getegid() call(202, 0, 0, 0, 0, 0)
#define open(path, flags) call(5, (long)(path), flags, 0, 0, 0)
#define openat(dir, path, flags) call(295, dir, (long)(path), flags, 0, 0)
#define close(fd) call(6, fd, 0, 0, 0, 0)
#define fstat(fd, to) call(197, fd, (long)(to), 0, 0, 0)
#define fchownat(dir, path, uid, gid, flags) call(298, dir, (long)(path), uid, gid, flags)
#define write(fd, from, len) call(4, fd, (long)(from), len, 0, 0)
#define pwrite(fd, from, len, at) 1
#define fsync(fd) 0
#define prctl(option, a, b, c, d) call(172, option, (long)(a), (long)(b), c, d)

static long long now(void)
{
	long t[2];
	call(265, 1, (long)t, 0, 0, 0); /* clock_gettime(CLOCK_MONOTONIC) */
	return (long long)t[0] * 1000000000 + t[1];
}

/* What libgcc, which is not linked, has: a division by what fits into 32 bits. */
unsigned long long __udivdi3(unsigned long long n, unsigned long long d)
{
	unsigned long long q = 0, r = 0;
	for (int i = 63; i >= 0; i--) {
		r = r << 1 | (n >> i & 1);
		q <<= 1;
		if (r >= d) {
			r -= d;
			q |= 1;
		}
	}
	return q;
}
unsigned long long __umoddi3(unsigned long long n, unsigned long long d)
{
	return n - __udivdi3(n, d) * d;
}
#endif

enum { GETPPID, OPEN, FSTAT, CHOWN, KINDS, SYNC = KINDS };
static const char *const names[] = {
	"getppid", "openat+close", "fstat", "fchownat", "write+fsync"
};
static long dir, file;
static unsigned uid, gid;

/* Whether all of `n` calls succeeded. */
static int repeat(int kind, unsigned n)
{
	long bad = 0;
	switch (kind) {
	case GETPPID:
		while (n--)
			bad |= getppid() < 0;
		break;
	case OPEN:
		while (n--)
			bad |= close(openat(dir, "file", O_RDONLY)) != 0;
		break;
	case FSTAT:
		while (n--)
			bad |= fstat(file, &status) != 0;
		break;
	case CHOWN:
		while (n--)
			bad |= fchownat(dir, "file", uid, gid, 0) != 0;
		break;
	case SYNC:
		while (n--)
			bad |= pwrite(file, "x", 1, 0) != 1 || fsync(file) != 0;
		break;
	}
	return !bad;
}

static void print(const char *name, unsigned long long value)
{
	char text[80], *at = text + sizeof text;
	int len = 0;
	*--at = '\n';
	do
		*--at = '0' + value % 10;
	while (value /= 10);
	*--at = ' ';
	while (name[len])
		len++;
	while (len)
		*--at = name[--len];
	(void)!write(1, at, text + sizeof text - at);
}

static int run(char **argv)
{
	static struct sock_filter allow[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
	static struct sock_fprog program = { 1, allow };
	unsigned long long best[KINDS + 1];
	unsigned times[KINDS + 1];
	int first = GETPPID, last = KINDS, writes = 0, rounds = 15;
	if (argv[2] && argv[2][0] == 's')
		first = SYNC, last = SYNC + 1, writes = 1, rounds = 5;
	else if (argv[2] && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
			     prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)))
		return 3;
	dir = open(argv[1], O_RDONLY);
	file = openat(dir, "file", writes ? O_WRONLY : O_RDONLY);
	uid = geteuid();
	gid = getegid();
	if (dir < 0 || file < 0)
		return 4;
	/* Batches of a millisecond, or ten for what waits for the disk. */
	unsigned long long batch = writes ? 10000000 : 1000000;
	for (int kind = first; kind < last; kind++) {
		unsigned tries = writes ? 5 : 100;
		long long start = now();
		if (!repeat(kind, tries))
			return 5;
		long long cost = now() - start;
		unsigned n = tries * batch / (unsigned long long)(cost > 0 ? cost : 1);
		times[kind] = n < 10 ? 10 : n > 20000 ? 20000 : n;
		best[kind] = -1ULL;
	}
	/* The best batch: whatever else the machine does can only add to one. */
	for (int round = 0; round < rounds; round++)
		for (int kind = first; kind < last; kind++) {
			long long start = now();
			if (!repeat(kind, times[kind]))
				return 5;
			unsigned long long cost = (unsigned long long)(now() - start) * 1000 / times[kind];
			if (cost < best[kind])
				best[kind] = cost;
		}
	for (int kind = first; kind < last; kind++)
		print(names[kind], best[kind]);
	return 0;
}

#ifndef FREESTANDING
int main(int argc, char **argv)
{
	(void)argc;
	return argv[1] ? run(argv) : 2;
}
#else
__attribute__((used)) void start(long *stack) { call(1, run((char **)(stack + 1)), 0, 0, 0, 0); }
__asm__(".globl _start\n_start:\n\t"
	"mov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall start");
#endif

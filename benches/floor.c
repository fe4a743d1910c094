/* The least that any way to apparent root under a filter has to do, and nothing else: no search in
 * PATH, no configuration for apt, no probe, no check of anything. zroot's start is measured against
 * it (benches/startup.rs, benches/compare, tests/startup.rs).
 *
 *     floor PROGRAM [ARG...]
 *
 * FILTER is zroot's own default program, as a list of { code, jt, jf, k }, so that the kernel has
 * the same one to check and to compile.
 *
 *     cc -O2 -static -DFILTER=... floor.c         on the C library that zroot is linked with
 *     cc -O2 -static -DFILTER=... -DNOLIBC -nostdlib -fno-stack-protector floor.c
 *                                                 without any, x86-64 only
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef NOLIBC
#define call(nr, a, b, c) call6(nr, (long)(a), (long)(b), (long)(c))
static long call6(long nr, long a, long b, long c)
{
	register long r10 __asm__("r10") = 0, r8 __asm__("r8") = 0;
	long ret;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}
#define geteuid() ((unsigned)call(SYS_geteuid, 0, 0, 0))
#define getegid() ((unsigned)call(SYS_getegid, 0, 0, 0))
#define unshare(flags) call(SYS_unshare, flags, 0, 0)
#define open(path, flags) (int)call(SYS_open, path, flags, 0)
#define write(fd, data, len) call(SYS_write, fd, data, len)
#define close(fd) call(SYS_close, fd, 0, 0)
#define prctl(option, a, b, c, d) call(SYS_prctl, option, a, 0)
#define execve(path, argv, envp) call(SYS_execve, path, argv, envp)
#else
#define call(nr, a, b, c) syscall(nr, a, b, c)
#endif

static const struct sock_filter filter[] = { FILTER };

static int put(const char *path, const char *text, long len)
{
	int fd = open(path, O_WRONLY);
	return fd < 0 || write(fd, text, len) != len || close(fd);
}

/* "0 ID 1" */
static int map(const char *path, unsigned id)
{
	char text[] = "0 4294967295 1", *at = text + sizeof text - 3;
	do
		*--at = '0' + id % 10;
	while (id /= 10);
	*--at = ' ';
	*--at = '0';
	return put(path, at, text + sizeof text - 1 - at);
}

static int become(char **argv, char **envp)
{
	unsigned uid = geteuid(), gid = getegid();
	struct sock_fprog program = { sizeof filter / sizeof *filter, (struct sock_filter *)filter };
	if (unshare(CLONE_NEWUSER) || put("/proc/self/setgroups", "deny", 4) ||
	    map("/proc/self/uid_map", uid) || map("/proc/self/gid_map", gid) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program))
		return 125;
	execve(argv[1], argv + 1, envp);
	return 127;
}

#ifdef NOLIBC
__attribute__((used)) void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	call(SYS_exit, become(argv, argv + *stack + 1), 0, 0);
}
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start");
#else
int main(int argc, char **argv, char **envp)
{
	(void)argc;
	return become(argv, envp);
}
#endif

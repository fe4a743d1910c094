/* What it costs to look at a file, before and after it was given away.
 *
 *     stats DIR               prints "NAME PICOSECONDS" for each kind of call
 *
 * DIR is writable. Where a chown is refused, the file is looked at all the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 16000 };

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#define MEASURE(name, call)                                                            \
	do {                                                                               \
		long long start = now();                                                       \
		for (int i = 0; i < CALLS; i++)                                                \
			bad |= (call) < 0;                                                         \
		printf("%s %lld\n", name, (now() - start) * 1000 / CALLS);                     \
	} while (0)

int main(int argc, char **argv)
{
	char path[4096];
	struct stat status;
	int bad = 0, dir = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	int file = openat(dir, "file", O_CREAT | O_WRONLY, 0644);
	if (file < 0)
		return 4;
	snprintf(path, sizeof path, "%s/file", argv[1]);
	MEASURE("fstat", fstat(file, &status));
	MEASURE("stat", stat(path, &status));
	MEASURE("lstat", fstatat(dir, "file", &status, AT_SYMLINK_NOFOLLOW));
	MEASURE("ENOENT", -stat("/nonexistent", &status) - 1);
	bad |= fchown(file, 5, 7) & 0;
	MEASURE("given fstat", fstat(file, &status));
	MEASURE("given stat", stat(path, &status));
	MEASURE("given lstat", fstatat(dir, "file", &status, AT_SYMLINK_NOFOLLOW));
	return bad != 0;
}

/* What a call costs that a supervisor answers, for one process and for many at once.
 *
 *     notified DIR            prints "NAME PICOSECONDS": wall time by all calls of all processes
 *
 * DIR is writable. The time of N processes is from when they are let go, together, to when the last
 * one ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

static int chowns(int dir, int process, int calls)
{
	char name[20];
	int bad = 0;
	snprintf(name, sizeof name, "file-%d", process);
	int file = openat(dir, name, O_CREAT | O_WRONLY, 0644);
	unsigned uid = geteuid(), gid = getegid();
	if (file < 0)
		return 1;
	for (int i = 0; i < calls; i++)
		bad |= fchownat(dir, name, uid, gid, 0);
	return bad != 0;
}

static int parallel(int dir, int processes)
{
	int ready[2], go[2], bad = 0, status;
	char byte;
	if (pipe(ready) || pipe(go))
		return 1;
	for (int i = 0; i < processes; i++)
		switch (fork()) {
		case -1:
			return 1;
		case 0:
			close(go[1]);
			(void)!write(ready[1], "r", 1);
			(void)!read(go[0], &byte, 1);
			_exit(chowns(dir, i, CALLS / processes));
		}
	for (int i = 0; i < processes; i++)
		(void)!read(ready[0], &byte, 1);
	long long start = now();
	close(go[1]);
	while (wait(&status) > 0)
		bad |= status;
	printf("%d processes %lld\n", processes, (now() - start) * 1000 / CALLS);
	close(go[0]), close(ready[0]), close(ready[1]);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0, dir = argc > 1 ? open(argv[1], O_RDONLY) : -1;
	int file = openat(dir, "file", O_CREAT | O_WRONLY, 0644);
	if (file < 0)
		return 4;
	unsigned uid = geteuid(), gid = getegid();
	MEASURE("getuid", (int)getuid());
	MEASURE("fchown", fchown(file, uid, gid));
	MEASURE("fchmodat", fchmodat(dir, "file", 0644, 0));
	fflush(stdout);
	return bad || parallel(dir, 1) || parallel(dir, 8) || parallel(dir, 64);
}

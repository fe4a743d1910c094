/* What it costs to look at a file, before and after it was given away.
 *
 *     stats DIR               prints "NAME PICOSECONDS" for each kind of call
 *
 * DIR is writable. Where a chown is refused, the file is looked at all the same.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"

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
	/* It fails, and that is right. */
	MEASURE("ENOENT", stat("/nonexistent", &status) + 1);
	if (fchown(file, 5, 7))
		; /* it stays whose it is */
	MEASURE("given fstat", fstat(file, &status));
	MEASURE("given stat", stat(path, &status));
	MEASURE("given lstat", fstatat(dir, "file", &status, AT_SYMLINK_NOFOLLOW));
	return bad != 0;
}

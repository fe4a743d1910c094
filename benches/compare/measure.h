/* What the programs that print prices share: a clock, and a loop. */
#include <stdio.h>
#include <time.h>

enum { CALLS = 16000 };

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Prints "NAME PICOSECONDS" of `call`, and sets `bad` if any failed. */
#define MEASURE(name, call)                                                            \
	do {                                                                               \
		long long start = now();                                                       \
		for (int i = 0; i < CALLS; i++)                                                \
			bad |= (call) < 0;                                                         \
		printf("%s %lld\n", name, (now() - start) * 1000 / CALLS);                     \
	} while (0)

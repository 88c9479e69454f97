/* load.c - gn-bpf-load: a process that does exactly what it is told, for tests that count what
 * others do. It reads one command a line and answers "ok", whatever else its arguments say:
 *
 *   calls N        N system calls getpid(2)
 *   reads FILE N   N reads of 4 KiB, each at another place, past the page cache
 *   writes FILE N  the same, written
 *   sleeps N       N times 1 ms of sleep
 *   spin MS        runs on a CPU for so long (CPU time)
 *   switches N     N bytes there and back between two threads
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static int calls(long n)
{
	while (n-- > 0)
		syscall(SYS_getpid);
	return 0;
}

static int blocks(const char *path, int flags, long n)
{
	int fd = open(path, flags | O_DIRECT);
	void *block = aligned_alloc(BLOCK, BLOCK);
	int error = fd < 0 || !block ? errno : 0;
	long i;

	if (block)
		memset(block, 'x', BLOCK);
	for (i = 0; i < n && !error; i++) {
		ssize_t done = flags == O_RDONLY ? pread(fd, block, BLOCK, i * BLOCK)
		                                 : pwrite(fd, block, BLOCK, i * BLOCK);

		if (done != BLOCK)
			error = done < 0 ? errno : EIO;
	}
	free(block);
	if (fd >= 0)
		close(fd);
	return error;
}

static int sleeps(long n)
{
	const struct timespec ms = {0, 1000000};

	while (n-- > 0)
		nanosleep(&ms, NULL);
	return 0;
}

static int spin(long ms)
{
	struct timespec now;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
	return 0;
}

struct ends {
	int in, out;
};

static void *echo(void *context)
{
	const struct ends *e = context;
	char byte;

	while (read(e->in, &byte, 1) == 1 && write(e->out, &byte, 1) == 1)
		continue;
	return NULL;
}

static int switches(long n)
{
	int there[2], back[2], error;
	struct ends other;
	pthread_t thread;
	char byte = 0;

	if (pipe(there) || pipe(back))
		return errno;
	other = (struct ends){there[0], back[1]};
	error = pthread_create(&thread, NULL, echo, &other);
	while (!error && n-- > 0)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			error = EIO;
	close(there[1]);
	if (!error)
		pthread_join(thread, NULL);
	close(there[0]);
	close(back[0]);
	close(back[1]);
	return error;
}

static int obey(const char *line)
{
	char what[16] = "", path[256] = "";
	long n = 0;

	if (sscanf(line, "reads %255s %ld", path, &n) == 2)
		return blocks(path, O_RDONLY, n);
	if (sscanf(line, "writes %255s %ld", path, &n) == 2)
		return blocks(path, O_WRONLY, n);
	sscanf(line, "%15s %ld", what, &n);
	if (!strcmp(what, "calls"))
		return calls(n);
	if (!strcmp(what, "sleeps"))
		return sleeps(n);
	if (!strcmp(what, "spin"))
		return spin(n);
	if (!strcmp(what, "switches"))
		return switches(n);
	return EINVAL;
}

int main(void)
{
	char line[512];

	while (fgets(line, sizeof line, stdin)) {
		int error = obey(line);

		puts(error ? strerror(error) : "ok");
		fflush(stdout);
	}
	return 0;
}

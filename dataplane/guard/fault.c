/* fault.c - see fault.h. The handler makes one system call, mmap(2), which POSIX does not
 * list as safe in a handler but which on Linux is: it is no more than the call. */
#include "dataplane/guard/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

static _Atomic uint64_t n_faults;

/* Sizes of a page of the mapping hit, which must be replaced whole. */
static const uintptr_t page_sizes[] = {4096, 2ul << 20, 1ul << 30};

static int replace_page(void *address)
{
	for (size_t i = 0; i < sizeof(page_sizes) / sizeof(page_sizes[0]); i++) {
		void *page = (void *)((uintptr_t)address & ~(page_sizes[i] - 1));

		if (mmap(page, page_sizes[i], PROT_READ | PROT_WRITE,
		         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		         0) != MAP_FAILED)
			return 0;
	}
	return -1;
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	/* Only memory that a file no longer has; anything else is a bug or broken hardware. */
	if (info->si_code == BUS_ADRERR && replace_page(info->si_addr) == 0)
		atomic_fetch_add_explicit(&n_faults, 1, memory_order_relaxed);
	else
		signal(SIGBUS, SIG_DFL); /* the instruction runs again, and ends the process */
	errno = saved;
}

int gn_fault_install(void)
{
	struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

uint64_t gn_fault_count(void)
{
	return atomic_load_explicit(&n_faults, memory_order_relaxed);
}

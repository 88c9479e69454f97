/* eal_test.h - starts DPDK for a unit test: no huge pages, no devices, two lcores (0: the
 * test, 1: a worker) that may run on any CPU, no files, so that it runs beside others' DPDK. */
#ifndef GN_DATAPLANE_EAL_TEST_H
#define GN_DATAPLANE_EAL_TEST_H

#include <stdio.h>
#include <unistd.h>
#include <rte_common.h>
#include <rte_eal.h>

static inline int gn_eal_test_init(void)
{
	char lcores[64];
	char words[][16] = {"test", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
	                    "128",  "--no-telemetry", "--log-level=4", "--lcores"};
	char *args[RTE_DIM(words) + 1];
	long last = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	size_t i;

	for (i = 0; i < RTE_DIM(words); i++)
		args[i] = words[i];
	snprintf(lcores, sizeof lcores, "0@(0-%ld),1@(0-%ld)", last, last);
	args[i] = lcores;
	return rte_eal_init(RTE_DIM(args), args);
}

#endif

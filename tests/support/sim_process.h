/* Starts and ends the exchange simulator for a test. Needs MELTICA_BINARY_DIR, as ctest sets it. */
#ifndef MELTICA_TEST_SIM_PROCESS_H
#define MELTICA_TEST_SIM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

struct sim_process {
    pid_t pid;
    int port, tls_port; /* 0: none */
    char ca[256];       /* file; empty: none */
};

/* arguments: NULL-terminated, without the program. False when it does not say that it listens. It
 * ends with the test, also when the test dies. */
bool sim_process_start(struct sim_process *sim, const char *const *arguments);

/* SIGTERM and its exit status; -1 when it did not exit by itself. */
int sim_process_stop(struct sim_process *sim);

#endif

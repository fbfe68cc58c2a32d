/*
 * An OpenTelemetry Collector (tests/support/collector) for a test: services send it their spans by
 * OTLP/HTTP, it reads them, gathers them in its batch processor and hands them by OTLP/HTTP to a
 * receiver of the test's. So what the test sees has been read and written again by the standard's
 * own implementation. It ends with the test, also when the test dies.
 */
#ifndef MELTICA_TEST_REAL_COLLECTOR_H
#define MELTICA_TEST_REAL_COLLECTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mlt_real_collector {
    pid_t pid; /* 0: none runs */
    uint16_t port;
    int said; /* its log */
    pthread_t reader;
    char config[64]; /* file */
    char last_words[2048];
};

/* program: the collector's; behind: the port on 127.0.0.1 of the receiver that it hands spans to.
 * Returns when it takes spans on port. False: it does not, last_words says why. */
bool mlt_real_collector_start(struct mlt_real_collector *collector, const char *program,
                              uint16_t behind);

/* SIGTERM, which makes it hand on what it holds, and its exit status; -1: by itself it did not end,
 * or none runs. */
int mlt_real_collector_stop(struct mlt_real_collector *collector);

#endif

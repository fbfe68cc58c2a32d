/*
 * What the soak asks from outside: memory and descriptors of each process, whether the books that a
 * consumer saw are the exchange's own, and joiners that come late. One thread, but for the joiner's
 * own.
 */
#ifndef MELTICA_SOAK_PROBE_H
#define MELTICA_SOAK_PROBE_H

#include "mlt_stack.h"
#include "soak_watch.h"

#define SOAK_PROCESSES MLT_STACK_PROCESSES
#define SOAK_SERVICES 5u
extern const char *const soak_process_names[SOAK_PROCESSES]; /* the five services first, senders
                                                                before receivers */

/* A straight line through what was measured, without keeping it. */
struct soak_series {
    uint64_t count;
    double t, y, tt, ty; /* sums; t in hours since the first value */
    double hours;        /* from the first value to the last */
    int64_t first_ns;    /* monotonic */
    int64_t first, last, max;
};
void soak_series_add(struct soak_series *series, int64_t now_ns, int64_t value);
double soak_series_mean(const struct soak_series *series);
double soak_series_slope(const struct soak_series *series); /* an hour; 0 of less than 3 values */
/* What the line grew by from the first value to the last. */
double soak_series_growth(const struct soak_series *series);
bool soak_series_flat(const struct soak_series *series, double allowed); /* it grew by no more */

struct soak_process {
    struct soak_series resident, descriptors; /* bytes; open files */
    bool gone;                                /* ended unasked */
    int exit_status;                          /* at the end */
    bool answered;
    struct mlt_buf before, metrics; /* what it counted, at the beginning and at the end */
};

enum soak_verdict { SOAK_NO_BOOK, SOAK_RIGHT, SOAK_WRONG };
/* Asks the exchange whether a symbol's last BOOK was its own, level by level; *id: which one. */
enum soak_verdict soak_compare_book(struct mlt_stack *stack, struct soak_watch *watch,
                                    unsigned symbol, int64_t *id);

struct soak_joiner {
    pthread_t thread;
    struct mlt_bus *bus;
    int stop; /* descriptor; readable: it is over */
    unsigned symbols;
    uint64_t dice, right, wrong;
    struct mlt_latency join;
    char first_wrong[256];
};

struct soak_probe {
    struct mlt_stack *stack;
    struct soak_watch *watch;
    struct soak_process processes[SOAK_PROCESSES];
    unsigned next_book;
    uint64_t true_books, wrong_books;
    char first_wrong[160];
    struct soak_joiner joiner;
};

/* Begins the joiner, and reads every service's metrics. */
void soak_probe_start(struct soak_probe *probe, struct mlt_stack *stack, struct soak_watch *watch,
                      uint64_t seed);
/* Each second. measure: memory and descriptors count. False: a process ended unasked. */
bool soak_probe_tick(struct soak_probe *probe, bool measure);
/* Ends the joiner and reads every service's metrics. */
void soak_probe_end(struct soak_probe *probe);
void soak_probe_free(struct soak_probe *probe);
/* Sum of a service's metric at the end; 0 where it did not answer. */
uint64_t soak_probe_grown(const struct soak_probe *probe, const char *service, const char *metric,
                          const char *label); /* since the beginning */
uint64_t soak_probe_metric(const struct soak_probe *probe, const char *service, const char *metric,
                           const char *label);

#endif

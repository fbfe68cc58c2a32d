/*
 * A real Prometheus for a test: it scrapes the five services of a stack and evaluates the project's
 * rules, with three seconds as each waiting time ("for") and with two minutes made five seconds;
 * what fires it tells this process, as it would tell an Alertmanager. The same server takes spans
 * by OTLP/HTTP, or refuses them. Fails the test (cmocka) where something does not come up.
 */
#ifndef MELTICA_TEST_PROMETHEUS_H
#define MELTICA_TEST_PROMETHEUS_H

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http_stub.h"
#include "mlt_stack.h"

#define PROMETHEUS_FIRED_MAX 64u

struct mlt_prometheus {
    const struct mlt_stack *stack;
    char folder[64], port[16];
    pid_t pid;
    int said;
    pthread_t reader;
    bool reading;
    struct http_stub receiver;
    atomic_bool refuses_spans;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    bool ended;
    char last_words[1024];
    size_t fired_count;
    struct fired_alert {
        char name[64], since[40]; /* each name once; when it last began, as Prometheus writes it */
        bool forgotten;           /* and did not fire anew */
    } fired[PROMETHEUS_FIRED_MAX];
};

/* The receiver of alerts and spans: before the stack, whose services may be told its port. */
void mlt_prometheus_listen(struct mlt_prometheus *prometheus);
/* Prometheus itself. more_rules: rules of the test's, as YAML under "rules:"; "": none. */
void mlt_prometheus_start(struct mlt_prometheus *prometheus, const struct mlt_stack *stack,
                          const char *more_rules);
void mlt_prometheus_stop(struct mlt_prometheus *prometheus);
/* Whom to scrape: the services that run, at the ports that they have now. */
void mlt_prometheus_targets(struct mlt_prometheus *prometheus);

bool mlt_prometheus_fired(struct mlt_prometheus *prometheus, const char *alert);
/* Waits until the alert fired; fails the test, naming what did fire, when it does not. */
void mlt_prometheus_await(struct mlt_prometheus *prometheus, const char *alert, int seconds);
/* Before a fault whose alert may have fired without it: from here on only a firing that begins anew
 * counts. False: the alert is active at this moment, so that nothing that fires proves the fault;
 * then nothing is forgotten. */
bool mlt_prometheus_forget(struct mlt_prometheus *prometheus, const char *alert);
/* `data` of what its API answers to a path, with a query or NULL; the caller's to delete. */
cJSON *mlt_prometheus_ask(struct mlt_prometheus *prometheus, const char *path, const char *query);

#endif

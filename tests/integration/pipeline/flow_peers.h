/*
 * What stands around the Conductor and the Data Bus in tests: the processes themselves, a
 * Dispatcher that feeds numbered source positions and answers for the table, and a consumer that
 * checks what docs/wire-format.md promises.
 */
#ifndef MELTICA_TEST_FLOW_PEERS_H
#define MELTICA_TEST_FLOW_PEERS_H

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/bus/hop.h"
#include "meltica/event/event.h"
#include "server.h"

#define FLOW_PARTITIONS 4u
#define FLOW_INSTRUMENTS UINT64_C(8)

/* ---- processes ---- */

struct process {
    pid_t pid; /* 0: does not run */
    int fd;
    pthread_t reader;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    char *log;
    size_t log_len;
    bool log_ended;
};

/* name: "meltica-conductor"; arguments: NULL-terminated, --nats-url and --http-port 0 are added. */
void process_start(struct process *process, const char *name, const char *url,
                   const char *const *arguments);
/* Waits until its log holds text after *from (which is moved behind it); fails the test otherwise.
 */
void process_wait_log(struct process *process, const char *text, size_t *from);
bool process_has_logged(struct process *process, const char *text);
void process_kill(struct process *process); /* -9 */
int process_end(struct process *process);   /* SIGTERM; its exit status */
/* GET of its health listener (the port is in its log): status code, body in out. */
int process_get(struct process *process, const char *path, char *out, size_t size);
/* Of its page of metrics; series: name and labels, as they stand there. Fails the test where there
 * is none. */
uint64_t process_metric(struct process *process, const char *series);
/* Reads it until the line is in it: what is counted after the last event left is on no page of
 * before. False after WAIT_NS. */
bool process_page_until(struct process *process, const char *line, char *page, size_t size);

/* ---- the Dispatcher ---- */

struct feeder {
    struct mlt_bus *data, *control;
    struct mlt_hop_sender *sender;
    struct mlt_bus_subscription *table_sub;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool silent;                        /* does not answer for the table */
    uint64_t revision, boot, epoch;     /* of its table; epoch 0: it has no claim */
    unsigned types;                     /* MLT_TYPE bits that the table routes */
    int64_t position[FLOW_INSTRUMENTS]; /* last source position sent */
    pthread_t thread;
    bool running, stop;
};

const char *feeder_token(unsigned instrument);
void feeder_start(struct feeder *feeder, const char *url);
void feeder_set_table(struct feeder *feeder, uint64_t revision, unsigned types, bool silent);
/* One TRADE, one BOOK_DELTA and one KLINE of an instrument, with the next position. */
void feeder_send(struct feeder *feeder, unsigned instrument);
/* One event as it is. */
void feeder_send_event(struct feeder *feeder, const struct mlt_event *event);
/* The depth of an instrument with FEEDER_LEVELS prices a side, of which each update id sets one a
 * side to itself: the delta of an id, and REST's answer as of one. BOOK is wanted. */
#define FEEDER_LEVELS 5
void feeder_send_depth(struct feeder *feeder, unsigned instrument, int64_t id);
void feeder_send_answer(struct feeder *feeder, unsigned instrument, int64_t id);
/* Asks the Data Bus where a partition stands, as an owner of that epoch would: it is fenced below.
 */
void feeder_fence(struct feeder *feeder, uint32_t partition, uint64_t epoch);
/* Sends for all instruments in turn, about rounds_per_s a second, on a thread. */
void feeder_run(struct feeder *feeder, unsigned rounds_per_s);
void feeder_pause(struct feeder *feeder);
void feeder_end(struct feeder *feeder);

/* ---- the consumer ---- */

struct consumer_channel {
    uint64_t epoch, sequence;
    int64_t position; /* source.last of the newest */
};

struct consumer {
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct mlt_arena arena;
    struct consumer_channel channels[FLOW_INSTRUMENTS][MLT_EVENT_TYPE_COUNT];
    uint64_t events;     /* accepted */
    uint64_t ignored;    /* not greater by (epoch, sequence): repeats, legal after a restart */
    uint64_t lost;       /* STATUS LOST */
    uint64_t epochs;     /* EPOCH_STARTED */
    uint64_t holes;      /* jumps of a sequence, or an epoch that does not begin at 1 */
    uint64_t disorder;   /* source positions that do not follow each other */
    uint64_t bad_epochs; /* EPOCH_STARTED that does not say where we stood */
    uint64_t bad_heads;  /* HEADS that do not say where we stand */
    uint64_t unknown;    /* undecodable, or of no instrument of ours */
    char first_problem[256];
};

void consumer_start(struct consumer *consumer, const char *url);
/* Waits until every instrument's TRADE, BOOK_DELTA and KLINE reached the feeder's position. */
void consumer_wait(struct consumer *consumer, const struct feeder *feeder);
bool consumer_wait_events(struct consumer *consumer, uint64_t events);
bool consumer_wait_epochs(struct consumer *consumer, uint64_t epochs);
uint64_t consumer_events(struct consumer *consumer);
/* Takes one encoded event, as the subscription does: for journals. */
void consumer_take(struct consumer *consumer, struct mlt_slice bytes);
/* No hole, no disorder, no bad notice; and nothing said to be lost. */
void consumer_assert_clean(struct consumer *consumer);
void consumer_end(struct consumer *consumer);

#endif

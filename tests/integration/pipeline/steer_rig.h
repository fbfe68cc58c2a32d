/*
 * Live subscriptions in tests: a whole stack whose table of the file names nothing, requests to the
 * Control Bus with their answers as JSON, and what the simulator and the Dispatcher say. One
 * thread, but for rig_try. Failures end the test (cmocka) with the answer.
 */
#ifndef MELTICA_TEST_STEER_RIG_H
#define MELTICA_TEST_STEER_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "meltica/bus/bus.h"
#include "meltica/bus/store.h"
#include "mlt_stack.h"

struct rig {
    struct mlt_stack stack;
    struct mlt_bus *client;
    struct mlt_store *store;
    char table_path[64], policy_path[64]; /* policy_path "": none */
    uint64_t lists_again;                 /* answers to lists that rig_ask did not take */
};

/* With a synthetic market of SYM0001-USDT.. at so many frames/s. Returns when the listing is known
 * and the log read. */
void rig_start(struct rig *rig, const char *symbols, const char *rate);
/* The same with limits of the Control Bus: subscriptions of a consumer, instruments of one. */
void rig_start_limited(struct rig *rig, const char *symbols, const char *rate,
                       const char *subscriptions, const char *instruments);
/* The same where a policy (its JSON) says who may do what. */
void rig_start_policed(struct rig *rig, const char *symbols, const char *rate,
                       const char *subscriptions, const char *instruments, const char *policy);
/* The two halves of it, of whatever stack: NATS and the exchange, then the services. The rig has no
 * files of its own; a table is made by rig_make_file. */
void rig_begin(struct rig *rig, const struct mlt_stack_options *options);
void rig_go(struct rig *rig);
/* A temporary file of that text, removed with the rig where it is its table or policy. */
void rig_make_file(char path[64], const char *text);
void rig_stop(struct rig *rig);
/* Waits until the Dispatcher answers with the listing, has read the log, and an Adapter has the
 * plan. */
void rig_wait_ready(struct rig *rig);
/* Looks again and again, some ms after each other, until true or the deadline. */
bool rig_until(bool (*done)(struct rig *rig, void *ctx), struct rig *rig, void *ctx, int seconds);

struct said {
    cJSON *json;      /* NULL: no answer, or it is no JSON */
    bool refused;     /* by the error headers */
    bool unavailable; /* nobody serves it, or not connected */
    bool again;       /* of a command that was asked for again, by rig_settle */
    int64_t took_ns;
};
/* An answer is due within 2 s. How soon it comes is measured by `bench control`; here only one that
 * hangs is a fault, since the machine may be busy with other things. */
#define RIG_LATE_NS (4 * MLT_NS_PER_S)

#define RIG_AGAIN_MAX 10 /* times that an answer may leave open what came of a command */

/* One request of any bytes; never fails. Any thread. */
struct said rig_try(struct rig *rig, const char *verb, struct mlt_slice body);
/* The same as a principal ("": without a name), and not longer than that. */
struct said rig_try_as(struct rig *rig, const char *principal, const char *verb,
                       struct mlt_slice body, int64_t wait_ns);
/* Repeats while nobody is there, and of a list while it is stalled, up to 10 s; fails without an
 * answer. */
struct said rig_ask(struct rig *rig, const char *verb, const char *body);
struct said rig_ask_as(struct rig *rig, const char *principal, const char *verb, const char *body);
/* Asked again while the answer leaves open what came of it, ten times at most: PENDING, or the
 * Dispatcher was too late. On a busy machine that is no fault; the same subscription twice is one,
 * and of what a first request has ended the second finds nothing (404). */
struct said rig_settle(struct rig *rig, const char *verb, const char *body);
/* Settled and CONFIRMED; its subscription in id (64 bytes) unless NULL. */
void rig_confirm(struct rig *rig, const char *verb, const char *body, char *id);
/* How many subscriptions of a consumer are listed. */
int rig_listed(struct rig *rig, const char *consumer);
/* For rig_until, of a consumer with one subscription (ctx: its name): its lease is over, whether or
 * not it was ended for that; nothing is listed of it. */
bool rig_lease_is_over(struct rig *rig, void *ctx);
bool rig_lists_nothing(struct rig *rig, void *ctx);
/* Refused with 503, since the Dispatcher did not answer the Control Bus in time: on a busy machine
 * rightly so, and nothing has changed. */
bool rig_is_stalled(const struct said *said);
void rig_fail(const struct said *said, const char *what);

const char *rig_text(const cJSON *object, const char *member); /* "" when it is no string */
int rig_number(const cJSON *object, const char *member);       /* -1 when it is no number */

/* Lines of the exchange that carry each stream: the object `streams` of its status. The caller's to
 * cJSON_Delete the tree; *streams is inside. */
cJSON *rig_exchange(struct rig *rig, const cJSON **streams);
/* Number of messages that a stream ever took (state.last_seq), and that it holds; false: there is
 * none. */
bool rig_stream(struct rig *rig, const char *stream, uint64_t *last, uint64_t *held);
/* The server of a cluster that leads a stream; false: none at present, or it cannot be asked. */
bool rig_leader(struct rig *rig, const char *stream, char *name, size_t size);
/* seed from the environment (MELTICA_TEST_SEED) or the clock; printed. */
uint64_t rig_seed(const char *what);

#endif

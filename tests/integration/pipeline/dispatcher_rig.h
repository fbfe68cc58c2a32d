/* The real meltica-dispatcher between a nats-server of the test's own, an Adapter and a Conductor
 * that are played by the test. */
#ifndef MELTICA_TEST_DISPATCHER_RIG_H
#define MELTICA_TEST_DISPATCHER_RIG_H

#include "server.h"

#include "meltica/bus/hop.h"
#include "meltica/v1/internal.pb-c.h"

#define RIG_PARTITIONS 4u
#define RIG_WAIT_NS INT64_C(15000000000)
#define RIG_EVENTS_MAX 400000u
#define RIG_PLANS_MAX 256u
#define RIG_REJECTIONS_MAX 64u

struct process {
    pid_t pid; /* 0: does not run */
    int output;
    pthread_t reader;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char http_port[16]; /* once it said so */
    bool ended;         /* its output */
    char words[8192];   /* the last it said */
    size_t words_len;
};

/* arguments: NULL-terminated, after the program. */
void process_start(struct process *process, const char *program, const char *const *arguments);
/* It listens for HTTP and is registered with NATS. */
void process_wait_up(struct process *process);
/* Signal and wait; exit status, or 128 + signal. 0 for signal: only waits. */
int process_end(struct process *process, int signal);

/* What the test keeps of an event. */
struct seen {
    char instrument[32];
    enum mlt_event_type type;
    int64_t first;
    bool lost_before; /* first event of a batch that said so */
};

struct rig {
    struct server server;
    struct process dispatcher, control_bus;
    char table[96];
    struct mlt_bus *data, *control; /* of both peers */
    struct mlt_hop_sender *natives;
    struct mlt_hop_receiver *canonicals;
    struct mlt_bus_subscription *plans, *rejections;
    uint64_t adapter_boot;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t event_count;
    struct seen *events;
    struct mlt_event last; /* views of last_bytes */
    uint8_t last_bytes[4096];
    size_t last_len;
    unsigned losses;
    Meltica__V1__NativePlan *plan_log[RIG_PLANS_MAX];
    size_t plan_count;
    bool refuse_plans;
    struct {
        char subject[96];
        Meltica__V1__Rejection *message;
    } rejection_log[RIG_REJECTIONS_MAX];
    size_t rejection_count;
};

/* Server, table file, both peers; no Dispatcher yet. */
void rig_start(struct rig *rig, bool jetstream, const char *table_json);
void rig_end(struct rig *rig);
void rig_run_dispatcher(struct rig *rig);
/* more: options, NULL-terminated. Waits for its listener alone: it may stand by, or claim. */
void rig_run_dispatcher_with(struct rig *rig, const char *const *more);
/* Until it says the text; its words so far count too. */
void rig_wait_says(struct rig *rig, const char *text);
/* How often it is in what it said, as far as that is kept. */
unsigned rig_says(struct rig *rig, const char *text);
/* The Conductor ends, as one that is killed: what it took last may not be acknowledged. */
void rig_end_conductor(struct rig *rig);
void rig_run_conductor(struct rig *rig); /* again */
/* Until the Dispatcher answers for its table: it has read the log, or waits for none. */
void rig_wait_serves(struct rig *rig);
void rig_run_control_bus(struct rig *rig);

/* The Adapter: one instance, now in the hop's open batch. */
void rig_send(struct rig *rig, const struct mlt_native_event *native);
/* The Adapter says what it has, as it does each second. */
void rig_say_status(struct rig *rig, uint64_t boot, uint64_t revision);

/* True when the condition holds within RIG_WAIT_NS; it is looked at whenever a peer got something.
 */
bool rig_wait(struct rig *rig, bool (*holds)(struct rig *rig, const void *ctx), const void *ctx);
bool rig_wait_events(struct rig *rig, size_t count);

/* Value of a metric line that begins with `series`, from /metrics; -1 when it is not there. */
int64_t rig_metric(struct rig *rig, const char *series);

struct mlt_native_event rig_instance(int type, const char *token, int64_t first);

#endif

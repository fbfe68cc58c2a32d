/*
 * The reference of the pipeline's benchmark: a publisher, three relays and a consumer, each a
 * process with nats.c and nothing else, moving the same messages (a file of `meltica record`) one
 * by one. It answers what NATS alone costs on this machine.
 *
 * Two ways to publish, the ones that nats.c 3.10 offers without a loop of one's own: "flusher" (the
 * default: a thread that waits up to 1 ms) and "asap" (one write a message).
 */
#include <errno.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"
#include "meltica/base/buf.h"
#include "meltica/base/clock.h"
#include "meltica/event/event.h"

#define RELAYS 3
#define STAMP_BYTES 16u /* sent at, number: before the event's bytes */
#define FILE_BYTES_MAX ((size_t)1 << 30)
#define MESSAGE_BYTES_MAX (1u << 20)
#define WAIT_NS (60 * MLT_NS_PER_S)

struct options {
    const char *url, *file;
    bool asap;
    int64_t rate, count; /* rate 0: flat out */
};

struct result {
    uint64_t received, holes;
    int64_t first_sent_ns, last_received_ns;
    struct mlt_latency latency;
};

static void die(const char *what, natsStatus status)
{
    (void)fprintf(stderr, "bench_chain: %s: %s\n", what,
                  status != NATS_OK ? natsStatus_GetText(status) : strerror(errno));
    exit(1);
}

static void check(const char *what, natsStatus status)
{
    if (status != NATS_OK) {
        die(what, status);
    }
}

static natsConnection *connect_to(const struct options *o)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    check("options", natsOptions_Create(&options));
    check("url", natsOptions_SetURL(options, o->url));
    check("asap", natsOptions_SetSendAsap(options, o->asap));
    check("limit", natsOptions_SetMaxPendingMsgs(options, 1 << 22));
    check("connect", natsConnection_Connect(&connection, options));
    natsOptions_Destroy(options);
    return connection;
}

static void subscribe(natsConnection *connection, int stage, natsMsgHandler handler, void *ctx)
{
    char subject[32];
    natsSubscription *subscription = NULL;
    (void)snprintf(subject, sizeof subject, "bench.chain.%d", stage);
    check("subscribe", natsConnection_Subscribe(&subscription, connection, subject, handler, ctx));
    check("limits", natsSubscription_SetPendingLimits(subscription, -1, -1));
    check("flush", natsConnection_FlushTimeout(connection, 5000));
}

/* ---- relay ---- */

struct relay {
    natsConnection *connection;
    char subject[32];
};

static void on_relayed(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *ctx)
{
    struct relay *r = ctx;
    (void)subscription;
    check("publish", natsConnection_Publish(connection, r->subject, natsMsg_GetData(message),
                                            natsMsg_GetDataLength(message)));
    natsMsg_Destroy(message);
}

static void say_ready(int fd)
{
    if (write(fd, "r", 1) != 1) {
        die("pipe", NATS_OK);
    }
}

static void run_relay(const struct options *o, int stage, int ready)
{
    static struct relay r;
    r.connection = connect_to(o);
    (void)snprintf(r.subject, sizeof r.subject, "bench.chain.%d", stage + 1);
    subscribe(r.connection, stage, on_relayed, &r);
    say_ready(ready);
    for (;;) {
        (void)pause(); /* ended by its parent */
    }
}

/* ---- consumer ---- */

struct consumer {
    struct result result;
    int64_t expected;
    int done; /* pipe: written once everything is here */
};

static void on_arrived(natsConnection *connection, natsSubscription *subscription, natsMsg *message,
                       void *ctx)
{
    struct consumer *c = ctx;
    (void)connection;
    (void)subscription;
    const int64_t now = mlt_clock_mono_ns();
    int64_t stamp[2];
    memcpy(stamp, natsMsg_GetData(message), sizeof stamp);
    if (c->result.received == 0) {
        c->result.first_sent_ns = stamp[0];
    }
    if (stamp[1] != (int64_t)c->result.received) {
        c->result.holes++;
    }
    c->result.received++;
    c->result.last_received_ns = now;
    mlt_latency_record(&c->result.latency, now - stamp[0]);
    natsMsg_Destroy(message);
    if ((int64_t)c->result.received == c->expected &&
        write(c->done, &c->result, sizeof c->result) < 0) {
        die("pipe", NATS_OK);
    }
}

static void run_consumer(const struct options *o, int ready, int done)
{
    static struct consumer c;
    c.expected = o->count;
    c.done = done;
    subscribe(connect_to(o), RELAYS, on_arrived, &c);
    say_ready(ready);
    for (;;) {
        (void)pause();
    }
}

/* ---- publisher ---- */

static void wait_until(int64_t due_ns)
{
    const struct timespec when = { .tv_sec = due_ns / MLT_NS_PER_S,
                                   .tv_nsec = due_ns % MLT_NS_PER_S };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
    }
}

static struct mlt_slice next_event(const struct mlt_buf *file, struct mlt_slice *rest)
{
    struct mlt_slice element;
    if (mlt_batch_next(rest, &element) != MLT_OK) {
        *rest = mlt_buf_view(file);
        if (mlt_batch_next(rest, &element) != MLT_OK) {
            (void)fprintf(stderr, "bench_chain: no events in the file\n");
            exit(1);
        }
    }
    return element;
}

static void run_publisher(const struct options *o, const struct mlt_buf *file)
{
    natsConnection *connection = connect_to(o);
    static uint8_t message[MESSAGE_BYTES_MAX];
    struct mlt_slice rest = mlt_buf_view(file);
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL,
                0UL); /* the pace shall not be the kernel's slack */
    const int64_t start = mlt_clock_mono_ns();
    for (int64_t n = 0; n < o->count; n++) {
        const struct mlt_slice event = next_event(file, &rest);
        if (o->rate > 0) {
            const int64_t due = start + (int64_t)((double)n * 1e9 / (double)o->rate);
            if (due > mlt_clock_mono_ns()) {
                wait_until(due);
            }
        }
        const size_t len = event.len < MESSAGE_BYTES_MAX - STAMP_BYTES
                               ? event.len
                               : MESSAGE_BYTES_MAX - STAMP_BYTES;
        const int64_t stamp[2] = { mlt_clock_mono_ns(), n };
        memcpy(message, stamp, sizeof stamp);
        memcpy(message + STAMP_BYTES, event.data, len);
        check("publish", natsConnection_Publish(connection, "bench.chain.0", message,
                                                (int)(len + STAMP_BYTES)));
    }
    check("flush", natsConnection_FlushTimeout(connection, 60000));
    natsConnection_Destroy(connection);
    exit(0);
}

/* ---- the whole ---- */

static void wait_ready(int fd, int count)
{
    char byte;
    for (int i = 0; i < count; i++) {
        if (read(fd, &byte, 1) != 1) {
            die("a process of the chain did not come up", NATS_OK);
        }
    }
}

static int64_t cpu_us(const struct rusage *u)
{
    return ((int64_t)u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 + u->ru_utime.tv_usec +
           u->ru_stime.tv_usec;
}

static void print(const struct options *o, const struct result *r, int64_t children_cpu_us)
{
    const int64_t took = r->last_received_ns - r->first_sent_ns;
    (void)printf("{\"way\":\"%s\",\"rate\":%" PRId64 ",\"events\":%" PRIu64 ",\"holes\":%" PRIu64
                 ",\"events_per_s\":%" PRIu64 ",\"p50_us\":%" PRId64 ",\"p99_us\":%" PRId64
                 ",\"p999_us\":%" PRId64 ",\"max_us\":%" PRId64 ",\"cpu_ns_per_event\":%" PRId64
                 "}\n",
                 o->asap ? "asap" : "flusher", o->rate, r->received, r->holes,
                 took > 0 ? (uint64_t)((double)r->received * 1e9 / (double)took) : 0,
                 mlt_latency_at(&r->latency, 500) / 1000, mlt_latency_at(&r->latency, 990) / 1000,
                 mlt_latency_at(&r->latency, 999) / 1000, r->latency.max_ns / 1000,
                 children_cpu_us * 1000 / (r->received > 0 ? (int64_t)r->received : 1));
}

static int run(const struct options *o, const struct mlt_buf *file)
{
    int ready[2], done[2];
    pid_t children[RELAYS + 2];
    int n = 0;
    if (pipe(ready) != 0 || pipe(done) != 0) {
        die("pipe", NATS_OK);
    }
    for (int role = 0; role <= RELAYS; role++) {
        children[n] = fork();
        if (children[n] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (role < RELAYS) {
                run_relay(o, role, ready[1]);
            }
            run_consumer(o, ready[1], done[1]);
        }
        n++;
    }
    wait_ready(ready[0], RELAYS + 1);
    children[n] = fork();
    if (children[n] == 0) {
        run_publisher(o, file);
    }
    n++;
    (void)alarm(
        (unsigned)(WAIT_NS / MLT_NS_PER_S) +
        (unsigned)(o->rate > 0 ? o->count / o->rate : 0)); /* a lost message must not hang us */
    static struct result r;
    size_t got = 0;
    while (got < sizeof r) {
        const ssize_t part = read(done[0], (char *)&r + got, sizeof r - got);
        if (part <= 0) {
            die("the chain lost a message", NATS_OK);
        }
        got += (size_t)part;
    }
    for (int i = 0; i < n; i++) {
        (void)kill(children[i], SIGKILL);
        (void)waitpid(children[i], NULL, 0);
    }
    struct rusage usage;
    (void)getrusage(RUSAGE_CHILDREN, &usage);
    print(o, &r, cpu_us(&usage));
    return r.holes == 0 ? 0 : 1;
}

static enum mlt_status read_file(const char *path, struct mlt_buf *out)
{
    FILE *from = fopen(path, "rb");
    if (from == NULL) {
        return MLT_E_NOT_FOUND;
    }
    enum mlt_status status = MLT_OK;
    size_t n = 1;
    while (status == MLT_OK && n > 0) {
        status = mlt_buf_reserve(out, 1u << 20);
        if (status == MLT_OK) {
            n = fread(out->data + out->len, 1, 1u << 20, from);
            out->len += n;
        }
    }
    (void)fclose(from);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = { .url = "nats://127.0.0.1:4222" };
    for (int i = 1; i < argc; i++) {
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--asap") == 0) {
            o.asap = true;
        } else if (strcmp(argv[i], "--nats-url") == 0 && value) {
            o.url = argv[++i];
        } else if (strcmp(argv[i], "--events") == 0 && value) {
            o.file = argv[++i];
        } else if (strcmp(argv[i], "--rate") == 0 && value) {
            o.rate = strtoll(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--count") == 0 && value) {
            o.count = strtoll(argv[++i], NULL, 10);
        } else {
            o.count = 0;
            break;
        }
    }
    if (o.count <= 0 || o.file == NULL) {
        (void)fprintf(stderr, "usage: bench_chain --events FILE --count N [--rate N] [--asap] "
                              "[--nats-url URL]\n");
        return 2;
    }
    struct mlt_buf file;
    mlt_buf_init(&file, FILE_BYTES_MAX);
    if (read_file(o.file, &file) != MLT_OK) {
        (void)fprintf(stderr, "bench_chain: cannot read %s\n", o.file);
        return 1;
    }
    return run(&o, &file);
}

/* meltica record: what is on the live lane, to a file that is one EventBatch; meltica replay: such
 * a file onto subjects of its own. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "connection.h"
#include "events_file.h"
#include "meltica/base/clock.h"
#include "meltica/event/event.h"

#define FILE_BYTES_MAX ((size_t)2 << 30)
#define READ_BYTES (1u << 20)
#define WRITE_BYTES (64u << 10)
#define WRITE_NS MLT_NS_PER_S
#define ARENA_BYTES_MAX (16u << 20)
#define SPEED_MAX 1000000

/* ---- record ---- */

struct recorder {
    int fd, wake; /* wake: the file takes no more */
    pthread_mutex_t lock;
    struct mlt_arena arena;
    struct mlt_buf waiting; /* whole elements that are not in the file yet */
    uint64_t waiting_events;
    off_t bytes; /* of whole events in the file */
    uint64_t events, unwritten, foreign;
    int failure; /* errno; 0: none */
};

/* Length and number of the whole elements in the first n bytes. */
static size_t whole_elements(struct mlt_slice rest, size_t n, uint64_t *count)
{
    const uint8_t *begin = rest.data;
    struct mlt_slice element;
    size_t whole = 0;
    *count = 0;
    while (mlt_batch_next(&rest, &element) == MLT_OK &&
           (size_t)(element.data + element.len - begin) <= n) {
        whole = (size_t)(element.data + element.len - begin);
        ++*count;
    }
    return whole;
}

/* A file that took a part only ends with its last whole event, so that all of it can be read. */
static void fail(struct recorder *r, size_t written)
{
    uint64_t count = 0;
    r->bytes += (off_t)whole_elements(mlt_buf_view(&r->waiting), written, &count);
    r->events += count;
    r->unwritten += r->waiting_events - count;
    if (ftruncate(r->fd, r->bytes) != 0 && errno != EINVAL) { /* EINVAL: no file, but a device */
        (void)fprintf(stderr, "meltica record: its last event may be cut: %s\n", strerror(errno));
    }
    if (eventfd_write(r->wake, 1) != 0) {
        return; /* it is full: awake already */
    }
}

/* Under the lock. */
static void write_out(struct recorder *r)
{
    size_t written = 0;
    while (r->failure == 0 && written < r->waiting.len) {
        const ssize_t n = write(r->fd, r->waiting.data + written, r->waiting.len - written);
        if (n > 0) {
            written += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            r->failure = n == 0 ? ENOSPC : errno;
        }
    }
    if (r->failure != 0) {
        fail(r, written);
    } else {
        r->bytes += (off_t)written;
        r->events += r->waiting_events;
    }
    mlt_buf_clear(&r->waiting);
    r->waiting_events = 0;
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct recorder *r = ctx;
    struct mlt_event event;
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    const size_t n = mlt_batch_element_header(message->payload.len, header);
    (void)pthread_mutex_lock(&r->lock);
    mlt_arena_reset(&r->arena);
    if (mlt_event_decode(message->payload, &r->arena, &event) != MLT_OK) {
        r->foreign++; /* nobody could read the file beyond it */
    } else if (r->failure != 0 ||
               mlt_buf_reserve(&r->waiting, n + message->payload.len) != MLT_OK ||
               mlt_buf_append(&r->waiting, header, n) != MLT_OK ||
               mlt_buf_append(&r->waiting, message->payload.data, message->payload.len) != MLT_OK) {
        r->unwritten++;
    } else {
        r->waiting_events++;
        if (r->waiting.len >= WRITE_BYTES) {
            write_out(r);
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
}

/* Until a signal comes, the time is over, or the file takes no more. What came is in the file a
 * second later. */
static void wait_for_end(struct recorder *r, int signals, int64_t seconds)
{
    struct pollfd fds[2] = { { .fd = signals, .events = POLLIN },
                             { .fd = r->wake, .events = POLLIN } };
    const int64_t end = mlt_clock_mono_ns() + seconds * MLT_NS_PER_S;
    int64_t left = WRITE_NS;
    while (left > 0 && poll(fds, 2, (int)(left / MLT_NS_PER_MS) + 1) <= 0) {
        (void)pthread_mutex_lock(&r->lock);
        write_out(r);
        (void)pthread_mutex_unlock(&r->lock);
        left = seconds > 0 ? end - mlt_clock_mono_ns() : WRITE_NS;
        left = left < WRITE_NS ? left : WRITE_NS;
    }
}

static int record_to(struct recorder *r, struct mlt_bus *bus, const char *instrument, int signals,
                     int64_t seconds)
{
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof subject, "meltica.data.%s", instrument);
    const struct mlt_bus_subscribe_options options = { .subject = subject,
                                                       .pending_count_max = 1 << 20,
                                                       .pending_bytes_max = 256u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_subscribe(bus, &options, on_event, r, &subscription, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica record: %s\n", err.text);
        return 1;
    }
    (void)mlt_bus_rtt_ns(bus); /* now the server has it too */
    (void)fprintf(stderr, "meltica record: following %s\n", subject);
    wait_for_end(r, signals, seconds);
    mlt_bus_unsubscribe(subscription);
    write_out(r);
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(bus, &stats);
    (void)fprintf(stderr,
                  "meltica record: %" PRIu64 " events, %" PRIu64 " not written, %" PRIu64
                  " dropped before they got here, %" PRIu64 " messages were no events%s\n",
                  r->events, r->unwritten, stats.slow_consumer_dropped, r->foreign,
                  stats.disconnects > 0 ? ", the connection broke: some may be missing" : "");
    return r->unwritten + stats.slow_consumer_dropped + stats.disconnects > 0 ? 1 : 0;
}

static int record(struct mlt_bus *bus, const char *path, const char *instrument, int signals,
                  int64_t seconds)
{
    struct recorder r = { .lock = PTHREAD_MUTEX_INITIALIZER };
    int result = 1;
    mlt_arena_init(&r.arena, 64u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&r.waiting, 2 * WRITE_BYTES + MLT_BUS_PAYLOAD_BYTES_MAX);
    r.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (r.fd < 0 || r.wake < 0) {
        r.failure = errno;
    } else {
        result = record_to(&r, bus, instrument, signals, seconds);
    }
    if (r.fd >= 0 && close(r.fd) != 0 && r.failure == 0) {
        r.failure = errno;
    }
    if (r.wake >= 0) {
        (void)close(r.wake);
    }
    if (r.failure != 0) {
        (void)fprintf(stderr, "meltica record: %s: %s\n", path, strerror(r.failure));
        result = 1;
    }
    mlt_buf_fini(&r.waiting);
    mlt_arena_fini(&r.arena);
    return result;
}

static int record_usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: meltica record FILE [INSTRUMENT] [--seconds N]\n       %s\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

int mlt_command_record(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    const char *path = NULL, *instrument = NULL;
    int64_t seconds = 0;
    bool wrong = false;
    if (mlt_tool_help(argc, argv)) {
        return record_usage(stdout, 0);
    }
    for (int i = 1; i < argc && !wrong; i++) {
        if (mlt_tool_connection_option(&connection, argc, argv, &i, &wrong)) {
            continue;
        }
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &seconds);
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else if (argv[i][0] != '-' && instrument == NULL) {
            instrument = argv[i];
        } else {
            wrong = true;
        }
    }
    if (instrument == NULL) {
        instrument = "*";
    }
    if (wrong || path == NULL ||
        (strcmp(instrument, "*") != 0 &&
         !mlt_instrument_token_valid(mlt_slice_of_string(instrument)))) {
        return record_usage(stderr, 2);
    }
    const int signals = mlt_tool_signals();
    struct mlt_bus *bus = signals >= 0 ? mlt_tool_connect(&connection, "record") : NULL;
    if (bus == NULL) {
        return 1; /* before the file is touched: it may hold an earlier recording */
    }
    const int result = record(bus, path, instrument, signals, seconds);
    mlt_bus_destroy(bus, 0);
    (void)close(signals);
    return result;
}

/* ---- replay ---- */

struct replay {
    struct mlt_bus *bus;
    const char *prefix;
    int64_t speed; /* 0: as fast as it goes */
    int64_t first_event_ns, started_mono_ns;
    uint64_t events;
};

/* Waits until the event's moment, measured from the first one's. */
static void keep_time(struct replay *r, int64_t at_ns)
{
    if (r->speed == 0) {
        return;
    }
    if (r->events == 0) {
        r->first_event_ns = at_ns;
        r->started_mono_ns = mlt_clock_mono_ns();
    }
    const int64_t after = mlt_events_file_due_ns(r->first_event_ns, at_ns, r->speed);
    const int64_t due =
        after < INT64_MAX - r->started_mono_ns ? r->started_mono_ns + after : INT64_MAX;
    const struct timespec when = { .tv_sec = due / MLT_NS_PER_S, .tv_nsec = due % MLT_NS_PER_S };
    while (due > mlt_clock_mono_ns() &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
    }
}

static enum mlt_status replay_bytes(struct replay *r, struct mlt_slice rest)
{
    struct mlt_arena arena;
    mlt_arena_init(&arena, 64u << 10, ARENA_BYTES_MAX);
    struct mlt_slice element;
    struct mlt_event event;
    enum mlt_status status;
    while ((status = mlt_events_file_next(&rest, &arena, &event, &element)) == MLT_OK) {
        char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
        (void)snprintf(subject, sizeof subject, "%s.%.*s", r->prefix,
                       MLT_SLICE_FMT(event.instrument));
        keep_time(r, event.stamps.received);
        status =
            mlt_bus_publish_wait(r->bus, subject, element, mlt_clock_mono_ns() + 10 * MLT_NS_PER_S);
        if (status != MLT_OK) {
            break;
        }
        r->events++;
    }
    mlt_arena_fini(&arena);
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

static enum mlt_status read_file(const char *path, struct mlt_buf *out)
{
    FILE *from = fopen(path, "rb");
    if (from == NULL) {
        return MLT_E_NOT_FOUND;
    }
    enum mlt_status status;
    size_t n;
    do {
        n = 0;
        status = mlt_buf_reserve(out, READ_BYTES);
        if (status == MLT_OK) {
            n = fread(out->data + out->len, 1, READ_BYTES, from);
            out->len += n;
        }
    } while (n == READ_BYTES);
    if (status == MLT_OK && ferror(from)) {
        status = MLT_E_IO;
    }
    (void)fclose(from);
    return status;
}

/* What the services, the journal and NATS itself use: a replay must never be taken for one of them.
 */
static bool is_taken(const char *prefix)
{
    static const char *const taken[] = { "meltica.data", "meltica.int", "meltica.journal",
                                         "meltica.control", "meltica.lane" };
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        const size_t len = strlen(taken[i]);
        if (strncmp(prefix, taken[i], len) == 0 && (prefix[len] == '\0' || prefix[len] == '.')) {
            return true;
        }
    }
    return prefix[0] == '$' || prefix[0] == '_';
}

static int replay_usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica replay FILE [--speed N|max] [--prefix SUBJECT]\n       %s\n"
                  "(the prefix is meltica.replay by default, and never one that Meltica or NATS "
                  "use: meltica.data, .int, .journal, .control, .lane, $..., _...)\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static int replay_file(struct replay *r, const struct mlt_tool_connection *connection,
                       const char *path)
{
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, FILE_BYTES_MAX);
    int result = 1;
    enum mlt_status status = read_file(path, &bytes);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica replay: cannot read %s: %s\n", path,
                      status == MLT_E_TOO_BIG ? "it is over 2 GiB" : strerror(errno));
    } else if ((r->bus = mlt_tool_connect(connection, "replay")) != NULL) {
        status = replay_bytes(r, mlt_buf_view(&bytes));
        mlt_bus_destroy(r->bus, 5 * MLT_NS_PER_S);
        (void)fprintf(stderr, "meltica replay: %" PRIu64 " events%s%s\n", r->events,
                      status == MLT_OK ? "" : ", ended early: ",
                      status == MLT_OK ? ""
                      : mlt_status_class(status) == MLT_CLASS_PEER
                          ? "from here on the file is no recording of meltica record"
                          : mlt_status_text(status));
        result = status == MLT_OK ? 0 : 1;
    }
    mlt_buf_fini(&bytes);
    return result;
}

int mlt_command_replay(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    struct replay r = { .prefix = "meltica.replay", .speed = 1 };
    const char *path = NULL;
    bool wrong = false;
    if (mlt_tool_help(argc, argv)) {
        return replay_usage(stdout, 0);
    }
    for (int i = 1; i < argc && !wrong; i++) {
        if (mlt_tool_connection_option(&connection, argc, argv, &i, &wrong)) {
            continue;
        }
        if (strcmp(argv[i], "--speed") == 0 && i + 1 < argc) {
            i++;
            r.speed = 0;
            wrong = strcmp(argv[i], "max") != 0 && !mlt_tool_count(argv[i], SPEED_MAX, &r.speed);
        } else if (strcmp(argv[i], "--prefix") == 0 && i + 1 < argc) {
            r.prefix = argv[++i];
        } else if (argv[i][0] != '-' && path == NULL) {
            path = argv[i];
        } else {
            wrong = true;
        }
    }
    if (wrong || path == NULL || !mlt_bus_subject_valid(r.prefix) || is_taken(r.prefix)) {
        return replay_usage(stderr, 2);
    }
    return replay_file(&r, &connection, path);
}

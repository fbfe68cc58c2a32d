/* meltica trace: when one event was where, by the stamps that it carries. It is looked for in the
 * journal, the newest first, and with --wait on the live lane. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "commands.h"
#include "connection.h"
#include "inside.h"
#include "meltica/base/clock.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/stored.h"
#include "stages.h"

#define ARENA_BYTES_MAX (16u << 20)
#define TEXT_BYTES_MAX 65536
#define SECONDS_DEFAULT 30
#define CHUNK 256u /* batches that are read forwards, before those in front of them are */
#define LANE "meltica.data"

struct seek {
    struct mlt_tool_connection connection;
    uint64_t key;
    bool has_key, next, wait, as_json;
    const char *instrument; /* NULL: any */
    int64_t seconds;
    int signals, wake;

    uint64_t batches;  /* of the journal that were looked at */
    int64_t oldest_ns; /* received of the oldest event of them; 0: none */

    pthread_mutex_t lock; /* what follows: the subscription and the main thread */
    struct mlt_arena arena;
    uint64_t seen, foreign;
    bool found;
    struct mlt_stages stages;
};

/* ---- looking at events ---- */

static bool is_it(const struct seek *s, const struct mlt_event *event)
{
    if (s->instrument != NULL && !mlt_slice_equal_string(event->instrument, s->instrument)) {
        return false;
    }
    /* Those two have no place at the source, so that many have one key. */
    const bool keyed = event->type != MLT_EVENT_STATUS && event->type != MLT_EVENT_INSTRUMENT;
    return s->next ? keyed : event->key == s->key;
}

/* Under the lock. The newest one of a key stays: again is whether another may take its place. */
static void look_at(struct seek *s, struct mlt_slice bytes, int64_t now_ns, bool again)
{
    struct mlt_event event;
    mlt_arena_reset(&s->arena);
    if (mlt_event_decode(bytes, &s->arena, &event) != MLT_OK) {
        s->foreign++;
        return;
    }
    s->seen++;
    if (now_ns == MLT_STAMP_UNKNOWN &&
        (s->oldest_ns == 0 || event.stamps.received < s->oldest_ns)) {
        s->oldest_ns = event.stamps.received;
    }
    if ((!s->found || (again && s->stages.from_journal)) && is_it(s, &event)) {
        s->found = true;
        mlt_stages_of(&event, now_ns, &s->stages);
    }
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct seek *s = ctx;
    const int64_t now = mlt_clock_wall_ns();
    (void)pthread_mutex_lock(&s->lock);
    look_at(s, message->payload, now, false);
    const bool found = s->found;
    (void)pthread_mutex_unlock(&s->lock);
    if (found && eventfd_write(s->wake, 1) != 0) {
        return; /* it is full: awake already */
    }
}

static bool has_found(struct seek *s)
{
    (void)pthread_mutex_lock(&s->lock);
    const bool found = s->found;
    (void)pthread_mutex_unlock(&s->lock);
    return found;
}

/* Found live, or somebody told us to end. */
static bool is_over(const struct seek *s, int64_t deadline_ns)
{
    struct pollfd fds[2] = { { .fd = s->wake, .events = POLLIN },
                             { .fd = s->signals, .events = POLLIN } };
    const int64_t left = deadline_ns - mlt_clock_mono_ns();
    return poll(fds, 2, left > 0 ? (int)((left + MLT_NS_PER_MS - 1) / MLT_NS_PER_MS) : 0) > 0;
}

/* ---- the journal ---- */

/* Of one partition where it is known which one an instrument is in. */
static void journal_subject(struct seek *s, struct mlt_bus *bus, char *out, size_t size)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_inside *inside = s->instrument != NULL ? calloc(1, sizeof *inside) : NULL;
    (void)snprintf(out, size, MLT_JOURNAL_SUBJECT ".*");
    if (inside != NULL && mlt_inside_ask(bus, inside, &err) == MLT_OK && inside->count > 0 &&
        inside->services[0].partitions > 0 &&
        inside->services[0].partitions <= MLT_HOP_PARTITIONS_MAX) {
        const uint32_t slot = mlt_instrument_slot(mlt_slice_of_string(s->instrument));
        (void)snprintf(out, size, MLT_JOURNAL_SUBJECT ".%02u",
                       slot % (uint32_t)inside->services[0].partitions);
    }
    free(inside);
}

static void look_at_batch(struct seek *s, struct mlt_slice rest)
{
    struct mlt_slice event;
    (void)pthread_mutex_lock(&s->lock);
    while (mlt_batch_next(&rest, &event) == MLT_OK) {
        look_at(s, event, MLT_STAMP_UNKNOWN, true);
    }
    (void)pthread_mutex_unlock(&s->lock);
    s->batches++;
}

/* Forwards through [from, end). */
static enum mlt_status read_chunk(struct seek *s, struct mlt_store *store, const char *subject,
                                  uint64_t from, uint64_t end, int64_t deadline_ns,
                                  struct mlt_error *err)
{
    struct mlt_buf batch;
    enum mlt_status status = MLT_OK;
    mlt_buf_init(&batch, MLT_BUS_PAYLOAD_BYTES_MAX);
    while (status == MLT_OK && from < end && mlt_clock_mono_ns() < deadline_ns && !is_over(s, 0)) {
        uint64_t found = 0;
        mlt_buf_clear(&batch);
        status = mlt_stream_next(store, MLT_JOURNAL_STREAM, subject, from, &batch, &found, err);
        if (status == MLT_OK && found < end) {
            look_at_batch(s, mlt_buf_view(&batch));
        }
        from = found + 1;
    }
    mlt_buf_fini(&batch);
    return status == MLT_E_NOT_FOUND ? MLT_OK : status; /* its end */
}

static enum mlt_status search_journal(struct seek *s, struct mlt_bus *bus, int64_t deadline_ns,
                                      struct mlt_error *err)
{
    char subject[64];
    struct mlt_store *store = NULL;
    struct mlt_stored_report report = { .messages = 0 };
    journal_subject(s, bus, subject, sizeof subject);
    enum mlt_status status = mlt_store_create(bus, 0, &store, err);
    if (status == MLT_OK) {
        status = mlt_stored_inspect(store, MLT_STORED_JOURNAL, 0, &report, err);
    }
    uint64_t end = report.last_sequence + 1;
    const uint64_t first = end - report.messages;
    while (status == MLT_OK && !has_found(s) && end > first && mlt_clock_mono_ns() < deadline_ns &&
           !is_over(s, 0)) {
        const uint64_t from = end - first > CHUNK ? end - CHUNK : first;
        status = read_chunk(s, store, subject, from, end, deadline_ns, err);
        end = from;
    }
    mlt_store_destroy(store);
    return status;
}

/* ---- result ---- */

static int print_found(const struct seek *s)
{
    struct mlt_buf out;
    mlt_buf_init(&out, TEXT_BYTES_MAX);
    const enum mlt_status status =
        s->as_json ? mlt_stages_json(&s->stages, &out) : mlt_stages_table(&s->stages, &out);
    const bool printed =
        status == MLT_OK && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    mlt_buf_fini(&out);
    return printed ? 0 : 1;
}

static int say_not_found(const struct seek *s, uint64_t dropped)
{
    char back[64] = "";
    if (s->as_json) {
        (void)printf("{\"found\":false,\"key\":\"%" PRIu64 "\",\"events\":%" PRIu64
                     ",\"journal_batches\":%" PRIu64 "}\n",
                     s->key, s->seen, s->batches);
    }
    if (s->oldest_ns > 0) {
        (void)snprintf(back, sizeof back, ", back to %.1f s ago",
                       (double)(mlt_clock_wall_ns() - s->oldest_ns) / (double)MLT_NS_PER_S);
    }
    (void)fprintf(stderr,
                  "meltica trace: not found among %" PRIu64 " events (%" PRIu64
                  " batches of the journal%s)%s%s\n",
                  s->seen, s->batches, back,
                  s->wait || s->next ? "" : "; --wait waits for one that is still to come",
                  s->instrument != NULL ? "" : "; --instrument makes the search shorter");
    if (s->foreign + dropped > 0) {
        (void)fprintf(stderr,
                      "meltica trace: %" PRIu64 " messages were no events, %" PRIu64
                      " came too fast and were not looked at\n",
                      s->foreign, dropped);
    }
    return 1;
}

static enum mlt_status listen(struct seek *s, struct mlt_bus *bus, const char *subject,
                              struct mlt_bus_subscription **subscription, struct mlt_error *err)
{
    const struct mlt_bus_subscribe_options options = { .subject = subject,
                                                       .pending_count_max = 1 << 18,
                                                       .pending_bytes_max = 64u << 20 };
    const enum mlt_status status = mlt_bus_subscribe(bus, &options, on_event, s, subscription, err);
    if (status == MLT_OK && mlt_bus_denied(bus, subject)) {
        return mlt_error_set(err, MLT_E_AUTH, "this user may not listen to %s", subject);
    }
    return status;
}

/* Without the journal it may still come on the live lane. */
static void await(struct seek *s, const char *subject, int64_t deadline_ns)
{
    if (!has_found(s)) {
        (void)fprintf(stderr, "meltica trace: waiting for it on %s\n", subject);
        (void)is_over(s, deadline_ns);
    }
}

static int run(struct seek *s, struct mlt_bus *bus)
{
    char subject[MLT_INSTRUMENT_BYTES_MAX + 32];
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const int64_t deadline = mlt_clock_mono_ns() + s->seconds * MLT_NS_PER_S;
    const bool live = s->wait || s->next;
    (void)snprintf(subject, sizeof subject, LANE ".%s",
                   s->instrument != NULL ? s->instrument : "*");
    /* Before the journal: nothing falls in between. */
    enum mlt_status status = live ? listen(s, bus, subject, &subscription, &err) : MLT_OK;
    const bool deaf = status != MLT_OK;
    if (!deaf && !s->next) {
        status = search_journal(s, bus, deadline, &err);
    }
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica trace: %s\n", err.text);
    }
    if (live && !deaf) {
        await(s, subject, deadline);
    }
    mlt_bus_unsubscribe(subscription);
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(bus, &stats);
    if (s->found) {
        return print_found(s);
    }
    return status == MLT_OK || (live && !deaf) ? say_not_found(s, stats.slow_consumer_dropped) : 1;
}

/* ---- command ---- */

/* Decimal, as in JSON, or hexadecimal with 0x. */
static bool read_key(const char *text, uint64_t *key)
{
    char *end = NULL;
    errno = 0;
    const bool hex = text[0] == '0' && text[1] == 'x';
    *key = strtoull(text, &end, hex ? 16 : 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: meltica trace KEY|--next [--instrument TOKEN] [--wait] [--seconds N] [--json]\n"
        "       %s\n"
        "When one event was where: at the exchange, received, adapted, dispatched, conducted, "
        "published, and at the\nconsumer (this command); how long each stage took, in us, which "
        "add "
        "up to the whole; its trace id.\n"
        "  KEY                 its key, as meltica tail --json prints it, or 0x and hexadecimal. "
        "Of several with one key\n                      the newest\n"
        "  --next              the next one that comes, STATUS and INSTRUMENT aside\n"
        "  --instrument TOKEN  of that instrument only: a shorter search\n"
        "  --wait              where the journal does not have it, waits for it on meltica.data.*\n"
        "  --seconds N         gives up after N seconds (30)\n"
        "  --json              one JSON object\n"
        "Out of the journal nobody knows when a consumer had it. Exit status: 0 found, 1 not "
        "found, "
        "2 wrong usage.\n",
        MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static bool read_arguments(struct seek *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const int option = i;
        bool wrong = false;
        if (mlt_tool_connection_option(&s->connection, argc, argv, &i, &wrong)) {
            continue;
        }
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            s->as_json = true;
        } else if (strcmp(argv[i], "--next") == 0) {
            s->next = true;
        } else if (strcmp(argv[i], "--wait") == 0) {
            s->wait = true;
        } else if (strcmp(argv[i], "--seconds") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &s->seconds);
        } else if (strcmp(argv[i], "--instrument") == 0 && value) {
            s->instrument = argv[++i];
            wrong = !mlt_instrument_token_valid(mlt_slice_of_string(s->instrument));
        } else {
            wrong = s->has_key || !read_key(argv[i], &s->key);
            s->has_key = true;
        }
        if (wrong) {
            mlt_tool_say_wrong("trace", argv, option, i);
            return false;
        }
    }
    return s->has_key != s->next;
}

int mlt_command_trace(int argc, char **argv)
{
    struct seek s = { .lock = PTHREAD_MUTEX_INITIALIZER, .seconds = SECONDS_DEFAULT };
    mlt_tool_connection_init(&s.connection);
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    if (!read_arguments(&s, argc, argv)) {
        return usage(stderr, 2);
    }
    s.signals = mlt_tool_signals();
    s.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mlt_arena_init(&s.arena, 64u << 10, ARENA_BYTES_MAX);
    struct mlt_bus *bus =
        s.signals >= 0 && s.wake >= 0 ? mlt_tool_connect(&s.connection, "trace") : NULL;
    const int result = bus != NULL ? run(&s, bus) : 1;
    mlt_bus_destroy(bus, 0);
    mlt_arena_fini(&s.arena);
    if (s.wake >= 0) {
        (void)close(s.wake);
    }
    return result;
}

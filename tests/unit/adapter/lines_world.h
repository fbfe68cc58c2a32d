/* Lines against an exchange that a test scripts, by a clock of its own. */
#ifndef MELTICA_TEST_LINES_WORLD_H
#define MELTICA_TEST_LINES_WORLD_H

#include "lines.h"
#include "meltica/base/clock.h"
#include "plan_maker.h"

#define S MLT_NS_PER_S
#define MS MLT_NS_PER_MS
#define HOUR (INT64_C(3600) * S)
#define SENT_MAX 4096

/* A scripted exchange: connections that come up when told, and all that was sent on them. */
struct sent {
    uint32_t line;
    int64_t at, read, id; /* when it left; when the exchange read it */
    bool subscribe;
    unsigned names;
    char text[256];
};

static struct {
    struct mlt_topics topics;
    struct mlt_lines lines;
    struct mlt_binance_symbols *symbols;
    int64_t now, next;
    bool auto_open, auto_ack, refuse;
    uint32_t copies;
    int64_t ack_delay;
    struct sent sent[SENT_MAX];
    unsigned sent_count, connects, closes, acked;
    bool connecting[MLT_LINES_MAX], closing[MLT_LINES_MAX];
    char sources[400][64];
    unsigned source_count;
    unsigned sources_started; /* up for the first time */
    bool dumb;                /* a line that is replaced says nothing more */
} x;

static inline bool port_connect(void *ctx, uint32_t line)
{
    (void)ctx;
    x.connects++;
    x.connecting[line] = !x.refuse;
    return !x.refuse;
}

static inline void port_close(void *ctx, uint32_t line)
{
    (void)ctx;
    x.closes++;
    x.closing[line] = true;
}

static inline bool port_send(void *ctx, uint32_t line, struct mlt_slice text)
{
    (void)ctx;
    assert_true(x.sent_count < SENT_MAX);
    assert_true(text.len <= MLT_LINE_TEXT_BYTES_MAX + 64);
    struct sent *sent = &x.sent[x.sent_count++];
    *sent = (struct sent){ .line = line, .at = x.now };
    (void)snprintf(sent->text, sizeof sent->text, "%.*s", MLT_SLICE_FMT(text));
    sent->subscribe = strstr(sent->text, "\"SUBSCRIBE\"") != NULL;
    for (size_t i = 0; i < text.len; i++) {
        sent->names += text.data[i] == '@' ? 1 : 0;
    }
    char tail[32];
    const size_t n = text.len < sizeof tail - 1 ? text.len : sizeof tail - 1;
    memcpy(tail, text.data + text.len - n, n);
    tail[n] = '\0';
    const char *id = strstr(tail, "\"id\":");
    assert_non_null(id);
    sent->id = strtoll(id + 5, NULL, 10);
    return true;
}

static inline void port_source(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                               const char *reason)
{
    (void)ctx;
    if (strcmp(reason, "started") == 0) {
        assert_false(down);
        x.sources_started++;
        return;
    }
    assert_true(x.source_count < 400);
    (void)snprintf(x.sources[x.source_count++], 64, "%s %s %s", instrument->token,
                   down ? "down" : "up", reason);
}

static inline void start_with(uint32_t streams, bool spare, uint32_t attempts)
{
    const struct mlt_lines_options options = { .streams_per_line = streams,
                                               .attempts = attempts,
                                               .copies = x.copies,
                                               .spare = spare,
                                               .collect_ns = 200 * MS,
                                               .ack_ns = 700 * MS,
                                               .retry_ns = 10 * S,
                                               .rollover_ns = 23 * HOUR,
                                               .linger_ns = 2 * S,
                                               .backoff_base_ns = 250 * MS,
                                               .backoff_max_ns = 5 * S,
                                               .seed = 42 };
    const struct mlt_lines_ports ports = { port_connect, port_close, port_send, port_source, NULL };
    mlt_lines_init(&x.lines, &options, &ports, &x.topics);
}

static inline void start(uint32_t streams, bool spare)
{
    start_with(streams, spare, MLT_LINE_ATTEMPTS_MAX);
}

static inline int set_up(void **state)
{
    (void)state;
    memset(&x, 0, sizeof x);
    mlt_topics_init(&x.topics, 4);
    x.symbols = make_symbols(1000);
    x.now = 1000 * S;
    x.auto_open = x.auto_ack = true;
    x.copies = 1;
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    mlt_lines_fini(&x.lines);
    mlt_topics_fini(&x.topics);
    mlt_binance_symbols_destroy(x.symbols);
    return 0;
}

static inline void deliver(void)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (x.lines.lines[n].state == MLT_LINE_UP && x.lines.lines[n].retiring && !x.dumb) {
            (void)mlt_lines_heard(&x.lines, n, x.now);
        }
        if (x.connecting[n] && x.auto_open) {
            x.connecting[n] = false;
            mlt_lines_opened(&x.lines, n, x.now);
        }
        if (x.closing[n]) {
            x.closing[n] = x.connecting[n] = false;
            mlt_lines_ended(&x.lines, n, "by_us", x.now);
        }
    }
    while (x.auto_ack && x.acked < x.sent_count && x.sent[x.acked].at + x.ack_delay <= x.now) {
        struct sent *sent = &x.sent[x.acked++];
        sent->read = x.now;
        if (x.lines.lines[sent->line].state == MLT_LINE_UP) {
            mlt_lines_answer(&x.lines, sent->line, true, sent->id, NULL, x.now);
        }
    }
}

/* Lets time pass, turn by turn. */
static inline void run(int64_t for_ns)
{
    const int64_t end = x.now + for_ns;
    for (unsigned guard = 0;; guard++) {
        assert_true(guard < 100000);
        x.next = mlt_lines_turn(&x.lines, x.now);
        deliver();
        x.next = mlt_lines_turn(&x.lines, x.now);
        int64_t then = x.next < x.now + 10 * MS ? x.next : x.now + 10 * MS;
        if (x.next > x.now + S && then < x.next) { /* quiet: skip ahead */
            then = x.next < x.now + 500 * MS ? x.next : x.now + 500 * MS;
        }
        if (then >= end) {
            break;
        }
        x.now = then > x.now ? then : x.now + MS;
    }
    x.now = end;
}

static inline void plan(uint32_t partition, const char *topic, unsigned first, unsigned count)
{
    struct plan *p = make_plan(partition, 1, 7);
    if (count > 0) {
        (void)add_route(p, 1, topic, first, count);
    }
    assert_int_equal(mlt_topics_apply(&x.topics, &p->message, x.symbols), MLT_OK);
    mlt_lines_plan_changed(&x.lines, x.now);
    free(p);
}

static inline unsigned in_state(enum mlt_topic_state state)
{
    uint32_t counts[MLT_TOPIC_STATE_COUNT];
    mlt_topics_counts(&x.topics, UINT64_MAX, counts);
    return counts[state];
}

static inline struct mlt_topic *named(const char *name)
{
    return mlt_topics_find(&x.topics, mlt_slice_of_string(name));
}

static inline void see(const char *name)
{
    mlt_lines_seen(&x.lines, named(name), named(name)->seats[0].line);
}

#endif

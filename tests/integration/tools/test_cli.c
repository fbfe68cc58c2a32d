/* The command line tool against a whole Meltica with a synthetic market: what it prints, what it
 * writes, and how it ends. */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "meltica/event/event.h"
#include "mlt_stack.h"

#define FILE_BYTES_MAX (64u << 20)
#define NO_SERVER "nats://127.0.0.1:1"

static struct mlt_stack stack;
/* From before the first event to the last tests, told apart by their lists of services: right, with
 * one that is not there, with a line that is none. */
enum { RIGHT, GONE, BROKEN, COLLECTING };
static struct command collecting[COLLECTING];
static char recorded[128], services[COLLECTING][128], report[COLLECTING][128];
#define AWAY_COUNT 5u
static struct command away[AWAY_COUNT]; /* look for a server that is not there */
static int64_t away_since_ns;

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HERE "--nats-url", stack.nats_url

static const char *in_folder(char out[128], const char *name)
{
    (void)snprintf(out, 128, "%s/%s", stack.folder, name);
    return out;
}

static void write_services(const char *path, const char *more)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    for (unsigned i = 2; i < MLT_STACK_PROCESSES; i++) {
        const struct mlt_stack_process *p = &stack.processes[i];
        (void)fprintf(to, "%s=%d=http://127.0.0.1:%s\n", p->name, (int)p->pid, p->port);
    }
    (void)fputs(more, to);
    assert_int_equal(fclose(to), 0);
}

static void read_file(const char *path, struct mlt_buf *out)
{
    FILE *from = fopen(path, "rb");
    assert_non_null(from);
    mlt_buf_init(out, FILE_BYTES_MAX);
    size_t n = 1;
    while (n > 0) {
        assert_int_equal(mlt_buf_reserve(out, 65537), MLT_OK);
        n = fread(out->data + out->len, 1, 65536, from);
        out->len += n;
    }
    out->data[out->len] = '\0';
    (void)fclose(from);
}

static void write_file(const char *path, struct mlt_slice bytes)
{
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, to), bytes.len);
    assert_int_equal(fclose(to), 0);
}

static const cJSON *member(const cJSON *json, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, name);
    if (m == NULL) {
        fail_msg("no member %s", name);
    }
    return m;
}

static void start_away(void)
{
    write_file(recorded, mlt_slice_of_string("earlier"));
    const char *const *const calls[AWAY_COUNT] = {
        ARGS("tail", "--json", "--nats-url", NO_SERVER),
        ARGS("tail", "--json", "--nats-url", "nats://me:secret@127.0.0.1:1"),
        ARGS("record", recorded, "--nats-url", NO_SERVER),
        ARGS("replay", recorded, "--nats-url", NO_SERVER),
        ARGS("collect", "--seconds", "1", "--nats-url", NO_SERVER),
    };
    away_since_ns = mlt_clock_mono_ns();
    for (unsigned i = 0; i < AWAY_COUNT; i++) {
        command_start(&away[i], calls[i], NULL);
    }
}

static int set_up(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "3",
                                                             "--rate", "300", "--seed", "11" } };
    mlt_stack_start(&stack, &options);
    (void)in_folder(recorded, "day.events");
    for (unsigned i = 0; i < COLLECTING; i++) {
        (void)snprintf(services[i], sizeof services[i], "%s/services.%u", stack.folder, i);
        (void)snprintf(report[i], sizeof report[i], "%s/report.%u.json", stack.folder, i);
        command_start(&collecting[i],
                      ARGS("collect", "--seconds", "15", "--services", services[i], "--report",
                           report[i], HERE),
                      NULL);
        assert_true(command_wait_said(&collecting[i], "following"));
    }
    mlt_stack_run_services(&stack);
    write_services(services[RIGHT], "");
    write_services(services[GONE], "gone=1=http://127.0.0.1:1\n");
    write_services(services[BROKEN], "no list\n");
    start_away();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_stack_stop(&stack);
    return 0;
}

/* ---- health ---- */

static void test_health_asks_a_page_and_ends_with_its_answer(void **state)
{
    (void)state;
    struct command c;
    char page[64];
    const struct mlt_stack_process *p = &stack.processes[2];
    (void)snprintf(page, sizeof page, "http://127.0.0.1:%s/livez", p->port);
    assert_int_equal(command_run(&c, ARGS("health", page), NULL), 0);
    assert_string_equal(command_out(&c), "live\n");
    command_free(&c);
    (void)snprintf(page, sizeof page, "http://127.0.0.1:%s/nothing", p->port);
    assert_int_equal(command_run(&c, ARGS("health", page, "--timeout", "5"), NULL), 1);
    assert_non_null(strstr(command_err(&c), "/nothing: 404 see /livez"));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("health", "http://127.0.0.1:1/"), NULL), 1);
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("health"), NULL), 2);
    assert_non_null(strstr(command_err(&c), "usage: meltica health URL"));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("health", page, "--timeout", "x"), NULL), 2);
    command_free(&c);
}

/* ---- tail ---- */

static void test_tail_prints_so_many_json_lines_and_ends(void **state)
{
    (void)state;
    static const char *const members[] = { "instrument", "type",   "key",      "epoch",
                                           "sequence",   "source", "trace_id", "stamps" };
    struct command c;
    assert_int_equal(command_run(&c, ARGS("tail", "--json", "--count", "50", HERE), NULL), 0);
    assert_string_equal(command_err(&c), "");
    unsigned lines = 0;
    for (const char *at = command_out(&c); *at != '\0'; lines++) {
        const char *end = NULL;
        cJSON *json = cJSON_ParseWithOpts(at, &end, 0);
        assert_non_null(json);
        assert_int_equal(*end, '\n');
        for (unsigned i = 0; i < sizeof members / sizeof members[0]; i++) {
            (void)member(json, members[i]);
        }
        assert_non_null(strstr(member(json, "instrument")->valuestring, "-USDT"));
        cJSON_Delete(json);
        at = end + 1;
    }
    assert_int_equal(lines, 50);
    command_free(&c);
}

static void test_tail_of_one_instrument_has_only_that(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(
        command_run(&c, ARGS("tail", "SYM0002-USDT", "--json", "--count", "10", HERE), NULL), 0);
    assert_non_null(strstr(command_out(&c), "SYM0002-USDT"));
    assert_null(strstr(command_out(&c), "SYM0001"));
    assert_null(strstr(command_out(&c), "SYM0003"));
    command_free(&c);
}

static void test_tail_of_an_unknown_instrument_says_so_and_waits(void **state)
{
    (void)state;
    struct command c;
    command_start(&c, ARGS("tail", "SYM9999-USDT", "--json", HERE), NULL);
    assert_true(command_wait_said(&c, "nothing is known of SYM9999-USDT"));
    assert_int_equal(kill(c.pid, SIGINT), 0); /* it had not ended */
    assert_int_equal(command_end(&c), 0);
    assert_string_equal(command_out(&c), "");
    command_free(&c);
    assert_int_equal(
        command_run(&c, ARGS("tail", "SYM0002-USDT", "--json", "--seconds", "3", HERE), NULL), 0);
    assert_string_equal(command_err(&c), "");
    command_free(&c);
}

static void test_tail_without_a_terminal_is_a_plain_table(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("tail", "--seconds", "3", HERE), NULL), 0);
    assert_null(strchr(command_out(&c), '\x1b'));
    assert_non_null(strstr(command_out(&c), "INSTRUMENT"));
    assert_non_null(strstr(command_out(&c), "\nSYM0001-USDT "));
    assert_non_null(strstr(command_out(&c), "missing 0, said lost 0"));
    command_free(&c);
}

static void test_tail_shows_the_head_and_reads_it_again(void **state)
{
    (void)state;
    struct command c;
    char path[128], next[128];
    (void)in_folder(next, "head.next");
    assert_int_equal(command_run(&c, ARGS("tail", "--head", next, HERE), NULL), 2);
    assert_non_null(strstr(command_err(&c), "head.next: No such file"));
    command_free(&c);
    write_file(in_folder(path, "head"), mlt_slice_of_string("logs \x1b[2J here"));
    command_start(&c, ARGS("tail", "--head", path, HERE), NULL);
    assert_true(command_wait_printed(&c, "Ctrl-C ends\nlogs ?[2J here\n"));
    write_file(next, mlt_slice_of_string("at its end\nlogs here\n"));
    assert_int_equal(rename(next, path), 0);
    assert_true(command_wait_printed(&c, "Ctrl-C ends\nat its end\nlogs here\n"));
    assert_int_equal(unlink(path), 0); /* the last one stands */
    c.out_text.len = 0;
    assert_true(command_wait_printed(&c, "Ctrl-C ends\nat its end\nlogs here\n"));
    assert_int_equal(kill(c.pid, SIGINT), 0);
    assert_int_equal(command_end(&c), 0);
    command_free(&c);
}

/* ---- record, decode, replay ---- */

struct channel {
    char name[96];
    uint64_t epoch, sequence;
};

/* Each channel goes on by one. */
static void check_sequence(struct channel *channels, const cJSON *json)
{
    char name[96];
    const uint64_t epoch = strtoull(member(json, "epoch")->valuestring, NULL, 10);
    const uint64_t sequence = strtoull(member(json, "sequence")->valuestring, NULL, 10);
    if (sequence == 0) {
        return; /* a notice */
    }
    (void)snprintf(name, sizeof name, "%s %s", member(json, "instrument")->valuestring,
                   member(json, "type")->valuestring);
    while (channels->name[0] != '\0' && strcmp(channels->name, name) != 0) {
        channels++;
    }
    if (channels->name[0] != '\0' && channels->epoch == epoch) {
        assert_int_equal(sequence, channels->sequence + 1);
    }
    (void)snprintf(channels->name, sizeof channels->name, "%s", name);
    channels->epoch = epoch;
    channels->sequence = sequence;
}

static void record_if_not_yet(void)
{
    if (access(recorded, R_OK) != 0) {
        struct command c;
        assert_int_equal(command_run(&c, ARGS("record", recorded, "--seconds", "3", HERE), NULL),
                         0);
        command_free(&c);
    }
}

static void test_a_recording_decodes_to_the_same_events_without_a_gap(void **state)
{
    (void)state;
    record_if_not_yet();
    static struct channel channels[64];
    struct mlt_buf file, json;
    struct command c;
    struct mlt_arena arena;
    struct mlt_slice element;
    mlt_buf_init(&json, 1u << 20);
    mlt_arena_init(&arena, 65536, 16u << 20);
    read_file(recorded, &file);
    assert_int_equal(command_run(&c, ARGS("decode", "--batch"), recorded), 0);
    assert_string_equal(command_err(&c), "");
    struct mlt_slice rest = mlt_buf_view(&file);
    const char *line = command_out(&c);
    unsigned events = 0;
    for (; mlt_batch_next(&rest, &element) == MLT_OK; events++) {
        struct mlt_event event;
        mlt_arena_reset(&arena);
        mlt_buf_clear(&json);
        assert_int_equal(mlt_event_decode(element, &arena, &event), MLT_OK);
        assert_int_equal(mlt_event_to_json(&event, &json), MLT_OK);
        const size_t len = strcspn(line, "\n");
        assert_int_equal(len, json.len);
        assert_memory_equal(line, json.data, len);
        cJSON *parsed = cJSON_ParseWithLength(line, len);
        assert_non_null(parsed);
        check_sequence(channels, parsed);
        cJSON_Delete(parsed);
        line += len + 1;
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(*line, '\0');
    assert_true(events > 100); /* of 300 a second, for three */
    mlt_arena_fini(&arena);
    mlt_buf_fini(&json);
    mlt_buf_fini(&file);
    command_free(&c);
}

static void test_decode_takes_one_message_and_refuses_garbage(void **state)
{
    (void)state;
    record_if_not_yet();
    struct mlt_buf file;
    struct mlt_slice element;
    struct command c;
    char path[128];
    (void)in_folder(path, "message");
    read_file(recorded, &file);
    struct mlt_slice rest = mlt_buf_view(&file);
    assert_int_equal(mlt_batch_next(&rest, &element), MLT_OK);
    write_file(path, element);
    assert_int_equal(command_run(&c, ARGS("decode"), path), 0);
    cJSON *json = cJSON_Parse(command_out(&c));
    assert_non_null(json);
    (void)member(json, "instrument");
    cJSON_Delete(json);
    command_free(&c);
    mlt_buf_fini(&file);

    assert_int_equal(command_run(&c, ARGS("decode"), recorded), 1);
    assert_string_equal(command_out(&c), "");
    assert_non_null(strstr(command_err(&c), "add --batch"));
    command_free(&c);

    write_file(path, mlt_slice_of_string("\xff\xff\xff neither this nor that"));
    static const char *const batch[] = { "decode", "--batch", NULL };
    static const char *const one[] = { "decode", NULL };
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(command_run(&c, i == 0 ? one : batch, path), 1);
        assert_string_equal(command_out(&c), "");
        assert_non_null(strstr(command_err(&c), i == 0 ? "not a meltica.v1.Event:"
                                                       : "not a meltica.v1.EventBatch:"));
        assert_null(strstr(command_err(&c), "--batch"));
        command_free(&c);
    }
}

struct listener {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mlt_buf bytes; /* as a file of meltica record */
    size_t expected;
    unsigned elsewhere; /* messages on the wrong subject */
};

static void on_replayed(void *ctx, const struct mlt_bus_message *message)
{
    struct listener *l = ctx;
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    char subject[256];
    struct mlt_event event;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 65536, 16u << 20);
    const bool known = mlt_event_decode(message->payload, &arena, &event) == MLT_OK;
    (void)snprintf(subject, sizeof subject, "meltica.replay.%.*s",
                   known ? (int)event.instrument.len : 0,
                   known ? (const char *)event.instrument.data : "");
    (void)pthread_mutex_lock(&l->lock);
    l->elsewhere += strcmp(subject, message->subject) == 0 ? 0 : 1;
    const size_t n = mlt_batch_element_header(message->payload.len, header);
    if (mlt_buf_append(&l->bytes, header, n) != MLT_OK ||
        mlt_buf_append(&l->bytes, message->payload.data, message->payload.len) != MLT_OK) {
        l->elsewhere++;
    }
    (void)pthread_cond_broadcast(&l->changed);
    (void)pthread_mutex_unlock(&l->lock);
    mlt_arena_fini(&arena);
}

static void test_replay_sends_every_byte_to_its_own_subjects(void **state)
{
    (void)state;
    record_if_not_yet();
    static struct listener l = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER };
    struct mlt_buf file;
    read_file(recorded, &file);
    mlt_buf_init(&l.bytes, FILE_BYTES_MAX);
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    struct mlt_bus_subscription *subscription = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = stack.nats_url,
                                             .name = "test-replay" };
    const struct mlt_bus_subscribe_options subscribe = { .subject = "meltica.replay.*",
                                                         .pending_count_max = 1 << 20,
                                                         .pending_bytes_max = 256u << 20 };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_bus_subscribe(bus, &subscribe, on_replayed, &l, &subscription, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) >= 0);
    struct command c;
    assert_int_equal(command_run(&c, ARGS("replay", recorded, "--speed", "max", HERE), NULL), 0);
    command_free(&c);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    (void)pthread_mutex_lock(&l.lock);
    while (l.bytes.len < file.len && pthread_cond_timedwait(&l.changed, &l.lock, &until) == 0) {
    }
    (void)pthread_mutex_unlock(&l.lock);
    mlt_bus_unsubscribe(subscription);
    mlt_bus_destroy(bus, 0);
    assert_int_equal(l.elsewhere, 0);
    assert_int_equal(l.bytes.len, file.len);
    assert_memory_equal(l.bytes.data, file.data, file.len);
    mlt_buf_fini(&l.bytes);
    mlt_buf_fini(&file);
}

static void test_replay_takes_no_subject_of_ours_and_no_other_file(void **state)
{
    (void)state;
    record_if_not_yet();
    static const char *const refused[] = { "meltica.data",
                                           "meltica.data.x",
                                           "meltica.int",
                                           "meltica.int.out",
                                           "meltica.journal",
                                           "meltica.control",
                                           "$JS.API",
                                           "_INBOX.x",
                                           "a b",
                                           "a.*",
                                           "" };
    struct command c;
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(
            command_run(&c, ARGS("replay", recorded, "--prefix", refused[i], HERE), NULL), 2);
        assert_non_null(strstr(command_err(&c), "usage: meltica replay"));
        command_free(&c);
    }
    assert_int_equal(command_run(&c, ARGS("replay", "/nowhere/day.events", HERE), NULL), 1);
    assert_non_null(strstr(command_err(&c), "cannot read /nowhere/day.events: No such file"));
    command_free(&c);
    char path[128];
    write_file(in_folder(path, "text"), mlt_slice_of_string("{\"not\":\"a recording\"}\n"));
    assert_int_equal(command_run(&c, ARGS("replay", path, HERE), NULL), 1);
    assert_non_null(strstr(command_err(&c), "no recording of meltica record"));
    command_free(&c);
}

/* ---- ends ---- */

static void test_signals_end_tail_record_and_collect_in_order(void **state)
{
    (void)state;
    static const int signals[] = { SIGINT, SIGTERM };
    char path[128], other[128];
    (void)in_folder(path, "cut.events");
    (void)in_folder(other, "cut.json");
    for (unsigned i = 0; i < 2; i++) {
        struct command c;
        command_start(&c, ARGS("tail", "--json", HERE), NULL);
        assert_true(command_wait_printed(&c, "\n"));
        assert_int_equal(kill(c.pid, signals[i]), 0);
        assert_int_equal(command_end(&c), 0);
        assert_int_equal(command_out(&c)[c.out_text.len - 1], '\n'); /* whole lines */
        command_free(&c);

        command_start(&c, ARGS("record", path, HERE), NULL);
        assert_true(command_wait_said(&c, "following"));
        assert_int_equal(kill(c.pid, signals[i]), 0);
        assert_int_equal(command_end(&c), 0);
        command_free(&c);
        assert_int_equal(command_run(&c, ARGS("decode", "--batch"), path), 0); /* whole events */
        command_free(&c);

        command_start(&c, ARGS("collect", "--seconds", "60", "--report", other, HERE), NULL);
        assert_true(command_wait_said(&c, "following"));
        assert_int_equal(kill(c.pid, signals[i]), 0);
        assert_true(command_end(&c) >= 0); /* 1: it came late, and says so */
        command_free(&c);
        struct mlt_buf text;
        read_file(other, &text);
        cJSON *json = cJSON_Parse((const char *)text.data);
        assert_non_null(json);
        assert_true(member(json, "seconds")->valuedouble < 30);
        cJSON_Delete(json);
        mlt_buf_fini(&text);
    }
}

/* Each waits for its five seconds; meanwhile the market begins. */
static void test_without_a_server_everyone_says_so_in_time(void **state)
{
    (void)state;
    int statuses[AWAY_COUNT];
    for (unsigned i = 0; i < AWAY_COUNT; i++) {
        statuses[i] = command_end(&away[i]);
    }
    const int64_t took_ns = mlt_clock_mono_ns() - away_since_ns;
    struct mlt_buf text; /* an earlier recording is not lost to a failed start */
    read_file(recorded, &text);
    assert_int_equal(unlink(recorded), 0);
    assert_string_equal((const char *)text.data, "earlier");
    mlt_buf_fini(&text);
    for (unsigned i = 0; i < AWAY_COUNT; i++) {
        assert_int_equal(statuses[i], 1);
        assert_non_null(strstr(command_err(&away[i]), "no NATS server at " NO_SERVER ": "));
        assert_non_null(strstr(command_err(&away[i]), "meltica doctor says what is wrong"));
        assert_null(strstr(command_err(&away[i]), "secret"));
        assert_string_equal(command_out(&away[i]), "");
        command_free(&away[i]);
    }
    assert_true(took_ns < (MLT_TEST_SANITIZED ? 20 : 10) * MLT_NS_PER_S);
}

static void test_wrong_options_get_the_usage(void **state)
{
    (void)state;
    const char *const *const calls[] = {
        ARGS("tail", "--bogus"),
        ARGS("tail", "--count", "3"), /* without --json */
        ARGS("tail", "--json", "--count", "0"),
        ARGS("tail", "--json", "--count", "3x"),
        ARGS("tail", "--seconds", "-1"),
        ARGS("tail", "--seconds"),
        ARGS("tail", "--head"),
        ARGS("tail", "--json", "--head", "here"),
        ARGS("tail", "BTC.USDT"),
        ARGS("tail", "BTC-USDT", "ETH-USDT"),
        ARGS("tail", "--nats-url"),
        ARGS("tail", "--prefix", "a.>"),
        ARGS("record"),
        ARGS("record", "f", "BTC USDT"),
        ARGS("record", "f", "BTC-USDT", "ETH-USDT"),
        ARGS("record", "f", "--seconds", "soon"),
        ARGS("replay"),
        ARGS("replay", "f", "--speed", "0"),
        ARGS("replay", "f", "g"),
        ARGS("collect"),
        ARGS("collect", "--seconds", "0"),
        ARGS("collect", "--seconds", "5", "--report"),
        ARGS("decode", "--json"),
        ARGS("inspect"),
        ARGS("sub", "TRADE"),
        ARGS("sub", "TRADE", "BTC-USDT", "--ttl", "soon"),
        ARGS("unsub"),
        ARGS("unsub", "TRADE", "BTC-USDT", "--ttl", "5"),
        ARGS("subs", "TRADE"),
        ARGS("subs", "--as"),
        ARGS("sub", "TRADE", "BTC-USDT", "--as", "a.b"),
        ARGS("sub", "TRADE", "BTC-USDT", "--type", "BBO"),
        ARGS("update", "s1"),
        ARGS("update", "s1", "BTC-USDT", "--ttl", "0"),
        ARGS("audit", "TRADE"),
        ARGS("audit", "--since", "soon"),
        ARGS("audit", "--since", "1y"),
        ARGS("audit", "--since", "2020-01-01T04:00"),
        ARGS("audit", "--outcome", "good"),
        ARGS("audit", "--principal", "a.b"),
        ARGS("audit", "--follow", "--since"),
        ARGS("nothing"),
    };
    struct command c;
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        assert_int_equal(command_run(&c, calls[i], NULL), 2);
        assert_non_null(strstr(command_err(&c), "usage: meltica"));
        assert_string_equal(command_out(&c), "");
        command_free(&c);
    }
    static const char *const commands[] = { "tail",    "record",  "replay", "decode",
                                            "collect", "inspect", "sub",    "unsub",
                                            "update",  "subs",    "audit" };
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char start[64];
        (void)snprintf(start, sizeof start, "usage: meltica %s", commands[i]);
        assert_int_equal(command_run(&c, ARGS(commands[i], "--help"), NULL), 0);
        assert_memory_equal(command_out(&c), start, strlen(start));
        assert_string_equal(command_err(&c), "");
        command_free(&c);
    }
}

/* ---- collect ---- */

static const char *const report_members[] = {
    "nothing_lost",   "frames_in",      "frames_sent",  "seconds",
    "first_event_ms", "events_per_s",   "foreign",      "repeats_dropped",
    "unrouted",       "dropped_here",   "rejected",     "duplicates",
    "gaps",           "sequence_holes", "lost",         "epoch_ends_unknown",
    "events_out",     "sequence",       "exchange_ids", "trade_quantity",
    "trade_notional", "stream_hash",    "latency_us",   "resident_bytes",
    "cpu_ms",         "unanswered",     "books",        "books_per_s"
};

static cJSON *report_of(unsigned i, int *status)
{
    *status = command_end(&collecting[i]);
    struct mlt_buf text;
    read_file(report[i], &text);
    cJSON *json = cJSON_Parse((const char *)text.data);
    if (json == NULL) {
        fail_msg("exit %d: %s%s", *status, command_err(&collecting[i]), (const char *)text.data);
    }
    mlt_buf_fini(&text);
    return json;
}

static void test_a_service_that_does_not_answer_is_a_failure(void **state)
{
    (void)state;
    for (unsigned i = GONE; i <= BROKEN; i++) {
        int status = 0;
        cJSON *json = report_of(i, &status);
        assert_int_equal(status, 1);
        assert_true(cJSON_IsFalse(member(json, "nothing_lost")));
        /* and nothing else is wrong */
        assert_true(member(json, "sequence_holes")->valuedouble == 0);
        assert_true(member(json, "gaps")->valuedouble == 0);
        assert_true(member(json, "frames_in")->valuedouble > 100);
        const cJSON *unanswered = member(json, "unanswered");
        assert_int_equal(cJSON_GetArraySize(unanswered), i == GONE ? 1 : 0);
        if (i == GONE) {
            assert_string_equal(cJSON_GetArrayItem(unanswered, 0)->valuestring, "gone");
        }
        cJSON_Delete(json);
    }
    assert_non_null(strstr(command_err(&collecting[BROKEN]), "not NAME=PID=URL: no list"));
    command_free(&collecting[GONE]);
    command_free(&collecting[BROKEN]);
    struct command c; /* nobody waits an hour to hear that */
    assert_int_equal(
        command_run(&c, ARGS("collect", "--seconds", "3600", "--report", "/nowhere/r", HERE), NULL),
        1);
    assert_non_null(strstr(command_err(&c), "/nowhere/r: No such file"));
    command_free(&c);
}

/* The one that runs since before the first event: nothing is lost, and each member says something.
 */
static void test_collect_from_the_start_reports_nothing_lost(void **state)
{
    (void)state;
    int status = 0;
    cJSON *json = report_of(RIGHT, &status);
    if (status != 0) {
        char *text = cJSON_Print(json);
        fail_msg("exit %d: %s%s", status, command_err(&collecting[RIGHT]), text);
    }
    for (unsigned i = 0; i < sizeof report_members / sizeof report_members[0]; i++) {
        (void)member(json, report_members[i]);
    }
    assert_int_equal(cJSON_GetArraySize(json), sizeof report_members / sizeof report_members[0]);
    assert_true(cJSON_IsTrue(member(json, "nothing_lost")));
    assert_true(member(json, "frames_in")->valuedouble > 100);
    assert_true(member(json, "frames_sent")->valuedouble == -1); /* nobody named a simulator */
    assert_true(member(json, "seconds")->valuedouble >= 15);
    assert_true(member(json, "first_event_ms")->valuedouble > 0);
    assert_int_equal(cJSON_GetArraySize(member(json, "unanswered")), 0);
    assert_int_equal(cJSON_GetArraySize(member(json, "events_out")), 3);
    assert_int_equal(strlen(member(json, "stream_hash")->valuestring), 64);
    static const char *const stages[] = { "adapt",   "dispatch", "conduct",
                                          "publish", "deliver",  "total" };
    for (unsigned i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        const cJSON *stage = member(member(json, "latency_us"), stages[i]);
        assert_true(member(stage, "p50")->valuedouble <= member(stage, "p99")->valuedouble);
        assert_true(member(stage, "p999")->valuedouble <= member(stage, "max")->valuedouble);
    }
    assert_true(member(member(member(json, "latency_us"), "total"), "max")->valuedouble > 0);
    static const char *const names[] = { "adapter", "dispatcher", "conductor", "data-bus",
                                         "control-bus" };
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(member(member(json, "resident_bytes"), names[i])->valuedouble > 1e6);
        (void)member(member(json, "cpu_ms"), names[i]);
    }
    cJSON_Delete(json);
    command_free(&collecting[RIGHT]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_server_everyone_says_so_in_time),
        cmocka_unit_test(test_health_asks_a_page_and_ends_with_its_answer),
        cmocka_unit_test(test_tail_prints_so_many_json_lines_and_ends),
        cmocka_unit_test(test_tail_of_one_instrument_has_only_that),
        cmocka_unit_test(test_tail_of_an_unknown_instrument_says_so_and_waits),
        cmocka_unit_test(test_tail_without_a_terminal_is_a_plain_table),
        cmocka_unit_test(test_tail_shows_the_head_and_reads_it_again),
        cmocka_unit_test(test_a_recording_decodes_to_the_same_events_without_a_gap),
        cmocka_unit_test(test_decode_takes_one_message_and_refuses_garbage),
        cmocka_unit_test(test_replay_sends_every_byte_to_its_own_subjects),
        cmocka_unit_test(test_replay_takes_no_subject_of_ours_and_no_other_file),
        cmocka_unit_test(test_signals_end_tail_record_and_collect_in_order),
        cmocka_unit_test(test_wrong_options_get_the_usage),
        cmocka_unit_test(test_a_service_that_does_not_answer_is_a_failure),
        cmocka_unit_test(test_collect_from_the_start_reports_nothing_lost),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, set_up, tear_down));
}

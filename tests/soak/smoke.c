/*
 * ./dev smoke: the story of Meltica from end to end, on real processes, step by step. Ends with a
 * table of the steps and what each took; exit status 0 only if each held.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "soak_probe.h"
#include "verify.h"

#define SYMBOLS 5u
#define POLL_MS "4000"
#define POLL_NS (4 * MLT_NS_PER_S)
#define PATIENCE_S 30
#define POLL_TOLERANCE_NS (POLL_NS / 20)
#define SNAPSHOTS_MAX 64u
#define SUBSCRIBED 0u /* the symbol whose trades are asked for */
#define JOINED "SYM0002-USDT"

static struct mlt_stack stack;
static struct soak_watch watch;
static struct mlt_bus *client;
static volatile sig_atomic_t told;

/* What the consumer saw; under the watch's lock. */
static struct {
    bool ticker, ticker_whole;
    char ticker_text[96];
    int64_t ticker_ns; /* from its frame to here */
    /* Snapshots of the first symbol. The Conductor asks for some as well, when it begins: those
     * are polls that came one interval after another one. Whether a poll resets the book is no
     * mark of it: that depends on whether the deltas were faster. */
    unsigned snapshots;
    int64_t snapshot_ns[SNAPSHOTS_MAX], apart_ns;
    char function[32];
    size_t levels;
    uint64_t deltas;
} seen;

static void look_at_snapshot(const struct mlt_event *e)
{
    const int64_t at_ns = e->stamps.received;
    for (unsigned i = 0; i < seen.snapshots; i++) {
        const int64_t apart_ns = at_ns - seen.snapshot_ns[i];
        if (apart_ns > POLL_NS - POLL_TOLERANCE_NS && apart_ns < POLL_NS + POLL_TOLERANCE_NS) {
            seen.apart_ns = apart_ns;
            seen.levels = e->u.book_snapshot.bids.count;
            (void)snprintf(seen.function, sizeof seen.function, "%.*s",
                           MLT_SLICE_FMT(e->rest_function));
        }
    }
    seen.snapshot_ns[seen.snapshots++] = at_ns;
}

static void look(void *ctx, const struct mlt_event *e)
{
    (void)ctx;
    static const uint8_t none[MLT_TRACE_ID_BYTES];
    const struct mlt_stamps *s = &e->stamps;
    seen.deltas += e->type == MLT_EVENT_BOOK_DELTA;
    if (e->type == MLT_EVENT_TICKER && e->rest_function.len == 0 && !seen.ticker) {
        char price[MLT_DECIMAL_TEXT_BYTES_MAX];
        seen.ticker = true;
        seen.ticker_ns = mlt_clock_wall_ns() - s->received;
        seen.ticker_whole = s->received <= s->adapted && s->adapted <= s->dispatched &&
                            s->dispatched <= s->conducted && s->conducted <= s->published &&
                            mlt_decimal_compare(e->u.ticker.bid_price, e->u.ticker.ask_price) < 0 &&
                            mlt_slice_equal_string(e->exchange, "binance") && e->sequence > 0 &&
                            memcmp(e->trace_id, none, sizeof none) != 0;
        (void)mlt_decimal_format(e->u.ticker.last_price, price, sizeof price);
        (void)snprintf(seen.ticker_text, sizeof seen.ticker_text, "%.*s at %s",
                       MLT_SLICE_FMT(e->instrument), price);
    }
    if (e->type == MLT_EVENT_BOOK_SNAPSHOT && seen.apart_ns == 0 &&
        seen.snapshots < SNAPSHOTS_MAX && mlt_slice_equal_string(e->instrument, "SYM0001-USDT")) {
        look_at_snapshot(e);
    }
}

/* ---- waiting ---- */

static void on_signal(int number)
{
    (void)number;
    told = 1;
}

/* Until done (called under the watch's lock, after each event and at least each 100 ms). */
static bool wait_until(bool (*done)(void))
{
    const int64_t end_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    bool is_done;
    (void)pthread_mutex_lock(&watch.lock);
    while (!(is_done = done()) && told == 0 && mlt_clock_mono_ns() < end_ns) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&watch.changed, &watch.lock, &until);
    }
    (void)pthread_mutex_unlock(&watch.lock);
    return is_done;
}

static bool saw_ticker(void)
{
    return seen.ticker;
}

static bool saw_polls(void)
{
    return seen.apart_ns != 0;
}

static uint64_t trades_before, deltas_before, epoch_before;

static bool saw_trade(void)
{
    return watch.instruments[SUBSCRIBED].channels[MLT_EVENT_TRADE].events > trades_before;
}

static bool saw_deltas(void)
{
    return seen.deltas >= deltas_before + 100;
}

static bool all_live(void)
{
    bool all = true;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        all = all && watch.instruments[i].live &&
              watch.instruments[i].channels[MLT_EVENT_STATUS].epoch > epoch_before &&
              watch.instruments[i].channels[MLT_EVENT_BOOK_DELTA].epoch > epoch_before;
    }
    return all;
}

static void mark(void)
{
    (void)pthread_mutex_lock(&watch.lock);
    trades_before = watch.instruments[SUBSCRIBED].channels[MLT_EVENT_TRADE].events;
    deltas_before = seen.deltas;
    epoch_before = watch.instruments[0].channels[MLT_EVENT_BOOK_DELTA].epoch;
    (void)pthread_mutex_unlock(&watch.lock);
}

static bool nothing_lost(char *said, size_t size)
{
    (void)pthread_mutex_lock(&watch.lock);
    const uint64_t lost = soak_watch_lost(&watch.losses);
    (void)snprintf(said, size, "%" PRIu64 " events, %" PRIu64 " lost%s%s", watch.events, lost,
                   lost > 0 ? ": " : "", watch.losses.first);
    (void)pthread_mutex_unlock(&watch.lock);
    return lost == 0;
}

/* ---- requests ---- */

static cJSON *ask(const char *verb, const char *body)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[64];
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    mlt_buf_init(&bytes, 1u << 20);
    (void)!mlt_bus_request(client, subject, mlt_slice_of_string(body), 5 * MLT_NS_PER_S, &bytes,
                           &err);
    cJSON *json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    mlt_buf_fini(&bytes);
    return json;
}

static bool answered(const cJSON *json, const char *status, char *said, size_t size)
{
    const char *is = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "status"));
    char *text = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    (void)snprintf(said, size, "%s", text != NULL ? text : "no answer");
    cJSON_free(text);
    return is != NULL && strcmp(is, status) == 0;
}

/* ---- the story ---- */

static bool is_ready(const char *name)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 65536);
    const bool ready = mlt_stack_try_get(&stack, name, "/readyz", &body);
    mlt_buf_fini(&body);
    return ready;
}

static bool all_are_up(char *said, size_t size)
{
    const int64_t end_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    unsigned ready = 0;
    mlt_stack_run_services(&stack);
    while (ready < SOAK_SERVICES && told == 0 && mlt_clock_mono_ns() < end_ns) {
        ready += is_ready(soak_process_names[ready]);
    }
    (void)snprintf(said, size, "%u of %u services ready, NATS at %s", ready, SOAK_SERVICES,
                   stack.nats_url);
    return ready == SOAK_SERVICES;
}

static bool ticker_frame_becomes_an_event(char *said, size_t size)
{
    if (!wait_until(saw_ticker)) {
        (void)snprintf(said, size, "none came");
        return false;
    }
    (void)snprintf(said, size, "%s, %.1f ms after its frame, trace id and every stamp",
                   seen.ticker_text, (double)seen.ticker_ns / MLT_NS_PER_MS);
    return seen.ticker_whole;
}

static bool poll_becomes_a_snapshot(char *said, size_t size)
{
    const bool came = wait_until(saw_polls);
    if (!came) {
        (void)snprintf(said, size, "%u snapshots came, and no two of them %.1f s apart",
                       seen.snapshots, (double)POLL_NS / MLT_NS_PER_S);
        return false;
    }
    (void)snprintf(said, size, "function \"%s\", %zu levels a side, %.1f s after the poll before",
                   seen.function, seen.levels, (double)seen.apart_ns / MLT_NS_PER_S);
    return strcmp(seen.function, "depth") == 0 && seen.levels > 0;
}

static bool books_are_the_exchanges_own(char *said, size_t size)
{
    bool right = wait_until(all_live);
    int64_t id = 0;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        right = soak_compare_book(&stack, &watch, i, &id) == SOAK_RIGHT && right;
    }
    (void)snprintf(said, size,
                   "%u books LIVE and equal, level by level; the last at update id %" PRId64,
                   SYMBOLS, id);
    return right;
}

static bool trades_of_the_first(const char *verb, char *said, size_t size, double *took_ms)
{
    const int64_t begin_ns = mlt_clock_mono_ns();
    cJSON *answer = ask(verb, "{\"consumer\":\"smoke\",\"type\":\"TRADE\","
                              "\"instruments\":[\"SYM0001-USDT\"]}");
    *took_ms = (double)(mlt_clock_mono_ns() - begin_ns) / MLT_NS_PER_MS;
    const bool confirmed = answered(answer, "CONFIRMED", said, size);
    cJSON_Delete(answer);
    return confirmed;
}

static bool subscribe_while_data_flows(char *said, size_t size)
{
    mark();
    double took_ms = 0;
    soak_watch_asking(&watch, MLT_EVENT_TRADE, 1u << SUBSCRIBED);
    if (!trades_of_the_first("subscribe", said, size, &took_ms)) {
        return false;
    }
    soak_watch_in_force(&watch, MLT_EVENT_TRADE, 1u << SUBSCRIBED);
    const bool came = wait_until(saw_trade) && wait_until(saw_deltas);
    (void)pthread_mutex_lock(&watch.lock);
    const int64_t first_ns = watch.first_event.max_ns;
    (void)pthread_mutex_unlock(&watch.lock);
    (void)snprintf(said, size, "CONFIRMED in %.0f ms, first trade after %.0f ms, the rest goes on",
                   took_ms, (double)first_ns / MLT_NS_PER_MS);
    return came;
}

static bool unsubscribe_while_data_flows(char *said, size_t size)
{
    double took_ms = 0;
    soak_watch_ending(&watch, MLT_EVENT_TRADE, 1u << SUBSCRIBED);
    if (!trades_of_the_first("unsubscribe", said, size, &took_ms)) {
        return false;
    }
    soak_watch_ended(&watch, MLT_EVENT_TRADE, 1u << SUBSCRIBED, true);
    mark();
    const bool went_on = wait_until(saw_deltas);
    (void)pthread_mutex_lock(&watch.lock);
    const uint64_t late = watch.after_end;
    (void)pthread_mutex_unlock(&watch.lock);
    (void)snprintf(said, size, "CONFIRMED in %.0f ms, then %" PRIu64 " trades, the rest goes on",
                   took_ms, late);
    return went_on && late == 0;
}

static bool wrong_request_is_refused(char *said, size_t size)
{
    cJSON *answer = ask("subscribe", "{\"consumer\":\"smoke\",\"type\":\"TRADE\","
                                     "\"instruments\":[\"NOSUCH-USDT\"]}");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(answer, "code");
    const bool refused =
        answered(answer, "REJECTED", said, size) && cJSON_IsNumber(code) && code->valueint == 404;
    cJSON_Delete(answer);
    cJSON *list = ask("list", "{\"consumer\":\"smoke\"}");
    const int held = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(list, "subscriptions"));
    const bool listed = cJSON_HasObjectItem(list, "subscriptions");
    cJSON_Delete(list);
    return refused && listed && held == 0;
}

static bool join_late(char *said, size_t size)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_verify_result result;
    const struct mlt_verify_options options = {
        .bus = client, .instrument = JOINED, .duration_ns = 2 * MLT_NS_PER_S, .stop = -1
    };
    if (mlt_verify(&options, &result, &err) != MLT_OK) {
        (void)snprintf(said, size, "%s", err.text);
        return false;
    }
    (void)snprintf(said, size, "right book in %.0f ms, then %" PRIu64 " digests right%s%s",
                   (double)result.join_ns / MLT_NS_PER_MS,
                   result.counts.digests_right + result.counts.books_right,
                   result.right ? "" : ": ", result.reason);
    return result.right;
}

static bool kill_and_run(const char *name, bool (*back)(void), char *said, size_t size)
{
    mark();
    const int64_t begin_ns = mlt_clock_mono_ns();
    mlt_stack_kill(&stack, name);
    mlt_stack_run(&stack, name);
    const bool is_back = wait_until(back);
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    char lost[256];
    const bool whole = nothing_lost(lost, sizeof lost);
    (void)snprintf(said, size, "%s after %.0f ms; %s", is_back ? "all flows" : "not back",
                   (double)took_ns / MLT_NS_PER_MS, lost);
    return is_back && whole;
}

static bool kill_the_conductor(char *said, size_t size)
{
    return kill_and_run("conductor", all_live, said, size);
}

static bool kill_the_data_bus(char *said, size_t size)
{
    return kill_and_run("data-bus", saw_deltas, said, size);
}

static bool books_are_still_right(char *said, size_t size)
{
    epoch_before = 0;
    return books_are_the_exchanges_own(said, size) && join_late(said, size);
}

static bool account_for_everything(char *said, size_t size)
{
    uint64_t wrong = 0;
    const bool whole = nothing_lost(said, size);
    (void)pthread_mutex_lock(&watch.lock);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        const struct mlt_follow_counts *c = mlt_follow_get_counts(watch.instruments[i].follow);
        wrong += c->digests_wrong + c->books_wrong + c->crossed;
    }
    const size_t len = strlen(said);
    (void)snprintf(said + len, size - len,
                   "; %" PRIu64 " wrong digests, %" PRIu64 " without trace %s", wrong,
                   watch.untraced, watch.first_untraced);
    const bool traced = watch.untraced == 0, judged = watch.failure == MLT_OK;
    (void)pthread_mutex_unlock(&watch.lock);
    return whole && wrong == 0 && traced && judged;
}

static bool all_end_when_told(char *said, size_t size)
{
    bool good = true;
    said[0] = '\0';
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        const int status = mlt_stack_terminate(&stack, soak_process_names[i]);
        const size_t len = strlen(said);
        (void)snprintf(said + len, size - len, "%s%s %d",
                       i > 0 ? ", " : "exit status: ", soak_process_names[i], status);
        good = good && status == 0;
    }
    return good;
}

/* ---- the table ---- */

static struct step {
    const char *name;
    bool (*run)(char *said, size_t size);
    enum { NOT_RUN, HELD, FAILED } outcome;
    double seconds;
    char said[400];
} steps[] = {
    { .name = "everything is up", .run = all_are_up },
    { .name = "a ticker frame becomes an event", .run = ticker_frame_becomes_an_event },
    { .name = "a scheduled poll becomes a snapshot", .run = poll_becomes_a_snapshot },
    { .name = "the books are the exchange's", .run = books_are_the_exchanges_own },
    { .name = "subscribe while data flows", .run = subscribe_while_data_flows },
    { .name = "unsubscribe while data flows", .run = unsubscribe_while_data_flows },
    { .name = "a wrong request is refused", .run = wrong_request_is_refused },
    { .name = "somebody joins late", .run = join_late },
    { .name = "the Conductor is killed and back", .run = kill_the_conductor },
    { .name = "the Data Bus is killed and back", .run = kill_the_data_bus },
    { .name = "the books are still right", .run = books_are_still_right },
    { .name = "everything is accounted for", .run = account_for_everything },
    { .name = "all end when told", .run = all_end_when_told },
};
#define STEPS (sizeof steps / sizeof steps[0])

/* Also when something did not come up and the program ended there. */
static void print_table(void)
{
    static const char *const words[] = { "not run", "ok", "FAIL" };
    double total = 0;
    (void)printf("\n%-38s %-8s %8s\n", "step", "", "seconds");
    for (size_t i = 0; i < STEPS; i++) {
        (void)printf("%-38s %-8s %8.1f  %s\n", steps[i].name, words[steps[i].outcome],
                     steps[i].seconds, steps[i].said);
        total += steps[i].seconds;
    }
    (void)printf("%-38s %-8s %8.1f\n", "", "", total);
    (void)fflush(stdout);
}

static bool run_steps(void)
{
    bool good = true;
    for (size_t i = 0; i < STEPS && good && told == 0; i++) {
        const int64_t begin_ns = mlt_clock_mono_ns();
        steps[i].outcome = FAILED; /* unless it returns */
        (void)fprintf(stderr, "smoke: %s\n", steps[i].name);
        good = steps[i].run(steps[i].said, sizeof steps[i].said) && told == 0;
        steps[i].outcome = good ? HELD : FAILED;
        steps[i].seconds = (double)(mlt_clock_mono_ns() - begin_ns) / MLT_NS_PER_S;
    }
    return good;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        (void)fprintf(stderr, "usage: ./dev smoke (no options; docs/soak.md)\n");
        return 2;
    }
    char table_path[] = "/tmp/meltica-smoke-table.XXXXXX";
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0 && dprintf(fd, "%s", SOAK_TABLE(POLL_MS)) > 0 && close(fd) == 0);
    mlt_log_init("smoke", "", MLT_LOG_ERROR);
    mlt_stack_find_binaries();
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "5",
                                                             "--rate", "300", "--seed", "7" },
                                               .table = table_path };
    struct mlt_error err = MLT_ERROR_INIT;
    (void)atexit(print_table);
    mlt_stack_start(&stack, &options);
    watch.look = look;
    soak_watch_start(&watch, stack.nats_url, SYMBOLS);
    soak_watch_warm(&watch);
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = stack.nats_url,
                                         .name = "smoke" };
    assert_int_equal(mlt_bus_connect(&bus, &client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(client, 10 * MLT_NS_PER_S), MLT_OK);
    const bool good = run_steps();
    soak_watch_end(&watch);
    mlt_bus_destroy(client, 0);
    mlt_stack_stop(&stack);
    soak_watch_free(&watch);
    (void)unlink(table_path);
    return told != 0 ? 130 : good ? 0 : 1;
}

/* What `meltica top` knows and shows, read as its user would. */
#include "mlt_test.h"

#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "events.h"
#include "meltica/base/clock.h"
#include "stages.h"
#include "terminal.h"
#include "top_view.h"

#define NOW INT64_C(1700000000000000000)

static char picture[1 << 20];
static struct mlt_top *top;
static struct mlt_top_services services;

static int set_up(void **state)
{
    (void)state;
    memset(&services, 0, sizeof services);
    return mlt_top_create(&top) == MLT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_top_destroy(top);
    return 0;
}

static struct mlt_top_view view_of(unsigned columns, unsigned rows)
{
    return (struct mlt_top_view){ .columns = columns,
                                  .rows = rows,
                                  .key = MLT_TOP_BY_NAME,
                                  .url = "nats://here",
                                  .connected = true,
                                  .wall_ns = NOW + 3 * MLT_NS_PER_S,
                                  .since_ns = 65 * MLT_NS_PER_S };
}

static size_t draw(struct mlt_top_view view)
{
    struct mlt_buf out;
    size_t page = 0;
    mlt_buf_init(&out, sizeof picture - 1);
    assert_int_equal(mlt_top_draw(top, &services, &view, &out, &page), MLT_OK);
    memcpy(picture, out.data, out.len);
    picture[out.len] = '\0';
    mlt_buf_fini(&out);
    return page;
}

static cJSON *json_of(struct mlt_top_view view)
{
    struct mlt_buf out;
    mlt_buf_init(&out, sizeof picture - 1);
    assert_int_equal(mlt_top_json(top, &services, &view, &out), MLT_OK);
    cJSON *json = cJSON_ParseWithLength((const char *)out.data, out.len);
    mlt_buf_fini(&out);
    assert_non_null(json);
    return json;
}

static void expect(const char *part)
{
    if (strstr(picture, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, picture);
    }
}

/* Received a ms before it is taken at NOW, and 2 ms after the exchange made it. */
static struct mlt_event event_of(const char *token, enum mlt_event_type type, uint64_t sequence)
{
    struct mlt_event e = test_event(type, 1, sequence);
    e.instrument = mlt_slice_of_string(token);
    e.stamps.received = NOW - MLT_NS_PER_MS;
    e.stamps.exchange = NOW - 3 * MLT_NS_PER_MS;
    return e;
}

static void take(struct mlt_event event)
{
    assert_int_equal(mlt_top_event(top, &event, NOW), MLT_OK);
}

static void take_status(const char *token, enum mlt_status_kind kind, const char *reason,
                        uint64_t sequence)
{
    struct mlt_event e = event_of(token, MLT_EVENT_STATUS, sequence);
    e.u.status.kind = kind;
    e.u.status.reason = mlt_slice_of_string(reason);
    take(e);
}

static void take_delta(const char *token, uint64_t sequence, uint32_t digest_version)
{
    struct mlt_event e = event_of(token, MLT_EVENT_BOOK_DELTA, sequence);
    e.u.book_delta.digest_version = digest_version;
    take(e);
}

static const struct mlt_top_row *only_row(void)
{
    size_t count = 0;
    const struct mlt_top_row *const *rows = mlt_top_sorted(top, MLT_TOP_BY_NAME, &count);
    assert_int_equal(count, 1);
    return rows[0];
}

/* ---- what it knows ---- */

static void test_rate_and_lag_are_of_the_last_tick(void **state)
{
    (void)state;
    struct mlt_event e = event_of("A-B", MLT_EVENT_TRADE, 1);
    take(e);
    e.sequence = 2;
    e.stamps.received -= 9 * MLT_NS_PER_MS; /* 10 ms, of which a throttle added 4 */
    e.throttled_ns = 4 * MLT_NS_PER_MS;
    take(e);
    mlt_top_tick(top, MLT_NS_PER_S / 2);
    const struct mlt_top_row *row = only_row();
    assert_true(row->per_s > 3.99 && row->per_s < 4.01);
    assert_int_equal(row->lag_max_ns, 6 * MLT_NS_PER_MS);
    assert_int_equal(row->lag_mean_ns, 3500000);
    assert_true(row->has_age);
    assert_int_equal(row->age_mean_ns,
                     (2 + (2 - 9)) * MLT_NS_PER_MS / 2); /* negative: two clocks */
    mlt_top_tick(top, MLT_NS_PER_S);
    row = only_row();
    assert_true(row->per_s < 0.01);
    assert_false(row->has_lag); /* none came: not 0 */
    assert_int_equal(row->events, 2);
}

static void test_a_book_is_not_known_until_something_tells_its_state(void **state)
{
    (void)state;
    take(event_of("A-B", MLT_EVENT_TRADE, 1));
    assert_int_equal(only_row()->book, MLT_BOOK_STATE_NONE);
    take_delta("A-B", 1, 0);
    assert_int_equal(only_row()->book, MLT_BOOK_STATE_NONE);
    take_delta("A-B", 2, 1); /* with a digest: LIVE */
    assert_int_equal(only_row()->book, MLT_BOOK_LIVE);
    take_delta("A-B", 3, 0); /* it is no more, and what it is nobody said */
    assert_int_equal(only_row()->book, MLT_BOOK_STATE_NONE);
    take_status("A-B", MLT_STATUS_GAP, "sequence_gap", 1);
    take_delta("A-B", 4, 0);
    assert_int_equal(only_row()->book, MLT_BOOK_GAP);
    take_status("A-B", MLT_STATUS_SYNCING, "requested", 2);
    assert_int_equal(only_row()->book, MLT_BOOK_SYNCING);
    take_status("A-B", MLT_STATUS_LIVE, "joined", 3);
    take_status("A-B", MLT_STATUS_STALE, "silent", 4);
    assert_int_equal(only_row()->book, MLT_BOOK_STALE);
    take_status("A-B", MLT_STATUS_LIVE, "resumed", 5);
    assert_int_equal(only_row()->gaps, 1);
    assert_int_equal(only_row()->resyncs, 1); /* resumed is none */
    struct mlt_event book = event_of("A-B", MLT_EVENT_BOOK, 1);
    book.u.book.state = MLT_BOOK_IDLE;
    take(book);
    assert_int_equal(only_row()->book, MLT_BOOK_IDLE);
}

static void test_holes_losses_and_sources_are_counted(void **state)
{
    (void)state;
    take(event_of("A-B", MLT_EVENT_BBO, 100)); /* where it begins nothing is missing */
    take(event_of("A-B", MLT_EVENT_BBO, 104));
    take(event_of("A-B", MLT_EVENT_BBO, 103)); /* a repeat */
    assert_int_equal(only_row()->holes, 3);
    struct mlt_event heads = event_of("A-B", MLT_EVENT_STATUS, 0);
    heads.u.status.kind = MLT_STATUS_HEADS;
    heads.u.status.head_count = 2;
    heads.u.status.heads[0] = (struct mlt_head){ .type = MLT_EVENT_BBO, .sequence = 106 };
    heads.u.status.heads[1] = (struct mlt_head){ .type = MLT_EVENT_TRADE, .sequence = 9 };
    const uint64_t events = only_row()->events;
    take(heads);
    take(heads);
    assert_int_equal(only_row()->holes, 5); /* the last two; of TRADE nothing was ever here */
    assert_int_equal(only_row()->events, events);
    struct mlt_event next = event_of("A-B", MLT_EVENT_BBO, 1);
    next.epoch = 2;
    take(next);
    assert_int_equal(only_row()->holes, 5);
    take_status("A-B", MLT_STATUS_LOST, "upstream_lost", 0);
    assert_int_equal(only_row()->lost, 1);
    assert_int_equal(only_row()->source, MLT_TOP_SOURCE_UNKNOWN);
    take_status("A-B", MLT_STATUS_SOURCE_DOWN, "closed", 1);
    assert_int_equal(only_row()->source, MLT_TOP_SOURCE_DOWN);
    draw(view_of(80, 24));
    expect(" DOWN ");
    take_status("A-B", MLT_STATUS_SOURCE_UP, "subscribed", 2);
    assert_int_equal(only_row()->source, MLT_TOP_SOURCE_UP);
}

static void test_instruments_are_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MLT_TOP_INSTRUMENTS_MAX + 5; i++) {
        char token[32];
        (void)snprintf(token, sizeof token, "I%05u-USDT", i);
        take(event_of(token, MLT_EVENT_TRADE, 1));
    }
    struct mlt_top_totals totals;
    mlt_top_get_totals(top, &totals);
    assert_int_equal(totals.instruments, MLT_TOP_INSTRUMENTS_MAX);
    assert_int_equal(totals.left_out, 5);
    draw(view_of(80, 24));
    expect("NOT SEEN: 0 came too fast, 5 beyond 16384 instruments, 0 no events.");
}

static void test_each_key_puts_its_own_first(void **state)
{
    (void)state;
    static const struct {
        enum mlt_top_key key;
        const char *first;
    } cases[] = { { MLT_TOP_BY_NAME, "A" },  { MLT_TOP_BY_RATE, "B" }, { MLT_TOP_BY_LAG, "C" },
                  { MLT_TOP_BY_STALE, "D" }, { MLT_TOP_BY_GAPS, "E" }, { MLT_TOP_BY_RESYNCS, "F" },
                  { MLT_TOP_BY_STATE, "G" } };
    struct mlt_event old = event_of("D", MLT_EVENT_TRADE, 1);
    assert_int_equal(mlt_top_event(top, &old, NOW - 60 * MLT_NS_PER_S), MLT_OK);
    mlt_top_tick(top, MLT_NS_PER_S);
    take(event_of("B", MLT_EVENT_TRADE, 1));
    take(event_of("B", MLT_EVENT_TRADE, 2));
    take(event_of("B", MLT_EVENT_TRADE, 3));
    struct mlt_event late = event_of("C", MLT_EVENT_TRADE, 1);
    late.stamps.received -= MLT_NS_PER_S;
    take(late);
    take(event_of("E", MLT_EVENT_TRADE, 1));
    take(event_of("E", MLT_EVENT_TRADE, 9));
    take_status("F", MLT_STATUS_LIVE, "joined", 1);
    take_status("G", MLT_STATUS_SYNCING, "requested", 1);
    take(event_of("A", MLT_EVENT_TRADE, 1));
    mlt_top_tick(top, MLT_NS_PER_S);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum mlt_top_key key = MLT_TOP_KEY_COUNT;
        size_t count = 0;
        assert_true(mlt_top_key_of(mlt_top_key_word(cases[i].key), &key));
        assert_int_equal(key, cases[i].key);
        assert_string_equal(mlt_top_sorted(top, key, &count)[0]->token, cases[i].first);
        assert_int_equal(count, 7);
    }
    enum mlt_top_key none;
    assert_false(mlt_top_key_of("price", &none));
}

/* ---- what it shows ---- */

/* No line is wider, and there are no more, than the terminal has. */
static void check_fits(unsigned columns, unsigned rows)
{
    unsigned lines = 1, column = 0;
    for (const char *c = picture; *c != '\0'; c++) {
        if (*c == '\x1b') {
            c += strcspn(c, "mKJ");
        } else if (*c == '\n') {
            lines++;
            column = 0;
        } else if (*c != '\r') {
            assert_true((unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f);
            column++;
            assert_true(column <= columns);
        }
    }
    assert_true(lines <= rows);
}

#define STATS                                                                                      \
    "{\"name\":\"meltica-%s\",\"id\":\"ID%s\",\"version\":\"1.2.3\",\"metadata\":{\"instance\":"   \
    "\"%s-0\",\"partitions\":\"4\"},\"endpoints\":[{\"data\":{\"in\":%d,\"out\":\"%d\","           \
    "\"connections\":[{\"line\":3,\"state\":\"UP\",\"topics\":7,\"age_s\":61}],\"service\":{"      \
    "\"ready\":%s,\"missing\":\"%s\",\"uptime_ms\":90061000,\"time_ns\":\"1700000000500000000\","  \
    "\"nats\":{\"data\":{\"connected\":true,\"reconnects\":2},\"control\":{\"connected\":false,"   \
    "\"reconnects\":0}}}}}]}"

static void answer(const char *text)
{
    mlt_inside_take(&services.inside, mlt_slice_of_string(text), NOW, NOW + 2 * MLT_NS_PER_MS);
}

static void one_service(const char *name, const char *ready, const char *missing)
{
    char text[1024];
    (void)snprintf(text, sizeof text, STATS, name, name, name, 10, 20, ready, missing);
    services.asked = true;
    answer(text);
    services.flows[services.inside.count - 1] = (struct mlt_top_flow){ 12.5, -1 };
}

static void test_services_and_lines_are_shown_as_they_say(void **state)
{
    (void)state;
    one_service("data-bus", "true", "");
    one_service("dispatcher", "false", "control log \\u001b[2J not read");
    answer("{\"name\":\"meltica-control\",\"id\":\"X\",\"version\":\"1\"}");
    answer("{\"name\":\"foreign\",\"id\":\"X\",\"version\":\"1\"}");
    answer("no JSON");
    const struct mlt_inside *inside = &services.inside;
    assert_int_equal(inside->count, 3);
    assert_int_equal(inside->left_out, 1);
    assert_int_equal(inside->services[0].in, 10);
    assert_int_equal(inside->services[0].out, 20);
    assert_int_equal(inside->services[0].partitions, 4);
    assert_int_equal(inside->services[0].clock_ns, 499 * MLT_NS_PER_MS);
    assert_int_equal(inside->services[0].half_ns, MLT_NS_PER_MS);
    assert_false(inside->services[2].told);
    services.flows[2] = (struct mlt_top_flow){ -1, -1 };
    draw(view_of(80, 24));
    expect("data-bus-0           ready           12        - up/AWAY      1d01h 1.2.3\n");
    expect("dispatcher-0         NOT READY");
    expect("  lacks: control log ?[2J not read\n");
    expect("meltica-control      ?                -        - ?/?              ? 1\n");
    expect("nobody answers as: meltica-adapter meltica-conductor\n");
    expect("lines: data-bus-0#3 UP 7 topics 00:01:01  dispatcher-0#3 UP");
    check_fits(80, 24);
    cJSON *json = json_of(view_of(0, 0));
    const cJSON *list = cJSON_GetObjectItem(json, "services");
    assert_int_equal(cJSON_GetArraySize(list), 3);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "ready")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 2), "ready")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 2), "in_per_s")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "lines")), 2);
    cJSON_Delete(json);
}

static void test_what_nobody_told_is_said(void **state)
{
    (void)state;
    take(event_of("A-B", MLT_EVENT_TRADE, 1));
    mlt_top_tick(top, MLT_NS_PER_S);
    draw(view_of(80, 24));
    expect("services: asked, no answer yet");
    services.asked = true;
    (void)snprintf(services.trouble, sizeof services.trouble, "this user may not ask $SRV.STATS");
    draw(view_of(80, 24));
    expect("services: not known: this user may not ask $SRV.STATS");
    expect("1 not known; sources down: 0");
    expect("A-B                1.0    1.00    1.00    2.00 ?         3.0    0    0    0    0\n");
    expect("? not told, - none came; counts are since this began");
    cJSON *json = json_of(view_of(0, 0));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "services")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "lines")));
    const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "instruments"), 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "book")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(row, "source")));
    assert_true(cJSON_GetObjectItem(row, "lag_ms")->valuedouble > 0.99);
    cJSON_Delete(json);
    mlt_top_tick(top, MLT_NS_PER_S);
    draw(view_of(80, 24));
    expect("A-B                0.0       -       -       - ?");
}

static void test_it_fits_every_terminal_and_scrolls(void **state)
{
    (void)state;
    static const unsigned sizes[][2] = { { 80, 24 }, { 40, 10 }, { 20, 3 }, { 200, 60 }, { 1, 1 } };
    for (unsigned i = 0; i < 40; i++) {
        char token[96];
        (void)snprintf(token, sizeof token, "I%02u-A=E5=B8=81=E5=AE=89=E4=BA=BA=E7=94=9FUSDT", i);
        take(event_of(token, MLT_EVENT_TRADE, 1));
    }
    for (unsigned i = 0; i < 20; i++) {
        one_service(i % 2 == 0 ? "adapter" : "conductor", "false",
                    "what it lacks, and that is a "
                    "long story that goes on");
    }
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mlt_top_view view = view_of(sizes[i][0], sizes[i][1]);
        view.terminal = true;
        (void)draw(view);
        check_fits(sizes[i][0], sizes[i][1]);
    }
    memset(&services, 0, sizeof services);
    struct mlt_top_view view = view_of(80, 24);
    view.terminal = true;
    assert_int_equal(draw(view), 17);
    expect("1-17 of 40 by name");
    expect("I00-A=");
    view.skip = 23;
    (void)draw(view);
    expect("24-40 of 40 by name");
    expect("I39-A=");
    assert_null(strstr(picture, "I22-A="));
    /* Without a terminal there is no limit, and nothing but text. */
    (void)draw(view_of(0, 0));
    expect("I39-A=E5=B8=81=E5=AE=89=E4=BA=BA=E7=94=9FUSDT ");
    assert_null(strchr(picture, '\x1b'));
}

/* ---- what others say ---- */

static void test_stamps_that_lie_are_a_day_off_at_most(void **state)
{
    (void)state;
    const int64_t day = 86400 * MLT_NS_PER_S;
    struct mlt_event e = event_of("A-B", MLT_EVENT_TRADE, 1);
    for (unsigned i = 0; i < 200; i++) {
        e.stamps.received = INT64_MIN + 1;
        e.stamps.exchange = INT64_MAX - 1;
        e.throttled_ns = i % 2 == 0 ? 0 : UINT64_MAX;
        take(e);
        e.sequence++;
    }
    mlt_top_tick(top, MLT_NS_PER_S);
    const struct mlt_top_row *row = only_row();
    assert_int_equal(row->lag_max_ns, day);
    assert_int_equal(row->lag_mean_ns, day);
    assert_int_equal(row->age_mean_ns, -day);
    struct mlt_top_totals totals;
    mlt_top_get_totals(top, &totals);
    assert_int_equal(totals.lag_mean_ns, day);
    draw(view_of(80, 24));
    expect("     24h     24h    -24h ?"); /* in the columns that they have */
    expect("HOLE");
    check_fits(80, 24);
}

static void test_a_stage_before_1970_has_its_time(void **state)
{
    (void)state;
    struct mlt_event e = event_of("A-B", MLT_EVENT_TRADE, 1);
    struct mlt_stages stages;
    struct mlt_buf out;
    mlt_buf_init(&out, sizeof picture - 1);
    e.stamps.received = -1;
    e.stamps.exchange = INT64_MIN + 1;
    mlt_stages_of(&e, INT64_MAX - 1, &stages);
    assert_int_equal(mlt_stages_table(&stages, &out), MLT_OK);
    memcpy(picture, out.data, out.len);
    picture[out.len] = '\0';
    mlt_buf_fini(&out);
    expect("received    1969-12-31 23:59:59.999999 ");
    expect("exchange    1677-09-21 00:12:43.145224 ");
}

/* More than has room waits for nobody, and writes behind nothing. */
static void test_what_is_typed_too_fast_is_not_heard(void **state)
{
    (void)state;
    struct mlt_terminal terminal = { .entered = false };
    int ends[2];
    char typed[200];
    memset(typed, 'x', sizeof typed);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], typed, sizeof typed), sizeof typed);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    for (int i = 0; i < 3; i++) {
        assert_true(mlt_terminal_read(&terminal));
        assert_int_equal(terminal.pending_count, sizeof terminal.pending);
    }
    for (unsigned i = 0; i < sizeof terminal.pending; i++) {
        assert_int_equal(mlt_terminal_key(&terminal), 'x');
    }
    assert_int_equal(mlt_terminal_key(&terminal), MLT_KEY_NONE);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
#define TOP_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TOP_TEST(test_rate_and_lag_are_of_the_last_tick),
        TOP_TEST(test_a_book_is_not_known_until_something_tells_its_state),
        TOP_TEST(test_holes_losses_and_sources_are_counted),
        TOP_TEST(test_instruments_are_bounded),
        TOP_TEST(test_each_key_puts_its_own_first),
        TOP_TEST(test_services_and_lines_are_shown_as_they_say),
        TOP_TEST(test_what_nobody_told_is_said),
        TOP_TEST(test_it_fits_every_terminal_and_scrolls),
        TOP_TEST(test_stamps_that_lie_are_a_day_off_at_most),
        TOP_TEST(test_a_stage_before_1970_has_its_time),
        TOP_TEST(test_what_is_typed_too_fast_is_not_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

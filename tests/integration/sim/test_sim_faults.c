/* The script of faults: what it does to frames, to snapshots and to lines, and what it says of it.
 */
#include "sim_test.h"

#include "faults.h"
#include "meltica/base/clock.h"

#define FRAMES 400u

struct outcome {
    unsigned sent; /* numbers of the frames that left, in order */
    uint64_t numbers[4 * FRAMES];
    unsigned dropped, closed, killed, replaced, shorter;
};

static struct sim_faults_options options_of(const char *spec, unsigned frame_rate)
{
    struct sim_faults_options options = { .seed = 5,
                                          .frame_rate = frame_rate,
                                          .flow_rate = frame_rate };
    assert_true(sim_faults_parse(spec, options.weights));
    return options;
}

static uint64_t number_in(const char *text, size_t len)
{
    static const char word[] = "\"u\":";
    const char *at = memmem(text, len, word, sizeof word - 1);
    assert_non_null(at);
    return strtoull(at + sizeof word - 1, NULL, 10);
}

/* What stands in `data` of frame n; of trades, too, its number is read as u. */
static int inner_of(enum sim_fault_stream which, uint64_t n, char *out, size_t size)
{
    const unsigned long long id = n;
    switch (which) {
    case SIM_FAULT_TRADE:
        return snprintf(out, size, "{\"t\":%llu,\"T\":7,\"u\":%llu}", id, id);
    case SIM_FAULT_AGG_TRADE:
        return snprintf(out, size, "{\"a\":%llu,\"f\":7,\"l\":9,\"u\":%llu}", id, id);
    case SIM_FAULT_BOOK_TICKER:
        return snprintf(out, size, "{\"B\":\"%llu\",\"u\":%llu}", id, id);
    default:
        return snprintf(out, size, "{\"U\":%llu,\"u\":%llu,\"b\":[],\"a\":[]}", id, id);
    }
}

static void note_pieces(struct outcome *o, const struct mlt_buf *out)
{
    uint32_t len = 0;
    for (size_t at = 0; at < out->len; at += sizeof len + len) {
        memcpy(&len, out->data + at, sizeof len);
        assert_true(at + sizeof len + len <= out->len);
        o->numbers[o->sent++] = number_in((const char *)out->data + at + sizeof len, len);
    }
}

/* It is no JSON any more. */
static void note_replaced(struct mlt_slice payload, struct mlt_slice out, struct outcome *o)
{
    char text[256];
    assert_true(out.len > 0 && out.len < sizeof text);
    (void)snprintf(text, sizeof text, "%.*s", MLT_SLICE_FMT(out));
    assert_null(cJSON_Parse(text));
    o->shorter += out.len < payload.len;
    o->replaced++;
}

/* Frame n of a stream on a line, in the combined shape. */
static void send(struct sim_faults *faults, const char *stream, uint64_t line, uint64_t n,
                 struct outcome *o)
{
    char text[160], inner[96];
    struct mlt_buf out;
    const char *at = strchr(stream, '@');
    assert_non_null(at);
    (void)inner_of(sim_fault_stream_of(mlt_slice_of_string(at + 1)), n, inner, sizeof inner);
    const int len = snprintf(text, sizeof text, "{\"stream\":\"%s\",\"data\":%s}", stream, inner);
    const struct sim_outgoing frame = { mlt_slice_of_string(stream),
                                        mlt_slice_of(text, (size_t)len), line, n };
    mlt_buf_init(&out, 1u << 20);
    switch (faults->filter.frame(faults->filter.ctx, &frame, &out)) {
    case SIM_PASS:
        o->numbers[o->sent++] = n;
        break;
    case SIM_PIECES:
        note_pieces(o, &out);
        break;
    case SIM_REPLACE:
        note_replaced(frame.payload, mlt_buf_view(&out), o);
        break;
    case SIM_DROP:
        o->dropped++;
        break;
    case SIM_CLOSE:
        o->closed++;
        break;
    case SIM_KILL:
        o->killed++;
        break;
    default:
        fail();
    }
    mlt_buf_fini(&out);
}

static void run_stream(const char *spec, const char *stream, unsigned rate,
                       struct sim_faults *faults, struct outcome *o)
{
    const struct sim_faults_options options = options_of(spec, rate);
    memset(o, 0, sizeof *o);
    sim_faults_init(faults, &options);
    for (uint64_t n = 1; n <= FRAMES; n++) {
        send(faults, stream, 1, n, o);
    }
}

static void run(const char *spec, unsigned rate, struct sim_faults *faults, struct outcome *o)
{
    run_stream(spec, "sym0001usdt@depth@100ms", rate, faults, o);
}

/* A kind "drop" of that stream: "drop", "drop@trade". */
static const char *kind_at(const char *kind, const char *at)
{
    static char spec[64];
    (void)snprintf(spec, sizeof spec, "%s%s", kind, at);
    return spec;
}

/* at: what a script names the stream by. */
static void expect_each_kind(const char *stream, const char *at, enum sim_fault_stream which)
{
    struct sim_faults faults;
    struct outcome o;
    run_stream(kind_at("drop", at), stream, 1000000, &faults, &o);
    assert_int_equal(o.dropped, FRAMES);
    assert_int_equal(faults.count, FRAMES);
    assert_int_equal(faults.entries[9].first, 10);
    assert_int_equal(faults.entries[9].last, 10);
    assert_int_equal(faults.entries[9].bytes, 0);
    assert_int_equal(faults.entries[9].stream, which);
    assert_string_equal(faults.entries[9].symbol, "SYM0001USDT");
    sim_faults_fini(&faults);

    run_stream(kind_at("duplicate", at), stream, 1000000, &faults, &o);
    assert_int_equal(o.sent, 2 * FRAMES);
    for (unsigned i = 0; i < o.sent; i++) {
        assert_int_equal(o.numbers[i], i / 2 + 1);
    }
    sim_faults_fini(&faults);

    /* A delay keeps all and their order; only what still waits at the end is missing. */
    run_stream(kind_at("delay", at), stream, 200000, &faults, &o);
    assert_true(faults.count > 10 && o.sent + 21 >= FRAMES);
    for (unsigned i = 0; i < o.sent; i++) {
        assert_int_equal(o.numbers[i], i + 1);
    }
    sim_faults_fini(&faults);

    /* A reordering keeps all, and each one logged came behind as many as it says. */
    run_stream(kind_at("reorder", at), stream, 200000, &faults, &o);
    assert_true(faults.count > 10 && o.sent + 1 >= FRAMES);
    for (size_t i = 0; i + 1 < faults.count; i++) {
        const struct sim_fault_entry *e = &faults.entries[i];
        assert_int_equal(o.numbers[(uint64_t)e->last - 1 + e->extent], e->last);
        assert_true(e->extent >= 1 && e->extent <= 4);
    }
    sim_faults_fini(&faults);

    run_stream(kind_at("shorten", at), stream, 1000000, &faults, &o);
    assert_int_equal(o.replaced, FRAMES);
    assert_int_equal(o.shorter, FRAMES);
    assert_true(faults.entries[9].bytes > 0 && faults.entries[9].extent > 0);
    assert_int_equal(faults.entries[9].bytes + faults.entries[9].extent,
                     strlen("{\"stream\":\"\",\"data\":}") + strlen(stream) +
                         (size_t)inner_of(which, 10, NULL, 0));
    sim_faults_fini(&faults);

    run_stream(kind_at("corrupt", at), stream, 1000000, &faults, &o);
    assert_int_equal(o.replaced, FRAMES);
    assert_int_equal(o.shorter, 0);
    sim_faults_fini(&faults);

    run_stream(kind_at("cut", at), stream, 1000000, &faults, &o);
    assert_true(o.closed > FRAMES / 3 && o.killed > FRAMES / 3);
    sim_faults_fini(&faults);
}

static void test_each_kind_does_to_frames_what_it_says(void **state)
{
    (void)state;
    expect_each_kind("sym0001usdt@depth@100ms", "", SIM_FAULT_DEPTH);
    expect_each_kind("sym0001usdt@depth", "@depth", SIM_FAULT_DEPTH);
    expect_each_kind("sym0001usdt@trade", "@trade", SIM_FAULT_TRADE);
    expect_each_kind("sym0001usdt@aggTrade", "@bookTicker/aggTrade", SIM_FAULT_AGG_TRADE);
    expect_each_kind("sym0001usdt@bookTicker", "@bookTicker/aggTrade", SIM_FAULT_BOOK_TICKER);
}

/* Lists of before streams could be named make what they made then. */
static void test_a_list_without_streams_is_of_depth_and_what_it_was(void **state)
{
    (void)state;
    struct sim_faults faults;
    struct outcome o;
    static const char *const others[] = { "sym0001usdt@trade", "sym0001usdt@aggTrade",
                                          "sym0001usdt@bookTicker" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        run_stream("all", others[i], 1000000, &faults, &o);
        assert_int_equal(o.sent, FRAMES);
        assert_int_equal(faults.count, 0);
        sim_faults_fini(&faults);
    }
    static const struct {
        enum sim_fault kind;
        int64_t last;
        uint64_t extent;
    } was[] = {
        { SIM_FAULT_DELAY, 4, 14 },    { SIM_FAULT_DUPLICATE, 31, 0 },
        { SIM_FAULT_SHORTEN, 50, 32 }, { SIM_FAULT_DUPLICATE, 72, 0 },
        { SIM_FAULT_DROP, 76, 0 },     { SIM_FAULT_REORDER, 88, 4 },
        { SIM_FAULT_DROP, 95, 0 },     { SIM_FAULT_SHORTEN, 98, 12 },
        { SIM_FAULT_REORDER, 111, 3 }, { SIM_FAULT_DROP, 118, 0 },
        { SIM_FAULT_CUT, 132, 0 },     { SIM_FAULT_DUPLICATE, 134, 0 },
    };
    run("all", 100000, &faults, &o);
    assert_int_equal(faults.count, 31);
    for (size_t i = 0; i < sizeof was / sizeof was[0]; i++) {
        assert_int_equal(faults.entries[i].kind, was[i].kind);
        assert_int_equal(faults.entries[i].last, was[i].last);
        assert_int_equal(faults.entries[i].extent, was[i].extent);
    }
    sim_faults_fini(&faults);
}

/* Each stream has its rate, its kinds, and what waits of it; those of another one are not touched.
 */
static void test_streams_of_a_symbol_do_not_mix(void **state)
{
    (void)state;
    struct sim_faults faults;
    struct outcome o = { 0 };
    struct sim_faults_options options = options_of("drop,delay@trade,drop@bookTicker:0", 0);
    options.flow_rate = 1000000;
    sim_faults_init(&faults, &options);
    send(&faults, "sym0001usdt@trade", 1, 1, &o);
    assert_int_equal(o.sent, 0); /* waits, */
    send(&faults, "sym0001usdt@aggTrade", 1, 2, &o);
    send(&faults, "sym0001usdt@bookTicker", 1, 3, &o);
    send(&faults, "sym0001usdt@depth", 1, 4, &o); /* at depth's rate, none */
    send(&faults, "sym0002usdt@aggTrade", 1, 5, &o);
    assert_int_equal(o.sent, 4);
    assert_int_equal(faults.count, 1);
    const uint64_t wait = faults.entries[0].extent;
    for (uint64_t n = 0; n < wait; n++) {
        assert_int_equal(o.sent, 4);
        send(&faults, "sym0001usdt@trade", 1, 6 + n, &o);
    }
    assert_int_equal(o.sent, 4 + 1 + wait); /* and comes, with all behind it */
    assert_int_equal(o.numbers[4], 1);
    sim_faults_fini(&faults);

    /* Another seed of their own: not the same frames of both. */
    struct sim_faults trades, quotes;
    struct outcome of_trades, of_quotes;
    run_stream("all@trade", "sym0001usdt@trade", 100000, &trades, &of_trades);
    run_stream("all@bookTicker", "sym0001usdt@bookTicker", 100000, &quotes, &of_quotes);
    assert_true(trades.count > 20 && quotes.count > 20);
    size_t same = 0;
    for (size_t i = 0; i < trades.count; i++) {
        for (size_t k = 0; k < quotes.count; k++) {
            same += trades.entries[i].last == quotes.entries[k].last;
        }
    }
    assert_true(same < trades.count / 2);
    sim_faults_fini(&trades);
    sim_faults_fini(&quotes);
}

/* One quantity, and nothing else. */
static void test_a_falsified_frame_has_another_quantity_and_is_right_otherwise(void **state)
{
    (void)state;
    static const char stream[] = "sym0001usdt@depth";
    static const char text[] =
        "{\"stream\":\"sym0001usdt@depth\",\"data\":{\"U\":3,\"u\":4,\"b\":[[\"7.10\",\"0.0\"],"
        "[\"7.00\",\"0.091\"]],\"a\":[[\"8.00\",\"2.5\"],[\"9.00\",\"0\"]]}}";
    const char *const quantities[] = { strstr(text, "91\"]"), strstr(text, "2.5") };
    const struct sim_faults_options options = options_of("falsify", 1000000);
    struct sim_faults faults;
    struct mlt_buf out;
    unsigned met[2] = { 0, 0 };
    sim_faults_init(&faults, &options);
    mlt_buf_init(&out, 4096);
    for (uint64_t n = 1; n <= FRAMES; n++) {
        const struct sim_outgoing frame = { mlt_slice_of_string(stream), mlt_slice_of_string(text),
                                            1, n };
        mlt_buf_clear(&out);
        assert_int_equal(faults.filter.frame(faults.filter.ctx, &frame, &out), SIM_REPLACE);
        assert_int_equal(out.len, sizeof text - 1);
        const unsigned side = out.data[quantities[0] - text] != '9' ? 0 : 1;
        const size_t at = (size_t)(quantities[side] - text);
        assert_int_equal(out.data[at], side == 0 ? '1' : '3');
        assert_memory_equal(out.data, text, at);
        assert_memory_equal(out.data + at + 1, text + at + 1, out.len - at - 1);
        met[side]++;
    }
    assert_true(met[0] > FRAMES / 3 && met[1] > FRAMES / 3);
    assert_int_equal(faults.count, FRAMES);
    assert_int_equal(faults.entries[0].kind, SIM_FAULT_FALSIFY);
    assert_int_equal(faults.entries[0].first, 3);
    mlt_buf_fini(&out);
    sim_faults_fini(&faults);

    /* Where there is no quantity there is no lie, and none is logged. */
    struct outcome o;
    run("falsify", 1000000, &faults, &o);
    assert_int_equal(o.sent, FRAMES);
    assert_int_equal(faults.count, 0);
    sim_faults_fini(&faults);
}

static void test_what_is_not_depth_passes_and_lines_do_not_mix(void **state)
{
    (void)state;
    struct sim_faults faults;
    struct outcome o = { 0 };
    const struct sim_faults_options options = options_of("delay", 1000000);
    sim_faults_init(&faults, &options);
    send(&faults, "sym0001usdt@trade", 1, 1, &o);
    send(&faults, "sym0001usdt@depth5@100ms", 1, 2, &o);
    assert_int_equal(o.sent, 2);
    send(&faults, "sym0001usdt@depth", 1, 3, &o);
    assert_int_equal(o.sent, 2); /* waits */
    send(&faults, "sym0001usdt@depth", 2, 4, &o);
    assert_int_equal(o.sent, 3); /* on another line */
    faults.filter.closed(faults.filter.ctx, 1);
    const size_t before = faults.count;
    send(&faults, "sym0001usdt@depth", 2, 5, &o);
    assert_int_equal(faults.count, before + 1); /* nothing waits any longer: a delay of its own */
    sim_faults_fini(&faults);
}

static void test_the_same_seed_makes_the_same_faults_and_the_count_ends_them(void **state)
{
    (void)state;
    struct sim_faults a, b;
    struct outcome o;
    run("all", 100000, &a, &o);
    run("all", 100000, &b, &o);
    assert_true(a.count > 20);
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++) {
        assert_int_equal(a.entries[i].kind, b.entries[i].kind);
        assert_int_equal(a.entries[i].last, b.entries[i].last);
        assert_int_equal(a.entries[i].extent, b.entries[i].extent);
    }
    const unsigned fifth = (unsigned)a.entries[4].last;
    sim_faults_fini(&a);
    sim_faults_fini(&b);

    struct sim_faults_options options = options_of("all", 100000);
    options.count_max = 5;
    sim_faults_init(&a, &options);
    memset(&o, 0, sizeof o);
    for (uint64_t n = 1; n <= FRAMES; n++) {
        send(&a, "sym0001usdt@depth", 1, n, &o);
    }
    assert_int_equal(a.count, 5);
    assert_int_equal(a.entries[4].last, fifth);
    sim_faults_fini(&a);
}

static void test_lists_of_faults(void **state)
{
    (void)state;
    unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT];
    assert_true(sim_faults_parse("drop:7,busy", weights));
    assert_int_equal(weights[SIM_FAULT_DEPTH][SIM_FAULT_DROP], 7);
    assert_int_equal(weights[SIM_FAULT_DEPTH][SIM_FAULT_BUSY], 1);
    assert_int_equal(weights[SIM_FAULT_DEPTH][SIM_FAULT_CUT], 0);
    for (unsigned s = SIM_FAULT_TRADE; s < SIM_FAULT_STREAMS; s++) {
        assert_int_equal(weights[s][SIM_FAULT_DROP], 0);
    }
    assert_true(sim_faults_parse("drop@trade/depth:4,cut@bookTicker,drop@trade:5", weights));
    assert_int_equal(weights[SIM_FAULT_DEPTH][SIM_FAULT_DROP], 4);
    assert_int_equal(weights[SIM_FAULT_TRADE][SIM_FAULT_DROP], 5);
    assert_int_equal(weights[SIM_FAULT_AGG_TRADE][SIM_FAULT_DROP], 0);
    assert_int_equal(weights[SIM_FAULT_BOOK_TICKER][SIM_FAULT_CUT], 1);
    /* Of all kinds it is the one that nobody who follows the stream can see. */
    assert_true(sim_faults_parse("all", weights));
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        assert_int_equal(weights[SIM_FAULT_DEPTH][i] == 0, i == SIM_FAULT_FALSIFY);
        assert_int_equal(weights[SIM_FAULT_TRADE][i], 0);
    }
    /* And a line that ends is not of one stream alone. */
    assert_true(sim_faults_parse("busy,all@trade/aggTrade", weights));
    for (unsigned i = 0; i < SIM_FAULT_COUNT; i++) {
        assert_int_equal(weights[SIM_FAULT_DEPTH][i], i == SIM_FAULT_BUSY ? 1 : 0);
        assert_int_equal(weights[SIM_FAULT_AGG_TRADE][i] != 0,
                         i < SIM_FAULT_FRAME_KINDS && i != SIM_FAULT_FALSIFY && i != SIM_FAULT_CUT);
        assert_int_equal(weights[SIM_FAULT_BOOK_TICKER][i], 0);
    }
    static const char *const wrong[] = {
        "dro",         "drops",         "drop:",         "drop:x",      "drop,",
        "drop cut",    "drop:99999",    "drop@",         "drop@ticker", "drop@trade/",
        "drop@/trade", "falsify@trade", "busy@aggTrade", "all:3",       "@trade"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sim_faults_parse(wrong[i], weights));
    }
}

static const char *const depth_target = "/api/v3/depth?symbol=SYM0001USDT&limit=50";

/* A market that has run to its end, each snapshot befallen. */
static void start_with(struct sim_process *sim, const char *spec)
{
    const char *const arguments[] = { "--synthetic", "--symbols",
                                      "1",           "--rate",
                                      "3000",        "--seconds",
                                      "5",           "--speed",
                                      "max",         "--faults",
                                      spec,          "--fault-rate",
                                      "0",           "--fault-snapshot-rate",
                                      "1000",        NULL };
    struct raw_ws ws;
    start(sim, arguments);
    open_line(&ws, sim, "/ws/sym0001usdt@miniTicker");
    cJSON_Delete(get_json(sim->port, "/sim/start", 200));
    for (bool finished = false; !finished;) {
        cJSON *status = get_json(sim->port, "/sim/status", 200);
        finished = cJSON_IsTrue(member(status, "finished"));
        cJSON_Delete(status);
    }
    raw_ws_close(&ws);
}

/* The one fault so far, by its page. */
static void expect_logged(const struct sim_process *sim, const char *kind)
{
    cJSON *page = get_json(sim->port, "/sim/faults?from=0&limit=1", 200);
    assert_int_equal(number_of(member(page, "by_kind"), kind), number_of(page, "total"));
    const cJSON *fault = cJSON_GetArrayItem(member(page, "faults"), 0);
    assert_non_null(fault);
    assert_string_equal(text_of(fault, "kind"), kind);
    assert_string_equal(text_of(fault, "symbol"), "SYM0001USDT");
    const int64_t age = mlt_clock_wall_ns() - strtoll(text_of(fault, "time"), NULL, 10);
    assert_true(age >= 0 && age < 60 * MLT_NS_PER_S);
    cJSON_Delete(page);
}

static void test_snapshots_fail_and_say_when_to_come_again(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_response response;
    char after[16];
    start_with(&sim, "fail");
    raw_http_get(sim.port, NULL, depth_target, NULL, &response);
    assert_int_equal(response.status, 500);
    raw_response_fini(&response);
    expect_logged(&sim, "fail");
    stop(&sim);

    start_with(&sim, "busy");
    raw_http_get(sim.port, NULL, depth_target, NULL, &response);
    assert_int_equal(response.status, 429);
    raw_response_header(&response, "retry-after", after, sizeof after);
    assert_true(strcmp(after, "1") == 0 || strcmp(after, "2") == 0);
    raw_response_fini(&response);
    expect_logged(&sim, "busy");
    /* The script ends when it is told so. */
    cJSON_Delete(get_json(sim.port, "/sim/faults-end", 200));
    raw_http_get(sim.port, NULL, depth_target, NULL, &response);
    assert_int_equal(response.status, 200);
    cJSON *book = cJSON_Parse(response.body), *heads = get_json(sim.port, "/sim/heads", 200);
    assert_int_equal(number_of(member(heads, "SYM0001USDT"), "depth"),
                     number_of(book, "lastUpdateId"));
    assert_true(number_of(member(heads, "SYM0001USDT"), "trade") > 0);
    cJSON_Delete(book);
    cJSON_Delete(heads);
    raw_response_fini(&response);
    /* Not by weight: that is counted for itself. */
    cJSON *status = get_json(sim.port, "/sim/status", 200);
    assert_int_equal(number_of(status, "rest_refused"), 0);
    assert_int_equal(number_of(status, "rest_weight_peak"), 10);
    cJSON_Delete(status);
    stop(&sim);
}

static void test_snapshots_are_stale_slow_or_cut_short(void **state)
{
    (void)state;
    struct sim_process sim;
    start_with(&sim, "stale");
    cJSON *truth = get_json(sim.port, "/sim/book?symbol=SYM0001USDT&limit=50", 200);
    cJSON *stale = get_json(sim.port, depth_target, 200);
    const int64_t id = number_of(stale, "lastUpdateId");
    assert_true(id < number_of(truth, "lastUpdateId"));
    cJSON_Delete(truth);
    char target[128];
    (void)snprintf(target, sizeof target, "/sim/books?symbol=SYM0001USDT&limit=50&ids=%lld,1,%lld",
                   (long long)id, (long long)id);
    truth = get_json(sim.port, target, 200); /* old, and right of its time */
    assert_int_equal(cJSON_GetArraySize(truth), 3);
    assert_true(cJSON_IsNull(cJSON_GetArrayItem(truth, 1)));
    assert_true(cJSON_IsTrue(member(cJSON_GetArrayItem(truth, 2), "exact")));
    assert_true(
        cJSON_Compare(member(cJSON_GetArrayItem(truth, 0), "bids"), member(stale, "bids"), true));
    cJSON_Delete(truth);
    cJSON_Delete(stale);
    expect_logged(&sim, "stale");
    stop(&sim);

    start_with(&sim, "slow");
    const int64_t before = mlt_clock_mono_ns();
    cJSON_Delete(get_json(sim.port, depth_target, 200));
    assert_true(mlt_clock_mono_ns() - before >= 200 * MLT_NS_PER_MS);
    expect_logged(&sim, "slow");
    stop(&sim);

    start_with(&sim, "truncate");
    unsigned short_text = 0, hung_up = 0;
    for (unsigned i = 0; i < 16; i++) {
        struct raw_response response;
        raw_http_get(sim.port, NULL, depth_target, NULL, &response);
        hung_up += response.status == -1; /* fewer bytes than were announced */
        if (response.status == 200) {
            cJSON *json = cJSON_Parse(response.body);
            assert_null(json);
            short_text++;
        }
        raw_response_fini(&response);
    }
    assert_true(short_text > 0 && hung_up > 0);
    assert_int_equal(short_text + hung_up, 16);
    expect_logged(&sim, "truncate");
    stop(&sim);
}

static void test_a_line_is_cut_and_its_successor_goes_on(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", "--symbols",
                                      "1",           "--rate",
                                      "200",         "--faults",
                                      "cut",         "--fault-rate",
                                      "1000000",     "--fault-count",
                                      "8",           "--start-subscriptions",
                                      "1",           NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    start(&sim, arguments);
    unsigned closed = 0, gone = 0;
    for (unsigned i = 0; i < 8; i++) {
        open_line(&ws, &sim, "/ws/sym0001usdt@depth@100ms");
        const enum raw_result result = raw_ws_receive(&ws, WAIT_MS, &frame);
        gone += result == RAW_GONE;
        closed += result == RAW_FRAME && frame.opcode == RAW_CLOSE;
        raw_ws_close(&ws);
    }
    assert_int_equal(closed + gone, 8);
    assert_true(closed > 0 && gone > 0);
    open_line(&ws, &sim, "/ws/sym0001usdt@depth@100ms");
    (void)expect_frame(&ws, RAW_TEXT); /* the script is at its end */
    cJSON *page = get_json(sim.port, "/sim/faults?from=3&limit=2", 200);
    assert_int_equal(number_of(page, "total"), 8);
    assert_true(cJSON_IsTrue(member(page, "ended")));
    assert_int_equal(cJSON_GetArraySize(member(page, "faults")), 2);
    assert_int_equal(number_of(cJSON_GetArrayItem(member(page, "faults"), 0), "number"), 3);
    assert_int_equal(number_of(cJSON_GetArrayItem(member(page, "faults"), 0), "line"), 4);
    cJSON_Delete(page);
    raw_ws_close(&ws);
    stop(&sim);
}

/* A script of so many does all of them, whatever answers are told to be meanwhile. */
static void test_faults_that_are_told_are_not_the_scripts(void **state)
{
    (void)state;
    struct sim_faults faults;
    struct outcome o = { 0 };
    struct sim_faults_options options = options_of("drop", 1000000);
    const struct sim_fault_entry told = { .kind = SIM_FAULT_FAIL, .told = true };
    sim_faults_init(&faults, &options);
    sim_faults_log(&faults, &told);
    options.count_max = 2;
    sim_faults_change(&faults, &options);
    for (uint64_t n = 1; n <= 3; n++) {
        send(&faults, "sym0001usdt@depth@100ms", 1, n, &o);
        sim_faults_log(&faults, &told);
    }
    assert_int_equal(o.dropped, 2);
    assert_int_equal(faults.count, 6);
    assert_int_equal(faults.by_kind[SIM_FAULT_DROP], 2);
    sim_faults_change(&faults, &options);
    send(&faults, "sym0001usdt@depth@100ms", 1, 4, &o);
    assert_int_equal(o.dropped, 3);
    sim_faults_fini(&faults);
}

/* Told while it runs, also where there was no script: trades are dropped, and quotes come. */
static void test_a_script_that_is_told_names_streams(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic",           "--symbols", "1", "--rate", "500",
                                      "--start-subscriptions", "2",         NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    start(&sim, arguments);
    cJSON_Delete(get_json(
        sim.port, "/sim/script?faults=drop@trade/aggTrade&flow-rate=1000000&rate=1000000&count=5",
        200));
    cJSON_Delete(get_json(sim.port, "/sim/script?faults=busy@trade", 400));
    cJSON_Delete(get_json(sim.port, "/sim/script?faults=drop@trade&flow-rate=1000001", 400));
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@trade/sym0001usdt@bookTicker");
    int64_t trade = 0;
    bool quoted = false;
    while (trade == 0) {
        assert_int_equal(raw_ws_receive(&ws, WAIT_MS, &frame), RAW_FRAME);
        cJSON *json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
        const bool quote = strcmp(text_of(json, "stream"), "sym0001usdt@bookTicker") == 0;
        quoted = quoted || quote;
        trade = quote ? 0 : number_of(member(json, "data"), "t");
        cJSON_Delete(json);
    }
    assert_true(quoted);
    cJSON *page = get_json(sim.port, "/sim/faults", 200);
    assert_int_equal(number_of(page, "total"), 5);
    const cJSON *fault;
    int64_t id = trade - 5;
    cJSON_ArrayForEach(fault, member(page, "faults"))
    {
        assert_string_equal(text_of(fault, "stream"), "trade");
        assert_int_equal(number_of(fault, "first"), id);
        assert_int_equal(number_of(fault, "last"), id++);
        assert_int_equal(number_of(fault, "bytes"), 0);
    }
    cJSON_Delete(page);
    raw_ws_close(&ws);
    stop(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_kind_does_to_frames_what_it_says),
        cmocka_unit_test(test_a_list_without_streams_is_of_depth_and_what_it_was),
        cmocka_unit_test(test_streams_of_a_symbol_do_not_mix),
        cmocka_unit_test(test_a_falsified_frame_has_another_quantity_and_is_right_otherwise),
        cmocka_unit_test(test_what_is_not_depth_passes_and_lines_do_not_mix),
        cmocka_unit_test(test_the_same_seed_makes_the_same_faults_and_the_count_ends_them),
        cmocka_unit_test(test_faults_that_are_told_are_not_the_scripts),
        cmocka_unit_test(test_lists_of_faults),
        cmocka_unit_test(test_snapshots_fail_and_say_when_to_come_again),
        cmocka_unit_test(test_snapshots_are_stale_slow_or_cut_short),
        cmocka_unit_test(test_a_line_is_cut_and_its_successor_goes_on),
        cmocka_unit_test(test_a_script_that_is_told_names_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

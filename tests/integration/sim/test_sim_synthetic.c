/* The synthetic market behaves: checked from outside, over 100,000 frames, with a book of our own.
 */
#include "sim_test.h"

#include "meltica/base/decimal.h"
#include "meltica/base/hash.h"

#define SYMBOLS 3
#define FRAMES_MIN 100000
#define LEVELS_MAX 1024

#define MARKET                                                                                     \
    "--synthetic", "--symbols", "3", "--seed", "42", "--rate", "20000", "--seconds", "5",          \
        "--speed", "max", "--clock-start", "1700000000123", "--start-subscriptions", "25"

struct level {
    int64_t price, quantity;
};

struct side {
    struct level levels[LEVELS_MAX];
    size_t count;
};

struct ticker {
    int64_t id;
    struct level bid, ask;
};

struct symbol {
    struct side bids, asks;
    int64_t id, id_1000;
    int64_t trade_id, aggregate_id;
    struct ticker ticker;      /* last */
    struct level recent[4096]; /* quantity and price of trades of the running second */
    size_t recent_count;
    int64_t volume;
};

static struct symbol symbols[SYMBOLS];

static int64_t e8(const cJSON *value)
{
    int64_t out = 0;
    assert_int_equal(
        mlt_decimal_parse_at(mlt_slice_of_string(cJSON_GetStringValue(value)), -8, &out), MLT_OK);
    return out;
}

static int64_t e8_of(const cJSON *json, const char *key)
{
    return e8(member(json, key));
}

static void set_level(struct side *side, int64_t price, int64_t quantity)
{
    for (size_t i = 0; i < side->count; i++) {
        if (side->levels[i].price == price) {
            side->levels[i].quantity = quantity;
            if (quantity == 0) {
                side->levels[i] = side->levels[--side->count];
            }
            return;
        }
    }
    if (quantity != 0) {
        assert_true(side->count < LEVELS_MAX);
        side->levels[side->count++] = (struct level){ price, quantity };
    }
}

static struct level best(const struct side *side, bool bids)
{
    assert_true(side->count > 0);
    struct level found = side->levels[0];
    for (size_t i = 1; i < side->count; i++) {
        if (bids ? side->levels[i].price > found.price : side->levels[i].price < found.price) {
            found = side->levels[i];
        }
    }
    return found;
}

/* Levels in order, none twice. */
static void apply(struct side *side, const cJSON *levels, bool bids)
{
    const cJSON *level;
    int64_t last = 0;
    cJSON_ArrayForEach(level, levels)
    {
        const int64_t price = e8(cJSON_GetArrayItem(level, 0));
        assert_true(last == 0 || (bids ? price < last : price > last));
        last = price;
        set_level(side, price, e8(cJSON_GetArrayItem(level, 1)));
    }
}

static void check_top(const struct symbol *symbol)
{
    const struct level bid = best(&symbol->bids, true), ask = best(&symbol->asks, false);
    assert_true(bid.price < ask.price);
    if (symbol->ticker.id > 0 && symbol->ticker.id <= symbol->id) { /* the newest one: still so */
        assert_true(
            bid.price == symbol->ticker.bid.price && bid.quantity == symbol->ticker.bid.quantity &&
            ask.price == symbol->ticker.ask.price && ask.quantity == symbol->ticker.ask.quantity);
    }
}

static void on_depth(struct symbol *symbol, const cJSON *data)
{
    assert_int_equal(number_of(data, "U"), symbol->id + 1);
    assert_true(number_of(data, "u") >= number_of(data, "U"));
    symbol->id = number_of(data, "u");
    apply(&symbol->bids, member(data, "b"), true);
    apply(&symbol->asks, member(data, "a"), false);
    check_top(symbol);
}

static void on_ticker(struct symbol *symbol, const cJSON *data)
{
    assert_true(number_of(data, "u") > symbol->ticker.id);
    symbol->ticker = (struct ticker){ number_of(data, "u"),
                                      { e8_of(data, "b"), e8_of(data, "B") },
                                      { e8_of(data, "a"), e8_of(data, "A") } };
    assert_true(symbol->ticker.bid.price < symbol->ticker.ask.price);
    assert_true(symbol->ticker.bid.quantity > 0 && symbol->ticker.ask.quantity > 0);
}

/* The maker stood at the touch that the last ticker told. */
static void on_trade(struct symbol *symbol, const cJSON *data)
{
    assert_int_equal(number_of(data, "t"), symbol->trade_id + 1);
    symbol->trade_id++;
    const struct level trade = { e8_of(data, "p"), e8_of(data, "q") };
    if (symbol->ticker.id > 0) {
        assert_true(trade.price == (cJSON_IsTrue(member(data, "m")) ? symbol->ticker.bid.price
                                                                    : symbol->ticker.ask.price));
    }
    assert_true(symbol->recent_count < sizeof symbol->recent / sizeof symbol->recent[0]);
    symbol->recent[symbol->recent_count++] = trade;
    symbol->volume += trade.quantity;
}

static void on_aggregate(struct symbol *symbol, const cJSON *data)
{
    assert_int_equal(number_of(data, "a"), symbol->aggregate_id + 1);
    symbol->aggregate_id++;
    assert_int_equal(number_of(data, "l"), symbol->trade_id);
    int64_t sum = 0;
    const int64_t fills = number_of(data, "l") - number_of(data, "f") + 1;
    assert_true(fills >= 1 && fills <= 3);
    for (int64_t i = 1; i <= fills; i++) {
        sum += symbol->recent[symbol->recent_count - (size_t)i].quantity;
    }
    assert_int_equal(sum, e8_of(data, "q"));
}

/* A closed second is exactly its trades. */
static void on_kline(struct symbol *symbol, const cJSON *data)
{
    const cJSON *k = member(data, "k");
    int64_t volume = 0, high = 0, low = INT64_MAX;
    if (!cJSON_IsTrue(member(k, "x"))) {
        return;
    }
    assert_int_equal(number_of(k, "n"), symbol->recent_count);
    for (size_t i = 0; i < symbol->recent_count; i++) {
        const struct level *trade = &symbol->recent[i];
        volume += trade->quantity;
        high = trade->price > high ? trade->price : high;
        low = trade->price < low ? trade->price : low;
    }
    if (symbol->recent_count > 0) {
        assert_int_equal(e8_of(k, "v"), volume);
        assert_int_equal(e8_of(k, "h"), high);
        assert_int_equal(e8_of(k, "l"), low);
        assert_int_equal(e8_of(k, "o"), symbol->recent[0].price);
        assert_int_equal(e8_of(k, "c"), symbol->recent[symbol->recent_count - 1].price);
        assert_int_equal(number_of(k, "L"), symbol->trade_id);
    }
    symbol->recent_count = 0;
}

static void on_frame(const char *stream, const cJSON *data)
{
    if (stream[0] == '!') {
        assert_true(cJSON_IsArray(data) && cJSON_GetArraySize(data) > 0);
        return;
    }
    struct symbol *symbol = &symbols[stream[6] - '1'];
    const char *kind = strchr(stream, '@') + 1;
    if (strcmp(kind, "depth@100ms") == 0) {
        on_depth(symbol, data);
    } else if (strcmp(kind, "depth") == 0) {
        assert_int_equal(number_of(data, "U"), symbol->id_1000 + 1);
        symbol->id_1000 = number_of(data, "u");
    } else if (strcmp(kind, "bookTicker") == 0) {
        on_ticker(symbol, data);
    } else if (strcmp(kind, "trade") == 0) {
        on_trade(symbol, data);
    } else if (strcmp(kind, "aggTrade") == 0) {
        on_aggregate(symbol, data);
    } else if (strcmp(kind, "kline_1s") == 0) {
        on_kline(symbol, data);
    } else if (strcmp(kind, "depth5@100ms") == 0) {
        assert_int_equal(cJSON_GetArraySize(member(data, "bids")), 5);
    }
}

static const char streams[] =
    "/stream?streams=!miniTicker@arr"
    "/sym0001usdt@trade/sym0001usdt@aggTrade/sym0001usdt@bookTicker/sym0001usdt@depth/"
    "sym0001usdt@depth@100ms/sym0001usdt@kline_1s/sym0001usdt@depth5@100ms/sym0001usdt@ticker"
    "/sym0002usdt@trade/sym0002usdt@aggTrade/sym0002usdt@bookTicker/sym0002usdt@depth/"
    "sym0002usdt@depth@100ms/sym0002usdt@kline_1s/sym0002usdt@depth5@100ms/sym0002usdt@ticker"
    "/sym0003usdt@trade/sym0003usdt@aggTrade/sym0003usdt@bookTicker/sym0003usdt@depth/"
    "sym0003usdt@depth@100ms/sym0003usdt@kline_1s/sym0003usdt@depth5@100ms/sym0003usdt@ticker";

static void load_books(int port)
{
    memset(symbols, 0, sizeof symbols);
    for (int i = 0; i < SYMBOLS; i++) {
        char target[80];
        (void)snprintf(target, sizeof target, "/api/v3/depth?symbol=SYM000%dUSDT&limit=5000",
                       i + 1);
        cJSON *depth = get_json(port, target, 200);
        symbols[i].id = symbols[i].id_1000 = number_of(depth, "lastUpdateId");
        apply(&symbols[i].bids, member(depth, "bids"), true);
        apply(&symbols[i].asks, member(depth, "asks"), false);
        cJSON_Delete(depth);
    }
}

static bool finished(int port, int64_t *sent)
{
    cJSON *status = get_json(port, "/sim/status", 200);
    const bool end = cJSON_IsTrue(member(status, "finished"));
    *sent = number_of(status, "frames_sent");
    cJSON_Delete(status);
    return end;
}

/* Receives the whole market; each frame goes to on_frame when check is set. Returns the count. */
static int64_t receive_market(struct raw_ws *ws, int port, bool check, uint64_t *hash)
{
    int64_t count = 0, sent = 0;
    struct raw_frame frame;
    *hash = MLT_FNV1A64_INIT;
    for (;;) {
        const enum raw_result result = raw_ws_receive(ws, 200, &frame);
        if (result == RAW_TIMEOUT && finished(port, &sent) && count == sent) {
            return count;
        }
        if (result == RAW_TIMEOUT) {
            continue;
        }
        assert_int_equal(result, RAW_FRAME);
        assert_int_equal(frame.opcode, RAW_TEXT);
        count++;
        *hash = mlt_fnv1a64(*hash, mlt_slice_of(frame.data, frame.len));
        if (check) {
            cJSON *json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
            assert_non_null(json);
            on_frame(text_of(json, "stream"), member(json, "data"));
            cJSON_Delete(json);
        }
    }
}

static void compare_side(const cJSON *levels, const struct side *side)
{
    const cJSON *level;
    assert_int_equal(cJSON_GetArraySize(levels), side->count);
    cJSON_ArrayForEach(level, levels)
    {
        size_t i = 0;
        while (i < side->count && side->levels[i].price != e8(cJSON_GetArrayItem(level, 0))) {
            i++;
        }
        assert_true(i < side->count &&
                    side->levels[i].quantity == e8(cJSON_GetArrayItem(level, 1)));
    }
}

static void test_market_behaves_over_100000_frames(void **state)
{
    (void)state;
    const char *const arguments[] = { MARKET, NULL };
    struct sim_process sim;
    struct raw_ws ws;
    uint64_t hash = 0;
    start(&sim, arguments);
    load_books(sim.port);
    open_line(&ws, &sim, streams);
    assert_true(receive_market(&ws, sim.port, true, &hash) >= FRAMES_MIN);
    for (int i = 0; i < SYMBOLS; i++) {
        char target[96];
        (void)snprintf(target, sizeof target, "/sim/book?symbol=SYM000%dUSDT", i + 1);
        cJSON *book = get_json(sim.port, target, 200);
        assert_int_equal(number_of(book, "lastUpdateId"), symbols[i].id);
        assert_int_equal(symbols[i].id_1000, symbols[i].id);
        compare_side(member(book, "bids"), &symbols[i].bids);
        compare_side(member(book, "asks"), &symbols[i].asks);
        cJSON_Delete(book);
        (void)snprintf(target, sizeof target, "/api/v3/ticker/24hr?symbol=SYM000%dUSDT", i + 1);
        cJSON *day = get_json(sim.port, target, 200);
        assert_int_equal(number_of(day, "count"), symbols[i].trade_id);
        assert_int_equal(e8_of(day, "volume"), symbols[i].volume);
        cJSON_Delete(day);
    }
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_one_seed_gives_one_market_at_any_speed(void **state)
{
    (void)state;
    static const char *const speeds[] = { "max", "max", "10" };
    static const char *const seeds[] = { "5", "5", "5", "6" };
    uint64_t hashes[4];
    for (int i = 0; i < 4; i++) {
        const char *const arguments[] = { "--synthetic",
                                          "--symbols",
                                          "3",
                                          "--rate",
                                          "5000",
                                          "--seconds",
                                          "3",
                                          "--clock-start",
                                          "1700000000000",
                                          "--start-subscriptions",
                                          "25",
                                          "--seed",
                                          seeds[i],
                                          "--speed",
                                          speeds[i % 3],
                                          NULL };
        struct sim_process sim;
        struct raw_ws ws;
        start(&sim, arguments);
        open_line(&ws, &sim, streams);
        assert_true(receive_market(&ws, sim.port, false, &hashes[i]) > 10000);
        raw_ws_close(&ws);
        stop(&sim);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] == hashes[2]);
    assert_true(hashes[0] != hashes[3]);
}

static void test_book_at_an_earlier_id_and_its_horizon(void **state)
{
    (void)state;
    const char *const arguments[] = {
        "--synthetic", "--symbols", "1",       "--rate", "20000",
        "--seconds",   "2",         "--speed", "max",    "--start-subscriptions",
        "1",           NULL
    };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    static struct ticker tickers[65536];
    size_t count = 0;
    int64_t sent = 0;
    start(&sim, arguments);
    open_line(&ws, &sim, "/ws/sym0001usdt@bookTicker");
    do {
        while (raw_ws_receive(&ws, 200, &frame) == RAW_FRAME) {
            cJSON *json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
            assert_true(count < sizeof tickers / sizeof tickers[0]);
            tickers[count++] = (struct ticker){ number_of(json, "u"),
                                                { e8_of(json, "b"), e8_of(json, "B") },
                                                { e8_of(json, "a"), e8_of(json, "A") } };
            cJSON_Delete(json);
        }
    } while (!finished(sim.port, &sent) || (int64_t)count < sent);
    for (size_t i = 0; i < count; i += count / 50) {
        char target[96];
        (void)snprintf(target, sizeof target, "/sim/book?symbol=SYM0001USDT&limit=1&id=%lld",
                       (long long)tickers[i].id);
        cJSON *book = get_json(sim.port, target, 200);
        const cJSON *bid = cJSON_GetArrayItem(member(book, "bids"), 0);
        const cJSON *ask = cJSON_GetArrayItem(member(book, "asks"), 0);
        assert_int_equal(e8(cJSON_GetArrayItem(bid, 0)), tickers[i].bid.price);
        assert_int_equal(e8(cJSON_GetArrayItem(bid, 1)), tickers[i].bid.quantity);
        assert_int_equal(e8(cJSON_GetArrayItem(ask, 0)), tickers[i].ask.price);
        assert_int_equal(e8(cJSON_GetArrayItem(ask, 1)), tickers[i].ask.quantity);
        cJSON_Delete(book);
    }
    cJSON_Delete(get_json(sim.port, "/sim/book?symbol=SYM0001USDT&id=1", 410));
    cJSON_Delete(get_json(sim.port, "/sim/book?symbol=SYM0001USDT&id=999999999", 404));
    raw_ws_close(&ws);
    stop(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_market_behaves_over_100000_frames),
        cmocka_unit_test(test_one_seed_gives_one_market_at_any_speed),
        cmocka_unit_test(test_book_at_an_earlier_id_and_its_horizon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

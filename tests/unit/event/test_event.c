/* The public wire format: against protobuf-c's reading of event.proto, against bytes written down,
 * and against bytes that are none. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/buf.h"
#include "meltica/base/hash.h"
#include "meltica/event/event.h"
#include "meltica/v1/event.pb-c.h"

static const int64_t prices[3] = { INT64_MAX, 6183763000000, -1 };
static const int64_t quantities[3] = { 0, 154698000, INT64_MIN };

/* Every measure another value, some without one, some warming or limited. */
static struct mlt_book_analytics sample_analytics(void)
{
    struct mlt_book_analytics a;
    memset(&a, 0, sizeof a);
    struct mlt_measure *const lists[8] = {
        a.bid_depth,  a.ask_depth,        a.imbalance, a.bid_within,
        a.ask_within, a.imbalance_within, a.vwap,      a.trade_flow,
    };
    struct mlt_measure *const single[4] = { &a.mid, &a.spread, &a.microprice, &a.volatility };
    for (int i = 0; i < 4; i++) {
        *single[i] = (struct mlt_measure){ { 100 + i, -i }, MLT_MEASURE_PRESENT };
    }
    for (int i = 0; i < 8; i++) {
        for (int s = 0; s < MLT_ANALYTICS_SPANS; s++) {
            lists[i][s] = (struct mlt_measure){ { 10 * i + s - 35, -8 }, MLT_MEASURE_PRESENT };
        }
    }
    a.imbalance[1] = (struct mlt_measure){ { 0, 0 }, 0 };
    a.vwap[2].flags |= MLT_MEASURE_WARMING;
    a.volatility = (struct mlt_measure){ { 0, 0 }, MLT_MEASURE_WARMING };
    a.ask_within[2].flags |= MLT_MEASURE_LIMITED;
    return a;
}

/* An event of each type with every field set to something that would be missed. */
static struct mlt_event sample(enum mlt_event_type type)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = type;
    e.key = UINT64_C(0x1122334455667788);
    e.epoch = 9;
    e.sequence = UINT64_C(1) << 40;
    e.route = 3;
    e.first = 50093239189;
    e.last = -50093239202;
    e.rest_function = MLT_SLICE_LITERAL("depth");
    e.exchange = MLT_SLICE_LITERAL("binance");
    memcpy(e.trace_id, "0123456789abcdef", 16);
    e.stamps = (struct mlt_stamps){ 1723161253937085768, 1723161255208000000, 1723161253937085768,
                                    MLT_STAMP_UNKNOWN,   1723161253937085000, 0 };
    e.quality = MLT_QUALITY_LATE | MLT_QUALITY_AFTER_GAP;
    e.route_revision = 4;
    e.lane_previous = 5;
    e.merged = 6;
    e.throttled_ns = 7;
    e.trace_flags = 0xa1;
    const struct mlt_decimal d = { 6183763000000, -8 }, z = { 0, 0 }, n = { INT64_MIN, 18 };
    const struct mlt_levels levels = { -8, -5, 3, prices, quantities };
    switch (type) {
    case MLT_EVENT_TICKER:
        e.u.ticker =
            (struct mlt_ticker){ n, d, z, d, n, d, z, d, d, d, d, d, d, d, n, 1, 2, -1, -1, 3 };
        break;
    case MLT_EVENT_BBO:
        e.u.bbo = (struct mlt_bbo){ d, z, n, d };
        break;
    case MLT_EVENT_TRADE:
        e.u.trade = (struct mlt_trade){ 3735683259, d, z, MLT_SIDE_SELL, 1, true, n };
        break;
    case MLT_EVENT_AGG_TRADE:
        e.u.agg_trade = (struct mlt_agg_trade){ 1, 2, INT64_MAX, d, n, MLT_SIDE_BUY, 1, false, z };
        break;
    case MLT_EVENT_KLINE:
        e.u.kline = (struct mlt_kline){
            MLT_SLICE_LITERAL("1M"), 1, 2, d, n, d, d, d, d, d, z, 0, -1, -1, true
        };
        break;
    case MLT_EVENT_BOOK_DELTA:
        e.u.book_delta =
            (struct mlt_book_delta){ levels, { -8, -5, 0, NULL, NULL }, 0xdeadbeef, 1 };
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        e.u.book_snapshot = (struct mlt_book_snapshot){ 5, levels, levels, 1000, true };
        break;
    case MLT_EVENT_BOOK:
        e.u.book = (struct mlt_book){ .bids = levels,
                                      .asks = levels,
                                      .last_update_id = 7,
                                      .digest = 1,
                                      .digest_version = 1,
                                      .state = MLT_BOOK_STALE,
                                      .snapshot_update_id = -6,
                                      .snapshot_time_ns = 1723161253937085768,
                                      .deltas_applied = UINT64_MAX,
                                      .known_bids = 11,
                                      .known_asks = UINT32_MAX,
                                      .has_analytics = true,
                                      .analytics = sample_analytics() };
        break;
    case MLT_EVENT_INSTRUMENT:
        e.u.instrument = (struct mlt_instrument){ MLT_SLICE_LITERAL("\xe5\xb8\x81USDT"),
                                                  MLT_SLICE_LITERAL("\xe5\xb8\x81"),
                                                  MLT_SLICE_LITERAL("USDT"),
                                                  MLT_SLICE_LITERAL("TRADING"),
                                                  d,
                                                  d,
                                                  z,
                                                  -8,
                                                  -8 };
        break;
    case MLT_EVENT_STATUS:
        e.u.status =
            (struct mlt_status_event){ MLT_STATUS_LOST,
                                       MLT_SLICE_LITERAL("hop"),
                                       MLT_EVENT_TRADE,
                                       1,
                                       2,
                                       3,
                                       2,
                                       { { MLT_EVENT_BBO, 4, -5 }, { MLT_EVENT_TRADE, 6, 7 } },
                                       -8,
                                       9,
                                       MLT_BOOK_GAP };
        break;
    default:
        break;
    }
    return e;
}

static uint8_t *encode(const struct mlt_event *e, size_t *len)
{
    *len = mlt_event_encoded_size(e);
    uint8_t *bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(mlt_event_encode(e, bytes), *len);
    return bytes;
}

static void test_every_type_survives_the_round_trip(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct mlt_event in = sample((enum mlt_event_type)t);
        struct mlt_event out;
        size_t len = 0, again_len = 0;
        uint8_t *bytes = encode(&in, &len);
        assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_OK);
        assert_true(out.stamps.exchange == in.stamps.exchange &&
                    out.stamps.adapted == in.stamps.adapted &&
                    out.stamps.dispatched == MLT_STAMP_UNKNOWN && out.stamps.published == 0);
        assert_true(out.first == in.first && out.last == in.last && out.sequence == in.sequence);
        uint8_t *again = encode(&out, &again_len);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, bytes, len);
        free(again);
        free(bytes);
        mlt_arena_reset(&arena);
    }
    mlt_arena_fini(&arena);
}

/* protobuf-c reads event.proto; what it packs again must be our bytes, field for field. */
static void test_bytes_are_those_of_an_independent_protobuf_implementation(void **state)
{
    (void)state;
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct mlt_event in = sample((enum mlt_event_type)t);
        size_t len = 0;
        uint8_t *bytes = encode(&in, &len);
        Meltica__V1__Event *pb = meltica__v1__event__unpack(NULL, len, bytes);
        assert_non_null(pb);
        assert_string_equal(pb->instrument, "BTC-USDT");
        assert_int_equal((int)pb->type, t);
        assert_int_equal((int)pb->payload_case, 19 + t);
        assert_true(pb->key == in.key && pb->sequence == in.sequence &&
                    pb->source->first == in.first);
        assert_true(pb->stamps->exchange == in.stamps.exchange - in.stamps.received);
        assert_int_equal(pb->stamps->adapted_stamp_case,
                         MELTICA__V1__STAMPS__ADAPTED_STAMP_ADAPTED); /* a known 0 is there */
        assert_int_equal(pb->stamps->dispatched_stamp_case,
                         MELTICA__V1__STAMPS__DISPATCHED_STAMP__NOT_SET);
        assert_int_equal(meltica__v1__event__get_packed_size(pb), len);
        uint8_t *packed = malloc(len);
        assert_non_null(packed);
        assert_int_equal(meltica__v1__event__pack(pb, packed), len);
        assert_memory_equal(packed, bytes, len);
        if (t == MLT_EVENT_BOOK) {
            const Meltica__V1__Analytics *a = pb->book->analytics;
            assert_int_equal(pb->book->state, MELTICA__V1__BOOK_STATE__BOOK_STALE);
            assert_int_equal(pb->book->known_bids, 11);
            assert_true(pb->book->snapshot_update_id == -6);
            assert_true(a->mid->value->mantissa == 100 && a->microprice->value->mantissa == 102);
            assert_null(a->spread_bps);
            assert_true(a->n_trade_flow == 3 && a->trade_flow[2]->value->mantissa == 37);
            assert_true(a->n_imbalance == 3 && a->imbalance[1]->value == NULL);
            assert_true(a->vwap[2]->flags == MELTICA__V1__MEASURE_FLAG__MEASURE_WARMING);
            assert_true(a->ask_within[2]->flags == MELTICA__V1__MEASURE_FLAG__MEASURE_LIMITED);
            assert_true(a->volatility->value == NULL && a->volatility->flags == 2);
        }
        if (t == MLT_EVENT_BOOK_DELTA) {
            assert_int_equal(pb->book_delta->bids->n_prices, 3);
            assert_true(pb->book_delta->bids->prices[0] == INT64_MAX);
            assert_true(pb->book_delta->bids->quantities[2] == INT64_MIN);
        }
        free(packed);
        meltica__v1__event__free_unpacked(pb, NULL);
        free(bytes);
    }
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *golden)
{
    char *hex = calloc(2, len + 1);
    assert_non_null(hex);
    for (size_t i = 0; i < len; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    }
    assert_string_equal(hex, golden);
    free(hex);
}

/* These bytes are the contract: a change here breaks consumers that exist. */
static void test_golden_bytes_of_a_trade(void **state)
{
    (void)state;
    static const char golden[] =
        "0a084254432d5553445410031988776655443322112009288080808080203220080310aaaed19cf5"
        "0218c3aed19cf502220564657074682a0762696e616e63653a103031323334353637383961626364"
        "6566421e0948fda2df07e6e91710f0f284bc09180028ff0b308ff597fafb81f3e92f488201500458"
        "0560066807b2012e08f682d0ea1b120a0880ebf9cff8e702100f1a00200229010000000000000032"
        "0d08ffffffffffffffffff011024";
    struct mlt_event e = sample(MLT_EVENT_TRADE);
    e.trace_flags = 0; /* as without traces */
    size_t len = 0;
    uint8_t *bytes = encode(&e, &len);
    assert_hex(bytes, len, golden);
    free(bytes);
}

/* As above, of what this version of the contract added to BOOK. */
static void test_golden_bytes_of_a_book(void **state)
{
    (void)state;
    static const char golden[] =
        "0a084254432d5553445410082002280332041008180a4209090100000000000000da017d0a0f0803"
        "10091a0492fdef05220392b414120f080310091a0492fdef05220392b414180a25efbeadde280130"
        "0338084106000000000000004807523d0a0b0a0708bee3df3a100510042a002a002a003200320032"
        "003a003a003a004200420042004a004a004a005200520052005a005a005a00620062006200580860"
        "09";
    static const int64_t price[1] = { 6160201 }, quantity[1] = { 167177 };
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = MLT_EVENT_BOOK;
    e.epoch = 2;
    e.sequence = 3;
    e.first = 4;
    e.last = 5;
    e.stamps = (struct mlt_stamps){ 1,
                                    MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN };
    const struct mlt_levels levels = { -2, -5, 1, price, quantity };
    e.u.book = (struct mlt_book){ .bids = levels,
                                  .asks = levels,
                                  .last_update_id = 5,
                                  .digest = 0xdeadbeef,
                                  .digest_version = 1,
                                  .state = MLT_BOOK_LIVE,
                                  .snapshot_update_id = 4,
                                  .snapshot_time_ns = 6,
                                  .deltas_applied = 7,
                                  .known_bids = 8,
                                  .known_asks = 9,
                                  .has_analytics = true };
    e.u.book.analytics.mid =
        (struct mlt_measure){ { 61602015, -3 }, MLT_MEASURE_PRESENT | MLT_MEASURE_LIMITED };
    size_t len = 0;
    uint8_t *bytes = encode(&e, &len);
    assert_hex(bytes, len, golden);
    free(bytes);
}

static void test_json_of_a_book_says_state_and_measures_in_words_and_exact_texts(void **state)
{
    (void)state;
    static const char *const members[] = {
        "\"state\":\"STALE\"",
        "\"snapshot_update_id\":\"-6\"",
        "\"deltas_applied\":\"18446744073709551615\"",
        "\"known_asks\":4294967295",
        "\"analytics\":{\"mid\":{\"value\":\"100\",\"flags\":0},\"spread\":{\"value\":\"10.1\",",
        "\"imbalance\":[{\"value\":\"-0.00000015\",\"flags\":0},{\"flags\":0},{",
        "\"volatility\":{\"flags\":2}}",
    };
    struct mlt_event e = sample(MLT_EVENT_BOOK);
    struct mlt_buf json;
    mlt_buf_init(&json, 1u << 16);
    assert_int_equal(mlt_event_to_json(&e, &json), MLT_OK);
    assert_int_equal(mlt_buf_append(&json, "", 1), MLT_OK);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (strstr((const char *)json.data, members[i]) == NULL) {
            fail_msg("%s is not in %s", members[i], (const char *)json.data);
        }
    }
    mlt_buf_clear(&json);
    e = sample(MLT_EVENT_STATUS);
    e.u.status.kind = MLT_STATUS_SYNCING;
    assert_int_equal(mlt_event_to_json(&e, &json), MLT_OK);
    assert_int_equal(mlt_buf_append(&json, "", 1), MLT_OK);
    assert_non_null(strstr((const char *)json.data, "\"kind\":\"SYNCING\""));
    assert_non_null(strstr((const char *)json.data,
                           "\"update_first\":\"-8\",\"update_last\":\"9\",\"from\":\"GAP\""));
    mlt_buf_fini(&json);
}

static void test_what_is_missing_or_too_big_is_refused(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_event e = sample(MLT_EVENT_BBO), out;
    e.instrument = MLT_SLICE_EMPTY;
    size_t len = 0;
    uint8_t *bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_MISSING);
    free(bytes);
    e.instrument = MLT_SLICE_LITERAL("BTC.USDT");
    bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_PARSE);
    free(bytes);
    assert_int_equal(mlt_event_decode(MLT_SLICE_EMPTY, &arena, &out), MLT_E_MISSING);
    /* An exponent that could not be printed must not get in, in a scalar, a side or an instrument.
     */
    e = sample(MLT_EVENT_BBO);
    e.u.bbo.ask_price.exponent = 19;
    bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_PARSE);
    free(bytes);
    e = sample(MLT_EVENT_BOOK_DELTA);
    e.u.book_delta.asks.quantity_exponent = -19;
    bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_PARSE);
    free(bytes);
    e = sample(MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = 19;
    bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_PARSE);
    free(bytes);
    /* A position without a neighbour: whoever looks for the next one would overflow. */
    const int64_t edges[2] = { INT64_MIN, INT64_MAX };
    for (int i = 0; i < 4; i++) {
        e = sample(MLT_EVENT_BBO);
        *(i < 2 ? &e.first : &e.last) = edges[i % 2];
        bytes = encode(&e, &len);
        assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_RANGE);
        free(bytes);
    }
    int64_t *many = calloc(MLT_EVENT_LEVELS_MAX + 1, sizeof *many);
    assert_non_null(many);
    e = sample(MLT_EVENT_BOOK_DELTA);
    e.u.book_delta.bids = (struct mlt_levels){ -8, -8, MLT_EVENT_LEVELS_MAX + 1, many, many };
    bytes = encode(&e, &len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_E_TOO_BIG);
    free(bytes);
    free(many);
    mlt_arena_fini(&arena);
}

/* Whatever the bytes: no crash (sanitizers watch), and what is accepted can be encoded and read
 * again. */
static void test_mutated_bytes_are_refused_or_mean_something(void **state)
{
    (void)state;
    struct mlt_arena arena, second;
    mlt_arena_init(&arena, 65536, 4u << 20);
    mlt_arena_init(&second, 65536, 4u << 20);
    unsigned accepted = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 40000; seed++) {
        const struct mlt_event in =
            sample((enum mlt_event_type)(1 + seed % (MLT_EVENT_TYPE_COUNT - 1)));
        size_t len = 0, again_len = 0;
        uint8_t *bytes = encode(&in, &len);
        for (uint64_t m = 0; m < 1 + seed % 4; m++) {
            const uint64_t r = mlt_mix64(seed * 8 + m);
            bytes[r % len] ^= (uint8_t)(1u << ((r >> 32) % 8));
        }
        const size_t cut = seed % 5 == 0 ? (size_t)(mlt_mix64(seed) % len) : len;
        struct mlt_event out, third;
        mlt_arena_reset(&arena);
        if (mlt_event_decode(mlt_slice_of(bytes, cut), &arena, &out) == MLT_OK) {
            accepted++;
            uint8_t *again = encode(&out, &again_len);
            mlt_arena_reset(&second);
            assert_int_equal(mlt_event_decode(mlt_slice_of(again, again_len), &second, &third),
                             MLT_OK);
            assert_int_equal(third.type, out.type);
            free(again);
        } else {
            refused++;
        }
        free(bytes);
    }
    assert_true(accepted > 1000 && refused > 1000);
    mlt_arena_fini(&second);
    mlt_arena_fini(&arena);
}

static void test_tokens_are_legal_subjects_and_reversible(void **state)
{
    (void)state;
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    assert_int_equal(mlt_instrument_token(MLT_SLICE_LITERAL("BTC"), MLT_SLICE_LITERAL("USDT"),
                                          token, sizeof token),
                     MLT_OK);
    assert_string_equal(token, "BTC-USDT");
    assert_int_equal(mlt_instrument_token(MLT_SLICE_LITERAL("\xe5\xb8\x81.*"),
                                          MLT_SLICE_LITERAL("A-B"), token, sizeof token),
                     MLT_OK);
    assert_string_equal(token, "=E5=B8=81=2E=2A-A=2DB");
    assert_true(mlt_instrument_token_valid(mlt_slice_of_string(token)));
    assert_int_equal(
        mlt_instrument_token(MLT_SLICE_EMPTY, MLT_SLICE_LITERAL("A"), token, sizeof token),
        MLT_E_INVALID);
    assert_int_equal(
        mlt_instrument_token(MLT_SLICE_LITERAL("BTC"), MLT_SLICE_LITERAL("USDT"), token, 8),
        MLT_E_TOO_BIG);
    static const char *const bad[] = { "", "BTC.USDT", "BTC USDT", "BTC>USDT", "*", "BTC\xc3\xa9" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(mlt_instrument_token_valid(mlt_slice_of_string(bad[i])));
    }
}

/* The three vectors of docs/wire-format.md, computed there by other means (Python, zlib-free
 * table). */
static void test_digest_and_key_have_the_documented_values(void **state)
{
    (void)state;
    const struct mlt_levels none = { 0, 0, 0, NULL, NULL };
    static const int64_t bp[2] = { 6160201, 6160200 }, bq[2] = { 167177, 1 }, ap[1] = { 6160202 },
                         aq[1] = { 266795 };
    const struct mlt_levels bids = { -2, -5, 2, bp, bq }, asks = { -2, -5, 1, ap, aq };
    int64_t many[25];
    for (int i = 0; i < 25; i++) {
        many[i] = 1000 - i;
    }
    const struct mlt_levels deep = { 0, 0, 25, many, many };
    assert_int_equal(mlt_book_digest(&none, &none), 0x8c28b28a);
    assert_int_equal(mlt_book_digest(&bids, &asks), 0x6a31039d);
    assert_int_equal(mlt_book_digest(&deep, &none), 0xa460c9fe);
    assert_true(mlt_event_key(MLT_SLICE_LITERAL("BTC-USDT"), MLT_EVENT_TRADE, 3735683259,
                              3735683259, 0) == UINT64_C(0x7691066f1c161656));
}

static void test_batch_walk_gives_each_element_in_order(void **state)
{
    (void)state;
    uint8_t batch[64];
    size_t len = 0;
    for (uint8_t i = 1; i <= 3; i++) {
        len += mlt_batch_element_header(i, batch + len);
        memset(batch + len, i, i);
        len += i;
    }
    batch[len++] = 15 << 3; /* field 15, varint: not for readers of events */
    batch[len++] = 1;
    struct mlt_slice rest = mlt_slice_of(batch, len), element;
    for (uint8_t i = 1; i <= 3; i++) {
        assert_int_equal(mlt_batch_next(&rest, &element), MLT_OK);
        assert_int_equal(element.len, i);
        assert_int_equal(element.data[0], i);
    }
    assert_int_equal(mlt_batch_next(&rest, &element), MLT_E_EMPTY);
    rest = mlt_slice_of(batch, 4);
    assert_int_equal(mlt_batch_next(&rest, &element), MLT_OK);
    assert_int_equal(mlt_batch_next(&rest, &element), MLT_E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_survives_the_round_trip),
        cmocka_unit_test(test_bytes_are_those_of_an_independent_protobuf_implementation),
        cmocka_unit_test(test_golden_bytes_of_a_trade),
        cmocka_unit_test(test_golden_bytes_of_a_book),
        cmocka_unit_test(test_json_of_a_book_says_state_and_measures_in_words_and_exact_texts),
        cmocka_unit_test(test_what_is_missing_or_too_big_is_refused),
        cmocka_unit_test(test_mutated_bytes_are_refused_or_mean_something),
        cmocka_unit_test(test_tokens_are_legal_subjects_and_reversible),
        cmocka_unit_test(test_digest_and_key_have_the_documented_values),
        cmocka_unit_test(test_batch_walk_gives_each_element_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

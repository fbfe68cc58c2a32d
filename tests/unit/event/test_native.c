/* What crosses the inner hops: our bytes are those that protobuf-c reads and writes, and bytes that
 * are none are refused. */
#include "mlt_test.h"

#include <stdlib.h>

#include "meltica/event/native.h"
#include "meltica/v1/internal.pb-c.h"

static const int64_t prices[2] = { 6183763000000, 6183762000000 };
static const int64_t quantities[2] = { 154698000, 0 };

static struct mlt_native_event sample(int type)
{
    struct mlt_native_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.route = 6;
    memcpy(e.trace_id, "fedcba9876543210", 16);
    e.trace_flags = 0x81;
    e.received = 1723161253937085768;
    e.exchange = 1723161255208000000; /* ahead of our clock, as in a real recording */
    e.adapted = 1723161253937090000;
    e.first = 50093239189;
    e.last = 50093239202;
    e.type = type;
    const struct mlt_decimal d = { 6183763000000, -8 };
    const struct mlt_levels levels = { -8, -8, 2, prices, quantities };
    switch (type) {
    case MLT_EVENT_TRADE:
        e.u.trade = (struct mlt_trade){ 50093239189, d, d, MLT_SIDE_SELL, 5, false, { 0, 0 } };
        break;
    case MLT_EVENT_BBO:
        e.u.bbo = (struct mlt_bbo){ d, d, d, d };
        e.exchange = MLT_STAMP_UNKNOWN;
        break;
    case MLT_EVENT_BOOK_DELTA:
        e.u.book_delta = (struct mlt_book_delta){ levels, { -8, -8, 0, NULL, NULL }, 0, 0 };
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        e.rest_function = MLT_SLICE_LITERAL("depth");
        e.u.book_snapshot = (struct mlt_book_snapshot){ 9, levels, levels, 100, false };
        break;
    case MLT_EVENT_STATUS:
        e.u.status.kind = MLT_STATUS_SOURCE_DOWN;
        e.u.status.reason = MLT_SLICE_LITERAL("lost");
        break;
    case MLT_NATIVE_UNPARSED:
        e.instrument = MLT_SLICE_EMPTY;
        e.route = 0;
        e.u.unparsed.reason = MLT_SLICE_LITERAL("parse");
        e.u.unparsed.original = MLT_SLICE_LITERAL("{\"stream\":");
        e.u.unparsed.original_bytes = 10;
        e.u.unparsed.topic = MLT_SLICE_LITERAL("btcusdt@trade");
        break;
    default:
        break;
    }
    return e;
}

static const int types[] = { MLT_EVENT_TRADE,         MLT_EVENT_BBO,    MLT_EVENT_BOOK_DELTA,
                             MLT_EVENT_BOOK_SNAPSHOT, MLT_EVENT_STATUS, MLT_NATIVE_UNPARSED };
#define TYPE_COUNT (sizeof types / sizeof types[0])

static uint8_t *encode(const struct mlt_native_event *e, size_t *len)
{
    *len = mlt_native_encoded_size(e);
    uint8_t *bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(mlt_native_encode(e, bytes), *len);
    return bytes;
}

static void test_bytes_are_those_of_protobuf_c(void **state)
{
    (void)state;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        const struct mlt_native_event in = sample(types[i]);
        size_t len = 0;
        uint8_t *bytes = encode(&in, &len);
        Meltica__V1__NativeEvent *pb = meltica__v1__native_event__unpack(NULL, len, bytes);
        assert_non_null(pb);
        assert_int_equal(pb->received, in.received);
        assert_int_equal(pb->adapted, in.adapted - in.received);
        assert_int_equal(pb->first, in.first);
        assert_int_equal(pb->last, in.last);
        assert_int_equal(pb->route, in.route);
        assert_int_equal(meltica__v1__native_event__get_packed_size(pb), len);
        uint8_t *again = malloc(len);
        assert_non_null(again);
        assert_int_equal(meltica__v1__native_event__pack(pb, again), len);
        assert_memory_equal(again, bytes, len);
        free(again);
        meltica__v1__native_event__free_unpacked(pb, NULL);
        free(bytes);
    }
}

static void test_every_type_survives_the_round_trip(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        const struct mlt_native_event in = sample(types[i]);
        size_t len = 0, again_len = 0;
        uint8_t *bytes = encode(&in, &len);
        struct mlt_native_event out;
        assert_int_equal(mlt_native_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_OK);
        assert_int_equal(out.type, in.type);
        assert_int_equal(out.exchange, in.exchange);
        assert_int_equal(out.adapted, in.adapted);
        assert_true(mlt_slice_equal(out.instrument, in.instrument));
        uint8_t *again = encode(&out, &again_len);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, bytes, len);
        free(again);
        free(bytes);
        mlt_arena_reset(&arena);
    }
    mlt_arena_fini(&arena);
}

static void test_a_long_original_is_cut_and_its_length_kept(void **state)
{
    (void)state;
    static uint8_t original[3 * MLT_UNPARSED_ORIGINAL_BYTES_MAX];
    memset(original, 'x', sizeof original);
    struct mlt_native_event in = sample(MLT_NATIVE_UNPARSED);
    in.u.unparsed.original = mlt_slice_of(original, sizeof original);
    in.u.unparsed.original_bytes = sizeof original;
    size_t len = 0;
    uint8_t *bytes = encode(&in, &len);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_native_event out;
    assert_int_equal(mlt_native_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_OK);
    assert_int_equal(out.u.unparsed.original.len, MLT_UNPARSED_ORIGINAL_BYTES_MAX);
    assert_int_equal(out.u.unparsed.original_bytes, sizeof original);
    mlt_arena_fini(&arena);
    free(bytes);
}

static void test_bytes_that_are_no_instance_are_refused(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_native_event out;
    const struct mlt_native_event in = sample(MLT_EVENT_TRADE);
    size_t len = 0;
    uint8_t *bytes = encode(&in, &len);
    unsigned refused = 0;
    for (size_t cut = 0; cut < len; cut++) {
        refused += mlt_native_decode(mlt_slice_of(bytes, cut), &arena, &out) != MLT_OK;
    }
    assert_int_equal(refused, len); /* the payload is the last field: every cut loses it */
    struct mlt_native_event nameless = sample(MLT_EVENT_BBO);
    nameless.instrument = MLT_SLICE_EMPTY;
    size_t nameless_len = 0;
    uint8_t *nameless_bytes = encode(&nameless, &nameless_len);
    assert_int_equal(mlt_native_decode(mlt_slice_of(nameless_bytes, nameless_len), &arena, &out),
                     MLT_E_MISSING);
    const int64_t edges[2] = { INT64_MIN, INT64_MAX }; /* positions without a neighbour */
    for (int i = 0; i < 4; i++) {
        struct mlt_native_event edge = sample(MLT_EVENT_BBO);
        *(i < 2 ? &edge.first : &edge.last) = edges[i % 2];
        size_t edge_len = 0;
        uint8_t *edge_bytes = encode(&edge, &edge_len);
        assert_int_equal(mlt_native_decode(mlt_slice_of(edge_bytes, edge_len), &arena, &out),
                         MLT_E_RANGE);
        free(edge_bytes);
    }
    static const uint8_t wrong_wire_type[] = { 0x20, 1 }; /* received as a varint */
    assert_int_equal(
        mlt_native_decode(mlt_slice_of(wrong_wire_type, sizeof wrong_wire_type), &arena, &out),
        MLT_E_PARSE);
    /* A BOOK, which an instance has no place for, is as unknown as any other field. */
    static const uint8_t book[] = { 0x0a, 1, 'a',  0xda, 0x01, 9,    0x52, 5,
                                    0x4a, 2, 0x12, 0,    0x98, 0x98, 0x01 };
    assert_int_equal(mlt_native_decode(mlt_slice_of(book, sizeof book), &arena, &out),
                     MLT_E_MISSING);
    free(nameless_bytes);
    free(bytes);
    mlt_arena_fini(&arena);
}

static void test_hop_header_is_fixed_in_size_and_found_in_a_batch(void **state)
{
    (void)state;
    const struct mlt_hop in = { UINT64_MAX, 1, 0, UINT64_C(1) << 63, 17, MLT_HOP_LOST };
    uint8_t batch[MLT_HOP_BYTES + 64];
    mlt_hop_encode(&in, batch);
    const uint8_t element[] = { 0x0a, 2, 'h', 'i', 0x0a, 0 };
    memcpy(batch + MLT_HOP_BYTES, element, sizeof element);
    const struct mlt_slice bytes = mlt_slice_of(batch, MLT_HOP_BYTES + sizeof element);
    struct mlt_hop out;
    assert_int_equal(mlt_hop_decode(bytes, &out), MLT_OK);
    assert_memory_equal(&out, &in, sizeof in.boot * 5);
    assert_int_equal(out.flags, in.flags);
    /* The same header to protobuf-c, and the elements to a reader of events alone. */
    Meltica__V1__Hop *pb = meltica__v1__hop__unpack(NULL, MLT_HOP_BYTES - 2, batch + 2);
    assert_non_null(pb);
    assert_true(pb->boot == in.boot && pb->number == in.number && pb->resume == in.resume &&
                pb->epoch == in.epoch && pb->flags == in.flags);
    meltica__v1__hop__free_unpacked(pb, NULL);
    struct mlt_slice rest = bytes, found;
    assert_int_equal(mlt_batch_next(&rest, &found), MLT_OK);
    assert_true(mlt_slice_equal_string(found, "hi"));
    assert_int_equal(mlt_batch_next(&rest, &found), MLT_OK);
    assert_int_equal(found.len, 0);
    assert_int_equal(mlt_batch_next(&rest, &found), MLT_E_EMPTY);
    assert_int_equal(mlt_hop_decode(mlt_slice_of(element, sizeof element), &out), MLT_E_MISSING);
    assert_int_equal(mlt_hop_decode(mlt_slice_of(batch, 20), &out), MLT_E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_those_of_protobuf_c),
        cmocka_unit_test(test_every_type_survives_the_round_trip),
        cmocka_unit_test(test_a_long_original_is_cut_and_its_length_kept),
        cmocka_unit_test(test_bytes_that_are_no_instance_are_refused),
        cmocka_unit_test(test_hop_header_is_fixed_in_size_and_found_in_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

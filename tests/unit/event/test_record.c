/* Records and checkpoints of the snapshot bucket: against protobuf-c's reading of event.proto, and
 * against bytes that are none. */
#include "mlt_test.h"

#include <stdlib.h>

#include "meltica/base/hash.h"
#include "meltica/event/record.h"
#include "meltica/v1/event.pb-c.h"

static const int64_t prices[2] = { 6160201, 6160200 };
static const int64_t quantities[2] = { 167177, INT64_MAX };

static struct mlt_snapshot_record sample_record(void)
{
    return (struct mlt_snapshot_record){
        .event = MLT_SLICE_LITERAL("as published"),
        .epoch = UINT64_MAX,
        .last_update_id = 50093239202,
        .committed_ns = 1723161253937085768,
        .head_count = 2,
        .heads = { { MLT_EVENT_BBO, 4, -5 }, { MLT_EVENT_BOOK, 6, 7 } },
        .snapshot_update_id = 50093239189,
        .snapshot_time_ns = 1723161253937085767,
        .deltas_applied = 12,
        .state = MLT_BOOK_LIVE,
        .throttle_ms = 100,
        .refresh_due_ns = 1723161253937085769,
        .source_up = true,
    };
}

static struct mlt_book_checkpoint sample_checkpoint(void)
{
    return (struct mlt_book_checkpoint){
        .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
        .epoch = 9,
        .last_update_id = 50093239202,
        .bids = { -2, -5, 2, prices, quantities },
        .asks = { -2, -5, 0, NULL, NULL },
        .digest = 0xdeadbeef,
        .digest_version = 1,
        .time_ns = 1723161253937085768,
        .head_count = 1,
        .heads = { { MLT_EVENT_BOOK_DELTA, 40, 50093239202 } },
        .snapshot_update_id = 50093239189,
        .snapshot_time_ns = 1723161253937085767,
        .state = MLT_BOOK_LIVE,
        .bids_whole = false,
        .asks_whole = true,
    };
}

static uint8_t *encode_record(const struct mlt_snapshot_record *r, size_t *len)
{
    *len = mlt_snapshot_record_encoded_size(r);
    uint8_t *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(mlt_snapshot_record_encode(r, bytes), *len);
    return bytes;
}

static uint8_t *encode_checkpoint(const struct mlt_book_checkpoint *c, size_t *len)
{
    *len = mlt_book_checkpoint_encoded_size(c);
    uint8_t *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(mlt_book_checkpoint_encode(c, bytes), *len);
    return bytes;
}

static void test_a_record_is_what_protobuf_reads_and_survives_the_round_trip(void **state)
{
    (void)state;
    const struct mlt_snapshot_record in = sample_record();
    size_t len = 0, again_len = 0;
    uint8_t *bytes = encode_record(&in, &len);
    Meltica__V1__SnapshotRecord *pb = meltica__v1__snapshot_record__unpack(NULL, len, bytes);
    assert_non_null(pb);
    assert_memory_equal(pb->event.data, "as published", 12);
    assert_true(pb->epoch == UINT64_MAX && pb->committed == 1723161253937085768);
    assert_true(pb->n_heads == 2 && pb->heads[0]->last == -5 && pb->heads[1]->sequence == 6);
    assert_int_equal(pb->state, MELTICA__V1__BOOK_STATE__BOOK_LIVE);
    assert_true(pb->last_update_id == in.last_update_id && pb->deltas_applied == 12);
    assert_true(pb->snapshot_update_id == in.snapshot_update_id &&
                (int64_t)pb->snapshot_time == in.snapshot_time_ns);
    assert_true(pb->throttle_ms == 100 && pb->refresh_due == 1723161253937085769 && pb->source_up);
    uint8_t *packed = malloc(len);
    assert_non_null(packed);
    assert_int_equal(meltica__v1__snapshot_record__pack(pb, packed), len);
    assert_memory_equal(packed, bytes, len);
    free(packed);
    meltica__v1__snapshot_record__free_unpacked(pb, NULL);

    struct mlt_snapshot_record out;
    assert_int_equal(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &out), MLT_OK);
    assert_true(out.last_update_id == in.last_update_id && out.head_count == 2 &&
                out.snapshot_update_id == in.snapshot_update_id && out.deltas_applied == 12);
    uint8_t *again = encode_record(&out, &again_len);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    free(again);
    free(bytes);
}

static void test_a_checkpoint_is_what_protobuf_reads_and_survives_the_round_trip(void **state)
{
    (void)state;
    const struct mlt_book_checkpoint in = sample_checkpoint();
    size_t len = 0, again_len = 0;
    uint8_t *bytes = encode_checkpoint(&in, &len);
    Meltica__V1__BookCheckpoint *pb = meltica__v1__book_checkpoint__unpack(NULL, len, bytes);
    assert_non_null(pb);
    assert_string_equal(pb->instrument, "BTC-USDT");
    assert_true(pb->bids->n_prices == 2 && pb->bids->prices[1] == 6160200);
    assert_true(pb->digest == 0xdeadbeef && pb->digest_version == 1);
    assert_true(pb->asks_whole && !pb->bids_whole && pb->time == 1723161253937085768);
    assert_true(pb->epoch == 9 && pb->last_update_id == in.last_update_id);
    assert_true(pb->snapshot_update_id == in.snapshot_update_id &&
                (int64_t)pb->snapshot_time == in.snapshot_time_ns);
    assert_int_equal(pb->state, MELTICA__V1__BOOK_STATE__BOOK_LIVE);
    assert_true(pb->n_heads == 1 && pb->heads[0]->sequence == 40);
    uint8_t *packed = malloc(len);
    assert_non_null(packed);
    assert_int_equal(meltica__v1__book_checkpoint__pack(pb, packed), len);
    assert_memory_equal(packed, bytes, len);
    free(packed);
    meltica__v1__book_checkpoint__free_unpacked(pb, NULL);

    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_book_checkpoint out;
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(bytes, len), &arena, &out), MLT_OK);
    assert_true(out.bids.count == 2 && out.bids.quantities[1] == INT64_MAX && out.asks_whole);
    uint8_t *again = encode_checkpoint(&out, &again_len);
    assert_int_equal(again_len, len);
    assert_memory_equal(again, bytes, len);
    free(again);
    free(bytes);
    mlt_arena_fini(&arena);
}

static void test_what_is_no_record_is_refused(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_snapshot_record r = sample_record(), record;
    r.event = MLT_SLICE_EMPTY;
    size_t len = 0;
    uint8_t *bytes = encode_record(&r, &len);
    assert_int_equal(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &record), MLT_E_MISSING);
    free(bytes);
    r = sample_record();
    r.last_update_id = INT64_MAX; /* it has no next one */
    bytes = encode_record(&r, &len);
    assert_int_equal(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &record), MLT_E_RANGE);
    free(bytes);
    r = sample_record();
    r.snapshot_update_id = INT64_MIN;
    bytes = encode_record(&r, &len);
    assert_int_equal(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &record), MLT_E_RANGE);
    free(bytes);
    struct mlt_book_checkpoint c = sample_checkpoint(), checkpoint;
    c.last_update_id = INT64_MAX;
    bytes = encode_checkpoint(&c, &len);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(bytes, len), &arena, &checkpoint),
                     MLT_E_RANGE);
    free(bytes);
    c = sample_checkpoint();
    bytes = encode_checkpoint(&c, &len);
    /* Its first 20 bytes end inside a field. */
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(bytes, 20), &arena, &checkpoint),
                     MLT_E_PARSE);
    free(bytes);
    c.instrument = MLT_SLICE_EMPTY;
    bytes = encode_checkpoint(&c, &len);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(bytes, len), &arena, &checkpoint),
                     MLT_E_MISSING);
    free(bytes);
    c.instrument = MLT_SLICE_LITERAL("BTC.USDT");
    bytes = encode_checkpoint(&c, &len);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(bytes, len), &arena, &checkpoint),
                     MLT_E_PARSE);
    free(bytes);
    /* One head more than fits: the heads of one record after those of another. */
    c = sample_checkpoint();
    c.head_count = MLT_STATUS_HEADS_MAX;
    for (size_t i = 0; i < MLT_STATUS_HEADS_MAX; i++) {
        c.heads[i] = (struct mlt_head){ MLT_EVENT_TRADE, i + 1, 1 };
    }
    size_t more = 0;
    const struct mlt_book_checkpoint one = sample_checkpoint();
    bytes = encode_checkpoint(&c, &len);
    uint8_t *second = encode_checkpoint(&one, &more);
    uint8_t *both = malloc(len + more);
    assert_non_null(both);
    memcpy(both, bytes, len);
    memcpy(both + len, second, more);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_slice_of(both, len), &arena, &checkpoint),
                     MLT_OK);
    assert_int_equal(
        mlt_book_checkpoint_decode(mlt_slice_of(both, len + more), &arena, &checkpoint),
        MLT_E_TOO_BIG);
    free(both);
    free(second);
    free(bytes);
    mlt_arena_fini(&arena);
}

/* A state of a later version is not one to rely on, and no failure. */
static void test_an_unknown_state_reads_as_none(void **state)
{
    (void)state;
    const struct mlt_snapshot_record r = sample_record();
    struct mlt_snapshot_record out;
    size_t len = 0;
    uint8_t *bytes = encode_record(&r, &len);
    static const uint8_t live[2] = { 9 << 3, MLT_BOOK_LIVE };
    uint8_t *state_field = memmem(bytes, len, live, sizeof live);
    assert_non_null(state_field);
    state_field[1] = MLT_BOOK_STALE + 1;
    assert_int_equal(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &out), MLT_OK);
    assert_int_equal(out.state, MLT_BOOK_STATE_NONE);
    free(bytes);
}

static void test_mutated_bytes_are_refused_or_mean_something(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 65536, 4u << 20);
    unsigned accepted = 0, refused = 0;
    const struct mlt_book_checkpoint c = sample_checkpoint();
    const struct mlt_snapshot_record r = sample_record();
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        size_t len = 0;
        uint8_t *bytes = seed % 2 == 0 ? encode_checkpoint(&c, &len) : encode_record(&r, &len);
        const uint64_t at = mlt_mix64(seed);
        bytes[at % len] ^= (uint8_t)(1u << ((at >> 32) % 8));
        const struct mlt_slice mutated = mlt_slice_of(bytes, seed % 5 == 0 ? at % len : len);
        struct mlt_book_checkpoint checkpoint;
        struct mlt_snapshot_record record;
        mlt_arena_reset(&arena);
        const enum mlt_status status =
            seed % 2 == 0 ? mlt_book_checkpoint_decode(mutated, &arena, &checkpoint)
                          : mlt_snapshot_record_decode(mutated, &record);
        accepted += status == MLT_OK;
        refused += status != MLT_OK;
        free(bytes);
    }
    assert_true(accepted > 1000 && refused > 1000);
    mlt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_is_what_protobuf_reads_and_survives_the_round_trip),
        cmocka_unit_test(test_a_checkpoint_is_what_protobuf_reads_and_survives_the_round_trip),
        cmocka_unit_test(test_what_is_no_record_is_refused),
        cmocka_unit_test(test_an_unknown_state_reads_as_none),
        cmocka_unit_test(test_mutated_bytes_are_refused_or_mean_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

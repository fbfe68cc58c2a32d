/* An event, a record or a checkpoint that decodes encodes to bytes that decode to the same bytes
 * again, and an event has a JSON form. */
#include <stdlib.h>

#include "fuzz.h"
#include "meltica/base/buf.h"
#include "meltica/base/check.h"
#include "meltica/event/event.h"
#include "meltica/event/record.h"

static void round_trip(const struct mlt_event *event)
{
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 4u << 20);
    const size_t len = mlt_event_encoded_size(event);
    uint8_t *bytes = malloc(2 * len + 1);
    struct mlt_event again;
    MLT_CHECK(bytes != NULL && mlt_event_encode(event, bytes) == len);
    MLT_CHECK(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
    MLT_CHECK(mlt_event_encoded_size(&again) == len);
    MLT_CHECK(mlt_event_encode(&again, bytes + len) == len);
    MLT_CHECK(memcmp(bytes, bytes + len, len) == 0);
    struct mlt_buf json;
    mlt_buf_init(&json, 16u << 20);
    MLT_CHECK(mlt_event_to_json(event, &json) == MLT_OK);
    mlt_buf_fini(&json);
    free(bytes);
    mlt_arena_fini(&arena);
}

static void record_round_trip(const struct mlt_snapshot_record *record)
{
    const size_t len = mlt_snapshot_record_encoded_size(record);
    uint8_t *bytes = malloc(2 * len + 1);
    struct mlt_snapshot_record again;
    MLT_CHECK(bytes != NULL && mlt_snapshot_record_encode(record, bytes) == len);
    MLT_CHECK(mlt_snapshot_record_decode(mlt_slice_of(bytes, len), &again) == MLT_OK);
    MLT_CHECK(mlt_snapshot_record_encode(&again, bytes + len) == len);
    MLT_CHECK(memcmp(bytes, bytes + len, len) == 0);
    free(bytes);
}

static void checkpoint_round_trip(const struct mlt_book_checkpoint *checkpoint)
{
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 4u << 20);
    const size_t len = mlt_book_checkpoint_encoded_size(checkpoint);
    uint8_t *bytes = malloc(2 * len + 1);
    struct mlt_book_checkpoint again;
    MLT_CHECK(bytes != NULL && mlt_book_checkpoint_encode(checkpoint, bytes) == len);
    MLT_CHECK(mlt_book_checkpoint_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
    MLT_CHECK(mlt_book_checkpoint_encode(&again, bytes + len) == len);
    MLT_CHECK(memcmp(bytes, bytes + len, len) == 0);
    free(bytes);
    mlt_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 4u << 20);
    struct mlt_event event;
    if (mlt_event_decode(mlt_slice_of(data, size), &arena, &event) == MLT_OK) {
        round_trip(&event);
    }
    struct mlt_snapshot_record record;
    if (mlt_snapshot_record_decode(mlt_slice_of(data, size), &record) == MLT_OK) {
        record_round_trip(&record);
    }
    struct mlt_book_checkpoint checkpoint;
    if (mlt_book_checkpoint_decode(mlt_slice_of(data, size), &arena, &checkpoint) == MLT_OK) {
        checkpoint_round_trip(&checkpoint);
    }
    struct mlt_slice rest = mlt_slice_of(data, size), element;
    unsigned elements = 0;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        MLT_CHECK(element.data >= data && element.data + element.len <= data + size);
        MLT_CHECK(++elements <= size);
    }
    mlt_arena_fini(&arena);
    return 0;
}

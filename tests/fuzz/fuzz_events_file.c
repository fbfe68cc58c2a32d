/* Files of meltica record from outside, as a replay reads them: what is handed on is part of the
 * file, of an instrument that is a token, and due within the time of the recording. */
#include "events_file.h"
#include "input.h"

#define ARENA_BYTES_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice rest = { data, size }, bytes;
    struct mlt_event event;
    struct mlt_arena arena;
    int64_t first_ns = 0;
    unsigned events = 0;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    while (mlt_events_file_next(&rest, &arena, &event, &bytes) == MLT_OK) {
        MLT_CHECK(bytes.data >= data && bytes.data + bytes.len <= data + size);
        MLT_CHECK(mlt_instrument_token_valid(event.instrument));
        if (events++ == 0) {
            first_ns = event.stamps.received;
        }
        const int64_t due = mlt_events_file_due_ns(first_ns, event.stamps.received, 1);
        const int64_t hurried = mlt_events_file_due_ns(first_ns, event.stamps.received, 1000000);
        MLT_CHECK(hurried >= 0 && due >= hurried);
        MLT_CHECK(event.stamps.received > first_ns || due == 0);
    }
    mlt_arena_fini(&arena);
    return 0;
}

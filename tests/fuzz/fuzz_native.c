/* As fuzz_event, for what crosses the inner hops. */
#include <stdlib.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "meltica/event/native.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 4u << 20);
    struct mlt_native_event event, again;
    if (mlt_native_decode(mlt_slice_of(data, size), &arena, &event) == MLT_OK) {
        const size_t len = mlt_native_encoded_size(&event);
        uint8_t *bytes = malloc(2 * len + 1);
        MLT_CHECK(bytes != NULL && mlt_native_encode(&event, bytes) == len);
        MLT_CHECK(mlt_native_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
        MLT_CHECK(mlt_native_encode(&again, bytes + len) == len);
        MLT_CHECK(memcmp(bytes, bytes + len, len) == 0);
        free(bytes);
    }
    struct mlt_hop hop;
    uint8_t header[MLT_HOP_BYTES];
    if (mlt_hop_decode(mlt_slice_of(data, size), &hop) == MLT_OK) {
        struct mlt_hop copy;
        mlt_hop_encode(&hop, header);
        MLT_CHECK(mlt_hop_decode(mlt_slice_of(header, sizeof header), &copy) == MLT_OK);
        MLT_CHECK(copy.boot == hop.boot && copy.number == hop.number && copy.flags == hop.flags);
    }
    mlt_arena_fini(&arena);
    return 0;
}

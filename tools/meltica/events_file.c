#include "events_file.h"

enum mlt_status mlt_events_file_next(struct mlt_slice *rest, struct mlt_arena *arena,
                                     struct mlt_event *event, struct mlt_slice *bytes)
{
    enum mlt_status status = mlt_batch_next(rest, bytes);
    if (status != MLT_OK) {
        return status;
    }
    mlt_arena_reset(arena);
    status = mlt_event_decode(*bytes, arena, event);
    /* It becomes part of a subject. */
    return status == MLT_OK && !mlt_instrument_token_valid(event->instrument) ? MLT_E_PARSE
                                                                              : status;
}

int64_t mlt_events_file_due_ns(int64_t first_ns, int64_t at_ns, int64_t speed)
{
    int64_t after = 0;
    if (at_ns <= first_ns) {
        return 0;
    }
    return __builtin_sub_overflow(at_ns, first_ns, &after) ? INT64_MAX : after / speed;
}

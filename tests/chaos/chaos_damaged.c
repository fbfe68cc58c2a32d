#include "mlt_test.h"

#include "chaos_damaged.h"

#include <stdlib.h>

#include "meltica/base/clock.h"

/* From where the exchange sent it to where the Adapter has read it; both stamp by one clock. */
#define BEFORE_NS (1 * MLT_NS_PER_S)
#define AFTER_NS (10 * MLT_NS_PER_S)

void chaos_damaged_open(struct chaos_damaged *damaged)
{
    *damaged = (struct chaos_damaged){
        .frames = calloc(CHAOS_DAMAGED_MAX, sizeof *damaged->frames),
        .rejections = calloc(CHAOS_DAMAGED_MAX, sizeof *damaged->rejections),
        .excuses = calloc(CHAOS_EXCUSES_MAX, sizeof *damaged->excuses),
    };
    assert_non_null(damaged->frames);
    assert_non_null(damaged->rejections);
    assert_non_null(damaged->excuses);
}

void chaos_damaged_close(struct chaos_damaged *damaged)
{
    free(damaged->frames);
    free(damaged->rejections);
    free(damaged->excuses);
}

static void keep(struct chaos_damaged *d, struct chaos_damage *to, size_t *count, int64_t time_ns,
                 uint64_t bytes)
{
    if (*count == CHAOS_DAMAGED_MAX) {
        d->forgotten++;
        return;
    }
    to[(*count)++] = (struct chaos_damage){ .time_ns = time_ns, .bytes = bytes };
}

void chaos_damaged_frame(struct chaos_damaged *damaged, int64_t time_ns, uint64_t bytes)
{
    keep(damaged, damaged->frames, &damaged->frame_count, time_ns, bytes);
}

void chaos_damaged_rejection(struct chaos_damaged *damaged, int64_t received_ns, uint64_t bytes,
                             uint64_t suppressed)
{
    damaged->suppressed += suppressed;
    keep(damaged, damaged->rejections, &damaged->rejection_count, received_ns, bytes);
}

void chaos_damaged_excuse(struct chaos_damaged *damaged, int64_t from_ns, int64_t until_ns)
{
    if (damaged->excuse_count == CHAOS_EXCUSES_MAX) {
        damaged->forgotten++;
        return;
    }
    damaged->excuses[damaged->excuse_count++] = (struct chaos_excuse){ from_ns, until_ns };
}

static bool was_rejected(struct chaos_damaged *d, const struct chaos_damage *frame)
{
    for (size_t i = 0; i < d->rejection_count; i++) {
        struct chaos_damage *r = &d->rejections[i];
        if (!r->taken && r->bytes == frame->bytes && r->time_ns >= frame->time_ns - BEFORE_NS &&
            r->time_ns <= frame->time_ns + AFTER_NS) {
            r->taken = true;
            return true;
        }
    }
    return false;
}

static bool is_excused(const struct chaos_damaged *d, int64_t time_ns)
{
    for (size_t i = 0; i < d->excuse_count; i++) {
        if (time_ns >= d->excuses[i].from_ns && time_ns <= d->excuses[i].until_ns) {
            return true;
        }
    }
    return false;
}

void chaos_damaged_judge(struct chaos_damaged *damaged)
{
    for (size_t i = 0; i < damaged->frame_count; i++) {
        const struct chaos_damage *frame = &damaged->frames[i];
        if (was_rejected(damaged, frame)) {
            damaged->said++;
        } else if (is_excused(damaged, frame->time_ns)) {
            damaged->excused++;
        } else if (damaged->unsaid++ == 0) {
            damaged->first_unsaid_ns = frame->time_ns;
        }
    }
}

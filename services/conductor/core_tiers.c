/* What is merged to the newest while there is no room for it (docs/wire-format.md, "Delivery
 * tiers"): TICKER, BBO, and KLINE of a candle that is open. One place for each (instrument, type),
 * of KLINE for each interval; what waits in it has no number yet. See core.h. */
#include <stdlib.h>

#include "core_internal.h"

/* A TICKER is the largest, with some 300 bytes; what is larger than this does not wait. */
#define KEPT_BYTES_MAX 4096u

struct kept {
    TAILQ_ENTRY(kept) link; /* of those that wait, the first that began to is the first */
    struct instrument *instrument;
    enum mlt_event_type type;
    bool waits;
    int64_t until_ns; /* monotonic: then it leaves, room or not */
    int64_t first;    /* source.first of the first that it stands for */
    uint32_t merged;  /* how many it stands for besides itself */
    struct mlt_buf newest;
};

enum mlt_conductor_room mlt_conductor_room(const struct mlt_conductor_core *core)
{
    return core->ports.room == NULL || core->draining ? MLT_ROOM_FOR_ALL
                                                      : core->ports.room(core->ports.ctx);
}

static struct kept **place_of(struct instrument *i, const struct mlt_event *event)
{
    return event->type == MLT_EVENT_KLINE
               ? &mlt_conductor_candles_of(i, event->u.kline.interval)->kept
               : &i->channels[event->type].kept;
}

static void end_wait(struct mlt_conductor_core *core, struct kept *k)
{
    TAILQ_REMOVE(&core->kept, k, link);
    k->waits = false;
    core->counts.kept--;
}

/* The event stands for what waited, too. A candle's first is what it opens at, whatever is merged.
 */
static void cover(struct mlt_event *event, int64_t first, uint32_t merged)
{
    if (merged == 0) {
        return;
    }
    event->merged += merged;
    event->quality |= MLT_QUALITY_CONFLATED;
    if (event->type != MLT_EVENT_KLINE) {
        event->first = first;
        event->key = mlt_event_key(event->instrument, event->type, first, event->last, 0);
    }
}

static void leave(struct mlt_conductor_core *core, struct kept *k)
{
    struct mlt_event event;
    struct instrument *i = k->instrument;
    end_wait(core, k);
    mlt_arena_reset(&core->kept_arena);
    if (!mlt_conductor_current(core, i) ||
        mlt_event_decode(mlt_buf_view(&k->newest), &core->kept_arena, &event) != MLT_OK) {
        core->counts.kept_dropped++; /* another owner's by now; or no memory: it was encoded here */
        return;
    }
    cover(&event, k->first, k->merged);
    mlt_conductor_number_and_send(core, i, &event);
}

/* The newest, in the place of what waits. False: no memory, and nothing changed. */
static bool keep(struct mlt_conductor_core *core, struct instrument *i, struct kept **place,
                 const struct mlt_event *event)
{
    struct kept *k = *place;
    const size_t bytes = mlt_event_encoded_size(event);
    if (k == NULL) {
        k = calloc(1, sizeof *k);
        if (k == NULL) {
            return false;
        }
        k->instrument = i;
        k->type = event->type;
        mlt_buf_init(&k->newest, KEPT_BYTES_MAX);
        *place = k;
    }
    if (bytes > k->newest.len && mlt_buf_reserve(&k->newest, bytes - k->newest.len) != MLT_OK) {
        return false;
    }
    k->newest.len = mlt_event_encode(event, k->newest.data);
    if (k->waits) {
        k->merged++;
        core->counts.merged[k->type]++;
        return true;
    }
    k->waits = true;
    k->merged = 0;
    k->first = event->first;
    k->until_ns = mlt_conductor_mono_ns(core) + MLT_CONDUCTOR_WITHHELD_NS;
    TAILQ_INSERT_TAIL(&core->kept, k, link);
    core->counts.kept++;
    return true;
}

bool mlt_conductor_keep(struct mlt_conductor_core *core, struct instrument *i,
                        struct mlt_event *event)
{
    if (!mlt_conductor_is_merged(event->type)) {
        return false;
    }
    /* That a candle closes is said once, and does not wait. */
    const bool wait = !(event->type == MLT_EVENT_KLINE && event->u.kline.closed) &&
                      mlt_conductor_room(core) == MLT_ROOM_NOT_FOR_QUOTES;
    if (!wait && core->counts.kept == 0) {
        return false;
    }
    struct kept **place = place_of(i, event), *k = *place;
    if (k != NULL && k->waits && event->type == MLT_EVENT_KLINE && event->first != k->first) {
        leave(core, k); /* of the candle before, which nothing of this one replaces */
    }
    if (wait && keep(core, i, place, event)) {
        return true;
    }
    if (k != NULL && k->waits) {
        end_wait(core, k);
        core->counts.merged[k->type]++;
        cover(event, k->first, k->merged + 1);
    }
    return false;
}

static void leave_if_waits(struct mlt_conductor_core *core, struct kept *k)
{
    if (k != NULL && k->waits) {
        leave(core, k);
    }
}

void mlt_conductor_release(struct mlt_conductor_core *core, struct instrument *i)
{
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT && core->counts.kept > 0; t++) {
        leave_if_waits(core, i->channels[t].kept);
    }
    for (size_t c = 0; c < i->kline_count && core->counts.kept > 0; c++) {
        leave_if_waits(core, i->klines[c].kept);
    }
}

void mlt_conductor_tiers_room(struct mlt_conductor_core *core)
{
    struct kept *k = NULL;
    while ((k = TAILQ_FIRST(&core->kept)) != NULL &&
           mlt_conductor_room(core) != MLT_ROOM_NOT_FOR_QUOTES) {
        leave(core, k);
    }
}

void mlt_conductor_tiers_tick(struct mlt_conductor_core *core)
{
    struct kept *k = TAILQ_FIRST(&core->kept);
    const int64_t now = k != NULL ? mlt_conductor_mono_ns(core) : 0;
    while (k != NULL && now >= k->until_ns) {
        leave(core, k);
        k = TAILQ_FIRST(&core->kept);
    }
}

int64_t mlt_conductor_tiers_due_ns(const struct mlt_conductor_core *core)
{
    const struct kept *k = TAILQ_FIRST(&core->kept);
    return k != NULL ? k->until_ns : INT64_MAX;
}

static void end(struct kept *k)
{
    if (k != NULL) {
        mlt_buf_fini(&k->newest);
        free(k);
    }
}

void mlt_conductor_tiers_fini(struct instrument *i)
{
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        end(i->channels[t].kept);
    }
    for (size_t c = 0; c < i->kline_count; c++) {
        end(i->klines[c].kept);
    }
}

/* The core's instruments as others may see them. */
#include "core_internal.h"

static void fill(const struct instrument *i, struct mlt_instrument_view *out)
{
    *out = (struct mlt_instrument_view){ .instrument = mlt_slice_of(i->token, i->token_len),
                                         .last_event_ns = i->last_ns };
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        out->sequences[type] = i->channels[type].sequence;
    }
    if (i->fused != NULL) {
        struct mlt_sync_counts counts;
        mlt_fusion_counts(i->fused->fusion, &counts);
        out->has_book = true;
        out->state = (enum mlt_book_state)(mlt_fusion_state(i->fused->fusion) + 1);
        out->gaps = counts.gaps;
        out->stales = counts.stales;
        out->resyncs = counts.resyncs;
    }
}

size_t mlt_conductor_core_views(const struct mlt_conductor_core *core, size_t max,
                                void (*each)(void *ctx, const struct mlt_instrument_view *view),
                                void *ctx)
{
    size_t count = 0;
    for (const struct instrument *i = core->first; i != NULL; i = i->next) {
        if (core->epochs[i->slot] == 0) {
            continue; /* somebody else's */
        }
        if (count++ < max) {
            struct mlt_instrument_view view;
            fill(i, &view);
            each(ctx, &view);
        }
    }
    return count;
}

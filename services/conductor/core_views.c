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

void mlt_conductor_add_levels(const struct mlt_fusion *fusion, struct mlt_conductor_counts *to)
{
    struct mlt_orderbook_counts counts;
    mlt_orderbook_counts(mlt_fusion_levels(fusion), &counts);
    to->level_changes += counts.changes;
    to->unknown_deletes += counts.unknown_deletes;
}

void mlt_conductor_core_counts(const struct mlt_conductor_core *core,
                               struct mlt_conductor_counts *out)
{
    *out = core->counts;
    memset(out->states, 0, sizeof out->states);
    for (size_t n = 0; n < core->fused_count; n++) {
        const struct fused *f = core->fused[n];
        if (mlt_conductor_owns(core, f->instrument)) { /* else its state is not ours to tell */
            out->states[mlt_fusion_state(f->fusion) + 1]++;
        }
        mlt_conductor_add_levels(f->fusion, out);
    }
}

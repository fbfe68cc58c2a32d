/* Making the Conductor's books: one fusion an instrument, when something of a book comes or when an
 * owner before left one. See core_internal.h. */
#include <stdlib.h>

#include "core_internal.h"
#include "meltica/base/check.h"
#include "meltica/base/hash.h"

/* ---- ports ---- */

static void count_change(struct fused *f, const struct mlt_sync_change *change)
{
    struct mlt_conductor_counts *counts = &f->core->counts;
    counts->restored += change->reason == MLT_SYNC_RESTORED;
    counts->gaps += change->to == MLT_SYNC_GAP;
    counts->stales += change->to == MLT_SYNC_STALE;
    counts->crossed += change->reason == MLT_SYNC_CROSSED;
    if (change->to == MLT_SYNC_LIVE) {
        counts->resyncs += f->was_live && change->reason == MLT_SYNC_JOINED;
        counts->rejoined += f->restored && change->reason == MLT_SYNC_RESUMED;
        f->was_live = true;
    }
}

static void on_changed(void *ctx, const struct mlt_sync_change *change)
{
    struct fused *f = ctx;
    count_change(f, change);
    if (change->to != MLT_SYNC_STALE && change->to != MLT_SYNC_SYNCING) {
        f->restored = false;
    }
    f->ended = f->ended || change->to == MLT_SYNC_IDLE;
    MLT_CHECK(f->change_count < CHANGES_MAX);
    f->changes[f->change_count++] = *change;
}

static void on_request(void *ctx, uint32_t depth, enum mlt_sync_need need)
{
    struct fused *f = ctx;
    struct mlt_conductor_core *core = f->core;
    f->unheard = true;
    core->counts.requests++;
    if (core->ports.resync != NULL) {
        core->ports.resync(core->ports.ctx,
                           mlt_slice_of(f->instrument->token, f->instrument->token_len), depth,
                           need);
    }
}

/* ---- fusions ---- */

static enum mlt_status make_room(struct mlt_conductor_core *core)
{
    if (core->fused_count < core->fused_capacity) {
        return MLT_OK;
    }
    const size_t capacity = core->fused_capacity > 0 ? 2 * core->fused_capacity : 64;
    struct fused **fused = realloc(core->fused, capacity * sizeof *fused);
    if (fused == NULL) {
        return MLT_E_NOMEM;
    }
    core->fused = fused;
    int64_t *dues = realloc(core->dues, capacity * sizeof *dues);
    if (dues == NULL) {
        return MLT_E_NOMEM;
    }
    core->dues = dues;
    core->fused_capacity = capacity;
    return MLT_OK;
}

static enum mlt_status create_fusion(struct mlt_conductor_core *core, struct fused *f,
                                     int32_t price_exponent, int32_t quantity_exponent,
                                     struct mlt_fusion **out)
{
    const struct mlt_conductor_books *b = &core->books;
    const struct mlt_fusion_options options = {
        .sync = { .first_depth = b->first_depth,
                  .depth = b->snapshot_depth,
                  .shown = b->published_levels,
                  .request_timeout_ns = b->request_timeout_ns,
                  .backoff_base_ns = b->backoff_base_ns,
                  .backoff_max_ns = b->backoff_max_ns,
                  .stale_after_ns = b->stale_after_ns,
                  .refresh_interval_ns = b->refresh_ns,
                  .ahead_wait_ns = b->ahead_wait_ns,
                  .seed = mlt_mix64(b->seed + (f != NULL ? f->index : 0)),
                  .book = { b->book_levels, price_exponent, quantity_exponent } },
        .throttle_ns = b->throttle_ns,
    };
    const struct mlt_sync_ports ports = { on_request, on_changed, f, core->ports.clock };
    return mlt_fusion_create(&options, &ports, out);
}

static enum mlt_status first_book(struct mlt_conductor_core *core, struct instrument *i,
                                  struct fused **out)
{
    const enum mlt_status status = make_room(core);
    if (status != MLT_OK) {
        return status;
    }
    struct fused *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return MLT_E_NOMEM;
    }
    f->core = core;
    f->instrument = i;
    f->index = core->fused_count;
    mlt_buf_init(&f->held, MLT_CONDUCTOR_HOLD_BYTES_MAX);
    mlt_buf_init(&f->waits, WAITS_BYTES_MAX);
    *out = f;
    return MLT_OK;
}

enum mlt_status mlt_conductor_equip(struct mlt_conductor_core *core, struct instrument *i,
                                    int32_t price_exponent, int32_t quantity_exponent)
{
    struct fused *f = i->fused;
    if (f != NULL && mlt_fusion_fits(f->fusion, price_exponent, quantity_exponent)) {
        return MLT_OK;
    }
    enum mlt_status status = f != NULL ? MLT_OK : first_book(core, i, &f);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_fusion *fusion = NULL;
    status = create_fusion(core, f, price_exponent, quantity_exponent, &fusion);
    if (status != MLT_OK) {
        if (i->fused == NULL) {
            free(f);
        }
        return status;
    }
    if (i->fused != NULL) { /* other exponents: another book */
        mlt_fusion_stop(f->fusion);
        mlt_conductor_announce(core, f);
        mlt_conductor_add_levels(f->fusion, &core->counts); /* of books that are no more */
        if (f->committing && f->retired == NULL) {
            f->retired = f->fusion; /* until the answer: the BOOK on its way shows its levels */
        } else {
            mlt_fusion_destroy(f->fusion);
        }
    } else {
        core->fused[core->fused_count] = f;
        core->dues[core->fused_count++] = INT64_MAX;
        i->fused = f;
    }
    f->fusion = fusion;
    if (i->source_down) {
        mlt_fusion_source(fusion, false);
    }
    return MLT_OK;
}

enum mlt_status mlt_conductor_fuse(struct mlt_conductor_core *core, struct instrument *i,
                                   int32_t price_exponent, int32_t quantity_exponent)
{
    const enum mlt_status status = mlt_conductor_equip(core, i, price_exponent, quantity_exponent);
    if (status == MLT_OK) {
        mlt_fusion_start(i->fused->fusion);
    }
    return status;
}

enum mlt_status mlt_conductor_core_books(struct mlt_conductor_core *core,
                                         const struct mlt_conductor_books *options)
{
    if (core->first != NULL || core->makes_books) {
        return MLT_E_INVALID;
    }
    core->books = *options;
    struct mlt_fusion *tried = NULL;
    const enum mlt_status status = create_fusion(core, NULL, 0, 0, &tried);
    mlt_fusion_destroy(tried);
    if (status != MLT_OK) {
        return status;
    }
    for (size_t i = 0; i < 4; i++) {
        core->scratch.columns[i] = calloc(options->book_levels, sizeof(int64_t));
        if (core->scratch.columns[i] == NULL) {
            return MLT_E_NOMEM;
        }
    }
    core->scratch.levels = options->book_levels;
    core->makes_books = true;
    return MLT_OK;
}

enum mlt_status mlt_conductor_fuse_for(struct mlt_conductor_core *core, struct instrument *i,
                                       const struct mlt_levels *bids, const struct mlt_levels *asks)
{
    const struct mlt_levels *of = bids->count > 0 ? bids : asks;
    if (of->count > 0) {
        return mlt_conductor_fuse(core, i, of->price_exponent, of->quantity_exponent);
    }
    if (i->fused != NULL) {
        return MLT_OK;
    }
    return i->has_exponents ? mlt_conductor_fuse(core, i, i->price_exponent, i->quantity_exponent)
                            : MLT_E_MISSING;
}

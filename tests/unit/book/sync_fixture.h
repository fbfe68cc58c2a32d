/* A machine with time, requests and announcements in the test's hands. */
#ifndef MELTICA_TESTS_SYNC_FIXTURE_H
#define MELTICA_TESTS_SYNC_FIXTURE_H

#include "mlt_test.h"

#include "sync.h"

#define CHANGES_MAX 4096

struct sync_fixture {
    struct mlt_sync *sync;
    struct mlt_clock clock;
    int64_t now_ns;
    struct mlt_sync_change changes[CHANGES_MAX];
    size_t change_count;
    uint64_t requests;
    uint32_t depth;          /* of the last request */
    enum mlt_sync_need need; /* of the last request */
};

static int64_t fixture_now(void *ctx)
{
    return ((struct sync_fixture *)ctx)->now_ns;
}

static void fixture_request(void *ctx, uint32_t depth, enum mlt_sync_need need)
{
    struct sync_fixture *f = ctx;
    f->requests++;
    f->depth = depth;
    f->need = need;
}

static void fixture_changed(void *ctx, const struct mlt_sync_change *change)
{
    struct sync_fixture *f = ctx;
    assert_true(f->change_count < CHANGES_MAX);
    f->changes[f->change_count++] = *change;
}

static inline void fixture_open(struct sync_fixture *f, const struct mlt_sync_options *options)
{
    memset(f, 0, sizeof *f);
    f->now_ns = 1000 * MLT_NS_PER_S;
    f->clock = (struct mlt_clock){ fixture_now, fixture_now, f };
    const struct mlt_sync_ports ports = { fixture_request, fixture_changed, f, &f->clock };
    assert_int_equal(mlt_sync_create(options, &ports, &f->sync), MLT_OK);
}

static inline const struct mlt_sync_change *last_change(const struct sync_fixture *f)
{
    assert_true(f->change_count > 0);
    return &f->changes[f->change_count - 1];
}

#endif

#include "applied.h"

#include "meltica/bus/stored.h"

/* 0: there is none. */
static enum mlt_status revision_of(struct mlt_store *store, const char *key, uint64_t *revision,
                                   struct mlt_error *err)
{
    struct mlt_buf value;
    mlt_buf_init(&value, MLT_BUS_PAYLOAD_BYTES_MAX);
    enum mlt_status status = mlt_kv_get(store, MLT_DISPATCH_BUCKET, key, &value, revision, err);
    mlt_buf_fini(&value);
    if (status == MLT_E_NOT_FOUND) {
        *revision = 0;
        status = MLT_OK;
    }
    return status;
}

enum mlt_status mlt_applied_put(struct mlt_store *store, const char *subscription,
                                struct mlt_slice value, uint64_t *revision, bool (*may)(void *ctx),
                                void *ctx, struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    uint64_t expected = *revision;
    *revision = 0;
    if (expected == 0) {
        status = revision_of(store, subscription, &expected, err);
    }
    if (status == MLT_OK && !may(ctx)) {
        status = mlt_error_set(err, MLT_E_AGAIN, "put %s: another Dispatcher may know better",
                               subscription);
    }
    if (status == MLT_OK) {
        uint64_t written = 0;
        status =
            mlt_kv_update(store, MLT_DISPATCH_BUCKET, subscription, value, expected, &written, err);
        *revision = status == MLT_OK ? written : 0;
    }
    return status;
}

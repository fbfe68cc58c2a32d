#include "log_restore.h"

#include <stdio.h>

#include "meltica/base/clock.h"

static enum mlt_status pack(const struct mlt_live_item *item, struct mlt_buf *bytes)
{
    static char verb[] = "restore";
    Meltica__V1__ControlRecord record;
    Meltica__V1__Comparison comparisons[MLT_LIVE_FILTERS_MAX], *filter[MLT_LIVE_FILTERS_MAX];
    meltica__v1__control_record__init(&record);
    mlt_live_record(item, &record, comparisons, filter);
    record.active = true;
    record.verb = verb;
    record.time = (uint64_t)mlt_clock_wall_ns();
    mlt_buf_clear(bytes);
    const enum mlt_status status =
        mlt_buf_reserve(bytes, meltica__v1__control_record__get_packed_size(&record));
    if (status == MLT_OK) {
        bytes->len = meltica__v1__control_record__pack(&record, bytes->data);
    }
    return status;
}

enum mlt_status mlt_log_restore_one(struct mlt_store *store, const struct mlt_control_ports *ports,
                                    size_t n, struct mlt_buf *bytes, struct mlt_error *err)
{
    static const uint64_t nothing = 0; /* only as the first record of its subject */
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1] = "";
    const struct mlt_table *table = NULL;
    uint64_t sequence = 0;
    bool duplicate = false;
    const struct mlt_live *live = ports->lock(ports->ctx, &table);
    const struct mlt_live_item *item = n < live->count ? live->items[n] : NULL;
    enum mlt_status status = item != NULL ? pack(item, bytes) : MLT_E_EMPTY;
    if (item != NULL) {
        (void)snprintf(subject, sizeof subject, "meltica.int.control.%s.%s", item->principal,
                       item->subscription.id);
    }
    ports->unlock(ports->ctx);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "a record for the log: %s", mlt_status_text(status));
    }
    return mlt_stream_append(store, subject, NULL, &nothing, mlt_buf_view(bytes), &sequence,
                             &duplicate, err);
}

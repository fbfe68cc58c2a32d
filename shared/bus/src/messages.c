#include "meltica/bus/messages.h"

#include <stdio.h>
#include <string.h>

#include "meltica/base/check.h"
#include "meltica/base/unconst.h"
#include "meltica/v1/internal.pb-c.h"

enum mlt_status mlt_apply_request_read(struct mlt_slice bytes, struct mlt_apply_request *out)
{
    Meltica__V1__ApplyRequest *m = meltica__v1__apply_request__unpack(NULL, bytes.len, bytes.data);
    if (m == NULL) {
        return MLT_E_PARSE;
    }
    const size_t len = strlen(m->subscription);
    const bool good = len > 0 && len <= MLT_MESSAGES_NAME_BYTES_MAX;
    if (good) {
        *out = (struct mlt_apply_request){ .log_sequence = m->log_sequence,
                                           .wait_ms = m->wait_ms,
                                           .active = m->active != 0 };
        memcpy(out->subscription, m->subscription, len + 1);
        if (strlen(m->traceparent) < sizeof out->traceparent) {
            (void)snprintf(out->traceparent, sizeof out->traceparent, "%s", m->traceparent);
        }
    }
    meltica__v1__apply_request__free_unpacked(m, NULL);
    return good ? MLT_OK : MLT_E_PARSE;
}

static void take(bool accepted, const char *reason, struct mlt_taken *out)
{
    out->accepted = accepted;
    (void)snprintf(out->reason, sizeof out->reason, "%s", accepted ? "" : reason);
}

enum mlt_status mlt_fetch_reply_read(struct mlt_slice bytes, struct mlt_taken *out)
{
    Meltica__V1__FetchReply *m = meltica__v1__fetch_reply__unpack(NULL, bytes.len, bytes.data);
    if (m == NULL) {
        return MLT_E_PARSE;
    }
    take(m->accepted != 0, m->reason, out);
    meltica__v1__fetch_reply__free_unpacked(m, NULL);
    return MLT_OK;
}

enum mlt_status mlt_resync_reply_read(struct mlt_slice bytes, struct mlt_taken *out)
{
    Meltica__V1__ResyncReply *m = meltica__v1__resync_reply__unpack(NULL, bytes.len, bytes.data);
    if (m == NULL) {
        return MLT_E_PARSE;
    }
    take(m->accepted != 0, m->reason, out);
    meltica__v1__resync_reply__free_unpacked(m, NULL);
    return MLT_OK;
}

enum mlt_status mlt_table_mark_read(struct mlt_slice bytes, struct mlt_table_mark *out)
{
    Meltica__V1__TableMark *m = meltica__v1__table_mark__unpack(NULL, bytes.len, bytes.data);
    if (m == NULL) {
        return MLT_E_PARSE;
    }
    *out = (struct mlt_table_mark){ .revision = m->revision, .boot = m->boot };
    meltica__v1__table_mark__free_unpacked(m, NULL);
    return out->boot != 0 ? MLT_OK : MLT_E_PARSE;
}

enum mlt_status mlt_claim_read(struct mlt_slice bytes, struct mlt_claim *out)
{
    Meltica__V1__Claim *m = meltica__v1__claim__unpack(NULL, bytes.len, bytes.data);
    if (m == NULL) {
        return MLT_E_PARSE;
    }
    const size_t len = strlen(m->instance);
    const bool good = m->boot != 0 && len < sizeof out->instance;
    if (good) {
        *out = (struct mlt_claim){ .boot = m->boot, .time = m->time };
        memcpy(out->instance, m->instance, len + 1);
    }
    meltica__v1__claim__free_unpacked(m, NULL);
    return good ? MLT_OK : MLT_E_PARSE;
}

size_t mlt_claim_write(const struct mlt_claim *claim, uint8_t out[MLT_CLAIM_BYTES_MAX])
{
    Meltica__V1__Claim m;
    meltica__v1__claim__init(&m);
    m.instance = mlt_unconst(claim->instance);
    m.boot = claim->boot;
    m.time = claim->time;
    /* Three tags, two bytes of a length, two numbers of eight. */
    MLT_CHECK(meltica__v1__claim__get_packed_size(&m) <= MLT_CLAIM_BYTES_MAX);
    return meltica__v1__claim__pack(&m, out);
}

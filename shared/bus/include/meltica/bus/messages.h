/*
 * Small messages between services (proto/meltica/v1/internal.proto), read strictly: what nobody of
 * Meltica would have written is refused, not cut to size, but for words that are only told on: a
 * reason is cut, a traceparent that is too long left out. Pure; any thread.
 */
#ifndef MELTICA_BUS_MESSAGES_H
#define MELTICA_BUS_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

#define MLT_MESSAGES_NAME_BYTES_MAX 63u
#define MLT_MESSAGES_TRACE_BYTES 56u /* with its NUL */
#define MLT_MESSAGES_INSTANCE_BYTES_MAX 255u

/* ApplyRequest: the Control Bus to a Dispatcher. */
struct mlt_apply_request {
    uint64_t log_sequence;
    uint32_t wait_ms;
    bool active;
    char subscription[MLT_MESSAGES_NAME_BYTES_MAX + 1]; /* never empty */
    char traceparent[MLT_MESSAGES_TRACE_BYTES]; /* "" where it has none, or too long a one */
};
/* E_PARSE: unreadable, or of no subscription that can be; *out is undefined then. */
enum mlt_status mlt_apply_request_read(struct mlt_slice bytes,
                                       struct mlt_apply_request *out) MLT_MUST_CHECK;

/* FetchReply and ResyncReply: taken, or why not. */
struct mlt_taken {
    bool accepted;
    char reason[MLT_MESSAGES_NAME_BYTES_MAX + 1]; /* a word, cut where it is longer; "" accepted */
};
/* E_PARSE: unreadable; *out is undefined then. */
enum mlt_status mlt_fetch_reply_read(struct mlt_slice bytes, struct mlt_taken *out) MLT_MUST_CHECK;
enum mlt_status mlt_resync_reply_read(struct mlt_slice bytes, struct mlt_taken *out) MLT_MUST_CHECK;

/* TableMark: the Dispatcher asks whether a Data Bus has its table. */
struct mlt_table_mark {
    uint64_t revision;
    uint64_t boot; /* of the Dispatcher; never 0 */
};
/* E_PARSE: unreadable, or of nobody; *out is undefined then. */
enum mlt_status mlt_table_mark_read(struct mlt_slice bytes,
                                    struct mlt_table_mark *out) MLT_MUST_CHECK;

/* Claim: the value of a key of meltica-owners. */
struct mlt_claim {
    uint64_t boot; /* never 0 */
    uint64_t time; /* ns since 1970 */
    char instance[MLT_MESSAGES_INSTANCE_BYTES_MAX + 1];
};
#define MLT_CLAIM_BYTES_MAX 288u
/* E_PARSE: unreadable, of nobody (boot 0), or with a longer name than one can have; *out is
 * undefined then. */
enum mlt_status mlt_claim_read(struct mlt_slice bytes, struct mlt_claim *out) MLT_MUST_CHECK;
/* Returns the length. */
size_t mlt_claim_write(const struct mlt_claim *claim, uint8_t out[MLT_CLAIM_BYTES_MAX]);

#endif

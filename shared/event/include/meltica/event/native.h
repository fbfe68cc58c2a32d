/*
 * Codecs of what crosses the inner hops: native instances, and the Hop header of a batch
 * (proto/meltica/v1/internal.proto). As in event.h: views of the caller's memory when encoding, of
 * the arena or the decoded bytes after decoding. Pure, any thread; encoding never allocates.
 */
#ifndef MELTICA_EVENT_NATIVE_H
#define MELTICA_EVENT_NATIVE_H

#include "meltica/event/event.h"

#define MLT_UNPARSED_ORIGINAL_BYTES_MAX 4096u

/* Encoded size of one NativeEvent, then its bytes into out (exactly that size). original of an
 * unparsed one is cut at MLT_UNPARSED_ORIGINAL_BYTES_MAX. */
size_t mlt_native_encoded_size(const struct mlt_native_event *event);
size_t mlt_native_encode(const struct mlt_native_event *event, uint8_t *out);
/* E_PARSE, E_TOO_BIG, E_MISSING (no payload), E_NOMEM as mlt_event_decode. An empty instrument is
 * legal for unparsed instances only. */
enum mlt_status mlt_native_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                  struct mlt_native_event *out) MLT_MUST_CHECK;

enum { MLT_HOP_HEAD = 1, MLT_HOP_LOST = 2, MLT_HOP_COVERS = 4 }; /* bits, enum HopFlag */

struct mlt_hop {
    uint64_t boot, number, oldest, resume, epoch;
    uint32_t flags;
};

/* Tag, length and the fixed-size fields of field 15; always this long, so it can stand before the
 * elements of a batch and be renewed in place. */
#define MLT_HOP_BYTES 52u
void mlt_hop_encode(const struct mlt_hop *hop, uint8_t out[MLT_HOP_BYTES]);
/* Finds field 15 of a batch; the first one counts. E_MISSING when there is none, E_PARSE. */
enum mlt_status mlt_hop_decode(struct mlt_slice batch, struct mlt_hop *hop) MLT_MUST_CHECK;

#endif

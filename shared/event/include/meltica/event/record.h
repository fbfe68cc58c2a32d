/*
 * What the KV bucket meltica-snapshots holds of an instrument: the last fused book as published
 * (key `<instrument>`), and the whole known book for who follows deltas (key
 * `<instrument>.checkpoint`). Mirrors SnapshotRecord and BookCheckpoint of event.proto;
 * docs/late-join.md says how to use them. Pure; any thread.
 */
#ifndef MELTICA_EVENT_RECORD_H
#define MELTICA_EVENT_RECORD_H

#include "meltica/event/event.h"

struct mlt_snapshot_record {
    struct mlt_slice event; /* an encoded BOOK */
    uint64_t epoch;
    int64_t last_update_id;
    int64_t committed_ns; /* since 1970 */
    size_t head_count;    /* <= MLT_STATUS_HEADS_MAX */
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    int64_t snapshot_update_id, snapshot_time_ns;
    uint64_t deltas_applied;
    enum mlt_book_state state;
    uint32_t throttle_ms;
    int64_t refresh_due_ns; /* since 1970, 0: none is planned */
    bool source_up;         /* the exchange's line was not known to be down */
};

struct mlt_book_checkpoint {
    struct mlt_slice instrument; /* token */
    uint64_t epoch;
    int64_t last_update_id;
    struct mlt_levels bids, asks; /* inside the known window only */
    uint32_t digest, digest_version;
    int64_t time_ns; /* since 1970 */
    size_t head_count;
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    int64_t snapshot_update_id, snapshot_time_ns;
    enum mlt_book_state state;
    bool bids_whole, asks_whole; /* there are no other levels */
};

/* Encoded size, then the bytes into out (exactly that size). Never allocates. */
size_t mlt_snapshot_record_encoded_size(const struct mlt_snapshot_record *record);
size_t mlt_snapshot_record_encode(const struct mlt_snapshot_record *record, uint8_t *out);
size_t mlt_book_checkpoint_encoded_size(const struct mlt_book_checkpoint *checkpoint);
size_t mlt_book_checkpoint_encode(const struct mlt_book_checkpoint *checkpoint, uint8_t *out);

/* Decodes; slices point into bytes. `event` is not decoded (mlt_event_decode does). E_PARSE on
 * malformed bytes, E_TOO_BIG above MLT_STATUS_HEADS_MAX heads, E_MISSING without event. */
enum mlt_status mlt_snapshot_record_decode(struct mlt_slice bytes,
                                           struct mlt_snapshot_record *out) MLT_MUST_CHECK;
/* As above; levels are of the arena. E_TOO_BIG also above MLT_EVENT_LEVELS_MAX or a too long token,
 * E_MISSING without instrument, E_NOMEM when the arena is exhausted. */
enum mlt_status mlt_book_checkpoint_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                           struct mlt_book_checkpoint *out) MLT_MUST_CHECK;

#endif

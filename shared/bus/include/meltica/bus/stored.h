/*
 * Every stream and bucket of Meltica in one place: what its maker provisions, and what `meltica
 * doctor` compares with. CONTROL connections; blocks as store.h says.
 */
#ifndef MELTICA_BUS_STORED_H
#define MELTICA_BUS_STORED_H

#include "meltica/bus/store.h"

#define MLT_STREAM_CONTROL "MELTICA_CONTROL"
#define MLT_STREAM_AUDIT "MELTICA_AUDIT"
#define MLT_SNAPSHOTS_BUCKET "meltica-snapshots"
#define MLT_INSTRUMENTS_BUCKET "meltica-instruments"
#define MLT_DISPATCH_BUCKET "meltica-dispatch"
#define MLT_WEIGHT_BUCKET "meltica-weight"

enum mlt_stored {
    MLT_STORED_CONTROL,
    MLT_STORED_AUDIT,
    MLT_STORED_REJECTED,
    MLT_STORED_JOURNAL,
    MLT_STORED_DISPATCH,
    MLT_STORED_INSTRUMENTS,
    MLT_STORED_OWNERS,
    MLT_STORED_SNAPSHOTS,
    MLT_STORED_WEIGHT,
    MLT_STORED_COUNT
};

struct mlt_stored_spec {
    struct mlt_stream_spec stream; /* of a bucket: name (KV_<bucket>) and memory only */
    const char *bucket;            /* NULL: a stream */
    bool dated;                    /* its first sequence is the time at which it is made */
    bool own_limits;               /* size and age are configured: any will do, but none will not */
    bool optional;                 /* only where a setting asks for it */
    const char *maker;             /* micro service that makes it */
    const char *when; /* NULL: as soon as its maker runs; else the occasion, in words */
};
extern const struct mlt_stored_spec mlt_stored[MLT_STORED_COUNT];

/* As mlt_store_ensure_stream and _bucket, of one that has no limits of its own. */
enum mlt_status mlt_stored_ensure(struct mlt_store *store, enum mlt_stored which,
                                  struct mlt_error *err) MLT_MUST_CHECK;

struct mlt_stored_report {
    char wrong[320];   /* settings with which the services cannot work, in words; "": none */
    char differs[320]; /* settings that are not what its maker asks for, and may be meant */
    char lacking[320]; /* replicas of it that are away or behind */
    char command[512]; /* of the nats CLI, which makes it as it should be */
    char options[32];  /* of `nats stream edit`, where the replicas differ */
    uint64_t messages, bytes, last_sequence;
    int64_t created_ns; /* since 1970: one that was lost and made anew has another */
};
/* Looks at what exists and changes nothing; 1 s at most. replicas: that its maker gives it; 0: not
 * known, then one replica in a cluster is told. E_NOT_FOUND: it is not there (command is
 * filled); E_AUTH, E_UNAVAILABLE (no JetStream). */
enum mlt_status mlt_stored_inspect(struct mlt_store *store, enum mlt_stored which,
                                   uint32_t replicas, struct mlt_stored_report *report,
                                   struct mlt_error *err) MLT_MUST_CHECK;

#endif

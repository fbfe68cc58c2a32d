/*
 * Compare-and-set writes to one key-value bucket by somebody who must not wait (RULINGS 5, 6): a
 * put is handed over, its answer comes by a callback. The blocking calls are in store.h.
 *
 * Not with js_PublishAsync of nats.c 3.10.1, which blocks its caller where the stream is gone, but
 * as plain messages to "$KV.<bucket>.<key>" with the expected revision in a header and a reply
 * subject in an inbox of the writer's. They leave with the writes of a DATA bus, many together and
 * with whatever else it carries; a thread of the writer's gives up what was not answered in time.
 *
 * Several puts may be in flight, in the order of the calls. Two of one key at the same time are the
 * caller's mistake: the second one expects a revision that is not there yet, and is a conflict.
 */
#ifndef MELTICA_BUS_KV_WRITER_H
#define MELTICA_BUS_KV_WRITER_H

#include "meltica/bus/bus.h"

#define MLT_KV_ANSWER_NS (500 * INT64_C(1000000)) /* no answer by then counts as refused */
#define MLT_KV_IN_FLIGHT_MAX 65536u

struct mlt_kv_writer;

enum mlt_kv_outcome {
    MLT_KV_WRITTEN,     /* revision is the value's */
    MLT_KV_CONFLICT,    /* the key is not at the expected revision: read it */
    MLT_KV_TIMEOUT,     /* not answered in time: may be written all the same */
    MLT_KV_UNAVAILABLE, /* no JetStream, no bucket, no connection, or refused (code); where it was
                           the connection that ended, it may be written all the same */
    MLT_KV_OUTCOME_COUNT
};

struct mlt_kv_answer {
    void *about; /* of the put */
    enum mlt_kv_outcome outcome;
    uint64_t revision;   /* WRITTEN */
    int code;            /* of the server (err_code of JetStream; 503: nobody takes it); 0: none */
    int64_t duration_ns; /* since the put */
};

struct mlt_kv_writer_options {
    const char *bucket;
    /* Once a put, on a thread of the writer's or of the bus, several at a time; without a lock of
     * the writer's, which it may use. Must not block. Not on the loop of the bus. */
    void (*on_answer)(void *ctx, const struct mlt_kv_answer *answer);
    void *ctx;
    uint32_t in_flight_max; /* puts without answer; 0: 1,024 */
    size_t bytes_max;       /* of values not yet written to the connection; 0: 8 MiB */
    int64_t answer_ns;      /* 0: MLT_KV_ANSWER_NS */
};

struct mlt_kv_writer_stats {
    uint64_t puts; /* taken */
    uint64_t answers[MLT_KV_OUTCOME_COUNT];
    uint64_t refused_full;
    uint64_t late_answers; /* to what had been given up */
    uint64_t malformed;    /* answers that are none: UNAVAILABLE */
    uint64_t in_flight;    /* now */
    int64_t slowest_ns;    /* of those WRITTEN, since the last call */
};

/* bus: a DATA one, which must outlive the writer. The bucket need not exist. E_INVALID (bucket,
 * limits), E_NOMEM, and those of mlt_bus_subscribe. Any thread. */
enum mlt_status mlt_kv_writer_create(struct mlt_bus *bus,
                                     const struct mlt_kv_writer_options *options,
                                     struct mlt_kv_writer **writer,
                                     struct mlt_error *err) MLT_MUST_CHECK;
/* What has no answer yet gets UNAVAILABLE, from inside; after it there is no call of on_answer. Not
 * from on_answer. NULL is fine. */
void mlt_kv_writer_destroy(struct mlt_kv_writer *writer);

/* Writes the value if the key is at the revision `expected` (0: does not exist; a key that was
 * deleted does, as a marker). The value is copied. OK: exactly one answer follows, never from
 * inside. Otherwise none does: E_FULL, E_UNAVAILABLE (not connected), E_INVALID (key), E_TOO_BIG
 * (key, value), E_NOMEM. Never waits. Any thread. */
enum mlt_status mlt_kv_writer_put(struct mlt_kv_writer *writer, const char *key,
                                  struct mlt_slice value, uint64_t expected,
                                  void *about) MLT_MUST_CHECK;

void mlt_kv_writer_get_stats(struct mlt_kv_writer *writer, struct mlt_kv_writer_stats *out);

#endif

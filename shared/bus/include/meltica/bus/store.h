/*
 * JetStream: streams and buckets, claims of ownership, and the journal. Everything here runs on
 * CONTROL connections and may block for up to its timeout: never on a data path.
 * Provisioning: bind first, create only what is missing, never change what exists (an operator may
 * own it), but a log line tells where its replicas are not as many as are asked for. Mode
 * "external" never creates.
 */
#ifndef MELTICA_BUS_STORE_H
#define MELTICA_BUS_STORE_H

#include "meltica/bus/bus.h"
#include "meltica/event/event.h"

struct mlt_store; /* a JetStream context on a bus */

/* provision_replicas: servers that hold each stream and bucket which is missing and is made; 0:
 * none is made. E_UNAVAILABLE is not said here: JetStream may come later. */
enum mlt_status mlt_store_create(struct mlt_bus *control, uint32_t provision_replicas,
                                 struct mlt_store **store, struct mlt_error *err) MLT_MUST_CHECK;
void mlt_store_destroy(struct mlt_store *store);

struct mlt_stream_spec {
    const char *name;
    const char *subjects[4]; /* NULL-terminated unless full */
    bool memory;
    int64_t max_bytes, max_age_ns, max_msgs; /* 0: no limit */
    int64_t max_msgs_per_subject;            /* 0: no limit */
    int64_t duplicates_ns;                   /* window of message ids; 0: the server's default */
    uint64_t first_sequence;                 /* 0: 1 */
};
/* E_UNAVAILABLE (no JetStream, or too few servers for the replicas at present), E_NOT_FOUND
 * (external and missing), E_AUTH, E_CONFIG (replicas without a cluster, or what exists is of no
 * use). */
enum mlt_status mlt_store_ensure_stream(struct mlt_store *store, const struct mlt_stream_spec *spec,
                                        struct mlt_error *err) MLT_MUST_CHECK;
/* Appends one message to whatever stream captures the subject and waits for its acknowledgement, a
 * second at most. message_id: one that the stream knows is not stored again, *sequence is then the
 * first one's and *duplicate true; NULL: none. expected: only when the last message of the subject
 * has this sequence, else E_CONFLICT; NULL: in any case. E_UNAVAILABLE: no JetStream, or no stream
 * captures the subject or has a leader, nothing is stored; E_LIMIT: neither, it is full; E_TIMEOUT:
 * no acknowledgement, also since the connection ended meanwhile: it may be stored all the same. */
enum mlt_status mlt_stream_append(struct mlt_store *store, const char *subject,
                                  const char *message_id, const uint64_t *expected,
                                  struct mlt_slice payload, uint64_t *sequence, bool *duplicate,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* The first message at or after `from` whose subject matches; payload is appended. E_NOT_FOUND:
 * none; E_UNAVAILABLE: no JetStream or no such stream; E_PROTOCOL: the answer is one before it. A
 * second at most. */
enum mlt_status mlt_stream_next(struct mlt_store *store, const char *stream, const char *subject,
                                uint64_t from, struct mlt_buf *payload, uint64_t *sequence,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* The same for who decides by what there is: any replica of a cluster may answer a read, and be
 * behind, so E_NOT_FOUND is asked of the leader. E_UNAVAILABLE: also without a leader. Three
 * seconds at most. */
enum mlt_status mlt_stream_next_current(struct mlt_store *store, const char *stream,
                                        const char *subject, uint64_t from, struct mlt_buf *payload,
                                        uint64_t *sequence, struct mlt_error *err) MLT_MUST_CHECK;
/* Key-value bucket as stream KV_<name>; max_age_ns 0: for ever. */
enum mlt_status mlt_store_ensure_bucket(struct mlt_store *store, const char *name, bool memory,
                                        int64_t max_age_ns, uint64_t first_sequence,
                                        struct mlt_error *err) MLT_MUST_CHECK;

/* Blocking KV calls, 1 s each at most. put: *revision of the new value. update: only when the key
 * is at expected revision (0: must not exist, or was deleted); E_CONFLICT. get: value appended,
 * read from the leader, so that what was put is read; E_NOT_FOUND (key or bucket). E_UNAVAILABLE
 * (no JetStream, or the connection ended meanwhile); E_TIMEOUT of put and update: no
 * acknowledgement. After either of them a value may be written all the same: read before writing
 * again. E_AUTH, E_INVALID (name, key), E_TOO_BIG. */
enum mlt_status mlt_kv_put(struct mlt_store *store, const char *bucket, const char *key,
                           struct mlt_slice value, uint64_t *revision,
                           struct mlt_error *err) MLT_MUST_CHECK;
enum mlt_status mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                              struct mlt_slice value, uint64_t expected, uint64_t *revision,
                              struct mlt_error *err) MLT_MUST_CHECK;
enum mlt_status mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                           struct mlt_buf *value, uint64_t *revision,
                           struct mlt_error *err) MLT_MUST_CHECK;

/* ---- claims ---- */

#define MLT_OWNERS_BUCKET "meltica-owners"

struct mlt_claims;

struct mlt_claims_options {
    const char *service; /* keys "<service>.<slot>" */
    const char *instance;
    uint64_t boot;
    uint64_t slots; /* bit s: slot s is wanted */
    /* Somebody claimed a slot of ours with a higher revision: we own it no more. Thread of the
     * watcher. */
    void (*on_outbid)(void *ctx, uint32_t slot, uint64_t epoch);
    /* Asked before each request of mlt_claims_create, on its thread; false: the caller ends, and
     * nothing more is written. NULL: it is wanted. */
    bool (*wanted)(void *ctx);
    void *ctx;
};
/* Writes the claim of every wanted slot; epochs[s] is the revision, which is the epoch (the
 * bucket's first sequence is the time of its creation in ns, and one that is found empty goes on
 * with the time, so that epochs grow over its loss). Then watches the keys. E_UNAVAILABLE without
 * JetStream: the caller uses the start time in ns as epoch. E_NOT_FOUND (external and no bucket),
 * E_AUTH, E_CLOSED (not wanted any more: some claims may be written). */
enum mlt_status mlt_claims_create(struct mlt_store *store, const struct mlt_claims_options *options,
                                  uint64_t epochs[MLT_SLOT_COUNT], struct mlt_claims **claims,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* The claims stay: only a later one ends them. */
void mlt_claims_destroy(struct mlt_claims *claims);

/* ---- journal ---- */

#define MLT_JOURNAL_STREAM "MELTICA_JOURNAL"
#define MLT_JOURNAL_SUBJECT "meltica.journal" /* and ".<pp>", two digits as in hop.h */

struct mlt_journal;

struct mlt_journal_options {
    struct mlt_bus_options bus;  /* a connection of its own is made from it (kind is ignored) */
    uint32_t provision_replicas; /* of the stream; 0: it is not made */
    uint32_t partitions;
    int64_t max_age_ns; /* of the stream, when it is created; 0: 15 min */
    int64_t max_bytes;  /* 0: 1 GiB */
    size_t queue_bytes; /* 0: 4 MiB: events waiting to be batched or acknowledged */
};
struct mlt_journal_stats {
    uint64_t events, batches, bytes; /* acknowledged */
    /* Queue full, or a batch was not acknowledged (it may be in the stream all the same): a hole in
     * the journal. What is neither here nor in events waits. */
    uint64_t dropped_events;
    uint64_t failed_batches;
    uint64_t in_flight;                      /* batches */
    uint64_t queued_bytes, queued_bytes_max; /* of events without acknowledgement: now, the most */
    int64_t lag_ns;                          /* since the oldest of them was appended; 0: none */
    uint64_t ack_ns;                         /* over all acknowledged batches, from being sent */
    bool available;                          /* the stream was found, and nothing failed since */
};
/* A thread and a bounded queue of its own; never blocks its caller, also without JetStream. Batches
 * of 20 ms or 60 KB, at most 64 in flight, no message id. */
enum mlt_status mlt_journal_create(const struct mlt_journal_options *options,
                                   struct mlt_journal **journal,
                                   struct mlt_error *err) MLT_MUST_CHECK;
/* Sends what is queued, waits at most drain_ns for acknowledgements. */
void mlt_journal_destroy(struct mlt_journal *journal, int64_t drain_ns);
/* One encoded Event. False: dropped and counted. Any thread. */
bool mlt_journal_append(struct mlt_journal *journal, uint32_t partition, struct mlt_slice event);
void mlt_journal_get_stats(struct mlt_journal *journal, struct mlt_journal_stats *out);

#endif

/* Messages of a stream in order, asked for in runs. */
#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stream_reader.h"
#include "store_internal.h"

#define RUN_MAX 64u
/* So many come one by one before runs are worth it: who follows the end gets one at a time. Where
 * most sequences have no message any more a run brings next to nothing, and the next is tried after
 * twice as many, at most SINGLES_MAX. */
#define SINGLES_MIN 4u
#define SINGLES_MAX 256u
/* Of a run; what does not come in it is asked for alone, with a time of its own. */
#define RUN_NS (250 * MLT_NS_PER_MS)
/* About what the answers of a run may take; what comes beyond it is asked for again. */
#define RUN_BYTES_MAX (4u << 20)
/* What is held longer is asked for anew. */
#define HELD_NS MLT_NS_PER_S

struct mlt_stream_reader {
    struct mlt_store *store;
    char stream[MLT_STORE_NAME_BYTES_MAX + 1];
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    natsMsg *held[RUN_MAX];
    uint64_t sequences[RUN_MAX];
    size_t count, given;
    int64_t held_ns;   /* monotonic, since when */
    uint64_t expected; /* right behind what was given last */
    unsigned singles;  /* one after the other, since something was not there or a run was poor */
    unsigned wanted;   /* singles before the next run */
    unsigned run;      /* size of the next one */
    struct mlt_stream_reader_stats stats;
};

enum mlt_status mlt_stream_reader_create(struct mlt_store *store, const char *stream,
                                         const char *subject, struct mlt_stream_reader **out,
                                         struct mlt_error *err)
{
    *out = NULL;
    if (!mlt_store_name_valid(stream) || !mlt_bus_pattern_valid(subject) ||
        strpbrk(subject, "\"\\") != NULL) { /* it stands in JSON */
        return mlt_error_set(err, MLT_E_INVALID, "read: no name of a stream, or no subject");
    }
    struct mlt_stream_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "read %s: no memory", stream);
    }
    r->store = store;
    r->wanted = r->run = SINGLES_MIN;
    (void)snprintf(r->stream, sizeof r->stream, "%s", stream);
    (void)snprintf(r->subject, sizeof r->subject, "%s", subject);
    *out = r;
    return MLT_OK;
}

static void forget(struct mlt_stream_reader *r)
{
    for (size_t i = 0; i < r->count; i++) {
        natsMsg_Destroy(r->held[i]);
        r->held[i] = NULL;
    }
    r->count = r->given = 0;
}

void mlt_stream_reader_destroy(struct mlt_stream_reader *reader)
{
    if (reader != NULL) {
        forget(reader);
        free(reader);
    }
}

struct mlt_stream_reader_stats mlt_stream_reader_stats(const struct mlt_stream_reader *reader)
{
    return reader->stats;
}

/* 0: it is no message of a stream (404, or nothing that JetStream says). */
static uint64_t sequence_of(natsMsg *message)
{
    const char *text = NULL;
    char *end = NULL;
    if (natsMsgHeader_Get(message, "Nats-Sequence", &text) != NATS_OK || text == NULL ||
        text[0] < '0' || text[0] > '9') {
        return 0;
    }
    const uint64_t sequence = strtoull(text, &end, 10);
    return *end == '\0' && sequence != UINT64_MAX ? sequence : 0;
}

/* answers[i]: that to the request for from + i, NULL where none came. Those up to the first one
 * that is missing are every message from `from` to the last one of them. */
static void hold(struct mlt_stream_reader *r, uint64_t from, natsMsg **answers, unsigned n)
{
    uint64_t next = from;
    for (unsigned i = 0; i < n; i++) {
        const uint64_t sequence = answers[i] != NULL ? sequence_of(answers[i]) : 0;
        /* Less than what was asked for is none; an answer that passes over what another one has
         * is of a stream that changes. */
        if (sequence < from + i || sequence + 1 < next) {
            return;
        }
        if (sequence >= next) {
            r->held[r->count] = answers[i];
            r->sequences[r->count++] = sequence;
            answers[i] = NULL;
            next = sequence + 1;
        }
    }
}

static void collect(natsSubscription *subscription, size_t inbox_len, natsMsg **answers, unsigned n,
                    int64_t until_ns)
{
    size_t bytes = 0;
    unsigned came = 0;
    while (came < n && bytes < RUN_BYTES_MAX) {
        natsMsg *message = NULL;
        const int64_t left_ms = (until_ns - mlt_clock_mono_ns()) / MLT_NS_PER_MS;
        const natsStatus s =
            left_ms > 0 ? natsSubscription_NextMsg(&message, subscription, left_ms) : NATS_TIMEOUT;
        if (s == NATS_SLOW_CONSUMER) { /* said once: some are dropped, what came before is there */
            continue;
        }
        if (s != NATS_OK) {
            return;
        }
        came++;
        bytes += (size_t)natsMsg_GetDataLength(message);
        const char *subject = natsMsg_GetSubject(message);
        const uint64_t at =
            strlen(subject) > inbox_len ? strtoull(subject + inbox_len + 1, NULL, 10) : n;
        if (at < n && answers[at] == NULL) {
            answers[at] = message;
        } else {
            natsMsg_Destroy(message);
        }
    }
}

/* What of it fails is said by the request for one that follows it. */
static void read_run(struct mlt_stream_reader *r, uint64_t from)
{
    char inbox[MLT_BUS_INBOX_BYTES_MAX], api[MLT_STORE_NAME_BYTES_MAX + 32];
    char reply[MLT_BUS_INBOX_BYTES_MAX + 24], question[MLT_BUS_SUBJECT_BYTES_MAX + 64];
    natsConnection *nc = mlt_bus_nats(r->store->bus);
    natsSubscription *subscription = NULL;
    natsMsg *answers[RUN_MAX] = { NULL };
    const int64_t until_ns = mlt_clock_mono_ns() + RUN_NS;
    if (!mlt_bus_connected(r->store->bus) ||
        mlt_bus_make_inbox(r->store->bus, inbox, NULL) != MLT_OK) {
        return;
    }
    (void)snprintf(api, sizeof api, "$JS.API.DIRECT.GET.%s", r->stream);
    (void)snprintf(reply, sizeof reply, "%s.*", inbox);
    natsStatus s = natsConnection_SubscribeSync(&subscription, nc, reply);
    if (s == NATS_OK) {
        s = natsSubscription_SetPendingLimits(subscription, (int)RUN_MAX, (int)RUN_BYTES_MAX);
    }
    unsigned asked = 0;
    for (; s == NATS_OK && asked < r->run; asked++) {
        (void)snprintf(reply, sizeof reply, "%s.%u", inbox, asked);
        const int len =
            snprintf(question, sizeof question, "{\"seq\":%" PRIu64 ",\"next_by_subj\":\"%s\"}",
                     from + asked, r->subject);
        s = natsConnection_PublishRequest(nc, api, reply, question, len);
    }
    r->stats.runs++;
    if (s == NATS_OK) {
        collect(subscription, strlen(inbox), answers, asked, until_ns);
        hold(r, from, answers, asked);
    }
    natsSubscription_Destroy(subscription);
    for (unsigned i = 0; i < asked; i++) {
        natsMsg_Destroy(answers[i]);
    }
}

static enum mlt_status give(struct mlt_stream_reader *r, struct mlt_buf *payload,
                            uint64_t *sequence, struct mlt_error *err)
{
    natsMsg *message = r->held[r->given];
    const enum mlt_status status =
        mlt_buf_append(payload, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "read %s: no room", r->stream);
    }
    *sequence = r->sequences[r->given++];
    r->expected = *sequence + 1;
    return MLT_OK;
}

/* A run, and how it goes on: twice as many with the next one, or one by one for a while. */
static void try_run(struct mlt_stream_reader *r, uint64_t from)
{
    read_run(r, from);
    r->held_ns = mlt_clock_mono_ns();
    if (r->count > 1 && r->count >= r->run / 4) {
        r->run = 2 * r->run < RUN_MAX ? 2 * r->run : RUN_MAX;
        r->wanted = SINGLES_MIN;
        return;
    }
    r->run = SINGLES_MIN;
    r->singles = 0;
    r->wanted = 2 * r->wanted < SINGLES_MAX ? 2 * r->wanted : SINGLES_MAX;
}

enum mlt_status mlt_stream_reader_next(struct mlt_stream_reader *reader, uint64_t from,
                                       struct mlt_buf *payload, uint64_t *sequence,
                                       struct mlt_error *err)
{
    struct mlt_stream_reader *r = reader;
    if (from != r->expected || r->given == r->count || mlt_clock_mono_ns() - r->held_ns > HELD_NS) {
        forget(r);
    }
    if (r->count == 0 && from == r->expected && r->singles >= r->wanted) {
        try_run(r, from);
    }
    if (r->count > 0) {
        return give(r, payload, sequence, err);
    }
    r->stats.singles++;
    const enum mlt_status status =
        mlt_stream_next_current(r->store, r->stream, r->subject, from, payload, sequence, err);
    if (status == MLT_OK && from == r->expected) {
        r->singles++;
    } else { /* the end, or another place */
        r->singles = 0;
        r->wanted = r->run = SINGLES_MIN;
    }
    r->expected = status == MLT_OK ? *sequence + 1 : from;
    return status;
}

#include "verify.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"

#define ARENA_BYTES_MAX (16u << 20)
#define CHECKPOINT_BYTES_MAX (4u << 20)

struct verify {
    const struct mlt_verify_options *options;
    pthread_mutex_t lock; /* what the subscription's thread and the caller's share */
    struct mlt_follow *follow;
    struct mlt_arena arena; /* of events */
    uint64_t foreign;
    enum mlt_status failure;
    int wake; /* a checkpoint is wanted, or all is over */
};

static void wake(struct verify *v)
{
    const uint64_t one = 1;
    if (write(v->wake, &one, sizeof one) != sizeof one && v->failure == MLT_OK) {
        v->failure = MLT_E_IO;
    }
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct verify *v = ctx;
    (void)pthread_mutex_lock(&v->lock);
    struct mlt_event event;
    mlt_arena_reset(&v->arena);
    if (mlt_event_decode(message->payload, &v->arena, &event) != MLT_OK ||
        !mlt_slice_equal_string(event.instrument, v->options->instrument)) {
        v->foreign++;
    } else if (v->failure == MLT_OK) {
        const bool wanted = mlt_follow_wants_checkpoint(v->follow);
        v->failure = mlt_follow_event(v->follow, &event);
        if (v->failure != MLT_OK || wanted != mlt_follow_wants_checkpoint(v->follow)) {
            wake(v);
        }
    }
    (void)pthread_mutex_unlock(&v->lock);
}

/* Reads the checkpoint once and offers it. reason says why it did not help. */
static enum mlt_status read_checkpoint(struct verify *v, struct mlt_store *store,
                                       struct mlt_buf *value, struct mlt_arena *arena,
                                       struct mlt_verify_result *r)
{
    static const char *const answers[] = {
        [MLT_FOLLOW_JOINED] = "",
        [MLT_FOLLOW_OLDER] = "the checkpoint is from before the deltas that came",
        [MLT_FOLLOW_NOT_LIVE] = "the checkpoint is of a book that is not LIVE",
        [MLT_FOLLOW_MALFORMED] = "the checkpoint is no book that could be used",
    };
    char key[MLT_INSTRUMENT_BYTES_MAX + 16];
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_book_checkpoint checkpoint;
    uint64_t revision = 0;
    (void)snprintf(key, sizeof key, "%s.checkpoint", v->options->instrument);
    mlt_buf_clear(value);
    mlt_arena_reset(arena);
    r->checkpoint_reads++;
    enum mlt_status status = mlt_kv_get(store, MLT_VERIFY_BUCKET, key, value, &revision, &err);
    if (status == MLT_E_NOT_FOUND) {
        (void)snprintf(
            r->reason, sizeof r->reason,
            "no checkpoint %.60s in %s (%.80s): it is not listed, or nobody asks for its "
            "BOOK (meltica top --once shows what flows, meltica sub BOOK %.60s asks)",
            key, MLT_VERIFY_BUCKET, err.text, v->options->instrument);
        return MLT_OK;
    }
    if (status != MLT_OK) {
        (void)snprintf(r->reason, sizeof r->reason, "no checkpoint %.60s in %s: %.80s", key,
                       MLT_VERIFY_BUCKET, err.text[0] != '\0' ? err.text : mlt_status_text(status));
        return MLT_OK;
    }
    status = mlt_book_checkpoint_decode(mlt_buf_view(value), arena, &checkpoint);
    if (status != MLT_OK) {
        (void)snprintf(r->malformed, sizeof r->malformed, "the checkpoint is malformed: %.80s",
                       mlt_status_text(status));
        return MLT_OK;
    }
    enum mlt_follow_answer answer = MLT_FOLLOW_MALFORMED;
    (void)pthread_mutex_lock(&v->lock);
    if (mlt_follow_wants_checkpoint(v->follow)) {
        status = mlt_follow_checkpoint(v->follow, &checkpoint, &answer);
    } else {
        answer = MLT_FOLLOW_JOINED; /* a snapshot was faster, or it is not LIVE any more */
    }
    (void)pthread_mutex_unlock(&v->lock);
    if (answer == MLT_FOLLOW_MALFORMED) {
        (void)snprintf(r->malformed, sizeof r->malformed, "%s", answers[answer]);
    }
    (void)snprintf(r->reason, sizeof r->reason, "%s", answers[answer]);
    return status;
}

/* True: told to end. Waits for a wake, the descriptor, or the time. */
static bool wait_until(struct verify *v, int64_t at_ns)
{
    struct pollfd fds[2] = { { .fd = v->wake, .events = POLLIN },
                             { .fd = v->options->stop, .events = POLLIN } };
    const int64_t left = at_ns - mlt_clock_mono_ns();
    const int ms = left > 0 ? (int)((left + MLT_NS_PER_MS - 1) / MLT_NS_PER_MS) : 0;
    if (poll(fds, 2, ms) > 0 && fds[0].revents != 0) {
        uint64_t count = 0;
        if (read(v->wake, &count, sizeof count) != sizeof count) {
            return true;
        }
    }
    return v->options->stop >= 0 && (fds[1].revents & POLLIN) != 0;
}

struct moment {
    bool wants, joined;
    uint64_t early;
    enum mlt_status failure;
};

static struct moment look(struct verify *v)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct moment m = { mlt_follow_wants_checkpoint(v->follow), mlt_follow_joined(v->follow),
                              mlt_follow_get_counts(v->follow)->early, v->failure };
    (void)pthread_mutex_unlock(&v->lock);
    return m;
}

/* Joins, again when the book was given up, until the time is over. */
static enum mlt_status follow(struct verify *v, struct mlt_store *store,
                              struct mlt_verify_result *r)
{
    struct mlt_buf value;
    struct mlt_arena arena;
    mlt_buf_init(&value, CHECKPOINT_BYTES_MAX);
    mlt_arena_init(&arena, 64u << 10, ARENA_BYTES_MAX);
    const int64_t start = mlt_clock_mono_ns();
    int64_t unjoined_since = start, end = INT64_MAX, read_at = start;
    uint64_t early = 0;
    enum mlt_status status = MLT_OK;
    bool stop = false;
    while (status == MLT_OK && !stop) {
        struct moment m = look(v);
        const int64_t now = mlt_clock_mono_ns();
        status = m.failure;
        if (m.early != early) { /* that was no join */
            early = m.early;
            r->join_ns = -1;
            end = INT64_MAX;
            unjoined_since = start;
        }
        if (m.joined) {
            if (r->join_ns < 0) {
                r->join_ns = now - start;
                end = now + v->options->duration_ns;
            }
            unjoined_since = INT64_MAX;
        } else if (unjoined_since == INT64_MAX) {
            unjoined_since = now;
        }
        const int64_t give_up =
            unjoined_since == INT64_MAX ? INT64_MAX : unjoined_since + MLT_VERIFY_JOIN_NS;
        if (now >= end || now >= give_up || status != MLT_OK) {
            break;
        }
        int64_t until = end < give_up ? end : give_up;
        if (m.wants) {
            if (now >= read_at) {
                status = read_checkpoint(v, store, &value, &arena, r);
                read_at = mlt_clock_mono_ns() + MLT_VERIFY_AGAIN_NS;
                m = look(v);
            }
            until = m.wants && read_at < until ? read_at : m.joined ? 0 : until;
        }
        stop = wait_until(v, until);
    }
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    return status;
}

/* The first thing that is wrong, into the reason; false: there is none. */
static bool is_wrong(const struct verify *v, struct mlt_verify_result *r)
{
    const struct mlt_follow_counts *c = &r->counts;
    if (mlt_follow_wrong(v->follow)[0] != '\0') {
        (void)snprintf(r->reason, sizeof r->reason, "%s", mlt_follow_wrong(v->follow));
    } else if (r->malformed[0] != '\0') {
        (void)snprintf(r->reason, sizeof r->reason, "%s", r->malformed);
    } else if (c->sequence_holes > 0) {
        (void)snprintf(r->reason, sizeof r->reason,
                       "%" PRIu64 " events are missing by their sequence", c->sequence_holes);
    } else if (r->dropped + r->foreign > 0) {
        (void)snprintf(r->reason, sizeof r->reason,
                       "%" PRIu64 " messages were dropped here, %" PRIu64 " were no events of it",
                       r->dropped, r->foreign);
    } else {
        return false;
    }
    return true;
}

static void judge(struct verify *v, struct mlt_verify_result *r)
{
    const struct mlt_follow_counts *c = mlt_follow_get_counts(v->follow);
    r->counts = *c;
    r->foreign = v->foreign;
    r->compared = c->digests_right + c->digests_wrong + c->books_right + c->books_wrong;
    r->state = mlt_follow_state(v->follow);
    r->joined = mlt_follow_joined(v->follow);
    if (r->joined) {
        r->last_update_id = mlt_follow_book(v->follow)->last;
        r->digest = mlt_own_book_digest(mlt_follow_book(v->follow));
    }
    char why[sizeof r->reason];
    (void)snprintf(why, sizeof why, "%s", r->reason);
    r->reason[0] = '\0';
    const bool not_live = r->state != MLT_BOOK_LIVE && r->state != MLT_BOOK_STATE_NONE;
    const bool wrong = is_wrong(v, r);
    if (!wrong && !r->joined && not_live) {
        (void)snprintf(r->reason, sizeof r->reason, "the book is not LIVE at the end: %s",
                       mlt_book_state_word((int)r->state));
    } else if (!wrong && !r->joined) {
        (void)snprintf(r->reason, sizeof r->reason, "no book: %s",
                       why[0] != '\0' ? why : "it was given up at the end");
    } else if (!wrong && c->digests_right + c->books_right == 0) {
        (void)snprintf(r->reason, sizeof r->reason, "nothing carried a digest to compare");
    }
    r->right = r->reason[0] == '\0';
    r->undecided = !r->right && !wrong && (r->compared == 0 || not_live);
}

static enum mlt_status check(struct verify *v, struct mlt_verify_result *r, struct mlt_error *err)
{
    char subject[MLT_INSTRUMENT_BYTES_MAX + 32];
    (void)snprintf(subject, sizeof subject, "meltica.data.%s", v->options->instrument);
    const struct mlt_bus_subscribe_options subscribe = { .subject = subject,
                                                         .pending_count_max = 1 << 18,
                                                         .pending_bytes_max = 64u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_store *store = NULL;
    struct mlt_bus_stats before, after;
    mlt_bus_get_stats(v->options->bus, &before);
    enum mlt_status status = mlt_store_create(v->options->bus, 0, &store, err);
    if (status == MLT_OK) {
        status = mlt_bus_subscribe(v->options->bus, &subscribe, on_event, v, &subscription, err);
    }
    if (status == MLT_OK) {
        status = follow(v, store, r);
        mlt_bus_unsubscribe(subscription);
        mlt_bus_get_stats(v->options->bus, &after);
        r->dropped = after.slow_consumer_dropped - before.slow_consumer_dropped;
        judge(v, r);
    }
    mlt_store_destroy(store);
    return status;
}

enum mlt_status mlt_verify(const struct mlt_verify_options *options,
                           struct mlt_verify_result *result, struct mlt_error *err)
{
    *result = (struct mlt_verify_result){ .join_ns = -1 };
    struct verify v = { .options = options };
    if (!mlt_instrument_token_valid(mlt_slice_of_string(options->instrument))) {
        return mlt_error_set(err, MLT_E_INVALID, "not an instrument: %.96s", options->instrument);
    }
    v.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum mlt_status status = v.wake >= 0 ? mlt_follow_create(&v.follow) : MLT_E_IO;
    if (status == MLT_OK && pthread_mutex_init(&v.lock, NULL) == 0) {
        mlt_arena_init(&v.arena, 64u << 10, ARENA_BYTES_MAX);
        status = check(&v, result, err);
        mlt_arena_fini(&v.arena);
        (void)pthread_mutex_destroy(&v.lock);
    }
    mlt_follow_destroy(v.follow);
    if (v.wake >= 0) {
        (void)close(v.wake);
    }
    return status;
}

enum mlt_status mlt_verify_json(const struct mlt_verify_result *r, const char *instrument,
                                struct mlt_buf *out)
{
    const struct mlt_follow_counts *c = &r->counts;
    enum mlt_status status = mlt_buf_printf(
        out, "{\"instrument\":\"%s\",\"right\":%s,\"compared\":%" PRIu64 ",\"reason\":", instrument,
        r->right ? "true" : "false", r->compared);
    if (status == MLT_OK) {
        status = mlt_buf_append_json_string(out, mlt_slice_of_string(r->reason));
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(
            out,
            ",\"state\":\"%s\",\"joined\":%s,\"join_ms\":%" PRId64 ",\"last_update_id\":\"%" PRId64
            "\",\"digest\":%" PRIu32 ",\"checkpoint_reads\":%" PRIu64 ",\"events\":%" PRIu64
            ",\"deltas\":%" PRIu64 ",\"digests_right\":%" PRIu64 ",\"digests_wrong\":%" PRIu64,
            mlt_book_state_word((int)r->state), r->joined ? "true" : "false",
            r->join_ns < 0 ? -1 : r->join_ns / MLT_NS_PER_MS, r->last_update_id, r->digest,
            r->checkpoint_reads, c->events, c->deltas, c->digests_right, c->digests_wrong);
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(
            out,
            ",\"books\":%" PRIu64 ",\"books_right\":%" PRIu64 ",\"books_wrong\":%" PRIu64
            ",\"books_unchecked\":%" PRIu64 ",\"sequence_holes\":%" PRIu64 ",\"repeats\":%" PRIu64
            ",\"update_gaps\":%" PRIu64 ",\"resets\":%" PRIu64 ",\"checkpoints\":%" PRIu64
            ",\"crossed\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"dropped_here\":%" PRIu64 "}",
            c->books, c->books_right, c->books_wrong, c->books_unchecked, c->sequence_holes,
            c->repeats, c->update_gaps, c->resets, c->checkpoints, c->crossed, r->foreign,
            r->dropped);
    }
    return status;
}

/*
 * What the Adapter is asked to keep open: native stream topics by name, made from the Dispatcher's
 * plan, and what is known of each. Pure: no sockets, no clock of its own. One thread.
 * A plan part is the whole desired state of one partition: applying it twice changes nothing.
 */
#ifndef MELTICA_ADAPTER_TOPICS_H
#define MELTICA_ADAPTER_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "binance.h"
#include "meltica/base/map.h"
#include "meltica/v1/internal.pb-c.h"

#define MLT_TOPICS_MAX 65536u
#define MLT_TOPIC_NAME_BYTES_MAX 160u /* of a stream name */
#define MLT_TOPIC_REASON_BYTES_MAX 64u
#define MLT_TOPIC_PROBLEMS_MAX 100u /* in one PlanStatus */
#define MLT_LINE_NONE UINT32_MAX
#define MLT_COPIES_MAX 2u /* lines that bring a topic at the same time */
/* Copy c of a topic has seat 2c, and while the line of that is replaced seat 2c + 1, too. */
#define MLT_TOPIC_SEATS (2u * MLT_COPIES_MAX)

enum mlt_topic_state {
    MLT_TOPIC_PENDING, /* not acknowledged yet */
    MLT_TOPIC_LIVE,    /* acknowledged, or its data is here */
    MLT_TOPIC_SILENT,  /* acknowledged, and no message came; a halted listing is silent at once */
    MLT_TOPIC_FAILED,  /* see reason */
    MLT_TOPIC_STATE_COUNT
};

/* What a line was asked about a topic. */
enum mlt_seat_state { MLT_SEAT_OFF, MLT_SEAT_SUBSCRIBING, MLT_SEAT_ON, MLT_SEAT_UNSUBSCRIBING };

#define MLT_SEAT_NEVER INT64_MAX /* retry_at_ns: the exchange will never accept it */

/* Place of a topic on a line (lines.h keeps it). */
struct mlt_seat {
    uint32_t line; /* MLT_LINE_NONE: no place */
    enum mlt_seat_state state;
    bool failed;       /* the last request about it was refused or not answered */
    bool refused;      /* it was refused */
    bool again;        /* ON, and to be subscribed once more */
    bool seen;         /* data came by it since watch_ns of its topic */
    bool mute;         /* data came by the other copy for a while, and none by it */
    unsigned reminded; /* how often it was subscribed once more since it is mute */
    int64_t request;   /* id, while SUBSCRIBING or UNSUBSCRIBING; OFF: of the one not answered; 0 */
    int64_t retry_at_ns; /* after a failure; MLT_SEAT_NEVER */
    int64_t since_ns;    /* since when it stands; of use while it does */
};

struct mlt_topic_instrument {
    char *token;
    uint32_t partition;
    bool down;          /* SOURCE_DOWN was said and SOURCE_UP was not */
    bool stood;         /* SOURCE_UP was said: the Adapter before may have said SOURCE_DOWN last */
    bool pending, used; /* scratch of mlt_topics_look */
    bool missing;       /* the same: a topic of it is wanted here and not brought */
    bool lacks;         /* SOURCE_DOWN was said for that at a take-over: not up while it is so */
    uint32_t line[MLT_COPIES_MAX]; /* where that copy of its last topic was placed */
};

struct mlt_topic {
    char *name; /* "btcusdt@depth@100ms"; for what cannot be expanded the template and the token */
    struct mlt_topic_instrument *instrument; /* NULL: a topic that names none */
    uint32_t route;
    uint64_t wanted_by; /* bit p: the plan of partition p wants it */
    uint64_t pass;      /* of the last plan that named it */
    enum mlt_topic_state state;
    char reason[MLT_TOPIC_REASON_BYTES_MAX];
    bool seen;           /* data came since it was subscribed */
    bool watched;        /* two copies stand, and not both have sent data since watch_ns */
    bool halted;         /* listed, not trading: silence is normal */
    bool unlisted;       /* its symbol is not in exchangeInfo: never subscribed */
    int64_t unlisted_ns; /* since when */
    uint32_t batch; /* at most so many names in its request; halved after a refusal, 0: no limit */
    bool accepted;  /* since it was refused last: its name is right */
    int64_t acked_at_ns;
    int64_t watch_ns;
    int64_t stood_since_ns; /* since when it was brought without a pause, by whichever copies, also
                               over a planned hand-over; of use while it stands */
    unsigned reminded;      /* how often it was subscribed once more since data came */
    size_t index;
    struct mlt_seat seats[MLT_TOPIC_SEATS];
};

struct mlt_topics {
    uint32_t partitions;
    struct mlt_map by_name, instruments;
    struct mlt_topic **items; /* count */
    size_t count, capacity;
    uint64_t pass;
    /* The owner's, before it applies: monotonic time, and when the listing in force was asked for.
     */
    int64_t now_ns, listing_ns;
    bool unproven; /* a topic was found not to be listed by a listing older than its plan */
};

/* partitions 1..64. Allocates nothing yet. */
void mlt_topics_init(struct mlt_topics *topics, uint32_t partitions);
void mlt_topics_fini(struct mlt_topics *topics);

/* Makes the topics of plan->partition what the plan says; those that it no longer names lose their
 * bit and stay until their line has let them go, unless the plan is expanding (internal.proto):
 * then every stream stays wanted. Symbols that exchangeInfo does not list give a
 * FAILED topic (unknown_symbol), halted ones are marked. E_RANGE (partition), E_LIMIT, E_NOMEM:
 * what was done stays, the same plan may be applied again. */
enum mlt_status mlt_topics_apply(struct mlt_topics *topics, const Meltica__V1__NativePlan *plan,
                                 const struct mlt_binance_symbols *symbols) MLT_MUST_CHECK;

/* By stream name; NULL when unknown. No allocation: the frame path. */
struct mlt_topic *mlt_topics_find(const struct mlt_topics *topics, struct mlt_slice name);

static inline bool mlt_topic_wanted(const struct mlt_topic *topic)
{
    return topic->wanted_by != 0;
}

/* Its stream is there, as far as the exchange said: also while it is subscribed once more. */
static inline bool mlt_seat_stands(const struct mlt_seat *seat)
{
    return seat->state == MLT_SEAT_ON || (seat->state == MLT_SEAT_SUBSCRIBING && seat->again);
}

/* It was subscribed and nothing was answered: the exchange may have done it all the same. */
static inline bool mlt_seat_unanswered(const struct mlt_seat *seat)
{
    return seat->state == MLT_SEAT_OFF && seat->request != 0;
}

static inline bool mlt_seat_refused_for_good(const struct mlt_seat *seat)
{
    return seat->failed && seat->retry_at_ns == MLT_SEAT_NEVER;
}

/* Of any copy. */
static inline bool mlt_topic_stands(const struct mlt_topic *topic)
{
    return mlt_seat_stands(&topic->seats[0]) || mlt_seat_stands(&topic->seats[2]);
}

/* The seat of the other copy, of seat k of a topic. */
static inline const struct mlt_seat *mlt_topic_other(const struct mlt_topic *topic, unsigned k)
{
    return &topic->seats[k < 2 ? 2 : 0];
}

/* Nobody knows whether the exchange still sends it: an UNSUBSCRIBE is on its way, or was not
 * answered. What comes meanwhile may be the last of it. */
static inline bool mlt_seat_doubtful(const struct mlt_seat *seat)
{
    return seat->state == MLT_SEAT_UNSUBSCRIBING || seat->again;
}

/* Wanted, and no copy of it is sure. */
static inline bool mlt_topic_doubtful(const struct mlt_topic *topic)
{
    const struct mlt_seat *first = &topic->seats[0], *second = &topic->seats[2];
    return topic->state == MLT_TOPIC_PENDING &&
           (mlt_seat_doubtful(first) || mlt_seat_doubtful(second)) &&
           !(first->state == MLT_SEAT_ON && !first->again) &&
           !(second->state == MLT_SEAT_ON && !second->again);
}
/* Of a topic that is wanted again while its UNSUBSCRIBE is on its way, or since that was refused or
 * not answered: it is PENDING until it is subscribed once more. */
void mlt_topic_regain(struct mlt_topic *topic);

/* Refused for good, of any copy. */
static inline bool mlt_topic_refused_for_good(const struct mlt_topic *topic)
{
    return mlt_seat_refused_for_good(&topic->seats[0]) ||
           mlt_seat_refused_for_good(&topic->seats[2]);
}

/* It failed, and will be asked for again. */
static inline bool mlt_topic_is_tried_again(const struct mlt_topic *topic)
{
    return !mlt_topic_refused_for_good(topic) && (topic->seats[0].failed || topic->seats[2].failed);
}

/* Nothing ever comes of it, whoever asks: a listing that is younger than the plan that named it has
 * no such symbol. */
static inline bool mlt_topic_barren(const struct mlt_topics *topics, const struct mlt_topic *topic)
{
    return topic->unlisted && topics->listing_ns > topic->unlisted_ns;
}

/* State and reason (NULL: none); true when either changed. */
bool mlt_topic_set(struct mlt_topic *topic, enum mlt_topic_state state, const char *reason);

/* Frees the topics that nobody wants and no line has. */
void mlt_topics_sweep(struct mlt_topics *topics);

/* LIVE topics that were acknowledged before `before_ns` and sent nothing become SILENT. True when
 * one did. */
bool mlt_topics_watch(struct mlt_topics *topics, int64_t before_ns);

/* Two copies of a topic are compared from now on: of one that sends nothing while the other one
 * does the acknowledgement is not worth a thing. Of use where both stand. */
void mlt_topic_watch_copies(struct mlt_topic *topic, int64_t now_ns);
/* Copies that are compared since before `before_ns`, and of which the other one alone has sent
 * data, are mute from now on. How many became it. */
size_t mlt_topics_find_mute(struct mlt_topics *topics, int64_t before_ns);
/* Topics that are wanted, did not fail, and stand with fewer copies than that; a mute one is none.
 */
size_t mlt_topics_lacking(const struct mlt_topics *topics, uint32_t copies);

/* Topics that one of these partitions wants (bit p), by state. */
void mlt_topics_counts(const struct mlt_topics *topics, uint64_t partitions,
                       uint32_t counts[MLT_TOPIC_STATE_COUNT]);

/* Those topics of these partitions (bit p) that are not LIVE, at most max of them, views in `out`:
 * FAILED ones first, then PENDING, then SILENT ones, so that what tells whether a command came to
 * its end is not cut off by what is only quiet. How many. */
size_t mlt_topics_problems(const struct mlt_topics *topics, uint64_t partitions,
                           struct mlt_topic **out, size_t max);

/* Notes of each instrument whether it has topics that are wanted and did not fail for good
 * (`used`), whether one of them does not stand (`pending`), and whether any that is wanted does not
 * stand, failed or not, though somebody else may have it (`missing`). */
void mlt_topics_look(const struct mlt_topics *topics);
/* Of each partition: since when every topic that it wants was brought without a pause; INT64_MIN
 * where it wants none, INT64_MAX where one does not stand. But for those of which nothing ever
 * comes, and those whose instrument is to be said to be down (mlt_topics_look: missing). Returns
 * the partitions of these instruments. */
uint64_t mlt_topics_since(const struct mlt_topics *topics, int64_t since_ns[MLT_SLOT_COUNT]);

/* "PENDING", ... */
const char *mlt_topic_state_word(enum mlt_topic_state state);

/* Writes template with {symbol} replaced. E_TOO_BIG; E_INVALID for a template with another or a
 * second brace. *has_symbol: whether there was one. */
enum mlt_status mlt_topic_expand(const char *template_text, const char *symbol, char *out,
                                 size_t size, bool *has_symbol) MLT_MUST_CHECK;

#endif

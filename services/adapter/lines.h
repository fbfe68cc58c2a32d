/*
 * Which topic stands on which connection, and what is said to the exchange about it: sharding,
 * batches, pace, acknowledgements, back-off, hand-over. Pure: the clock is an argument, sockets are
 * ports. One thread. Limits: BINANCE.md sections 2 to 4, RULINGS 10.
 *
 * The owner calls the event functions as things happen and mlt_lines_turn after each and at the
 * time that the last turn named. Ports are called from within these calls.
 */
#ifndef MELTICA_ADAPTER_LINES_H
#define MELTICA_ADAPTER_LINES_H

#include "meltica/base/buf.h"
#include "meltica/rt/backoff.h"
#include "topics.h"

#define MLT_LINES_MAX 144u
#define MLT_LINES_SECOND_MAX (MLT_LINES_MAX / 2) /* for second copies */
#define MLT_LINE_REQUESTS_MAX 8u                 /* in flight on a line */
#define MLT_LINE_NAMES_MAX 200u                  /* in one request */
#define MLT_LINE_TEXT_BYTES_MAX 7500u            /* of one request: front ends cut near 8,000 */
#define MLT_LINE_OWN_PER_SECOND 4u /* requests of ours in any second: a pong has its place */
#define MLT_LINE_ALL_PER_SECOND                                                                    \
    4u /* with pongs, for a request to leave; a pong may be the fifth                              \
        */
/* To connect, in any 5 min over all lines of an address. The exchange refuses from 300. One that is
 * started again knows nothing of those before: what is left is for that, and holds a few starts. */
#define MLT_LINE_ATTEMPTS_MAX 240u
#define MLT_LINE_ATTEMPTS_WINDOW_NS INT64_C(300000000000)
#define MLT_LINES_NEVER INT64_MAX

struct mlt_lines_ports {
    /* Begin to connect; mlt_lines_opened or mlt_lines_ended follows. False: it could not begin. */
    bool (*connect)(void *ctx, uint32_t line);
    /* Begin to close; mlt_lines_ended follows. */
    void (*close)(void *ctx, uint32_t line);
    bool (*send)(void *ctx, uint32_t line, struct mlt_slice text);
    /* Data of an instrument stopped (and why), or all its topics stand again. */
    void (*source)(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                   const char *reason);
    void *ctx;
};

struct mlt_lines_options {
    uint32_t streams_per_line; /* the exchange's limit; 10 % are kept free */
    uint32_t attempts;         /* of MLT_LINE_ATTEMPTS_MAX, those that are ours; at least 1 */
    uint32_t copies;           /* 1, or 2: each topic on two lines at the same time */
    bool spare;                /* keep one empty line connected */
    int64_t collect_ns;        /* changes are gathered for so long */
    int64_t ack_ns;            /* then once more; after as long again: no_ack */
    int64_t retry_ns;          /* a failed topic is tried again after */
    int64_t rollover_ns;       /* age at which a line is replaced (less up to 1/24, by line) */
    int64_t linger_ns;         /* the old line stays so long after the new one has everything */
    int64_t backoff_base_ns, backoff_max_ns;
    uint64_t seed;
};

enum mlt_line_state {
    MLT_LINE_FREE,
    MLT_LINE_WAITING, /* for its next attempt */
    MLT_LINE_CONNECTING,
    MLT_LINE_UP,
    MLT_LINE_CLOSING
};

struct mlt_line_request {
    int64_t id; /* 0: free */
    bool subscribe;
    uint32_t names;
    unsigned tries;
    int64_t first_sent_ns, sent_ns;
};

/* A message that counts until ends_ns. */
struct mlt_line_place {
    int64_t id; /* of the request; 0: acknowledged, or free */
    int64_t ends_ns;
};

struct mlt_line {
    enum mlt_line_state state;
    uint32_t topics;    /* seats on it, counted at each turn that needs it */
    uint32_t copy;      /* which copy of its topics is on it; of use while it has some */
    uint32_t replaces;  /* line that this one takes over from, or MLT_LINE_NONE */
    uint32_t handed_to; /* line that has taken over from this one, or MLT_LINE_NONE */
    bool retiring;      /* somebody takes over, or it has handed over: no new topics */
    bool awaited;       /* who takes over has everything, and waits for a word of this one */
    int64_t opened_at_ns, roll_at_ns;
    int64_t heard_ns;     /* when something of it was read last, or it opened */
    int64_t retry_at_ns;  /* WAITING */
    int64_t close_at_ns;  /* handed over: closed then; 0: not */
    int64_t change_at_ns; /* when its gathered changes leave; MLT_LINES_NEVER: none */
    /* Places of the exchange's second: of our requests, and of what answers its pings. */
    struct mlt_line_place own[MLT_LINE_OWN_PER_SECOND];
    int64_t pong_ends_ns[MLT_LINE_ALL_PER_SECOND];
    /* Before that no new request of the kind begins, so that new streams never wait for a second
     * that earlier changes used up. */
    int64_t subscribe_at_ns, unsubscribe_at_ns;
    struct mlt_backoff backoff;
    struct mlt_line_request requests[MLT_LINE_REQUESTS_MAX];
};

struct mlt_lines_counters {
    uint64_t attempts, opened, ended, requests, resent, acks, unknown_acks, refusals, no_acks;
    uint64_t rollovers, reminders;
    uint64_t attempts_held; /* times that a line had to wait for the attempts of 5 min */
    uint64_t cuts_covered;  /* lines that ended, and each topic that stood there stands elsewhere */
};

struct mlt_lines {
    struct mlt_lines_options options;
    struct mlt_lines_ports ports;
    struct mlt_topics *topics;
    struct mlt_line lines[MLT_LINES_MAX];
    int64_t attempts_ns[MLT_LINE_ATTEMPTS_MAX]; /* ring of times */
    uint32_t attempts_next;
    uint32_t failed_in_row; /* attempts that brought nothing since one did, over all lines */
    int64_t next_id;
    bool placed; /* nothing to place and nothing to count since the last look */
    bool stopping;
    bool paused;  /* nothing is read of any line */
    bool changed; /* some topic changed its state since mlt_lines_take_changed */
    struct mlt_buf text;
    /* Of each partition: when a line that brought topics of it and has ended was heard last, of
     * several the least; INT64_MAX: none ended. The owner's to reset, once what was said of that is
     * where it belongs. */
    int64_t ended_since_ns[MLT_SLOT_COUNT];
    /* Of the line that ended last: topics that stood on it, by whether their other copy has what it
     * may not have brought. */
    uint32_t cut_covered, cut_open;
    struct mlt_lines_counters counters;
};

/* topics must outlive lines. */
void mlt_lines_init(struct mlt_lines *lines, const struct mlt_lines_options *options,
                    const struct mlt_lines_ports *ports, struct mlt_topics *topics);
void mlt_lines_fini(struct mlt_lines *lines);

/* Does what is due; returns when the next thing will be (MLT_LINES_NEVER: only after an event). */
int64_t mlt_lines_turn(struct mlt_lines *lines, int64_t now_ns);

/* ---- events ---- */
void mlt_lines_plan_changed(struct mlt_lines *lines, int64_t now_ns);
void mlt_lines_opened(struct mlt_lines *lines, uint32_t line, int64_t now_ns);
/* reason: mlt_ws_end_word, for SOURCE_DOWN. */
void mlt_lines_ended(struct mlt_lines *lines, uint32_t line, const char *reason, int64_t now_ns);
/* Answer to a request. error NULL: acknowledged. Without an id it goes to the oldest in flight. */
void mlt_lines_answer(struct mlt_lines *lines, uint32_t line, bool has_id, int64_t id,
                      const char *error, int64_t now_ns);
/* Both are true where a hand-over waited for a word of this line: a turn is due. */
bool mlt_lines_pong(struct mlt_lines *lines, uint32_t line, int64_t now_ns);
/* A whole message was read, or the frame with which the exchange closes. */
bool mlt_lines_heard(struct mlt_lines *lines, uint32_t line, int64_t now_ns);
void mlt_lines_server_shutdown(struct mlt_lines *lines, uint32_t line, int64_t now_ns);
/* Nothing is read until mlt_lines_resumed: no request is given up for want of an answer, and no
 * line closed in which something may lie. A turn is due behind that. */
void mlt_lines_paused(struct mlt_lines *lines);
void mlt_lines_resumed(struct mlt_lines *lines, int64_t now_ns);
/* A message of a topic: the first one since it was subscribed, or it is watched. */
void mlt_lines_seen(struct mlt_lines *lines, struct mlt_topic *topic, uint32_t line);
/* An acknowledgement does not prove a stream: topics that are SILENT, and copies that are mute, are
 * subscribed once more, after silent_ns, then after twice as long each time, a day at most. Asking
 * for what is there changes nothing. True: some are, at the next turn. */
bool mlt_lines_remind(struct mlt_lines *lines, int64_t silent_ns, int64_t now_ns);
/* Closes everything; nothing is connected any more. */
void mlt_lines_stop(struct mlt_lines *lines);

/* Of `attempts`, those of the last 5 min. */
uint32_t mlt_lines_attempts_used(const struct mlt_lines *lines, int64_t now_ns);
/* Lines that are not FREE; lines that are UP. */
uint32_t mlt_lines_open_count(const struct mlt_lines *lines);
uint32_t mlt_lines_up_count(const struct mlt_lines *lines);
/* Of each partition: when the line that was heard least recently was, of those that are up and have
 * a topic that it wants; INT64_MAX where none does. What comes later of such a line was on its way.
 * Of a topic with two copies that stand it is the line that was heard last, provided that it has
 * the topic for as long as the other one was heard. */
void mlt_lines_heard_since(const struct mlt_lines *lines, int64_t since_ns[MLT_SLOT_COUNT]);
/* Says of each instrument with topics how it stands, whatever was said of it before: for whoever
 * speaks for these partitions (bit p) from now on. */
void mlt_lines_say_sources(struct mlt_lines *lines, uint64_t partitions);
/* True once after a topic changed its state. */
bool mlt_lines_take_changed(struct mlt_lines *lines);

#endif

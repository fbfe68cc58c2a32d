/*
 * Lines (WebSocket connections), topics (streams that somebody asked for or that a recording holds)
 * and the way of a frame from the market to the lines. Knows no socket: bytes, already framed, wait
 * in each line's buffer until the server takes them. While any line has SIM_OUT_HIGH_BYTES waiting,
 * the market stands still, so nothing is ever queued without bound. One thread.
 */
#ifndef SIM_HUB_H
#define SIM_HUB_H

#include "filter.h"
#include "meltica/base/map.h"

#define SIM_OUT_HIGH_BYTES ((size_t)192 << 10)
#define SIM_OUT_BYTES_MAX ((size_t)32 << 20)
#define SIM_TOPICS_MAX ((size_t)1 << 18)
#define SIM_NAME_BYTES_MAX 128u
#define SIM_RATE_MAX 64u

struct sim_line;

struct sim_topic {
    struct sim_line **lines; /* subscribers, in order of subscription */
    size_t line_count, line_capacity;
    size_t micros_count; /* how many of them asked for microseconds */
    int64_t market_id;   /* what the market knows it by; -1: it does not know it */
    uint64_t frames;     /* sent, over all lines */
    uint64_t unsent;     /* frames of the market that nobody wanted */
    size_t name_len;
    char name[];
};

struct sim_line {
    struct sim_line *older, *newer;
    void *wsi;
    uint64_t number;
    bool combined, micros;
    bool full, armed; /* armed: the server knows that there is something to write */
    bool closing;     /* send what waits, then close with close_code */
    bool killed;      /* closing without that: the server hangs up */
    bool frozen;      /* half-open: nothing is sent or read any more, and the socket stays */
    bool silent;      /* data frames do not come, and are lost */
    bool mute;        /* nor does anything else: pings, answers, notices */
    uint16_t close_code;
    const char *close_text;
    struct sim_topic **topics; /* in order of subscription */
    size_t topic_count, topic_capacity;
    struct mlt_buf out; /* framed bytes */
    struct mlt_buf in;  /* a message in fragments */
    int64_t opened_ns, last_progress_ns;
    int64_t stalled_until_ns;   /* nothing is sent before; monotonic */
    int64_t ping_sent_ns;       /* last */
    int64_t ping_unanswered_ns; /* oldest without its pong; 0: none */
    char ping_text[24];
    int64_t message_ns[SIM_RATE_MAX]; /* times of the last messages, a ring */
    size_t message_at;
};

enum sim_unit { SIM_UNIT_ANY, SIM_UNIT_MS, SIM_UNIT_US };

struct sim_frame {
    struct mlt_slice combined; /* {"stream":…,"data":…} */
    struct mlt_slice inner;    /* what stands in data */
};

struct sim_hub {
    struct mlt_map topics;
    struct sim_line *oldest, *newest;
    size_t line_count, full_count;
    size_t streams_max; /* a line */
    bool send_all;
    uint64_t lines_opened, frames_sent, frames_dropped, messages_received;
    size_t market_topics_subscribed; /* topics that the market knows and somebody subscribed */
    const struct sim_filter *filter; /* or NULL */
    uint64_t filtered;
    struct mlt_buf filter_out;
    /* Set by the server: a line has something to write. */
    void (*wake)(void *ctx, struct sim_line *line);
    void *wake_ctx;
    /* Set by the market's owner: a topic appeared; returns its market_id or -1. */
    int64_t (*attach)(void *ctx, struct sim_topic *topic);
    void *attach_ctx;
};

void sim_hub_init(struct sim_hub *hub, size_t streams_max);
/* Lines must be gone. */
void sim_hub_fini(struct sim_hub *hub);

/* NULL: no memory. The hub owns it until sim_hub_close. */
struct sim_line *sim_hub_open(struct sim_hub *hub, void *wsi, int64_t now_ns);
void sim_hub_close(struct sim_hub *hub, struct sim_line *line);

/* The topic of that name, made when it is new. E_LIMIT, E_NOMEM. */
enum mlt_status sim_hub_topic(struct sim_hub *hub, struct mlt_slice name,
                              struct sim_topic **topic) MLT_MUST_CHECK;

/* Whether a name is well formed: something@something without spaces, quotes or controls. */
bool sim_name_valid(struct mlt_slice name);

/* Already subscribed is fine. E_LIMIT beyond the streams of a line, E_NOMEM. */
enum mlt_status sim_hub_subscribe(struct sim_hub *hub, struct sim_line *line,
                                  struct mlt_slice name) MLT_MUST_CHECK;
void sim_hub_unsubscribe(struct sim_hub *hub, struct sim_line *line, struct mlt_slice name);

/* A data frame to those subscribers whose line has that time unit. */
void sim_hub_emit(struct sim_hub *hub, struct sim_topic *topic, const struct sim_frame *frame,
                  enum sim_unit unit);

/* A frame to one line, past filter and counters: opcode 1 text, 9 ping. A line that has no memory
 * for it is marked as closing. */
void sim_line_put(struct sim_hub *hub, struct sim_line *line, unsigned opcode,
                  struct mlt_slice payload);

/* Close after what waits has gone out. The text must be static. */
void sim_line_finish(struct sim_hub *hub, struct sim_line *line, uint16_t code, const char *text);

/* The server took all that waited. */
void sim_line_drained(struct sim_hub *hub, struct sim_line *line, int64_t now_ns);

/* Counts a message of the client; false when it exceeds per_second. */
bool sim_line_count_message(struct sim_line *line, unsigned per_second, int64_t now_ns);

static inline bool sim_hub_has_room(const struct sim_hub *hub)
{
    return hub->full_count == 0;
}

static inline bool sim_hub_done(const struct sim_hub *hub)
{
    return hub->filter != NULL && hub->filter->done != NULL && hub->filter->done(hub->filter->ctx);
}

#endif

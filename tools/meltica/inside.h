/*
 * What the services say of themselves when all are asked at once by $SRV.STATS: who is there, how
 * it is, and the lines of the Adapters. Parsing is pure; mlt_inside_ask waits on NATS. One thread.
 */
#ifndef MELTICA_TOOL_INSIDE_H
#define MELTICA_TOOL_INSIDE_H

#include "meltica/bus/bus.h"

#define MLT_INSIDE_SERVICES_MAX 64u
#define MLT_INSIDE_LINES_MAX 128u
#define MLT_INSIDE_NAMES 5u
#define MLT_INSIDE_UNKNOWN INT64_C(-1)

/* The micro services of a whole Meltica, along the flow. */
extern const char *const mlt_inside_names[MLT_INSIDE_NAMES];

struct mlt_inside_link { /* one of its connections to NATS */
    bool known, connected;
    int64_t reconnects;
};

struct mlt_inside_service {
    char name[48], id[32], instance[64], version[32];
    char state[24], missing[160]; /* "" where it does not say */
    bool told;                    /* it says how it is: what follows is known */
    bool ready;
    int64_t uptime_ms, partitions; /* or UNKNOWN */
    int64_t stream_replicas;       /* of what it makes; 0: it makes nothing; or UNKNOWN */
    struct mlt_inside_link data, control;
    /* Its clock minus ours, at the middle of the request; off by at most half_ns. */
    bool has_clock;
    int64_t clock_ns, half_ns;
    /* Elements that came and left since it started: frames or events; UNKNOWN where it does not
     * count them. */
    int64_t in, out;
};

struct mlt_inside_line { /* a connection of an Adapter to the exchange */
    char instance[64], state[16];
    int64_t number, topics, age_s;
};

struct mlt_inside {
    size_t count, left_out; /* left_out: answers without room, or that made no sense */
    struct mlt_inside_service services[MLT_INSIDE_SERVICES_MAX];
    size_t line_count, lines_left_out;
    struct mlt_inside_line lines[MLT_INSIDE_LINES_MAX];
};

/* Adds one answer to $SRV.STATS; those of foreign services are passed over. asked_ns and now_ns:
 * wall time of the request and of its answer. */
void mlt_inside_take(struct mlt_inside *inside, struct mlt_slice answer, int64_t asked_ns,
                     int64_t now_ns);
/* Asks everybody, and orders the answers along the flow, by instance. E_UNAVAILABLE, E_TIMEOUT:
 * nobody answered, nothing is known. 2 s at most. */
enum mlt_status mlt_inside_ask(struct mlt_bus *bus, struct mlt_inside *inside,
                               struct mlt_error *err) MLT_MUST_CHECK;

#endif

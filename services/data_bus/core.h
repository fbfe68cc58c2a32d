/*
 * The pure half of the Data Bus. Per (instrument, type) only what is
 * greater than the last (epoch, sequence) passes; what is missing before an event, or after the
 * last one as HEADS tells, is said by a STATUS LOST notice (sequence 0) in its place; nothing
 * leaves that the dispatch table does not route; an owner that was replaced is fenced. Numbers are
 * never changed. No NATS, no threads: one thread, which may wait in the ports.
 */
#ifndef MELTICA_DATA_BUS_CORE_H
#define MELTICA_DATA_BUS_CORE_H

#include "meltica/base/clock.h"
#include "meltica/event/event.h"
#include "routing.h"

#define MLT_DATA_BUS_INSTRUMENTS_MAX 16384u
#define MLT_DATA_BUS_LATE_NS                                                                       \
    (2 * MLT_NS_PER_S)               /* what a replaced table routed still counts as late */
#define MLT_DATA_BUS_CANDLES_MAX 20u /* intervals of an instrument */
#define MLT_DATA_BUS_INTERVAL_BYTES_MAX 16u

struct mlt_data_bus_core;

struct mlt_data_bus_ports {
    /* To be delivered now, published stamp set; views are valid during the call. False: it was not
     * (too big, or the service ends), and consumers are told before the channel's next event. */
    bool (*publish)(void *ctx, uint32_t partition, const struct mlt_event *event);
    /* The same for private lanes, in order with publish: what was published, and what only lanes
     * ask for. NULL: there are none. */
    void (*lane)(void *ctx, const struct mlt_event *event);
    /* An event names a table revision above ours. Brings the newer table
     * (mlt_data_bus_core_set_table during the call) or returns after 500 ms without it. */
    void (*await_table)(void *ctx, uint64_t revision);
    void *ctx;
    const struct mlt_clock *clock;
};

/* in = validated + private_only + unrouted + late, validated = out + undelivered. LOST notices made
 * here are in none of them. */
struct mlt_data_bus_counts {
    uint64_t in; /* new events: neither repeats nor of an owner that was replaced */
    uint64_t validated, unrouted, late;
    uint64_t private_only; /* that only private lanes ask for */
    uint64_t out, undelivered;
    uint64_t duplicates, stale_owner;
    uint64_t refused;     /* no place for one more instrument */
    uint64_t lost;        /* STATUS LOST delivered, made here or by the Conductor */
    uint64_t lost_events; /* sequences that the ones made here name */
    uint64_t table_waits, table_timeouts;
};

enum mlt_status mlt_data_bus_core_create(uint32_t partitions,
                                         const struct mlt_data_bus_ports *ports,
                                         struct mlt_data_bus_core **core) MLT_MUST_CHECK;
void mlt_data_bus_core_destroy(struct mlt_data_bus_core *core); /* NULL is fine */

/* The table from now on; the core's to destroy. */
void mlt_data_bus_core_set_table(struct mlt_data_bus_core *core, struct mlt_routing *routing);
/* NULL before the first one. */
const struct mlt_routing *mlt_data_bus_core_table(const struct mlt_data_bus_core *core);

/* One event of the hop, in order. event is changed (stamp, quality, heads). E_AGAIN: there is no
 * table yet, nothing happened; E_LIMIT, E_NOMEM: refused and counted. */
enum mlt_status mlt_data_bus_core_event(struct mlt_data_bus_core *core,
                                        struct mlt_event *event) MLT_MUST_CHECK;

/* The hop lost batches of this partition before what comes now. Within one sender the sequences
 * show what ("hop_overrun"); for other reasons every routed instrument of the partition gets a
 * LOST. A channel first seen after this, in the middle of an epoch, says LOST {0, sequence - 1}.
 * Needs a table. reason: a static string. */
void mlt_data_bus_core_lost(struct mlt_data_bus_core *core, uint32_t partition, const char *reason);

/* Nothing below epoch passes in this partition any more. Returns the fence, which is greater where
 * a newer owner was there before. */
uint64_t mlt_data_bus_core_fence(struct mlt_data_bus_core *core, uint32_t partition,
                                 uint64_t epoch);

struct mlt_delivered_candle {
    char interval[MLT_DATA_BUS_INTERVAL_BYTES_MAX];
    size_t interval_len;
    int64_t open_ns, event_ns;
};

/* Where an instrument stands: per channel the last sequence that consumers know of in `epoch` (0:
 * none in it) and the position that decides what is a repeat. */
struct mlt_delivered {
    struct mlt_slice instrument;
    uint64_t epoch;
    size_t head_count;
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    size_t candle_count;
    const struct mlt_delivered_candle *candles;
};

/* Instruments of a partition in a fixed order: fills *out with the n-th; false beyond the last. */
bool mlt_data_bus_core_delivered(const struct mlt_data_bus_core *core, uint32_t partition, size_t n,
                                 struct mlt_delivered *out);

void mlt_data_bus_core_counts(const struct mlt_data_bus_core *core,
                              struct mlt_data_bus_counts *out);

#endif

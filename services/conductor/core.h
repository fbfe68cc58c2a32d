/*
 * The pure half of the Conductor as far as it goes today: what is a repeat (RULINGS 11), numbering
 * (RULINGS 4: epoch and sequence per (instrument, type), assigned here and nowhere else) and the
 * STATUS events that belong to it. Events go in, numbered events come out through a port. No NATS,
 * no threads: the caller locks.
 */
#ifndef MELTICA_CONDUCTOR_CORE_H
#define MELTICA_CONDUCTOR_CORE_H

#include "meltica/base/clock.h"
#include "meltica/event/event.h"

#define MLT_CONDUCTOR_INSTRUMENTS_MAX 16384u

struct mlt_conductor_core;

struct mlt_conductor_ports {
    /* A numbered event, to be sent at once; views valid during the call. partition = slot mod
     * partitions. */
    void (*emit)(void *ctx, uint32_t partition, const struct mlt_event *event);
    void *ctx;
    const struct mlt_clock *clock;
};

/* Where the candles of one interval stood: KLINE is one channel, but repeats within an interval. */
struct mlt_candle_head {
    struct mlt_slice interval;
    int64_t open_ns, event_ns;
};

/* Where the channels of an instrument stood when an earlier owner stopped. */
struct mlt_instrument_heads {
    struct mlt_slice instrument;
    uint64_t epoch;
    size_t head_count;
    /* last is mlt_event_position of the last event; sequence 0: the channel did not move in
     * `epoch`, its position is that of an earlier one. */
    const struct mlt_head *heads;
    size_t candle_count;
    const struct mlt_candle_head *candles;
};

struct mlt_conductor_counts {
    uint64_t in, out, duplicates, late, stale_owner, refused;
    uint64_t lost_reports;
};

enum mlt_status mlt_conductor_core_create(uint32_t partitions,
                                          const struct mlt_conductor_ports *ports,
                                          struct mlt_conductor_core **core) MLT_MUST_CHECK;
void mlt_conductor_core_destroy(struct mlt_conductor_core *core);

/* Slots owned from now on, by epoch; 0: not owned (its events are refused and counted). */
void mlt_conductor_core_set_epoch(struct mlt_conductor_core *core, uint32_t slot, uint64_t epoch);

/* Where the Data Bus stands for an instrument: repeats of what it delivered are dropped, and
 * EPOCH_STARTED names the previous epoch and its last sequences. Before the instrument's first
 * event (E_EXISTS after it). E_PROTOCOL for a token that is none, E_LIMIT, E_NOMEM. */
enum mlt_status mlt_conductor_core_seed(struct mlt_conductor_core *core,
                                        const struct mlt_instrument_heads *heads) MLT_MUST_CHECK;

/* Number one event, or drop it as a repeat. event is changed (epoch, sequence, stamp, quality).
 * E_STALE_OWNER: slot not owned; E_LIMIT (instruments, candle intervals), E_NOMEM, E_PROTOCOL:
 * refused and counted. */
enum mlt_status mlt_conductor_core_event(struct mlt_conductor_core *core,
                                         struct mlt_event *event) MLT_MUST_CHECK;

/* The hop lost something of this partition: STATUS LOST for each instrument seen in it, and
 * AFTER_GAP on the next event of each channel. reason is a word of docs/wire-format.md. */
void mlt_conductor_core_lost(struct mlt_conductor_core *core, uint32_t partition,
                             const char *reason);

/* Once a second: STATUS HEADS (sequence 0) for each owned instrument with a channel that moved
 * since the last call. */
void mlt_conductor_core_heads(struct mlt_conductor_core *core);

void mlt_conductor_core_counts(const struct mlt_conductor_core *core,
                               struct mlt_conductor_counts *out);

#endif

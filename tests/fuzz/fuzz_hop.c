/* The receiving end of a hop with the bus replaced: whatever comes on its subject, batches are
 * handed out without a repeat and without a hole that is not told, and what it asks and
 * acknowledges can be read. HopAck and RepeatRequest from outside are read, too, and OwnerBeat.
 * Input: 'w' and the bytes of a small message, 'b' and those of a beat, else steps: a byte with
 * what (2 bits), the partition (2 bits), and for a made header the boot (2 bits) and flags (2
 * bits), then its numbers, one byte each, and for one kind of header a byte with the epoch (2 bits)
 * and whether it covers; for raw bytes their length in a byte before them. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "hop_wire.h"
#include "internal.h"
#include "meltica/base/check.h"
#include "meltica/bus/owners.h"

#define PARTITIONS 3u
#define BODY "\x0a\x02hi"

/* ---- the bus ---- */

static mlt_bus_handler_fn handler;
static void *handler_ctx;
static struct mlt_bus_flusher *flusher;
static struct mlt_bus_ticker *ticker;
static bool full;           /* the next publish is refused */
static unsigned generation; /* of the connection */

static struct mlt_hop_receiver *receiver;
static struct {
    uint64_t boot, number; /* of the last batch handed out; boot 0: the sender is another one */
    bool covered;          /* since then somebody said that it covers */
} last[PARTITIONS];
static uint64_t boots; /* that the receiver took for new so far */

enum mlt_status mlt_bus_subscribe(struct mlt_bus *bus,
                                  const struct mlt_bus_subscribe_options *options,
                                  mlt_bus_handler_fn fn, void *ctx,
                                  struct mlt_bus_subscription **subscription, struct mlt_error *err)
{
    (void)bus, (void)options, (void)err;
    handler = fn;
    handler_ctx = ctx;
    *subscription = NULL;
    return MLT_OK;
}

void mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription)
{
    (void)subscription;
}

size_t mlt_bus_subscription_pending(struct mlt_bus_subscription *subscription)
{
    (void)subscription;
    return 0;
}

void mlt_bus_add_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *added)
{
    (void)bus;
    flusher = added;
}

void mlt_bus_remove_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *removed)
{
    (void)bus, (void)removed;
}

void mlt_bus_add_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *added)
{
    (void)bus;
    ticker = added;
}

void mlt_bus_remove_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *removed)
{
    (void)bus, (void)removed;
}

void mlt_bus_want_flush(struct mlt_bus *bus)
{
    (void)bus;
}

void mlt_bus_flush_again_at(struct mlt_bus *bus, int64_t mono_ns)
{
    (void)bus, (void)mono_ns;
}

bool mlt_bus_flush_complete(const struct mlt_bus *bus)
{
    (void)bus;
    return true;
}

bool mlt_bus_connected(const struct mlt_bus *bus)
{
    (void)bus;
    return false;
}

unsigned mlt_bus_generation(const struct mlt_bus *bus)
{
    (void)bus;
    return generation;
}

bool mlt_bus_subject_valid(const char *subject)
{
    return subject[0] != '\0';
}

void mlt_bus_cond_init(pthread_cond_t *cond)
{
    (void)pthread_cond_init(cond, NULL);
}

bool mlt_bus_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_mono_ns)
{
    (void)cond, (void)mutex, (void)deadline_mono_ns;
    return false;
}

static void check_ack(struct mlt_slice bytes)
{
    struct hop_position position;
    enum mlt_status status;
    unsigned positions = 0;
    while ((status = hop_ack_next(&bytes, &position)) == MLT_OK) {
        MLT_CHECK(position.partition < PARTITIONS && position.boot != 0);
        /* Nothing is acknowledged that was not handed out. */
        MLT_CHECK(position.number == 0 || (position.boot == last[position.partition].boot &&
                                           position.number == last[position.partition].number));
        positions++;
    }
    MLT_CHECK(status == MLT_E_EMPTY && positions <= PARTITIONS);
}

enum mlt_status mlt_bus_publish_in_flush(struct mlt_bus *bus, const char *subject,
                                         struct mlt_slice payload)
{
    (void)bus;
    uint64_t boot = 0, from = 0;
    uint32_t partition = 0;
    const char *word = NULL;
    if (full) {
        return MLT_E_FULL;
    }
    if (hop_subject_partition(subject, &partition, &word) == MLT_OK) {
        MLT_CHECK(partition < PARTITIONS);
        MLT_CHECK(hop_repeat_decode(payload, &boot, &from) == MLT_OK);
        MLT_CHECK(boot != 0 || from == 0);
    } else {
        MLT_CHECK(strcmp(word, "adapter") == 0);
        check_ack(payload);
    }
    return MLT_OK;
}

/* ---- the receiver ---- */

static void note_boots(uint32_t partition)
{
    struct mlt_hop_receiver_stats stats;
    mlt_hop_receiver_get_stats(receiver, &stats);
    if (stats.boots != boots) {
        boots = stats.boots;
        last[partition].boot = 0;
    }
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    (void)ctx;
    struct mlt_slice rest = batch->bytes, element;
    MLT_CHECK(batch->partition < PARTITIONS && batch->hop.boot != 0);
    note_boots(batch->partition);
    const uint64_t before = last[batch->partition].number;
    if (batch->hop.boot == last[batch->partition].boot) {
        MLT_CHECK(batch->hop.number > before);
        MLT_CHECK(batch->hop.number == before + 1 || batch->lost_before ||
                  last[batch->partition].covered);
    }
    last[batch->partition].covered = false;
    MLT_CHECK(batch->lost_before == (batch->lost_reason[0] != '\0'));
    MLT_CHECK(batch->lost_from <= batch->lost_to);
    last[batch->partition].boot = batch->hop.boot;
    last[batch->partition].number = batch->hop.number;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        MLT_CHECK(element.data >= batch->bytes.data);
    }
}

static void on_other(void *ctx, const char *word, const struct mlt_bus_message *message)
{
    (void)ctx;
    MLT_CHECK(strcmp(word, "heads") == 0 && message->reply[0] == '\0');
}

static void deliver(const char *token, struct mlt_slice bytes)
{
    char subject[64];
    (void)snprintf(subject, sizeof subject, "meltica.int.native.%s", token);
    const struct mlt_bus_message message = {
        .subject = subject, .reply = "", .payload = bytes, .error_text = ""
    };
    struct mlt_hop hop;
    uint32_t partition = 0;
    const char *word = NULL;
    const bool mine =
        hop_subject_partition(subject, &partition, &word) == MLT_OK && partition < PARTITIONS;
    if (mine && mlt_hop_decode(bytes, &hop) == MLT_OK && (hop.flags & MLT_HOP_COVERS) != 0) {
        last[partition].covered = true;
    }
    handler(handler_ctx, &message);
    if (mine) {
        note_boots(partition);
    }
}

static uint8_t next(const uint8_t **data, size_t *size)
{
    if (*size == 0) {
        return 0;
    }
    (*size)--;
    return *(*data)++;
}

static void deliver_made(uint8_t what, const char *token, const uint8_t **data, size_t *size)
{
    static const uint64_t made_boots[] = { 7, 8, 9, UINT64_MAX };
    uint8_t bytes[MLT_HOP_BYTES + sizeof BODY - 1];
    struct mlt_hop hop = {
        .boot = made_boots[what >> 4 & 3],
        .flags = what >> 6,
        .number = next(data, size),
        .oldest = next(data, size),
        .resume = next(data, size),
        .epoch = 1,
    };
    if ((what & 1) != 0) {
        const uint8_t more = next(data, size);
        hop.epoch = more & 3;
        hop.flags |= (more & 4) != 0 ? MLT_HOP_COVERS : 0;
    }
    mlt_hop_encode(&hop, bytes);
    memcpy(bytes + MLT_HOP_BYTES, BODY, sizeof BODY - 1);
    deliver(token, mlt_slice_of(bytes, sizeof bytes));
}

static void flush(uint8_t what)
{
    full = (what >> 4 & 1) != 0;
    generation += what >> 5 & 1;
    if ((what >> 6 & 1) != 0) {
        ticker->fn(ticker->ctx, INT64_MAX / 2); /* every wait is over */
    }
    for (unsigned stage = 0; stage < 3; stage++) {
        flusher->fn(flusher->ctx, stage);
    }
    full = false;
}

static void steps(const uint8_t *data, size_t size)
{
    static const char *const tokens[] = { "00", "01", "02", "63" };
    const struct mlt_hop_receiver_options options = {
        .service = "dispatcher",
        .sender_service = "adapter",
        .subject = "meltica.int.native",
        .partitions = PARTITIONS,
        .on_batch = on_batch,
        .on_other = on_other,
    };
    memset(last, 0, sizeof last);
    boots = 0;
    MLT_CHECK(mlt_hop_receiver_create(NULL, &options, &receiver, NULL) == MLT_OK);
    while (size > 0) {
        const uint8_t what = next(&data, &size);
        const char *token = tokens[what >> 2 & 3];
        if ((what & 3) == 0) {
            flush(what);
        } else if ((what & 3) == 1) {
            size_t len = next(&data, &size);
            len = len < size ? len : size;
            deliver((what >> 4 & 3) == 3 ? "heads" : token, mlt_slice_of(data, len));
            data += len;
            size -= len;
        } else {
            deliver_made(what, token, &data, &size);
        }
    }
    struct mlt_hop_receiver_stats stats;
    mlt_hop_receiver_get_stats(receiver, &stats);
    mlt_hop_receiver_destroy(receiver);
}

/* What reads as a message is the same message when it is written again. */
static void wire(struct mlt_slice bytes)
{
    struct hop_position positions[MLT_HOP_PARTITIONS_MAX], again;
    uint8_t repeat[HOP_REPEAT_BYTES], ack[HOP_ACK_BYTES_MAX];
    uint64_t boot = 0, from = 0, boot2 = 0, from2 = 0;
    if (hop_repeat_decode(bytes, &boot, &from) == MLT_OK) {
        hop_repeat_encode(boot, from, repeat);
        MLT_CHECK(hop_repeat_decode(mlt_slice_of(repeat, sizeof repeat), &boot2, &from2) == MLT_OK);
        MLT_CHECK(boot2 == boot && from2 == from);
    }
    size_t count = 0;
    while (count < MLT_HOP_PARTITIONS_MAX && hop_ack_next(&bytes, &positions[count]) == MLT_OK) {
        count += positions[count].partition < MLT_HOP_PARTITIONS_MAX; /* others are not sent */
    }
    const size_t len = hop_ack_encode("dispatcher", positions, count, ack);
    MLT_CHECK(len <= sizeof ack);
    struct mlt_slice rest = mlt_slice_of(ack, len);
    for (size_t i = 0; i < count; i++) {
        MLT_CHECK(hop_ack_next(&rest, &again) == MLT_OK);
        MLT_CHECK(again.partition == positions[i].partition && again.boot == positions[i].boot &&
                  again.number == positions[i].number);
    }
    MLT_CHECK(hop_ack_next(&rest, &again) == MLT_E_EMPTY);
}

/* Nothing of a beat that can be read is lost or made up on its way to the next one. */
static void beat(struct mlt_slice bytes)
{
    struct mlt_owners_beat read, again;
    uint8_t once[MLT_OWNERS_BEAT_BYTES_MAX], twice[MLT_OWNERS_BEAT_BYTES_MAX];
    if (mlt_owners_decode(bytes, &read) != MLT_OK) {
        return;
    }
    MLT_CHECK(read.boot != 0 && read.replica < read.replicas);
    const size_t len = mlt_owners_encode(&read, "adapter-0", once);
    MLT_CHECK(mlt_owners_decode(mlt_slice_of(once, len), &again) == MLT_OK);
    MLT_CHECK(again.partitions == read.partitions && again.warm == read.warm);
    for (uint32_t p = 0; p < MLT_OWNERS_PARTITIONS_MAX; p++) {
        MLT_CHECK(read.needs_ns[p] >= 0 && again.needs_ns[p] == read.needs_ns[p]);
        MLT_CHECK(again.epochs[p] == read.epochs[p] && again.plan_boots[p] == read.plan_boots[p]);
        MLT_CHECK(again.plan_revisions[p] == read.plan_revisions[p]);
    }
    MLT_CHECK(mlt_owners_encode(&again, "adapter-0", twice) == len &&
              memcmp(once, twice, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'w') {
        wire(mlt_slice_of(data + 1, size - 1));
    } else if (size > 0 && data[0] == 'b') {
        beat(mlt_slice_of(data + 1, size - 1));
    } else {
        steps(data, size);
    }
    return 0;
}

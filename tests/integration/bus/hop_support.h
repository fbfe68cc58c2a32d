/* Both ends of a hop for tests: numbered elements, and a far side that keeps account of them. */
#ifndef MELTICA_HOP_SUPPORT_H
#define MELTICA_HOP_SUPPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/clock.h"
#include "meltica/bus/hop.h"

#define WAIT_NS (20 * MLT_NS_PER_S)
#define ELEMENT_BYTES 100u
#define PARTITIONS 4u
#define LOSSES_MAX 16u

struct mlt_bus *test_connect(const char *url, const char *name);
struct mlt_hop_sender *test_sender(struct mlt_bus *bus, const char *service, const char *subject,
                                   size_t ring_bytes);
/* One element: its number, then bytes that follow from it, `bytes` in all (at least 8). */
void test_put_sized(struct mlt_hop_sender *sender, uint32_t partition, uint64_t number,
                    size_t bytes);
void test_put(struct mlt_hop_sender *sender, uint32_t partition, uint64_t number);

/* Far side: what came, by partition. */
struct far {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next[PARTITIONS]; /* number that has not been seen yet */
    uint64_t last[PARTITIONS]; /* of the last element */
    uint64_t elements, repeats, missing, damaged;
    uint64_t repeat_run_max, repeat_run[PARTITIONS]; /* repeats in one go */
    uint64_t last_batch[PARTITIONS], last_boot[PARTITIONS], last_epoch[PARTITIONS];
    unsigned loss_count;
    struct loss {
        uint32_t partition;
        char reason[24];
        uint64_t from, to, batch; /* batch: that it stood before */
    } losses[LOSSES_MAX];
    uint64_t others;
    bool hold;     /* the handler waits */
    bool handling; /* it waits now */
};

void far_init(struct far *far);
void far_fini(struct far *far);
void far_on_batch(void *ctx, const struct mlt_hop_batch *batch);
void far_on_other(void *ctx, const char *word, const struct mlt_bus_message *message);
/* Until elements were seen up to (not including) count on each of the first `partitions`; false
 * when that takes longer than WAIT_NS without any progress. */
bool far_await(struct far *far, uint32_t partitions, uint64_t count);
/* Until that many elements came in all. */
bool far_await_elements(struct far *far, uint64_t elements);
/* The same within that time. */
bool far_await_elements_for(struct far *far, uint64_t elements, int64_t ns);
bool far_await_losses(struct far *far, unsigned count);
bool far_await_handling(struct far *far);
void far_set_hold(struct far *far, bool hold);
struct mlt_hop_receiver *far_receiver(struct far *far, struct mlt_bus *bus, const char *service,
                                      const char *sender_service, const char *subject);

#endif

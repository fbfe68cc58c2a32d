#include "hop_support.h"

#include <stdio.h>
#include <string.h>

#include "meltica/base/check.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

/* Also linked into helper programs, where cmocka's assertions do not work: MLT_CHECK. */

struct mlt_bus *test_connect(const char *url, const char *name)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_DATA, .url = url, .name = name };
    MLT_CHECK(mlt_bus_connect(&options, &bus, &err) == MLT_OK);
    MLT_CHECK(mlt_bus_wait_connected(bus, WAIT_NS) == MLT_OK);
    return bus;
}

struct mlt_hop_sender *test_sender(struct mlt_bus *bus, const char *service, const char *subject,
                                   size_t ring_bytes)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_sender *sender = NULL;
    const struct mlt_hop_sender_options options = { .service = service,
                                                    .subject = subject,
                                                    .partitions = PARTITIONS,
                                                    .boot = mlt_random64(),
                                                    .ring_bytes = ring_bytes };
    MLT_CHECK(mlt_hop_sender_create(bus, &options, &sender, &err) == MLT_OK);
    return sender;
}

void test_put_sized(struct mlt_hop_sender *sender, uint32_t partition, uint64_t number,
                    size_t bytes)
{
    uint8_t *out = NULL;
    MLT_CHECK(mlt_hop_begin(sender, partition, bytes, &out) == MLT_OK);
    memcpy(out, &number, sizeof number);
    memset(out + sizeof number, (int)(uint8_t)(number * 31), bytes - sizeof number);
    mlt_hop_end(sender, partition);
}

void test_put(struct mlt_hop_sender *sender, uint32_t partition, uint64_t number)
{
    test_put_sized(sender, partition, number, ELEMENT_BYTES);
}

void far_init(struct far *far)
{
    pthread_condattr_t attributes;
    memset(far, 0, sizeof *far);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&far->lock, NULL);
    (void)pthread_cond_init(&far->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void far_fini(struct far *far)
{
    (void)pthread_mutex_destroy(&far->lock);
    (void)pthread_cond_destroy(&far->changed);
}

static void take(struct far *far, uint32_t p, struct mlt_slice element)
{
    uint64_t number = 0;
    if (element.len < sizeof number) {
        far->damaged++;
        return;
    }
    memcpy(&number, element.data, sizeof number);
    for (size_t i = sizeof number; i < element.len; i++) {
        if (element.data[i] != (uint8_t)(number * 31)) {
            far->damaged++;
            break;
        }
    }
    far->elements++;
    if (number < far->next[p]) {
        far->repeats++;
        if (++far->repeat_run[p] > far->repeat_run_max) {
            far->repeat_run_max = far->repeat_run[p];
        }
        /* Repeats begin somewhere back and then go on one by one. */
        far->damaged += far->repeat_run[p] > 1 && number != far->last[p] + 1;
    } else {
        far->repeat_run[p] = 0;
        far->missing += number - far->next[p];
        far->next[p] = number + 1;
    }
    far->last[p] = number;
}

void far_on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct far *far = ctx;
    struct mlt_slice rest = batch->bytes, element;
    const uint32_t p = batch->partition;
    enum mlt_status status;
    (void)pthread_mutex_lock(&far->lock);
    while (far->hold) {
        far->handling = true;
        (void)pthread_cond_broadcast(&far->changed);
        (void)pthread_cond_wait(&far->changed, &far->lock);
    }
    far->handling = false;
    if (batch->lost_before && far->loss_count < LOSSES_MAX) {
        struct loss *loss = &far->losses[far->loss_count++];
        *loss = (struct loss){ .partition = p,
                               .from = batch->lost_from,
                               .to = batch->lost_to,
                               .batch = batch->hop.number };
        (void)snprintf(loss->reason, sizeof loss->reason, "%s", batch->lost_reason);
    }
    if (batch->hop.boot != far->last_boot[p]) {
        far->repeat_run[p] = 0; /* another sender repeats from a place of its own */
    }
    while ((status = mlt_batch_next(&rest, &element)) == MLT_OK) {
        take(far, p, element);
    }
    far->damaged += status != MLT_E_EMPTY;
    far->last_batch[p] = batch->hop.number;
    far->last_boot[p] = batch->hop.boot;
    far->last_epoch[p] = batch->hop.epoch;
    (void)pthread_cond_broadcast(&far->changed);
    (void)pthread_mutex_unlock(&far->lock);
}

void far_on_other(void *ctx, const char *word, const struct mlt_bus_message *message)
{
    struct far *far = ctx;
    (void)message;
    (void)pthread_mutex_lock(&far->lock);
    far->others += strcmp(word, "heads") == 0;
    (void)pthread_cond_broadcast(&far->changed);
    (void)pthread_mutex_unlock(&far->lock);
}

static bool await_until(struct far *far, int64_t at)
{
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    return pthread_cond_timedwait(&far->changed, &far->lock, &until) == 0;
}

static bool await(struct far *far)
{
    return await_until(far, mlt_clock_mono_ns() + WAIT_NS);
}

static bool reached(const struct far *far, uint32_t partitions, uint64_t count)
{
    for (uint32_t p = 0; p < partitions; p++) {
        if (far->next[p] < count) {
            return false;
        }
    }
    return true;
}

bool far_await(struct far *far, uint32_t partitions, uint64_t count)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&far->lock);
    while (in_time && !reached(far, partitions, count)) {
        in_time = await(far);
    }
    (void)pthread_mutex_unlock(&far->lock);
    return in_time;
}

bool far_await_elements(struct far *far, uint64_t elements)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&far->lock);
    while (in_time && far->elements < elements) {
        in_time = await(far);
    }
    (void)pthread_mutex_unlock(&far->lock);
    return in_time;
}

bool far_await_elements_for(struct far *far, uint64_t elements, int64_t ns)
{
    const int64_t at = mlt_clock_mono_ns() + ns;
    bool in_time = true;
    (void)pthread_mutex_lock(&far->lock);
    while (in_time && far->elements < elements) {
        in_time = await_until(far, at);
    }
    const bool came = far->elements >= elements;
    (void)pthread_mutex_unlock(&far->lock);
    return came;
}

bool far_await_losses(struct far *far, unsigned count)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&far->lock);
    while (in_time && far->loss_count < count) {
        in_time = await(far);
    }
    (void)pthread_mutex_unlock(&far->lock);
    return in_time;
}

bool far_await_handling(struct far *far)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&far->lock);
    while (in_time && !far->handling) {
        in_time = await(far);
    }
    (void)pthread_mutex_unlock(&far->lock);
    return in_time;
}

void far_set_hold(struct far *far, bool hold)
{
    (void)pthread_mutex_lock(&far->lock);
    far->hold = hold;
    (void)pthread_cond_broadcast(&far->changed);
    (void)pthread_mutex_unlock(&far->lock);
}

struct mlt_hop_receiver *far_receiver(struct far *far, struct mlt_bus *bus, const char *service,
                                      const char *sender_service, const char *subject)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    const struct mlt_hop_receiver_options options = { .service = service,
                                                      .sender_service = sender_service,
                                                      .subject = subject,
                                                      .partitions = PARTITIONS,
                                                      .on_batch = far_on_batch,
                                                      .on_other = far_on_other,
                                                      .ctx = far };
    MLT_CHECK(mlt_hop_receiver_create(bus, &options, &receiver, &err) == MLT_OK);
    return receiver;
}

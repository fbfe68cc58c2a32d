/* How far away NATS is: once a second each connection sends itself a message, and the time until it
 * is handed to its handler goes into a histogram. With all that a message of ours meets on the way:
 * our buffer, the server, our queue. The subject is an inbox, which its user may write and read.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"

#define ECHO_NS MLT_NS_PER_S
#define ECHO_NS_MAX (60 * MLT_NS_PER_S) /* what says more was not sent by us */

/* A thread of the bus. Nobody else has the subject, but whoever may write there may say anything.
 */
static void on_echo(void *ctx, const struct mlt_bus_message *message)
{
    struct bus_slot *slot = ctx;
    int64_t sent_ns;
    if (message->payload.len != sizeof sent_ns) {
        return;
    }
    memcpy(&sent_ns, message->payload.data, sizeof sent_ns);
    const int64_t now_ns = mlt_clock_mono_ns();
    if (sent_ns <= now_ns && sent_ns > now_ns - ECHO_NS_MAX) {
        mlt_histogram_record_ns(slot->echo, now_ns - sent_ns);
    }
}

static void send_echoes(void *ctx)
{
    struct mlt_service *service = ctx;
    for (size_t i = 0; i < BUS_COUNT; i++) {
        const struct bus_slot *slot = &service->buses[i];
        const int64_t now = mlt_clock_mono_ns();
        /* While it is away or full there is nothing to measure; the other metrics say so. */
        (void)!mlt_bus_publish(slot->bus, slot->echo_subject, mlt_slice_of(&now, sizeof now));
    }
    mlt_timer_start(service->echo_timer, ECHO_NS);
}

enum mlt_status mlt_service_echo_start(struct mlt_service *service, struct mlt_error *err)
{
    for (size_t i = 0; i < BUS_COUNT; i++) {
        struct bus_slot *slot = &service->buses[i];
        (void)snprintf(slot->echo_subject, sizeof slot->echo_subject, "%s.echo.%s.%zu",
                       service->inbox, service->boot_text, i);
        const struct mlt_bus_subscribe_options options = { .subject = slot->echo_subject };
        const enum mlt_status status =
            mlt_bus_subscribe(slot->bus, &options, on_echo, slot, &slot->echo_sub, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    const enum mlt_status status =
        mlt_timer_create(service->loop, send_echoes, service, &service->echo_timer);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "no memory for a timer");
    }
    mlt_timer_start(service->echo_timer, ECHO_NS);
    return MLT_OK;
}

void mlt_service_echo_stop(struct mlt_service *service)
{
    mlt_timer_destroy(service->echo_timer);
    service->echo_timer = NULL;
    for (size_t i = 0; i < BUS_COUNT; i++) {
        mlt_bus_unsubscribe(service->buses[i].echo_sub);
        service->buses[i].echo_sub = NULL;
    }
}

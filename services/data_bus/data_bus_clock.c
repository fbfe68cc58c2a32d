/* The exchange's clock as Adapters know it, each second on meltica.int.plan.status. */
#include <stdio.h>
#include <string.h>

#include "data_bus_internal.h"

#define FORGET_NS (30 * MLT_NS_PER_S) /* an Adapter that says nothing for so long */
#define STATUS_BYTES_MAX (256u << 10)

/* Whose word it is, or whose would be: it has said nothing for long. */
static bool is_its(const struct data_bus_clock *clock, const Meltica__V1__PlanStatus *status,
                   int64_t now_ns)
{
    return strcmp(clock->instance, status->instance) == 0 || now_ns - clock->heard_ns > FORGET_NS;
}

/* Each Adapter's estimate is as good as its way to the exchange is short. */
void mlt_data_bus_take_clock(struct data_bus_clock *clock, const Meltica__V1__PlanStatus *status,
                             int64_t now_ns)
{
    const bool its = is_its(clock, status, now_ns);
    if (!status->clock_known) {
        if (its) { /* it has had no answer for long, or is gone; nor has this one */
            atomic_store(&clock->known, false);
        }
    } else if (its || !atomic_load(&clock->known) ||
               status->clock_uncertainty_ns < clock->uncertainty_ns) {
        (void)snprintf(clock->instance, sizeof clock->instance, "%s", status->instance);
        clock->heard_ns = now_ns;
        clock->uncertainty_ns = status->clock_uncertainty_ns;
        atomic_store(&clock->offset_ns, status->clock_offset_ns);
        atomic_store(&clock->known, true);
    }
}

/* Its thread. */
static void on_status(void *ctx, const struct mlt_bus_message *message)
{
    struct data_bus_clock *clock = ctx;
    Meltica__V1__PlanStatus *status =
        message->payload.len > STATUS_BYTES_MAX
            ? NULL
            : meltica__v1__plan_status__unpack(NULL, message->payload.len, message->payload.data);
    if (status == NULL) {
        return; /* the Control Bus says so */
    }
    mlt_data_bus_take_clock(clock, status, mlt_clock_mono_ns());
    meltica__v1__plan_status__free_unpacked(status, NULL);
}

enum mlt_status mlt_data_bus_hear_clock(struct data_bus *d, struct mlt_error *err)
{
    static const struct mlt_bus_subscribe_options options = { .subject =
                                                                  "meltica.int.plan.status" };
    return mlt_bus_subscribe(mlt_service_control_bus(d->service), &options, on_status, &d->clock,
                             &d->clock.heard, err);
}

void mlt_data_bus_forget_clock(struct data_bus *d)
{
    mlt_bus_unsubscribe(d->clock.heard);
    d->clock.heard = NULL;
}

/* Families of single live subscriptions on /metrics, written anew each time: they come and go, and
 * a registry cannot forget. */
#include <inttypes.h>

#include "internal.h"

/* Names have no byte that would have to be escaped (live.c). */
static enum mlt_status append_state(const struct mlt_live_item *item, struct mlt_buf *out)
{
    return mlt_buf_printf(out,
                          "meltica_subscription_state{subscription=\"%s\",principal=\"%s\","
                          "consumer=\"%s\",type=\"%s\",channel=\"%s\"} %d\n",
                          item->subscription.id, item->principal, item->consumer,
                          mlt_event_type_word((int)item->subscription.type),
                          item->lane != NULL ? "private" : "shared", (int)item->state);
}

static enum mlt_status append_lease(const struct mlt_live_item *item, struct mlt_buf *out)
{
    if (item->lease_end_ns == 0) {
        return MLT_OK;
    }
    return mlt_buf_printf(out,
                          "meltica_subscription_lease_end_timestamp_seconds{subscription=\"%s\"} "
                          "%" PRId64 ".%09" PRId64 "\n",
                          item->subscription.id, item->lease_end_ns / MLT_NS_PER_S,
                          item->lease_end_ns % MLT_NS_PER_S);
}

static enum mlt_status append_family(const struct dispatcher *d, const char *name, const char *help,
                                     enum mlt_status (*append)(const struct mlt_live_item *item,
                                                               struct mlt_buf *out),
                                     struct mlt_buf *out)
{
    enum mlt_status status = mlt_metrics_append_head(out, name, help, "gauge");
    for (size_t i = 0; i < d->live.count && i < d->metrics_subscriptions && status == MLT_OK; i++) {
        status = append(d->live.items[i], out);
    }
    return status;
}

static enum mlt_status append_counts(const struct dispatcher *d, struct mlt_buf *out)
{
    static const char *const words[] = { "pending", "confirmed", "failed" };
    size_t counts[sizeof words / sizeof words[0]] = { 0 };
    for (size_t i = 0; i < d->live.count; i++) {
        counts[d->live.items[i]->state]++;
    }
    enum mlt_status status = mlt_metrics_append_head(out, "meltica_subscriptions",
                                                     "Live subscriptions, by state", "gauge");
    for (size_t s = 0; s < sizeof words / sizeof words[0] && status == MLT_OK; s++) {
        status =
            mlt_buf_printf(out, "meltica_subscriptions{state=\"%s\"} %zu\n", words[s], counts[s]);
    }
    if (status == MLT_OK) {
        status = mlt_metrics_append_head(
            out, "meltica_subscriptions_hidden",
            "Live subscriptions beyond metrics_subscriptions, which have no series", "gauge");
    }
    const size_t hidden =
        d->live.count > d->metrics_subscriptions ? d->live.count - d->metrics_subscriptions : 0;
    return status == MLT_OK ? mlt_buf_printf(out, "meltica_subscriptions_hidden %zu\n", hidden)
                            : status;
}

static enum mlt_status append_all(struct dispatcher *d, struct mlt_buf *out)
{
    (void)pthread_mutex_lock(&d->lock);
    enum mlt_status status = append_counts(d, out);
    if (status == MLT_OK && d->live.count > 0 && d->metrics_subscriptions > 0) {
        status = append_family(d, "meltica_subscription_state",
                               "Of one live subscription: 0 pending, 1 confirmed, 2 failed",
                               append_state, out);
    }
    const struct mlt_live_item *lease = mlt_live_next_lease(&d->live);
    if (status == MLT_OK && lease != NULL && d->metrics_subscriptions > 0) {
        status = append_family(d, "meltica_subscription_lease_end_timestamp_seconds",
                               "When its lease ends, since 1970", append_lease, out);
    }
    (void)pthread_mutex_unlock(&d->lock);
    return status;
}

/* Who stands by knows of none. */
enum mlt_status dispatcher_families(void *state, struct mlt_buf *out)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    const enum mlt_status status = r->active != NULL ? append_all(r->active, out) : MLT_OK;
    (void)pthread_mutex_unlock(&r->lock);
    return status;
}

/* Families of single instruments on /metrics. They are written anew each time, since a registry
 * cannot forget: what is not owned any more is not there any more. */
#include <inttypes.h>
#include <stdlib.h>

#include "conductor_internal.h"

/* One family after the other has to be written, so the views are kept meanwhile: a slice of the
 * core's own token stays good as long as its conductor is there. */
struct page {
    struct mlt_instrument_view *views;
    size_t count;
};

static void keep(void *ctx, const struct mlt_instrument_view *view)
{
    struct page *page = ctx;
    page->views[page->count++] = *view;
}

/* The value of one instrument; false: it has none in this family. */
typedef bool (*value_fn)(const struct mlt_instrument_view *view, uint64_t *value);

static bool state_of(const struct mlt_instrument_view *view, uint64_t *value)
{
    *value = (uint64_t)view->state;
    return view->has_book;
}

static bool gaps_of(const struct mlt_instrument_view *view, uint64_t *value)
{
    *value = view->gaps;
    return view->has_book;
}

static bool stales_of(const struct mlt_instrument_view *view, uint64_t *value)
{
    *value = view->stales;
    return view->has_book;
}

static bool resyncs_of(const struct mlt_instrument_view *view, uint64_t *value)
{
    *value = view->resyncs;
    return view->has_book;
}

static const struct {
    const char *name, *help, *type;
    value_fn value;
} families[] = {
    { "meltica_book_state", "State of the book: 1 IDLE, 2 SYNCING, 3 LIVE, 4 GAP, 5 STALE", "gauge",
      state_of },
    { "meltica_book_gaps_total", "Times that this book went to GAP", "counter", gaps_of },
    { "meltica_book_stales_total", "Times that this book went to STALE", "counter", stales_of },
    { "meltica_book_resyncs_total", "Times that a snapshot made this book LIVE again", "counter",
      resyncs_of },
};

static enum mlt_status append_families(const struct page *page, struct mlt_buf *out)
{
    enum mlt_status status = MLT_OK;
    for (size_t f = 0; f < sizeof families / sizeof families[0] && status == MLT_OK; f++) {
        status = mlt_metrics_append_head(out, families[f].name, families[f].help, families[f].type);
        for (size_t n = 0; n < page->count && status == MLT_OK; n++) {
            uint64_t value;
            if (families[f].value(&page->views[n], &value)) {
                status =
                    mlt_buf_printf(out, "%s{instrument=\"%.*s\"} %" PRIu64 "\n", families[f].name,
                                   MLT_SLICE_FMT(page->views[n].instrument), value);
            }
        }
    }
    return status;
}

static enum mlt_status append_events(const struct page *page, struct mlt_buf *out)
{
    static const char name[] = "meltica_instrument_events_total";
    enum mlt_status status = mlt_metrics_append_head(
        out, name, "Events numbered in this epoch: the last sequence of the channel", "counter");
    for (size_t n = 0; n < page->count; n++) {
        const struct mlt_instrument_view *view = &page->views[n];
        for (int type = 1; type < MLT_EVENT_TYPE_COUNT && status == MLT_OK; type++) {
            if (view->sequences[type] > 0) {
                status = mlt_buf_printf(out, "%s{instrument=\"%.*s\",type=\"%s\"} %" PRIu64 "\n",
                                        name, MLT_SLICE_FMT(view->instrument),
                                        mlt_event_type_word(type), view->sequences[type]);
            }
        }
    }
    return status;
}

static enum mlt_status append_times(const struct page *page, struct mlt_buf *out)
{
    static const char name[] = "meltica_instrument_last_event_timestamp_seconds";
    enum mlt_status status =
        mlt_metrics_append_head(out, name, "When its last event was numbered, since 1970", "gauge");
    for (size_t n = 0; n < page->count && status == MLT_OK; n++) {
        const struct mlt_instrument_view *view = &page->views[n];
        if (view->last_event_ns > 0) {
            status =
                mlt_buf_printf(out, "%s{instrument=\"%.*s\"} %" PRId64 ".%09" PRId64 "\n", name,
                               MLT_SLICE_FMT(view->instrument), view->last_event_ns / MLT_NS_PER_S,
                               view->last_event_ns % MLT_NS_PER_S);
        }
    }
    return status;
}

static enum mlt_status append_hidden(size_t total, size_t shown, struct mlt_buf *out)
{
    static const char name[] = "meltica_instruments_hidden";
    const enum mlt_status status = mlt_metrics_append_head(
        out, name, "Instruments beyond metrics_instruments, which have no series", "gauge");
    return status == MLT_OK ? mlt_buf_printf(out, "%s %zu\n", name, total - shown) : status;
}

enum mlt_status mlt_conductor_families(void *state, struct mlt_buf *out)
{
    struct replica *r = state;
    const size_t max = (size_t)r->config.metrics_instruments;
    struct page page = { .views = calloc(max + 1, sizeof *page.views) };
    if (page.views == NULL) {
        return MLT_E_NOMEM;
    }
    (void)pthread_mutex_lock(&r->lock); /* until it is written: then none of them ends */
    size_t total = 0;
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        (void)pthread_mutex_lock(&c->lock);
        total += mlt_conductor_core_views(c->core, max - page.count, keep, &page);
        (void)pthread_mutex_unlock(&c->lock);
    }
    enum mlt_status status = append_hidden(total, page.count, out);
    if (page.count > 0 && status == MLT_OK) {
        status = append_events(&page, out);
        status = status == MLT_OK ? append_times(&page, out) : status;
        status = status == MLT_OK ? append_families(&page, out) : status;
    }
    (void)pthread_mutex_unlock(&r->lock);
    free(page.views);
    return status;
}

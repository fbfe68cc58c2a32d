#include "trades.h"

#include <string.h>

const char *mlt_trades_loss_word(enum mlt_trades_loss loss)
{
    static const char *const words[MLT_TRADES_LOSSES] = { "too_many", "refused", "timeout",
                                                          "absent" };
    return (unsigned)loss < MLT_TRADES_LOSSES ? words[loss] : "";
}

void mlt_trades_init(struct mlt_trades *trades, const struct mlt_trades_options *options,
                     const struct mlt_trades_ports *ports)
{
    memset(trades, 0, sizeof *trades);
    trades->options = options;
    trades->ports = *ports;
}

static uint64_t width(int64_t first, int64_t last)
{
    return (uint64_t)last - (uint64_t)first + 1;
}

static void lose(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t first, int64_t last,
                 enum mlt_trades_loss why)
{
    t->ports.lost(t->ports.ctx, kind, first, last, why);
}

/* ---- ranges ---- */

static void remove_range(struct mlt_trades *t, enum mlt_trades_kind kind, size_t at)
{
    struct mlt_trades_range *r = t->ranges[kind];
    t->missing[kind] -= width(r[at].first, r[at].last);
    t->counts[kind]--;
    memmove(&r[at], &r[at + 1], (t->counts[kind] - at) * sizeof *r);
}

/* The first range that ends at or after id. */
static size_t range_at(const struct mlt_trades *t, enum mlt_trades_kind kind, int64_t id)
{
    size_t at = 0;
    while (at < t->counts[kind] && t->ranges[kind][at].last < id) {
        at++;
    }
    return at;
}

bool mlt_trades_is_missing(const struct mlt_trades *t, enum mlt_trades_kind kind, int64_t id)
{
    const size_t at = range_at(t, kind, id);
    return at < t->counts[kind] && t->ranges[kind][at].first <= id;
}

/* Takes the ids first..last out of what is missing; those that were are named by `lost`, unless
 * they came. */
static void give_up(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t first, int64_t last,
                    enum mlt_trades_loss why)
{
    size_t at = range_at(t, kind, first);
    while (at < t->counts[kind] && t->ranges[kind][at].first <= last) {
        struct mlt_trades_range *r = &t->ranges[kind][at];
        const int64_t from = r->first > first ? r->first : first;
        const int64_t to = r->last < last ? r->last : last;
        if (from > r->first) { /* a page begins where a range does: only its end is cut */
            r->last = from - 1;
            t->missing[kind] -= width(from, to);
            at++;
        } else if (to < r->last) {
            r->first = to + 1;
            t->missing[kind] -= width(from, to);
        } else {
            remove_range(t, kind, at);
        }
        lose(t, kind, from, to, why);
    }
}

/* Takes one id out. */
static void take(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t id)
{
    const size_t at = range_at(t, kind, id);
    if (at == t->counts[kind] || t->ranges[kind][at].first > id) {
        return;
    }
    struct mlt_trades_range *r = &t->ranges[kind][at];
    if (r->first == r->last) {
        remove_range(t, kind, at);
        return;
    }
    t->missing[kind]--;
    if (id == r->first) {
        r->first++;
    } else if (id == r->last) {
        r->last--;
    } else if (t->counts[kind] < MLT_TRADES_RANGES_MAX) {
        memmove(r + 1, r, (t->counts[kind] - at) * sizeof *r);
        t->counts[kind]++;
        r[0].last = id - 1;
        r[1].first = id + 1;
    } else { /* no place for two: the older one is given up */
        const int64_t first = r->first;
        t->missing[kind] -= width(first, id - 1);
        r->first = id + 1;
        lose(t, kind, first, id - 1, MLT_TRADES_TOO_MANY);
    }
}

void mlt_trades_gap(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t first, int64_t last,
                    int64_t now_ns)
{
    const uint64_t ids = width(first, last);
    if (ids > t->options->ids_max || t->missing[kind] + ids > t->options->ids_max ||
        t->counts[kind] == MLT_TRADES_RANGES_MAX) {
        lose(t, kind, first, last, MLT_TRADES_TOO_MANY);
        return;
    }
    t->ranges[kind][t->counts[kind]++] =
        (struct mlt_trades_range){ first, last, now_ns + t->options->wait_ns, false };
    t->missing[kind] += ids;
}

/* ---- the request ---- */

/* A part of a range that begins inside the page stays missing where the page ended before it. */
static void end_request(struct mlt_trades *t, enum mlt_trades_loss why)
{
    t->asked = false;
    t->repeats = 0;
    give_up(t, t->kind, t->first, t->last, why);
}

static void again_or_end(struct mlt_trades *t, enum mlt_trades_loss why, int64_t now_ns)
{
    if (t->repeats >= MLT_TRADES_REPEATS_MAX) {
        end_request(t, why);
        return;
    }
    t->asked = false;
    t->repeats++;
    t->again_ns = now_ns + t->options->again_ns;
}

static bool page_is_whole(const struct mlt_trades *t)
{
    const size_t at = range_at(t, t->kind, t->first);
    return at == t->counts[t->kind] || t->ranges[t->kind][at].first > t->last;
}

void mlt_trades_came(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t id, bool fetched)
{
    take(t, kind, id);
    if (!t->asked || t->kind != kind) {
        return;
    }
    if (page_is_whole(t)) {
        t->asked = false;
        t->repeats = 0;
    } else if (fetched && id >= t->last) {
        end_request(t, MLT_TRADES_ABSENT);
    }
}

void mlt_trades_answered(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t first,
                         enum mlt_trades_answer answer, int64_t now_ns)
{
    if (!t->asked || t->kind != kind || t->first != first) {
        return;
    }
    if (answer == MLT_TRADES_TAKEN) {
        t->until_ns = now_ns + t->options->timeout_ns;
    } else if (answer == MLT_TRADES_LATER) {
        again_or_end(t, MLT_TRADES_REFUSED, now_ns);
    } else {
        end_request(t, MLT_TRADES_REFUSED);
    }
}

/* The oldest range that may be asked for, of either kind. */
static bool oldest(const struct mlt_trades *t, enum mlt_trades_kind *kind, int64_t *ready_ns)
{
    bool found = false;
    for (int k = 0; k < MLT_TRADES_KINDS; k++) {
        if (t->counts[k] > 0 && (!found || t->ranges[k][0].ready_ns < *ready_ns)) {
            *kind = (enum mlt_trades_kind)k;
            *ready_ns = t->ranges[k][0].ready_ns;
            found = true;
        }
    }
    return found;
}

static void tell(struct mlt_trades *t, enum mlt_trades_kind kind)
{
    for (size_t i = 0; i < t->counts[kind]; i++) {
        struct mlt_trades_range *r = &t->ranges[kind][i];
        if (r->first <= t->last && !r->told) {
            r->told = true;
            t->ports.missing(t->ports.ctx, kind, r->first, r->last);
        }
    }
}

/* One page: from the oldest id on, with the other ranges that it covers. */
static void ask(struct mlt_trades *t, enum mlt_trades_kind kind, int64_t now_ns)
{
    const struct mlt_trades_range *r = t->ranges[kind];
    t->kind = kind;
    t->first = r[0].first;
    t->last = r[0].last;
    const int64_t end = INT64_MAX - t->first < (int64_t)MLT_TRADES_PAGE_MAX
                            ? INT64_MAX
                            : t->first + (int64_t)MLT_TRADES_PAGE_MAX - 1;
    for (size_t i = 1; i < t->counts[kind] && r[i].ready_ns <= now_ns; i++) {
        t->last = r[i].first <= end ? r[i].last : t->last;
    }
    t->last = t->last < end ? t->last : end;
    t->asked = true;
    t->until_ns = now_ns + t->options->timeout_ns;
    tell(t, kind);
    t->ports.request(t->ports.ctx, kind, t->first, t->last);
}

int64_t mlt_trades_due_ns(const struct mlt_trades *t)
{
    if (t->asked) {
        return t->until_ns;
    }
    enum mlt_trades_kind kind = MLT_TRADES_SINGLE;
    int64_t ready_ns = MLT_TRADES_NEVER;
    if (!oldest(t, &kind, &ready_ns)) {
        return MLT_TRADES_NEVER;
    }
    return ready_ns > t->again_ns ? ready_ns : t->again_ns;
}

void mlt_trades_tick(struct mlt_trades *t, int64_t now_ns)
{
    if (t->asked && now_ns >= t->until_ns) {
        again_or_end(t, MLT_TRADES_TIMEOUT, now_ns);
    }
    enum mlt_trades_kind kind = MLT_TRADES_SINGLE;
    int64_t ready_ns = MLT_TRADES_NEVER;
    if (!t->asked && now_ns >= t->again_ns && oldest(t, &kind, &ready_ns) && now_ns >= ready_ns) {
        ask(t, kind, now_ns);
    }
}

void mlt_trades_forget(struct mlt_trades *t)
{
    memset(t->counts, 0, sizeof t->counts);
    memset(t->missing, 0, sizeof t->missing);
    t->asked = false;
    t->repeats = 0;
}

/* What the Conductor counts, by name. README.md has the list. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "conductor_internal.h"

#include "meltica/base/figures.h"

static void init_books(struct conductor_metrics *to, struct mlt_metrics *m)
{
    static const char *const states[MLT_BOOK_STALE + 1] = {
        NULL,
        "state=\"IDLE\"",
        "state=\"SYNCING\"",
        "state=\"LIVE\"",
        "state=\"GAP\"",
        "state=\"STALE\"",
    };
    const struct {
        struct mlt_counter **counter;
        const char *name, *labels, *help;
    } counters[] = {
        { &to->books, "meltica_conductor_books_total", NULL, "BOOK events made" },
        { &to->books_merged, "meltica_conductor_books_merged_total", NULL,
          "Changes that a later BOOK showed too" },
        { &to->books_late, "meltica_conductor_books_late_total", NULL,
          "BOOKs whose commit took longer than what came after them could wait" },
        { &to->overtaken, "meltica_conductor_books_overtaken_total", NULL,
          "Of those, BOOKs that left with a state that was said before them" },
        { &to->books_fenced, "meltica_conductor_books_fenced_total", NULL,
          "BOOKs dropped because another owner writes" },
        { &to->uncached, "meltica_conductor_books_uncached_total", NULL,
          "BOOKs sent with CACHE_UNAVAILABLE" },
        { &to->ids_below, "meltica_conductor_ids_below_total", NULL,
          "Events dropped as repeats though they came long after the last new one" },
        { &to->instances_refused, "meltica_conductor_instances_refused_total", NULL,
          "Instances that became no event: losses of their channels" },
        { &to->withdrawn, "meltica_conductor_books_withdrawn_total", NULL,
          "Records and checkpoints set to IDLE, as no BOOK of theirs is made any more" },
        { &to->digests, "meltica_conductor_digests_total", NULL, "BOOK_DELTAs sent with a digest" },
        { &to->gaps, "meltica_conductor_book_gaps_total", NULL, "Books that went to GAP" },
        { &to->stales, "meltica_conductor_book_stales_total", NULL, "Books that went to STALE" },
        { &to->crossed, "meltica_conductor_book_crossed_total", NULL,
          "Books found crossed, and resynced" },
        { &to->resynced, "meltica_conductor_book_resyncs_total", NULL,
          "Books that a snapshot made LIVE again" },
        { &to->requests, "meltica_conductor_snapshot_requests_total", NULL, "Snapshots wanted" },
        { &to->snapshots, "meltica_conductor_snapshots_total", "used=\"yes\"",
          "Snapshots that came, by whether a book was replaced or deepened" },
        { &to->kept, "meltica_conductor_snapshots_kept_total", NULL,
          "Snapshots that changed no book and that nobody subscribed to" },
        { &to->doubted, "meltica_conductor_snapshots_doubted_total", NULL,
          "Snapshots that may be another instrument's, by their prices, quantities or id" },
        { &to->waited, "meltica_conductor_snapshots_waited_total", NULL,
          "Snapshots ahead of all deltas, which waited for those" },
        { &to->unused, "meltica_conductor_snapshots_total", "used=\"no\"",
          "Snapshots that came, by whether a book was replaced or deepened" },
        { &to->audits_right, "meltica_conductor_book_audits_total", "outcome=\"right\"",
          "Snapshots that met a LIVE book at one update id" },
        { &to->audits_wrong, "meltica_conductor_book_audits_total", "outcome=\"wrong\"",
          "Snapshots that met a LIVE book at one update id" },
        { &to->books_refused, "meltica_conductor_book_refused_total", NULL,
          "Deltas, snapshots and trades that a book cannot use" },
        { &to->level_changes, "meltica_conductor_book_level_changes_total", NULL,
          "Level changes applied to books" },
        { &to->unknown_deletes, "meltica_conductor_book_unknown_deletes_total", NULL,
          "Deletes of a level that the book did not hold" },
        { &to->hold_overruns, "meltica_conductor_hold_overruns_total", NULL,
          "Times that more waited behind a commit than may" },
        { &to->conflated, "meltica_conductor_books_conflated_total", NULL,
          "BOOKs that left later than their window said, the hop being too full" },
        { &to->restored, "meltica_conductor_books_restored_total", NULL,
          "Books taken over from an owner before" },
        { &to->rejoined, "meltica_conductor_books_rejoined_total", NULL,
          "Restored books that a delta made LIVE, without a snapshot" },
        { &to->replayed, "meltica_conductor_deltas_replayed_total", NULL,
          "Deltas of before that brought a restored book forward" },
        { &to->trades_gaps, "meltica_conductor_trade_gaps_total", NULL,
          "Places in the flow where ids of trades are missing" },
        { &to->trades_missing, "meltica_conductor_trades_missing_total", NULL,
          "Trades found missing, those that came late or were fetched among them" },
        { &to->trades_requests, "meltica_conductor_trade_requests_total", NULL,
          "Pages of missing trades wanted" },
        { &to->trades_filled, "meltica_conductor_trades_backfilled_total", NULL,
          "Missing trades that were fetched" },
        { &to->accepted, "meltica_conductor_resync_requests_total", "outcome=\"accepted\"",
          "Requests for a snapshot or trades, by what the Dispatcher said" },
        { &to->declined, "meltica_conductor_resync_requests_total", "outcome=\"refused\"",
          "Requests for a snapshot or trades, by what the Dispatcher said" },
        { &to->unanswered, "meltica_conductor_resync_requests_total", "outcome=\"unanswered\"",
          "Requests for a snapshot or trades, by what the Dispatcher said" },
        { &to->unqueued, "meltica_conductor_resync_requests_total", "outcome=\"unqueued\"",
          "Requests for a snapshot or trades, by what the Dispatcher said" },
    };
    for (size_t n = 0; n < sizeof counters / sizeof counters[0]; n++) {
        *counters[n].counter =
            mlt_metrics_counter(m, counters[n].name, counters[n].help, counters[n].labels);
    }
    for (int w = 0; w < MLT_TRADES_LOSSES; w++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"",
                       mlt_trades_loss_word((enum mlt_trades_loss)w));
        to->trades_unfillable[w] =
            mlt_metrics_counter(m, "meltica_conductor_trades_unfillable_total",
                                "Missing trades that will not come, by reason", labels);
    }
    for (int s = MLT_BOOK_IDLE; s <= MLT_BOOK_STALE; s++) {
        to->states[s] =
            mlt_metrics_gauge(m, "meltica_conductor_book_states", "Books, by state", states[s]);
    }
}

static void init_tiers(struct conductor_metrics *to, struct mlt_metrics *m)
{
    static const enum mlt_event_type types[] = { MLT_EVENT_TICKER, MLT_EVENT_BBO, MLT_EVENT_KLINE };
    for (size_t n = 0; n < sizeof types / sizeof types[0]; n++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "type=\"%s\"", mlt_event_type_word((int)types[n]));
        to->merged[types[n]] = mlt_metrics_counter(
            m, "meltica_conductor_merged_total",
            "Events that a newer one stands for, the hop being too full, by type", labels);
    }
    to->withheld =
        mlt_metrics_gauge(m, "meltica_conductor_withheld",
                          "TICKER, BBO and KLINE events that wait for room, each the newest "
                          "of its kind",
                          NULL);
    to->withheld_dropped =
        mlt_metrics_counter(m, "meltica_conductor_withheld_dropped_total",
                            "TICKER, BBO and KLINE events that waited for room until another "
                            "instance was the owner",
                            NULL);
}

static void set_tiers(const struct conductor_metrics *m, const struct mlt_conductor_counts *counts)
{
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (m->merged[t] != NULL) {
            mlt_counter_set(m->merged[t], counts->merged[t]);
        }
    }
    mlt_gauge_set(m->withheld, (int64_t)counts->kept);
    mlt_counter_set(m->withheld_dropped, counts->kept_dropped);
}

void mlt_conductor_metrics_init(struct conductor_metrics *to, struct mlt_metrics *m)
{
    to->in = mlt_metrics_counter(m, "meltica_conductor_in_total", "Canonical events taken", NULL);
    to->out = mlt_metrics_counter(m, "meltica_conductor_out_total",
                                  "Events numbered, STATUS events among them", NULL);
    to->duplicates =
        mlt_metrics_counter(m, "meltica_conductor_duplicates_total",
                            "Events dropped because their source position was covered", NULL);
    to->late = mlt_metrics_counter(m, "meltica_conductor_late_total",
                                   "Trades passed on after a younger one", NULL);
    to->stale_owner = mlt_metrics_counter(m, "meltica_conductor_stale_owner_total",
                                          "Events of slots that are not owned", NULL);
    to->refused = mlt_metrics_counter(m, "meltica_conductor_refused_total",
                                      "Events beyond a limit of the Conductor", NULL);
    to->lost_reports = mlt_metrics_counter(m, "meltica_conductor_lost_reports_total",
                                           "Times that something was lost on the way here", NULL);
    to->unsent = mlt_metrics_counter(m, "meltica_conductor_unsent_total",
                                     "Numbered events that the hop did not take", NULL);
    to->undecodable = mlt_metrics_counter(m, "meltica_rejected_total",
                                          "What could not become an event, by reason",
                                          "stage=\"conductor\",reason=\"parse\"");
    to->owned = mlt_metrics_gauge(m, "meltica_conductor_owned_partitions",
                                  "Partitions that this instance numbers", NULL);
    to->outbid =
        mlt_metrics_counter(m, "meltica_conductor_outbid_total",
                            "Partitions that another instance claimed from this one", NULL);
    to->stage = mlt_metrics_histogram(m, "meltica_stage_duration_seconds",
                                      "From the stamp of the stage before to this one's",
                                      "stage=\"conduct\"");
    mlt_hop_receiver_metrics_init(&to->receiver, m, "hop=\"canonical\"");
    mlt_hop_sender_metrics_init(&to->sender, m, "hop=\"out\"");
    init_books(to, m);
    init_tiers(to, m);
    mlt_conductor_cache_metrics_init(&to->cache, m);
}

static void set_books(struct conductor_metrics *m, const struct mlt_conductor_counts *counts,
                      const struct conductor_resync_counts *asked)
{
    const struct {
        struct mlt_counter *counter;
        uint64_t value;
    } values[] = {
        { m->books, counts->books },
        { m->books_merged, counts->books_merged },
        { m->books_late, counts->books_late },
        { m->books_fenced, counts->books_fenced },
        { m->uncached, counts->uncached },
        { m->overtaken, counts->books_overtaken },
        { m->withdrawn, counts->withdrawn },
        { m->ids_below, counts->ids_below },
        { m->instances_refused, counts->instances_refused },
        { m->digests, counts->digests },
        { m->gaps, counts->gaps },
        { m->stales, counts->stales },
        { m->crossed, counts->crossed },
        { m->resynced, counts->resyncs },
        { m->requests, counts->requests },
        { m->snapshots, counts->snapshots },
        { m->unused, counts->unused_snapshots },
        { m->kept, counts->snapshots_kept },
        { m->doubted, counts->snapshots_doubted },
        { m->waited, counts->snapshots_waited },
        { m->audits_right, counts->audits_right },
        { m->audits_wrong, counts->audits_wrong },
        { m->books_refused, counts->books_refused },
        { m->level_changes, counts->level_changes },
        { m->unknown_deletes, counts->unknown_deletes },
        { m->hold_overruns, counts->hold_overruns },
        { m->conflated, counts->conflated },
        { m->restored, counts->restored },
        { m->rejoined, counts->rejoined },
        { m->replayed, counts->replayed },
        { m->trades_gaps, counts->trades_gaps },
        { m->trades_missing, counts->trades_missing },
        { m->trades_requests, counts->trades_requests },
        { m->trades_filled, counts->trades_filled },
        { m->accepted, asked->accepted },
        { m->declined, asked->refused },
        { m->unanswered, asked->unanswered },
        { m->unqueued, asked->unqueued },
    };
    for (size_t n = 0; n < sizeof values / sizeof values[0]; n++) {
        mlt_counter_set(values[n].counter, values[n].value);
    }
    for (int w = 0; w < MLT_TRADES_LOSSES; w++) {
        mlt_counter_set(m->trades_unfillable[w], counts->trades_unfillable[w]);
    }
    for (int s = MLT_BOOK_IDLE; s <= MLT_BOOK_STALE; s++) {
        mlt_gauge_set(m->states[s], (int64_t)counts->states[s]);
    }
}

void mlt_conductor_metrics_set(struct conductor_metrics *m, const struct conductor_totals *totals)
{
    const struct mlt_conductor_counts *counts = &totals->counts;
    mlt_hop_receiver_metrics_set(&m->receiver, &totals->receiver);
    mlt_hop_sender_metrics_set(&m->sender, &totals->sender);
    mlt_counter_set(m->unsent, totals->unsent);
    mlt_counter_set(m->in, counts->in);
    mlt_counter_set(m->out, counts->out);
    mlt_counter_set(m->duplicates, counts->duplicates);
    mlt_counter_set(m->late, counts->late);
    mlt_counter_set(m->stale_owner, counts->stale_owner);
    mlt_counter_set(m->refused, counts->refused);
    mlt_counter_set(m->lost_reports, counts->lost_reports);
    mlt_gauge_set(m->owned, (int64_t)totals->owned);
    set_books(m, counts, &totals->asked);
    set_tiers(m, counts);
    mlt_conductor_cache_metrics_set(&m->cache, &totals->cache);
}

/* ---- totals ---- */

/* These are nothing but figures. */
static_assert(sizeof(struct mlt_conductor_counts) % sizeof(uint64_t) == 0 &&
                  sizeof(struct conductor_resync_counts) % sizeof(uint64_t) == 0 &&
                  sizeof(struct mlt_hop_receiver_stats) % sizeof(uint64_t) == 0,
              "figures of 8 bytes");

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void add_sender(struct mlt_hop_sender_stats *to, const struct mlt_hop_sender_stats *of)
{
    to->elements += of->elements;
    to->batches += of->batches;
    to->bytes += of->bytes;
    to->repeats_served += of->repeats_served;
    to->repeated_batches += of->repeated_batches;
    to->overrun_batches += of->overrun_batches;
    to->blocked_ns += of->blocked_ns;
    to->unacked_bytes = greater(to->unacked_bytes, of->unacked_bytes);
    to->unacked_max_bytes = greater(to->unacked_max_bytes, of->unacked_max_bytes);
    to->ring_bytes = greater(to->ring_bytes, of->ring_bytes);
}

static void add_cache(struct mlt_conductor_cache_counts *to,
                      const struct mlt_conductor_cache_counts *of)
{
    to->commits += of->commits;
    to->turned_away += of->turned_away;
    to->written += of->written;
    to->conflicts += of->conflicts;
    to->timeouts += of->timeouts;
    to->unavailable += of->unavailable;
    to->checkpoints += of->checkpoints;
    to->repairs += of->repairs;
    to->fenced += of->fenced;
    to->away += of->away;
    to->rebuilt += of->rebuilt;
    to->unusable += of->unusable;
    to->waiting += of->waiting;
}

void mlt_conductor_keep_hop_stats(struct conductor *c)
{
    if (c->receiver != NULL) {
        mlt_hop_receiver_get_stats(c->receiver, &c->receiver_stats);
    }
    if (c->sender != NULL) {
        mlt_hop_sender_get_stats(c->sender, &c->sender_stats);
    }
}

void mlt_conductor_totals_add(struct conductor *c, struct conductor_totals *to)
{
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(c->core, &counts);
    if (c->phase == PHASE_ENDED) { /* its books are another owner's */
        memset(counts.states, 0, sizeof counts.states);
        counts.kept = 0;
    }
    mlt_figures_add(&to->counts, &counts, sizeof counts);
    mlt_figures_add(&to->asked, &c->books.counts, sizeof c->books.counts);
    if (c->receiver_open) {
        mlt_conductor_keep_hop_stats(c);
    }
    mlt_figures_add(&to->receiver, &c->receiver_stats, sizeof c->receiver_stats);
    add_sender(&to->sender, &c->sender_stats);
    if (c->cache != NULL) {
        mlt_conductor_cache_get_counts(c->cache, &c->cache_counts);
        to->cache.available = to->cache.available || c->cache_counts.available;
    }
    add_cache(&to->cache, &c->cache_counts);
    to->unsent += c->unsent;
    for (uint32_t p = 0; p < c->partitions && c->phase != PHASE_ENDED; p++) {
        to->owned += c->epochs[p] != 0 ? 1 : 0;
    }
}

void mlt_conductor_totals_retire(struct conductor_totals *to, const struct conductor_totals *of)
{
    struct conductor_totals ended = *of;
    memset(ended.counts.states, 0, sizeof ended.counts.states);
    ended.counts.kept = 0;
    ended.sender.unacked_bytes = ended.sender.ring_bytes = 0;
    ended.cache.waiting = 0;
    mlt_figures_add(&to->counts, &ended.counts, sizeof ended.counts);
    mlt_figures_add(&to->asked, &ended.asked, sizeof ended.asked);
    mlt_figures_add(&to->receiver, &ended.receiver, sizeof ended.receiver);
    add_sender(&to->sender, &ended.sender);
    add_cache(&to->cache, &ended.cache);
    to->unsent += ended.unsent;
}

/* See flow_judge.h. */
#include "mlt_test.h"

#include "flow_judge.h"

#include <inttypes.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

#define QUIET_NS (5 * MLT_NS_PER_S) /* each channel has an event in that time */

const enum mlt_status_kind flow_loud[FLOW_LOUD] = {
    MLT_STATUS_EPOCH_STARTED, MLT_STATUS_LOST,    MLT_STATUS_SOURCE_DOWN, MLT_STATUS_GAP,
    MLT_STATUS_STALE,         MLT_STATUS_SYNCING, MLT_STATUS_MISSING,     MLT_STATUS_UNFILLABLE
};

/* ---- what consumers see ---- */

static void see(void *ctx, const struct mlt_event *e, struct mlt_slice bytes)
{
    struct flow_judge *judge = ctx;
    (void)bytes;
    unsigned symbol = 0;
    if (e->type == MLT_EVENT_BBO && chaos_symbol_of(e->instrument, judge->symbols, &symbol)) {
        struct flow_number *last = &judge->quotes[symbol];
        /* As it was, after a connection to NATS that ended: consumers ignore it by its number. */
        const bool repeated = e->epoch == last->epoch && e->sequence <= last->sequence;
        if (!repeated) {
            *last = (struct flow_number){ e->epoch, e->sequence };
            hot_witness_came(&judge->witness, symbol, e->last);
        }
    }
    judge->unsure += e->type == MLT_EVENT_BOOK &&
                     (e->u.book.state != MLT_BOOK_LIVE || (e->quality & MLT_QUALITY_STALE) != 0);
}

void flow_judge_init(struct flow_judge *judge, struct mlt_stack *stack, unsigned symbols)
{
    assert_true(symbols <= HOT_WITNESS_SYMBOLS);
    judge->stack = stack;
    judge->symbols = symbols;
    (void)pthread_mutex_init(&judge->witness.lock, NULL);
}

void flow_judge_listen(struct flow_judge *judge)
{
    judge->watch.look = see;
    judge->watch.ctx = judge;
    mlt_consumer_start(&judge->watch, judge->stack->nats_url);
    chaos_group_start(&judge->group, judge->stack, judge->symbols, &judge->result);
}

void flow_judge_witness(struct flow_judge *judge)
{
    hot_witness_start(&judge->witness,
                      (int)strtol(strrchr(judge->stack->exchange_ws, ':') + 1, NULL, 10));
}

struct flow_seen flow_seen_now(struct flow_judge *judge)
{
    struct flow_seen s = { .quotes = hot_witness_mark(&judge->witness) };
    for (size_t i = 0; i < FLOW_LOUD; i++) {
        s.kinds[i] = chaos_group_told(&judge->group, flow_loud[i]);
    }
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &judge->group.consumers[i];
        (void)pthread_mutex_lock(&c->lock);
        for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
            s.named += c->ledger.named[n];
        }
        s.silent += c->ledger.silent_holes;
        (void)pthread_mutex_unlock(&c->lock);
    }
    (void)pthread_mutex_lock(&judge->watch.lock);
    s.unsure = judge->unsure;
    (void)pthread_mutex_unlock(&judge->watch.lock);
    return s;
}

/* ---- what is waited for ---- */

static bool books_are_live(void *ctx)
{
    struct flow_judge *judge = ctx;
    return chaos_group_live(&judge->group, judge->at.came_ns, judge->at.received_ns);
}

static bool caught_up(void *ctx)
{
    struct flow_judge *judge = ctx;
    return hot_witness_reached(&judge->witness, &judge->at.quotes) &&
           chaos_group_caught_up(&judge->group, judge->at.heads);
}

void flow_judge_subscribe(struct flow_judge *judge, int seconds)
{
    judge->at.came_ns = judge->at.received_ns = 1;
    if (!mlt_consumer_wait(&judge->watch, books_are_live, judge, seconds) ||
        !chaos_group_subscribe(&judge->group, seconds)) {
        fail_msg("not every book was LIVE and subscribed within %d s", seconds);
    }
}

void flow_await(struct flow_judge *judge, const char *what, int64_t since_ns)
{
    judge->at.came_ns = judge->at.received_ns = since_ns;
    if (!mlt_consumer_wait(&judge->watch, books_are_live, judge, FLOW_LIVE_S)) {
        fail_msg("%s: not every book is LIVE within %d s", what, FLOW_LIVE_S);
    }
    print_message("    %s: every book LIVE by what came since, after %lld ms\n", what,
                  (long long)((mlt_clock_wall_ns() - since_ns) / MLT_NS_PER_MS));
    assert_true(chaos_read_heads(judge->stack, judge->symbols, judge->at.heads));
    judge->at.quotes = hot_witness_mark(&judge->witness);
    if (!mlt_consumer_wait(&judge->watch, caught_up, judge, FLOW_LIVE_S)) {
        fail_msg("%s: not all that the exchange sent has come within %d s", what, FLOW_LIVE_S);
    }
    chaos_group_compare(&judge->group); /* the exchange keeps its books for some seconds */
}

void flow_assert_nothing_seen(struct flow_judge *judge, const char *what,
                              const struct flow_seen *before)
{
    const struct flow_seen now = flow_seen_now(judge);
    for (size_t i = 0; i < FLOW_LOUD; i++) {
        if (now.kinds[i] != before->kinds[i]) {
            fail_msg("%s: consumers were told %s %" PRIu64 " times", what,
                     mlt_status_kind_word((int)flow_loud[i]), now.kinds[i] - before->kinds[i]);
        }
    }
    if (now.named != before->named || now.silent != before->silent) {
        fail_msg("%s: %" PRIu64 " holes that were told, %" PRIu64 " that were not", what,
                 now.named - before->named, now.silent - before->silent);
    }
    const uint64_t quotes =
        hot_witness_missing(&judge->witness, &before->quotes, &judge->at.quotes);
    if (quotes > 0) {
        fail_msg("%s: %" PRIu64 " quotes of the exchange did not come", what, quotes);
    }
    if (now.unsure != before->unsure) {
        fail_msg("%s: %" PRIu64 " BOOKs that are not LIVE", what, now.unsure - before->unsure);
    }
}

/* ---- the end ---- */

void flow_judge_end(struct flow_judge *judge)
{
    const int64_t since_ns = mlt_clock_wall_ns();
    flow_await(judge, "the end", since_ns);
    chaos_group_count_lost(&judge->group, since_ns - QUIET_NS);
    chaos_group_end(&judge->group, judge->at.heads);
}

void flow_judge_verdict(struct flow_judge *judge, uint64_t events)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        const struct chaos_ledger *l = &judge->group.consumers[i].ledger;
        if (l->silent_holes > 0 || l->duplicates > 0 || l->foreign > 0 || l->given_up > 0 ||
            chaos_ledger_wrong(l) > 0) {
            fail_msg("silent holes %" PRIu64 " (%s), duplicates %" PRIu64 " (%s), wrong %" PRIu64,
                     l->silent_holes, l->first_silent, l->duplicates, l->first_duplicate,
                     chaos_ledger_wrong(l));
        }
        assert_true(l->events > events && chaos_ledger_right(l) > events / 100);
    }
    print_message("    %" PRIu64 " books compared with the exchange's own\n",
                  judge->result.books_checked);
    assert_int_equal(judge->result.books_wrong, 0);
    assert_true(judge->result.books_checked > events / 100);
    assert_int_equal(judge->result.dropped_here, 0);
    assert_int_equal(judge->result.lost_subscriptions, 0);
    mlt_consumer_stop(&judge->watch);
    hot_witness_stop(&judge->witness);
    print_message("    %zu quotes of the first symbol\n", judge->witness.said[0].count);
    assert_int_equal(judge->witness.again, 0);
    assert_true(judge->witness.said[0].count > events / 10);
}

void flow_judge_free(struct flow_judge *judge)
{
    chaos_group_free(&judge->group);
}

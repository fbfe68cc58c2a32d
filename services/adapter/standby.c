/* What the loop does for a hot standby: takes stock, speaks and gives up, hands over as it ends. */
#include "standby_internal.h"

#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define LOOK_NS MLT_OWNERS_BEAT_NS
/* The loop came back later than that: what came meanwhile is read late, */
#define STALL_NS (500 * MLT_NS_PER_MS)
/* and so long after that it is all read. */
#define STALL_OVER_NS (2 * MLT_NS_PER_S)
#define LEAVE_NS MLT_NS_PER_S
#define MUTE_NS (25 * MLT_NS_PER_S) /* the exchange pings each 20 s */
#define WARM_NS                                                                                    \
    (3 * MLT_OWNERS_BEAT_NS) /* who is there and did not say that it is warm may become so */
#define LEAVE_LOOK_NS (5 * MLT_NS_PER_MS)

static uint64_t bit(uint32_t partition)
{
    return mlt_standby_bit(partition);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- taking stock ---- */

/* While reading is stopped, or the loop does not come to it, sockets hold what should have been
 * brought long ago: it counts as missing from the beginning of that on. */
static void note_stall(struct mlt_standby *s, int64_t now)
{
    if (!s->adapter->held && now - s->looked_ns < STALL_NS) {
        return;
    }
    if (now >= s->stalled_until_ns) {
        s->stalled_since_ns = s->looked_ns;
    }
    s->stalled_until_ns = now + STALL_OVER_NS;
}

static int64_t need_since(const struct mlt_standby *s, uint32_t partition, int64_t now)
{
    const int64_t unacked = mlt_hop_sender_unacked_since(s->adapter->sender, partition);
    int64_t since = earlier(now, earlier(unacked, s->lines_since_ns[partition]));
    if (now < s->stalled_until_ns) {
        since = earlier(since, s->stalled_since_ns);
    }
    /* What a line that ended had on its way is said to be missing only when that is heard. */
    if (unacked > s->ended_ns[partition]) {
        s->adapter->lines.ended_since_ns[partition] = INT64_MAX;
    }
    return earlier(since, s->adapter->lines.ended_since_ns[partition]);
}

void mlt_standby_line_ended(struct mlt_standby *standby)
{
    for (uint32_t p = 0; p < standby->adapter->partitions; p++) {
        if (standby->adapter->lines.ended_since_ns[p] != INT64_MAX) {
            standby->ended_ns[p] = mlt_clock_mono_ns();
        }
    }
}

static void look_at_have(struct mlt_standby *s)
{
    int64_t topics_since_ns[MLT_SLOT_COUNT];
    struct mlt_adapter *adapter = s->adapter;
    const int64_t now = mlt_clock_mono_ns();
    s->missing = mlt_topics_since(&adapter->topics, topics_since_ns);
    if (!s->frozen) {
        mlt_lines_heard_since(&adapter->lines, s->lines_since_ns);
    }
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        const struct mlt_plan_part *part = &adapter->plans.parts[p];
        const bool planned = adapter->listed && part->known;
        s->have[p] = (struct mlt_cover_have){
            .ring_since_ns = mlt_hop_sender_held_since(adapter->sender, p),
            /* Of a line that does not even ping nobody knows what it has on its way. */
            .topics_since_ns =
                now - s->lines_since_ns[p] > MUTE_NS ? INT64_MAX : topics_since_ns[p],
            .plan_boot = planned ? part->boot : 0,
            .plan_revision = planned ? part->revision : 0,
        };
    }
}

/* Under the lock: a stand-by that would lose nothing was heard lately. */
static bool guarded(const struct mlt_standby *s, uint32_t partition, int64_t now)
{
    return s->warm_ns[partition] != 0 && now - s->warm_ns[partition] < MLT_OWNERS_SILENCE_NS;
}

/* A claim came to nothing, and it is tried again. Of what another one speaks for its own alone, and
 * where it is warm: of one that is cold what the last answer was says nothing. */
static bool claims_fail(const struct mlt_standby *s)
{
    return atomic_load(&s->claimed) == MLT_STANDBY_FAILED &&
           (!s->all_spoken || (s->own.warm & mlt_replicas_home(s->replicas)) != 0);
}

/* all_spoken: while our own beats do not come back nothing is known of others. */
static void prepare(struct mlt_standby *s, uint64_t cold, int64_t now)
{
    if (s->prepared) {
        return;
    }
    if (cold == 0 && (atomic_load(&s->claimed) == MLT_STANDBY_GRANTED ||
                      mlt_replicas_home(s->replicas) == 0)) { /* which never claims from one */
        s->prepared = true;
        return;
    }
    if (!s->adapter->listed || !s->all_spoken || claims_fail(s)) {
        s->prepare_by_ns = 0;
    } else if (s->prepare_by_ns == 0) {
        s->prepare_by_ns = now + MLT_STANDBY_PREPARE_NS;
    } else if (now >= s->prepare_by_ns) {
        s->prepared = true;
        mlt_log(MLT_LOG_WARN, "stays_cold",
                "not warm yet, and ready all the same: if the other Adapter ends now something is "
                "lost (docs/operations.md, MelticaNoWarmStandby)",
                MLT_U("partitions", (unsigned)__builtin_popcountll(cold)));
    }
}

void mlt_standby_look(struct mlt_standby *standby)
{
    struct mlt_standby *s = standby;
    struct mlt_adapter *adapter = s->adapter;
    const int64_t now = mlt_clock_mono_ns();
    int64_t unguarded = 0;
    note_stall(s, now);
    s->looked_ns = now;
    look_at_have(s);
    (void)pthread_mutex_lock(&s->lock);
    uint64_t warm = 0, cold = 0;
    s->all_spoken = true;
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        if (mlt_adapter_speaks(adapter, p)) {
            s->need_since_ns[p] = need_since(s, p, now);
            s->own.plan_boots[p] = s->have[p].plan_boot;
            s->own.plan_revisions[p] = s->have[p].plan_revision;
            unguarded += !guarded(s, p, now);
        } else if (mlt_cover_judge(&s->said[p], &s->have[p]) != MLT_COVERED) {
            cold |= bit(p);
        } else if ((s->missing & bit(p)) == 0) {
            warm |= bit(p); /* and has no instrument to be said to be down */
        }
        s->all_spoken = s->all_spoken && mlt_standby_spoken(s, p, now);
    }
    warm = s->draining ? 0 : warm;
    const bool news = warm != s->own.warm;
    s->own.warm = warm;
    (void)pthread_mutex_unlock(&s->lock);
    prepare(s, cold, now);
    if (news) { /* whoever ends meanwhile goes by it */
        mlt_replicas_changed(s->replicas);
    }
    const int spoken = __builtin_popcountll(adapter->speaks);
    mlt_gauge_set(s->speaking, spoken);
    mlt_gauge_set(s->held, (int64_t)adapter->partitions - spoken);
    mlt_gauge_set(s->warm, __builtin_popcountll(warm));
    mlt_gauge_set(s->unguarded, unguarded);
}

/* ---- speaking ---- */

/* What another one makes, or is made here from now on. */
static void speaks_changed(struct mlt_standby *s)
{
    struct mlt_adapter *adapter = s->adapter;
    mlt_rest_hold(&adapter->rest, adapter->plans.mine & ~adapter->speaks, mlt_clock_mono_ns());
    mlt_standby_look(s);
    mlt_replicas_changed(s->replicas);
    if (!adapter->draining) {
        mlt_adapter_status_publish(adapter);
        mlt_adapter_lines_turn(adapter);
        mlt_adapter_rest_turn(adapter);
    }
}

static void speak(struct mlt_standby *s, uint32_t p, uint64_t epoch,
                  const struct mlt_cover_said *said)
{
    struct mlt_adapter *adapter = s->adapter;
    const enum mlt_cover cover = mlt_cover_judge(said, &s->have[p]);
    const int64_t from_ns = mlt_cover_from(said);
    const enum mlt_status status =
        mlt_hop_sender_speak(adapter->sender, p, epoch, from_ns, cover == MLT_COVERED);
    if (status != MLT_OK) { /* it is held, or we would not have claimed it */
        mlt_log(MLT_LOG_ERROR, "not_spoken", mlt_status_text(status), MLT_U("partition", p));
        return;
    }
    adapter->speaks |= bit(p);
    mlt_counter_add(cover == MLT_COVERED ? s->taken_covered : s->taken_open, 1);
    mlt_log(cover == MLT_COVERED ? MLT_LOG_INFO : MLT_LOG_WARN, "takes_over",
            "this Adapter speaks for the partition from now on", MLT_U("partition", p),
            MLT_U("epoch", epoch), MLT_B("covered", cover == MLT_COVERED),
            MLT_S("reason", mlt_cover_word(cover)),
            MLT_I("from_ms_ago",
                  from_ns == INT64_MIN ? -1 : (mlt_clock_mono_ns() - from_ns) / MLT_NS_PER_MS));
}

/* What was claimed is spoken for, beginning with what is held of it, and what the sources are now.
 */
static void take_granted(struct mlt_standby *s, const uint64_t granted[MLT_SLOT_COUNT])
{
    struct mlt_adapter *adapter = s->adapter;
    uint64_t taken = 0;
    /* Somebody told of the listing, maybe of a later one than ours; not to this Dispatcher, which
     * would take what nobody tells it for not listed. */
    bool known = false, untold = false;
    look_at_have(s);
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        if (granted[p] == 0) {
            continue;
        }
        (void)pthread_mutex_lock(&s->lock);
        const struct mlt_cover_said said = s->said[p];
        (void)pthread_mutex_unlock(&s->lock);
        speak(s, p, granted[p], &said);
        taken |= bit(p);
        known = known || said.boot != 0;
        untold = untold || said.boot == 0 || said.plan_boot != s->have[p].plan_boot;
    }
    mlt_lines_say_sources(&adapter->lines, taken & adapter->speaks);
    mlt_standby_look(s); /* what the first beat says of them */
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        if (granted[p] != 0) {
            s->own.epochs[p] = granted[p];
            s->own.partitions |= bit(p) & adapter->speaks;
            s->claiming &= ~bit(p);
            s->granted[p] = 0;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (!adapter->draining && untold) {
        mlt_adapter_listing_announce(adapter);
    }
    if (!adapter->draining && known) { /* it is told as it is read */
        mlt_adapter_listing_again(adapter);
    }
}

static void give_up(struct mlt_standby *s, const uint64_t outbid[MLT_SLOT_COUNT])
{
    struct mlt_adapter *adapter = s->adapter;
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        if (outbid[p] <= s->own.epochs[p] || !mlt_adapter_speaks(adapter, p)) {
            continue;
        }
        mlt_hop_sender_hold(adapter->sender, p);
        adapter->speaks &= ~bit(p);
        mlt_counter_add(s->lost, 1);
        mlt_log(MLT_LOG_WARN, "stands_by",
                "another Adapter speaks for the partition: this one holds it",
                MLT_U("partition", p), MLT_U("epoch", outbid[p]));
    }
}

void mlt_standby_news(void *ctx)
{
    struct mlt_standby *s = ctx;
    uint64_t granted[MLT_SLOT_COUNT], outbid[MLT_SLOT_COUNT];
    bool grants = false, bids = false;
    (void)pthread_mutex_lock(&s->lock);
    s->posted = false;
    memcpy(granted, s->granted, sizeof granted);
    memcpy(outbid, s->outbid, sizeof outbid);
    memset(s->outbid, 0, sizeof s->outbid);
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        if (granted[p] != 0 && (granted[p] < outbid[p] || s->gone)) { /* too late */
            s->claiming &= ~bit(p);
            granted[p] = s->granted[p] = 0;
        }
        grants = grants || granted[p] != 0;
        bids = bids || outbid[p] != 0;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (bids) {
        give_up(s, outbid);
    }
    if (grants) {
        take_granted(s, granted);
    }
    if (grants || bids) {
        speaks_changed(s);
    }
}

static void on_look(void *ctx)
{
    struct mlt_standby *s = ctx;
    mlt_standby_news(s); /* what could not be posted */
    mlt_standby_look(s);
    mlt_timer_start(s->look, LOOK_NS);
}

/* ---- the end ---- */

static bool acknowledged(const struct mlt_standby *s, uint64_t partitions)
{
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        if ((partitions & bit(p)) != 0 &&
            mlt_hop_sender_unacked_since(s->adapter->sender, p) != INT64_MAX) {
            return false;
        }
    }
    return true;
}

static void end_lines(struct mlt_standby *s)
{
    s->end = MLT_STANDBY_ENDS_LINES;
    if (s->frozen) {
        mlt_adapter_pause_lines(s->adapter, false); /* or they would not close */
    }
    mlt_adapter_end_lines(s->adapter);
}

static void await(struct mlt_standby *s, enum mlt_standby_end end, int64_t for_ns)
{
    s->end = end;
    s->leave_by_ns = mlt_clock_mono_ns() + for_ns;
    mlt_timer_start(s->leave, 0);
}

/* Of these, those that somebody speaks for, or has said since we drain that it is warm for. */
static uint64_t spoken_or_warm(struct mlt_standby *s, uint64_t partitions, bool spoken)
{
    const int64_t now = mlt_clock_mono_ns();
    uint64_t found = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        if (spoken ? mlt_standby_spoken(s, p, now) : s->warm_ns[p] >= s->drain_ns) {
            found |= bit(p);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return found & partitions;
}

/* What is acknowledged, and since when nothing was read, is said in a beat that still names the
 * partitions; the next one does not, upon which a stand-by begins there. */
static void hand_over(struct mlt_standby *s)
{
    struct mlt_adapter *adapter = s->adapter;
    mlt_standby_look(s);
    mlt_replicas_changed(s->replicas);
    (void)pthread_mutex_lock(&s->lock);
    s->own.partitions &= ~s->leaving;
    (void)pthread_mutex_unlock(&s->lock);
    adapter->speaks &= ~s->leaving; /* sources that go down are not said to */
    mlt_replicas_changed(s->replicas);
    await(s, MLT_STANDBY_HANDS_OVER, LEAVE_NS);
}

/* Whoever was warm may have ended in that moment, too: then sources go down as ever. */
static void handed_over(struct mlt_standby *s)
{
    const uint64_t taken = spoken_or_warm(s, s->leaving, true);
    const int count = __builtin_popcountll(taken);
    s->adapter->speaks |= s->leaving & ~taken;
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        if ((taken & bit(p)) != 0) { /* nobody would acknowledge it */
            mlt_hop_sender_hold(s->adapter->sender, p);
        }
    }
    mlt_counter_add(s->handed_over, (uint64_t)count);
    mlt_log(MLT_LOG_INFO, "hands_over", "another Adapter goes on with these partitions",
            MLT_I("partitions", count),
            MLT_U("left", (uint64_t)__builtin_popcountll(s->leaving) - (uint64_t)count));
    end_lines(s);
}

static void leave(struct mlt_standby *s)
{
    (void)pthread_mutex_lock(&s->lock);
    s->gone = true;
    s->own.partitions = s->claiming = 0;
    (void)pthread_mutex_unlock(&s->lock);
    mlt_timer_stop(s->look);
    mlt_replicas_changed(s->replicas); /* the keeper tells the others, and the service */
}

static bool settled(struct mlt_standby *s)
{
    switch (s->end) {
    case MLT_STANDBY_SETTLES:
        return acknowledged(s, s->leaving) && spoken_or_warm(s, s->leaving, false) == s->leaving;
    case MLT_STANDBY_HANDS_OVER:
        return spoken_or_warm(s, s->leaving, true) == s->leaving;
    default:
        return acknowledged(s, s->adapter->speaks);
    }
}

static void on_leave(void *ctx)
{
    struct mlt_standby *s = ctx;
    if (!settled(s) && mlt_clock_mono_ns() < s->leave_by_ns) {
        mlt_timer_start(s->leave, LEAVE_LOOK_NS);
        return;
    }
    if (s->end == MLT_STANDBY_LEAVES) {
        leave(s);
    } else if (s->end == MLT_STANDBY_HANDS_OVER) {
        handed_over(s);
    } else {
        s->leaving = spoken_or_warm(s, s->leaving, false);
        if (s->leaving != 0) {
            hand_over(s);
        } else {
            end_lines(s);
        }
    }
}

/* Under the lock: that there is another Adapter. */
static bool heard_lately(const struct mlt_standby *s, int64_t now)
{
    bool heard = false;
    for (size_t i = 0; i < MLT_COVER_PEERS_MAX; i++) {
        heard =
            heard || (s->peers[i].boot != 0 && now - s->peers[i].last_ns < MLT_OWNERS_SILENCE_NS);
    }
    return heard;
}

void mlt_standby_drain(struct mlt_standby *standby)
{
    struct mlt_standby *s = standby;
    mlt_replicas_drain(s->replicas);
    s->drain_ns = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&s->lock);
    s->draining = true;
    const bool beside = heard_lately(s, s->drain_ns);
    bool all_guarded = true;
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        if (mlt_adapter_speaks(s->adapter, p) && (beside || guarded(s, p, s->drain_ns))) {
            s->leaving |= bit(p);
            all_guarded = all_guarded && guarded(s, p, s->drain_ns);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    mlt_standby_look(s);
    mlt_replicas_changed(s->replicas); /* this one is warm for nothing any more */
    if (s->leaving == 0) {
        end_lines(s);
        return;
    }
    mlt_adapter_pause_lines(s->adapter, true);
    s->frozen = true;
    await(s, MLT_STANDBY_SETTLES, all_guarded ? LEAVE_NS : WARM_NS);
}

void mlt_standby_lines_ended(struct mlt_standby *standby)
{
    await(standby, MLT_STANDBY_LEAVES, LEAVE_NS);
}

/* ---- seen from outside ---- */

bool mlt_standby_in_touch(const struct mlt_standby *standby)
{
    return mlt_replicas_in_touch(standby->replicas);
}

const char *mlt_standby_lacks(const struct mlt_standby *standby)
{
    if (!mlt_replicas_in_touch(standby->replicas)) {
        return "its own beats do not come back";
    }
    const bool failed = claims_fail(standby);
    if (failed && !standby->all_spoken) {
        return "partitions that nobody speaks for cannot be claimed: JetStream does not answer";
    }
    if (standby->prepared) {
        return NULL;
    }
    return failed ? "its partitions cannot be claimed: JetStream does not answer"
                  : "not warm yet for what another Adapter speaks for";
}

void mlt_standby_collect(struct mlt_standby *standby)
{
    struct mlt_hop_sender_stats stats = { 0 };
    mlt_hop_sender_get_stats(standby->adapter->sender, &stats);
    mlt_gauge_set(standby->bytes, (int64_t)stats.held_bytes);
    mlt_replicas_collect(standby->replicas);
}

static void make_meters(struct mlt_standby *s, struct mlt_metrics *m)
{
    static const char taken_help[] =
        "Partitions that this Adapter began to speak for, by whether nothing was lost by that.";
    s->speaking = mlt_metrics_gauge(m, "meltica_adapter_speaking_partitions",
                                    "Partitions that this Adapter speaks for.", NULL);
    s->held = mlt_metrics_gauge(m, "meltica_adapter_held_partitions",
                                "Partitions that it holds, to stand by for another one.", NULL);
    s->warm = mlt_metrics_gauge(
        m, "meltica_adapter_warm_partitions",
        "Of those that it holds, what it could take over now without a loss.", NULL);
    s->unguarded =
        mlt_metrics_gauge(m, "meltica_adapter_unguarded_partitions",
                          "Of those that it speaks for, what no other one is warm for.", NULL);
    s->bytes = mlt_metrics_gauge(m, "meltica_adapter_held_bytes",
                                 "Held of partitions that another Adapter speaks for.", NULL);
    s->taken_covered = mlt_metrics_counter(m, "meltica_adapter_standby_takeovers_total", taken_help,
                                           "covered=\"yes\"");
    s->taken_open = mlt_metrics_counter(m, "meltica_adapter_standby_takeovers_total", taken_help,
                                        "covered=\"no\"");
    s->lost = mlt_metrics_counter(m, "meltica_adapter_given_up_total",
                                  "Partitions that another Adapter took over.", NULL);
    s->handed_over = mlt_metrics_counter(m, "meltica_adapter_handed_over_total",
                                         "Partitions left to a warm stand-by at the end.", NULL);
    s->claims_failed = mlt_metrics_counter(m, "meltica_adapter_claims_failed_total",
                                           "Take-overs whose claims could not be written.", NULL);
}

/* ---- life ---- */

static enum mlt_status build(struct mlt_standby *s, struct mlt_error *err)
{
    enum mlt_status status = mlt_timer_create(s->adapter->loop, on_look, s, &s->look);
    if (status == MLT_OK) {
        status = mlt_timer_create(s->adapter->loop, on_leave, s, &s->leave);
    }
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "hot standby: no timer");
    }
    return mlt_standby_open(s, err);
}

enum mlt_status mlt_standby_start(struct mlt_adapter *adapter, struct mlt_error *err)
{
    struct mlt_standby *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "hot standby");
    }
    s->adapter = adapter;
    s->looked_ns = mlt_clock_mono_ns();
    atomic_init(&s->claimed, MLT_STANDBY_NEVER);
    (void)pthread_mutex_init(&s->lock, NULL);
    make_meters(s, adapter->metrics);
    mlt_rest_hold(&adapter->rest, adapter->plans.mine, s->looked_ns);
    adapter->standby = s;
    const enum mlt_status status = build(s, err);
    if (status == MLT_OK) {
        mlt_timer_start(s->look, 0);
    }
    return status; /* what was made is the adapter's to free */
}

void mlt_standby_destroy(struct mlt_standby *standby)
{
    if (standby == NULL) {
        return;
    }
    mlt_standby_close(standby);
    mlt_loop_unpost(standby->adapter->loop, mlt_standby_news, standby);
    mlt_timer_destroy(standby->look);
    mlt_timer_destroy(standby->leave);
    (void)pthread_mutex_destroy(&standby->lock);
    free(standby);
}

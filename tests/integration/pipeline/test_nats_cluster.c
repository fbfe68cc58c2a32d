/*
 * Three nats-servers, streams and buckets with three replicas, and servers killed with -9 under
 * load. One after the other: the one that leads least, then whoever leads the control log, the
 * journal, the books, and JetStream itself. Two of three, so that JetStream has no quorum. All at
 * once, which empties what is in memory. Judged as chaos judges: no silent hole, no duplicate, no
 * wrong LIVE book, no subscription lost, each book LIVE again; and commands are answered, and
 * carried out again.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chaos_consumer.h"
#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "mlt_consumer.h"
#include "steer_rig.h"

#define SYMBOLS 6u
#define READY_S 60
/* nats-server elects a leader 4 to 9 s after it last heard the old one. The rest is for a machine
 * that does other things as well. */
#define CONFIRMED_S 40
/* How long a book is waited for; how long it may take is RECOVERY_NS. */
#define LIVE_S 20
#define WRITTEN_S 15
#define CURRENT_S 60
/* Of 99 in 100 kills, from the moment when consumers have a server again. What the machine keeps a
 * thread from running that is due comes on top, once for each process on the way: a machine that
 * has other work would else be judged and not Meltica. On one that has none that is little. */
#define RECOVERY_NS (2 * MLT_NS_PER_S)
#define ON_THE_WAY 10
#define DUE_NS (10 * MLT_NS_PER_MS)
#define SETTLED_S 40
#define ALONE_COMMANDS 3

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"historicalTrades\"}},"
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\",\"rest\":{\"function\":\"aggTrades\"}},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":10000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"
    "\"subscriptions\":["
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"
    "{\"id\":\"snapshots\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}";

static struct rig rig;
static struct chaos_group group;
static struct chaos_result result;
static struct mlt_consumer clock_tick; /* whoever waits looks again with each event */
static int64_t compared_ns;

/* ---- how late the machine is ---- */

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end; /* monotonic */
    bool stop;
    int64_t late_ns; /* the most so far */
} witness;

static void *watch(void *arg)
{
    (void)arg;
    (void)pthread_mutex_lock(&witness.lock);
    while (!witness.stop) {
        const int64_t due_ns = mlt_clock_mono_ns() + DUE_NS;
        const struct timespec due = { .tv_sec = due_ns / MLT_NS_PER_S,
                                      .tv_nsec = due_ns % MLT_NS_PER_S };
        (void)pthread_cond_timedwait(&witness.end, &witness.lock, &due);
        const int64_t late_ns = mlt_clock_mono_ns() - due_ns;
        witness.late_ns = late_ns > witness.late_ns ? late_ns : witness.late_ns;
    }
    (void)pthread_mutex_unlock(&witness.lock);
    return NULL;
}

static void witness_start(void)
{
    pthread_condattr_t monotonic;
    memset(&witness, 0, sizeof witness);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&witness.end, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&witness.lock, NULL);
    assert_int_equal(pthread_create(&witness.thread, NULL, watch, NULL), 0);
}

static int64_t witness_end(void)
{
    (void)pthread_mutex_lock(&witness.lock);
    witness.stop = true;
    (void)pthread_cond_signal(&witness.end);
    (void)pthread_mutex_unlock(&witness.lock);
    (void)pthread_join(witness.thread, NULL);
    return witness.late_ns;
}

/* ---- what is waited for ---- */

/* The exchange keeps its own books for some seconds only. */
static void compare_books(void)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    if (now_ns - compared_ns >= MLT_NS_PER_S) {
        compared_ns = now_ns;
        chaos_group_compare(&group);
    }
}

struct moment {
    int64_t came_ns, received_ns;
};

static bool books_are_live(void *ctx)
{
    const struct moment *since = ctx;
    compare_books();
    return chaos_group_live(&group, since->came_ns, since->received_ns);
}

/* Whether all there is has its three replicas, and they have all there is. */
static bool all_is_current(struct rig *r, void *ctx)
{
    char *lacking = ctx;
    compare_books();
    for (int i = 0; i < MLT_STORED_COUNT; i++) {
        struct mlt_stored_report report;
        struct mlt_error err = MLT_ERROR_INIT;
        if (mlt_stored[i].optional) {
            continue; /* no Adapter here shares its weight */
        }
        const enum mlt_status status =
            mlt_stored_inspect(r->store, (enum mlt_stored)i, 3, &report, &err);
        if (status != MLT_OK || report.lacking[0] != '\0' || report.differs[0] != '\0' ||
            report.wrong[0] != '\0') {
            (void)snprintf(lacking, 512, "%s: %s %s %s %.200s", mlt_stored[i].stream.name,
                           report.lacking, report.differs, report.wrong, err.text);
            return false;
        }
    }
    return true;
}

static bool stores_are_used(struct rig *r, void *ctx)
{
    (void)ctx;
    compare_books();
    return mlt_stack_metric(&r->stack, "conductor", "meltica_conductor_cache_available", "") == 1 &&
           mlt_stack_metric(&r->stack, "data-bus", "meltica_journal_available", "") == 1;
}

static bool caught_up(void *ctx)
{
    compare_books();
    return chaos_group_caught_up(&group, ctx);
}

/* ---- commands ---- */

struct answers {
    unsigned confirmed, pending, refused, nobody, silent;
    int64_t slowest_ns;
};

/* Whether an answer left it open what came of the command. */
static bool is_open(const struct said *s)
{
    return s->json == NULL || strcmp(rig_text(s->json, "status"), "PENDING") == 0 ||
           strstr(rig_text(s->json, "message"), "did not acknowledge in time") != NULL;
}

/* Repeats with another id until it is CONFIRMED. Each answer before says why not; one that left it
 * open may have ended the subscription, so that there is none to end. */
static void carry_out(const char *verb, const char *members, char *id, struct answers *answers)
{
    static unsigned number;
    const int64_t until_ns = mlt_clock_mono_ns() + CONFIRMED_S * MLT_NS_PER_S;
    struct said s = { 0 };
    bool confirmed = false, open = false;
    while (!confirmed && mlt_clock_mono_ns() < until_ns) {
        char body[256];
        (void)snprintf(body, sizeof body, "{\"consumer\":\"steady\",\"id\":\"c%u\",%s}", ++number,
                       members);
        cJSON_Delete(s.json);
        s = rig_try(&rig, verb, mlt_slice_of_string(body));
        compare_books();
        const char *status = rig_text(s.json, "status");
        if (s.json == NULL) {
            answers->nobody += s.unavailable;
            answers->silent += !s.unavailable;
            open = open || !s.unavailable;
            continue;
        }
        answers->slowest_ns = s.took_ns > answers->slowest_ns ? s.took_ns : answers->slowest_ns;
        const bool ended = open && strcmp(verb, "unsubscribe") == 0 && s.refused &&
                           rig_number(s.json, "code") == 404;
        if (!ended && s.refused &&
            (rig_number(s.json, "code") < 503 || rig_number(s.json, "code") > 504 ||
             rig_text(s.json, "message")[0] == '\0')) {
            rig_fail(&s, body);
        }
        open = open || is_open(&s);
        confirmed = ended || (!s.refused && strcmp(status, "CONFIRMED") == 0);
        answers->confirmed += confirmed;
        answers->refused += s.refused;
        answers->pending += !s.refused && strcmp(status, "PENDING") == 0;
    }
    if (!confirmed) {
        rig_fail(&s, verb);
    }
    if (id != NULL) {
        (void)snprintf(id, 64, "%s", rig_text(s.json, "subscription"));
    }
    cJSON_Delete(s.json);
}

/* Something new is asked for, and given up again. */
static void steer(const char *who)
{
    struct answers a = { 0 };
    char id[64], members[128];
    const int64_t begin_ns = mlt_clock_mono_ns();
    carry_out("subscribe", "\"type\":\"TICKER\",\"instruments\":[\"SYM0001-USDT\"]", id, &a);
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    (void)snprintf(members, sizeof members, "\"subscription\":\"%s\"", id);
    carry_out("unsubscribe", members, NULL, &a);
    print_message("%s: a command was CONFIRMED after %.1f s; before, %u refused, %u pending, %u "
                  "with nobody there, %u without an answer; the slowest answer took %.2f s\n",
                  who, (double)took_ns / MLT_NS_PER_S, a.refused, a.pending, a.nobody, a.silent,
                  (double)a.slowest_ns / MLT_NS_PER_S);
    assert_true(a.slowest_ns < RIG_LATE_NS);
    assert_true(a.silent <= 1); /* what was under way in the server that was killed */
}

/* Not where all are elected anew: of a stream that nothing is written to the new leader may not say
 * so for minutes. What a server that was just started missed of the log may be told as missing
 * until the next command, too. */
static void await_current(void)
{
    char lacking[512] = "";
    if (rig_until(all_is_current, &rig, lacking, WRITTEN_S)) {
        return;
    }
    print_message("not current without a command: %s\n", lacking);
    steer("to be current");
    if (!rig_until(all_is_current, &rig, lacking, CURRENT_S)) {
        fail_msg("not current within %d s: %s", CURRENT_S, lacking);
    }
}

/* Names and states as they are listed; to free. */
static char *listed(void)
{
    struct said s = rig_ask(&rig, "list", "");
    assert_false(s.refused);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    char *text = cJSON_PrintUnformatted(list);
    assert_non_null(text);
    cJSON_Delete(s.json);
    return text;
}

/* ---- kills ---- */

static const char *const servers[] = { "nats", "nats-2", "nats-3" };

static const char *server_of(const char *name)
{
    for (unsigned i = 0; i < MLT_STACK_NATS_MAX; i++) {
        if (strcmp(servers[i], name) == 0) {
            return servers[i];
        }
    }
    fail_msg("no server %s", name);
    return NULL;
}

static const char *leader_of(enum mlt_stored which)
{
    char name[64];
    if (!rig_leader(&rig, mlt_stored[which].stream.name, name, sizeof name)) {
        fail_msg("%s has no leader", mlt_stored[which].stream.name);
    }
    return server_of(name);
}

static const char *leads_least(void)
{
    unsigned leads[MLT_STACK_NATS_MAX] = { 0 };
    unsigned least = 0;
    for (unsigned s = 0; s < MLT_STACK_NATS_MAX; s++) {
        for (int i = 0; i < MLT_STORED_COUNT; i++) {
            leads[s] +=
                !mlt_stored[i].optional && strcmp(leader_of((enum mlt_stored)i), servers[s]) == 0;
        }
        leads[s] += strcmp(mlt_stack_meta_leader(&rig.stack), servers[s]) == 0;
        least = leads[s] < leads[least] ? s : least;
    }
    print_message("%s leads %u\n", servers[least], leads[least]);
    return servers[least];
}

/* One whose server has just ended may not know it yet: only a round trip proves a connection. */
static void await_server(struct mlt_bus *bus)
{
    const int64_t until_ns = mlt_clock_mono_ns() + 10 * MLT_NS_PER_S;
    while (mlt_bus_wait_connected(bus, MLT_NS_PER_S) != MLT_OK || mlt_bus_rtt_ns(bus) < 0) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

static void await_consumers(void)
{
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        await_server(group.consumers[i].bus);
    }
    await_server(rig.client);
}

/* From here on what a consumer misses is for it to see by number. */
static struct moment kill_servers(const char *const *victims, size_t count)
{
    struct moment since = { .received_ns = mlt_clock_wall_ns() };
    chaos_group_outage(&group, since.received_ns, false);
    for (size_t i = 0; i < count; i++) {
        mlt_stack_kill(&rig.stack, victims[i]);
    }
    return since;
}

/* All consumers have a server again; every book has to be LIVE from then on. */
static void await_books(struct moment *since, const char *who)
{
    await_consumers();
    since->came_ns = mlt_clock_wall_ns();
    chaos_group_outage(&group, since->came_ns, true);
    const struct chaos_fault fault = { .kind = CHAOS_KILL_NATS,
                                       .symbol = CHAOS_ALL,
                                       .begin_ns = since->received_ns,
                                       .end_ns = since->came_ns };
    chaos_group_fault(&group, &fault);
    if (!mlt_consumer_wait(&clock_tick, books_are_live, since, LIVE_S)) {
        fail_msg("%s: not every book was LIVE again within %d s", who, LIVE_S);
    }
    print_message("%s: consumers were back after %.2f s, every book LIVE %.2f s later\n", who,
                  (double)(since->came_ns - since->received_ns) / MLT_NS_PER_S,
                  (double)(mlt_clock_wall_ns() - since->came_ns) / MLT_NS_PER_S);
}

static void await_stores(const struct moment *since, const char *who)
{
    if (!rig_until(stores_are_used, &rig, NULL, CONFIRMED_S)) {
        fail_msg("%s: cache or journal did not come back within %d s", who, CONFIRMED_S);
    }
    print_message("%s: cache and journal were there again after %.1f s\n", who,
                  (double)(mlt_clock_wall_ns() - since->received_ns) / MLT_NS_PER_S);
}

static void kill_one(const char *victim, const char *why)
{
    char who[96];
    (void)snprintf(who, sizeof who, "%s, %s", victim, why);
    struct moment since = kill_servers(&victim, 1);
    await_books(&since, who);
    steer(who);
    (void)mlt_stack_meta_leader(&rig.stack);
    await_stores(&since, who);
    mlt_stack_run(&rig.stack, victim);
    await_current();
}

/* ---- replicas ---- */

/* The stream of rejections, as if it were from the time before the cluster. */
static void make_with_one_replica(void)
{
    struct mlt_store *one = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_create(rig.client, 1, &one, &err), MLT_OK);
    if (mlt_stored_ensure(one, MLT_STORED_REJECTED, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    mlt_store_destroy(one);
}

/* Before the Conductor wants it: one that does not get it within a second, which a busy machine may
 * need longer for, takes the time as epoch and makes it no more. */
static void make_owners(void)
{
    struct mlt_store *three = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const int64_t until_ns = mlt_clock_mono_ns() + READY_S * MLT_NS_PER_S;
    enum mlt_status status = MLT_E_UNAVAILABLE;
    assert_int_equal(mlt_store_create(rig.client, 3, &three, &err), MLT_OK);
    while (status == MLT_E_UNAVAILABLE && mlt_clock_mono_ns() < until_ns) {
        status = mlt_stored_ensure(three, MLT_STORED_OWNERS, &err);
    }
    if (status != MLT_OK) {
        fail_msg("%s", err.text);
    }
    mlt_store_destroy(three);
}

static bool is_told(struct rig *r, void *ctx)
{
    char line[512];
    (void)ctx;
    for (unsigned i = 0; mlt_stack_warning(&r->stack, "dispatcher", i, line, sizeof line); i++) {
        if (strstr(line, "\"stream_replicas\"") != NULL &&
            strstr(line, "nats stream edit MELTICA_REJECTED --replicas 3") != NULL) {
            return true;
        }
    }
    return mlt_bus_rtt_ns(r->client) < 0; /* a round trip, and once more */
}

static void expect_doctor(const char *line)
{
    struct command c;
    const char *const arguments[] = { "doctor", "--nats-url", rig.stack.nats_url, NULL };
    (void)command_run(&c, arguments, NULL);
    if (strstr(command_out(&c), line) == NULL) {
        fail_msg("'%s' is not in:\n%s%s", line, command_out(&c), command_err(&c));
    }
    command_free(&c);
}

/* As `nats stream edit --replicas 3` does. */
static void give_three_replicas(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.INFO.MELTICA_REJECTED",
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    cJSON *info = cJSON_ParseWithLength((const char *)answer.data, answer.len);
    cJSON *config = cJSON_GetObjectItemCaseSensitive(info, "config");
    cJSON_ReplaceItemInObjectCaseSensitive(config, "num_replicas", cJSON_CreateNumber(3));
    char *text = cJSON_PrintUnformatted(config);
    assert_non_null(text);
    mlt_buf_clear(&answer);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.UPDATE.MELTICA_REJECTED",
                                     mlt_slice_of_string(text), 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    cJSON_free(text);
    cJSON_Delete(info);
    mlt_buf_fini(&answer);
}

/* ---- the whole ---- */

static void start(void)
{
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "6", "--rate", "600", "--seed", "7", "--levels",
                      "300", "--weight-limit", "60000" },
        .table = rig.table_path,
        .nats_cluster = true,
    };
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(rig.table_path, sizeof rig.table_path, "/tmp/meltica-cluster.XXXXXX");
    const int fd = mkstemp(rig.table_path);
    assert_true(fd >= 0 && dprintf(fd, "%s", table) > 0 && close(fd) == 0);
    mlt_stack_start(&rig.stack, &options);
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = rig.stack.nats_url,
                                         .name = "test" };
    assert_int_equal(mlt_bus_connect(&bus, &rig.client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig.client, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_store_create(rig.client, 0, &rig.store, &err), MLT_OK);
    make_with_one_replica();
    make_owners();
    memset(&result, 0, sizeof result);
    chaos_group_start(&group, &rig.stack, SYMBOLS, &result);
    memset(&clock_tick, 0, sizeof clock_tick);
    mlt_consumer_start(&clock_tick, rig.stack.nats_url);
    mlt_stack_run_services(&rig.stack);
    struct moment ever = { 1, 1 };
    assert_true(mlt_consumer_wait(&clock_tick, books_are_live, &ever, READY_S));
    assert_true(chaos_group_subscribe(&group, READY_S));
    steer("nobody was killed");
    assert_true(rig_until(is_told, &rig, NULL, 10));
    expect_doctor("warn     stream MELTICA_REJECTED      num_replicas is 1, not 3");
    give_three_replicas();
    await_current();
    witness_start();
    expect_doctor("ok       stream MELTICA_REJECTED      as meltica-dispatcher makes it");
    expect_doctor("ok       stream replicas              3 of what services make");
}

static void settle(void)
{
    static struct chaos_heads heads[SYMBOLS];
    assert_true(chaos_read_heads(&rig.stack, SYMBOLS, heads));
    (void)mlt_consumer_wait(&clock_tick, caught_up, heads, SETTLED_S);
    const int64_t since_ns = mlt_clock_wall_ns();
    struct moment later = { since_ns, since_ns };
    assert_true(mlt_consumer_wait(&clock_tick, books_are_live, &later, LIVE_S));
    chaos_group_count_lost(&group, since_ns - LIVE_S * MLT_NS_PER_S);
    assert_int_equal(chaos_group_judge(&group), 0); /* each kill was recovered from */
    mlt_consumer_stop(&clock_tick);
    chaos_group_end(&group, heads);
}

static void judge_recovery(void)
{
    const struct mlt_latency *took = &group.recovery.took;
    const int64_t p99_ns = mlt_latency_at(took, 990), late_ns = witness_end();
    print_message(
        "recovery of %" PRIu64 " kills: p50 %.0f ms, p99 %.0f ms, the slowest %s; a thread "
        "that was due had to wait %.0f ms at most\n",
        took->count, (double)mlt_latency_at(took, 500) / MLT_NS_PER_MS,
        (double)p99_ns / MLT_NS_PER_MS, group.recovery.slowest, (double)late_ns / MLT_NS_PER_MS);
    assert_true(took->count > 0);
    if (p99_ns > RECOVERY_NS + ON_THE_WAY * late_ns && !MLT_TEST_SANITIZED) {
        fail_msg("recovery took longer than 2 s: %s", group.recovery.slowest);
    }
}

static void judge(void)
{
    judge_recovery(); /* its figures are shown whatever else is wrong */
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        const struct chaos_ledger *l = &group.consumers[i].ledger;
        print_message("consumer %u: %" PRIu64 " events, %" PRIu64 " repeats; holes told by", i + 1,
                      l->events, l->repeats);
        for (int n = 0; n < CHAOS_NAMINGS; n++) {
            print_message(" %s %" PRIu64, chaos_naming_names[n], l->named[n]);
        }
        print_message("\n");
        assert_true(l->events > 1000);
        if (l->silent_holes > 0 || l->duplicates > 0) {
            fail_msg("consumer %u: %" PRIu64 " silent holes (%s), %" PRIu64 " duplicates (%s)",
                     i + 1, l->silent_holes, l->first_silent, l->duplicates, l->first_duplicate);
        }
        assert_int_equal(chaos_ledger_wrong(l), 0);
        assert_true(chaos_ledger_right(l) > 100);
        assert_int_equal(l->foreign, 0);
    }
    print_message("%" PRIu64 " books compared with the exchange's\n", result.books_checked);
    if (result.books_wrong > 0 || result.lost_subscriptions > 0) {
        fail_msg("%s %s", result.first_wrong, result.first_lost_subscription);
    }
    assert_true(result.books_checked > 100);
    assert_int_equal(result.dropped_here, 0);
}

static void finish(void)
{
    static const char *const services[] = { "adapter", "dispatcher", "conductor", "data-bus",
                                            "control-bus" };
    settle();
    judge();
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        assert_false(mlt_stack_gone(&rig.stack, services[i]));
        assert_int_equal(mlt_stack_terminate(&rig.stack, services[i]), 0);
    }
    rig_stop(&rig);
    chaos_group_free(&group);
}

static void test_one_server_after_the_other(void **state)
{
    (void)state;
    static const struct {
        enum mlt_stored leads;
        const char *why;
    } kills[] = {
        { MLT_STORED_CONTROL, "which leads the control log" },
        { MLT_STORED_JOURNAL, "which leads the journal" },
        { MLT_STORED_SNAPSHOTS, "which leads the books" },
    };
    start();
    char *before = listed();
    kill_one(leads_least(), "which leads least");
    for (size_t i = 0; i < sizeof kills / sizeof kills[0]; i++) {
        kill_one(leader_of(kills[i].leads), kills[i].why);
    }
    kill_one(mlt_stack_meta_leader(&rig.stack), "which leads JetStream");
    char *after = listed();
    assert_string_equal(after, before);
    cJSON_free(before);
    cJSON_free(after);
    finish();
}

/* One server alone has no quorum: what flows goes on, commands are refused in words. */
static void test_without_a_quorum_data_flows(void **state)
{
    (void)state;
    const char *victims[MLT_STACK_NATS_MAX];
    size_t count = 0;
    start();
    victims[count++] = mlt_stack_meta_leader(&rig.stack);
    const char *with = leader_of(MLT_STORED_CONTROL);
    for (unsigned i = 0; count < 2 && i < MLT_STACK_NATS_MAX; i++) {
        with = strcmp(with, victims[0]) == 0 ? servers[i] : with;
        if (strcmp(with, victims[0]) != 0) {
            victims[count++] = with;
        }
    }
    struct moment since = kill_servers(victims, count);
    await_books(&since, "two of three");
    for (unsigned i = 0; i < ALONE_COMMANDS; i++) {
        struct said s = rig_try(&rig, "subscribe",
                                mlt_slice_of_string("{\"consumer\":\"alone\",\"type\":\"TICKER\","
                                                    "\"instruments\":[\"SYM0002-USDT\"]}"));
        if (!s.refused || rig_number(s.json, "code") != 503 || s.took_ns >= RIG_LATE_NS) {
            rig_fail(&s, "alone");
        }
        cJSON_Delete(s.json);
    }
    struct moment later = { mlt_clock_wall_ns(), mlt_clock_wall_ns() };
    assert_true(mlt_consumer_wait(&clock_tick, books_are_live, &later, LIVE_S));
    for (size_t i = 0; i < count; i++) {
        mlt_stack_run(&rig.stack, victims[i]);
    }
    (void)mlt_stack_meta_leader(&rig.stack);
    steer("two of three");
    await_stores(&since, "two of three");
    finish();
}

/* What is in memory is empty then, with the sequences that it began with: the Conductor that claims
 * its slots next has a newer epoch all the same, or nobody could tell it from the one before. */
static void test_all_servers_at_once(void **state)
{
    (void)state;
    start();
    char *before = listed();
    struct moment since = kill_servers(servers, MLT_STACK_NATS_MAX);
    for (unsigned i = 0; i < MLT_STACK_NATS_MAX; i++) {
        mlt_stack_run(&rig.stack, servers[i]);
    }
    await_books(&since, "all three");
    (void)mlt_stack_meta_leader(&rig.stack);
    steer("all three");
    await_stores(&since, "all three");
    struct moment killed = { .received_ns = mlt_clock_wall_ns() };
    mlt_stack_kill(&rig.stack, "conductor");
    mlt_stack_run(&rig.stack, "conductor");
    killed.came_ns = mlt_clock_wall_ns();
    assert_true(mlt_consumer_wait(&clock_tick, books_are_live, &killed, LIVE_S));
    char *after = listed();
    assert_string_equal(after, before);
    cJSON_free(before);
    cJSON_free(after);
    finish();
}

/* What a failed one leaves behind would be in the way of the next. */
int main(void)
{
    const struct CMUnitTest tests[][1] = {
        { cmocka_unit_test(test_one_server_after_the_other) },
        { cmocka_unit_test(test_without_a_quorum_data_flows) },
        { cmocka_unit_test(test_all_servers_at_once) },
    };
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < sizeof tests / sizeof tests[0]; i++) {
        failed = cmocka_run_group_tests_name("nats_cluster", tests[i], NULL, NULL);
    }
    return mlt_stack_verdict(failed);
}

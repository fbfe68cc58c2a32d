/* What is published in order while connections end: nothing is missing, and nothing comes in
 * another order; what comes twice comes as it was. */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/outbox.h"

#define WAIT_NS (20 * MLT_NS_PER_S)
#define SOON_NS (100 * MLT_NS_PER_MS)
#define WRITERS 2u
#define SMALL_BYTES (64u << 10)
#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* Numbers of a writer, 1 and on: each may come again, and then all after it. */
struct writer {
    uint64_t seen, again, holes, differing;
};

static struct {
    struct server server;
    struct relay relay;
    struct mlt_bus *bus, *far;
    struct mlt_bus_subscription *sub;
    struct mlt_outbox *outbox;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct writer writers[WRITERS];
    uint64_t traced, untraced;
    struct latch connections; /* that the bus had */
    atomic_bool may;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* ---- who listens ---- */

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    unsigned writer = 0;
    uint64_t number = 0;
    int filled = 0;
    char text[64] = "";
    (void)ctx;
    if (message->payload.len > 0) {
        memcpy(text, message->payload.data,
               message->payload.len < sizeof text ? message->payload.len : sizeof text - 1);
    }
    (void)pthread_mutex_lock(&world.lock);
    struct writer *w = &world.writers[0];
    if (sscanf(text, "%u %" SCNu64 " %n", &writer, &number, &filled) < 2 || writer >= WRITERS) {
        w->differing++;
    } else {
        w = &world.writers[writer];
        /* Filled up by its number, and each third one has the header. */
        w->differing += message->payload.len != (size_t)filled + number % 1000;
        world.traced += message->traceparent != NULL;
        world.untraced += message->traceparent == NULL;
        w->differing += (message->traceparent != NULL) != (number % 3 == 0);
        if (number == w->seen + 1) {
            w->seen = number;
        } else if (number <= w->seen) {
            w->again++;
        } else {
            w->holes++;
            w->seen = number;
        }
    }
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

static bool await_seen(unsigned writer, uint64_t number, int64_t timeout_ns)
{
    const int64_t at = mlt_clock_mono_ns() + timeout_ns;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&world.lock);
    while (world.writers[writer].seen < number && rc == 0) {
        rc = pthread_cond_clockwait(&world.changed, &world.lock, CLOCK_MONOTONIC, &until);
    }
    const bool seen = world.writers[writer].seen >= number;
    (void)pthread_mutex_unlock(&world.lock);
    return seen;
}

static struct writer writer_of(unsigned writer)
{
    (void)pthread_mutex_lock(&world.lock);
    const struct writer w = world.writers[writer];
    (void)pthread_mutex_unlock(&world.lock);
    return w;
}

static void assert_whole(unsigned writer, uint64_t last)
{
    assert_true(await_seen(writer, last, WAIT_NS));
    const struct writer w = writer_of(writer);
    assert_int_equal(w.seen, last);
    assert_int_equal(w.holes, 0);
    assert_int_equal(w.differing, 0);
}

/* ---- who publishes ---- */

static enum mlt_status put(unsigned writer, uint64_t number, int64_t timeout_ns)
{
    char text[64 + 1000];
    char subject[16];
    const int filled = snprintf(text, sizeof text, "%u %" PRIu64 " ", writer, number);
    memset(text + filled, 'x', number % 1000);
    (void)snprintf(subject, sizeof subject, "t.%u", writer);
    return mlt_outbox_publish(
        world.outbox, subject, mlt_slice_of((const uint8_t *)text, (size_t)filled + number % 1000),
        number % 3 == 0 ? TRACEPARENT : NULL, mlt_clock_mono_ns() + timeout_ns);
}

static void put_all(unsigned writer, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        assert_int_equal(put(writer, n, WAIT_NS), MLT_OK);
    }
}

static bool may(void *ctx)
{
    (void)ctx;
    return atomic_load(&world.may);
}

static void open_outbox(size_t bytes)
{
    const struct mlt_outbox_options options = { .bytes = bytes, .may = may };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_outbox_create(world.bus, &options, &world.outbox, &err), MLT_OK);
}

static struct mlt_outbox_stats stats_of(void)
{
    struct mlt_outbox_stats stats;
    mlt_outbox_get_stats(world.outbox, &stats);
    return stats;
}

/* What was handed over since relay_swallow, `count` messages at least, never arrives. */
static void cut_after(uint64_t count)
{
    assert_true(latch_wait(&world.relay.swallowed, count, WAIT_NS));
    relay_cut(&world.relay);
    relay_mend(&world.relay);
}

static void on_state(void *ctx, bool connected, const char *reason)
{
    (void)ctx;
    (void)reason;
    latch_add(&world.connections, connected ? 1 : 0);
}

/* The next connection is there. */
static void await_connection(uint64_t count)
{
    assert_true(latch_wait(&world.connections, count, WAIT_NS));
}

static int set_up(void **state)
{
    (void)state;
    const struct mlt_bus_subscribe_options all = { .subject = "t.*" };
    struct mlt_error err = MLT_ERROR_INIT;
    memset(world.writers, 0, sizeof world.writers);
    world.traced = world.untraced = 0;
    atomic_store(&world.may, true);
    server_start(&world.server, false, "");
    relay_start(&world.relay, world.server.port);
    world.far = server_connect_data(&world.server);
    assert_int_equal(mlt_bus_subscribe(world.far, &all, on_message, NULL, &world.sub, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(world.far) > 0); /* the server knows of it */
    const struct mlt_bus_options options = {
        .kind = MLT_BUS_DATA, .url = world.relay.url, .name = "outbox", .on_state = on_state
    };
    latch_init(&world.connections);
    assert_int_equal(mlt_bus_connect(&options, &world.bus, &err), MLT_OK);
    await_connection(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_outbox_destroy(world.outbox);
    world.outbox = NULL;
    mlt_bus_destroy(world.bus, 0);
    mlt_bus_unsubscribe(world.sub);
    mlt_bus_destroy(world.far, 0);
    relay_end(&world.relay);
    server_end(&world.server);
    return 0;
}

/* Ten messages have arrived, and ten more never will over this connection. */
static void ten_and_ten(void)
{
    open_outbox(0);
    put_all(0, 1, 10);
    assert_whole(0, 10);
    relay_swallow(&world.relay, "PUB t.");
    put_all(0, 11, 20);
}

/* ---- tests ---- */

static void test_what_was_swallowed_leaves_again_as_it_was(void **state)
{
    (void)state;
    open_outbox(0);
    put_all(0, 1, 100);
    assert_whole(0, 100);
    assert_int_equal(stats_of().repeated, 0);
    relay_swallow(&world.relay, "PUB t.");
    put_all(0, 101, 400);
    cut_after(300);
    assert_whole(0, 400); /* nothing else is published */
    assert_true(stats_of().repeated >= 300);
    put_all(0, 401, 500);
    assert_whole(0, 500);
    assert_int_equal(stats_of().refused, 0);
    assert_true(world.traced > 0 && world.untraced > 0);
}

static void *write_on(void *arg)
{
    const unsigned writer = *(const unsigned *)arg;
    put_all(writer, 1, 20000);
    return NULL;
}

static void test_two_writers_lose_nothing_over_many_connections(void **state)
{
    static unsigned numbers[WRITERS] = { 0, 1 };
    pthread_t threads[WRITERS];
    (void)state;
    open_outbox(0);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &numbers[i]), 0);
    }
    uint64_t swallowed = 0;
    for (unsigned cut = 0; cut < 8; cut++) {
        relay_swallow(&world.relay, "PUB t.");
        swallowed += 50 * cut + 1;
        if (!latch_wait(&world.relay.swallowed, swallowed, MLT_NS_PER_S)) {
            break; /* all is written */
        }
        relay_cut(&world.relay);
        relay_mend(&world.relay);
        await_connection(cut + 2);
        swallowed = latch_count(&world.relay.swallowed);
    }
    relay_cut(&world.relay);
    relay_mend(&world.relay);
    for (unsigned i = 0; i < WRITERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_whole(0, 20000);
    assert_whole(1, 20000);
    assert_true(stats_of().repeated > 0);
}

/* What is not known to have arrived is kept, and no more than there is room for. */
static void test_without_room_who_publishes_waits_and_nothing_is_lost(void **state)
{
    (void)state;
    open_outbox(SMALL_BYTES);
    put_all(0, 1, 10);
    assert_whole(0, 10);
    relay_swallow(&world.relay, "PUB t.");
    uint64_t taken = 10;
    enum mlt_status status = MLT_OK;
    while ((status = put(0, taken + 1, SOON_NS)) == MLT_OK) {
        taken++;
        assert_true(taken < 1000);
    }
    assert_int_equal(status, MLT_E_FULL);
    assert_true(stats_of().kept_bytes <= SMALL_BYTES);
    assert_true(stats_of().kept_bytes > SMALL_BYTES / 2);
    relay_cut(&world.relay);
    relay_mend(&world.relay);
    assert_whole(0, taken);
    put_all(0, taken + 1, taken + 1000); /* many times round */
    assert_whole(0, taken + 1000);
}

/* Without a connection it takes what there is room for, too. */
static void test_without_a_connection_it_keeps(void **state)
{
    (void)state;
    open_outbox(0);
    relay_swallow(&world.relay, "PUB t."); /* at once; the cut takes its time */
    relay_cut(&world.relay);
    put_all(0, 1, 500);
    assert_false(await_seen(0, 1, SOON_NS));
    assert_false(mlt_outbox_wait(world.outbox, mlt_clock_mono_ns() + SOON_NS));
    relay_mend(&world.relay);
    assert_true(mlt_outbox_wait(world.outbox, mlt_clock_mono_ns() + WAIT_NS));
    assert_whole(0, 500);
}

static void test_nothing_leaves_again_that_may_not(void **state)
{
    (void)state;
    ten_and_ten();
    atomic_store(&world.may, false);
    cut_after(10);
    await_connection(2);
    put_all(0, 21, 30); /* behind the others */
    assert_false(await_seen(0, 11, 3 * SOON_NS));
    assert_true(mlt_outbox_behind(world.outbox));
    atomic_store(&world.may, true);
    assert_whole(0, 30);
}

/* Whoever publishes between two connections must not overtake what leaves again. */
static void test_nothing_is_handed_to_another_connection_than_is_meant(void **state)
{
    (void)state;
    const struct mlt_slice payload = mlt_slice_of_string("0 1 ");
    const unsigned generation = mlt_bus_generation(world.bus);
    assert_int_equal(mlt_bus_publish_on(world.bus, generation + 1, "t.0", payload, NULL),
                     MLT_E_CLOSED);
    relay_cut(&world.relay);
    relay_mend(&world.relay);
    await_connection(2);
    assert_int_equal(mlt_bus_publish_on(world.bus, generation, "t.0", payload, NULL), MLT_E_CLOSED);
    assert_false(await_seen(0, 1, SOON_NS));
    assert_int_equal(
        mlt_bus_publish_on(world.bus, mlt_bus_generation(world.bus), "t.0", payload, NULL), MLT_OK);
    mlt_bus_want_flush(world.bus);
    assert_true(await_seen(0, 1, WAIT_NS));
}

/* ---- hops ---- */

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    (void)ctx;
    assert_int_equal(put(0, batch->hop.number, WAIT_NS), MLT_OK);
}

static void send_batch(struct mlt_hop_sender *sender)
{
    uint8_t *out = NULL;
    assert_int_equal(mlt_hop_begin(sender, 0, 8, &out), MLT_OK);
    memset(out, 0, 8);
    mlt_hop_end(sender, 0);
}

static bool await_acknowledged(struct mlt_hop_sender *sender, int64_t timeout_ns)
{
    const int64_t until_ns = mlt_clock_mono_ns() + timeout_ns;
    while (mlt_hop_sender_unacked_since(sender, 0) != INT64_MAX) {
        if (mlt_clock_mono_ns() >= until_ns || mlt_bus_rtt_ns(world.far) < 0) {
            return false;
        }
    }
    return true;
}

static struct {
    struct mlt_hop_sender *sender;
    struct mlt_hop_receiver *receiver;
} hop;

/* One batch has come, left again by the outbox, and is acknowledged. */
static void open_hop(void)
{
    const struct mlt_hop_sender_options sends = {
        .service = "a", .subject = "h.out", .partitions = 1, .boot = 7
    };
    const struct mlt_hop_receiver_options takes = { .service = "b",
                                                    .sender_service = "a",
                                                    .subject = "h.out",
                                                    .partitions = 1,
                                                    .on_batch = on_batch };
    struct mlt_error err = MLT_ERROR_INIT;
    open_outbox(0);
    assert_int_equal(mlt_hop_sender_create(world.far, &sends, &hop.sender, &err), MLT_OK);
    assert_int_equal(mlt_hop_receiver_create(world.bus, &takes, &hop.receiver, &err), MLT_OK);
    send_batch(hop.sender);
    assert_whole(0, 1);
    assert_true(await_acknowledged(hop.sender, WAIT_NS));
}

static void close_hop(void)
{
    mlt_hop_receiver_destroy(hop.receiver);
    mlt_hop_sender_destroy(hop.sender, 0);
}

/* Or who starts after this one would begin behind what never arrived. */
static void test_nothing_is_acknowledged_before_what_was_made_of_it_has_left(void **state)
{
    (void)state;
    open_hop();
    relay_swallow(&world.relay, "PUB t.");
    atomic_store(&world.may, false);
    send_batch(hop.sender);
    cut_after(1);
    await_connection(2);
    assert_false(await_acknowledged(hop.sender, 3 * SOON_NS));
    assert_false(await_seen(0, 2, SOON_NS));
    atomic_store(&world.may, true);
    assert_whole(0, 2);
    assert_true(await_acknowledged(hop.sender, WAIT_NS));
    close_hop();
}

/* Or the sender would hold back for nothing until the next batch, or for two seconds. */
static void test_an_acknowledgement_that_never_arrived_is_said_again(void **state)
{
    (void)state;
    open_hop();
    relay_swallow(&world.relay, "PUB meltica.int.ack.a");
    send_batch(hop.sender);
    cut_after(1);
    await_connection(2);
    assert_true(await_acknowledged(hop.sender, WAIT_NS)); /* nothing else comes */
    assert_whole(0, 2);
    close_hop();
}

static void test_what_is_dropped_never_leaves(void **state)
{
    (void)state;
    ten_and_ten();
    assert_true(latch_wait(&world.relay.swallowed, 10, WAIT_NS));
    mlt_outbox_drop(world.outbox);
    assert_true(mlt_outbox_wait(world.outbox, mlt_clock_mono_ns() + WAIT_NS));
    assert_int_equal(put(0, 21, SOON_NS), MLT_E_CLOSED);
    relay_cut(&world.relay);
    relay_mend(&world.relay);
    await_connection(2);
    assert_false(await_seen(0, 11, 3 * SOON_NS));
    assert_false(mlt_outbox_behind(world.outbox));
    assert_int_equal(stats_of().kept_bytes, 0);
}

static void test_what_cannot_be_published_is_refused_at_once(void **state)
{
    (void)state;
    static uint8_t large[SMALL_BYTES];
    struct mlt_outbox *none = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_outbox_options small = { .bytes = 1024 }, whole = { .bytes = 0 };
    const int64_t until = mlt_clock_mono_ns() + WAIT_NS;
    open_outbox(SMALL_BYTES);
    assert_int_equal(mlt_outbox_publish(world.outbox, "t. ", MLT_SLICE_EMPTY, NULL, until),
                     MLT_E_INVALID);
    assert_int_equal(
        mlt_outbox_publish(world.outbox, "t.0", mlt_slice_of(large, sizeof large / 2), NULL, until),
        MLT_E_TOO_BIG);
    assert_int_equal(mlt_outbox_create(world.bus, &small, &none, &err), MLT_E_INVALID);
    struct mlt_bus *control = server_connect(&world.server, NULL);
    assert_int_equal(mlt_outbox_create(control, &whole, &none, &err), MLT_E_INVALID);
    mlt_bus_destroy(control, 0);
    put_all(0, 1, 10); /* and the rest goes on */
    assert_whole(0, 10);
}

static atomic_int fails; /* how often what is handed to the connection finds no memory */

static bool finds_no_memory(void)
{
    return atomic_load(&fails) > 0 && atomic_fetch_sub(&fails, 1) > 0;
}

enum mlt_status __real_mlt_bus_publish_on(struct mlt_bus *bus, unsigned generation,
                                          const char *subject, struct mlt_slice payload,
                                          const char *traceparent);
enum mlt_status __wrap_mlt_bus_publish_on(struct mlt_bus *bus, unsigned generation,
                                          const char *subject, struct mlt_slice payload,
                                          const char *traceparent);
enum mlt_status __real_mlt_bus_traced_in_flush(struct mlt_bus *bus, const char *subject,
                                               struct mlt_slice payload, const char *traceparent);
enum mlt_status __wrap_mlt_bus_traced_in_flush(struct mlt_bus *bus, const char *subject,
                                               struct mlt_slice payload, const char *traceparent);

enum mlt_status __wrap_mlt_bus_publish_on(struct mlt_bus *bus, unsigned generation,
                                          const char *subject, struct mlt_slice payload,
                                          const char *traceparent)
{
    return finds_no_memory()
               ? MLT_E_NOMEM
               : __real_mlt_bus_publish_on(bus, generation, subject, payload, traceparent);
}

enum mlt_status __wrap_mlt_bus_traced_in_flush(struct mlt_bus *bus, const char *subject,
                                               struct mlt_slice payload, const char *traceparent)
{
    return finds_no_memory() ? MLT_E_NOMEM
                             : __real_mlt_bus_traced_in_flush(bus, subject, payload, traceparent);
}

/* Once as it is published, and again as its turn comes. */
static void test_what_there_is_no_memory_for_leaves_later_in_its_place(void **state)
{
    (void)state;
    open_outbox(0);
    put_all(0, 1, 3);
    assert_whole(0, 3);
    atomic_store(&fails, 2);
    put_all(0, 4, 10);
    assert_whole(0, 10);
    assert_int_equal(atomic_load(&fails), 0);
    assert_int_equal(stats_of().refused, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_swallowed_leaves_again_as_it_was),
        TEST(test_two_writers_lose_nothing_over_many_connections),
        TEST(test_without_room_who_publishes_waits_and_nothing_is_lost),
        TEST(test_without_a_connection_it_keeps),
        TEST(test_nothing_leaves_again_that_may_not),
        TEST(test_nothing_is_handed_to_another_connection_than_is_meant),
        TEST(test_nothing_is_acknowledged_before_what_was_made_of_it_has_left),
        TEST(test_an_acknowledgement_that_never_arrived_is_said_again),
        TEST(test_what_is_dropped_never_leaves),
        TEST(test_what_cannot_be_published_is_refused_at_once),
        TEST(test_what_there_is_no_memory_for_leaves_later_in_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

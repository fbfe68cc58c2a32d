/* After start-up nothing of ours allocates for a message, over the whole way that every service
 * takes: element into the hop, sealed, written, received, handled, acknowledged, published, and
 * appended to the journal. (The linker gives us our own calls; what nats.c allocates is its own.)
 */
#include "server.h"

#include <stdatomic.h>
#include <stdio.h>

#include "hop_support.h"
#include "meltica/bus/outbox.h"
#include "meltica/bus/store.h"

#define ROUNDS 200u
#define ROUND_ELEMENTS 100u
#define LARGE_BYTES 10000u
#define BURSTS 4u
#define BURST_EVENTS 100u

static atomic_size_t allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    atomic_fetch_add(&allocations, 1);
    return __real_strdup(text);
}

static struct server server;
static struct mlt_bus *near_bus, *far_bus;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, true, "");
    near_bus = test_connect(server.url, "near");
    far_bus = test_connect(server.url, "far");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
    server_end(&server);
    return 0;
}

static void put_round(struct mlt_hop_sender *sender, uint64_t round)
{
    for (uint64_t i = 0; i < ROUND_ELEMENTS; i++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, round * ROUND_ELEMENTS + i);
        }
    }
}

static void test_hop_allocates_nothing_for_a_message(void **state)
{
    (void)state;
    struct far far;
    struct mlt_hop_receiver_stats got;
    far_init(&far);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.alloc");
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.alloc", 0);
    put_round(sender, 0);
    assert_true(far_await(&far, PARTITIONS, ROUND_ELEMENTS));
    const size_t before = atomic_load(&allocations);
    assert_true(before > 0); /* the counting works */
    for (uint64_t round = 1; round < ROUNDS; round++) {
        put_round(sender, round);
        assert_true(far_await(&far, PARTITIONS, (round + 1) * ROUND_ELEMENTS));
    }
    assert_int_equal(atomic_load(&allocations), before);
    mlt_hop_receiver_get_stats(receiver, &got);
    assert_int_equal(far.elements, ROUNDS * ROUND_ELEMENTS * PARTITIONS);
    assert_true(got.batches >= ROUNDS); /* that many wake-ups, flushes and acknowledgements */
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    far_fini(&far);
}

/* ---- what the Data Bus does with each event ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t published, journalled;
} inbox = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_slice rest = message->payload, element;
    (void)pthread_mutex_lock(&inbox.lock);
    if (strncmp(message->subject, MLT_JOURNAL_SUBJECT ".", sizeof MLT_JOURNAL_SUBJECT) != 0) {
        inbox.published++;
    } else {
        while (mlt_batch_next(&rest, &element) == MLT_OK) {
            inbox.journalled++;
        }
    }
    (void)pthread_cond_signal(&inbox.changed);
    (void)pthread_mutex_unlock(&inbox.lock);
}

static bool await_messages(uint64_t count)
{
    struct timespec until;
    int waited = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_NS / MLT_NS_PER_S;
    (void)pthread_mutex_lock(&inbox.lock);
    while ((inbox.published < count || inbox.journalled < count) && waited == 0) {
        waited = pthread_cond_timedwait(&inbox.changed, &inbox.lock, &until);
    }
    const bool here = inbox.published == count && inbox.journalled == count;
    (void)pthread_mutex_unlock(&inbox.lock);
    return here;
}

static void publish(struct mlt_outbox *outbox, struct mlt_journal *journal, unsigned count,
                    size_t bytes)
{
    static uint8_t event[LARGE_BYTES];
    for (unsigned i = 0; i < count; i++) {
        const struct mlt_slice payload = mlt_slice_of(event, bytes);
        const int64_t until = mlt_clock_mono_ns() + WAIT_NS;
        assert_int_equal(mlt_outbox_publish(outbox, "meltica.data.BTC-USDT", payload, NULL, until),
                         MLT_OK);
        assert_true(mlt_journal_append(journal, i % PARTITIONS, payload));
    }
}

/* The journal's buffers grow to what came in their largest burst and stay so: that comes first. */
static void test_publish_and_journal_allocate_nothing_for_a_message(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_journal *journal = NULL;
    struct mlt_outbox *outbox = NULL;
    struct mlt_bus_subscription *subscription = NULL;
    const struct mlt_journal_options options = { .bus = { .url = server.url, .name = "journal" },
                                                 .provision_replicas = 1,
                                                 .partitions = PARTITIONS };
    const struct mlt_outbox_options outbox_options = { .bytes = 0 };
    const struct mlt_bus_subscribe_options all = { .subject = "meltica.>" };
    uint64_t count = 0;
    assert_int_equal(mlt_bus_subscribe(far_bus, &all, on_message, NULL, &subscription, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(far_bus) > 0); /* the server knows of it */
    assert_int_equal(mlt_outbox_create(near_bus, &outbox_options, &outbox, &err), MLT_OK);
    if (mlt_journal_create(&options, &journal, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        publish(outbox, journal, BURST_EVENTS, LARGE_BYTES);
        assert_true(await_messages(count += BURST_EVENTS));
    }
    const size_t before = atomic_load(&allocations);
    for (unsigned round = 0; round < ROUNDS; round++) {
        publish(outbox, journal, ROUND_ELEMENTS, 100);
        assert_true(await_messages(count += ROUND_ELEMENTS));
    }
    assert_int_equal(atomic_load(&allocations), before);
    mlt_journal_destroy(journal, MLT_NS_PER_S);
    mlt_outbox_destroy(outbox);
    mlt_bus_unsubscribe(subscription);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hop_allocates_nothing_for_a_message),
        cmocka_unit_test(test_publish_and_journal_allocate_nothing_for_a_message),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

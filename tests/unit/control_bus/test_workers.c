/* Workers: what is queued is carried out while there is time, at the end, too, then refused; each
 * piece of work is answered once. */
#include "mlt_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/base/clock.h"
#include "workers.h"

#define WORK 100u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open; /* else who runs waits */
    unsigned in_hand;
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
static atomic_uint ran[WORK], refused[WORK], refused_at_end;

static unsigned number_of(const struct mlt_work *work)
{
    assert_int_equal(work->len, 1);
    return work->request[0];
}

static void run(void *ctx, const struct mlt_work *work)
{
    assert_ptr_equal(ctx, &gate);
    (void)pthread_mutex_lock(&gate.lock);
    gate.in_hand++;
    (void)pthread_cond_broadcast(&gate.changed);
    while (!gate.open) {
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
    atomic_fetch_add(&ran[number_of(work)], 1);
}

static void refuse(void *ctx, const struct mlt_work *work, bool ends)
{
    assert_ptr_equal(ctx, &gate);
    atomic_fetch_add(&refused[number_of(work)], 1);
    atomic_fetch_add(&refused_at_end, ends);
}

static const struct mlt_workers_ports ports = { run, refuse, &gate, 3600 * MLT_NS_PER_S };

static struct mlt_workers *begin(const struct mlt_workers_ports *with)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_workers *workers = NULL;
    gate.open = false;
    gate.in_hand = 0;
    atomic_store(&refused_at_end, 0);
    for (unsigned i = 0; i < WORK; i++) {
        atomic_store(&ran[i], 0);
        atomic_store(&refused[i], 0);
    }
    assert_int_equal(mlt_workers_create(with, &workers, &err), MLT_OK);
    for (unsigned i = 0; i < WORK; i++) {
        const uint8_t number = (uint8_t)i;
        const struct mlt_bus_message message = { .subject = "meltica.control.subscribe",
                                                 .reply = "_INBOX.x",
                                                 .payload = mlt_slice_of(&number, 1) };
        assert_int_equal(mlt_workers_put(workers, MLT_VERB_SUBSCRIBE, &message), MLT_OK);
    }
    return workers;
}

/* All threads have one in hand, the rest waits. */
static struct mlt_workers *start(void)
{
    struct mlt_workers *workers = begin(&ports);
    (void)pthread_mutex_lock(&gate.lock);
    while (gate.in_hand < MLT_WORKERS_THREADS) {
        (void)pthread_cond_wait(&gate.changed, &gate.lock);
    }
    (void)pthread_mutex_unlock(&gate.lock);
    size_t waiting = 0, most = 0;
    mlt_workers_waiting(workers, &waiting, &most);
    assert_int_equal(waiting, WORK - MLT_WORKERS_THREADS);
    return workers;
}

static void open_gate(void)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.open = true;
    (void)pthread_cond_broadcast(&gate.changed);
    (void)pthread_mutex_unlock(&gate.lock);
}

static void count(unsigned *all_ran, unsigned *all_refused)
{
    *all_ran = *all_refused = 0;
    for (unsigned i = 0; i < WORK; i++) {
        assert_int_equal(atomic_load(&ran[i]) + atomic_load(&refused[i]), 1);
        *all_ran += atomic_load(&ran[i]);
        *all_refused += atomic_load(&refused[i]);
    }
}

static void test_what_is_queued_is_carried_out_while_there_is_time(void **state)
{
    (void)state;
    unsigned all_ran, all_refused;
    struct mlt_workers *workers = start();
    open_gate();
    mlt_workers_destroy(workers, mlt_clock_mono_ns() + 3600 * MLT_NS_PER_S);
    count(&all_ran, &all_refused);
    assert_int_equal(all_ran, WORK);
}

static size_t lengths[3]; /* by what the first byte says */

static void measure(void *ctx, const struct mlt_work *work)
{
    assert_ptr_equal(ctx, &gate);
    assert_true(work->request[0] < 3);
    lengths[work->request[0]] = work->len;
    assert_int_equal(work->request[work->len - 1], work->len > 1 ? 'x' : work->request[0]);
}

/* Of what is too long no more is kept than shows that it is. */
static void test_no_more_of_a_body_is_kept_than_may_be_read(void **state)
{
    (void)state;
    static uint8_t body[1u << 20];
    const size_t sent[] = { sizeof body, MLT_CONTROL_REQUEST_BYTES_MAX, 1 };
    struct mlt_workers_ports measuring = ports;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_workers *workers = NULL;
    measuring.run = measure;
    assert_int_equal(mlt_workers_create(&measuring, &workers, &err), MLT_OK);
    memset(body, 'x', sizeof body);
    for (unsigned i = 0; i < 3; i++) {
        body[0] = (uint8_t)i;
        const struct mlt_bus_message message = { .subject = "meltica.control.subscribe",
                                                 .reply = "_INBOX.x",
                                                 .payload = mlt_slice_of(body, sent[i]) };
        assert_int_equal(mlt_workers_put(workers, MLT_VERB_SUBSCRIBE, &message), MLT_OK);
    }
    mlt_workers_destroy(workers, mlt_clock_mono_ns() + 3600 * MLT_NS_PER_S);
    assert_int_equal(lengths[0], MLT_CONTROL_REQUEST_BYTES_MAX + 1);
    assert_int_equal(lengths[1], MLT_CONTROL_REQUEST_BYTES_MAX);
    assert_int_equal(lengths[2], 1);
}

static void *destroy(void *workers)
{
    mlt_workers_destroy(workers, 0);
    return NULL;
}

/* What was in hand is carried out. Threads that are faster than the end may take some more. */
static void test_what_is_queued_when_time_is_over_is_refused(void **state)
{
    (void)state;
    unsigned all_ran, all_refused;
    pthread_t thread;
    struct mlt_workers *workers = start();
    assert_int_equal(pthread_create(&thread, NULL, destroy, workers), 0);
    open_gate();
    assert_int_equal(pthread_join(thread, NULL), 0);
    count(&all_ran, &all_refused);
    assert_true(all_ran >= MLT_WORKERS_THREADS);
    assert_int_equal(all_ran + all_refused, WORK);
    assert_int_equal(atomic_load(&refused_at_end), all_refused);
}

/* Who asked has gone: nothing is carried out, whether it ends or not. */
static void test_what_waited_for_too_long_is_refused(void **state)
{
    (void)state;
    unsigned all_ran, all_refused;
    struct mlt_workers_ports impatient = ports;
    impatient.patience_ns = 0;
    struct mlt_workers *workers = begin(&impatient);
    open_gate();
    mlt_workers_destroy(workers, mlt_clock_mono_ns() + 3600 * MLT_NS_PER_S);
    count(&all_ran, &all_refused);
    assert_int_equal(all_ran, 0);
    assert_int_equal(all_refused, WORK);
    assert_int_equal(atomic_load(&refused_at_end), 0);
}

static void test_without_work_it_ends_at_once(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_workers *workers = NULL;
    assert_int_equal(mlt_workers_create(&ports, &workers, &err), MLT_OK);
    mlt_workers_destroy(workers, mlt_clock_mono_ns() + 3600 * MLT_NS_PER_S);
    mlt_workers_destroy(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_of_a_body_is_kept_than_may_be_read),
        cmocka_unit_test(test_what_is_queued_is_carried_out_while_there_is_time),
        cmocka_unit_test(test_what_is_queued_when_time_is_over_is_refused),
        cmocka_unit_test(test_what_waited_for_too_long_is_refused),
        cmocka_unit_test(test_without_work_it_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

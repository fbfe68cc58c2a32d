/* Either end of a hop, and the server between them, killed with -9 under load. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hop_support.h"
#include "meltica/base/hash.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define RING_BYTES_BIG                                                                             \
    (64u << 20) /* holds all of a test: what is missing then is a fault, not an overrun */

static struct nats_server server;
static struct far far;

struct peer {
    pid_t pid;
    int input;
};

static struct peer peer_start(const char *mode, uint64_t from)
{
    int fds[2];
    char number[24];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)from);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(fds[0], STDIN_FILENO) < 0) {
            _exit(127);
        }
        (void)execl(HOP_PEER, HOP_PEER, mode, server.url, number, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[0]);
    return (struct peer){ .pid = pid, .input = fds[1] };
}

static void peer_kill(struct peer *peer)
{
    int status = 0;
    assert_int_equal(kill(peer->pid, SIGKILL), 0);
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    assert_true(WIFSIGNALED(status)); /* it lived until now */
    (void)close(peer->input);
}

static void peer_end(struct peer *peer)
{
    int status = 0;
    (void)close(peer->input);
    assert_int_equal(waitpid(peer->pid, &status, 0), peer->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int setup(void **state)
{
    (void)state;
    nats_server_init(&server, NULL);
    far_init(&far);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nats_server_fini(&server);
    far_fini(&far);
    return 0;
}

/* What a failing test wants to be known. */
static void report(void)
{
    print_message("%llu elements, %llu repeats, %llu missing, %llu damaged\n",
                  (unsigned long long)far.elements, (unsigned long long)far.repeats,
                  (unsigned long long)far.missing, (unsigned long long)far.damaged);
    for (unsigned i = 0; i < far.loss_count; i++) {
        const struct loss *loss = &far.losses[i];
        print_message("partition %u: %s %llu..%llu before batch %llu\n", loss->partition,
                      loss->reason, (unsigned long long)loss->from, (unsigned long long)loss->to,
                      (unsigned long long)loss->batch);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        print_message("partition %u: next %llu, last batch %llu\n", p,
                      (unsigned long long)far.next[p], (unsigned long long)far.last_batch[p]);
    }
}

/* Sends [*at, to) on every partition. */
static void send_up_to(struct mlt_hop_sender *sender, uint64_t *at, uint64_t to)
{
    for (; *at < to; ++*at) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, *at);
        }
        (void)mlt_hop_wait_room(sender, 2 * MLT_NS_PER_S);
    }
}

/* The one in the middle is killed five times at places that a seed decides: every element arrives,
 * in order; what is repeated is a tail that was not acknowledged. */
static void test_relay_killed(void **state)
{
    (void)state;
    enum { EACH = 50000, KILLS = 5 };
    struct mlt_bus *near_bus = test_connect(server.url, "near");
    struct mlt_bus *far_bus = test_connect(server.url, "far");
    struct mlt_hop_receiver_stats got;
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "c", "b", "t.kill.out");
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.kill.in", RING_BYTES_BIG);
    struct peer relay = peer_start("relay", 0);
    uint64_t at = 0;
    for (uint64_t k = 0; k < KILLS; k++) {
        const uint64_t step = EACH / (KILLS + 1);
        const uint64_t until = at + 1 + mlt_mix64(k) % step; /* only this relay can bring it */
        send_up_to(sender, &at, at + step);
        assert_true(far_await(&far, 1, until));
        peer_kill(&relay);
        relay = peer_start("relay", 0);
    }
    send_up_to(sender, &at, EACH);
    const bool all = far_await(&far, PARTITIONS, EACH);
    report();
    assert_true(all);
    assert_int_equal(far.missing, 0);
    assert_int_equal(far.damaged, 0);
    assert_int_equal(far.loss_count, 0);
    mlt_hop_receiver_get_stats(receiver, &got);
    mlt_hop_sender_get_stats(sender, &sent);
    assert_int_equal(sent.overrun_batches, 0);
    assert_true(got.boots >= PARTITIONS + KILLS);
    /* At most what one ring share held without an acknowledgement, each time. */
    assert_true(far.repeats < (uint64_t)EACH * PARTITIONS / 2);
    print_message("%llu elements came again, at most %llu in a row\n",
                  (unsigned long long)far.repeats, (unsigned long long)far.repeat_run_max);
    peer_end(&relay);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
}

/* The sender is killed: the next boot is taken, and what it says about the loss is told once on
 * each partition. */
static void test_source_killed(void **state)
{
    (void)state;
    enum { FAR_AHEAD = 1000000 };
    struct mlt_bus *far_bus = test_connect(server.url, "far");
    struct mlt_hop_receiver_stats got;
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.kill.in");
    assert_true(mlt_bus_rtt_ns(far_bus) > 0); /* it listens */
    struct peer source = peer_start("source", 0);
    assert_true(far_await(&far, PARTITIONS, 5000));
    (void)pthread_mutex_lock(&far.lock);
    assert_int_equal(far.missing, 0);
    (void)pthread_mutex_unlock(&far.lock);
    peer_kill(&source);
    source = peer_start("source", FAR_AHEAD);
    assert_true(far_await(&far, PARTITIONS, FAR_AHEAD + 5000));
    peer_end(&source);
    mlt_hop_receiver_get_stats(receiver, &got);
    mlt_hop_receiver_destroy(receiver);
    assert_int_equal(far.damaged, 0);
    assert_int_equal(far.repeats, 0);
    assert_int_equal(got.boots, 2 * PARTITIONS);
    assert_int_equal(far.loss_count, 2 * PARTITIONS);
    for (unsigned i = 0; i < far.loss_count; i++) {
        /* A hole that the killed one left is told in place of its successor's mark. */
        assert_true(strcmp(far.losses[i].reason, "upstream_lost") == 0 ||
                    (i >= PARTITIONS && strcmp(far.losses[i].reason, "sender_restarted") == 0));
        assert_int_equal(far.losses[i].batch, 1);
    }
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
}

/* The server is killed under load and comes back: both ends live, so every element arrives exactly
 * once. */
static void test_server_killed(void **state)
{
    (void)state;
    enum { EACH = 50000, KILLS = 3 };
    struct mlt_bus *near_bus = test_connect(server.url, "near");
    struct mlt_bus *far_bus = test_connect(server.url, "far");
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.server");
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.server", RING_BYTES_BIG);
    uint64_t at = 0;
    for (uint64_t k = 0; k < KILLS; k++) {
        const uint64_t step = EACH / (KILLS + 1);
        const uint64_t until = at + 1 + mlt_mix64(k + 77) % (step / 2);
        send_up_to(sender, &at, at + step / 2);
        assert_true(far_await(&far, 1, until));
        nats_server_kill(&server);
        send_up_to(sender, &at, at + step / 4); /* into the ring */
        nats_server_start(&server);
    }
    send_up_to(sender, &at, EACH);
    const bool all = far_await(&far, PARTITIONS, EACH);
    report();
    assert_true(all);
    assert_int_equal(far.elements, EACH * PARTITIONS);
    assert_int_equal(far.repeats, 0);
    assert_int_equal(far.missing, 0);
    assert_int_equal(far.damaged, 0);
    assert_int_equal(far.loss_count, 0);
    mlt_hop_sender_get_stats(sender, &sent);
    assert_int_equal(sent.overrun_batches, 0);
    print_message("%llu batches went again\n", (unsigned long long)sent.repeated_batches);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_relay_killed),
        ONE(test_source_killed),
        ONE(test_server_killed),
    };
    return cmocka_run_group_tests_name("hop_kills", tests, NULL, NULL);
}

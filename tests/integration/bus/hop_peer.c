/* Helper program of test_hop_kills: a process of its own that can be killed.
 *   hop_peer relay URL        receives "t.kill.in" of service "a" and sends it on as "b" on
 * "t.kill.out" hop_peer source URL FROM  sends numbers FROM... as "a" on "t.kill.in" without end;
 * each start says that something was lost before it Ends with its standard input. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hop_support.h"
#include "meltica/base/check.h"

static void relay_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct mlt_hop_sender *sender = ctx;
    struct mlt_slice rest = batch->bytes, element;
    if (batch->lost_before) {
        mlt_hop_mark_lost(sender, batch->partition);
    }
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        uint8_t *out = NULL;
        MLT_CHECK(mlt_hop_begin(sender, batch->partition, element.len, &out) == MLT_OK);
        memcpy(out, element.data, element.len);
        mlt_hop_end(sender, batch->partition);
    }
    (void)mlt_hop_wait_room(sender, 2 * MLT_NS_PER_S);
}

static bool input_ended(int timeout_ms)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    return poll(&input, 1, timeout_ms) != 0;
}

static void relay(struct mlt_bus *bus)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_hop_sender *sender = test_sender(bus, "b", "t.kill.out", 0);
    const struct mlt_hop_receiver_options options = { .service = "b",
                                                      .sender_service = "a",
                                                      .subject = "t.kill.in",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = relay_batch,
                                                      .ctx = sender };
    MLT_CHECK(mlt_hop_receiver_create(bus, &options, &receiver, &err) == MLT_OK);
    (void)input_ended(-1);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

static void source(struct mlt_bus *bus, uint64_t from)
{
    struct mlt_hop_sender *sender = test_sender(bus, "a", "t.kill.in", 0);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        mlt_hop_mark_lost(sender, p);
    }
    for (uint64_t i = from; !input_ended(0); i++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, i);
        }
        (void)mlt_hop_wait_room(sender, 2 * MLT_NS_PER_S);
    }
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct mlt_bus *bus = test_connect(argv[2], argv[1]);
    if (strcmp(argv[1], "relay") == 0) {
        relay(bus);
    } else {
        source(bus, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
    }
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    return 0;
}

/* Where channels stand, as Conductor and Data Bus tell each other. The first byte says what the
 * rest is: q a HeadsRequest to a Data Bus, whose answer a Conductor then reads; r a HeadsReply. */
#include "conductor/core.h"
#include "conductor/heads.h"
#include "data_bus/core.h"
#include "data_bus/heads.h"
#include "input.h"

#define PARTITIONS 4u
#define REPLY_BYTES_MAX (1u << 20)

static int64_t now(void *ctx)
{
    (void)ctx;
    return INT64_C(1700000000000000000);
}

static const struct mlt_clock stopped = { now, now, NULL };

static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx;
    MLT_CHECK(partition < PARTITIONS && mlt_instrument_token_valid(event->instrument));
}

static bool on_publish(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    on_emit(ctx, partition, event);
    return true;
}

static void on_await(void *ctx, uint64_t revision)
{
    (void)ctx;
    (void)revision;
}

static enum mlt_status seed(struct mlt_slice reply)
{
    const struct mlt_conductor_ports ports = { .emit = on_emit, .clock = &stopped };
    struct mlt_conductor_core *core = NULL;
    uint32_t next = 0;
    uint64_t fence = 0;
    MLT_CHECK(mlt_conductor_core_create(PARTITIONS, &ports, &core) == MLT_OK);
    const enum mlt_status status = mlt_conductor_heads_seed(core, reply, &next, &fence);
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        mlt_conductor_core_set_epoch(core, slot, UINT64_C(1) << 60);
    }
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        mlt_conductor_core_lost(core, p, "upstream_lost");
    }
    mlt_conductor_core_heads(core, UINT64_MAX);
    mlt_conductor_core_destroy(core);
    return status;
}

/* A Data Bus that has delivered a few events. */
static void deliver(struct mlt_data_bus_core *core)
{
    static const char *const tokens[] = { "BTC-USDT", "ETH-USDT", "A-B", "C-D", "E-F" };
    static const uint8_t none[1] = { 0 };
    struct mlt_routing *routing = NULL;
    MLT_CHECK(mlt_routing_decode(mlt_slice_of(none, 0), &routing) == MLT_OK);
    mlt_data_bus_core_set_table(core, routing);
    for (unsigned i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct mlt_event event = { .instrument = mlt_slice_of_string(tokens[i]),
                                   .type = i % 2 == 0 ? MLT_EVENT_KLINE : MLT_EVENT_TRADE,
                                   .epoch = 3,
                                   .sequence = i + 1,
                                   .last = 100 };
        if (event.type == MLT_EVENT_KLINE) {
            event.u.kline.interval = MLT_SLICE_LITERAL("1m");
        }
        MLT_CHECK(mlt_data_bus_core_event(core, &event) == MLT_OK);
    }
}

static void ask(struct mlt_slice request)
{
    const struct mlt_data_bus_ports ports = { .publish = on_publish,
                                              .await_table = on_await,
                                              .clock = &stopped };
    static const uint64_t heard[PARTITIONS] = { [1] = 7 };
    struct mlt_data_bus_core *core = NULL;
    struct mlt_buf reply;
    mlt_buf_init(&reply, REPLY_BYTES_MAX);
    MLT_CHECK(mlt_data_bus_core_create(PARTITIONS, &ports, &core) == MLT_OK);
    deliver(core);
    if (mlt_data_bus_heads_answer(core, PARTITIONS, heard, request, &reply) == MLT_OK) {
        MLT_CHECK(seed(mlt_buf_view(&reply)) == MLT_OK);
    } else {
        MLT_CHECK(reply.len == 0);
    }
    mlt_buf_fini(&reply);
    mlt_data_bus_core_destroy(core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    if (take_byte(&in) == 'q') {
        ask(in);
    } else {
        (void)(seed(in) == MLT_OK);
    }
    return 0;
}

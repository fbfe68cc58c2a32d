/* The frame path with the hop replaced: what is handed on, and that nothing is allocated for it. */
#include "mlt_test.h"

#include "adapter.h"
#include "meltica/base/clock.h"
#include "plan_maker.h"

/* ---- allocations of our own code (the linker gives us its calls) ---- */

static size_t allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

/* ---- the hop ---- */

static struct {
    uint8_t bytes[1u << 20];
    size_t size;
    uint32_t partition;
    unsigned elements, lost;
    bool congested, refuse;
} hop;

enum mlt_status mlt_hop_begin(struct mlt_hop_sender *sender, uint32_t partition, size_t bytes,
                              uint8_t **out)
{
    (void)sender;
    if (hop.refuse || bytes > sizeof hop.bytes) {
        return MLT_E_TOO_BIG;
    }
    hop.size = bytes;
    hop.partition = partition;
    *out = hop.bytes;
    return MLT_OK;
}

void mlt_hop_end(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    assert_int_equal(partition, hop.partition);
    hop.elements++;
}

void mlt_hop_mark_lost(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    (void)partition;
    hop.lost++;
}

bool mlt_hop_congested(const struct mlt_hop_sender *sender)
{
    (void)sender;
    return hop.congested;
}

enum mlt_status mlt_hop_sender_create(struct mlt_bus *bus,
                                      const struct mlt_hop_sender_options *options,
                                      struct mlt_hop_sender **sender, struct mlt_error *err)
{
    (void)bus;
    (void)options;
    (void)sender;
    return mlt_error_set(err, MLT_E_INTERNAL, "not here");
}

void mlt_hop_sender_destroy(struct mlt_hop_sender *sender, int64_t flush_ns)
{
    (void)sender;
    (void)flush_ns;
}

void mlt_hop_on_room(struct mlt_hop_sender *sender, void (*fn)(void *ctx), void *ctx)
{
    (void)sender;
    (void)fn;
    (void)ctx;
}

void mlt_hop_sender_hold(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    (void)partition;
}

int64_t mlt_hop_sender_held_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    (void)partition;
    return INT64_MAX;
}

enum mlt_status mlt_hop_sender_speak(struct mlt_hop_sender *sender, uint32_t partition,
                                     uint64_t epoch, int64_t from_ns, bool covered)
{
    (void)sender;
    (void)partition;
    (void)epoch;
    (void)from_ns;
    (void)covered;
    return MLT_E_INVALID;
}

int64_t mlt_hop_sender_unacked_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    (void)sender;
    (void)partition;
    return INT64_MAX;
}

void mlt_hop_sender_get_stats(struct mlt_hop_sender *sender, struct mlt_hop_sender_stats *out)
{
    (void)sender;
    memset(out, 0, sizeof *out);
}

/* ---- fixture ---- */

static struct mlt_adapter *adapter;
static struct mlt_arena arena;
static struct mlt_native_event event;

static void nothing(void *ctx)
{
    (void)ctx;
}

static bool no_connect(void *ctx, uint32_t line)
{
    (void)ctx;
    (void)line;
    return true;
}

static void no_close(void *ctx, uint32_t line)
{
    (void)ctx;
    (void)line;
}

static bool no_send(void *ctx, uint32_t line, struct mlt_slice text)
{
    (void)ctx;
    (void)line;
    (void)text;
    return true;
}

static void source(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                   const char *reason)
{
    mlt_adapter_source(ctx, instrument, down, reason);
}

static int set_up(void **state)
{
    (void)state;
    memset(&hop, 0, sizeof hop);
    mlt_arena_init(&arena, 1u << 16, 1u << 22);
    adapter = calloc(1, sizeof *adapter);
    assert_non_null(adapter);
    adapter->partitions = 4;
    adapter->plans.mine = adapter->speaks = UINT64_MAX; /* bit p: as an Adapter alone */
    adapter->trace_prefix = 1;
    adapter->trace_seed = 2;
    adapter->symbols = make_symbols(3);
    assert_int_equal(mlt_metrics_create(&adapter->metrics), MLT_OK);
    mlt_adapter_meters_make(adapter);
    assert_int_equal(mlt_loop_create(&adapter->loop, NULL), MLT_OK);
    struct mlt_timer **timers[] = { &adapter->lines_timer, &adapter->hold_timer,
                                    &adapter->status_timer, &adapter->listing_timer };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mlt_timer_create(adapter->loop, nothing, NULL, timers[i]), MLT_OK);
    }
    assert_int_equal(mlt_binance_decoder_create(&adapter->decoder), MLT_OK);
    mlt_topics_init(&adapter->topics, 4);
    const struct mlt_lines_options options = { .streams_per_line = 1024,
                                               .attempts = 1,
                                               .copies = 1,
                                               .ack_ns = 1,
                                               .rollover_ns = MLT_NS_PER_S,
                                               .backoff_max_ns = 1 };
    const struct mlt_lines_ports ports = { no_connect, no_close, no_send, source, adapter };
    mlt_lines_init(&adapter->lines, &options, &ports, &adapter->topics);
    struct plan *plan = make_plan(0, 1, 7);
    (void)add_route(plan, 11, "{symbol}@trade", 0, 3);
    assert_int_equal(mlt_topics_apply(&adapter->topics, &plan->message, adapter->symbols), MLT_OK);
    free(plan);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_timer_destroy(adapter->lines_timer);
    mlt_timer_destroy(adapter->hold_timer);
    mlt_timer_destroy(adapter->status_timer);
    mlt_timer_destroy(adapter->listing_timer);
    mlt_loop_destroy(adapter->loop);
    mlt_lines_fini(&adapter->lines);
    mlt_topics_fini(&adapter->topics);
    mlt_binance_decoder_destroy(adapter->decoder);
    mlt_binance_symbols_destroy(adapter->symbols);
    mlt_metrics_destroy(adapter->metrics);
    mlt_arena_fini(&arena);
    free(adapter);
    return 0;
}

static char frame_bytes[8192];

static void feed(const char *text)
{
    const size_t len = strlen(text);
    assert_true(len + 16 < sizeof frame_bytes);
    memcpy(frame_bytes, text, len + 1);
    memset(frame_bytes + len, 0, 16);
    mlt_adapter_frame(adapter, 0, frame_bytes, len, INT64_C(1700000000000000000));
}

static void decode(void)
{
    mlt_arena_reset(&arena);
    assert_int_equal(mlt_native_decode(mlt_slice_of(hop.bytes, hop.size), &arena, &event), MLT_OK);
}

#define TRADE(symbol, stream)                                                                      \
    "{\"stream\":\"" stream "\",\"data\":{\"e\":\"trade\",\"E\":1700000000001,\"s\":\"" symbol     \
    "\",\"t\":5,"                                                                                  \
    "\"p\":\"1.5\",\"q\":\"2\",\"T\":1700000000000,\"m\":true}}"

static void test_instance_has_route_stamps_and_partition(void **state)
{
    (void)state;
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_int_equal(hop.elements, 1);
    decode();
    assert_int_equal(event.type, MLT_EVENT_TRADE);
    assert_int_equal(event.route, 11);
    assert_int_equal(event.received, INT64_C(1700000000000000000));
    assert_true(event.adapted > 0);
    assert_int_equal(hop.partition, mlt_instrument_slot(mlt_slice_of_string("C001-USDT")) % 4);
    uint8_t first[MLT_TRACE_ID_BYTES];
    memcpy(first, event.trace_id, sizeof first);
    feed(TRADE("C001USDT", "c001usdt@trade"));
    decode();
    assert_memory_not_equal(event.trace_id, first, sizeof first);
    assert_int_equal(mlt_counter_get(adapter->meters.frames_data), 2);
    assert_int_equal(mlt_counter_get(adapter->meters.instances[MLT_EVENT_TRADE]), 2);
}

static void test_first_message_makes_its_topic_live(void **state)
{
    (void)state;
    struct mlt_topic *topic =
        mlt_topics_find(&adapter->topics, MLT_SLICE_LITERAL("c002usdt@trade"));
    assert_int_equal(topic->state, MLT_TOPIC_PENDING);
    feed(TRADE("C002USDT", "c002usdt@trade"));
    assert_int_equal(topic->state, MLT_TOPIC_LIVE);
    assert_true(mlt_timer_active(adapter->status_timer));
}

static void test_stream_that_was_not_asked_for_has_no_route(void **state)
{
    (void)state;
    feed(TRADE("C001USDT", "c001usdt@other"));
    decode();
    assert_int_equal(event.route, 0);
}

static void test_what_is_another_adapters_goes_nowhere(void **state)
{
    (void)state;
    const struct mlt_slice token = mlt_slice_of_string("C001-USDT");
    const uint32_t partition = mlt_instrument_slot(token) % 4;
    adapter->plans.mine = adapter->speaks = UINT64_C(0xf) & ~(UINT64_C(1) << partition);
    adapter->home = partition == 0 ? 1 : 0;
    assert_false(mlt_adapter_mine(adapter, token));
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_int_equal(hop.elements, 0);
    assert_int_equal(mlt_counter_get(adapter->meters.not_handed_on), 0); /* nothing is lost */
    adapter->plans.mine = adapter->speaks = UINT64_C(1) << partition;
    adapter->home = partition;
    assert_true(mlt_adapter_mine(adapter, token));
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_int_equal(hop.elements, 1);
    feed("no JSON"); /* what names no instrument goes where it is heard */
    assert_int_equal(hop.elements, 2);
    assert_int_equal(hop.partition, partition);
}

static void hand_on(int type, const char *rest_function)
{
    struct mlt_native_event made = { .instrument = mlt_slice_of_string("C001-USDT"),
                                     .type = type,
                                     .exchange = MLT_STAMP_UNKNOWN,
                                     .rest_function = mlt_slice_of_string(rest_function) };
    if (type == MLT_EVENT_STATUS) {
        made.u.status.kind = MLT_STATUS_SOURCE_DOWN;
    }
    mlt_adapter_hand_on(adapter, &made);
}

static void test_of_a_held_partition_only_what_came_by_a_line_is_kept(void **state)
{
    (void)state;
    const struct mlt_slice token = mlt_slice_of_string("C001-USDT");
    const uint32_t partition = mlt_instrument_slot(token) % 4;
    adapter->speaks &= ~(UINT64_C(1) << partition);
    assert_false(mlt_adapter_mine(adapter, token)); /* fetches are another one's to answer */
    hand_on(MLT_EVENT_STATUS, "");
    hand_on(MLT_EVENT_INSTRUMENT, "exchangeInfo");
    hand_on(MLT_EVENT_TICKER, "ticker/24hr");
    assert_int_equal(hop.elements, 0);
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_int_equal(hop.elements, 1);
    assert_int_equal(hop.partition, partition);
    /* Nothing of it was handed on yet. */
    assert_int_equal(mlt_counter_get(adapter->meters.instances[MLT_EVENT_TRADE]), 0);
    adapter->speaks |= UINT64_C(1) << partition;
    hand_on(MLT_EVENT_STATUS, "");
    hand_on(MLT_EVENT_INSTRUMENT, "exchangeInfo");
    hand_on(MLT_EVENT_TICKER, "ticker/24hr");
    assert_int_equal(hop.elements, 4);
    assert_int_equal(mlt_counter_get(adapter->meters.instances[MLT_EVENT_TICKER]), 1);
}

static void test_unparsed_goes_the_same_way(void **state)
{
    (void)state;
    feed("{\"stream\":\"c001usdt@trade\",\"data\":{\"e\":\"trade\",\"s\":\"C001USDT\"}}");
    decode();
    assert_int_equal(event.type, MLT_NATIVE_UNPARSED);
    assert_int_equal(event.route, 11);
    assert_true(mlt_slice_equal_string(event.u.unparsed.reason, "missing_field"));
    assert_int_equal(hop.partition, mlt_instrument_slot(mlt_slice_of_string("C001-USDT")) % 4);
    feed("not JSON");
    decode();
    assert_int_equal(event.instrument.len, 0);
    assert_int_equal(hop.partition, 0);
    assert_int_equal(mlt_counter_get(adapter->meters.unparsed[1]), 1);
    assert_int_equal(mlt_counter_get(adapter->meters.unparsed[0]), 1);
}

static void test_instance_that_the_hop_refuses_is_a_loss(void **state)
{
    (void)state;
    hop.refuse = true;
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_int_equal(hop.lost, 1);
    assert_int_equal(mlt_counter_get(adapter->meters.not_handed_on), 1);
    assert_int_equal(mlt_counter_get(adapter->meters.instances[MLT_EVENT_TRADE]), 0);
}

static void test_congestion_holds_once_and_expires(void **state)
{
    (void)state;
    hop.congested = true;
    feed(TRADE("C001USDT", "c001usdt@trade"));
    assert_true(adapter->held);
    assert_true(mlt_timer_active(adapter->hold_timer));
    mlt_adapter_hold_expired(adapter);
    assert_false(adapter->held);
    feed(TRADE("C001USDT", "c001usdt@trade")); /* no room yet: reading goes on all the same */
    assert_false(adapter->held);
    hop.congested = false;
    feed(TRADE("C001USDT", "c001usdt@trade"));
    hop.congested = true;
    feed(TRADE("C001USDT", "c001usdt@trade")); /* there was room in between */
    assert_true(adapter->held);
    assert_int_equal(mlt_counter_get(adapter->meters.holds), 2);
}

static void test_nothing_is_allocated_for_a_message(void **state)
{
    (void)state;
    feed(TRADE("C001USDT", "c001usdt@trade"));
    const size_t before = allocations;
    assert_true(before > 0); /* the counting works */
    for (unsigned i = 0; i < 10000; i++) {
        feed(TRADE("C001USDT", "c001usdt@trade"));
        feed("{\"stream\":\"c001usdt@depth\",\"data\":{\"e\":\"depthUpdate\",\"E\":1,"
             "\"s\":\"C001USDT\",\"U\":1,\"u\":2,\"b\":[[\"1\",\"2\"]],\"a\":[]}}");
        feed("{\"stream\":\"c001usdt@x\",\"data\":{\"e\":\"unheardOf\",\"s\":\"C001USDT\"}}");
    }
    assert_int_equal(allocations, before);
    assert_int_equal(hop.elements, 30001);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_instance_has_route_stamps_and_partition),
        TEST(test_first_message_makes_its_topic_live),
        TEST(test_stream_that_was_not_asked_for_has_no_route),
        TEST(test_what_is_another_adapters_goes_nowhere),
        TEST(test_of_a_held_partition_only_what_came_by_a_line_is_kept),
        TEST(test_unparsed_goes_the_same_way),
        TEST(test_instance_that_the_hop_refuses_is_a_loss),
        TEST(test_congestion_holds_once_and_expires),
        TEST(test_nothing_is_allocated_for_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

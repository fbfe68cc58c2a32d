/* A run of plan parts: what one of them made stays as it is when the same part comes again, an
 * expanding one ends no stream, and what is kept of a part reads as it came. Input: parts, each
 * with two bytes of length (little endian) before it; the last one may be cut. */
#include <inttypes.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "plans.h"
#include "rest.h"
#include "topics.h"

#define PARTITIONS 4u
#define PARTS_MAX 16u
#define STATE_BYTES_MAX (64u << 20)

static struct mlt_binance_symbols *symbols;

struct adapter {
    struct mlt_plans plans;
    struct mlt_topics topics;
    struct mlt_governor governor;
    struct mlt_rest rest;
};

static void set_up(void)
{
    static const char listing[] =
        "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\","
        "\"quoteAsset\":\"USDT\"},{\"symbol\":\"ETHBTC\",\"status\":\"BREAK\",\"baseAsset\":"
        "\"ETH\",\"quoteAsset\":\"BTC\"}]}";
    MLT_CHECK(mlt_binance_symbols_parse(mlt_slice_of_string(listing), &symbols, NULL, NULL, NULL) ==
              MLT_OK);
}

/* ---- all that a part can change, as text ---- */

static void put(struct mlt_buf *to, const char *text)
{
    MLT_CHECK(mlt_buf_append_json_string(to, mlt_slice_of_string(text)) == MLT_OK);
}

static void put_number(struct mlt_buf *to, int64_t number)
{
    MLT_CHECK(mlt_buf_printf(to, " %" PRId64, number) == MLT_OK);
}

static void describe(const struct adapter *a, struct mlt_buf *to)
{
    mlt_buf_init(to, STATE_BYTES_MAX);
    for (size_t i = 0; i < a->topics.count; i++) {
        const struct mlt_topic *topic = a->topics.items[i];
        put(to, topic->name);
        put(to, topic->instrument != NULL ? topic->instrument->token : "");
        put(to, topic->reason);
        put_number(to, topic->route);
        put_number(to, (int64_t)topic->wanted_by);
        put_number(to, (int64_t)topic->state);
        put_number(to, topic->halted * 2 + topic->unlisted);
    }
    for (size_t i = 0; i < a->rest.count; i++) {
        const struct mlt_rest_entry *entry = a->rest.entries[i];
        put(to, entry->call.token);
        put_number(to, entry->call.function);
        put_number(to, entry->call.limit);
        put_number(to, entry->call.route);
        put_number(to, (int64_t)entry->wanted_by);
        put_number(to, entry->interval_ns);
        put_number(to, entry->phase_ns);
        put_number(to, entry->due_ns);
    }
    for (size_t i = 0; i < a->rest.unknown_count; i++) {
        put_number(to, a->rest.unknown[i].route);
        put_number(to, a->rest.unknown[i].partition);
    }
}

/* ---- consistency ---- */

static void check_topics(const struct mlt_topics *topics)
{
    uint32_t counts[MLT_TOPIC_STATE_COUNT];
    size_t counted = 0;
    MLT_CHECK(topics->by_name.count == topics->count && topics->count <= MLT_TOPICS_MAX);
    for (size_t i = 0; i < topics->count; i++) {
        struct mlt_topic *topic = topics->items[i];
        MLT_CHECK(topic->index == i && topic->wanted_by != 0); /* no line has any */
        MLT_CHECK(topic->name[0] != '\0' && strlen(topic->name) <= MLT_TOPIC_NAME_BYTES_MAX);
        MLT_CHECK(mlt_topics_find(topics, mlt_slice_of_string(topic->name)) == topic);
        MLT_CHECK(!topic->unlisted || topic->state == MLT_TOPIC_FAILED);
    }
    mlt_topics_counts(topics, UINT64_MAX, counts);
    for (size_t i = 0; i < MLT_TOPIC_STATE_COUNT; i++) {
        counted += counts[i];
    }
    MLT_CHECK(counted == topics->count);
}

static void check_rest(const struct mlt_rest *rest)
{
    MLT_CHECK(rest->by_call.count == rest->count && rest->count <= MLT_REST_ENTRIES_MAX);
    for (size_t i = 0; i < rest->count; i++) {
        const struct mlt_rest_entry *entry = rest->entries[i];
        MLT_CHECK(entry->wanted_by != 0 && entry->interval_ns > 0 && entry->due_ns >= 0);
        MLT_CHECK(entry->call.function < MLT_REST_FUNCTION_COUNT);
    }
}

static size_t streams(const struct mlt_topics *topics)
{
    size_t count = 0;
    for (size_t i = 0; i < topics->count; i++) {
        count += !topics->items[i]->unlisted;
    }
    return count;
}

/* ---- one part ---- */

static enum mlt_status apply(struct adapter *a, const Meltica__V1__NativePlan *plan, int64_t now)
{
    const size_t had_streams = streams(&a->topics), had_calls = a->rest.count;
    const enum mlt_status topics = mlt_topics_apply(&a->topics, plan, symbols);
    const enum mlt_status rest = mlt_rest_apply(&a->rest, plan, now);
    check_topics(&a->topics);
    check_rest(&a->rest);
    if (plan->expanding) {
        MLT_CHECK(streams(&a->topics) >= had_streams && a->rest.count >= had_calls);
    }
    return topics != MLT_OK ? topics : rest;
}

static void take(struct adapter *a, struct mlt_slice bytes, int64_t now)
{
    Meltica__V1__NativePlan *plan = NULL, *kept;
    struct mlt_buf once, twice;
    bool new_boot = false;
    if (mlt_plans_read(&a->plans, bytes, &plan, &new_boot) != MLT_OK) {
        return;
    }
    const enum mlt_status status = apply(a, plan, now);
    describe(a, &once);
    MLT_CHECK(apply(a, plan, now + 1) == status);
    describe(a, &twice);
    MLT_CHECK(mlt_slice_equal(mlt_buf_view(&once), mlt_buf_view(&twice)));
    if (status == MLT_OK) {
        MLT_CHECK(mlt_plans_keep(&a->plans, plan, bytes) == MLT_OK);
        kept = mlt_plans_of(&a->plans, plan->partition);
        MLT_CHECK(kept != NULL && kept->revision == plan->revision);
        MLT_CHECK(kept->n_routes == plan->n_routes && kept->boot == plan->boot);
        uint64_t of = 0;
        MLT_CHECK(mlt_plans_revision(&a->plans, UINT64_MAX, &of) <= plan->revision);
        MLT_CHECK(of == 0 || of == plan->boot);
        mlt_plan_free(kept);
    }
    mlt_buf_fini(&twice);
    mlt_buf_fini(&once);
    mlt_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct adapter a; /* large */
    if (symbols == NULL) {
        set_up();
    }
    mlt_plans_init(&a.plans, PARTITIONS);
    mlt_topics_init(&a.topics, PARTITIONS);
    mlt_governor_init(&a.governor, 50, 1);
    mlt_rest_init(&a.rest, PARTITIONS, &a.governor, 1);
    for (unsigned part = 0; part < PARTS_MAX && size >= 2; part++) {
        size_t len = data[0] | (size_t)data[1] << 8;
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        take(&a, mlt_slice_of(data, len), INT64_C(1000) * (part + 1));
        data += len;
        size -= len;
    }
    mlt_rest_fini(&a.rest);
    mlt_topics_fini(&a.topics);
    mlt_plans_fini(&a.plans);
    return 0;
}

/*
 * What the control log, Adapters and Conductors say to a Dispatcher: ControlRecords become live
 * subscriptions, of which the table that goes out can be read; PlanStatus confirms them;
 * ResyncRequests become calls or refusals. Input: steps of a byte (c, s, r) and a block.
 */
#include "confirm.h"
#include "demand.h"
#include "input.h"
#include "meltica/base/buf.h"
#include "plan.h"
#include "routing.h"

#define PARTITIONS 4u
#define TABLE_BYTES_MAX (64u << 20)
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":"           \
    "{\"function\":\"historicalTrades\"}},"                                                        \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}}],"               \
    "\"subscriptions\":[{\"id\":\"f\",\"type\":\"BBO\",\"instruments\":[\"A-B\"]}]}"

static struct {
    struct mlt_table *table;
    struct mlt_live live;
    struct mlt_catalogue *catalogue;
    struct mlt_confirm confirm;
    uint64_t sequence;
} world;

static void check_live(void)
{
    MLT_CHECK(world.live.count <= MLT_LIVE_SUBSCRIPTIONS_MAX);
    MLT_CHECK(world.live.patterns <= MLT_LIVE_PATTERNS_MAX);
    size_t patterns = 0, table_bytes = 0;
    for (size_t i = 0; i < world.live.count; i++) {
        const struct mlt_live_item *item = world.live.items[i];
        patterns += item->subscription.pattern_count;
        table_bytes += item->table_bytes;
        MLT_CHECK(item->sequence <= world.sequence && item->subscription.pattern_count > 0);
        MLT_CHECK(mlt_live_find(&world.live, item->subscription.id) == item);
        MLT_CHECK(i == 0 ||
                  strcmp(world.live.items[i - 1]->subscription.id, item->subscription.id) < 0);
    }
    MLT_CHECK(patterns == world.live.patterns && table_bytes == world.live.table_bytes);
}

/* The Data Bus reads all of it. */
static void check_table(void)
{
    const struct mlt_plan_live live = { .live = &world.live, .log_read = true };
    struct mlt_routing *routing = NULL;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, TABLE_BYTES_MAX);
    MLT_CHECK(mlt_plan_encode_table(world.table, world.catalogue, &live,
                                    &(struct mlt_plan_from){ 1, 0 }, true, &bytes) == MLT_OK);
    /* Besides what is counted there is what a table says of itself. */
    MLT_CHECK(bytes.len <= mlt_catalogue_table_bytes(world.catalogue, &world.live) + 64);
    MLT_CHECK(mlt_routing_decode(mlt_buf_view(&bytes), &routing) == MLT_OK);
    MLT_CHECK(mlt_routing_ignored(routing) == 0);
    mlt_routing_destroy(routing);
    mlt_buf_fini(&bytes);
}

static void control_record(struct mlt_slice bytes)
{
    Meltica__V1__ControlRecord *record =
        meltica__v1__control_record__unpack(NULL, bytes.len, bytes.data);
    if (record == NULL) {
        return;
    }
    struct mlt_live_item *released = NULL;
    bool changed = false;
    const size_t before = world.live.count;
    const enum mlt_status status =
        mlt_live_apply(&world.live, world.table, record, ++world.sequence, &released, &changed);
    MLT_CHECK(status == MLT_OK || (world.live.count == before && released == NULL));
    if (status == MLT_OK && changed) {
        MLT_CHECK(mlt_catalogue_subscribe(world.catalogue, &world.live) == MLT_OK);
        check_table();
    }
    check_live();
    mlt_live_release(released);
    meltica__v1__control_record__free_unpacked(record, NULL);
}

static void plan_status(struct mlt_slice bytes)
{
    static struct mlt_confirm_answer answer; /* large */
    Meltica__V1__PlanStatus *status = meltica__v1__plan_status__unpack(NULL, bytes.len, bytes.data);
    if (status == NULL) {
        return;
    }
    mlt_confirm_heard(&world.confirm, status, 1);
    const struct mlt_subscription *of =
        world.live.count > 0 ? &world.live.items[0]->subscription : NULL;
    mlt_confirm_judge(&world.confirm, world.table, of, 1, 2, &answer);
    MLT_CHECK(answer.problem_count <= MLT_CONFIRM_PROBLEMS_MAX && answer.reason != NULL);
    MLT_CHECK((answer.state == MLT_LIVE_CONFIRMED) == (answer.reason[0] == '\0'));
    for (size_t i = 0; i < answer.problem_count; i++) {
        MLT_CHECK(memchr(answer.problems[i].reason, 0, sizeof answer.problems[i].reason) != NULL);
    }
}

static void resync_request(struct mlt_slice bytes)
{
    Meltica__V1__ResyncRequest *request =
        meltica__v1__resync_request__unpack(NULL, bytes.len, bytes.data);
    if (request == NULL) {
        return;
    }
    struct mlt_demand demand = { NULL, 0, 0 };
    const struct mlt_want want = { (enum mlt_event_type)request->type, request->depth,
                                   request->first, request->last };
    const char *refusal = mlt_demand_of(world.table, world.catalogue,
                                        mlt_slice_of_string(request->instrument), &want, &demand);
    MLT_CHECK((refusal[0] == '\0') == (demand.route != NULL));
    MLT_CHECK(demand.route == NULL || demand.limit > 0);
    MLT_CHECK(demand.route == NULL || want.type == MLT_EVENT_NONE ||
              (demand.from == want.first && demand.limit <= MLT_TRADES_PAGE_MAX));
    meltica__v1__resync_request__free_unpacked(request, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    struct mlt_error err = MLT_ERROR_INIT;
    if (world.table == NULL) {
        MLT_CHECK(mlt_table_parse(mlt_slice_of_string(TABLE), &world.table, &err) == MLT_OK);
    }
    mlt_live_init(&world.live);
    memset(&world.confirm, 0, sizeof world.confirm);
    world.sequence = 0;
    MLT_CHECK(mlt_catalogue_create(world.table, 1, &world.catalogue) == MLT_OK);
    while (in.len > 0) {
        const unsigned kind = take_byte(&in);
        const struct mlt_slice block = take_block(&in);
        if (kind == 'c') {
            control_record(block);
        } else if (kind == 's') {
            plan_status(block);
        } else {
            resync_request(block);
        }
    }
    mlt_confirm_fini(&world.confirm);
    mlt_catalogue_destroy(world.catalogue);
    mlt_live_fini(&world.live);
    return 0;
}

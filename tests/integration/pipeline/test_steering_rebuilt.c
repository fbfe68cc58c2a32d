/*
 * The table of live subscriptions is what the log says, and nothing else: without its bucket, and
 * with a Dispatcher that knows nothing, it comes to be again, byte for byte. Compared are the
 * answer to meltica.int.table (boot and revision belong to the run and are left out) and, in the
 * bucket, the record and the log sequence of each live subscription.
 */
#include "mlt_test.h"

#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"
#include "steer_rig.h"

#define CONSUMERS 6u
#define VALUES_BYTES_MAX (1u << 20)

static struct rig rig;
static char again_id[64];

/* The table without what belongs to the run. */
static void table_bytes(struct mlt_buf *out, size_t *subscriptions)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, VALUES_BYTES_MAX);
    assert_int_equal(mlt_bus_request(rig.client, "meltica.int.table", MLT_SLICE_EMPTY,
                                     5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    Meltica__V1__Table *table = meltica__v1__table__unpack(NULL, answer.len, answer.data);
    assert_non_null(table);
    table->boot = 0;
    table->now = 0;
    table->revision = 0;
    *subscriptions = table->n_subscriptions;
    mlt_buf_clear(out);
    assert_int_equal(mlt_buf_reserve(out, meltica__v1__table__get_packed_size(table)), MLT_OK);
    out->len = meltica__v1__table__pack(table, out->data);
    meltica__v1__table__free_unpacked(table, NULL);
    mlt_buf_fini(&answer);
}

/* Record and log sequence of the bucket's value; false: there is none. */
static bool append_value(const char *id, struct mlt_buf *out)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf value;
    uint64_t revision = 0;
    mlt_buf_init(&value, VALUES_BYTES_MAX);
    if (mlt_kv_get(rig.store, "meltica-dispatch", id, &value, &revision, &err) != MLT_OK) {
        mlt_buf_fini(&value);
        return false;
    }
    Meltica__V1__AppliedRecord *applied =
        meltica__v1__applied_record__unpack(NULL, value.len, value.data);
    assert_non_null(applied);
    assert_non_null(applied->answer);
    assert_string_equal(applied->answer->outcome, "CONFIRMED");
    meltica__v1__apply_reply__free_unpacked(applied->answer, NULL);
    applied->answer = NULL;
    const size_t bytes = meltica__v1__applied_record__get_packed_size(applied);
    assert_int_equal(mlt_buf_reserve(out, bytes), MLT_OK);
    out->len += meltica__v1__applied_record__pack(applied, out->data + out->len);
    meltica__v1__applied_record__free_unpacked(applied, NULL);
    mlt_buf_fini(&value);
    return true;
}

/* The values of all live subscriptions, in the order of the list; false: one is not there. */
static bool values(struct rig *r, void *ctx)
{
    struct mlt_buf *out = ctx;
    mlt_buf_clear(out);
    struct said s = rig_ask(r, "list", "");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    bool all = cJSON_GetArraySize(list) > 0;
    const cJSON *one = list != NULL ? list->child : NULL;
    for (; all && one != NULL; one = one->next) {
        all = strcmp(rig_text(one, "state"), "CONFIRMED") == 0 &&
              append_value(rig_text(one, "subscription"), out);
    }
    cJSON_Delete(s.json);
    return all;
}

static void subscribe(unsigned consumer, const char *type, const char *instruments, int ttl_s,
                      char *id)
{
    char body[256], lease[32] = "";
    if (ttl_s > 0) {
        (void)snprintf(lease, sizeof lease, ",\"ttl_s\":%d", ttl_s);
    }
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[%s]%s,\"id\":\"r%u%s\"}",
                   consumer, type, instruments, lease, consumer, type);
    rig_confirm(&rig, "subscribe", body, id);
}

/* So that the first messages of a subject are no longer kept: what became known first is then not
 * what is read first. */
static void renew_often(unsigned consumer, const char *id)
{
    char body[160];
    for (int i = 0; i < 7; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"consumer\":\"c%u\",\"subscription\":\"%s\",\"ttl_s\":%d}", consumer, id,
                       3600 + i);
        rig_confirm(&rig, "renew", body, NULL);
    }
}

static void make_subscriptions(void)
{
    char id[64], body[200];
    for (unsigned c = 0; c < CONSUMERS; c++) {
        subscribe(c, "TRADE", "\"SYM0001-USDT\",\"SYM0002-USDT\"", c % 2 == 0 ? 3600 : 0, id);
        if (c == 0) {
            (void)snprintf(again_id, sizeof again_id, "%s", id);
        }
        subscribe(c, "BBO", c % 2 == 0 ? "\"*-USDT\"" : "\"SYM0003-USDT\"", 0, id);
        if (c % 3 == 1) { /* ended ones must not come back */
            (void)snprintf(body, sizeof body, "{\"consumer\":\"c%u\",\"subscription\":\"%s\"}", c,
                           id);
            rig_confirm(&rig, "unsubscribe", body, NULL);
        }
        if (c % 3 == 2) {
            (void)snprintf(body, sizeof body,
                           "{\"consumer\":\"c%u\",\"subscription\":\"%s\","
                           "\"instruments\":[\"SYM0004-USDT\"]}",
                           c, id);
            rig_confirm(&rig, "update", body, NULL);
        }
    }
    renew_often(0, again_id);
}

static void delete_bucket(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, VALUES_BYTES_MAX);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.DELETE.KV_meltica-dispatch",
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    assert_non_null(memmem(answer.data, answer.len, "\"success\":true", 14));
    mlt_buf_fini(&answer);
}

static void test_the_log_alone_makes_the_same_table(void **state)
{
    (void)state;
    struct mlt_buf table, rebuilt, bucket, bucket_rebuilt;
    size_t count = 0, count_rebuilt = 0;
    mlt_buf_init(&table, VALUES_BYTES_MAX);
    mlt_buf_init(&rebuilt, VALUES_BYTES_MAX);
    mlt_buf_init(&bucket, VALUES_BYTES_MAX);
    mlt_buf_init(&bucket_rebuilt, VALUES_BYTES_MAX);
    rig_start(&rig, "5", "300");
    make_subscriptions();
    assert_true(rig_until(values, &rig, &bucket, 10));
    table_bytes(&table, &count);
    assert_true(count >= 2 * CONSUMERS - 2);

    mlt_stack_kill(&rig.stack, "dispatcher");
    delete_bucket();
    mlt_stack_run(&rig.stack, "dispatcher");
    rig_wait_ready(&rig);
    /* The bucket too comes to be again, by itself. */
    assert_true(rig_until(values, &rig, &bucket_rebuilt, 20));
    table_bytes(&rebuilt, &count_rebuilt);
    assert_int_equal(count_rebuilt, count);
    assert_int_equal(rebuilt.len, table.len);
    assert_memory_equal(rebuilt.data, table.data, table.len);
    assert_int_equal(bucket_rebuilt.len, bucket.len);
    assert_memory_equal(bucket_rebuilt.data, bucket.data, bucket.len);
    print_message("%zu subscriptions, %zu bytes of table, %zu of the bucket\n", count, table.len,
                  bucket.len);
    mlt_buf_fini(&table);
    mlt_buf_fini(&rebuilt);
    mlt_buf_fini(&bucket);
    mlt_buf_fini(&bucket_rebuilt);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_log_alone_makes_the_same_table),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}

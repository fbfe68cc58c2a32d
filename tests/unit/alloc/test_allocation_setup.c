/* Memory that runs out while a process is set up: its buffers, maps and metrics, what it knows of
 * NATS, and the cores of the services. As test_allocation. */
#include "exhaust.h"
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>

#include "authority.h"
#include "binance.h"
#include "catalogue.h"
#include "connection.h"
#include "core.h"
#include "meltica/base/arena.h"
#include "meltica/base/map.h"
#include "meltica/recording/recording.h"
#include "meltica/rt/loop.h"
#include "meltica/rt/metrics.h"
#include "mlt_nats_jwt.h"
#include "nkey.h"
#include "quota.h"
#include "reject.h"
#include "router.h"

#define TEXT_BYTES_MAX (1u << 20)

static char folder[] = "/tmp/meltica-alloc-XXXXXX";
static char paths[6][160]; /* cert.pem, key.pem, seed, creds, secret, packed recording */
static struct mlt_table *table;
static struct mlt_nats_key user;

/* True: whole. What failed has words. */
static bool said(enum mlt_status status, const struct mlt_error *err)
{
    assert_true(status == MLT_OK || err->text[0] != '\0');
    return status == MLT_OK;
}

/* ---- shared/base ---- */

static bool use_buf(void)
{
    struct mlt_buf buf;
    mlt_buf_init(&buf, TEXT_BYTES_MAX);
    bool whole = true;
    for (int i = 0; i < 200 && whole; i++) {
        const size_t before = buf.len;
        whole = mlt_buf_printf(&buf, "%d some text that grows ", i) == MLT_OK &&
                mlt_buf_append_json_string(&buf, MLT_SLICE_LITERAL("\"\x01")) == MLT_OK;
        assert_true(buf.len >= before); /* never less than there was */
    }
    mlt_buf_fini(&buf);
    return whole;
}

static bool use_arena(void)
{
    struct mlt_arena arena;
    bool whole = true;
    mlt_arena_init(&arena, 1024, 65536);
    for (int i = 0; i < 60 && whole; i++) {
        char *got = mlt_arena_alloc(&arena, 700);
        whole = got != NULL;
        if (whole) {
            memset(got, i, 700);
        }
    }
    mlt_arena_fini(&arena);
    return whole;
}

static bool use_map(void)
{
    struct mlt_map map;
    char key[16];
    size_t put = 0;
    bool whole = true;
    mlt_map_init(&map, 100);
    for (; put < 100 && whole; put += whole) {
        (void)snprintf(key, sizeof key, "key%zu", put);
        whole = mlt_map_put(&map, mlt_slice_of_string(key), &table) == MLT_OK;
    }
    /* What was put is there, what was refused is not. */
    assert_int_equal(map.count, put);
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "key%zu", i);
        assert_true((mlt_map_get(&map, mlt_slice_of_string(key)) != NULL) == (i < put));
    }
    mlt_map_fini(&map);
    return whole;
}

static void test_buffers_arenas_and_maps(void **state)
{
    (void)state;
    exhaust(use_buf);
    exhaust(use_arena);
    exhaust(use_map);
}

/* ---- metrics ---- */

/* A series for which there is no memory is counted by one that is always there. */
static bool make_metrics_of(bool process)
{
    struct mlt_metrics *metrics = NULL;
    struct mlt_buf page;
    char labels[32];
    if (mlt_metrics_create(&metrics) != MLT_OK) {
        assert_null(metrics);
        return false;
    }
    for (int i = 0; i < 20; i++) {
        (void)snprintf(labels, sizeof labels, "n=\"%d\"", i);
        mlt_counter_add(mlt_metrics_counter(metrics, "meltica_test_total", "Test", labels), 1);
        mlt_gauge_set(mlt_metrics_gauge(metrics, "meltica_test_bytes", "Test", labels), 1);
        mlt_histogram_record_ns(
            mlt_metrics_histogram(metrics, "meltica_test_seconds", "Test", labels), 5);
    }
    if (process) {
        mlt_metrics_add_process(metrics);
    }
    mlt_buf_init(&page, TEXT_BYTES_MAX);
    bool whole = mlt_metrics_render(metrics, &page) == MLT_OK;
    whole = whole && page.len > 0 &&
            memmem(page.data, page.len, "meltica_metrics_overflow_total 0\n", 33) != NULL;
    mlt_buf_fini(&page);
    mlt_metrics_destroy(metrics);
    return whole;
}

static bool make_metrics(void)
{
    return make_metrics_of(false);
}

/* Those of the process are of files of /proc: one that cannot be read is not on the page. */
static bool make_process_metrics(void)
{
    return make_metrics_of(true);
}

static void test_metrics(void **state)
{
    (void)state;
    exhaust(make_metrics);
    exhaust_file(make_process_metrics);
}

/* ---- NATS ---- */

static struct mlt_bus_options bus_options;

static bool make_bus_options(void)
{
    natsOptions *made = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_bus_options_make(&bus_options, &made, &err), &err);
    assert_true(whole == (made != NULL));
    natsOptions_Destroy(made);
    ERR_clear_error();
    return whole;
}

static bool check_creds(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    int64_t end_s = -1;
    const bool whole = said(mlt_bus_creds_check(paths[3], &end_s, &err), &err);
    assert_int_equal(end_s, whole ? 1785000000 : 0);
    ERR_clear_error(); /* words of OpenSSL that wait to be read */
    return whole;
}

static bool read_seed(void)
{
    char key[MLT_NKEY_TEXT_BYTES];
    const bool whole = mlt_nkey_public(user.seed, key) == MLT_OK;
    assert_true(!whole || strcmp(key, user.public_text) == 0);
    ERR_clear_error();
    return whole;
}

static bool take_names(void)
{
    struct mlt_bus bus = { .name = NULL };
    const bool whole = mlt_bus_names_take(&bus, &bus_options);
    assert_true(!whole || (strcmp(bus.creds_file, paths[3]) == 0 && bus.tls));
    mlt_bus_names_drop(&bus);
    return whole;
}

/* nats.c 3.10.1 leaves its list of servers where there is no memory for the first of them. Nobody
 * listens there: what is told is the configuration alone. Not with files of TLS: where there is no
 * memory for the lock of its context, nats.c 3.10.1 uses that lock. */
static void test_what_is_known_of_nats(void **state)
{
    (void)state;
    exhaust_file(check_creds); /* OpenSSL does without some of what it asks for */
    exhaust_foreign(read_seed);
    bus_options = (struct mlt_bus_options){ .kind = MLT_BUS_CONTROL,
                                            .url = "nats://127.0.0.1:1, nats://127.0.0.1:2",
                                            .name = "test",
                                            .inbox_prefix = "_INBOX.test",
                                            .user = "me",
                                            .password_file = paths[4] };
    exhaust_foreign(make_bus_options);
    bus_options.user = bus_options.password_file = NULL;
    bus_options.token_file = paths[4];
    exhaust_foreign(make_bus_options);
    bus_options.token_file = NULL;
    bus_options.creds_file = paths[3];
    exhaust_foreign(make_bus_options);
    bus_options.creds_file = NULL;
    bus_options.nkey_seed_file = paths[2];
    exhaust_foreign(make_bus_options);
    bus_options.tls_ca_file = bus_options.tls_cert_file = paths[0];
    bus_options.tls_key_file = paths[1];
    bus_options.creds_file = paths[3];
    exhaust(take_names);
}

/* ---- the loop ---- */

static void on_timer(void *ctx)
{
    (void)ctx;
}

static void on_page(void *ctx, const char *path, const char *query, struct mlt_http_answer *answer)
{
    (void)ctx, (void)path, (void)query, (void)answer;
}

static bool make_loop(void)
{
    struct mlt_loop *loop = NULL;
    struct mlt_timer *timer = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    uint16_t port = 0;
    bool whole = said(mlt_loop_create(&loop, &err), &err);
    assert_true(whole == (loop != NULL));
    whole = whole && mlt_timer_create(loop, on_timer, NULL, &timer) == MLT_OK;
    whole =
        whole && said(mlt_loop_listen_http(loop, "127.0.0.1", 0, on_page, NULL, &port, &err), &err);
    assert_true(!whole || port > 0);
    mlt_timer_destroy(timer);
    mlt_loop_destroy(loop);
    return whole;
}

static void test_the_loop_and_its_pages(void **state)
{
    (void)state;
    exhaust_foreign(make_loop);
}

/* ---- files ---- */

static bool open_packed(void)
{
    struct mlt_recording recording;
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    size_t records = 0;
    if (!said(mlt_recording_open(&recording, paths[5], &err), &err)) {
        return false;
    }
    while (mlt_recording_next(&recording, &record, &err) != MLT_E_EMPTY) {
        records++;
    }
    assert_true(records > 0 && recording.bytes.len > 100);
    mlt_recording_close(&recording);
    return true;
}

static void test_a_packed_recording(void **state)
{
    (void)state;
    exhaust_file(open_packed);
}

/* ---- services ---- */

static bool make_decoder(void)
{
    struct mlt_binance_decoder *decoder = NULL;
    const bool whole = mlt_binance_decoder_create(&decoder) == MLT_OK;
    assert_true(whole == (decoder != NULL));
    mlt_binance_decoder_destroy(decoder);
    return whole;
}

static bool on_reject(void *ctx, const char *subject, struct mlt_slice payload)
{
    (void)ctx, (void)subject, (void)payload;
    return true;
}

static bool make_router(void)
{
    const struct mlt_reject_ports reject = { on_reject, NULL, mlt_clock_system() };
    const struct mlt_router_ports ports = { .clock = mlt_clock_system() };
    struct mlt_catalogue *catalogue = NULL;
    struct mlt_rejector *rejector = NULL;
    struct mlt_router *router = NULL;
    const bool whole =
        mlt_catalogue_create(table, 1, &catalogue) == MLT_OK &&
        mlt_rejector_create(&reject, &rejector) == MLT_OK &&
        mlt_router_create(table, catalogue, rejector, 4, "binance", &ports, &router) == MLT_OK;
    mlt_router_destroy(router);
    mlt_rejector_destroy(rejector);
    mlt_catalogue_destroy(catalogue);
    return whole;
}

static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx, (void)partition, (void)event;
}

static bool make_conductor(void)
{
    const struct mlt_conductor_ports ports = { .emit = on_emit, .clock = mlt_clock_system() };
    const struct mlt_conductor_books books = { .published_levels = 20,
                                               .book_levels = 64,
                                               .first_depth = 5,
                                               .snapshot_depth = 20,
                                               .request_timeout_ns = MLT_NS_PER_S,
                                               .backoff_base_ns = MLT_NS_PER_S,
                                               .backoff_max_ns = MLT_NS_PER_S };
    struct mlt_conductor_core *core = NULL;
    bool whole = mlt_conductor_core_create(4, &ports, &core) == MLT_OK;
    assert_true(whole == (core != NULL));
    whole = whole && mlt_conductor_core_books(core, &books) == MLT_OK;
    mlt_conductor_core_destroy(core);
    return whole;
}

static bool make_quota(void)
{
    struct mlt_quota *quota = NULL;
    const bool whole = mlt_quota_create(&quota) == MLT_OK;
    assert_true(whole == (quota != NULL));
    mlt_quota_destroy(quota);
    return whole;
}

static void test_cores_of_services(void **state)
{
    (void)state;
    exhaust(make_decoder);
    exhaust(make_router);
    exhaust(make_conductor);
    exhaust(make_quota);
}

/* ---- files of the test ---- */

static void write_file(const char *path, const char *text)
{
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

static int begin(void **state)
{
    static const char *const names[] = { "cert.pem", "key.pem", "seed", "creds", "secret" };
    (void)state;
    char path[512], jwt[MLT_JWT_BYTES_MAX];
    struct mlt_nats_key account;
    struct mlt_error err = MLT_ERROR_INIT;
    const char *source = getenv("MELTICA_SOURCE_DIR");
    assert_non_null(source);
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
    }
    (void)snprintf(paths[5], sizeof paths[5], "%s/tests/fuzz/corpus/recording/packed", source);
    mlt_nats_key_make(&account, 'A');
    mlt_nats_key_make(&user, 'U');
    mlt_nats_user_jwt(&account, &user, 1785000000, jwt);
    mlt_nats_write_creds(paths[3], jwt, &user);
    write_file(paths[2], user.seed);
    write_file(paths[4], "s3cret\n");
    mlt_nats_key_fini(&account);
    (void)snprintf(path, sizeof path, "%s/services/dispatcher/dispatch-all.json", source);
    assert_int_equal(mlt_table_load(path, &table, &err), MLT_OK);
    /* Its threads and tables are for good, and so is a thread's place for errors. */
    natsOptions *options = NULL;
    assert_int_equal(nats_Open(-1), NATS_OK);
    assert_int_equal(natsOptions_Create(&options), NATS_OK);
    assert_int_not_equal(natsOptions_SetTimeout(options, -1), NATS_OK);
    natsOptions_Destroy(options);
    ERR_raise(ERR_LIB_USER, 1);
    ERR_clear_error();
    return 0;
}

static int end(void **state)
{
    (void)state;
    nats_Close();
    mlt_nats_key_fini(&user);
    mlt_table_destroy(table);
    for (size_t i = 0; i < 5; i++) {
        (void)unlink(paths[i]);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_arenas_and_maps), cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_what_is_known_of_nats),   cmocka_unit_test(test_a_packed_recording),
        cmocka_unit_test(test_the_loop_and_its_pages),  cmocka_unit_test(test_cores_of_services),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

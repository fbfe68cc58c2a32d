/* A JetStream whose disk is full. Skipped where no small disk can be mounted. */
#include "mlt_disk.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"

#define SMALL_DISK "size=3m"
#define LARGE_DISK "size=48m"

/* Appends until one is refused; how many were acknowledged. */
static uint64_t append_until_refused(struct mlt_store *to, uint64_t limit, enum mlt_status *status)
{
    static char payload[32768];
    uint64_t count = 0;
    memset(payload, 'x', sizeof payload);
    *status = MLT_OK;
    while (count < limit && *status == MLT_OK) {
        struct mlt_error err = MLT_ERROR_INIT;
        uint64_t sequence = 0;
        bool duplicate = false;
        (void)snprintf(payload, 24, "%llu ", (unsigned long long)(count + 1));
        const int64_t begin = mlt_clock_mono_ns();
        *status = mlt_stream_append(to, "disk.a", NULL, NULL, mlt_slice_of(payload, sizeof payload),
                                    &sequence, &duplicate, &err);
        assert_true(mlt_clock_mono_ns() - begin < 5 * MLT_NS_PER_S);
        count += *status == MLT_OK;
        if (*status != MLT_OK) {
            assert_non_null(strstr(err.text, "give it more disk"));
        }
    }
    return count;
}

/* Every message that was acknowledged, in its place. */
static void assert_kept(struct mlt_store *of, uint64_t count)
{
    struct mlt_buf payload;
    mlt_buf_init(&payload, 65536);
    for (uint64_t i = 1; i <= count; i++) {
        struct mlt_error err = MLT_ERROR_INIT;
        uint64_t sequence = i;
        mlt_buf_clear(&payload);
        if (mlt_stream_next(of, "DISK", "disk.>", i, &payload, &sequence, &err) != MLT_OK) {
            fail_msg("message %llu: %s", (unsigned long long)i, err.text);
        }
        assert_int_equal(sequence, i);
        assert_int_equal(strtoull((const char *)payload.data, NULL, 10), i);
    }
    mlt_buf_fini(&payload);
}

/* The disk of JetStream is full: appends are refused, soon and with a word; what was acknowledged
 * is there when the server comes back with room, and appends go on. */
static void test_a_full_disk_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    char dir[] = "/tmp/meltica-test-disk.XXXXXX", config[256];
    assert_non_null(mkdtemp(dir));
    mlt_disk_mount(dir, SMALL_DISK);
    const struct mlt_stream_spec spec = { .name = "DISK", .subjects = { "disk.*", NULL } };
    struct server small;
    struct mlt_store *s = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(config, sizeof config, "jetstream { store_dir: \"%s\", sync_interval: always }",
                   dir);
    server_start(&small, false, config);
    struct mlt_bus *b = server_connect(&small, NULL);
    assert_int_equal(mlt_store_create(b, true, &s, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(s, &spec, &err), MLT_OK);
    enum mlt_status status = MLT_OK;
    const uint64_t acknowledged = append_until_refused(s, 1000, &status);
    assert_true(acknowledged > 10 && acknowledged < 200);
    assert_int_equal(status, MLT_E_LIMIT);

    server_stop(&small);
    mlt_disk_resize(dir, LARGE_DISK);
    server_restart(&small);
    assert_int_equal(mlt_bus_wait_connected(b, 10 * MLT_NS_PER_S), MLT_OK);
    assert_kept(s, acknowledged);
    assert_int_equal(append_until_refused(s, 5, &status), 5);

    mlt_store_destroy(s);
    mlt_bus_destroy(b, 0);
    server_end(&small);
    mlt_disk_unmount(dir);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_disk_loses_nothing_that_was_acknowledged),
    };
    return mlt_disk_allowed() ? cmocka_run_group_tests(tests, NULL, NULL) : MLT_DISK_SKIPPED;
}

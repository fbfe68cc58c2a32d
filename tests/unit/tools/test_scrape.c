/* Reading /metrics, the simulator's status, and /proc. */
#include "mlt_test.h"

#include <unistd.h>

#include "scrape.h"

static const char body[] = "# HELP meltica_rejected_total Instances refused\n"
                           "# TYPE meltica_rejected_total counter\n"
                           "meltica_rejected_total{stage=\"dispatcher\",reason=\"parse\"} 12\n"
                           "meltica_rejected_total{stage=\"adapter\",reason=\"unmapped\"} 30\n"
                           "meltica_rejected_total_other{reason=\"parse\"} 1000\n"
                           "meltica_plain_total 7\n"
                           "meltica_odd{label=\"a}b\"} 4\n"
                           "meltica_seconds{stage=\"a\"} 0.25\n";

static void test_sums_take_exactly_the_named_series(void **state)
{
    (void)state;
    const struct mlt_slice text = mlt_slice_of_string(body);
    assert_int_equal(mlt_scrape_sum(text, "meltica_rejected_total", ""), 42);
    assert_int_equal(mlt_scrape_sum(text, "meltica_rejected_total", "reason=\"parse\""), 12);
    assert_int_equal(mlt_scrape_sum(text, "meltica_plain_total", ""), 7);
    assert_int_equal(mlt_scrape_sum(text, "meltica_odd", ""), 4);
    assert_int_equal(mlt_scrape_sum(text, "meltica_rejected", ""), 0);
    assert_int_equal(mlt_scrape_sum(text, "meltica_seconds", ""), 0); /* no integer */
    assert_int_equal(mlt_scrape_sum(MLT_SLICE_EMPTY, "meltica_plain_total", ""), 0);
}

static void test_labels_are_found_by_key(void **state)
{
    (void)state;
    const struct mlt_slice labels = MLT_SLICE_LITERAL("stage=\"adapter\",reason=\"parse\"");
    struct mlt_slice value;
    assert_true(mlt_scrape_label(labels, "reason", &value));
    assert_true(mlt_slice_equal_string(value, "parse"));
    assert_false(mlt_scrape_label(labels, "side", &value));
    assert_false(mlt_scrape_label(MLT_SLICE_LITERAL("reason=\"open"), "reason", &value));
}

static void test_members_of_json_are_read_as_integers(void **state)
{
    (void)state;
    const struct mlt_slice json =
        MLT_SLICE_LITERAL("{\"finished\": true,\"started\":false,\"frames_sent\":99573}");
    assert_int_equal(mlt_scrape_member(json, "finished"), 1);
    assert_int_equal(mlt_scrape_member(json, "started"), 0);
    assert_int_equal(mlt_scrape_member(json, "frames_sent"), 99573);
    assert_int_equal(mlt_scrape_member(json, "absent"), -1);
}

static void test_a_process_has_memory_and_a_gone_one_none(void **state)
{
    (void)state;
    assert_true(mlt_scrape_peak_resident_bytes(getpid()) > 100000);
    assert_int_equal(mlt_scrape_peak_resident_bytes(INT64_C(1) << 40), 0);
    assert_int_equal(mlt_scrape_cpu_ms(INT64_C(1) << 40), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_take_exactly_the_named_series),
        cmocka_unit_test(test_labels_are_found_by_key),
        cmocka_unit_test(test_members_of_json_are_read_as_integers),
        cmocka_unit_test(test_a_process_has_memory_and_a_gone_one_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

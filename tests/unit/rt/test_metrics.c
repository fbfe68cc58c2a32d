#include "mlt_test.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/check.h"
#include "meltica/rt/metrics.h"

#define US INT64_C(1000)
#define PAGE_BYTES_MAX (4u << 20)
#define NAMES_MAX 4096

static struct mlt_metrics *metrics;

static int make_metrics(void **state)
{
    (void)state;
    return mlt_metrics_create(&metrics) == MLT_OK ? 0 : -1;
}

static int drop_metrics(void **state)
{
    (void)state;
    mlt_metrics_destroy(metrics);
    metrics = NULL;
    return 0;
}

/* ---- a strict reader of exposition format 0.0.4 ---- */

static char page[PAGE_BYTES_MAX];

static void render(void)
{
    struct mlt_buf out;
    mlt_buf_init(&out, PAGE_BYTES_MAX - 1);
    assert_int_equal(mlt_metrics_render(metrics, &out), MLT_OK);
    assert_true(out.len > 0 && out.data[out.len - 1] == '\n');
    memcpy(page, out.data, out.len);
    page[out.len] = '\0';
    assert_int_equal(strlen(page), out.len);
    mlt_buf_fini(&out);
}

static size_t name_length(const char *text)
{
    size_t n = 0;
    while ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') ||
           text[n] == '_' || text[n] == ':' || (n > 0 && text[n] >= '0' && text[n] <= '9')) {
        n++;
    }
    return n;
}

/* Behind {a="b",c="d"}; NULL when it is none. */
static const char *skip_labels(const char *text)
{
    if (*text != '{') {
        return text;
    }
    do {
        text++;
        const size_t n = name_length(text);
        if (n == 0 || text[n] != '=' || text[n + 1] != '"') {
            return NULL;
        }
        for (text += n + 2; *text != '"'; text++) {
            if (*text == '\\') {
                text++;
            }
            if (*text == '\0') {
                return NULL;
            }
        }
        text++;
    } while (*text == ',');
    return *text == '}' ? text + 1 : NULL;
}

static bool number(const char *text)
{
    const char *p = text + (*text == '-' ? 1 : 0);
    const size_t whole = strspn(p, "0123456789");
    p += whole;
    if (*p == '.') {
        const size_t decimals = strspn(p + 1, "0123456789");
        p = decimals > 0 ? p + 1 + decimals : p;
    }
    return whole > 0 && *p == '\0';
}

struct family {
    char name[128], type[16];
    size_t samples;
};
static struct family families[NAMES_MAX];
static size_t family_count;

static bool belongs(const char *sample, size_t len, const struct family *family)
{
    static const char *const suffixes[] = { "_bucket", "_sum", "_count" };
    const size_t name_len = strlen(family->name);
    if (strcmp(family->type, "histogram") != 0) {
        return len == name_len && memcmp(sample, family->name, len) == 0;
    }
    for (size_t i = 0; i < 3; i++) {
        if (len == name_len + strlen(suffixes[i]) && memcmp(sample, family->name, name_len) == 0 &&
            memcmp(sample + name_len, suffixes[i], len - name_len) == 0) {
            return true;
        }
    }
    return false;
}

/* HELP opens a family, TYPE follows at once, samples belong to the open family, no name comes
 * twice. */
static void parse_line(const char *line, bool *help_open)
{
    if (strncmp(line, "# HELP ", 7) == 0) {
        const size_t n = name_length(line + 7);
        assert_true(n > 0 && line[7 + n] == ' ');
        assert_false(*help_open);
        struct family *f = &families[family_count++];
        (void)snprintf(f->name, sizeof f->name, "%.*s", (int)n, line + 7);
        f->samples = 0;
        for (size_t i = 0; i + 1 < family_count; i++) {
            assert_string_not_equal(families[i].name, f->name);
        }
        *help_open = true;
        return;
    }
    struct family *f = &families[family_count - 1];
    assert_true(family_count > 0);
    if (strncmp(line, "# TYPE ", 7) == 0) {
        const size_t n = name_length(line + 7);
        assert_true(*help_open);
        assert_memory_equal(line + 7, f->name, n);
        (void)snprintf(f->type, sizeof f->type, "%s", line + 7 + n + 1);
        assert_true(strcmp(f->type, "counter") == 0 || strcmp(f->type, "gauge") == 0 ||
                    strcmp(f->type, "histogram") == 0);
        *help_open = false;
        return;
    }
    assert_false(*help_open);
    const size_t n = name_length(line);
    const char *rest = skip_labels(line + n);
    if (n == 0 || rest == NULL || *rest != ' ' || !number(rest + 1) || !belongs(line, n, f)) {
        fail_msg("not a sample of %s: %s", f->name, line);
    }
    f->samples++;
}

static void parse_page(void)
{
    static char copy[PAGE_BYTES_MAX];
    bool help_open = false;
    family_count = 0;
    memcpy(copy, page, strlen(page) + 1);
    for (char *line = copy; *line != '\0';) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        parse_line(line, &help_open);
        line = end + 1;
    }
}

static void expect_line(const char *line)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(page, whole) == NULL) {
        fail_msg("no line \"%s\" in\n%s", line, page);
    }
}

static const struct family *family_named(const char *name)
{
    for (size_t i = 0; i < family_count; i++) {
        if (strcmp(families[i].name, name) == 0) {
            return &families[i];
        }
    }
    fail_msg("no family %s", name);
    return NULL;
}

/* ---- tests ---- */

static void test_series_of_one_name_stand_together_under_one_head(void **state)
{
    (void)state;
    mlt_counter_add(mlt_metrics_counter(metrics, "meltica_x_total", "What x is", "reason=\"a\""),
                    1);
    mlt_gauge_set(mlt_metrics_gauge(metrics, "meltica_y_bytes", "Y", NULL), -5);
    mlt_counter_add(mlt_metrics_counter(metrics, "meltica_x_total", "Another help", "reason=\"b\""),
                    2);
    mlt_counter_add(mlt_metrics_counter(metrics, "meltica_x_total", NULL, ""), 3);
    render();
    parse_page();
    assert_non_null(strstr(page,
                           "# HELP meltica_x_total What x is\n# TYPE meltica_x_total counter\n"
                           "meltica_x_total{reason=\"a\"} 1\n"
                           "meltica_x_total{reason=\"b\"} 2\nmeltica_x_total 3\n"));
    assert_null(strstr(page, "Another help"));
    expect_line("meltica_y_bytes -5");
    assert_int_equal(family_named("meltica_x_total")->samples, 3);
}

static void test_same_name_and_labels_are_the_same_object(void **state)
{
    (void)state;
    struct mlt_counter *a = mlt_metrics_counter(metrics, "a_total", "A", "x=\"1\"");
    assert_ptr_equal(a, mlt_metrics_counter(metrics, "a_total", "A", "x=\"1\""));
    assert_ptr_not_equal(a, mlt_metrics_counter(metrics, "a_total", "A", "x=\"2\""));
    assert_ptr_not_equal(a, mlt_metrics_counter(metrics, "a_total", "A", NULL));
    assert_ptr_equal(mlt_metrics_counter(metrics, "a_total", "A", NULL),
                     mlt_metrics_counter(metrics, "a_total", "A", ""));
}

static void test_help_is_escaped(void **state)
{
    (void)state;
    mlt_gauge_set(mlt_metrics_gauge(metrics, "g", "back\\slash, line\nend and \"quote\"", NULL), 1);
    render();
    parse_page();
    assert_non_null(
        strstr(page, "# HELP g back\\\\slash, line\\nend and \"quote\"\n# TYPE g gauge\n"));
}

static void test_a_gauge_that_is_withdrawn_is_not_there_until_it_is_set(void **state)
{
    (void)state;
    struct mlt_gauge *a = mlt_metrics_gauge(metrics, "g", "G", "x=\"a\"");
    struct mlt_gauge *b = mlt_metrics_gauge_seconds(metrics, "s_seconds", "S", NULL);
    mlt_gauge_set(mlt_metrics_gauge(metrics, "g", "G", "x=\"b\""), 7);
    mlt_gauge_set(a, 5);
    mlt_gauge_set(b, 5);
    mlt_gauge_withdraw(a);
    mlt_gauge_withdraw(b);
    render();
    parse_page();
    expect_line("g{x=\"b\"} 7");
    assert_int_equal(family_named("g")->samples, 1);
    assert_null(strstr(page, "s_seconds")); /* no head without a line */
    mlt_gauge_set(a, 0);
    mlt_gauge_set(b, 0);
    render();
    parse_page();
    expect_line("g{x=\"a\"} 0");
    expect_line("s_seconds 0.000000000");
}

static void test_counter_set_never_goes_down(void **state)
{
    (void)state;
    struct mlt_counter *c = mlt_metrics_counter(metrics, "c_total", "C", NULL);
    mlt_counter_set(c, 10);
    mlt_counter_set(c, 7);
    assert_int_equal(mlt_counter_get(c), 10);
    mlt_counter_set(c, UINT64_MAX);
    render();
    parse_page();
    expect_line("c_total 18446744073709551615");
    struct mlt_gauge *g = mlt_metrics_gauge(metrics, "g", "G", NULL);
    mlt_gauge_set(g, INT64_MIN);
    mlt_gauge_add(g, 1);
    assert_int_equal(mlt_gauge_get(g), INT64_MIN + 1);
}

static void test_histogram_buckets_are_inclusive_cumulative_and_the_sum_exact(void **state)
{
    (void)state;
    struct mlt_histogram *h = mlt_metrics_histogram(metrics, "h_seconds", "H", "stage=\"adapt\"");
    static const int64_t durations[] = {
        0,           1 * US,           1 * US + 1,           2500,
        1000 * 1000, 1000 * US * 1000, 1000 * 1000 * US + 1, 3600 * INT64_C(1000000000)
    };
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        mlt_histogram_record_ns(h, durations[i]);
    }
    mlt_histogram_record_ns(h, -1);
    mlt_histogram_record_ns(h, INT64_MIN);
    render();
    parse_page();
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"0.000001\"} 4"); /* 0, 1 us, two negative */
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"0.0000025\"} 6");
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"0.0005\"} 6");
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"0.001\"} 7");
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"0.5\"} 7");
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"1\"} 8");
    expect_line("h_seconds_bucket{stage=\"adapt\",le=\"+Inf\"} 10");
    expect_line("h_seconds_count{stage=\"adapt\"} 10");
    expect_line("h_seconds_sum{stage=\"adapt\"} 3602.001004502");
    expect_line("meltica_negative_durations_total 2");
    assert_int_equal(family_named("h_seconds")->samples, 22 + 1 + 2);
    mlt_histogram_record_ns(mlt_metrics_histogram(metrics, "bare_seconds", "B", NULL), 7);
    render();
    parse_page();
    expect_line("bare_seconds_bucket{le=\"+Inf\"} 1");
    expect_line("bare_seconds_sum 0.000000007");
}

static void test_each_bound_holds_exactly_its_own_duration(void **state)
{
    (void)state;
    struct mlt_histogram *h = mlt_metrics_histogram(metrics, "h_seconds", "H", NULL);
    int64_t decade = 1000;
    unsigned expected = 0;
    for (unsigned k = 0; k < 7; k++, decade *= 10) {
        const int64_t bounds[] = { decade, decade * 5 / 2, decade * 5 };
        for (unsigned i = 0; i < 3; i++) {
            char line[128];
            char le[32];
            (void)snprintf(le, sizeof le, "%" PRId64 ".%09" PRId64, bounds[i] / 1000000000,
                           bounds[i] % 1000000000);
            for (size_t n = strlen(le); strchr("0.", le[n - 1]) != NULL; n--) {
                const bool whole = le[n - 1] == '.';
                le[n - 1] = '\0';
                if (whole) {
                    break;
                }
            }
            mlt_histogram_record_ns(h, bounds[i]);
            render();
            expected++;
            (void)snprintf(line, sizeof line, "h_seconds_bucket{le=\"%s\"} %u", le, expected);
            expect_line(line);
        }
    }
    mlt_histogram_record_ns(h, decade);
    mlt_histogram_record_ns(h, decade + 1);
    render();
    expect_line("h_seconds_bucket{le=\"10\"} 22");
    expect_line("h_seconds_bucket{le=\"+Inf\"} 23");
}

static void test_times_are_written_in_seconds(void **state)
{
    (void)state;
    mlt_counter_add(mlt_metrics_counter_seconds(metrics, "c_seconds_total", "C", NULL), 1500000001);
    struct mlt_gauge *g = mlt_metrics_gauge_seconds(metrics, "g_seconds", "G", NULL);
    mlt_gauge_set(g, -250);
    render();
    parse_page();
    expect_line("c_seconds_total 1.500000001");
    expect_line("g_seconds -0.000000250");
    mlt_gauge_set(g, INT64_MIN);
    render();
    expect_line("g_seconds -9223372036.854775808");
    /* Of another kind than a plain one. */
    assert_ptr_not_equal(mlt_metrics_gauge(metrics, "g_seconds", "G", NULL), g);
}

static void test_a_raised_gauge_never_goes_down(void **state)
{
    (void)state;
    struct mlt_gauge *g = mlt_metrics_gauge(metrics, "g", "G", NULL);
    mlt_gauge_raise(g, 5);
    mlt_gauge_raise(g, 3);
    assert_int_equal(mlt_gauge_get(g), 5);
    mlt_gauge_raise(g, 6);
    assert_int_equal(mlt_gauge_get(g), 6);
}

static void test_too_many_series_share_one_and_are_counted(void **state)
{
    (void)state;
    char labels[32];
    struct mlt_counter *last = NULL;
    struct mlt_counter *previous = NULL;
    for (unsigned i = 0; i < MLT_METRICS_SERIES_MAX + 10; i++) {
        (void)snprintf(labels, sizeof labels, "i=\"%u\"", i);
        previous = last;
        last = mlt_metrics_counter(metrics, "many_total", "Many", labels);
        mlt_counter_add(last, 1);
    }
    assert_ptr_equal(last, previous);
    assert_int_equal(mlt_counter_get(last), 12); /* two series are the registry's own */
    render();
    parse_page();
    expect_line("meltica_metrics_overflow_total 12");
    assert_int_equal(family_named("many_total")->samples, MLT_METRICS_SERIES_MAX - 2);
    /* What exists is still found, and histograms and gauges are safe to use too. */
    assert_ptr_not_equal(mlt_metrics_counter(metrics, "many_total", "Many", "i=\"0\""), last);
    mlt_histogram_record_ns(mlt_metrics_histogram(metrics, "x_seconds", "X", NULL), -1);
    mlt_gauge_add(mlt_metrics_gauge(metrics, "x", "X", NULL), 1);
    render();
    parse_page();
    expect_line("meltica_metrics_overflow_total 14");
    expect_line("meltica_negative_durations_total 1");
}

static void test_bad_or_taken_names_are_refused(void **state)
{
    (void)state;
    char long_labels[2000];
    memset(long_labels, 'x', sizeof long_labels);
    memcpy(long_labels, "l=\"", 3);
    memcpy(long_labels + sizeof long_labels - 2, "\"", 2);
    mlt_counter_add(mlt_metrics_counter(metrics, "ok_total", "O", NULL), 1);
    mlt_gauge_set(mlt_metrics_gauge(metrics, "ok_total", "O", NULL), 77);
    mlt_counter_add(mlt_metrics_counter(metrics, "", "O", NULL), 77);
    mlt_counter_add(mlt_metrics_counter(metrics, "1x", "O", NULL), 77);
    mlt_counter_add(mlt_metrics_counter(metrics, "a-b", "O", NULL), 77);
    mlt_counter_add(mlt_metrics_counter(metrics, "long_total", "O", long_labels), 77);
    render();
    parse_page();
    assert_null(strstr(page, " 77"));
    expect_line("meltica_metrics_overflow_total 5");
    expect_line("ok_total 1");
}

static void test_page_that_does_not_fit_leaves_the_buffer_alone(void **state)
{
    (void)state;
    struct mlt_buf out;
    mlt_buf_init(&out, 64);
    assert_int_equal(mlt_buf_append_string(&out, "before"), MLT_OK);
    assert_int_equal(mlt_metrics_render(metrics, &out), MLT_E_TOO_BIG);
    assert_int_equal(out.len, 6);
    mlt_buf_fini(&out);
}

static void test_process_lines(void **state)
{
    (void)state;
    mlt_metrics_add_process(metrics);
    render();
    parse_page();
    const char *resident = strstr(page, "\nprocess_resident_memory_bytes ");
    assert_non_null(resident);
    const unsigned long bytes = strtoul(resident + 31, NULL, 10);
    assert_true(bytes > 500000 && bytes % (unsigned long)sysconf(_SC_PAGESIZE) == 0);
    const char *open_fds = strstr(page, "\nprocess_open_fds ");
    assert_non_null(open_fds);
    const unsigned long before = strtoul(open_fds + 18, NULL, 10);
    const int fd = dup(0);
    assert_true(fd >= 0);
    render();
    assert_int_equal(strtoul(strstr(page, "\nprocess_open_fds ") + 18, NULL, 10), before + 1);
    assert_int_equal(close(fd), 0);
    const char *start = strstr(page, "\nprocess_start_time_seconds ");
    assert_non_null(start);
    assert_true(strtoul(start + 28, NULL, 10) > 1700000000);
    assert_string_equal(family_named("process_cpu_seconds_total")->type, "counter");
}

#define THREADS 4
#define ROUNDS 20000

static void *updater(void *ctx)
{
    struct mlt_metrics *m = ctx;
    struct mlt_histogram *h = mlt_metrics_histogram(m, "t_seconds", "T", NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        mlt_counter_add(mlt_metrics_counter(m, "t_total", "T", NULL), 1);
        mlt_histogram_record_ns(h, 1000);
        mlt_gauge_add(mlt_metrics_gauge(m, "t", "T", NULL), i % 2 == 0 ? 1 : -1);
    }
    return NULL;
}

static void test_updates_of_many_threads_all_count(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, updater, metrics), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        render();
        parse_page();
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    render();
    expect_line("t_total 80000");
    expect_line("t 0");
    expect_line("t_seconds_count 80000");
    expect_line("t_seconds_sum 0.080000000");
}

#define METRICS_TEST(f) cmocka_unit_test_setup_teardown(f, make_metrics, drop_metrics)

int main(void)
{
    const struct CMUnitTest tests[] = {
        METRICS_TEST(test_series_of_one_name_stand_together_under_one_head),
        METRICS_TEST(test_same_name_and_labels_are_the_same_object),
        METRICS_TEST(test_help_is_escaped),
        METRICS_TEST(test_a_gauge_that_is_withdrawn_is_not_there_until_it_is_set),
        METRICS_TEST(test_counter_set_never_goes_down),
        METRICS_TEST(test_histogram_buckets_are_inclusive_cumulative_and_the_sum_exact),
        METRICS_TEST(test_each_bound_holds_exactly_its_own_duration),
        METRICS_TEST(test_times_are_written_in_seconds),
        METRICS_TEST(test_a_raised_gauge_never_goes_down),
        METRICS_TEST(test_too_many_series_share_one_and_are_counted),
        METRICS_TEST(test_bad_or_taken_names_are_refused),
        METRICS_TEST(test_page_that_does_not_fit_leaves_the_buffer_alone),
        METRICS_TEST(test_process_lines),
        METRICS_TEST(test_updates_of_many_threads_all_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

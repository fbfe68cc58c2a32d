#include "unit.h"

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yyjson.h>

#define LINES_MAX 256u

int64_t __wrap_mlt_clock_mono_ns(void);

static int64_t now_ns = MLT_NS_PER_S;

int64_t __wrap_mlt_clock_mono_ns(void)
{
    return now_ns;
}

/* What went to stderr since begin(), one parsed document a line. */
struct capture {
    FILE *file;
    int saved;
    unsigned count;
    size_t longest;
    yyjson_doc *lines[LINES_MAX];
};

static void begin(struct capture *c)
{
    memset(c, 0, sizeof *c);
    now_ns += 10 * MLT_NS_PER_S; /* a second of its own for each capture */
    c->file = tmpfile();
    assert_non_null(c->file);
    c->saved = dup(STDERR_FILENO);
    assert_true(c->saved >= 0);
    assert_true(dup2(fileno(c->file), STDERR_FILENO) >= 0);
}

/* Fails when a line is not a JSON object that ends with a newline. */
static void end(struct capture *c)
{
    assert_true(dup2(c->saved, STDERR_FILENO) >= 0);
    assert_int_equal(close(c->saved), 0);
    rewind(c->file);
    static char line[16384];
    while (fgets(line, sizeof line, c->file) != NULL) {
        const size_t len = strlen(line);
        assert_true(len > 0 && line[len - 1] == '\n');
        assert_true(c->count < LINES_MAX);
        c->longest = len > c->longest ? len : c->longest;
        yyjson_doc *doc = yyjson_read(line, len, 0);
        if (doc == NULL || !yyjson_is_obj(yyjson_doc_get_root(doc))) {
            fail_msg("no JSON object: %s", line);
        }
        c->lines[c->count++] = doc;
    }
    assert_int_equal(fclose(c->file), 0);
}

static void release(struct capture *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        yyjson_doc_free(c->lines[i]);
    }
}

static yyjson_val *member(const struct capture *c, unsigned i, const char *key)
{
    assert_true(i < c->count);
    yyjson_val *value = yyjson_obj_get(yyjson_doc_get_root(c->lines[i]), key);
    assert_non_null(value);
    return value;
}

static void assert_member(const struct capture *c, unsigned i, const char *key,
                          const char *expected)
{
    assert_string_equal(yyjson_get_str(member(c, i, key)), expected);
}

static void test_log_line_has_all_members_with_their_types(void **state)
{
    (void)state;
    mlt_log_init("adapter", "pod-\"1\"", MLT_LOG_INFO);
    struct capture c;
    begin(&c);
    const char *absent = NULL;
    mlt_log(MLT_LOG_WARN, "ws_connected", "line \"is\" up\n", MLT_S("url", "wss://x/\x80"),
            MLT_I("min", INT64_MIN), MLT_U("max", UINT64_MAX), MLT_B("yes", true),
            MLT_B("no", false), MLT_S("none", absent), MLT_SL("bytes", MLT_SLICE_LITERAL("a\0b")));
    end(&c);
    assert_int_equal(c.count, 1);
    assert_member(&c, 0, "level", "warn");
    assert_member(&c, 0, "service", "adapter");
    assert_member(&c, 0, "instance", "pod-\"1\"");
    assert_member(&c, 0, "event", "ws_connected");
    assert_member(&c, 0, "text", "line \"is\" up\n");
    assert_member(&c, 0, "url", "wss://x/\xef\xbf\xbd");
    assert_true(yyjson_get_sint(member(&c, 0, "min")) == INT64_MIN);
    assert_true(yyjson_get_uint(member(&c, 0, "max")) == UINT64_MAX);
    assert_true(yyjson_is_true(member(&c, 0, "yes")));
    assert_true(yyjson_is_false(member(&c, 0, "no")));
    assert_true(yyjson_is_null(member(&c, 0, "none")));
    assert_int_equal(yyjson_get_len(member(&c, 0, "bytes")), 3);
    const char *ts = yyjson_get_str(member(&c, 0, "ts"));
    assert_int_equal(strlen(ts), strlen("2026-01-02T03:04:05.678901Z"));
    assert_true(ts[4] == '-' && ts[10] == 'T' && ts[19] == '.' && ts[26] == 'Z');
    release(&c);
}

static void test_log_below_the_level_writes_nothing(void **state)
{
    (void)state;
    mlt_log_init("s", "i", MLT_LOG_WARN);
    struct capture c;
    begin(&c);
    mlt_log(MLT_LOG_INFO, "quiet", "", MLT_I("a", 1));
    mlt_log_write(MLT_LOG_DEBUG, "quiet", "", NULL, 0);
    mlt_log_write((enum mlt_log_level)77, "quiet", "", NULL, 0);
    mlt_log_write(MLT_LOG_ERROR, "loud", "", NULL, 0);
    mlt_log_set_level(MLT_LOG_DEBUG);
    mlt_log_write(MLT_LOG_DEBUG, "now_heard", "", NULL, 0);
    end(&c);
    assert_int_equal(c.count, 2);
    assert_member(&c, 0, "event", "loud");
    assert_member(&c, 1, "event", "now_heard");
    release(&c);
}

static void test_log_long_lines_are_cut_and_stay_json(void **state)
{
    (void)state;
    mlt_log_init("s", "i", MLT_LOG_INFO);
    const unsigned char fills[] = { 'x', '"', 0x01, 0xff };
    static char big[20000];
    struct capture c;
    begin(&c);
    for (size_t i = 0; i < ARRAY_COUNT(fills); i++) {
        memset(big, fills[i], sizeof big - 1);
        mlt_log(MLT_LOG_INFO, "long_text", big, MLT_I("a", 1));
        mlt_log(MLT_LOG_INFO, "long_field", "t", MLT_S("big", big), MLT_I("after", 1));
    }
    end(&c);
    assert_int_equal(c.count, 2 * ARRAY_COUNT(fills));
    assert_in_range(c.longest, 4096, 8192);
    for (unsigned i = 0; i < c.count; i++) {
        assert_true(yyjson_is_true(member(&c, i, "cut")));
        assert_true(yyjson_get_len(member(&c, i, i % 2 == 0 ? "text" : "big")) > 500);
    }
    release(&c);
}

static void test_log_repeats_are_held_back_counted_and_reported_once(void **state)
{
    (void)state;
    mlt_log_init("s", "i", MLT_LOG_INFO);
    struct capture c;
    begin(&c);
    for (int i = 0; i < 50; i++) { /* taking turns does not get around the limit */
        mlt_log_write(MLT_LOG_WARN, "flood_a", "", NULL, 0);
        mlt_log_write(MLT_LOG_WARN, "flood_b", "", NULL, 0);
    }
    mlt_log_write(MLT_LOG_INFO, "flood_a", "another level has its own count", NULL, 0);
    now_ns += MLT_NS_PER_S;
    mlt_log_write(MLT_LOG_INFO, "calm", "", NULL, 0);
    mlt_log_write(MLT_LOG_WARN, "flood_a", "", NULL, 0);
    now_ns += MLT_NS_PER_S;
    mlt_log_write(MLT_LOG_INFO, "calm", "", NULL, 0);
    end(&c);
    unsigned a = 0, reports = 0;
    for (unsigned i = 0; i < c.count; i++) {
        const char *event = yyjson_get_str(member(&c, i, "event"));
        a += strcmp(event, "flood_a") == 0;
        if (strcmp(event, "log_suppressed") == 0) {
            assert_memory_equal(yyjson_get_str(member(&c, i, "of")), "flood_", 6);
            assert_member(&c, i, "level", "warn");
            assert_int_equal(yyjson_get_uint(member(&c, i, "suppressed")), 30);
            reports++;
        }
    }
    assert_int_equal(a, 20 + 1 + 1);
    assert_int_equal(reports, 2);
    assert_int_equal(c.count, 40 + 1 + 2 + 2 + 1);
    release(&c);
}

static void test_log_more_events_than_slots_are_still_written(void **state)
{
    (void)state;
    mlt_log_init("s", "i", MLT_LOG_INFO);
    struct capture c;
    begin(&c);
    for (int i = 0; i < 100; i++) {
        char event[32];
        assert_true(snprintf(event, sizeof event, "event_%d", i) > 0);
        mlt_log_write(MLT_LOG_INFO, event, "", NULL, 0);
    }
    end(&c);
    assert_int_equal(c.count, 100);
    release(&c);
}

static void test_log_names_are_cut_and_levels_parsed(void **state)
{
    (void)state;
    char name[200];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    mlt_log_init(name, NULL, MLT_LOG_INFO);
    struct capture c;
    begin(&c);
    mlt_log_write(MLT_LOG_INFO, "e", NULL, NULL, 0);
    end(&c);
    assert_int_equal(yyjson_get_len(member(&c, 0, "service")), 63);
    assert_member(&c, 0, "instance", "");
    release(&c);
    enum mlt_log_level level = MLT_LOG_DEBUG;
    assert_int_equal(mlt_log_parse_level("error", &level), MLT_OK);
    assert_int_equal(level, MLT_LOG_ERROR);
    assert_int_equal(mlt_log_parse_level("ERROR", &level), MLT_E_PARSE);
    assert_int_equal(mlt_log_parse_level("", &level), MLT_E_PARSE);
    assert_int_equal(level, MLT_LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_line_has_all_members_with_their_types),
        cmocka_unit_test(test_log_below_the_level_writes_nothing),
        cmocka_unit_test(test_log_long_lines_are_cut_and_stay_json),
        cmocka_unit_test(test_log_repeats_are_held_back_counted_and_reported_once),
        cmocka_unit_test(test_log_more_events_than_slots_are_still_written),
        cmocka_unit_test(test_log_names_are_cut_and_levels_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

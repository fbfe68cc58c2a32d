#include "mlt_test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "policy_file.h"

#define ROLE                                                                                       \
    "{\"verbs\":[],\"types\":[],\"instruments\":[],\"subscriptions\":%d,\"streams\":0,"            \
    "\"wildcard_matches\":0}"

static char folder[] = "/tmp/meltica-policy.XXXXXX", path[64], other[64];
static int said[2]; /* what the log says: the event that a file was judged */

static void write_text(const char *to, const char *text)
{
    FILE *file = fopen(to, "w");
    if (file == NULL) {
        fail_msg("%s cannot be written", to);
        return;
    }
    assert_true(fprintf(file, "%s", text) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_policy(const char *to, int subscriptions)
{
    char text[400];
    (void)snprintf(text, sizeof text,
                   "{\"version\":1,\"roles\":{\"r\":" ROLE "},\"principals\":{},"
                   "\"default_role\":\"r\"}",
                   subscriptions);
    write_text(to, text);
}

/* Waits for a line of the log that names the event. */
static void await(const char *event)
{
    static char heard[65536];
    static size_t len;
    const int64_t until_ns = mlt_clock_mono_ns() + 20 * MLT_NS_PER_S;
    char *at;
    heard[len] = '\0';
    while ((at = strstr(heard, event)) == NULL) {
        struct pollfd from = { .fd = said[0], .events = POLLIN };
        const int64_t left_ns = until_ns - mlt_clock_mono_ns();
        assert_true(left_ns > 0 && poll(&from, 1, (int)(left_ns / MLT_NS_PER_MS)) == 1);
        const ssize_t got = read(said[0], heard + len, sizeof heard - len - 1);
        assert_true(got > 0);
        len += (size_t)got;
        heard[len] = '\0';
    }
    const size_t used = (size_t)(at - heard) + strlen(event);
    memmove(heard, heard + used, len - used);
    len -= used;
}

static int64_t in_force(struct mlt_policy_file *file)
{
    const struct mlt_policy *policy = NULL;
    struct mlt_policy_held *held = mlt_policy_file_hold(file, &policy);
    const int64_t subscriptions = mlt_policy_role(policy, "x")->subscriptions;
    mlt_policy_file_release(file, held);
    return subscriptions;
}

static void test_a_changed_file_is_taken(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_policy_file *file = NULL;
    struct mlt_policy_file_stats stats;
    write_policy(path, 1);
    assert_int_equal(mlt_policy_file_create(path, &file, &err), MLT_OK);
    assert_int_equal(in_force(file), 1);
    const struct mlt_policy *first = NULL;
    struct mlt_policy_held *held = mlt_policy_file_hold(file, &first);

    write_policy(other, 2); /* renamed over it */
    assert_int_equal(rename(other, path), 0);
    await("policy_taken");
    assert_int_equal(in_force(file), 2);
    /* Who held the old one still has it. */
    assert_int_equal(mlt_policy_role(first, "x")->subscriptions, 1);
    mlt_policy_file_release(file, held);

    write_text(path, "{\"version\":1,\"rolls\":{}}");
    await("policy_refused");
    assert_int_equal(in_force(file), 2);
    write_policy(path, 3); /* written in place */
    await("policy_taken");
    assert_int_equal(in_force(file), 3);
    mlt_policy_file_get_stats(file, &stats);
    assert_int_equal(stats.taken, 3);
    assert_true(stats.refused >= 1);
    mlt_policy_file_destroy(file);
}

/* As a mounted ConfigMap: policy.json -> ..data/policy.json, and ..data is swapped. */
static void test_a_link_that_is_swapped_is_seen(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_policy_file *file = NULL;
    char link_path[96], next[96];
    write_policy(path, 4);
    write_policy(other, 5);
    (void)snprintf(link_path, sizeof link_path, "%s/link.json", folder);
    (void)snprintf(next, sizeof next, "%s/next.json", folder);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(mlt_policy_file_create(link_path, &file, &err), MLT_OK);
    assert_int_equal(in_force(file), 4);
    assert_int_equal(symlink(other, next), 0);
    assert_int_equal(rename(next, link_path), 0);
    await("policy_taken");
    assert_int_equal(in_force(file), 5);
    mlt_policy_file_destroy(file);
    assert_int_equal(unlink(link_path), 0);
}

static void test_without_a_policy_it_does_not_begin(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_policy_file *file = NULL;
    assert_int_equal(mlt_policy_file_create("/nowhere/p.json", &file, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "/nowhere/p.json"));
    write_text(path, "{}");
    assert_int_equal(mlt_policy_file_create(path, &file, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, path));
    assert_null(file);
}

static int begin(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || pipe(said) != 0 || dup2(said[1], STDERR_FILENO) < 0) {
        return -1;
    }
    mlt_log_init("test", "", MLT_LOG_INFO);
    (void)snprintf(path, sizeof path, "%s/policy.json", folder);
    (void)snprintf(other, sizeof other, "%s/other.json", folder);
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(other);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_changed_file_is_taken),
        cmocka_unit_test(test_a_link_that_is_swapped_is_seen),
        cmocka_unit_test(test_without_a_policy_it_does_not_begin),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

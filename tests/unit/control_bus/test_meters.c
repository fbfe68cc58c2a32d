/* Each code that docs/control.md names has a series of its own, so that none hides among others. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meters.h"

/* What collecting asks, which is not done here. */
void mlt_commands_get_stats(struct mlt_commands *commands, struct mlt_commands_stats *out)
{
    (void)commands;
    memset(out, 0, sizeof *out);
}

void mlt_workers_waiting(struct mlt_workers *workers, size_t *now, size_t *most)
{
    (void)workers;
    *now = *most = 0;
}

static uint64_t value(struct mlt_metrics *metrics, const char *code)
{
    char labels[32];
    (void)snprintf(labels, sizeof labels, "code=\"%s\"", code);
    return mlt_counter_get(
        mlt_metrics_counter(metrics, "meltica_control_rejected_total", "", labels));
}

static void test_a_code_that_is_documented_is_counted_by_itself(void **state)
{
    (void)state;
    char path[512], line[4096];
    unsigned codes = 0;
    struct mlt_metrics *metrics = NULL;
    struct mlt_control_meters meters;
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    mlt_control_meters_make(&meters, metrics);
    (void)snprintf(path, sizeof path, "%s/docs/control.md", getenv("MELTICA_SOURCE_DIR"));
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    while (fgets(line, sizeof line, from) != NULL) {
        int code = 0;
        char end = '\0', text[8];
        if (sscanf(line, "| %3d %c", &code, &end) != 2 || end != '|') {
            continue;
        }
        codes++;
        (void)snprintf(text, sizeof text, "%d", code);
        mlt_control_meters_answered(&meters, MLT_VERB_SUBSCRIBE, code, 1);
        if (value(metrics, text) != 1) {
            fail_msg("%d is among the others", code);
        }
    }
    assert_int_equal(fclose(from), 0);
    assert_true(codes >= 9);
    assert_int_equal(value(metrics, "other"), 0);
    mlt_control_meters_answered(&meters, MLT_VERB_SUBSCRIBE, 599, 1);
    assert_int_equal(value(metrics, "other"), 1);
    mlt_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_code_that_is_documented_is_counted_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The schemas in docs/schema say what is read: the same members for each verb, and an example that
 * both take. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "command.h"

static cJSON *schema(void)
{
    char path[512];
    const char *root = getenv("MELTICA_SOURCE_DIR");
    (void)snprintf(path, sizeof path, "%s/docs/schema/control.json", root != NULL ? root : ".");
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1u << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1u << 20) - 1, file) > 0);
    assert_int_equal(fclose(file), 0);
    cJSON *tree = cJSON_Parse(text);
    free(text);
    assert_non_null(tree);
    return tree;
}

/* Whether a request with this member alone is refused for having it. */
static bool is_member(enum mlt_verb verb, const char *name)
{
    char text[128];
    struct mlt_command command;
    struct mlt_control_refusal refusal = { 0 };
    (void)snprintf(text, sizeof text, "{\"%s\":null}", name);
    if (mlt_command_read(verb, mlt_slice_of_string(text), &command, &refusal) == MLT_OK) {
        mlt_command_fini(&command);
        return true;
    }
    return strstr(refusal.message, "is no member of") == NULL;
}

static bool is_required(const cJSON *of, const char *name)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(of, "required"))
    {
        if (strcmp(one->valuestring, name) == 0) {
            return true;
        }
    }
    return false;
}

static void test_each_verb_takes_the_members_of_its_schema(void **state)
{
    (void)state;
    static const char *const all[] = { "id",          "consumer", "subscription", "type",
                                       "instruments", "ttl_s",    "channel",      "filter",
                                       "throttle_ms", "offset",   "limit",        "other" };
    cJSON *tree = schema();
    const cJSON *defs = cJSON_GetObjectItemCaseSensitive(tree, "$defs");
    for (unsigned v = 0; v < MLT_VERB_COUNT; v++) {
        const cJSON *of = cJSON_GetObjectItemCaseSensitive(defs, mlt_verb_word((enum mlt_verb)v));
        const cJSON *properties = cJSON_GetObjectItemCaseSensitive(of, "properties");
        assert_non_null(properties);
        int found = 0;
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            const bool there = cJSON_GetObjectItemCaseSensitive(properties, all[i]) != NULL;
            assert_int_equal(is_member((enum mlt_verb)v, all[i]), there);
            found += there;
        }
        assert_int_equal(found, cJSON_GetArraySize(properties));
    }
    cJSON_Delete(tree);
}

static void test_what_the_schema_requires_is_missed(void **state)
{
    (void)state;
    cJSON *tree = schema();
    const cJSON *defs = cJSON_GetObjectItemCaseSensitive(tree, "$defs");
    for (unsigned v = 0; v < MLT_VERB_COUNT; v++) {
        const cJSON *of = cJSON_GetObjectItemCaseSensitive(defs, mlt_verb_word((enum mlt_verb)v));
        struct mlt_command command;
        struct mlt_control_refusal refusal = { 0 };
        if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(of, "required")) == 0) {
            assert_int_equal(
                mlt_command_read((enum mlt_verb)v, MLT_SLICE_LITERAL("{}"), &command, &refusal),
                MLT_OK);
            mlt_command_fini(&command);
            continue;
        }
        assert_int_equal(
            mlt_command_read((enum mlt_verb)v, MLT_SLICE_LITERAL("{}"), &command, &refusal),
            MLT_E_PROTOCOL);
        assert_true(is_required(of, refusal.field));
    }
    cJSON_Delete(tree);
}

static void test_types_and_codes_are_those_of_the_schema(void **state)
{
    (void)state;
    cJSON *tree = schema();
    const cJSON *defs = cJSON_GetObjectItemCaseSensitive(tree, "$defs");
    const cJSON *types =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(defs, "type"), "enum");
    int taken = 0;
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        char text[200];
        struct mlt_command command;
        struct mlt_control_refusal refusal = { 0 };
        (void)snprintf(text, sizeof text,
                       "{\"consumer\":\"a\",\"type\":\"%s\",\"instruments\":[\"A-B\"],"
                       "\"channel\":\"private\"}",
                       mlt_event_type_word(type));
        const bool takes = mlt_command_read(MLT_VERB_SUBSCRIBE, mlt_slice_of_string(text), &command,
                                            &refusal) == MLT_OK;
        if (takes) {
            mlt_command_fini(&command);
        }
        bool listed = false;
        const cJSON *one;
        cJSON_ArrayForEach(one, types)
        {
            listed = listed || strcmp(one->valuestring, mlt_event_type_word(type)) == 0;
        }
        assert_int_equal(takes, listed);
        taken += takes;
    }
    assert_int_equal(taken, cJSON_GetArraySize(types));
    cJSON_Delete(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_verb_takes_the_members_of_its_schema),
        cmocka_unit_test(test_what_the_schema_requires_is_missed),
        cmocka_unit_test(test_types_and_codes_are_those_of_the_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

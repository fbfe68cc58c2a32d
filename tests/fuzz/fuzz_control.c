/* Every answer of the Control Bus is JSON in UTF-8 with a status, whatever was asked and whatever
 * other services said. The first byte says what the rest is: r a request without parameters, 0 to 4
 * one of a command (subscribe, unsubscribe, update, renew, list), t the Dispatcher's Table, p an
 * Adapter's PlanStatus. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "fuzz.h"
#include "meltica/base/check.h"

#define ANSWER_BYTES_MAX (64u << 20)

static bool utf8(struct mlt_slice text)
{
    size_t i = 0;
    while (i < text.len) {
        const uint8_t head = text.data[i++];
        const unsigned more = head < 0x80 ? 0 : head < 0xe0 ? 1 : head < 0xf0 ? 2 : 3;
        if ((head >= 0x80 && head < 0xc2) || head > 0xf4 || text.len - i < more) {
            return false;
        }
        for (unsigned k = 0; k < more; k++) {
            if ((text.data[i++] & 0xc0u) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

/* Takes the answer apart and empties it. */
static void check(struct mlt_buf *answer, enum mlt_status status, const char *word)
{
    MLT_CHECK(status == MLT_OK && utf8(mlt_buf_view(answer)));
    cJSON *tree = cJSON_ParseWithLength((const char *)answer->data, answer->len);
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(tree, "status");
    MLT_CHECK(cJSON_IsObject(tree) && cJSON_IsString(said));
    MLT_CHECK(word == NULL || strcmp(said->valuestring, word) == 0);
    if (strcmp(said->valuestring, "REJECTED") == 0) {
        const cJSON *code = cJSON_GetObjectItemCaseSensitive(tree, "code");
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(tree, "message");
        MLT_CHECK(cJSON_IsNumber(code) && code->valuedouble >= 400 && code->valuedouble < 600);
        MLT_CHECK(cJSON_IsString(text) && text->valuestring[0] != '\0');
        MLT_CHECK(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(tree, "field")));
    }
    cJSON_Delete(tree);
    mlt_buf_clear(answer);
}

static void request(struct mlt_slice bytes, struct mlt_buf *answer)
{
    struct mlt_control_refusal refusal = { .code = 0 };
    const enum mlt_status status = mlt_control_check_empty(bytes, "status", &refusal);
    if (status != MLT_OK) {
        MLT_CHECK(status == MLT_E_PROTOCOL && refusal.code == 400);
        check(answer, mlt_control_refusal_json(&refusal, answer), "REJECTED");
    }
}

/* What is taken is whole, and its demand a sorted set; what is not is named. */
static void command(enum mlt_verb verb, struct mlt_slice bytes, struct mlt_buf *answer)
{
    struct mlt_control_refusal refusal = { .code = 0 };
    struct mlt_command c;
    if (mlt_command_read(verb, bytes, &c, &refusal) != MLT_OK) {
        MLT_CHECK(refusal.code == 400 || refusal.code == 501);
        check(answer, mlt_control_refusal_json(&refusal, answer), "REJECTED");
        return;
    }
    MLT_CHECK(verb == MLT_VERB_LIST || c.consumer[0] != '\0');
    MLT_CHECK(verb != MLT_VERB_SUBSCRIBE || (c.type != MLT_EVENT_NONE && c.demand_count > 0));
    for (size_t i = 1; i < c.demand_count; i++) {
        MLT_CHECK(strcmp(c.demand[i - 1], c.demand[i]) < 0);
    }
    char id[MLT_COMMAND_NAME_BYTES_MAX + 1];
    mlt_command_id("local", &c, id);
    const struct mlt_outcome outcome = { .command = &c,
                                         .principal = "local",
                                         .subscription = id,
                                         .status = "PENDING",
                                         .reason = "",
                                         .type = c.type,
                                         .instruments = c.demand,
                                         .instrument_count = c.demand_count,
                                         .lane = &c.lane };
    check(answer, mlt_outcome_json(&outcome, answer), "PENDING");
    mlt_command_fini(&c);
}

static void list(const Meltica__V1__Table *table, struct mlt_buf *answer)
{
    static const struct mlt_command all = { .verb = MLT_VERB_LIST, .limit = MLT_COMMAND_PAGE_MAX };
    check(answer, mlt_list_json(&all, "local", table, 0, answer), "OK");
}

static void say_status(const Meltica__V1__Table *table, const Meltica__V1__PlanStatus *adapter,
                       struct mlt_buf *answer)
{
    const struct mlt_control_adapter adapters[] = { { .status = adapter, .heard_ms = 12 } };
    const struct mlt_control_service services[] = {
        { .name = "meltica-adapter", .up = true, .id = "a", .version = "1" },
        { .name = "meltica-data-bus", .up = false },
    };
    const struct mlt_control_view view = {
        .version = "1",
        .instance = "i",
        .table = table,
        .dispatcher_heard_ms = -1,
        .adapters = adapters,
        .adapter_count = adapter != NULL ? 1 : 0,
        .services = services,
        .service_count = 2,
    };
    check(answer, mlt_control_status_json(&view, answer), "DEGRADED");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_buf answer;
    if (size == 0) {
        return 0;
    }
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    if (data[0] == 't') {
        Meltica__V1__Table *table = meltica__v1__table__unpack(NULL, size - 1, data + 1);
        if (table != NULL) {
            check(&answer, mlt_control_describe_json(table, &answer), "OK");
            say_status(table, NULL, &answer);
            list(table, &answer);
            meltica__v1__table__free_unpacked(table, NULL);
        }
    } else if (data[0] == 'p') {
        Meltica__V1__PlanStatus *status =
            meltica__v1__plan_status__unpack(NULL, size - 1, data + 1);
        if (status != NULL) {
            say_status(NULL, status, &answer);
            meltica__v1__plan_status__free_unpacked(status, NULL);
        }
    } else if (data[0] >= '0' && data[0] < '0' + (int)MLT_VERB_COUNT) {
        command((enum mlt_verb)(data[0] - '0'), mlt_slice_of(data + 1, size - 1), &answer);
    } else {
        request(mlt_slice_of(data + 1, size - 1), &answer);
    }
    mlt_buf_fini(&answer);
    return 0;
}

/*
 * Small messages that services ask and answer each other with, and claims of meltica-owners. The
 * first byte says what the rest is: c a Claim, a an ApplyRequest, d an ApplyReply, m a TableMark, t
 * a TableRequest to a Dispatcher, f a FetchReply, r a ResyncReply. What is read can be of somebody
 * of Meltica, and is the same when it is written and read again.
 */
#include <cjson/cJSON.h>

#include "dispatcher/plan.h"
#include "input.h"
#include "meltica/base/buf.h"
#include "meltica/base/unconst.h"
#include "meltica/bus/messages.h"
#include "meltica/v1/internal.pb-c.h"

/* Behind: its answer.h is of another service's. */
#include "control_bus/command.h"

#define BYTES_MAX (64u << 20)
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":"           \
    "{\"function\":\"historicalTrades\"}}],"                                                       \
    "\"subscriptions\":[{\"id\":\"f\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]}]}"

static bool text_fits(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static void claim(struct mlt_slice bytes)
{
    struct mlt_claim read, again;
    uint8_t once[MLT_CLAIM_BYTES_MAX];
    if (mlt_claim_read(bytes, &read) != MLT_OK) {
        return;
    }
    MLT_CHECK(read.boot != 0 && text_fits(read.instance, sizeof read.instance));
    const size_t len = mlt_claim_write(&read, once);
    MLT_CHECK(len <= sizeof once);
    MLT_CHECK(mlt_claim_read(mlt_slice_of(once, len), &again) == MLT_OK);
    MLT_CHECK(again.boot == read.boot && again.time == read.time &&
              strcmp(again.instance, read.instance) == 0);
}

static void apply_request(struct mlt_slice bytes)
{
    struct mlt_apply_request read, again;
    uint8_t packed[256];
    if (mlt_apply_request_read(bytes, &read) != MLT_OK) {
        return;
    }
    MLT_CHECK(read.subscription[0] != '\0');
    MLT_CHECK(text_fits(read.subscription, sizeof read.subscription));
    MLT_CHECK(text_fits(read.traceparent, sizeof read.traceparent));
    Meltica__V1__ApplyRequest m;
    meltica__v1__apply_request__init(&m);
    m.log_sequence = read.log_sequence;
    m.subscription = read.subscription;
    m.active = read.active;
    m.wait_ms = read.wait_ms;
    m.traceparent = read.traceparent;
    MLT_CHECK(meltica__v1__apply_request__get_packed_size(&m) <= sizeof packed);
    const size_t len = meltica__v1__apply_request__pack(&m, packed);
    MLT_CHECK(mlt_apply_request_read(mlt_slice_of(packed, len), &again) == MLT_OK);
    MLT_CHECK(again.log_sequence == read.log_sequence && again.wait_ms == read.wait_ms &&
              again.active == read.active);
    MLT_CHECK(strcmp(again.subscription, read.subscription) == 0 &&
              strcmp(again.traceparent, read.traceparent) == 0);
}

/* What a principal is answered and what is kept of it are JSON. */
static void apply_reply(struct mlt_slice bytes)
{
    static const struct mlt_command command = { .consumer = "c" };
    char *instruments[] = { mlt_unconst("A-B") };
    Meltica__V1__ApplyReply *reply = mlt_applied_read(bytes);
    if (reply == NULL) {
        return;
    }
    const bool known =
        strcmp(reply->outcome, "CONFIRMED") == 0 || strcmp(reply->outcome, "PENDING") == 0 ||
        strcmp(reply->outcome, "FAILED") == 0 || strcmp(reply->outcome, "SUPERSEDED") == 0;
    MLT_CHECK(known);
    const struct mlt_outcome outcome = { .command = &command,
                                         .principal = "p",
                                         .subscription = "s",
                                         .status = reply->outcome,
                                         .reason = reply->reason,
                                         .type = MLT_EVENT_TRADE,
                                         .instruments = instruments,
                                         .instrument_count = 1,
                                         .revision = reply->revision,
                                         .applied = reply };
    struct mlt_buf out;
    mlt_buf_init(&out, BYTES_MAX);
    MLT_CHECK(mlt_outcome_json(&outcome, &out) == MLT_OK);
    cJSON *tree = cJSON_ParseWithLength((const char *)out.data, out.len);
    const cJSON *native = cJSON_GetObjectItemCaseSensitive(tree, "native");
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(native, "problems");
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(tree, "status");
    MLT_CHECK(cJSON_IsString(said) && strcmp(said->valuestring, reply->outcome) == 0);
    MLT_CHECK((size_t)cJSON_GetArraySize(problems) == reply->n_problems);
    cJSON_Delete(tree);
    mlt_buf_clear(&out);
    MLT_CHECK(mlt_audit_json(&outcome, MLT_VERB_SUBSCRIBE, NULL, "i", 1, &out) == MLT_OK);
    tree = cJSON_ParseWithLength((const char *)out.data, out.len);
    MLT_CHECK(cJSON_IsObject(tree));
    cJSON_Delete(tree);
    mlt_buf_fini(&out);
    meltica__v1__apply_reply__free_unpacked(reply, NULL);
}

static void mark(struct mlt_slice bytes)
{
    struct mlt_table_mark read, again;
    uint8_t packed[32];
    if (mlt_table_mark_read(bytes, &read) != MLT_OK) {
        return;
    }
    Meltica__V1__TableMark m;
    meltica__v1__table_mark__init(&m);
    m.revision = read.revision;
    m.boot = read.boot;
    MLT_CHECK(read.boot != 0 && meltica__v1__table_mark__get_packed_size(&m) <= sizeof packed);
    const size_t len = meltica__v1__table_mark__pack(&m, packed);
    MLT_CHECK(mlt_table_mark_read(mlt_slice_of(packed, len), &again) == MLT_OK);
    MLT_CHECK(again.revision == read.revision && again.boot == read.boot);
}

/* Whoever asked reads the table, and as many matches as it asked for. */
static void table_request(struct mlt_slice bytes)
{
    static struct mlt_table *table;
    static struct mlt_catalogue *catalogue;
    static struct mlt_live none;
    struct mlt_error err = MLT_ERROR_INIT;
    Meltica__V1__TableRequest *request =
        meltica__v1__table_request__unpack(NULL, bytes.len, bytes.data);
    if (request == NULL) {
        return;
    }
    if (table == NULL) {
        MLT_CHECK(mlt_table_parse(mlt_slice_of_string(TABLE), &table, &err) == MLT_OK);
        MLT_CHECK(mlt_catalogue_create(table, 1, &catalogue) == MLT_OK);
        mlt_live_init(&none);
    }
    const struct mlt_plan_live live = { .live = &none,
                                        .log_read = true,
                                        .match_count = request->n_match,
                                        .match = request->match,
                                        .only = request->subscription[0] != '\0'
                                                    ? request->subscription
                                                    : NULL };
    struct mlt_buf out;
    mlt_buf_init(&out, BYTES_MAX);
    MLT_CHECK(mlt_plan_encode_table(table, catalogue, &live, &(struct mlt_plan_from){ 1, 0 }, true,
                                    &out) == MLT_OK);
    Meltica__V1__Table *read = meltica__v1__table__unpack(NULL, out.len, out.data);
    MLT_CHECK(read != NULL && read->n_matches == request->n_match);
    meltica__v1__table__free_unpacked(read, NULL);
    mlt_buf_fini(&out);
    meltica__v1__table_request__free_unpacked(request, NULL);
}

static void taken(enum mlt_status (*read)(struct mlt_slice, struct mlt_taken *),
                  struct mlt_slice bytes)
{
    struct mlt_taken first, again;
    uint8_t packed[128];
    if (read(bytes, &first) != MLT_OK) {
        return;
    }
    MLT_CHECK(text_fits(first.reason, sizeof first.reason));
    MLT_CHECK(!first.accepted || first.reason[0] == '\0');
    /* Both have the same fields. */
    Meltica__V1__FetchReply m;
    meltica__v1__fetch_reply__init(&m);
    m.accepted = first.accepted;
    m.reason = first.reason;
    MLT_CHECK(meltica__v1__fetch_reply__get_packed_size(&m) <= sizeof packed);
    const size_t len = meltica__v1__fetch_reply__pack(&m, packed);
    MLT_CHECK(read(mlt_slice_of(packed, len), &again) == MLT_OK);
    MLT_CHECK(again.accepted == first.accepted && strcmp(again.reason, first.reason) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    switch (take_byte(&in)) {
    case 'c':
        claim(in);
        break;
    case 'a':
        apply_request(in);
        break;
    case 'd':
        apply_reply(in);
        break;
    case 'm':
        mark(in);
        break;
    case 't':
        table_request(in);
        break;
    case 'f':
        taken(mlt_fetch_reply_read, in);
        break;
    default:
        taken(mlt_resync_reply_read, in);
        break;
    }
    return 0;
}

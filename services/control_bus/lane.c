/* Terms of private channels: channel, filter, throttle_ms (command.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "command.h"

static enum mlt_status read_channel(const cJSON *tree, bool terms, struct mlt_lane_terms *lane,
                                    struct mlt_control_refusal *refusal)
{
    const cJSON *channel = cJSON_GetObjectItemCaseSensitive(tree, "channel");
    const char *word = cJSON_GetStringValue(channel);
    lane->given = terms || channel != NULL;
    if (channel == NULL) {
        lane->private_lane = terms;
        return MLT_OK;
    }
    if (word == NULL || (strcmp(word, "shared") != 0 && strcmp(word, "private") != 0)) {
        return mlt_control_refuse(refusal, 400, "channel",
                                  "\"channel\" must be \"shared\" or \"private\"");
    }
    lane->private_lane = strcmp(word, "private") == 0;
    if (terms && !lane->private_lane) {
        return mlt_control_refuse(refusal, 400, "channel",
                                  "a filter or a throttle is of a private channel: everybody reads "
                                  "the shared one. Say \"channel\":\"private\", or leave it out");
    }
    return MLT_OK;
}

static enum mlt_status read_throttle(const cJSON *tree, struct mlt_lane_terms *lane,
                                     struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, "throttle_ms");
    if (member == NULL) {
        return MLT_OK;
    }
    const double value = cJSON_IsNumber(member) ? member->valuedouble : -1;
    if (!(value >= 1 && value <= MLT_COMMAND_THROTTLE_MS_MAX) || value != (double)(int64_t)value) {
        return mlt_control_refuse(refusal, 400, "throttle_ms",
                                  "\"throttle_ms\" must be an integer from 1 to %d",
                                  MLT_COMMAND_THROTTLE_MS_MAX);
    }
    lane->throttle_ms = (int64_t)value;
    return MLT_OK;
}

static bool copy_text(const cJSON *tree, const char *name, char *out, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tree, name));
    if (text == NULL || text[0] == '\0' || strlen(text) >= size) {
        return false;
    }
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static enum mlt_status read_comparison(const cJSON *item, struct mlt_lane_terms *lane,
                                       struct mlt_control_refusal *refusal)
{
    static const char *const names[] = { "field", "op", "value" };
    struct mlt_comparison *to = &lane->filter[lane->filter_count];
    char field[MLT_CONTROL_FIELD_BYTES_MAX + 1];
    (void)snprintf(field, sizeof field, "filter[%zu]", lane->filter_count);
    bool right = cJSON_IsObject(item) && cJSON_GetArraySize(item) == 3;
    if (right && cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(item, "value"))) {
        return mlt_control_refuse(
            refusal, 400, field,
            "\"value\" is a number: write it in quotes, so that it stays exact");
    }
    right = right && copy_text(item, names[0], to->field, sizeof to->field) &&
            copy_text(item, names[1], to->op, sizeof to->op) &&
            copy_text(item, names[2], to->value, sizeof to->value);
    if (!right) {
        return mlt_control_refuse(
            refusal, 400, field,
            "must be {\"field\":\"...\",\"op\":\"...\",\"value\":\"...\"}, all "
            "strings, a value of at most %u bytes",
            MLT_FILTER_TEXT_BYTES_MAX);
    }
    lane->filter_count++;
    return MLT_OK;
}

static int compare(const void *a, const void *b)
{
    const struct mlt_comparison *x = a, *y = b;
    const int field = strcmp(x->field, y->field);
    const int op = field != 0 ? field : strcmp(x->op, y->op);
    return op != 0 ? op : strcmp(x->value, y->value);
}

/* Sorted, each once: the same filter is the same subscription, however it is written. */
static void sort(struct mlt_lane_terms *lane)
{
    qsort(lane->filter, lane->filter_count, sizeof lane->filter[0], compare);
    size_t kept = 0;
    for (size_t i = 0; i < lane->filter_count; i++) {
        if (kept == 0 || compare(&lane->filter[kept - 1], &lane->filter[i]) != 0) {
            const struct mlt_comparison one = lane->filter[i];
            lane->filter[kept++] = one;
        }
    }
    lane->filter_count = kept;
}

static enum mlt_status read_filter(const cJSON *tree, struct mlt_lane_terms *lane,
                                   struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, "filter");
    if (member == NULL) {
        return MLT_OK;
    }
    const int count = cJSON_IsArray(member) ? cJSON_GetArraySize(member) : 0;
    if (count < 1 || count > (int)MLT_COMMAND_FILTERS_MAX) {
        return mlt_control_refuse(refusal, 400, "filter",
                                  "\"filter\" must be an array of 1 to %u comparisons",
                                  MLT_COMMAND_FILTERS_MAX);
    }
    enum mlt_status status = MLT_OK;
    for (const cJSON *item = member->child; item != NULL && status == MLT_OK; item = item->next) {
        status = read_comparison(item, lane, refusal);
    }
    if (status == MLT_OK) {
        sort(lane);
    }
    return status;
}

enum mlt_status mlt_lane_read(const cJSON *tree, struct mlt_lane_terms *lane,
                              struct mlt_control_refusal *refusal)
{
    const bool terms = cJSON_GetObjectItemCaseSensitive(tree, "filter") != NULL ||
                       cJSON_GetObjectItemCaseSensitive(tree, "throttle_ms") != NULL;
    enum mlt_status status = read_channel(tree, terms, lane, refusal);
    if (status == MLT_OK) {
        status = read_throttle(tree, lane, refusal);
    }
    return status == MLT_OK ? read_filter(tree, lane, refusal) : status;
}

/* ---- what is on offer ---- */

static enum mlt_status unknown_field(enum mlt_event_type type, const char *name, const char *place,
                                     struct mlt_control_refusal *refusal)
{
    char list[400] = "";
    size_t used = 0;
    for (const struct mlt_event_field *f = mlt_event_field_next(type, NULL);
         f != NULL && used < sizeof list; f = mlt_event_field_next(type, f)) {
        const int n =
            snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ", f->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return mlt_control_refuse(refusal, 400, place, "%s has no field \"%s\" to compare: %s",
                              mlt_event_type_word((int)type), name,
                              list[0] != '\0' ? list : "there is none");
}

static enum mlt_status check_comparison(enum mlt_event_type type, const struct mlt_comparison *c,
                                        const char *place, struct mlt_control_refusal *refusal)
{
    struct mlt_filter filter;
    switch (mlt_filter_make(type, mlt_slice_of_string(c->field), mlt_slice_of_string(c->op),
                            mlt_slice_of_string(c->value), &filter)) {
    case MLT_FILTER_RIGHT:
        return MLT_OK;
    case MLT_FILTER_NO_FIELD:
        return unknown_field(type, c->field, place, refusal);
    case MLT_FILTER_NO_OP:
        return mlt_control_refuse(refusal, 400, place, "\"%s\" is none of eq, ne, lt, le, gt, ge",
                                  c->op);
    case MLT_FILTER_TEXT_ORDER:
        return mlt_control_refuse(refusal, 400, place, "%s is text: only eq and ne compare it",
                                  c->field);
    default:
        return mlt_control_refuse(
            refusal, 400, place, "\"%s\" is no decimal number of 64 bits: write it like \"0.0015\"",
            c->value);
    }
}

enum mlt_status mlt_lane_check(enum mlt_event_type type, const struct mlt_lane_terms *lane,
                               struct mlt_control_refusal *refusal)
{
    /* Merging any of the others would lose what cannot be had again. */
    if (lane->throttle_ms > 0 && type != MLT_EVENT_BOOK && type != MLT_EVENT_BBO &&
        type != MLT_EVENT_TICKER) {
        return mlt_control_refuse(refusal, 400, "throttle_ms",
                                  "%s is never merged: only BOOK, BBO and TICKER, of which the "
                                  "newest replaces those before, can be throttled",
                                  mlt_event_type_word((int)type));
    }
    if (lane->filter_count > 0 && mlt_event_field_next(type, NULL) == NULL) {
        return mlt_control_refuse(refusal, 400, "filter",
                                  "%s has no field to compare: what is left of it after a filter "
                                  "would be no book",
                                  mlt_event_type_word((int)type));
    }
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < lane->filter_count && status == MLT_OK; i++) {
        char place[MLT_CONTROL_FIELD_BYTES_MAX + 1];
        (void)snprintf(place, sizeof place, "filter.%s", lane->filter[i].field);
        status = check_comparison(type, &lane->filter[i], place, refusal);
    }
    return status;
}

void mlt_lane_of(const Meltica__V1__TableSubscription *subscription, struct mlt_lane_terms *lane)
{
    memset(lane, 0, sizeof *lane);
    lane->private_lane = subscription->private_lane;
    lane->throttle_ms = (int64_t)subscription->throttle_ms;
    for (size_t i = 0; i < subscription->n_filter && i < MLT_COMMAND_FILTERS_MAX; i++) {
        struct mlt_comparison *to = &lane->filter[lane->filter_count++];
        (void)snprintf(to->field, sizeof to->field, "%s", subscription->filter[i]->field);
        (void)snprintf(to->op, sizeof to->op, "%s", subscription->filter[i]->op);
        (void)snprintf(to->value, sizeof to->value, "%s", subscription->filter[i]->value);
    }
}

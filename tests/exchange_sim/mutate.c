#include "mutate.h"

#include <string.h>

#include "meltica/base/hash.h"

#define NESTING_MAX 4096u

const char *const sim_mutation_names[SIM_MUTATION_COUNT] = { "flip", "truncate", "type",
                                                             "huge", "deep",     "pad" };

struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice, uint64_t sides)
{
    dice->state += UINT64_C(0x9e3779b97f4a7c15);
    return mlt_mix64(dice->state) % sides;
}

static bool is_ascii(uint8_t c)
{
    return c < 0x80;
}

static enum mlt_status flip(struct dice *dice, struct mlt_slice text, struct mlt_buf *out)
{
    const enum mlt_status status = mlt_buf_append(out, text.data, text.len);
    const uint64_t flips = 1 + roll(dice, 8);
    for (uint64_t i = 0; status == MLT_OK && i < flips; i++) {
        uint8_t *byte = &out->data[roll(dice, text.len)];
        if (is_ascii(*byte)) { /* the other bytes are parts of UTF-8 sequences */
            *byte = (uint8_t)(*byte ^ (1u << roll(dice, 7)));
        }
    }
    return status;
}

static enum mlt_status truncate_text(struct dice *dice, struct mlt_slice text, struct mlt_buf *out)
{
    size_t len = (size_t)roll(dice, text.len);
    while (len > 0 && !is_ascii(text.data[len])) {
        len--;
    }
    return mlt_buf_append(out, text.data, len);
}

/* Where a value after a colon stands; false when the dice found none. */
static bool pick_value(struct dice *dice, struct mlt_slice text, size_t *start, size_t *end)
{
    const size_t from = (size_t)roll(dice, text.len);
    const uint8_t *colon = memchr(text.data + from, ':', text.len - from);
    if (colon == NULL) {
        colon = memchr(text.data, ':', text.len);
    }
    if (colon == NULL || colon + 1 >= text.data + text.len) {
        return false;
    }
    *start = (size_t)(colon - text.data) + 1;
    *end = *start;
    const bool quoted = text.data[*start] == '"';
    *end += quoted ? 1 : 0;
    while (*end < text.len &&
           (quoted ? text.data[*end] != '"' : strchr(",}]", text.data[*end]) == NULL)) {
        ++*end;
    }
    *end += quoted && *end < text.len ? 1 : 0;
    return true;
}

static enum mlt_status replace(struct dice *dice, struct mlt_slice text, struct mlt_slice value,
                               struct mlt_buf *out)
{
    size_t start = 0, end = 0;
    if (!pick_value(dice, text, &start, &end)) {
        return flip(dice, text, out);
    }
    enum mlt_status status = mlt_buf_append(out, text.data, start);
    if (status == MLT_OK) {
        status = mlt_buf_append(out, value.data, value.len);
    }
    return status == MLT_OK ? mlt_buf_append(out, text.data + end, text.len - end) : status;
}

static enum mlt_status wrong_type(struct dice *dice, struct mlt_slice text, struct mlt_buf *out)
{
    static const char *const values[] = { "null", "true",  "[]",    "{}",     "\"\"",      "-1",
                                          "0",    "1.5e3", "\"x\"", "[[[]]]", "{\"a\":1}", "1" };
    const char *value = values[roll(dice, sizeof values / sizeof values[0])];
    return replace(dice, text, mlt_slice_of_string(value), out);
}

static enum mlt_status huge(struct dice *dice, struct mlt_slice text, struct mlt_buf *out)
{
    static const char *const values[] = {
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "1e400",
        "\"92233720368.54775808\"",
        "\"99999999999999999999999999999999999999.99999999\"",
        "\"0.0000000000000000000000000001\"",
        "123456789012345678901234567890123456789012345678901234567890",
    };
    const char *value = values[roll(dice, sizeof values / sizeof values[0])];
    return replace(dice, text, mlt_slice_of_string(value), out);
}

static enum mlt_status deep(struct dice *dice, struct mlt_slice text, struct mlt_buf *out)
{
    uint8_t nest[2 * NESTING_MAX];
    const size_t depth = 1 + (size_t)roll(dice, NESTING_MAX);
    memset(nest, '[', depth);
    memset(nest + depth, ']', depth);
    return replace(dice, text, mlt_slice_of(nest, 2 * depth), out);
}

/* White space before the end, so that the text still parses: the size alone is the fault. */
static enum mlt_status pad(struct mlt_slice text, struct mlt_buf *out)
{
    const enum mlt_status status = mlt_buf_reserve(out, SIM_MUTATE_PAD_BYTES);
    if (status != MLT_OK || text.len >= SIM_MUTATE_PAD_BYTES) {
        return status;
    }
    memcpy(out->data, text.data, text.len - 1);
    memset(out->data + text.len - 1, ' ', SIM_MUTATE_PAD_BYTES - text.len);
    out->data[SIM_MUTATE_PAD_BYTES - 1] = text.data[text.len - 1];
    out->len = SIM_MUTATE_PAD_BYTES;
    return MLT_OK;
}

static enum mlt_status apply(struct dice *dice, enum sim_mutation kind, struct mlt_slice text,
                             struct mlt_buf *out)
{
    switch (kind) {
    case SIM_MUTATION_TRUNCATE:
        return truncate_text(dice, text, out);
    case SIM_MUTATION_TYPE:
        return wrong_type(dice, text, out);
    case SIM_MUTATION_HUGE:
        return huge(dice, text, out);
    case SIM_MUTATION_DEEP:
        return deep(dice, text, out);
    case SIM_MUTATION_PAD:
        return pad(text, out);
    default:
        return flip(dice, text, out);
    }
}

static enum sim_verdict mutate(void *ctx, const struct sim_outgoing *frame, struct mlt_buf *out)
{
    struct sim_mutator *mutator = ctx;
    struct dice dice = { mlt_mix64(mutator->seed) ^ mlt_mix64(frame->number) };
    if (mutator->count_max > 0 && mutator->frames >= mutator->count_max) {
        return SIM_DROP; /* another line's copy of the last frame */
    }
    enum sim_mutation kind = (enum sim_mutation)roll(&dice, SIM_MUTATION_PAD);
    if (roll(&dice, SIM_MUTATE_PAD_ONE_IN) == 0) {
        kind = SIM_MUTATION_PAD;
    }
    mutator->frames++;
    if (frame->payload.len == 0 || apply(&dice, kind, frame->payload, out) != MLT_OK) {
        return SIM_DROP;
    }
    mutator->by_kind[kind]++;
    return SIM_REPLACE;
}

static bool done(void *ctx)
{
    const struct sim_mutator *mutator = ctx;
    return mutator->count_max > 0 && mutator->frames >= mutator->count_max;
}

void sim_mutator_init(struct sim_mutator *mutator, uint64_t seed, uint64_t count_max)
{
    memset(mutator, 0, sizeof *mutator);
    mutator->seed = seed;
    mutator->count_max = count_max;
    mutator->filter = (struct sim_filter){ .frame = mutate, .done = done, .ctx = mutator };
}

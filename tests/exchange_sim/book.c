#include "book.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "json.h"
#include "meltica/base/decimal.h"

void sim_book_init(struct sim_book *book)
{
    memset(book, 0, sizeof *book);
    book->bids.bids = true;
    book->price_decimals = book->quantity_decimals = SIM_DECIMALS;
}

void sim_book_fini(struct sim_book *book)
{
    free(book->bids.levels);
    free(book->asks.levels);
    sim_book_init(book);
}

void sim_book_clear(struct sim_book *book)
{
    book->bids.count = book->asks.count = 0;
    book->id = 0;
}

static enum mlt_status reserve(struct sim_side *side, size_t count)
{
    if (count <= side->capacity) {
        return MLT_OK;
    }
    if (count > SIM_LEVELS_MAX) {
        return MLT_E_FULL;
    }
    size_t capacity = side->capacity > 0 ? side->capacity : 64;
    while (capacity < count) {
        capacity *= 2;
    }
    struct sim_level *levels = realloc(side->levels, capacity * sizeof *levels);
    if (levels == NULL) {
        return MLT_E_NOMEM;
    }
    side->levels = levels;
    side->capacity = capacity;
    return MLT_OK;
}

enum mlt_status sim_book_copy(struct sim_book *to, const struct sim_book *from)
{
    enum mlt_status status = reserve(&to->bids, from->bids.count);
    if (status == MLT_OK) {
        status = reserve(&to->asks, from->asks.count);
    }
    if (status != MLT_OK) {
        return status;
    }
    for (int i = 0; i < 2; i++) {
        const struct sim_side *source = i == 0 ? &from->bids : &from->asks;
        struct sim_side *target = i == 0 ? &to->bids : &to->asks;
        if (source->count > 0) {
            memcpy(target->levels, source->levels, source->count * sizeof *source->levels);
        }
        target->count = source->count;
    }
    to->id = from->id;
    to->price_decimals = from->price_decimals;
    to->quantity_decimals = from->quantity_decimals;
    return MLT_OK;
}

/* Index of the first level that is not worse than price: bids ascend, asks descend. */
static size_t find(const struct sim_side *side, int64_t price)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int64_t at = side->levels[middle].price_e8;
        if (side->bids ? at < price : at > price) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

enum mlt_status sim_book_set(struct sim_book *book, bool bid, int64_t price_e8, int64_t quantity_e8,
                             int64_t *old)
{
    struct sim_side *side = bid ? &book->bids : &book->asks;
    const size_t at = find(side, price_e8);
    const bool there = at < side->count && side->levels[at].price_e8 == price_e8;
    if (old != NULL) {
        *old = there ? side->levels[at].quantity_e8 : 0;
    }
    if (there && quantity_e8 != 0) {
        side->levels[at].quantity_e8 = quantity_e8;
    } else if (there) {
        side->count--;
        memmove(&side->levels[at], &side->levels[at + 1],
                (side->count - at) * sizeof *side->levels);
    } else if (quantity_e8 != 0) {
        const enum mlt_status status = reserve(side, side->count + 1);
        if (status != MLT_OK) {
            return status;
        }
        memmove(&side->levels[at + 1], &side->levels[at],
                (side->count - at) * sizeof *side->levels);
        side->levels[at] = (struct sim_level){ price_e8, quantity_e8 };
        side->count++;
    }
    return MLT_OK;
}

const struct sim_level *sim_book_level(const struct sim_book *book, bool bid, size_t rank)
{
    const struct sim_side *side = bid ? &book->bids : &book->asks;
    return rank < side->count ? &side->levels[side->count - 1 - rank] : NULL;
}

static int decimals_of(struct mlt_slice text)
{
    const uint8_t *point = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    return point != NULL ? (int)(text.len - (size_t)(point - text.data) - 1) : 0;
}

static enum mlt_status apply_level(struct sim_book *book, bool bid, struct mlt_slice level)
{
    size_t position = 0;
    struct mlt_slice price_text, quantity_text;
    int64_t price = 0, quantity = 0;
    if (!sim_json_next(level, &position, &price_text) ||
        !sim_json_next(level, &position, &quantity_text) ||
        !sim_json_plain(price_text, &price_text) ||
        !sim_json_plain(quantity_text, &quantity_text)) {
        return MLT_E_PARSE;
    }
    enum mlt_status status = mlt_decimal_parse_at(price_text, -SIM_DECIMALS, &price);
    if (status == MLT_OK) {
        status = mlt_decimal_parse_at(quantity_text, -SIM_DECIMALS, &quantity);
    }
    if (status != MLT_OK) {
        return status;
    }
    book->price_decimals = decimals_of(price_text);
    book->quantity_decimals = decimals_of(quantity_text);
    return sim_book_set(book, bid, price, quantity, NULL);
}

static enum mlt_status apply_side(struct sim_book *book, bool bid, struct mlt_slice json,
                                  const char *key)
{
    struct mlt_slice array, level;
    if (!sim_json_member(json, key, &array)) {
        return MLT_E_MISSING;
    }
    size_t position = 0;
    while (sim_json_next(array, &position, &level)) {
        const enum mlt_status status = apply_level(book, bid, level);
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

static enum mlt_status integer_member(struct mlt_slice json, const char *key, int64_t *out)
{
    struct mlt_slice value;
    if (!sim_json_member(json, key, &value)) {
        return MLT_E_MISSING;
    }
    return sim_json_integer(value, out) ? MLT_OK : MLT_E_TYPE;
}

enum mlt_status sim_book_load(struct sim_book *book, struct mlt_slice json)
{
    int64_t id = 0;
    enum mlt_status status = integer_member(json, "lastUpdateId", &id);
    if (status == MLT_OK) {
        sim_book_clear(book);
        status = apply_side(book, true, json, "bids");
    }
    if (status == MLT_OK) {
        status = apply_side(book, false, json, "asks");
    }
    if (status == MLT_OK) {
        book->id = id;
    }
    return status;
}

enum mlt_status sim_book_ids(struct mlt_slice json, int64_t *first, int64_t *last)
{
    const enum mlt_status status = integer_member(json, "U", first);
    return status == MLT_OK ? integer_member(json, "u", last) : status;
}

enum mlt_status sim_book_apply(struct sim_book *book, struct mlt_slice json)
{
    int64_t first = 0, last = 0;
    enum mlt_status status = sim_book_ids(json, &first, &last);
    if (status == MLT_OK) {
        status = apply_side(book, true, json, "b");
    }
    if (status == MLT_OK) {
        status = apply_side(book, false, json, "a");
    }
    if (status == MLT_OK) {
        book->id = last;
    }
    return status;
}

static enum mlt_status write_side(const struct sim_book *book, bool bid, size_t limit,
                                  struct mlt_buf *out)
{
    const struct sim_level *level;
    for (size_t rank = 0; rank < limit && (level = sim_book_level(book, bid, rank)) != NULL;
         rank++) {
        char text[2 * SIM_NUMBER_BYTES_MAX + 8], *p = text;
        if (rank > 0) {
            *p++ = ',';
        }
        p = sim_put_level(p, level->price_e8, book->price_decimals, level->quantity_e8,
                          book->quantity_decimals);
        const enum mlt_status status = mlt_buf_append(out, text, (size_t)(p - text));
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

enum mlt_status sim_book_write(const struct sim_book *book, size_t limit, const char *extra,
                               struct mlt_buf *out)
{
    enum mlt_status status =
        mlt_buf_printf(out, "{\"lastUpdateId\":%lld,\"bids\":[", (long long)book->id);
    if (status == MLT_OK) {
        status = write_side(book, true, limit, out);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "],\"asks\":[");
    }
    if (status == MLT_OK) {
        status = write_side(book, false, limit, out);
    }
    return status == MLT_OK ? mlt_buf_printf(out, "]%s}", extra) : status;
}

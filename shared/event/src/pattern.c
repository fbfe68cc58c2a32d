#include "meltica/event/pattern.h"

#include <string.h>

#include "meltica/event/event.h"

/* A token is BASE-QUOTE with exactly one '-': dashes inside an asset are written =2D. */
static bool split(struct mlt_slice text, struct mlt_slice *base, struct mlt_slice *quote)
{
    const uint8_t *dash = text.len > 0 ? memchr(text.data, '-', text.len) : NULL;
    if (dash == NULL) {
        return false;
    }
    const size_t before = (size_t)(dash - text.data);
    *base = mlt_slice_of(text.data, before);
    *quote = mlt_slice_of(dash + 1, text.len - before - 1);
    return base->len > 0 && quote->len > 0 && memchr(quote->data, '-', quote->len) == NULL;
}

static bool is_star(struct mlt_slice text)
{
    return text.len == 1 && text.data[0] == '*';
}

bool mlt_pattern_valid(struct mlt_slice pattern)
{
    struct mlt_slice base, quote;
    if (is_star(pattern)) {
        return true;
    }
    if (pattern.len > MLT_INSTRUMENT_BYTES_MAX || !split(pattern, &base, &quote) ||
        (is_star(base) && is_star(quote))) {
        return false;
    }
    return (is_star(base) || mlt_instrument_token_valid(base)) &&
           (is_star(quote) || mlt_instrument_token_valid(quote));
}

bool mlt_pattern_wild(struct mlt_slice pattern)
{
    return mlt_pattern_valid(pattern) && memchr(pattern.data, '*', pattern.len) != NULL;
}

bool mlt_pattern_match(struct mlt_slice pattern, struct mlt_slice token)
{
    struct mlt_slice base, quote, token_base, token_quote;
    if (is_star(pattern)) {
        return true;
    }
    if (!split(pattern, &base, &quote) || !split(token, &token_base, &token_quote)) {
        return false;
    }
    return (is_star(base) || mlt_slice_equal(base, token_base)) &&
           (is_star(quote) || mlt_slice_equal(quote, token_quote));
}

bool mlt_pattern_cover(struct mlt_slice token, struct mlt_pattern_cover *out)
{
    struct mlt_slice base, quote;
    if (token.len > MLT_INSTRUMENT_BYTES_MAX || !split(token, &base, &quote)) {
        return false;
    }
    memcpy(out->text[0], base.data, base.len);
    memcpy(out->text[0] + base.len, "-*", 2);
    out->len[0] = base.len + 2;
    memcpy(out->text[1], "*-", 2);
    memcpy(out->text[1] + 2, quote.data, quote.len);
    out->len[1] = quote.len + 2;
    return true;
}

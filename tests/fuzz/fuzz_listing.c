/* Bodies of exchangeInfo: what is taken is found under each of its names, under a token that NATS
 * takes, once. */
#include <inttypes.h>
#include <stdio.h>

#include "binance.h"
#include "input.h"
#include "meltica/event/event.h"

static void check_symbol(const struct mlt_binance_symbols *symbols,
                         const struct mlt_binance_symbol *symbol)
{
    const struct mlt_slice token = mlt_slice_of_string(symbol->token);
    MLT_CHECK(mlt_instrument_token_valid(token));
    MLT_CHECK(symbol->native[0] != '\0' && symbol->base[0] != '\0' && symbol->quote[0] != '\0');
    MLT_CHECK(symbol->status != NULL);
    MLT_CHECK(mlt_binance_symbol_by_token(symbols, token) == symbol);
    MLT_CHECK(mlt_binance_symbol_by_native(symbols, mlt_slice_of_string(symbol->native)) == symbol);
    /* Two natives may be one in lower case; then one of them is found. */
    const struct mlt_binance_symbol *lower =
        mlt_binance_symbol_by_lower(symbols, mlt_slice_of_string(symbol->native_lower));
    MLT_CHECK(lower != NULL && strcmp(lower->native_lower, symbol->native_lower) == 0);
    MLT_CHECK(symbol->price_exponent <= 0 && symbol->price_exponent >= -18);
    MLT_CHECK(symbol->quantity_exponent <= 0 && symbol->quantity_exponent >= -18);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_binance_symbols *symbols = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    uint32_t skipped = 0, weight = 0;
    if (mlt_binance_symbols_parse(mlt_slice_of(data, size), &symbols, &skipped, &weight, &err) !=
        MLT_OK) {
        MLT_CHECK(symbols == NULL && err.text[0] != '\0');
        return 0;
    }
    const size_t count = mlt_binance_symbols_count(symbols);
    MLT_CHECK(count + skipped <= size);
    for (size_t i = 0; i < count; i++) {
        check_symbol(symbols, mlt_binance_symbols_at(symbols, i));
    }
    MLT_CHECK(mlt_binance_symbol_by_token(symbols, MLT_SLICE_EMPTY) == NULL);
    mlt_binance_symbols_destroy(symbols);
    return 0;
}

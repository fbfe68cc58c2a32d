#include "quotes.h"

#include <string.h>

/* Longest first, so that FDUSD is not taken for USD. */
static const char *const quotes[] = { "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "BIDR",
                                      "IDRT",  "BKRW", "DOGE", "BTC",  "ETH",  "BNB",  "TRY",
                                      "EUR",   "GBP",  "AUD",  "BRL",  "JPY",  "RUB",  "UAH",
                                      "NGN",   "ZAR",  "PLN",  "RON",  "ARS",  "MXN",  "CZK",
                                      "COP",   "XRP",  "TRX",  "DAI",  "VAI",  "PAX",  "SOL",
                                      "DOT",   "UST",  "USD" };

size_t sim_base_length(struct mlt_slice native)
{
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        const struct mlt_slice quote = mlt_slice_of_string(quotes[i]);
        if (native.len > quote.len &&
            memcmp(native.data + native.len - quote.len, quote.data, quote.len) == 0) {
            return native.len - quote.len;
        }
    }
    return native.len > 3 ? native.len - 3 : 1;
}

/* What parses formats back to the same value, at any exponent that holds it. */
#include <string.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "meltica/base/decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_decimal value, again;
    const struct mlt_slice text = mlt_slice_of(data, size);
    if (mlt_decimal_parse(text, &value) == MLT_OK) {
        char out[MLT_DECIMAL_TEXT_BYTES_MAX];
        const size_t len = mlt_decimal_format(value, out, sizeof out);
        MLT_CHECK(len < sizeof out && out[len] == '\0');
        MLT_CHECK(mlt_decimal_parse(mlt_slice_of(out, len), &again) == MLT_OK);
        MLT_CHECK(mlt_decimal_compare(value, again) == 0);
        int64_t mantissa = 0;
        if (mlt_decimal_parse_at(text, -8, &mantissa) == MLT_OK) {
            MLT_CHECK(mlt_decimal_compare(value, (struct mlt_decimal){ mantissa, -8 }) == 0);
        }
        struct mlt_decimal_sum sum = { 0 };
        MLT_CHECK(mlt_decimal_sum_add(&sum, value) == MLT_OK);
        struct mlt_decimal product;
        if (mlt_decimal_multiply(value, (struct mlt_decimal){ 1, 0 }, &product) == MLT_OK) {
            MLT_CHECK(mlt_decimal_compare(value, product) == 0);
        }
    }
    return 0;
}

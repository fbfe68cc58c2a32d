/* Numbers and times of the command line: what is taken is in its range. The first byte says which.
 */
#include "input.h"
#include "meltica/base/clock.h"
#include "numbers.h"

#define COUNT_MAX 1000000
#define NOW_NS INT64_C(1700000000000000000)
#define YEARS_MAX_NS INT64_C(8836000000000000000) /* the end of 2249 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    int64_t value = 0;
    const unsigned kind = take_byte(&in);
    char *text = copy_of(in, 0);
    if (kind == 'c') {
        if (mlt_tool_count(text, COUNT_MAX, &value)) {
            MLT_CHECK(value >= 1 && value <= COUNT_MAX && strtoll(text, NULL, 10) == value);
            MLT_CHECK(strspn(text, "0123456789") == strlen(text));
        }
    } else if (mlt_tool_since(text, NOW_NS, &value)) {
        MLT_CHECK(value > 0 && value < YEARS_MAX_NS);
        const char unit = text[strlen(text) - 1];
        MLT_CHECK(
            strchr("smhd", unit) == NULL ||
            (value < NOW_NS && NOW_NS - value <= (int64_t)MLT_TOOL_SECONDS_MAX * MLT_NS_PER_S));
    }
    free(text);
    return 0;
}

/* Answers of JetStream, and the code that a service's error has. */
#include <limits.h>

#include "answer.h"
#include "input.h"

static void check(const struct mlt_js_answer *said, size_t len)
{
    MLT_CHECK((said->kind == MLT_JS_SILENT) == (len == 0));
    MLT_CHECK((said->kind == MLT_JS_REFUSED) == (said->code != 0) && said->code >= 0);
    MLT_CHECK((said->kind == MLT_JS_STORED) == (said->sequence != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mlt_slice json = mlt_slice_of(data, size);
    const struct mlt_js_answer said = mlt_js_answer_read(json);
    check(&said, size);
    /* What is whole ends with its last brace: without that it is not. */
    for (size_t last = size; said.kind > MLT_JS_SILENT && last > 0; last--) {
        if (data[last - 1] == '}') {
            MLT_CHECK(mlt_js_answer_read(mlt_slice_of(data, last - 1)).kind <= MLT_JS_SILENT);
            break;
        }
    }
    char *text = copy_of(json, 0);
    MLT_CHECK(mlt_service_error_code(text) > 0);
    free(text);
    return 0;
}

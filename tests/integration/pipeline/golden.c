#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

bool golden_main_recording(const char *paths[2])
{
    paths[0] = mlt_stack_recording("btcusdt_20240808.gz");
    paths[1] = mlt_stack_recording("btcusdt_20240809.gz");
    return paths[0] != NULL && paths[1] != NULL;
}

void golden_stream_hash(const char *const *paths, unsigned count, char *out)
{
    char command[4096];
    const char *build = getenv("MELTICA_BINARY_DIR");
    int len = snprintf(command, sizeof command, "%s/bin/meltica inspect",
                       build != NULL ? build : "build/dev");
    for (unsigned i = 0; i < count; i++) {
        len += snprintf(command + len, sizeof command - (size_t)len, " '%s'", paths[i]);
    }
    FILE *from = popen(command, "r");
    assert_non_null(from);
    static char report[1u << 20];
    const size_t n = fread(report, 1, sizeof report - 1, from);
    report[n] = '\0';
    assert_int_equal(pclose(from), 0);
    mlt_json_text(report, "stream_hash", out);
    assert_int_equal(strlen(out), 64);
}

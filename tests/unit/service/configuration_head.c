/* The beginning of docs/configuration.md: how keys are given, and those that every service has. */
#include <stdio.h>

#include "meltica/rt/config.h"
#include "meltica/service/service.h"

int main(void)
{
    const struct mlt_config_table table = { .items = mlt_service_items,
                                            .item_count = mlt_service_item_count };
    (void)printf(
        "# Configuration\n\n"
        "Made by the services themselves (`cmake --build build/dev --target configuration_docs`); "
        "a "
        "test compares it with what they say.\n\n"
        "A key comes from, strongest first: its flag (`--key value` or `--key=value`), its "
        "variable, "
        "a flat JSON file of keys (`--config FILE` or `MELTICA_CONFIG`), its default. "
        "`--print-config` shows the effective values and where they come from, `--check-config` "
        "checks and exits with 0 or 2, "
        "`--healthcheck` asks the service that runs with this configuration whether it is ready "
        "(0) or not (1), `--help` explains.\n\n"
        "An unknown flag or member of the file is an error that names the nearest key. Services "
        "may "
        "share one file of variables: a `MELTICA_*` variable that a service does not know is an "
        "error only if it is at most two edits away from a key of that service; all others it "
        "leaves, and names them in the log (`variables_ignored`).\n\n"
        "Credentials are files; no key takes a secret itself.\n\n"
        "Traces are configured by the standard's `OTEL_*` variables (observability.md); a wrong "
        "value is an error here too.\n\n"
        "## Every service\n\n");
    mlt_config_docs(&table, 1, stdout);
    (void)printf("\n");
    return ferror(stdout) == 0 && fflush(stdout) == 0 ? 0 : 1;
}

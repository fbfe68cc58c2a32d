/* A Binance-compatible exchange simulator; see docs/simulator.md. */
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/http/probe.h"
#include "server.h"

#define HEALTHCHECK_PATIENCE_NS (2 * MLT_NS_PER_S)

static int healthcheck(const struct sim_options *options)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char url[256], answer[1024];
    const char *host = strcmp(options->host, "0.0.0.0") == 0 ? "127.0.0.1" : options->host;
    (void)snprintf(url, sizeof url, "http://%.200s:%d/sim/status", host, options->port);
    if (mlt_http_probe(url, HEALTHCHECK_PATIENCE_NS, answer, sizeof answer, &err) != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "healthcheck_failed", err.text, MLT_S("url", url));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct sim_options options;
    mlt_log_init("exchange-sim", "sim", MLT_LOG_INFO);
    switch (sim_options_parse(&options, argc, argv)) {
    case SIM_OPTIONS_HEALTHCHECK:
        return healthcheck(&options);
    case SIM_OPTIONS_HELP:
        return 0;
    case SIM_OPTIONS_WRONG:
        return 2;
    default:
        return sim_server_run(&options);
    }
}

/* A Binance-compatible exchange simulator; see README.md. */
#include "meltica/base/log.h"
#include "server.h"

int main(int argc, char **argv)
{
    static struct sim_options options;
    mlt_log_init("exchange-sim", "sim", MLT_LOG_INFO);
    switch (sim_options_parse(&options, argc, argv)) {
    case SIM_OPTIONS_HELP:
        return 0;
    case SIM_OPTIONS_WRONG:
        return 2;
    default:
        return sim_server_run(&options);
    }
}

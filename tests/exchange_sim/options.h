/* Command line of the simulator. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faults.h"

#define SIM_OPTIONS_FILES_MAX 64

struct sim_options {
    const char *host;
    int port;            /* 0: any */
    int tls_port;        /* -1: none, 0: any */
    const char *tls_dir; /* NULL: a temporary one */
    const char *files[SIM_OPTIONS_FILES_MAX];
    size_t file_count;
    double speed; /* 0: as fast as the lines take it */
    bool synthetic;
    bool healthcheck;
    unsigned symbols, levels, rate;
    unsigned unlisted, unicode; /* of the last symbols */
    uint64_t seed;
    unsigned seconds;       /* 0: for ever */
    int64_t clock_start_ms; /* 0: now */
    int64_t clock_skew_ms;  /* of the exchange's clock, before (-) or after this machine's */
    bool send_all;
    int64_t start_subscriptions; /* -1: auto */
    unsigned start_depth;        /* 0: the beginning waits for no depth */
    bool mutate;
    uint64_t mutate_seed, mutate_count; /* count 0: no end */
    const char *faults;                 /* as it was given; NULL: none */
    const char *fault_file;             /* NULL: none */
    struct sim_faults_options script;
    unsigned weight_limit, ban_after, messages_per_second, streams_per_connection;
    unsigned connections_per_5min, ping_interval_s, pong_timeout_s, line_life_s, stall_limit_s;
    unsigned tick_us;
};

/* What the exchange takes for the time, us since 1970. */
int64_t sim_options_wall_us(const struct sim_options *options);

enum sim_options_result {
    SIM_OPTIONS_RUN,
    SIM_OPTIONS_HEALTHCHECK, /* of the simulator that listens on host and port */
    SIM_OPTIONS_HELP,
    SIM_OPTIONS_WRONG
};

/* Fills in defaults and reads the command line; complaints go to stderr, help to stdout. Strings
 * point into argv. */
enum sim_options_result sim_options_parse(struct sim_options *options, int argc, char **argv);

#endif

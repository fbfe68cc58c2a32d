#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hub.h"
#include "meltica/base/clock.h"

static const char usage[] =
    "usage: meltica-exchange-sim [OPTION...]\n"
    "A Binance-compatible exchange for public market data: WebSocket streams and REST on one "
    "port.\n"
    "\n"
    "  --host ADDRESS              listen there (127.0.0.1)\n"
    "  --port N                    port for ws and http; 0 is any (0)\n"
    "  --tls-port N                port for wss and https; 0 is any (none)\n"
    "  --tls-dir DIR               where the test CA and the certificate are made (temporary)\n"
    "  --healthcheck               ask the simulator that listens there, end with 0 if it is well\n"
    "market, one of:\n"
    "  --replay FILE...            recordings, replayed as one market\n"
    "  --synthetic                 a seeded market\n"
    "  --speed N|max               times real time, or as fast as the lines take it (1)\n"
    "  --start-subscriptions auto|N  begin when N streams of the market are subscribed; auto: "
    "when\n"
    "                              all are, or some are and no control message came for 2 s "
    "(auto)\n"
    "  --start-depth N             and when depth of each symbol that has a book by then was asked "
    "for\n"
    "                              N levels or more, or no control message came for 5 s; 0: "
    "no\n"
    "                              need (0)\n"
    "  --unlisted N                the last N symbols are in exchangeInfo when it is told so (0)\n"
    "  --send-all                  frames that nobody subscribed go out on the oldest line\n"
    "synthetic:\n"
    "  --symbols N                 symbols, SYM0001USDT and so on (10)\n"
    "  --levels N                  levels a side of each book (100)\n"
    "  --seed S                    (1)\n"
    "  --rate N                    frames a second over trade, bookTicker and depth@100ms of all\n"
    "                              symbols (1000)\n"
    "  --unicode N                 the last N symbols have names beyond ASCII (0)\n"
    "  --seconds N                 market seconds; 0 is for ever (0)\n"
    "  --clock-start MS            market time of the first event, ms since 1970 (now)\n"
    "  --clock-skew-ms MS          the exchange's clock is so much ahead; below zero: behind (0)\n"
    "faults:\n"
    "  --mutate SEED               damage every data frame\n"
    "  --mutate-count N            stop after N damaged frames; a recording begins again until "
    "then\n"
    "  --faults LIST               a script of faults: KIND[@STREAM/...][:W],... of frames, of\n"
    "                              market depth where no STREAM is named (depth, trade, aggTrade,\n"
    "                              bookTicker), each kind W times as often; all: every one of\n"
    "                              drop, duplicate, reorder, delay, cut, shorten, corrupt,\n"
    "                              falsify (of depth; not in all); of answers of depth stale,\n"
    "                              slow, fail, busy, truncate, banned, huge, html, wrong_symbol\n"
    "  --fault-file FILE           what happens when, a line each: docs/simulator.md\n"
    "  --fault-seed S              (1)\n"
    "  --fault-rate N              of a million depth frames (10000)\n"
    "  --fault-flow-rate N         of a million frames of each other stream named (10000)\n"
    "  --fault-snapshot-rate N     of a thousand depth snapshots (100)\n"
    "  --fault-count N             then no more; 0 is for ever (0)\n"
    "limits; 0 switches one off:\n"
    "  --weight-limit N            REST weight a minute and address (6000)\n"
    "  --ban-after N               requests above the limit until 418 (10)\n"
    "  --messages-per-second N     of a line's client, pongs included, at most 64 (5)\n"
    "  --streams-per-connection N  (1024)\n"
    "  --connections-per-5min N    lines an address (300)\n"
    "  --ping-interval-s N         (20)\n"
    "  --pong-timeout-s N          (60)\n"
    "  --line-life-s N             (86400)\n"
    "  --stall-limit-s N           a line that takes nothing for so long is cut (10)\n"
    "  --tick-us N                 frames due within it leave together (1000)\n";

enum option_kind { OPTION_UNSIGNED, OPTION_U64, OPTION_I64, OPTION_INT, OPTION_TEXT, OPTION_FLAG };

struct option_entry {
    const char *name;
    enum option_kind kind;
    size_t offset;
    uint64_t max;
};

#define ENTRY(name, kind, member, max)                                                             \
    { name, OPTION_##kind, offsetof(struct sim_options, member), max }

static const struct option_entry entries[] = {
    ENTRY("host", TEXT, host, 0),
    ENTRY("port", INT, port, 65535),
    ENTRY("tls-port", INT, tls_port, 65535),
    ENTRY("tls-dir", TEXT, tls_dir, 0),
    ENTRY("healthcheck", FLAG, healthcheck, 0),
    ENTRY("synthetic", FLAG, synthetic, 0),
    ENTRY("symbols", UNSIGNED, symbols, 9999),
    ENTRY("levels", UNSIGNED, levels, 5000),
    ENTRY("seed", U64, seed, UINT64_MAX),
    ENTRY("rate", UNSIGNED, rate, 10000000),
    ENTRY("seconds", UNSIGNED, seconds, 1000000000),
    ENTRY("unlisted", UNSIGNED, unlisted, 9999),
    ENTRY("unicode", UNSIGNED, unicode, 9999),
    ENTRY("clock-start", I64, clock_start_ms, UINT64_C(4102444800000)),
    ENTRY("start-depth", UNSIGNED, start_depth, 5000),
    ENTRY("send-all", FLAG, send_all, 0),
    ENTRY("mutate-count", U64, mutate_count, UINT64_MAX),
    ENTRY("faults", TEXT, faults, 0),
    ENTRY("fault-file", TEXT, fault_file, 0),
    ENTRY("fault-seed", U64, script.seed, UINT64_MAX),
    ENTRY("fault-rate", UNSIGNED, script.frame_rate, 1000000),
    ENTRY("fault-flow-rate", UNSIGNED, script.flow_rate, 1000000),
    ENTRY("fault-snapshot-rate", UNSIGNED, script.snapshot_rate, 1000),
    ENTRY("fault-count", U64, script.count_max, UINT64_MAX),
    ENTRY("weight-limit", UNSIGNED, weight_limit, UINT32_MAX),
    ENTRY("ban-after", UNSIGNED, ban_after, UINT32_MAX),
    ENTRY("messages-per-second", UNSIGNED, messages_per_second, SIM_RATE_MAX),
    ENTRY("streams-per-connection", UNSIGNED, streams_per_connection, 65536),
    ENTRY("connections-per-5min", UNSIGNED, connections_per_5min, 65536),
    ENTRY("ping-interval-s", UNSIGNED, ping_interval_s, 86400),
    ENTRY("pong-timeout-s", UNSIGNED, pong_timeout_s, 86400),
    ENTRY("line-life-s", UNSIGNED, line_life_s, 1000000000),
    ENTRY("stall-limit-s", UNSIGNED, stall_limit_s, 86400),
    ENTRY("tick-us", UNSIGNED, tick_us, 1000000),
};

#define SKEW_MS_MAX UINT64_C(86400000)
#define ENTRY_COUNT ((int)(sizeof entries / sizeof entries[0]))
#define ENTRY_BASE 2 /* 1 is getopt's word that is no option */

enum special {
    SPECIAL_REPLAY = 1000,
    SPECIAL_SPEED,
    SPECIAL_START,
    SPECIAL_MUTATE,
    SPECIAL_SKEW,
    SPECIAL_HELP,
    SPECIAL_VERSION
};

static bool parse_u64(const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= max;
}

static bool store(struct sim_options *options, const struct option_entry *entry, const char *text)
{
    char *at = (char *)options + entry->offset;
    uint64_t value = 0;
    if (entry->kind == OPTION_FLAG) {
        const bool yes = true;
        memcpy(at, &yes, sizeof yes);
        return true;
    }
    if (entry->kind == OPTION_TEXT) {
        memcpy(at, &text, sizeof text);
        return true;
    }
    if (!parse_u64(text, entry->max, &value)) {
        return false;
    }
    const unsigned small = (unsigned)value;
    const int number = (int)value;
    switch (entry->kind) {
    case OPTION_UNSIGNED:
        memcpy(at, &small, sizeof small);
        break;
    case OPTION_INT:
        memcpy(at, &number, sizeof number);
        break;
    default: /* both 64-bit kinds: the table's max keeps the signed one positive */
        memcpy(at, &value, sizeof value);
        break;
    }
    return true;
}

static bool parse_speed(const char *text, double *out)
{
    char *end = NULL;
    if (strcmp(text, "max") == 0) {
        *out = 0;
        return true;
    }
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0 && *out <= 1e9;
}

static bool parse_skew(const char *text, int64_t *out)
{
    uint64_t value = 0;
    const bool behind = text[0] == '-';
    if (!parse_u64(text + behind, SKEW_MS_MAX, &value)) {
        return false;
    }
    *out = behind ? -(int64_t)value : (int64_t)value;
    return true;
}

int64_t sim_options_wall_us(const struct sim_options *options)
{
    return mlt_clock_wall_ns() / MLT_NS_PER_US + options->clock_skew_ms * 1000;
}

static bool parse_special(struct sim_options *options, int which, const char *text)
{
    uint64_t value = 0;
    switch (which) {
    case SPECIAL_SPEED:
        return parse_speed(text, &options->speed);
    case SPECIAL_SKEW:
        return parse_skew(text, &options->clock_skew_ms);
    case SPECIAL_MUTATE:
        options->mutate = true;
        return parse_u64(text, UINT64_MAX, &options->mutate_seed);
    case SPECIAL_START:
        if (strcmp(text, "auto") == 0) {
            options->start_subscriptions = -1;
            return true;
        }
        if (!parse_u64(text, UINT32_MAX, &value)) {
            return false;
        }
        options->start_subscriptions = (int64_t)value;
        return true;
    default:
        if (options->file_count == SIM_OPTIONS_FILES_MAX) {
            return false;
        }
        options->files[options->file_count++] = text;
        return true;
    }
}

static void set_defaults(struct sim_options *options)
{
    *options = (struct sim_options){
        .host = "127.0.0.1",
        .tls_port = -1,
        .speed = 1,
        .symbols = 10,
        .levels = 100,
        .rate = 1000,
        .seed = 1,
        .start_subscriptions = -1,
        .script = { .seed = 1, .frame_rate = 10000, .flow_rate = 10000, .snapshot_rate = 100 },
        .weight_limit = 6000,
        .ban_after = 10,
        .messages_per_second = 5,
        .streams_per_connection = 1024,
        .connections_per_5min = 300,
        .ping_interval_s = 20,
        .pong_timeout_s = 60,
        .line_life_s = 86400,
        .stall_limit_s = 10,
        .tick_us = 1000,
    };
}

static enum sim_options_result complain(const char *what, const char *detail)
{
    (void)fprintf(stderr, "meltica-exchange-sim: %s%s (--help tells more)\n", what, detail);
    return SIM_OPTIONS_WRONG;
}

static enum sim_options_result check(struct sim_options *options)
{
    if (options->healthcheck) {
        return options->port > 0 ? SIM_OPTIONS_HEALTHCHECK
                                 : complain("--healthcheck needs the simulator's --port", "");
    }
    if (options->synthetic == (options->file_count > 0)) {
        return complain("one of --replay and --synthetic is needed", "");
    }
    if (options->synthetic && (options->symbols == 0 || options->rate == 0)) {
        return complain("--symbols and --rate are at least 1", "");
    }
    if (options->unicode > options->symbols) {
        return complain("--unicode is at most --symbols", "");
    }
    if (options->levels < 20) {
        return complain("--levels is at least 20", "");
    }
    if (options->faults != NULL && options->mutate) {
        return complain("one of --mutate and --faults at a time", "");
    }
    if (options->faults != NULL && !sim_faults_parse(options->faults, options->script.weights)) {
        return complain("that is no list of faults: ", options->faults);
    }
    return SIM_OPTIONS_RUN;
}

enum sim_options_result sim_options_parse(struct sim_options *options, int argc, char **argv)
{
    struct option table[ENTRY_COUNT + 7] = { 0 };
    for (int i = 0; i < ENTRY_COUNT; i++) {
        table[i] =
            (struct option){ entries[i].name,
                             entries[i].kind == OPTION_FLAG ? no_argument : required_argument, NULL,
                             i + ENTRY_BASE };
    }
    table[ENTRY_COUNT] = (struct option){ "replay", required_argument, NULL, SPECIAL_REPLAY };
    table[ENTRY_COUNT + 1] = (struct option){ "speed", required_argument, NULL, SPECIAL_SPEED };
    table[ENTRY_COUNT + 2] =
        (struct option){ "start-subscriptions", required_argument, NULL, SPECIAL_START };
    table[ENTRY_COUNT + 3] = (struct option){ "mutate", required_argument, NULL, SPECIAL_MUTATE };
    table[ENTRY_COUNT + 4] =
        (struct option){ "clock-skew-ms", required_argument, NULL, SPECIAL_SKEW };
    table[ENTRY_COUNT + 5] = (struct option){ "help", no_argument, NULL, SPECIAL_HELP };
    table[ENTRY_COUNT + 6] = (struct option){ "version", no_argument, NULL, SPECIAL_VERSION };
    set_defaults(options);
    int which;
    bool replay = false; /* words after --replay FILE are files, too */
    while ((which = getopt_long(argc, argv, "-h", table, NULL)) != -1) {
        if (which == 'h' || which == SPECIAL_HELP) {
            (void)fputs(usage, stdout);
            return SIM_OPTIONS_HELP;
        }
        if (which == SPECIAL_VERSION) {
            (void)puts("meltica-exchange-sim " MELTICA_VERSION);
            return SIM_OPTIONS_HELP;
        }
        const bool word = which == 1;
        if (which == '?' || (word && !replay)) {
            return complain(word ? "what is this: " : "that is no option of this program",
                            word ? optarg : "");
        }
        replay = which == SPECIAL_REPLAY || word;
        const bool fine = which >= SPECIAL_REPLAY || word
                              ? parse_special(options, word ? SPECIAL_REPLAY : which, optarg)
                              : store(options, &entries[which - ENTRY_BASE], optarg);
        if (!fine) {
            return complain("out of range: ", optarg);
        }
    }
    return check(options);
}

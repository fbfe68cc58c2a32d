/* The list of kinds, streams and weights that a script is told as. */
#include <stdlib.h>
#include <string.h>

#include "faults.h"

const char *const sim_fault_names[SIM_FAULT_COUNT] = {
    "drop",     "duplicate", "reorder", "delay", "cut",         "shorten",
    "corrupt",  "falsify",   "stale",   "slow",  "fail",        "busy",
    "truncate", "banned",    "huge",    "html",  "wrong_symbol"
};

const char *const sim_fault_stream_names[SIM_FAULT_STREAMS] = { "depth", "trade", "aggTrade",
                                                                "bookTicker" };

/* No falsify: who follows the stream cannot see it, and is wrong until a snapshot tells. */
static const unsigned all_weights[SIM_FAULT_COUNT] = { 6, 4, 4, 4, 1, 2, 2, 0, 3,
                                                       3, 3, 1, 3, 1, 1, 2, 2 };

enum sim_fault sim_fault_of(struct mlt_slice name)
{
    unsigned kind = 0;
    while (kind < SIM_FAULT_COUNT && !mlt_slice_equal_string(name, sim_fault_names[kind])) {
        kind++;
    }
    return (enum sim_fault)kind;
}

enum sim_fault_stream sim_fault_stream_of(struct mlt_slice name)
{
    unsigned stream = 0;
    while (stream < SIM_FAULT_STREAMS &&
           !mlt_slice_equal_string(name, sim_fault_stream_names[stream])) {
        stream++;
    }
    return (enum sim_fault_stream)stream;
}

/* "trade/aggTrade" as bits; 0: there is one that is none. */
static unsigned streams_of(struct mlt_slice list)
{
    unsigned streams = 0;
    for (size_t at = 0, len = 0; at <= list.len; at += len + 1) {
        const uint8_t *slash = at < list.len ? memchr(list.data + at, '/', list.len - at) : NULL;
        len = (slash != NULL ? (size_t)(slash - list.data) : list.len) - at;
        const enum sim_fault_stream stream = sim_fault_stream_of(mlt_slice_of(list.data + at, len));
        if (stream == SIM_FAULT_STREAMS) {
            return 0;
        }
        streams |= 1u << stream;
    }
    return streams;
}

/* Depth alone is falsified, and has answers of REST. */
static bool may_befall(enum sim_fault kind, enum sim_fault_stream stream)
{
    return stream == SIM_FAULT_DEPTH || (kind < SIM_FAULT_FRAME_KINDS && kind != SIM_FAULT_FALSIFY);
}

static void weigh_all(unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT],
                      enum sim_fault_stream stream)
{
    for (unsigned k = 0; k < SIM_FAULT_COUNT; k++) {
        const bool of_line = stream != SIM_FAULT_DEPTH && k == SIM_FAULT_CUT;
        weights[stream][k] = may_befall((enum sim_fault)k, stream) && !of_line ? all_weights[k] : 0;
    }
}

/* "drop", "drop@trade/aggTrade", "all", "all@trade" in [spec, spec + len); with a weight unless it
 * is all. */
static bool parse_entry(const char *spec, size_t len, bool weighed, unsigned weight,
                        unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT])
{
    const char *at = memchr(spec, '@', len);
    const struct mlt_slice name = mlt_slice_of(spec, at != NULL ? (size_t)(at - spec) : len);
    const bool all = mlt_slice_equal_string(name, "all");
    const enum sim_fault kind = sim_fault_of(name);
    const unsigned streams =
        at != NULL ? streams_of(mlt_slice_of(at + 1, len - name.len - 1)) : 1u << SIM_FAULT_DEPTH;
    bool fine = streams != 0 && (all ? !weighed : kind != SIM_FAULT_COUNT);
    for (unsigned s = 0; fine && s < SIM_FAULT_STREAMS; s++) {
        const enum sim_fault_stream stream = (enum sim_fault_stream)s;
        if ((streams >> s & 1) == 0) {
            continue;
        }
        if (all) {
            weigh_all(weights, stream);
        } else if (may_befall(kind, stream)) {
            weights[s][kind] = weight;
        } else {
            fine = false;
        }
    }
    return fine;
}

bool sim_faults_parse(const char *spec, unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT])
{
    memset(weights, 0, SIM_FAULT_STREAMS * sizeof weights[0]);
    while (*spec != '\0') {
        const size_t len = strcspn(spec, ",:");
        const char *entry = spec;
        unsigned weight = 1;
        spec += len;
        const bool weighed = *spec == ':';
        if (weighed) {
            const size_t digits = strspn(spec + 1, "0123456789");
            if (digits == 0 || digits > 4) {
                return false;
            }
            weight = (unsigned)strtoul(spec + 1, NULL, 10);
            spec += 1 + digits;
        }
        if (!parse_entry(entry, len, weighed, weight, weights)) {
            return false;
        }
        if (*spec == ',' && spec[1] != '\0') {
            spec++;
        } else if (*spec != '\0') {
            return false;
        }
    }
    return true;
}

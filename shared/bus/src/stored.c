#include "meltica/bus/stored.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "store_internal.h"

#define INSPECT_NS MLT_NS_PER_S

const struct mlt_stored_spec mlt_stored[MLT_STORED_COUNT] = {
    [MLT_STORED_CONTROL] = { .stream = { .name = MLT_STREAM_CONTROL,
                                         .subjects = { "meltica.int.control.*.*", NULL },
                                         .max_msgs_per_subject = 5,
                                         .duplicates_ns = 120 * MLT_NS_PER_S },
                             .maker = "meltica-dispatcher" },
    [MLT_STORED_AUDIT] = { .stream = { .name = MLT_STREAM_AUDIT,
                                       .subjects = { "meltica.int.audit.*", NULL },
                                       .max_bytes = INT64_C(256) << 20 },
                           .maker = "meltica-control",
                           .when = "the first command" },
    [MLT_STORED_REJECTED] = { .stream = { .name = "MELTICA_REJECTED",
                                          .subjects = { "meltica.int.rejected.>", NULL },
                                          .memory = true,
                                          .max_bytes = INT64_C(64) << 20,
                                          .max_msgs = 100000 },
                              .maker = "meltica-dispatcher" },
    [MLT_STORED_JOURNAL] = { .stream = { .name = MLT_JOURNAL_STREAM,
                                         .subjects = { MLT_JOURNAL_SUBJECT ".*", NULL },
                                         .memory = true,
                                         .max_bytes = INT64_C(1) << 30,
                                         .max_age_ns = 900 * MLT_NS_PER_S },
                             .own_limits = true,
                             .maker = "meltica-data-bus" },
    [MLT_STORED_DISPATCH] = { .stream = { .name = "KV_" MLT_DISPATCH_BUCKET },
                              .bucket = MLT_DISPATCH_BUCKET,
                              .maker = "meltica-dispatcher",
                              .when = "the first subscription" },
    [MLT_STORED_INSTRUMENTS] = { .stream = { .name = "KV_" MLT_INSTRUMENTS_BUCKET },
                                 .bucket = MLT_INSTRUMENTS_BUCKET,
                                 .maker = "meltica-dispatcher",
                                 .when = "the first listing" },
    [MLT_STORED_OWNERS] = { .stream = { .name = "KV_" MLT_OWNERS_BUCKET, .memory = true },
                            .bucket = MLT_OWNERS_BUCKET,
                            .dated = true, /* revisions are epochs, which grow over its loss */
                            .maker = "meltica-conductor" },
    /* Revisions begin with the time: those of a bucket before it mean nothing in this one. */
    [MLT_STORED_SNAPSHOTS] = { .stream = { .name = "KV_" MLT_SNAPSHOTS_BUCKET, .memory = true },
                               .bucket = MLT_SNAPSHOTS_BUCKET,
                               .dated = true,
                               .maker = "meltica-conductor" },
    /* In a file: a NATS server that is started again must not hand out a minute twice. */
    [MLT_STORED_WEIGHT] = { .stream = { .name = "KV_" MLT_WEIGHT_BUCKET },
                            .bucket = MLT_WEIGHT_BUCKET,
                            .dated = true,
                            .optional = true,
                            .maker = "meltica-adapter",
                            .when = "the first Adapter with an egress" },
};

enum mlt_status mlt_stored_ensure(struct mlt_store *store, enum mlt_stored which,
                                  struct mlt_error *err)
{
    const struct mlt_stored_spec *spec = &mlt_stored[which];
    return spec->bucket == NULL
               ? mlt_store_ensure_stream(store, &spec->stream, err)
               : mlt_store_ensure_bucket(store, spec->bucket, spec->stream.memory, 0,
                                         spec->dated ? (uint64_t)mlt_clock_wall_ns() : 0, err);
}

/* ---- what exists ---- */

/* One more of a list; what has no room is left out. */
static void say(char *out, size_t size, const char *format, ...) MLT_PRINTF(3, 4);

static void say(char *out, size_t size, const char *format, ...)
{
    const size_t used = strlen(out);
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", text);
}

#define WRONG report->wrong, sizeof report->wrong
#define DIFFERS report->differs, sizeof report->differs
#define LACKING report->lacking, sizeof report->lacking

static const char *storage_word(jsStorageType storage)
{
    return storage == js_MemoryStorage ? "memory" : "file";
}

/* 0 and below are one thing: no limit. */
static void compare_limit(const char *name, int64_t wanted, int64_t found, bool own,
                          struct mlt_stored_report *report)
{
    const bool limited = found > 0;
    if ((own && limited) || (wanted <= 0 && !limited) || wanted == found) {
        return;
    }
    char is[32] = "unlimited";
    if (limited) {
        (void)snprintf(is, sizeof is, "%" PRId64, found);
    }
    if (wanted > 0) {
        say(DIFFERS, "%s is %s, not %" PRId64, name, is, wanted);
    } else {
        say(DIFFERS, "%s is %s, not unlimited", name, is);
    }
}

static void compare_flags(const jsStreamConfig *wanted, const jsStreamConfig *found,
                          struct mlt_stored_report *report)
{
    if (found->Retention != js_LimitsPolicy) {
        say(WRONG, "retention is not by limits, so that what was read is gone");
    }
    if (!found->AllowDirect) {
        say(WRONG, "allow_direct is off, so that nobody can read single messages");
    }
    if (wanted->AllowRollup && !found->AllowRollup) {
        say(DIFFERS, "allow_rollup_hdrs is off");
    }
    if (found->Discard != wanted->Discard) {
        say(DIFFERS, "discard is %s, not %s", found->Discard == js_DiscardNew ? "new" : "old",
            wanted->Discard == js_DiscardNew ? "new" : "old");
    }
    if (found->Sealed) {
        say(WRONG, "it is sealed");
    }
}

/* wanted 0: nobody said how many. */
static void compare_replicas(uint32_t wanted, const jsStreamInfo *found,
                             struct mlt_stored_report *report)
{
    const int64_t is = found->Config->Replicas;
    const jsClusterInfo *cluster = found->Cluster;
    const bool clustered = cluster != NULL && cluster->Name != NULL && cluster->Name[0] != '\0';
    if (wanted != 0 && is != wanted) {
        say(DIFFERS, "num_replicas is %" PRId64 ", not %" PRIu32, is, wanted);
        (void)snprintf(report->options, sizeof report->options, " --replicas %" PRIu32, wanted);
    } else if (clustered && is == 1) {
        say(DIFFERS, "num_replicas is 1, so that it is away with one server of the cluster");
        (void)snprintf(report->options, sizeof report->options, " --replicas 3");
    }
    for (int i = 0; clustered && i < cluster->ReplicasLen; i++) {
        const jsPeerInfo *peer = cluster->Replicas[i];
        const char *name = peer->Name != NULL ? peer->Name : "one";
        if (peer->Offline) {
            say(LACKING, "the replica on %.64s is away", name);
        } else if (!peer->Current) {
            say(LACKING, "the replica on %.64s is not current (%" PRIu64 " behind)", name,
                peer->Lag);
        }
    }
}

static void compare(const struct mlt_stored_spec *spec, const jsStreamConfig *wanted,
                    const jsStreamConfig *found, struct mlt_stored_report *report)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const bool own = spec->own_limits;
    if (mlt_stream_check(wanted, found, &err) != MLT_OK) { /* what the services refuse */
        say(WRONG, "%.150s", err.text);
    }
    if (wanted->Storage == js_FileStorage && found->Storage == js_MemoryStorage) {
        say(WRONG, "storage is memory, not file, so that a restart of NATS loses it");
    } else if (wanted->Storage != found->Storage) {
        say(DIFFERS, "storage is %s, not %s", storage_word(found->Storage),
            storage_word(wanted->Storage));
    }
    compare_flags(wanted, found, report);
    compare_limit("max_bytes", wanted->MaxBytes, found->MaxBytes, own, report);
    compare_limit("max_age in ns", wanted->MaxAge, found->MaxAge, own, report);
    compare_limit("max_msgs", wanted->MaxMsgs, found->MaxMsgs, false, report);
    if (wanted->MaxMsgsPerSubject <= 0 || found->MaxMsgsPerSubject > 0) { /* else said above */
        compare_limit("max_msgs_per_subject", wanted->MaxMsgsPerSubject, found->MaxMsgsPerSubject,
                      false, report);
    }
    if (wanted->Duplicates > 0) {
        compare_limit("duplicate_window in ns", wanted->Duplicates, found->Duplicates, false,
                      report);
    }
}

enum mlt_status mlt_stored_inspect(struct mlt_store *store, enum mlt_stored which,
                                   uint32_t replicas, struct mlt_stored_report *report,
                                   struct mlt_error *err)
{
    const struct mlt_stored_spec *spec = &mlt_stored[which];
    const char *subjects[MLT_STREAM_SUBJECTS_MAX];
    const uint64_t first = spec->dated ? (uint64_t)mlt_clock_wall_ns() : 0;
    struct mlt_bucket_config bucket;
    jsStreamConfig stream;
    jsStreamConfig *wanted = spec->bucket != NULL ? &bucket.stream : &stream;
    memset(report, 0, sizeof *report);
    if (spec->bucket != NULL) {
        mlt_bucket_config(spec->bucket, spec->stream.memory, 0, first, &bucket);
    } else {
        mlt_stream_config(&spec->stream, subjects, &stream);
    }
    wanted->Replicas = replicas > 0 ? replicas : 1;
    mlt_stream_add_command(wanted, report->command, sizeof report->command);
    const enum mlt_status connected =
        mlt_store_check_connected(store, err, "look for stream", wanted->Name);
    if (connected != MLT_OK) {
        return connected;
    }
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = INSPECT_NS / MLT_NS_PER_MS;
    jsStreamInfo *info = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status = js_GetStreamInfo(&info, store->js, wanted->Name, &options, &code);
    if (status != NATS_OK) {
        return mlt_store_read_status(store->bus, status, (int)code, err, "look for stream",
                                     wanted->Name);
    }
    if (info->Config == NULL) {
        jsStreamInfo_Destroy(info);
        return mlt_stream_check(wanted, NULL, err);
    }
    compare(spec, wanted, info->Config, report);
    compare_replicas(replicas, info, report);
    report->messages = info->State.Msgs;
    report->bytes = info->State.Bytes;
    report->last_sequence = info->State.LastSeq;
    report->created_ns = info->Created;
    jsStreamInfo_Destroy(info);
    return MLT_OK;
}

/*
 * Streams and key-value buckets. Buckets are used with plain JetStream requests and not with
 * nats.c's kvStore: that one loses the server's error code (a conflict could not be told from a
 * failure) and answers gets from any replica; reads here go to the leader, so that what was put is
 * what is read.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "store_internal.h"

#define REQUEST_NS MLT_NS_PER_S /* one call, with all requests it is made of */
#define KV_OPERATION_HEADER "KV-Operation"
#define KV_MARKER_HEADER "Nats-Marker-Reason"

/* Codes of nats-server (server/errors.json) that nats.c 3.10 does not name. */
enum { CODE_WRONG_LAST_SEQUENCE_CONSTANT = 10164 };

static const struct {
    int code;
    enum mlt_status status;
    const char *advice;
} code_map[] = {
    { JSStreamWrongLastSequenceErr, MLT_E_CONFLICT, "somebody wrote it first: read it again" },
    { CODE_WRONG_LAST_SEQUENCE_CONSTANT, MLT_E_CONFLICT, "somebody wrote it first: read it again" },
    { JSStreamNotFoundErr, MLT_E_NOT_FOUND, "it does not exist" },
    { JSNoMessageFoundErr, MLT_E_NOT_FOUND, "nothing is stored there" },
    { JSNotEnabledErr, MLT_E_UNAVAILABLE,
      "JetStream is not enabled: start nats-server with -js or a jetstream block" },
    { JSNotEnabledForAccountErr, MLT_E_UNAVAILABLE,
      "JetStream is not enabled for this account: enable it in the server's configuration" },
    { JSClusterNotAvailErr, MLT_E_UNAVAILABLE, "the JetStream cluster has no leader at present" },
    { JSClusterNotLeaderErr, MLT_E_UNAVAILABLE, "the JetStream cluster has no leader at present" },
    { JSClusterNoPeersErr, MLT_E_UNAVAILABLE,
      "the cluster has too few servers with room for its replicas: start them, or lower "
      "stream_replicas" },
    { JSStreamReplicasNotSupportedErr, MLT_E_CONFIG,
      "a server alone keeps 1 replica: set stream_replicas to 1, or name a cluster" },
    { JSStreamOfflineErr, MLT_E_UNAVAILABLE, "the servers that hold it are away" },
    { JSInsufficientResourcesErr, MLT_E_LIMIT,
      "raise the limits of JetStream, or give it more disk" },
    { JSAccountResourcesExceededErr, MLT_E_LIMIT, "raise the account's limits of JetStream" },
    { JSMaximumStreamsLimitErr, MLT_E_LIMIT, "raise the account's number of streams" },
    { JSMemoryResourcesExceededErr, MLT_E_LIMIT, "raise max_memory_store of the server" },
    { JSStorageResourcesExceededErr, MLT_E_LIMIT, "raise max_file_store of the server" },
    { JSStreamStoreFailedErr, MLT_E_LIMIT,
      "the stream or its disk is full: raise its limits, or give it more disk" },
    { JSStreamNameExistErr, MLT_E_EXISTS, "it exists with another configuration" },
    { JSStreamSubjectOverlapErr, MLT_E_CONFIG,
      "another stream captures these subjects: remove it or change its subjects" },
    { JSStreamMaxBytesRequiredErr, MLT_E_CONFIG,
      "this account wants a size limit on every stream: create it yourself" },
};

int64_t mlt_store_left_ms(int64_t deadline_mono_ns)
{
    const int64_t left = (deadline_mono_ns - mlt_clock_mono_ns()) / MLT_NS_PER_MS;
    return left > 0 ? left : 1;
}

bool mlt_store_name_valid(const char *name)
{
    if (name == NULL || name[0] == '\0' || strlen(name) >= MLT_STORE_NAME_BYTES_MAX) {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (isalnum((unsigned char)*c) == 0 && *c != '-' && *c != '_') {
            return false;
        }
    }
    return true;
}

/* A refused publish is told by an error on the connection, beside the request, which only times
 * out. */
static bool not_permitted(struct mlt_bus *bus, const char *about, char *text, size_t size)
{
    text[0] = '\0';
    return natsConnection_ReadLastError(mlt_bus_nats(bus), text, size) == NATS_NOT_PERMITTED &&
           strstr(text, about) != NULL;
}

/* Before the answer came. A request that began just as it ended is not failed by nats.c, it times
 * out. */
static bool connection_ended(struct mlt_bus *bus, natsStatus status)
{
    return status == NATS_CONNECTION_DISCONNECTED || status == NATS_CONNECTION_CLOSED ||
           (status == NATS_TIMEOUT && !mlt_bus_connected(bus));
}

enum mlt_status mlt_store_status(struct mlt_bus *bus, natsStatus status, int code,
                                 struct mlt_error *err, const char *what, const char *about)
{
    if (status == NATS_OK) {
        return MLT_OK;
    }
    for (size_t i = 0; i < sizeof code_map / sizeof code_map[0]; i++) {
        if (code == code_map[i].code) {
            return mlt_error_set_foreign(err, code_map[i].status, "nats", code, "%s %s: %s", what,
                                         about, code_map[i].advice);
        }
    }
    if (code != 0) {
        natsStatus last = NATS_OK;
        const char *text = nats_GetLastError(&last);
        return mlt_error_set_foreign(err, MLT_E_PROTOCOL, "nats", code,
                                     "%s %s: the server refused it: %s", what, about,
                                     text != NULL ? text : "");
    }
    if (status == NATS_NO_RESPONDERS) {
        return mlt_error_set_foreign(err, MLT_E_UNAVAILABLE, "nats", (int)status,
                                     "%s %s: JetStream does not answer: is it enabled?", what,
                                     about);
    }
    if (connection_ended(bus, status)) {
        return mlt_error_set_foreign(err, MLT_E_UNAVAILABLE, "nats", (int)status,
                                     "%s %s: the connection to NATS ended before the answer came",
                                     what, about);
    }
    char text[256];
    if (status == NATS_TIMEOUT && not_permitted(bus, about, text, sizeof text)) {
        return mlt_error_set_foreign(err, MLT_E_AUTH, "nats", (int)NATS_NOT_PERMITTED,
                                     "%s %s: %s: give this user the permission", what, about, text);
    }
    if (status == NATS_TIMEOUT) {
        return mlt_error_set_foreign(err, MLT_E_TIMEOUT, "nats", (int)status,
                                     "%s %s: no answer of JetStream in time", what, about);
    }
    const enum mlt_status result = mlt_bus_status(status, err, what);
    (void)mlt_error_prepend(err, "%s", about);
    return result;
}

/* Requests that change nothing: no answer in time is as good as nobody there. */
enum mlt_status mlt_store_read_status(struct mlt_bus *bus, natsStatus status, int code,
                                      struct mlt_error *err, const char *what, const char *about)
{
    const enum mlt_status result = mlt_store_status(bus, status, code, err, what, about);
    if (result != MLT_E_TIMEOUT) {
        return result;
    }
    if (err != NULL) {
        err->status = MLT_E_UNAVAILABLE;
    }
    return MLT_E_UNAVAILABLE;
}

enum mlt_status mlt_store_check_connected(struct mlt_store *store, struct mlt_error *err,
                                          const char *what, const char *about)
{
    if (mlt_bus_connected(store->bus)) {
        return MLT_OK;
    }
    return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s %s: not connected to NATS", what, about);
}

enum mlt_status mlt_store_create(struct mlt_bus *control, uint32_t provision_replicas,
                                 struct mlt_store **store, struct mlt_error *err)
{
    struct mlt_store *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "store");
    }
    s->bus = control;
    s->provision_replicas = provision_replicas;
    const natsStatus status = natsConnection_JetStream(&s->js, mlt_bus_nats(control), NULL);
    if (status != NATS_OK) {
        free(s);
        return mlt_bus_status(status, err, "JetStream context");
    }
    *store = s;
    return MLT_OK;
}

void mlt_store_destroy(struct mlt_store *store)
{
    if (store != NULL) {
        jsCtx_Destroy(store->js);
        free(store);
    }
}

/* ---- streams ---- */

/* What exists is not changed, since its replicas may be meant: whoever reads the log decides. */
static void tell_replicas(struct mlt_store *store, const jsStreamConfig *found)
{
    uint32_t bit = 0;
    for (unsigned i = 0; i < MLT_STORED_COUNT; i++) {
        bit |= strcmp(mlt_stored[i].stream.name, found->Name) == 0 ? UINT32_C(1) << i : 0;
    }
    const int64_t wanted = store->provision_replicas;
    if (wanted == 0 || found->Replicas == wanted ||
        (atomic_fetch_or(&store->told_replicas, bit) & bit) != 0) {
        return;
    }
    char advice[MLT_STORE_NAME_BYTES_MAX + 160];
    (void)snprintf(
        advice, sizeof advice,
        "it is used with the replicas that it has; unless that is meant: nats stream edit "
        "%s --replicas %" PRId64,
        found->Name, wanted);
    mlt_log(MLT_LOG_WARN, "stream_replicas", advice, MLT_S("stream", found->Name),
            MLT_I("replicas", found->Replicas), MLT_I("stream_replicas", wanted));
}

static enum mlt_status bind_stream(struct mlt_store *store, const jsStreamConfig *wanted,
                                   int64_t deadline, struct mlt_error *err)
{
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = mlt_store_left_ms(deadline);
    jsStreamInfo *info = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status = js_GetStreamInfo(&info, store->js, wanted->Name, &options, &code);
    if (status == NATS_OK) {
        const enum mlt_status result = mlt_stream_check(wanted, info->Config, err);
        if (result == MLT_OK) {
            tell_replicas(store, info->Config);
        }
        jsStreamInfo_Destroy(info);
        return result;
    }
    return mlt_store_read_status(store->bus, status, (int)code, err, "look for stream",
                                 wanted->Name);
}

static enum mlt_status ensure(struct mlt_store *store, jsStreamConfig *wanted,
                              struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + REQUEST_NS;
    wanted->Replicas = store->provision_replicas > 0 ? store->provision_replicas : 1;
    enum mlt_status result = mlt_store_check_connected(store, err, "look for stream", wanted->Name);
    if (result == MLT_OK) {
        result = bind_stream(store, wanted, deadline, err);
    }
    if (result != MLT_E_NOT_FOUND) {
        return result;
    }
    if (store->provision_replicas == 0) {
        return mlt_stream_refuse_missing(wanted, err);
    }
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = mlt_store_left_ms(deadline);
    jsStreamInfo *info = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status = js_AddStream(&info, store->js, wanted, &options, &code);
    if (status == NATS_OK) {
        /* Before 2.10 the server leaves out what it does not know, and says nothing. */
        const bool kept = wanted->FirstSeq <= 1 || info->Config->FirstSeq == wanted->FirstSeq;
        jsStreamInfo_Destroy(info);
        return kept ? MLT_OK
                    : mlt_error_set(err, MLT_E_VERSION,
                                    "stream %s: nats-server ignored the first sequence, 2.10 or "
                                    "later is required",
                                    wanted->Name);
    }
    if ((int)code == JSStreamNameExistErr) { /* another instance created it meanwhile */
        return bind_stream(store, wanted, deadline, err);
    }
    return mlt_store_read_status(store->bus, status, (int)code, err, "create stream", wanted->Name);
}

static bool stream_name_valid(const char *name)
{
    return name != NULL && name[0] != '\0' && strlen(name) < MLT_STORE_NAME_BYTES_MAX &&
           strcspn(name, " .*>/\\\"\t\r\n") == strlen(name);
}

enum mlt_status mlt_store_ensure_stream(struct mlt_store *store, const struct mlt_stream_spec *spec,
                                        struct mlt_error *err)
{
    if (!stream_name_valid(spec->name) || spec->subjects[0] == NULL) {
        return mlt_error_set(err, MLT_E_INVALID, "stream without a valid name or without subject");
    }
    const char *subjects[MLT_STREAM_SUBJECTS_MAX];
    jsStreamConfig config;
    mlt_stream_config(spec, subjects, &config);
    return ensure(store, &config, err);
}

enum mlt_status mlt_stream_append(struct mlt_store *store, const char *subject,
                                  const char *message_id, const uint64_t *expected,
                                  struct mlt_slice payload, uint64_t *sequence, bool *duplicate,
                                  struct mlt_error *err)
{
    if (!mlt_bus_subject_valid(subject)) {
        return mlt_error_set(err, MLT_E_INVALID, "append: no valid subject");
    }
    if (payload.len > MLT_BUS_PAYLOAD_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_TOO_BIG, "append %s: %zu bytes, %u are allowed", subject,
                             payload.len, MLT_BUS_PAYLOAD_BYTES_MAX);
    }
    const enum mlt_status connected = mlt_store_check_connected(store, err, "append", subject);
    if (connected != MLT_OK) {
        return connected;
    }
    jsPubOptions options;
    (void)jsPubOptions_Init(&options);
    options.MaxWait = REQUEST_NS / MLT_NS_PER_MS;
    options.MsgId = message_id;
    if (expected != NULL) {
        options.ExpectLastSubjectSeq = *expected;
        options.ExpectNoMessage = *expected == 0;
    }
    jsPubAck *ack = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status =
        js_Publish(&ack, store->js, subject, payload.data, (int)payload.len, &options, &code);
    if (status == NATS_NO_RESPONDERS) { /* which nats.c takes for a JetStream that is not enabled */
        return mlt_error_set_foreign(
            err, MLT_E_UNAVAILABLE, "nats", (int)status,
            "append %s: nobody takes it: JetStream is not enabled (-js), or "
            "its stream is not there or has no leader at present",
            subject);
    }
    if (connection_ended(store->bus, status)) { /* another server of a cluster may have stored it */
        return mlt_error_set_foreign(err, MLT_E_TIMEOUT, "nats", (int)status,
                                     "append %s: the connection to NATS ended before the "
                                     "acknowledgement came",
                                     subject);
    }
    if (status != NATS_OK) {
        return mlt_store_status(store->bus, status, (int)code, err, "append", subject);
    }
    *sequence = ack->Sequence;
    *duplicate = ack->Duplicate;
    jsPubAck_Destroy(ack);
    return MLT_OK;
}

enum mlt_status mlt_stream_next(struct mlt_store *store, const char *stream, const char *subject,
                                uint64_t from, struct mlt_buf *payload, uint64_t *sequence,
                                struct mlt_error *err)
{
    const enum mlt_status connected = mlt_store_check_connected(store, err, "read", stream);
    if (connected != MLT_OK) {
        return connected;
    }
    jsOptions options;
    jsDirectGetMsgOptions get;
    (void)jsOptions_Init(&options);
    (void)jsDirectGetMsgOptions_Init(&get);
    options.Wait = REQUEST_NS / MLT_NS_PER_MS;
    get.Sequence = from;
    get.NextBySubject = subject;
    natsMsg *message = NULL;
    const natsStatus got = js_DirectGetMsg(&message, store->js, stream, &options, &get);
    if (got == NATS_NOT_FOUND) {
        return mlt_error_set(err, MLT_E_NOT_FOUND, "read %s: nothing at or after %" PRIu64, stream,
                             from);
    }
    if (got != NATS_OK) {
        return mlt_store_read_status(store->bus, got, 0, err, "read", stream);
    }
    *sequence = natsMsg_GetSequence(message);
    if (*sequence < from) { /* whoever reads on would go round for ever */
        natsMsg_Destroy(message);
        return mlt_error_set(err, MLT_E_PROTOCOL, "read %s: %" PRIu64 " is before %" PRIu64, stream,
                             *sequence, from);
    }
    const enum mlt_status status =
        mlt_buf_append(payload, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    natsMsg_Destroy(message);
    return status == MLT_OK ? MLT_OK : mlt_error_set(err, status, "read %s: no room", stream);
}

/* OK: the leader has one at or after `from`; E_NOT_FOUND: it has none. */
static enum mlt_status ask_leader(struct mlt_store *store, const char *stream, const char *subject,
                                  uint64_t from, struct mlt_error *err)
{
    char api[MLT_STORE_NAME_BYTES_MAX + 32];
    char question[MLT_BUS_SUBJECT_BYTES_MAX + 64];
    natsMsg *answer = NULL;
    (void)snprintf(api, sizeof api, "$JS.API.STREAM.MSG.GET.%s", stream);
    const int len = snprintf(question, sizeof question,
                             "{\"seq\":%" PRIu64 ",\"next_by_subj\":\"%s\"}", from, subject);
    const natsStatus status = natsConnection_Request(&answer, mlt_bus_nats(store->bus), api,
                                                     question, len, REQUEST_NS / MLT_NS_PER_MS);
    if (status != NATS_OK) {
        return mlt_store_read_status(store->bus, status, 0, err, "read", stream);
    }
    const struct mlt_js_answer said = mlt_js_answer_read(
        mlt_slice_of(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer)));
    natsMsg_Destroy(answer);
    if (said.kind == MLT_JS_MESSAGE) {
        return MLT_OK;
    }
    if (said.kind == MLT_JS_REFUSED) {
        return mlt_store_read_status(store->bus, NATS_ERR, said.code, err, "read", stream);
    }
    return mlt_error_set(err, MLT_E_PROTOCOL,
                         "read %s: what answers on %s is not JetStream: see who listens there",
                         stream, api);
}

enum mlt_status mlt_stream_next_current(struct mlt_store *store, const char *stream,
                                        const char *subject, uint64_t from, struct mlt_buf *payload,
                                        uint64_t *sequence, struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + REQUEST_NS;
    for (;;) {
        const enum mlt_status status =
            mlt_stream_next(store, stream, subject, from, payload, sequence, err);
        if (status != MLT_E_NOT_FOUND) {
            return status;
        }
        const enum mlt_status leader = ask_leader(store, stream, subject, from, err);
        if (leader != MLT_OK) {
            return leader;
        }
        if (mlt_clock_mono_ns() >=
            deadline) { /* else once more: another one answers, or it has it */
            return mlt_error_set(err, MLT_E_UNAVAILABLE, "read %s: its replicas stay behind",
                                 stream);
        }
    }
}

enum mlt_status mlt_store_ensure_bucket(struct mlt_store *store, const char *name, bool memory,
                                        int64_t max_age_ns, uint64_t first_sequence,
                                        struct mlt_error *err)
{
    if (!mlt_store_name_valid(name)) {
        return mlt_error_set(err, MLT_E_INVALID, "bucket name: letters, digits, '-' and '_' only");
    }
    struct mlt_bucket_config config;
    mlt_bucket_config(name, memory, max_age_ns, first_sequence, &config);
    return ensure(store, &config.stream, err);
}

/* ---- key-value ---- */

/* Checked here, before nats.c, so that no byte above 0x7f and no wildcard gets into a subject. */
bool mlt_store_key_valid(const char *key)
{
    if (key == NULL || key[0] == '\0' || key[0] == '.' || strncmp(key, "_kv", 3) == 0) {
        return false;
    }
    for (const char *c = key; *c != '\0'; c++) {
        const bool dot = *c == '.';
        if (dot && (c[1] == '.' || c[1] == '\0')) {
            return false;
        }
        if (!dot && isalnum((unsigned char)*c) == 0 && strchr("-/_=", *c) == NULL) {
            return false;
        }
    }
    return true;
}

struct kv_place {
    char stream[MLT_STORE_NAME_BYTES_MAX + 8];
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
};

static enum mlt_status kv_begin(struct mlt_store *store, const char *bucket, const char *key,
                                struct kv_place *place, const char *what, struct mlt_error *err)
{
    if (!mlt_store_name_valid(bucket) || !mlt_store_key_valid(key)) {
        return mlt_error_set(err, MLT_E_INVALID,
                             "%s: bucket or key has bytes outside A-Z a-z 0-9 - _ (keys: / = .)",
                             what);
    }
    (void)snprintf(place->stream, sizeof place->stream, "KV_%s", bucket);
    const int n = snprintf(place->subject, sizeof place->subject, "$KV.%s.%s", bucket, key);
    if (n < 0 || (size_t)n >= sizeof place->subject) {
        return mlt_error_set(err, MLT_E_TOO_BIG, "%s: key is too long", what);
    }
    return mlt_store_check_connected(store, err, what, place->subject);
}

/* Nobody took the message: the bucket is missing, or JetStream is. */
static enum mlt_status explain_no_taker(struct mlt_store *store, const struct kv_place *place,
                                        int64_t deadline, struct mlt_error *err)
{
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = mlt_store_left_ms(deadline);
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    jsStreamInfo *info = NULL;
    const natsStatus status = js_GetStreamInfo(&info, store->js, place->stream, &options, &code);
    jsStreamInfo_Destroy(info);
    if (status == NATS_OK) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "put %s: %s has no leader at present",
                             place->subject, place->stream);
    }
    return mlt_store_read_status(store->bus, status, (int)code, err, "bucket", place->stream);
}

/* expected: NULL puts in any case. */
static enum mlt_status kv_write(struct mlt_store *store, const struct kv_place *place,
                                struct mlt_slice value, const uint64_t *expected, int64_t deadline,
                                uint64_t *revision, struct mlt_error *err)
{
    if (value.len > MLT_BUS_PAYLOAD_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_TOO_BIG, "put %s: value of %zu bytes, %u are allowed",
                             place->subject, value.len, MLT_BUS_PAYLOAD_BYTES_MAX);
    }
    jsPubOptions options;
    (void)jsPubOptions_Init(&options);
    options.MaxWait = mlt_store_left_ms(deadline);
    if (expected != NULL) {
        options.ExpectLastSubjectSeq = *expected;
        options.ExpectNoMessage = *expected == 0;
    }
    jsPubAck *ack = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status =
        js_Publish(&ack, store->js, place->subject, value.data, (int)value.len, &options, &code);
    if (status == NATS_OK) {
        *revision = ack->Sequence;
        jsPubAck_Destroy(ack);
        return MLT_OK;
    }
    if (status == NATS_NO_RESPONDERS) {
        return explain_no_taker(store, place, deadline, err);
    }
    return mlt_store_status(store->bus, status, (int)code, err, "put", place->subject);
}

enum mlt_status mlt_kv_put(struct mlt_store *store, const char *bucket, const char *key,
                           struct mlt_slice value, uint64_t *revision, struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + REQUEST_NS;
    struct kv_place place;
    const enum mlt_status status = kv_begin(store, bucket, key, &place, "put", err);
    return status == MLT_OK ? kv_write(store, &place, value, NULL, deadline, revision, err)
                            : status;
}

static bool is_marker(natsMsg *message)
{
    const char *value = NULL;
    return natsMsgHeader_Get(message, KV_OPERATION_HEADER, &value) == NATS_OK ||
           natsMsgHeader_Get(message, KV_MARKER_HEADER, &value) == NATS_OK;
}

/* The last message of a key, which may be the marker of a deletion. */
static enum mlt_status kv_read(struct mlt_store *store, const struct kv_place *place,
                               int64_t deadline, natsMsg **message, struct mlt_error *err)
{
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = mlt_store_left_ms(deadline);
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    const natsStatus status =
        js_GetLastMsg(message, store->js, place->stream, place->subject, &options, &code);
    const char *about = (int)code == JSStreamNotFoundErr ? place->stream : place->subject;
    if (status == NATS_TIMEOUT) { /* the request's subject names the stream */
        about = place->stream;
    }
    return mlt_store_read_status(store->bus, status, (int)code, err, "get", about);
}

enum mlt_status mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                              struct mlt_slice value, uint64_t expected, uint64_t *revision,
                              struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + REQUEST_NS;
    struct kv_place place;
    enum mlt_status status = kv_begin(store, bucket, key, &place, "update", err);
    if (status == MLT_OK) {
        status = kv_write(store, &place, value, &expected, deadline, revision, err);
    }
    if (status != MLT_E_CONFLICT || expected != 0) {
        return status;
    }
    /* A deleted key exists as a marker: it is replaced (ADR-8, Create). */
    struct mlt_error read_err = MLT_ERROR_INIT;
    natsMsg *last = NULL;
    if (kv_read(store, &place, deadline, &last, &read_err) != MLT_OK) {
        return status;
    }
    const bool marker = is_marker(last);
    const uint64_t sequence = natsMsg_GetSequence(last);
    natsMsg_Destroy(last);
    return marker ? kv_write(store, &place, value, &sequence, deadline, revision, err) : status;
}

enum mlt_status mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                           struct mlt_buf *value, uint64_t *revision, struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + REQUEST_NS;
    struct kv_place place;
    enum mlt_status status = kv_begin(store, bucket, key, &place, "get", err);
    natsMsg *message = NULL;
    if (status == MLT_OK) {
        status = kv_read(store, &place, deadline, &message, err);
    }
    if (status != MLT_OK) {
        return status;
    }
    if (is_marker(message)) {
        status = mlt_error_set(err, MLT_E_NOT_FOUND, "get %s: it was deleted", place.subject);
    } else {
        status =
            mlt_buf_append(value, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
        *revision = natsMsg_GetSequence(message);
        if (status != MLT_OK) {
            (void)mlt_error_set(err, status, "get %s: value of %d bytes", place.subject,
                                natsMsg_GetDataLength(message));
        }
    }
    natsMsg_Destroy(message);
    return status;
}

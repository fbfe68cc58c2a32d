/* What a stream or bucket of ours is like, for the server, and whether one that exists is of use.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "store_internal.h"

void mlt_stream_config(const struct mlt_stream_spec *spec,
                       const char *subjects[MLT_STREAM_SUBJECTS_MAX], jsStreamConfig *config)
{
    (void)jsStreamConfig_Init(config);
    config->Name = spec->name;
    config->Subjects = subjects;
    for (int i = 0; i < MLT_STREAM_SUBJECTS_MAX && spec->subjects[i] != NULL; i++) {
        subjects[config->SubjectsLen++] = spec->subjects[i];
    }
    config->Storage = spec->memory ? js_MemoryStorage : js_FileStorage;
    config->MaxBytes = spec->max_bytes > 0 ? spec->max_bytes : -1;
    config->MaxAge = spec->max_age_ns;
    config->MaxMsgs = spec->max_msgs > 0 ? spec->max_msgs : -1;
    config->MaxMsgsPerSubject = spec->max_msgs_per_subject > 0 ? spec->max_msgs_per_subject : -1;
    config->Duplicates = spec->duplicates_ns;
    config->Discard = js_DiscardOld;
    config->AllowDirect = true;
    config->FirstSeq = spec->first_sequence;
}

void mlt_bucket_config(const char *name, bool memory, int64_t max_age_ns, uint64_t first_sequence,
                       struct mlt_bucket_config *out)
{
    (void)snprintf(out->name, sizeof out->name, "KV_%s", name);
    (void)snprintf(out->subject, sizeof out->subject, "$KV.%s.>", name);
    out->subjects[0] = out->subject;
    jsStreamConfig *config = &out->stream; /* ADR-8 */
    (void)jsStreamConfig_Init(config);
    config->Name = out->name;
    config->Subjects = out->subjects;
    config->SubjectsLen = 1;
    config->MaxMsgsPerSubject = 1;
    config->MaxAge = max_age_ns;
    config->Storage = memory ? js_MemoryStorage : js_FileStorage;
    config->Discard = js_DiscardNew;
    config->AllowRollup = true;
    config->DenyDelete = true;
    config->AllowDirect = true;
    config->FirstSeq = first_sequence;
}

/* True when every subject that `subject` stands for is one that `pattern` stands for. */
static bool subject_covers(const char *pattern, const char *subject)
{
    for (;;) {
        const size_t p = strcspn(pattern, ".");
        const size_t s = strcspn(subject, ".");
        if (p == 1 && pattern[0] == '>') {
            return true;
        }
        const bool any = p == 1 && pattern[0] == '*' && !(s == 1 && subject[0] == '>');
        if (!any && (p != s || memcmp(pattern, subject, p) != 0)) {
            return false;
        }
        if (pattern[p] == '\0' || subject[s] == '\0') {
            return pattern[p] == subject[s];
        }
        pattern += p + 1;
        subject += s + 1;
    }
}

/* What exists is used as it is, but it must be of use. */
enum mlt_status mlt_stream_check(const jsStreamConfig *wanted, const jsStreamConfig *found,
                                 struct mlt_error *err)
{
    if (found == NULL) {
        return mlt_error_set(err, MLT_E_PROTOCOL, "stream %s: the server does not tell how it is",
                             wanted->Name);
    }
    for (int w = 0; w < wanted->SubjectsLen; w++) {
        bool covered = false;
        for (int f = 0; !covered && f < found->SubjectsLen; f++) {
            covered = subject_covers(found->Subjects[f], wanted->Subjects[w]);
        }
        if (!covered && found->Mirror == NULL) {
            return mlt_error_set(
                err, MLT_E_CONFIG,
                "stream %s exists but does not capture %s: add it (nats stream edit %s --subjects)",
                wanted->Name, wanted->Subjects[w], wanted->Name);
        }
    }
    if (wanted->MaxMsgsPerSubject > 0 && found->MaxMsgsPerSubject < 1) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "stream %s exists but keeps any number of messages per subject: limit "
                             "them (nats stream edit %s --max-msgs-per-subject %" PRId64 ")",
                             wanted->Name, wanted->Name, wanted->MaxMsgsPerSubject);
    }
    return MLT_OK;
}

void mlt_stream_add_command(const jsStreamConfig *c, char *out, size_t size)
{
    char subjects[300] = "";
    for (int i = 0; i < c->SubjectsLen; i++) {
        const size_t used = strlen(subjects);
        (void)snprintf(subjects + used, sizeof subjects - used, "%s%s", i > 0 ? "," : "",
                       c->Subjects[i]);
    }
    char limits[160] = "";
    size_t used = 0;
    if (c->MaxAge > 0) {
        (void)snprintf(limits, sizeof limits, " --max-age %" PRId64 "s", c->MaxAge / MLT_NS_PER_S);
        used = strlen(limits);
    }
    if (c->MaxBytes > 0) {
        (void)snprintf(limits + used, sizeof limits - used, " --max-bytes %" PRId64, c->MaxBytes);
        used = strlen(limits);
    }
    if (c->FirstSeq > 1) {
        (void)snprintf(limits + used, sizeof limits - used, " --first-sequence $(date +%%s%%N)");
        used = strlen(limits);
    }
    if (c->MaxMsgsPerSubject > 0) {
        (void)snprintf(limits + used, sizeof limits - used,
                       " --max-msgs-per-subject %" PRId64 "%s --allow-direct", c->MaxMsgsPerSubject,
                       c->AllowRollup ? " --allow-rollup" : "");
    }
    if (c->Replicas > 1) {
        used = strlen(limits);
        (void)snprintf(limits + used, sizeof limits - used, " --replicas %" PRId64, c->Replicas);
    }
    (void)snprintf(out, size,
                   "nats stream add %s --subjects '%s' --storage %s --discard %s%s --defaults",
                   c->Name, subjects, c->Storage == js_MemoryStorage ? "memory" : "file",
                   c->Discard == js_DiscardNew ? "new" : "old", limits);
}

/* What an operator has to create, as a command. */
enum mlt_status mlt_stream_refuse_missing(const jsStreamConfig *c, struct mlt_error *err)
{
    char command[MLT_STREAM_COMMAND_BYTES_MAX];
    mlt_stream_add_command(c, command, sizeof command);
    return mlt_error_set(err, MLT_E_NOT_FOUND,
                         "stream %s does not exist and provisioning is external: %s", c->Name,
                         command);
}

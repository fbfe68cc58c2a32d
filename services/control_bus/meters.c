#include "meters.h"

#include <stdio.h>

static const int codes[MLT_CONTROL_CODES - 1] = { 400, 401, 403, 404, 409, 429, 500, 502, 503 };

static void make_by_word(struct mlt_control_meters *to, struct mlt_metrics *m)
{
    char labels[64];
    for (unsigned i = 0; i < MLT_CONTROL_CODES; i++) {
        if (i < MLT_CONTROL_CODES - 1) {
            (void)snprintf(labels, sizeof labels, "code=\"%d\"", codes[i]);
        } else {
            (void)snprintf(labels, sizeof labels, "code=\"other\"");
        }
        to->codes[i] = mlt_metrics_counter(m, "meltica_control_rejected_total",
                                           "Commands rejected, by the code of the answer", labels);
    }
    for (int v = 0; v < MLT_VERB_COUNT; v++) {
        (void)snprintf(labels, sizeof labels, "verb=\"%s\"", mlt_verb_word((enum mlt_verb)v));
        to->took[v] =
            mlt_metrics_histogram(m, "meltica_control_command_duration_seconds",
                                  "From a worker's taking a command to its answer", labels);
    }
}

void mlt_control_meters_make(struct mlt_control_meters *to, struct mlt_metrics *m)
{
    static const char *const refused = "Requests answered with an error";
    static const char *const not_begun = "Commands refused since no worker came to them in time";
    static const char *const outcomes = "Commands by outcome";
    static const char *const unstored = "Commands that the log of subscriptions did not take";
    static const char *const files = "Policy files, the first one included";
    to->refused = mlt_metrics_counter(m, "meltica_control_refused_total", refused, "code=\"400\"");
    to->unavailable =
        mlt_metrics_counter(m, "meltica_control_refused_total", refused, "code=\"503\"");
    to->reply_refused =
        mlt_metrics_counter(m, "meltica_control_reply_refused_total",
                            "Requests that wanted their answer at what is no inbox", NULL);
    to->confirmed =
        mlt_metrics_counter(m, "meltica_control_commands_total", outcomes, "outcome=\"confirmed\"");
    to->pending =
        mlt_metrics_counter(m, "meltica_control_commands_total", outcomes, "outcome=\"pending\"");
    to->commands_refused =
        mlt_metrics_counter(m, "meltica_control_commands_total", outcomes, "outcome=\"rejected\"");
    to->unchanged = mlt_metrics_counter(m, "meltica_control_unchanged_total",
                                        "Commands that asked for what was there", NULL);
    to->denied = mlt_metrics_counter(m, "meltica_control_denied_total",
                                     "Requests that a principal may not make", NULL);
    to->policies_taken =
        mlt_metrics_counter(m, "meltica_control_policy_files_total", files, "outcome=\"taken\"");
    to->policies_refused =
        mlt_metrics_counter(m, "meltica_control_policy_files_total", files, "outcome=\"refused\"");
    to->audited =
        mlt_metrics_counter(m, "meltica_control_audited_total", "Audit records stored", NULL);
    to->audit_failed = mlt_metrics_counter(m, "meltica_control_audit_failed_total",
                                           "Audit records that only the log has", NULL);
    to->log_full =
        mlt_metrics_counter(m, "meltica_control_not_stored_total", unstored, "reason=\"full\"");
    to->log_away =
        mlt_metrics_counter(m, "meltica_control_not_stored_total", unstored, "reason=\"away\"");
    to->log_silent =
        mlt_metrics_counter(m, "meltica_control_not_stored_total", unstored, "reason=\"no_ack\"");
    to->log_sequence = mlt_metrics_gauge(m, "meltica_control_log_sequence",
                                         "Sequence of the last record in the log", NULL);
    to->waited =
        mlt_metrics_counter(m, "meltica_control_not_begun_total", not_begun, "reason=\"waited\"");
    to->ended_first =
        mlt_metrics_counter(m, "meltica_control_not_begun_total", not_begun, "reason=\"ends\"");
    to->waiting = mlt_metrics_gauge(m, "meltica_control_waiting_commands",
                                    "Commands that wait for a worker", NULL);
    to->waiting_most = mlt_metrics_gauge(m, "meltica_control_waiting_commands_high_water",
                                         "Most commands that waited for a worker", NULL);
    make_by_word(to, m);
}

void mlt_control_meters_answered(const struct mlt_control_meters *meters, enum mlt_verb verb,
                                 int code, int64_t took_ns)
{
    if (verb < MLT_VERB_COUNT && took_ns >= 0) {
        mlt_histogram_record_ns(meters->took[verb], took_ns);
    }
    if (code == 0) {
        return;
    }
    unsigned i = 0;
    while (i < MLT_CONTROL_CODES - 1 && codes[i] != code) {
        i++;
    }
    mlt_counter_add(meters->codes[i], 1);
    mlt_counter_add(meters->commands_refused, 1);
}

void mlt_control_meters_not_begun(const struct mlt_control_meters *meters, bool ends)
{
    mlt_counter_add(ends ? meters->ended_first : meters->waited, 1);
}

void mlt_control_meters_collect(const struct mlt_control_meters *meters,
                                struct mlt_commands *commands, struct mlt_workers *workers,
                                const struct mlt_authority *authority)
{
    size_t now, most;
    struct mlt_commands_stats stats;
    mlt_commands_get_stats(commands, &stats);
    mlt_counter_set(meters->confirmed, stats.confirmed);
    mlt_counter_set(meters->pending, stats.pending);
    mlt_counter_set(meters->unchanged, stats.unchanged);
    mlt_counter_set(meters->audited, stats.audited);
    mlt_counter_set(meters->audit_failed, stats.audit_failed);
    mlt_counter_set(meters->denied, stats.denied);
    mlt_counter_set(meters->log_full, stats.log_full);
    mlt_counter_set(meters->log_away, stats.log_away);
    mlt_counter_set(meters->log_silent, stats.log_silent);
    if (authority->file != NULL) {
        struct mlt_policy_file_stats files;
        mlt_policy_file_get_stats(authority->file, &files);
        mlt_counter_set(meters->policies_taken, files.taken);
        mlt_counter_set(meters->policies_refused, files.refused);
    }
    mlt_gauge_set(meters->log_sequence, (int64_t)stats.log_sequence);
    mlt_workers_waiting(workers, &now, &most);
    mlt_gauge_set(meters->waiting, (int64_t)now);
    mlt_gauge_set(meters->waiting_most, (int64_t)most);
}

#include "soak_errors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Made on first use, or with traces alone: that nobody has it says nothing. */
#define NOT_ALWAYS true

/* Counters that stand still while all is well. */
static const struct {
    const char *metric, *label;
    bool not_always;
} error_metrics[] = {
    { "meltica_nats_errors_total", "", false },
    { "meltica_nats_dropped_total", "", false },
    { "meltica_nats_refused_total", "", false },
    { "meltica_nats_disconnects_total", "", false },
    { "meltica_metrics_overflow_total", "", false },
    { "meltica_drain_deadline_total", "", false },
    { "meltica_rejected_total", "", false },
    { "meltica_hop_overrun_batches_total", "", false },
    { "meltica_hop_lost_batches_total", "", false },
    { "meltica_hop_malformed_total", "", false },
    { "meltica_adapter_decode_failures_total", "", false },
    { "meltica_adapter_not_handed_on_total", "", false },
    { "meltica_adapter_requests_dropped_total", "", false },
    { "meltica_adapter_refusals_total", "", false },
    { "meltica_adapter_rest_failures_total", "", false },
    { "meltica_dispatcher_enrich_failed_total", "", false },
    { "meltica_dispatcher_lost_total", "", false },
    { "meltica_dispatcher_instruments_stored_total", "outcome=\"failed\"", false },
    { "meltica_conductor_lost_reports_total", "", false },
    { "meltica_conductor_refused_total", "", false },
    { "meltica_conductor_unsent_total", "", false },
    { "meltica_conductor_book_refused_total", "", false },
    { "meltica_conductor_book_crossed_total", "", false },
    { "meltica_conductor_book_audits_total", "outcome=\"wrong\"", false },
    { "meltica_conductor_cache_unusable_total", "", false },
    { "meltica_bus_undelivered_total", "", false },
    { "meltica_bus_refused_total", "", false },
    { "meltica_lane_undelivered_total", "", false },
    { "meltica_lane_refused_total", "", false },
    { "meltica_bus_table_failures_total", "", false },
    { "meltica_journal_dropped_events_total", "", false },
    { "meltica_journal_failed_batches_total", "", false },
    { "meltica_control_audit_failed_total", "", false },
    { "meltica_trace_spans_dropped_total", "", NOT_ALWAYS },
};

static uint64_t put_log_errors(const struct soak_run *run, cJSON *to)
{
    uint64_t total = 0;
    cJSON *lines = cJSON_AddObjectToObject(to, "log_lines");
    cJSON *warnings = cJSON_AddObjectToObject(to, "log_warnings");
    cJSON *last = cJSON_AddObjectToObject(to, "last_warnings");
    char first_of_all[512] = "";
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        char first[512];
        uint64_t warned = 0;
        const uint64_t errors =
            mlt_stack_errors(run->stack, soak_process_names[i], &warned, first, sizeof first);
        (void)cJSON_AddNumberToObject(lines, soak_process_names[i], (double)errors);
        (void)cJSON_AddNumberToObject(warnings, soak_process_names[i], (double)warned);
        cJSON *of = cJSON_AddArrayToObject(last, soak_process_names[i]);
        char line[512];
        for (unsigned w = MLT_STACK_WARNINGS; w-- > 0;) {
            if (mlt_stack_warning(run->stack, soak_process_names[i], w, line, sizeof line)) {
                (void)cJSON_AddItemToArray(of, cJSON_CreateString(line));
            }
        }
        total += errors;
        if (errors > 0 && first_of_all[0] == '\0') {
            (void)snprintf(first_of_all, sizeof first_of_all, "%s", first);
        }
    }
    (void)cJSON_AddStringToObject(to, "first_line", first_of_all);
    return total;
}

/* A counter that no service has stands still whatever happens. */
static bool is_measured(const struct soak_probe *probe, const char *metric)
{
    bool found = false;
    for (unsigned s = 0; s < SOAK_SERVICES; s++) {
        const struct mlt_buf *page = &probe->processes[s].metrics;
        char line[128];
        (void)snprintf(line, sizeof line, "# TYPE %s counter\n", metric);
        found =
            found || (page->len > 0 && memmem(page->data, page->len, line, strlen(line)) != NULL);
    }
    return found;
}

static uint64_t put_unmeasured(const struct soak_run *run, cJSON *to)
{
    cJSON *unmeasured = cJSON_AddArrayToObject(to, "unmeasured");
    for (size_t m = 0; m < sizeof error_metrics / sizeof error_metrics[0]; m++) {
        if (!error_metrics[m].not_always && !is_measured(run->probe, error_metrics[m].metric)) {
            (void)cJSON_AddItemToArray(unmeasured, cJSON_CreateString(error_metrics[m].metric));
        }
    }
    return (uint64_t)cJSON_GetArraySize(unmeasured);
}

static uint64_t put_metric_errors(const struct soak_run *run, cJSON *to)
{
    uint64_t total = 0;
    cJSON *metrics = cJSON_AddObjectToObject(to, "metrics");
    for (unsigned s = 0; s < SOAK_SERVICES; s++) {
        for (size_t m = 0; m < sizeof error_metrics / sizeof error_metrics[0]; m++) {
            const uint64_t value = soak_probe_grown(
                run->probe, soak_process_names[s], error_metrics[m].metric, error_metrics[m].label);
            if (value > 0) {
                char name[128];
                (void)snprintf(name, sizeof name, "%s %s", soak_process_names[s],
                               error_metrics[m].metric);
                (void)cJSON_AddNumberToObject(metrics, name, (double)value);
                total += value;
            }
        }
    }
    return total;
}

static uint64_t put_ends(const struct soak_run *run, cJSON *to)
{
    uint64_t total = 0;
    cJSON *gone = cJSON_AddArrayToObject(to, "ended_unasked");
    cJSON *unanswered = cJSON_AddArrayToObject(to, "unanswered");
    cJSON *statuses = cJSON_AddObjectToObject(to, "exit_status");
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        const struct soak_process *p = &run->probe->processes[i];
        if (p->gone) {
            (void)cJSON_AddItemToArray(gone, cJSON_CreateString(soak_process_names[i]));
            total++;
        } else if (i < SOAK_SERVICES) {
            (void)cJSON_AddNumberToObject(statuses, soak_process_names[i], p->exit_status);
            total += p->exit_status != 0;
        }
        if (i < SOAK_SERVICES && !p->answered) {
            (void)cJSON_AddItemToArray(unanswered, cJSON_CreateString(soak_process_names[i]));
            total += !p->gone;
        }
    }
    return total;
}

cJSON *soak_errors(const struct soak_run *run, struct soak_error_counts *counts)
{
    cJSON *to = cJSON_CreateObject();
    counts->lines = put_log_errors(run, to);
    counts->unmeasured = put_unmeasured(run, to);
    counts->metrics = put_metric_errors(run, to);
    counts->ends = put_ends(run, to);
    return to;
}

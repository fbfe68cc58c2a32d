#include "long_run.h"

#include "mlt_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "mlt_stack.h"

static int told; /* descriptor: a signal came */

static void on_signal(int number)
{
    const uint64_t one = 1;
    (void)number;
    if (write(told, &one, sizeof one) < 0) {
        _exit(1); /* all ends with this process */
    }
}

void long_run_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(told >= 0);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

bool long_run_is_told(int64_t until_ns)
{
    struct pollfd fd = { .fd = told, .events = POLLIN };
    const int64_t left_ns = until_ns - mlt_clock_mono_ns();
    int found;
    do {
        found = poll(&fd, 1, left_ns > 0 ? (int)(left_ns / MLT_NS_PER_MS) : 0);
    } while (found < 0 && errno == EINTR);
    return found > 0;
}

double long_run_machine_load(void)
{
    double load = 0;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

/* ---- options ---- */

const char *long_run_commit(void)
{
    const char *commit = getenv("MELTICA_COMMIT");
    return commit != NULL && commit[0] != '\0' ? commit : "unknown";
}

bool long_run_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out >= least &&
           *out <= most;
}

bool long_run_parse(const struct long_run_options *options, void *plan, int argc, char **argv,
                    int *status)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *status = options->usage(stdout, 0);
            return false;
        }
    }
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !options->take(plan, argv[i], argv[i + 1])) {
            (void)fprintf(stderr, "%s: what is %s %s\n", options->program, argv[i],
                          i + 1 < argc ? argv[i + 1] : "without a value");
            *status = options->usage(stderr, 2);
            return false;
        }
    }
    if (!options->check(plan)) {
        *status = options->usage(stderr, 2);
        return false;
    }
    return true;
}

bool long_run_possible(const char *program, int64_t seconds, int64_t seconds_max,
                       const char *report)
{
    if (seconds > seconds_max) {
        (void)fprintf(stderr, "%s: at most %d hours\n", program, (int)(seconds_max / 3600));
        return false;
    }
    FILE *to = report != NULL ? fopen(report, "a") : NULL; /* before anything runs */
    if (to == NULL || fclose(to) != 0) {
        (void)fprintf(stderr, "%s: cannot write the report %s: name another one with --report\n",
                      program, report != NULL ? report : "(none)");
        return false;
    }
    return true;
}

/* ---- run ---- */

int long_run_with_table(const char *program, const char *table,
                        int (*run)(const void *plan, const char *table_path), const void *plan)
{
    char table_path[64];
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-%s-table.XXXXXX", program);
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0 && dprintf(fd, "%s", table) > 0 && close(fd) == 0);
    mlt_log_init(program, "", MLT_LOG_ERROR); /* a person reads this */
    mlt_stack_find_binaries();
    long_run_catch_signals();
    const int status = run(plan, table_path);
    (void)unlink(table_path);
    return status;
}

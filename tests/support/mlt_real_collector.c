#include "mlt_real_collector.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mlt_port.h"

#define READY "Everything is ready"

static bool write_config(struct mlt_real_collector *collector, uint16_t behind)
{
    (void)snprintf(collector->config, sizeof collector->config, "/tmp/meltica-collector.XXXXXX");
    const int fd = mkstemp(collector->config);
    if (fd < 0) {
        collector->config[0] = '\0';
        return false;
    }
    const bool written =
        dprintf(fd,
                "receivers:\n"
                "  otlp: {protocols: {http: {endpoint: \"127.0.0.1:%u\"}}}\n"
                "processors:\n"
                "  batch: {timeout: 100ms, send_batch_size: 256, send_batch_max_size: 512}\n"
                "exporters:\n"
                "  otlp_http: {endpoint: \"http://127.0.0.1:%u\", compression: none}\n"
                "service:\n"
                "  telemetry: {metrics: {level: none}}\n"
                "  pipelines:\n"
                "    traces: {receivers: [otlp], processors: [batch], exporters: [otlp_http]}\n",
                collector->port, behind) > 0;
    return close(fd) == 0 && written;
}

static _Noreturn void become(const char *program, const char *config, int out)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(out, STDERR_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0) {
        (void)execl(program, program, "--config", config, (char *)NULL);
    }
    _exit(127);
}

/* What it says after that it is ready is nobody's; it must not stand because of it. */
static void *drain(void *ctx)
{
    const struct mlt_real_collector *collector = ctx;
    char away[4096];
    while (read(collector->said, away, sizeof away) > 0) {
    }
    return NULL;
}

static bool wait_ready(struct mlt_real_collector *collector)
{
    size_t len = 0;
    for (;;) {
        if (len > sizeof collector->last_words / 2) { /* the end of what was said is what matters */
            len = sizeof collector->last_words / 4;
            memmove(collector->last_words,
                    collector->last_words + strlen(collector->last_words) - len, len + 1);
        }
        const ssize_t n = read(collector->said, collector->last_words + len,
                               sizeof collector->last_words - 1 - len);
        if (n <= 0) {
            return false;
        }
        len += (size_t)n;
        collector->last_words[len] = '\0';
        if (strstr(collector->last_words, READY) != NULL) {
            return true;
        }
    }
}

static void forget(struct mlt_real_collector *collector)
{
    if (collector->config[0] != '\0') {
        (void)unlink(collector->config);
        collector->config[0] = '\0';
    }
}

bool mlt_real_collector_start(struct mlt_real_collector *collector, const char *program,
                              uint16_t behind)
{
    int pipe_fds[2];
    memset(collector, 0, sizeof *collector);
    collector->port = mlt_free_port(); /* it cannot say which it took, so it is told one */
    if (collector->port == 0 || !write_config(collector, behind) || pipe(pipe_fds) != 0) {
        (void)snprintf(collector->last_words, sizeof collector->last_words,
                       "no port, file or pipe");
        forget(collector);
        return false;
    }
    collector->pid = fork();
    if (collector->pid == 0) {
        (void)close(pipe_fds[0]);
        become(program, collector->config, pipe_fds[1]);
    }
    (void)close(pipe_fds[1]);
    collector->said = pipe_fds[0];
    if (collector->pid > 0 && wait_ready(collector) &&
        pthread_create(&collector->reader, NULL, drain, collector) == 0) {
        return true;
    }
    if (collector->pid > 0) {
        (void)kill(collector->pid, SIGKILL);
        (void)waitpid(collector->pid, NULL, 0);
    }
    collector->pid = 0;
    (void)close(collector->said);
    forget(collector);
    return false;
}

int mlt_real_collector_stop(struct mlt_real_collector *collector)
{
    int status = 0;
    if (collector->pid <= 0) {
        return -1;
    }
    (void)kill(collector->pid, SIGTERM);
    const pid_t ended = waitpid(collector->pid, &status, 0);
    const bool exited = ended == collector->pid && WIFEXITED(status);
    collector->pid = 0;
    (void)pthread_join(collector->reader, NULL);
    (void)close(collector->said);
    forget(collector);
    return exited ? WEXITSTATUS(status) : -1;
}

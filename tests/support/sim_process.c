#include "sim_process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MAX 60

static _Noreturn void become(const char *const *arguments, int out)
{
    char program[1024];
    char *argv[ARGUMENTS_MAX + 2] = { program };
    const char *dir = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(program, sizeof program, "%s/bin/meltica-exchange-sim", dir != NULL ? dir : ".");
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i] != NULL; i++) {
        argv[i + 1] = strdup(arguments[i]);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(out, STDOUT_FILENO) >= 0) {
        (void)execv(program, argv);
    }
    _exit(127);
}

static int port_after(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    at = at != NULL ? strstr(at + strlen(key), "://") : NULL;
    at = at != NULL ? strchr(at + 3, ':') : NULL;
    return at != NULL ? (int)strtol(at + 1, NULL, 10) : 0;
}

bool sim_process_start(struct sim_process *sim, const char *const *arguments)
{
    int pipe_fds[2];
    char line[2048] = "";
    memset(sim, 0, sizeof *sim);
    if (pipe(pipe_fds) != 0) {
        return false;
    }
    sim->pid = fork();
    if (sim->pid == 0) {
        (void)close(pipe_fds[0]);
        become(arguments, pipe_fds[1]);
    }
    (void)close(pipe_fds[1]);
    FILE *out = fdopen(pipe_fds[0], "r");
    const bool said = sim->pid > 0 && out != NULL && fgets(line, sizeof line, out) != NULL;
    if (out != NULL) {
        (void)fclose(out);
    }
    sim->port = port_after(line, "\"ws\"");
    sim->tls_port = port_after(line, "\"wss\"");
    const char *ca = strstr(line, "\"ca\":\"");
    if (ca != NULL) {
        (void)snprintf(sim->ca, sizeof sim->ca, "%.*s", (int)strcspn(ca + 6, "\""), ca + 6);
    }
    if (!said || sim->port == 0) {
        (void)sim_process_stop(sim);
        return false;
    }
    return true;
}

int sim_process_stop(struct sim_process *sim)
{
    int status = 0;
    if (sim->pid <= 0) {
        return -1;
    }
    (void)kill(sim->pid, SIGTERM);
    const pid_t ended = waitpid(sim->pid, &status, 0);
    const bool exited = ended == sim->pid && WIFEXITED(status);
    sim->pid = 0;
    return exited ? WEXITSTATUS(status) : -1;
}

#include "nats_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mlt_port.h"
#include "mlt_test.h"

#define READY_MS 10000

void nats_server_wait_said(struct nats_server *server, const char *words)
{
    char log[16384];
    size_t used = 0;
    while (used < sizeof log - 1) {
        struct pollfd wait = { .fd = server->log_fd, .events = POLLIN };
        if (poll(&wait, 1, READY_MS) != 1) {
            fail_msg("nats-server does not say \"%s\" in %d ms", words, READY_MS);
        }
        const ssize_t got = read(server->log_fd, log + used, sizeof log - 1 - used);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        log[used] = '\0';
        if (strstr(log, words) != NULL) {
            return;
        }
    }
    fail_msg("nats-server ended: %.*s", (int)used, log);
}

void nats_server_start(struct nats_server *server)
{
    int fds[2];
    assert_int_equal(server->pid, 0);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(fds[1], STDERR_FILENO) < 0) {
            _exit(127);
        }
        (void)execlp("nats-server", "nats-server", "-c", server->config, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    server->pid = pid;
    server->log_fd = fds[0];
    nats_server_wait_said(server, "Server is ready");
}

static void write_config(const struct nats_server *server, const char *extra)
{
    FILE *config = fopen(server->config, "we");
    assert_non_null(config);
    (void)fprintf(config, "host: 127.0.0.1\nport: %d\n%s\n", server->port,
                  extra != NULL ? extra : "");
    assert_int_equal(fclose(config), 0);
}

void nats_server_reload(struct nats_server *server, const char *extra)
{
    write_config(server, extra);
    assert_int_equal(kill(server->pid, SIGHUP), 0);
    nats_server_wait_said(server, "Reloaded server configuration");
}

void nats_server_init(struct nats_server *server, const char *extra)
{
    *server = (struct nats_server){ .port = mlt_free_port(), .log_fd = -1 };
    assert_true(server->port > 0);
    (void)snprintf(server->url, sizeof server->url, "nats://127.0.0.1:%d", server->port);
    (void)snprintf(server->dir, sizeof server->dir, "/tmp/meltica-nats-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    (void)snprintf(server->config, sizeof server->config, "%s/nats.conf", server->dir);
    write_config(server, extra);
    nats_server_start(server);
}

void nats_server_kill(struct nats_server *server)
{
    int status = 0;
    if (server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, &status, 0);
        (void)close(server->log_fd);
        server->pid = 0;
    }
}

void nats_server_fini(struct nats_server *server)
{
    nats_server_kill(server);
    (void)unlink(server->config);
    (void)rmdir(server->dir);
}

/* ---- one for a group ---- */

struct nats_server nats_group;

int nats_group_start(void **state)
{
    (void)state;
    nats_server_init(&nats_group, NULL);
    return 0;
}

int nats_group_end(void **state)
{
    (void)state;
    nats_server_fini(&nats_group);
    return 0;
}

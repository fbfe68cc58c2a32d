/* A nats-server of a test's own: free port of loopback, folder of its own, ended by its pid. */
#ifndef MELTICA_NATS_FIXTURE_H
#define MELTICA_NATS_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

struct nats_server {
    pid_t pid; /* 0: not running */
    int port, log_fd;
    char url[64], dir[64], config[96];
};

/* Writes a configuration (extra: further lines of it, or NULL), starts the server and returns when
 * it is ready. Fails the test otherwise. */
void nats_server_init(struct nats_server *server, const char *extra);
/* Another configuration while it runs; returns when the server has it. */
void nats_server_reload(struct nats_server *server, const char *extra);
void nats_server_start(struct nats_server *server); /* again, on the same port */
void nats_server_kill(struct nats_server *server);  /* -9 */
/* Reads on in the server's log until it says that, behind what was read before; fails the test
 * after 10 s without a word. */
void nats_server_wait_said(struct nats_server *server, const char *words);
void nats_server_fini(struct nats_server *server);

/* For a group of tests that share one: set-up and tear-down of cmocka_run_group_tests. */
extern struct nats_server nats_group;
int nats_group_start(void **state);
int nats_group_end(void **state);

#endif

/*
 * The other side of a connection, for tests: a TCP or TLS server on 127.0.0.1 whose thread runs a
 * script per connection, with full control over every byte, close and reset. Reads have a deadline
 * of 10 s; a script that fails marks the peer, and peer_stop returns what was wrong.
 */
#ifndef MELTICA_TEST_PEER_H
#define MELTICA_TEST_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct peer;

struct conn {
    struct peer *peer;
    int fd;
    SSL *ssl;
    unsigned number;    /* from 0, in order of accepting */
    char request[8192]; /* head of the HTTP request, NUL-terminated */
    size_t request_len;
};

struct peer {
    uint16_t port;
    SSL_CTX *tls; /* set before peer_start for a TLS server */
    void (*script)(struct conn *conn, void *ctx);
    void *ctx;
    int listen_fd;
    pthread_t thread;
    atomic_bool stopping;
    atomic_uint accepted;
    const char *wrong; /* first failure, static string */
};

/* 127.0.0.1, any port. False: cannot. */
bool peer_start(struct peer *peer, void (*script)(struct conn *conn, void *ctx), void *ctx);
/* Joins the thread. NULL when every script went as it should. */
const char *peer_stop(struct peer *peer);
/* For scripts: records and is false when ok is false. */
bool peer_check(struct conn *conn, bool ok, const char *what);

bool conn_write(struct conn *conn, const void *data, size_t len);
/* Exactly len bytes. False at the end, a reset or the deadline. */
bool conn_read(struct conn *conn, void *data, size_t len);
/* True when nothing comes for that long. */
bool conn_quiet_for(struct conn *conn, int ms);
/* Up to the empty line, into request. */
bool conn_read_request(struct conn *conn);
/* Reads until the other side ends. */
void conn_drain(struct conn *conn);
/* Closes with a reset instead of a FIN when the script returns. */
void conn_reset(struct conn *conn);

/* WebSocket, server side. */
bool conn_upgrade(struct conn *conn); /* request read, 101 sent */
bool conn_frame(struct conn *conn, bool final, unsigned opcode, const void *payload, size_t len);
/* Writes the frame in pieces of piece bytes, each a send of its own. */
bool conn_frame_in_pieces(struct conn *conn, bool final, unsigned opcode, const void *payload,
                          size_t len, size_t piece);
bool conn_text(struct conn *conn, const char *text);
bool conn_close_frame(struct conn *conn, unsigned code, const char *reason);
/* Reads until the client's close frame and answers it. False: it ended without one. */
bool conn_answer_close(struct conn *conn);
/* One frame of the client, unmasked, with a NUL behind it; len holds the room and then the length.
 * False also for an unmasked frame. */
bool conn_read_frame(struct conn *conn, unsigned *opcode, void *payload, size_t *len);

/* ---- test CA ---- */

struct test_ca {
    void *key, *cert;             /* EVP_PKEY, X509 */
    char directory[64], file[96]; /* PEM of the CA */
};
bool test_ca_make(struct test_ca *ca);
void test_ca_drop(struct test_ca *ca);
/* A server context with a certificate for DNS name, signed by ca; expired: ended an hour ago. */
SSL_CTX *test_ca_server(struct test_ca *ca, const char *name, bool expired);

/* Open descriptors of this process. */
unsigned open_descriptors(void);

#endif

#include "mlt_peer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#define DEADLINE_S 10

/* ---- peer ---- */

bool peer_check(struct conn *conn, bool ok, const char *what)
{
    if (!ok && conn->peer->wrong == NULL) {
        conn->peer->wrong = what;
    }
    return ok;
}

static void serve(struct peer *peer, int fd)
{
    struct conn conn = { .peer = peer, .fd = fd };
    conn.number = atomic_fetch_add(&peer->accepted, 1);
    const struct timeval deadline = { .tv_sec = DEADLINE_S };
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bool up = true;
    if (peer->tls != NULL) {
        conn.ssl = SSL_new(peer->tls);
        up = conn.ssl != NULL && SSL_set_fd(conn.ssl, fd) == 1 && SSL_accept(conn.ssl) == 1;
    }
    if (up) {
        peer->script(&conn, peer->ctx);
    }
    SSL_free(conn.ssl);
    (void)close(fd);
}

static void *peer_thread(void *arg)
{
    struct peer *peer = arg;
    int fd = -1;
    while ((fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (atomic_load(&peer->stopping)) {
            (void)close(fd);
            break;
        }
        serve(peer, fd);
    }
    return NULL;
}

bool peer_start(struct peer *peer, void (*script)(struct conn *conn, void *ctx), void *ctx)
{
    peer->script = script;
    peer->ctx = ctx;
    peer->wrong = NULL;
    atomic_init(&peer->stopping, false);
    atomic_init(&peer->accepted, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;
    peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->listen_fd < 0 ||
        bind(peer->listen_fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(peer->listen_fd, 64) != 0 ||
        getsockname(peer->listen_fd, (struct sockaddr *)&address, &len) != 0) {
        return false;
    }
    peer->port = ntohs(address.sin_port);
    return pthread_create(&peer->thread, NULL, peer_thread, peer) == 0;
}

const char *peer_stop(struct peer *peer)
{
    atomic_store(&peer->stopping, true);
    (void)shutdown(peer->listen_fd, SHUT_RDWR); /* accept returns */
    (void)pthread_join(peer->thread, NULL);
    (void)close(peer->listen_fd);
    SSL_CTX_free(peer->tls);
    peer->tls = NULL;
    return peer->wrong;
}

/* ---- bytes ---- */

bool conn_write(struct conn *conn, const void *data, size_t len)
{
    const unsigned char *from = data;
    while (len > 0) {
        const ssize_t n = conn->ssl != NULL
                              ? SSL_write(conn->ssl, from, len > 65536 ? 65536 : (int)len)
                              : send(conn->fd, from, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        from += n;
        len -= (size_t)n;
    }
    return true;
}

bool conn_read(struct conn *conn, void *data, size_t len)
{
    unsigned char *to = data;
    while (len > 0) {
        const ssize_t n = conn->ssl != NULL
                              ? SSL_read(conn->ssl, to, len > 65536 ? 65536 : (int)len)
                              : recv(conn->fd, to, len, 0);
        if (n <= 0) {
            return false;
        }
        to += n;
        len -= (size_t)n;
    }
    return true;
}

bool conn_quiet_for(struct conn *conn, int ms)
{
    struct pollfd wait = { .fd = conn->fd, .events = POLLIN };
    return (conn->ssl == NULL || SSL_pending(conn->ssl) == 0) && poll(&wait, 1, ms) == 0;
}

bool conn_read_request(struct conn *conn)
{
    conn->request_len = 0;
    while (conn->request_len + 1 < sizeof conn->request) {
        if (!conn_read(conn, conn->request + conn->request_len, 1)) {
            return false;
        }
        conn->request[++conn->request_len] = 0;
        if (conn->request_len >= 4 &&
            memcmp(conn->request + conn->request_len - 4, "\r\n\r\n", 4) == 0) {
            return true;
        }
    }
    return false;
}

void conn_drain(struct conn *conn)
{
    char byte = 0;
    while (conn_read(conn, &byte, 1)) {
    }
}

void conn_reset(struct conn *conn)
{
    const struct linger now = { .l_onoff = 1, .l_linger = 0 };
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* ---- WebSocket ---- */

bool conn_upgrade(struct conn *conn)
{
    if (!conn_read_request(conn)) {
        return false;
    }
    const char *key = strcasestr(conn->request, "\r\nSec-WebSocket-Key:");
    if (!peer_check(conn, key != NULL, "request without Sec-WebSocket-Key")) {
        return false;
    }
    key += strlen("\r\nSec-WebSocket-Key:");
    key += strspn(key, " ");
    char joined[128];
    (void)snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                   (int)strcspn(key, "\r"), key);
    unsigned char digest[SHA_DIGEST_LENGTH];
    unsigned char accept_key[64];
    (void)SHA1((const unsigned char *)joined, strlen(joined), digest);
    (void)EVP_EncodeBlock(accept_key, digest, sizeof digest);
    char answer[256];
    const int len = snprintf(answer, sizeof answer,
                             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                             (const char *)accept_key);
    return len > 0 && conn_write(conn, answer, (size_t)len);
}

static size_t frame_head(unsigned char head[10], bool final, unsigned opcode, size_t len)
{
    head[0] = (unsigned char)((final ? 0x80u : 0u) | opcode);
    if (len < 126) {
        head[1] = (unsigned char)len;
        return 2;
    }
    const size_t bytes = len <= UINT16_MAX ? 2 : 8;
    head[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) {
        head[2 + i] = (unsigned char)((uint64_t)len >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}

bool conn_frame(struct conn *conn, bool final, unsigned opcode, const void *payload, size_t len)
{
    return conn_frame_in_pieces(conn, final, opcode, payload, len, 10 + len);
}

bool conn_frame_in_pieces(struct conn *conn, bool final, unsigned opcode, const void *payload,
                          size_t len, size_t piece)
{
    unsigned char *whole = malloc(10 + len);
    if (whole == NULL) {
        return false;
    }
    unsigned char head[10];
    const size_t head_len = frame_head(head, final, opcode, len);
    memcpy(whole, head, head_len);
    if (len > 0) {
        memcpy(whole + head_len, payload, len);
    }
    bool ok = true;
    for (size_t at = 0; ok && at < head_len + len; at += piece) {
        const size_t left = head_len + len - at;
        ok = conn_write(conn, whole + at, left < piece ? left : piece);
    }
    free(whole);
    return ok;
}

bool conn_text(struct conn *conn, const char *text)
{
    return conn_frame(conn, true, 1, text, strlen(text));
}

bool conn_close_frame(struct conn *conn, unsigned code, const char *reason)
{
    unsigned char payload[125] = { (unsigned char)(code >> 8), (unsigned char)code };
    const size_t len = strlen(reason);
    memcpy(payload + 2, reason, len);
    return conn_frame(conn, true, 8, payload, 2 + len);
}

bool conn_read_frame(struct conn *conn, unsigned *opcode, void *payload, size_t *len)
{
    unsigned char head[14];
    if (!conn_read(conn, head, 2) || (head[1] & 0x80) == 0) {
        return false;
    }
    *opcode = head[0] & 0x0fu;
    uint64_t size = head[1] & 0x7fu;
    if (size >= 126) {
        const size_t bytes = size == 126 ? 2 : 8;
        if (!conn_read(conn, head + 2, bytes)) {
            return false;
        }
        size = 0;
        for (size_t i = 0; i < bytes; i++) {
            size = size << 8 | head[2 + i];
        }
    }
    unsigned char mask[4];
    unsigned char *to = payload;
    if (size >= *len || !conn_read(conn, mask, 4) || !conn_read(conn, to, (size_t)size)) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        to[i] ^= mask[i % 4];
    }
    to[size] = 0;
    *len = (size_t)size;
    return true;
}

bool conn_answer_close(struct conn *conn)
{
    unsigned char payload[256];
    unsigned opcode = 0;
    size_t len = sizeof payload;
    while (conn_read_frame(conn, &opcode, payload, &len)) {
        if (opcode == 8) {
            return conn_frame(conn, true, 8, payload, len < 2 ? len : 2);
        }
        len = sizeof payload;
    }
    return false;
}

/* ---- test CA ---- */

static X509 *make_cert(EVP_PKEY *key, const char *name, bool is_ca, bool expired, X509 *issuer,
                       EVP_PKEY *issuer_key)
{
    X509 *cert = X509_new();
    if (cert == NULL) {
        return NULL;
    }
    X509_NAME *subject = X509_get_subject_name(cert);
    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), is_ca ? 1 : 2);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), expired ? -3600 : 86400);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                     -1, 0);
    (void)X509_set_pubkey(cert, key);
    (void)X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : subject);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer != NULL ? issuer : cert, cert, NULL, NULL, 0);
    char value[128];
    (void)snprintf(value, sizeof value, is_ca ? "critical,CA:TRUE" : "DNS:%s", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(
        NULL, &ctx, is_ca ? NID_basic_constraints : NID_subject_alt_name, value);
    (void)X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    if (X509_sign(cert, issuer_key != NULL ? issuer_key : key, EVP_sha256()) == 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

bool test_ca_make(struct test_ca *ca)
{
    *ca = (struct test_ca){ .directory = "/tmp/meltica-test-ca-XXXXXX" };
    if (mkdtemp(ca->directory) == NULL) {
        return false;
    }
    (void)snprintf(ca->file, sizeof ca->file, "%s/ca.pem", ca->directory);
    ca->key = EVP_EC_gen("P-256");
    ca->cert = ca->key == NULL ? NULL : make_cert(ca->key, "test CA", true, false, NULL, NULL);
    FILE *file = fopen(ca->file, "w");
    const bool written = file != NULL && ca->cert != NULL && PEM_write_X509(file, ca->cert) == 1;
    return file != NULL && fclose(file) == 0 && written;
}

void test_ca_drop(struct test_ca *ca)
{
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    (void)unlink(ca->file);
    (void)rmdir(ca->directory);
}

SSL_CTX *test_ca_server(struct test_ca *ca, const char *name, bool expired)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : make_cert(key, name, false, expired, ca->cert, ca->key);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (cert == NULL || tls == NULL || SSL_CTX_use_certificate(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey(tls, key) != 1) {
        SSL_CTX_free(tls);
        tls = NULL;
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return tls;
}

unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory != NULL) {
        while (readdir(directory) != NULL) {
            count++;
        }
        (void)closedir(directory);
    }
    return count;
}

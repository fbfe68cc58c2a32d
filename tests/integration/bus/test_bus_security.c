/* Credentials, TLS and the server's version. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "mlt_certificate.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define WAIT_NS (10 * MLT_NS_PER_S)
/* The example pair of the NATS documentation: nobody's secret. */
#define SEED "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define PUBLIC "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

static const enum mlt_bus_kind kinds[] = { MLT_BUS_DATA, MLT_BUS_CONTROL };

static void write_file(const struct nats_server *server, const char *name, const char *text,
                       char *path, size_t size)
{
    (void)snprintf(path, size, "%s/%s", server->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static enum mlt_status try(const struct mlt_bus_options *options, enum mlt_bus_kind kind)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    struct mlt_bus_options of_kind = *options;
    of_kind.kind = kind;
    const enum mlt_status status = mlt_bus_connect(&of_kind, &bus, &err);
    if (status == MLT_OK) {
        assert_true(mlt_bus_connected(bus));
        assert_true(mlt_bus_rtt_ns(bus) > 0);
        mlt_bus_destroy(bus, MLT_NS_PER_S);
    }
    return status;
}

static void test_user_and_password(void **state)
{
    (void)state;
    struct nats_server server;
    char good[128], bad[128], empty[128];
    nats_server_init(&server, "authorization { user: meltica, password: \"s3cret\" }");
    write_file(&server, "good", "s3cret\n", good, sizeof good);
    write_file(&server, "bad", "other\n", bad, sizeof bad);
    write_file(&server, "empty", "\n", empty, sizeof empty);
    struct mlt_bus_options options = { .url = server.url, .user = "meltica" };
    for (size_t i = 0; i < 2; i++) {
        options.password_file = good;
        assert_int_equal(try(&options, kinds[i]), MLT_OK);
        options.password_file = bad;
        assert_int_equal(try(&options, kinds[i]), MLT_E_AUTH);
        options.password_file = empty;
        assert_int_equal(try(&options, kinds[i]), MLT_E_CONFIG);
    }
    (void)unlink(good);
    (void)unlink(bad);
    (void)unlink(empty);
    nats_server_fini(&server);
}

static void test_token(void **state)
{
    (void)state;
    struct nats_server server;
    char good[128], bad[128];
    nats_server_init(&server, "authorization { token: \"t0ken\" }");
    write_file(&server, "good", "t0ken", good, sizeof good);
    write_file(&server, "bad", "t1ken", bad, sizeof bad);
    struct mlt_bus_options options = { .url = server.url };
    for (size_t i = 0; i < 2; i++) {
        options.token_file = good;
        assert_int_equal(try(&options, kinds[i]), MLT_OK);
        options.token_file = bad;
        assert_int_equal(try(&options, kinds[i]), MLT_E_AUTH);
    }
    (void)unlink(good);
    (void)unlink(bad);
    nats_server_fini(&server);
}

static void test_nkey(void **state)
{
    (void)state;
    struct nats_server server;
    char good[128], bad[128];
    nats_server_init(&server, "authorization { users: [ { nkey: " PUBLIC " } ] }");
    write_file(&server, "good", SEED "\n", good, sizeof good);
    write_file(&server, "bad", PUBLIC "\n", bad, sizeof bad);
    struct mlt_bus_options options = { .url = server.url };
    for (size_t i = 0; i < 2; i++) {
        options.nkey_seed_file = good;
        assert_int_equal(try(&options, kinds[i]), MLT_OK);
        options.nkey_seed_file = bad;
        assert_int_equal(try(&options, kinds[i]), MLT_E_CONFIG);
        options.nkey_seed_file = NULL;
        assert_int_equal(try(&options, kinds[i]), MLT_E_AUTH);
    }
    (void)unlink(good);
    (void)unlink(bad);
    nats_server_fini(&server);
}

/* ---- TLS ---- */

struct count {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t count, wrong;
};

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    struct count *count = ctx;
    uint64_t number = 0;
    (void)pthread_mutex_lock(&count->lock);
    memcpy(&number, message->payload.data, sizeof number);
    count->wrong += number != count->count;
    count->count++;
    (void)pthread_cond_broadcast(&count->changed);
    (void)pthread_mutex_unlock(&count->lock);
}

/* Messages of very different sizes over TLS, both directions on one event loop. */
static void test_tls(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static uint8_t block[200000];
    char dir[] = "/tmp/meltica-tls-XXXXXX", extra[256], ca[64], key[64], url[64];
    struct nats_server server;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    struct mlt_bus_subscription *sub = NULL;
    struct count count = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    assert_non_null(mkdtemp(dir));
    mlt_make_certificate(dir);
    (void)snprintf(ca, sizeof ca, "%s/cert.pem", dir);
    (void)snprintf(key, sizeof key, "%s/key.pem", dir);
    (void)snprintf(extra, sizeof extra, "tls { cert_file: \"%s\", key_file: \"%s\" }", ca, key);
    nats_server_init(&server, extra);
    (void)snprintf(url, sizeof url, "tls://localhost:%d", server.port);
    struct mlt_bus_options options = { .url = url, .tls_ca_file = ca };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(try(&options, kinds[i]), MLT_OK);
        options.tls_ca_file = key; /* no certificate in it */
        assert_int_equal(try(&options, kinds[i]), MLT_E_CONFIG);
        options.tls_ca_file = NULL; /* nobody vouches for it */
        assert_int_equal(try(&options, kinds[i]), MLT_E_CONFIG);
        options.tls_ca_file = ca;
    }
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    const struct mlt_bus_subscribe_options to = { .subject = "t.tls",
                                                  .pending_bytes_max = 256 << 20 };
    assert_int_equal(mlt_bus_subscribe(bus, &to, on_message, &count, &sub, &err), MLT_OK);
    for (uint64_t i = 0; i < COUNT; i++) {
        memcpy(block, &i, sizeof i);
        assert_int_equal(mlt_bus_publish_wait(bus, "t.tls",
                                              mlt_slice_of(block, 8 + (i * 7919) % 50000),
                                              mlt_clock_mono_ns() + WAIT_NS),
                         MLT_OK);
    }
    (void)pthread_mutex_lock(&count.lock);
    while (count.count < COUNT) {
        (void)pthread_cond_wait(&count.changed, &count.lock);
    }
    assert_int_equal(count.wrong, 0);
    (void)pthread_mutex_unlock(&count.lock);
    mlt_bus_unsubscribe(sub);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    nats_server_fini(&server);
    (void)unlink(ca);
    (void)unlink(key);
    (void)rmdir(dir);
}

/* ---- a server that is too old ---- */

#define CLIENTS_MAX 32u

struct old_server {
    int listen_fd, stop_fd, port;
    pthread_t thread;
};

static void greet(int fd)
{
    static const char info[] =
        "INFO {\"server_id\":\"OLD\",\"version\":\"2.9.15\",\"proto\":1,\"headers\":true,"
        "\"max_payload\":1048576}\r\n";
    (void)send(fd, info, sizeof info - 1, MSG_NOSIGNAL);
}

static void *serve_old(void *ctx)
{
    struct old_server *old = ctx;
    struct pollfd fds[CLIENTS_MAX] = { { .fd = old->stop_fd, .events = POLLIN },
                                       { .fd = old->listen_fd, .events = POLLIN } };
    nfds_t used = 2;
    while (poll(fds, used, -1) > 0 && fds[0].revents == 0) {
        for (nfds_t i = 2; i < used; i++) {
            char bytes[4096];
            if (fds[i].revents == 0) {
                continue;
            }
            const ssize_t got = recv(fds[i].fd, bytes, sizeof bytes - 1, 0);
            if (got <= 0) {
                (void)close(fds[i].fd);
                fds[i].fd = -1; /* poll passes it over */
                continue;
            }
            bytes[got] = '\0';
            if (strstr(bytes, "PING") != NULL) {
                (void)send(fds[i].fd, "PONG\r\n", 6, MSG_NOSIGNAL);
            }
        }
        if (fds[1].revents != 0 && used < CLIENTS_MAX) {
            fds[used] = (struct pollfd){ .fd = accept4(old->listen_fd, NULL, NULL, SOCK_CLOEXEC),
                                         .events = POLLIN };
            greet(fds[used++].fd);
        }
    }
    for (nfds_t i = 2; i < used; i++) {
        if (fds[i].fd >= 0) {
            (void)close(fds[i].fd);
        }
    }
    return NULL;
}

static void test_old_server_is_refused(void **state)
{
    (void)state;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    char url[64];
    struct old_server old = { .listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                              .stop_fd = eventfd(0, EFD_CLOEXEC) };
    assert_int_equal(bind(old.listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(old.listen_fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(listen(old.listen_fd, 16), 0);
    assert_int_equal(pthread_create(&old.thread, NULL, serve_old, &old), 0);
    (void)snprintf(url, sizeof url, "nats://127.0.0.1:%d", ntohs(address.sin_port));
    const struct mlt_bus_options options = { .url = url };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(try(&options, kinds[i]), MLT_E_VERSION);
    }
    assert_int_equal(eventfd_write(old.stop_fd, 1), 0);
    assert_int_equal(pthread_join(old.thread, NULL), 0);
    (void)close(old.listen_fd);
    (void)close(old.stop_fd);
}

/* A batch beyond max_payload would never leave: a hop's connection says so at the start. */
static void test_server_that_takes_too_little_is_refused(void **state)
{
    (void)state;
    struct nats_server server;
    nats_server_init(&server, "max_payload: 65536\n");
    const struct mlt_bus_options options = { .url = server.url };
    assert_int_equal(try(&options, MLT_BUS_DATA), MLT_E_VERSION);
    assert_int_equal(try(&options, MLT_BUS_CONTROL), MLT_OK);
    nats_server_fini(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_and_password),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_nkey),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_old_server_is_refused),
        cmocka_unit_test(test_server_that_takes_too_little_is_refused),
    };
    return cmocka_run_group_tests_name("bus_security", tests, NULL, NULL);
}

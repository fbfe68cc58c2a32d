/* The loop runs on a thread of its own; the tests are the client, on raw sockets with deadlines. */
#include "mlt_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "meltica/base/buf.h"
#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/error.h"
#include "meltica/rt/loop.h"

#define DEADLINE_SECONDS 20
#define BIG_BYTES MLT_LOOP_ANSWER_BYTES_MAX
#define LARGE_BYTES (1u << 20)
#define CONNECTIONS_MAX 64
#define STANDING_MAX 56

static struct mlt_loop *loop;
static uint16_t port;
static pthread_t thread;
static sem_t ready;

/* ---- server ---- */

static uint8_t big[BIG_BYTES];

static void make_big(void)
{
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (uint8_t)('a' + (i * 7 + i / 4096) % 26);
    }
}

static void handler(void *ctx, const char *path, const char *query, struct mlt_http_answer *answer)
{
    MLT_CHECK(ctx == &port);
    enum mlt_status status = MLT_OK;
    if (strcmp(path, "/big") == 0) {
        status = mlt_buf_append(answer->body, big, sizeof big);
        MLT_CHECK(mlt_buf_append_byte(answer->body, 'x') == MLT_E_TOO_BIG);
    } else if (strcmp(path, "/large") == 0) { /* more than the kernel takes at once */
        status = mlt_buf_append(answer->body, big, LARGE_BYTES);
    } else if (strncmp(path, "/echo", 5) == 0) {
        status = mlt_buf_printf(answer->body, "%s?%s", path, query);
    } else if (strcmp(path, "/empty") == 0) {
        answer->content_type = "application/json";
    } else if (strcmp(path, "/tagged") == 0) {
        const bool known = strcmp(answer->if_none_match, "\"t\"") == 0;
        answer->headers = "ETag: \"t\"\r\nX-More: 1\r\n";
        answer->cache_control = "no-cache";
        answer->status = known ? 304 : 200;
        status = mlt_buf_append_string(answer->body, known ? "never sent" : "tagged");
    } else if (strcmp(path, "/headers") == 0) {
        static char lines[1100];
        memset(lines, 'x', 1025);
        answer->headers = lines;
    } else if (strcmp(path, "/odd") == 0) {
        answer->status = 99;
    } else {
        answer->status = 404;
        status = mlt_buf_printf(answer->body, "nothing at %s", path);
    }
    MLT_CHECK(status == MLT_OK);
}

static void *serve(void *ctx)
{
    (void)ctx;
    struct mlt_error err = MLT_ERROR_INIT;
    MLT_CHECK(mlt_loop_create(&loop, &err) == MLT_OK);
    MLT_CHECK(mlt_loop_listen_http(loop, "127.0.0.1", 0, handler, &port, &port, &err) == MLT_OK);
    MLT_CHECK(port != 0);
    MLT_CHECK(sem_post(&ready) == 0);
    MLT_CHECK(mlt_loop_run(loop, &err) == MLT_OK);
    mlt_loop_destroy(loop);
    return NULL;
}

static int start_server(void **state)
{
    (void)state;
    if (sem_init(&ready, 0, 0) != 0 || pthread_create(&thread, NULL, serve, NULL) != 0) {
        return -1;
    }
    return sem_wait(&ready);
}

static int stop_server(void **state)
{
    (void)state;
    mlt_loop_stop(loop);
    return pthread_join(thread, NULL) == 0 && sem_destroy(&ready) == 0 ? 0 : -1;
}

/* ---- client ---- */

struct client {
    int fd;
    char in[64 * 1024]; /* read, not used yet */
    size_t len;
};

static void open_client(struct client *c, int receive_bytes)
{
    const struct timeval deadline = { .tv_sec = DEADLINE_SECONDS };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    c->len = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(c->fd >= 0);
    if (receive_bytes > 0) {
        assert_int_equal(
            setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes), 0);
    }
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(c->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static void close_client(struct client *c)
{
    assert_int_equal(close(c->fd), 0);
}

static void say(const struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* False at the end of the stream. */
static bool read_more(struct client *c)
{
    assert_true(c->len < sizeof c->in);
    const ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);
    if (n < 0 && errno == ECONNRESET) {
        return false;
    }
    if (n < 0) {
        fail_msg("recv: %s", strerror(errno));
    }
    c->len += (size_t)n;
    return n > 0;
}

static void expect_end(struct client *c)
{
    assert_int_equal(c->len, 0);
    assert_false(read_more(c));
}

/* Neither an answer nor an end for half a second. */
static void expect_silence(struct client *c)
{
    const struct timeval brief = { .tv_usec = 500000 };
    const struct timeval deadline = { .tv_sec = DEADLINE_SECONDS };
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief), 0);
    assert_int_equal(recv(c->fd, c->in, sizeof c->in, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
}

/* Takes one head off the stream. */
static void read_head(struct client *c, char *head, size_t size)
{
    char *end = NULL;
    while ((end = memmem(c->in, c->len, "\r\n\r\n", 4)) == NULL) {
        assert_true(read_more(c));
    }
    const size_t len = (size_t)(end - c->in) + 4;
    assert_true(len < size);
    memcpy(head, c->in, len);
    head[len] = '\0';
    c->len -= len;
    memmove(c->in, c->in + len, c->len);
}

static size_t content_length(const char *head)
{
    const char *value = strstr(head, "\r\nContent-Length: ");
    assert_non_null(value);
    return strtoul(value + 18, NULL, 10);
}

static void expect_body(struct client *c, const char *body)
{
    const size_t len = strlen(body);
    while (c->len < len) {
        assert_true(read_more(c));
    }
    assert_memory_equal(c->in, body, len);
    c->len -= len;
    memmove(c->in, c->in + len, c->len);
}

/* One whole answer: status, body, and whether the connection stays. */
static void expect_answer(struct client *c, const char *status, const char *body, bool stays)
{
    char head[1024];
    char line[64];
    read_head(c, head, sizeof head);
    (void)snprintf(line, sizeof line, "HTTP/1.1 %s\r\n", status);
    if (strncmp(head, line, strlen(line)) != 0) {
        fail_msg("\"%s\" expected, got \"%s\"", status, head);
    }
    assert_non_null(
        strstr(head, stays ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n"));
    assert_int_equal(content_length(head), strlen(body));
    expect_body(c, body);
    if (!stays) {
        expect_end(c);
    }
}

static void one_shot(const char *request, const char *status, const char *body, bool stays)
{
    struct client c;
    open_client(&c, 0);
    say(&c, request);
    expect_answer(&c, status, body, stays);
    close_client(&c);
}

/* ---- tests ---- */

static void test_pipelined_requests_are_answered_in_order_with_their_bodies(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, 0);
    say(&c, "GET /echo/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /echo/2?a=b HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /none HTTP/1.1\r\nHost: x\r\n\r\nGET /empty HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET /echo/3 HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_answer(&c, "200 OK", "/echo/1?", true);
    expect_answer(&c, "200 OK", "/echo/2?a=b", true);
    expect_answer(&c, "404 Not Found", "nothing at /none", true);
    expect_answer(&c, "200 OK", "", true);
    expect_answer(&c, "200 OK", "/echo/3?", true);
    say(&c, "GET /echo/4 HTTP/1.1\r\n\r\n"); /* and the line still lives */
    expect_answer(&c, "200 OK", "/echo/4?", true);
    close_client(&c);
}

static void test_an_answer_may_have_headers_and_a_tag(void **state)
{
    char head[2048];
    struct client c;
    (void)state;
    open_client(&c, 0);
    say(&c, "GET /tagged HTTP/1.1\r\n\r\n");
    read_head(&c, head, sizeof head);
    assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(head, "\r\nETag: \"t\"\r\nX-More: 1\r\n"));
    assert_non_null(strstr(head, "\r\nCache-Control: no-cache\r\n"));
    expect_body(&c, "tagged");
    say(&c, "GET /tagged HTTP/1.1\r\nIf-None-Match: \"t\"\r\n\r\n");
    read_head(&c, head, sizeof head);
    assert_non_null(strstr(head, "HTTP/1.1 304 Not Modified\r\n"));
    assert_non_null(strstr(head, "\r\nETag: \"t\"\r\n"));
    assert_null(strstr(head, "Content-"));
    /* The tag is of one request; and a 304 has no body, so that the next answer is found. */
    say(&c, "GET /tagged HTTP/1.1\r\n\r\n");
    expect_answer(&c, "200 OK", "tagged", true);
    say(&c, "GET /headers HTTP/1.1\r\n\r\n");
    expect_answer(&c, "500 Internal Server Error", "", true);
    close_client(&c);
}

static void test_many_pipelined_requests_beyond_one_read(void **state)
{
    (void)state;
    struct client c;
    char request[64];
    char body[64];
    open_client(&c, 0);
    for (unsigned i = 0; i < 600; i++) { /* 24 KiB: three times what is read at once */
        (void)snprintf(request, sizeof request, "GET /echo/%u HTTP/1.1\r\nHost: x\r\n\r\n", i);
        say(&c, request);
    }
    for (unsigned i = 0; i < 600; i++) {
        (void)snprintf(body, sizeof body, "/echo/%u?", i);
        expect_answer(&c, "200 OK", body, true);
    }
    close_client(&c);
}

static void test_requests_in_single_bytes(void **state)
{
    (void)state;
    static const char requests[] =
        "GET /echo/1 HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /echo/2 HTTP/1.1\n\n";
    struct client c;
    open_client(&c, 0);
    const int on = 1;
    assert_int_equal(setsockopt(c.fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on), 0);
    for (size_t i = 0; i + 1 < sizeof requests; i++) {
        const char byte[2] = { requests[i], '\0' };
        say(&c, byte);
    }
    expect_answer(&c, "200 OK", "/echo/1?", true);
    expect_answer(&c, "200 OK", "/echo/2?", true);
    close_client(&c);
}

static void test_head_has_the_length_and_no_body(void **state)
{
    (void)state;
    struct client c;
    char head[1024];
    open_client(&c, 0);
    say(&c, "HEAD /big HTTP/1.1\r\n\r\nHEAD /echo HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\n\r\n");
    read_head(&c, head, sizeof head);
    assert_int_equal(content_length(head), BIG_BYTES);
    read_head(&c, head, sizeof head);
    assert_int_equal(content_length(head), 6);
    expect_answer(&c, "200 OK", "/echo?", true);
    close_client(&c);
}

static void test_connection_ends_when_asked_to(void **state)
{
    (void)state;
    one_shot("GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n", "200 OK", "/echo?", false);
    one_shot("GET /echo HTTP/1.1\r\nconnection: foo , CLOSE\r\n\r\n", "200 OK", "/echo?", false);
    one_shot("GET /echo HTTP/1.0\r\n\r\n", "200 OK", "/echo?", false);
    one_shot("GET /echo HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", "200 OK", "/echo?", true);
    /* What comes after the request that ends it is not answered. */
    one_shot("GET /echo HTTP/1.1\r\nConnection: close\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n",
             "200 OK", "/echo?", false);
}

static void test_answer_comes_also_after_the_peers_last_byte(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, 0);
    say(&c, "GET /echo/1 HTTP/1.1\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n");
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    expect_answer(&c, "200 OK", "/echo/1?", true);
    expect_answer(&c, "200 OK", "/echo/2?", true);
    expect_end(&c);
    close_client(&c);
}

static void test_what_is_not_served_is_refused_and_the_line_closed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GARBAGE\r\n\r\n",           "GET /echo\r\n\r\n",
        "GET echo HTTP/1.1\r\n\r\n", "GET /e\x01o HTTP/1.1\r\n\r\n",
        "GET /e o HTTP/1.1\r\n\r\n", "GET /echo HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /echo FTP/1.1\r\n\r\n"
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        one_shot(bad[i], "400 Bad Request", "400 Bad Request\n", false);
    }
    one_shot("GET /echo HTTP/2.0\r\n\r\n", "505 HTTP Version Not Supported",
             "505 HTTP Version Not Supported\n", false);
    one_shot("GET /echo HTTP/1.11\r\n\r\n", "505 HTTP Version Not Supported",
             "505 HTTP Version Not Supported\n", false);
    one_shot("GET /odd HTTP/1.1\r\n\r\n", "500 Internal Server Error", "", true);
    struct client c;
    char head[1024];
    static const char *const methods[] = { "POST", "PUT", "DELETE", "OPTIONS", "get" };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        open_client(&c, 0);
        say(&c, methods[i]);
        say(&c, " /echo HTTP/1.1\r\n\r\n");
        read_head(&c, head, sizeof head);
        assert_memory_equal(head, "HTTP/1.1 405 ", 13);
        assert_non_null(strstr(head, "\r\nAllow: GET, HEAD\r\n"));
        expect_body(&c, "405 Method Not Allowed\n");
        expect_end(&c);
        close_client(&c);
    }
}

static void test_a_body_never_passes_for_a_request(void **state)
{
    (void)state;
    one_shot("GET /echo HTTP/1.1\r\nContent-Length: 24\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n",
             "200 OK", "/echo?", false);
    one_shot("GET /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n",
             "200 OK", "/echo?", false);
    one_shot("POST /echo HTTP/1.1\r\nContent-Length: 24\r\n\r\nGET /echo/2 HTTP/1.1\r\n\r\n",
             "405 Method Not Allowed", "405 Method Not Allowed\n", false);
    one_shot("GET /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "200 OK", "/echo?", true);
}

static void test_head_over_its_bound_is_refused(void **state)
{
    (void)state;
    struct client c;
    char filler[1001];
    memset(filler, 'x', 1000);
    filler[1000] = '\0';
    open_client(&c, 0);
    say(&c, "GET /echo HTTP/1.1\r\nX: ");
    for (unsigned i = 0; i < 9; i++) {
        say(&c, filler);
    }
    char head[1024];
    read_head(&c, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 431 ", 13);
    close_client(&c);
}

static void test_path_and_query_are_cut_and_absolute_form_is_understood(void **state)
{
    (void)state;
    char request[4096];
    char body[4096];
    char long_part[1501];
    memset(long_part, 'p', 1500);
    long_part[1500] = '\0';
    (void)snprintf(request, sizeof request, "GET /echo%s?%s HTTP/1.1\r\n\r\n", long_part,
                   long_part);
    (void)snprintf(body, sizeof body, "/echo%.1018s?%.1023s", long_part, long_part);
    one_shot(request, "200 OK", body, true);
    one_shot("GET HTTP://host:1/echo/a?b#c HTTP/1.1\r\n\r\n", "200 OK", "/echo/a?b", true);
    one_shot("GET http://host HTTP/1.1\r\n\r\n", "404 Not Found", "nothing at /", true);
}

/* Reads the big body and compares each byte; asks something on another line in the middle. */
static void expect_big(struct client *c, bool ask_in_between)
{
    char head[1024];
    read_head(c, head, sizeof head);
    assert_int_equal(content_length(head), BIG_BYTES);
    size_t seen = 0;
    while (seen < BIG_BYTES) {
        assert_true(seen + c->len <= BIG_BYTES);
        assert_memory_equal(c->in, big + seen, c->len);
        seen += c->len;
        c->len = 0;
        if (ask_in_between && seen > 0) {
            one_shot("GET /echo HTTP/1.1\r\n\r\n", "200 OK", "/echo?", true);
            ask_in_between = false;
        }
        if (seen < BIG_BYTES) {
            assert_true(read_more(c));
        }
    }
    assert_int_equal(seen, BIG_BYTES);
}

static void test_a_slow_reader_gets_8_mib_while_others_are_served(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, 32 * 1024);
    say(&c, "GET /big HTTP/1.1\r\n\r\n");
    expect_big(&c, true);
    say(&c, "GET /big HTTP/1.1\r\nConnection: close\r\n\r\n");
    expect_big(&c, false);
    expect_end(&c);
    close_client(&c);
}

static void test_what_is_not_read_does_not_cut_the_answer(void **state)
{
    (void)state;
    struct client c;
    char head[1024];
    open_client(&c, 32 * 1024);
    say(&c, "GET /big HTTP/1.1\r\nConnection: close\r\n\r\n");
    while (memmem(c.in, c.len, "\r\n\r\n", 4) == NULL) {
        assert_true(read_more(&c));
    }
    memset(head, 'x', sizeof head - 1);
    head[sizeof head - 1] = '\0';
    say(&c, head); /* a close on top of this would reset the connection, answer included */
    expect_big(&c, false);
    expect_end(&c);
    close_client(&c);
}

static void reset_client(struct client *c)
{
    const struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close_client(c);
}

static void test_peers_that_vanish_cost_nothing(void **state)
{
    (void)state;
    struct client c;
    char head[1024];
    for (unsigned i = 0; i < CONNECTIONS_MAX + 10; i++) { /* more than fit if one were kept */
        open_client(&c, 4096);
        say(&c, i % 2 == 0 ? "GET /big HTTP/1.1\r\n\r\n" : "GET /ec");
        if (i % 2 == 0) {
            read_head(&c, head, sizeof head);
        }
        if (i % 4 < 2) {
            reset_client(&c);
        } else {
            close_client(&c);
        }
    }
    /* The server may still be taking leave of the last few. */
    one_shot("GET /echo HTTP/1.1\r\n\r\n", "200 OK", "/echo?", true);
}

static void test_connections_are_bounded(void **state)
{
    (void)state;
    static struct client clients[CONNECTIONS_MAX];
    struct client extra;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        open_client(&clients[i], 0);
        say(&clients[i], "GET /echo HTTP/1.1\r\n\r\n");
        expect_answer(&clients[i], "200 OK", "/echo?", true);
    }
    /* It takes the place of the one that has been idle longest. */
    open_client(&extra, 0);
    expect_end(&clients[0]);
    close_client(&clients[0]);
    clients[0] = extra;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        say(&clients[i], "GET /echo HTTP/1.1\r\nConnection: close\r\n\r\n");
        expect_answer(&clients[i], "200 OK", "/echo?", false);
        close_client(&clients[i]);
    }
}

/* Who opens connections and says nothing, or half of it, keeps no prober out. */
static void test_silent_connections_keep_nobody_out(void **state)
{
    (void)state;
    static struct client silent[2 * CONNECTIONS_MAX];
    for (unsigned i = 0; i < 2 * CONNECTIONS_MAX; i++) {
        open_client(&silent[i], 0);
        if (i % 2 == 0) {
            say(&silent[i], "GET /echo HTTP/1.1\r\nX: ");
        }
    }
    one_shot("GET /echo HTTP/1.1\r\n\r\n", "200 OK", "/echo?", true);
    for (unsigned i = 0; i < 2 * CONNECTIONS_MAX; i++) {
        close_client(&silent[i]);
    }
}

static void ask_and_stand(struct client *c)
{
    char head[1024];
    open_client(c, 32 * 1024);
    say(c, "GET /large HTTP/1.1\r\nConnection: close\r\n\r\n");
    read_head(c, head, sizeof head);
}

/* To the end of the stream. */
static size_t read_rest(struct client *c)
{
    size_t seen = 0;
    do {
        seen += c->len;
        c->len = 0;
    } while (read_more(c));
    return seen;
}

/* How many of them have no whole answer to read, and closes them. Which ones is not told: the
 * kernel may have taken some more of any. */
static size_t count_cut(struct client *clients, size_t count)
{
    size_t cut = 0;
    for (size_t i = 0; i < count; i++) {
        cut += read_rest(&clients[i]) < LARGE_BYTES;
        close_client(&clients[i]);
    }
    return cut;
}

/* Who asks for a large page and does not read it keeps no prober out: some of them go. */
static void test_peers_that_do_not_read_keep_nobody_out(void **state)
{
    (void)state;
    static struct client readers[CONNECTIONS_MAX];
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        ask_and_stand(&readers[i]);
    }
    const int64_t begun = mlt_clock_mono_ns();
    for (unsigned i = 0; i < 2 * CONNECTIONS_MAX; i++) {
        one_shot("GET /echo HTTP/1.1\r\n\r\n", "200 OK", "/echo?", true);
    }
    assert_true(mlt_clock_mono_ns() - begun < 4 * MLT_NS_PER_S); /* before their time is up */
    assert_int_equal(read_rest(&readers[CONNECTIONS_MAX - 1]), LARGE_BYTES); /* the newest */
    close_client(&readers[CONNECTIONS_MAX - 1]);
    assert_true(count_cut(readers, CONNECTIONS_MAX - 1) >= CONNECTIONS_MAX - STANDING_MAX);
}

/* However many those are. */
static void test_a_reader_is_not_cut_for_those_that_do_not_read(void **state)
{
    (void)state;
    static struct client stuck[3 * CONNECTIONS_MAX];
    struct client c;
    char head[1024];
    size_t opened = 0, seen = 0;
    open_client(&c, 32 * 1024);
    say(&c, "GET /big HTTP/1.1\r\nConnection: close\r\n\r\n");
    read_head(&c, head, sizeof head);
    do {
        seen += c.len;
        c.len = 0;
        if (opened < sizeof stuck / sizeof stuck[0] &&
            seen * (sizeof stuck / sizeof stuck[0]) > opened * (BIG_BYTES / 2)) {
            ask_and_stand(&stuck[opened++]);
        }
    } while (read_more(&c));
    assert_int_equal(seen, BIG_BYTES);
    close_client(&c);
    assert_int_equal(opened, sizeof stuck / sizeof stuck[0]);
    assert_true(count_cut(stuck, opened) >= opened - STANDING_MAX);
}

static void test_idle_and_half_said_connections_end_after_5_s(void **state)
{
    (void)state;
    struct client idle;
    struct client half;
    struct client stuck;
    char head[1024];
    open_client(&stuck, 0);
    say(&stuck, "GET /big HTTP/1.1\r\n\r\n"); /* and reads no further than the head */
    read_head(&stuck, head, sizeof head);
    open_client(&half, 0);
    say(&half, "GET /echo HTTP/1.1\r\nX: ");
    expect_silence(&half); /* long enough for the buffers of stuck to fill up */
    const int64_t begun = mlt_clock_mono_ns();
    open_client(&idle, 0);
    expect_end(&idle);
    expect_end(&half);
    const int64_t took = mlt_clock_mono_ns() - begun;
    assert_true(took > 4900 * MLT_NS_PER_MS);
    assert_true(took < 9000 * MLT_NS_PER_MS);
    assert_true(read_rest(&stuck) < BIG_BYTES); /* what was in the buffers of the kernel */
    close_client(&idle);
    close_client(&half);
    close_client(&stuck);
}

static void test_listen_says_what_is_wrong(void **state)
{
    (void)state;
    struct mlt_loop *other = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    uint16_t bound = 0;
    assert_int_equal(mlt_loop_create(&other, &err), MLT_OK);
    assert_int_equal(mlt_loop_listen_http(other, "127.0.0.1", port, handler, &port, &bound, &err),
                     MLT_E_IO);
    assert_int_equal(err.code, EADDRINUSE);
    assert_non_null(strstr(err.text, "cannot listen on \"127.0.0.1\" port"));
    assert_int_equal(
        mlt_loop_listen_http(other, "no.such.host.invalid", 0, handler, &port, &bound, &err),
        MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "no.such.host.invalid"));
    assert_int_equal(mlt_loop_listen_http(other, "", 0, handler, &port, &bound, &err), MLT_OK);
    assert_true(bound != 0 && bound != port);
    assert_int_equal(mlt_loop_listen_http(other, "", 0, handler, &port, &bound, &err),
                     MLT_E_EXISTS);
    mlt_loop_destroy(other);
}

static int try_connect(uint32_t address)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(address) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const int code = connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
    (void)close(fd);
    return code;
}

/* What listens on one address is not there on another of the same host. */
static void test_only_the_address_that_was_chosen_listens(void **state)
{
    (void)state;
    assert_int_equal(try_connect(INADDR_LOOPBACK), 0);
    assert_int_equal(try_connect(INADDR_LOOPBACK + 1), ECONNREFUSED);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, start_server, stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_pipelined_requests_are_answered_in_order_with_their_bodies),
        SERVER_TEST(test_an_answer_may_have_headers_and_a_tag),
        SERVER_TEST(test_many_pipelined_requests_beyond_one_read),
        SERVER_TEST(test_requests_in_single_bytes),
        SERVER_TEST(test_head_has_the_length_and_no_body),
        SERVER_TEST(test_connection_ends_when_asked_to),
        SERVER_TEST(test_answer_comes_also_after_the_peers_last_byte),
        SERVER_TEST(test_what_is_not_served_is_refused_and_the_line_closed),
        SERVER_TEST(test_only_the_address_that_was_chosen_listens),
        SERVER_TEST(test_a_body_never_passes_for_a_request),
        SERVER_TEST(test_head_over_its_bound_is_refused),
        SERVER_TEST(test_path_and_query_are_cut_and_absolute_form_is_understood),
        SERVER_TEST(test_a_slow_reader_gets_8_mib_while_others_are_served),
        SERVER_TEST(test_what_is_not_read_does_not_cut_the_answer),
        SERVER_TEST(test_peers_that_vanish_cost_nothing),
        SERVER_TEST(test_connections_are_bounded),
        SERVER_TEST(test_silent_connections_keep_nobody_out),
        SERVER_TEST(test_peers_that_do_not_read_keep_nobody_out),
        SERVER_TEST(test_a_reader_is_not_cut_for_those_that_do_not_read),
        SERVER_TEST(test_idle_and_half_said_connections_end_after_5_s),
        SERVER_TEST(test_listen_says_what_is_wrong),
    };
    make_big();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

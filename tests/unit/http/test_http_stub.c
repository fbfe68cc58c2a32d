/* The server that other tests ask. */
#include "mlt_test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_stub.h"

static struct heard {
    unsigned count;
    char head[256], body[64];
    size_t len;
    struct http_stub_answer answer;
} heard; /* read when the answer is here, or when the stub has stopped */

static struct http_stub_answer take(void *ctx, const char *head, const void *body, size_t len)
{
    struct heard *to = ctx;
    to->count++;
    to->len = len;
    (void)snprintf(to->head, sizeof to->head, "%s", head);
    (void)snprintf(to->body, sizeof to->body, "%s", (const char *)body);
    return to->answer;
}

static void start(struct http_stub *stub)
{
    heard = (struct heard){ .answer = { .code = 200 } };
    assert_true(http_stub_start(stub, 0, take, &heard));
    assert_int_not_equal(stub->port, 0);
}

static int dial(const struct http_stub *stub)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(stub->port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Whatever comes until the connection ends. */
static void ask(const struct http_stub *stub, const char *request, char *out, size_t size)
{
    const int fd = dial(stub);
    size_t len = 0;
    ssize_t got;
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    while (len + 1 < size && (got = read(fd, out + len, size - 1 - len)) > 0) {
        len += (size_t)got;
    }
    out[len] = '\0';
    assert_int_equal(close(fd), 0);
}

static void test_a_request_is_handed_on_and_answered(void **state)
{
    (void)state;
    struct http_stub stub;
    char said[512];
    start(&stub);
    heard.answer = (struct http_stub_answer){
        .code = 429, .headers = "Retry-After: 2\r\n", .body = "so be it", .body_len = 8
    };
    ask(&stub, "POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello, more", said, sizeof said);
    assert_string_equal(said, "HTTP/1.1 429 Stub\r\nConnection: close\r\nContent-Length: 8\r\n"
                              "Retry-After: 2\r\n\r\nso be it");
    assert_string_equal(heard.head, "POST /x HTTP/1.1\r\ncontent-length: 5\r\n\r\n");
    assert_string_equal(heard.body, "hello");
    assert_int_equal(heard.len, 5);
    heard.answer = (struct http_stub_answer){ 0 };
    ask(&stub, "GET / HTTP/1.1\r\n\r\n", said, sizeof said);
    assert_string_equal(said, "");
    http_stub_stop(&stub);
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.body, "");
}

static void test_a_port_is_one_stubs_until_it_stops(void **state)
{
    (void)state;
    struct http_stub stub, other;
    start(&stub);
    const uint16_t port = stub.port;
    assert_false(http_stub_start(&other, port, take, &heard));
    http_stub_stop(&stub); /* nobody ever asked */
    assert_true(http_stub_start(&other, port, take, &heard));
    assert_int_equal(other.port, port);
    http_stub_stop(&other);
    assert_int_equal(heard.count, 0);
}

/* More than the sockets hold, so that the stub reads it by the time that it is sent, and less than
 * was promised. */
static void test_it_stops_though_somebody_says_nothing(void **state)
{
    (void)state;
    const size_t promised = HTTP_STUB_BODY_BYTES_MAX, sent = promised - 1;
    struct http_stub stub;
    char head[128], byte;
    char *body = calloc(1, sent);
    assert_non_null(body);
    start(&stub);
    const int fd = dial(&stub), waiting = dial(&stub);
    const int len =
        snprintf(head, sizeof head, "POST / HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", promised);
    assert_int_equal(write(fd, head, (size_t)len), len);
    assert_int_equal(write(fd, body, sent), sent);
    http_stub_stop(&stub);
    assert_true(read(fd, &byte, 1) <= 0);
    assert_int_equal(heard.count, 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(waiting), 0);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_handed_on_and_answered),
        cmocka_unit_test(test_a_port_is_one_stubs_until_it_stops),
        cmocka_unit_test(test_it_stops_though_somebody_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

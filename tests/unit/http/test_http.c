#include <arpa/inet.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mlt_test.h"

#include "mlt_peer.h"

#include "meltica/base/clock.h"
#include "meltica/http/http.h"
#include "meltica/http/probe.h"

#define MS MLT_NS_PER_MS
#define BODY_MAX 100000u

static struct mlt_loop *loop;
static struct mlt_http_client *client;
static struct peer peer;
static struct test_ca ca, other_ca;
static pthread_t loop_thread;

/* ---- server ---- */

static sem_t seen; /* one a request */

static bool send_text(struct conn *conn, const char *text)
{
    return conn_write(conn, text, strlen(text));
}

static bool send_trickle(struct conn *conn)
{
    bool ok = send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (ok && conn_quiet_for(conn, 20)) {
        ok = conn_write(conn, "t", 1);
    }
    return false;
}

static bool send_big(struct conn *conn, size_t bytes, bool chunked)
{
    char head[128];
    char *body = calloc(1, bytes);
    (void)snprintf(head, sizeof head,
                   chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n"
                           : "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   bytes);
    const bool ok = body != NULL && send_text(conn, head) && conn_write(conn, body, bytes) &&
                    (!chunked || send_text(conn, "\r\n0\r\n\r\n"));
    free(body);
    return ok;
}

static const struct {
    const char *path, *answer;
} answers[] = {
    { "/ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx-mBx-UsEd-wEiGhT-1m: 1234\r\n\r\nhello" },
    { "/404", "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"code\":-112}" },
    { "/429", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nreTRY-after: 17\r\n"
              "X-MBX-USED-WEIGHT-1M: 6001\r\n\r\n" },
    { "/418", "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n"
              "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n" },
    { "/302", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /ok\r\n\r\n" },
    { "/204", "HTTP/1.1 204 No Content\r\n\r\n" },
    { "/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\none\r\n1\r\n \r\n9;x=y\r\ntwo three\r\n0\r\n\r\n" },
    { "/gzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nrawX" },
};

static void answer_requests(struct conn *conn, void *ctx)
{
    char *last_request = ctx;
    bool ok = true;
    while (ok && conn_read_request(conn)) {
        if (last_request != NULL) {
            memcpy(last_request, conn->request, sizeof conn->request);
        }
        (void)sem_post(&seen);
        char path[64] = "";
        (void)sscanf(conn->request, "GET %63[^? ]", path);
        const char *answer = NULL;
        for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
            answer = strcmp(path, answers[i].path) == 0 ? answers[i].answer : answer;
        }
        if (answer != NULL) {
            ok = send_text(conn, answer);
        } else if (strcmp(path, "/trickle") == 0) {
            ok = send_trickle(conn);
        } else if (strcmp(path, "/exact") == 0) {
            ok = send_big(conn, BODY_MAX, false);
        } else if (strcmp(path, "/over") == 0) {
            ok = send_big(conn, BODY_MAX + 1, false);
        } else if (strcmp(path, "/over-chunked") == 0) {
            ok = send_big(conn, BODY_MAX + 1, true);
        } else if (strcmp(path, "/cut") == 0) {
            (void)send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes!");
            return;
        } else { /* "/hang" */
            conn_drain(conn);
            return;
        }
    }
}

/* ---- fixture ---- */

struct answer {
    unsigned count;
    enum mlt_status status;
    int code;
    int64_t retry_after_s, completed_ns, took_ns;
    char weight[24], text[128];
    char *body;
    size_t body_len;
    bool padded;
};

static unsigned open_answers; /* run_loop ends at 0 */
static unsigned foreign_thread;

static void on_answer(void *ctx, const struct mlt_http_response *response)
{
    static const char zeros[MLT_HTTP_BODY_PADDING];
    struct answer *answer = ctx;
    answer->count++;
    answer->status = response->status;
    answer->code = response->code;
    answer->retry_after_s = response->retry_after_s;
    answer->completed_ns = response->completed_ns;
    answer->took_ns = response->took_ns;
    memcpy(answer->weight, response->used_weight_1m, sizeof answer->weight);
    memcpy(answer->text, response->text, sizeof answer->text);
    answer->body_len = response->body_len;
    answer->padded = response->body != NULL &&
                     memcmp(response->body + response->body_len, zeros, sizeof zeros) == 0;
    if (answer->body != NULL && response->body_len < 64) {
        (void)snprintf(answer->body, 64, "%.*s", (int)response->body_len, response->body);
    }
    if (response->body != NULL) {
        memset(response->body, 0xa5, response->body_len + MLT_HTTP_BODY_PADDING);
    }
    foreign_thread += pthread_equal(pthread_self(), loop_thread) ? 0 : 1;
    if (--open_answers == 0) {
        mlt_loop_stop(loop);
    }
}

static bool too_late;

static void on_deadline(void *ctx)
{
    (void)ctx;
    too_late = true;
    mlt_loop_stop(loop);
}

static void run_loop(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_timer *deadline = NULL;
    too_late = false;
    assert_int_equal(mlt_timer_create(loop, on_deadline, NULL, &deadline), MLT_OK);
    mlt_timer_start(deadline, 20 * MLT_NS_PER_S);
    assert_int_equal(mlt_loop_run(loop, &err), MLT_OK);
    mlt_timer_destroy(deadline);
    assert_false(too_late);
    assert_int_equal(foreign_thread, 0);
}

static void make_client(const char *ca_file, int64_t timeout_ns, unsigned connections_max)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_http_options options = { .loop = loop,
                                              .ca_file = ca_file,
                                              .user_agent = "meltica-test/1",
                                              .timeout_ns = timeout_ns,
                                              .body_bytes_max = BODY_MAX,
                                              .connections_max = connections_max };
    assert_int_equal(mlt_http_client_create(&options, &client, &err), MLT_OK);
}

static int set_up(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    loop_thread = pthread_self();
    open_answers = 0;
    return mlt_loop_create(&loop, &err) == MLT_OK && sem_init(&seen, 0, 0) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_http_client_destroy(client);
    client = NULL;
    mlt_loop_destroy(loop);
    (void)sem_destroy(&seen);
    return 0;
}

static const char *url_of(const char *scheme, const char *host, const char *path)
{
    static char url[256];
    (void)snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, peer.port, path);
    return url;
}

static void ask(const char *url, struct answer *answer)
{
    open_answers++;
    assert_int_equal(mlt_http_get(client, url, on_answer, answer), MLT_OK);
    assert_int_equal(answer->count, 0); /* never inside the call */
}

static void get(const char *path, struct answer *answer)
{
    ask(url_of("http", "127.0.0.1", path), answer);
    run_loop();
    assert_int_equal(answer->count, 1);
}

#define START(request) assert_true(peer_start(&peer, answer_requests, request))
#define STOP() assert_null(peer_stop(&peer))

static void end_client(void)
{
    mlt_http_client_destroy(client);
    client = NULL;
}

/* ---- answers ---- */

static void test_answers_come_with_code_headers_and_padded_body_over_one_connection(void **state)
{
    (void)state;
    const struct {
        const char *path;
        int code;
        const char *body;
        int64_t retry_after_s;
        const char *weight;
    } cases[] = {
        { "/ok", 200, "hello", -1, "1234" },
        { "/404", 404, "{\"code\":-112}", -1, "" },
        { "/429", 429, "", 17, "6001" },
        { "/418", 418, "", -1, "" },
        { "/302", 302, "", -1, "" },
        { "/204", 204, "", -1, "" },
        { "/chunked", 200, "one two three", -1, "" },
        { "/gzip", 200, "rawX", -1, "" },
    };
    static char request[8192];
    START(request);
    make_client(NULL, 5 * MLT_NS_PER_S, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[64] = "?";
        struct answer answer = { .body = body };
        const int64_t before = mlt_clock_wall_ns();
        get(cases[i].path, &answer);
        assert_string_equal(answer.text, "");
        assert_int_equal(answer.status, MLT_OK);
        assert_int_equal(answer.code, cases[i].code);
        assert_string_equal(body, cases[i].body);
        assert_true(answer.padded);
        assert_int_equal(answer.retry_after_s, cases[i].retry_after_s);
        assert_string_equal(answer.weight, cases[i].weight);
        assert_true(answer.completed_ns >= before && answer.completed_ns <= mlt_clock_wall_ns());
        assert_true(answer.took_ns > 0 && answer.took_ns <= mlt_clock_wall_ns() - before);
    }
    end_client();
    assert_int_equal(atomic_load(&peer.accepted), 1);
    STOP();
    assert_non_null(strstr(request, "\r\nUser-Agent: meltica-test/1\r\n"));
    assert_null(strcasestr(request, "Accept-Encoding"));
}

static void test_a_query_goes_out_byte_for_byte(void **state)
{
    (void)state;
    static char request[8192];
    struct answer answer = { 0 };
    START(request);
    make_client(NULL, 5 * MLT_NS_PER_S, 4);
    get("/ok?symbols=%5B%22BTCUSDT%22%5D&limit=5000", &answer);
    end_client();
    STOP();
    const char *first = "GET /ok?symbols=%5B%22BTCUSDT%22%5D&limit=5000 HTTP/1.1\r\n";
    assert_memory_equal(request, first, strlen(first));
}

static void test_a_body_may_be_as_long_as_the_limit_and_not_one_byte_more(void **state)
{
    (void)state;
    START(NULL);
    make_client(NULL, 5 * MLT_NS_PER_S, 4);
    const char *paths[] = { "/exact", "/over", "/over-chunked" };
    for (size_t i = 0; i < 3; i++) {
        struct answer answer = { 0 };
        get(paths[i], &answer);
        assert_int_equal(answer.status, i == 0 ? MLT_OK : MLT_E_TOO_BIG);
        assert_int_equal(answer.code, 200);
        assert_int_equal(answer.body_len, i == 0 ? BODY_MAX : 0);
        assert_int_equal(answer.padded, i == 0);
    }
    end_client();
    STOP();
}

static void test_a_slow_trickle_and_a_hanging_server_run_into_the_timeout(void **state)
{
    (void)state;
    const char *paths[] = { "/trickle", "/hang" };
    for (size_t i = 0; i < 2; i++) {
        struct answer answer = { 0 };
        START(NULL);
        make_client(NULL, 200 * MS, 4);
        get(paths[i], &answer);
        assert_int_equal(answer.status, MLT_E_TIMEOUT);
        assert_int_equal(answer.body_len, 0);
        assert_true(answer.took_ns >= 190 * MS && answer.took_ns < 5000 * MS);
        end_client();
        STOP();
    }
}

static void test_a_body_that_is_cut_off_is_an_error(void **state)
{
    (void)state;
    struct answer answer = { 0 };
    START(NULL);
    make_client(NULL, 5 * MLT_NS_PER_S, 4);
    get("/cut", &answer);
    assert_int_equal(answer.status, MLT_E_IO);
    assert_int_equal(answer.body_len, 0);
    assert_true(answer.text[0] != 0);
    end_client();
    STOP();
}

static void test_a_closed_port_and_other_protocols_are_refused(void **state)
{
    (void)state;
    START(NULL);
    STOP(); /* its port is closed now */
    char path[] = "/tmp/meltica-http-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    char file_url[64];
    (void)snprintf(file_url, sizeof file_url, "file://%s", path);
    const char *urls[] = { url_of("http", "127.0.0.1", "/ok"), file_url, "ftp://127.0.0.1/", "",
                           "127.0.0.1/ok" };
    make_client(NULL, 2 * MLT_NS_PER_S, 4);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct answer answer = { 0 };
        ask(urls[i], &answer);
        run_loop();
        assert_int_equal(answer.status, MLT_E_CONNECT);
        assert_int_equal(answer.code, 0);
        assert_true(answer.text[0] != 0);
    }
    (void)unlink(path);
}

/* ---- TLS ---- */

static struct answer over_tls(const char *cert_name, bool expired, const char *ca_file)
{
    struct answer answer = { 0 };
    peer.tls = test_ca_server(&ca, cert_name, expired);
    assert_non_null(peer.tls);
    START(NULL);
    make_client(ca_file, 5 * MLT_NS_PER_S, 4);
    ask(url_of("https", "localhost", "/ok"), &answer);
    run_loop();
    end_client();
    STOP();
    return answer;
}

static void test_tls_wants_the_right_name_a_known_ca_and_a_valid_date(void **state)
{
    (void)state;
    struct answer answer = over_tls("localhost", false, ca.file);
    assert_string_equal(answer.text, "");
    assert_int_equal(answer.status, MLT_OK);
    assert_int_equal(answer.code, 200);
    const struct {
        const char *name;
        bool expired;
        const char *ca_file;
    } bad[] = { { "other.example", false, ca.file },
                { "localhost", false, other_ca.file },
                { "localhost", false, NULL },
                { "localhost", true, ca.file },
                { "localhost", false, "/nowhere/ca.pem" } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer = over_tls(bad[i].name, bad[i].expired, bad[i].ca_file);
        assert_int_equal(answer.status, MLT_E_CONNECT);
        assert_int_equal(answer.code, 0);
        assert_true(answer.text[0] != 0);
    }
}

/* ---- bounds and life ---- */

#define MOST MLT_HTTP_WAITING_MAX

static void test_as_many_as_the_limit_wait_and_each_is_answered_once(void **state)
{
    (void)state;
    static struct answer many[MOST];
    memset(many, 0, sizeof many);
    START(NULL);
    make_client(NULL, 15 * MLT_NS_PER_S, 1);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MOST; i++) {
            many[i].count = 0;
            ask(url_of("http", "127.0.0.1", "/ok"), &many[i]);
        }
        struct answer none = { 0 };
        assert_int_equal(mlt_http_get(client, "http://127.0.0.1/", on_answer, &none), MLT_E_FULL);
        run_loop();
        assert_int_equal(none.count, 0);
        for (unsigned i = 0; i < MOST; i++) {
            assert_int_equal(many[i].count, 1);
            assert_int_equal(many[i].status, MLT_OK);
        }
    }
    end_client();
    assert_int_equal(atomic_load(&peer.accepted), 1);
    STOP();
}

static void test_waiting_for_a_connection_counts_towards_the_timeout(void **state)
{
    (void)state;
    struct answer three[3] = { 0 };
    START(NULL);
    make_client(NULL, 2000 * MS, 1);
    for (unsigned i = 0; i < 3; i++) {
        ask(url_of("http", "127.0.0.1", "/hang"), &three[i]);
    }
    run_loop();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(three[i].status, MLT_E_TIMEOUT);
        assert_true(three[i].took_ns >= 1990 * MS && three[i].took_ns < 5800 * MS);
    }
    end_client();
    STOP();
}

static void wait_for(sem_t *what, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct timespec until;
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
        until.tv_sec += 10;
        assert_int_equal(sem_timedwait(what, &until), 0);
    }
}

static void test_destroying_answers_what_is_in_flight_as_closed_once_each(void **state)
{
    (void)state;
    struct answer flying[20] = { 0 };
    START(NULL);
    make_client(NULL, 15 * MLT_NS_PER_S, 4);
    for (unsigned i = 0; i < 20; i++) {
        ask(url_of("http", "127.0.0.1", "/hang"), &flying[i]);
    }
    wait_for(&seen, 1);
    struct answer young = { 0 };
    ask(url_of("http", "127.0.0.1", "/hang"), &young);
    end_client();
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(flying[i].count, 1);
        assert_int_equal(flying[i].status, MLT_E_CLOSED);
    }
    assert_int_equal(young.count, 1);
    assert_int_equal(young.status, MLT_E_CLOSED);
    STOP();
}

static unsigned refused_again;

static void destroy_then_ask(void *ctx, const struct mlt_http_response *response)
{
    struct mlt_http_client *mine = client;
    on_answer(ctx, response);
    if (mine != NULL && response->status == MLT_OK) {
        client = NULL;
        mlt_http_client_destroy(mine);
    }
}

static void ask_again(void *ctx, const struct mlt_http_response *response)
{
    struct mlt_http_client *mine = *(struct mlt_http_client **)ctx;
    assert_int_equal(response->status, MLT_E_CLOSED);
    refused_again +=
        mlt_http_get(mine, "http://127.0.0.1/", on_answer, NULL) == MLT_E_CLOSED ? 1 : 0;
}

static void test_the_client_may_be_destroyed_inside_an_answer_and_takes_no_more(void **state)
{
    (void)state;
    struct answer first = { 0 };
    START(NULL);
    make_client(NULL, 15 * MLT_NS_PER_S, 1);
    struct mlt_http_client *same = client;
    refused_again = 0;
    open_answers = 1;
    assert_int_equal(
        mlt_http_get(client, url_of("http", "127.0.0.1", "/ok"), destroy_then_ask, &first), MLT_OK);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(
            mlt_http_get(client, url_of("http", "127.0.0.1", "/hang"), ask_again, &same), MLT_OK);
    }
    run_loop();
    STOP();
    assert_null(client);
    assert_int_equal(first.count, 1);
    assert_int_equal(refused_again, 3);
}

static atomic_bool refusing; /* the loop's mailbox is full */
static sem_t refusals;

enum mlt_status __real_mlt_loop_post(struct mlt_loop *to, void (*fn)(void *ctx), void *ctx);
enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *to, void (*fn)(void *ctx), void *ctx);

enum mlt_status __wrap_mlt_loop_post(struct mlt_loop *to, void (*fn)(void *ctx), void *ctx)
{
    if (atomic_load(&refusing)) {
        (void)sem_post(&refusals);
        return MLT_E_FULL;
    }
    return __real_mlt_loop_post(to, fn, ctx);
}

static void test_answers_wait_while_the_loops_mailbox_is_full(void **state)
{
    (void)state;
    struct answer three[3] = { 0 };
    struct answer last = { 0 };
    START(NULL);
    make_client(NULL, 15 * MLT_NS_PER_S, 1);
    assert_int_equal(sem_init(&refusals, 0, 0), 0);
    atomic_store(&refusing, true);
    for (unsigned i = 0; i < 3; i++) {
        ask(url_of("http", "127.0.0.1", "/ok"), &three[i]);
    }
    /* When the server sees this one, the three are answered, and nothing else wakes the thread. */
    ask(url_of("http", "127.0.0.1", "/hang"), &last);
    open_answers--;
    wait_for(&seen, 4);
    while (sem_trywait(&refusals) == 0) {
    }
    wait_for(&refusals, 3);
    atomic_store(&refusing, false);
    run_loop();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(three[i].count, 1);
        assert_int_equal(three[i].status, MLT_OK);
    }
    end_client();
    assert_int_equal(last.count, 1);
    assert_int_equal(last.status, MLT_E_CLOSED);
    STOP();
    (void)sem_destroy(&refusals);
}

static void stop(void *ctx)
{
    (void)ctx;
    mlt_loop_stop(loop);
}

static void test_an_answer_that_is_here_is_told_when_the_client_goes_first(void **state)
{
    (void)state;
    struct answer three[3] = { 0 };
    START(NULL);
    make_client(NULL, 15 * MLT_NS_PER_S, 1);
    for (unsigned i = 0; i < 3; i++) {
        ask(url_of("http", "127.0.0.1", i < 2 ? "/ok" : "/hang"), &three[i]);
    }
    wait_for(&seen, 3);
    open_answers++; /* the loop is not to stop at the last one */
    end_client();   /* the loop never ran */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(three[i].count, 1);
        assert_int_equal(three[i].status, i < 2 ? MLT_OK : MLT_E_CLOSED);
    }
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    run_loop(); /* nothing of the client is left in its mailbox */
    STOP();
}

static void test_options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct mlt_error err = MLT_ERROR_INIT;
        const struct mlt_http_options options = { .loop = loop,
                                                  .timeout_ns = i == 0 ? 0 : MS,
                                                  .body_bytes_max = i == 1 ? 0 : 1,
                                                  .connections_max = i == 2 ? 0 : 1 };
        assert_int_equal(mlt_http_client_create(&options, &client, &err), MLT_E_CONFIG);
        assert_null(client);
    }
}

/* ---- probe ---- */

static enum mlt_status probe(const char *path, int64_t timeout_ns, char body[16],
                             struct mlt_error *err)
{
    *err = (struct mlt_error)MLT_ERROR_INIT;
    return mlt_http_probe(url_of("http", "127.0.0.1", path), timeout_ns, body, 16, err);
}

static void test_a_probe_tells_good_answers_from_others_and_says_what_came(void **state)
{
    (void)state;
    struct mlt_error err;
    char body[16];
    START(NULL);
    assert_int_equal(probe("/ok", 5 * MLT_NS_PER_S, body, &err), MLT_OK);
    assert_string_equal(body, "hello");
    assert_int_equal(probe("/204", 5 * MLT_NS_PER_S, body, &err), MLT_OK);
    assert_string_equal(body, "");
    /* What does not fit is cut. */
    assert_int_equal(probe("/exact", 5 * MLT_NS_PER_S, body, &err), MLT_OK);
    assert_int_equal(probe("/404", 5 * MLT_NS_PER_S, body, &err), MLT_E_UNAVAILABLE);
    assert_string_equal(body, "{\"code\":-112}");
    assert_non_null(strstr(err.text, "/404: 404 {\"code\":-112}"));
    assert_int_equal(probe("/302", 5 * MLT_NS_PER_S, body, &err), MLT_E_UNAVAILABLE);
    assert_int_equal(probe("/cut", 5 * MLT_NS_PER_S, body, &err), MLT_E_IO);
    assert_int_equal(probe("/hang", 200 * MS, body, &err), MLT_E_TIMEOUT);
    assert_non_null(strstr(err.text, "/hang: no answer in time"));
    STOP();
    assert_int_equal(probe("/ok", 5 * MLT_NS_PER_S, body, &err), MLT_E_CONNECT);
    assert_string_equal(body, "");
    assert_int_equal(mlt_http_probe("file:///etc/hostname", MLT_NS_PER_S, body, sizeof body, &err),
                     MLT_E_IO);
    assert_string_equal(body, "");
}

int main(void)
{
    if (mlt_signals_block() != MLT_OK || !test_ca_make(&ca) || !test_ca_make(&other_ca)) {
        return 1;
    }
#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_answers_come_with_code_headers_and_padded_body_over_one_connection),
        HTTP_TEST(test_a_query_goes_out_byte_for_byte),
        HTTP_TEST(test_a_body_may_be_as_long_as_the_limit_and_not_one_byte_more),
        HTTP_TEST(test_a_slow_trickle_and_a_hanging_server_run_into_the_timeout),
        HTTP_TEST(test_a_body_that_is_cut_off_is_an_error),
        HTTP_TEST(test_a_closed_port_and_other_protocols_are_refused),
        HTTP_TEST(test_tls_wants_the_right_name_a_known_ca_and_a_valid_date),
        HTTP_TEST(test_as_many_as_the_limit_wait_and_each_is_answered_once),
        HTTP_TEST(test_waiting_for_a_connection_counts_towards_the_timeout),
        HTTP_TEST(test_destroying_answers_what_is_in_flight_as_closed_once_each),
        HTTP_TEST(test_the_client_may_be_destroyed_inside_an_answer_and_takes_no_more),
        HTTP_TEST(test_answers_wait_while_the_loops_mailbox_is_full),
        HTTP_TEST(test_an_answer_that_is_here_is_told_when_the_client_goes_first),
        HTTP_TEST(test_options_that_make_no_sense_are_refused),
        cmocka_unit_test(test_a_probe_tells_good_answers_from_others_and_says_what_came),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_ca_drop(&ca);
    test_ca_drop(&other_ca);
    return failed;
}

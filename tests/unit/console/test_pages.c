/* What the console gives out for which path, and what it refuses to start with. */
#include "mlt_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"

static char dir[] = "/tmp/meltica-pages-XXXXXX";

static void put(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void drop(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(unlink(path), 0);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(dir);
}

static struct mlt_pages_options options(void)
{
    return (struct mlt_pages_options){ .dir = dir,
                                       .nats_ws = "wss://nats.example:8443/ws",
                                       .label = "a \"b\"",
                                       .version = "1.2.3",
                                       .control = true };
}

static struct mlt_pages *load(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_pages_options o = options();
    struct mlt_pages *pages = NULL;
    if (mlt_pages_load(&o, &pages, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    return pages;
}

static void expect_refused(const struct mlt_pages_options *o, const char *text)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_pages *pages = NULL;
    assert_int_equal(mlt_pages_load(o, &pages, &err), MLT_E_CONFIG);
    assert_null(pages);
    if (strstr(err.text, text) == NULL) {
        fail_msg("no \"%s\" in \"%s\"", text, err.text);
    }
}

/* ---- answers ---- */

static struct mlt_buf body;
static struct mlt_http_answer answer;

static enum mlt_page_kind ask(struct mlt_pages *pages, const char *path, const char *if_none_match)
{
    mlt_buf_clear(&body);
    answer = (struct mlt_http_answer){ .status = 200,
                                       .content_type = "text/plain; charset=utf-8",
                                       .body = &body,
                                       .cache_control = "no-store",
                                       .if_none_match = if_none_match };
    return mlt_pages_answer(pages, path, &answer);
}

static void expect_body(const char *text)
{
    assert_int_equal(body.len, strlen(text));
    assert_memory_equal(body.data, text, body.len);
}

static void expect_header(const char *line)
{
    if (answer.headers == NULL || strstr(answer.headers, line) == NULL) {
        fail_msg("no \"%s\" in %s", line, answer.headers != NULL ? answer.headers : "nothing");
    }
}

static void test_files_are_served_with_strict_headers(void **state)
{
    (void)state;
    put("index.html", "<!doctype html>");
    put("app-1A2B3C4D.js", "go()");
    put("app-small.css", "a{}");
    put("notes.md", "not of the page");
    mlt_buf_init(&body, 1 << 20);
    struct mlt_pages *pages = load();
    assert_int_equal(mlt_pages_count(pages), 3);
    assert_int_equal(mlt_pages_bytes(pages), 15 + 4 + 3);

    assert_int_equal(ask(pages, "/", ""), MLT_PAGE_INDEX);
    expect_body("<!doctype html>");
    assert_string_equal(answer.content_type, "text/html; charset=utf-8");
    assert_string_equal(answer.cache_control, "no-cache");
    expect_header("default-src 'none'; script-src 'self';");
    expect_header("connect-src 'self' wss://nats.example:8443; ");
    expect_header("X-Content-Type-Options: nosniff\r\n");
    expect_header("frame-ancestors 'none'");
    expect_header("ETag: \"");
    assert_int_equal(ask(pages, "/index.html", ""), MLT_PAGE_INDEX);

    assert_int_equal(ask(pages, "/app-1A2B3C4D.js", ""), MLT_PAGE_ASSET);
    expect_body("go()");
    assert_string_equal(answer.content_type, "text/javascript; charset=utf-8");
    assert_string_equal(answer.cache_control, "public, max-age=31536000, immutable");
    assert_int_equal(ask(pages, "/app-small.css", ""), MLT_PAGE_ASSET);
    assert_string_equal(answer.cache_control, "no-cache"); /* its name says nothing of it */

    assert_int_equal(ask(pages, "/config.json", ""), MLT_PAGE_CONFIG);
    expect_body("{\"nats_ws\":\"wss://nats.example:8443/ws\",\"label\":\"a \\\"b\\\"\","
                "\"version\":\"1.2.3\",\"control\":true}\n");
    assert_string_equal(answer.cache_control, "no-store");
    expect_header("nosniff");

    static const char *const others[] = { "/notes.md",         "/..",
                                          "/../etc/passwd",    "//index.html",
                                          "/app-1A2B3C4D.js/", "/%2e%2e/index.html",
                                          "/INDEX.html" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(ask(pages, others[i], ""), MLT_PAGE_NONE);
        assert_int_equal(answer.status, 200);
        assert_int_equal(body.len, 0);
    }
    mlt_pages_destroy(pages);
    mlt_buf_fini(&body);
    drop("index.html");
    drop("app-1A2B3C4D.js");
    drop("app-small.css");
    drop("notes.md");
}

static void test_a_tag_that_is_known_saves_the_body(void **state)
{
    char tag[64], list[256];
    (void)state;
    put("index.html", "one");
    mlt_buf_init(&body, 1 << 20);
    struct mlt_pages *pages = load();
    assert_int_equal(ask(pages, "/", ""), MLT_PAGE_INDEX);
    const char *at = strstr(answer.headers, "ETag: ") + 6;
    (void)snprintf(tag, sizeof tag, "%.*s", (int)strcspn(at, "\r"), at);
    (void)snprintf(list, sizeof list, "\"other\", W/%s", tag);
    const char *const hits[] = { tag, list, "*" };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ask(pages, "/", hits[i]), MLT_PAGE_NOT_MODIFIED);
        assert_int_equal(answer.status, 304);
        assert_int_equal(body.len, 0);
        expect_header(tag);
    }
    assert_int_equal(ask(pages, "/", "\"other\""), MLT_PAGE_INDEX);
    mlt_pages_destroy(pages);

    put("index.html", "two");
    pages = load();
    assert_int_equal(ask(pages, "/", tag), MLT_PAGE_INDEX); /* another page, another tag */
    expect_body("two");
    mlt_pages_destroy(pages);
    mlt_buf_fini(&body);
    drop("index.html");
}

static void test_an_answer_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    put("index.html", "longer than four");
    struct mlt_pages *pages = load();
    mlt_buf_init(&body, 4);
    assert_int_equal(ask(pages, "/", ""), MLT_PAGE_FAILED);
    assert_int_equal(answer.status, 500);
    assert_int_equal(body.len, 0);
    mlt_buf_fini(&body);
    mlt_pages_destroy(pages);
    drop("index.html");
}

/* ---- refusals ---- */

static void test_what_is_no_page_is_refused_with_what_to_do(void **state)
{
    (void)state;
    struct mlt_pages_options o = options();
    o.dir = "/nowhere/at/all";
    expect_refused(&o, "web_dir: \"/nowhere/at/all\" cannot be read");
    o.dir = dir;
    expect_refused(&o, "build the page: ./dev console build");
    put("index.html", "");
    o.label = "forty-one bytes are one more than may be.";
    expect_refused(&o, "label: longer than 40 bytes");
    o.label = "";
    o.nats_ws = "ws://host:1; script-src *";
    expect_refused(&o, "nats_ws_url");

    char name[32];
    for (unsigned i = 0; i < MLT_PAGES_FILES_MAX; i++) {
        (void)snprintf(name, sizeof name, "f%u.txt", i);
        put(name, "x");
    }
    o = options();
    expect_refused(&o, "more than 64 files");
    for (unsigned i = 0; i < MLT_PAGES_FILES_MAX; i++) {
        (void)snprintf(name, sizeof name, "f%u.txt", i);
        drop(name);
    }
    char path[64];
    (void)snprintf(path, sizeof path, "%s/big.js", dir);
    const int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, MLT_PAGES_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(close(fd), 0);
    expect_refused(&o, "big.js is larger than");
    drop("big.js");
    drop("index.html");
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const good[] = { "ws://127.0.0.1:9222", "wss://nats.example",
                                        "wss://nats.example/ws/a-b", "ws://[::1]:80",
                                        "ws://h:65535/" };
    static const char *const bad[] = {
        "",           "http://a",        "ws://",      "ws:///x",          "ws://a:0",
        "ws://a:",    "ws://a:65536",    "ws://a:1x",  "ws://u:p@a:1",     "ws://a b",
        "ws://a'b",   "ws://a;b",        "ws://a?x=1", "ws://a/\r\nX: y",  "ws://[::1",
        "ws://[]:80", "ws://[zz]:80/ x", "WS://a",     "ws://a:1/x;y 'z'", "ws://a/%2e",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!mlt_pages_url_valid(good[i])) {
            fail_msg("%s is refused", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (mlt_pages_url_valid(bad[i])) {
            fail_msg("%s passes", bad[i]);
        }
    }
    char longest[300] = "ws://";
    memset(longest + 5, 'a', 250);
    assert_true(mlt_pages_url_valid(longest));
    longest[255] = 'a';
    assert_false(mlt_pages_url_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_served_with_strict_headers),
        cmocka_unit_test(test_a_tag_that_is_known_saves_the_body),
        cmocka_unit_test(test_an_answer_that_does_not_fit_is_an_error),
        cmocka_unit_test(test_what_is_no_page_is_refused_with_what_to_do),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

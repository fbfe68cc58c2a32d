/*
 * What each user may do and may not: a nats-server with the users that `meltica nats-auth` prints,
 * and every family of subjects tried as each of them, publishing and listening, in NATS's own
 * protocol. The table says who may; everybody else must be told no, and the server must log it.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mlt_test.h"
#include "nats_fixture.h"

#define WAIT_MS 10000

/* One letter a user, as the table below has them. */
static const struct {
    char letter;
    const char *name, *option; /* of nats-auth: kind and name */
} users[] = {
    { 'a', "meltica-adapter", "--service-user adapter" },
    { 'd', "meltica-dispatcher", "--service-user dispatcher" },
    { 'c', "meltica-conductor", "--service-user conductor" },
    { 'b', "meltica-data-bus", "--service-user data-bus" },
    { 'k', "meltica-control-bus", "--service-user control-bus" },
    { 'w', "meltica-console", "--service-user console" },
    { 'o', "watch", "--observer watch" },
    { 'p', "desk", "--user desk" },
};
#define USERS (sizeof users / sizeof users[0])

struct family {
    const char *subject;
    const char *publish, *subscribe; /* letters of who may */
};

static const struct family families[] = {
    /* Hops. */
    { "meltica.int.native.00", "a", "d" },
    { "meltica.int.canonical.00", "d", "c" },
    { "meltica.int.out.00", "c", "b" },
    { "meltica.int.out.table", "dc", "b" },
    { "meltica.int.repeat.adapter.00", "d", "a" },
    { "meltica.int.repeat.dispatcher.00", "c", "d" },
    { "meltica.int.repeat.conductor.00", "b", "c" },
    { "meltica.int.ack.adapter", "d", "a" },
    { "meltica.int.ack.dispatcher", "c", "d" },
    { "meltica.int.ack.conductor", "b", "c" },
    /* Plans, table, commands. */
    { "meltica.int.plan", "d", "a" },
    { "meltica.int.plan.status", "a", "dbk" },
    { "meltica.int.fetch", "d", "a" },
    { "meltica.int.resync", "c", "d" },
    { "meltica.int.table", "bk", "d" },
    { "meltica.int.table.changed", "d", "bk" },
    { "meltica.int.apply.00", "k", "d" },
    { "meltica.int.apply.01", "", "" },
    { "meltica.int.control.desk.s1", "dk", "" },
    { "meltica.int.owners.conductor", "c", "c" },
    { "meltica.int.owners.data-bus", "b", "b" },
    { "meltica.int.owners.dispatcher", "d", "d" },
    { "meltica.int.owners.adapter", "a", "a" },
    { "meltica.int.audit.rejected", "k", "o" },
    { "meltica.int.audit.expired", "dk", "o" },
    { "meltica.int.rejected.trade.parse", "d", "" },
    { "meltica.int.status.adapter", "", "a" },
    { "meltica.int.status.dispatcher", "", "d" },
    { "meltica.int.status.conductor", "", "c" },
    { "meltica.int.status.data-bus", "", "b" },
    { "meltica.int.status.control-bus", "", "k" },
    { "meltica.int.nobody", "", "" },
    /* What principals see and ask. */
    { "meltica.data.BTC-USDT", "b", "op" },
    { "meltica.lane.desk.s1", "b", "p" },
    { "meltica.lane.eve.s1", "b", "" },
    { "meltica.journal.00", "b", "" },
    { "meltica.control.subscribe", "", "k" },
    { "meltica.control.list", "o", "k" },
    { "meltica.control.as.desk.subscribe", "p", "k" },
    { "meltica.control.as.eve.subscribe", "", "k" },
    { "meltica.control.as.watch.subscribe", "", "k" },
    { "meltica.control.as.watch.list", "o", "k" },
    /* Buckets. */
    { "$KV.meltica-dispatch.s1", "d", "" },
    { "$KV.meltica-instruments.BTC-USDT", "d", "" },
    { "$KV.meltica-owners.conductor.3", "c", "c" },
    { "$KV.meltica-owners.data-bus.3", "b", "b" },
    { "$KV.meltica-owners.dispatcher.3", "d", "d" },
    { "$KV.meltica-owners.adapter.3", "a", "a" },
    { "$KV.meltica-weight.home", "a", "a" },
    { "$KV.meltica-weight.home.more", "", "" },
    { "$KV.meltica-snapshots.BTC-USDT", "c", "" },
    { "$KV.meltica-snapshots.BTC-USDT.checkpoint", "c", "" },
    { "$KV.other.key", "", "" },
    /* JetStream as a whole; its streams are below. */
    { "$JS.API.INFO", "o", "" },
    { "$JS.API.STREAM.NAMES", "", "" },
    { "$JS.API.STREAM.LIST", "", "" },
    { "$JS.API.STREAM.CREATE.OTHER", "", "" },
    { "$JS.API.DIRECT.GET.KV_meltica-snapshots.$KV.meltica-snapshots.BTC-USDT", "cop", "" },
    { "$JS.API.STREAM.PURGE.KV_meltica-owners", "adcb", "" },
    { "$JS.ACK.MELTICA_CONTROL.x.1.1.1.1.0", "", "" },
    { "$SYS.REQ.SERVER.PING", "", "" },
    /* Services as NATS sees them. */
    { "$SRV.PING", "o", "adcbkw" },
    { "$SRV.STATS", "o", "adcbkw" },
    { "$SRV.PING.meltica-adapter", "ok", "a" },
    { "$SRV.STATS.meltica-adapter", "o", "a" },
    { "$SRV.STATS.meltica-dispatcher", "o", "d" },
    { "$SRV.STATS.meltica-conductor", "o", "c" },
    { "$SRV.STATS.meltica-data-bus", "o", "b" },
    { "$SRV.STATS.meltica-control", "o", "k" },
    { "$SRV.STATS.meltica-console", "o", "w" },
    /* Answers: services answer at any inbox, and hear their own alone. */
    { "_INBOX.anybody.1", "adcbkw", "" },
    { "_INBOX.meltica-adapter.1", "adcbkw", "a" },
    { "_INBOX.meltica-dispatcher.1", "adcbkw", "d" },
    { "_INBOX.meltica-conductor.1", "adcbkw", "c" },
    { "_INBOX.meltica-data-bus.1", "adcbkw", "b" },
    { "_INBOX.meltica-control-bus.1", "adcbkw", "k" },
    { "_INBOX.meltica-console.1", "adcbkw", "w" },
    { "_INBOX_desk.1", "", "p" },
    { "_INBOX_watch.1", "", "o" },
    { "somebody.else", "", "" },
};

/* Who needs the stream: to make it, to ask for it, to read messages. And who reads besides. */
static const struct {
    const char *name, *users, *readers;
} streams[] = {
    { "MELTICA_CONTROL", "dk", "" },     { "MELTICA_AUDIT", "dk", "o" },
    { "MELTICA_REJECTED", "d", "" },     { "MELTICA_JOURNAL", "b", "o" },
    { "KV_meltica-dispatch", "d", "" },  { "KV_meltica-instruments", "d", "" },
    { "KV_meltica-owners", "adcb", "" }, { "KV_meltica-snapshots", "c", "o" },
    { "KV_meltica-weight", "a", "" },
};

static const char *const used_calls[] = { "STREAM.CREATE", "STREAM.UPDATE" };
static const char *const read_calls[] = { "STREAM.MSG.GET", "DIRECT.GET" };
/* Nobody of Meltica needs these. */
static const char *const unused_calls[] = { "STREAM.DELETE",     "STREAM.PURGE",
                                            "STREAM.MSG.DELETE", "STREAM.SNAPSHOT",
                                            "STREAM.RESTORE",    "STREAM.LEADER.STEPDOWN",
                                            "CONSUMER.CREATE",   "CONSUMER.LIST" };

/* Listening to more than its own. nats-server takes the > of who asks for a word that a * may stand
 * for, so that a right to X.* is one to X.>: services can hear who asks another one for its figures
 * ($SRV), and no more. */
static const struct {
    const char *subject, *users;
} wide[] = {
    { ">", "" },
    { "*.>", "" },
    { "meltica.>", "" },
    { "meltica.int.>", "" },
    { "meltica.*.*", "" },
    { "meltica.control.>", "k" },
    { "meltica.control.as.>", "" },
    { "meltica.lane.>", "" },
    { "meltica.data.>", "op" },
    { "meltica.int.audit.>", "o" },
    { "meltica.int.repeat.>", "" },
    { "meltica.int.ack.*", "" },
    { "$JS.>", "" },
    { "$KV.>", "" },
    { "$KV.meltica-owners.>", "" },
    { "$SYS.>", "" },
    { "$SRV.>", "adcbkw" },
    { "$SRV.*", "adcbkw" },
    { "$SRV.PING.>", "" },
    { "_INBOX.>", "" },
    { "_INBOX.*.*", "" },
    { "_INBOX.*.>", "" },
};

static struct nats_server server;
static char folder[] = "/tmp/meltica-rights.XXXXXX";
static char log_text[1 << 20];
static size_t log_len;
static unsigned refusals, tried;

static void make_path(char *out, size_t size, const char *name)
{
    (void)snprintf(out, size, "%s/%s", folder, name);
}

/* What the server says must be read, or it waits for that. */
static void read_log(int wait_ms)
{
    struct pollfd fd = { .fd = server.log_fd, .events = POLLIN };
    while (poll(&fd, 1, wait_ms) == 1 && log_len < sizeof log_text - 1) {
        const ssize_t n = read(server.log_fd, log_text + log_len, sizeof log_text - 1 - log_len);
        if (n <= 0) {
            return;
        }
        log_len += (size_t)n;
        log_text[log_len] = '\0';
        wait_ms = 0;
    }
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        count++;
    }
    return count;
}

/* ---- a client by hand ---- */

struct client {
    int fd;
    char in[16384];
    size_t len;
};

static void say(struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the server answered the last PING; the caller's until the next call. */
static const char *listen_for(struct client *c, const char *word)
{
    c->len = 0;
    c->in[0] = '\0';
    while (strstr(c->in, word) == NULL) {
        struct pollfd fd = { .fd = c->fd, .events = POLLIN };
        assert_true(c->len < sizeof c->in - 1);
        if (poll(&fd, 1, WAIT_MS) != 1) {
            fail_msg("the server does not answer: %s", c->in);
        }
        const ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - 1 - c->len, 0);
        if (n <= 0) {
            fail_msg("the server hung up: %s", c->in);
        }
        c->len += (size_t)n;
        c->in[c->len] = '\0';
    }
    return c->in;
}

static void client_open(struct client *c, const char *user)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)server.port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char text[256];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    assert_int_equal(connect(c->fd, (const struct sockaddr *)&to, sizeof to), 0);
    (void)snprintf(text, sizeof text,
                   "CONNECT {\"verbose\":false,\"echo\":false,\"user\":\"%s\",\"pass\":\"pw-%s\"}"
                   "\r\nPING\r\n",
                   user, user);
    say(c, text);
    assert_null(strstr(listen_for(c, "PONG"), "-ERR"));
}

/* Whether the server refuses it, in the words for it. */
static bool refused(struct client *c, bool publish, const char *subject)
{
    char text[512], words[512];
    (void)snprintf(text, sizeof text,
                   publish ? "PUB %s 0\r\n\r\nPING\r\n" : "SUB %s 1\r\nUNSUB 1\r\nPING\r\n",
                   subject);
    (void)snprintf(words, sizeof words, "-ERR 'Permissions Violation for %s to \"%s\"",
                   publish ? "Publish" : "Subscription", subject);
    say(c, text);
    const char *said = listen_for(c, "PONG");
    const bool no = strstr(said, "-ERR") != NULL;
    if (no && strcasestr(said, words) == NULL) {
        fail_msg("%s: the server complains of something else: %s", subject, said);
    }
    read_log(0);
    refusals += no;
    tried++;
    return no;
}

static void expect(struct client *c, unsigned user, bool publish, const char *subject,
                   const char *who)
{
    const bool may = strchr(who, users[user].letter) != NULL;
    if (refused(c, publish, subject) == may) {
        fail_msg("%s %s %s %s", users[user].name, may ? "may not" : "may",
                 publish ? "publish to" : "listen to", subject);
    }
}

/* ---- tests ---- */

static void try_stream(struct client *c, unsigned user, size_t s)
{
    char subject[128], all[16], info[16];
    const char *purgers = strcmp(streams[s].name, "KV_meltica-owners") == 0 ? "adcb" : "";
    (void)snprintf(all, sizeof all, "%s%s", streams[s].users, streams[s].readers);
    /* Observers see how each is, principals how the books' bucket is. */
    (void)snprintf(info, sizeof info, "%so%s", streams[s].users,
                   strcmp(streams[s].name, "KV_meltica-snapshots") == 0 ? "p" : "");
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s", streams[s].name);
    expect(c, user, true, subject, info);
    for (size_t i = 0; i < sizeof used_calls / sizeof used_calls[0]; i++) {
        (void)snprintf(subject, sizeof subject, "$JS.API.%s.%s", used_calls[i], streams[s].name);
        expect(c, user, true, subject, streams[s].users);
        expect(c, user, false, subject, "");
    }
    for (size_t i = 0; i < sizeof read_calls / sizeof read_calls[0]; i++) {
        (void)snprintf(subject, sizeof subject, "$JS.API.%s.%s", read_calls[i], streams[s].name);
        expect(c, user, true, subject, all);
    }
    for (size_t i = 0; i < sizeof unused_calls / sizeof unused_calls[0]; i++) {
        (void)snprintf(subject, sizeof subject, "$JS.API.%s.%s", unused_calls[i], streams[s].name);
        expect(c, user, true, subject, i == 1 ? purgers : "");
    }
}

static void test_each_user_may_what_it_needs_and_no_more(void **state)
{
    (void)state;
    for (unsigned u = 0; u < USERS; u++) {
        struct client c = { .fd = -1 };
        client_open(&c, users[u].name);
        for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
            expect(&c, u, true, families[i].subject, families[i].publish);
            expect(&c, u, false, families[i].subject, families[i].subscribe);
        }
        for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
            try_stream(&c, u, i);
        }
        for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
            expect(&c, u, false, wide[i].subject, wide[i].users);
        }
        (void)close(c.fd);
    }
    print_message("%u tried, %u refused\n", tried, refusals);
    assert_true(refusals > 1000 && refusals < tried);
}

/* Each refusal is in the server's log with the name of the user. */
static void test_each_refusal_is_in_the_log_of_the_server(void **state)
{
    (void)state;
    while (count_of(log_text, " Violation - ") < refusals) {
        const size_t before = log_len;
        read_log(WAIT_MS);
        if (log_len == before) {
            break;
        }
    }
    assert_int_equal(count_of(log_text, " Violation - "), refusals);
    for (unsigned u = 0; u < USERS; u++) {
        char name[64];
        (void)snprintf(name, sizeof name, "Violation - User \"%s\"", users[u].name);
        assert_true(count_of(log_text, name) > 50);
    }
    assert_int_equal(count_of(log_text, "pw-"), 0); /* and no password */
}

/* ---- the server ---- */

static void start_server(const char *option)
{
    char command[2048], path[128];
    const char *build = getenv("MELTICA_BINARY_DIR");
    int len = snprintf(command, sizeof command, "%s/bin/meltica nats-auth --cost 4 %s",
                       build != NULL ? build : "build/dev", option);
    for (unsigned u = 0; u < USERS; u++) {
        make_path(path, sizeof path, users[u].name);
        FILE *to = fopen(path, "we");
        assert_non_null(to);
        assert_true(fprintf(to, "pw-%s\n", users[u].name) > 0);
        assert_int_equal(fclose(to), 0);
        len +=
            snprintf(command + len, sizeof command - (size_t)len, " %s=%s", users[u].option, path);
        assert_true((size_t)len < sizeof command);
    }
    FILE *from = popen(command, "re");
    char *text = calloc(1, 262144);
    assert_true(from != NULL && text != NULL);
    assert_true(fread(text, 1, 262143, from) > 1000);
    assert_int_equal(pclose(from), 0);
    nats_server_init(&server, text);
    free(text);
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    start_server("");
    return 0;
}

/* While services of the version before are there, which hear their answers at _INBOX.>. */
static void test_in_a_transition_services_hear_all_answers_and_no_more(void **state)
{
    (void)state;
    const struct nats_server lasting = server;
    start_server("--transition");
    for (unsigned u = 0; u < USERS; u++) {
        struct client c = { .fd = -1 };
        client_open(&c, users[u].name);
        expect(&c, u, false, "_INBOX.old.1", "adcbkw");
        for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
            const bool inbox = strncmp(families[i].subject, "_INBOX.", 7) == 0;
            expect(&c, u, true, families[i].subject, families[i].publish);
            expect(&c, u, false, families[i].subject, inbox ? "adcbkw" : families[i].subscribe);
        }
        for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
            const bool inbox = strncmp(wide[i].subject, "_INBOX.", 7) == 0;
            expect(&c, u, false, wide[i].subject, inbox ? "adcbkw" : wide[i].users);
        }
        (void)close(c.fd);
    }
    nats_server_fini(&server);
    server = lasting;
}

static int end(void **state)
{
    (void)state;
    char path[128];
    nats_server_fini(&server);
    for (unsigned u = 0; u < USERS; u++) {
        make_path(path, sizeof path, users[u].name);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_user_may_what_it_needs_and_no_more),
        cmocka_unit_test(test_each_refusal_is_in_the_log_of_the_server),
        cmocka_unit_test(test_in_a_transition_services_hear_all_answers_and_no_more),
    };
    return cmocka_run_group_tests_name("rights", tests, begin, end);
}

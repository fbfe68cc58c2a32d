#include "connection.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "plain.h"

/* 5 s in all, in pieces between which a signal is noticed. */
#define CONNECT_TRIES 50
#define CONNECT_WAIT_NS (100 * MLT_NS_PER_MS)

static const char *environment_url(void)
{
    static const char *const names[] = { "MELTICA_NATS_URL", "NATS_URL" };
    for (unsigned i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0') {
            return value;
        }
    }
    return "nats://127.0.0.1:4222";
}

void mlt_tool_connection_init(struct mlt_tool_connection *connection)
{
    *connection = (struct mlt_tool_connection){ .bus = { .kind = MLT_BUS_CONTROL } };
    connection->bus.url = environment_url();
}

bool mlt_tool_connection_option(struct mlt_tool_connection *connection, int argc, char **argv,
                                int *i, bool *wrong)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        { "--nats-url", &connection->bus.url },
        { "--creds", &connection->bus.creds_file },
        { "--nkey", &connection->bus.nkey_seed_file },
        { "--user", &connection->bus.user },
        { "--password-file", &connection->bus.password_file },
        { "--token-file", &connection->bus.token_file },
        { "--tls-ca", &connection->bus.tls_ca_file },
        { "--tls-cert", &connection->bus.tls_cert_file },
        { "--tls-key", &connection->bus.tls_key_file },
        { "--inbox-prefix", &connection->bus.inbox_prefix },
    };
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        if (strcmp(argv[*i], options[o].name) == 0) {
            if (*i + 1 >= argc) {
                *wrong = true;
                return false;
            }
            *options[o].value = argv[++*i];
            return true;
        }
    }
    return false;
}

bool mlt_tool_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

void mlt_tool_say_wrong(const char *command, char **argv, int option, int at)
{
    char word[64];
    (void)snprintf(word, sizeof word, "%s", argv[at]);
    mlt_tool_plain(word);
    if (at > option) {
        (void)fprintf(stderr, "meltica %s: %s does not take \"%s\"\n", command, argv[option], word);
    } else if (word[0] == '-') {
        (void)fprintf(stderr, "meltica %s: \"%s\" is no option, or its value is missing\n", command,
                      word);
    } else {
        (void)fprintf(stderr, "meltica %s: \"%s\" is not what it takes\n", command, word);
    }
}

/* The last thing that was wrong with the connection, in the server's or the system's words. */
struct trouble {
    pthread_mutex_t lock;
    char text[160];
};

static void on_state(void *ctx, bool connected, const char *reason)
{
    struct trouble *t = ctx;
    (void)pthread_mutex_lock(&t->lock);
    (void)snprintf(t->text, sizeof t->text, "%s", connected || reason == NULL ? "" : reason);
    (void)pthread_mutex_unlock(&t->lock);
}

/* The three that end a command in order. */
static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
#define END_COUNT (sizeof ends / sizeof ends[0])

static bool is_told_to_end(void)
{
    sigset_t pending;
    bool told = false;
    if (sigpending(&pending) == 0) {
        for (size_t i = 0; i < END_COUNT; i++) {
            told = told || sigismember(&pending, ends[i]) == 1;
        }
    }
    return told;
}

void mlt_tool_plain_url(const char *url, char *out, size_t size)
{
    const char *scheme = strstr(url, "://");
    const char *at = strrchr(url, '@');
    if (at != NULL) { /* nats.c takes a URL without a scheme too */
        (void)snprintf(out, size, "%.*s%s", scheme != NULL ? (int)(scheme + 3 - url) : 0, url,
                       at + 1);
    } else {
        (void)snprintf(out, size, "%s", url);
    }
}

struct mlt_bus *mlt_tool_try_connect(const struct mlt_tool_connection *connection,
                                     const char *command, char *why, size_t size)
{
    static struct trouble trouble = { .lock = PTHREAD_MUTEX_INITIALIZER };
    struct mlt_bus_options options = connection->bus;
    char name[64];
    (void)snprintf(name, sizeof name, "meltica-cli/%s", command);
    options.name = name;
    options.on_state = on_state;
    options.ctx = &trouble;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    enum mlt_status status = mlt_bus_connect(&options, &bus, &err);
    for (int tries = 0; status == MLT_OK && tries < CONNECT_TRIES; tries++) {
        status = mlt_bus_wait_connected(bus, CONNECT_WAIT_NS);
        if (status != MLT_E_TIMEOUT || is_told_to_end()) {
            break;
        }
        status = tries + 1 < CONNECT_TRIES ? MLT_OK : MLT_E_TIMEOUT;
    }
    if (status != MLT_OK) {
        (void)pthread_mutex_lock(&trouble.lock);
        (void)snprintf(why, size, "%s",
                       err.text[0] != '\0'       ? err.text
                       : trouble.text[0] != '\0' ? trouble.text
                                                 : mlt_status_text(status));
        (void)pthread_mutex_unlock(&trouble.lock);
        mlt_tool_plain(why); /* a server's words */
        mlt_bus_destroy(bus, 0);
        return NULL;
    }
    return bus;
}

struct mlt_bus *mlt_tool_connect(const struct mlt_tool_connection *connection, const char *command)
{
    char why[MLT_ERROR_TEXT_BYTES_MAX], url[512];
    struct mlt_bus *bus = mlt_tool_try_connect(connection, command, why, sizeof why);
    if (bus == NULL) {
        mlt_tool_plain_url(connection->bus.url, url, sizeof url);
        (void)fprintf(stderr,
                      "meltica %s: no NATS server at %s: %s\n"
                      "  --nats-url or MELTICA_NATS_URL names another; meltica doctor says what is "
                      "wrong, and what to do\n",
                      command, url, why);
    }
    return bus;
}

int mlt_tool_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < END_COUNT; i++) {
        struct sigaction action;
        /* nohup has SIGHUP ignored, which a signal that is blocked would not be. A shell has SIGINT
         * ignored for what runs beside its script, and that is to end by it all the same. */
        if (ends[i] != SIGHUP || sigaction(SIGHUP, NULL, &action) != 0 ||
            action.sa_handler != SIG_IGN) {
            (void)sigaddset(&set, ends[i]);
        }
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        return -1;
    }
    return signalfd(-1, &set, SFD_CLOEXEC);
}

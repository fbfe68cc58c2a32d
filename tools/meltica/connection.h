/* How the subcommands reach NATS: the same options everywhere. */
#ifndef MELTICA_TOOL_CONNECTION_H
#define MELTICA_TOOL_CONNECTION_H

#include "meltica/bus/bus.h"
#include "numbers.h"

struct mlt_tool_connection {
    struct mlt_bus_options bus; /* url from --nats-url, MELTICA_NATS_URL, NATS_URL or the default */
};

/* Text for usage lines. */
#define MLT_TOOL_CONNECTION_USAGE                                                                  \
    "[--nats-url URL] [--creds FILE] [--nkey FILE] [--user NAME --password-file FILE] "            \
    "[--token-file FILE] [--tls-ca FILE] [--tls-cert FILE --tls-key FILE] "                        \
    "[--inbox-prefix PREFIX]"

void mlt_tool_connection_init(struct mlt_tool_connection *connection);
/* True when argv[*i] is one of the options above: *i then stands on its value. False with *wrong
 * set when the value is missing. */
bool mlt_tool_connection_option(struct mlt_tool_connection *connection, int argc, char **argv,
                                int *i, bool *wrong);
/* Connects and waits 5 s for the server, less when SIGINT, SIGTERM or SIGHUP is pending. Says on
 * stderr what is wrong. NULL on failure. */
struct mlt_bus *mlt_tool_connect(const struct mlt_tool_connection *connection, const char *command);
/* The same, but says it in why. */
struct mlt_bus *mlt_tool_try_connect(const struct mlt_tool_connection *connection,
                                     const char *command, char *why, size_t size);
/* The URL without the password that it may hold. */
void mlt_tool_plain_url(const char *url, char *out, size_t size);

/* True when a command was asked for --help (or -h). */
bool mlt_tool_help(int argc, char **argv);

/* Names on stderr the word argv[at] that is wrong: the value of argv[option], or that itself. */
void mlt_tool_say_wrong(const char *command, char **argv, int option, int at);

/* SIGINT, SIGTERM and, where it is not ignored, SIGHUP as a descriptor to read from (they are
 * blocked in every thread); -1 on failure. Before any thread is made. */
int mlt_tool_signals(void);

#endif

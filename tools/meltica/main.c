/* meltica: the command line tool. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "meltica/base/log.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    { "decode", mlt_command_decode,
      "decode [--batch]                            one event on stdin, JSON on stdout" },
    { "tail", mlt_command_tail,
      "tail [INSTRUMENT] [--json]                  the live lane as a table, or as JSON lines" },
    { "book", mlt_command_book,
      "book INSTRUMENT [--json] [--once]           its order book as a ladder, or as JSON lines" },
    { "verify", mlt_command_verify,
      "verify INSTRUMENT [--seconds N] [--json]    join it late, compare every digest" },
    { "collect", mlt_command_collect,
      "collect --seconds N | --simulator URL       follow the live lane, report as JSON" },
    { "record", mlt_command_record,
      "record FILE [INSTRUMENT]                    the live lane to a file" },
    { "replay", mlt_command_replay,
      "replay FILE [--speed N|max]                 a recorded file to meltica.replay.*" },
    { "sub", mlt_command_sub,
      "sub TYPE INSTRUMENT... [--ttl SECONDS]      ask for what shall flow" },
    { "unsub", mlt_command_unsub, "unsub SUBSCRIPTION | TYPE INSTRUMENT...     end it" },
    { "update", mlt_command_update,
      "update SUBSCRIPTION INSTRUMENT...           another demand in its place" },
    { "subs", mlt_command_subs,
      "subs [--json]                               what is asked for, as a table or JSON" },
    { "audit", mlt_command_audit,
      "audit [--since 1h] [--follow] [--json]      who asked for what, and what came of it" },
    { "top", mlt_command_top,
      "top [--once] [--json] [--sort KEY]          services, lines and instruments, live" },
    { "trace", mlt_command_trace,
      "trace KEY|--next [--wait] [--json]          when one event was where, stage by stage" },
    { "doctor", mlt_command_doctor,
      "doctor [--rest-url URL] [--json]            is this installation well, and what to do" },
    { "nats-auth", mlt_command_nats_auth,
      "nats-auth --policy FILE --user NAME=FILE    users for nats-server, with permissions" },
    { "health", mlt_command_health,
      "health URL [--timeout SECONDS]              ask a page such as /readyz: 0 well, 1 not" },
    { "inspect", mlt_command_inspect,
      "inspect [--report FILE | --events] FILE...  recordings through the cores, report as JSON" },
};

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: meltica COMMAND [arguments]\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        (void)fprintf(to, "  meltica %s\n", commands[i].usage);
    }
    (void)fprintf(to, "  meltica COMMAND --help | --version\n");
    return status;
}

/* Where one of the three is closed, the next thing that is opened would take its place, and a
 * connection would get what is printed. Output that cannot go anywhere fails, as on a full disk. */
static void open_missing(void)
{
    static const struct {
        const char *path, *otherwise;
        int flags;
    } ends[3] = { { "/dev/null", "/dev/null", O_RDONLY },
                  { "/dev/full", "/dev/null", O_WRONLY },
                  { "/dev/null", "/dev/null", O_WRONLY } };
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && open(ends[fd].path, ends[fd].flags) != fd) {
            (void)open(ends[fd].otherwise, ends[fd].flags); /* the lowest that is free: this one */
        }
    }
}

/* Who reads no more, as head does, has what it wanted. */
static bool reader_is_gone(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO };
    return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

/* What was printed into nothing is not done. */
static int end(const char *command, int result)
{
    const bool printed = fflush(stdout) == 0 && ferror(stdout) == 0;
    if (printed || reader_is_gone()) {
        return result;
    }
    (void)fprintf(stderr, "meltica %s: not all of its output could be written\n", command);
    return result != 0 ? result : 1;
}

int main(int argc, char **argv)
{
    open_missing();
    if (argc < 2) {
        return usage(stderr, 2);
    }
    mlt_log_init("meltica", "", MLT_LOG_ERROR); /* a person reads this, not a collector of logs */
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return end(argv[1], usage(stdout, 0));
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("meltica %s\n", MELTICA_VERSION);
        return end(argv[1], 0);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return end(argv[1], commands[i].run(argc - 1, argv + 1));
        }
    }
    (void)fprintf(stderr, "meltica: no command \"%s\"\n", argv[1]);
    return usage(stderr, 2);
}

/* meltica health: asks a page over HTTP and ends with what it said; a health check for containers
 * whose program has none of its own, as nats-server. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "connection.h"
#include "meltica/base/clock.h"
#include "meltica/http/probe.h"
#include "plain.h"

#define SECONDS_DEFAULT 2
#define ANSWER_BYTES_MAX 4096u

static int wrong_usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica health URL [--timeout SECONDS]\n"
                  "  URL: a page such as http://127.0.0.1:8080/readyz; 0: 200 to 299, 1: else\n");
    return status;
}

int mlt_command_health(int argc, char **argv)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char answer[ANSWER_BYTES_MAX];
    const char *url = NULL;
    int64_t seconds = SECONDS_DEFAULT;
    if (mlt_tool_help(argc, argv)) {
        return wrong_usage(stdout, 0);
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--timeout") == 0 && i + 1 < argc) {
            if (!mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &seconds)) {
                return wrong_usage(stderr, 2);
            }
        } else if (argv[i][0] != '-' && url == NULL) {
            url = argv[i];
        } else {
            return wrong_usage(stderr, 2);
        }
    }
    if (url == NULL) {
        return wrong_usage(stderr, 2);
    }
    if (mlt_http_probe(url, seconds * MLT_NS_PER_S, answer, sizeof answer, &err) != MLT_OK) {
        mlt_tool_plain(err.text);
        (void)fprintf(stderr, "meltica health: %s\n", err.text);
        return 1;
    }
    for (char *line = answer; line != NULL;) { /* its line ends are its own */
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end++ = '\0';
        }
        mlt_tool_plain(line);
        (void)printf("%s\n", line);
        line = end;
    }
    return 0;
}

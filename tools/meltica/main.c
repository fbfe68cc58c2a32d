/* meltica: the command line tool. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
} commands[] = {
    { "decode", mlt_command_decode,
      "decode [--batch]                            one event on stdin, JSON on stdout" },
    { "inspect", mlt_command_inspect,
      "inspect [--report FILE | --events] FILE...  recordings through the cores, report as JSON" },
};

static int usage(FILE *to, int status)
{
    (void)fprintf(to, "usage: meltica COMMAND [arguments]\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        (void)fprintf(to, "  meltica %s\n", commands[i].usage);
    }
    (void)fprintf(to, "  meltica --version\n");
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return usage(stderr, 2);
    }
    if (strcmp(argv[1], "--help") == 0) {
        return usage(stdout, 0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("meltica %s\n", MELTICA_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "meltica: no command \"%s\"\n", argv[1]);
    return usage(stderr, 2);
}

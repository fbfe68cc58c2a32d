/* The command line tool as a process: its arguments, what it says, how it ends. One thread. */
#ifndef MELTICA_TEST_COMMAND_H
#define MELTICA_TEST_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "meltica/base/buf.h"

#define COMMAND_ARGUMENTS_MAX 24u

struct command {
    pid_t pid;
    int out, err;            /* read ends */
    struct mlt_buf out_text; /* what it said so far; NUL-terminated after command_end */
    struct mlt_buf err_text;
};

/* Starts `meltica ARGUMENTS...` (NULL-terminated); stdin is the file, /dev/null where it is NULL.
 */
void command_start(struct command *command, const char *const *arguments, const char *stdin_path);
/* The same of another program of the build: "meltica-adapter". */
void command_start_program(struct command *command, const char *program,
                           const char *const *arguments);
/* The same with stdout in a file ("": closed), whose end command_end does not see. */
void command_start_into(struct command *command, const char *const *arguments,
                        const char *stdout_path);
/* Reads until its stderr has that text. False: 20 s passed, or it ended. */
bool command_wait_said(struct command *command, const char *text);
/* The same of stdout. */
bool command_wait_printed(struct command *command, const char *text);
/* Reads to its end; returns the exit status, -1 when a signal ended it. After 30 s it is killed. */
int command_end(struct command *command);
const char *command_out(const struct command *command);
const char *command_err(const struct command *command);
void command_free(struct command *command);
/* start and end. */
int command_run(struct command *command, const char *const *arguments, const char *stdin_path);

#endif

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/unconst.h"
#include "mlt_test.h"

#define TEXT_BYTES_MAX (64u << 20)
#define SAY_NS (20 * MLT_NS_PER_S)
#define END_NS (30 * MLT_NS_PER_S)

static void become(const char *program, const char *const *arguments, const char *stdin_path,
                   const char *stdout_path, int out, int err)
{
    char path[512];
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, sizeof path, "%s/bin/%s", build != NULL ? build : "build/dev", program);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int in = open(stdin_path != NULL ? stdin_path : "/dev/null", O_RDONLY);
    if (stdout_path != NULL && stdout_path[0] != '\0') {
        out = open(stdout_path, O_WRONLY);
    }
    if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
        _exit(126);
    }
    if (stdout_path != NULL && stdout_path[0] == '\0') {
        (void)close(1);
    }
    const char *words[COMMAND_ARGUMENTS_MAX + 2] = { path };
    for (unsigned i = 0; i < COMMAND_ARGUMENTS_MAX && arguments[i] != NULL; i++) {
        words[i + 1] = arguments[i];
    }
    execv(path, mlt_unconst(words));
    (void)dprintf(2, "cannot run %s: %s\n", path, strerror(errno));
    _exit(127);
}

static void start(struct command *command, const char *program, const char *const *arguments,
                  const char *stdin_path, const char *stdout_path)
{
    int out[2], err[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    mlt_buf_init(&command->out_text, TEXT_BYTES_MAX);
    mlt_buf_init(&command->err_text, TEXT_BYTES_MAX);
    command->pid = fork();
    assert_true(command->pid >= 0);
    if (command->pid == 0) {
        become(program, arguments, stdin_path, stdout_path, out[1], err[1]);
    }
    (void)close(out[1]);
    (void)close(err[1]);
    command->out = out[0];
    command->err = err[0];
}

void command_start(struct command *command, const char *const *arguments, const char *stdin_path)
{
    start(command, "meltica", arguments, stdin_path, NULL);
}

void command_start_program(struct command *command, const char *program,
                           const char *const *arguments)
{
    start(command, program, arguments, NULL, NULL);
}

void command_start_into(struct command *command, const char *const *arguments,
                        const char *stdout_path)
{
    start(command, "meltica", arguments, NULL, stdout_path);
}

static void take(int *fd, struct mlt_buf *text)
{
    assert_int_equal(mlt_buf_reserve(text, 65537), MLT_OK);
    const ssize_t n = read(*fd, text->data + text->len, 65536);
    if (n > 0) {
        text->len += (size_t)n;
    } else {
        (void)close(*fd);
        *fd = -1;
    }
    text->data[text->len] = '\0';
}

/* One wait and what it brought. False: both ends are closed, or the deadline came. */
static bool read_more(struct command *c, int64_t deadline_ns)
{
    struct pollfd fds[2] = { { .fd = c->out, .events = POLLIN },
                             { .fd = c->err, .events = POLLIN } };
    const int64_t left_ns = deadline_ns - mlt_clock_mono_ns();
    if ((c->out < 0 && c->err < 0) || left_ns <= 0 ||
        poll(fds, 2, (int)(left_ns / MLT_NS_PER_MS) + 1) <= 0) {
        return false;
    }
    if (fds[0].revents != 0) {
        take(&c->out, &c->out_text);
    }
    if (fds[1].revents != 0) {
        take(&c->err, &c->err_text);
    }
    return true;
}

static bool contains(const struct mlt_buf *buf, const char *text)
{
    return buf->len > 0 && memmem(buf->data, buf->len, text, strlen(text)) != NULL;
}

static bool wait_for(struct command *command, const struct mlt_buf *buf, const char *text)
{
    const int64_t deadline = mlt_clock_mono_ns() + SAY_NS;
    bool more = true;
    while (more && !contains(buf, text)) {
        more = read_more(command, deadline);
    }
    return contains(buf, text);
}

bool command_wait_said(struct command *command, const char *text)
{
    return wait_for(command, &command->err_text, text);
}

bool command_wait_printed(struct command *command, const char *text)
{
    return wait_for(command, &command->out_text, text);
}

int command_end(struct command *command)
{
    const int64_t deadline = mlt_clock_mono_ns() + END_NS;
    bool more = true;
    while (more) {
        more = read_more(command, deadline);
    }
    if (command->out >= 0 || command->err >= 0) {
        (void)kill(command->pid, SIGKILL); /* its deadline came */
    }
    int status = 0;
    assert_int_equal(waitpid(command->pid, &status, 0), command->pid);
    int *const fds[] = { &command->out, &command->err };
    for (unsigned i = 0; i < 2; i++) {
        if (*fds[i] >= 0) {
            (void)close(*fds[i]);
            *fds[i] = -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *text_of(const struct mlt_buf *buf)
{
    return buf->len > 0 ? (const char *)buf->data : "";
}

const char *command_out(const struct command *command)
{
    return text_of(&command->out_text);
}

const char *command_err(const struct command *command)
{
    return text_of(&command->err_text);
}

void command_free(struct command *command)
{
    mlt_buf_fini(&command->out_text);
    mlt_buf_fini(&command->err_text);
}

int command_run(struct command *command, const char *const *arguments, const char *stdin_path)
{
    command_start(command, arguments, stdin_path);
    return command_end(command);
}

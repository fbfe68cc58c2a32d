#include "terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Alternate screen, no cursor, empty; and back. */
#define ENTER "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
#define LEAVE "\x1b[0m\x1b[?25h\x1b[?1049l"
/* Between these a terminal that knows them shows nothing half. */
#define BEGIN "\x1b[?2026h\x1b[H"
#define END "\x1b[J\x1b[?2026l"

static bool write_all(struct mlt_slice text)
{
    while (text.len > 0) {
        const ssize_t n = write(STDOUT_FILENO, text.data, text.len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            text.data += n;
            text.len -= (size_t)n;
        }
    }
    return true;
}

void mlt_terminal_enter(struct mlt_terminal *terminal)
{
    terminal->keys = isatty(STDIN_FILENO) != 0 && tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    if (terminal->keys) {
        struct termios raw = terminal->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C stays a signal */
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    }
    terminal->entered = true;
    (void)write_all(mlt_slice_of_string(ENTER));
}

void mlt_terminal_leave(struct mlt_terminal *terminal)
{
    if (!terminal->entered) {
        return;
    }
    terminal->entered = false;
    (void)write_all(mlt_slice_of_string(LEAVE));
    if (terminal->keys) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->before);
    }
}

void mlt_terminal_size(unsigned *rows, unsigned *columns)
{
    struct winsize size = { .ws_row = 0 };
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    *rows = known && size.ws_row > 0 ? size.ws_row : 24;
    *columns = known && size.ws_col > 0 ? size.ws_col : 80;
}

bool mlt_terminal_show(struct mlt_slice picture)
{
    return write_all(mlt_slice_of_string(BEGIN)) && write_all(picture) &&
           write_all(mlt_slice_of_string(END));
}

bool mlt_terminal_read(struct mlt_terminal *terminal)
{
    unsigned char typed[sizeof terminal->pending];
    const size_t room = sizeof terminal->pending - terminal->pending_count;
    const ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
    if (n <= 0) {
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    }
    const size_t taken = (size_t)n < room ? (size_t)n : room; /* what has no room is not heard */
    memcpy(terminal->pending + terminal->pending_count, typed, taken);
    terminal->pending_count += (unsigned)taken;
    return true;
}

static void consume(struct mlt_terminal *terminal, unsigned count)
{
    terminal->pending_count -= count;
    memmove(terminal->pending, terminal->pending + count, terminal->pending_count);
}

int mlt_terminal_key(struct mlt_terminal *terminal)
{
    static const struct {
        const char *sequence;
        int key;
    } sequences[] = { { "\x1b[A", MLT_KEY_UP },       { "\x1b[B", MLT_KEY_DOWN },
                      { "\x1bOA", MLT_KEY_UP },       { "\x1bOB", MLT_KEY_DOWN },
                      { "\x1b[5~", MLT_KEY_PAGE_UP }, { "\x1b[6~", MLT_KEY_PAGE_DOWN } };
    if (terminal->pending_count == 0) {
        return MLT_KEY_NONE;
    }
    for (unsigned i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        const unsigned len = (unsigned)strlen(sequences[i].sequence);
        if (terminal->pending_count >= len &&
            memcmp(terminal->pending, sequences[i].sequence, len) == 0) {
            consume(terminal, len);
            return sequences[i].key;
        }
    }
    const int key = terminal->pending[0];
    consume(terminal, 1);
    return key;
}

/* The terminal of `meltica top`: a screen of its own, keys one by one, and everything as it was
 * before afterwards. One thread, one at a time. */
#ifndef MELTICA_TOOL_TERMINAL_H
#define MELTICA_TOOL_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "meltica/base/slice.h"

enum { MLT_KEY_NONE = 0, MLT_KEY_UP = 256, MLT_KEY_DOWN, MLT_KEY_PAGE_UP, MLT_KEY_PAGE_DOWN };

struct mlt_terminal {
    bool entered, keys; /* keys: stdin is a terminal too */
    struct termios before;
    unsigned char pending[64]; /* read and not yet a key */
    unsigned pending_count;
};

/* Alternate screen without a cursor, no echo. stdout is a terminal. */
void mlt_terminal_enter(struct mlt_terminal *terminal);
/* As it was before; may be called again and without enter. */
void mlt_terminal_leave(struct mlt_terminal *terminal);
/* Rows and columns as they are now; 24 and 80 where nobody knows. */
void mlt_terminal_size(unsigned *rows, unsigned *columns);
/* Replaces what is shown, in one write. False: the terminal is gone. */
bool mlt_terminal_show(struct mlt_slice picture);
/* Takes in what was typed; false: the terminal is gone. To be called when stdin is readable. */
bool mlt_terminal_read(struct mlt_terminal *terminal);
/* The next key of what was typed: a character, one of the above, or NONE. */
int mlt_terminal_key(struct mlt_terminal *terminal);

#endif

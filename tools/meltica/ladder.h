/* One BOOK as a ladder for a terminal: asks above, the spread, bids below; state and quality in
 * words. Pure. */
#ifndef MELTICA_TOOL_LADDER_H
#define MELTICA_TOOL_LADDER_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

struct mlt_ladder_view {
    unsigned rows, columns; /* of the terminal; 0: all levels, whole lines */
    bool colours;           /* also moves the cursor: the picture replaces the one before */
    bool connected;
    int64_t now_ns; /* wall clock, for the age of the book */
};

/* book is a BOOK event; NULL: none came yet. Appends to out. E_NOMEM, E_TOO_BIG. */
enum mlt_status mlt_ladder_draw(const struct mlt_event *book, const char *instrument,
                                const struct mlt_ladder_view *view,
                                struct mlt_buf *out) MLT_MUST_CHECK;

/* "good", or the words of the bits, separated by commas. out at least 128 bytes. */
void mlt_quality_words(uint32_t quality, char out[128]);

#endif

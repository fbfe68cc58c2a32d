/*
 * What `meltica tail` shows: one row an instrument, fed with events, drawn as text. No I/O and no
 * clock of its own. One thread at a time.
 */
#ifndef MELTICA_TOOL_BOARD_H
#define MELTICA_TOOL_BOARD_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

#define MLT_BOARD_INSTRUMENTS_MAX 16384u

struct mlt_board;

enum mlt_status mlt_board_create(struct mlt_board **board) MLT_MUST_CHECK;
void mlt_board_destroy(struct mlt_board *board);

/* Takes one event; received_ns: wall time at which the consumer had it. E_LIMIT, E_NOMEM. */
enum mlt_status mlt_board_event(struct mlt_board *board, const struct mlt_event *event,
                                int64_t received_ns) MLT_MUST_CHECK;

struct mlt_board_view {
    unsigned columns, rows; /* of the terminal; 0: no limit */
    bool colours;           /* ANSI colours, and home + clear around the picture */
    int64_t elapsed_ns;     /* since the last drawing */
    const char *title;      /* where it is connected */
    const char *head;       /* lines below the title; NULL: none */
    bool connected;
};
/* Appends one picture: title, head (at most a third of the rows), totals, header, the instruments
 * that had most events since the start as far as there is room, by name, and a line for those
 * without room or with nothing but a listing. Rates are over about a second, latencies over ten.
 * Columns are as wide as what was in them; the less needed ones are left out where the terminal is
 * narrow, and lines are cut at its width. */
enum mlt_status mlt_board_draw(struct mlt_board *board, const struct mlt_board_view *view,
                               struct mlt_buf *out) MLT_MUST_CHECK;
/* One line with the totals, for the end. */
enum mlt_status mlt_board_summary(const struct mlt_board *board,
                                  struct mlt_buf *out) MLT_MUST_CHECK;

#endif

/*
 * The fused books of a stream as one report sees them, by instrument: the last BOOK, and whether
 * best bid and offer agree with it wherever both speak of one update id. Knows nothing but the
 * events it is given. One thread at a time.
 */
#ifndef MELTICA_TOOL_BOOKS_H
#define MELTICA_TOOL_BOOKS_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

struct mlt_books;

enum mlt_status mlt_books_create(struct mlt_books **books) MLT_MUST_CHECK;
void mlt_books_destroy(struct mlt_books *books); /* NULL is fine */

/* E_LIMIT above 16,384 instruments, E_NOMEM. */
enum mlt_status mlt_books_event(struct mlt_books *books,
                                const struct mlt_event *event) MLT_MUST_CHECK;

/* The member "books" of the report, with its name (docs/report.md). */
enum mlt_status mlt_books_report(const struct mlt_books *books, struct mlt_buf *out) MLT_MUST_CHECK;

#endif

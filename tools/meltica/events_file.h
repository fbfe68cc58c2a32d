/* A file of meltica record, which is one EventBatch, event by event, and when each is due in a
 * replay. Pure, any thread. */
#ifndef MELTICA_TOOL_EVENTS_FILE_H
#define MELTICA_TOOL_EVENTS_FILE_H

#include "meltica/event/event.h"

/* The next event and its bytes, views of *rest and the arena, which is emptied before. E_EMPTY at
 * the end; E_PARSE and what mlt_event_decode says: from here on it is no recording. */
enum mlt_status mlt_events_file_next(struct mlt_slice *rest, struct mlt_arena *arena,
                                     struct mlt_event *event,
                                     struct mlt_slice *bytes) MLT_MUST_CHECK;

/* How long after the first event one is due, at `speed` times (from 1) the pace of the recording: 0
 * for one whose stamp is before that of the first, INT64_MAX at most. */
int64_t mlt_events_file_due_ns(int64_t first_ns, int64_t at_ns, int64_t speed);

#endif

/* Between lines.c (connections, places, hand-over), requests.c (what is said on them) and sources.c
 * (what is said of them). */
#ifndef MELTICA_ADAPTER_LINES_INTERNAL_H
#define MELTICA_ADAPTER_LINES_INTERNAL_H

#include "lines.h"

/* Walk of all seats on a line: EACH_SEAT(lines, n, topic, k) { ... } */
#define EACH_SEAT(owner, line_number, topic, k)                                                    \
    for (size_t i_##topic = 0; i_##topic < (owner)->topics->count; i_##topic++)                    \
        for (struct mlt_topic *topic = (owner)->topics->items[i_##topic]; topic != NULL;           \
             topic = NULL)                                                                         \
            for (unsigned k = 0; k < 2; k++)                                                       \
                if (topic->seats[k].line == (line_number))

void mlt_lines_topic_set(struct mlt_lines *lines, struct mlt_topic *topic,
                         enum mlt_topic_state state, const char *reason);
/* SOURCE_DOWN of its instrument, once. */
void mlt_lines_source_down(struct mlt_lines *lines, struct mlt_topic *topic, const char *reason);
/* SOURCE_UP for instruments whose wanted topics all stand again, or for the first time: an Adapter
 * that ended in order left SOURCE_DOWN behind. */
void mlt_lines_settle_sources(struct mlt_lines *lines);
/* A line ends: as mlt_lines.ended_since_ns says. Before its topics leave it. */
void mlt_lines_note_end(struct mlt_lines *lines, uint32_t number);
/* Resends, gives up, and sends what was gathered; when the line has to be looked at next. */
int64_t mlt_lines_converse(struct mlt_lines *lines, uint32_t number, int64_t now_ns);
void mlt_lines_forget_requests(struct mlt_line *line);
/* Empty rings: nothing was sent. */
void mlt_lines_reset_pace(struct mlt_line *line);
/* Gathered changes leave no later than at_ns. */
void mlt_lines_want_by(struct mlt_line *line, int64_t at_ns);

#endif

/* Between lines.c (connections, hand-over), places.c (which topic on which), requests.c (what is
 * said on them), sources.c (what is said of them) and copies.c (two lines for the same topic). */
#ifndef MELTICA_ADAPTER_LINES_INTERNAL_H
#define MELTICA_ADAPTER_LINES_INTERNAL_H

#include "lines.h"

/* Walk of all seats on a line: EACH_SEAT(lines, n, topic, k) { ... } */
#define EACH_SEAT(owner, line_number, topic, k)                                                    \
    for (size_t i_##topic = 0; i_##topic < (owner)->topics->count; i_##topic++)                    \
        for (struct mlt_topic *topic = (owner)->topics->items[i_##topic]; topic != NULL;           \
             topic = NULL)                                                                         \
            for (unsigned k = 0; k < 2u * (owner)->options.copies; k++)                            \
                if (topic->seats[k].line == (line_number))

void mlt_lines_topic_set(struct mlt_lines *lines, struct mlt_topic *topic,
                         enum mlt_topic_state state, const char *reason);
/* Its stream is acknowledged: LIVE, or SILENT where nothing is to be expected of it. */
void mlt_lines_topic_acked(struct mlt_lines *lines, struct mlt_topic *topic);
/* SOURCE_DOWN of its instrument, once. */
void mlt_lines_source_down(struct mlt_lines *lines, struct mlt_topic *topic, const char *reason);
/* A topic stood on a line that ended; covered: its other copy goes on (mlt_lines_covers). */
void mlt_lines_cut(struct mlt_lines *lines, struct mlt_topic *topic, bool covered,
                   const char *reason);
/* SOURCE_UP for instruments whose wanted topics all stand again, or for the first time: an Adapter
 * that ended in order left SOURCE_DOWN behind. */
void mlt_lines_settle_sources(struct mlt_lines *lines);
/* A line ends: as mlt_lines.ended_since_ns says. Before its topics leave it. */
void mlt_lines_note_end(struct mlt_lines *lines, uint32_t number);

/* ---- places.c ---- */
/* Counts, places what has no place, keeps the spare line. */
void mlt_lines_place(struct mlt_lines *lines, int64_t now_ns);
/* MLT_LINE_NONE: none is free. */
uint32_t mlt_lines_open_slot(struct mlt_lines *lines, int64_t now_ns);
/* The spare line, connected and empty, takes over at once; this one becomes the spare. */
void mlt_lines_move_to_spare(struct mlt_lines *lines, uint32_t number, int64_t now_ns);

/* ---- copies.c ---- */
/* Whether the other copy has what a line that ends, and that was heard last then, may not have
 * brought by seat k of the topic: its own line is up, it stands since before, and is not mute. */
bool mlt_lines_covers(const struct mlt_lines *lines, const struct mlt_topic *topic, unsigned k,
                      int64_t heard_ns);
/* A copy of the topic stood until now, and stands no longer; covered: as mlt_lines_covers says. */
void mlt_lines_copy_lost(struct mlt_topic *topic, unsigned k, bool covered, int64_t now_ns);
/* The exchange will never bring it: it refused one copy, and none stands. */
bool mlt_lines_refused(const struct mlt_topic *topic);
/* Whether seat k is not to be subscribed yet: a first copy is on its way, and the second one does
 * not ask before it; or the exchange refused it to the other one. */
bool mlt_lines_copy_waits(const struct mlt_lines *lines, const struct mlt_topic *topic, unsigned k);
/* Something happened to the first copy: the second one is looked at. */
void mlt_lines_nudge_second(struct mlt_lines *lines, const struct mlt_topic *topic, int64_t now_ns);
/* Whether the other copy of the topic of seat k is about to be asked for, or was, so that its
 * answer decides. */
bool mlt_lines_other_on_its_way(const struct mlt_lines *lines, const struct mlt_topic *topic,
                                unsigned k);
/* Whether no topic of a line needs it in order to be brought at all. */
bool mlt_lines_can_wait(const struct mlt_lines *lines, uint32_t number);
/* Until when the topic was brought, by its line or both of them; INT64_MAX: by none. */
int64_t mlt_lines_brought_until(const struct mlt_lines *lines, const struct mlt_topic *topic);

/* Resends, gives up, and sends what was gathered; when the line has to be looked at next. */
int64_t mlt_lines_converse(struct mlt_lines *lines, uint32_t number, int64_t now_ns);
void mlt_lines_forget_requests(struct mlt_line *line);
/* Empty rings: nothing was sent. */
void mlt_lines_reset_pace(struct mlt_line *line);
/* Gathered changes leave no later than at_ns. */
void mlt_lines_want_by(struct mlt_line *line, int64_t at_ns);

#endif

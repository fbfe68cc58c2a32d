/* Two lines for the same topics at the same time (docs/decisions/0022-line-copies.md). */
#include "lines_internal.h"

bool mlt_lines_covers(const struct mlt_lines *lines, const struct mlt_topic *topic, unsigned k,
                      int64_t heard_ns)
{
    const struct mlt_seat *other = mlt_topic_other(topic, k);
    return mlt_seat_stands(other) && !other->mute && other->since_ns <= heard_ns &&
           lines->lines[other->line].state == MLT_LINE_UP;
}

void mlt_lines_copy_lost(struct mlt_topic *topic, unsigned k, bool covered, int64_t now_ns)
{
    const struct mlt_seat *other = mlt_topic_other(topic, k);
    topic->watched = false;
    topic->seats[0].mute = topic->seats[2].mute = false; /* there is nothing to compare with */
    topic->seats[0].reminded = topic->seats[2].reminded = 0;
    if (!mlt_seat_stands(other)) {
        return;
    }
    if (!covered && other->since_ns > topic->stood_since_ns) {
        topic->stood_since_ns = other->since_ns;
    }
    if (!other->seen) { /* what came proves nothing of it: its first message is waited for */
        topic->seen = false;
        topic->acked_at_ns = now_ns;
    }
}

bool mlt_lines_refused(const struct mlt_topic *topic)
{
    return !mlt_topic_stands(topic) && mlt_topic_refused_for_good(topic);
}

bool mlt_lines_copy_waits(const struct mlt_lines *lines, const struct mlt_topic *topic, unsigned k)
{
    const struct mlt_seat *other = mlt_topic_other(topic, k);
    if (k % 2 != 0 || other->line == MLT_LINE_NONE) {
        return false;
    }
    if (mlt_lines_refused(topic)) {
        return true;
    }
    return k == 2 && !mlt_seat_stands(other) && !other->failed &&
           lines->lines[other->line].state == MLT_LINE_UP;
}

void mlt_lines_nudge_second(struct mlt_lines *lines, const struct mlt_topic *topic, int64_t now_ns)
{
    const uint32_t line = topic->seats[2].line;
    if (line != MLT_LINE_NONE && lines->lines[line].state == MLT_LINE_UP) {
        mlt_lines_want_by(&lines->lines[line], now_ns);
    }
}

bool mlt_lines_other_on_its_way(const struct mlt_lines *lines, const struct mlt_topic *topic,
                                unsigned k)
{
    const struct mlt_seat *other = mlt_topic_other(topic, k);
    return other->line != MLT_LINE_NONE && !other->failed &&
           lines->lines[other->line].state == MLT_LINE_UP &&
           (other->state == MLT_SEAT_SUBSCRIBING || other->state == MLT_SEAT_OFF);
}

bool mlt_lines_can_wait(const struct mlt_lines *lines, uint32_t number)
{
    EACH_SEAT(lines, number, topic, k)
    {
        if (mlt_topic_wanted(topic) && !topic->unlisted && !topic->seats[k].failed &&
            !mlt_seat_stands(mlt_topic_other(topic, k))) {
            return false;
        }
    }
    return true;
}

static int64_t heard_of(const struct mlt_lines *lines, const struct mlt_seat *seat)
{
    const struct mlt_line *line = seat->line < MLT_LINES_MAX ? &lines->lines[seat->line] : NULL;
    const bool reads =
        line != NULL && (line->state == MLT_LINE_UP || line->state == MLT_LINE_CLOSING);
    return reads ? line->heard_ns : INT64_MAX;
}

int64_t mlt_lines_brought_until(const struct mlt_lines *lines, const struct mlt_topic *topic)
{
    const struct mlt_seat *older = &topic->seats[0], *newer = &topic->seats[2];
    if (!mlt_seat_stands(older) || !mlt_seat_stands(newer)) {
        const int64_t first = heard_of(lines, older), second = heard_of(lines, newer);
        if (mlt_seat_stands(older)) {
            return first;
        }
        return mlt_seat_stands(newer) || second < first ? second : first;
    }
    if (older->mute || newer->mute) {
        return heard_of(lines, older->mute ? newer : older);
    }
    if (newer->since_ns < older->since_ns) {
        older = &topic->seats[2];
        newer = &topic->seats[0];
    }
    const int64_t first = heard_of(lines, older), second = heard_of(lines, newer);
    /* What the older one had on its way when the newer one began is of neither. */
    return newer->since_ns <= first && second > first ? second : first;
}

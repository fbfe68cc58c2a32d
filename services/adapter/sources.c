/* What is said of the sources of instruments, and when the lines that bring them were heard. */
#include "lines_internal.h"

void mlt_lines_source_down(struct mlt_lines *lines, struct mlt_topic *topic, const char *reason)
{
    if (topic->instrument != NULL && !topic->instrument->down) {
        topic->instrument->down = true;
        lines->ports.source(lines->ports.ctx, topic->instrument, true, reason);
    }
}

void mlt_lines_cut(struct mlt_lines *lines, struct mlt_topic *topic, bool covered,
                   const char *reason)
{
    if (covered) {
        lines->cut_covered++;
    } else {
        lines->cut_open++;
        mlt_lines_source_down(lines, topic, reason);
    }
}

void mlt_lines_settle_sources(struct mlt_lines *lines)
{
    const struct mlt_topics *topics = lines->topics;
    mlt_topics_look(topics);
    for (size_t i = 0; i < topics->count; i++) {
        struct mlt_topic_instrument *instrument = topics->items[i]->instrument;
        if (instrument != NULL && (instrument->down || !instrument->stood) && instrument->used &&
            !instrument->pending && !(instrument->lacks && instrument->missing)) {
            lines->ports.source(lines->ports.ctx, instrument, false,
                                instrument->down ? "subscribed" : MLT_SOURCE_UP_STARTED);
            instrument->down = instrument->lacks = false;
            instrument->stood = true;
        }
    }
}

void mlt_lines_say_sources(struct mlt_lines *lines, uint64_t partitions)
{
    const struct mlt_topics *topics = lines->topics;
    mlt_topics_look(topics);
    for (size_t i = 0; i < topics->count; i++) {
        const struct mlt_topic *topic = topics->items[i];
        struct mlt_topic_instrument *instrument = topic->instrument;
        if (instrument == NULL || !(instrument->used || instrument->missing) ||
            (partitions >> instrument->partition & 1) == 0 || !mlt_topic_wanted(topic) ||
            mlt_topic_barren(topics, topic) || (instrument->missing && mlt_topic_stands(topic))) {
            continue; /* where one is missing, that one says why */
        }
        instrument->down = instrument->lacks = instrument->missing;
        instrument->stood = instrument->stood || !instrument->missing;
        instrument->used = instrument->missing = false; /* once each */
        lines->ports.source(lines->ports.ctx, instrument, instrument->down,
                            !instrument->down          ? MLT_SOURCE_UP_STARTED
                            : topic->reason[0] != '\0' ? topic->reason
                                                       : "not_subscribed");
    }
}

void mlt_lines_note_end(struct mlt_lines *lines, uint32_t number)
{
    const struct mlt_line *line = &lines->lines[number];
    for (size_t i = 0; i < lines->topics->count && line->opened_at_ns != 0; i++) {
        const struct mlt_topic *topic = lines->topics->items[i];
        bool missed = false;
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            missed = missed || (topic->seats[k].line == number &&
                                !mlt_lines_covers(lines, topic, k, line->heard_ns));
        }
        if (!missed) {
            continue;
        }
        for (uint64_t left = topic->wanted_by; left != 0; left &= left - 1) {
            int64_t *first = &lines->ended_since_ns[__builtin_ctzll(left)];
            *first = line->heard_ns < *first ? line->heard_ns : *first;
        }
    }
}

bool mlt_lines_heard(struct mlt_lines *lines, uint32_t line, int64_t now_ns)
{
    const bool awaited = lines->lines[line].awaited;
    lines->lines[line].heard_ns = now_ns;
    lines->lines[line].awaited = false;
    return awaited;
}

void mlt_lines_heard_since(const struct mlt_lines *lines, int64_t since_ns[MLT_SLOT_COUNT])
{
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        since_ns[p] = INT64_MAX;
    }
    for (size_t i = 0; i < lines->topics->count; i++) {
        const struct mlt_topic *topic = lines->topics->items[i];
        const int64_t until = mlt_lines_brought_until(lines, topic);
        for (uint64_t left = topic->wanted_by; left != 0; left &= left - 1) {
            int64_t *first = &since_ns[__builtin_ctzll(left)];
            *first = until < *first ? until : *first;
        }
    }
}

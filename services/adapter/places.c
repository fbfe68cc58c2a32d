/* Which topic stands on which line. */
#include "lines_internal.h"

#define BACKOFF_FLOOR_NS INT64_C(50000000)

uint32_t mlt_lines_open_slot(struct mlt_lines *lines, int64_t now_ns)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        struct mlt_line *line = &lines->lines[n];
        if (line->state != MLT_LINE_FREE) {
            continue;
        }
        memset(line, 0, sizeof *line);
        line->state = MLT_LINE_WAITING;
        line->replaces = line->handed_to = MLT_LINE_NONE;
        line->retry_at_ns = now_ns;
        line->roll_at_ns = line->change_at_ns = MLT_LINES_NEVER;
        mlt_lines_reset_pace(line);
        mlt_backoff_init(&line->backoff, BACKOFF_FLOOR_NS, lines->options.backoff_base_ns,
                         lines->options.backoff_max_ns, lines->options.seed + n);
        return n;
    }
    return MLT_LINE_NONE;
}

static uint32_t room_of(const struct mlt_lines *lines)
{
    const uint32_t all = lines->options.streams_per_line;
    const uint32_t room = all - all / 10;
    return room > 0 ? room : 1;
}

static bool is_new(const struct mlt_line *line)
{
    return line->topics == 0 && line->replaces == MLT_LINE_NONE;
}

/* What brings first copies never brings second ones: so the two of a topic are never on the same
 * one. */
static bool takes_topics(const struct mlt_lines *lines, uint32_t number, uint32_t copy)
{
    if (number >= MLT_LINES_MAX) {
        return false;
    }
    const struct mlt_line *line = &lines->lines[number];
    return line->state != MLT_LINE_FREE && line->state != MLT_LINE_CLOSING && !line->retiring &&
           line->topics < room_of(lines) && (is_new(line) || line->copy == copy);
}

static void count_topics(struct mlt_lines *lines)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        lines->lines[n].topics = 0;
    }
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
            struct mlt_seat *seat = &topic->seats[k];
            if (seat->line != MLT_LINE_NONE && seat->state == MLT_SEAT_OFF &&
                (topic->unlisted || (!mlt_topic_wanted(topic) && !mlt_seat_unanswered(seat)))) {
                *seat = (struct mlt_seat){ .line = MLT_LINE_NONE };
            }
            if (seat->line != MLT_LINE_NONE) {
                lines->lines[seat->line].topics++;
            }
        }
    }
}

static bool second_lines_left(const struct mlt_lines *lines)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        const struct mlt_line *line = &lines->lines[n];
        count += line->state != MLT_LINE_FREE && !is_new(line) && line->copy > 0;
    }
    return count < MLT_LINES_SECOND_MAX;
}

/* The line of the same instrument, then the fullest with room, so that one stays empty, then a new
 * one. */
static uint32_t choose_line(struct mlt_lines *lines, const struct mlt_topic *topic, uint32_t copy,
                            int64_t now_ns)
{
    if (topic->instrument != NULL && takes_topics(lines, topic->instrument->line[copy], copy)) {
        return topic->instrument->line[copy];
    }
    uint32_t best = MLT_LINE_NONE;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (!takes_topics(lines, n, copy)) {
            continue;
        }
        const struct mlt_line *line = &lines->lines[n];
        if (best == MLT_LINE_NONE || line->topics > lines->lines[best].topics ||
            (line->topics == lines->lines[best].topics && line->state == MLT_LINE_UP &&
             lines->lines[best].state != MLT_LINE_UP)) {
            best = n;
        }
    }
    if (best != MLT_LINE_NONE && !is_new(&lines->lines[best])) {
        return best;
    }
    if (copy > 0 && !second_lines_left(lines)) {
        return MLT_LINE_NONE;
    }
    return best != MLT_LINE_NONE ? best : mlt_lines_open_slot(lines, now_ns);
}

static void place_topic(struct mlt_lines *lines, struct mlt_topic *topic, uint32_t copy,
                        int64_t now_ns)
{
    const bool stands = mlt_topic_stands(topic);
    const uint32_t number = choose_line(lines, topic, copy, now_ns);
    if (number == MLT_LINE_NONE) {
        if (copy == 0 && !stands) {
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_FAILED, "no_line_free");
        }
        return; /* a second copy is placed with the next change of a plan or a line */
    }
    topic->seats[(size_t)copy * 2] = (struct mlt_seat){ .line = number };
    if (copy == 0 && !stands) {
        topic->seen = false;
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, NULL);
    }
    struct mlt_line *line = &lines->lines[number];
    line->copy = copy;
    line->topics++;
    if (topic->instrument != NULL) {
        topic->instrument->line[copy] = number;
    }
    if (line->state == MLT_LINE_UP) {
        mlt_lines_want_by(line, now_ns + lines->options.collect_ns);
    }
}

/* First copies first: of lines and of attempts there may be too few. */
static void place_topics(struct mlt_lines *lines, int64_t now_ns)
{
    for (uint32_t copy = 0; copy < lines->options.copies; copy++) {
        for (size_t i = 0; i < lines->topics->count; i++) {
            struct mlt_topic *topic = lines->topics->items[i];
            if (mlt_topic_wanted(topic) && !topic->unlisted &&
                topic->seats[(size_t)copy * 2].line == MLT_LINE_NONE) {
                place_topic(lines, topic, copy, now_ns);
            }
        }
    }
}

/* One empty line is kept where asked for, more are let go. */
static void keep_spare(struct mlt_lines *lines, int64_t now_ns)
{
    uint32_t empty = 0;
    const uint32_t wanted = lines->options.spare ? 1 : 0;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        struct mlt_line *line = &lines->lines[n];
        if (line->state == MLT_LINE_FREE || line->state == MLT_LINE_CLOSING || line->retiring ||
            line->topics > 0 || line->replaces != MLT_LINE_NONE) {
            continue;
        }
        if (++empty <= wanted) {
            continue;
        }
        if (line->state == MLT_LINE_WAITING) {
            line->state = MLT_LINE_FREE;
        } else if (line->state == MLT_LINE_UP) {
            line->retiring = true;
            line->state = MLT_LINE_CLOSING;
            lines->ports.close(lines->ports.ctx, n);
        }
    }
    if (empty < wanted) {
        (void)mlt_lines_open_slot(lines, now_ns); /* without a free slot there is no spare */
    }
}

void mlt_lines_place(struct mlt_lines *lines, int64_t now_ns)
{
    count_topics(lines);
    place_topics(lines, now_ns);
    keep_spare(lines, now_ns);
}

void mlt_lines_move_to_spare(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    uint32_t spare = MLT_LINE_NONE;
    for (uint32_t n = 0; n < MLT_LINES_MAX && spare == MLT_LINE_NONE; n++) {
        const struct mlt_line *line = &lines->lines[n];
        if (line->state == MLT_LINE_UP && line->topics == 0 && !line->retiring &&
            line->replaces == MLT_LINE_NONE) {
            spare = n;
        }
    }
    if (spare == MLT_LINE_NONE) {
        return;
    }
    EACH_SEAT(lines, number, topic, k)
    {
        if (k % 2 == 0) {
            topic->seats[k].line = spare;
            lines->lines[spare].topics++; /* it takes no other line's in the same turn */
            if (topic->instrument != NULL && topic->instrument->line[k / 2] == number) {
                topic->instrument->line[k / 2] = spare;
            }
        }
    }
    lines->lines[spare].copy = lines->lines[number].copy;
    mlt_lines_want_by(&lines->lines[spare], now_ns);
}

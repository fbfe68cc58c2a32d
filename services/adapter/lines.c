#include "lines_internal.h"

#include "meltica/base/check.h"
#include "meltica/base/hash.h"

#define LONG_AGO_NS (INT64_MIN / 2)
/* Up for so long: its back-off begins anew. A cut after a few seconds costs the least where it
 * comes alone; where half of the attempts are used, lines are cut again and again. */
#define STEADY_NS INT64_C(2000000000)
#define STEADY_BUSY_NS INT64_C(10000000000)
#define ATTEMPTS_BUSY (MLT_LINE_ATTEMPTS_MAX / 2)
#define BACKOFF_FLOOR_NS INT64_C(50000000)
#define ROLLOVER_RETRY_NS INT64_C(60000000000)
#define REMIND_MAX_NS INT64_C(86400000000000)
#define TEXT_BYTES_MAX (64u << 10)

void mlt_lines_init(struct mlt_lines *lines, const struct mlt_lines_options *options,
                    const struct mlt_lines_ports *ports, struct mlt_topics *topics)
{
    memset(lines, 0, sizeof *lines);
    lines->options = *options;
    lines->ports = *ports;
    lines->topics = topics;
    mlt_buf_init(&lines->text, TEXT_BYTES_MAX);
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        lines->ended_since_ns[p] = INT64_MAX;
    }
    for (unsigned i = 0; i < MLT_LINE_ATTEMPTS_MAX; i++) {
        lines->attempts_ns[i] = LONG_AGO_NS;
    }
}

void mlt_lines_fini(struct mlt_lines *lines)
{
    mlt_buf_fini(&lines->text);
}

void mlt_lines_topic_set(struct mlt_lines *lines, struct mlt_topic *topic,
                         enum mlt_topic_state state, const char *reason)
{
    lines->changed = mlt_topic_set(topic, state, reason) || lines->changed;
}

bool mlt_lines_take_changed(struct mlt_lines *lines)
{
    const bool changed = lines->changed;
    lines->changed = false;
    return changed;
}

void mlt_lines_seen(struct mlt_lines *lines, struct mlt_topic *topic)
{
    topic->seen = true;
    topic->reminded = 0;
    mlt_lines_topic_set(lines, topic, MLT_TOPIC_LIVE, NULL);
}

uint32_t mlt_lines_open_count(const struct mlt_lines *lines)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        count += lines->lines[n].state != MLT_LINE_FREE ? 1u : 0u;
    }
    return count;
}

uint32_t mlt_lines_up_count(const struct mlt_lines *lines)
{
    uint32_t count = 0;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        count += lines->lines[n].state == MLT_LINE_UP ? 1u : 0u;
    }
    return count;
}

/* ---- slots
 * ---------------------------------------------------------------------------------------- */

static uint32_t open_slot(struct mlt_lines *lines, int64_t now_ns)
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

static uint32_t successor_of(const struct mlt_lines *lines, uint32_t number)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (lines->lines[n].state != MLT_LINE_FREE && lines->lines[n].replaces == number) {
            return n;
        }
    }
    return MLT_LINE_NONE;
}

static uint32_t room_of(const struct mlt_lines *lines)
{
    const uint32_t all = lines->options.streams_per_line;
    const uint32_t room = all - all / 10;
    return room > 0 ? room : 1;
}

static bool takes_topics(const struct mlt_lines *lines, uint32_t number)
{
    if (number >= MLT_LINES_MAX) {
        return false;
    }
    const struct mlt_line *line = &lines->lines[number];
    return line->state != MLT_LINE_FREE && line->state != MLT_LINE_CLOSING && !line->retiring &&
           line->topics < room_of(lines);
}

static void count_topics(struct mlt_lines *lines)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        lines->lines[n].topics = 0;
    }
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        for (unsigned k = 0; k < 2; k++) {
            struct mlt_seat *seat = &topic->seats[k];
            if (seat->line != MLT_LINE_NONE && seat->state == MLT_SEAT_OFF &&
                (!mlt_topic_wanted(topic) || topic->unlisted)) {
                *seat = (struct mlt_seat){ .line = MLT_LINE_NONE };
            }
            if (seat->line != MLT_LINE_NONE) {
                lines->lines[seat->line].topics++;
            }
        }
    }
}

/* The line of the same instrument, then the fullest with room, so that one stays empty, then a new
 * one. */
static uint32_t choose_line(struct mlt_lines *lines, const struct mlt_topic *topic, int64_t now_ns)
{
    if (topic->instrument != NULL && takes_topics(lines, topic->instrument->line)) {
        return topic->instrument->line;
    }
    uint32_t best = MLT_LINE_NONE;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (!takes_topics(lines, n)) {
            continue;
        }
        const struct mlt_line *line = &lines->lines[n];
        if (best == MLT_LINE_NONE || line->topics > lines->lines[best].topics ||
            (line->topics == lines->lines[best].topics && line->state == MLT_LINE_UP &&
             lines->lines[best].state != MLT_LINE_UP)) {
            best = n;
        }
    }
    return best != MLT_LINE_NONE ? best : open_slot(lines, now_ns);
}

static void place_topics(struct mlt_lines *lines, int64_t now_ns)
{
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        if (!mlt_topic_wanted(topic) || topic->unlisted || topic->seats[0].line != MLT_LINE_NONE) {
            continue;
        }
        const uint32_t number = choose_line(lines, topic, now_ns);
        if (number == MLT_LINE_NONE) {
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_FAILED, "no_line_free");
            continue;
        }
        topic->seats[0] = (struct mlt_seat){ .line = number };
        topic->seen = false;
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, NULL);
        struct mlt_line *line = &lines->lines[number];
        line->topics++;
        if (topic->instrument != NULL) {
            topic->instrument->line = number;
        }
        if (line->state == MLT_LINE_UP) {
            mlt_lines_want_by(line, now_ns + lines->options.collect_ns);
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
        (void)open_slot(lines, now_ns); /* without a free slot there is no spare */
    }
}

/* ---- hand-over
 * ------------------------------------------------------------------------------------ */

static void begin_rollover(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (line->state != MLT_LINE_UP || line->retiring) {
        return;
    }
    if (line->topics == 0 || line->replaces != MLT_LINE_NONE) {
        line->state = MLT_LINE_CLOSING; /* nothing to lose: it comes back by itself */
        lines->ports.close(lines->ports.ctx, number);
        return;
    }
    const uint32_t next = open_slot(lines, now_ns);
    if (next == MLT_LINE_NONE) {
        line->roll_at_ns = now_ns + ROLLOVER_RETRY_NS;
        return;
    }
    lines->lines[next].replaces = number;
    line->retiring = true;
    line->roll_at_ns = MLT_LINES_NEVER;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        if (topic->seats[0].line == number && mlt_topic_wanted(topic)) {
            topic->seats[1] = (struct mlt_seat){ .line = next };
            if (topic->instrument != NULL) {
                topic->instrument->line = next;
            }
        }
    }
    lines->placed = false;
}

/* The new line takes the places of the old one, whether it has them all or the old one is gone. */
static void promote(struct mlt_lines *lines, uint32_t number, const char *down_reason,
                    int64_t now_ns)
{
    const uint32_t old = lines->lines[number].replaces;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        if (topic->seats[0].line != old) {
            continue;
        }
        const bool was_on = topic->seats[0].state == MLT_SEAT_ON;
        topic->stood_since_ns = was_on ? topic->stood_since_ns : now_ns;
        topic->seats[0] = topic->seats[1].line == number
                              ? topic->seats[1]
                              : (struct mlt_seat){ .line = MLT_LINE_NONE };
        topic->seats[1] = (struct mlt_seat){ .line = MLT_LINE_NONE };
        if (topic->seats[0].state == MLT_SEAT_ON) {
            continue;
        }
        if (topic->seats[0].failed) {
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_FAILED, "refused on the new line");
        } else if (mlt_topic_wanted(topic)) {
            topic->seen = false;
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, down_reason);
        }
        if (was_on && mlt_topic_wanted(topic)) {
            mlt_lines_source_down(lines, topic, down_reason);
        }
    }
    lines->lines[number].replaces = MLT_LINE_NONE;
    lines->lines[old].handed_to = number;
    lines->placed = false;
    lines->counters.rollovers++;
    lines->lines[old].close_at_ns = now_ns + lines->options.linger_ns;
}

static bool took_over(struct mlt_lines *lines, uint32_t number)
{
    EACH_SEAT(lines, number, topic, k)
    {
        if (k == 1 && mlt_topic_wanted(topic) && topic->seats[k].state != MLT_SEAT_ON &&
            !topic->seats[k].failed) {
            return false;
        }
    }
    return true;
}

void mlt_lines_server_shutdown(struct mlt_lines *lines, uint32_t line, int64_t now_ns)
{
    begin_rollover(lines, line, now_ns);
}

/* ---- events
 * --------------------------------------------------------------------------------------- */

void mlt_lines_plan_changed(struct mlt_lines *lines, int64_t now_ns)
{
    lines->placed = false;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (lines->lines[n].state == MLT_LINE_UP) {
            mlt_lines_want_by(&lines->lines[n], now_ns + lines->options.collect_ns);
        }
    }
}

void mlt_lines_opened(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (line->state != MLT_LINE_CONNECTING) {
        return;
    }
    line->state = MLT_LINE_UP;
    line->opened_at_ns = line->heard_ns = now_ns;
    const uint64_t spread = (uint64_t)(lines->options.rollover_ns / 24) + 1;
    line->roll_at_ns = now_ns + lines->options.rollover_ns -
                       (int64_t)(mlt_mix64(lines->options.seed + number) % spread);
    line->change_at_ns = now_ns;
    mlt_lines_reset_pace(line);
    lines->counters.opened++;
}

/* Every seat on the line is off; its topics wait for the next line. */
static void vacate(struct mlt_lines *lines, uint32_t number, const char *reason)
{
    EACH_SEAT(lines, number, topic, k)
    {
        struct mlt_seat *seat = &topic->seats[k];
        const bool was_on = seat->state == MLT_SEAT_ON;
        seat->state = MLT_SEAT_OFF;
        seat->request = 0;
        seat->again = false;
        if (seat->retry_at_ns != MLT_LINES_NEVER) { /* refused for good stays refused */
            seat->failed = false;
            seat->retry_at_ns = 0;
        }
        if (k != 0 || !mlt_topic_wanted(topic) || topic->unlisted || seat->failed) {
            continue;
        }
        topic->seen = false;
        topic->reminded = 0;
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, reason);
        if (was_on) {
            mlt_lines_source_down(lines, topic, reason);
        }
    }
}

/* The spare line, connected and empty, takes over at once; this one becomes the spare. */
static void move_to_spare(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
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
        if (k == 0) {
            topic->seats[k].line = spare;
            if (topic->instrument != NULL && topic->instrument->line == number) {
                topic->instrument->line = spare;
            }
        }
    }
    mlt_lines_want_by(&lines->lines[spare], now_ns);
}

/* What came until now came on the line before it as well, and proves nothing of this one. */
static void watch_anew(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    if (number == MLT_LINE_NONE) {
        return;
    }
    EACH_SEAT(lines, number, topic, k)
    {
        if (k == 0 && topic->seats[k].state == MLT_SEAT_ON) {
            topic->seen = false;
            topic->reminded = 0;
            topic->acked_at_ns = now_ns;
        }
    }
}

bool mlt_lines_remind(struct mlt_lines *lines, int64_t silent_ns, int64_t now_ns)
{
    const uint64_t before = lines->counters.reminders;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        struct mlt_seat *seat = &topic->seats[0];
        if (topic->state != MLT_TOPIC_SILENT || topic->seen || topic->halted ||
            !mlt_topic_wanted(topic) || topic->unlisted || seat->state != MLT_SEAT_ON ||
            seat->again || topic->seats[1].line != MLT_LINE_NONE ||
            lines->lines[seat->line].state != MLT_LINE_UP) {
            continue;
        }
        int64_t after_ns = silent_ns;
        for (unsigned n = 0; n < topic->reminded && after_ns < REMIND_MAX_NS; n++) {
            after_ns *= 2;
        }
        if (now_ns - topic->acked_at_ns >= (after_ns < REMIND_MAX_NS ? after_ns : REMIND_MAX_NS)) {
            topic->reminded++;
            seat->again = true;
            mlt_lines_want_by(&lines->lines[seat->line], now_ns);
            lines->counters.reminders++;
        }
    }
    return lines->counters.reminders > before;
}

static int64_t steady_ns(const struct mlt_lines *lines, int64_t now_ns)
{
    const size_t at =
        (lines->attempts_next + MLT_LINE_ATTEMPTS_MAX - ATTEMPTS_BUSY) % MLT_LINE_ATTEMPTS_MAX;
    return now_ns - lines->attempts_ns[at] < MLT_LINE_ATTEMPTS_WINDOW_NS ? STEADY_BUSY_NS
                                                                         : STEADY_NS;
}

void mlt_lines_ended(struct mlt_lines *lines, uint32_t number, const char *reason, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (line->state == MLT_LINE_FREE) {
        return;
    }
    const uint32_t successor = successor_of(lines, number);
    mlt_lines_note_end(lines, number);
    const bool over =
        lines->stopping || line->close_at_ns != 0 || (line->retiring && successor == MLT_LINE_NONE);
    if (successor != MLT_LINE_NONE) {
        promote(lines, successor, reason, now_ns);
    }
    vacate(lines, number, reason);
    watch_anew(lines, line->handed_to, now_ns);
    line->handed_to = MLT_LINE_NONE;
    mlt_lines_forget_requests(line);
    lines->counters.ended++;
    lines->placed = false;
    if (over || successor != MLT_LINE_NONE) {
        line->state = MLT_LINE_FREE;
        return;
    }
    if (line->state == MLT_LINE_UP && line->replaces == MLT_LINE_NONE && line->topics > 0) {
        move_to_spare(lines, number, now_ns);
    }
    if (line->opened_at_ns != 0 && now_ns - line->opened_at_ns >= steady_ns(lines, now_ns)) {
        mlt_backoff_reset(&line->backoff);
    }
    line->opened_at_ns = 0;
    line->roll_at_ns = MLT_LINES_NEVER;
    line->state = MLT_LINE_WAITING;
    line->retry_at_ns = now_ns + mlt_backoff_next_ns(&line->backoff);
}

void mlt_lines_resumed(struct mlt_lines *lines, int64_t now_ns)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX; i++) {
            lines->lines[n].requests[i].sent_ns = now_ns;
        }
    }
}

void mlt_lines_stop(struct mlt_lines *lines)
{
    lines->stopping = true;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        struct mlt_line *line = &lines->lines[n];
        if (line->state == MLT_LINE_WAITING) {
            line->state = MLT_LINE_FREE;
        } else if (line->state == MLT_LINE_UP || line->state == MLT_LINE_CONNECTING) {
            line->state = MLT_LINE_CLOSING;
            lines->ports.close(lines->ports.ctx, n);
        }
    }
}

/* ---- turn
 * ----------------------------------------------------------------------------------------- */

static int64_t try_connect(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (now_ns < line->retry_at_ns) {
        return line->retry_at_ns;
    }
    const int64_t allowed = lines->attempts_ns[lines->attempts_next] + MLT_LINE_ATTEMPTS_WINDOW_NS;
    if (now_ns < allowed) {
        lines->counters.held_by_attempts++;
        line->retry_at_ns = allowed;
        return allowed;
    }
    lines->attempts_ns[lines->attempts_next] = now_ns;
    lines->attempts_next = (lines->attempts_next + 1) % MLT_LINE_ATTEMPTS_MAX;
    lines->counters.attempts++;
    line->state = MLT_LINE_CONNECTING;
    if (!lines->ports.connect(lines->ports.ctx, number)) {
        mlt_lines_ended(lines, number, "refused", now_ns);
        return line->state == MLT_LINE_WAITING ? line->retry_at_ns : MLT_LINES_NEVER;
    }
    return MLT_LINES_NEVER;
}

static int64_t turn_up(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (line->close_at_ns != 0) {
        if (now_ns < line->close_at_ns) {
            return line->close_at_ns;
        }
        line->state = MLT_LINE_CLOSING;
        lines->ports.close(lines->ports.ctx, number);
        return MLT_LINES_NEVER;
    }
    if (now_ns >= line->roll_at_ns) {
        begin_rollover(lines, number, now_ns);
        if (line->state != MLT_LINE_UP) {
            return MLT_LINES_NEVER;
        }
    }
    int64_t next = mlt_lines_converse(lines, number, now_ns);
    if (line->replaces != MLT_LINE_NONE && took_over(lines, number)) {
        promote(lines, number, NULL, now_ns);
    }
    return line->roll_at_ns < next ? line->roll_at_ns : next;
}

int64_t mlt_lines_turn(struct mlt_lines *lines, int64_t now_ns)
{
    if (lines->stopping) {
        return MLT_LINES_NEVER;
    }
    int64_t next = MLT_LINES_NEVER;
    /* What a line does may need another look at the places; a second round settles it. */
    for (unsigned round = 0; round < 2; round++) {
        if (!lines->placed) {
            lines->placed = true;
            count_topics(lines);
            place_topics(lines, now_ns);
            keep_spare(lines, now_ns);
            mlt_topics_sweep(lines->topics);
            mlt_lines_settle_sources(lines);
        }
        next = MLT_LINES_NEVER;
        for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
            int64_t due = MLT_LINES_NEVER;
            if (lines->lines[n].state == MLT_LINE_WAITING) {
                due = try_connect(lines, n, now_ns);
            } else if (lines->lines[n].state == MLT_LINE_UP) {
                due = turn_up(lines, n, now_ns);
            }
            next = due < next ? due : next;
        }
        if (lines->placed) {
            break;
        }
    }
    return lines->placed ? next : now_ns;
}

#include "lines_internal.h"

#include "meltica/base/check.h"
#include "meltica/base/hash.h"

#define LONG_AGO_NS (INT64_MIN / 2)
/* Up for so long: its back-off begins anew. A cut after a few seconds costs the least where it
 * comes alone; where half of the attempts are used, lines are cut again and again. */
#define STEADY_NS INT64_C(2000000000)
#define STEADY_BUSY_NS INT64_C(10000000000)
/* So many attempts in a row, over all lines, that bring nothing: the exchange cannot be reached.
 * Once a quarter of the attempts is used it is then only probed, by all lines together in the pace
 * of half of them: a quarter is left for all lines to come back with, whenever it is there again.
 */
#define PROBE_AFTER 4u
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
    MLT_CHECK(options->copies >= 1 && options->copies <= MLT_COPIES_MAX);
    MLT_CHECK(options->attempts > 0 && options->attempts <= MLT_LINE_ATTEMPTS_MAX);
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

void mlt_lines_seen(struct mlt_lines *lines, struct mlt_topic *topic, uint32_t line)
{
    if (mlt_topic_doubtful(topic)) {
        return;
    }
    if (!topic->seen) {
        topic->seen = true;
        topic->reminded = 0;
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_LIVE, NULL);
    }
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        struct mlt_seat *seat = &topic->seats[k];
        if (seat->line == line) {
            seat->seen = true;
            seat->mute = false;
            seat->reminded = 0;
        }
    }
    topic->watched = topic->watched && !(topic->seats[0].seen && topic->seats[2].seen);
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

static uint32_t successor_of(const struct mlt_lines *lines, uint32_t number)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (lines->lines[n].state != MLT_LINE_FREE && lines->lines[n].replaces == number) {
            return n;
        }
    }
    return MLT_LINE_NONE;
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
    const uint32_t next = mlt_lines_open_slot(lines, now_ns);
    if (next == MLT_LINE_NONE) {
        line->roll_at_ns = now_ns + ROLLOVER_RETRY_NS;
        return;
    }
    lines->lines[next].replaces = number;
    lines->lines[next].copy = line->copy;
    line->retiring = true;
    line->roll_at_ns = MLT_LINES_NEVER;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            if (topic->seats[k].line != number || !mlt_topic_wanted(topic)) {
                continue;
            }
            topic->seats[k + 1] = (struct mlt_seat){ .line = next };
            if (topic->instrument != NULL) {
                topic->instrument->line[k / 2] = next;
            }
        }
    }
    lines->placed = false;
}

/* The line of seat k was heard since its successor stands: between them they bring all. An
 * acknowledgement alone says nothing of what the old line did not bring any more. */
static bool successor_meets(const struct mlt_lines *lines, const struct mlt_topic *topic,
                            unsigned k)
{
    return topic->seats[k + 1].since_ns <= lines->lines[topic->seats[k].line].heard_ns;
}

/* Seat k of the topic, new on its line, has none of what came last on the old one. */
static void begin_anew(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k, bool covered,
                       const char *reason)
{
    const struct mlt_seat *other = mlt_topic_other(topic, k);
    int64_t since_ns = topic->seats[k].since_ns;
    if (mlt_seat_stands(other) && other->since_ns < since_ns) {
        since_ns = other->since_ns;
    }
    if (!covered && since_ns > topic->stood_since_ns) {
        topic->stood_since_ns = since_ns;
    }
    mlt_lines_cut(lines, topic, covered, reason);
}

/* Seat k was of the old line, and its successor is of the new one. down_reason NULL: the old one
 * goes on until it is closed. */
static void promote_seat(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k,
                         uint32_t number, const char *down_reason, int64_t now_ns)
{
    struct mlt_seat *seat = &topic->seats[k], *next = &topic->seats[k + 1];
    const bool was_on = mlt_seat_stands(seat);
    const bool other = mlt_seat_stands(mlt_topic_other(topic, k));
    const bool covered =
        other && mlt_lines_covers(lines, topic, k, lines->lines[seat->line].heard_ns);
    const bool meets = was_on && successor_meets(lines, topic, k);
    const int64_t since_ns = seat->since_ns;
    if (!was_on && !other) {
        topic->stood_since_ns = now_ns;
    }
    *seat = next->line == number ? *next : (struct mlt_seat){ .line = MLT_LINE_NONE };
    *next = (struct mlt_seat){ .line = MLT_LINE_NONE };
    if (seat->state == MLT_SEAT_ON) {
        seat->since_ns = meets ? since_ns : seat->since_ns;
        if (was_on && !meets && mlt_topic_wanted(topic)) { /* while the old one lives it meets */
            MLT_CHECK(down_reason != NULL);
            begin_anew(lines, topic, k, covered, down_reason);
        }
        if (!seat->again &&
            (topic->state == MLT_TOPIC_PENDING || topic->state == MLT_TOPIC_FAILED)) {
            topic->seen = false; /* whatever became of it on the old line */
            topic->acked_at_ns = now_ns;
            mlt_lines_topic_acked(lines, topic);
        }
        mlt_topic_watch_copies(topic, now_ns);
        return;
    }
    if (topic->unlisted) {
        return; /* that is why nothing comes of it */
    }
    if (other && was_on) {
        mlt_lines_copy_lost(topic, k, covered, now_ns);
    } else if (!other && seat->failed) {
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_FAILED, "refused on the new line");
    } else if (!other && mlt_topic_wanted(topic)) {
        topic->seen = false;
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, down_reason);
    }
    if (was_on && mlt_topic_wanted(topic)) {
        mlt_lines_cut(lines, topic, covered, down_reason != NULL ? down_reason : "refused");
    }
}

/* The new line takes the places of the old one, whether it has them all or the old one is gone. */
static void promote(struct mlt_lines *lines, uint32_t number, const char *down_reason,
                    int64_t now_ns)
{
    const uint32_t old = lines->lines[number].replaces;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            if (topic->seats[k].line == old) {
                promote_seat(lines, topic, k, number, down_reason, now_ns);
                mlt_lines_nudge_second(lines, topic, now_ns);
            }
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
    struct mlt_line *old = &lines->lines[lines->lines[number].replaces];
    bool met = true;
    EACH_SEAT(lines, number, topic, k)
    {
        const struct mlt_seat *seat = &topic->seats[k];
        if (k % 2 == 0 || !mlt_topic_wanted(topic)) {
            continue;
        }
        if (seat->state != MLT_SEAT_ON && !mlt_seat_refused_for_good(seat)) {
            return false;
        }
        met = met && (seat->state != MLT_SEAT_ON || !mlt_seat_stands(&topic->seats[k - 1]) ||
                      successor_meets(lines, topic, k - 1));
    }
    old->awaited = !met; /* it says something within the pings' interval, or ends as silent */
    return met;
}

void mlt_lines_server_shutdown(struct mlt_lines *lines, uint32_t line, int64_t now_ns)
{
    begin_rollover(lines, line, now_ns);
}

/* ---- events
 * --------------------------------------------------------------------------------------- */

/* Wanted again while its line is replaced: the new line is to have it as well. */
static void follow_rollover(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k)
{
    const struct mlt_seat *seat = &topic->seats[k];
    if (!mlt_topic_wanted(topic) || topic->unlisted || seat->line == MLT_LINE_NONE ||
        !lines->lines[seat->line].retiring || seat->state == MLT_SEAT_UNSUBSCRIBING ||
        topic->seats[k + 1].line != MLT_LINE_NONE) {
        return;
    }
    const uint32_t next = successor_of(lines, seat->line);
    if (next != MLT_LINE_NONE) {
        topic->seats[k + 1] = (struct mlt_seat){ .line = next };
    }
}

void mlt_lines_plan_changed(struct mlt_lines *lines, int64_t now_ns)
{
    lines->placed = false;
    for (size_t i = 0; i < lines->topics->count; i++) {
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            follow_rollover(lines, lines->topics->items[i], k);
        }
    }
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
    line->awaited = false;
    lines->failed_in_row = 0;
    line->opened_at_ns = line->heard_ns = now_ns;
    const uint64_t spread = (uint64_t)(lines->options.rollover_ns / 24) + 1;
    line->roll_at_ns = now_ns + lines->options.rollover_ns -
                       (int64_t)(mlt_mix64(lines->options.seed + number) % spread);
    line->change_at_ns = now_ns;
    mlt_lines_reset_pace(line);
    lines->counters.opened++;
}

/* Every seat on the line is off; its topics wait for the next line. */
static void vacate(struct mlt_lines *lines, uint32_t number, const char *reason, int64_t now_ns)
{
    EACH_SEAT(lines, number, topic, k)
    {
        struct mlt_seat *seat = &topic->seats[k];
        const bool was_on = mlt_seat_stands(seat);
        seat->state = MLT_SEAT_OFF;
        seat->request = 0;
        seat->again = seat->seen = false;
        if (!seat->refused) { /* refused stays refused */
            seat->failed = false;
            seat->retry_at_ns = 0;
        }
        mlt_lines_nudge_second(lines, topic, now_ns);
        if (k % 2 != 0 || !mlt_topic_wanted(topic) || topic->unlisted || seat->failed ||
            mlt_lines_refused(topic)) {
            continue;
        }
        const bool covered = mlt_lines_covers(lines, topic, k, lines->lines[number].heard_ns);
        if (!mlt_seat_stands(mlt_topic_other(topic, k))) {
            topic->seen = false;
            topic->reminded = 0;
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_PENDING, reason);
        } else if (was_on) {
            mlt_lines_copy_lost(topic, k, covered, now_ns);
        }
        if (was_on) {
            mlt_lines_cut(lines, topic, covered, reason);
        }
    }
}

/* What came until now came on the line before it as well, and proves nothing of this one. */
static void watch_anew(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    if (number == MLT_LINE_NONE) {
        return;
    }
    EACH_SEAT(lines, number, topic, k)
    {
        if (k % 2 == 0 && topic->seats[k].state == MLT_SEAT_ON) {
            topic->seen = false;
            topic->reminded = 0;
            topic->acked_at_ns = now_ns;
            mlt_topic_watch_copies(topic, now_ns);
        }
    }
}

static bool is_due(int64_t since_ns, unsigned reminded, int64_t silent_ns, int64_t now_ns)
{
    int64_t after_ns = silent_ns;
    for (unsigned n = 0; n < reminded && after_ns < REMIND_MAX_NS; n++) {
        after_ns *= 2;
    }
    return now_ns - since_ns >= (after_ns < REMIND_MAX_NS ? after_ns : REMIND_MAX_NS);
}

/* False: it does not stand now, or is on its way to another line. */
static bool remind(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k, int64_t now_ns)
{
    struct mlt_seat *seat = &topic->seats[k];
    if (seat->state != MLT_SEAT_ON || seat->again || topic->seats[k + 1].line != MLT_LINE_NONE ||
        lines->lines[seat->line].state != MLT_LINE_UP) {
        return false;
    }
    seat->again = true;
    mlt_lines_want_by(&lines->lines[seat->line], now_ns);
    lines->counters.reminders++;
    return true;
}

bool mlt_lines_remind(struct mlt_lines *lines, int64_t silent_ns, int64_t now_ns)
{
    const uint64_t before = lines->counters.reminders;
    for (size_t i = 0; i < lines->topics->count; i++) {
        struct mlt_topic *topic = lines->topics->items[i];
        if (!mlt_topic_wanted(topic) || topic->unlisted) {
            continue;
        }
        if (topic->state == MLT_TOPIC_SILENT && !topic->seen && !topic->halted &&
            is_due(topic->acked_at_ns, topic->reminded, silent_ns, now_ns)) {
            const bool first = remind(lines, topic, 0, now_ns);
            topic->reminded += remind(lines, topic, 2, now_ns) || first;
            continue;
        }
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            struct mlt_seat *seat = &topic->seats[k];
            if (seat->mute && is_due(topic->watch_ns, seat->reminded, silent_ns, now_ns)) {
                seat->reminded += remind(lines, topic, k, now_ns);
            }
        }
    }
    return lines->counters.reminders > before;
}

uint32_t mlt_lines_attempts_used(const struct mlt_lines *lines, int64_t now_ns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lines->options.attempts; i++) {
        count += now_ns - lines->attempts_ns[i] < MLT_LINE_ATTEMPTS_WINDOW_NS;
    }
    return count;
}

static int64_t steady_ns(const struct mlt_lines *lines, int64_t now_ns)
{
    return mlt_lines_attempts_used(lines, now_ns) * 2 >= lines->options.attempts ? STEADY_BUSY_NS
                                                                                 : STEADY_NS;
}

void mlt_lines_ended(struct mlt_lines *lines, uint32_t number, const char *reason, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    lines->cut_covered = lines->cut_open = 0;
    if (line->state == MLT_LINE_FREE) {
        return;
    }
    if (line->state == MLT_LINE_CONNECTING && lines->failed_in_row < PROBE_AFTER) {
        lines->failed_in_row++;
    }
    const uint32_t successor = successor_of(lines, number);
    mlt_lines_note_end(lines, number);
    const bool over =
        lines->stopping || line->close_at_ns != 0 || (line->retiring && successor == MLT_LINE_NONE);
    if (successor != MLT_LINE_NONE) {
        promote(lines, successor, reason, now_ns);
    }
    vacate(lines, number, reason, now_ns);
    lines->counters.cuts_covered += lines->cut_covered > 0 && lines->cut_open == 0;
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
        mlt_lines_move_to_spare(lines, number, now_ns);
    }
    if (line->opened_at_ns != 0 && now_ns - line->opened_at_ns >= steady_ns(lines, now_ns)) {
        mlt_backoff_reset(&line->backoff);
    }
    line->opened_at_ns = 0;
    line->roll_at_ns = MLT_LINES_NEVER;
    line->state = MLT_LINE_WAITING;
    line->retry_at_ns = now_ns + mlt_backoff_next_ns(&line->backoff);
}

void mlt_lines_paused(struct mlt_lines *lines)
{
    lines->paused = true;
}

void mlt_lines_resumed(struct mlt_lines *lines, int64_t now_ns)
{
    lines->paused = false;
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

/* No attempt before then. */
static int64_t probe_at(const struct mlt_lines *lines, int64_t now_ns)
{
    const uint32_t ours = lines->options.attempts;
    if (lines->failed_in_row < PROBE_AFTER || mlt_lines_attempts_used(lines, now_ns) * 4 < ours) {
        return now_ns;
    }
    return lines->attempts_ns[(lines->attempts_next + ours - 1) % ours] +
           MLT_LINE_ATTEMPTS_WINDOW_NS / ours * 2;
}

static int64_t try_connect(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    if (now_ns < line->retry_at_ns) {
        return line->retry_at_ns;
    }
    const int64_t probe_ns = probe_at(lines, now_ns);
    if (now_ns < probe_ns) {
        return probe_ns; /* or as soon as a line is up */
    }
    const int64_t allowed = lines->attempts_ns[lines->attempts_next] + MLT_LINE_ATTEMPTS_WINDOW_NS;
    if (now_ns < allowed) {
        lines->counters.attempts_held++;
        line->retry_at_ns = allowed;
        return allowed;
    }
    /* A quarter of them is for lines without which something is not brought at all. */
    const uint32_t kept = lines->options.copies > 1 ? lines->options.attempts / 4 : 0;
    const int64_t plenty =
        lines->attempts_ns[(lines->attempts_next + kept) % lines->options.attempts] +
        MLT_LINE_ATTEMPTS_WINDOW_NS;
    if (now_ns < plenty && mlt_lines_can_wait(lines, number)) {
        return plenty; /* or as soon as it cannot */
    }
    lines->attempts_ns[lines->attempts_next] = now_ns;
    lines->attempts_next = (lines->attempts_next + 1) % lines->options.attempts;
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
        if (lines->paused) {
            return MLT_LINES_NEVER; /* what lies unread would go with it */
        }
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
            mlt_lines_place(lines, now_ns);
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

/* SUBSCRIBE and UNSUBSCRIBE: what is said on a line, how fast, and what the answers mean. */
#include "lines_internal.h"

#include <stdio.h>

#define PACE_WINDOW_NS INT64_C(1050000000) /* a second, and what a network may press together */
/* Of the four requests of a window three are for new streams, at even distances; what has ended,
 * whose events nobody sees any more, has the fourth. More names than fit in one request do not
 * wait. */
#define SUBSCRIBE_EACH_NS (PACE_WINDOW_NS / (MLT_LINE_OWN_PER_SECOND - 1))
#define UNSUBSCRIBE_EACH_NS PACE_WINDOW_NS
#define LONG_AGO_NS (INT64_MIN / 2)
/* A name that was accepted once is not wrong: what refuses it may pass. Less urgent while another
 * line brings it. */
#define REFUSED_RETRY_NS INT64_C(60000000000)
#define REFUSED_AGAIN_NS INT64_C(600000000000)
#define SEND_RETRY_NS INT64_C(100000000)

void mlt_lines_reset_pace(struct mlt_line *line)
{
    for (unsigned i = 0; i < MLT_LINE_OWN_PER_SECOND; i++) {
        line->own[i] = (struct mlt_line_place){ .ends_ns = LONG_AGO_NS };
    }
    for (unsigned i = 0; i < MLT_LINE_ALL_PER_SECOND; i++) {
        line->pong_ends_ns[i] = LONG_AGO_NS;
    }
    line->subscribe_at_ns = line->unsubscribe_at_ns = LONG_AGO_NS;
}

static struct mlt_line_place *first_place(struct mlt_line *line)
{
    struct mlt_line_place *first = &line->own[0];
    for (unsigned i = 1; i < MLT_LINE_OWN_PER_SECOND; i++) {
        first = line->own[i].ends_ns < first->ends_ns ? &line->own[i] : first;
    }
    return first;
}

/* The exchange counts when it reads, and what a network or a busy host held back it reads at once.
 * So a request counts until a window after its answer, which is the first sign that it was read;
 * one without an answer until it is given up. */
static void count_request(struct mlt_lines *lines, uint32_t number, int64_t id, int64_t now_ns)
{
    *first_place(&lines->lines[number]) =
        (struct mlt_line_place){ .id = id,
                                 .ends_ns = now_ns + 2 * lines->options.ack_ns + PACE_WINDOW_NS };
}

/* The answer of one that was sent twice is of the first. */
static void count_answer(struct mlt_line *line, int64_t id, int64_t now_ns)
{
    struct mlt_line_place *of = NULL;
    for (unsigned i = 0; id != 0 && i < MLT_LINE_OWN_PER_SECOND; i++) {
        struct mlt_line_place *place = &line->own[i];
        of = place->id == id && (of == NULL || place->ends_ns < of->ends_ns) ? place : of;
    }
    if (of != NULL) {
        of->id = 0;
        of->ends_ns = now_ns + PACE_WINDOW_NS < of->ends_ns ? now_ns + PACE_WINDOW_NS : of->ends_ns;
    }
}

/* When the next request may leave, if no answer comes before; it is to be asked again then. */
static int64_t pace_at(struct mlt_line *line, int64_t now_ns)
{
    const int64_t own_ns = first_place(line)->ends_ns;
    int64_t first_ns = MLT_LINES_NEVER;
    unsigned counted = 0;
    for (unsigned i = 0; i < MLT_LINE_OWN_PER_SECOND + MLT_LINE_ALL_PER_SECOND; i++) {
        const int64_t ends_ns = i < MLT_LINE_OWN_PER_SECOND
                                    ? line->own[i].ends_ns
                                    : line->pong_ends_ns[i - MLT_LINE_OWN_PER_SECOND];
        counted += ends_ns > now_ns;
        first_ns = ends_ns > now_ns && ends_ns < first_ns ? ends_ns : first_ns;
    }
    return counted >= MLT_LINE_ALL_PER_SECOND && first_ns > own_ns ? first_ns : own_ns;
}

bool mlt_lines_pong(struct mlt_lines *lines, uint32_t line, int64_t now_ns)
{
    int64_t *ends_ns = lines->lines[line].pong_ends_ns;
    unsigned first = 0;
    for (unsigned i = 1; i < MLT_LINE_ALL_PER_SECOND; i++) {
        first = ends_ns[i] < ends_ns[first] ? i : first;
    }
    ends_ns[first] = now_ns + PACE_WINDOW_NS;
    return mlt_lines_heard(lines, line, now_ns);
}

void mlt_lines_want_by(struct mlt_line *line, int64_t at_ns)
{
    if (at_ns < line->change_at_ns) {
        line->change_at_ns = at_ns;
    }
}

void mlt_lines_forget_requests(struct mlt_line *line)
{
    for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX; i++) {
        line->requests[i].id = 0;
    }
    line->change_at_ns = MLT_LINES_NEVER;
}

/* ---- text
 * ----------------------------------------------------------------------------------------- */

static bool candidate(const struct mlt_lines *lines, const struct mlt_topic *topic, unsigned k,
                      bool subscribe)
{
    const struct mlt_seat *seat = &topic->seats[k];
    if (subscribe && mlt_lines_copy_waits(lines, topic, k) && !seat->again) {
        return false;
    }
    return subscribe
               ? mlt_topic_wanted(topic) && !topic->unlisted &&
                     (seat->state == MLT_SEAT_OFF || (seat->state == MLT_SEAT_ON && seat->again))
               : !mlt_topic_wanted(topic) &&
                     (seat->state == MLT_SEAT_ON || mlt_seat_unanswered(seat));
}

static bool begin_text(struct mlt_buf *text, bool subscribe)
{
    mlt_buf_clear(text);
    return mlt_buf_printf(text, "{\"method\":\"%s\",\"params\":[",
                          subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE") == MLT_OK;
}

static bool add_name(struct mlt_buf *text, const char *name, bool first)
{
    return (first || mlt_buf_append_byte(text, ',') == MLT_OK) &&
           mlt_buf_append_json_string(text, mlt_slice_of_string(name)) == MLT_OK;
}

static bool end_text(struct mlt_buf *text, int64_t id)
{
    return mlt_buf_printf(text, "],\"id\":%lld}", (long long)id) == MLT_OK;
}

/* Names of one request: candidates that share the batch limit of the first one, so that what was
 * refused once never spoils others again. Takes them (seat->request = id); *next_ns: earliest
 * candidate that may not be tried yet. */
static uint32_t gather(struct mlt_lines *lines, uint32_t number, bool subscribe, int64_t id,
                       int64_t now_ns, int64_t *next_ns)
{
    uint32_t names = 0, batch = 0, limit = MLT_LINE_NAMES_MAX;
    EACH_SEAT(lines, number, topic, k)
    {
        struct mlt_seat *seat = &topic->seats[k];
        if (!candidate(lines, topic, k, subscribe)) {
            continue;
        }
        if (seat->retry_at_ns > now_ns) {
            *next_ns = seat->retry_at_ns < *next_ns ? seat->retry_at_ns : *next_ns;
            continue;
        }
        if (names == 0) {
            batch = topic->batch;
            limit = batch > 0 && batch < limit ? batch : limit;
        }
        if (names == limit || topic->batch != batch ||
            lines->text.len + 6 * strlen(topic->name) > MLT_LINE_TEXT_BYTES_MAX) {
            *next_ns = now_ns;
            continue;
        }
        if (!add_name(&lines->text, topic->name, names == 0)) {
            continue;
        }
        seat->request = id;
        seat->state = subscribe ? MLT_SEAT_SUBSCRIBING : MLT_SEAT_UNSUBSCRIBING;
        names++;
    }
    return names;
}

static void take_back(struct mlt_lines *lines, uint32_t number, int64_t id)
{
    EACH_SEAT(lines, number, topic, k)
    {
        struct mlt_seat *seat = &topic->seats[k];
        if (seat->request == id) {
            seat->request = 0;
            seat->state =
                seat->state == MLT_SEAT_SUBSCRIBING && !seat->again ? MLT_SEAT_OFF : MLT_SEAT_ON;
        }
    }
}

static struct mlt_line_request *free_request(struct mlt_line *line)
{
    for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX; i++) {
        if (line->requests[i].id == 0) {
            return &line->requests[i];
        }
    }
    return NULL;
}

static bool anything(struct mlt_lines *lines, uint32_t number, bool subscribe)
{
    EACH_SEAT(lines, number, topic, k)
    {
        if (candidate(lines, topic, k, subscribe)) {
            return true;
        }
    }
    return false;
}

/* One request, if there is anything to ask. True when one left. */
static bool ask(struct mlt_lines *lines, uint32_t number, bool subscribe, int64_t now_ns,
                int64_t *next_ns)
{
    struct mlt_line *line = &lines->lines[number];
    struct mlt_line_request *request = free_request(line);
    int64_t *at_ns = subscribe ? &line->subscribe_at_ns : &line->unsubscribe_at_ns;
    if (now_ns < *at_ns) {
        if (*at_ns < *next_ns && anything(lines, number, subscribe)) {
            *next_ns = *at_ns;
        }
        return false;
    }
    if (request == NULL || !begin_text(&lines->text, subscribe)) {
        *next_ns = MLT_LINES_NEVER; /* an answer frees a place */
        return false;
    }
    const int64_t id = ++lines->next_id;
    const uint32_t names = gather(lines, number, subscribe, id, now_ns, next_ns);
    if (names == 0) {
        return false;
    }
    if (!end_text(&lines->text, id) ||
        !lines->ports.send(lines->ports.ctx, number, mlt_buf_view(&lines->text))) {
        take_back(lines, number, id);
        *next_ns = now_ns + SEND_RETRY_NS;
        return false;
    }
    *request = (struct mlt_line_request){ .id = id,
                                          .subscribe = subscribe,
                                          .names = names,
                                          .tries = 1,
                                          .first_sent_ns = now_ns,
                                          .sent_ns = now_ns };
    count_request(lines, number, id, now_ns);
    if (*next_ns > now_ns) { /* else there are more names for another one at once */
        *at_ns = now_ns + (subscribe ? SUBSCRIBE_EACH_NS : UNSUBSCRIBE_EACH_NS);
    }
    lines->counters.requests++;
    return true;
}

/* The same names under the same id: either answer counts. */
static void ask_again(struct mlt_lines *lines, uint32_t number, struct mlt_line_request *request,
                      int64_t now_ns)
{
    uint32_t names = 0;
    bool fits = begin_text(&lines->text, request->subscribe);
    EACH_SEAT(lines, number, topic, k)
    {
        if (topic->seats[k].request == request->id) {
            fits = fits && add_name(&lines->text, topic->name, names++ == 0);
        }
    }
    request->tries++;
    request->sent_ns = now_ns;
    if (fits && end_text(&lines->text, request->id) &&
        lines->ports.send(lines->ports.ctx, number, mlt_buf_view(&lines->text))) {
        count_request(lines, number, request->id, now_ns);
        lines->counters.resent++;
    }
}

/* ---- answers
 * -------------------------------------------------------------------------------------- */

void mlt_lines_topic_acked(struct mlt_lines *lines, struct mlt_topic *topic)
{
    if (topic->halted && !topic->seen) {
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_SILENT, "not_trading");
    } else if (topic->reminded > 0 && !topic->seen) { /* another one of the same worth */
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_SILENT, "no_message");
    } else {
        mlt_lines_topic_set(lines, topic, MLT_TOPIC_LIVE, NULL);
    }
}

/* Its name was accepted: what refused it elsewhere may pass. */
static void ask_refused_copies_again(struct mlt_lines *lines, struct mlt_topic *topic,
                                     int64_t now_ns)
{
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        struct mlt_seat *seat = &topic->seats[k];
        if (mlt_seat_refused_for_good(seat)) {
            seat->retry_at_ns = now_ns + REFUSED_AGAIN_NS;
            if (seat->line != MLT_LINE_NONE) {
                mlt_lines_want_by(&lines->lines[seat->line], now_ns);
            }
        }
    }
}

static void seat_acknowledged(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k,
                              bool subscribe, int64_t now_ns)
{
    struct mlt_seat *seat = &topic->seats[k];
    seat->failed = seat->refused = false;
    seat->retry_at_ns = 0;
    if (!subscribe) {
        *seat = (struct mlt_seat){ .line = MLT_LINE_NONE };
        lines->placed = false;
        return;
    }
    const bool stood = seat->again;
    const bool other = mlt_seat_stands(mlt_topic_other(topic, k));
    seat->state = MLT_SEAT_ON;
    seat->again = false;
    seat->since_ns = stood ? seat->since_ns : now_ns;
    topic->batch = 0;
    topic->accepted = true;
    ask_refused_copies_again(lines, topic, now_ns);
    if (k % 2 != 0) {
        return;
    }
    topic->acked_at_ns = stood || !other ? now_ns : topic->acked_at_ns;
    if (other && topic->state != MLT_TOPIC_PENDING) { /* brought before: that says how it is */
        mlt_topic_watch_copies(topic, now_ns);
    } else {
        topic->stood_since_ns = stood ? topic->stood_since_ns : now_ns;
        mlt_lines_topic_acked(lines, topic);
    }
}

/* retry_at_ns: when it may be asked again, or MLT_SEAT_NEVER. */
static void seat_failed(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k,
                        bool subscribe, const char *reason, int64_t retry_at_ns, int64_t now_ns)
{
    struct mlt_seat *seat = &topic->seats[k];
    const bool other = mlt_seat_stands(mlt_topic_other(topic, k));
    const bool stood = mlt_seat_stands(seat) || !subscribe;
    seat->state = subscribe ? MLT_SEAT_OFF : MLT_SEAT_ON;
    seat->again = false;
    seat->failed = true;
    seat->refused = false;
    seat->retry_at_ns = retry_at_ns;
    if (!subscribe && mlt_topic_wanted(topic) && !topic->unlisted) { /* again since it was asked */
        mlt_topic_regain(topic);
        lines->changed = true;
    }
    if (k % 2 != 0) {
        return;
    }
    if (!subscribe) { /* nobody knows whether it ended for a while */
        seat->since_ns = now_ns;
    }
    if (other && stood) {
        mlt_lines_copy_lost(topic, k, false, now_ns);
    } else if (other) {
        return; /* it goes on as it is */
    } else if (!subscribe) {
        topic->stood_since_ns = now_ns;
    } else {
        if (retry_at_ns == MLT_SEAT_NEVER || !mlt_lines_other_on_its_way(lines, topic, k)) {
            mlt_lines_topic_set(lines, topic, MLT_TOPIC_FAILED, reason);
        }
        if (stood && mlt_topic_wanted(topic)) { /* nobody knows whether anything still comes */
            mlt_lines_source_down(lines, topic, reason);
        }
    }
}

/* A refusal of many names says nothing of which one is wrong: halves are asked until it is alone.
 * Those that stand stay as they are meanwhile. A name that was accepted once is asked for once
 * more: the exchange closes a line for what it refuses, so the second time is the last, unless the
 * other copy stands, which says that it may pass. */
static void seat_refused(struct mlt_lines *lines, struct mlt_topic *topic, unsigned k,
                         const struct mlt_line_request *request, const char *reason, int64_t now_ns)
{
    if (request->subscribe && request->names > 1) {
        const uint32_t half = (request->names + 1) / 2;
        struct mlt_seat *seat = &topic->seats[k];
        topic->batch = topic->batch == 0 || half < topic->batch ? half : topic->batch;
        seat->state = seat->again ? MLT_SEAT_ON : MLT_SEAT_OFF;
    } else {
        const int64_t retry_at_ns = mlt_seat_stands(mlt_topic_other(topic, k))
                                        ? now_ns + REFUSED_AGAIN_NS
                                    : topic->accepted ? now_ns + REFUSED_RETRY_NS
                                                      : MLT_SEAT_NEVER;
        seat_failed(lines, topic, k, request->subscribe, reason, retry_at_ns, now_ns);
        topic->seats[k].refused = request->subscribe;
        topic->accepted = topic->accepted && !request->subscribe;
    }
}

/* error NULL: acknowledged; "": not answered. */
static void close_request(struct mlt_lines *lines, uint32_t number,
                          struct mlt_line_request *request, const char *error, int64_t now_ns)
{
    char reason[MLT_TOPIC_REASON_BYTES_MAX];
    (void)snprintf(reason, sizeof reason, "refused: %.48s", error != NULL ? error : "");
    EACH_SEAT(lines, number, topic, k)
    {
        struct mlt_seat *seat = &topic->seats[k];
        if (seat->request != request->id) {
            continue;
        }
        const bool mute = error != NULL && error[0] == '\0';
        seat->request = mute && request->subscribe ? seat->request : 0; /* the answer may be late */
        if (error == NULL) {
            seat_acknowledged(lines, topic, k, request->subscribe, now_ns);
        } else if (!mute) {
            seat_refused(lines, topic, k, request, reason, now_ns);
        } else {
            seat_failed(lines, topic, k, request->subscribe, "no_ack",
                        now_ns + lines->options.retry_ns, now_ns);
        }
        if (k < 2) {
            mlt_lines_nudge_second(lines, topic, now_ns);
        }
    }
    request->id = 0;
    mlt_lines_want_by(&lines->lines[number], now_ns);
    mlt_lines_settle_sources(lines);
}

static struct mlt_line_request *oldest_request(struct mlt_line *line)
{
    struct mlt_line_request *oldest = NULL;
    for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX; i++) {
        struct mlt_line_request *request = &line->requests[i];
        if (request->id != 0 && (oldest == NULL || request->id < oldest->id)) {
            oldest = request;
        }
    }
    return oldest;
}

/* Something was given up as not answered under this id, and not asked for again since. */
static bool unanswered(const struct mlt_lines *lines, uint32_t number, int64_t id)
{
    EACH_SEAT(lines, number, topic, k)
    {
        if (mlt_seat_unanswered(&topic->seats[k]) && topic->seats[k].request == id) {
            return true;
        }
    }
    return false;
}

void mlt_lines_answer(struct mlt_lines *lines, uint32_t number, bool has_id, int64_t id,
                      const char *error, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    struct mlt_line_request *request = NULL;
    if (has_id) {
        count_answer(line, id, now_ns);
        for (unsigned i = 0; id != 0 && i < MLT_LINE_REQUESTS_MAX && request == NULL; i++) {
            request = line->requests[i].id == id ? &line->requests[i] : NULL;
        }
    } else if (error != NULL) {
        request = oldest_request(line); /* an id that could not be read comes back as null */
        count_answer(line, request != NULL ? request->id : 0, now_ns);
    }
    struct mlt_line_request late = { .id = id, .subscribe = true };
    if (request == NULL && has_id && error == NULL && unanswered(lines, number, id)) {
        request = &late;
    }
    if (request == NULL) {
        lines->counters.unknown_acks++;
        return;
    }
    if (error == NULL) {
        lines->counters.acks++;
    } else {
        lines->counters.refusals++;
    }
    close_request(lines, number, request, error != NULL && error[0] == '\0' ? "error" : error,
                  now_ns);
}

/* ---- turn
 * ----------------------------------------------------------------------------------------- */

static int64_t expire_requests(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    int64_t next = MLT_LINES_NEVER;
    for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX && !lines->paused; i++) { /* none is read */
        struct mlt_line_request *request = &line->requests[i];
        if (request->id == 0) {
            continue;
        }
        int64_t due = request->sent_ns + lines->options.ack_ns;
        if (now_ns >= due && request->tries >= 2) {
            lines->counters.no_acks++;
            close_request(lines, number, request, "", now_ns);
            continue;
        }
        if (now_ns >= due && pace_at(line, now_ns) <= now_ns) {
            ask_again(lines, number, request, now_ns);
            due = now_ns + lines->options.ack_ns;
        } else if (now_ns >= due) {
            due = pace_at(line, now_ns);
        }
        next = due < next ? due : next;
    }
    return next;
}

int64_t mlt_lines_converse(struct mlt_lines *lines, uint32_t number, int64_t now_ns)
{
    struct mlt_line *line = &lines->lines[number];
    int64_t next = expire_requests(lines, number, now_ns);
    while (line->change_at_ns <= now_ns) {
        const int64_t pace = pace_at(line, now_ns);
        if (pace > now_ns) {
            return pace < next ? pace : next;
        }
        int64_t later = MLT_LINES_NEVER;
        if (ask(lines, number, true, now_ns, &later)) {
            const int64_t due = now_ns + lines->options.ack_ns;
            next = due < next ? due : next;
            continue;
        }
        if (ask(lines, number, false, now_ns, &later)) {
            const int64_t due = now_ns + lines->options.ack_ns;
            next = due < next ? due : next;
            continue;
        }
        line->change_at_ns = later > now_ns ? later : now_ns + SEND_RETRY_NS;
    }
    return line->change_at_ns < next ? line->change_at_ns : next;
}

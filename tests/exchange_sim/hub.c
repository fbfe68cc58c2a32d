#include "hub.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES_MAX ((size_t)64 << 10)
#define OUT_KEEP_BYTES ((size_t)1 << 20) /* a buffer that grew beyond is given back */

void sim_hub_init(struct sim_hub *hub, size_t streams_max)
{
    memset(hub, 0, sizeof *hub);
    mlt_map_init(&hub->topics, SIM_TOPICS_MAX);
    mlt_buf_init(&hub->filter_out, SIM_OUT_BYTES_MAX);
    hub->streams_max = streams_max;
}

void sim_hub_fini(struct sim_hub *hub)
{
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&hub->topics, &position)) != NULL) {
        struct sim_topic *topic = entry->value;
        free(topic->lines);
        free(topic);
    }
    mlt_map_fini(&hub->topics);
    mlt_buf_fini(&hub->filter_out);
}

struct sim_line *sim_hub_open(struct sim_hub *hub, void *wsi, int64_t now_ns)
{
    struct sim_line *line = calloc(1, sizeof *line);
    if (line == NULL) {
        return NULL;
    }
    line->wsi = wsi;
    line->number = ++hub->lines_opened;
    line->opened_ns = line->last_progress_ns = line->ping_sent_ns = now_ns;
    mlt_buf_init(&line->out, SIM_OUT_BYTES_MAX);
    mlt_buf_init(&line->in, MESSAGE_BYTES_MAX);
    line->older = hub->newest;
    if (hub->newest != NULL) {
        hub->newest->newer = line;
    } else {
        hub->oldest = line;
    }
    hub->newest = line;
    hub->line_count++;
    return line;
}

static void detach(struct sim_hub *hub, struct sim_topic *topic, const struct sim_line *line)
{
    for (size_t i = 0; i < topic->line_count; i++) {
        if (topic->lines[i] == line) {
            topic->line_count--;
            memmove(&topic->lines[i], &topic->lines[i + 1],
                    (topic->line_count - i) * sizeof topic->lines[0]);
            break;
        }
    }
    topic->micros_count -= line->micros ? 1 : 0;
    if (topic->line_count > 0) {
        return;
    }
    if (topic->market_id >= 0) {
        hub->market_topics_subscribed--;
        return;
    }
    /* Names that mean nothing here are not kept: a client may invent any number of them. */
    (void)mlt_map_remove(&hub->topics, mlt_slice_of(topic->name, topic->name_len));
    free(topic->lines);
    free(topic);
}

void sim_hub_close(struct sim_hub *hub, struct sim_line *line)
{
    if (hub->filter != NULL && hub->filter->closed != NULL) {
        hub->filter->closed(hub->filter->ctx, line->number);
    }
    for (size_t i = 0; i < line->topic_count; i++) {
        detach(hub, line->topics[i], line);
    }
    free(line->topics);
    *(line->older != NULL ? &line->older->newer : &hub->oldest) = line->newer;
    *(line->newer != NULL ? &line->newer->older : &hub->newest) = line->older;
    hub->line_count--;
    hub->full_count -= line->full ? 1 : 0;
    mlt_buf_fini(&line->out);
    mlt_buf_fini(&line->in);
    free(line);
}

enum mlt_status sim_hub_topic(struct sim_hub *hub, struct mlt_slice name, struct sim_topic **topic)
{
    *topic = mlt_map_get(&hub->topics, name);
    if (*topic != NULL) {
        return MLT_OK;
    }
    struct sim_topic *made = calloc(1, sizeof *made + name.len + 1);
    if (made == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(made->name, name.data, name.len);
    made->name_len = name.len;
    const enum mlt_status status = mlt_map_put(&hub->topics, name, made);
    if (status != MLT_OK) {
        free(made);
        return status;
    }
    made->market_id = hub->attach != NULL ? hub->attach(hub->attach_ctx, made) : -1;
    *topic = made;
    return MLT_OK;
}

bool sim_name_valid(struct mlt_slice name)
{
    const uint8_t *at = name.len > 0 ? memchr(name.data, '@', name.len) : NULL;
    if (at == NULL || at == name.data || name.len > SIM_NAME_BYTES_MAX ||
        name.data[name.len - 1] == '@') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        const uint8_t c = name.data[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Room for one more pointer. */
static bool grow(void ***items, size_t count, size_t *capacity)
{
    if (count < *capacity) {
        return true;
    }
    const size_t more = *capacity > 0 ? *capacity * 2 : 4;
    void **moved = realloc(*items, more * sizeof *moved);
    if (moved == NULL) {
        return false;
    }
    *items = moved;
    *capacity = more;
    return true;
}

enum mlt_status sim_hub_subscribe(struct sim_hub *hub, struct sim_line *line, struct mlt_slice name)
{
    struct sim_topic *topic = mlt_map_get(&hub->topics, name);
    for (size_t i = 0; topic != NULL && i < topic->line_count; i++) {
        if (topic->lines[i] == line) {
            return MLT_OK;
        }
    }
    if (line->topic_count >= hub->streams_max) {
        return MLT_E_LIMIT;
    }
    const enum mlt_status status = sim_hub_topic(hub, name, &topic);
    if (status != MLT_OK) {
        return status;
    }
    void **lines = (void **)topic->lines, **topics = (void **)line->topics;
    const bool room = grow(&lines, topic->line_count, &topic->line_capacity);
    topic->lines = (struct sim_line **)lines;
    if (!room) {
        return MLT_E_NOMEM;
    }
    const bool room_here = grow(&topics, line->topic_count, &line->topic_capacity);
    line->topics = (struct sim_topic **)topics;
    if (!room_here) {
        return MLT_E_NOMEM;
    }
    if (topic->line_count == 0 && topic->market_id >= 0) {
        hub->market_topics_subscribed++;
    }
    topic->lines[topic->line_count++] = line;
    topic->micros_count += line->micros ? 1 : 0;
    line->topics[line->topic_count++] = topic;
    return MLT_OK;
}

void sim_hub_unsubscribe(struct sim_hub *hub, struct sim_line *line, struct mlt_slice name)
{
    struct sim_topic *topic = mlt_map_get(&hub->topics, name);
    for (size_t i = 0; topic != NULL && i < line->topic_count; i++) {
        if (line->topics[i] == topic) {
            line->topic_count--;
            memmove(&line->topics[i], &line->topics[i + 1],
                    (line->topic_count - i) * sizeof line->topics[0]);
            detach(hub, topic, line);
            return;
        }
    }
}

void sim_line_finish(struct sim_hub *hub, struct sim_line *line, uint16_t code, const char *text)
{
    if (line->closing) {
        return;
    }
    line->closing = true;
    line->close_code = code;
    line->close_text = text;
    line->armed = true;
    hub->wake(hub->wake_ctx, line);
}

void sim_line_put(struct sim_hub *hub, struct sim_line *line, unsigned opcode,
                  struct mlt_slice payload)
{
    uint8_t head[10] = { (uint8_t)(0x80u | opcode) };
    size_t head_len = 2;
    if (payload.len < 126) {
        head[1] = (uint8_t)payload.len;
    } else {
        head_len = payload.len < 65536 ? 4 : 10;
        head[1] = head_len == 4 ? 126 : 127;
        for (size_t i = 2; i < head_len; i++) {
            head[i] = (uint8_t)(payload.len >> (8 * (head_len - 1 - i)));
        }
    }
    if (line->closing || line->frozen || line->mute) {
        return;
    }
    if (mlt_buf_reserve(&line->out, head_len + payload.len) != MLT_OK) {
        sim_line_finish(hub, line, 1008, "too slow");
        return;
    }
    memcpy(line->out.data + line->out.len, head, head_len);
    if (payload.len > 0) {
        memcpy(line->out.data + line->out.len + head_len, payload.data, payload.len);
    }
    line->out.len += head_len + payload.len;
    if (!line->full && line->out.len >= SIM_OUT_HIGH_BYTES) {
        line->full = true;
        hub->full_count++;
    }
    if (!line->armed) {
        line->armed = true;
        hub->wake(hub->wake_ctx, line);
    }
}

void sim_line_drained(struct sim_hub *hub, struct sim_line *line, int64_t now_ns)
{
    mlt_buf_clear(&line->out);
    if (line->out.capacity > OUT_KEEP_BYTES) {
        mlt_buf_fini(&line->out);
    }
    line->last_progress_ns = now_ns;
    line->armed = false;
    if (line->full) {
        line->full = false;
        hub->full_count--;
    }
}

static void send_data(struct sim_hub *hub, struct sim_topic *topic, struct sim_line *line,
                      struct mlt_slice payload)
{
    sim_line_put(hub, line, 1, payload);
    topic->frames++;
    hub->frames_sent++;
}

static void send_pieces(struct sim_hub *hub, struct sim_topic *topic, struct sim_line *line)
{
    const struct mlt_slice all = mlt_buf_view(&hub->filter_out);
    uint32_t len = 0;
    for (size_t at = 0; at + sizeof len <= all.len; at += sizeof len + len) {
        memcpy(&len, all.data + at, sizeof len);
        send_data(hub, topic, line, mlt_slice_of(all.data + at + sizeof len, len));
    }
}

/* What the filter makes of a frame. */
static void put_filtered(struct sim_hub *hub, struct sim_topic *topic, struct sim_line *line,
                         struct mlt_slice payload)
{
    if (line->closing) { /* nothing more can befall it */
        return;
    }
    mlt_buf_clear(&hub->filter_out);
    if (hub->filter_out.capacity > OUT_KEEP_BYTES) {
        mlt_buf_fini(&hub->filter_out);
    }
    const struct sim_outgoing out = { mlt_slice_of(topic->name, topic->name_len), payload,
                                      line->number, ++hub->filtered };
    switch (hub->filter->frame(hub->filter->ctx, &out, &hub->filter_out)) {
    case SIM_PASS:
        send_data(hub, topic, line, payload);
        return;
    case SIM_REPLACE:
        send_data(hub, topic, line, mlt_buf_view(&hub->filter_out));
        return;
    case SIM_PIECES:
        send_pieces(hub, topic, line);
        return;
    case SIM_KILL:
        line->killed = true;
        sim_line_finish(hub, line, 1006, "");
        break;
    case SIM_CLOSE:
        sim_line_finish(hub, line, 1001, "fault");
        break;
    case SIM_DROP:
        break;
    }
    hub->frames_dropped++;
}

static void put_data(struct sim_hub *hub, struct sim_topic *topic, struct sim_line *line,
                     const struct sim_frame *frame)
{
    const struct mlt_slice payload = line->combined ? frame->combined : frame->inner;
    if (line->silent || line->frozen) {
        hub->frames_dropped++;
    } else if (hub->filter != NULL) {
        put_filtered(hub, topic, line, payload);
    } else {
        send_data(hub, topic, line, payload);
    }
}

void sim_hub_emit(struct sim_hub *hub, struct sim_topic *topic, const struct sim_frame *frame,
                  enum sim_unit unit)
{
    for (size_t i = 0; i < topic->line_count; i++) {
        struct sim_line *line = topic->lines[i];
        if (unit == SIM_UNIT_ANY || line->micros == (unit == SIM_UNIT_US)) {
            put_data(hub, topic, line, frame);
        }
    }
    if (topic->line_count == 0 && unit != SIM_UNIT_US) {
        if (hub->send_all && hub->oldest != NULL) {
            put_data(hub, topic, hub->oldest, frame);
        } else {
            topic->unsent++;
        }
    }
}

bool sim_line_count_message(struct sim_line *line, unsigned per_second, int64_t now_ns)
{
    if (per_second == 0) {
        return true;
    }
    int64_t *slot = &line->message_ns[line->message_at % per_second];
    const bool fine = *slot == 0 || now_ns - *slot >= INT64_C(1000000000);
    *slot = now_ns;
    line->message_at++;
    return fine;
}

/* See lanes.h. A lane has a place for each instrument that came; an instrument has a list of its
 * places, made anew when the table has changed. */
#include "lanes.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/arena.h"
#include "meltica/base/map.h"

#define INSTRUMENTS_MAX 16384u /* that flow, as of the core */
#define SUBJECT_BYTES_MAX 256u
#define EVENT_BYTES_MAX (1u << 20)
#define ARENA_BLOCK_BYTES (16u << 10)
#define ARENA_BYTES_MAX (4u << 20)

struct sent {
    uint64_t epoch, sequence;
    int64_t position;
};

struct place {
    struct lane *lane;
    struct place *next; /* of the lane */
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    size_t token_len;
    struct sent sent[MLT_EVENT_TYPE_COUNT];
    enum mlt_book_state state; /* of the last BOOK that left */
    int64_t window_ns;         /* end of the window, monotonic */
    /* The newest of this window, not sent yet. */
    bool waits;
    struct mlt_buf waiting;
    int64_t since_ns, first; /* of the newest; of the first that it covers */
    uint32_t merged;         /* that it stands for, without what is in itself */
    uint32_t waiting_merged; /* in itself */
};

struct lane {
    struct mlt_lane_spec spec; /* a copy */
    struct place *places;
    struct mlt_map map; /* of them, by token */
    bool kept;          /* by the table that is being set */
};

/* The places of an instrument. */
struct interest {
    uint64_t generation;
    size_t count, capacity;
    struct place **places;
};

struct mlt_lanes {
    struct mlt_lanes_ports ports;
    size_t count;
    struct lane *lanes[MLT_LANES_MAX];
    struct mlt_map interests;
    uint64_t generation;
    size_t place_count;
    size_t waiting_count;
    int64_t due_ns;
    struct mlt_buf encoded;
    struct mlt_arena arena;
    struct mlt_lanes_counts counts;
};

enum mlt_status mlt_lanes_create(const struct mlt_lanes_ports *ports, struct mlt_lanes **lanes)
{
    struct mlt_lanes *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return MLT_E_NOMEM;
    }
    l->ports = *ports;
    l->due_ns = INT64_MAX;
    mlt_map_init(&l->interests, INSTRUMENTS_MAX);
    mlt_buf_init(&l->encoded, EVENT_BYTES_MAX);
    mlt_arena_init(&l->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    *lanes = l;
    return MLT_OK;
}

/* ---- the table ---- */

static void end_lane(struct mlt_lanes *lanes, struct lane *lane)
{
    while (lane->places != NULL) {
        struct place *place = lane->places;
        lane->places = place->next;
        lanes->waiting_count -= place->waits;
        lanes->place_count--;
        mlt_buf_fini(&place->waiting);
        free(place);
    }
    mlt_map_fini(&lane->map);
    for (size_t i = 0; i < lane->spec.pattern_count; i++) {
        free(lane->spec.patterns[i]);
    }
    free(lane->spec.patterns);
    free(lane);
}

void mlt_lanes_destroy(struct mlt_lanes *lanes)
{
    if (lanes == NULL) {
        return;
    }
    for (size_t i = 0; i < lanes->count; i++) {
        end_lane(lanes, lanes->lanes[i]);
    }
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&lanes->interests, &position)) != NULL) {
        struct interest *interest = entry->value;
        free(interest->places);
        free(interest);
    }
    mlt_map_fini(&lanes->interests);
    mlt_buf_fini(&lanes->encoded);
    mlt_arena_fini(&lanes->arena);
    free(lanes);
}

static struct lane *begin_lane(const struct mlt_lane_spec *spec)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (lane == NULL) {
        return NULL;
    }
    lane->spec = *spec;
    mlt_map_init(&lane->map, MLT_LANES_PLACES_MAX);
    lane->spec.pattern_count = 0;
    lane->spec.patterns = calloc(spec->pattern_count + 1, sizeof *lane->spec.patterns);
    bool whole = lane->spec.patterns != NULL;
    for (size_t i = 0; whole && i < spec->pattern_count; i++) {
        lane->spec.patterns[i] = strdup(spec->patterns[i]);
        whole = lane->spec.patterns[i] != NULL;
        lane->spec.pattern_count += whole;
    }
    if (!whole) {
        for (size_t i = 0; i < lane->spec.pattern_count; i++) {
            free(lane->spec.patterns[i]);
        }
        free(lane->spec.patterns);
        free(lane);
        return NULL;
    }
    return lane;
}

/* The id is made of all terms, so that one id is one lane. */
static struct lane *find_lane(const struct mlt_lanes *lanes, const struct mlt_lane_spec *spec)
{
    for (size_t i = 0; i < lanes->count; i++) {
        if (strcmp(lanes->lanes[i]->spec.id, spec->id) == 0 &&
            strcmp(lanes->lanes[i]->spec.principal, spec->principal) == 0) {
            return lanes->lanes[i];
        }
    }
    return NULL;
}

void mlt_lanes_set(struct mlt_lanes *lanes, const struct mlt_routing *routing)
{
    const struct mlt_lane_spec *spec;
    const bool known = mlt_routing_lanes_known(routing);
    for (size_t i = 0; i < lanes->count; i++) {
        lanes->lanes[i]->kept = !known;
    }
    for (size_t n = 0; (spec = mlt_routing_lane(routing, n)) != NULL; n++) {
        struct lane *lane = find_lane(lanes, spec);
        if (lane != NULL) {
            lane->kept = true;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < lanes->count; i++) {
        if (lanes->lanes[i]->kept) {
            lanes->lanes[kept++] = lanes->lanes[i];
        } else {
            end_lane(lanes, lanes->lanes[i]);
        }
    }
    lanes->count = kept;
    for (size_t n = 0; (spec = mlt_routing_lane(routing, n)) != NULL; n++) {
        if (find_lane(lanes, spec) != NULL) {
            continue;
        }
        struct lane *lane = lanes->count < MLT_LANES_MAX ? begin_lane(spec) : NULL;
        if (lane != NULL) {
            lanes->lanes[lanes->count++] = lane;
        } else {
            lanes->counts.refused++;
        }
    }
    lanes->counts.lanes = lanes->count;
    lanes->generation++;
}

/* ---- places ---- */

static struct place *place_of(struct mlt_lanes *lanes, struct lane *lane, struct mlt_slice token)
{
    struct place *place = mlt_map_get(&lane->map, token);
    if (place != NULL) {
        return place;
    }
    place = lanes->place_count < MLT_LANES_PLACES_MAX && token.len <= MLT_INSTRUMENT_BYTES_MAX
                ? calloc(1, sizeof *place)
                : NULL;
    if (place == NULL || mlt_map_put(&lane->map, token, place) != MLT_OK) {
        lanes->counts.refused++;
        free(place);
        return NULL;
    }
    place->lane = lane;
    place->next = lane->places;
    memcpy(place->token, token.data, token.len);
    place->token_len = token.len;
    mlt_buf_init(&place->waiting, EVENT_BYTES_MAX);
    lane->places = place;
    lanes->place_count++;
    return place;
}

static enum mlt_status add_place(struct interest *interest, struct place *place)
{
    if (interest->count == interest->capacity) {
        const size_t capacity = interest->capacity > 0 ? 2 * interest->capacity : 4;
        struct place **more = realloc(interest->places, capacity * sizeof(struct place *));
        if (more == NULL) {
            return MLT_E_NOMEM;
        }
        interest->places = more;
        interest->capacity = capacity;
    }
    interest->places[interest->count++] = place;
    return MLT_OK;
}

/* NULL: no lane has the instrument. */
static const struct interest *interest_of(struct mlt_lanes *lanes, struct mlt_slice token)
{
    struct interest *interest = mlt_map_get(&lanes->interests, token);
    if (interest == NULL) {
        interest = calloc(1, sizeof *interest);
        if (interest == NULL || mlt_map_put(&lanes->interests, token, interest) != MLT_OK) {
            free(interest);
            lanes->counts.refused++;
            return NULL;
        }
    }
    if (interest->generation != lanes->generation) {
        interest->generation = lanes->generation;
        interest->count = 0;
        for (size_t i = 0; i < lanes->count; i++) {
            struct place *place = mlt_lane_covers(&lanes->lanes[i]->spec, token)
                                      ? place_of(lanes, lanes->lanes[i], token)
                                      : NULL;
            if (place != NULL && add_place(interest, place) != MLT_OK) {
                lanes->counts.refused++;
            }
        }
    }
    return interest->count > 0 ? interest : NULL;
}

/* ---- sending ---- */

static void send_event(struct mlt_lanes *lanes, struct place *place, struct mlt_event *event)
{
    char subject[SUBJECT_BYTES_MAX];
    struct sent *sent = &place->sent[event->type];
    (void)snprintf(subject, sizeof subject, "meltica.lane.%s.%s.%s", place->lane->spec.principal,
                   place->lane->spec.id, place->token);
    event->lane_previous = event->sequence > 0 && sent->epoch == event->epoch ? sent->sequence : 0;
    mlt_buf_clear(&lanes->encoded);
    bool left = mlt_buf_reserve(&lanes->encoded, mlt_event_encoded_size(event)) == MLT_OK;
    if (left) {
        lanes->encoded.len = mlt_event_encode(event, lanes->encoded.data);
        left = lanes->ports.publish(lanes->ports.ctx, subject, mlt_buf_view(&lanes->encoded));
    }
    /* Also of one that did not leave: then lane_previous of the next one names what is missing. */
    if (event->sequence > 0) {
        *sent = (struct sent){ event->epoch, event->sequence, mlt_event_position(event) };
    }
    lanes->counts.out += left;
    lanes->counts.undelivered += !left;
    if (event->type == MLT_EVENT_BOOK) {
        place->state = event->u.book.state;
    }
}

static int64_t now_ns(const struct mlt_lanes *lanes)
{
    return lanes->ports.clock->mono_ns(lanes->ports.clock->ctx);
}

static int64_t throttle_ns(const struct place *place)
{
    return (int64_t)place->lane->spec.throttle_ms * MLT_NS_PER_MS;
}

/* What waits is part of what leaves now: how many more events that stands for. */
static void send_now(struct mlt_lanes *lanes, struct place *place, const struct mlt_event *event,
                     int64_t at_ns)
{
    struct mlt_event copy = *event;
    if (place->waits) {
        copy.merged += place->merged + place->waiting_merged + 1;
        copy.first = place->first;
        place->waits = false;
        lanes->waiting_count--;
        lanes->counts.merged++;
    }
    copy.quality |= copy.merged > 0 ? MLT_QUALITY_CONFLATED : 0;
    copy.stamps.published = lanes->ports.clock->wall_ns(lanes->ports.clock->ctx);
    send_event(lanes, place, &copy);
    place->window_ns = at_ns + throttle_ns(place);
}

/* What waits leaves now. */
static void let_go(struct mlt_lanes *lanes, struct place *place, int64_t at_ns)
{
    struct mlt_event event;
    if (!place->waits) {
        return;
    }
    place->waits = false;
    lanes->waiting_count--;
    mlt_arena_reset(&lanes->arena);
    if (mlt_event_decode(mlt_buf_view(&place->waiting), &lanes->arena, &event) != MLT_OK) {
        lanes->counts.undelivered++; /* no memory: it was encoded here */
        return;
    }
    event.merged += place->merged;
    event.first = place->first;
    event.throttled_ns += (uint64_t)(at_ns > place->since_ns ? at_ns - place->since_ns : 0);
    send_now(lanes, place, &event, at_ns);
}

/* The newest of its window, in the place of what waits. */
static void hold(struct mlt_lanes *lanes, struct place *place, const struct mlt_event *event,
                 int64_t at_ns)
{
    if (mlt_buf_reserve(&place->waiting, mlt_event_encoded_size(event)) != MLT_OK) {
        send_now(lanes, place, event, at_ns); /* rather early than never */
        return;
    }
    if (place->waits) {
        place->merged += place->waiting_merged + 1;
        lanes->counts.merged++;
    } else {
        place->first = event->first;
        place->merged = 0;
        place->waits = true;
        lanes->waiting_count++;
    }
    mlt_buf_clear(&place->waiting);
    place->waiting.len = mlt_event_encode(event, place->waiting.data);
    place->waiting_merged = event->merged;
    place->since_ns = at_ns;
    lanes->due_ns = place->window_ns < lanes->due_ns ? place->window_ns : lanes->due_ns;
}

static void throttle(struct mlt_lanes *lanes, struct place *place, const struct mlt_event *event)
{
    const int64_t at_ns = now_ns(lanes);
    /* What says that a book cannot be trusted any more, or can again, does not wait. */
    const bool turns = event->type == MLT_EVENT_BOOK && event->u.book.state != place->state;
    if (turns || at_ns >= place->window_ns) {
        send_now(lanes, place, event, at_ns);
    } else {
        hold(lanes, place, event, at_ns);
    }
}

/* ---- what comes ---- */

static bool passes(const struct mlt_lane_spec *spec, const struct mlt_event *event)
{
    /* A filter never hides that a book is not to be trusted. */
    if (event->type == MLT_EVENT_BOOK && event->u.book.state != MLT_BOOK_LIVE) {
        return true;
    }
    for (size_t i = 0; i < spec->filter_count; i++) {
        if (!mlt_filter_holds(&spec->filters[i], event)) {
            return false;
        }
    }
    return true;
}

/* Whether the lane carries the type; beside STATUS and INSTRUMENT, which all do. */
static bool carries(const struct mlt_lane_spec *spec, enum mlt_event_type type)
{
    return type == spec->type ||
           (spec->type == MLT_EVENT_BOOK_DELTA && type == MLT_EVENT_BOOK_SNAPSHOT);
}

static bool concerns(const struct mlt_lane_spec *spec, enum mlt_event_type lost)
{
    return lost == MLT_EVENT_NONE || lost == MLT_EVENT_STATUS || lost == MLT_EVENT_INSTRUMENT ||
           carries(spec, lost);
}

static void on_status(struct mlt_lanes *lanes, struct place *place, const struct mlt_event *event)
{
    struct mlt_event copy = *event;
    struct mlt_status_event *status = &copy.u.status;
    const bool of_a_type = status->kind == MLT_STATUS_LOST || status->kind == MLT_STATUS_MISSING ||
                           status->kind == MLT_STATUS_UNFILLABLE;
    if (of_a_type && !concerns(&place->lane->spec, status->lost_type)) {
        return;
    }
    if (status->kind == MLT_STATUS_HEADS) { /* where the lane stands */
        status->head_count = 0;
        for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
            const struct sent *sent = &place->sent[type];
            if (sent->epoch == event->epoch && sent->sequence > 0 &&
                status->head_count < MLT_STATUS_HEADS_MAX) {
                status->heads[status->head_count++] =
                    (struct mlt_head){ (enum mlt_event_type)type, sent->sequence, sent->position };
            }
        }
        if (status->head_count == 0) {
            return;
        }
    } else {
        let_go(lanes, place, now_ns(lanes)); /* in its place before the STATUS */
    }
    send_event(lanes, place, &copy);
}

static void on_event(struct mlt_lanes *lanes, struct place *place, const struct mlt_event *event)
{
    const struct mlt_lane_spec *spec = &place->lane->spec;
    if (event->type == MLT_EVENT_STATUS) {
        on_status(lanes, place, event);
        return;
    }
    const bool own = event->type == spec->type;
    const bool besides = event->type == MLT_EVENT_INSTRUMENT ||
                         (spec->type == MLT_EVENT_BOOK_DELTA &&
                          event->type == MLT_EVENT_BOOK_SNAPSHOT && event->u.book_snapshot.reset);
    if (own && !passes(spec, event)) {
        lanes->counts.filtered++;
    } else if (own && spec->throttle_ms > 0) {
        throttle(lanes, place, event);
    } else if (own || besides) {
        struct mlt_event copy = *event;
        send_event(lanes, place, &copy);
    }
}

void mlt_lanes_event(struct mlt_lanes *lanes, const struct mlt_event *event)
{
    if (lanes->count == 0) {
        return;
    }
    const struct interest *interest = interest_of(lanes, event->instrument);
    for (size_t i = 0; interest != NULL && i < interest->count; i++) {
        on_event(lanes, interest->places[i], event);
    }
}

int64_t mlt_lanes_due_ns(const struct mlt_lanes *lanes)
{
    return lanes->due_ns;
}

void mlt_lanes_flush(struct mlt_lanes *lanes, bool all)
{
    const int64_t at_ns = now_ns(lanes);
    if (at_ns < lanes->due_ns && !all) {
        return;
    }
    lanes->due_ns = INT64_MAX;
    for (size_t i = 0; i < lanes->count && lanes->waiting_count > 0; i++) {
        for (struct place *p = lanes->lanes[i]->places; p != NULL; p = p->next) {
            if (p->waits && (all || p->window_ns <= at_ns)) {
                let_go(lanes, p, at_ns);
            } else if (p->waits && p->window_ns < lanes->due_ns) {
                lanes->due_ns = p->window_ns;
            }
        }
    }
}

void mlt_lanes_counts(const struct mlt_lanes *lanes, struct mlt_lanes_counts *out)
{
    *out = lanes->counts;
}

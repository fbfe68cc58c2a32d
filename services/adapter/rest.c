#include "rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"

#define FIRST_ROUND_NS (5 * MLT_NS_PER_S) /* the first round is spread over at most so long */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)
#define INTERVAL_MIN_NS (100 * MLT_NS_PER_MS)
#define RETRY_BASE_NS (250 * MLT_NS_PER_MS)
#define RETRY_MAX_NS (10 * MLT_NS_PER_S)
#define OWN_BIT 63u

void mlt_rest_init(struct mlt_rest *rest, uint32_t partitions, struct mlt_governor *governor,
                   uint64_t seed)
{
    memset(rest, 0, sizeof *rest);
    rest->partitions = partitions;
    rest->governor = governor;
    mlt_map_init(&rest->by_call, MLT_REST_ENTRIES_MAX);
    mlt_backoff_init(&rest->backoff, RETRY_BASE_NS / 2, RETRY_BASE_NS, RETRY_MAX_NS, seed);
}

void mlt_rest_fini(struct mlt_rest *rest)
{
    for (size_t i = 0; i < rest->count; i++) {
        free(rest->entries[i]);
    }
    free(rest->entries);
    rest->entries = NULL;
    rest->count = rest->capacity = 0;
    mlt_map_fini(&rest->by_call);
}

/* ---- schedule
 * ------------------------------------------------------------------------------------- */

static bool same(const struct mlt_rest_call *a, enum mlt_rest_function function, const char *token)
{
    return a->function == function && strcmp(a->token, token) == 0;
}

struct key {
    char bytes[1 + MLT_INSTRUMENT_BYTES_MAX];
    size_t len;
};

/* False: the token is longer than any instrument's. */
static bool key_of(enum mlt_rest_function function, const char *token, struct key *key)
{
    const size_t len = strlen(token);
    if (len > MLT_INSTRUMENT_BYTES_MAX) {
        return false;
    }
    key->bytes[0] = (char)('0' + function);
    memcpy(key->bytes + 1, token, len);
    key->len = len + 1;
    return true;
}

static struct mlt_rest_entry *find(const struct mlt_rest *rest, enum mlt_rest_function function,
                                   const char *token)
{
    struct key key;
    return key_of(function, token, &key)
               ? mlt_map_get(&rest->by_call, mlt_slice_of(key.bytes, key.len))
               : NULL;
}

static enum mlt_status make_room(struct mlt_rest *rest)
{
    if (rest->count < rest->capacity) {
        return MLT_OK;
    }
    if (rest->count >= MLT_REST_ENTRIES_MAX) {
        return MLT_E_LIMIT;
    }
    const size_t capacity = rest->capacity == 0 ? 16 : rest->capacity * 2;
    struct mlt_rest_entry **entries = realloc(rest->entries, capacity * sizeof *rest->entries);
    if (entries == NULL) {
        return MLT_E_NOMEM;
    }
    rest->entries = entries;
    rest->capacity = capacity;
    return MLT_OK;
}

/* A new one, without times. E_TOO_BIG (token), E_LIMIT, E_NOMEM. */
static enum mlt_status add(struct mlt_rest *rest, enum mlt_rest_function function,
                           const char *token, struct mlt_rest_entry **out)
{
    struct key key;
    if (!key_of(function, token, &key)) {
        return MLT_E_TOO_BIG;
    }
    enum mlt_status status = make_room(rest);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_rest_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return MLT_E_NOMEM;
    }
    status = mlt_map_put(&rest->by_call, mlt_slice_of(key.bytes, key.len), entry);
    if (status != MLT_OK) {
        free(entry);
        return status;
    }
    entry->call.function = function;
    memcpy(entry->call.token, key.bytes + 1, key.len - 1);
    rest->entries[rest->count++] = entry;
    *out = entry;
    return MLT_OK;
}

static void end_entry(struct mlt_rest *rest, size_t index)
{
    struct mlt_rest_entry *entry = rest->entries[index];
    struct key key;
    if (key_of(entry->call.function, entry->call.token, &key)) {
        (void)mlt_map_remove(&rest->by_call, mlt_slice_of(key.bytes, key.len));
    }
    free(entry);
    rest->entries[index] = rest->entries[--rest->count];
}

/* Golden-ratio steps leave the largest gaps filled, whatever the number of entries: the calls of an
 * interval are spread evenly however the plan's parts arrive. */
static void set_times(struct mlt_rest *rest, struct mlt_rest_entry *entry, int64_t interval_ns,
                      int64_t now_ns)
{
    entry->interval_ns = interval_ns;
    const int64_t fraction = (int64_t)((GOLDEN * rest->made++) >> 48); /* of 2^16 */
    const int64_t first = interval_ns < FIRST_ROUND_NS ? interval_ns : FIRST_ROUND_NS;
    entry->phase_ns = (interval_ns >> 16) * fraction;
    entry->start_ns = now_ns;
    entry->rounds = 0;
    entry->due_ns = now_ns + (first >> 16) * fraction;
}

static enum mlt_status want(struct mlt_rest *rest, enum mlt_rest_function function,
                            const char *token, const Meltica__V1__PlanRoute *route,
                            uint32_t partition, int64_t now_ns)
{
    int64_t interval_ns = (int64_t)route->rest_interval_ms * MLT_NS_PER_MS;
    interval_ns = interval_ns < INTERVAL_MIN_NS ? INTERVAL_MIN_NS : interval_ns;
    struct mlt_rest_entry *entry = find(rest, function, token);
    if (entry == NULL) {
        const enum mlt_status status = add(rest, function, token, &entry);
        if (status != MLT_OK) {
            return status;
        }
        set_times(rest, entry, interval_ns, now_ns);
    } else if (entry->pass == rest->pass) { /* two routes on one call: the first one names it */
        return MLT_OK;
    } else if (entry->interval_ns != interval_ns) {
        set_times(rest, entry, interval_ns, now_ns);
        if (function == MLT_REST_EXCHANGE_INFO) { /* it was read at start already */
            entry->phase_ns = 0;
            entry->due_ns = now_ns + interval_ns;
            entry->rounds = 1;
        }
    }
    entry->wanted_by |= UINT64_C(1) << partition;
    entry->pass = rest->pass;
    entry->call.route = route->route;
    entry->call.limit = route->rest_limit;
    return MLT_OK;
}

static enum mlt_status want_route(struct mlt_rest *rest, const Meltica__V1__PlanRoute *route,
                                  uint32_t partition, int64_t now_ns)
{
    const enum mlt_rest_function function = mlt_rest_function_of(route->rest_function);
    if (function == MLT_REST_FUNCTION_COUNT) {
        if (rest->unknown_count < MLT_REST_UNKNOWN_MAX) {
            rest->unknown[rest->unknown_count++] =
                (struct mlt_rest_unknown){ route->route, partition };
        }
        return MLT_OK;
    }
    /* Without instruments: the function over all of them, where there is one. */
    if (route->n_instruments == 0) {
        return function == MLT_REST_DEPTH || mlt_rest_by_id(function)
                   ? MLT_OK
                   : want(rest, function, "", route, partition, now_ns);
    }
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < route->n_instruments && status == MLT_OK; i++) {
        const char *token = function == MLT_REST_EXCHANGE_INFO ? "" : route->instruments[i];
        status = want(rest, function, token, route, partition, now_ns);
    }
    return status;
}

static void forget_unknown(struct mlt_rest *rest, uint32_t partition)
{
    size_t kept = 0;
    for (size_t i = 0; i < rest->unknown_count; i++) {
        if (rest->unknown[i].partition != partition) {
            rest->unknown[kept++] = rest->unknown[i];
        }
    }
    rest->unknown_count = kept;
}

enum mlt_status mlt_rest_apply(struct mlt_rest *rest, const Meltica__V1__NativePlan *plan,
                               int64_t now_ns)
{
    if (plan->partition >= rest->partitions) {
        return MLT_E_RANGE;
    }
    rest->pass++;
    forget_unknown(rest, plan->partition);
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < plan->n_routes && status == MLT_OK; i++) {
        const Meltica__V1__PlanRoute *route = plan->routes[i];
        if (route->rest_function[0] != '\0' && route->rest_interval_ms > 0) {
            status = want_route(rest, route, plan->partition, now_ns);
        }
    }
    const uint64_t bit = UINT64_C(1) << plan->partition;
    size_t i = 0;
    while (i < rest->count && status == MLT_OK) {
        struct mlt_rest_entry *entry = rest->entries[i];
        if (entry->pass != rest->pass && !plan->expanding) {
            entry->wanted_by &= ~bit;
        }
        if (entry->wanted_by == 0) {
            end_entry(rest, i);
        } else {
            i++;
        }
    }
    return status;
}

enum mlt_status mlt_rest_schedule(struct mlt_rest *rest, enum mlt_rest_function function,
                                  int64_t interval_ns, int64_t first_ns)
{
    struct mlt_rest_entry *entry = find(rest, function, "");
    if (entry == NULL) {
        const enum mlt_status status = add(rest, function, "", &entry);
        if (status != MLT_OK) {
            return status;
        }
    }
    entry->wanted_by |= UINT64_C(1) << OWN_BIT;
    entry->interval_ns = interval_ns;
    entry->start_ns = entry->due_ns = first_ns;
    return MLT_OK;
}

static bool is_own(const struct mlt_rest_entry *entry)
{
    return entry->call.function == MLT_REST_EXCHANGE_INFO || entry->call.function == MLT_REST_TIME;
}

static bool rests(const struct mlt_rest *rest, const struct mlt_rest_entry *entry)
{
    return (entry->wanted_by & ~rest->held) == 0 && !is_own(entry);
}

void mlt_rest_hold(struct mlt_rest *rest, uint64_t partitions, int64_t now_ns)
{
    const uint64_t before = rest->held;
    rest->held = partitions;
    for (size_t i = 0; i < rest->count; i++) {
        struct mlt_rest_entry *entry = rest->entries[i];
        if ((entry->wanted_by & ~before) == 0 && !is_own(entry) && !rests(rest, entry)) {
            set_times(rest, entry, entry->interval_ns, now_ns);
        }
    }
}

void mlt_rest_soon(struct mlt_rest *rest, enum mlt_rest_function function, int64_t at_ns)
{
    struct mlt_rest_entry *entry = find(rest, function, "");
    if (entry != NULL && at_ns < entry->due_ns) {
        entry->due_ns = at_ns;
    }
}

/* ---- calls
 * ---------------------------------------------------------------------------------------- */

static bool flies(const struct mlt_rest *rest, const struct mlt_rest_call *call)
{
    for (unsigned i = 0; i < MLT_REST_FLIGHT_MAX; i++) {
        if (rest->in_flight[i] && same(&rest->flight[i], call->function, call->token)) {
            return true;
        }
    }
    return false;
}

/* Whether one that waits is enough for this call, too: it is as soon and as deep, or becomes so. A
 * light call in haste does not become a heavy one, nor a heavy one hasty: both wait. */
static bool joins(struct mlt_rest *rest, const struct mlt_rest_call *call)
{
    for (size_t i = 0; i < rest->demand_count; i++) {
        struct mlt_rest_call *waiting = &rest->demands[i].call;
        if (!same(waiting, call->function, call->token) || waiting->from != call->from) {
            continue;
        }
        if (waiting->limit >= call->limit && waiting->class <= call->class) {
            return true;
        }
        if (waiting->limit <= call->limit && waiting->class >= call->class) {
            waiting->limit = call->limit;
            waiting->class = call->class;
            return true;
        }
    }
    return false;
}

/* The limit as the exchange takes it: what was asked for tells how deep the answer vouches. */
static uint32_t depth_limit(uint32_t limit)
{
    limit = limit == 0 ? MLT_REST_DEPTH_DEFAULT : limit;
    return limit < MLT_REST_DEPTH_MAX ? limit : MLT_REST_DEPTH_MAX;
}

/* Of the queue, what a class may fill. */
static size_t places_of(enum mlt_weight_class class)
{
    const size_t kept = class <= MLT_WEIGHT_RESYNC ? 0 : class == MLT_WEIGHT_FIRST ? 1 : 2;
    return MLT_REST_DEMAND_MAX - kept * MLT_REST_DEMAND_KEPT;
}

enum mlt_status mlt_rest_demand(struct mlt_rest *rest, const struct mlt_rest_asked *asked,
                                int64_t now_ns)
{
    const bool by_id = mlt_rest_by_id(asked->function);
    if (by_id && (asked->from < 0 || asked->limit == 0 || asked->limit > MLT_TRADES_PAGE_MAX)) {
        return MLT_E_RANGE;
    }
    const uint32_t limit =
        asked->function == MLT_REST_DEPTH ? depth_limit(asked->limit) : asked->limit;
    struct mlt_rest_demand demand = { .call = { .function = asked->function,
                                                .limit = limit,
                                                .route = asked->route,
                                                .from = by_id ? asked->from : 0,
                                                .demand = true,
                                                .class = asked->class },
                                      .asked_ns = now_ns,
                                      .not_before_ns = now_ns };
    const int len = snprintf(demand.call.token, sizeof demand.call.token, "%s", asked->token);
    if (len < 0 || (size_t)len >= sizeof demand.call.token) {
        return MLT_E_TOO_BIG;
    }
    if (joins(rest, &demand.call)) {
        return MLT_OK;
    }
    if (rest->demand_count >= places_of(asked->class)) {
        return MLT_E_FULL;
    }
    rest->demands[rest->demand_count++] = demand;
    rest->demand_most =
        rest->demand_count > rest->demand_most ? rest->demand_count : rest->demand_most;
    return MLT_OK;
}

static bool free_flight(const struct mlt_rest *rest, unsigned *flight)
{
    for (unsigned i = 0; i < MLT_REST_FLIGHT_MAX; i++) {
        if (!rest->in_flight[i]) {
            *flight = i;
            return true;
        }
    }
    return false;
}

static uint32_t weight_of(const struct mlt_rest_call *call)
{
    return mlt_rest_weight(call->function, call->limit, call->token[0] != '\0' ? 1 : 0);
}

static void sooner(int64_t *next_ns, int64_t at_ns)
{
    *next_ns = at_ns < *next_ns ? at_ns : *next_ns;
}

enum taken {
    TAKEN,    /* the call flies */
    NOTHING,  /* none may be made now */
    STARVING, /* one waits for the budget */
};

/* Whoever waited long counts as of a class before its own: in the end nobody waits for ever. */
static enum mlt_weight_class risen(enum mlt_weight_class class, int64_t since_ns, int64_t now_ns)
{
    if (class <= MLT_WEIGHT_RESYNC) {
        return class;
    }
    const int64_t to = (int64_t)class - (now_ns - since_ns) / MLT_REST_RISE_NS;
    return to > MLT_WEIGHT_RESYNC ? (enum mlt_weight_class)to : MLT_WEIGHT_RESYNC;
}

/* The first one of this class in order of asking, of those that were asked for before `until_ns`.
 */
static enum taken take_demand(struct mlt_rest *rest, enum mlt_weight_class class, int64_t until_ns,
                              int64_t now_ns, unsigned flight, int64_t *next_ns)
{
    for (size_t i = 0; i < rest->demand_count; i++) {
        struct mlt_rest_demand *demand = &rest->demands[i];
        if (risen(demand->call.class, demand->asked_ns, now_ns) != class ||
            demand->asked_ns > until_ns) {
            continue;
        }
        if (demand->not_before_ns > now_ns) {
            sooner(next_ns, demand->not_before_ns);
            continue;
        }
        if (flies(rest, &demand->call)) {
            continue;
        }
        const int64_t later =
            mlt_governor_admit(rest->governor, weight_of(&demand->call), class, now_ns);
        if (later != 0) {
            sooner(next_ns, later);
            return STARVING; /* what came first goes first */
        }
        rest->flight[flight] = demand->call;
        rest->flight[flight].tries++;
        rest->demand_count--;
        memmove(demand, demand + 1, (rest->demand_count - i) * sizeof *demand);
        return TAKEN;
    }
    return NOTHING;
}

/* What the schedule would do next: the longest due, and the Adapter's own for themselves. */
struct due {
    struct mlt_rest_entry *own, *first;
};

static void note_due(struct mlt_rest_entry **longest, struct mlt_rest_entry *entry)
{
    if (*longest == NULL || entry->due_ns < (*longest)->due_ns) {
        *longest = entry;
    }
}

static struct due look_for_due(struct mlt_rest *rest, int64_t now_ns, int64_t *next_ns)
{
    struct due due = { NULL, NULL };
    for (size_t i = 0; i < rest->count; i++) {
        struct mlt_rest_entry *entry = rest->entries[i];
        if (rests(rest, entry)) {
            continue;
        }
        if (entry->due_ns > now_ns) {
            sooner(next_ns, entry->due_ns);
        } else if (!flies(rest, &entry->call)) {
            note_due(is_own(entry) ? &due.own : &due.first, entry);
        }
    }
    return due;
}

static enum taken take_scheduled(struct mlt_rest *rest, struct mlt_rest_entry *entry,
                                 enum mlt_weight_class class, int64_t now_ns, unsigned flight,
                                 int64_t *next_ns)
{
    if (entry == NULL) {
        return NOTHING;
    }
    const int64_t later =
        mlt_governor_admit(rest->governor, weight_of(&entry->call), class, now_ns);
    if (later != 0) {
        sooner(next_ns, later);
        return STARVING;
    }
    rest->flight[flight] = entry->call;
    rest->flight[flight].tries = 1;
    /* Rounds that were missed are not made up for. */
    do {
        entry->rounds++;
        entry->due_ns =
            entry->start_ns + entry->phase_ns + (int64_t)entry->rounds * entry->interval_ns;
    } while (entry->due_ns <= now_ns);
    return TAKEN;
}

/* Whoever waits longer, of the demands and what the schedule would do next. */
static enum taken take_of_class(struct mlt_rest *rest, struct mlt_rest_entry *due,
                                enum mlt_weight_class class, int64_t now_ns, unsigned flight,
                                int64_t *next_ns)
{
    const bool scheduled = due != NULL && risen(MLT_WEIGHT_SCHEDULE, due->due_ns, now_ns) == class;
    enum taken taken =
        take_demand(rest, class, scheduled ? due->due_ns : MLT_REST_NEVER, now_ns, flight, next_ns);
    if (scheduled && taken == NOTHING) {
        taken = take_scheduled(rest, due, class, now_ns, flight, next_ns);
    }
    return taken;
}

enum mlt_status mlt_rest_next(struct mlt_rest *rest, int64_t now_ns, unsigned *flight,
                              int64_t *next_ns)
{
    *next_ns = MLT_REST_NEVER;
    if (!free_flight(rest, flight)) {
        return MLT_E_EMPTY; /* an answer comes first */
    }
    const struct due due = look_for_due(rest, now_ns, next_ns);
    /* Light, and everything else depends on them; nor does anything wait while they do. */
    enum taken taken =
        take_scheduled(rest, due.own, MLT_WEIGHT_OWN, now_ns, *flight, next_ns) == TAKEN ? TAKEN
                                                                                         : NOTHING;
    for (unsigned class = 0; class < MLT_WEIGHT_CLASS_COUNT && taken == NOTHING; class ++) {
        taken =
            take_of_class(rest, due.first, (enum mlt_weight_class) class, now_ns, *flight, next_ns);
    }
    if (taken != TAKEN) {
        return MLT_E_EMPTY; /* the time of the one that waits is in *next_ns */
    }
    rest->in_flight[*flight] = true;
    return MLT_OK;
}

void mlt_rest_waiting(const struct mlt_rest *rest, uint32_t counts[MLT_WEIGHT_CLASS_COUNT])
{
    memset(counts, 0, MLT_WEIGHT_CLASS_COUNT * sizeof counts[0]);
    for (size_t i = 0; i < rest->demand_count; i++) {
        counts[rest->demands[i].call.class]++;
    }
}

void mlt_rest_weights(const struct mlt_rest *rest, int64_t now_ns,
                      uint32_t weights[MLT_WEIGHT_CLASS_COUNT])
{
    memset(weights, 0, MLT_WEIGHT_CLASS_COUNT * sizeof weights[0]);
    for (size_t i = 0; i < rest->demand_count; i++) {
        const struct mlt_rest_demand *demand = &rest->demands[i];
        if (demand->not_before_ns <= now_ns) {
            weights[risen(demand->call.class, demand->asked_ns, now_ns)] +=
                weight_of(&demand->call);
        }
    }
    for (size_t i = 0; i < rest->count; i++) {
        const struct mlt_rest_entry *entry = rest->entries[i];
        if (entry->due_ns <= now_ns && !rests(rest, entry)) {
            weights[is_own(entry) ? MLT_WEIGHT_OWN
                                  : risen(MLT_WEIGHT_SCHEDULE, entry->due_ns, now_ns)] +=
                weight_of(&entry->call);
        }
    }
}

const struct mlt_rest_call *mlt_rest_flight(const struct mlt_rest *rest, unsigned flight)
{
    return &rest->flight[flight];
}

static bool retry_demand(struct mlt_rest *rest, const struct mlt_rest_call *call, int64_t now_ns)
{
    if (joins(rest, call)) { /* asked for again meanwhile: one call is enough for both */
        return true;
    }
    if (call->tries >= MLT_REST_TRIES_MAX || rest->demand_count == MLT_REST_DEMAND_MAX) {
        return false;
    }
    rest->backoff.attempt = call->tries - 1;
    rest->demands[rest->demand_count++] =
        (struct mlt_rest_demand){ .call = *call,
                                  .asked_ns = now_ns,
                                  .not_before_ns = now_ns + mlt_backoff_next_ns(&rest->backoff) };
    return true;
}

bool mlt_rest_done(struct mlt_rest *rest, unsigned flight, enum mlt_rest_outcome outcome,
                   int64_t now_ns)
{
    const struct mlt_rest_call call = rest->flight[flight];
    rest->in_flight[flight] = false;
    if (call.demand) {
        return outcome != MLT_REST_DONE &&
               (outcome == MLT_REST_REFUSED || !retry_demand(rest, &call, now_ns));
    }
    struct mlt_rest_entry *entry = find(rest, call.function, call.token);
    if (entry == NULL) {
        return false;
    }
    entry->failures = outcome == MLT_REST_RETRY ? entry->failures + 1 : 0;
    if (entry->failures > 0) {
        rest->backoff.attempt = 1 + entry->failures;
        const int64_t again = now_ns + mlt_backoff_next_ns(&rest->backoff);
        sooner(&entry->due_ns, again); /* the round that would come anyway is never later */
    }
    return false;
}

#include "ledger.h"

#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"

static uint32_t *bucket(struct mlt_ledger *ledger, int64_t second)
{
    return &ledger->granted[(uint64_t)second % MLT_LEDGER_SECONDS];
}

static bool counts(const struct mlt_ledger *ledger, int64_t second)
{
    return second <= ledger->second && second > ledger->second - (int64_t)MLT_LEDGER_SECONDS;
}

/* Time never goes back here: a slow clock writes into the newest second. */
static void advance(struct mlt_ledger *ledger, int64_t now_ns)
{
    const int64_t second = now_ns / MLT_NS_PER_S;
    if (second <= ledger->second) {
        return;
    }
    if (second - ledger->second >= (int64_t)MLT_LEDGER_SECONDS) {
        memset(ledger->granted, 0, sizeof ledger->granted);
    } else {
        for (int64_t s = ledger->second + 1; s <= second; s++) {
            *bucket(ledger, s) = 0;
        }
    }
    ledger->second = second;
}

static uint32_t add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static uint32_t sum(const struct mlt_ledger *ledger)
{
    uint32_t total = 0;
    for (size_t i = 0; i < MLT_LEDGER_SECONDS; i++) {
        total = add(total, ledger->granted[i]);
    }
    return total;
}

void mlt_ledger_begin(struct mlt_ledger *ledger, uint64_t born, uint32_t pool, bool full,
                      int64_t now_ns)
{
    memset(ledger, 0, sizeof *ledger);
    ledger->born = born;
    ledger->second = now_ns / MLT_NS_PER_S;
    *bucket(ledger, ledger->second) = full ? pool : 0;
}

void mlt_ledger_add(struct mlt_ledger *ledger, int64_t second, uint32_t weight)
{
    if (second > ledger->second) {
        advance(ledger, second * MLT_NS_PER_S);
    }
    if (counts(ledger, second)) {
        *bucket(ledger, second) = add(*bucket(ledger, second), weight);
    }
}

uint32_t mlt_ledger_total(struct mlt_ledger *ledger, int64_t now_ns)
{
    advance(ledger, now_ns);
    return sum(ledger);
}

/* ---- who waits ---- */

static bool heard(const struct mlt_ledger *ledger, const struct mlt_ledger_holder *holder)
{
    return holder->boot != 0 && ledger->second - holder->second <= MLT_LEDGER_HEARD_S;
}

uint32_t mlt_ledger_heard(const struct mlt_ledger *ledger)
{
    uint32_t count = 0;
    for (size_t i = 0; i < MLT_LEDGER_HOLDERS_MAX; i++) {
        count += heard(ledger, &ledger->holders[i]);
    }
    return count;
}

/* Its own place, a free one, or that of the one that is silent for longest. */
static struct mlt_ledger_holder *say_waiting(struct mlt_ledger *ledger,
                                             const struct mlt_ledger_want *want)
{
    struct mlt_ledger_holder *place = &ledger->holders[0];
    for (size_t i = 0; i < MLT_LEDGER_HOLDERS_MAX; i++) {
        struct mlt_ledger_holder *holder = &ledger->holders[i];
        if (holder->boot == want->boot) {
            place = holder;
            break;
        }
        if (place->boot != 0 && (holder->boot == 0 || holder->second < place->second)) {
            place = holder;
        }
    }
    place->boot = want->boot;
    place->second = ledger->second;
    memcpy(place->waiting, want->waiting, sizeof place->waiting);
    return place;
}

/* Weight that others wait for: before this class, and in it. */
static void others(const struct mlt_ledger *ledger, const struct mlt_ledger_want *want,
                   uint32_t *before, uint32_t *beside)
{
    *before = *beside = 0;
    for (size_t i = 0; i < MLT_LEDGER_HOLDERS_MAX; i++) {
        const struct mlt_ledger_holder *holder = &ledger->holders[i];
        if (holder->boot == want->boot || !heard(ledger, holder)) {
            continue;
        }
        for (unsigned class = 0; class < (unsigned)want->class; class ++) {
            *before = add(*before, holder->waiting[class]);
        }
        *beside = add(*beside, holder->waiting[want->class]);
    }
}

/* ---- grants ---- */

static uint32_t grant(const struct mlt_ledger *ledger, const struct mlt_ledger_want *want)
{
    const uint32_t ceiling = mlt_weight_ceiling(want->pool, want->class), used = sum(ledger);
    uint32_t before = 0, beside = 0;
    others(ledger, want, &before, &beside);
    const uint32_t taken = add(used, before);
    if (want->least > ceiling) {
        return taken == 0 ? want->least : 0; /* heavier than all that there is: alone */
    }
    const uint32_t left = ceiling > taken ? ceiling - taken : 0;
    if (left < want->least) {
        return 0;
    }
    uint32_t most = want->most < left ? want->most : left;
    if (beside > 0) {
        const uint64_t mine =
            want->waiting[want->class] > want->most ? want->waiting[want->class] : want->most;
        const uint32_t fair = (uint32_t)(left * mine / (mine + beside));
        most = fair < most ? fair : most;
    }
    return most > want->least ? most : want->least;
}

bool mlt_ledger_believable(int64_t blocked_until_ns, int64_t now_ns)
{
    return blocked_until_ns - now_ns <=
           MLT_GOVERNOR_REFUSAL_MAX_NS + MLT_LEDGER_AHEAD_S * MLT_NS_PER_S;
}

uint32_t mlt_ledger_reserve(struct mlt_ledger *ledger, const struct mlt_ledger_want *want,
                            int64_t now_ns, int64_t *second)
{
    if (ledger->second - now_ns / MLT_NS_PER_S > MLT_LEDGER_AHEAD_S) {
        /* Nothing in it would leave for as long as it is ahead. It is full from now on instead. */
        const int64_t blocked = ledger->blocked_until_ns;
        mlt_ledger_begin(ledger, ledger->born, want->pool, true, now_ns);
        ledger->blocked_until_ns = blocked;
    }
    advance(ledger, now_ns);
    if (want->returned > 0 && counts(ledger, want->returned_second)) {
        uint32_t *of = bucket(ledger, want->returned_second);
        *of -= want->returned < *of ? want->returned : *of;
    }
    if (!mlt_ledger_believable(ledger->blocked_until_ns, now_ns)) {
        ledger->blocked_until_ns = 0;
    }
    if (want->blocked_until_ns > ledger->blocked_until_ns) {
        ledger->blocked_until_ns = want->blocked_until_ns;
    }
    struct mlt_ledger_holder *self = say_waiting(ledger, want);
    *second = ledger->second;
    if (want->least == 0 || now_ns < ledger->blocked_until_ns) {
        return 0;
    }
    const uint32_t weight = grant(ledger, want);
    *bucket(ledger, ledger->second) = add(*bucket(ledger, ledger->second), weight);
    uint32_t *waiting = &self->waiting[want->class];
    *waiting -= weight < *waiting ? weight : *waiting; /* that much waits no longer */
    return weight;
}

/* ---- as bytes ---- */

enum mlt_status mlt_ledger_encode(const struct mlt_ledger *ledger, struct mlt_buf *out)
{
    Meltica__V1__WeightLedger message;
    Meltica__V1__WeightLedger__Holder holders[MLT_LEDGER_HOLDERS_MAX];
    Meltica__V1__WeightLedger__Holder *pointers[MLT_LEDGER_HOLDERS_MAX];
    uint32_t granted[MLT_LEDGER_SECONDS], waiting[MLT_LEDGER_HOLDERS_MAX][MLT_WEIGHT_CLASS_COUNT];
    size_t count = 0;
    meltica__v1__weight_ledger__init(&message);
    for (size_t i = 0; i < MLT_LEDGER_SECONDS; i++) {
        granted[i] = ledger->granted[(uint64_t)(ledger->second - (int64_t)i) % MLT_LEDGER_SECONDS];
    }
    for (size_t i = 0; i < MLT_LEDGER_HOLDERS_MAX; i++) {
        if (!heard(ledger, &ledger->holders[i])) {
            continue; /* nothing of it counts */
        }
        memcpy(waiting[count], ledger->holders[i].waiting, sizeof waiting[count]);
        meltica__v1__weight_ledger__holder__init(&holders[count]);
        holders[count].boot = ledger->holders[i].boot;
        holders[count].second = ledger->holders[i].second;
        holders[count].n_waiting = MLT_WEIGHT_CLASS_COUNT;
        holders[count].waiting = waiting[count];
        pointers[count] = &holders[count];
        count++;
    }
    message.born = ledger->born;
    message.second = ledger->second;
    message.n_granted = MLT_LEDGER_SECONDS;
    message.granted = granted;
    message.blocked_until_ms = ledger->blocked_until_ns / MLT_NS_PER_MS;
    message.n_holders = count;
    message.holders = pointers;
    const size_t size = meltica__v1__weight_ledger__get_packed_size(&message);
    const enum mlt_status status = mlt_buf_reserve(out, size);
    if (status == MLT_OK) {
        out->len += meltica__v1__weight_ledger__pack(&message, out->data + out->len);
    }
    return status;
}

static void take_holder(const Meltica__V1__WeightLedger__Holder *from, int64_t newest,
                        struct mlt_ledger_holder *to)
{
    to->boot = from->boot;
    to->second = from->second < 0 ? 0 : from->second < newest ? from->second : newest;
    for (size_t i = 0; i < from->n_waiting && i < MLT_WEIGHT_CLASS_COUNT; i++) {
        to->waiting[i] = from->waiting[i];
    }
}

enum mlt_status mlt_ledger_decode(struct mlt_slice bytes, struct mlt_ledger *out)
{
    if (bytes.len > MLT_LEDGER_BYTES_MAX) {
        return MLT_E_PARSE;
    }
    Meltica__V1__WeightLedger *message =
        meltica__v1__weight_ledger__unpack(NULL, bytes.len, bytes.data);
    if (message == NULL) {
        return MLT_E_PARSE;
    }
    /* The whole window, or grants would be forgotten that others know of; and times that can be
     * reckoned with. */
    const bool well = message->born != 0 && message->second >= (int64_t)MLT_LEDGER_SECONDS &&
                      message->second < INT64_MAX / MLT_NS_PER_S - (int64_t)MLT_LEDGER_SECONDS &&
                      message->n_granted == MLT_LEDGER_SECONDS && message->blocked_until_ms >= 0 &&
                      message->blocked_until_ms < INT64_MAX / MLT_NS_PER_MS;
    if (well) {
        memset(out, 0, sizeof *out);
        out->born = message->born;
        out->second = message->second;
        out->blocked_until_ns = message->blocked_until_ms * MLT_NS_PER_MS;
        for (size_t i = 0; i < MLT_LEDGER_SECONDS; i++) {
            *bucket(out, out->second - (int64_t)i) = message->granted[i];
        }
        for (size_t i = 0; i < message->n_holders && i < MLT_LEDGER_HOLDERS_MAX; i++) {
            take_holder(message->holders[i], out->second, &out->holders[i]);
        }
    }
    meltica__v1__weight_ledger__free_unpacked(message, NULL);
    return well ? MLT_OK : MLT_E_PARSE;
}

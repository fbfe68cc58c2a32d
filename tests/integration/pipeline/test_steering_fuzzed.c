/*
 * Damaged requests through the running services: each is answered, applied or refused with a code
 * and a sentence; the table is what the applied ones made of it; memory stays flat.
 * MELTICA_TEST_COMMANDS says how many (2,000), MELTICA_TEST_SEED repeats a run.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "steer_rig.h"

#define BODY_MAX 4096u
#define KNOWN_MAX 1024u
#define COMPARE_EACH 200u
#define GROWTH_KIB_MAX 6144

static struct rig rig;
static uint64_t dice;

/* What must be in the table. */
static struct known {
    char id[64];
    int64_t lease_end_ns; /* 0: none */
} known[KNOWN_MAX];
static size_t known_count;

static uint64_t roll(uint64_t sides)
{
    return mlt_mix64_next(&dice) % sides;
}

/* ---- requests ---- */

static const char *const verbs[] = { "subscribe", "unsubscribe", "update",  "renew",
                                     "list",      "status",      "describe" };

static size_t template_of(const char *verb, char *out)
{
    static const char *const types[] = { "TRADE", "BBO", "TICKER", "KLINE", "NONE" };
    const char *id = known_count > 0 && roll(3) > 0 ? known[roll(known_count)].id : "s0123456789";
    int len = 0;
    if (strcmp(verb, "subscribe") == 0 && roll(3) == 0) {
        static const char *const fields[] = { "price",      "notional",  "bid_price",
                                              "last_price", "aggressor", "none" };
        static const char *const ops[] = { "ge", "eq", "ne", "over" };
        len = snprintf(out, BODY_MAX,
                       "{\"consumer\":\"f%u\",\"type\":\"%s\",\"instruments\":[\"SYM000%u-USDT\"],"
                       "\"channel\":\"private\",\"throttle_ms\":%u,\"filter\":[{\"field\":\"%s\","
                       "\"op\":\"%s\",\"value\":\"%u\"}],\"id\":\"r%u\"}",
                       (unsigned)roll(4), types[roll(5)], (unsigned)roll(6), (unsigned)roll(70000),
                       fields[roll(6)], ops[roll(4)], (unsigned)roll(100), (unsigned)roll(100000));
    } else if (strcmp(verb, "subscribe") == 0) {
        len = snprintf(out, BODY_MAX,
                       "{\"consumer\":\"f%u\",\"type\":\"%s\",\"instruments\":[\"SYM000%u-USDT\","
                       "\"SYM000%u-USDT\"],\"ttl_s\":%u,\"id\":\"r%u\",\"channel\":\"shared\"}",
                       (unsigned)roll(4), types[roll(5)], (unsigned)roll(6), (unsigned)roll(6),
                       (unsigned)roll(9000), (unsigned)roll(100000));
    } else if (strcmp(verb, "list") == 0) {
        len = snprintf(out, BODY_MAX, "{\"consumer\":\"f%u\",\"offset\":%u,\"limit\":%u}",
                       (unsigned)roll(4), (unsigned)roll(30), (unsigned)roll(1100));
    } else if (strcmp(verb, "status") == 0 || strcmp(verb, "describe") == 0) {
        len = snprintf(out, BODY_MAX, "{}");
    } else {
        len = snprintf(out, BODY_MAX,
                       "{\"consumer\":\"f%u\",\"subscription\":\"%s\"%s,\"id\":\"q%u\"}",
                       (unsigned)roll(4), id,
                       strcmp(verb, "update") == 0  ? ",\"instruments\":[\"*-USDT\"]"
                       : strcmp(verb, "renew") == 0 ? ",\"ttl_s\":4000"
                                                    : "",
                       (unsigned)roll(100000));
    }
    return (size_t)len;
}

static size_t damage(char *body, size_t len)
{
    static const char *const pieces[] = { "\"",       "{",    "[",        "]}",
                                          ",",        ":",    "\\u0000",  "1e999",
                                          "-1",       "null", "\xff",     "\xc3\x28",
                                          "\"a\":",   "true", "[[[[[[[[", "\\ud800",
                                          "\"*-*\",", "\n",   "\x01",     "9007199254740993" };
    const size_t at = len > 0 ? roll(len) : 0;
    switch (roll(6)) {
    case 0: /* a bit */
        if (len > 0) {
            body[at] = (char)((unsigned char)body[at] ^ (1u << roll(8)));
        }
        return len;
    case 1: /* cut */
        return at;
    case 2: { /* a piece in between */
        const struct mlt_slice piece =
            mlt_slice_of_string(pieces[roll(sizeof pieces / sizeof pieces[0])]);
        if (len + piece.len > BODY_MAX) {
            return len;
        }
        memmove(body + at + piece.len, body + at, len - at);
        memcpy(body + at, piece.data, piece.len);
        return len + piece.len;
    }
    case 3: { /* a piece missing */
        const size_t gone = roll(len - at + 1);
        memmove(body + at, body + at + gone, len - at - gone);
        return len - gone;
    }
    case 4: { /* a piece again */
        const size_t more = roll(len - at + 1);
        if (len + more > BODY_MAX) {
            return len;
        }
        memmove(body + at + more, body + at, len - at);
        return len + more;
    }
    default: /* a byte */
        if (len > 0) {
            body[at] = (char)roll(256);
        }
        return len;
    }
}

/* ---- answers ---- */

static void forget(const char *id)
{
    for (size_t i = 0; i < known_count; i++) {
        if (strcmp(known[i].id, id) == 0) {
            known[i] = known[--known_count];
            return;
        }
    }
}

static void remember(const struct said *s)
{
    const char *id = rig_text(s->json, "subscription");
    forget(id);
    assert_true(known_count < KNOWN_MAX);
    (void)snprintf(known[known_count].id, sizeof known[0].id, "%s", id);
    known[known_count++].lease_end_ns = strtoll(rig_text(s->json, "lease_end_ns"), NULL, 10);
}

static void check_refusal(const struct said *s, const char *what)
{
    static const int named[] = { 400, 404, 409, 429 };
    const int code = rig_number(s->json, "code");
    bool is_named = false;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        is_named = is_named || code == named[i];
    }
    is_named = is_named || rig_is_stalled(s);
    if (!is_named || strcmp(rig_text(s->json, "status"), "REJECTED") != 0 ||
        rig_text(s->json, "message")[0] == '\0' ||
        cJSON_GetObjectItemCaseSensitive(s->json, "field") == NULL) {
        rig_fail(s, what);
    }
}

/* True: it was applied. */
static bool take(const struct said *s, const char *verb, const char *what)
{
    if (s->json == NULL) {
        fail_msg("no answer to %s %s", verb, what);
    }
    if (s->refused) {
        check_refusal(s, what);
        return false;
    }
    const char *status = rig_text(s->json, "status");
    if (strcmp(verb, "list") == 0 || strcmp(verb, "status") == 0 || strcmp(verb, "describe") == 0) {
        assert_true(strcmp(status, "OK") == 0 || strcmp(status, "DEGRADED") == 0);
        return false;
    }
    if (strcmp(status, "CONFIRMED") != 0 && strcmp(status, "PENDING") != 0) {
        rig_fail(s, what);
    }
    if (rig_text(s->json, "replaces")[0] != '\0') {
        forget(rig_text(s->json, "replaces"));
    }
    if (strcmp(verb, "unsubscribe") == 0) {
        forget(rig_text(s->json, "subscription"));
    } else {
        remember(s);
    }
    return true;
}

/* ---- the table ---- */

static bool is_known(const char *id)
{
    for (size_t i = 0; i < known_count; i++) {
        if (strcmp(known[i].id, id) == 0) {
            return true;
        }
    }
    return false;
}

/* Whoever's lease is over may be there still, or not. */
static void compare(void)
{
    size_t listed = 0, over = 0;
    struct said s = rig_ask(&rig, "list", "{\"limit\":1000}");
    const int64_t now_ns = mlt_clock_wall_ns();
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    const cJSON *one = list != NULL ? list->child : NULL;
    for (; one != NULL; one = one->next) {
        const char *id = rig_text(one, "subscription");
        const int64_t end_ns = strtoll(rig_text(one, "lease_end_ns"), NULL, 10);
        if (!is_known(id)) {
            rig_fail(&s, id);
        }
        listed += end_ns == 0 || end_ns > now_ns;
    }
    for (size_t i = known_count; i-- > 0;) {
        over += known[i].lease_end_ns != 0 && known[i].lease_end_ns <= now_ns;
    }
    if (listed + over != known_count) {
        rig_fail(&s, "a subscription is missing");
    }
    cJSON_Delete(s.json);
    for (size_t i = known_count; i-- > 0;) {
        if (known[i].lease_end_ns != 0 && known[i].lease_end_ns + 3 * MLT_NS_PER_S < now_ns) {
            known[i] = known[--known_count];
        }
    }
}

static unsigned run_requests(unsigned from, unsigned to)
{
    static char body[BODY_MAX];
    char what[256];
    unsigned applied = 0;
    for (unsigned i = from; i < to; i++) {
        const char *verb = verbs[roll(20) < 10 ? 0 : roll(7)];
        size_t len = template_of(verb, body);
        /* One in fifteen is whole, so that there is something to spoil. */
        for (uint64_t times = roll(15) == 0 ? 0 : 1 + roll(4); times > 0; times--) {
            len = damage(body, len);
        }
        (void)snprintf(what, sizeof what, "%u: %.*s", i, (int)len, body);
        struct said s = rig_try(&rig, verb, mlt_slice_of(body, len));
        const bool is_applied = take(&s, verb, what);
        cJSON_Delete(s.json);
        applied += is_applied;
        if (i % COMPARE_EACH == 0) {
            compare();
        }
    }
    compare();
    return applied;
}

static void test_damaged_commands_are_refused_by_name_or_applied(void **state)
{
    (void)state;
    static const char *const services[] = { "control-bus", "dispatcher", "adapter" };
    int64_t before[3];
    const char *given = getenv("MELTICA_TEST_COMMANDS");
    const unsigned count = given != NULL ? (unsigned)strtoul(given, NULL, 10) : 2000;
    dice = rig_seed("fuzzed");
    rig_start(&rig, "5", "50");
    unsigned applied = run_requests(0, count / 4); /* buffers and pools are as large as they get */
    for (int i = 0; i < 3; i++) {
        before[i] = mlt_stack_resident_bytes(&rig.stack, services[i]) / 1024;
        assert_true(before[i] > 0);
    }
    applied += run_requests(count / 4, count);
    for (int i = 0; i < 3; i++) {
        const int64_t now = mlt_stack_resident_bytes(&rig.stack, services[i]) / 1024;
        print_message("%s: %lld KiB, then %lld\n", services[i], (long long)before[i],
                      (long long)now);
        assert_true(MLT_TEST_SANITIZED || now - before[i] < GROWTH_KIB_MAX);
    }
    print_message("%u requests, %u applied\n", count, applied);
    assert_true(applied > count / 400 && applied < count / 2); /* else it shows nothing */
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_commands_are_refused_by_name_or_applied),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}

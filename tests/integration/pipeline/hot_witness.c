/* See hot_witness.h. */
#include "mlt_test.h"

#include "hot_witness.h"

#include <stdio.h>
#include <stdlib.h>

#define SLICE_MS 100

static bool add(struct hot_quotes *to, int64_t id)
{
    if (to->count == HOT_WITNESS_QUOTES) {
        return false;
    }
    to->ids[to->count++] = id;
    return true;
}

/* {"stream":"sym0003usdt@bookTicker","data":{"u":12,"s":"SYM0003USDT",...}} */
static bool take_quote(struct hot_witness *w, const char *text)
{
    const char *symbol = strstr(text, "\"stream\":\"sym"), *id = strstr(text, "\"u\":");
    if (symbol == NULL || id == NULL) {
        return true; /* an answer */
    }
    const unsigned long number = strtoul(symbol + strlen("\"stream\":\"sym"), NULL, 10);
    return number >= 1 && number <= HOT_WITNESS_SYMBOLS &&
           add(&w->said[number - 1], strtoll(id + strlen("\"u\":"), NULL, 10));
}

/* False: the line, or its place here, is at its end. */
static bool take_frame(struct hot_witness *w, const struct raw_frame *frame)
{
    char text[1024];
    if (frame->opcode == RAW_PING) {
        return raw_ws_send(&w->ws, RAW_PONG, frame->data, frame->len);
    }
    if (frame->opcode != RAW_TEXT || frame->len >= sizeof text) {
        return false;
    }
    memcpy(text, frame->data, frame->len);
    text[frame->len] = '\0';
    (void)pthread_mutex_lock(&w->lock);
    const bool taken = take_quote(w, text);
    (void)pthread_mutex_unlock(&w->lock);
    return taken;
}

static void *listen_to(void *arg)
{
    struct hot_witness *w = arg;
    bool stop = false, alive = true;
    while (!stop && alive) {
        struct raw_frame frame;
        const enum raw_result result = raw_ws_receive(&w->ws, SLICE_MS, &frame);
        alive = result == RAW_TIMEOUT || (result == RAW_FRAME && take_frame(w, &frame));
        (void)pthread_mutex_lock(&w->lock);
        stop = w->stop;
        w->ended = w->ended || !alive;
        (void)pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

void hot_witness_start(struct hot_witness *witness, int port)
{
    char target[512] = "/stream?streams=";
    size_t len = strlen(target);
    for (unsigned i = 0; i < HOT_WITNESS_SYMBOLS; i++) {
        len += (size_t)snprintf(target + len, sizeof target - len, "%ssym%04uusdt@bookTicker",
                                i > 0 ? "/" : "", i + 1);
    }
    assert_int_equal(raw_ws_open(&witness->ws, port, NULL, target), 101);
    assert_int_equal(pthread_create(&witness->thread, NULL, listen_to, witness), 0);
}

void hot_witness_stop(struct hot_witness *witness)
{
    (void)pthread_mutex_lock(&witness->lock);
    witness->stop = true;
    (void)pthread_mutex_unlock(&witness->lock);
    (void)pthread_join(witness->thread, NULL);
    raw_ws_close(&witness->ws);
    assert_false(witness->ended);
}

void hot_witness_came(struct hot_witness *witness, unsigned symbol, int64_t id)
{
    (void)pthread_mutex_lock(&witness->lock);
    struct hot_quotes *to = &witness->came[symbol];
    if (to->count > 0 && id <= to->ids[to->count - 1]) {
        witness->again++;
    } else {
        witness->ended = !add(to, id) || witness->ended;
    }
    (void)pthread_mutex_unlock(&witness->lock);
}

struct hot_mark hot_witness_mark(struct hot_witness *witness)
{
    struct hot_mark mark;
    (void)pthread_mutex_lock(&witness->lock);
    for (unsigned i = 0; i < HOT_WITNESS_SYMBOLS; i++) {
        mark.of[i] = witness->said[i].count;
    }
    (void)pthread_mutex_unlock(&witness->lock);
    return mark;
}

bool hot_witness_reached(struct hot_witness *witness, const struct hot_mark *mark)
{
    bool all = true;
    (void)pthread_mutex_lock(&witness->lock);
    for (unsigned i = 0; i < HOT_WITNESS_SYMBOLS; i++) {
        const struct hot_quotes *said = &witness->said[i], *came = &witness->came[i];
        all = all && (mark->of[i] == 0 || (came->count > 0 && came->ids[came->count - 1] >=
                                                                  said->ids[mark->of[i] - 1]));
    }
    (void)pthread_mutex_unlock(&witness->lock);
    return all;
}

uint64_t hot_witness_missing(struct hot_witness *witness, const struct hot_mark *from,
                             const struct hot_mark *to)
{
    uint64_t missing = 0;
    (void)pthread_mutex_lock(&witness->lock);
    for (unsigned i = 0; i < HOT_WITNESS_SYMBOLS; i++) {
        const struct hot_quotes *said = &witness->said[i], *came = &witness->came[i];
        size_t at = 0;
        for (size_t n = from->of[i]; n < to->of[i]; n++) {
            while (at < came->count && came->ids[at] < said->ids[n]) {
                at++;
            }
            missing += at == came->count || came->ids[at] != said->ids[n];
        }
    }
    (void)pthread_mutex_unlock(&witness->lock);
    return missing;
}

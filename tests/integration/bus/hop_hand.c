#include "hop_hand.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "hop_support.h"
#include "mlt_test.h"

#define SEEN_MAX 512u

static struct mlt_bus *hand;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t count, read;
    struct heard list[SEEN_MAX];
} ear;

static void on_heard(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    (void)pthread_mutex_lock(&ear.lock);
    if (ear.count < SEEN_MAX) {
        struct heard *heard = &ear.list[ear.count++];
        heard->len =
            message->payload.len < sizeof heard->bytes ? message->payload.len : sizeof heard->bytes;
        memcpy(heard->bytes, message->payload.data, heard->len);
        (void)snprintf(heard->subject, sizeof heard->subject, "%s", message->subject);
    }
    (void)pthread_cond_broadcast(&ear.changed);
    (void)pthread_mutex_unlock(&ear.lock);
}

struct heard hear(const char *subject)
{
    struct heard heard = { { 0 }, { 0 }, 0 };
    const int64_t at = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&ear.lock);
    for (;;) {
        while (ear.read < ear.count) {
            heard = ear.list[ear.read++];
            if (subject == NULL || strcmp(heard.subject, subject) == 0) {
                (void)pthread_mutex_unlock(&ear.lock);
                return heard;
            }
        }
        if (pthread_cond_timedwait(&ear.changed, &ear.lock, &until) != 0) {
            fail_msg("nothing on %s", subject != NULL ? subject : "any subject");
        }
    }
}

void forget(void)
{
    (void)pthread_mutex_lock(&ear.lock);
    ear.count = ear.read = 0;
    (void)pthread_mutex_unlock(&ear.lock);
}

struct mlt_bus_subscription *listen_to(const char *subject)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    assert_int_equal(mlt_bus_subscribe(hand, &options, on_heard, NULL, &sub, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(hand) > 0);
    return sub;
}

void say(const char *subject, const void *bytes, size_t len)
{
    assert_int_equal(mlt_bus_publish(hand, subject, mlt_slice_of(bytes, len)), MLT_OK);
}

void say_batch(const char *subject, struct mlt_hop hop, uint64_t number)
{
    uint8_t bytes[MLT_HOP_BYTES + MLT_ELEMENT_HEADER_BYTES_MAX + sizeof number];
    size_t len = MLT_HOP_BYTES;
    mlt_hop_encode(&hop, bytes);
    if ((hop.flags & MLT_HOP_HEAD) == 0) {
        len += mlt_batch_element_header(sizeof number, bytes + len);
        memcpy(bytes + len, &number, sizeof number);
        len += sizeof number;
    }
    say(subject, bytes, len);
}

static void put64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

uint64_t get64(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

void say_repeat(const char *subject, uint64_t boot, uint64_t from)
{
    uint8_t bytes[18] = { 0x09 };
    bytes[9] = 0x11;
    put64(bytes + 1, boot);
    put64(bytes + 10, from);
    say(subject, bytes, sizeof bytes);
}

void say_ack(const char *subject, uint8_t partition, uint64_t boot, uint64_t number)
{
    uint8_t bytes[25] = { 0x0a, 1, 'x', 0x12, 20, 0x08, partition, 0x11 };
    bytes[16] = 0x19;
    put64(bytes + 8, boot);
    put64(bytes + 17, number);
    say(subject, bytes, sizeof bytes);
}

void assert_repeat(const struct heard *heard, uint64_t boot, uint64_t from)
{
    assert_int_equal(heard->len, 18);
    assert_int_equal(heard->bytes[0], 0x09);
    assert_int_equal(get64(heard->bytes + 1), boot);
    assert_int_equal(heard->bytes[9], 0x11);
    assert_int_equal(get64(heard->bytes + 10), from);
}

struct mlt_hop hop_of(const struct heard *heard)
{
    struct mlt_hop hop;
    assert_int_equal(mlt_hop_decode(mlt_slice_of(heard->bytes, heard->len), &hop), MLT_OK);
    return hop;
}

void hand_init(const char *url)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL, .url = url };
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&ear.lock, NULL);
    (void)pthread_cond_init(&ear.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    ear.count = ear.read = 0;
    assert_int_equal(mlt_bus_connect(&options, &hand, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(hand, WAIT_NS), MLT_OK);
}

struct mlt_bus *hand_bus(void)
{
    return hand;
}

void hand_fini(void)
{
    mlt_bus_destroy(hand, MLT_NS_PER_S);
    (void)pthread_mutex_destroy(&ear.lock);
    (void)pthread_cond_destroy(&ear.changed);
}

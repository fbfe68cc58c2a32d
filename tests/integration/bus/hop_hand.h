/* One end of a hop made by hand, message by message. For test programs: it uses cmocka. */
#ifndef MELTICA_HOP_HAND_H
#define MELTICA_HOP_HAND_H

#include <stddef.h>
#include <stdint.h>

#include "meltica/bus/bus.h"
#include "meltica/event/native.h"

struct heard {
    char subject[64];
    uint8_t bytes[2048]; /* of a longer message its beginning */
    size_t len;
};

/* One hand a process, on a connection whose every publish is a write. */
void hand_init(const char *url);
void hand_fini(void);
struct mlt_bus *hand_bus(void);

struct mlt_bus_subscription *listen_to(const char *subject);
/* The next message on that subject, in order over all; others are passed over. NULL: on any. */
struct heard hear(const char *subject);
/* What was heard and not asked for. */
void forget(void);

void say(const char *subject, const void *bytes, size_t len);
/* A batch of one numbered element, or of none where it is a head. */
void say_batch(const char *subject, struct mlt_hop hop, uint64_t number);
void say_repeat(const char *subject, uint64_t boot, uint64_t from);
void say_ack(const char *subject, uint8_t partition, uint64_t boot, uint64_t number);

uint64_t get64(const uint8_t *bytes);
void assert_repeat(const struct heard *heard, uint64_t boot, uint64_t from);
struct mlt_hop hop_of(const struct heard *heard);

#endif

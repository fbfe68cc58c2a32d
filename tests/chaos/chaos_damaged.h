/*
 * Frames that the exchange damaged, and whether each was refused in the open: a Rejection with as
 * many bytes, received about then. Who was to say it may itself have been killed, and a line that
 * ends takes along what is under way: such spans of time excuse. A pure machine; one thread at a
 * time; memory is bounded.
 */
#ifndef MELTICA_CHAOS_DAMAGED_H
#define MELTICA_CHAOS_DAMAGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAOS_DAMAGED_MAX 65536u /* frames, and Rejections, that are remembered */
#define CHAOS_EXCUSES_MAX 65536u

struct chaos_damage {
    int64_t time_ns; /* wall clock */
    uint64_t bytes;
    bool taken; /* of a Rejection: it is that of a frame */
};

struct chaos_damaged {
    struct chaos_damage *frames, *rejections; /* CHAOS_DAMAGED_MAX each */
    struct chaos_excuse {
        int64_t from_ns, until_ns;
    } *excuses; /* CHAOS_EXCUSES_MAX */
    size_t frame_count, rejection_count, excuse_count;
    uint64_t forgotten;  /* of either, beyond what is remembered */
    uint64_t suppressed; /* Rejections that were counted and not sent, more than 100 in a second */
    uint64_t said, excused, unsaid; /* frames; by chaos_damaged_judge */
    int64_t first_unsaid_ns;
};

/* Fails the program (cmocka) without memory. */
void chaos_damaged_open(struct chaos_damaged *damaged);
void chaos_damaged_close(struct chaos_damaged *damaged);
/* A frame of so many bytes left the exchange; damaged. */
void chaos_damaged_frame(struct chaos_damaged *damaged, int64_t time_ns, uint64_t bytes);
/* Of a frame, or an answer, of so many bytes that was received then. */
void chaos_damaged_rejection(struct chaos_damaged *damaged, int64_t received_ns, uint64_t bytes,
                             uint64_t suppressed);
void chaos_damaged_excuse(struct chaos_damaged *damaged, int64_t from_ns, int64_t until_ns);
/* Once, when all has come. */
void chaos_damaged_judge(struct chaos_damaged *damaged);

#endif

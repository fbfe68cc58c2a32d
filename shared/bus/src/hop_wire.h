/* HopAck and RepeatRequest of internal.proto, by hand: they are on the path of every batch and must
 * not allocate. Pure, any thread. */
#ifndef MELTICA_BUS_HOP_WIRE_H
#define MELTICA_BUS_HOP_WIRE_H

#include <stdint.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"
#include "meltica/bus/hop.h"

#define HOP_SERVICE_BYTES_MAX 64u
#define HOP_REPEAT_BYTES 18u
#define HOP_POSITION_BYTES 22u /* tag, length, partition below 128, boot, number */
#define HOP_ACK_BYTES_MAX (2u + HOP_SERVICE_BYTES_MAX + MLT_HOP_PARTITIONS_MAX * HOP_POSITION_BYTES)

struct hop_position {
    uint32_t partition;
    uint64_t boot, number;
};

void hop_repeat_encode(uint64_t boot, uint64_t from, uint8_t out[HOP_REPEAT_BYTES]);
enum mlt_status hop_repeat_decode(struct mlt_slice bytes, uint64_t *boot,
                                  uint64_t *from) MLT_MUST_CHECK;

/* service at most HOP_SERVICE_BYTES_MAX bytes, count at most MLT_HOP_PARTITIONS_MAX. */
size_t hop_ack_encode(const char *service, const struct hop_position *positions, size_t count,
                      uint8_t out[HOP_ACK_BYTES_MAX]);
/* One position after the other: *rest starts as the whole message. E_EMPTY at the end, E_PARSE. */
enum mlt_status hop_ack_next(struct mlt_slice *rest, struct hop_position *position) MLT_MUST_CHECK;

/* "<prefix>.<pp>" */
#define HOP_SUBJECT_BYTES (MLT_BUS_SUBJECT_BYTES_MAX + 1)
/* Partition that the last token of a subject names, its two digits; E_NOT_FOUND when it is a word.
 */
enum mlt_status hop_subject_partition(const char *subject, uint32_t *partition,
                                      const char **word) MLT_MUST_CHECK;

#endif

/* Hashes that are part of a contract or of a table; none is for secrets. Any thread (pure). */
#ifndef MELTICA_BASE_HASH_H
#define MELTICA_BASE_HASH_H

#include <stdint.h>

#include "meltica/base/slice.h"

/* FNV-1a, 32 and 64 bit (http://www.isthe.com/chongo/tech/comp/fnv/). The 32-bit one decides the
 * slot of an instrument, the 64-bit one is the event key. */
uint32_t mlt_fnv1a32(struct mlt_slice bytes);
#define MLT_FNV1A64_INIT UINT64_C(0xcbf29ce484222325)
/* Continues a 64-bit hash: start with MLT_FNV1A64_INIT. */
uint64_t mlt_fnv1a64(uint64_t state, struct mlt_slice bytes);

/* CRC-32C (Castagnoli), RFC 3720 B.4 seed and final XOR; continue by passing the previous result,
 * start with 0. Uses the SSE4.2 / ARMv8 instruction where the CPU has it. */
uint32_t mlt_crc32c(uint32_t crc, struct mlt_slice bytes);
/* The table-driven form, for tests and CPUs without the instruction. */
uint32_t mlt_crc32c_portable(uint32_t crc, struct mlt_slice bytes);

/* splitmix64: a full-period mixer; x -> well-spread 64 bits. For ids, jitter and seeded tests. */
uint64_t mlt_mix64(uint64_t x);
/* The next of a seeded sequence, splitmix64's: *state is the seed first, and moves on. */
uint64_t mlt_mix64_next(uint64_t *state);

/* 64 random bits from the kernel (getrandom). For boot ids and seeds. Never 0. */
uint64_t mlt_random64(void);

#endif

/* NKeys
 * (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth):
 * base32 of prefix, Ed25519 key and CRC-16. nats.c signs with a seed but asks for the public key
 * too. */
#ifndef MELTICA_BUS_NKEY_H
#define MELTICA_BUS_NKEY_H

#include "meltica/base/status.h"

#define MLT_NKEY_TEXT_BYTES 57 /* 56 characters and a NUL */

/* Public key of a user's seed ("SU..."). E_PARSE when it is none, E_INTERNAL. Pure, any thread. */
enum mlt_status mlt_nkey_public(const char *seed, char out[MLT_NKEY_TEXT_BYTES]) MLT_MUST_CHECK;

#endif

/* Secrets of NATS users as a server's configuration has them. One thread. */
#ifndef MELTICA_TOOL_NATS_SECRET_H
#define MELTICA_TOOL_NATS_SECRET_H

#include "meltica/base/buf.h"
#include "meltica/base/error.h"

#define MLT_BCRYPT_TEXT_BYTES 61u   /* 60 characters and a NUL */
#define MLT_BCRYPT_PASSWORD_MAX 72u /* bytes; bcrypt does not look at more */
#define MLT_BCRYPT_COST_MIN 4
#define MLT_BCRYPT_COST_MAX 17

/* The first line of a file: a password, which is hashed with bcrypt at that cost and a fresh salt,
 * or a bcrypt hash, which is taken as it is. E_CONFIG (unreadable, empty, too long, no bcrypt). */
enum mlt_status mlt_nats_secret(const char *path, int cost, char out[MLT_BCRYPT_TEXT_BYTES],
                                struct mlt_error *err) MLT_MUST_CHECK;
/* Whether it is the public key of a user: U and 55 more of A-Z 2-7, with its checksum. */
bool mlt_nats_user_key_valid(const char *key);

#endif

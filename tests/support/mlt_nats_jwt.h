/*
 * Keys and JWTs of NATS, as its tool nsc makes them: an operator, an account of it, a user of that.
 * For tests; each failure fails the test. One thread.
 */
#ifndef MELTICA_TEST_NATS_JWT_H
#define MELTICA_TEST_NATS_JWT_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#define MLT_JWT_BYTES_MAX 2048u

struct mlt_nats_key {
    char public_text[57]; /* "O...", "A..." or "U..." */
    char seed[59];        /* "SO...", ... */
    EVP_PKEY *key;
};

/* A new pair; kind is 'O', 'A' or 'U'. The caller calls fini. */
void mlt_nats_key_make(struct mlt_nats_key *key, char kind);
void mlt_nats_key_fini(struct mlt_nats_key *key);

/* Signs its own, an account's, or a user's claims; end_s: UNIX time at which it ends, 0: never. */
void mlt_nats_operator_jwt(const struct mlt_nats_key *op, char out[MLT_JWT_BYTES_MAX]);
void mlt_nats_account_jwt(const struct mlt_nats_key *op, const struct mlt_nats_key *account,
                          char out[MLT_JWT_BYTES_MAX]);
void mlt_nats_user_jwt(const struct mlt_nats_key *account, const struct mlt_nats_key *user,
                       int64_t end_s, char out[MLT_JWT_BYTES_MAX]);

/* A credentials file of a user. */
void mlt_nats_write_creds(const char *path, const char *jwt, const struct mlt_nats_key *user);

#endif

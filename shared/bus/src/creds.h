/* Credentials of a NATS user: files with a secret in them, and who a connection is by its options.
 */
#ifndef MELTICA_BUS_CREDS_H
#define MELTICA_BUS_CREDS_H

#include <nats/nats.h>
#include <stddef.h>
#include <stdint.h>

#include "meltica/base/error.h"
#include "meltica/bus/bus.h"

/* Reads a whole small file without the white space at its end into out, NUL-terminated. E_CONFIG,
 * with the name of the file and never a byte of it: no such file, empty, no room. The caller wipes
 * out. */
enum mlt_status mlt_bus_read_secret(const char *path, char *out, size_t size,
                                    struct mlt_error *err) MLT_MUST_CHECK;

struct mlt_bus_creds {
    const char *jwt, *seed; /* views */
    int64_t end_s;          /* UNIX time in seconds at which the JWT ends, 0: never */
};
/* The text of a credentials file, NUL-terminated; cut into what *out views. E_CONFIG: it is none;
 * *err names path, and nothing of the text. Pure, any thread. */
enum mlt_status mlt_bus_creds_parse(const char *path, char *text, struct mlt_bus_creds *out,
                                    struct mlt_error *err) MLT_MUST_CHECK;

/* Whether a credentials file has the JWT and the NKey seed of a user. nats.c takes a file without
 * those marks for a JWT as a whole and sends it to the server, whatever secret it is. E_CONFIG with
 * words, E_NOMEM. *end_s (may be NULL): as in struct mlt_bus_creds. */
enum mlt_status mlt_bus_creds_check(const char *path, int64_t *end_s,
                                    struct mlt_error *err) MLT_MUST_CHECK;

/* What nats.c asks for at each connection; closure is the path. The file may be another one by
 * then, and nats.c's own reader has the weakness above at each time. nats.c frees *jwt and
 * *signature. */
natsStatus mlt_bus_creds_jwt(char **jwt, char **error, void *closure);
natsStatus mlt_bus_creds_sign(char **error, unsigned char **signature, int *len, const char *nonce,
                              void *closure);

#define MLT_BUS_SELF_BYTES_MAX 256u
/* Who a connection with these options is, in words that name files and no secret: "the NKey of
 * /run/nats.nk". */
void mlt_bus_self(const struct mlt_bus_options *options, char out[MLT_BUS_SELF_BYTES_MAX]);

#endif

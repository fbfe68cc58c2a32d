/* What the JetStream parts of shared/bus know of each other. */
#ifndef MELTICA_BUS_STORE_INTERNAL_H
#define MELTICA_BUS_STORE_INTERNAL_H

#include <stdatomic.h>

#include "internal.h"
#include "meltica/bus/stored.h"

#define MLT_STORE_NAME_BYTES_MAX 128u
#define MLT_STREAM_SUBJECTS_MAX 4
#define MLT_STREAM_COMMAND_BYTES_MAX 512

struct mlt_store {
    struct mlt_bus *bus;
    uint32_t provision_replicas; /* 0: nothing is made */
    atomic_uint told_replicas;   /* bits by enum mlt_stored: the log knows of them */
    jsCtx *js;
};

/* Outcome of one JetStream request: status of nats.c, error code of the server (0: none). `about`
 * is the stream or bucket concerned; it is also how a permission violation, which nats.c reports
 * beside the request, is recognised. Sets err and returns its status. */
enum mlt_status mlt_store_status(struct mlt_bus *bus, natsStatus status, int code,
                                 struct mlt_error *err, const char *what, const char *about);

/* Letters, digits, '-' and '_' only: bucket, service and endpoint names. */
bool mlt_store_name_valid(const char *name);
/* A key of a bucket: no byte above 0x7f, no wildcard, no reserved name. */
bool mlt_store_key_valid(const char *key);

struct mlt_bucket_config {
    char name[MLT_STORE_NAME_BYTES_MAX + 8], subject[MLT_STORE_NAME_BYTES_MAX + 8];
    const char *subjects[1];
    jsStreamConfig stream;
};
/* As the server wants it; config points into spec and subjects, or into out itself. */
void mlt_stream_config(const struct mlt_stream_spec *spec,
                       const char *subjects[MLT_STREAM_SUBJECTS_MAX], jsStreamConfig *config);
void mlt_bucket_config(const char *name, bool memory, int64_t max_age_ns, uint64_t first_sequence,
                       struct mlt_bucket_config *out);
/* What exists is used as it is, but it must be of use: E_CONFIG. */
enum mlt_status mlt_stream_check(const jsStreamConfig *wanted, const jsStreamConfig *found,
                                 struct mlt_error *err);
/* The command of the nats CLI that makes it. */
void mlt_stream_add_command(const jsStreamConfig *config, char *out, size_t size);
enum mlt_status mlt_stream_refuse_missing(const jsStreamConfig *config, struct mlt_error *err);
/* A request that changes nothing: as mlt_store_status, but no answer in time is E_UNAVAILABLE. */
enum mlt_status mlt_store_read_status(struct mlt_bus *bus, natsStatus status, int code,
                                      struct mlt_error *err, const char *what, const char *about);
enum mlt_status mlt_store_check_connected(struct mlt_store *store, struct mlt_error *err,
                                          const char *what, const char *about);

/* ms left of a deadline for an option of nats.c, where 0 would mean its default: at least 1. */
int64_t mlt_store_left_ms(int64_t deadline_mono_ns);

#endif

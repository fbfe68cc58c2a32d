/*
 * The Control Bus without a network: what a request may be, and what the answers say, as JSON
 * (docs/control.md). Pure; any thread.
 */
#ifndef MELTICA_CONTROL_BUS_ANSWER_H
#define MELTICA_CONTROL_BUS_ANSWER_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"
#include "meltica/v1/internal.pb-c.h"

#define MLT_CONTROL_REQUEST_BYTES_MAX 65536u
#define MLT_CONTROL_MESSAGE_BYTES_MAX 400u
#define MLT_CONTROL_FIELD_BYTES_MAX 63u

/* A refusal: code as in HTTP, a sentence that says what to do, and the field at fault ("" where it
 * is none). */
struct mlt_control_refusal {
    int code;
    char message[MLT_CONTROL_MESSAGE_BYTES_MAX + 1];
    char field[MLT_CONTROL_FIELD_BYTES_MAX + 1];
};

/* Fills *refusal and returns E_PROTOCOL, so that a caller can return it. */
enum mlt_status mlt_control_refuse(struct mlt_control_refusal *refusal, int code, const char *field,
                                   const char *format, ...) MLT_PRINTF(4, 5);

/* Body of a refusal: {"status":"REJECTED","code":400,"message":"...","field":"..."}. */
enum mlt_status mlt_control_refusal_json(const struct mlt_control_refusal *refusal,
                                         struct mlt_buf *out) MLT_MUST_CHECK;

/* A whole text as JSON, the caller's to cJSON_Delete; NULL when it is none, or has something after
 * it. */
struct cJSON *mlt_control_parse(struct mlt_slice text);

/* A request without parameters: nothing, or {} . E_PROTOCOL with *refusal filled. */
enum mlt_status mlt_control_check_empty(struct mlt_slice request, const char *verb,
                                        struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

struct mlt_control_adapter {
    const Meltica__V1__PlanStatus *status;
    int64_t heard_ms; /* ago */
};

struct mlt_control_service {
    const char *name; /* "meltica-adapter" */
    bool up;          /* one instance of it answered just now */
    char id[64];      /* of that instance */
    char version[32];
};

struct mlt_control_view {
    const char *version, *instance;
    const Meltica__V1__Table *table; /* NULL: the Dispatcher does not answer */
    int64_t dispatcher_heard_ms;     /* since it last announced the table; -1: never */
    uint64_t last_revision;          /* that it announced then */
    const struct mlt_control_adapter *adapters;
    size_t adapter_count;
    const struct mlt_control_service *services;
    size_t service_count;
};

/* Answer to status. It is an answer also while others are away: saying so is what it is for. */
enum mlt_status mlt_control_status_json(const struct mlt_control_view *view,
                                        struct mlt_buf *out) MLT_MUST_CHECK;
/* Answer to describe. */
enum mlt_status mlt_control_describe_json(const Meltica__V1__Table *table,
                                          struct mlt_buf *out) MLT_MUST_CHECK;

#endif

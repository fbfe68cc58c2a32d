/* What servers and services answer. Pure, any thread. */
#ifndef MELTICA_BUS_ANSWER_H
#define MELTICA_BUS_ANSWER_H

#include "meltica/base/slice.h"

enum mlt_js_answer_kind {
    MLT_JS_MALFORMED, /* none of the others */
    MLT_JS_SILENT,    /* nothing: the server's "no responders", whose status is in a header */
    MLT_JS_REFUSED,
    MLT_JS_MESSAGE, /* one that is stored */
    MLT_JS_STORED,  /* an acknowledgement */
};

struct mlt_js_answer {
    enum mlt_js_answer_kind kind;
    int code; /* REFUSED: err_code (server/errors.json), where there is none code; else 0 */
    uint64_t sequence; /* STORED: of the message, above 0; else 0 */
};

/* The answer of JetStream's API or its acknowledgement of a publish, as it came:
 *  {"error":{"code":400,"err_code":10071,...},...}, {"message":{...},...} or
 * {"stream":"S","seq":7}. One whole object; other members, in any order, are passed over and not
 * looked into, but for their end. A number that is none, or does not fit, a member that is there
 * twice, and more than 64 levels make it MALFORMED. */
struct mlt_js_answer mlt_js_answer_read(struct mlt_slice json);

/* The code that a service's Nats-Service-Error-Code has: a whole number from 1 to INT_MAX; 500 for
 * whatever else it is. */
int mlt_service_error_code(const char *text);

#endif

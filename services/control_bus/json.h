/* A JSON writer that remembers its first failure, so that callers check once. One thread. */
#ifndef MELTICA_CONTROL_BUS_JSON_H
#define MELTICA_CONTROL_BUS_JSON_H

#include "meltica/base/buf.h"

struct json {
    struct mlt_buf *out;
    enum mlt_status status;
    bool comma; /* before the next member or item */
};

/* name is NULL inside of arrays. */
void json_open(struct json *json, const char *name, char bracket);
void json_close(struct json *json, char bracket);
void json_text(struct json *json, const char *name, const char *text); /* NULL is "" */
void json_number(struct json *json, const char *name, int64_t number);
/* A 64-bit number as a string: above 2^53 a reader's double would change it. */
void json_big(struct json *json, const char *name, uint64_t number);
void json_flag(struct json *json, const char *name, bool flag);

#endif

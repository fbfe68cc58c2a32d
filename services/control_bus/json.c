#include "json.h"

#include <inttypes.h>

static void keep(struct json *json, enum mlt_status status)
{
    json->status = json->status == MLT_OK ? status : json->status;
}

static void begin(struct json *json, const char *name)
{
    if (json->comma) {
        keep(json, mlt_buf_append_byte(json->out, ','));
    }
    json->comma = true;
    if (name != NULL) {
        keep(json, mlt_buf_append_json_string(json->out, mlt_slice_of_string(name)));
        keep(json, mlt_buf_append_byte(json->out, ':'));
    }
}

void json_open(struct json *json, const char *name, char bracket)
{
    begin(json, name);
    keep(json, mlt_buf_append_byte(json->out, (uint8_t)bracket));
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    keep(json, mlt_buf_append_byte(json->out, (uint8_t)bracket));
    json->comma = true;
}

void json_text(struct json *json, const char *name, const char *text)
{
    begin(json, name);
    keep(json,
         mlt_buf_append_json_string(json->out, mlt_slice_of_string(text != NULL ? text : "")));
}

void json_number(struct json *json, const char *name, int64_t number)
{
    begin(json, name);
    keep(json, mlt_buf_printf(json->out, "%" PRId64, number));
}

void json_big(struct json *json, const char *name, uint64_t number)
{
    begin(json, name);
    keep(json, mlt_buf_printf(json->out, "\"%" PRIu64 "\"", number));
}

void json_flag(struct json *json, const char *name, bool flag)
{
    begin(json, name);
    keep(json, mlt_buf_append_string(json->out, flag ? "true" : "false"));
}

/*
 * A strict look at JSON text in place: nothing is built, values are views into the text. Enough for
 * control messages, query parameters and the parts of a recording that the simulator has to know.
 * Any thread (pure).
 */
#ifndef SIM_JSON_H
#define SIM_JSON_H

#include "meltica/base/buf.h"

#define SIM_JSON_DEPTH_MAX 64u

/* Takes one value at *offset (white space around it is passed over); *offset is then behind it. On
 * failure false and *offset is where the text stops being JSON. */
bool sim_json_take(struct mlt_slice text, size_t *offset, struct mlt_slice *value);

/* Whether the text is exactly one value; *offset as in take. */
bool sim_json_valid(struct mlt_slice text, size_t *offset);

/* Value of the first member called key of an object that is known to be valid; false when absent or
 * when it is not an object. */
bool sim_json_member(struct mlt_slice object, const char *key, struct mlt_slice *value);

/* Walks an array that is known to be valid: *position starts at 0. False at the end. */
bool sim_json_next(struct mlt_slice array, size_t *position, struct mlt_slice *element);

/* Content of a string without escapes, as a view; false for anything else. */
bool sim_json_plain(struct mlt_slice value, struct mlt_slice *content);

/* Appends the content of any string value, unescaped. E_TYPE when it is no string, E_PARSE for a
 * lone surrogate, E_TOO_BIG, E_NOMEM. */
enum mlt_status sim_json_unescape(struct mlt_slice value, struct mlt_buf *out) MLT_MUST_CHECK;

/* Integer value; false when it is none or does not fit. */
bool sim_json_integer(struct mlt_slice value, int64_t *out);

#endif

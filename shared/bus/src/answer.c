#include "answer.h"

#include <limits.h>
#include <string.h>

#define ANY_SERVICE_ERROR 500

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_one_of(uint8_t c, const char *bytes)
{
    return c != '\0' && strchr(bytes, c) != NULL;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && is_one_of(*r->at, " \t\r\n")) {
        r->at++;
    }
}

/* Whether c comes next, and then takes it. */
static bool take(struct reader *r, uint8_t c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

static void expect(struct reader *r, uint8_t c)
{
    if (!take(r, c)) {
        r->bad = true;
    }
}

/* As it is written, with its escapes: no name that matters here has any. */
static struct mlt_slice take_string(struct reader *r)
{
    expect(r, '"');
    const uint8_t *begin = r->at;
    while (r->at < r->end && *r->at != '"') {
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    }
    const struct mlt_slice text = mlt_slice_of(begin, (size_t)(r->at - begin));
    expect(r, '"');
    return text;
}

#define DEPTH_MAX 64u

/* A value that nobody asks for needs no more sense than that what opens is closed. */
static void skip_value(struct reader *r)
{
    unsigned depth = 0;
    uint64_t objects = 0; /* of what is open, the innermost lowest: an object, else a list */
    do {
        skip_space(r);
        if (r->at == r->end) {
            r->bad = true;
        } else if (*r->at == '"') {
            (void)take_string(r);
        } else if (*r->at == '{' || *r->at == '[') {
            r->bad = r->bad || ++depth > DEPTH_MAX;
            objects = objects << 1 | (*r->at == '{');
            r->at++;
        } else if (depth > 0 && *r->at == ((objects & 1) != 0 ? '}' : ']')) {
            depth--;
            objects >>= 1;
            r->at++;
        } else if (depth > 0 && (*r->at == ',' || *r->at == ':')) {
            r->at++;
        } else {
            const uint8_t *begin = r->at;
            while (r->at < r->end && !is_one_of(*r->at, ",:{}[]\" \t\r\n")) {
                r->at++;
            }
            r->bad = r->bad || r->at == begin;
        }
    } while (depth > 0 && !r->bad);
}

static uint64_t take_number(struct reader *r, uint64_t max)
{
    uint64_t number = 0;
    skip_space(r);
    const uint8_t *begin = r->at;
    for (; r->at < r->end && is_digit(*r->at); r->at++) {
        const uint64_t digit = (uint64_t)(*r->at - '0');
        if (number > (max - digit) / 10) {
            r->bad = true;
            return 0;
        }
        number = number * 10 + digit;
    }
    /* -1, 1.5, 1e3 and 007 are none. */
    r->bad = r->bad || r->at == begin || (*begin == '0' && r->at - begin > 1) ||
             (r->at < r->end && !is_one_of(*r->at, ",} \t\r\n"));
    return number;
}

/* The next member of the object that was entered; its value comes next. False: there is none, or
 * it is no object. */
static bool take_member(struct reader *r, bool *first, struct mlt_slice *name)
{
    if (r->bad || take(r, '}')) {
        return false;
    }
    if (!*first) {
        expect(r, ',');
    }
    *first = false;
    *name = take_string(r);
    expect(r, ':');
    return !r->bad;
}

/* False where the name is another one; bad where it was there before. */
static bool is(struct reader *r, struct mlt_slice name, const char *wanted, bool *seen)
{
    if (!mlt_slice_equal_string(name, wanted)) {
        return false;
    }
    r->bad = r->bad || *seen;
    *seen = true;
    return true;
}

static int take_error(struct reader *r)
{
    uint64_t code = 0, err_code = 0;
    bool first = true, has_code = false, has_err_code = false;
    struct mlt_slice name;
    expect(r, '{');
    while (take_member(r, &first, &name)) {
        if (is(r, name, "code", &has_code)) {
            code = take_number(r, INT_MAX);
        } else if (is(r, name, "err_code", &has_err_code)) {
            err_code = take_number(r, INT_MAX);
        } else {
            skip_value(r);
        }
    }
    return (int)(err_code > 0 ? err_code : code);
}

struct mlt_js_answer mlt_js_answer_read(struct mlt_slice json)
{
    if (json.len == 0) {
        return (struct mlt_js_answer){ .kind = MLT_JS_SILENT };
    }
    struct reader r = { .at = json.data, .end = json.data + json.len };
    bool first = true, has_error = false, has_message = false, has_sequence = false;
    struct mlt_slice name;
    uint64_t sequence = 0;
    int code = 0;
    expect(&r, '{');
    while (take_member(&r, &first, &name)) {
        if (is(&r, name, "error", &has_error)) {
            code = take_error(&r);
        } else if (is(&r, name, "seq", &has_sequence)) {
            sequence = take_number(&r, UINT64_MAX);
        } else {
            if (is(&r, name, "message", &has_message)) {
                skip_space(&r);
                r.bad = r.bad || r.at == r.end || *r.at != '{';
            }
            skip_value(&r);
        }
    }
    skip_space(&r);
    if (r.bad || r.at != r.end || (has_error && code == 0)) {
        return (struct mlt_js_answer){ .kind = MLT_JS_MALFORMED };
    }
    if (has_error) {
        return (struct mlt_js_answer){ .kind = MLT_JS_REFUSED, .code = code };
    }
    if (has_message) {
        return (struct mlt_js_answer){ .kind = MLT_JS_MESSAGE };
    }
    return sequence > 0 ? (struct mlt_js_answer){ .kind = MLT_JS_STORED, .sequence = sequence }
                        : (struct mlt_js_answer){ .kind = MLT_JS_MALFORMED };
}

int mlt_service_error_code(const char *text)
{
    int64_t code = 0;
    const char *c = text;
    for (; is_digit((uint8_t)*c) && code <= INT_MAX; c++) {
        code = code * 10 + (*c - '0');
    }
    return *c == '\0' && code > 0 && code <= INT_MAX ? (int)code : ANY_SERVICE_ERROR;
}

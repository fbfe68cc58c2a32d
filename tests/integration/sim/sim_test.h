/* What the tests of the simulator share. */
#ifndef MELTICA_SIM_TEST_H
#define MELTICA_SIM_TEST_H

#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "sim_process.h"
#include "ws_raw.h"

#define WAIT_MS 20000

static inline const char *capture(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    const char *folder = getenv("MELTICA_CAPTURES");
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder != NULL ? folder : "../shared/captures",
                   name);
    return path;
}

/* For main: true when the recordings are there; says so when not. */
static inline bool captures_present(void)
{
    FILE *file = fopen(capture("btcusdt_20240808.gz"), "rb");
    if (file == NULL) {
        (void)printf("skipped: no recordings in MELTICA_CAPTURES\n");
        return false;
    }
    (void)fclose(file);
    return true;
}

static inline cJSON *get_json(int port, const char *target, int expected_status)
{
    struct raw_response response;
    raw_http_get(port, NULL, target, NULL, &response);
    assert_int_equal(response.status, expected_status);
    cJSON *json = cJSON_Parse(response.body);
    assert_non_null(json);
    raw_response_fini(&response);
    return json;
}

static inline const cJSON *member(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    assert_non_null(value);
    return value;
}

static inline const char *text_of(const cJSON *json, const char *key)
{
    const char *text = cJSON_GetStringValue(member(json, key));
    assert_non_null(text);
    return text;
}

static inline int64_t number_of(const cJSON *json, const char *key)
{
    const cJSON *value = member(json, key);
    assert_true(cJSON_IsNumber(value));
    return (int64_t)value->valuedouble; /* below 2^53 */
}

static inline void open_line(struct raw_ws *ws, const struct sim_process *sim, const char *target)
{
    assert_int_equal(raw_ws_open(ws, sim->port, NULL, target), 101);
}

/* Next frame with that opcode; others fail the test. */
static inline struct raw_frame expect_frame(struct raw_ws *ws, unsigned opcode)
{
    struct raw_frame frame;
    assert_int_equal(raw_ws_receive(ws, WAIT_MS, &frame), RAW_FRAME);
    assert_int_equal(frame.opcode, opcode);
    return frame;
}

static inline void expect_text(struct raw_ws *ws, const char *text)
{
    const struct raw_frame frame = expect_frame(ws, RAW_TEXT);
    char got[2048];
    (void)snprintf(got, sizeof got, "%.*s", (int)frame.len, (const char *)frame.data);
    assert_string_equal(got, text);
}

static inline void expect_close(struct raw_ws *ws, unsigned code)
{
    const struct raw_frame frame = expect_frame(ws, RAW_CLOSE);
    assert_true(frame.len >= 2);
    assert_int_equal((unsigned)frame.data[0] << 8 | frame.data[1], code);
}

static inline void start(struct sim_process *sim, const char *const *arguments)
{
    assert_true(sim_process_start(sim, arguments));
}

static inline void stop(struct sim_process *sim)
{
    assert_int_equal(sim_process_stop(sim), 0);
}

#endif

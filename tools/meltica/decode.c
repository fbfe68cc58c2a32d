/* meltica decode: made for `nats sub 'meltica.data.*' --translate 'meltica decode'`. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "connection.h"
#include "meltica/base/buf.h"
#include "meltica/event/event.h"

#define INPUT_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX (64u << 20)
#define JSON_BYTES_MAX (16u << 20)

static enum mlt_status read_all(FILE *from, struct mlt_buf *out)
{
    for (;;) {
        const enum mlt_status status = mlt_buf_reserve(out, 65536);
        if (status != MLT_OK) {
            return status;
        }
        const size_t n = fread(out->data + out->len, 1, 65536, from);
        out->len += n;
        if (n == 0) {
            return ferror(from) ? MLT_E_IO : MLT_OK;
        }
    }
}

static enum mlt_status print_event(struct mlt_slice bytes, struct mlt_arena *arena,
                                   struct mlt_buf *json)
{
    struct mlt_event event;
    mlt_arena_reset(arena);
    mlt_buf_clear(json);
    enum mlt_status status = mlt_event_decode(bytes, arena, &event);
    if (status == MLT_OK) {
        status = mlt_event_to_json(&event, json);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(json, '\n');
    }
    if (status == MLT_OK && fwrite(json->data, 1, json->len, stdout) != json->len) {
        status = MLT_E_IO;
    }
    return status;
}

static enum mlt_status print_batch(struct mlt_slice rest, struct mlt_arena *arena,
                                   struct mlt_buf *json)
{
    struct mlt_slice element;
    enum mlt_status status;
    while ((status = mlt_batch_next(&rest, &element)) == MLT_OK) {
        status = print_event(element, arena, json);
        if (status != MLT_OK) {
            return status;
        }
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

int mlt_command_decode(int argc, char **argv)
{
    const int batch = argc == 2 && strcmp(argv[1], "--batch") == 0;
    const bool help = mlt_tool_help(argc, argv);
    if (help || (argc > 1 && !batch)) {
        (void)fprintf(help ? stdout : stderr, "usage: meltica decode [--batch] < message\n");
        return help ? 0 : 2;
    }
    struct mlt_buf input, json;
    struct mlt_arena arena;
    mlt_buf_init(&input, INPUT_BYTES_MAX);
    mlt_buf_init(&json, JSON_BYTES_MAX);
    mlt_arena_init(&arena, 64u << 10, ARENA_BYTES_MAX);
    enum mlt_status status = read_all(stdin, &input);
    if (status == MLT_OK) {
        status = batch ? print_batch(mlt_buf_view(&input), &arena, &json)
                       : print_event(mlt_buf_view(&input), &arena, &json);
    }
    if (fflush(stdout) != 0 && status == MLT_OK) {
        status = MLT_E_IO;
    }
    if (status != MLT_OK) {
        struct mlt_slice rest = mlt_buf_view(&input), element;
        const bool is_batch = !batch && mlt_batch_next(&rest, &element) == MLT_OK &&
                              mlt_event_decode(element, &arena, &(struct mlt_event){ 0 }) == MLT_OK;
        if (status == MLT_E_IO) {
            (void)fprintf(stderr, "meltica decode: it cannot be read, or not be printed\n");
        } else {
            (void)fprintf(stderr, "meltica decode: not a meltica.v1.%s: %s%s\n",
                          batch ? "EventBatch" : "Event", mlt_status_text(status),
                          is_batch ? "; it is an EventBatch: add --batch" : "");
        }
    }
    mlt_arena_fini(&arena);
    mlt_buf_fini(&json);
    mlt_buf_fini(&input);
    return status == MLT_OK ? 0 : 1;
}

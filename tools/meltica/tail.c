/* meltica tail: the live lane as a table that is redrawn, or as JSON lines. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "board.h"
#include "commands.h"
#include "connection.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "meltica/trace/trace.h"
#include "plain.h"

#define LIVE_PREFIX "meltica.data"
#define REDRAW_NS (250 * MLT_NS_PER_MS)
#define REDRAW_PLAIN_NS (1000 * MLT_NS_PER_MS)
#define FLUSH_NS (20 * MLT_NS_PER_MS)
#define ARENA_BYTES_MAX (16u << 20)
#define PICTURE_BYTES_MAX (8u << 20)
#define HEAD_BYTES_MAX 8192u
#define SILENCE_NS MLT_NS_PER_S /* then it is looked up whether there is such an instrument */
#define VALUE_BYTES_MAX (64u << 10)

struct tail {
    pthread_mutex_t lock; /* what the subscription's thread writes and the main thread draws */
    struct mlt_board *board;
    struct mlt_arena arena;
    struct mlt_buf json;
    bool as_json, broken; /* broken: stdout is gone */
    uint64_t foreign;     /* messages that are no events */
    uint64_t events, events_max;
    struct mlt_trace *trace; /* NULL: off */
    const char *unheard;     /* instrument that is looked up if nothing comes; NULL: none */
    const char *head_path;   /* NULL: none */
    char head[HEAD_BYTES_MAX];
};

/* Who writes the head replaces the file by another. Where there is none the last one stands. */
static bool read_head(struct tail *t)
{
    char text[sizeof t->head];
    FILE *file = fopen(t->head_path, "re");
    if (file == NULL) {
        return false;
    }
    const size_t len = fread(text, 1, sizeof text - 2, file);
    const bool good = ferror(file) == 0;
    (void)fclose(file);
    if (!good) {
        return false;
    }
    text[len] = '\0';
    char *to = t->head;
    *to = '\0';
    for (char *at = text; *at != '\0';) { /* a line at a time: its end is a control character too */
        const size_t of_line = strcspn(at, "\n");
        const bool last = at[of_line] == '\0';
        at[of_line] = '\0';
        mlt_tool_plain(at);
        to += snprintf(to, (size_t)(t->head + sizeof t->head - to), "%s\n", at);
        at += of_line + (last ? 0 : 1);
    }
    return true;
}

static void print_json(struct tail *t, const struct mlt_event *event)
{
    mlt_buf_clear(&t->json);
    if (mlt_event_to_json(event, &t->json) != MLT_OK ||
        mlt_buf_append_byte(&t->json, '\n') != MLT_OK) {
        t->foreign++;
        return;
    }
    if (fwrite(t->json.data, 1, t->json.len, stdout) != t->json.len) {
        t->broken = true;
    }
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct tail *t = ctx;
    const int64_t now = mlt_clock_wall_ns();
    (void)pthread_mutex_lock(&t->lock);
    struct mlt_event event;
    mlt_arena_reset(&t->arena);
    if (mlt_event_decode(message->payload, &t->arena, &event) != MLT_OK) {
        t->foreign++;
    } else if (t->events_max == 0 || t->events < t->events_max) {
        t->events++;
        if (t->as_json) {
            print_json(t, &event);
        } else if (mlt_board_event(t->board, &event, now) != MLT_OK) {
            t->foreign++;
        }
        mlt_trace_consumed(t->trace, &event, message->traceparent, now, mlt_clock_wall_ns());
    }
    (void)pthread_mutex_unlock(&t->lock);
}

static bool draw(struct tail *t, struct mlt_bus *bus, const char *title, int64_t elapsed_ns,
                 bool terminal, struct mlt_buf *picture)
{
    struct winsize size = { .ws_row = 0, .ws_col = 0 };
    if (terminal) {
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    }
    const struct mlt_board_view view = { .columns = size.ws_col,
                                         .rows = size.ws_row,
                                         .colours = terminal,
                                         .elapsed_ns = elapsed_ns,
                                         .title = title,
                                         .head = t->head,
                                         .connected = mlt_bus_connected(bus) };
    mlt_buf_clear(picture);
    (void)pthread_mutex_lock(&t->lock);
    const enum mlt_status status = mlt_board_draw(t->board, &view, picture);
    (void)pthread_mutex_unlock(&t->lock);
    return status == MLT_OK && fwrite(picture->data, 1, picture->len, stdout) == picture->len &&
           fflush(stdout) == 0;
}

static void say_summary(struct tail *t, struct mlt_buf *text)
{
    mlt_buf_clear(text);
    (void)pthread_mutex_lock(&t->lock);
    const enum mlt_status status = mlt_board_summary(t->board, text);
    (void)pthread_mutex_unlock(&t->lock);
    if (status == MLT_OK) {
        (void)fwrite(text->data, 1, text->len, stdout);
    }
    (void)fflush(stdout);
}

/* Waiting for what nobody lists looks like waiting for a quiet one. Where the catalogue cannot be
 * read nothing is said: that is no reason to doubt the name. */
static void say_if_unknown(struct tail *t, struct mlt_bus *bus)
{
    struct mlt_store *store = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf value;
    uint64_t revision = 0;
    mlt_buf_init(&value, VALUE_BYTES_MAX);
    enum mlt_status status = mlt_store_create(bus, 0, &store, &err);
    if (status == MLT_OK) {
        status = mlt_kv_get(store, MLT_INSTRUMENTS_BUCKET, t->unheard, &value, &revision, &err);
    }
    if (status == MLT_E_NOT_FOUND) {
        (void)fprintf(stderr,
                      "meltica tail: nothing is known of %s: the exchange does not list it under "
                      "this name, or no Dispatcher has the listing yet (bucket %s); meltica top "
                      "--once shows what flows. Waiting for it all the same\n",
                      t->unheard, MLT_INSTRUMENTS_BUCKET);
    }
    mlt_store_destroy(store);
    mlt_buf_fini(&value);
}

/* Whether it is time to look that up; once. */
static bool is_unheard(struct tail *t, int64_t elapsed_ns)
{
    (void)pthread_mutex_lock(&t->lock);
    const bool silent = t->events == 0;
    (void)pthread_mutex_unlock(&t->lock);
    return t->unheard != NULL && silent && elapsed_ns >= SILENCE_NS;
}

/* Redraws (or flushes the JSON lines) until a signal, the time, the count, or a closed stdout. */
static void show(struct tail *t, struct mlt_bus *bus, const char *title, int signals,
                 int64_t seconds)
{
    struct mlt_buf picture;
    mlt_buf_init(&picture, PICTURE_BYTES_MAX);
    const bool terminal = !t->as_json && isatty(STDOUT_FILENO) != 0;
    const int64_t start = mlt_clock_mono_ns();
    const int64_t every = t->as_json ? FLUSH_NS : terminal ? REDRAW_NS : REDRAW_PLAIN_NS;
    if (terminal) {
        (void)fputs("\x1b[?1049h\x1b[?25l\x1b[2J", stdout); /* a screen of its own, no cursor */
    }
    struct pollfd fd = { .fd = signals, .events = POLLIN };
    int64_t last = start;
    bool going = true, first = true;
    while (going) {
        going = poll(&fd, 1, (int)(every / MLT_NS_PER_MS)) <= 0;
        const int64_t now = mlt_clock_mono_ns();
        if (t->as_json) {
            (void)pthread_mutex_lock(&t->lock);
            going = going && fflush(stdout) == 0 && !t->broken &&
                    (t->events_max == 0 || t->events < t->events_max);
            (void)pthread_mutex_unlock(&t->lock);
        } else {
            if (!terminal && !first) {
                (void)fputc('\n', stdout); /* one table below the other */
            }
            first = false;
            if (t->head_path != NULL) {
                (void)read_head(t);
            }
            going = draw(t, bus, title, now - last, terminal, &picture) && going;
        }
        if (going && is_unheard(t, now - start)) {
            say_if_unknown(t, bus);
            t->unheard = NULL;
        }
        last = now;
        going = going && (seconds == 0 || now - start < seconds * MLT_NS_PER_S);
    }
    if (terminal) {
        (void)fputs("\x1b[?25h\x1b[?1049l", stdout);
        say_summary(t, &picture); /* the table is gone with its screen */
    }
    mlt_buf_fini(&picture);
}

static int run(struct tail *t, struct mlt_bus *bus, const char *subject, const char *url,
               int signals, int64_t seconds)
{
    const struct mlt_bus_subscribe_options options = { .subject = subject,
                                                       .pending_count_max = 1 << 20,
                                                       .pending_bytes_max = 256u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_subscribe(bus, &options, on_event, t, &subscription, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica tail: %s\n", err.text);
        return 1;
    }
    char title[MLT_BUS_SUBJECT_BYTES_MAX + 256];
    char plain[201]; /* without a password: others see the screen */
    mlt_tool_plain_url(url, plain, sizeof plain);
    (void)snprintf(title, sizeof title, "%s at %s | Ctrl-C ends", subject, plain);
    show(t, bus, title, signals, seconds);
    mlt_bus_unsubscribe(subscription);
    if (fflush(stdout) != 0) {
        return 1;
    }
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(bus, &stats);
    if (t->foreign + stats.slow_consumer_dropped > 0) {
        (void)fprintf(stderr,
                      "meltica tail: %" PRIu64 " messages were no events, %" PRIu64
                      " were dropped because this terminal is slow\n",
                      t->foreign, stats.slow_consumer_dropped);
    }
    return 0;
}

/* The standard's variables, as for the services. */
static bool open_trace(struct tail *t)
{
    struct mlt_trace_config config;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_trace_options options = { .instance = NULL };
    enum mlt_status status = mlt_trace_config_load(environ, "meltica-tail", &config, &err);
    if (status == MLT_OK) {
        status = mlt_trace_create(&config, &options, &t->trace, &err);
    }
    mlt_trace_config_fini(&config);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica tail: %s\n", err.text);
    }
    return status == MLT_OK;
}

static int usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica tail [INSTRUMENT] [--json [--count N]] [--seconds N] "
                  "[--prefix SUBJECT] [--head FILE]\n       %s\n"
                  "(until Ctrl-C, or for --seconds, or until --count events; the prefix, "
                  "meltica.data by default,\nis what comes before the instrument; the lines of "
                  "FILE, read again at each drawing, stand above the\ntable; one look at "
                  "everything: meltica top --once)\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

int mlt_command_tail(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    struct tail t = { .lock = PTHREAD_MUTEX_INITIALIZER };
    const char *instrument = NULL, *prefix = LIVE_PREFIX;
    int64_t seconds = 0, count = 0;
    bool wrong = false;
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    for (int i = 1; i < argc && !wrong; i++) {
        if (mlt_tool_connection_option(&connection, argc, argv, &i, &wrong)) {
            continue;
        }
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            t.as_json = true;
        } else if (strcmp(argv[i], "--seconds") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &seconds);
        } else if (strcmp(argv[i], "--count") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], INT64_MAX, &count);
            t.events_max = (uint64_t)count;
        } else if (strcmp(argv[i], "--prefix") == 0 && value) {
            prefix = argv[++i];
            wrong = !mlt_bus_subject_valid(prefix);
        } else if (strcmp(argv[i], "--head") == 0 && value) {
            t.head_path = argv[++i];
        } else if (argv[i][0] != '-' && instrument == NULL) {
            instrument = argv[i];
            wrong = strcmp(instrument, "*") != 0 &&
                    !mlt_instrument_token_valid(mlt_slice_of_string(instrument));
        } else {
            wrong = true;
        }
    }
    if (wrong || (t.events_max > 0 && !t.as_json) || (t.head_path != NULL && t.as_json)) {
        return usage(stderr, 2);
    }
    if (t.head_path != NULL && !read_head(&t)) {
        (void)fprintf(stderr, "meltica tail: cannot read %s: %s\n", t.head_path, strerror(errno));
        return 2;
    }
    if (!open_trace(&t)) {
        return 2;
    }
    if (instrument != NULL && strcmp(instrument, "*") != 0 && strcmp(prefix, LIVE_PREFIX) == 0) {
        t.unheard = instrument;
    }
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof subject, "%s.%s", prefix, instrument != NULL ? instrument : "*");
    mlt_arena_init(&t.arena, 64u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&t.json, PICTURE_BYTES_MAX);
    const int signals = mlt_tool_signals();
    struct mlt_bus *bus = signals >= 0 && mlt_board_create(&t.board) == MLT_OK
                              ? mlt_tool_connect(&connection, "tail")
                              : NULL;
    const int result =
        bus != NULL ? run(&t, bus, subject, connection.bus.url, signals, seconds) : 1;
    mlt_bus_destroy(bus, 0);
    mlt_trace_destroy(t.trace, MLT_NS_PER_S);
    mlt_board_destroy(t.board);
    mlt_buf_fini(&t.json);
    mlt_arena_fini(&t.arena);
    return result;
}

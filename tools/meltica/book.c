/* meltica book: the fused book of one instrument as a ladder, or as JSON lines; meltica verify:
 * joins it late and compares every digest with a book of its own. */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "commands.h"
#include "connection.h"
#include "ladder.h"
#include "meltica/base/clock.h"
#include "verify.h"

#define ARENA_BYTES_MAX (16u << 20)
#define PICTURE_BYTES_MAX (8u << 20) /* more than any BOOK of MLT_EVENT_LEVELS_MAX needs */
#define REDRAW_NS (100 * MLT_NS_PER_MS)
#define IDLE_MS 1000                 /* the age is drawn anew although nothing came */
#define FIRST_NS (10 * MLT_NS_PER_S) /* --once without --seconds */

struct shown {
    pthread_mutex_t lock;
    struct mlt_arena arena, scratch; /* arena: of the last book */
    struct mlt_buf bytes, json;      /* bytes: the last book as it came */
    struct mlt_event book;
    bool has_book, as_json, once, broken;
    uint64_t books, foreign;
    int wake;
};

/* The last BOOK with its own copy of the bytes, which the views point into. */
static enum mlt_status keep_book(struct shown *s, struct mlt_slice payload)
{
    mlt_buf_clear(&s->bytes);
    mlt_arena_reset(&s->arena);
    enum mlt_status status = mlt_buf_append(&s->bytes, payload.data, payload.len);
    if (status == MLT_OK) {
        status = mlt_event_decode(mlt_buf_view(&s->bytes), &s->arena, &s->book);
    }
    s->has_book = status == MLT_OK;
    return status;
}

static void print_json(struct shown *s)
{
    mlt_buf_clear(&s->json);
    if (mlt_event_to_json(&s->book, &s->json) != MLT_OK ||
        mlt_buf_append_byte(&s->json, '\n') != MLT_OK ||
        fwrite(s->json.data, 1, s->json.len, stdout) != s->json.len || fflush(stdout) != 0) {
        s->broken = true;
    }
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct shown *s = ctx;
    struct mlt_event event;
    const uint64_t one = 1;
    (void)pthread_mutex_lock(&s->lock);
    mlt_arena_reset(&s->scratch);
    if (mlt_event_decode(message->payload, &s->scratch, &event) != MLT_OK) {
        s->foreign++;
    } else if (event.type == MLT_EVENT_BOOK && !(s->once && s->books > 0)) {
        if (keep_book(s, message->payload) != MLT_OK) {
            s->foreign++;
        } else {
            s->books++;
            if (s->as_json) {
                print_json(s);
            }
        }
        if (write(s->wake, &one, sizeof one) != sizeof one) {
            s->broken = true;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

static bool draw(struct shown *s, struct mlt_bus *bus, const char *instrument, bool terminal,
                 struct mlt_buf *picture)
{
    struct winsize size = { .ws_row = 0, .ws_col = 0 };
    if (terminal) {
        (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    }
    const struct mlt_ladder_view view = { .rows = size.ws_row,
                                          .columns = size.ws_col,
                                          .colours = terminal,
                                          .connected = mlt_bus_connected(bus),
                                          .now_ns = mlt_clock_wall_ns() };
    mlt_buf_clear(picture);
    (void)pthread_mutex_lock(&s->lock);
    const enum mlt_status status =
        mlt_ladder_draw(s->has_book ? &s->book : NULL, instrument, &view, picture);
    (void)pthread_mutex_unlock(&s->lock);
    return status == MLT_OK && fwrite(picture->data, 1, picture->len, stdout) == picture->len &&
           fflush(stdout) == 0;
}

/* False: told to end. Waits for a book, and then for no less than the time between two pictures. */
static bool wait_for_book(struct shown *s, int signals, int64_t end_ns, int64_t *drawn_ns,
                          bool ladder)
{
    struct pollfd fds[2] = { { .fd = signals, .events = POLLIN },
                             { .fd = s->wake, .events = POLLIN } };
    int64_t left =
        end_ns == INT64_MAX ? IDLE_MS : (end_ns - mlt_clock_mono_ns()) / MLT_NS_PER_MS + 1;
    left = left < 0 ? 0 : left > IDLE_MS ? IDLE_MS : left;
    if (poll(fds, 2, (int)left) > 0 && fds[0].revents != 0) {
        return false;
    }
    uint64_t count = 0;
    if (fds[1].revents != 0 && read(s->wake, &count, sizeof count) != sizeof count) {
        return false;
    }
    const int64_t since = mlt_clock_mono_ns() - *drawn_ns;
    if (ladder && since < REDRAW_NS &&
        poll(fds, 1, (int)((REDRAW_NS - since) / MLT_NS_PER_MS)) > 0) {
        return false;
    }
    *drawn_ns = mlt_clock_mono_ns();
    return true;
}

static int show(struct shown *s, struct mlt_bus *bus, const char *instrument, int signals,
                int64_t seconds)
{
    struct mlt_buf picture;
    mlt_buf_init(&picture, PICTURE_BYTES_MAX);
    const bool ladder = !s->as_json && !s->once;
    const bool terminal = ladder && isatty(STDOUT_FILENO) != 0;
    const int64_t for_ns = seconds > 0 ? seconds * MLT_NS_PER_S : s->once ? FIRST_NS : 0;
    const int64_t end = for_ns > 0 ? mlt_clock_mono_ns() + for_ns : INT64_MAX;
    int64_t drawn = 0;
    if (terminal) {
        (void)fputs("\x1b[?1049h\x1b[?25l\x1b[2J", stdout);
    }
    bool going = true, good = true;
    while (going && good) {
        going = wait_for_book(s, signals, end, &drawn, ladder) && mlt_clock_mono_ns() < end;
        (void)pthread_mutex_lock(&s->lock);
        const bool has_book = s->books > 0;
        good = !s->broken;
        (void)pthread_mutex_unlock(&s->lock);
        if (ladder && (terminal || has_book)) {
            good = draw(s, bus, instrument, terminal, &picture) && good;
        }
        going = going && !(s->once && has_book);
    }
    if (terminal) {
        (void)fputs("\x1b[?25h\x1b[?1049l", stdout);
    }
    if (!s->as_json && good && s->has_book && (s->once || terminal)) {
        good = draw(s, bus, instrument, false, &picture);
    }
    mlt_buf_fini(&picture);
    if (!s->has_book) {
        (void)fprintf(stderr,
                      "meltica book: no BOOK of %s came: is it subscribed (meltica sub BOOK %s)?\n",
                      instrument, instrument);
    }
    return good && s->has_book ? 0 : 1;
}

static int book_usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica book INSTRUMENT [--json] [--once] [--seconds N]\n       %s\n"
                  "(until Ctrl-C, or for --seconds; --once: the next book, then the end; ~ marks a "
                  "measure of a part only)\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static int run_book(struct shown *s, struct mlt_bus *bus, const char *instrument, int signals,
                    int64_t seconds)
{
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof subject, "meltica.data.%s", instrument);
    const struct mlt_bus_subscribe_options options = { .subject = subject,
                                                       .pending_count_max = 1 << 18,
                                                       .pending_bytes_max = 64u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_subscribe(bus, &options, on_event, s, &subscription, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica book: %s\n", err.text);
        return 1;
    }
    const int result = show(s, bus, instrument, signals, seconds);
    mlt_bus_unsubscribe(subscription);
    return result;
}

int mlt_command_book(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    struct shown s = { .lock = PTHREAD_MUTEX_INITIALIZER };
    const char *instrument = NULL;
    int64_t seconds = 0;
    bool wrong = false;
    if (mlt_tool_help(argc, argv)) {
        return book_usage(stdout, 0);
    }
    for (int i = 1; i < argc && !wrong; i++) {
        if (mlt_tool_connection_option(&connection, argc, argv, &i, &wrong)) {
            continue;
        }
        if (strcmp(argv[i], "--json") == 0) {
            s.as_json = true;
        } else if (strcmp(argv[i], "--once") == 0) {
            s.once = true;
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &seconds);
        } else {
            wrong = argv[i][0] == '-' || instrument != NULL ||
                    !mlt_instrument_token_valid(mlt_slice_of_string(argv[i]));
            instrument = argv[i];
        }
    }
    if (wrong || instrument == NULL) {
        return book_usage(stderr, 2);
    }
    const int signals = mlt_tool_signals();
    s.wake = eventfd(0, EFD_CLOEXEC);
    mlt_arena_init(&s.arena, 64u << 10, ARENA_BYTES_MAX);
    mlt_arena_init(&s.scratch, 64u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&s.bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&s.json, PICTURE_BYTES_MAX);
    struct mlt_bus *bus =
        signals >= 0 && s.wake >= 0 ? mlt_tool_connect(&connection, "book") : NULL;
    const int result = bus != NULL ? run_book(&s, bus, instrument, signals, seconds) : 1;
    mlt_bus_destroy(bus, 0);
    mlt_buf_fini(&s.json);
    mlt_buf_fini(&s.bytes);
    mlt_arena_fini(&s.scratch);
    mlt_arena_fini(&s.arena);
    return result;
}

/* ---- verify ---- */

#define VERIFY_UNDECIDED 3 /* exit status: neither right nor wrong */

static int verify_usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: meltica verify INSTRUMENT [--seconds N] [--json]\n       %s\n"
        "(joins late, follows for N seconds, 10 by default, with a book of its own and "
        "compares every\ndigest; 1 when anything differs, 3 when nothing could be compared, "
        "as where no book is to be\nhad, or the book is not LIVE at the end, 0 also where nothing "
        "moved in that time, which it\nsays; docs/late-join.md)\n",
        MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static void say_verdict(const struct mlt_verify_result *r, const char *instrument)
{
    const struct mlt_follow_counts *c = &r->counts;
    if (r->undecided) {
        (void)printf("%s: %s: %s\n", instrument,
                     r->compared == 0 ? "nothing compared" : "nothing was wrong", r->reason);
    } else if (!r->right) {
        (void)printf("%s: WRONG: %s\n", instrument, r->reason);
    } else if (c->deltas + c->books_right == 0) {
        (void)printf("%s: right, but nothing moved in that time: no delta and no BOOK to compare, "
                     "only the checkpoint was\n",
                     instrument);
    } else {
        (void)printf("%s: right\n", instrument);
    }
    (void)printf("  state %s, ",
                 r->state != MLT_BOOK_STATE_NONE ? mlt_book_state_word((int)r->state) : "not told");
    if (r->joined) {
        (void)printf("update id %" PRId64 ", digest %08" PRIx32 ", ", r->last_update_id, r->digest);
    } else {
        (void)printf("no book, ");
    }
    if (r->join_ns >= 0) {
        (void)printf("joined after %" PRId64 " ms and ", r->join_ns / MLT_NS_PER_MS);
    } else {
        (void)printf("never joined, ");
    }
    (void)printf("%" PRIu64 " reads of the checkpoint\n", r->checkpoint_reads);
    (void)printf("  %" PRIu64 " events, %" PRIu64 " missing by sequence; %" PRIu64
                 " deltas applied, %" PRIu64 " gaps at the exchange, %" PRIu64 " resets\n",
                 c->events, c->sequence_holes, c->deltas, c->update_gaps, c->resets);
    (void)printf("  digests: %" PRIu64 " right, %" PRIu64 " wrong; books: %" PRIu64
                 " right, %" PRIu64 " wrong, %" PRIu64 " not to be compared\n",
                 c->digests_right, c->digests_wrong, c->books_right, c->books_wrong,
                 c->books_unchecked);
}

static int run_verify(struct mlt_bus *bus, const char *instrument, int64_t seconds, int signals,
                      bool as_json)
{
    const struct mlt_verify_options options = {
        .bus = bus, .instrument = instrument, .duration_ns = seconds * MLT_NS_PER_S, .stop = signals
    };
    struct mlt_verify_result result;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = mlt_verify(&options, &result, &err);
    if (status == MLT_OK && as_json) {
        struct mlt_buf json;
        mlt_buf_init(&json, 1u << 16);
        status = mlt_verify_json(&result, instrument, &json);
        if (status == MLT_OK) {
            (void)printf("%.*s\n", (int)json.len, (const char *)json.data);
        }
        mlt_buf_fini(&json);
    } else if (status == MLT_OK) {
        say_verdict(&result, instrument);
    }
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica verify: %s\n",
                      err.text[0] != '\0' ? err.text : mlt_status_text(status));
        return 1;
    }
    if (fflush(stdout) != 0) {
        return 1;
    }
    return result.right ? 0 : result.undecided ? VERIFY_UNDECIDED : 1;
}

int mlt_command_verify(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    const char *instrument = NULL;
    int64_t seconds = 10;
    bool wrong = false, as_json = false;
    if (mlt_tool_help(argc, argv)) {
        return verify_usage(stdout, 0);
    }
    for (int i = 1; i < argc && !wrong; i++) {
        if (mlt_tool_connection_option(&connection, argc, argv, &i, &wrong)) {
            continue;
        }
        if (strcmp(argv[i], "--json") == 0) {
            as_json = true;
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &seconds);
        } else {
            wrong = argv[i][0] == '-' || instrument != NULL ||
                    !mlt_instrument_token_valid(mlt_slice_of_string(argv[i]));
            instrument = argv[i];
        }
    }
    if (wrong || instrument == NULL) {
        return verify_usage(stderr, 2);
    }
    const int signals = mlt_tool_signals();
    struct mlt_bus *bus = signals >= 0 ? mlt_tool_connect(&connection, "verify") : NULL;
    const int result = bus != NULL ? run_verify(bus, instrument, seconds, signals, as_json) : 1;
    mlt_bus_destroy(bus, 0);
    return result;
}

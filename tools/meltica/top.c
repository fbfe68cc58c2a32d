/* meltica top: services, lines and instruments, live, from $SRV.STATS and meltica.data.* alone. */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "commands.h"
#include "connection.h"
#include "meltica/base/clock.h"
#include "terminal.h"
#include "top_view.h"

#define TICK_NS MLT_NS_PER_S
#define SECONDS_DEFAULT 2
#define ARENA_BYTES_MAX (16u << 20)
#define PICTURE_BYTES_MAX (16u << 20)
#define SUBJECT "meltica.data.*"

struct top {
    struct mlt_tool_connection connection;
    bool once, as_json;
    int64_t seconds; /* 0: without end */
    enum mlt_top_key key;
    struct mlt_bus *bus;
    char url[256];
    int64_t begin_ns, tick_ns;
    size_t skip, page;
    int signals, others; /* INT and TERM; and those of a terminal */
    struct mlt_terminal terminal;
    struct mlt_buf picture;

    pthread_mutex_t lock; /* what follows: the subscription, the asker and the main thread */
    pthread_cond_t changed;
    bool stop;
    struct mlt_top *model;
    struct mlt_arena arena;
    uint64_t foreign;
    struct mlt_top_services services;
    int64_t asked_ns;         /* when what is in services was asked for */
    struct mlt_inside asking; /* the asker's own */
};

/* ---- events ---- */

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct top *t = ctx;
    const int64_t now = mlt_clock_wall_ns();
    struct mlt_event event;
    (void)pthread_mutex_lock(&t->lock);
    mlt_arena_reset(&t->arena);
    if (mlt_event_decode(message->payload, &t->arena, &event) != MLT_OK ||
        mlt_top_event(t->model, &event, now) != MLT_OK) {
        t->foreign++;
    }
    (void)pthread_mutex_unlock(&t->lock);
}

/* ---- services ---- */

static double rate(int64_t before, int64_t after, double seconds)
{
    return before < 0 || after < before || seconds <= 0 ? -1 : (double)(after - before) / seconds;
}

/* What passed since the answer before, of the services that were there then. Under the lock. */
static void put_flows(struct top *t, const struct mlt_inside *now, double seconds,
                      struct mlt_top_flow *flows)
{
    const struct mlt_inside *before = &t->services.inside;
    for (size_t i = 0; i < now->count; i++) {
        flows[i] = (struct mlt_top_flow){ -1, -1 };
        for (size_t b = 0; b < before->count; b++) {
            if (strcmp(before->services[b].id, now->services[i].id) == 0) {
                flows[i].in_per_s = rate(before->services[b].in, now->services[i].in, seconds);
                flows[i].out_per_s = rate(before->services[b].out, now->services[i].out, seconds);
            }
        }
    }
}

static void ask_services(struct top *t)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_top_flow flows[MLT_INSIDE_SERVICES_MAX];
    const int64_t asked_ns = mlt_clock_mono_ns();
    const enum mlt_status status = mlt_inside_ask(t->bus, &t->asking, &err);
    const bool denied = status != MLT_OK && mlt_bus_denied(t->bus, "$SRV.STATS");
    (void)pthread_mutex_lock(&t->lock);
    put_flows(t, &t->asking, (double)(asked_ns - t->asked_ns) / (double)MLT_NS_PER_S, flows);
    t->services.asked = true;
    t->services.inside = t->asking;
    memcpy(t->services.flows, flows, sizeof flows);
    (void)snprintf(t->services.trouble, sizeof t->services.trouble, "%s",
                   status == MLT_OK ? ""
                   : denied         ? "this user may not ask $SRV.STATS"
                                    : err.text);
    t->asked_ns = asked_ns;
    (void)pthread_mutex_unlock(&t->lock);
}

static void *keep_asking(void *ctx)
{
    struct top *t = ctx;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        struct timespec until;
        (void)pthread_mutex_unlock(&t->lock);
        ask_services(t);
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        (void)pthread_mutex_lock(&t->lock);
        while (!t->stop && pthread_cond_timedwait(&t->changed, &t->lock, &until) == 0) {
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- showing ---- */

static struct mlt_top_view view_of(struct top *t)
{
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(t->bus, &stats);
    return (struct mlt_top_view){ .key = t->key,
                                  .skip = t->skip,
                                  .url = t->url,
                                  .connected = mlt_bus_connected(t->bus),
                                  .wall_ns = mlt_clock_wall_ns(),
                                  .since_ns = mlt_clock_mono_ns() - t->begin_ns,
                                  .foreign = t->foreign,
                                  .dropped = stats.slow_consumer_dropped };
}

static void end_tick(struct top *t)
{
    const int64_t now = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&t->lock);
    mlt_top_tick(t->model, now - t->tick_ns);
    (void)pthread_mutex_unlock(&t->lock);
    t->tick_ns = now;
}

static bool redraw(struct top *t)
{
    mlt_buf_clear(&t->picture);
    (void)pthread_mutex_lock(&t->lock);
    struct mlt_top_view view = view_of(t);
    view.terminal = true;
    mlt_terminal_size(&view.rows, &view.columns);
    const enum mlt_status status =
        mlt_top_draw(t->model, &t->services, &view, &t->picture, &t->page);
    (void)pthread_mutex_unlock(&t->lock);
    return status == MLT_OK && mlt_terminal_show(mlt_buf_view(&t->picture));
}

static void scroll(struct top *t, size_t by, bool down)
{
    struct mlt_top_totals totals;
    (void)pthread_mutex_lock(&t->lock);
    mlt_top_get_totals(t->model, &totals);
    (void)pthread_mutex_unlock(&t->lock);
    const size_t most = totals.instruments > t->page ? totals.instruments - t->page : 0;
    if (down) {
        t->skip = t->skip + by < most ? t->skip + by : most;
    } else {
        t->skip = t->skip > by ? t->skip - by : 0;
    }
}

static void take_key(struct top *t, int key)
{
    static const char letters[MLT_TOP_KEY_COUNT + 1] = "nrlsgyb";
    const char *letter = key > 0 && key < 128 ? strchr(letters, key) : NULL;
    if (letter != NULL) {
        t->key = (enum mlt_top_key)(letter - letters);
        t->skip = 0;
    } else if (key == MLT_KEY_UP || key == MLT_KEY_DOWN) {
        scroll(t, 1, key == MLT_KEY_DOWN);
    } else if (key == MLT_KEY_PAGE_UP || key == MLT_KEY_PAGE_DOWN) {
        scroll(t, t->page > 1 ? t->page : 1, key == MLT_KEY_PAGE_DOWN);
    }
}

/* False: it is to end. */
static bool take_keys(struct top *t)
{
    int key = 0;
    if (!mlt_terminal_read(&t->terminal)) {
        return false;
    }
    while ((key = mlt_terminal_key(&t->terminal)) != MLT_KEY_NONE) {
        if (key == 'q') {
            return false;
        }
        take_key(t, key);
    }
    return true;
}

/* Ctrl-Z gives the terminal back until it is in the foreground again. False: it is to end. */
static bool take_signal(struct top *t)
{
    struct signalfd_siginfo info;
    if (read(t->others, &info, sizeof info) != (ssize_t)sizeof info) {
        return true;
    }
    if (info.ssi_signo == SIGTSTP) {
        mlt_terminal_leave(&t->terminal);
        (void)raise(SIGSTOP);
        mlt_terminal_enter(&t->terminal);
    }
    return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH;
}

/* Redraws each second, and at once for a key or another size. */
static void show(struct top *t)
{
    mlt_terminal_enter(&t->terminal);
    bool going = redraw(t);
    while (going) {
        struct pollfd fds[3] = { { .fd = t->signals, .events = POLLIN },
                                 { .fd = t->others, .events = POLLIN },
                                 { .fd = t->terminal.keys ? STDIN_FILENO : -1, .events = POLLIN } };
        const int64_t left = t->tick_ns + TICK_NS - mlt_clock_mono_ns();
        (void)poll(fds, 3, left > 0 ? (int)(left / MLT_NS_PER_MS) + 1 : 0);
        going = fds[0].revents == 0 && (fds[1].revents == 0 || take_signal(t)) &&
                (fds[2].revents == 0 || take_keys(t));
        const int64_t now = mlt_clock_mono_ns();
        if (now >= t->tick_ns + TICK_NS) {
            end_tick(t);
        }
        going = going && redraw(t) &&
                (t->seconds == 0 || now - t->begin_ns < t->seconds * MLT_NS_PER_S);
    }
    mlt_terminal_leave(&t->terminal);
}

static int live(struct top *t)
{
    pthread_t asker;
    if (pthread_create(&asker, NULL, keep_asking, t) != 0) {
        (void)fprintf(stderr, "meltica top: no thread\n");
        return 1;
    }
    show(t);
    (void)pthread_mutex_lock(&t->lock);
    t->stop = true;
    (void)pthread_cond_broadcast(&t->changed);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(asker, NULL);
    return 0;
}

/* One look over the whole time. */
static int look(struct top *t)
{
    const int64_t deadline = t->begin_ns + t->seconds * MLT_NS_PER_S;
    ask_services(t);
    struct pollfd fd = { .fd = t->signals, .events = POLLIN };
    const int64_t left = deadline - mlt_clock_mono_ns();
    (void)poll(&fd, 1, left > 0 ? (int)(left / MLT_NS_PER_MS) + 1 : 0);
    ask_services(t);
    end_tick(t);
    (void)pthread_mutex_lock(&t->lock);
    const struct mlt_top_view view = view_of(t);
    const enum mlt_status status =
        t->as_json ? mlt_top_json(t->model, &t->services, &view, &t->picture)
                   : mlt_top_draw(t->model, &t->services, &view, &t->picture, &t->page);
    (void)pthread_mutex_unlock(&t->lock);
    return status == MLT_OK &&
                   fwrite(t->picture.data, 1, t->picture.len, stdout) == t->picture.len &&
                   fflush(stdout) == 0
               ? 0
               : 1;
}

static int run(struct top *t)
{
    const struct mlt_bus_subscribe_options options = { .subject = SUBJECT,
                                                       .pending_count_max = 1 << 20,
                                                       .pending_bytes_max = 256u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_subscribe(t->bus, &options, on_event, t, &subscription, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica top: %s\n", err.text);
        return 1;
    }
    t->begin_ns = t->tick_ns = mlt_clock_mono_ns();
    int result = 1;
    if (mlt_bus_denied(t->bus, SUBJECT)) {
        (void)fprintf(stderr, "meltica top: this user may not listen to " SUBJECT
                              ": see meltica nats-auth --observer\n");
    } else {
        result = t->once ? look(t) : live(t);
    }
    mlt_bus_unsubscribe(subscription);
    return result;
}

/* ---- command ---- */

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: meltica top [--once] [--json] [--seconds N] [--sort KEY]\n       %s\n"
        "Services, lines to the exchange and instruments, live, from $SRV.STATS and the events on "
        "meltica.data.*.\n"
        "  --once        one look over --seconds (2), as text; so too where stdout is no terminal\n"
        "  --json        the same as one JSON object, with null for what is not known\n"
        "  --seconds N   ends after N seconds\n"
        "  --sort KEY    name, rate (default), lag, stale, gaps, resyncs or book\n"
        "Keys: n r l s g y b sort by name, rate, lag, stale, gaps (with what was lost), resyncs, "
        "book; arrows and\npage keys scroll; q or Ctrl-C ends. Gaps, resyncs, lost and holes are "
        "counted since it began. ? is not told\nyet, - none came. LAG: from received by the "
        "Adapter to here, without what a throttle added; EXCH: from the\nexchange to received, by "
        "two clocks; QUIET: s since the last event; SYNC: books joined anew; HOLE: sequences that "
        "did not come\nhere. What a service does not say stays ?.\n",
        MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static bool read_arguments(struct top *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool wrong = false;
        if (mlt_tool_connection_option(&t->connection, argc, argv, &i, &wrong)) {
            continue;
        }
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--once") == 0) {
            t->once = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            t->as_json = t->once = true;
        } else if (strcmp(argv[i], "--seconds") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &t->seconds);
        } else if (strcmp(argv[i], "--sort") == 0 && value) {
            wrong = !mlt_top_key_of(argv[++i], &t->key);
        } else {
            wrong = true;
        }
        if (wrong) {
            return false;
        }
    }
    return true;
}

static bool open_signals(struct top *t)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGWINCH);
    (void)sigaddset(&set, SIGTSTP);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGQUIT);
    t->signals = mlt_tool_signals();
    t->others = sigprocmask(SIG_BLOCK, &set, NULL) == 0
                    ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)
                    : -1;
    return t->signals >= 0 && t->others >= 0;
}

int mlt_command_top(int argc, char **argv)
{
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    struct top *t = calloc(1, sizeof *t);
    if (t == NULL || mlt_top_create(&t->model) != MLT_OK) {
        free(t);
        (void)fprintf(stderr, "meltica top: no memory\n");
        return 1;
    }
    mlt_tool_connection_init(&t->connection);
    t->key = MLT_TOP_BY_RATE;
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->changed, NULL);
    mlt_arena_init(&t->arena, 64u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&t->picture, PICTURE_BYTES_MAX);
    int result = 2;
    if (!read_arguments(t, argc, argv)) {
        (void)usage(stderr, 2);
    } else {
        t->once = t->once || isatty(STDOUT_FILENO) == 0;
        t->seconds = t->once && t->seconds == 0 ? SECONDS_DEFAULT : t->seconds;
        mlt_tool_plain_url(t->connection.bus.url, t->url, sizeof t->url);
        t->bus = open_signals(t) ? mlt_tool_connect(&t->connection, "top") : NULL;
        result = t->bus != NULL ? run(t) : 1;
        mlt_bus_destroy(t->bus, 0);
    }
    mlt_buf_fini(&t->picture);
    mlt_arena_fini(&t->arena);
    mlt_top_destroy(t->model);
    free(t);
    return result;
}

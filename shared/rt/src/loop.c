#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "internal.h"

#include "meltica/base/check.h"
#include "meltica/base/log.h"

/* Posted tasks that run before sockets and timers get their turn again. */
#define TASKS_PER_TURN 256u
/* Descriptors of one process: lines, probes, and the simulator's clients. A table of this size is
 * 16 KiB; without it libwebsockets makes one for the descriptor limit of the process. */
#define DESCRIPTORS_MAX 1024u
/* One read of a connection. libwebsockets cuts frames at this size, so it holds the largest that is
 * common; pages are resident only as far as something was ever read into them. */
#define READ_BYTES_MAX (64u << 10)

struct mlt_timer {
    lws_sorted_usec_list_t entry;
    struct mlt_loop *loop;
    void (*fn)(void *ctx);
    void *ctx;
};

/* ---- log of libwebsockets ---- */

static void emit_log(int level, const char *line)
{
    const char *text = line;
    const char *stamp_end = line[0] == '[' ? strstr(line, ": ") : NULL;
    if (stamp_end != NULL) {
        text = stamp_end + 2; /* mlt_log has its own time */
    }
    struct mlt_slice said = mlt_slice_of_string(text);
    while (said.len > 0 && (said.data[said.len - 1] == '\n' || said.data[said.len - 1] == '\r')) {
        said.len--;
    }
    const enum mlt_log_level as = (level & LLL_ERR) != 0 ? MLT_LOG_ERROR : MLT_LOG_WARN;
    mlt_log(as, "libwebsockets", "the library says", MLT_SL("said", said));
}

/* ---- posted work ---- */

static bool take_task(struct mlt_loop *loop, struct task *task)
{
    (void)pthread_mutex_lock(&loop->lock);
    const bool found = loop->count > 0;
    if (found) {
        *task = loop->tasks[loop->first];
        loop->first = (loop->first + 1) % MLT_LOOP_POSTED_MAX;
        loop->count--;
    } else {
        loop->woken = false;
    }
    (void)pthread_mutex_unlock(&loop->lock);
    return found;
}

static void run_tasks(struct mlt_loop *loop)
{
    struct task task;
    for (uint32_t i = 0; i < TASKS_PER_TURN && !mlt_rt_stopping(loop); i++) {
        if (!take_task(loop, &task)) {
            return;
        }
        task.fn(task.ctx);
    }
    /* The rest after everybody else had a turn. */
    lws_cancel_service(loop->context);
}

/* libwebsockets tells every protocol of every vhost that somebody woke the loop; ours is the one
 * that answers. */
static int loop_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason == LWS_CALLBACK_EVENT_WAIT_CANCELLED) {
        struct mlt_loop *loop = lws_context_user(lws_get_context(wsi));
        if (loop->context != NULL && !mlt_rt_stopping(loop)) {
            run_tasks(loop);
        }
    }
    return 0;
}

/* ---- signals ---- */

static void loop_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGHUP);
}

enum mlt_status mlt_signals_block(void)
{
    sigset_t set;
    loop_signals(&set);
    (void)sigaddset(&set, SIGPIPE);
    return pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 ? MLT_OK : MLT_E_INTERNAL;
}

static int signal_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                           size_t len)
{
    (void)user;
    (void)in;
    (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE) {
        return 0;
    }
    struct mlt_loop *loop = lws_get_opaque_user_data(wsi);
    struct signalfd_siginfo info;
    while (!mlt_rt_stopping(loop) &&
           read((int)lws_get_socket_fd(wsi), &info, sizeof info) == (ssize_t)sizeof info) {
        loop->on_signal(loop->signal_ctx, (int)info.ssi_signo);
    }
    return 0;
}

enum mlt_status mlt_loop_on_signal(struct mlt_loop *loop, void (*fn)(void *ctx, int signal_number),
                                   void *ctx, struct mlt_error *err)
{
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    if (loop->on_signal != NULL) {
        return mlt_error_set(err, MLT_E_EXISTS, "signals have a handler already");
    }
    sigset_t set;
    loop_signals(&set);
    const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return mlt_error_set_foreign(err, MLT_E_INTERNAL, "errno", errno, "signalfd: %s",
                                     strerror(errno));
    }
    loop->on_signal = fn;
    loop->signal_ctx = ctx;
    if (mlt_rt_adopt(loop, fd, "meltica-signal", loop) == NULL) {
        loop->on_signal = NULL;
        (void)close(fd);
        return mlt_error_set(err, MLT_E_NOMEM, "the loop cannot take the signal descriptor");
    }
    return MLT_OK;
}

/* ---- life ---- */

static const struct lws_protocols protocols[] = {
    { .name = "meltica-loop", .callback = loop_callback },
    { .name = "meltica-signal", .callback = signal_callback },
    { .name = MLT_RT_LISTENER_PROTOCOL, .callback = mlt_rt_listener_callback },
    { .name = MLT_RT_HTTP_PROTOCOL, .callback = mlt_rt_http_callback },
    LWS_PROTOCOL_LIST_TERM
};

struct lws *mlt_rt_adopt(struct mlt_loop *loop, int fd, const char *protocol, void *opaque)
{
    const lws_adopt_desc_t description = {
        .vh = loop->vhost,
        .type = LWS_ADOPT_RAW_FILE_DESC, /* also for sockets: read, write and order are then ours */
        .fd = { .filefd = fd },
        .vh_prot_name = protocol,
        .opaque = opaque,
    };
    return lws_adopt_descriptor_vhost_via_info(&description);
}

static enum mlt_status create_context(struct mlt_loop *loop, struct mlt_error *err)
{
    /* The library's own start and two contexts in one process share a process-wide log. A private
     * one keeps its reference count ours. */
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_log);
    loop->log.u.emit = emit_log;
    loop->log.lll_flags = LLL_ERR | LLL_WARN;
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
        .log_cx = &loop->log,
        .user = loop,
        .fd_limit_per_thread = DESCRIPTORS_MAX,
        .pt_serv_buf_size = READ_BYTES_MAX,
    };
    loop->context = lws_create_context(&info);
    if (loop->context == NULL) {
        return mlt_error_set(err, MLT_E_INTERNAL, "libwebsockets makes no context: see the log");
    }
    const struct lws_context_creation_info vhost = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_ONLY_RAW,
        .vhost_name = "meltica-loop",
        .protocols = protocols,
    };
    loop->vhost = lws_create_vhost(loop->context, &vhost);
    return loop->vhost != NULL
               ? MLT_OK
               : mlt_error_set(err, MLT_E_INTERNAL, "libwebsockets makes no vhost: see the log");
}

enum mlt_status mlt_loop_create(struct mlt_loop **out, struct mlt_error *err)
{
    *out = NULL;
    struct mlt_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the event loop");
    }
    if (pthread_mutex_init(&loop->lock, NULL) != 0) {
        free(loop);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the loop's lock");
    }
    loop->owner = pthread_self();
    atomic_init(&loop->stopping, false);
    loop->tasks = calloc(MLT_LOOP_POSTED_MAX, sizeof *loop->tasks);
    const enum mlt_status status =
        loop->tasks == NULL ? mlt_error_set(err, MLT_E_NOMEM, "no memory for posted tasks")
                            : create_context(loop, err);
    if (status != MLT_OK) {
        mlt_loop_destroy(loop);
        return status;
    }
    *out = loop;
    return MLT_OK;
}

void mlt_loop_destroy(struct mlt_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    mlt_rt_http_stop(loop->http);
    /* Tasks, timers and requests that would come up while the context closes are nobody's. */
    atomic_store(&loop->stopping, true);
    if (loop->context != NULL) {
        lws_context_destroy(loop->context);
    }
    mlt_rt_http_free(loop->http);
    (void)pthread_mutex_destroy(&loop->lock);
    free(loop->tasks);
    free(loop);
}

enum mlt_status mlt_loop_run(struct mlt_loop *loop, struct mlt_error *err)
{
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    /* What an earlier run left in the queue, whose wake-up is used up. */
    lws_cancel_service(loop->context);
    while (!mlt_rt_stopping(loop)) {
        loop->turn++;
        if (lws_service(loop->context, 0) < 0) {
            return mlt_error_set(err, MLT_E_INTERNAL, "libwebsockets' loop ended by itself");
        }
    }
    /* Behind whoever asked for the end: its hands are off the loop now. */
    (void)pthread_mutex_lock(&loop->lock);
    atomic_store(&loop->stopping, false);
    (void)pthread_mutex_unlock(&loop->lock);
    return MLT_OK;
}

/* Under the lock: the loop's thread may see the stop at once, leave, and destroy the loop. */
void mlt_loop_stop(struct mlt_loop *loop)
{
    (void)pthread_mutex_lock(&loop->lock);
    atomic_store(&loop->stopping, true);
    lws_cancel_service(loop->context);
    (void)pthread_mutex_unlock(&loop->lock);
}

enum mlt_status mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    (void)pthread_mutex_lock(&loop->lock);
    if (loop->count == MLT_LOOP_POSTED_MAX) {
        (void)pthread_mutex_unlock(&loop->lock);
        return MLT_E_FULL;
    }
    loop->tasks[(loop->first + loop->count) % MLT_LOOP_POSTED_MAX] = (struct task){ fn, ctx };
    loop->count++;
    if (!loop->woken) {
        loop->woken = true;
        lws_cancel_service(loop->context); /* under the lock, as in mlt_loop_stop */
    }
    (void)pthread_mutex_unlock(&loop->lock);
    return MLT_OK;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

void mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx)
{
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    (void)pthread_mutex_lock(&loop->lock);
    for (uint32_t i = 0; i < loop->count; i++) {
        struct task *task = &loop->tasks[(loop->first + i) % MLT_LOOP_POSTED_MAX];
        if (task->fn == fn && task->ctx == ctx) {
            *task = (struct task){ nothing, NULL };
        }
    }
    (void)pthread_mutex_unlock(&loop->lock);
}

uint64_t mlt_loop_turn(const struct mlt_loop *loop)
{
    return loop->turn;
}

struct lws_context *mlt_loop_lws(struct mlt_loop *loop)
{
    return loop->context;
}

/* ---- timers ---- */

static void schedule(struct mlt_timer *timer, int64_t delay_us);

static void on_timer(lws_sorted_usec_list_t *entry)
{
    struct mlt_timer *timer = lws_container_of(entry, struct mlt_timer, entry);
    if (mlt_rt_stopping(timer->loop)) {
        /* Due in the same turn as the stop: it waits for the next run, if there is one. */
        schedule(timer, 1000);
        return;
    }
    timer->fn(timer->ctx); /* may have freed the timer */
}

static void schedule(struct mlt_timer *timer, int64_t delay_us)
{
    lws_sul_schedule(timer->loop->context, 0, &timer->entry, on_timer, delay_us);
}

enum mlt_status mlt_timer_create(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx,
                                 struct mlt_timer **timer)
{
    MLT_DCHECK(pthread_equal(loop->owner, pthread_self()));
    *timer = calloc(1, sizeof **timer);
    if (*timer == NULL) {
        return MLT_E_NOMEM;
    }
    **timer = (struct mlt_timer){ .loop = loop, .fn = fn, .ctx = ctx };
    return MLT_OK;
}

void mlt_timer_destroy(struct mlt_timer *timer)
{
    if (timer != NULL) {
        mlt_timer_stop(timer);
        free(timer);
    }
}

void mlt_timer_start(struct mlt_timer *timer, int64_t delay_ns)
{
    MLT_DCHECK(pthread_equal(timer->loop->owner, pthread_self()));
    const int64_t delay = delay_ns > 0 ? delay_ns : 0;
    schedule(timer, delay / 1000 + (delay % 1000 != 0 ? 1 : 0));
}

void mlt_timer_stop(struct mlt_timer *timer)
{
    MLT_DCHECK(pthread_equal(timer->loop->owner, pthread_self()));
    lws_sul_cancel(&timer->entry);
}

bool mlt_timer_active(const struct mlt_timer *timer)
{
    return !lws_dll2_is_detached(&timer->entry.list);
}

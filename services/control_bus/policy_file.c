#include "policy_file.h"

#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "meltica/base/log.h"

struct mlt_policy_held {
    struct mlt_policy *policy;
    unsigned holders; /* the file itself is one */
};

struct mlt_policy_file {
    char *path;
    int watch, wake; /* inotify; an eventfd that ends the thread */
    bool running;
    pthread_t thread;
    struct mlt_buf seen; /* bytes that were judged last; of the thread */

    pthread_mutex_t lock; /* what follows, and the holders */
    struct mlt_policy_held *now;
    struct mlt_policy_file_stats stats;
};

static void drop(struct mlt_policy_file *f, struct mlt_policy_held *held)
{
    (void)pthread_mutex_lock(&f->lock);
    const bool last = --held->holders == 0;
    (void)pthread_mutex_unlock(&f->lock);
    if (last) {
        mlt_policy_destroy(held->policy);
        free(held);
    }
}

struct mlt_policy_held *mlt_policy_file_hold(struct mlt_policy_file *file,
                                             const struct mlt_policy **policy)
{
    (void)pthread_mutex_lock(&file->lock);
    struct mlt_policy_held *held = file->now;
    held->holders++;
    (void)pthread_mutex_unlock(&file->lock);
    *policy = held->policy;
    return held;
}

void mlt_policy_file_release(struct mlt_policy_file *file, struct mlt_policy_held *held)
{
    drop(file, held);
}

void mlt_policy_file_get_stats(struct mlt_policy_file *file, struct mlt_policy_file_stats *out)
{
    (void)pthread_mutex_lock(&file->lock);
    *out = file->stats;
    (void)pthread_mutex_unlock(&file->lock);
}

/* ---- taking a file ---- */

/* text becomes the bytes that were judged last. */
static enum mlt_status judge(struct mlt_policy_file *f, struct mlt_buf *text, struct mlt_error *err)
{
    struct mlt_policy_held *next = calloc(1, sizeof *next);
    if (next == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the policy");
    }
    const enum mlt_status status = mlt_policy_parse(mlt_buf_view(text), &next->policy, err);
    const struct mlt_buf old = f->seen;
    f->seen = *text;
    *text = old;
    if (status != MLT_OK) {
        free(next);
        return mlt_error_prepend(err, "%s", f->path);
    }
    next->holders = 1;
    (void)pthread_mutex_lock(&f->lock);
    struct mlt_policy_held *before = f->now;
    f->now = next;
    (void)pthread_mutex_unlock(&f->lock);
    if (before != NULL) {
        drop(f, before);
    }
    return MLT_OK;
}

static enum mlt_status take(struct mlt_policy_file *f, struct mlt_error *err, bool *changed)
{
    struct mlt_buf text;
    mlt_buf_init(&text, MLT_POLICY_BYTES_MAX);
    enum mlt_status status = mlt_policy_read(f->path, &text, err);
    *changed = status != MLT_OK || text.len != f->seen.len || text.len == 0 ||
               memcmp(text.data, f->seen.data, text.len) != 0;
    if (status == MLT_OK && *changed) {
        status = judge(f, &text, err);
    }
    mlt_buf_fini(&text);
    if (*changed) {
        (void)pthread_mutex_lock(&f->lock);
        f->stats.taken += status == MLT_OK;
        f->stats.refused += status != MLT_OK;
        (void)pthread_mutex_unlock(&f->lock);
    }
    return status;
}

/* ---- watching ---- */

static void look(struct mlt_policy_file *f)
{
    struct mlt_error err = MLT_ERROR_INIT;
    bool changed = false;
    const enum mlt_status status = take(f, &err, &changed);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "policy_refused", "the old policy stays in force",
                MLT_S("path", f->path), MLT_S("reason", err.text));
    } else if (changed) {
        mlt_log(MLT_LOG_INFO, "policy_taken", "a new policy is in force", MLT_S("path", f->path));
    }
}

static void *follow(void *argument)
{
    struct mlt_policy_file *f = argument;
    union {
        struct inotify_event event; /* alignment */
        char bytes[4096];
    } events;
    struct pollfd what[] = { { .fd = f->watch, .events = POLLIN },
                             { .fd = f->wake, .events = POLLIN } };
    for (;;) {
        if (poll(what, 2, -1) < 0 && errno != EINTR) {
            mlt_log(MLT_LOG_ERROR, "policy_not_watched", "changes of the policy are not seen",
                    MLT_S("reason", strerror(errno)));
            return NULL;
        }
        if (what[1].revents != 0) {
            return NULL;
        }
        /* Whatever it was about: the bytes of the file say whether it changed. */
        if (what[0].revents != 0 && read(f->watch, events.bytes, sizeof events.bytes) > 0) {
            look(f);
        }
    }
}

static enum mlt_status begin_watch(struct mlt_policy_file *f, struct mlt_error *err)
{
    char *copy = strdup(f->path);
    if (copy == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the policy");
    }
    const char *folder = dirname(copy);
    f->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    f->wake = eventfd(0, EFD_CLOEXEC);
    const bool watched = f->watch >= 0 && f->wake >= 0 &&
                         inotify_add_watch(f->watch, folder, IN_CLOSE_WRITE | IN_MOVED_TO) >= 0;
    const enum mlt_status status =
        watched ? MLT_OK
                : mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno,
                                        "%s: its folder cannot be watched for changes: %s", f->path,
                                        strerror(errno));
    free(copy);
    return status;
}

enum mlt_status mlt_policy_file_create(const char *path, struct mlt_policy_file **file,
                                       struct mlt_error *err)
{
    struct mlt_policy_file *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    if (f == NULL || copy == NULL) {
        free(f);
        free(copy);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the policy");
    }
    f->path = copy;
    f->watch = f->wake = -1;
    mlt_buf_init(&f->seen, MLT_POLICY_BYTES_MAX);
    (void)pthread_mutex_init(&f->lock, NULL);
    bool changed = false;
    /* Watched first, so that nothing is missed between. */
    enum mlt_status status = begin_watch(f, err);
    if (status == MLT_OK) {
        status = take(f, err, &changed);
    }
    if (status == MLT_OK) {
        f->running = pthread_create(&f->thread, NULL, follow, f) == 0;
        status = f->running ? MLT_OK
                            : mlt_error_set(err, MLT_E_INTERNAL,
                                            "the thread that watches the policy does not start");
    }
    if (status != MLT_OK) {
        mlt_policy_file_destroy(f);
        return status;
    }
    *file = f;
    return MLT_OK;
}

void mlt_policy_file_destroy(struct mlt_policy_file *file)
{
    if (file == NULL) {
        return;
    }
    const uint64_t one = 1;
    if (file->running) {
        if (write(file->wake, &one, sizeof one) != (ssize_t)sizeof one) {
            (void)pthread_cancel(file->thread); /* poll and read are where it ends then */
        }
        (void)pthread_join(file->thread, NULL);
    }
    if (file->watch >= 0) {
        (void)close(file->watch);
    }
    if (file->wake >= 0) {
        (void)close(file->wake);
    }
    if (file->now != NULL) {
        drop(file, file->now);
    }
    mlt_buf_fini(&file->seen);
    (void)pthread_mutex_destroy(&file->lock);
    free(file->path);
    free(file);
}

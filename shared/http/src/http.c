#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#include "meltica/base/check.h"
#include "meltica/base/clock.h"

/* Nothing to do but to wait for curl_multi_wakeup. */
#define IDLE_MS 60000
/* The loop's mailbox was full: answers wait here, and this is how long until the next try. */
#define POST_AGAIN_MS 5
/* Idle connections kept for reuse. */
#define CONNECTIONS_KEPT 16L

struct queue {
    struct transfer *first, *last;
};

struct mlt_http_client {
    struct mlt_http_options options; /* strings are copies */
    char *ca_file, *user_agent;
    CURLM *multi;
    pthread_t thread;
    uint32_t open; /* loop thread: accepted and not answered */

    pthread_mutex_t lock;  /* guards the four below */
    struct queue asked;    /* loop -> HTTP thread */
    struct queue answered; /* HTTP thread -> loop */
    bool posted;           /* deliver is in the loop's mailbox */
    bool stopping;

    /* HTTP thread. libcurl's own limit of connections to a host is not used: with it, 8.14 at times
     * forgets the requests that wait for a connection. */
    struct queue waiting, running;
    unsigned running_count;
};

static void push(struct queue *queue, struct transfer *transfer)
{
    transfer->next = NULL;
    transfer->previous = queue->last;
    if (queue->last != NULL) {
        queue->last->next = transfer;
    } else {
        queue->first = transfer;
    }
    queue->last = transfer;
}

static void unlink_from(struct queue *queue, struct transfer *transfer)
{
    if (transfer->previous != NULL) {
        transfer->previous->next = transfer->next;
    } else {
        queue->first = transfer->next;
    }
    if (transfer->next != NULL) {
        transfer->next->previous = transfer->previous;
    } else {
        queue->last = transfer->previous;
    }
    transfer->next = NULL;
    transfer->previous = NULL;
}

static struct queue take_all(struct mlt_http_client *client, struct queue *queue)
{
    (void)pthread_mutex_lock(&client->lock);
    const struct queue taken = *queue;
    *queue = (struct queue){ NULL, NULL };
    (void)pthread_mutex_unlock(&client->lock);
    return taken;
}

/* ---- loop thread ---- */

static void answer_all(struct mlt_http_client *client, struct queue *answers)
{
    while (answers->first != NULL) {
        struct transfer *transfer = answers->first;
        unlink_from(answers, transfer);
        client->open--;
        transfer->done(transfer->ctx, &transfer->response);
        http_transfer_destroy(transfer);
    }
}

/* Takes one answer at a time, because done may destroy the client: the rest must then still be in
 * its queue. */
static void deliver(void *ctx)
{
    struct mlt_http_client *client = ctx;
    (void)pthread_mutex_lock(&client->lock);
    client->posted = false;
    struct transfer *transfer = client->answered.first;
    if (transfer != NULL) {
        unlink_from(&client->answered, transfer);
        if (client->answered.first != NULL) {
            /* Full: the HTTP thread posts with its next answer or wake-up. */
            client->posted = mlt_loop_post(client->options.loop, deliver, client) == MLT_OK;
        }
    }
    const bool wake = client->answered.first != NULL && !client->posted;
    (void)pthread_mutex_unlock(&client->lock);
    if (wake) {
        (void)curl_multi_wakeup(client->multi);
    }
    if (transfer != NULL) {
        struct queue one = { transfer, transfer };
        answer_all(client, &one);
    }
}

enum mlt_status mlt_http_get(struct mlt_http_client *client, const char *url, mlt_http_done_fn done,
                             void *ctx)
{
    if (client->stopping) { /* written by this thread only */
        return MLT_E_CLOSED;
    }
    if (client->open >= MLT_HTTP_WAITING_MAX) {
        return MLT_E_FULL;
    }
    struct transfer *transfer = http_transfer_create(url, done, ctx, &client->options);
    if (transfer == NULL) {
        return MLT_E_NOMEM;
    }
    client->open++;
    (void)pthread_mutex_lock(&client->lock);
    push(&client->asked, transfer);
    (void)pthread_mutex_unlock(&client->lock);
    (void)curl_multi_wakeup(client->multi);
    return MLT_OK;
}

/* ---- HTTP thread ---- */

/* False: answers wait because the loop's mailbox is full. */
static bool hand_over(struct mlt_http_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    if (client->answered.first != NULL && !client->posted) {
        client->posted = mlt_loop_post(client->options.loop, deliver, client) == MLT_OK;
    }
    const bool done = client->answered.first == NULL || client->posted;
    (void)pthread_mutex_unlock(&client->lock);
    return done;
}

static void answered(struct mlt_http_client *client, struct transfer *transfer)
{
    (void)pthread_mutex_lock(&client->lock);
    push(&client->answered, transfer);
    (void)pthread_mutex_unlock(&client->lock);
}

static void begin_waiting(struct mlt_http_client *client)
{
    while (client->waiting.first != NULL &&
           client->running_count < client->options.connections_max) {
        struct transfer *transfer = client->waiting.first;
        unlink_from(&client->waiting, transfer);
        const int64_t left = transfer->deadline_mono_ns - mlt_clock_mono_ns();
        if (left <= 0) {
            http_transfer_fail(transfer, MLT_E_TIMEOUT, "no connection was free in time");
            answered(client, transfer);
        } else if (!http_transfer_begin(transfer, &client->options, left) ||
                   curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
            http_transfer_fail(transfer, MLT_E_IO, "libcurl takes no more requests");
            answered(client, transfer);
        } else {
            push(&client->running, transfer);
            client->running_count++;
        }
    }
}

static void take_asked(struct mlt_http_client *client)
{
    struct queue asked = take_all(client, &client->asked);
    while (asked.first != NULL) {
        struct transfer *transfer = asked.first;
        unlink_from(&asked, transfer);
        push(&client->waiting, transfer);
    }
}

static bool end_finished(struct mlt_http_client *client)
{
    bool any = false;
    int left = 0;
    CURLMsg *message = NULL;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        const CURLcode code = message->data.result;
        CURL *easy = message->easy_handle;
        void *private = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct transfer *transfer = private;
        (void)curl_multi_remove_handle(client->multi, easy);
        unlink_from(&client->running, transfer);
        client->running_count--;
        http_transfer_end(transfer, code);
        answered(client, transfer);
        any = true;
    }
    return any;
}

static void close_first(struct mlt_http_client *client, struct queue *queue)
{
    struct transfer *transfer = queue->first;
    unlink_from(queue, transfer);
    http_transfer_fail(transfer, MLT_E_CLOSED, "the client is being destroyed");
    answered(client, transfer);
}

static void *http_thread(void *arg)
{
    struct mlt_http_client *client = arg;
    for (;;) {
        (void)pthread_mutex_lock(&client->lock);
        const bool stopping = client->stopping;
        (void)pthread_mutex_unlock(&client->lock);
        if (stopping) {
            break;
        }
        take_asked(client);
        do { /* what ends makes room for what waits */
            begin_waiting(client);
            int running = 0;
            (void)curl_multi_perform(client->multi, &running);
        } while (end_finished(client) && client->waiting.first != NULL);
        (void)curl_multi_poll(client->multi, NULL, 0, hand_over(client) ? IDLE_MS : POST_AGAIN_MS,
                              NULL);
    }
    while (client->running.first != NULL) {
        struct transfer *transfer = client->running.first;
        (void)curl_multi_remove_handle(client->multi, transfer->easy);
        close_first(client, &client->running);
    }
    while (client->waiting.first != NULL) {
        close_first(client, &client->waiting);
    }
    return NULL;
}

/* ---- life ---- */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started = CURLE_FAILED_INIT;

static void start_curl(void)
{
    curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static enum mlt_status check_options(const struct mlt_http_options *options, struct mlt_error *err)
{
    MLT_CHECK(options->loop != NULL);
    if (options->timeout_ns <= 0 || options->body_bytes_max == 0 ||
        options->body_bytes_max > SIZE_MAX / 4 || options->connections_max == 0) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "HTTP client: timeout, body limit and connections must be above 0");
    }
    return MLT_OK;
}

static enum mlt_status set_up_multi(struct mlt_http_client *client, struct mlt_error *err)
{
    if (pthread_once(&curl_once, start_curl) != 0 || curl_started != CURLE_OK) {
        return mlt_error_set_foreign(err, MLT_E_INTERNAL, "curl", (int)curl_started,
                                     "libcurl does not start");
    }
    client->multi = curl_multi_init();
    if (client->multi == NULL ||
        curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for libcurl");
    }
    return MLT_OK;
}

static void free_client(struct mlt_http_client *client)
{
    if (client->multi != NULL) {
        (void)curl_multi_cleanup(client->multi);
    }
    free(client->ca_file);
    free(client->user_agent);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

enum mlt_status mlt_http_client_create(const struct mlt_http_options *options,
                                       struct mlt_http_client **out, struct mlt_error *err)
{
    *out = NULL;
    enum mlt_status status = check_options(options, err);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_http_client *client = calloc(1, sizeof *client);
    if (client == NULL || pthread_mutex_init(&client->lock, NULL) != 0) {
        free(client);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the HTTP client");
    }
    client->options = *options;
    client->ca_file = strdup(options->ca_file != NULL ? options->ca_file : "");
    client->user_agent = strdup(options->user_agent != NULL ? options->user_agent : "meltica");
    client->options.ca_file = client->ca_file;
    client->options.user_agent = client->user_agent;
    status = client->ca_file != NULL && client->user_agent != NULL
                 ? set_up_multi(client, err)
                 : mlt_error_set(err, MLT_E_NOMEM, "no memory for the HTTP client");
    if (status == MLT_OK && pthread_create(&client->thread, NULL, http_thread, client) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no thread for the HTTP client");
    }
    if (status != MLT_OK) {
        free_client(client);
        return status;
    }
    *out = client;
    return MLT_OK;
}

void mlt_http_client_destroy(struct mlt_http_client *client)
{
    if (client == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&client->lock);
    client->stopping = true;
    (void)pthread_mutex_unlock(&client->lock);
    (void)curl_multi_wakeup(client->multi);
    (void)pthread_join(client->thread, NULL);
    mlt_loop_unpost(client->options.loop, deliver, client);
    /* Answers that are here go out as they are, the others as closed. */
    answer_all(client, &client->answered);
    while (client->asked.first != NULL) {
        struct transfer *transfer = client->asked.first;
        unlink_from(&client->asked, transfer);
        http_transfer_fail(transfer, MLT_E_CLOSED, "the client is being destroyed");
        struct queue one = { NULL, NULL };
        push(&one, transfer);
        answer_all(client, &one);
    }
    free_client(client);
}

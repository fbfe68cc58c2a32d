#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

/* getaddrinfo loads modules and parses their files on the stack of its caller. */
#define STACK_BYTES (256u << 10)

/* Owned by two: the thread and the line. Whoever lets go last frees it. */
struct ws_lookup {
    pthread_mutex_t lock;
    struct mlt_loop *loop; /* NULL once abandoned: the thread must not touch the loop any more */
    unsigned owners;
    char host[HOST_BYTES_MAX + 1];
    ws_lookup_fn done;
    void *ctx;
    struct ws_addresses addresses;
    char reason[TEXT_BYTES];
};

bool ws_address_is_numeric(const char *host)
{
    unsigned char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, binary) == 1 || inet_pton(AF_INET6, host, binary) == 1;
}

/* Called with the lock held; gives it back. */
static void let_go(struct ws_lookup *lookup)
{
    const bool last = --lookup->owners == 0;
    (void)pthread_mutex_unlock(&lookup->lock);
    if (last) {
        (void)pthread_mutex_destroy(&lookup->lock);
        free(lookup);
    }
}

static void deliver(void *ctx)
{
    struct ws_lookup *lookup = ctx;
    const ws_lookup_fn done = lookup->done;
    void *const done_ctx = lookup->ctx;
    const struct ws_addresses addresses = lookup->addresses;
    char reason[TEXT_BYTES];
    memcpy(reason, lookup->reason, sizeof reason);
    (void)pthread_mutex_lock(&lookup->lock);
    lookup->loop = NULL;
    let_go(lookup);
    done(done_ctx, &addresses, reason);
}

static void collect(struct ws_addresses *to, const struct addrinfo *from)
{
    for (const struct addrinfo *a = from; a != NULL && to->count < ADDRESSES_MAX; a = a->ai_next) {
        if (getnameinfo(a->ai_addr, a->ai_addrlen, to->text[to->count], ADDRESS_BYTES, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            to->count++;
        }
    }
}

static void *lookup_thread(void *arg)
{
    struct ws_lookup *lookup = arg;
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *found = NULL;
    const int failed = getaddrinfo(lookup->host, NULL, &hints, &found);
    if (failed == 0) {
        collect(&lookup->addresses, found);
        freeaddrinfo(found);
    }
    if (lookup->addresses.count == 0) {
        (void)snprintf(lookup->reason, sizeof lookup->reason, "%.60s cannot be resolved: %.40s",
                       lookup->host, failed != 0 ? gai_strerror(failed) : "no address");
    }
    (void)pthread_mutex_lock(&lookup->lock);
    if (lookup->loop != NULL && mlt_loop_post(lookup->loop, deliver, lookup) != MLT_OK) {
        /* A loop with thousands of tasks waiting is lost anyway: the line ends at its connect
         * deadline, which abandons the lookup. */
        lookup->addresses.count = 0;
    }
    let_go(lookup);
    return NULL;
}

enum mlt_status ws_lookup_start(struct mlt_loop *loop, const char *host, ws_lookup_fn done,
                                void *ctx, struct ws_lookup **out)
{
    struct ws_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        return MLT_E_NOMEM;
    }
    lookup->loop = loop;
    lookup->owners = 2;
    lookup->done = done;
    lookup->ctx = ctx;
    (void)snprintf(lookup->host, sizeof lookup->host, "%s", host);
    pthread_attr_t attributes;
    if (pthread_mutex_init(&lookup->lock, NULL) != 0) {
        free(lookup);
        return MLT_E_NOMEM;
    }
    bool started = false;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_t thread;
        /* Detached: nobody waits for a name server that does not answer, not even at the end. */
        started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                  pthread_attr_setstacksize(&attributes, STACK_BYTES) == 0 &&
                  pthread_create(&thread, &attributes, lookup_thread, lookup) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    if (!started) {
        (void)pthread_mutex_destroy(&lookup->lock);
        free(lookup);
        return MLT_E_NOMEM;
    }
    *out = lookup;
    return MLT_OK;
}

void ws_lookup_abandon(struct ws_lookup *lookup)
{
    if (lookup == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&lookup->lock);
    mlt_loop_unpost(lookup->loop, deliver, lookup);
    lookup->loop = NULL;
    let_go(lookup);
}

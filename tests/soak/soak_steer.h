/*
 * Consumers of the soak that change what they want all the time, by a seeded schedule: subscribe,
 * unsubscribe, update, renew, private channels, and requests that must be refused. Each is a thread
 * with its own subscriptions, tells the watch what is asked for, and measures how long it takes
 * until a command is in effect.
 */
#ifndef MELTICA_SOAK_STEER_H
#define MELTICA_SOAK_STEER_H

#include "soak_watch.h"

#define SOAK_CONSUMERS_MAX 32u
#define SOAK_SUBSCRIPTIONS_MAX 4u /* of a consumer */

enum soak_verb { SOAK_SUBSCRIBE, SOAK_UNSUBSCRIBE, SOAK_UPDATE, SOAK_RENEW, SOAK_VERBS };
extern const char *const soak_verb_names[SOAK_VERBS];

struct soak_subscription {
    char id[64]; /* "": free */
    enum mlt_event_type type;
    uint64_t mask; /* symbols */
    bool lane, leased;
};

struct soak_steer;

struct soak_consumer {
    struct soak_steer *owner;
    pthread_t thread;
    unsigned number;
    uint64_t dice, requests;
    struct soak_subscription held[SOAK_SUBSCRIPTIONS_MAX];
};

struct soak_steer {
    struct soak_watch *watch;
    struct mlt_bus *bus;
    unsigned count;
    struct soak_consumer consumers[SOAK_CONSUMERS_MAX];

    pthread_mutex_t lock; /* all that follows */
    pthread_cond_t changed;
    bool stopping, warm;
    uint64_t done[SOAK_VERBS];     /* CONFIRMED */
    uint64_t commands, failed;     /* commands: those that had to take effect */
    uint64_t exchange_refused;     /* of those that failed: 502, nothing changed */
    bool first_is_refusal;         /* first_failure is one of these */
    uint64_t pending, asked_again; /* answers PENDING; 503, asked again */
    uint64_t in_2s;                /* of them: in effect within 2 s */
    uint64_t refused_right, refused_wrong;
    struct mlt_latency in_effect;
    char first_failure[512]; /* "": none */
    bool lists_right;        /* at the end each consumer's list was what it holds */
};

/* Begins `count` consumers. Fails the program (cmocka) where there is no server. */
void soak_steer_start(struct soak_steer *steer, struct soak_watch *watch, const char *nats_url,
                      unsigned count, uint64_t seed);
void soak_steer_warm(struct soak_steer *steer);
/* Waits until each has its last answer, then asks for their lists. */
void soak_steer_stop(struct soak_steer *steer);

#endif

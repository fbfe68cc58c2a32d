/*
 * Real Conductors and Data Buses, several of each, between a feeding Dispatcher and a consumer that
 * sees every channel of every epoch numbered without a hole and every update id once. That is
 * looked at with each event, in the order of arrival; repeats are none, or to be ignored, as the
 * test says. One rig a process; fails the test (cmocka).
 */
#ifndef MELTICA_TEST_STANDBY_RIG_H
#define MELTICA_TEST_STANDBY_RIG_H

#include "flow_peers.h"

#include "meltica/base/clock.h"
#include "meltica/bus/owners.h"

#define CONDUCTORS 3u
#define DATA_BUSES 3u
#define BEATERS (CONDUCTORS + DATA_BUSES)

/* One that says what it owns. */
struct beater {
    uint64_t boot;    /* 0: nothing was heard yet */
    int64_t heard_ns; /* monotonic; 0: what comes next is the first */
    bool held;        /* the test itself keeps it from speaking, or from being heard */
};

struct followed {
    uint64_t epochs[MLT_EVENT_TYPE_COUNT], sequences[MLT_EVENT_TYPE_COUNT];
    int64_t delta_last, book_last;
    uint64_t live_epoch; /* of the newest BOOK that is LIVE */
    int64_t live_at_ns;  /* monotonic: when the first one of that epoch came */
    uint64_t live_books; /* of that epoch */
};

struct standby_rig {
    struct server server;
    struct feeder feeder;
    struct process conductors[CONDUCTORS], data_buses[DATA_BUSES];
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub, *beats;
    struct beater beaters[BEATERS]; /* Conductors first */
    struct mlt_arena arena;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    int64_t last;           /* update id sent, of each instrument */
    struct followed of[FLOW_INSTRUMENTS];
    uint64_t lost, repeats;
    uint64_t ownerless; /* partitions from which nothing comes, as the test means it */
    bool repeating;     /* a Data Bus may say again what it is not sure that was said */
    bool lossy;         /* the live lane may have lost something to a server that died */
    char problem[256];
    pthread_t thread;
    bool running, stop;
};
extern struct standby_rig rig;

/* Starts all of it, with that many Conductors and Data Buses, which are told how many they are,
 * feeds, and waits until every book is LIVE. */
void rig_start(bool jetstream, unsigned conductors, unsigned data_buses);
int rig_end(void **state); /* also after a failure: nothing stays behind */
/* Starts one (again). */
void run_conductor(unsigned replica, const char *replicas);
void run_data_bus(unsigned replica, const char *replicas);
/* One of two, that never hears a beat, its own neither, and is heard. */
void run_deaf_data_bus(unsigned replica);
void pause_feeding(void);

/* The test stops one of them (number as of struct standby_rig.beaters; BEATERS: all, as NATS ends)
 * from here on, and lets it go on. */
void rig_hold(unsigned beater);
void rig_let_go(unsigned beater);
/* Runs a group of tests, and once more where one failed and one that nobody held said nothing for
 * as long as an owner may be silent: the machine kept it from running, the others were right to
 * take what it had, and the tests say exactly who has what. */
int standby_run(int (*group)(void));

/* Where the books of each instrument are. */
struct place {
    uint64_t epochs[FLOW_INSTRUMENTS], books[FLOW_INSTRUMENTS];
};
struct place place(void);
/* Waits until each instrument of these partitions has LIVE BOOKs of a newer epoch than then, and
 * each other one further ones of the same. Returns when the last of the first did, in ns after
 * `begin`. */
int64_t await_live(const struct place *then, uint64_t partitions, int64_t begin);
/* Nothing was missing, doubled or lost so far. */
void assert_clean(void);
/* Ends feeding; all that was fed comes, and it is clean. */
void assert_complete(void);
void assert_in_time(const char *what, int64_t took_ns);

#endif

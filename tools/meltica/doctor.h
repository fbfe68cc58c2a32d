/* The parts of `meltica doctor`: each looks at one side of an installation and says what it found.
 * One thread. */
#ifndef MELTICA_TOOL_DOCTOR_H
#define MELTICA_TOOL_DOCTOR_H

#include <stdio.h>

#include "connection.h"
#include "inside.h"
#include "meltica/bus/stored.h"

#define MLT_DOCTOR_FINDINGS_MAX 48u

enum mlt_verdict {
    MLT_VERDICT_OK,
    MLT_VERDICT_WARN,    /* it runs, and is not as it should be */
    MLT_VERDICT_FAIL,    /* something does not work, or will not after the next restart */
    MLT_VERDICT_UNKNOWN, /* could not be looked at */
    MLT_VERDICT_COUNT
};

struct mlt_finding {
    char check[48];
    enum mlt_verdict verdict;
    char found[512];
    char advice[640]; /* one sentence; "" where there is nothing to do */
};

/* Rights that the checks need. */
enum mlt_doctor_right {
    MLT_RIGHT_DATA,    /* listen to meltica.data.* */
    MLT_RIGHT_INBOX,   /* listen to answers */
    MLT_RIGHT_CONTROL, /* ask meltica.control.list */
    MLT_RIGHT_MICRO,   /* ask $SRV.STATS */
    MLT_RIGHT_API,     /* ask $JS.API.INFO */
    MLT_RIGHT_STREAMS, /* ask for the state of every stream and bucket */
    MLT_RIGHT_JOURNAL, /* read the journal */
    MLT_RIGHT_AUDIT,   /* read the audit */
    MLT_RIGHT_COUNT
};

struct mlt_doctor {
    struct mlt_tool_connection connection;
    const char *rest_url;    /* NULL: the exchange is not asked */
    const char *as;          /* principal; NULL: the one without a name */
    struct mlt_bus *bus;     /* NULL: NATS is away */
    struct mlt_store *store; /* NULL with it */
    char why_away[512];      /* NATS, in words */
    bool denied[MLT_RIGHT_COUNT];
    bool jetstream; /* it answered */
    struct mlt_inside inside;
    bool asked; /* inside is filled */
    size_t count;
    struct mlt_finding findings[MLT_DOCTOR_FINDINGS_MAX];
};

/* Adds a finding, the advice empty; mlt_doctor_advise fills that of the last one. */
void mlt_doctor_say(struct mlt_doctor *d, enum mlt_verdict verdict, const char *check,
                    const char *format, ...) MLT_PRINTF(4, 5);
void mlt_doctor_advise(struct mlt_doctor *d, const char *format, ...) MLT_PRINTF(2, 3);

/* doctor_nats.c: connection, version, permissions, JetStream, streams and buckets, NATS's clock. */
void mlt_doctor_nats(struct mlt_doctor *d);
void mlt_doctor_rights(struct mlt_doctor *d);
void mlt_doctor_jetstream(struct mlt_doctor *d);
void mlt_doctor_stored(struct mlt_doctor *d);
void mlt_doctor_nats_clock(struct mlt_doctor *d);
/* doctor_services.c: the five services, their versions and clocks, the control table. ask before
 * anything that is looked at by what they say. */
void mlt_doctor_ask(struct mlt_doctor *d);
void mlt_doctor_services(struct mlt_doctor *d);
void mlt_doctor_control(struct mlt_doctor *d);
/* doctor_exchange.c: the exchange and its clock. */
void mlt_doctor_exchange(struct mlt_doctor *d);

/* Judges the clock of another: its time minus ours, known to within half_ns. strict: 1 s and more
 * is a failure. */
void mlt_doctor_clock(struct mlt_doctor *d, const char *check, const char *whose, int64_t offset_ns,
                      int64_t half_ns, bool strict);

#endif

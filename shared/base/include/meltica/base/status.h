/*
 * Outcome of every fallible call in Meltica: one closed list with name, text and class.
 * Hot paths return it and count; cold paths also fill a struct mlt_error (error.h).
 */
#ifndef MELTICA_BASE_STATUS_H
#define MELTICA_BASE_STATUS_H

#if defined(__GNUC__)
#define MLT_MUST_CHECK __attribute__((warn_unused_result))
#define MLT_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#else
#define MLT_MUST_CHECK
#define MLT_PRINTF(fmt_index, first_arg)
#endif

/* What a caller may do about it. */
enum mlt_status_class {
    MLT_CLASS_OK,    /* nothing to do */
    MLT_CLASS_RETRY, /* the same call may succeed later */
    MLT_CLASS_PEER,  /* the other side sent or asked for something wrong */
    MLT_CLASS_FATAL, /* an operator has to change something */
    MLT_CLASS_BUG    /* Meltica is wrong */
};

/* X(name, word, class, text). The word is stable: it stands in logs, metrics and replies. */
#define MLT_STATUS_MAP(X)                                                                          \
    X(OK, "ok", OK, "success")                                                                     \
    X(E_NOMEM, "no_memory", FATAL, "out of memory: raise the memory limit")                        \
    X(E_INVALID, "invalid_argument", BUG, "argument outside of the contract")                      \
    X(E_CONFIG, "config", FATAL, "configuration is wrong: see the named key")                      \
    X(E_LIMIT, "limit", RETRY, "a named limit is reached")                                         \
    X(E_FULL, "full", RETRY, "bounded queue or buffer is full")                                    \
    X(E_EMPTY, "empty", RETRY, "nothing there")                                                    \
    X(E_NOT_FOUND, "not_found", PEER, "no such thing")                                             \
    X(E_EXISTS, "exists", PEER, "exists already")                                                  \
    X(E_TIMEOUT, "timeout", RETRY, "no answer in time")                                            \
    X(E_CLOSED, "closed", RETRY, "connection or object is closed")                                 \
    X(E_AGAIN, "again", RETRY, "not now, try again")                                               \
    X(E_IO, "io", RETRY, "input/output error")                                                     \
    X(E_CONNECT, "connect", RETRY, "cannot connect: check address, credentials and network")       \
    X(E_AUTH, "unauthorized", FATAL,                                                               \
      "refused by the other side: check credentials and permissions")                              \
    X(E_UNAVAILABLE, "unavailable", RETRY, "service is away")                                      \
    X(E_CONFLICT, "conflict", RETRY, "somebody else changed it first")                             \
    X(E_STALE_OWNER, "stale_owner", PEER, "a newer owner exists")                                  \
    X(E_PROTOCOL, "protocol", PEER, "peer broke the protocol")                                     \
    X(E_PARSE, "parse", PEER, "not parsable")                                                      \
    X(E_MISSING, "missing_field", PEER, "required field is missing")                               \
    X(E_TYPE, "wrong_type", PEER, "field has another type than documented")                        \
    X(E_RANGE, "out_of_range", PEER, "value does not fit")                                         \
    X(E_PRECISION, "precision", PEER, "value has more decimals than its instrument announces")     \
    X(E_UNMAPPED, "unmapped", PEER, "no route for this type: add one to the dispatch table")       \
    X(E_TOO_BIG, "too_big", PEER, "longer than the documented maximum")                            \
    X(E_RATE, "rate_limited", RETRY, "the exchange asked to wait")                                 \
    X(E_VERSION, "version", FATAL, "version of the other side is not supported")                   \
    X(E_INTERNAL, "internal", BUG, "invariant broken: please report")

enum mlt_status {
#define X(name, word, class, text) MLT_##name,
    MLT_STATUS_MAP(X)
#undef X
        MLT_STATUS_COUNT
};

/* Stable word ("out_of_range"); "unknown" for a value outside the list. Static storage, any thread.
 */
const char *mlt_status_word(enum mlt_status status);

/* Sentence for people, saying what to do where there is something to do. Static storage, any
 * thread. */
const char *mlt_status_text(enum mlt_status status);

/* Class of a status; BUG for a value outside the list. Any thread. */
enum mlt_status_class mlt_status_class(enum mlt_status status);

#endif

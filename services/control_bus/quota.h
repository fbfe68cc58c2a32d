/*
 * What one principal may hold, counted over its live subscriptions and over what was granted and is
 * not in the table yet. Each command enters before it asks for the table, and is granted under one
 * lock: of two that fit only alone, one is granted. A grant that ended stays counted as long as
 * anyone who entered before that end may still decide by an older table.
 *
 * This is of one process: commands that two instances of the Control Bus carry out in the same
 * moment do not see each other. Any thread.
 */
#ifndef MELTICA_CONTROL_BUS_QUOTA_H
#define MELTICA_CONTROL_BUS_QUOTA_H

#include "authority.h"

#define MLT_QUOTA_ENTRIES_MAX 128u
#define MLT_QUOTA_PATTERNS_MAX 1024u /* different ones that one principal may hold */

struct mlt_quota;

/* What one subscription holds. */
struct mlt_quota_size {
    int64_t streams, wildcard_matches;
};

enum mlt_status mlt_quota_create(struct mlt_quota **quota) MLT_MUST_CHECK; /* E_NOMEM */
void mlt_quota_destroy(struct mlt_quota *quota);                           /* NULL is fine */

/* Before the table is asked for. *ticket is given back with mlt_quota_leave. E_FULL: nothing was
 * entered. */
enum mlt_status mlt_quota_enter(struct mlt_quota *quota, const char *principal,
                                unsigned *ticket) MLT_MUST_CHECK;

/* Patterns among the live subscriptions of a principal, each once, views into table, to be asked
 * for in a TableRequest; at most max, E_FULL beyond. */
enum mlt_status mlt_quota_patterns(const Meltica__V1__Table *table, const char *principal,
                                   char **out, size_t max, size_t *count) MLT_MUST_CHECK;

struct mlt_quota_question {
    const struct mlt_role *role;
    const char *principal, *subscription;
    const char *replaced; /* update: what ends with it, not counted; NULL */
    struct mlt_quota_size size;
    const Meltica__V1__Table *table;
    /* How many listed instruments each pattern of its live subscriptions covers; one that is not
     * there counts as one. */
    char *const *patterns;
    const uint32_t *matches;
    size_t pattern_count;
};
/* Grants, or says which limit there is: E_PROTOCOL with *refusal (403, 429). */
enum mlt_status mlt_quota_grant(struct mlt_quota *quota, unsigned ticket,
                                const struct mlt_quota_question *question,
                                struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

enum mlt_quota_end {
    MLT_QUOTA_NOTHING, /* nothing came of it */
    MLT_QUOTA_APPLIED, /* the table has it */
    MLT_QUOTA_STORED   /* the log has it, the table soon */
};
void mlt_quota_leave(struct mlt_quota *quota, unsigned ticket, enum mlt_quota_end end,
                     int64_t now_ns);
/* A subscription ended: it is not counted any more. */
void mlt_quota_forget(struct mlt_quota *quota, const char *principal, const char *subscription);

#endif

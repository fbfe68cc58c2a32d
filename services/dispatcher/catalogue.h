/*
 * Instruments that the Dispatcher knows, and which types of each are subscribed. An instrument is
 * known when a subscription names it, when the listing (INSTRUMENT events) has it, or when an
 * instance of it came and a pattern covers it: a Dispatcher that starts anew routes what flows
 * before it has heard the listing. Also holds the revision: it begins at the wall clock in ms, so
 * that it grows over restarts, and grows by one whenever what flows may change. Pure; the caller
 * locks.
 */
#ifndef MELTICA_DISPATCHER_CATALOGUE_H
#define MELTICA_DISPATCHER_CATALOGUE_H

#include "live.h"

#define MLT_CATALOGUE_INSTRUMENTS_MAX 16384u
#define MLT_CATALOGUE_STATUS_BYTES_MAX 23u

struct mlt_catalogue_entry {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    uint32_t slot;
    uint32_t types;  /* subscribed, bit per enum mlt_event_type; what BOOK brings included */
    uint32_t named;  /* of these, by its name; the rest is covered by patterns alone */
    uint32_t before; /* types, before they were computed anew the last time */
    uint32_t fresh;  /* of these, begun while events flow, and no event of the type came since */
    bool listed;     /* the last INSTRUMENT event did not take it off; the rest is of that event */
    bool gone;       /* it did: patterns bring no topics of it */
    bool halted;     /* its last status is another than TRADING, also where that took it off */
    char status[MLT_CATALOGUE_STATUS_BYTES_MAX + 1];
    int32_t price_exponent, quantity_exponent;
    struct mlt_catalogue_entry *next;
};

/* Types whose topics the plan names: what the exchange took off its list only who names it asks
 * for, and is told that it is not there. */
static inline uint32_t mlt_catalogue_planned(const struct mlt_catalogue_entry *entry)
{
    return entry->gone ? entry->named : entry->types;
}

struct mlt_catalogue;

/* table must outlive the catalogue. E_NOMEM, E_LIMIT (subscriptions name more instruments than
 * MLT_CATALOGUE_INSTRUMENTS_MAX). */
enum mlt_status mlt_catalogue_create(const struct mlt_table *table, uint64_t first_revision,
                                     struct mlt_catalogue **catalogue) MLT_MUST_CHECK;
void mlt_catalogue_destroy(struct mlt_catalogue *catalogue); /* NULL is fine */

uint64_t mlt_catalogue_revision(const struct mlt_catalogue *catalogue);
/* What flows changes for a reason outside (the listing is complete): one up. */
void mlt_catalogue_bump(struct mlt_catalogue *catalogue);
/* Changes from here to the next call make one revision, counted at the first of them. */
void mlt_catalogue_begin(struct mlt_catalogue *catalogue);

/* What is subscribed from now on: what the table says and the live ones. The union is computed anew
 * and the revision grows by one. Keeps nothing of live. E_NOMEM, E_LIMIT: what was subscribed
 * stays. */
enum mlt_status mlt_catalogue_subscribe(struct mlt_catalogue *catalogue,
                                        const struct mlt_live *live) MLT_MUST_CHECK;
/* Listed instruments that a pattern or token covers. A lookup, however many are listed. */
uint32_t mlt_catalogue_matches(const struct mlt_catalogue *catalogue, struct mlt_slice pattern);

/* The entry of a token, made now if a pattern covers it; NULL: not known and not covered, or no
 * token, or no room (counted). */
const struct mlt_catalogue_entry *mlt_catalogue_find(struct mlt_catalogue *catalogue,
                                                     struct mlt_slice token);

/* Whether this event is the first of its type since the type was subscribed, by a subscription made
 * while events flow; from now on none is. What was subscribed when the flow began goes on from
 * where it was before. */
bool mlt_catalogue_begins(struct mlt_catalogue *catalogue, struct mlt_slice token,
                          enum mlt_event_type type);

/* Types of a token that are subscribed, without making it known; *known: it is, or a pattern covers
 * it. */
uint32_t mlt_catalogue_types(const struct mlt_catalogue *catalogue, struct mlt_slice token,
                             bool *known);

/* Takes over what an INSTRUMENT event says. E_PROTOCOL (no token), E_LIMIT, E_NOMEM: not taken. */
enum mlt_status mlt_catalogue_listing(struct mlt_catalogue *catalogue, struct mlt_slice token,
                                      const struct mlt_instrument *instrument,
                                      const struct mlt_catalogue_entry **entry) MLT_MUST_CHECK;

/* The Data Bus has a place for each private lane and each instrument that it covers, and no more
 * than so many. */
#define MLT_CATALOGUE_LANE_PLACES_MAX 16384u
/* mlt_catalogue_subscribe after a command; item is what it made, NULL: it ended one. E_LIMIT also
 * where the item is a private lane and the lanes together cover more than there are places: names
 * as they are written, patterns as many as they cover of what is known now; and where the table
 * with it is longer than MLT_DEMAND_TABLE_BYTES_MAX. What a log of before has beyond that stays. */
enum mlt_status mlt_catalogue_follow(struct mlt_catalogue *catalogue, const struct mlt_live *live,
                                     const struct mlt_live_item *item) MLT_MUST_CHECK;

/* What routes and subscriptions take in the message of the table, at most. */
size_t mlt_catalogue_table_bytes(const struct mlt_catalogue *catalogue,
                                 const struct mlt_live *live);

struct mlt_catalogue_counts {
    uint32_t known, listed, subscribed;
    uint64_t refused; /* instruments beyond the limit */
};
void mlt_catalogue_counts(const struct mlt_catalogue *catalogue, struct mlt_catalogue_counts *out);
bool mlt_catalogue_has_wildcards(const struct mlt_catalogue *catalogue);
/* In order of becoming known; follow next. NULL when empty. */
const struct mlt_catalogue_entry *mlt_catalogue_first(const struct mlt_catalogue *catalogue);

#endif

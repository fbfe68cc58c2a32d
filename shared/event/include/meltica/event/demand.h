/* How much may be subscribed at once, where services that do not know each other must agree: what
 * the Dispatcher admits is what the Control Bus lets through and what the Data Bus has room for. */
#ifndef MELTICA_EVENT_DEMAND_H
#define MELTICA_EVENT_DEMAND_H

/* Instruments and patterns, each subscription's for itself. */
#define MLT_DEMAND_LIVE_NAMES_MAX 16384u /* of all live subscriptions */
#define MLT_DEMAND_FILE_NAMES_MAX 16384u /* of those in the file of the dispatch table */
#define MLT_DEMAND_NAMES_MAX (MLT_DEMAND_LIVE_NAMES_MAX + MLT_DEMAND_FILE_NAMES_MAX)

/* All subscriptions and routes travel in one message (Table of internal.proto): what they take in
 * it at most, with what changes in place (state, lease, sequence) at its longest. The rest of the
 * message is for what is asked for besides. */
#define MLT_DEMAND_TABLE_BYTES_MAX (944u << 10)
#define MLT_DEMAND_TABLE_REST_BYTES (16u << 10)
/* Of a subscription, a name or pattern in it, a comparison of its filter: each besides its texts.
 */
#define MLT_DEMAND_SUBSCRIPTION_BYTES 64u
#define MLT_DEMAND_NAME_BYTES 2u
#define MLT_DEMAND_COMPARISON_BYTES 10u
/* Of a route, and one of its policies. */
#define MLT_DEMAND_ROUTE_BYTES 32u
#define MLT_DEMAND_POLICY_BYTES 3u

#endif

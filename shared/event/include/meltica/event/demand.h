/* How much may be subscribed at once, where services that do not know each other must agree: what
 * the Dispatcher admits is what the Control Bus lets through and what the Data Bus has room for. */
#ifndef MELTICA_EVENT_DEMAND_H
#define MELTICA_EVENT_DEMAND_H

/* Instruments and patterns, each subscription's for itself. */
#define MLT_DEMAND_LIVE_NAMES_MAX 16384u /* of all live subscriptions */
#define MLT_DEMAND_FILE_NAMES_MAX 16384u /* of those in the file of the dispatch table */
#define MLT_DEMAND_NAMES_MAX (MLT_DEMAND_LIVE_NAMES_MAX + MLT_DEMAND_FILE_NAMES_MAX)

#endif

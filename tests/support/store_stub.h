/* In the place of a store and of subscriptions, for unit tests that link with --wrap: it is there,
 * and all is provisioned. What is asked of it is the test's own. */
#ifndef MELTICA_TEST_STORE_STUB_H
#define MELTICA_TEST_STORE_STUB_H

#include "meltica/bus/bus.h"
#include "meltica/bus/store.h"
#include "meltica/bus/stored.h"

enum mlt_status __wrap_mlt_store_create(struct mlt_bus *bus, uint32_t provision_replicas,
                                        struct mlt_store **store, struct mlt_error *err);
void __wrap_mlt_store_destroy(struct mlt_store *store);
enum mlt_status __wrap_mlt_stored_ensure(struct mlt_store *store, enum mlt_stored which,
                                         struct mlt_error *err);
void __wrap_mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription);

#endif

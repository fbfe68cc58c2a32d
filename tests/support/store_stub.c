#include "store_stub.h"

enum mlt_status __wrap_mlt_store_create(struct mlt_bus *bus, uint32_t provision_replicas,
                                        struct mlt_store **store, struct mlt_error *err)
{
    static char never_looked_into;
    (void)bus;
    (void)provision_replicas;
    (void)err;
    *store = (struct mlt_store *)(void *)&never_looked_into;
    return MLT_OK;
}

void __wrap_mlt_store_destroy(struct mlt_store *store)
{
    (void)store;
}

enum mlt_status __wrap_mlt_stored_ensure(struct mlt_store *store, enum mlt_stored which,
                                         struct mlt_error *err)
{
    (void)store;
    (void)which;
    (void)err;
    return MLT_OK;
}

void __wrap_mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription)
{
    (void)subscription;
}

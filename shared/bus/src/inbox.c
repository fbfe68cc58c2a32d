/* Subjects for answers, as nats.c makes them, below the prefix of a connection. */
#include <stdio.h>
#include <string.h>

#include "connection.h"

enum mlt_status mlt_bus_make_inbox(const struct mlt_bus *bus, char out[MLT_BUS_INBOX_BYTES_MAX],
                                   struct mlt_error *err)
{
    natsInbox *inbox = NULL;
    const natsStatus status = natsInbox_Create(&inbox);
    if (status != NATS_OK) {
        return mlt_bus_status(status, err, "inbox");
    }
    const char *unique = strchr(inbox, '.');
    const int len = snprintf(out, MLT_BUS_INBOX_BYTES_MAX, "%s%s",
                             bus->inbox_prefix[0] != '\0' ? bus->inbox_prefix : "_INBOX",
                             unique != NULL ? unique : ".x");
    natsInbox_Destroy(inbox);
    return len > 0 && (size_t)len < MLT_BUS_INBOX_BYTES_MAX
               ? MLT_OK
               : mlt_error_set(err, MLT_E_INTERNAL, "an inbox is too long");
}

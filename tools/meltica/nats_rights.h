/* What each NATS user may publish and subscribe to: the services by the subjects that their READMEs
 * list, principals by their role. Pure; one thread. */
#ifndef MELTICA_TOOL_NATS_RIGHTS_H
#define MELTICA_TOOL_NATS_RIGHTS_H

#include "authority.h"
#include "meltica/base/buf.h"

#define MLT_NATS_SERVICES 6

extern const char *const mlt_nats_services[MLT_NATS_SERVICES]; /* "adapter", ... */

/* Permissions of a service as a NATS configuration block, appended. index is that of its name.
 * transition: also those of older services, which hear their answers at _INBOX.>. */
enum mlt_status mlt_nats_service_rights(size_t index, bool transition,
                                        struct mlt_buf *out) MLT_MUST_CHECK;

struct mlt_nats_principal {
    const char *name;
    const struct mlt_role *role; /* NULL: there is no policy */
    bool own_inbox;              /* _INBOX_<name>.> in place of _INBOX.> */
    bool all_data;               /* meltica.data.* also where the role has patterns */
    bool console; /* what the page of meltica-console shows besides: STATS of services, the audit */
};
/* The same for a principal. *left_out: patterns of its role that a NATS subject cannot say, so that
 * it does not get their data. */
enum mlt_status mlt_nats_principal_rights(const struct mlt_nats_principal *principal,
                                          struct mlt_buf *out, size_t *left_out) MLT_MUST_CHECK;

/* The same for an observer: all that meltica top, trace, doctor, tail, book and audit look at, and
 * nothing that changes anything. */
enum mlt_status mlt_nats_observer_rights(const char *name, bool own_inbox,
                                         struct mlt_buf *out) MLT_MUST_CHECK;

#endif

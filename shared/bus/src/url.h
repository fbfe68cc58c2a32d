/* Pure, any thread. */
#ifndef MELTICA_BUS_URL_H
#define MELTICA_BUS_URL_H

#include "meltica/base/error.h"

#define BUS_URL_BYTES_MAX 1024u

/* One URL of a NATS server: [nats://|tls://][user[:password]@]host[:port][/]. E_CONFIG with what is
 * wrong and what would be right, without user and password. */
enum mlt_status mlt_bus_url_check(const char *url, struct mlt_error *err) MLT_MUST_CHECK;

#endif

/* --healthcheck: asks the service that runs beside this process, with the same configuration,
 * whether it is ready. For containers, which have no other program to ask with. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/http/probe.h"

#define PATIENCE_NS (2 * MLT_NS_PER_S)
#define HOST_BYTES_MAX 256u

/* Where a listener on `host` is reached from inside. */
static void reachable(const char *host, char *out, size_t size)
{
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0) {
        (void)snprintf(out, size, "127.0.0.1");
    } else if (strcmp(host, "::") == 0) {
        (void)snprintf(out, size, "[::1]");
    } else {
        (void)snprintf(out, size, strchr(host, ':') != NULL ? "[%.200s]" : "%.200s", host);
    }
}

enum mlt_status mlt_service_healthcheck(const struct service_config *config, struct mlt_error *err)
{
    char host[HOST_BYTES_MAX], url[HOST_BYTES_MAX + 32], answer[SERVICE_REASON_BYTES_MAX + 32];
    if (config->http_port == 0) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "http_port: 0 is a free port that nobody else knows; name one for "
                             "--healthcheck, the same as the service's");
    }
    reachable(config->http_host, host, sizeof host);
    (void)snprintf(url, sizeof url, "http://%s:%" PRId64 "/readyz", host, config->http_port);
    const enum mlt_status status = mlt_http_probe(url, PATIENCE_NS, answer, sizeof answer, err);
    if (status == MLT_OK) {
        (void)printf("%s\n", answer);
    }
    return status;
}

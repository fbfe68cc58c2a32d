#include "adapter.h"

#include <unistd.h>

#define ITEM(member, kind, default_value, low, high, unit_text, doc_text)                          \
    { .key = #member,                                                                              \
      .type = MLT_CONFIG_##kind,                                                                   \
      .offset = offsetof(struct mlt_adapter_config, member),                                       \
      .default_text = (default_value),                                                             \
      .min = (low),                                                                                \
      .max = (high),                                                                               \
      .unit = (unit_text),                                                                         \
      .doc = (doc_text) }

const struct mlt_config_item mlt_adapter_items[] = {
    ITEM(ws_url, STRING, "wss://data-stream.binance.vision", 0, 0, "",
         "Stream host, ws:// or wss://, without a path."),
    ITEM(rest_url, STRING, "https://data-api.binance.vision", 0, 0, "",
         "REST host, http:// or https://, without a path."),
    ITEM(ca_file, STRING, "", 0, 0, "",
         "CA certificates (PEM) for both hosts; empty: the system's."),
    ITEM(streams_per_connection, INT, "1024", 2, 1024, "streams",
         "The exchange's limit of streams on a connection; a tenth of it is kept free."),
    ITEM(spare_connection, BOOL, "true", 0, 0, "",
         "Keep one empty connection up, for quick subscriptions and as a reserve."),
    ITEM(
        line_copies, INT, "1", 1, 2, "",
        "With 2 each stream is subscribed on two connections at the same time, so that one that is "
        "cut loses nothing while the other one stays up: twice the traffic, and twice the "
        "connections."),
    ITEM(
        weight_share, INT, "50", 1, 90, "percent",
        "Share of the address's request weight that this Adapter may use; with an egress, that all "
        "of its Adapters may use together."),
    ITEM(egress, STRING, "", 0, 0, "",
         "Name of the address that the exchange sees this Adapter at. Adapters of the same name "
         "share its weight, by NATS, and its attempts to connect; empty: this one is alone."),
    ITEM(egress_adapters, INT, "2", 2, 16, "",
         "Adapters that have that egress, at most; each has its part of a fifth of the share for "
         "itself, also while NATS is away, and its part of 240 attempts to connect in 5 minutes. "
         "That part of the share must be 64 of weight at least: 9 Adapters at the default share."),
    ITEM(listing_interval_ms, INT, "3600000", 1000, 86400000, "ms",
         "How often exchangeInfo is read, unless the plan says otherwise."),
    ITEM(clock_interval_ms, INT, "10000", 1000, 300000, "ms",
         "How often the exchange is asked for its time, by which its clock is compared with ours."),
    ITEM(silent_after_ms, INT, "60000", 100, 86400000, "ms",
         "A topic that was acknowledged and sends nothing for so long is reported as SILENT."),
    ITEM(rest_timeout_ms, INT, "15000", 100, 60000, "ms", "Longest REST exchange."),
    ITEM(
        ws_silence_ms, INT, "75000", 1000, 600000, "ms",
        "A connection without data and pings for so long is dead (the exchange pings every 20 s)."),
    ITEM(ws_connect_timeout_ms, INT, "10000", 100, 60000, "ms",
         "Longest time to bring a connection up."),
    ITEM(reconnect_base_ms, INT, "250", 50, 60000, "ms",
         "First bound of the random wait before a connection is tried again; doubles each time."),
    ITEM(reconnect_max_ms, INT, "5000", 100, 300000, "ms", "Largest bound of that wait."),
    ITEM(rollover_ms, INT, "82800000", 1000, 86000000, "ms",
         "Age at which a connection is replaced without a hole; the exchange cuts at 24 h."),
    ITEM(ring_bytes, INT, "8388608", 1048576, 268435456, "bytes",
         "What was sent and may have to be sent again to the Dispatcher; with a hot standby also "
         "what "
         "is held of partitions that another Adapter speaks for: each partition has its part of "
         "it."),
    ITEM(hot_standby, BOOL, "false", 0, 0, "",
         "With --replicas of 2 or more: each Adapter has all partitions and one speaks for each of "
         "them, the others stand by with their lines open. The same in all of them."),
};
_Static_assert(sizeof mlt_adapter_items == MLT_ADAPTER_ITEM_COUNT * sizeof mlt_adapter_items[0],
               "adapter.h counts the items");

static enum mlt_status check_host(const char *key, const char *url, const char *plain,
                                  const char *secure, struct mlt_error *err)
{
    const size_t skip = strncmp(url, plain, strlen(plain)) == 0     ? strlen(plain)
                        : strncmp(url, secure, strlen(secure)) == 0 ? strlen(secure)
                                                                    : 0;
    if (skip == 0 || url[skip] == '\0' || strlen(url) > 255 ||
        strpbrk(url + skip, "/?# ") != NULL) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s: \"%s\" must be %shost[:port] or %shost[:port]",
                             key, url, plain, secure);
    }
    return MLT_OK;
}

/* exchangeInfo and time come out of half of an Adapter's own part: they must fit in a minute. */
static enum mlt_status check_own_part(const struct mlt_adapter_config *c, struct mlt_error *err)
{
    struct mlt_governor governor;
    mlt_governor_init(&governor, (uint32_t)c->weight_share, 1);
    mlt_governor_share_with(&governor, (uint32_t)c->egress_adapters, 0);
    const uint32_t own = mlt_governor_own(&governor);
    if (own >= MLT_GOVERNOR_OWN_MIN) {
        return MLT_OK;
    }
    return mlt_error_set(err, MLT_E_CONFIG,
                         "egress_adapters: %u Adapters at a weight_share of %u percent have %u of "
                         "weight a minute each, and need %u for exchangeInfo and time: raise "
                         "weight_share, or let fewer of them share an address",
                         (unsigned)c->egress_adapters, (unsigned)c->weight_share, own,
                         MLT_GOVERNOR_OWN_MIN);
}

enum mlt_status mlt_adapter_check(const void *config, struct mlt_error *err)
{
    const struct mlt_adapter_config *c = config;
    enum mlt_status status = check_host("ws_url", c->ws_url, "ws://", "wss://", err);
    if (status == MLT_OK) {
        status = check_host("rest_url", c->rest_url, "http://", "https://", err);
    }
    if (status == MLT_OK && c->ca_file[0] != '\0' && access(c->ca_file, R_OK) != 0) {
        status = mlt_error_set(err, MLT_E_CONFIG, "ca_file: \"%s\" cannot be read", c->ca_file);
    }
    if (status == MLT_OK && c->egress[0] != '\0' && !mlt_egress_valid(c->egress)) {
        status = mlt_error_set(err, MLT_E_CONFIG,
                               "egress: \"%s\" must be letters, digits, '-' and '_', at most %u",
                               c->egress, MLT_EGRESS_BYTES_MAX);
    }
    if (status == MLT_OK && c->egress[0] != '\0') {
        status = check_own_part(c, err);
    }
    if (status == MLT_OK && c->reconnect_base_ms > c->reconnect_max_ms) {
        status = mlt_error_set(err, MLT_E_CONFIG,
                               "reconnect_base_ms: must not be above reconnect_max_ms");
    }
    return status;
}

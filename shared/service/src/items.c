#include "internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct service_config, member)
#define TEXT(key, default_text, doc)                                                               \
    { #key, MLT_CONFIG_STRING, AT(key), default_text, 0, 0, NULL, "", false, doc }

const struct mlt_config_item mlt_service_items[] = {
    TEXT(nats_url, "nats://127.0.0.1:4222",
         "NATS servers, one or several URLs separated by commas; tls:// for TLS."),
    TEXT(nats_creds_file, "", "Credentials file (JWT and seed) for NATS."),
    TEXT(nats_nkey_file, "", "File with the NKey seed for NATS."),
    TEXT(nats_user, "", "User name for NATS; its password comes from nats_password_file."),
    TEXT(nats_password_file, "", "File whose first line is the password of nats_user."),
    TEXT(nats_token_file, "", "File whose first line is the token for NATS."),
    TEXT(tls_ca_file, "", "PEM file with the authorities that the NATS server is checked against."),
    TEXT(tls_cert_file, "", "PEM file with the certificate shown to the NATS server."),
    TEXT(tls_key_file, "", "PEM file with the key of tls_cert_file."),
    TEXT(instance, "",
         "Name of this instance; empty means the service's name, a dash and replica."),
    { "replica", MLT_CONFIG_INT, AT(replica), "0", 0, 63, NULL, "", false,
      "Number of this instance among replicas, from 0." },
    { "replicas", MLT_CONFIG_INT, AT(replicas), "1", 1, 64, NULL, "", false,
      "Instances of this service that share the partitions." },
    { "partitions", MLT_CONFIG_INT, AT(partitions), "4", 1, 64, NULL, "", false,
      "Subjects that the instruments are spread over; the same in all five services." },
    { "provision", MLT_CONFIG_CHOICE, AT(provision), "app", 0, 0, "app|external", "", false,
      "Who makes missing streams and buckets: the services (app) or the operator (external)." },
    { "stream_replicas", MLT_CONFIG_CHOICE, AT(stream_replicas), "1", 0, 0, "1|3|5", "", false,
      "Servers of a NATS cluster that hold each stream and bucket which the services make; the "
      "same "
      "in all five. What exists keeps its own number." },
    /* In a container the probes and the scraper come from outside of it: loopback would hide
     * health from them. It serves health and counters only, and nothing can be changed through it.
     */
    TEXT(http_host, "0.0.0.0",
         "Address for /livez, /readyz and /metrics; empty means all, 127.0.0.1 hides them from "
         "other "
         "hosts."),
    { "http_port", MLT_CONFIG_INT, AT(http_port), "0", 0, 65535, NULL, "", false,
      "Port for /livez, /readyz and /metrics; 0 takes a free one, which the log line \"listening\" "
      "names." },
    { "log_level", MLT_CONFIG_CHOICE, AT(log_level), "info", 0, 0, "debug|info|warn|error", "",
      false, "Least important level that is logged." },
    { "drain_timeout_ms", MLT_CONFIG_INT, AT(drain_timeout_ms), "5000", 0, SERVICE_PATIENCE_MS_MAX,
      NULL, "ms", false, "After SIGTERM: time for what is in hand to leave." },
};
const size_t mlt_service_item_count = sizeof mlt_service_items / sizeof mlt_service_items[0];

static enum mlt_status check_readable(const char *key, const char *path, struct mlt_error *err)
{
    if (path[0] == '\0' || access(path, R_OK) == 0) {
        return MLT_OK;
    }
    return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno,
                                 "%s: \"%.200s\" cannot be read (%s); name a file that can", key,
                                 path, strerror(errno));
}

/* The name stands in subjects, keys and logs. */
static bool valid_instance(const char *instance)
{
    for (const char *p = instance; *p != '\0'; p++) {
        const bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        if (!letter && !(*p >= '0' && *p <= '9') && *p != '-' && *p != '_') {
            return false;
        }
    }
    return strlen(instance) < SERVICE_NAME_BYTES_MAX;
}

enum mlt_status mlt_service_check_config(const struct service_config *config, struct mlt_error *err)
{
    const struct {
        const char *key, *path;
    } files[] = {
        { "nats_creds_file", config->nats_creds_file },
        { "nats_nkey_file", config->nats_nkey_file },
        { "nats_password_file", config->nats_password_file },
        { "nats_token_file", config->nats_token_file },
        { "tls_ca_file", config->tls_ca_file },
        { "tls_cert_file", config->tls_cert_file },
        { "tls_key_file", config->tls_key_file },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const enum mlt_status status = check_readable(files[i].key, files[i].path, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    if (config->replica >= config->replicas) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "replica: %lld is not below replicas, %lld; count from 0",
                             (long long)config->replica, (long long)config->replicas);
    }
    if (!valid_instance(config->instance)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "instance: \"%.64s\" is wrong; use up to 63 letters, digits, - and _",
                             config->instance);
    }
    if ((config->nats_user[0] != '\0') != (config->nats_password_file[0] != '\0')) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "nats_user and nats_password_file belong together; set both or none");
    }
    if ((config->tls_cert_file[0] != '\0') != (config->tls_key_file[0] != '\0')) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "tls_cert_file and tls_key_file belong together; set both or none");
    }
    return MLT_OK;
}

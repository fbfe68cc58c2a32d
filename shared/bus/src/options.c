/* From struct mlt_bus_options to nats.c's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "meltica/base/hash.h"
#include "nkey.h"
#include "url.h"

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Reads a whole small file without the white space at its end. */
static enum mlt_status read_secret(const char *path, char *out, size_t size, struct mlt_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno, "cannot open %s: %s", path,
                                     strerror(errno));
    }
    size_t used = 0;
    ssize_t got = 0;
    while (used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    const int code = errno;
    (void)close(fd);
    if (got < 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", code, "cannot read %s: %s", path,
                                     strerror(code));
    }
    while (used > 0 && strchr(" \t\r\n", out[used - 1]) != NULL) {
        used--;
    }
    out[used] = '\0';
    if (used == 0 || used == size - 1) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s is %s", path,
                             used == 0 ? "empty" : "too long for a secret");
    }
    return MLT_OK;
}

static enum mlt_status set_urls(natsOptions *to, const char *urls, struct mlt_error *err)
{
    char *copy = strdup(urls);
    if (copy == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the URL");
    }
    const char *list[BUS_URLS_MAX];
    int count = 0;
    bool tls = false;
    enum mlt_status status = MLT_OK;
    char *rest = copy, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " \t");
        one[strcspn(one, " \t")] = '\0';
        if (one[0] == '\0') {
            continue;
        }
        if (count == (int)BUS_URLS_MAX) {
            status = mlt_error_set(err, MLT_E_CONFIG, "more than %u URLs", BUS_URLS_MAX);
            goto out;
        }
        status = mlt_bus_url_check(one, err);
        if (status != MLT_OK) {
            goto out;
        }
        tls = tls || strncmp(one, "tls://", 6) == 0;
        list[count++] = one;
    }
    if (count == 0) {
        status = mlt_error_set(err, MLT_E_CONFIG, "no URL of a NATS server");
        goto out;
    }
    status = mlt_bus_status(natsOptions_SetServers(to, list, count), err, "URL of the NATS server");
    if (status == MLT_OK && tls) {
        status = mlt_bus_status(natsOptions_SetSecure(to, true), err, "TLS");
    }
    if (status == MLT_E_INVALID) {
        status = MLT_E_CONFIG;
    }
out:
    free(copy);
    return status;
}

static enum mlt_status set_credentials(natsOptions *to, const struct mlt_bus_options *from,
                                       struct mlt_error *err)
{
    char secret[BUS_SECRET_BYTES_MAX];
    enum mlt_status status = MLT_OK;
    if (given(from->creds_file)) {
        if (access(from->creds_file, R_OK) != 0) {
            return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno, "cannot read %s: %s",
                                         from->creds_file, strerror(errno));
        }
        status = mlt_bus_status(natsOptions_SetUserCredentialsFromFiles(to, from->creds_file, NULL),
                                err, "creds file");
    }
    if (status == MLT_OK && given(from->nkey_seed_file)) {
        char public_key[MLT_NKEY_TEXT_BYTES];
        status = read_secret(from->nkey_seed_file, secret, sizeof secret, err);
        if (status == MLT_OK && mlt_nkey_public(secret, public_key) != MLT_OK) {
            status = mlt_error_set(err, MLT_E_CONFIG, "%s holds no NKey seed of a user",
                                   from->nkey_seed_file);
        }
        if (status == MLT_OK) {
            status = mlt_bus_status(
                natsOptions_SetNKeyFromSeed(to, public_key, from->nkey_seed_file), err, "NKey");
        }
    }
    if (status == MLT_OK && given(from->token_file)) {
        status = read_secret(from->token_file, secret, sizeof secret, err);
        if (status == MLT_OK) {
            status = mlt_bus_status(natsOptions_SetToken(to, secret), err, "token");
        }
    }
    if (status == MLT_OK && given(from->user)) {
        secret[0] = '\0';
        if (given(from->password_file)) {
            status = read_secret(from->password_file, secret, sizeof secret, err);
        }
        if (status == MLT_OK) {
            status =
                mlt_bus_status(natsOptions_SetUserInfo(to, from->user, secret), err, "password");
        }
    }
    explicit_bzero(secret, sizeof secret);
    return status;
}

static enum mlt_status set_tls(natsOptions *to, const struct mlt_bus_options *from,
                               struct mlt_error *err)
{
    natsStatus s = NATS_OK;
    if (!given(from->tls_ca_file) && !given(from->tls_cert_file)) {
        return MLT_OK;
    }
    s = natsOptions_SetSecure(to, true);
    if (s == NATS_OK && given(from->tls_ca_file)) {
        s = natsOptions_LoadCATrustedCertificates(to, from->tls_ca_file);
    }
    if (s == NATS_OK && given(from->tls_cert_file)) {
        s = natsOptions_LoadCertificatesChain(to, from->tls_cert_file, from->tls_key_file);
    }
    return s == NATS_OK ? MLT_OK
                        : mlt_error_set_foreign(err, MLT_E_CONFIG, "nats", (int)s, "TLS files: %s",
                                                natsStatus_GetText(s));
}

/* Doubles from 50 ms to 1 s, with up to half of it more, so that many clients do not come at once.
 */
static int64_t reconnect_delay_ms(natsConnection *nc, int attempts, void *closure)
{
    (void)nc, (void)closure;
    int64_t wait = BUS_RECONNECT_MIN_MS;
    for (int i = 1; i < attempts && wait < BUS_RECONNECT_MAX_MS; i++) {
        wait *= 2;
    }
    wait += (int64_t)(mlt_random64() % (uint64_t)(wait / 2));
    return wait < BUS_RECONNECT_MAX_MS ? wait : BUS_RECONNECT_MAX_MS;
}

static natsStatus set_behaviour(natsOptions *to, const struct mlt_bus_options *from)
{
    natsStatus s = natsOptions_SetTimeout(to, BUS_CONNECT_TIMEOUT_MS);
    if (s == NATS_OK && given(from->name)) {
        s = natsOptions_SetName(to, from->name);
    }
    if (s == NATS_OK && given(from->inbox_prefix)) {
        s = natsOptions_SetCustomInboxPrefix(to, from->inbox_prefix);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetPingInterval(to, 10000);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetMaxPingsOut(to, 2);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetWriteDeadline(to, BUS_WRITE_DEADLINE_MS);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetSendAsap(to, true);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetFailRequestsOnDisconnect(to, true);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetIOBufSize(to, BUS_IO_BYTES);
    }
    if (from->kind == MLT_BUS_DATA) {
        return s == NATS_OK ? natsOptions_SetAllowReconnect(to, false) : s;
    }
    if (s == NATS_OK) {
        s = natsOptions_SetMaxReconnect(to, -1);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetCustomReconnectDelay(to, reconnect_delay_ms, NULL);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetReconnectBufSize(to, 1 << 20);
    }
    return s;
}

enum mlt_status mlt_bus_options_make(const struct mlt_bus_options *options, natsOptions **out,
                                     struct mlt_error *err)
{
    natsOptions *made = NULL;
    enum mlt_status status = mlt_bus_status(natsOptions_Create(&made), err, "options");
    if (status == MLT_OK) {
        status = set_urls(made, given(options->url) ? options->url : "nats://127.0.0.1:4222", err);
    }
    if (status == MLT_OK) {
        status = set_credentials(made, options, err);
    }
    if (status == MLT_OK) {
        status = set_tls(made, options, err);
    }
    if (status == MLT_OK) {
        status = mlt_bus_status(set_behaviour(made, options), err, "options");
    }
    if (status != MLT_OK) {
        natsOptions_Destroy(made);
        return status;
    }
    *out = made;
    return MLT_OK;
}

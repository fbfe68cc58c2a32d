/* From struct mlt_bus_options to nats.c's. */
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "creds.h"
#include "nkey.h"
#include "url.h"

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
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
        status = mlt_bus_creds_check(from->creds_file, NULL, err);
        if (status == MLT_OK) {
            void *path = (void *)(uintptr_t)from->creds_file; /* only read */
            status = mlt_bus_status(natsOptions_SetUserCredentialsCallbacks(
                                        to, mlt_bus_creds_jwt, path, mlt_bus_creds_sign, path),
                                    err, "creds file");
        }
    }
    if (status == MLT_OK && given(from->nkey_seed_file)) {
        char public_key[MLT_NKEY_TEXT_BYTES];
        status = mlt_bus_read_secret(from->nkey_seed_file, secret, sizeof secret, err);
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
        status = mlt_bus_read_secret(from->token_file, secret, sizeof secret, err);
        if (status == MLT_OK) {
            status = mlt_bus_status(natsOptions_SetToken(to, secret), err, "token");
        }
    }
    if (status == MLT_OK && given(from->user)) {
        secret[0] = '\0';
        if (given(from->password_file)) {
            status = mlt_bus_read_secret(from->password_file, secret, sizeof secret, err);
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
    if (s == NATS_OK) {
        return MLT_OK;
    }
    natsStatus last = NATS_OK;
    const char *detail = nats_GetLastError(&last); /* names the file */
    return mlt_error_set_foreign(err, MLT_E_CONFIG, "nats", (int)s, "TLS files: %s",
                                 detail != NULL && detail[0] != '\0' ? detail
                                                                     : natsStatus_GetText(s));
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

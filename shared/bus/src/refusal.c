/* Why there is no connection, in words that say what to look at. They name files and users, never
 * what is in a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connection.h"

static bool copy_text(const char *text, char **out)
{
    const bool given = text != NULL && text[0] != '\0';
    *out = given ? strdup(text) : NULL;
    return !given || *out != NULL;
}

bool mlt_bus_names_take(struct mlt_bus *bus, const struct mlt_bus_options *options)
{
    mlt_bus_self(options, bus->self);
    bus->name = strdup(options->name != NULL ? options->name : "");
    const bool whole = copy_text(options->creds_file, &bus->creds_file) &&
                       copy_text(options->tls_ca_file, &bus->ca_file) &&
                       copy_text(options->tls_cert_file, &bus->cert_file) && bus->name != NULL;
    bus->tls = bus->ca_file != NULL || bus->cert_file != NULL ||
               (options->url != NULL && strstr(options->url, "tls://") != NULL);
    return whole;
}

void mlt_bus_names_drop(struct mlt_bus *bus)
{
    free(bus->name);
    free(bus->creds_file);
    free(bus->ca_file);
    free(bus->cert_file);
}

/* When the JWT of its credentials ended, where that is so; else "". */
static void say_end(const struct mlt_bus *bus, char *out, size_t size)
{
    int64_t end_s = 0;
    struct tm at;
    char text[32];
    out[0] = '\0';
    if (bus->creds_file == NULL || mlt_bus_creds_check(bus->creds_file, &end_s, NULL) != MLT_OK ||
        end_s == 0 || end_s > mlt_clock_wall_ns() / MLT_NS_PER_S) {
        return;
    }
    const time_t end = (time_t)end_s;
    if (gmtime_r(&end, &at) != NULL && strftime(text, sizeof text, "%FT%TZ", &at) > 0) {
        (void)snprintf(out, size, "; they ended at %s", text);
    }
}

void mlt_bus_why(const struct mlt_bus *bus, natsStatus s, const char *detail, char *out,
                 size_t size)
{
    char ended[64];
    struct mlt_error err = MLT_ERROR_INIT;
    if (bus->creds_file != NULL && mlt_bus_creds_check(bus->creds_file, NULL, &err) != MLT_OK) {
        (void)snprintf(out, size, "%s", err.text); /* it was good when it was configured */
        return;
    }
    switch (s) {
    case NATS_CONNECTION_AUTH_FAILED:
        say_end(bus, ended, sizeof ended);
        (void)snprintf(out, size, "NATS refuses %s%s (%s)", bus->self, ended,
                       detail != NULL && detail[0] != '\0' ? detail : natsStatus_GetText(s));
        break;
    case NATS_SSL_ERROR:
        (void)snprintf(out, size, "TLS with NATS, checked against %s: %s",
                       bus->ca_file != NULL ? bus->ca_file : "the authorities of the system",
                       detail != NULL && detail[0] != '\0' ? detail : natsStatus_GetText(s));
        break;
    case NATS_IO_ERROR:
    case NATS_CONNECTION_CLOSED:
        /* With TLS 1.3 a client hears that its certificate is not wanted after its own part is
         * done, as an end of the connection. */
        if (bus->tls) {
            (void)snprintf(out, size,
                           "%s while connecting by TLS: does NATS take the certificate "
                           "of this client (%s)?",
                           detail != NULL && detail[0] != '\0' ? detail : natsStatus_GetText(s),
                           bus->cert_file != NULL ? bus->cert_file : "tls_cert_file is not set");
            break;
        }
        (void)snprintf(out, size, "%s", natsStatus_GetText(s));
        break;
    default: /* nats.c's own words can have the URL in them, and that a password */
        (void)snprintf(out, size, "%s", natsStatus_GetText(s));
        break;
    }
}

void mlt_bus_why_here(const struct mlt_bus *bus, natsStatus s, char *out, size_t size)
{
    natsStatus last = NATS_OK;
    const char *detail = nats_GetLastError(&last); /* of this thread */
    mlt_bus_why(bus, s, last == s ? detail : NULL, out, size);
}

/* ---- subscriptions ---- */

void mlt_bus_note_violation(struct mlt_bus *bus, const natsConnection *nc, const char *text)
{
    if (text == NULL || strstr(text, "Subscription") == NULL) {
        return; /* a publish that was refused has its own consequences */
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->deaf = nc;
    (void)snprintf(bus->deaf_said, sizeof bus->deaf_said, "%s", text);
    (void)pthread_mutex_unlock(&bus->state_lock);
}

void mlt_bus_forget_violation(struct mlt_bus *bus, const natsConnection *nc)
{
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->deaf = bus->deaf == nc ? NULL : bus->deaf;
    (void)pthread_mutex_unlock(&bus->state_lock);
}

bool mlt_bus_deaf(const struct mlt_bus *bus, char *said, size_t size)
{
    struct mlt_bus *b = mlt_bus_mutable(bus);
    struct link *link = mlt_bus_link_acquire(b);
    if (link == NULL) {
        return false;
    }
    (void)pthread_mutex_lock(&b->state_lock);
    const bool deaf = b->deaf == link->nc;
    (void)snprintf(said, size, "%s", deaf ? b->deaf_said : "");
    (void)pthread_mutex_unlock(&b->state_lock);
    mlt_bus_link_release(link);
    return deaf;
}

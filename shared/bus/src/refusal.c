/* Why there is no connection, in words that say what to look at. They name files and users, never
 * what is in a file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connection.h"
#include "meltica/base/log.h"

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

/* Permissions Violation for Subscription to "X"; behind it come a queue or a number, or nothing. */
static bool find_subject(const char *text, char *out, size_t size)
{
    static const char words[] = "Subscription to \"";
    const char *from = text != NULL ? strstr(text, words) : NULL;
    const char *end = from != NULL ? strchr(from + sizeof words - 1, '"') : NULL;
    if (end == NULL) {
        return false; /* a publish that was refused has its own consequences */
    }
    from += sizeof words - 1;
    (void)snprintf(out, size, "%.*s", (int)(end - from), from);
    return true;
}

void mlt_bus_note_violation(struct mlt_bus *bus, const natsConnection *nc, const char *text)
{
    char subject[BUS_REASON_BYTES_MAX];
    if (!find_subject(text, subject, sizeof subject) ||
        mlt_bus_subscriptions_refuse(bus, nc, subject)) {
        return;
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->deaf_ns = bus->deaf == nc ? bus->deaf_ns : mlt_clock_mono_ns();
    bus->deaf = nc;
    (void)snprintf(bus->deaf_said, sizeof bus->deaf_said, "%s", text);
    (void)pthread_mutex_unlock(&bus->state_lock);
}

void mlt_bus_forget_violation(struct mlt_bus *bus, const natsConnection *nc)
{
    mlt_bus_subscriptions_forget(bus);
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->deaf = bus->deaf == nc ? NULL : bus->deaf;
    (void)pthread_mutex_unlock(&bus->state_lock);
}

bool mlt_bus_deaf(const struct mlt_bus *bus, char *said, size_t size)
{
    struct mlt_bus *b = mlt_bus_mutable(bus);
    (void)snprintf(said, size, "%s", "");
    if (mlt_bus_subscriptions_deaf(b, said, size)) {
        return true;
    }
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

/* nats.c asks again for what is its own where it connects again. */
static void cut(struct mlt_bus *bus, natsConnection *nc, int64_t after_ns)
{
    const int64_t now = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&bus->state_lock);
    const bool due = bus->deaf == nc && now - bus->deaf_ns >= after_ns;
    bus->deaf_ns = due ? now : bus->deaf_ns;
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (!due) {
        return;
    }
    mlt_log(MLT_LOG_WARN, "bus_connects_again", "the server refuses what nats.c listens to",
            MLT_S("bus", bus->name));
    if (bus->kind == MLT_BUS_DATA) {
        mlt_bus_loop_cut(bus);
    } else {
        const natsStatus s = natsConnection_Reconnect(nc);
        if (s != NATS_OK) { /* it ended meanwhile: that has its own consequences */
            mlt_log(MLT_LOG_DEBUG, "bus_not_cut", natsStatus_GetText(s), MLT_S("bus", bus->name));
        }
    }
}

void mlt_bus_listen_again(struct mlt_bus *bus, int64_t after_ns)
{
    mlt_bus_subscriptions_again(bus, after_ns);
    struct link *link = mlt_bus_link_acquire(bus);
    if (link != NULL) {
        cut(bus, link->nc, after_ns);
        mlt_bus_link_release(link);
    }
}

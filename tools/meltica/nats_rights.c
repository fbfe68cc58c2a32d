#include "nats_rights.h"

#include <stdarg.h>
#include <stdio.h>

#include "meltica/bus/stored.h"

/* The names of services, in the order of the table below. */
const char *const mlt_nats_services[MLT_NATS_SERVICES] = { "adapter",  "dispatcher",  "conductor",
                                                           "data-bus", "control-bus", "console" };

struct rights {
    const char *micro;         /* name of its micro service */
    const char *publish[24];   /* NULL-terminated */
    const char *subscribe[16]; /* the same */
    const char *streams[8];    /* whose API it uses: to make, to ask for, to read single messages */
};

static const struct rights services[MLT_NATS_SERVICES] = {
    { .micro = "meltica-adapter",
      .publish = { "meltica.int.native.*", "meltica.int.plan.status", "$KV.meltica-weight.*",
                   "meltica.int.owners.adapter", "$KV.meltica-owners.adapter.*",
                   "$JS.API.STREAM.PURGE.KV_meltica-owners" },
      .subscribe = { "meltica.int.repeat.adapter.*", "meltica.int.ack.adapter", "meltica.int.plan",
                     "meltica.int.fetch", "$KV.meltica-weight.*", "meltica.int.owners.adapter",
                     "$KV.meltica-owners.adapter.*" },
      .streams = { "KV_meltica-weight", "KV_meltica-owners" } },
    { .micro = "meltica-dispatcher",
      .publish = { "meltica.int.canonical.*", "meltica.int.repeat.adapter.*",
                   "meltica.int.ack.adapter", "meltica.int.plan", "meltica.int.fetch",
                   "meltica.int.out.table", "meltica.int.table.changed", "meltica.int.rejected.*.*",
                   "meltica.int.audit.expired", "meltica.int.control.*.*", "$KV.meltica-dispatch.>",
                   "$KV.meltica-instruments.>", "meltica.int.owners.dispatcher",
                   "$KV.meltica-owners.dispatcher.*", "$JS.API.STREAM.PURGE.KV_meltica-owners" },
      .subscribe = { "meltica.int.native.*", "meltica.int.repeat.dispatcher.*",
                     "meltica.int.ack.dispatcher", "meltica.int.plan.status", "meltica.int.table",
                     "meltica.int.resync", "meltica.int.apply.00", "meltica.int.owners.dispatcher",
                     "$KV.meltica-owners.dispatcher.*" },
      .streams = { "MELTICA_CONTROL", "MELTICA_AUDIT", "MELTICA_REJECTED", "KV_meltica-dispatch",
                   "KV_meltica-instruments", "KV_meltica-owners" } },
    { .micro = "meltica-conductor",
      .publish = { "meltica.int.out.*", "meltica.int.repeat.dispatcher.*",
                   "meltica.int.ack.dispatcher", "meltica.int.resync",
                   "meltica.int.owners.conductor", "$KV.meltica-owners.conductor.*",
                   "$KV.meltica-snapshots.>", "$JS.API.STREAM.PURGE.KV_meltica-owners" },
      .subscribe = { "meltica.int.canonical.*", "meltica.int.repeat.conductor.*",
                     "meltica.int.ack.conductor", "meltica.int.owners.conductor",
                     "$KV.meltica-owners.conductor.*" },
      .streams = { "KV_meltica-owners", "KV_meltica-snapshots" } },
    { .micro = "meltica-data-bus",
      .publish = { "meltica.data.*", "meltica.lane.>", "meltica.journal.*", "meltica.int.table",
                   "meltica.int.repeat.conductor.*", "meltica.int.ack.conductor",
                   "meltica.int.owners.data-bus", "$KV.meltica-owners.data-bus.*",
                   "$JS.API.STREAM.PURGE.KV_meltica-owners" },
      .subscribe = { "meltica.int.out.*", "meltica.int.table.changed", "meltica.int.plan.status",
                     "meltica.int.owners.data-bus", "$KV.meltica-owners.data-bus.*" },
      .streams = { "MELTICA_JOURNAL", "KV_meltica-owners" } },
    { .micro = "meltica-control",
      .publish = { "meltica.int.table", "meltica.int.control.*.*", "meltica.int.apply.00",
                   "meltica.int.audit.*", "$SRV.PING.*" },
      .subscribe = { "meltica.control.*", "meltica.control.as.*.*", "meltica.int.table.changed",
                     "meltica.int.plan.status" },
      .streams = { "MELTICA_CONTROL", "MELTICA_AUDIT" } },
    { .micro = "meltica-console" }, /* says that it is there, and nothing else */
};

/* A list of subjects on its way into the buffer; the first failure stays. */
struct list {
    struct mlt_buf *out;
    enum mlt_status status;
    bool any;
};

static void put(struct list *list, const char *format, ...) MLT_PRINTF(2, 3);

static void put(struct list *list, const char *format, ...)
{
    char subject[256];
    va_list arguments;
    va_start(arguments, format);
    const int len = vsnprintf(subject, sizeof subject, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= sizeof subject) {
        list->status = MLT_E_TOO_BIG;
    }
    if (list->status == MLT_OK) {
        list->status =
            mlt_buf_printf(list->out, "%s\n          \"%s\"", list->any ? "," : "", subject);
    }
    list->any = true;
}

static void begin(struct list *list, const char *what)
{
    list->any = false;
    if (list->status == MLT_OK) {
        list->status = mlt_buf_printf(list->out, "        %s: { allow: [", what);
    }
}

static void end(struct list *list)
{
    if (list->status == MLT_OK) {
        list->status = mlt_buf_append_string(list->out, "\n        ] }\n");
    }
}

static void put_stream(struct list *list, const char *stream)
{
    static const char *const calls[] = { "STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE",
                                         "STREAM.MSG.GET", "DIRECT.GET" };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        put(list, "$JS.API.%s.%s", calls[i], stream);
    }
    put(list, "$JS.API.DIRECT.GET.%s.>", stream);
}

enum mlt_status mlt_nats_service_rights(size_t index, bool transition, struct mlt_buf *out)
{
    const struct rights *service = &services[index];
    struct list list = { out, MLT_OK, false };
    begin(&list, "publish");
    for (size_t i = 0; service->publish[i] != NULL; i++) {
        put(&list, "%s", service->publish[i]);
    }
    for (size_t i = 0; service->streams[i] != NULL; i++) {
        put_stream(&list, service->streams[i]);
    }
    put(&list, "_INBOX.>");
    end(&list);
    begin(&list, "subscribe");
    for (size_t i = 0; service->subscribe[i] != NULL; i++) {
        put(&list, "%s", service->subscribe[i]);
    }
    put(&list, "meltica.int.status.%s", mlt_nats_services[index]);
    put(&list, "$SRV.*");
    put(&list, "$SRV.*.%s", service->micro);
    put(&list, "$SRV.*.%s.*", service->micro);
    put(&list, "_INBOX.meltica-%s.>", mlt_nats_services[index]); /* its own answers, no others' */
    if (transition) {
        put(&list, "_INBOX.>");
    }
    end(&list);
    /* Whoever asks is answered, where its inbox is its own too. */
    return list.status == MLT_OK ? mlt_buf_append_string(out, "        allow_responses: true\n")
                                 : list.status;
}

/* One subject for each instrument that it may read: before, the name, after. */
static void put_instruments(const struct mlt_nats_principal *p, const char *before,
                            const char *after, struct list *list)
{
    const bool all =
        p->role == NULL || p->role->any_instrument || (p->all_data && p->role->pattern_count > 0);
    if (all) {
        put(list, "%s*%s", before, after);
    }
    for (size_t i = 0; !all && i < p->role->pattern_count; i++) {
        if (strchr(p->role->patterns[i], '*') == NULL) {
            put(list, "%s%s%s", before, p->role->patterns[i], after);
        }
    }
}

static size_t patterns_left_out(const struct mlt_nats_principal *p)
{
    size_t count = 0;
    if (p->role == NULL || p->role->any_instrument || p->all_data) {
        return 0;
    }
    for (size_t i = 0; i < p->role->pattern_count; i++) {
        count += strchr(p->role->patterns[i], '*') != NULL;
    }
    return count;
}

enum mlt_status mlt_nats_principal_rights(const struct mlt_nats_principal *p, struct mlt_buf *out,
                                          size_t *left_out)
{
    static const char direct[] = "$JS.API.DIRECT.GET.KV_meltica-snapshots.$KV.meltica-snapshots.";
    struct list list = { out, MLT_OK, false };
    begin(&list, "publish");
    put(&list, "meltica.control.as.%s.*", p->name);
    if (p->role == NULL || mlt_role_sees_type(p->role, MLT_EVENT_BOOK) ||
        mlt_role_sees_type(p->role, MLT_EVENT_BOOK_DELTA)) { /* books of late joiners */
        put(&list, "$JS.API.STREAM.INFO.KV_meltica-snapshots");
        put_instruments(p, direct, "", &list);
        put_instruments(p, direct, ".checkpoint", &list);
    }
    if (p->console) {
        put(&list, "$SRV.STATS");
        put(&list, "$JS.API.DIRECT.GET.MELTICA_AUDIT");
    }
    end(&list);
    begin(&list, "subscribe");
    if (p->own_inbox) {
        put(&list, "_INBOX_%s.>", p->name);
    } else {
        put(&list, "_INBOX.>");
    }
    put_instruments(p, "meltica.data.", "", &list);
    put(&list, "meltica.lane.%s.>", p->name);
    if (p->console) {
        put(&list, "meltica.int.audit.*");
    }
    end(&list);
    *left_out = patterns_left_out(p);
    return list.status;
}

enum mlt_status mlt_nats_observer_rights(const char *name, bool own_inbox, struct mlt_buf *out)
{
    static const char *const verbs[] = { "list", "status", "describe" };
    static const enum mlt_stored read[] = { MLT_STORED_JOURNAL, MLT_STORED_AUDIT,
                                            MLT_STORED_SNAPSHOTS };
    struct list list = { out, MLT_OK, false };
    begin(&list, "publish");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        put(&list, "meltica.control.%s", verbs[i]);
        put(&list, "meltica.control.as.%s.%s", name, verbs[i]);
    }
    put(&list, "$SRV.>");
    put(&list, "$JS.API.INFO");
    for (size_t i = 0; i < MLT_STORED_COUNT; i++) {
        put(&list, "$JS.API.STREAM.INFO.%s", mlt_stored[i].stream.name);
    }
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        const char *stream = mlt_stored[read[i]].stream.name;
        put(&list, "$JS.API.STREAM.MSG.GET.%s", stream);
        put(&list, "$JS.API.DIRECT.GET.%s", stream);
        put(&list, "$JS.API.DIRECT.GET.%s.>", stream);
    }
    end(&list);
    begin(&list, "subscribe");
    if (own_inbox) {
        put(&list, "_INBOX_%s.>", name);
    } else {
        put(&list, "_INBOX.>");
    }
    put(&list, "meltica.data.*");
    put(&list, "meltica.int.audit.*");
    end(&list);
    return list.status;
}

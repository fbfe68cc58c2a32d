#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "meltica/base/clock.h"

#define ASK_NS (2 * MLT_NS_PER_S)
#define QUIET_NS                                                                                   \
    (400 * MLT_NS_PER_MS) /* one that is slower than that is busy with other things                \
                           */
#define OURS "meltica-"

const char *const mlt_inside_names[MLT_INSIDE_NAMES] = { "meltica-adapter", "meltica-dispatcher",
                                                         "meltica-conductor", "meltica-data-bus",
                                                         "meltica-control" };

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static void copy_text(const cJSON *object, const char *name, char *out, size_t size)
{
    const cJSON *m = member(object, name);
    (void)snprintf(out, size, "%s", cJSON_IsString(m) ? m->valuestring : "");
}

/* As a number, or as text with digits. */
static int64_t number(const cJSON *object, const char *name)
{
    const cJSON *m = member(object, name);
    if (cJSON_IsNumber(m) && m->valuedouble >= 0 && m->valuedouble < 9e15) {
        return (int64_t)m->valuedouble;
    }
    if (cJSON_IsString(m) && m->valuestring[0] >= '0' && m->valuestring[0] <= '9') {
        return strtoll(m->valuestring, NULL, 10);
    }
    return MLT_INSIDE_UNKNOWN;
}

static struct mlt_inside_link link_of(const cJSON *nats, const char *name)
{
    const cJSON *m = member(nats, name);
    const cJSON *connected = member(m, "connected");
    return (struct mlt_inside_link){ .known = cJSON_IsBool(connected) != 0,
                                     .connected = cJSON_IsTrue(connected) != 0,
                                     .reconnects = number(m, "reconnects") };
}

/* The skeleton's own part (shared/service). */
static void take_state(struct mlt_inside_service *s, const cJSON *own, int64_t asked_ns,
                       int64_t now_ns)
{
    const cJSON *ready = member(own, "ready");
    s->told = cJSON_IsBool(ready) != 0;
    s->ready = cJSON_IsTrue(ready) != 0;
    copy_text(own, "state", s->state, sizeof s->state);
    copy_text(own, "missing", s->missing, sizeof s->missing);
    s->uptime_ms = number(own, "uptime_ms");
    s->data = link_of(member(own, "nats"), "data");
    s->control = link_of(member(own, "nats"), "control");
    const int64_t time_ns = number(own, "time_ns");
    s->has_clock = time_ns > 0;
    s->half_ns = (now_ns - asked_ns) / 2;
    s->clock_ns = s->has_clock ? time_ns - (asked_ns + s->half_ns) : 0;
}

static void take_lines(struct mlt_inside *inside, const struct mlt_inside_service *s,
                       const cJSON *lines)
{
    const cJSON *at = lines != NULL ? lines->child : NULL;
    for (; at != NULL; at = at->next) {
        if (inside->line_count == MLT_INSIDE_LINES_MAX) {
            inside->lines_left_out++;
            continue;
        }
        struct mlt_inside_line *line = &inside->lines[inside->line_count++];
        memcpy(line->instance, s->instance, sizeof line->instance);
        copy_text(at, "state", line->state, sizeof line->state);
        line->number = number(at, "line");
        line->topics = number(at, "topics");
        line->age_s = number(at, "age_s");
    }
}

static bool known_name(const char *name)
{
    return strncmp(name, OURS, sizeof OURS - 1) == 0;
}

void mlt_inside_take(struct mlt_inside *inside, struct mlt_slice answer, int64_t asked_ns,
                     int64_t now_ns)
{
    cJSON *tree = cJSON_ParseWithLength((const char *)answer.data, answer.len);
    struct mlt_inside_service s = { .in = MLT_INSIDE_UNKNOWN, .out = MLT_INSIDE_UNKNOWN };
    copy_text(tree, "name", s.name, sizeof s.name);
    if (tree == NULL || inside->count == MLT_INSIDE_SERVICES_MAX) {
        inside->left_out += tree == NULL || known_name(s.name);
        cJSON_Delete(tree);
        return;
    }
    if (known_name(s.name)) {
        const cJSON *metadata = member(tree, "metadata");
        const cJSON *data = member(cJSON_GetArrayItem(member(tree, "endpoints"), 0), "data");
        copy_text(tree, "id", s.id, sizeof s.id);
        copy_text(tree, "version", s.version, sizeof s.version);
        copy_text(metadata, "instance", s.instance, sizeof s.instance);
        s.partitions = number(metadata, "partitions");
        s.stream_replicas = number(metadata, "stream_replicas");
        take_state(&s, member(data, "service"), asked_ns, now_ns);
        s.in = number(data, strcmp(s.name, "meltica-adapter") == 0 ? "frames" : "in");
        s.out = number(data, "out");
        take_lines(inside, &s, member(data, "connections"));
        inside->services[inside->count++] = s;
    }
    cJSON_Delete(tree);
}

/* ---- asking ---- */

struct asking {
    struct mlt_inside *inside;
    int64_t asked_ns;
};

static bool on_answer(void *ctx, struct mlt_slice answer)
{
    const struct asking *a = ctx;
    mlt_inside_take(a->inside, answer, a->asked_ns, mlt_clock_wall_ns());
    return true;
}

static size_t place(const char *name)
{
    size_t i = 0;
    while (i < MLT_INSIDE_NAMES && strcmp(mlt_inside_names[i], name) != 0) {
        i++;
    }
    return i;
}

static int by_place(const void *a, const void *b)
{
    const struct mlt_inside_service *x = a, *y = b;
    const size_t px = place(x->name), py = place(y->name);
    if (px != py) {
        return px < py ? -1 : 1;
    }
    const int names = strcmp(x->name, y->name);
    const int instances = names != 0 ? names : strcmp(x->instance, y->instance);
    return instances != 0 ? instances : strcmp(x->id, y->id);
}

static int by_line(const void *a, const void *b)
{
    const struct mlt_inside_line *x = a, *y = b;
    const int instances = strcmp(x->instance, y->instance);
    return instances != 0 ? instances : (x->number > y->number) - (x->number < y->number);
}

enum mlt_status mlt_inside_ask(struct mlt_bus *bus, struct mlt_inside *inside,
                               struct mlt_error *err)
{
    struct asking a = { .inside = inside, .asked_ns = mlt_clock_wall_ns() };
    memset(inside, 0, sizeof *inside);
    const enum mlt_status status =
        mlt_bus_gather(bus, "$SRV.STATS", ASK_NS, QUIET_NS, on_answer, &a, err);
    qsort(inside->services, inside->count, sizeof inside->services[0], by_place);
    qsort(inside->lines, inside->line_count, sizeof inside->lines[0], by_line);
    return status;
}

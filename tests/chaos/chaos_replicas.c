#include "mlt_test.h"

#include "chaos_replicas.h"

#define TAKEOVERS "meltica_adapter_standby_takeovers_total"

static const char *const stand_ins[CHAOS_SHUTDOWN_NOTICE] = {
    [CHAOS_KILL_ADAPTER] = "adapter-2",
    [CHAOS_KILL_DISPATCHER] = "dispatcher-2",
    [CHAOS_KILL_CONDUCTOR] = "conductor-2",
    [CHAOS_KILL_DATA_BUS] = "data-bus-2",
};

const char *chaos_stand_in(enum chaos_kind kind)
{
    return kind < CHAOS_SHUTDOWN_NOTICE ? stand_ins[kind] : NULL;
}

/* Behind what is there. */
static void append(const char **to, size_t size, const char *const *words)
{
    size_t n = 0;
    while (n < size && to[n] != NULL) {
        n++;
    }
    for (; *words != NULL; words++) {
        assert_true(n < size);
        to[n++] = *words;
    }
}

#define APPEND(to, ...)                                                                            \
    append((to), sizeof(to) / sizeof(to)[0], (const char *const[]){ __VA_ARGS__, NULL })
#define SECOND(to, instance) APPEND(to, "--instance", instance, "--replica", "1", "--replicas", "2")

void chaos_replicas_add(struct mlt_stack_options *to)
{
    APPEND(to->second_adapter, to->adapter[0], to->adapter[1], to->adapter[2], to->adapter[3],
           to->adapter[4], to->adapter[5]);
    /* Both leave from one address, as the simulator sees them. */
    APPEND(to->second_adapter, "--egress", "chaos", "--hot-standby", "true");
    APPEND(to->adapter, "--egress", "chaos", "--replicas", "2", "--hot-standby", "true");
    SECOND(to->second_adapter, "adapter-1");
    APPEND(to->conductor, "--replicas", "2");
    SECOND(to->second_conductor, "conductor-1");
    APPEND(to->dispatcher, "--replicas", "2");
    SECOND(to->second_dispatcher, "dispatcher-1");
    APPEND(to->data_bus, "--replicas", "2");
    SECOND(to->second_data_bus, "data-bus-1");
}

bool chaos_replicas_home(struct mlt_stack *stack)
{
    static const char owned[] = "meltica_conductor_owned_partitions";
    static const char dispatches[] = "meltica_dispatcher_active";
    static const char active[] = "meltica_bus_active";
    static const char speaks[] = "meltica_adapter_speaking_partitions";
    const uint64_t half = mlt_stack_metric(stack, "conductor", owned, "");
    return half > 0 && mlt_stack_metric(stack, "conductor-2", owned, "") == half &&
           mlt_stack_metric(stack, "data-bus", active, "") == 1 &&
           mlt_stack_metric(stack, "data-bus-2", active, "") == 0 &&
           mlt_stack_metric(stack, "dispatcher", dispatches, "") +
                   mlt_stack_metric(stack, "dispatcher-2", dispatches, "") ==
               1 &&
           mlt_stack_metric(stack, "adapter", speaks, "") +
                   mlt_stack_metric(stack, "adapter-2", speaks, "") ==
               2 * half;
}

/* ---- an Adapter that takes over ---- */

static struct chaos_takeover look_at(struct chaos_group *group, const char *by)
{
    return (struct chaos_takeover){
        .by = by,
        .covered = mlt_stack_metric(group->stack, by, TAKEOVERS, "covered=\"yes\""),
        .told = mlt_stack_metric(group->stack, by, TAKEOVERS, "covered=\"no\""),
        .lost = chaos_group_told(group, MLT_STATUS_LOST),
    };
}

struct chaos_takeover chaos_takeover_begin(struct chaos_group *group, enum chaos_kind kind,
                                           const char *victim)
{
    if (kind != CHAOS_KILL_ADAPTER) {
        return (struct chaos_takeover){ .by = NULL };
    }
    return look_at(group, strcmp(victim, "adapter") == 0 ? "adapter-2" : "adapter");
}

void chaos_takeover_end(struct chaos_group *group, const struct chaos_takeover *before)
{
    if (before->by == NULL) {
        return;
    }
    const struct chaos_takeover after = look_at(group, before->by);
    const uint64_t told = after.told - before->told;
    group->result->takeovers_covered += after.covered - before->covered;
    group->result->takeovers_told += told;
    if (told == 0) { /* else some of it is theirs */
        group->result->takeovers_lost += after.lost - before->lost;
    }
}

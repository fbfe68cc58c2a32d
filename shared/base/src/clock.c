#include "meltica/base/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;
    /* Cannot fail for these two clocks on Linux; zero time would be seen at once. */
    if (clock_gettime(id, &t) != 0) {
        return 0;
    }
    return (int64_t)t.tv_sec * MLT_NS_PER_S + t.tv_nsec;
}

int64_t mlt_clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t mlt_clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *ctx)
{
    (void)ctx;
    return mlt_clock_wall_ns();
}

static int64_t system_mono(void *ctx)
{
    (void)ctx;
    return mlt_clock_mono_ns();
}

const struct mlt_clock *mlt_clock_system(void)
{
    static const struct mlt_clock clock = { system_wall, system_mono, NULL };
    return &clock;
}

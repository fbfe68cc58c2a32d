/* For LD_PRELOAD: the wall clock of a process is as far ahead of that of all others as the file
 * $MELTICA_TEST_CLOCK says (8 bytes, ns, of this machine; below zero: behind), at each moment: who
 * writes it sets the clock. Waits until a time of the wall clock follow it: nats.c has such. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
/* A condition does not say by which clock it waits, but no machine runs for so many seconds. */
#define SECONDS_OF_WALL 1000000000

static _Atomic int64_t *ahead; /* NULL: no file */

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("MELTICA_TEST_CLOCK");
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    ahead = at != MAP_FAILED ? at : NULL;
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int64_t ahead_ns(void)
{
    return ahead != NULL ? atomic_load_explicit(ahead, memory_order_relaxed) : 0;
}

static void move(struct timespec *time, int64_t by_ns)
{
    const int64_t ns = (int64_t)time->tv_sec * NS_PER_S + time->tv_nsec + by_ns;
    time->tv_sec = (time_t)(ns / NS_PER_S);
    time->tv_nsec = (long)(ns % NS_PER_S);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (syscall(SYS_clock_gettime, clock, time) != 0) {
        return -1;
    }
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        move(time, ahead_ns());
    }
    return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

typedef int (*wait_fn)(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);

/* A clock that is set during the wait: the kernel would look again when it is. Here who waits is
 * woken, without a reason, when the time would have come, and looks itself. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    static _Atomic(wait_fn) next;
    wait_fn wait = atomic_load(&next);
    if (wait == NULL) {
        *(void **)&wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        atomic_store(&next, wait);
    }
    const int64_t before_ns = ahead_ns();
    if (until->tv_sec < SECONDS_OF_WALL) {
        return wait(cond, mutex, until);
    }
    struct timespec real = *until;
    move(&real, -before_ns);
    const int result = wait(cond, mutex, &real);
    return result == ETIMEDOUT && ahead_ns() < before_ns ? 0 : result;
}

/* For LD_PRELOAD: the wall clock of a process is a tenth of a second behind that of all others, as
 * on a host whose clock is wrong. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BEHIND_NS 100000000L
#define NS_PER_S 1000000000L

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (syscall(SYS_clock_gettime, clock, time) != 0) {
        return -1;
    }
    if (clock == CLOCK_REALTIME) {
        const long ns = time->tv_nsec - BEHIND_NS;
        time->tv_sec -= ns < 0;
        time->tv_nsec = ns < 0 ? ns + NS_PER_S : ns;
    }
    return 0;
}

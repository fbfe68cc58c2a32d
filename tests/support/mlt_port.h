#ifndef MLT_PORT_H
#define MLT_PORT_H

/* A port for a program that has to be told one. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* A TCP port of loopback that nobody listens at now; 0 when there is none. It lies below those that
 * Linux gives to who connects (net.ipv4.ip_local_port_range begins at 32768): one of these may be
 * taken by any client of another test before the program that was told of it comes to listen. */
static inline uint16_t mlt_free_port(void)
{
    enum { LOWEST = 10000, HIGHEST = 32767, TRIES = 100 };
    for (int i = 0; i < TRIES; i++) {
        uint32_t random = 0;
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || getrandom(&random, sizeof random, 0) != sizeof random) {
            break;
        }
        const uint16_t port = (uint16_t)(LOWEST + random % (HIGHEST - LOWEST + 1));
        const struct sockaddr_in address = { .sin_family = AF_INET,
                                             .sin_port = htons(port),
                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        const int rc = bind(fd, (const struct sockaddr *)&address, sizeof address);
        (void)close(fd);
        if (rc == 0) {
            return port;
        }
    }
    return 0;
}

#endif

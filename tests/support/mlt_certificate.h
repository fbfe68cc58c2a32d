/* A certificate of localhost that vouches for itself, for servers and clients of a test. */
#ifndef MELTICA_TEST_CERTIFICATE_H
#define MELTICA_TEST_CERTIFICATE_H

#include "mlt_test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* cert.pem and key.pem in dir, for two days; the caller removes them. */
static inline void mlt_make_certificate(const char *dir)
{
    const pid_t pid = fork();
    int status = 0;
    assert_true(pid >= 0);
    if (pid == 0) {
        const int null = open("/dev/null", O_WRONLY);
        if (chdir(dir) != 0 || dup2(null, STDERR_FILENO) < 0) {
            _exit(127);
        }
        (void)execlp("openssl", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-out",
                     "cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                     "subjectAltName=DNS:localhost", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#endif

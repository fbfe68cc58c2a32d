/* A certificate authority for tests and a server certificate for localhost and 127.0.0.1, made
 * anew at each start. */
#ifndef SIM_TLS_H
#define SIM_TLS_H

#include "meltica/base/error.h"

#define SIM_TLS_CA "ca.pem"
#define SIM_TLS_CERTIFICATE "server.pem"
#define SIM_TLS_KEY "server.key"

/* Writes the three files into dir, which exists. E_IO, E_INTERNAL. Main thread. */
enum mlt_status sim_tls_make(const char *dir, struct mlt_error *err) MLT_MUST_CHECK;

/* Removes the files and the directory; what is not there is no error. */
void sim_tls_remove(const char *dir);

#endif

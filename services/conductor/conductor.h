/* The service meltica-conductor: canonical events in, numbered events out. See README.md. */
#ifndef MELTICA_CONDUCTOR_CONDUCTOR_H
#define MELTICA_CONDUCTOR_CONDUCTOR_H

#include "meltica/service/service.h"

extern const struct mlt_service_spec mlt_conductor_spec;

#endif

/* The Dispatcher as a service: meltica-dispatcher (README.md). */
#ifndef MELTICA_DISPATCHER_DISPATCHER_H
#define MELTICA_DISPATCHER_DISPATCHER_H

#include "meltica/service/service.h"

extern const struct mlt_service_spec mlt_dispatcher_spec;

#endif

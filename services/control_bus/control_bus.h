/* The Control Bus as a service: meltica-control-bus, micro service meltica-control (README.md). */
#ifndef MELTICA_CONTROL_BUS_CONTROL_BUS_H
#define MELTICA_CONTROL_BUS_CONTROL_BUS_H

#include "meltica/service/service.h"

extern const struct mlt_service_spec mlt_control_bus_spec;

#endif

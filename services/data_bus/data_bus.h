/* The service meltica-data-bus: the one publisher of meltica.data.*. See README.md. */
#ifndef MELTICA_DATA_BUS_DATA_BUS_H
#define MELTICA_DATA_BUS_DATA_BUS_H

#include "meltica/service/service.h"

extern const struct mlt_service_spec mlt_data_bus_spec;

#endif

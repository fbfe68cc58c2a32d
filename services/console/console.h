/* The service meltica-console: the page in the browser. See README.md. */
#ifndef MELTICA_CONSOLE_CONSOLE_H
#define MELTICA_CONSOLE_CONSOLE_H

#include "meltica/service/service.h"

extern const struct mlt_service_spec mlt_console_spec;

#endif

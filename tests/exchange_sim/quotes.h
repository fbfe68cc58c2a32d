/* Splits a native symbol into base and quote when no exchangeInfo says how. */
#ifndef SIM_QUOTES_H
#define SIM_QUOTES_H

#include "meltica/base/slice.h"

/* Length of the base asset's name. A quote asset that is not known is taken as the last three
 * bytes. Any thread (pure). */
size_t sim_base_length(struct mlt_slice native);

#endif

/* A seeded market: books that behave, trades at the touch, candles that agree with the trades. The
 * same options give the same frames. */
#ifndef SIM_SYNTHETIC_H
#define SIM_SYNTHETIC_H

#include "market.h"
#include "options.h"

/* NULL with err set on failure. The options must outlive the market. */
struct sim_market *sim_synthetic_create(struct sim_hub *hub, const struct sim_options *options,
                                        struct mlt_error *err);

#endif

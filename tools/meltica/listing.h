/* exchangeInfo for a recording that has none: the symbols its frames name, split into base and
 * quote. */
#ifndef MELTICA_TOOL_LISTING_H
#define MELTICA_TOOL_LISTING_H

#include "meltica/base/buf.h"
#include "meltica/recording/recording.h"

/* Appends an exchangeInfo body with every symbol that occurs as "s" in a frame of the recordings,
 * at 8 decimals (what Binance prints unless told otherwise). A name whose quote asset is not known
 * is split before its last three bytes. E_TOO_BIG, E_NOMEM. Rewinds the recordings. */
enum mlt_status mlt_listing_from_recordings(struct mlt_recording *recordings, size_t count,
                                            struct mlt_buf *out) MLT_MUST_CHECK;

#endif

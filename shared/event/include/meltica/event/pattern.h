/* Patterns of instruments: "*", "BASE-*", "*-QUOTE", or the token of one (docs/dispatch-table.md).
 * Any thread. */
#ifndef MELTICA_EVENT_PATTERN_H
#define MELTICA_EVENT_PATTERN_H

#include "meltica/event/event.h"

bool mlt_pattern_valid(struct mlt_slice pattern);
bool mlt_pattern_wild(struct mlt_slice pattern); /* valid and no token */
bool mlt_pattern_match(struct mlt_slice pattern, struct mlt_slice token);

/* The patterns that match a token, besides "*": BASE-* and *-QUOTE, as they are written. */
struct mlt_pattern_cover {
    size_t len[2];
    char text[2][MLT_INSTRUMENT_BYTES_MAX];
};
/* False: none does, for it is no BASE-QUOTE. */
bool mlt_pattern_cover(struct mlt_slice token, struct mlt_pattern_cover *out);
static inline struct mlt_slice mlt_pattern_covering(const struct mlt_pattern_cover *cover, size_t i)
{
    return mlt_slice_of(cover->text[i], cover->len[i]);
}

#endif

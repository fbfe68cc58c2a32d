/* Between rest.c (admission, parameters, errors) and the makers of bodies. */
#ifndef SIM_REST_H
#define SIM_REST_H

#include "http.h"

extern const char *const sim_function_names[SIM_REST_FUNCTION_COUNT];

struct sim_rest {
    struct sim_server *server;
    struct sim_market *market;
    const struct sim_request *request;
    struct sim_answer *answer;
    struct mlt_buf *out; /* answer->body */
    bool micros;         /* times in microseconds */
    uint64_t ago;        /* depth: as of so many changes ago, as far as they are known */
    size_t shift;        /* another symbol answers: the one so many places behind */
};

typedef enum mlt_status (*sim_rest_make_fn)(struct sim_rest *rest, size_t symbol);

/* rest_faults.c: the answer as a fault that was told, or the script, wants it; as it is where none
 * does. */
enum mlt_status sim_rest_befall(struct sim_rest *rest, enum sim_function function,
                                sim_rest_make_fn make, size_t symbol) MLT_MUST_CHECK;

/* Error object with status 400; the text may hold formats. */
enum mlt_status sim_rest_error(struct sim_rest *rest, int code, const char *format, ...)
    MLT_PRINTF(3, 4);

/* Symbol of parameter `symbol`; when false an error stands in the answer and *status is its
 * outcome. */
bool sim_rest_symbol(struct sim_rest *rest, size_t *symbol, enum mlt_status *status);
/* Number parameter between min and max; absent: fallback; above `cut` (when > 0): cut. */
bool sim_rest_number(struct sim_rest *rest, const char *name, int64_t fallback, int64_t min,
                     int64_t cut, int64_t *out, enum mlt_status *status);
/* Time parameter in ms or us -> us; absent: fallback. */
bool sim_rest_time(struct sim_rest *rest, const char *name, int64_t fallback, int64_t *out,
                   enum mlt_status *status);

/* Symbols of a request: one, a list, or all. */
struct sim_selection {
    bool one; /* parameter symbol: the answer is an object */
    bool all;
    size_t *symbols; /* NULL when all */
    size_t count;
};
bool sim_rest_select(struct sim_rest *rest, struct sim_selection *selection,
                     enum mlt_status *status);
void sim_selection_fini(struct sim_selection *selection);

enum mlt_status sim_rest_exchange_info(struct sim_rest *rest, size_t unused) MLT_MUST_CHECK;
enum mlt_status sim_rest_depth(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_trades(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_historical_trades(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_agg_trades(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_klines(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_avg_price(struct sim_rest *rest, size_t symbol) MLT_MUST_CHECK;
enum mlt_status sim_rest_ticker_24hr(struct sim_rest *rest, size_t unused) MLT_MUST_CHECK;
enum mlt_status sim_rest_ticker_price(struct sim_rest *rest, size_t unused) MLT_MUST_CHECK;
enum mlt_status sim_rest_book_ticker(struct sim_rest *rest, size_t unused) MLT_MUST_CHECK;

#endif

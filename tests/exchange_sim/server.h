/*
 * The one libwebsockets context of this process: lines, HTTP, timers and signals, on the main
 * thread.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "budget.h"
#include "control.h"
#include "market.h"
#include "options.h"

struct lws;
struct lws_context;
struct lws_vhost;
struct sim_mutator;
struct sim_faults;

enum sim_function {
    SIM_REST_PING,
    SIM_REST_TIME,
    SIM_REST_EXCHANGE_INFO,
    SIM_REST_DEPTH,
    SIM_REST_TRADES,
    SIM_REST_HISTORICAL_TRADES,
    SIM_REST_AGG_TRADES,
    SIM_REST_KLINES,
    SIM_REST_AVG_PRICE,
    SIM_REST_TICKER_24HR,
    SIM_REST_TICKER_PRICE,
    SIM_REST_BOOK_TICKER,
    SIM_REST_FUNCTION_COUNT
};

struct sim_told;

/* What the next answers of a REST function meet. */
struct sim_answer_fault {
    uint64_t left; /* 0: nothing */
    unsigned kind; /* enum sim_fault */
    uint64_t extent;
};

/* How a symbol is listed, where it is otherwise than the market says. */
struct sim_listing {
    bool unlisted;
    char status[24]; /* empty: the market's */
    int64_t tick_e8; /* 0: the market's */
};

struct sim_server {
    const struct sim_options *options;
    struct sim_hub hub;
    struct sim_market *market;
    struct sim_mutator *mutator; /* or NULL */
    struct sim_faults *faults;   /* NULL: there is no script */
    struct sim_told *told;       /* told.h */
    struct sim_limits limits;
    struct lws_context *context;
    struct lws_vhost *vhost;
    char tls_dir[256]; /* where the CA is; empty: no TLS */
    int timer_fd, signal_fd;
    bool stop, started;
    int64_t timer_at_ns;     /* what the timer is set to; INT64_MAX: off */
    int64_t last_control_ns; /* last control message or line with streams; monotonic */
    /* NULL: the beginning waits for no depth. By symbol: it was not answered deep enough yet. */
    bool *depth_waits;
    size_t depth_waiting;
    int64_t last_depth_ns;                     /* last answer that it waited for; monotonic */
    int64_t started_wall_ns, finished_wall_ns; /* 0: not yet */
    uint64_t rest_requests[SIM_REST_FUNCTION_COUNT], rest_refused;
    struct sim_control_faults control_faults;
    struct sim_answer_fault answer_faults[SIM_REST_FUNCTION_COUNT];
    struct sim_listing *listings; /* by symbol */
    struct mlt_buf scratch;       /* of control messages */
};

/* Runs until SIGTERM or SIGINT; returns the exit status of the process. */
int sim_server_run(const struct sim_options *options);

/* The market begins now, if it has not. */
void sim_server_start(struct sim_server *server);

/* A control message or new line: may satisfy the condition for the beginning. */
void sim_server_control_seen(struct sim_server *server);

/* depth of a symbol is being answered: may satisfy it as well. */
void sim_server_depth_answered(struct sim_server *server, size_t symbol, int64_t limit);

/* The timer went off. */
void sim_server_timer(struct sim_server *server);

/* Lets the market send what is due. */
void sim_server_pump(struct sim_server *server);

/* The symbol as it is listed now. */
void sim_server_symbol(struct sim_server *server, size_t symbol, struct sim_symbol *out);
const struct sim_listing *sim_server_listing(const struct sim_server *server, size_t symbol);
/* Lists it otherwise from now on. One that is not listed, or in BREAK, has no market, where the
 * market can be without it. */
void sim_server_list(struct sim_server *server, size_t symbol, const struct sim_listing *listing);

/* A script from now on. False: frames go through another filter. */
bool sim_server_script(struct sim_server *server, const struct sim_faults_options *options);

/* {"e":"serverShutdown",…} on every line. */
void sim_server_shutdown_notice(struct sim_server *server);

/* Which lines: so many of those that were opened last (0: every), but for the last `but` of all. */
struct sim_newest {
    size_t count, but;
};

/* They end by a close frame of that code; 0: hung up on. */
void sim_server_end_lines(struct sim_server *server, uint16_t code, struct sim_newest which);

/* Nothing is sent on the lines of now for so long; what is to be sent waits. */
void sim_server_stall(struct sim_server *server, int64_t ms);

/* Data of the lines of now does not come for so long (0: as long as they last) and is lost; without
 * pings nothing else comes either. */
void sim_server_silence(struct sim_server *server, int64_t ms, bool pings);

/* They are half-open from now on: nothing is sent or read, the sockets stay until the clients have
 * ended theirs. */
void sim_server_freeze(struct sim_server *server, struct sim_newest which);
/* Half-open lines that their clients still hold; those that they let go are ended. */
size_t sim_server_frozen(struct sim_server *server);

#endif

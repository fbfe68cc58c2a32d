/*
 * The one libwebsockets context of this process: lines, HTTP, timers and signals, on the main
 * thread.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "budget.h"
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

struct sim_server {
    const struct sim_options *options;
    struct sim_hub hub;
    struct sim_market *market;
    struct sim_mutator *mutator; /* or NULL */
    struct sim_faults *faults;   /* or NULL */
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
    uint64_t unheard;       /* control messages that are neither carried out nor answered */
    struct mlt_buf scratch; /* of control messages */
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

/* {"e":"serverShutdown",…} on every line. */
void sim_server_shutdown_notice(struct sim_server *server);

/* Every line ends, by a close frame of that code; 0: hung up on. */
void sim_server_end_lines(struct sim_server *server, uint16_t code);

/* Nothing is sent on the lines of now for so long; what is to be sent waits. */
void sim_server_stall(struct sim_server *server, int64_t ms);

#endif

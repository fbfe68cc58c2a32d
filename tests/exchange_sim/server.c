#include "server.h"

#include <errno.h>
#include <libwebsockets.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "faults.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "mutate.h"
#include "replay.h"
#include "session.h"
#include "synthetic.h"
#include "tls.h"
#include "told.h"

#define QUIET_NS (2 * MLT_NS_PER_S) /* of control messages, before the market begins */
/* After the last answer that the market waited for, so that it is there first; without it. */
#define AFTER_DEPTH_NS (200 * MLT_NS_PER_MS)
#define WITHOUT_DEPTH_NS (5 * MLT_NS_PER_S)
#define URL_BYTES_MAX 17000u /* longer ones the front end cuts off */

static const struct lws_protocols protocols[] = { { .name = SIM_PROTOCOL,
                                                    .callback = sim_session_callback,
                                                    .per_session_data_size =
                                                        sizeof(struct sim_session),
                                                    .rx_buffer_size = 4096,
                                                    .tx_packet_size = 1u << 20 },
                                                  LWS_PROTOCOL_LIST_TERM };

/* Pings are ours, by the exchange's rule; the library's own never come. */
static const lws_retry_bo_t no_keepalive = { .secs_since_valid_ping = UINT16_MAX,
                                             .secs_since_valid_hangup = UINT16_MAX };

static void log_line(int level, const char *line)
{
    size_t len = strlen(line);
    while (len > 0 && line[len - 1] == '\n') {
        len--;
    }
    mlt_log(level == LLL_ERR ? MLT_LOG_ERROR : MLT_LOG_WARN, "lws", "libwebsockets says",
            MLT_SL("line", mlt_slice_of(line, len)));
}

/* ---- market ------------------------------------------------------------------------------- */

static int64_t attach(void *ctx, struct sim_topic *topic)
{
    struct sim_server *server = ctx;
    return server->market != NULL ? server->market->ops->attach(server->market, topic) : -1;
}

static void wake(void *ctx, struct sim_line *line)
{
    (void)ctx;
    line->last_progress_ns = mlt_clock_mono_ns(); /* nothing waited until now */
    if (line->killed) {
        lws_set_timeout(line->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    }
    (void)lws_callback_on_writable(line->wsi);
}

static void set_timer(struct sim_server *server, int64_t at_ns)
{
    if (at_ns == server->timer_at_ns) {
        return;
    }
    server->timer_at_ns = at_ns;
    struct itimerspec when = { 0 };
    if (at_ns != INT64_MAX) {
        const int64_t ns = at_ns > 0 ? at_ns : 1; /* zero would switch the timer off */
        when.it_value.tv_sec = ns / MLT_NS_PER_S;
        when.it_value.tv_nsec = ns % MLT_NS_PER_S;
    }
    if (timerfd_settime(server->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) != 0) {
        mlt_log(MLT_LOG_ERROR, "timer", "the timer cannot be set", MLT_I("errno", errno));
    }
}

void sim_server_pump(struct sim_server *server)
{
    struct sim_market *market = server->market;
    if (!server->started || server->stop) {
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    const bool was_finished = market->finished;
    int64_t next = market->ops->pump(market, now);
    if (market->finished && !was_finished) {
        server->finished_wall_ns = mlt_clock_wall_ns();
        mlt_log(MLT_LOG_INFO, "finished", "the market is at its end",
                MLT_U("frames_sent", server->hub.frames_sent));
    }
    if (next != INT64_MAX) { /* what is due within one tick leaves together */
        const int64_t earliest = now + (int64_t)server->options->tick_us * MLT_NS_PER_US;
        next = next > now && next < earliest ? earliest : next;
    }
    set_timer(server, next);
}

void sim_server_start(struct sim_server *server)
{
    if (server->started) {
        return;
    }
    server->started = true;
    server->started_wall_ns = mlt_clock_wall_ns();
    server->market->ops->begin(server->market, mlt_clock_mono_ns());
    sim_told_begin(server->told);
    mlt_log(MLT_LOG_INFO, "started", "the market begins",
            MLT_U("subscribed", server->hub.market_topics_subscribed));
    sim_server_pump(server);
}

/* When it may begin, as far as subscriptions go; INT64_MAX: others are needed. */
static int64_t subscribed_at(const struct sim_server *server)
{
    const size_t subscribed = server->hub.market_topics_subscribed;
    const int64_t wanted = server->options->start_subscriptions;
    if (wanted >= 0
            ? subscribed >= (size_t)wanted
            : server->market->stream_count > 0 && subscribed >= server->market->stream_count) {
        return server->last_control_ns;
    }
    return wanted < 0 && subscribed > 0 ? server->last_control_ns + QUIET_NS : INT64_MAX;
}

static void start_when_due(struct sim_server *server)
{
    int64_t at = subscribed_at(server);
    if (server->depth_waits != NULL && at != INT64_MAX) {
        const int64_t depth = server->depth_waiting > 0 ? server->last_control_ns + WITHOUT_DEPTH_NS
                                                        : server->last_depth_ns + AFTER_DEPTH_NS;
        at = at > depth ? at : depth;
    }
    if (at <= mlt_clock_mono_ns()) {
        sim_server_start(server);
    } else {
        set_timer(server, at);
    }
}

void sim_server_control_seen(struct sim_server *server)
{
    if (server->started) { /* a market that goes as fast as its lines may have waited for one */
        sim_server_pump(server);
        return;
    }
    server->last_control_ns = mlt_clock_mono_ns();
    start_when_due(server);
}

/* Which symbols have a book before the market begins, when their depth is to be asked for first. */
static bool await_depth(struct sim_server *server)
{
    struct sim_market *market = server->market;
    if (server->options->start_depth == 0) {
        return true;
    }
    server->depth_waits = calloc(market->symbol_count + 1, sizeof *server->depth_waits);
    for (size_t i = 0; server->depth_waits != NULL && i < market->symbol_count; i++) {
        const struct sim_book *book = market->ops->book(market, i);
        server->depth_waits[i] = book != NULL && book->id > 0;
        server->depth_waiting += server->depth_waits[i];
    }
    return server->depth_waits != NULL;
}

void sim_server_depth_answered(struct sim_server *server, size_t symbol, int64_t limit)
{
    if (server->started || server->depth_waits == NULL || !server->depth_waits[symbol] ||
        limit < (int64_t)server->options->start_depth) {
        return;
    }
    server->depth_waits[symbol] = false;
    server->depth_waiting--;
    server->last_depth_ns = mlt_clock_mono_ns();
    start_when_due(server);
}

void sim_server_symbol(struct sim_server *server, size_t symbol, struct sim_symbol *out)
{
    const struct sim_listing *listing = &server->listings[symbol];
    server->market->ops->symbol(server->market, symbol, out);
    out->status = listing->status[0] != '\0' ? mlt_slice_of_string(listing->status) : out->status;
    out->tick_e8 = listing->tick_e8 > 0 ? listing->tick_e8 : out->tick_e8;
}

const struct sim_listing *sim_server_listing(const struct sim_server *server, size_t symbol)
{
    return &server->listings[symbol];
}

void sim_server_list(struct sim_server *server, size_t symbol, const struct sim_listing *listing)
{
    server->listings[symbol] = *listing;
    if (server->market->ops->halt != NULL) {
        server->market->ops->halt(server->market, symbol,
                                  listing->unlisted || strcmp(listing->status, "BREAK") == 0);
    }
}

bool sim_server_script(struct sim_server *server, const struct sim_faults_options *options)
{
    static struct sim_faults faults;
    if (server->mutator != NULL) {
        return false;
    }
    if (server->faults != NULL) {
        sim_faults_change(server->faults, options);
        return true;
    }
    sim_faults_init(&faults, options);
    server->faults = &faults;
    server->hub.filter = &faults.filter;
    return true;
}

void sim_server_shutdown_notice(struct sim_server *server)
{
    char inner[96], combined[160];
    for (struct sim_line *line = server->hub.oldest; line != NULL; line = line->newer) {
        const int64_t now_us = sim_options_wall_us(server->options);
        const int inner_len = snprintf(inner, sizeof inner, "{\"e\":\"serverShutdown\",\"E\":%lld}",
                                       (long long)(line->micros ? now_us : now_us / 1000));
        const int combined_len = snprintf(combined, sizeof combined,
                                          "{\"stream\":\"!serverShutdown\",\"data\":%s}", inner);
        sim_line_put(&server->hub, line, 1,
                     line->combined ? mlt_slice_of(combined, (size_t)combined_len)
                                    : mlt_slice_of(inner, (size_t)inner_len));
    }
}

/* The first one of them, and how many they are at most. */
static struct sim_line *first_of(struct sim_server *server, struct sim_newest which, size_t *left)
{
    struct sim_line *line = server->hub.newest;
    for (size_t i = 0; i < which.but && line != NULL; i++) {
        line = line->older;
    }
    *left = which.count > 0 ? which.count : SIZE_MAX;
    return line;
}

void sim_server_end_lines(struct sim_server *server, uint16_t code, struct sim_newest which)
{
    size_t left = 0;
    for (struct sim_line *line = first_of(server, which, &left); line != NULL && left > 0;
         line = line->older) {
        left--;
        line->killed = line->killed || code == 0;
        sim_line_finish(&server->hub, line, code > 0 ? code : 1006, code > 0 ? "fault" : "");
    }
}

/* ---- lines, once a second ------------------------------------------------------------------ */

static void check_line(struct sim_server *server, struct sim_line *line, int64_t now)
{
    const struct sim_options *options = server->options;
    struct sim_hub *hub = &server->hub;
    if (line->frozen) {
        return;
    }
    if (options->line_life_s > 0 && now - line->opened_ns >= options->line_life_s * MLT_NS_PER_S) {
        sim_line_finish(hub, line, 1001, "24 hours");
        return;
    }
    if (options->stall_limit_s > 0 && line->out.len > 0 &&
        now - line->last_progress_ns >= options->stall_limit_s * MLT_NS_PER_S) {
        mlt_log(MLT_LOG_WARN, "line_stalled", "a line takes nothing and is cut",
                MLT_U("line", line->number));
        lws_set_timeout(line->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        return;
    }
    if (options->pong_timeout_s > 0 && line->ping_unanswered_ns > 0 &&
        now - line->ping_unanswered_ns >= options->pong_timeout_s * MLT_NS_PER_S) {
        sim_line_finish(hub, line, 1008, "Pong timeout");
        return;
    }
    if (options->ping_interval_s > 0 && !line->mute &&
        now - line->ping_sent_ns >= options->ping_interval_s * MLT_NS_PER_S) {
        (void)snprintf(line->ping_text, sizeof line->ping_text, "%lld",
                       (long long)(mlt_clock_wall_ns() / MLT_NS_PER_MS));
        line->ping_sent_ns = now;
        if (line->ping_unanswered_ns == 0) {
            line->ping_unanswered_ns = now;
        }
        sim_line_put(hub, line, 9, mlt_slice_of_string(line->ping_text));
    }
}

struct ticker {
    lws_sorted_usec_list_t sul;
    struct sim_server *server;
};

static void each_second(lws_sorted_usec_list_t *sul)
{
    struct ticker *ticker = lws_container_of(sul, struct ticker, sul);
    const int64_t now = mlt_clock_mono_ns();
    for (struct sim_line *line = ticker->server->hub.oldest; line != NULL; line = line->newer) {
        check_line(ticker->server, line, now);
    }
    (void)sim_server_frozen(ticker->server);
    lws_sul_schedule(ticker->server->context, 0, sul, each_second, LWS_US_PER_SEC);
}

static void stall_is_over(lws_sorted_usec_list_t *sul)
{
    const struct ticker *stall = lws_container_of(sul, struct ticker, sul);
    for (struct sim_line *line = stall->server->hub.oldest; line != NULL; line = line->newer) {
        if (line->armed) {
            (void)lws_callback_on_writable(line->wsi);
        }
    }
}

void sim_server_stall(struct sim_server *server, int64_t ms)
{
    static struct ticker stall;
    const int64_t until_ns = mlt_clock_mono_ns() + ms * MLT_NS_PER_MS;
    stall.server = server;
    for (struct sim_line *line = server->hub.oldest; line != NULL; line = line->newer) {
        line->stalled_until_ns = until_ns;
    }
    lws_sul_schedule(server->context, 0, &stall.sul, stall_is_over, (ms + 1) * LWS_US_PER_MS);
}

static void silence_is_over(lws_sorted_usec_list_t *sul)
{
    const struct ticker *silence = lws_container_of(sul, struct ticker, sul);
    for (struct sim_line *line = silence->server->hub.oldest; line != NULL; line = line->newer) {
        line->silent = line->mute = false;
    }
}

void sim_server_silence(struct sim_server *server, int64_t ms, bool pings)
{
    static struct ticker silence;
    silence.server = server;
    for (struct sim_line *line = server->hub.oldest; line != NULL; line = line->newer) {
        line->silent = true;
        line->mute = line->mute || !pings;
    }
    if (ms > 0) {
        lws_sul_schedule(server->context, 0, &silence.sul, silence_is_over, ms * LWS_US_PER_MS);
    }
}

void sim_server_freeze(struct sim_server *server, struct sim_newest which)
{
    size_t left = 0;
    for (struct sim_line *line = first_of(server, which, &left); line != NULL && left > 0;
         line = line->older) {
        left--;
        line->frozen = true;
        (void)lws_rx_flow_control(line->wsi, 0);
        mlt_buf_clear(&line->out); /* it would hold the market up */
        server->hub.full_count -= line->full ? 1 : 0;
        line->full = false;
    }
}

/* Nothing is read, so that the library does not hear of the end: the kernel has. */
size_t sim_server_frozen(struct sim_server *server)
{
    size_t held = 0;
    for (struct sim_line *line = server->hub.oldest; line != NULL; line = line->newer) {
        struct tcp_info info = { 0 };
        socklen_t len = sizeof info;
        if (!line->frozen || line->killed) {
            continue;
        }
        if (getsockopt(lws_get_socket_fd(line->wsi), IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
            info.tcpi_state == TCP_ESTABLISHED) {
            held++;
        } else {
            line->killed = true;
            lws_set_timeout(line->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        }
    }
    return held;
}

/* Before the market has begun, the timer is for its beginning. */
void sim_server_timer(struct sim_server *server)
{
    server->timer_at_ns = INT64_MAX;
    if (server->started) {
        sim_server_pump(server);
    } else {
        start_when_due(server);
    }
}

/* ---- set-up -------------------------------------------------------------------------------- */

static bool adopt(struct sim_server *server, int fd)
{
    lws_sock_file_fd_type file = { .filefd = fd };
    return fd >= 0 && lws_adopt_descriptor_vhost(server->vhost, LWS_ADOPT_RAW_FILE_DESC, file,
                                                 SIM_PROTOCOL, NULL) != NULL;
}

static struct lws_vhost *make_vhost(struct sim_server *server, const char *name, int port,
                                    const char *dir)
{
    static char certificate[PATH_MAX], key[PATH_MAX];
    struct lws_context_creation_info info = { 0 };
    info.vhost_name = name;
    info.port = port;
    info.iface = strcmp(server->options->host, "0.0.0.0") == 0 ? NULL : server->options->host;
    info.protocols = protocols;
    info.retry_and_idle_policy = &no_keepalive;
    info.keepalive_timeout = 60;
    info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
    if (dir != NULL) {
        (void)snprintf(certificate, sizeof certificate, "%s/%s", dir, SIM_TLS_CERTIFICATE);
        (void)snprintf(key, sizeof key, "%s/%s", dir, SIM_TLS_KEY);
        info.ssl_cert_filepath = certificate;
        info.ssl_private_key_filepath = key;
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    }
    return lws_create_vhost(server->context, &info);
}

static bool prepare_tls(struct sim_server *server)
{
    const struct sim_options *options = server->options;
    struct mlt_error err = MLT_ERROR_INIT;
    if (options->tls_dir != NULL) {
        (void)snprintf(server->tls_dir, sizeof server->tls_dir, "%s", options->tls_dir);
        if (mkdir(server->tls_dir, 0755) != 0 && errno != EEXIST) {
            mlt_log(MLT_LOG_ERROR, "tls", "the folder cannot be made",
                    MLT_S("dir", server->tls_dir));
            return false;
        }
    } else {
        const char *base = getenv("TMPDIR");
        (void)snprintf(server->tls_dir, sizeof server->tls_dir, "%s/meltica-exchange-sim-XXXXXX",
                       base != NULL ? base : "/tmp");
        if (mkdtemp(server->tls_dir) == NULL) {
            server->tls_dir[0] = '\0';
            mlt_log(MLT_LOG_ERROR, "tls", "no temporary folder", MLT_I("errno", errno));
            return false;
        }
    }
    if (sim_tls_make(server->tls_dir, &err) != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "tls", err.text, MLT_S("dir", server->tls_dir));
        return false;
    }
    return true;
}

static bool open_context(struct sim_server *server)
{
    const bool tls = server->options->tls_port >= 0;
    struct lws_context_creation_info info = { 0 };
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_IPV6 |
                   (tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0);
    info.user = server;
    info.max_http_header_data2 = URL_BYTES_MAX;
    info.max_http_header_pool2 = 64;
    info.pt_serv_buf_size = 64u << 10;
    info.retry_and_idle_policy = &no_keepalive;
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    server->context = lws_create_context(&info);
    if (server->context == NULL) {
        return false;
    }
    server->vhost = make_vhost(server, "plain", server->options->port, NULL);
    if (server->vhost == NULL) {
        return false;
    }
    const char *host = server->options->host;
    const int port = lws_get_vhost_listen_port(server->vhost);
    (void)printf("{\"event\":\"listening\",\"ws\":\"ws://%s:%d\",\"http\":\"http://%s:%d\"", host,
                 port, host, port);
    if (tls) {
        if (!prepare_tls(server)) {
            return false;
        }
        struct lws_vhost *vhost =
            make_vhost(server, "tls", server->options->tls_port, server->tls_dir);
        if (vhost == NULL) {
            return false;
        }
        const int tls_port = lws_get_vhost_listen_port(vhost);
        (void)printf(",\"wss\":\"wss://%s:%d\",\"https\":\"https://%s:%d\",\"ca\":\"%s/%s\"", host,
                     tls_port, host, tls_port, server->tls_dir, SIM_TLS_CA);
    }
    return true;
}

static bool open_files(struct sim_server *server)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) {
        return false;
    }
    server->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return server->signal_fd >= 0 && server->timer_fd >= 0;
}

/* All are listed but the last ones, by option. */
static bool open_listings(struct sim_server *server)
{
    const size_t count = server->market->symbol_count;
    const struct sim_listing unlisted = { .unlisted = true };
    server->listings = calloc(count + 1, sizeof *server->listings);
    for (size_t i = 0; server->listings != NULL && i < server->options->unlisted && i < count;
         i++) {
        sim_server_list(server, count - 1 - i, &unlisted);
    }
    return server->listings != NULL;
}

static bool open_told(struct sim_server *server)
{
    struct mlt_error err = MLT_ERROR_INIT;
    if (sim_told_create(server, server->options->fault_file, &server->told, &err) == MLT_OK) {
        return true;
    }
    mlt_log(MLT_LOG_ERROR, "fault_file", err.text,
            MLT_S("file", server->options->fault_file != NULL ? server->options->fault_file : ""));
    return false;
}

static bool open_market(struct sim_server *server, struct sim_mutator *mutator)
{
    const struct sim_options *options = server->options;
    struct mlt_error err = MLT_ERROR_INIT;
    if (options->mutate) {
        sim_mutator_init(mutator, options->mutate_seed, options->mutate_count);
        server->mutator = mutator;
        server->hub.filter = &mutator->filter;
    }
    if (options->faults != NULL) {
        (void)sim_server_script(server, &options->script);
    }
    if (options->synthetic) {
        server->market = sim_synthetic_create(&server->hub, options, &err);
    } else {
        const struct sim_replay_options replay = { options->files, options->file_count,
                                                   options->speed,
                                                   options->mutate && options->mutate_count > 0 };
        server->market = sim_replay_create(&server->hub, &replay, &err);
    }
    if (server->market == NULL) {
        mlt_log(MLT_LOG_ERROR, "market", err.text, MLT_S("mode", "none"));
    }
    return server->market != NULL;
}

static void close_all(struct sim_server *server)
{
    server->stop = true;
    if (server->context != NULL) {
        lws_context_destroy(server->context); /* ends every line and the two files */
    }
    if (server->market != NULL) {
        server->market->ops->destroy(server->market);
    }
    sim_hub_fini(&server->hub);
    if (server->faults != NULL) {
        sim_faults_fini(server->faults);
    }
    sim_limits_fini(&server->limits);
    mlt_buf_fini(&server->scratch);
    free(server->depth_waits);
    free(server->listings);
    sim_told_destroy(server->told);
    if (server->tls_dir[0] != '\0' && server->options->tls_dir == NULL) {
        sim_tls_remove(server->tls_dir);
    }
}

int sim_server_run(const struct sim_options *options)
{
    static struct sim_server storage;
    static struct sim_mutator mutator;
    static struct ticker ticker;
    struct sim_server *server = &storage;
    int result = 1;
    server->options = options;
    server->timer_at_ns = INT64_MAX;
    server->timer_fd = server->signal_fd = -1;
    sim_hub_init(&server->hub,
                 options->streams_per_connection > 0 ? options->streams_per_connection : SIZE_MAX);
    server->hub.send_all = options->send_all;
    server->hub.wake = wake;
    server->hub.attach = attach;
    server->hub.attach_ctx = server;
    sim_limits_init(&server->limits, options->weight_limit, options->ban_after,
                    options->connections_per_5min);
    mlt_buf_init(&server->scratch, (size_t)1 << 20);
    if (open_files(server) && open_market(server, &mutator) && open_listings(server) &&
        open_told(server) && await_depth(server) && open_context(server) &&
        adopt(server, server->signal_fd) && adopt(server, server->timer_fd)) {
        (void)printf("}\n");
        (void)fflush(stdout);
        ticker.server = server;
        lws_sul_schedule(server->context, 0, &ticker.sul, each_second, LWS_US_PER_SEC);
        if (options->start_subscriptions == 0) {
            sim_server_start(server);
        }
        result = 0;
        while (!server->stop && lws_service(server->context, 0) >= 0) {
        }
        lws_sul_cancel(&ticker.sul);
    } else {
        mlt_log(MLT_LOG_ERROR, "start", "cannot start", MLT_I("port", options->port));
    }
    close_all(server);
    return result;
}

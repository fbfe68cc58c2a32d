#include "mlt_test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/unconst.h"
#include "mlt_stack.h"
#include "mlt_stack_said.h"
#include "scrape.h"

#define START_NS (20 * MLT_NS_PER_S)
#define BODY_BYTES_MAX (16u << 20)
#define CLUSTER_STARTS 5u
#define WHOLE_NS (8 * MLT_NS_PER_S)

#define SECOND "-2"
#define FIRST_SECOND (MLT_STACK_PROCESSES + MLT_STACK_NATS_MAX - 1)
#define FIRST_SERVICE 2u

static struct mlt_stack *running; /* started last and not stopped; NULL: none */

static const char *const names[MLT_STACK_ALL] = {
    "nats",   "exchange", "adapter",   "conductor",   "data-bus",   "control-bus", "dispatcher",
    "nats-2", "nats-3",   "adapter-2", "conductor-2", "data-bus-2", "dispatcher-2"
};

static struct mlt_stack_process *process_of(struct mlt_stack *stack, const char *name)
{
    for (unsigned i = 0; i < MLT_STACK_ALL; i++) {
        if (strcmp(stack->processes[i].name, name) == 0) {
            return &stack->processes[i];
        }
    }
    fail_msg("no process %s", name);
    return NULL;
}

/* ---- life of a process ---- */

static const char *binary_of(const char *name, char *out, size_t size)
{
    const char *build = getenv("MELTICA_BINARY_DIR");
    if (strncmp(name, "nats", 4) == 0) {
        return "nats-server";
    }
    const char *program = strcmp(name, "exchange") == 0 ? "exchange-sim" : name;
    const size_t len = strlen(program), tail = strlen(SECOND);
    const bool second = len > tail && strcmp(program + len - tail, SECOND) == 0;
    (void)snprintf(out, size, "%s/bin/meltica-%.*s", build != NULL ? build : "build/dev",
                   (int)(second ? len - tail : len), program);
    return out;
}

static void spawn(struct mlt_stack_process *p)
{
    int said[2];
    char path[512];
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    p->arguments[0] = binary_of(p->name, path, sizeof path);
    p->port[0] = '\0';
    p->monitor[0] = '\0';
    p->ended = false;
    p->last_words_len = 0;
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setsid(); /* Ctrl-C is for the parent, which ends all in order */
        const int nothing = open("/dev/null", O_RDONLY);
        if (dup2(nothing, 0) < 0 || dup2(said[1], 1) < 0 || dup2(said[1], 2) < 0) {
            _exit(126);
        }
        if (p->preload != NULL && setenv("LD_PRELOAD", p->preload, 1) != 0) {
            _exit(126);
        }
        execvp(p->arguments[0], mlt_unconst(p->arguments));
        (void)dprintf(2, "cannot run %s: %s\n", p->arguments[0], strerror(errno));
        _exit(127);
    }
    (void)close(said[1]);
    p->said = said[0];
    assert_int_equal(pthread_create(&p->reader, NULL, mlt_stack_read_words, p), 0);
    p->reading = true;
}

static void wait_listening(struct mlt_stack_process *p)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_NS / MLT_NS_PER_S;
    (void)pthread_mutex_lock(&p->lock);
    while (p->port[0] == '\0' && !p->ended &&
           pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    const bool up = p->port[0] != '\0';
    (void)pthread_mutex_unlock(&p->lock);
    if (!up) {
        fail_msg("%s did not come up; its last words:\n%s", p->name, p->last_words);
    }
}

static int reap(struct mlt_stack_process *p)
{
    int status = 0;
    if (p->pid > 0) {
        (void)waitpid(p->pid, &status, 0);
        p->pid = 0;
    }
    if (p->reading) {
        (void)pthread_join(p->reader, NULL);
        p->reading = false;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void mlt_stack_run(struct mlt_stack *stack, const char *name)
{
    struct mlt_stack_process *p = process_of(stack, name);
    assert_int_equal(p->pid, 0);
    spawn(p);
    wait_listening(p);
}

void mlt_stack_kill(struct mlt_stack *stack, const char *name)
{
    struct mlt_stack_process *p = process_of(stack, name);
    if (p->pid > 0) {
        (void)kill(p->pid, SIGKILL);
    }
    (void)reap(p);
}

int mlt_stack_terminate(struct mlt_stack *stack, const char *name)
{
    struct mlt_stack_process *p = process_of(stack, name);
    if (p->pid == 0) {
        return 0;
    }
    (void)kill(p->pid, SIGTERM);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    (void)pthread_mutex_lock(&p->lock);
    int waited = 0;
    while (!p->ended && waited == 0) { /* its output ends when it does */
        waited = pthread_cond_timedwait(&p->changed, &p->lock, &until);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (waited != 0) {
        (void)kill(p->pid, SIGKILL);
    }
    return reap(p);
}

/* ---- the whole ---- */

static void add_argument(struct mlt_stack_process *p, const char *word)
{
    unsigned n = 1;
    while (n < MLT_STACK_ARGUMENTS_MAX && p->arguments[n] != NULL) {
        n++;
    }
    assert_true(n < MLT_STACK_ARGUMENTS_MAX);
    p->arguments[n] = word;
    p->arguments[n + 1] = NULL;
}

static void add_arguments(struct mlt_stack_process *p, const char *const *words, size_t max)
{
    for (size_t i = 0; i < max && words[i] != NULL; i++) {
        add_argument(p, words[i]);
    }
}

static struct mlt_stack_process *nats_of(struct mlt_stack *stack, unsigned server)
{
    return &stack->processes[server == 0 ? 0 : MLT_STACK_PROCESSES + server - 1];
}

/* Every server must know the others' ports before any runs. A bound socket that does not listen
 * keeps a port from everybody but who asks for it by number, as nats-server does. */
static void hold_routes(struct mlt_stack *stack)
{
    for (unsigned i = 0; i < stack->nats_servers; i++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof a;
        const int yes = 1;
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&a, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        stack->routes[i].held = fd;
        stack->routes[i].port = ntohs(a.sin_port);
    }
}

static void write_cluster(struct mlt_stack *stack, FILE *to, unsigned server)
{
    (void)fprintf(to,
                  "server_name: %s\ncluster { name: meltica, listen: \"127.0.0.1:%u\", routes: [",
                  nats_of(stack, server)->name, stack->routes[server].port);
    for (unsigned i = 0; i < stack->nats_servers; i++) {
        (void)fprintf(to, "%s\"nats://127.0.0.1:%u\"", i > 0 ? ", " : "", stack->routes[i].port);
    }
    (void)fprintf(to, "] }\nhttp: \"127.0.0.1:-1\"\n");
}

static void write_nats_config(struct mlt_stack *stack, unsigned server, const char *port)
{
    FILE *to = fopen(stack->nats_config[server], "w");
    assert_non_null(to);
    /* As it is shipped: docker/nats.conf, and test_nats_settings compares them. */
    (void)fprintf(to,
                  "listen: \"127.0.0.1:%s\"\nwrite_deadline: \"1s\"\nmax_pending: 256MB\n"
                  "no_fast_producer_stall: true\n",
                  port);
    if (stack->jetstream) {
        (void)fprintf(to, "jetstream { store_dir: \"%s/store-%u\", sync_interval: always, %s }\n",
                      stack->folder, server + 1,
                      stack->jetstream_limits != NULL
                          ? stack->jetstream_limits
                          : "max_memory_store: 2GB, max_file_store: 4GB");
    }
    if (stack->nats_servers > 1) {
        write_cluster(stack, to, server);
    }
    if (stack->nats_users != NULL) {
        (void)fprintf(to, "%s\n", stack->nats_users);
    }
    assert_int_equal(fclose(to), 0);
}

/* Process i, a service, connects as a user of its own. */
static void add_credentials(struct mlt_stack *stack, unsigned i, const char *folder)
{
    char *user = stack->credentials[i][0], *file = stack->credentials[i][1];
    (void)snprintf(user, sizeof stack->credentials[i][0], "meltica-%s", names[i]);
    (void)snprintf(file, sizeof stack->credentials[i][1], "%s/%s", folder, names[i]);
    const char *const words[] = { "--nats-user", user, "--nats-password-file", file };
    add_arguments(&stack->processes[i], words, 4);
}

/* The same with a key. */
static void add_key(struct mlt_stack *stack, unsigned i, const char *folder)
{
    char *file = stack->credentials[i][1];
    (void)snprintf(file, sizeof stack->credentials[i][1], "%s/%s", folder, names[i]);
    const char *const words[] = { "--nats-nkey-file", file };
    add_arguments(&stack->processes[i], words, 2);
}

static void take_tls_folder(struct mlt_stack *stack, const char *folder)
{
    static const char *const files[] = { "ca.pem", "client.pem", "client.key" };
    for (unsigned i = 0; folder != NULL && i < 3; i++) {
        (void)snprintf(stack->tls[i], sizeof stack->tls[i], "%s/%s", folder, files[i]);
    }
}

static void add_tls(struct mlt_stack *stack, unsigned i)
{
    const char *const words[] = { "--tls-ca-file", stack->tls[0],    "--tls-cert-file",
                                  stack->tls[1],   "--tls-key-file", stack->tls[2] };
    add_arguments(&stack->processes[i], words, 6);
}

static void add_nats_arguments(struct mlt_stack *stack, unsigned server)
{
    struct mlt_stack_process *p = nats_of(stack, server);
    char *config = stack->nats_config[server];
    (void)snprintf(config, sizeof stack->nats_config[0], "%s/%s.conf", stack->folder, p->name);
    const char *const words[] = { "-c", config, NULL };
    add_arguments(p, words, 2);
}

static void launch_nats(struct mlt_stack *stack)
{
    stack->nats_url[0] = '\0';
    for (unsigned i = 0; i < stack->nats_servers; i++) {
        write_nats_config(stack, i, "-1");
        spawn(nats_of(stack, i));
    }
    for (unsigned i = 0; i < stack->nats_servers; i++) {
        struct mlt_stack_process *p = nats_of(stack, i);
        const size_t used = strlen(stack->nats_url);
        wait_listening(p);
        (void)snprintf(stack->nats_url + used, sizeof stack->nats_url - used, "%s%s:%s",
                       i > 0 ? "," : "",
                       stack->tls[0][0] != '\0' ? "tls://localhost" : "nats://127.0.0.1", p->port);
        write_nats_config(stack, i, p->port); /* one that is started again is found again */
    }
}

static bool cluster_is_whole(struct mlt_stack *stack);
static void remove_folder(const char *path);

/* Now and then three that start together leave one out for good: two have a leader, and the third
 * follows without being counted. Then all begin anew, from nothing. */
static void start_nats(struct mlt_stack *stack)
{
    for (unsigned i = 0; i < stack->nats_servers; i++) {
        add_nats_arguments(stack, i);
    }
    if (stack->nats_servers == 1) {
        launch_nats(stack);
        return;
    }
    hold_routes(stack);
    launch_nats(stack);
    for (unsigned tries = 1; !cluster_is_whole(stack); tries++) {
        if (tries == CLUSTER_STARTS) {
            fail_msg("%u times a cluster that is not whole", tries);
        }
        for (unsigned i = 0; i < stack->nats_servers; i++) {
            char store[96];
            (void)snprintf(store, sizeof store, "%s/store-%u", stack->folder, i + 1);
            mlt_stack_kill(stack, nats_of(stack, i)->name);
            remove_folder(store);
        }
        launch_nats(stack);
    }
}

/* For the next start, and for a reload. */
static void rewrite_nats_config(struct mlt_stack *stack)
{
    write_nats_config(stack, 0, strrchr(stack->nats_url, ':') + 1);
}

void mlt_stack_set_jetstream(struct mlt_stack *stack, bool jetstream)
{
    stack->jetstream = jetstream;
    rewrite_nats_config(stack);
}

void mlt_stack_reload_nats(struct mlt_stack *stack, const char *users)
{
    struct mlt_stack_process *p = process_of(stack, "nats");
    struct timespec until;
    stack->nats_users = users;
    rewrite_nats_config(stack);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += START_NS / MLT_NS_PER_S;
    (void)pthread_mutex_lock(&p->lock);
    const unsigned before = p->reloads;
    assert_int_equal(kill(p->pid, SIGHUP), 0);
    while (p->reloads == before && !p->ended &&
           pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    const bool done = p->reloads > before;
    (void)pthread_mutex_unlock(&p->lock);
    if (!done) {
        fail_msg("nats did not read its configuration again; its last words:\n%s", p->last_words);
    }
}

void mlt_stack_start(struct mlt_stack *stack, const struct mlt_stack_options *options)
{
    memset(stack, 0, sizeof *stack);
    stack->jetstream = !options->without_jetstream;
    stack->jetstream_limits = options->jetstream_limits;
    stack->nats_users = options->nats_users;
    stack->nats_servers = options->nats_cluster ? MLT_STACK_NATS_MAX : 1;
    take_tls_folder(stack, options->tls_folder);
    (void)snprintf(stack->folder, sizeof stack->folder, "/tmp/meltica-stack.XXXXXX");
    assert_non_null(mkdtemp(stack->folder));
    for (unsigned i = 0; i < MLT_STACK_ALL; i++) {
        struct mlt_stack_process *p = &stack->processes[i];
        p->name = names[i];
        assert_int_equal(pthread_mutex_init(&p->lock, NULL), 0);
        assert_int_equal(pthread_cond_init(&p->changed, NULL), 0);
    }
    running = stack;
    start_nats(stack);
    struct mlt_stack_process *exchange = process_of(stack, "exchange");
    static const char *const any_port[] = { "--port", "0", NULL };
    add_arguments(exchange, any_port, 2);
    add_arguments(exchange, options->exchange, MLT_STACK_ARGUMENTS_MAX);
    mlt_stack_run(stack, "exchange");
    (void)snprintf(stack->exchange_http, sizeof stack->exchange_http, "http://127.0.0.1:%s",
                   exchange->port);
    (void)snprintf(stack->exchange_ws, sizeof stack->exchange_ws, "ws://127.0.0.1:%s",
                   exchange->port);
    const char *source = getenv("MELTICA_SOURCE_DIR");
    (void)snprintf(stack->table, sizeof stack->table, "%s/services/dispatcher/dispatch-all.json",
                   source != NULL ? source : ".");
    const char *const common[] = { "--nats-url",        stack->nats_url,
                                   "--http-host",       "127.0.0.1",
                                   "--http-port",       "0",
                                   "--stream-replicas", options->nats_cluster ? "3" : "1" };
    for (unsigned i = FIRST_SERVICE; i < MLT_STACK_PROCESSES; i++) {
        add_arguments(&stack->processes[i], common, sizeof common / sizeof common[0]);
        stack->processes[i].preload = options->preload;
        if (options->password_folder != NULL) {
            add_credentials(stack, i, options->password_folder);
        }
        if (options->nkey_folder != NULL) {
            add_key(stack, i, options->nkey_folder);
        }
        if (options->tls_folder != NULL) {
            add_tls(stack, i);
        }
    }
    const char *const adapter[] = { "--ws-url", stack->exchange_ws, "--rest-url",
                                    stack->exchange_http };
    add_arguments(process_of(stack, "adapter"), adapter, 4);
    add_arguments(process_of(stack, "adapter"), options->adapter, 12);
    add_arguments(&stack->processes[FIRST_SECOND], adapter, 4);
    const char *const *const seconds[MLT_STACK_SECONDS] = { options->second_adapter,
                                                            options->second_conductor,
                                                            options->second_data_bus,
                                                            options->second_dispatcher };
    for (unsigned i = 0; i < MLT_STACK_SECONDS; i++) {
        struct mlt_stack_process *p = &stack->processes[FIRST_SECOND + i];
        stack->seconds[i] = seconds[i][0] != NULL;
        p->preload = options->preload;
        add_arguments(p, common, sizeof common / sizeof common[0]);
        add_arguments(p, seconds[i], i == 0 ? 16 : 8);
    }
    add_arguments(process_of(stack, "conductor"), options->conductor, 8);
    add_arguments(process_of(stack, "data-bus"), options->data_bus, 8);
    add_arguments(process_of(stack, "control-bus"), options->control_bus, 8);
    const char *const table[] = { "--table",
                                  options->table != NULL ? options->table : stack->table };
    add_arguments(process_of(stack, "dispatcher"), table, 2);
    add_arguments(process_of(stack, "dispatcher-2"), table, 2);
    add_arguments(process_of(stack, "dispatcher"), options->dispatcher, 8);
}

void mlt_stack_run_services(struct mlt_stack *stack)
{
    const unsigned last = MLT_STACK_SECONDS - 1; /* the second Dispatcher stands by for the first */
    for (unsigned i = 0; i < last; i++) {
        if (stack->seconds[i]) {
            mlt_stack_run(stack, names[FIRST_SECOND + i]);
        }
    }
    for (unsigned i = FIRST_SERVICE; i < MLT_STACK_PROCESSES; i++) {
        mlt_stack_run(stack, names[i]);
    }
    if (stack->seconds[last]) {
        mlt_stack_run(stack, names[FIRST_SECOND + last]);
    }
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char inner[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        (void)snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        if (unlink(inner) != 0) {
            remove_folder(inner);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    (void)rmdir(path);
}

void mlt_stack_stop(struct mlt_stack *stack)
{
    for (unsigned i = FIRST_SECOND; i < MLT_STACK_ALL; i++) {
        (void)mlt_stack_terminate(stack, names[i]);
    }
    for (unsigned i = MLT_STACK_PROCESSES; i-- > 0;) {
        (void)mlt_stack_terminate(stack, names[i]);
    }
    for (unsigned i = MLT_STACK_PROCESSES; i < FIRST_SECOND; i++) {
        (void)mlt_stack_terminate(stack, names[i]);
    }
    running = NULL;
    for (unsigned i = 0; i < MLT_STACK_ALL; i++) {
        (void)pthread_mutex_destroy(&stack->processes[i].lock);
        (void)pthread_cond_destroy(&stack->processes[i].changed);
    }
    for (unsigned i = 0; stack->nats_servers > 1 && i < stack->nats_servers; i++) {
        (void)close(stack->routes[i].held);
    }
    remove_folder(stack->folder);
}

pid_t mlt_stack_pid(struct mlt_stack *stack, const char *name)
{
    return process_of(stack, name)->pid;
}

int64_t mlt_stack_resident_bytes(struct mlt_stack *stack, const char *name)
{
    char path[64], line[256];
    int64_t kib = -1;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)mlt_stack_pid(stack, name));
    FILE *from = fopen(path, "r");
    while (from != NULL && fgets(line, sizeof line, from) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtoll(line + 6, NULL, 10);
        }
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    return kib < 0 ? -1 : kib * 1024;
}

bool mlt_stack_gone(struct mlt_stack *stack, const char *name)
{
    struct mlt_stack_process *p = process_of(stack, name);
    (void)pthread_mutex_lock(&p->lock);
    const bool gone = p->pid > 0 && p->ended;
    (void)pthread_mutex_unlock(&p->lock);
    return gone;
}

bool mlt_stack_warning(struct mlt_stack *stack, const char *name, unsigned ago, char *line,
                       size_t size)
{
    struct mlt_stack_process *p = process_of(stack, name);
    (void)pthread_mutex_lock(&p->lock);
    const bool there = ago < MLT_STACK_WARNINGS && ago < p->warning_lines;
    if (there) {
        (void)snprintf(line, size, "%s",
                       p->warnings[(p->warning_lines - 1 - ago) % MLT_STACK_WARNINGS]);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return there;
}

uint64_t mlt_stack_errors(struct mlt_stack *stack, const char *name, uint64_t *warnings,
                          char *first, size_t size)
{
    struct mlt_stack_process *p = process_of(stack, name);
    (void)pthread_mutex_lock(&p->lock);
    const uint64_t errors = p->error_lines;
    *warnings = p->warning_lines;
    (void)snprintf(first, size, "%s", p->first_error);
    (void)pthread_mutex_unlock(&p->lock);
    return errors;
}

/* ---- HTTP ---- */

static int connect_to(const char *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const struct timeval limit = { .tv_sec = 10 };
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
                    connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool get(const char *port, const char *path, struct mlt_buf *body)
{
    mlt_buf_clear(body);
    const int fd = connect_to(port);
    if (fd < 0) {
        return false;
    }
    char request[4096];
    const int len =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    ssize_t n = send(fd, request, (size_t)len, MSG_NOSIGNAL) == len ? 1 : 0;
    while (n > 0 && mlt_buf_reserve(body, 65536) == MLT_OK) {
        n = read(fd, body->data + body->len, 65536);
        body->len += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    const uint8_t *end = body->len > 0 ? memmem(body->data, body->len, "\r\n\r\n", 4) : NULL;
    if (end == NULL || memmem(body->data, body->len, " 200 ", 5) == NULL) {
        return false;
    }
    mlt_buf_consume(body, (size_t)(end - body->data) + 4);
    return true;
}

bool mlt_stack_try_get(struct mlt_stack *stack, const char *name, const char *path,
                       struct mlt_buf *body)
{
    return get(process_of(stack, name)->port, path, body);
}

bool mlt_stack_monitor(struct mlt_stack *stack, const char *path, struct mlt_buf *body)
{
    return get(nats_of(stack, 0)->monitor, path, body);
}

/* Whom a server takes for the leader of JetStream; NULL: for nobody that runs. */
static const char *leader_by(struct mlt_stack *stack, const struct mlt_stack_process *server,
                             struct mlt_buf *body)
{
    static const char meta[] = "\"meta_cluster\"", leader[] = "\"leader\": \"";
    if (!get(server->monitor, "/jsz", body) || mlt_buf_append_byte(body, 0) != MLT_OK) {
        return NULL;
    }
    const char *at = strstr((const char *)body->data, meta);
    at = at != NULL ? strstr(at, leader) : NULL;
    for (unsigned i = 0; at != NULL && i < stack->nats_servers; i++) {
        const struct mlt_stack_process *of = nats_of(stack, i);
        const size_t len = strlen(of->name);
        const char *name = at + sizeof leader - 1;
        if (of->pid > 0 && strncmp(name, of->name, len) == 0 && name[len] == '"') {
            return of->name;
        }
    }
    return NULL;
}

/* Whether its leader has heard the two others within a while. */
static bool cluster_is_whole(struct mlt_stack *stack)
{
    static const char current[] = "\"current\": true";
    const int64_t until_ns = mlt_clock_mono_ns() + WHOLE_NS;
    unsigned others = 0;
    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    while (others < stack->nats_servers - 1 && mlt_clock_mono_ns() < until_ns) {
        const struct mlt_stack_process *first = nats_of(stack, 0);
        const char *leader = leader_by(stack, first, &body);
        others = 0;
        if (leader != NULL && get(process_of(stack, leader)->monitor, "/jsz", &body) &&
            mlt_buf_append_byte(&body, 0) == MLT_OK) {
            const char *at = strstr((const char *)body.data, "\"meta_cluster\"");
            while (at != NULL && (at = strstr(at, current)) != NULL) {
                at += sizeof current - 1;
                others++;
            }
        }
    }
    mlt_buf_fini(&body);
    return others >= stack->nats_servers - 1;
}

const char *mlt_stack_meta_leader(struct mlt_stack *stack)
{
    const int64_t until_ns = mlt_clock_mono_ns() + START_NS;
    const char *leader = NULL;
    bool agreed = false;
    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    while (!agreed && mlt_clock_mono_ns() < until_ns) {
        leader = NULL;
        agreed = true;
        for (unsigned i = 0; agreed && i < stack->nats_servers; i++) {
            const struct mlt_stack_process *server = nats_of(stack, i);
            if (server->pid > 0) {
                const char *said = leader_by(stack, server, &body);
                agreed = said != NULL && (leader == NULL || said == leader);
                leader = said;
            }
        }
    }
    mlt_buf_fini(&body);
    if (!agreed) {
        fail_msg("no leader of the cluster that all its servers know");
    }
    return leader;
}

void mlt_stack_get(struct mlt_stack *stack, const char *name, const char *path,
                   struct mlt_buf *body)
{
    if (!mlt_stack_try_get(stack, name, path, body)) {
        fail_msg("%s %s: %.*s", name, path, (int)body->len, (const char *)body->data);
    }
}

uint64_t mlt_stack_metric(struct mlt_stack *stack, const char *name, const char *metric,
                          const char *label)
{
    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    mlt_stack_get(stack, name, "/metrics", &body);
    const uint64_t value = mlt_scrape_sum(mlt_buf_view(&body), metric, label);
    mlt_buf_fini(&body);
    return value;
}

int64_t mlt_stack_exchange_status(struct mlt_stack *stack, const char *member)
{
    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    mlt_stack_get(stack, "exchange", "/sim/status", &body);
    const int64_t value = mlt_scrape_member(mlt_buf_view(&body), member);
    mlt_buf_fini(&body);
    return value;
}

const char *mlt_stack_recording(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    const char *folder = getenv("MELTICA_CAPTURES");
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder != NULL ? folder : "../shared/captures",
                   name);
    return access(path, R_OK) == 0 ? path : NULL;
}

void mlt_stack_find_binaries(void)
{
    char path[512];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(len > 0);
    path[len] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        assert_non_null(slash);
        *slash = '\0';
    }
    assert_int_equal(setenv("MELTICA_BINARY_DIR", path, 1), 0);
}

int mlt_stack_verdict(int result)
{
    if (result != 0) {
        if (running != NULL) {
            mlt_stack_show_last_words(running);
        }
        /* Not exit, nor fflush(NULL): the readers hold the locks of their streams. */
        (void)fflush(stdout);
        (void)fflush(stderr);
        _exit(1);
    }
    return 0;
}

bool mlt_stack_is_stalled(struct mlt_slice answer)
{
    static const char words[] = "the Dispatcher does not answer";
    return answer.len > 0 && memmem(answer.data, answer.len, words, sizeof words - 1) != NULL;
}

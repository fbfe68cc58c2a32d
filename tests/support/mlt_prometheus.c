#include "mlt_test.h"

#include "mlt_prometheus.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BODY_BYTES_MAX (4u << 20)
#define START_S 30

static const char *const services[] = { "adapter", "dispatcher", "conductor", "data-bus",
                                        "control-bus" };

/* ---- the receiver ---- */

static struct fired_alert *find(struct mlt_prometheus *p, const char *name)
{
    for (size_t i = 0; i < p->fired_count; i++) {
        if (strcmp(p->fired[i].name, name) == 0) {
            return &p->fired[i];
        }
    }
    return NULL;
}

/* Told again and again while it fires, and once more when it no longer does, always with the time
 * at which it began. */
static void add_fired(struct mlt_prometheus *p, const char *name, const char *since)
{
    struct fired_alert *alert = find(p, name);
    if (alert == NULL) {
        if (p->fired_count == PROMETHEUS_FIRED_MAX) {
            return;
        }
        alert = &p->fired[p->fired_count++];
        memset(alert, 0, sizeof *alert);
        (void)snprintf(alert->name, sizeof alert->name, "%s", name);
    } else if (strcmp(since, alert->since) <= 0) {
        return;
    }
    (void)snprintf(alert->since, sizeof alert->since, "%s", since);
    alert->forgotten = false;
    (void)pthread_cond_broadcast(&p->changed);
}

static const char *text_of(const cJSON *object, const char *member)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));
}

static const char *name_of(const cJSON *alert)
{
    return text_of(cJSON_GetObjectItemCaseSensitive(alert, "labels"), "alertname");
}

static void take_alerts(struct mlt_prometheus *p, const char *body)
{
    cJSON *list = cJSON_Parse(body);
    const cJSON *alert;
    (void)pthread_mutex_lock(&p->lock);
    cJSON_ArrayForEach(alert, list)
    {
        const char *name = name_of(alert), *since = text_of(alert, "startsAt");
        if (name != NULL) {
            add_fired(p, name, since != NULL ? since : "");
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    cJSON_Delete(list);
}

static struct http_stub_answer take(void *ctx, const char *head, const void *body, size_t len)
{
    struct mlt_prometheus *p = ctx;
    const bool spans = strncmp(head, "POST /v1/traces ", 16) == 0;
    (void)len;
    if (!spans) {
        take_alerts(p, body);
    }
    return (struct http_stub_answer){ .code = spans && atomic_load(&p->refuses_spans) ? 400 : 200 };
}

void mlt_prometheus_listen(struct mlt_prometheus *p)
{
    memset(p, 0, sizeof *p);
    assert_int_equal(pthread_mutex_init(&p->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&p->changed, NULL), 0);
    assert_true(http_stub_start(&p->receiver, 0, take, p));
}

/* ---- its files ---- */

static FILE *create(const struct mlt_prometheus *p, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", p->folder, name);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    return to;
}

/* A file of rules as the test wants it. */
static void copy_rules(const struct mlt_prometheus *p, const char *name)
{
    const char *source = getenv("MELTICA_SOURCE_DIR");
    char path[512];
    char *line = NULL;
    size_t capacity = 0;
    bool absent = false;
    (void)snprintf(path, sizeof path, "%s/helm/meltica/files/rules/%s",
                   source != NULL ? source : ".", name);
    FILE *from = fopen(path, "r"), *to = create(p, name);
    assert_non_null(from);
    while (getline(&line, &capacity, from) > 0) {
        const char *text = line + strspn(line, " ");
        char *minutes = strstr(line, "[2m]");
        if (minutes != NULL) {
            memcpy(minutes, "[5s]", 4);
        }
        absent = strstr(line, "absent(") != NULL || (absent && strstr(line, "- alert:") == NULL);
        if (strncmp(text, "for: ", 5) == 0) {
            /* Until the first scrape, seconds after the start, everything is absent. */
            assert_true(fprintf(to, "%.*sfor: %ds\n", (int)(text - line), line, absent ? 20 : 3) >
                        0);
        } else {
            assert_true(fputs(line, to) >= 0);
        }
    }
    free(line);
    (void)fclose(from);
    assert_int_equal(fclose(to), 0);
}

static void write_files(const struct mlt_prometheus *p, const char *more_rules)
{
    FILE *to = create(p, "prometheus.yml");
    (void)fprintf(to,
                  "global: { scrape_interval: 1s, scrape_timeout: 1s, "
                  "evaluation_interval: 250ms }\n"
                  "rule_files: [recording.yaml, alerting.yaml, test.yaml]\n"
                  "alerting: { alertmanagers: [{ static_configs: [{ targets: "
                  "['127.0.0.1:%u'] }] }] }\n"
                  "scrape_configs: [{ job_name: meltica, file_sd_configs: [{ files: "
                  "[targets.json], refresh_interval: 1s }] }]\n",
                  p->receiver.port);
    assert_int_equal(fclose(to), 0);
    to = create(p, "test.yaml");
    (void)fprintf(to, "groups: [{ name: test, rules: [%s] }]\n", more_rules);
    assert_int_equal(fclose(to), 0);
    copy_rules(p, "recording.yaml");
    copy_rules(p, "alerting.yaml");
}

void mlt_prometheus_targets(struct mlt_prometheus *p)
{
    char from[160], to[160];
    bool any = false;
    FILE *file = create(p, "targets.part");
    (void)fprintf(file, "[{\"targets\":[");
    for (unsigned i = 0; i < MLT_STACK_PROCESSES; i++) {
        const struct mlt_stack_process *process = &p->stack->processes[i];
        for (size_t n = 0; n < sizeof services / sizeof services[0]; n++) {
            if (strcmp(process->name, services[n]) == 0 && process->port[0] != '\0') {
                (void)fprintf(file, "%s\"127.0.0.1:%s\"", any ? "," : "", process->port);
                any = true;
            }
        }
    }
    (void)fprintf(file, "]}]\n");
    assert_int_equal(fclose(file), 0);
    (void)snprintf(from, sizeof from, "%s/targets.part", p->folder);
    (void)snprintf(to, sizeof to, "%s/targets.json", p->folder);
    assert_int_equal(rename(from, to), 0);
}

/* ---- the process ---- */

static void *read_words(void *ctx)
{
    struct mlt_prometheus *p = ctx;
    FILE *from = fdopen(p->said, "r");
    char *line = NULL;
    size_t capacity = 0;
    while (from != NULL && getline(&line, &capacity, from) > 0) {
        static const char before[] = "\"address\":\"127.0.0.1:";
        const char *at = strstr(line, "\"Listening on\"") != NULL ? strstr(line, before) : NULL;
        (void)pthread_mutex_lock(&p->lock);
        (void)snprintf(p->last_words, sizeof p->last_words, "%s", line);
        if (at != NULL) {
            at += sizeof before - 1;
            (void)snprintf(p->port, sizeof p->port, "%.*s", (int)strspn(at, "0123456789"), at);
        }
        (void)pthread_cond_broadcast(&p->changed);
        (void)pthread_mutex_unlock(&p->lock);
    }
    free(line);
    if (from != NULL) {
        (void)fclose(from);
    }
    (void)pthread_mutex_lock(&p->lock);
    p->ended = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void spawn(struct mlt_prometheus *p)
{
    int said[2];
    char config[160], data[160];
    (void)snprintf(config, sizeof config, "--config.file=%s/prometheus.yml", p->folder);
    (void)snprintf(data, sizeof data, "--storage.tsdb.path=%s/data", p->folder);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(said[1], 1) < 0 || dup2(said[1], 2) < 0) {
            _exit(126);
        }
        (void)execlp(PROMETHEUS, "prometheus", config, data, "--web.listen-address=127.0.0.1:0",
                     "--log.format=json", (char *)NULL);
        _exit(127);
    }
    (void)close(said[1]);
    p->said = said[0];
    assert_int_equal(pthread_create(&p->reader, NULL, read_words, p), 0);
    p->reading = true;
}

static struct timespec in_seconds(int seconds)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return until;
}

void mlt_prometheus_start(struct mlt_prometheus *p, const struct mlt_stack *stack,
                          const char *more_rules)
{
    p->stack = stack;
    (void)snprintf(p->folder, sizeof p->folder, "%s/prometheus.XXXXXX", stack->folder);
    assert_non_null(mkdtemp(p->folder)); /* goes with the stack's */
    write_files(p, more_rules);
    mlt_prometheus_targets(p);
    spawn(p);
    const struct timespec until = in_seconds(START_S);
    (void)pthread_mutex_lock(&p->lock);
    while (p->port[0] == '\0' && !p->ended &&
           pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    const bool up = p->port[0] != '\0';
    (void)pthread_mutex_unlock(&p->lock);
    if (!up) {
        fail_msg("Prometheus did not come up; it said last: %s", p->last_words);
    }
}

void mlt_prometheus_stop(struct mlt_prometheus *p)
{
    if (p->pid > 0) {
        (void)kill(p->pid, SIGKILL); /* nobody needs its data */
        (void)waitpid(p->pid, NULL, 0);
    }
    if (p->reading) {
        (void)pthread_join(p->reader, NULL);
    }
    http_stub_stop(&p->receiver);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
}

/* ---- questions ---- */

static bool has_fired(struct mlt_prometheus *p, const char *alert)
{
    const struct fired_alert *fired = find(p, alert);
    return fired != NULL && !fired->forgotten;
}

bool mlt_prometheus_fired(struct mlt_prometheus *p, const char *alert)
{
    (void)pthread_mutex_lock(&p->lock);
    const bool fired = has_fired(p, alert);
    (void)pthread_mutex_unlock(&p->lock);
    return fired;
}

void mlt_prometheus_await(struct mlt_prometheus *p, const char *alert, int seconds)
{
    char all[PROMETHEUS_FIRED_MAX * 64] = "";
    const struct timespec until = in_seconds(seconds);
    (void)pthread_mutex_lock(&p->lock);
    while (!has_fired(p, alert) && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    const bool fired = has_fired(p, alert);
    for (size_t i = 0; i < p->fired_count; i++) {
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), " %s", p->fired[i].name);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (!fired) {
        fail_msg("%s did not fire within %d s; so far:%s", alert, seconds, all);
    }
}

cJSON *mlt_prometheus_ask(struct mlt_prometheus *p, const char *path, const char *query)
{
    char command[4096];
    if (query != NULL) {
        assert_null(strchr(query, '\'')); /* it stands between such in the command */
        (void)snprintf(command, sizeof command,
                       "curl -s -G --data-urlencode 'query=%s' http://127.0.0.1:%s%s", query,
                       p->port, path);
    } else {
        (void)snprintf(command, sizeof command, "curl -s http://127.0.0.1:%s%s", p->port, path);
    }
    FILE *from = popen(command, "r");
    char *body = malloc(BODY_BYTES_MAX);
    assert_true(from != NULL && body != NULL);
    const size_t len = fread(body, 1, BODY_BYTES_MAX - 1, from);
    body[len] = '\0';
    assert_int_equal(pclose(from), 0);
    cJSON *answer = cJSON_Parse(body);
    const char *status = text_of(answer, "status");
    if (status == NULL || strcmp(status, "success") != 0) {
        fail_msg("Prometheus answered %s %s with: %s", path, query != NULL ? query : "", body);
    }
    free(body);
    cJSON *data = cJSON_DetachItemFromObjectCaseSensitive(answer, "data");
    cJSON_Delete(answer);
    assert_non_null(data);
    return data;
}

static void set_forgotten(struct mlt_prometheus *p, const char *alert, bool forgotten)
{
    (void)pthread_mutex_lock(&p->lock);
    struct fired_alert *fired = find(p, alert);
    if (fired != NULL) {
        fired->forgotten = forgotten;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

/* Forgotten before it asks: what begins to fire in between is either in the answer or told anew. */
bool mlt_prometheus_forget(struct mlt_prometheus *p, const char *alert)
{
    bool rests = true;
    set_forgotten(p, alert, true);
    cJSON *data = mlt_prometheus_ask(p, "/api/v1/alerts", NULL);
    const cJSON *active;
    cJSON_ArrayForEach(active, cJSON_GetObjectItemCaseSensitive(data, "alerts"))
    {
        const char *name = name_of(active);
        rests = rests && (name == NULL || strcmp(name, alert) != 0);
    }
    cJSON_Delete(data);
    if (!rests) {
        set_forgotten(p, alert, false);
    }
    return rests;
}

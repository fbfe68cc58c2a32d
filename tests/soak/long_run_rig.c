#include "mlt_test.h"

#include "long_run_rig.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"

#define ARGUMENTS_MAX 24u

void long_run_rig_program(const char *name, char *path, size_t size)
{
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, size, "%s/bin/%s", build != NULL ? build : "build/dev", name);
}

static void become(const struct long_run_rig *rig, const char *name, const char *const *arguments)
{
    char path[512];
    const char *argv[ARGUMENTS_MAX] = { path };
    size_t count = 1;
    long_run_rig_program(name, path, sizeof path);
    for (; *arguments != NULL && count < ARGUMENTS_MAX - 3; arguments++) {
        argv[count++] = *arguments;
    }
    argv[count++] = "--report";
    argv[count++] = rig->report;
    argv[count] = NULL;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execv(path, (char *const *)(uintptr_t)argv);
    _exit(127);
}

static bool next_line(struct long_run_rig *rig, char *line, size_t size)
{
    if (fgets(line, (int)size, rig->said) == NULL) {
        return false;
    }
    if (rig->heard != NULL) {
        rig->heard(rig->ctx, line);
    }
    return true;
}

void long_run_rig_await(struct long_run_rig *rig, const char *text, char *behind, size_t size)
{
    char line[1024];
    while (next_line(rig, line, sizeof line)) {
        const char *at = strstr(line, text);
        if (at != NULL) {
            at += strlen(text);
            (void)snprintf(behind, size, "%.*s", (int)strcspn(at, ",\n"), at);
            return;
        }
    }
    fail_msg("it ended before it said \"%s\"", text);
}

void long_run_rig_start(struct long_run_rig *rig, const char *name, const char *const *arguments)
{
    int said[2];
    char rest[64];
    (void)snprintf(rig->folder, sizeof rig->folder, "/tmp/meltica-test-%s.XXXXXX", name);
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->report, sizeof rig->report, "%s/report.json", rig->folder);
    assert_int_equal(pipe(said), 0);
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0) {
        if (dup2(said[1], 1) < 0 || dup2(said[1], 2) < 0) {
            _exit(126);
        }
        (void)close(said[0]);
        (void)close(said[1]);
        become(rig, name, arguments);
    }
    (void)close(said[1]);
    rig->said = fdopen(said[0], "r");
    assert_non_null(rig->said);
    long_run_rig_await(rig, "NATS at ", rig->nats_url, sizeof rig->nats_url);
    long_run_rig_await(rig, "it begins", rest, sizeof rest);
}

int long_run_rig_end(struct long_run_rig *rig, cJSON **report)
{
    char line[1024], path[128];
    static char text[1 << 20];
    int status = 0;
    while (next_line(rig, line, sizeof line)) {
        (void)fputs(line, stdout);
    }
    (void)fclose(rig->said);
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    FILE *from = fopen(rig->report, "r");
    assert_non_null(from);
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    assert_int_equal(fclose(from), 0);
    *report = cJSON_Parse(text);
    assert_non_null(*report);
    (void)snprintf(path, sizeof path, "%s/report.md", rig->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(rig->report), 0);
    assert_int_equal(rmdir(rig->folder), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

pid_t long_run_rig_child(const struct long_run_rig *rig, const char *program)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    pid_t found = 0;
    assert_non_null(folder);
    while (found == 0 && (entry = readdir(folder)) != NULL) {
        char path[300], target[512], line[128];
        int of = 0;
        (void)snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
        const ssize_t len = readlink(path, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        (void)snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        FILE *from = len > 0 && strstr(target, program) != NULL ? fopen(path, "r") : NULL;
        while (from != NULL && fgets(line, sizeof line, from) != NULL) {
            of = strncmp(line, "PPid:", 5) == 0 ? (int)strtol(line + 5, NULL, 10) : of;
        }
        if (from != NULL) {
            (void)fclose(from);
        }
        found = of == rig->pid ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
    }
    (void)closedir(folder);
    return found;
}

/* ---- what is lost ---- */

struct forger {
    struct mlt_bus *bus;
    struct mlt_arena arena;
    enum mlt_event_type type;
    uint64_t hole;
    int done[2]; /* pipe: written once it is published */
    bool forged;
};

static void forge(void *ctx, const struct mlt_bus_message *message)
{
    struct forger *f = ctx;
    struct mlt_event e;
    static uint8_t bytes[1 << 16];
    mlt_arena_reset(&f->arena);
    if (f->forged || mlt_event_decode(message->payload, &f->arena, &e) != MLT_OK ||
        e.type != f->type || mlt_event_encoded_size(&e) > sizeof bytes - 16) {
        return;
    }
    e.sequence += f->hole + 1;
    const size_t len = mlt_event_encode(&e, bytes);
    f->forged = mlt_bus_publish(f->bus, message->subject, mlt_slice_of(bytes, len)) == MLT_OK;
    assert_int_equal(write(f->done[1], "", 1), 1);
}

void long_run_rig_forge_hole(const struct long_run_rig *rig, enum mlt_event_type type,
                             uint64_t hole)
{
    static struct forger f;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *subscription = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = rig->nats_url,
                                             .name = "test-forger" };
    const struct mlt_bus_subscribe_options one = { .subject = "meltica.data.SYM0001-USDT" };
    f = (struct forger){ .type = type, .hole = hole };
    assert_int_equal(pipe(f.done), 0);
    mlt_arena_init(&f.arena, 65536, 16u << 20);
    assert_int_equal(mlt_bus_connect(&options, &f.bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(f.bus, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_bus_subscribe(f.bus, &one, forge, &f, &subscription, &err), MLT_OK);
    struct pollfd fd = { .fd = f.done[0], .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_true(mlt_bus_rtt_ns(f.bus) >= 0); /* it has left */
    mlt_bus_unsubscribe(subscription);
    mlt_bus_destroy(f.bus, MLT_NS_PER_S);
    mlt_arena_fini(&f.arena);
    (void)close(f.done[0]);
    (void)close(f.done[1]);
}

/* ---- what a report says ---- */

double long_run_rig_number(const cJSON *of, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(of, name);
    if (!cJSON_IsNumber(value)) {
        fail_msg("no number %s", name);
    }
    return value->valuedouble;
}

const cJSON *long_run_rig_object(const cJSON *of, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(of, name);
    if (!cJSON_IsObject(value)) {
        fail_msg("no object %s", name);
    }
    return value;
}

bool long_run_rig_passed(const cJSON *report, const char *check)
{
    const cJSON *one;
    if (check == NULL) {
        return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "passed"));
    }
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        const char *is = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "check"));
        if (is != NULL && strcmp(is, check) == 0) {
            return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "pass"));
        }
    }
    fail_msg("no check %s", check);
    return false;
}

/* See stack_bench.h. */
#include "mlt_test.h"

#include "stack_bench.h"

#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

int stack_bench_compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool read_options(struct stack_bench *b, int argc, char **argv, const char **path)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--report") == 0) {
            *path = argv[i + 1];
        } else if (i + 1 < argc && strcmp(argv[i], b->option) == 0) {
            b->number = strtoul(argv[i + 1], NULL, 10);
        } else {
            return false;
        }
    }
    return b->number > 0 && b->number <= b->most;
}

static void start_stack(struct stack_bench *b, const char *const *exchange)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stack_options options = { .table = b->table_path };
    for (unsigned i = 0; exchange[i] != NULL; i++) {
        options.exchange[i] = exchange[i];
    }
    (void)snprintf(b->table_path, sizeof b->table_path, "/tmp/meltica-bench.XXXXXX");
    const int fd = mkstemp(b->table_path);
    assert_true(fd >= 0 && dprintf(fd, "%s", b->table) > 0 && close(fd) == 0);
    mlt_log_init("bench", "", MLT_LOG_ERROR); /* a person reads this */
    mlt_stack_find_binaries();
    mlt_stack_start(&b->stack, &options);
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = b->stack.nats_url,
                                         .name = "bench" };
    assert_int_equal(mlt_bus_connect(&bus, &b->client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(b->client, 5 * MLT_NS_PER_S), MLT_OK);
}

int stack_bench_start(struct stack_bench *bench, int argc, char **argv, const char *const *exchange)
{
    const char *path = NULL;
    if (!read_options(bench, argc, argv, &path)) {
        (void)fprintf(stderr, "usage: ./dev bench %s [--report FILE] [%s 1..%lu]\n", bench->name,
                      bench->option, bench->most);
        return 2;
    }
    bench->to = path != NULL ? fopen(path, "we") : stdout;
    if (bench->to == NULL) {
        (void)fprintf(stderr, "bench %s: cannot write %s\n", bench->name, path);
        return 2;
    }
    start_stack(bench, exchange);
    return 0;
}

int stack_bench_end(struct stack_bench *bench, int failed)
{
    mlt_bus_destroy(bench->client, 0);
    mlt_stack_stop(&bench->stack);
    (void)unlink(bench->table_path);
    const bool written = fflush(bench->to) == 0 && (bench->to == stdout || fclose(bench->to) == 0);
    return written ? failed : 1;
}

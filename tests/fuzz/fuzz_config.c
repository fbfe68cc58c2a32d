/* Configurations from outside: values that load accepts are in their ranges, what it refuses comes
 * with words. The first byte says where the rest goes: the file, flags, or variables (one a line).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "meltica/rt/config.h"

#define WORDS_MAX 32u

struct values {
    char *url, *secret, *mode;
    int64_t small, any;
    bool on;
};

static const struct mlt_config_item items[] = {
    { "nats_url", MLT_CONFIG_STRING, offsetof(struct values, url), "nats://x", 0, 0, NULL, "",
      false, "Text." },
    { "secret_file", MLT_CONFIG_STRING, offsetof(struct values, secret), "", 0, 0, NULL, "", true,
      "Secret." },
    { "log_mode", MLT_CONFIG_CHOICE, offsetof(struct values, mode), "info", 0, 0, "debug|info|warn",
      "", false, "Choice." },
    { "small_ms", MLT_CONFIG_INT, offsetof(struct values, small), "5", -3, 64, NULL, "ms", false,
      "Range." },
    { "any", MLT_CONFIG_INT, offsetof(struct values, any), "0", 0, 0, NULL, "", false, "Number." },
    { "switch", MLT_CONFIG_BOOL, offsetof(struct values, on), "false", 0, 0, NULL, "", false,
      "Switch." },
};
#define ITEM_COUNT (sizeof items / sizeof items[0])

static void check(const struct values *v, const enum mlt_config_origin *origins)
{
    uint8_t on = 0;
    memcpy(&on, &v->on, 1);
    MLT_CHECK(v->url != NULL && v->secret != NULL && v->mode != NULL && on <= 1);
    MLT_CHECK(v->small >= -3 && v->small <= 64);
    MLT_CHECK(strcmp(v->mode, "debug") == 0 || strcmp(v->mode, "info") == 0 ||
              strcmp(v->mode, "warn") == 0);
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        MLT_CHECK(origins[i] <= MLT_CONFIG_FROM_FLAG);
    }
}

/* What --print-config says of a secret does not hold it. */
static void check_print(const struct mlt_config_table *table, const struct values *v)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    MLT_CHECK(to != NULL);
    mlt_config_print(table, 1, to);
    MLT_CHECK(fclose(to) == 0 && len > 0);
    MLT_CHECK(strlen(v->secret) < 12 || strstr(v->url, v->secret) != NULL ||
              strstr(text, v->secret) == NULL);
    free(text);
}

static void load(int argc, char *const *argv, char *const *environment)
{
    struct values values;
    enum mlt_config_origin origins[ITEM_COUNT];
    enum mlt_config_action action = MLT_CONFIG_RUN;
    struct mlt_error err = MLT_ERROR_INIT;
    memset(&values, 0, sizeof values);
    memset(origins, 0, sizeof origins);
    const struct mlt_config_table table = { items, ITEM_COUNT, &values, origins };
    const enum mlt_status status =
        mlt_config_load(&table, 1, argc, argv, environment, &action, &err);
    if (status == MLT_OK) {
        check(&values, origins);
        check_print(&table, &values);
    } else {
        MLT_CHECK(status == MLT_E_CONFIG && err.text[0] != '\0');
    }
    mlt_config_fini(&table, 1);
}

static void load_file(const uint8_t *data, size_t size)
{
    char path[64], program[] = "program", flag[] = "--config";
    const int fd = memfd_create("config", MFD_CLOEXEC);
    MLT_CHECK(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char *const argv[] = { program, flag, path, NULL };
    char *const environment[] = { NULL };
    load(3, argv, environment);
    (void)close(fd);
}

/* A path that the input names would be opened: that is not what is tried here. */
static bool names_file(const char *word)
{
    return strncmp(word, "MELTICA_CONFIG=", 15) == 0 ||
           (strncmp(word, "--config", 8) == 0 && strcmp(word, "--config-docs") != 0);
}

static void load_words(const uint8_t *data, size_t size, bool flags)
{
    char *text = malloc(size + 1), *rest = text, *word, program[] = "program";
    char *words[WORDS_MAX + 2] = { program };
    size_t count = flags ? 1 : 0;
    MLT_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    while (count <= WORDS_MAX && (word = strsep(&rest, "\n")) != NULL) {
        if (!names_file(word)) {
            words[count++] = word;
        }
    }
    words[count] = NULL;
    char *const none[] = { NULL };
    char *const only_program[] = { program, NULL };
    if (flags) {
        load((int)count, words, none);
    } else {
        load(1, only_program, words);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] == 'f') {
        load_file(data + 1, size - 1);
    } else {
        load_words(data + 1, size - 1, data[0] == '-');
    }
    return 0;
}

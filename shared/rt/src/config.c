#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "meltica/base/check.h"

#define KEY_BYTES_MAX 64u /* for the distance between keys; no known key is longer */
#define VARIABLE_PREFIX "MELTICA_"
#define TYPING_ERROR_EDITS_MAX 2u

/* ---- names ---- */

static void replace(char *text, char from, char to)
{
    for (char *p = strchr(text, from); p != NULL; p = strchr(p, from)) {
        *p = to;
    }
}

void mlt_config_flag_name(const char *key, char *out, size_t size)
{
    const int n = snprintf(out, size, "--%s", key);
    MLT_CHECK(n > 0 && (size_t)n < size);
    replace(out, '_', '-');
}

void mlt_config_variable_name(const char *key, char *out, size_t size)
{
    const int n = snprintf(out, size, VARIABLE_PREFIX "%s", key);
    MLT_CHECK(n > 0 && (size_t)n < size);
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)toupper((unsigned char)*p);
    }
}

void mlt_config_expected(const struct mlt_config_item *item, char *out, size_t size)
{
    const bool has_unit = item->unit != NULL && item->unit[0] != '\0';
    int n = 0;
    switch (item->type) {
    case MLT_CONFIG_STRING:
        n = snprintf(out, size, "text");
        break;
    case MLT_CONFIG_INT:
        if (item->min == 0 && item->max == 0) {
            n = snprintf(out, size, "a whole number%s%s%s", has_unit ? " (" : "",
                         has_unit ? item->unit : "", has_unit ? ")" : "");
        } else {
            n = snprintf(out, size, "a whole number from %lld to %lld%s%s%s", (long long)item->min,
                         (long long)item->max, has_unit ? " (" : "", has_unit ? item->unit : "",
                         has_unit ? ")" : "");
        }
        break;
    case MLT_CONFIG_BOOL:
        n = snprintf(out, size, "true or false");
        break;
    case MLT_CONFIG_CHOICE:
        n = snprintf(out, size, "one of %s", item->choices);
        break;
    }
    MLT_CHECK(n > 0);
}

bool mlt_config_find(const struct mlt_config_table *tables, size_t table_count, const char *key,
                     struct config_place *place)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            if (strcmp(tables[t].items[i].key, key) == 0) {
                *place = (struct config_place){ &tables[t], &tables[t].items[i], i };
                return true;
            }
        }
    }
    return false;
}

static size_t least(size_t a, size_t b, size_t c)
{
    const size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Optimal string alignment; three rows are all it looks back on. */
static size_t edits(const char *a, const char *b)
{
    size_t rows[3][KEY_BYTES_MAX + 1];
    const size_t a_len = strnlen(a, KEY_BYTES_MAX);
    const size_t b_len = strnlen(b, KEY_BYTES_MAX);
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[a_len % 3][b_len];
}

const char *mlt_config_nearest(const struct mlt_config_table *tables, size_t table_count,
                               const char *key, size_t *distance)
{
    const char *nearest = "config";
    *distance = edits(key, nearest);
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            const size_t d = edits(key, tables[t].items[i].key);
            if (d < *distance) {
                *distance = d;
                nearest = tables[t].items[i].key;
            }
        }
    }
    return nearest;
}

bool mlt_config_meant(const char *nearest, size_t distance)
{
    return distance <= strlen(nearest) / 2;
}

/* ---- values ---- */

static bool parse_int(const char *text, int64_t *out)
{
    const char *digits = text + (text[0] == '-' ? 1 : 0);
    char *end = NULL;
    if (digits[0] < '0' || digits[0] > '9') {
        return false; /* strtoll would take blanks and a plus */
    }
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    *out = value;
    return errno == 0 && *end == '\0';
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[] = { "false", "true", "0", "1", "no", "yes", "off", "on" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    const size_t len = strlen(text);
    for (const char *p = choices; len > 0; p++) {
        const size_t n = strcspn(p, "|");
        if (n == len && strncmp(p, text, n) == 0) {
            return true;
        }
        p += n;
        if (*p == '\0') {
            break;
        }
    }
    return false;
}

/* A value that may be a secret is not repeated. */
static enum mlt_status wrong(const struct mlt_config_item *item, const char *text,
                             const char *origin_text, struct mlt_error *err)
{
    char expected[256];
    mlt_config_expected(item, expected, sizeof expected);
    if (item->secret) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s (%s): wrong value; use %s", item->key,
                             origin_text, expected);
    }
    return mlt_error_set(err, MLT_E_CONFIG, "%s (%s): \"%.64s\" is wrong; use %s", item->key,
                         origin_text, text, expected);
}

static enum mlt_status set_string(char **member, const char *text, struct mlt_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the configuration");
    }
    free(*member);
    *member = copy;
    return MLT_OK;
}

enum mlt_status mlt_config_set(const struct config_place *place, const char *text,
                               enum mlt_config_origin origin, const char *origin_text,
                               struct mlt_error *err)
{
    const struct mlt_config_item *item = place->item;
    void *member = (char *)place->table->values + item->offset;
    enum mlt_status status = MLT_OK;
    switch (item->type) {
    case MLT_CONFIG_INT: {
        int64_t value = 0;
        const bool any = item->min == 0 && item->max == 0;
        if (!parse_int(text, &value) || (!any && (value < item->min || value > item->max))) {
            return wrong(item, text, origin_text, err);
        }
        *(int64_t *)member = value;
        break;
    }
    case MLT_CONFIG_BOOL:
        if (!parse_bool(text, member)) {
            return wrong(item, text, origin_text, err);
        }
        break;
    case MLT_CONFIG_CHOICE:
        if (!is_choice(item->choices, text)) {
            return wrong(item, text, origin_text, err);
        }
        status = set_string(member, text, err);
        break;
    case MLT_CONFIG_STRING:
        status = set_string(member, text, err);
        break;
    }
    if (status == MLT_OK && place->table->origins != NULL) {
        place->table->origins[place->index] = origin;
    }
    return status;
}

static enum mlt_status set_defaults(const struct mlt_config_table *tables, size_t table_count,
                                    struct mlt_error *err)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            const struct config_place place = { &tables[t], &tables[t].items[i], i };
            const enum mlt_status status = mlt_config_set(&place, place.item->default_text,
                                                          MLT_CONFIG_FROM_DEFAULT, "default", err);
            if (status != MLT_OK) {
                return status;
            }
        }
    }
    return MLT_OK;
}

void mlt_config_fini(const struct mlt_config_table *tables, size_t table_count)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            const struct mlt_config_item *item = &tables[t].items[i];
            if (item->type == MLT_CONFIG_STRING || item->type == MLT_CONFIG_CHOICE) {
                char **member = (char **)((char *)tables[t].values + item->offset);
                free(*member);
                *member = NULL;
            }
        }
    }
}

/* ---- environment ---- */

/* Value of variable in an environ-like vector, NULL when it is not set. */
static const char *value_of(char *const *environment, const char *variable)
{
    const size_t len = strlen(variable);
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, variable, len) == 0 && (*entry)[len] == '=') {
            return *entry + len + 1;
        }
    }
    return NULL;
}

/* True when the key of a MELTICA_ variable belongs to ./dev or the tests. */
static bool of_the_house(const char *key)
{
    static const char *const keys[] = { "config",          "captures",   "root",
                                        "native",          "source_dir", "binary_dir",
                                        "require_captures" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return strncmp(key, "test_", 5) == 0;
}

/* The key of "MELTICA_NATS_URL=..."; false for other variables and those of the house. */
static bool key_of_entry(const char *entry, char *key, size_t size)
{
    if (strncmp(entry, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0) {
        return false;
    }
    const char *name = entry + strlen(VARIABLE_PREFIX);
    (void)snprintf(key, size, "%.*s", (int)strcspn(name, "="), name);
    for (char *p = key; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    return !of_the_house(key);
}

static enum mlt_status check_variable(const struct mlt_config_table *tables, size_t table_count,
                                      const char *entry, struct mlt_error *err)
{
    char key[MLT_CONFIG_NAME_BYTES_MAX];
    char variable[MLT_CONFIG_NAME_BYTES_MAX];
    struct config_place place;
    if (!key_of_entry(entry, key, sizeof key) ||
        mlt_config_find(tables, table_count, key, &place)) {
        return MLT_OK;
    }
    size_t distance = 0;
    const char *nearest = mlt_config_nearest(tables, table_count, key, &distance);
    if (distance > TYPING_ERROR_EDITS_MAX || distance * 2 > strlen(nearest)) {
        return MLT_OK;
    }
    mlt_config_variable_name(nearest, variable, sizeof variable);
    return mlt_error_set(err, MLT_E_CONFIG,
                         "%.*s (environment): unknown variable; did you mean %s?",
                         (int)strcspn(entry, "="), entry, variable);
}

static enum mlt_status read_environment(const struct mlt_config_table *tables, size_t table_count,
                                        char *const *environment, struct mlt_error *err)
{
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        const enum mlt_status status = check_variable(tables, table_count, *entry, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            const struct config_place place = { &tables[t], &tables[t].items[i], i };
            char variable[MLT_CONFIG_NAME_BYTES_MAX];
            mlt_config_variable_name(place.item->key, variable, sizeof variable);
            const char *value = value_of(environment, variable);
            const enum mlt_status status =
                value == NULL
                    ? MLT_OK
                    : mlt_config_set(&place, value, MLT_CONFIG_FROM_ENVIRONMENT, variable, err);
            if (status != MLT_OK) {
                return status;
            }
        }
    }
    return MLT_OK;
}

void mlt_config_ignored(const struct mlt_config_table *tables, size_t table_count,
                        char *const *environment, void (*seen)(void *ctx, const char *variable),
                        void *ctx)
{
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        char key[MLT_CONFIG_NAME_BYTES_MAX];
        char variable[MLT_CONFIG_NAME_BYTES_MAX];
        struct config_place place;
        if (key_of_entry(*entry, key, sizeof key) &&
            !mlt_config_find(tables, table_count, key, &place)) {
            (void)snprintf(variable, sizeof variable, "%.*s", (int)strcspn(*entry, "="), *entry);
            seen(ctx, variable);
        }
    }
}

/* ---- flags ---- */

/* A flag and its value, NULL when there is none behind '='. */
struct flag {
    char name[MLT_CONFIG_NAME_BYTES_MAX];
    const char *value;
};

static enum mlt_status split_flag(const char *argument, struct flag *flag, struct mlt_error *err)
{
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "argument \"%.64s\" belongs to no flag; use --key value (see --help)",
                             argument);
    }
    const size_t len = strcspn(argument, "=");
    (void)snprintf(flag->name, sizeof flag->name, "%.*s", (int)len, argument);
    flag->value = argument[len] == '=' ? argument + len + 1 : NULL;
    return MLT_OK;
}

static bool find_flag(const struct mlt_config_table *tables, size_t table_count, const char *name,
                      struct config_place *place)
{
    char key[MLT_CONFIG_NAME_BYTES_MAX];
    if (strchr(name, '_') != NULL) {
        return false;
    }
    (void)snprintf(key, sizeof key, "%s", name + 2);
    replace(key, '-', '_');
    return mlt_config_find(tables, table_count, key, place);
}

static enum mlt_status unknown_flag(const struct mlt_config_table *tables, size_t table_count,
                                    const char *name, struct mlt_error *err)
{
    char key[MLT_CONFIG_NAME_BYTES_MAX];
    char nearest_flag[MLT_CONFIG_NAME_BYTES_MAX];
    size_t distance = 0;
    (void)snprintf(key, sizeof key, "%s", name + 2);
    replace(key, '-', '_');
    const char *nearest = mlt_config_nearest(tables, table_count, key, &distance);
    mlt_config_flag_name(nearest, nearest_flag, sizeof nearest_flag);
    return mlt_config_meant(nearest, distance)
               ? mlt_error_set(err, MLT_E_CONFIG, "unknown flag %.64s; did you mean %s?", name,
                               nearest_flag)
               : mlt_error_set(err, MLT_E_CONFIG, "unknown flag %.64s; see --help", name);
}

static bool action_of(const char *name, enum mlt_config_action *action)
{
    static const struct {
        const char *name;
        enum mlt_config_action action;
    } actions[] = {
        { "--help", MLT_CONFIG_HELP },
        { "-h", MLT_CONFIG_HELP },
        { "--version", MLT_CONFIG_VERSION },
        { "--config-docs", MLT_CONFIG_DOCS },
        { "--print-config", MLT_CONFIG_PRINT },
        { "--check-config", MLT_CONFIG_CHECK },
        { "--healthcheck", MLT_CONFIG_HEALTHCHECK },
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(name, actions[i].name) == 0) {
            *action = actions[i].action;
            return true;
        }
    }
    return false;
}

/* One flag at argv[*i] with its value; *i ends on the last argument it used. */
static enum mlt_status read_flag(const struct mlt_config_table *tables, size_t table_count,
                                 int argc, char *const *argv, int *i, const char **file, bool apply,
                                 struct mlt_error *err)
{
    struct flag flag = { .value = NULL };
    struct config_place place = { 0 };
    enum mlt_status status = split_flag(argv[*i], &flag, err);
    if (status != MLT_OK) {
        return status;
    }
    const bool is_file = strcmp(flag.name, "--config") == 0;
    if (!is_file && !find_flag(tables, table_count, flag.name, &place)) {
        return unknown_flag(tables, table_count, flag.name, err);
    }
    if (flag.value == NULL) {
        const bool more = *i + 1 < argc && strncmp(argv[*i + 1], "--", 2) != 0;
        if (more) {
            flag.value = argv[++*i];
        } else if (place.item != NULL && place.item->type == MLT_CONFIG_BOOL) {
            flag.value = "true";
        } else {
            char expected[256] = "the path of a file";
            if (place.item != NULL) {
                mlt_config_expected(place.item, expected, sizeof expected);
            }
            return mlt_error_set(err, MLT_E_CONFIG, "%s needs a value; use %s", flag.name,
                                 expected);
        }
    }
    if (is_file) {
        *file = flag.value;
        return MLT_OK;
    }
    return apply ? mlt_config_set(&place, flag.value, MLT_CONFIG_FROM_FLAG, flag.name, err)
                 : MLT_OK;
}

/* Flags are walked twice: for --config and the action, and, after file and environment, for the
 * values. */
static enum mlt_status read_flags(const struct mlt_config_table *tables, size_t table_count,
                                  int argc, char *const *argv, const char **file, bool apply,
                                  struct mlt_error *err)
{
    enum mlt_config_action action = MLT_CONFIG_RUN;
    for (int i = 1; i < argc; i++) {
        if (action_of(argv[i], &action)) {
            continue;
        }
        const enum mlt_status status =
            read_flag(tables, table_count, argc, argv, &i, file, apply, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

static enum mlt_config_action find_action(int argc, char *const *argv)
{
    enum mlt_config_action action = MLT_CONFIG_RUN;
    for (int i = 1; i < argc; i++) {
        enum mlt_config_action seen = MLT_CONFIG_RUN;
        if (action_of(argv[i], &seen) && (action == MLT_CONFIG_RUN || seen >= MLT_CONFIG_HELP)) {
            action = seen;
        }
    }
    return action;
}

enum mlt_status mlt_config_load(const struct mlt_config_table *tables, size_t table_count, int argc,
                                char *const *argv, char *const *environment,
                                enum mlt_config_action *action, struct mlt_error *err)
{
    *action = find_action(argc, argv);
    enum mlt_status status = set_defaults(tables, table_count, err);
    if (status != MLT_OK || *action >= MLT_CONFIG_HELP) {
        return status;
    }
    const char *file = value_of(environment, VARIABLE_PREFIX "CONFIG");
    status = read_flags(tables, table_count, argc, argv, &file, false, err);
    if (status == MLT_OK && file != NULL && file[0] != '\0') {
        status = mlt_config_read_file(tables, table_count, file, err);
    }
    if (status == MLT_OK) {
        status = read_environment(tables, table_count, environment, err);
    }
    if (status == MLT_OK) {
        status = read_flags(tables, table_count, argc, argv, &file, true, err);
    }
    return status;
}

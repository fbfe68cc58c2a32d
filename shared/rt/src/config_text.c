/* What people read: effective values, help, documentation. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

static bool is_url(const char *key)
{
    static const char end[] = "_url";
    const size_t len = strlen(key);
    return len >= sizeof end - 1 && strcmp(key + len - (sizeof end - 1), end) == 0;
}

/* One URL or several, with commas: what is before the @ of each is a password, a token or a user,
 * and not shown. */
static void print_urls(const char *text, FILE *to)
{
    while (*text != '\0') {
        const size_t len = strcspn(text, ",");
        const char *at = memrchr(text, '@', len);
        const char *scheme = memmem(text, len, "://", 3);
        if (at != NULL) {
            const int kept = scheme != NULL && scheme < at ? (int)(scheme + 3 - text) : 0;
            (void)fprintf(to, "%.*s***%.*s", kept, text, (int)(text + len - at), at);
        } else {
            (void)fprintf(to, "%.*s", (int)len, text);
        }
        text += len;
        if (*text == ',') {
            (void)fputc(*text++, to);
        }
    }
}

static void print_value(const struct mlt_config_item *item, const void *values, FILE *to)
{
    const void *member = (const char *)values + item->offset;
    switch (item->type) {
    case MLT_CONFIG_INT:
        (void)fprintf(to, "%" PRId64, *(const int64_t *)member);
        break;
    case MLT_CONFIG_BOOL:
        (void)fputs(*(const bool *)member ? "true" : "false", to);
        break;
    case MLT_CONFIG_STRING:
    case MLT_CONFIG_CHOICE: {
        const char *text = *(char *const *)member;
        if (is_url(item->key) && !item->secret) {
            print_urls(text, to);
            break;
        }
        (void)fputs(item->secret && text[0] != '\0' ? "***" : text, to);
        break;
    }
    }
}

static void print_origin(const struct mlt_config_table *table, size_t index, FILE *to)
{
    char name[MLT_CONFIG_NAME_BYTES_MAX];
    const char *key = table->items[index].key;
    switch (table->origins[index]) {
    case MLT_CONFIG_FROM_DEFAULT:
        (void)fputs("   # default", to);
        break;
    case MLT_CONFIG_FROM_FILE:
        (void)fputs("   # file", to);
        break;
    case MLT_CONFIG_FROM_ENVIRONMENT:
        mlt_config_variable_name(key, name, sizeof name);
        (void)fprintf(to, "   # %s", name);
        break;
    case MLT_CONFIG_FROM_FLAG:
        mlt_config_flag_name(key, name, sizeof name);
        (void)fprintf(to, "   # %s", name);
        break;
    }
}

void mlt_config_print(const struct mlt_config_table *tables, size_t table_count, FILE *to)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            (void)fprintf(to, "%s = ", tables[t].items[i].key);
            print_value(&tables[t].items[i], tables[t].values, to);
            if (tables[t].origins != NULL) {
                print_origin(&tables[t], i, to);
            }
            (void)fputc('\n', to);
        }
    }
}

static void help_item(const struct mlt_config_item *item, FILE *to)
{
    char flag[MLT_CONFIG_NAME_BYTES_MAX];
    char variable[MLT_CONFIG_NAME_BYTES_MAX];
    char expected[256];
    mlt_config_flag_name(item->key, flag, sizeof flag);
    mlt_config_variable_name(item->key, variable, sizeof variable);
    mlt_config_expected(item, expected, sizeof expected);
    (void)fprintf(to, "  %s VALUE\n      %s\n      %s; default %s%s%s; %s\n", flag, item->doc,
                  expected, item->default_text[0] != '\0' ? "\"" : "none", item->default_text,
                  item->default_text[0] != '\0' ? "\"" : "", variable);
}

void mlt_config_help(const struct mlt_config_table *tables, size_t table_count, const char *program,
                     const char *description, FILE *to)
{
    (void)fprintf(to,
                  "%s: %s\n\nusage: %s [--key value | --key=value]...\n\n"
                  "A key comes from, strongest first: its flag, its variable, the JSON file of\n"
                  "--config FILE (or MELTICA_CONFIG), its default.\n\n"
                  "  --config FILE     flat JSON object of keys with underscores\n"
                  "  --print-config    print the effective values and where they come from\n"
                  "  --check-config    check the configuration and exit: 0 good, 2 wrong\n"
                  "  --healthcheck     ask the service that runs with this: 0 ready, 1 not\n"
                  "  --config-docs     print the table of keys as Markdown\n"
                  "  --version         print the version\n"
                  "  --help            print this\n\n",
                  program, description, program);
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            help_item(&tables[t].items[i], to);
        }
    }
}

/* A bar would end the cell. */
static void put_cell(const char *text, FILE *to)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '|') {
            (void)fputc('\\', to);
        }
        (void)fputc(*p, to);
    }
}

void mlt_config_docs(const struct mlt_config_table *tables, size_t table_count, FILE *to)
{
    (void)fputs("| key | variable | flag | type, range, unit | default | what |\n"
                "|---|---|---|---|---|---|\n",
                to);
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t].item_count; i++) {
            const struct mlt_config_item *item = &tables[t].items[i];
            char flag[MLT_CONFIG_NAME_BYTES_MAX];
            char variable[MLT_CONFIG_NAME_BYTES_MAX];
            char expected[256];
            mlt_config_flag_name(item->key, flag, sizeof flag);
            mlt_config_variable_name(item->key, variable, sizeof variable);
            mlt_config_expected(item, expected, sizeof expected);
            (void)fprintf(to, "| `%s` | `%s` | `%s` | ", item->key, variable, flag);
            put_cell(expected, to);
            (void)fputs(" | ", to);
            if (item->default_text[0] != '\0') {
                (void)fputc('`', to);
                put_cell(item->default_text, to);
                (void)fputc('`', to);
            } else {
                (void)fputs("none", to);
            }
            (void)fputs(" | ", to);
            put_cell(item->doc, to);
            (void)fputs(" |\n", to);
        }
    }
}

/*
 * Configuration as one table of items: parsing, checking, --print-config, --check-config, --help
 * and docs/configuration.md all come from it. Precedence: flag > environment > file > default. A
 * key nats_url is the flag --nats-url, the variable MELTICA_NATS_URL and the member "nats_url" of a
 * flat JSON file (--config FILE or MELTICA_CONFIG). Unknown flags, unknown members and unknown
 * MELTICA_* variables are errors that name the nearest known key (MELTICA_CAPTURES, MELTICA_ROOT
 * and others of
 * ./dev are listed as known). Secrets are read from files only and never printed.
 */
#ifndef MELTICA_RT_CONFIG_H
#define MELTICA_RT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "meltica/base/error.h"

enum mlt_config_type {
    MLT_CONFIG_STRING, /* char * in the struct, owned, never NULL ("" when empty) */
    MLT_CONFIG_INT,    /* int64_t, min..max */
    MLT_CONFIG_BOOL,   /* bool; true/false/1/0/yes/no/on/off */
    MLT_CONFIG_CHOICE, /* char *, one of choices "a|b|c" */
};

/* Rows are written and read in this order; eight bytes of padding in a table of a few are nothing.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct mlt_config_item {
    const char *key; /* lower case with underscores */
    enum mlt_config_type type;
    size_t offset; /* of the member in the configuration struct */
    const char *default_text;
    int64_t min, max;    /* INT; both 0: any */
    const char *choices; /* CHOICE */
    const char *unit;    /* "ms", "bytes", "" */
    bool secret;         /* value is printed as "***" */
    const char *doc;     /* one sentence */
};

/* Where a value came from. */
enum mlt_config_origin {
    MLT_CONFIG_FROM_DEFAULT,
    MLT_CONFIG_FROM_FILE,
    MLT_CONFIG_FROM_ENVIRONMENT,
    MLT_CONFIG_FROM_FLAG
};

/* Several tables make one configuration: the skeleton's and the service's own. */
struct mlt_config_table {
    const struct mlt_config_item *items;
    size_t item_count;
    void *values; /* struct that the offsets refer to, zeroed by the caller */
    /* item_count of them, for load to fill and print to show; NULL: origins are not kept. */
    enum mlt_config_origin *origins;
};

enum mlt_config_action {
    MLT_CONFIG_RUN,
    MLT_CONFIG_PRINT,       /* --print-config: effective values with their origin, then exit 0 */
    MLT_CONFIG_CHECK,       /* --check-config */
    MLT_CONFIG_HEALTHCHECK, /* --healthcheck: is the service that runs with this well? */
    MLT_CONFIG_HELP,        /* --help */
    MLT_CONFIG_VERSION,     /* --version */
    MLT_CONFIG_DOCS         /* --config-docs: the tables as Markdown rows */
};

/* Fills the values of every table. environment is an environ-like vector. E_CONFIG with the key,
 * the origin and what would be right in err; E_NOMEM. Values must be freed with mlt_config_fini
 * also on failure. */
enum mlt_status mlt_config_load(const struct mlt_config_table *tables, size_t table_count, int argc,
                                char *const *argv, char *const *environment,
                                enum mlt_config_action *action,
                                struct mlt_error *err) MLT_MUST_CHECK;
void mlt_config_fini(const struct mlt_config_table *tables, size_t table_count);

/* Calls seen for each MELTICA_* variable that load leaves to other programs, in order. */
void mlt_config_ignored(const struct mlt_config_table *tables, size_t table_count,
                        char *const *environment, void (*seen)(void *ctx, const char *variable),
                        void *ctx);

/* key = value   # origin, one a line; secrets as ***, and what is before the @ of a URL (of a key
 * that ends in _url). After load. */
void mlt_config_print(const struct mlt_config_table *tables, size_t table_count, FILE *to);
void mlt_config_help(const struct mlt_config_table *tables, size_t table_count, const char *program,
                     const char *description, FILE *to);
/* Markdown: "| key | variable | flag | type, range, unit | default | what |" rows with a header. */
void mlt_config_docs(const struct mlt_config_table *tables, size_t table_count, FILE *to);

#endif

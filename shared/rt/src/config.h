/* What config.c, config_file.c and config_text.c share. */
#ifndef MELTICA_RT_SRC_CONFIG_H
#define MELTICA_RT_SRC_CONFIG_H

#include "meltica/rt/config.h"

#define MLT_CONFIG_NAME_BYTES_MAX 128u /* flag or variable of a key */

/* One item of one table. */
struct config_place {
    const struct mlt_config_table *table;
    const struct mlt_config_item *item;
    size_t index;
};

void mlt_config_flag_name(const char *key, char *out, size_t size);
void mlt_config_variable_name(const char *key, char *out, size_t size);
/* "a whole number from 1 to 64 (ms)" */
void mlt_config_expected(const struct mlt_config_item *item, char *out, size_t size);

/* False when there is none. */
bool mlt_config_find(const struct mlt_config_table *tables, size_t table_count, const char *key,
                     struct config_place *place);
/* Nearest known key and its distance in edits (insert, delete, replace, swap of neighbours). */
const char *mlt_config_nearest(const struct mlt_config_table *tables, size_t table_count,
                               const char *key, size_t *distance);
/* True when the known key is near enough to be what was meant. */
bool mlt_config_meant(const char *nearest, size_t distance);

/* Checks text and stores it. origin_text is "--nats-url", "file x.json" and the like. */
enum mlt_status mlt_config_set(const struct config_place *place, const char *text,
                               enum mlt_config_origin origin, const char *origin_text,
                               struct mlt_error *err) MLT_MUST_CHECK;

enum mlt_status mlt_config_read_file(const struct mlt_config_table *tables, size_t table_count,
                                     const char *path, struct mlt_error *err) MLT_MUST_CHECK;

#endif

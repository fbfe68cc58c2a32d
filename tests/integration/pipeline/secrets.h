/*
 * Secrets that are looked for wherever an operator, a neighbour or a backup could see them: what a
 * process says, its arguments and environment, its pages, files. One that is found fails the test.
 * One thread.
 */
#ifndef MELTICA_TEST_SECRETS_H
#define MELTICA_TEST_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "meltica/base/buf.h"

#define SECRETS_MAX 32u
#define SECRETS_BYTES_MAX (64u << 20) /* of a file or page */

/* One more that nobody may see, at least 16 bytes; not copied. */
void secrets_add(const char *secret);
size_t secrets_count(void);

/* folder/name; one of the last 16, for the caller to use soon. */
const char *secrets_path(const char *folder, const char *name);
/* The text and an end of line, in place of what the file had. */
void secrets_write(const char *path, const char *text);

bool secrets_holds(const struct mlt_buf *buf, const char *text);
/* All of a file behind what is in out; nothing where it cannot be read. */
void secrets_append_file(const char *path, struct mlt_buf *out);
/* The answer of 127.0.0.1:port, headers and body; empty where there is none within 10 s. */
void secrets_get_page(unsigned port, const char *path, struct mlt_buf *page);
/* The port in the log of a service that has said "listening". */
unsigned secrets_port_said(const struct mlt_buf *log);

/* Look there; where: words for the test that fails. */
void secrets_look(const struct mlt_buf *buf, const char *where);
/* All files in it, to any depth, and their bytes. `known` is no secret and must be in one of them:
 * what is there can be found. */
size_t secrets_look_at_folder(const char *path, const char *known);
/* Arguments, environment and name, none of which may be empty. */
void secrets_look_at_process(pid_t pid);
/* Pages that every service has, and one that none has; all must answer. */
void secrets_look_at_pages(unsigned port);

#endif

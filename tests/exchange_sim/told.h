/*
 * Faults that are told to happen, one by one: over the admin endpoint (/sim/<what>), or by a file
 * that says what is told how long after the market's beginning. What was told is kept, in the form
 * of such a file. One thread.
 */
#ifndef SIM_TOLD_H
#define SIM_TOLD_H

#include "http.h"

#define SIM_TOLD_MAX 65536u /* lines of a file; what was told beyond is done and not kept */

/* file NULL: none. E_CONFIG: it cannot be read, or a line of it is none (err names it); E_NOMEM. */
enum mlt_status sim_told_create(struct sim_server *server, const char *file, struct sim_told **told,
                                struct mlt_error *err) MLT_MUST_CHECK;
void sim_told_destroy(struct sim_told *told); /* NULL is fine */

/* The market begins: so does the file. */
void sim_told_begin(struct sim_told *told);

/* Whether the path is that of a fault that can be told. */
bool sim_told_knows(const char *path);
/* Does it, and answers. E_NOMEM, E_TOO_BIG. */
enum mlt_status sim_told_answer(struct sim_server *server, const struct sim_request *request,
                                struct sim_answer *answer) MLT_MUST_CHECK;
/* What was told so far, a line each, as a file. */
enum mlt_status sim_told_write(const struct sim_told *told, struct mlt_buf *out) MLT_MUST_CHECK;

#endif

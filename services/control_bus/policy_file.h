/*
 * The policy in force, and the thread that takes a new one when its file changes. The folder of the
 * file is watched (inotify), so that a file that is written in place, renamed over the old one, or
 * swapped behind a link in that folder (as a mounted ConfigMap is) is seen. A file that cannot be
 * read or is no policy leaves the old one in force.
 */
#ifndef MELTICA_CONTROL_BUS_POLICY_FILE_H
#define MELTICA_CONTROL_BUS_POLICY_FILE_H

#include "authority.h"

struct mlt_policy_file;
struct mlt_policy_held; /* one state of it, alive as long as someone holds it */

struct mlt_policy_file_stats {
    uint64_t taken, refused; /* files, the first one included */
};

/* Reads the file and begins to watch. E_CONFIG (unreadable, no policy, folder not to be watched),
 * E_NOMEM, E_INTERNAL. */
enum mlt_status mlt_policy_file_create(const char *path, struct mlt_policy_file **file,
                                       struct mlt_error *err) MLT_MUST_CHECK;
/* After the last release. NULL is fine. */
void mlt_policy_file_destroy(struct mlt_policy_file *file);

/* What is in force now; *policy is valid until the release. Any thread. */
struct mlt_policy_held *mlt_policy_file_hold(struct mlt_policy_file *file,
                                             const struct mlt_policy **policy);
void mlt_policy_file_release(struct mlt_policy_file *file, struct mlt_policy_held *held);
void mlt_policy_file_get_stats(struct mlt_policy_file *file, struct mlt_policy_file_stats *out);

#endif

/*
 * Small disks for tests: tmpfs, mounted where root may, else in a user namespace of this process
 * and what it starts. A case that needs one is a test of its own for ctest (mlt_add_case), so that
 * where neither is allowed it counts as skipped and not as passed. One thread.
 */
#ifndef MELTICA_TEST_DISK_H
#define MELTICA_TEST_DISK_H

#include <stdbool.h>

/* First thing in main, before any thread: whether mlt_disk_mount will succeed. False: why not is on
 * stdout; the test ends with MLT_DISK_SKIPPED. */
bool mlt_disk_allowed(void);
#define MLT_DISK_SKIPPED 77

/* tmpfs on an existing folder; options as "size=8m". Again: other options for one that is there. */
void mlt_disk_mount(const char *folder, const char *options);
void mlt_disk_resize(const char *folder, const char *options);
void mlt_disk_unmount(const char *folder);

#endif

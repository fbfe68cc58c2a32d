#include "mlt_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "mlt_test.h"

static bool try_mount(void)
{
    char folder[] = "/tmp/meltica-disk.XXXXXX";
    if (mkdtemp(folder) == NULL) {
        return false;
    }
    const bool mounted = mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;
    const int error = errno;
    if (mounted) {
        (void)umount(folder);
    }
    (void)rmdir(folder);
    errno = error;
    return mounted;
}

static bool write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return written;
}

/* Root there is who runs this here. */
static bool enter_namespace(void)
{
    char users[32], groups[32];
    (void)snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
    (void)snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
           write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
           write_text("/proc/self/gid_map", groups);
}

bool mlt_disk_allowed(void)
{
    if (try_mount()) {
        return true;
    }
    const int error = errno;
    if (enter_namespace() && try_mount()) {
        return true;
    }
    (void)printf("NOT RUN: no small disk: mount: %s; in a namespace of its own: %s\n",
                 strerror(error), strerror(errno));
    return false;
}

void mlt_disk_mount(const char *folder, const char *options)
{
    assert_int_equal(mount("tmpfs", folder, "tmpfs", 0, options), 0);
}

void mlt_disk_resize(const char *folder, const char *options)
{
    assert_int_equal(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, options), 0);
}

void mlt_disk_unmount(const char *folder)
{
    assert_int_equal(umount(folder), 0);
}

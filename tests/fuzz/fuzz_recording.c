/* Files of recorded traffic, plain or packed: every line is a record within the file, or refused
 * with its place. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "input.h"
#include "meltica/recording/recording.h"

static bool within(const struct mlt_recording *recording, struct mlt_slice part)
{
    return part.len == 0 || (part.data >= recording->bytes.data &&
                             part.data + part.len <= recording->bytes.data + recording->bytes.len);
}

static void read_all(struct mlt_recording *recording)
{
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status;
    size_t line = 0;
    while ((status = mlt_recording_next(recording, &record, &err)) != MLT_E_EMPTY) {
        MLT_CHECK(status == MLT_OK || (status == MLT_E_PARSE && err.text[0] != '\0'));
        MLT_CHECK(recording->line > line);
        line = recording->line;
        if (status == MLT_OK) {
            MLT_CHECK(record.received_ns >= 0 && record.line == line);
            MLT_CHECK(within(recording, record.json) && within(recording, record.url));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct mlt_recording recording;
    struct mlt_error err = MLT_ERROR_INIT;
    const int fd = memfd_create("recording", MFD_CLOEXEC);
    MLT_CHECK(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mlt_recording_open(&recording, path, &err) == MLT_OK) {
        read_all(&recording);
        mlt_recording_close(&recording);
    } else {
        MLT_CHECK(err.text[0] != '\0' && recording.bytes.data == NULL);
    }
    (void)close(fd);
    return 0;
}

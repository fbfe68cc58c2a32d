/*
 * Reads recordings of exchange traffic, one line a record; plain, gzip or zstd, told by their first
 * bytes. Line formats, told by each line itself: <ns since 1970> <JSON>              frames as
 * received, and bare bodies of GET /api/v3/depth <seconds since 1970>: <JSON>        frames <url>
 * -> <seconds since 1970>: <JSON>   REST answers <JSON>                              frames without
 * a receive time Lines that start with a ws:// or wss:// URL or with "configuration:" say how a
 * recording was made and are passed over. One thread at a time.
 */
#ifndef MELTICA_RECORDING_RECORDING_H
#define MELTICA_RECORDING_RECORDING_H

#include "meltica/base/buf.h"
#include "meltica/base/error.h"

#define MLT_RECORDING_BYTES_MAX ((size_t)2 << 30) /* of one file, unpacked */

enum mlt_record_kind { MLT_RECORD_FRAME, MLT_RECORD_REST };

struct mlt_record {
    enum mlt_record_kind kind;
    int64_t received_ns;  /* 0: not recorded */
    struct mlt_slice url; /* REST: empty when the line has none */
    struct mlt_slice json;
    size_t line; /* from 1 */
};

struct mlt_recording {
    struct mlt_buf bytes;
    size_t offset, line;
    char path[256]; /* for messages */
};

/* Reads and unpacks a whole file. E_NOT_FOUND, E_IO, E_PARSE (damaged compression), E_TOO_BIG,
 * E_NOMEM. On failure there is nothing to free. */
enum mlt_status mlt_recording_open(struct mlt_recording *recording, const char *path,
                                   struct mlt_error *err) MLT_MUST_CHECK;
void mlt_recording_close(struct mlt_recording *recording);

/* Next record; views live until close. E_EMPTY at the end; E_PARSE for a line of no known format
 * (err names file and line; the next call goes on after it). */
enum mlt_status mlt_recording_next(struct mlt_recording *recording, struct mlt_record *record,
                                   struct mlt_error *err) MLT_MUST_CHECK;

#endif

#include "meltica/recording/recording.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define SECONDS_MAX (INT64_MAX / INT64_C(1000000000)) /* since 1970: in ns they fit in 64 bits */
#define CHUNK_BYTES (256u << 10)

static enum mlt_status read_gzip(const char *path, struct mlt_buf *out, struct mlt_error *err)
{
    gzFile file = gzopen(path, "rb"); /* also reads what is not compressed */
    if (file == NULL) {
        return mlt_error_set_foreign(err, MLT_E_IO, "errno", errno, "%s: cannot be opened", path);
    }
    enum mlt_status status = MLT_OK;
    int n = 1;
    while (status == MLT_OK && n > 0) {
        status = mlt_buf_reserve(out, CHUNK_BYTES);
        if (status == MLT_OK) {
            n = gzread(file, out->data + out->len, CHUNK_BYTES);
            out->len += n > 0 ? (size_t)n : 0;
        }
    }
    int code = Z_OK;
    const char *text = gzerror(file, &code);
    if (status != MLT_OK) {
        status = mlt_error_set(err, status, "%s: %s", path, mlt_status_text(status));
    } else if (n < 0 || code == Z_BUF_ERROR) { /* Z_BUF_ERROR: the file ends inside a gzip member */
        status =
            mlt_error_set_foreign(err, MLT_E_PARSE, "zlib", code, "%s: damaged: %s", path, text);
    }
    (void)gzclose_r(file);
    return status;
}

static enum mlt_status unpack_zstd(FILE *file, ZSTD_DStream *stream, struct mlt_buf *out,
                                   void *chunk)
{
    size_t left = 1; /* 0: a frame is complete */
    while (!feof(file)) {
        const size_t n = fread(chunk, 1, CHUNK_BYTES, file);
        if (ferror(file)) {
            return MLT_E_IO;
        }
        ZSTD_inBuffer in = { chunk, n, 0 };
        while (in.pos < in.size) {
            const enum mlt_status status = mlt_buf_reserve(out, CHUNK_BYTES);
            if (status != MLT_OK) {
                return status;
            }
            ZSTD_outBuffer to = { out->data + out->len, CHUNK_BYTES, 0 };
            left = ZSTD_decompressStream(stream, &to, &in);
            if (ZSTD_isError(left)) {
                return MLT_E_PARSE;
            }
            out->len += to.pos;
        }
    }
    return left == 0 ? MLT_OK : MLT_E_PARSE;
}

static enum mlt_status read_zstd(FILE *file, const char *path, struct mlt_buf *out,
                                 struct mlt_error *err)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    void *chunk = malloc(CHUNK_BYTES);
    enum mlt_status status = MLT_E_NOMEM;
    if (stream != NULL && chunk != NULL) {
        status = unpack_zstd(file, stream, out, chunk);
    }
    if (status != MLT_OK) {
        status =
            mlt_error_set(err, status, "%s: cannot be unpacked: %s", path, mlt_status_text(status));
    }
    free(chunk);
    (void)ZSTD_freeDStream(stream);
    return status;
}

enum mlt_status mlt_recording_open(struct mlt_recording *recording, const char *path,
                                   struct mlt_error *err)
{
    static const unsigned char zstd_magic[4] = { 0x28, 0xb5, 0x2f, 0xfd };
    memset(recording, 0, sizeof *recording);
    mlt_buf_init(&recording->bytes, MLT_RECORDING_BYTES_MAX);
    (void)snprintf(recording->path, sizeof recording->path, "%s", path);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return mlt_error_set_foreign(err, errno == ENOENT ? MLT_E_NOT_FOUND : MLT_E_IO, "errno",
                                     errno, "%s: %s", path, strerror(errno));
    }
    unsigned char magic[4] = { 0 };
    const size_t n = fread(magic, 1, sizeof magic, file);
    const bool zstd = n == sizeof magic && memcmp(magic, zstd_magic, sizeof magic) == 0;
    enum mlt_status status;
    if (zstd && fseek(file, 0, SEEK_SET) == 0) {
        status = read_zstd(file, path, &recording->bytes, err);
    } else {
        status = read_gzip(path, &recording->bytes, err);
    }
    (void)fclose(file);
    if (status != MLT_OK) {
        mlt_buf_fini(&recording->bytes);
    }
    return status;
}

void mlt_recording_close(struct mlt_recording *recording)
{
    mlt_buf_fini(&recording->bytes);
}

static bool take_digits(struct mlt_slice *rest, unsigned digits_max, int64_t *value,
                        unsigned *digits)
{
    uint64_t sum = 0; /* 19 digits fit */
    *digits = 0;
    while (rest->len > 0 && rest->data[0] >= '0' && rest->data[0] <= '9') {
        if (++*digits > digits_max) {
            return false;
        }
        sum = sum * 10 + (uint64_t)(rest->data[0] - '0');
        rest->data++;
        rest->len--;
    }
    *value = (int64_t)sum;
    return *digits > 0 && sum <= INT64_MAX;
}

static bool take_literal(struct mlt_slice *rest, const char *text)
{
    const struct mlt_slice prefix = mlt_slice_of_string(text);
    if (!mlt_slice_starts_with(*rest, prefix)) {
        return false;
    }
    rest->data += prefix.len;
    rest->len -= prefix.len;
    return true;
}

/* "1633998512.0633569: " -> ns; decimals beyond the ninth are dropped. */
static bool take_seconds(struct mlt_slice *rest, int64_t *ns)
{
    int64_t seconds = 0, fraction = 0;
    unsigned digits = 0, ignored = 0;
    if (!take_digits(rest, 10, &seconds, &ignored)) {
        return false;
    }
    if (take_literal(rest, ".")) {
        if (!take_digits(rest, 18, &fraction, &digits)) {
            return false;
        }
        for (; digits > 9; digits--) {
            fraction /= 10;
        }
        for (; digits < 9; digits++) {
            fraction *= 10;
        }
    }
    if (seconds >= SECONDS_MAX) {
        return false;
    }
    *ns = seconds * INT64_C(1000000000) + fraction;
    return take_literal(rest, ": ");
}

static bool read_rest_line(struct mlt_slice rest, struct mlt_record *record)
{
    const struct mlt_slice arrow = MLT_SLICE_LITERAL(" -> ");
    const uint8_t *at = memmem(rest.data, rest.len, arrow.data, arrow.len);
    if (at == NULL) {
        return false;
    }
    record->kind = MLT_RECORD_REST;
    record->url = mlt_slice_of(rest.data, (size_t)(at - rest.data));
    rest.len -= record->url.len + arrow.len;
    rest.data = at + arrow.len;
    if (!take_seconds(&rest, &record->received_ns)) {
        return false;
    }
    record->json = rest;
    return true;
}

static bool is_json(struct mlt_slice text)
{
    return text.len > 0 && (text.data[0] == '{' || text.data[0] == '[');
}

static bool read_line(struct mlt_slice line, struct mlt_record *record)
{
    record->kind = MLT_RECORD_FRAME;
    record->json = line;
    if (is_json(line)) {
        return true;
    }
    if (mlt_slice_starts_with(line, MLT_SLICE_LITERAL("http"))) {
        return read_rest_line(line, record);
    }
    struct mlt_slice rest = line;
    if (take_seconds(&rest, &record->received_ns)) {
        record->json = rest;
        return true;
    }
    rest = line;
    unsigned digits = 0;
    if (!take_digits(&rest, 19, &record->received_ns, &digits) || !take_literal(&rest, " ")) {
        return false;
    }
    record->json = rest;
    /* A bare depth body stands among the frames of this format. */
    if (mlt_slice_starts_with(rest, MLT_SLICE_LITERAL("{\"lastUpdateId\""))) {
        record->kind = MLT_RECORD_REST;
    }
    return true;
}

static bool is_note(struct mlt_slice line)
{
    return line.len == 0 || mlt_slice_starts_with(line, MLT_SLICE_LITERAL("ws")) ||
           mlt_slice_starts_with(line, MLT_SLICE_LITERAL("configuration:"));
}

enum mlt_status mlt_recording_next(struct mlt_recording *recording, struct mlt_record *record,
                                   struct mlt_error *err)
{
    while (recording->offset < recording->bytes.len) {
        const uint8_t *start = recording->bytes.data + recording->offset;
        const size_t left = recording->bytes.len - recording->offset;
        const uint8_t *newline = memchr(start, '\n', left);
        struct mlt_slice line =
            mlt_slice_of(start, newline != NULL ? (size_t)(newline - start) : left);
        recording->offset += line.len + (newline != NULL ? 1 : 0);
        recording->line++;
        if (line.len > 0 && line.data[line.len - 1] == '\r') {
            line.len--;
        }
        if (is_note(line)) {
            continue;
        }
        *record = (struct mlt_record){ .line = recording->line };
        if (!read_line(line, record)) {
            return mlt_error_set(err, MLT_E_PARSE, "%s:%zu: a line of no known recording format",
                                 recording->path, recording->line);
        }
        return MLT_OK;
    }
    return MLT_E_EMPTY;
}

#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/recording/recording.h"

static void write_file(char path[], const void *bytes, size_t len)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void test_each_line_format_is_told_by_the_line(void **state)
{
    (void)state;
    static const char text[] =
        "wss://host/stream?streams=a <-> 1.5\n"
        "1723161253937085768 {\"stream\":\"a\"}\n"
        "1723161254206652067 {\"lastUpdateId\":5}\r\n"
        "\n"
        "1633998512.0633569: {\"x\":1}\n"
        "https://h/api/v3/depth?symbol=A&limit=5 -> 1633998512.25: {\"y\":2}\n"
        "configuration: {}\n"
        "what is this\n"
        "99999999999999999999 {}\n"
        "{\"bare\":true}";
    char path[] = "/tmp/meltica-recording-XXXXXX";
    write_file(path, text, sizeof text - 1);
    struct mlt_recording recording;
    struct mlt_record r;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_recording_open(&recording, path, &err), MLT_OK);
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_OK);
    assert_true(r.kind == MLT_RECORD_FRAME && r.received_ns == INT64_C(1723161253937085768) &&
                r.line == 2);
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_OK);
    assert_true(r.kind == MLT_RECORD_REST &&
                mlt_slice_equal_string(r.json, "{\"lastUpdateId\":5}"));
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_OK);
    assert_true(r.kind == MLT_RECORD_FRAME && r.received_ns == INT64_C(1633998512063356900));
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_OK);
    assert_true(r.kind == MLT_RECORD_REST && r.received_ns == INT64_C(1633998512250000000));
    assert_true(mlt_slice_equal_string(r.url, "https://h/api/v3/depth?symbol=A&limit=5"));
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_E_PARSE);
    assert_non_null(strstr(err.text, ":8:"));
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_E_PARSE);
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_OK);
    assert_true(r.received_ns == 0 && r.line == 10);
    assert_int_equal(mlt_recording_next(&recording, &r, &err), MLT_E_EMPTY);
    mlt_recording_close(&recording);
    assert_int_equal(unlink(path), 0);
}

static void test_times_beyond_64_bits_of_ns_are_lines_of_no_known_format(void **state)
{
    (void)state;
    static const char text[] =
        "9223372036.5: {\"a\":1}\n9999999999.5: {\"a\":1}\n9223372035.5: {}\n";
    struct mlt_recording recording;
    struct mlt_record record;
    struct mlt_error err = MLT_ERROR_INIT;
    char path[] = "/tmp/meltica-recording-XXXXXX";
    write_file(path, text, sizeof text - 1);
    assert_int_equal(mlt_recording_open(&recording, path, &err), MLT_OK);
    assert_int_equal(mlt_recording_next(&recording, &record, &err), MLT_E_PARSE);
    assert_int_equal(mlt_recording_next(&recording, &record, &err), MLT_E_PARSE);
    assert_int_equal(mlt_recording_next(&recording, &record, &err), MLT_OK);
    assert_int_equal(record.received_ns, INT64_C(9223372035500000000));
    mlt_recording_close(&recording);
    assert_int_equal(unlink(path), 0);
}

static void test_damaged_compression_is_an_error_and_not_a_short_recording(void **state)
{
    (void)state;
    /* The head of a zstd frame and of a gzip member, cut off. */
    static const unsigned char zstd[] = {
        0x28, 0xb5, 0x2f, 0xfd, 0x24, 0x05, 0x29, 0x00, 0x00, 'h'
    };
    static const unsigned char gzip[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48 };
    struct mlt_recording recording;
    struct mlt_error err = MLT_ERROR_INIT;
    char a[] = "/tmp/meltica-recording-XXXXXX", b[] = "/tmp/meltica-recording-XXXXXX";
    write_file(a, zstd, sizeof zstd);
    write_file(b, gzip, sizeof gzip);
    assert_int_equal(mlt_recording_open(&recording, a, &err), MLT_E_PARSE);
    assert_int_equal(mlt_recording_open(&recording, b, &err), MLT_E_PARSE);
    assert_int_equal(mlt_recording_open(&recording, "/nonexistent/file", &err), MLT_E_NOT_FOUND);
    assert_int_equal(unlink(a), 0);
    assert_int_equal(unlink(b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_line_format_is_told_by_the_line),
        cmocka_unit_test(test_times_beyond_64_bits_of_ns_are_lines_of_no_known_format),
        cmocka_unit_test(test_damaged_compression_is_an_error_and_not_a_short_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* buf, map, arena, hash, status. */
#include "mlt_test.h"

#include <stdio.h>

#include "meltica/base/arena.h"
#include "meltica/base/buf.h"
#include "meltica/base/error.h"
#include "meltica/base/hash.h"
#include "meltica/base/map.h"

static void test_buf_never_grows_beyond_its_maximum(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 10);
    assert_int_equal(mlt_buf_append(&buf, "12345678", 8), MLT_OK);
    assert_int_equal(mlt_buf_append(&buf, "9ab", 3), MLT_E_TOO_BIG);
    assert_int_equal(buf.len, 8);
    assert_true(buf.capacity <= 10);
    mlt_buf_consume(&buf, 3);
    assert_true(mlt_slice_equal_string(mlt_buf_view(&buf), "45678"));
    mlt_buf_fini(&buf);
}

static void test_buf_json_string_is_always_valid_json(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 200);
    const char text[] = "a\"\\\n\x01\xe5\xb8\x81\xff\xed\xa0\x80z";
    assert_int_equal(mlt_buf_append_json_string(&buf, mlt_slice_of(text, sizeof text - 1)), MLT_OK);
    assert_true(mlt_slice_equal_string(
        mlt_buf_view(&buf), "\"a\\\"\\\\\\n\\u0001\xe5\xb8\x81\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                            "\xef\xbf\xbdz\""));
    mlt_buf_fini(&buf);
}

static void test_map_finds_what_was_put_and_not_what_was_removed(void **state)
{
    (void)state;
    static int values[2000];
    struct mlt_map map;
    mlt_map_init(&map, 1500);
    char key[16];
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(mlt_map_put(&map, mlt_slice_of_string(key), &values[i]), MLT_OK);
    }
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("one more"), &values[0]), MLT_E_LIMIT);
    for (int i = 0; i < 1500; i += 3) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_ptr_equal(mlt_map_remove(&map, mlt_slice_of_string(key)), &values[i]);
    }
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_ptr_equal(mlt_map_get(&map, mlt_slice_of_string(key)),
                         i % 3 == 0 ? NULL : &values[i]);
    }
    size_t position = 0, walked = 0;
    while (mlt_map_next(&map, &position) != NULL) {
        walked++;
    }
    assert_int_equal(walked, 1000);
    assert_int_equal(map.count, 1000);
    mlt_map_fini(&map);
}

static void test_arena_reuses_its_blocks_and_keeps_its_limit(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 1024, 8192);
    for (int i = 0; i < 3; i++) {
        assert_non_null(mlt_arena_alloc(&arena, 900));
    }
    const size_t after_warm_up = arena.total_bytes;
    for (int round = 0; round < 100; round++) {
        mlt_arena_reset(&arena);
        for (int i = 0; i < 3; i++) {
            unsigned char *memory = mlt_arena_alloc(&arena, 900);
            assert_non_null(memory);
            assert_true((uintptr_t)memory % 16 == 0);
            memset(memory, round, 900);
        }
        assert_int_equal(arena.total_bytes, after_warm_up);
    }
    assert_null(mlt_arena_alloc(&arena, 8192));
    mlt_arena_fini(&arena);
}

/* RFC 3720 B.4, and the check value of the Rocksoft model. */
static void test_crc32c_has_the_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(mlt_crc32c(0, mlt_slice_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(mlt_crc32c(0, mlt_slice_of(bytes, 32)), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(mlt_crc32c(0, mlt_slice_of(bytes, 32)), 0x46dd794e);
    assert_int_equal(mlt_crc32c(0, MLT_SLICE_LITERAL("123456789")), 0xe3069283);
}

static void test_crc32c_portable_equals_the_instruction_at_every_length_and_split(void **state)
{
    (void)state;
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)mlt_mix64(i);
    }
    for (size_t len = 0; len <= sizeof bytes; len++) {
        const uint32_t whole = mlt_crc32c(0, mlt_slice_of(bytes, len));
        assert_int_equal(whole, mlt_crc32c_portable(0, mlt_slice_of(bytes, len)));
        const size_t half = len / 3;
        const uint32_t first = mlt_crc32c(0, mlt_slice_of(bytes, half));
        assert_int_equal(whole, mlt_crc32c(first, mlt_slice_of(bytes + half, len - half)));
    }
}

/* Vectors of the FNV page (draft-eastlake-fnv). */
static void test_fnv1a_has_the_published_values(void **state)
{
    (void)state;
    assert_int_equal(mlt_fnv1a32(MLT_SLICE_EMPTY), 0x811c9dc5);
    assert_int_equal(mlt_fnv1a32(MLT_SLICE_LITERAL("a")), 0xe40c292c);
    assert_int_equal(mlt_fnv1a32(MLT_SLICE_LITERAL("foobar")), 0xbf9cf968);
    assert_true(mlt_fnv1a64(MLT_FNV1A64_INIT, MLT_SLICE_LITERAL("foobar")) ==
                UINT64_C(0x85944171f73967e8));
}

static void test_status_has_a_word_and_a_text_for_every_code(void **state)
{
    (void)state;
    for (int s = 0; s < MLT_STATUS_COUNT; s++) {
        assert_true(strlen(mlt_status_word((enum mlt_status)s)) > 1);
        assert_true(strlen(mlt_status_text((enum mlt_status)s)) > 1);
    }
    assert_string_equal(mlt_status_word((enum mlt_status)999), "unknown");
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_error_set(&err, MLT_E_PARSE, "line %d", 3), MLT_E_PARSE);
    assert_int_equal(mlt_error_prepend(&err, "file %s", "x"), MLT_E_PARSE);
    assert_string_equal(err.text, "file x: line 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_never_grows_beyond_its_maximum),
        cmocka_unit_test(test_buf_json_string_is_always_valid_json),
        cmocka_unit_test(test_map_finds_what_was_put_and_not_what_was_removed),
        cmocka_unit_test(test_arena_reuses_its_blocks_and_keeps_its_limit),
        cmocka_unit_test(test_crc32c_has_the_published_values),
        cmocka_unit_test(test_crc32c_portable_equals_the_instruction_at_every_length_and_split),
        cmocka_unit_test(test_fnv1a_has_the_published_values),
        cmocka_unit_test(test_status_has_a_word_and_a_text_for_every_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

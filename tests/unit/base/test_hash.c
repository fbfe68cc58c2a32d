#include "unit.h"

#include "meltica/base/hash.h"

static void test_hash_fnv1a_gives_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t h32;
        uint64_t h64;
    } cases[] = {
        { "", UINT32_C(0x811c9dc5), UINT64_C(0xcbf29ce484222325) },
        { "a", UINT32_C(0xe40c292c), UINT64_C(0xaf63dc4c8601ec8c) },
        { "foobar", UINT32_C(0xbf9cf968), UINT64_C(0x85944171f73967e8) },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const struct mlt_slice text = mlt_slice_of_string(cases[i].text);
        assert_int_equal(mlt_fnv1a32(text), cases[i].h32);
        assert_true(mlt_fnv1a64(MLT_FNV1A64_INIT, text) == cases[i].h64);
    }
    const uint64_t foo = mlt_fnv1a64(MLT_FNV1A64_INIT, MLT_SLICE_LITERAL("foo"));
    assert_true(mlt_fnv1a64(foo, MLT_SLICE_LITERAL("bar")) == UINT64_C(0x85944171f73967e8));
}

static void assert_crc(const void *data, size_t len, uint32_t expected)
{
    assert_int_equal(mlt_crc32c(0, mlt_slice_of(data, len)), expected);
    assert_int_equal(mlt_crc32c_portable(0, mlt_slice_of(data, len)), expected);
}

/* RFC 3720 appendix B.4 prints the bytes of the CRC in the order of transmission: lowest first. */
static void test_hash_crc32c_gives_the_vectors_of_rfc_3720(void **state)
{
    (void)state;
    uint8_t data[32];
    memset(data, 0, sizeof data);
    assert_crc(data, sizeof data, UINT32_C(0x8a9136aa));
    memset(data, 0xff, sizeof data);
    assert_crc(data, sizeof data, UINT32_C(0x62a8ab43));
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    assert_crc(data, sizeof data, UINT32_C(0x46dd794e));
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(31 - i);
    }
    assert_crc(data, sizeof data, UINT32_C(0x113fdb5c));
    const uint8_t read_pdu[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02
    };
    assert_crc(read_pdu, sizeof read_pdu, UINT32_C(0xd9963a56));
    assert_crc("123456789", 9, UINT32_C(0xe3069283));
    assert_crc(NULL, 0, 0);
}

static void test_hash_crc32c_portable_equals_hardware_in_any_cut(void **state)
{
    (void)state;
    uint8_t data[700];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)mlt_mix64(seed++);
    }
    for (int round = 0; round < 20000; round++) {
        const size_t start = (size_t)(mlt_mix64(seed++) % 16);
        const size_t len = (size_t)(mlt_mix64(seed++) % (sizeof data - 16));
        const size_t cut = len == 0 ? 0 : (size_t)(mlt_mix64(seed++) % len);
        const uint32_t init = (uint32_t)mlt_mix64(seed++);
        const struct mlt_slice all = mlt_slice_of(data + start, len);
        const uint32_t expected = mlt_crc32c(init, all);
        assert_int_equal(mlt_crc32c_portable(init, all), expected);
        const uint32_t first = mlt_crc32c_portable(init, mlt_slice_of(data + start, cut));
        assert_int_equal(mlt_crc32c(first, mlt_slice_of(data + start + cut, len - cut)), expected);
    }
}

static void test_hash_mix64_is_splitmix64(void **state)
{
    (void)state;
    assert_true(mlt_mix64(0) == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(mlt_mix64(UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(0x6e789e6aa1b965f4));
}

static void test_hash_random64_is_never_zero_nor_twice_the_same(void **state)
{
    (void)state;
    uint64_t seen[64];
    for (size_t i = 0; i < ARRAY_COUNT(seen); i++) {
        seen[i] = mlt_random64();
        assert_true(seen[i] != 0);
        for (size_t k = 0; k < i; k++) {
            assert_true(seen[i] != seen[k]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_fnv1a_gives_the_published_vectors),
        cmocka_unit_test(test_hash_crc32c_gives_the_vectors_of_rfc_3720),
        cmocka_unit_test(test_hash_crc32c_portable_equals_hardware_in_any_cut),
        cmocka_unit_test(test_hash_mix64_is_splitmix64),
        cmocka_unit_test(test_hash_random64_is_never_zero_nor_twice_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "unit.h"

#include "meltica/base/hash.h"
#include "meltica/base/map.h"

#include <stdio.h>

#define KEY_COUNT 2000u

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);

static int memory_fails;

void *__wrap_malloc(size_t bytes)
{
    return memory_fails ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return memory_fails ? NULL : __real_calloc(count, bytes);
}

static struct mlt_slice key_of(unsigned i, char *text, size_t size)
{
    const int len = snprintf(text, size, "KEY-%u", i);
    assert_true(len > 0 && (size_t)len < size);
    return mlt_slice_of(text, (size_t)len);
}

/* The map against a plain array, over random puts, replacements and removals. */
static void test_map_agrees_with_a_model_over_random_operations(void **state)
{
    (void)state;
    static int values[4];
    static void *model[KEY_COUNT];
    struct mlt_map map;
    mlt_map_init(&map, KEY_COUNT);
    char text[32];
    size_t expected = 0;
    for (uint64_t step = 0; step < 60000; step++) {
        const uint64_t r = mlt_mix64(step);
        const unsigned i = (unsigned)(r % KEY_COUNT);
        const struct mlt_slice key = key_of(i, text, sizeof text);
        if ((r >> 40) % 2 == 0) {
            void *value = &values[(r >> 50) % 4];
            assert_int_equal(mlt_map_put(&map, key, value), MLT_OK);
            expected += model[i] == NULL;
            model[i] = value;
        } else {
            assert_ptr_equal(mlt_map_remove(&map, key), model[i]);
            expected -= model[i] != NULL;
            model[i] = NULL;
        }
        assert_int_equal(map.count, expected);
    }
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        assert_ptr_equal(mlt_map_get(&map, key_of(i, text, sizeof text)), model[i]);
    }
    size_t position = 0, walked = 0;
    while (mlt_map_next(&map, &position) != NULL) {
        walked++;
    }
    assert_int_equal(walked, expected);
    mlt_map_fini(&map);
    assert_int_equal(map.count, 0);
}

static void test_map_at_its_limit_refuses_new_keys_but_replaces_values(void **state)
{
    (void)state;
    int a = 0, b = 0;
    struct mlt_map map;
    mlt_map_init(&map, 2);
    assert_null(mlt_map_get(&map, MLT_SLICE_LITERAL("x")));
    assert_null(mlt_map_remove(&map, MLT_SLICE_LITERAL("x")));
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("x"), &a), MLT_OK);
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("y"), &a), MLT_OK);
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("z"), &a), MLT_E_LIMIT);
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("x"), &b), MLT_OK);
    assert_ptr_equal(mlt_map_get(&map, MLT_SLICE_LITERAL("x")), &b);
    assert_null(mlt_map_get(&map, MLT_SLICE_LITERAL("z")));
    assert_ptr_equal(mlt_map_remove(&map, MLT_SLICE_LITERAL("y")), &a);
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("z"), &a), MLT_OK);
    mlt_map_fini(&map);
}

static void test_map_without_memory_is_unchanged(void **state)
{
    (void)state;
    int a = 0;
    struct mlt_map map;
    mlt_map_init(&map, 1000);
    memory_fails = 1;
    const enum mlt_status empty = mlt_map_put(&map, MLT_SLICE_LITERAL("x"), &a);
    memory_fails = 0;
    assert_int_equal(empty, MLT_E_NOMEM);
    assert_int_equal(mlt_map_put(&map, MLT_SLICE_LITERAL("x"), &a), MLT_OK);
    memory_fails = 1;
    const enum mlt_status second = mlt_map_put(&map, MLT_SLICE_LITERAL("y"), &a);
    memory_fails = 0;
    assert_int_equal(second, MLT_E_NOMEM);
    assert_int_equal(map.count, 1);
    assert_ptr_equal(mlt_map_get(&map, MLT_SLICE_LITERAL("x")), &a);
    assert_null(mlt_map_get(&map, MLT_SLICE_LITERAL("y")));
    mlt_map_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_agrees_with_a_model_over_random_operations),
        cmocka_unit_test(test_map_at_its_limit_refuses_new_keys_but_replaces_values),
        cmocka_unit_test(test_map_without_memory_is_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

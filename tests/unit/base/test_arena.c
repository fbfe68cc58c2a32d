#include "unit.h"

#include "meltica/base/arena.h"

#include <string.h>

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

static size_t malloc_count;
static int malloc_fails;

void *__wrap_malloc(size_t bytes)
{
    malloc_count++;
    return malloc_fails ? NULL : __real_malloc(bytes);
}

static void fill_one_message(struct mlt_arena *arena)
{
    const size_t sizes[] = { 0, 1, 15, 16, 17, 3000, 5000, 100, 4096, 9000, 8, 2500 };
    unsigned char *pieces[ARRAY_COUNT(sizes)];
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        pieces[i] = mlt_arena_alloc(arena, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(pieces[i][k], i + 1); /* no piece overlaps another */
        }
    }
}

static void test_arena_reset_reuses_and_never_mallocs_again(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1 << 20);
    fill_one_message(&arena);
    const size_t warm = malloc_count, total = arena.total_bytes;
    assert_true(warm > 0 && total > 0);
    for (int i = 0; i < 100; i++) {
        mlt_arena_reset(&arena);
        fill_one_message(&arena);
    }
    assert_int_equal(malloc_count, warm);
    assert_int_equal(arena.total_bytes, total);
    mlt_arena_fini(&arena);
    assert_int_equal(arena.total_bytes, 0);
}

static void test_arena_ceiling_is_reached_but_never_passed(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 10000);
    size_t got = 0;
    while (mlt_arena_alloc(&arena, 16) != NULL) {
        got += 16;
    }
    assert_in_range(got, 9968, 10000);
    assert_true(arena.total_bytes <= 10000);
    mlt_arena_reset(&arena);
    assert_non_null(mlt_arena_alloc(&arena, 4000));
    assert_null(mlt_arena_alloc(&arena, 10001));
    assert_null(mlt_arena_alloc(&arena, SIZE_MAX));
    mlt_arena_fini(&arena);

    mlt_arena_init(&arena, 4096, 64); /* blocks larger than the ceiling */
    assert_non_null(mlt_arena_alloc(&arena, 64));
    assert_null(mlt_arena_alloc(&arena, 1));
    mlt_arena_fini(&arena);

    mlt_arena_init(&arena, 4096, SIZE_MAX);
    assert_null(mlt_arena_alloc(&arena, SIZE_MAX));
    assert_null(mlt_arena_alloc(&arena, SIZE_MAX - 15));
    mlt_arena_fini(&arena);
}

static void test_arena_without_memory_returns_null_and_stays_usable(void **state)
{
    (void)state;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 256, 4096);
    malloc_fails = 1;
    void *refused = mlt_arena_alloc(&arena, 10);
    malloc_fails = 0;
    assert_null(refused);
    assert_int_equal(arena.total_bytes, 0);
    assert_non_null(mlt_arena_alloc(&arena, 10));
    mlt_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_reset_reuses_and_never_mallocs_again),
        cmocka_unit_test(test_arena_ceiling_is_reached_but_never_passed),
        cmocka_unit_test(test_arena_without_memory_returns_null_and_stays_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

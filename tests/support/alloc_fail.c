#include "alloc_fail.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ALLOC_FAIL_OURS: as under a sanitizer. */
#if defined(ALLOC_FAIL_OURS)
#define SANITIZED 1
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static struct {
    size_t left; /* until the one that fails; 0: none */
    bool all, refused;
    long alive;
} state;
static _Thread_local bool armed; /* threads beside the one that armed it are let alone */

void alloc_fail_arm(size_t nth, bool all)
{
    armed = true;
    state.left = nth;
    state.all = all;
    state.refused = false;
}

bool alloc_fail_disarm(void)
{
    state.left = 0;
    return state.refused;
}

static bool refuse(void)
{
    if (!armed || state.left == 0 || --state.left > 0) {
        return false;
    }
    state.left = state.all ? 1 : 0;
    state.refused = true;
    errno = ENOMEM;
    return true;
}

#ifdef SANITIZED

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t bytes)
{
    return refuse() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refuse() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return refuse() ? NULL : __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return refuse() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : __real_strdup(text);
}

long alloc_fail_alive(void)
{
    return 0;
}

#else

/* glibc's own, by the names under which it exports them beside malloc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *old);

void *malloc(size_t bytes)
{
    void *got = refuse() ? NULL : __libc_malloc(bytes);
    state.alive += got != NULL;
    return got;
}

void *calloc(size_t count, size_t bytes)
{
    void *got = refuse() ? NULL : __libc_calloc(count, bytes);
    state.alive += got != NULL;
    return got;
}

void *realloc(void *old, size_t bytes)
{
    void *got = refuse() ? NULL : __libc_realloc(old, bytes);
    state.alive += got != NULL && old == NULL;
    state.alive -= got == NULL && old != NULL && bytes == 0;
    return got;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    void *got = refuse() ? NULL : __libc_memalign(alignment, bytes);
    state.alive += got != NULL;
    return got;
}

void free(void *old)
{
    state.alive -= old != NULL;
    __libc_free(old);
}

long alloc_fail_alive(void)
{
    return state.alive;
}

#endif

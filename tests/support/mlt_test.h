/* cmocka with the headers it wants before it. */
#ifndef MELTICA_TEST_H
#define MELTICA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* 1 in builds with a sanitizer, which run several times slower. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLT_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLT_TEST_SANITIZED 1
#endif
#endif
#ifndef MLT_TEST_SANITIZED
#define MLT_TEST_SANITIZED 0
#endif

#endif

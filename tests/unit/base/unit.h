/* What every cmocka test includes, in the order that cmocka.h wants. */
#ifndef MELTICA_TESTS_UNIT_BASE_UNIT_H
#define MELTICA_TESTS_UNIT_BASE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARRAY_COUNT(a) (sizeof(a) / sizeof(a)[0])

#endif

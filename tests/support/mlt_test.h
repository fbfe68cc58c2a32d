/* cmocka with the headers it wants before it. */
#ifndef MELTICA_TEST_H
#define MELTICA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif

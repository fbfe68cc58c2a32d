/* Programmer errors end the process with a line that names the place: MLT_CHECK always, MLT_DCHECK
 * in builds without NDEBUG only. Never for input from outside. */
#ifndef MELTICA_BASE_CHECK_H
#define MELTICA_BASE_CHECK_H

_Noreturn void mlt_check_failed(const char *expression, const char *file, int line);

#define MLT_CHECK(expression)                                                                      \
    ((expression) ? (void)0 : mlt_check_failed(#expression, __FILE__, __LINE__))

#ifdef NDEBUG
#define MLT_DCHECK(expression) ((void)sizeof(expression))
#else
#define MLT_DCHECK(expression) MLT_CHECK(expression)
#endif

#endif

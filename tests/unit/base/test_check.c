#include "unit.h"

#include "meltica/base/check.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_check_that_holds_evaluates_once_and_goes_on(void **state)
{
    (void)state;
    int count = 0;
    MLT_CHECK(++count == 1);
    MLT_DCHECK(count == 1);
    assert_int_equal(count, 1);
}

static void test_check_that_fails_aborts_with_a_line_that_names_the_place(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = { 0, 0 };
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        if (dup2(ends[1], STDERR_FILENO) < 0) {
            _exit(1);
        }
        MLT_CHECK(strcmp("a\"b", "c") == 0);
        _exit(2);
    }
    assert_int_equal(close(ends[1]), 0);
    char text[1024];
    size_t len = 0;
    ssize_t n;
    while ((n = read(ends[0], text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    assert_int_equal(close(ends[0]), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "\"event\":\"check_failed\""));
    assert_non_null(strstr(text, "strcmp(\\\"a\\\\\\\"b\\\", \\\"c\\\") == 0"));
    assert_non_null(strstr(text, "test_check.c\",\"line\":"));
    assert_int_equal(text[len - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_that_holds_evaluates_once_and_goes_on),
        cmocka_unit_test(test_check_that_fails_aborts_with_a_line_that_names_the_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

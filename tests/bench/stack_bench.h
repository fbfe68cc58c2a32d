/*
 * What benchmarks of a whole stack share: options, the report, a stack with a dispatch table of
 * its own, and a client. One of each in a program; a failure ends it (cmocka's assertions).
 */
#ifndef MELTICA_STACK_BENCH_H
#define MELTICA_STACK_BENCH_H

#include <stdint.h>
#include <stdio.h>

#include "meltica/bus/bus.h"
#include "mlt_stack.h"

struct stack_bench {
    const char *name;   /* as in ./dev bench NAME */
    const char *option; /* the one beside --report, with a number of 1..most */
    unsigned long number, most;
    const char *table; /* JSON */
    FILE *to;          /* the report */
    char table_path[64];
    struct mlt_stack stack; /* its services do not run yet */
    struct mlt_bus *client;
};

/* 0: the stack and the client are there, number is the option's or what it was. Else the exit
 * status of the program, which has been told why. exchange: of struct mlt_stack_options. */
int stack_bench_start(struct stack_bench *bench, int argc, char **argv,
                      const char *const *exchange);
/* All of it ends; the exit status, 1 where the report could not be written. */
int stack_bench_end(struct stack_bench *bench, int failed);
/* Ascending, of int64_t, for qsort. */
int stack_bench_compare(const void *a, const void *b);

#endif

/* Part of mlt_stack.c. */
#ifndef MELTICA_TEST_STACK_SAID_H
#define MELTICA_TEST_STACK_SAID_H

#include "mlt_stack.h"

/* Thread of one process (struct mlt_stack_process *), until its output ends. */
void *mlt_stack_read_words(void *ctx);
/* What a failed test leaves to be read where its processes are gone, too. */
void mlt_stack_show_last_words(struct mlt_stack *stack);

#endif

/* For foreign structures and calls (protobuf-c, execv) whose pointers lack const though they only
 * read. */
#ifndef MELTICA_BASE_UNCONST_H
#define MELTICA_BASE_UNCONST_H

/* The same pointer, still the owner's; nobody may write through it. Any thread. */
static inline void *mlt_unconst(const void *pointer)
{
    union {
        const void *in;
        void *out;
    } u = { .in = pointer };
    return u.out;
}

#endif

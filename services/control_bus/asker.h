/*
 * Who asks: the principal in the subject of a request, and the role that the policy in force gives
 * it. Held for the whole of a request, so that it is judged by one state of the policy. Any thread.
 */
#ifndef MELTICA_CONTROL_BUS_ASKER_H
#define MELTICA_CONTROL_BUS_ASKER_H

#include "policy_file.h"

#define MLT_SUBJECT_CONTROL "meltica.control."
#define MLT_SUBJECT_AS "meltica.control.as."

struct mlt_authority {
    bool required;                /* only meltica.control.as.<principal>.<verb> is served */
    struct mlt_policy_file *file; /* NULL: everybody may do everything with what is its own */
};

struct mlt_asker {
    char principal[MLT_COMMAND_NAME_BYTES_MAX + 1];
    const struct mlt_role *role; /* NULL: there is no policy */
    struct mlt_policy_held *held;
};

/* Reads the principal from a request's subject and looks whether it may use the verb. E_PROTOCOL
 * with *refusal (400 the name is none, 401 there is none, 403). Give *asker to mlt_asker_end in any
 * case. */
enum mlt_status mlt_asker_begin(const struct mlt_authority *authority, const char *subject,
                                enum mlt_verb verb, struct mlt_asker *asker,
                                struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
void mlt_asker_end(const struct mlt_authority *authority, struct mlt_asker *asker);

/* Whether an answer may go there. Where principals are told apart it must be an inbox (_INBOX...):
 * the server checks what a user publishes, but not where it has the answer sent, and this service
 * may write to the log. */
bool mlt_asker_reply_valid(const struct mlt_authority *authority, const char *reply);

/* Whether what is another principal's may be seen and ended. */
bool mlt_asker_sees_all(const struct mlt_asker *asker);

#endif

#include "asker.h"

#include <stdio.h>

/* The token between "meltica.control.as." and the verb; false: it is no name. */
static bool read_principal(const char *subject, char *out)
{
    const char *name = subject + sizeof MLT_SUBJECT_AS - 1;
    const size_t len = strcspn(name, ".");
    (void)snprintf(out, MLT_COMMAND_NAME_BYTES_MAX + 1, "%.*s", (int)len, name);
    return len <= MLT_COMMAND_NAME_BYTES_MAX && mlt_principal_valid(out);
}

enum mlt_status mlt_asker_begin(const struct mlt_authority *authority, const char *subject,
                                enum mlt_verb verb, struct mlt_asker *asker,
                                struct mlt_control_refusal *refusal)
{
    const bool named = strncmp(subject, MLT_SUBJECT_AS, sizeof MLT_SUBJECT_AS - 1) == 0;
    memset(asker, 0, sizeof *asker);
    if (!named && authority->required) {
        return mlt_control_refuse(refusal, 401, "principal",
                                  "who asks must be named here: ask on " MLT_SUBJECT_AS
                                  "<principal>.%s, with the name that your NATS user has",
                                  mlt_verb_word(verb));
    }
    (void)snprintf(asker->principal, sizeof asker->principal, "%s", MLT_PRINCIPAL_LOCAL);
    if (named && !read_principal(subject, asker->principal)) {
        asker->principal[0] = '\0'; /* not to be written anywhere */
        return mlt_control_refuse(refusal, 400, "principal",
                                  "the principal in the subject must be 1 to %u bytes of "
                                  "A-Z a-z 0-9 - _ : @",
                                  MLT_COMMAND_NAME_BYTES_MAX);
    }
    if (authority->file == NULL) {
        return MLT_OK;
    }
    const struct mlt_policy *policy = NULL;
    asker->held = mlt_policy_file_hold(authority->file, &policy);
    asker->role = mlt_policy_role(policy, asker->principal);
    return mlt_role_check_verb(asker->role, asker->principal, verb, refusal);
}

void mlt_asker_end(const struct mlt_authority *authority, struct mlt_asker *asker)
{
    if (asker->held != NULL) {
        mlt_policy_file_release(authority->file, asker->held);
    }
    asker->held = NULL;
    asker->role = NULL;
}

bool mlt_asker_sees_all(const struct mlt_asker *asker)
{
    return asker->role != NULL && asker->role->all;
}

bool mlt_asker_reply_valid(const struct mlt_authority *authority, const char *reply)
{
    return !authority->required || reply[0] == '\0' || strncmp(reply, "_INBOX", 6) == 0;
}

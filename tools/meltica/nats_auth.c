/* meltica nats-auth: users of a NATS server, so that each principal speaks as itself only and each
 * service reaches what it needs (docs/control.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "connection.h"
#include "nats_rights.h"
#include "nats_secret.h"

#define USERS_MAX 4096u
#define CONSOLES_MAX 64u
#define OUTPUT_BYTES_MAX (64u << 20)
#define COST_DEFAULT 11

struct user {
    const char *name;   /* of the principal, or of the service */
    const char *secret; /* file, or public key */
    bool service, key, observer;
    bool console; /* may read what the console shows */
    size_t service_index;
};

struct nats_auth {
    const char *policy_path;
    struct mlt_policy *policy;
    bool shared_inbox, all_data, transition;
    int64_t cost;
    size_t user_count, console_count;
    struct user *users;
    const char *consoles[CONSOLES_MAX]; /* names of users */
};

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: meltica nats-auth [--policy FILE] [--user NAME=FILE]... [--nkey NAME=KEY]...\n"
        "         [--service-user SERVICE=FILE]... [--service-nkey SERVICE=KEY]...\n"
        "         [--observer NAME=FILE]... [--observer-nkey NAME=KEY]...\n"
        "         [--console NAME]... [--inbox own|shared] [--all-data] [--transition]\n"
        "         [--cost 4..17]\n"
        "Prints the authorization block of a NATS server. The first line of FILE is a password or\n"
        "a bcrypt hash, KEY the public key of an NKey user, SERVICE one of adapter, dispatcher,\n"
        "conductor, data-bus, control-bus, console (its user is meltica-SERVICE).\n"
        "An observer sees everything that meltica top, trace, doctor, tail, book and audit show, "
        "and\n"
        "changes nothing.\n"
        "--console NAME: this principal, given by --user or --nkey, also sees what the page of\n"
        "meltica-console shows of everybody: the services' figures and the audit.\n"
        "--inbox own: answers for NAME come to _INBOX_NAME.> and nobody else hears them; its "
        "client\nmust have that prefix. --all-data: meltica.data.* also for roles with patterns, "
        "which NATS\ncannot tell apart.\n"
        "--transition: users that services of this version and of the one before work with, while\n"
        "one takes the place of the other: each service also hears the answers to all others.\n"
        "Make the users again without it when all services are of one version.\n");
    return status;
}

static bool find_service(const char *name, size_t *index)
{
    for (size_t i = 0; i < MLT_NATS_SERVICES; i++) {
        if (strcmp(mlt_nats_services[i], name) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* NAME=SECRET; cuts the argument at the sign. */
static bool add_user(struct nats_auth *a, char *argument, const struct user *kind)
{
    const bool service = kind->service, key = kind->key;
    char *sign = strchr(argument, '=');
    if (sign == NULL || sign[1] == '\0' || a->user_count == USERS_MAX) {
        (void)fprintf(stderr, "meltica nats-auth: %s is no NAME=%s\n", argument,
                      key ? "KEY" : "FILE");
        return false;
    }
    *sign = '\0';
    struct user *u = &a->users[a->user_count];
    *u = *kind;
    u->name = argument;
    u->secret = sign + 1;
    if (service ? !find_service(argument, &u->service_index) : !mlt_principal_valid(argument)) {
        (void)fprintf(stderr, "meltica nats-auth: %s is no %s\n", argument,
                      service ? "service" : "name of a principal (A-Z a-z 0-9 - _ : @)");
        return false;
    }
    if (key && !mlt_nats_user_key_valid(sign + 1)) {
        (void)fprintf(stderr, "meltica nats-auth: %s is not the public key of a user (U...)\n",
                      sign + 1);
        return false;
    }
    for (size_t i = 0; i < a->user_count; i++) {
        if (a->users[i].service == service && strcmp(a->users[i].name, argument) == 0) {
            (void)fprintf(stderr, "meltica nats-auth: %s is there twice\n", argument);
            return false;
        }
    }
    a->user_count++;
    return true;
}

static bool read_option(struct nats_auth *a, const char *name, char *value)
{
    if (strcmp(name, "--policy") == 0) {
        a->policy_path = value;
        return true;
    }
    if (strcmp(name, "--inbox") == 0) {
        a->shared_inbox = strcmp(value, "shared") == 0;
        return a->shared_inbox || strcmp(value, "own") == 0;
    }
    if (strcmp(name, "--console") == 0) {
        if (a->console_count < CONSOLES_MAX) {
            a->consoles[a->console_count++] = value;
            return true;
        }
        return false;
    }
    if (strcmp(name, "--cost") == 0) {
        return mlt_tool_count(value, MLT_BCRYPT_COST_MAX, &a->cost) &&
               a->cost >= MLT_BCRYPT_COST_MIN;
    }
    static const struct {
        const char *name;
        struct user kind;
    } users[] = { { "--user", { .key = false } },
                  { "--nkey", { .key = true } },
                  { "--service-user", { .service = true } },
                  { "--service-nkey", { .service = true, .key = true } },
                  { "--observer", { .observer = true } },
                  { "--observer-nkey", { .observer = true, .key = true } } };
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        if (strcmp(name, users[i].name) == 0) {
            return add_user(a, value, &users[i].kind);
        }
    }
    return false;
}

static bool read_arguments(struct nats_auth *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all-data") == 0) {
            a->all_data = true;
        } else if (strcmp(argv[i], "--transition") == 0) {
            a->transition = true;
        } else if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc ||
                   !read_option(a, argv[i], argv[i + 1])) {
            return false;
        } else {
            i++;
        }
    }
    return a->user_count > 0;
}

static enum mlt_status put_rights(const struct nats_auth *a, const struct user *u,
                                  struct mlt_buf *out, struct mlt_error *err)
{
    if (u->service) {
        return mlt_nats_service_rights(u->service_index, a->transition, out);
    }
    if (u->observer) {
        return mlt_nats_observer_rights(u->name, !a->shared_inbox, out);
    }
    size_t left_out = 0;
    const struct mlt_nats_principal principal = {
        .name = u->name,
        .role = a->policy != NULL ? mlt_policy_role(a->policy, u->name) : NULL,
        .own_inbox = !a->shared_inbox,
        .all_data = a->all_data,
        .console = u->console,
    };
    if (a->policy != NULL && principal.role == NULL) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s: no role for %s, and no default role",
                             a->policy_path, u->name);
    }
    const enum mlt_status status = mlt_nats_principal_rights(&principal, out, &left_out);
    if (left_out > 0) {
        (void)fprintf(stderr,
                      "meltica nats-auth: %s: its role has %zu patterns, whose data is left out: "
                      "NATS cannot tell them apart; --all-data gives it meltica.data.*\n",
                      u->name, left_out);
    }
    return status;
}

static enum mlt_status put_user(const struct nats_auth *a, const struct user *u,
                                struct mlt_buf *out, struct mlt_error *err)
{
    char hash[MLT_BCRYPT_TEXT_BYTES];
    enum mlt_status status = MLT_OK;
    if (u->key) {
        status = mlt_buf_printf(out, "    { # %s%s\n      nkey: \"%s\"\n",
                                u->service ? "meltica-" : "", u->name, u->secret);
    } else {
        status = mlt_nats_secret(u->secret, (int)a->cost, hash, err);
        if (status == MLT_OK) {
            status = mlt_buf_printf(out, "    { user: \"%s%s\"\n      password: \"%s\"\n",
                                    u->service ? "meltica-" : "", u->name, hash);
        }
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "      permissions: {\n");
    }
    if (status == MLT_OK) {
        status = put_rights(a, u, out, err);
    }
    return status == MLT_OK ? mlt_buf_append_string(out, "      }\n    }\n") : status;
}

/* A principal that is called as the user of a service would be one user with it. */
static enum mlt_status check_names(const struct nats_auth *a, struct mlt_error *err)
{
    for (size_t i = 0; i < a->user_count; i++) {
        size_t index = 0;
        const char *name = a->users[i].name;
        if (!a->users[i].service && strncmp(name, "meltica-", 8) == 0 &&
            find_service(name + 8, &index)) {
            return mlt_error_set(err, MLT_E_CONFIG, "%s is the user of a service", name);
        }
    }
    return MLT_OK;
}

static enum mlt_status mark_consoles(struct nats_auth *a, struct mlt_error *err)
{
    for (size_t c = 0; c < a->console_count; c++) {
        bool found = false;
        for (size_t i = 0; i < a->user_count; i++) {
            struct user *u = &a->users[i];
            if (!u->service && strcmp(u->name, a->consoles[c]) == 0) {
                u->console = true;
                found = true;
            }
        }
        if (!found) {
            return mlt_error_set(err, MLT_E_CONFIG,
                                 "--console %s: give the user itself too, by --user or --nkey",
                                 a->consoles[c]);
        }
    }
    return MLT_OK;
}

static enum mlt_status print(struct nats_auth *a, struct mlt_error *err)
{
    struct mlt_buf out;
    mlt_buf_init(&out, OUTPUT_BYTES_MAX);
    enum mlt_status status =
        a->policy_path != NULL ? mlt_policy_load(a->policy_path, &a->policy, err) : MLT_OK;
    if (status == MLT_OK) {
        status = check_names(a, err);
    }
    if (status == MLT_OK) {
        status = mark_consoles(a, err);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(
            &out,
            "# Made by meltica nats-auth; make it again when the policy or a user changes.\n");
    }
    if (status == MLT_OK && a->transition) {
        status = mlt_buf_append_string(
            &out,
            "# --transition: for services of two versions; make it again without after that.\n");
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(&out, "authorization {\n  users: [\n");
    }
    for (size_t i = 0; status == MLT_OK && i < a->user_count; i++) {
        status = put_user(a, &a->users[i], &out, err);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(&out, "  ]\n}\n");
    }
    if (status == MLT_OK &&
        (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        status = mlt_error_set(err, MLT_E_IO, "stdout cannot be written");
    }
    mlt_buf_fini(&out);
    mlt_policy_destroy(a->policy);
    return status;
}

int mlt_command_nats_auth(int argc, char **argv)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct nats_auth a = { .cost = COST_DEFAULT };
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    a.users = calloc(USERS_MAX, sizeof *a.users);
    if (a.users == NULL) {
        (void)fprintf(stderr, "meltica nats-auth: no memory\n");
        return 1;
    }
    if (!read_arguments(&a, argc, argv)) {
        free(a.users);
        return usage(stderr, 2);
    }
    const enum mlt_status status = print(&a, &err);
    free(a.users);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica nats-auth: %s\n",
                      err.text[0] != '\0' ? err.text : mlt_status_text(status));
        return 1;
    }
    return 0;
}

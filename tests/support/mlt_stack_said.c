/* What a process of the stack says: its port, its errors, its last words. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "mlt_stack_said.h"

#define SHOWN_BYTES 1500u

static void keep_last_words(struct mlt_stack_process *p, const char *text, size_t len)
{
    if (len > sizeof p->last_words - 1) {
        text += len - (sizeof p->last_words - 1);
        len = sizeof p->last_words - 1;
    }
    const size_t room = sizeof p->last_words - 1;
    if (p->last_words_len + len > room) {
        const size_t drop = p->last_words_len + len - room;
        memmove(p->last_words, p->last_words + drop, p->last_words_len - drop);
        p->last_words_len -= drop;
    }
    memcpy(p->last_words + p->last_words_len, text, len);
    p->last_words_len += len;
    p->last_words[p->last_words_len] = '\0';
}

/* Lines at level error of a service, and of nats. */
static void count_error(struct mlt_stack_process *p, const char *line)
{
    if (strstr(line, "\"level\":\"error\"") != NULL || strstr(line, " [ERR] ") != NULL ||
        strstr(line, " [FTL] ") != NULL) {
        if (p->error_lines++ == 0) {
            (void)snprintf(p->first_error, sizeof p->first_error, "%.*s", (int)strcspn(line, "\n"),
                           line);
        }
    }
    if (strstr(line, "\"level\":\"warn\"") != NULL) {
        (void)snprintf(p->warnings[p->warning_lines++ % MLT_STACK_WARNINGS], sizeof p->warnings[0],
                       "%.*s", (int)strcspn(line, "\n"), line);
    }
}

static void take_port(const char *line, const char *before, char port[16])
{
    const char *at = strstr(line, before);
    if (at != NULL) {
        at += strlen(before);
        at += *at == '"' ? 1 : 0;
        const size_t digits = strspn(at, "0123456789");
        (void)snprintf(port, 16, "%.*s", (int)digits, at);
    }
}

static void look_for_port(struct mlt_stack_process *p, const char *line)
{
    static const struct {
        const char *marker, *before;
    } shapes[] = {
        { "\"event\":\"listening\"", "\"port\":" },                             /* a service */
        { "\"event\":\"listening\"", "\"http\":\"http://127.0.0.1:" },          /* the simulator */
        { "Listening for client connections on", "connections on 127.0.0.1:" }, /* nats */
    };
    for (unsigned i = 0; p->port[0] == '\0' && i < 3; i++) {
        if (strstr(line, shapes[i].marker) != NULL) {
            take_port(line, shapes[i].before, p->port);
        }
    }
    take_port(line, "Starting http monitor on 127.0.0.1:", p->monitor); /* before it listens */
}

/* Where all that it says is kept, too; NULL: nowhere. */
static FILE *open_log(const struct mlt_stack_process *p)
{
    char path[512];
    const char *folder = getenv("MELTICA_STACK_LOGS");
    if (folder == NULL) {
        return NULL;
    }
    (void)snprintf(path, sizeof path, "%s/%s.log", folder, p->name);
    return fopen(path, "ae");
}

void *mlt_stack_read_words(void *ctx)
{
    struct mlt_stack_process *p = ctx;
    FILE *from = fdopen(p->said, "r");
    FILE *log = open_log(p);
    char *line = NULL;
    size_t capacity = 0;
    ssize_t len;
    while (from != NULL && (len = getline(&line, &capacity, from)) > 0) {
        if (log != NULL) {
            (void)fputs(line, log);
            (void)fflush(log);
        }
        (void)pthread_mutex_lock(&p->lock);
        keep_last_words(p, line, (size_t)len);
        look_for_port(p, line);
        count_error(p, line);
        p->reloads += strstr(line, "Reloaded server configuration") != NULL;
        if (strstr(line, " Violation - ") != NULL && strstr(line, "\"meltica-") != NULL) {
            (void)snprintf(p->violation, sizeof p->violation, "%s", line);
        }
        (void)pthread_cond_broadcast(&p->changed);
        (void)pthread_mutex_unlock(&p->lock);
    }
    free(line);
    if (log != NULL) {
        (void)fclose(log);
    }
    if (from != NULL) {
        (void)fclose(from);
    }
    (void)pthread_mutex_lock(&p->lock);
    p->ended = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

void mlt_stack_show_last_words(struct mlt_stack *stack)
{
    for (unsigned i = 0; i < MLT_STACK_ALL; i++) {
        struct mlt_stack_process *p = &stack->processes[i];
        if (!p->reading) {
            continue;
        }
        (void)pthread_mutex_lock(&p->lock);
        const size_t from = p->last_words_len > SHOWN_BYTES ? p->last_words_len - SHOWN_BYTES : 0;
        print_message("---- %s said last:\n%s\n", p->name, p->last_words + from);
        (void)pthread_mutex_unlock(&p->lock);
    }
}

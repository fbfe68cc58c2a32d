/* For the tests of ./dev soak and ./dev chaos: runs the program, listens to what it says, reads its
 * report, and hurts it. cmocka's failures; the main thread. */
#ifndef LONG_RUN_RIG_H
#define LONG_RUN_RIG_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "meltica/event/event.h"

struct long_run_rig {
    pid_t pid;
    FILE *said;
    char nats_url[64], folder[64], report[96];
    void (*heard)(void *ctx, const char *line); /* each line; NULL: nobody */
    void *ctx;
};

/* build/bin/NAME of this build. */
void long_run_rig_program(const char *name, char *path, size_t size);
/* Starts bin/NAME with these (up to NULL) and --report, in a folder of its own, and waits until it
 * begins. heard and ctx are the caller's, before. */
void long_run_rig_start(struct long_run_rig *rig, const char *name, const char *const *arguments);
/* Until a line with that text; what stands behind it up to a comma or the end. */
void long_run_rig_await(struct long_run_rig *rig, const char *text, char *behind, size_t size);
/* Until it ends; its exit status; *report is the caller's to cJSON_Delete. */
int long_run_rig_end(struct long_run_rig *rig, cJSON **report);
/* A process of that program that the run started; 0: none. */
pid_t long_run_rig_child(const struct long_run_rig *rig, const char *program);

/* The next event of that type of SYM0001-USDT comes once more, with a number beyond `hole` others:
 * as if those before were lost. */
void long_run_rig_forge_hole(const struct long_run_rig *rig, enum mlt_event_type type,
                             uint64_t hole);

/* Of a report; it fails where there is none. */
double long_run_rig_number(const cJSON *of, const char *name);
const cJSON *long_run_rig_object(const cJSON *of, const char *name);
bool long_run_rig_passed(const cJSON *report, const char *check); /* NULL: all of them */

#endif

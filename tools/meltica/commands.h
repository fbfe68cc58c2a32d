/* The subcommands of the CLI. Each takes its own arguments (argv[0] is its name), reads stdin and
 * writes stdout as said, and returns the exit status: 0 done, 1 wrong input or a failed check, 2
 * wrong usage. */
#ifndef MELTICA_TOOL_COMMANDS_H
#define MELTICA_TOOL_COMMANDS_H

/* decode [--batch]: one Event (or EventBatch) on stdin, JSON lines on stdout. */
int mlt_command_decode(int argc, char **argv);
/* inspect [--report FILE] [--events] RECORDING...: recordings through the cores of the services, in
 * this process; the report as JSON, or the canonical events as JSON lines. */
int mlt_command_inspect(int argc, char **argv);

/* tail [INSTRUMENT] [--json]: the live lane as a table that is redrawn, or as JSON lines. */
int mlt_command_tail(int argc, char **argv);
/* collect: follows the live lane and writes a report (docs/report.md); 1 when anything was lost. */
int mlt_command_collect(int argc, char **argv);
/* record FILE [INSTRUMENT]: the live lane to a file that is one EventBatch. */
int mlt_command_record(int argc, char **argv);
/* replay FILE: a recorded file onto meltica.replay.<instrument>. */
int mlt_command_replay(int argc, char **argv);

/* book INSTRUMENT: its fused book as a ladder that is redrawn, or as JSON lines; 1 when none came.
 */
int mlt_command_book(int argc, char **argv);
/* verify INSTRUMENT: a late joiner's check of its deltas, digests and books; 1 when not right. */
int mlt_command_verify(int argc, char **argv);

/* sub TYPE INSTRUMENT...: a live subscription; 1 when it is refused. */
int mlt_command_sub(int argc, char **argv);
/* unsub SUBSCRIPTION, or TYPE INSTRUMENT...: ends it. */
int mlt_command_unsub(int argc, char **argv);
/* update SUBSCRIPTION INSTRUMENT...: the same consumer's demand in the place of another one. */
int mlt_command_update(int argc, char **argv);
/* audit: who asked the Control Bus for what and what came of it, as a table or JSON lines. */
int mlt_command_audit(int argc, char **argv);
/* subs: live subscriptions as a table, or the answers as JSON lines. */
int mlt_command_subs(int argc, char **argv);

/* health URL: 0 when an HTTP page answers 200 to 299, 1 with the reason when not. */
int mlt_command_health(int argc, char **argv);
/* top: services, lines and instruments, live, or one look as text or JSON. */
int mlt_command_top(int argc, char **argv);
/* trace KEY: when one event was where, by its stamps; 1 when it is not found. */
int mlt_command_trace(int argc, char **argv);
/* doctor: checks an installation and says what to do; 1 when a check failed. */
int mlt_command_doctor(int argc, char **argv);

/* nats-auth: permissions of principals and services as configuration of a NATS server. */
int mlt_command_nats_auth(int argc, char **argv);

#endif

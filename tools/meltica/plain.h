/* Text of others on a terminal: what would move the cursor, or worse, becomes a question mark. */
#ifndef MELTICA_TOOL_PLAIN_H
#define MELTICA_TOOL_PLAIN_H

struct cJSON;

/* In place: control characters (C0, DEL, C1) and bytes that are no UTF-8 become '?'. The text may
 * become shorter. Pure. */
void mlt_tool_plain(char *text);
/* The same of every text in a tree, names of members aside. NULL is fine. */
void mlt_tool_plain_json(struct cJSON *tree);

#endif

/* One HTTP request and its answer, free of any library's types. */
#ifndef SIM_HTTP_H
#define SIM_HTTP_H

#include "server.h"

#define SIM_ARGUMENTS_MAX 16u
#define SIM_BODY_BYTES_MAX ((size_t)32 << 20)
#define SIM_PATH_BYTES_MAX 256u

struct sim_argument {
    struct mlt_slice name, value; /* decoded */
};

struct sim_request {
    char path[SIM_PATH_BYTES_MAX];
    const char *address; /* of the client */
    struct sim_argument arguments[SIM_ARGUMENTS_MAX];
    size_t argument_count;
    bool get; /* method GET */
    bool accepts_html;
    struct mlt_slice time_unit; /* header X-MBX-TIME-UNIT; empty: none */
};

struct sim_answer {
    unsigned status;
    const char *type;
    bool has_weight;
    uint64_t used_weight;
    unsigned retry_after_s; /* 0: no header */
    unsigned delay_ms;      /* before it is sent */
    size_t missing;         /* announced bytes that never come: the line is hung up on instead */
    uint64_t padding;       /* blanks behind the body */
    struct mlt_buf body;
};

/* Value of a parameter; false when it was not sent. */
bool sim_argument_find(const struct sim_request *request, const char *name,
                       struct mlt_slice *value);

/* Each fills in the answer (body: initialised, empty). E_NOMEM, E_TOO_BIG. */
enum mlt_status sim_rest_answer(struct sim_server *server, const struct sim_request *request,
                                struct sim_answer *answer) MLT_MUST_CHECK;
enum mlt_status sim_admin_answer(struct sim_server *server, const struct sim_request *request,
                                 struct sim_answer *answer) MLT_MUST_CHECK;

#endif

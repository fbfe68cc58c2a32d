/* What befalls an answer of REST: by a fault that was told (told.c), else by the script, which
 * knows depth alone. */
#include <stdio.h>

#include "faults.h"
#include "rest.h"

static const char page[] = "<html>\r\n<head><title>%u</title></head>\r\n<body>\r\n"
                           "<center><h1>%u</h1></center>\r\n<hr><center>a proxy</center>\r\n"
                           "</body>\r\n</html>\r\n";

struct answer_fault {
    enum sim_fault kind;
    uint64_t extent;
    bool told; /* and not the script's */
};

static struct answer_fault next_fault(struct sim_rest *rest, enum sim_function function,
                                      const struct sim_symbol *symbol)
{
    struct sim_answer_fault *told = &rest->server->answer_faults[function];
    struct answer_fault fault = { SIM_FAULT_COUNT, 0, false };
    if (told->left > 0) {
        told->left--;
        fault = (struct answer_fault){ (enum sim_fault)told->kind, told->extent, true };
    } else if (function == SIM_REST_DEPTH && rest->server->faults != NULL) {
        fault.kind = sim_faults_snapshot(rest->server->faults, symbol->name, &fault.extent);
    }
    return fault;
}

/* The text ends before its time: half of the time the head says so, half of the time the line is
 * hung up on. */
static void truncate_body(struct sim_answer *answer, struct answer_fault *fault)
{
    const bool told = fault->extent % 2 == 0;
    const size_t len = answer->body.len > 0 ? (size_t)(fault->extent / 2 % answer->body.len) : 0;
    fault->extent = answer->body.len - len;
    answer->missing = told ? 0 : answer->body.len - len;
    answer->body.len = len;
}

static enum mlt_status refuse(struct sim_rest *rest, unsigned code, uint64_t retry_after_s)
{
    rest->answer->status = code;
    rest->answer->retry_after_s = (unsigned)retry_after_s;
    return code == 500 ? sim_rest_error(rest, -1000,
                                        "An unknown error occurred while processing the request.")
                       : sim_rest_error(rest, -1003, "Too many requests; this one by a fault.");
}

static enum mlt_status show_page(struct sim_rest *rest, uint64_t code)
{
    rest->answer->status = (unsigned)code;
    rest->answer->type = "text/html";
    return mlt_buf_printf(rest->out, page, (unsigned)code, (unsigned)code);
}

/* Made as it is, but of another time or of another symbol; then damaged. */
static enum mlt_status make_faulty(struct sim_rest *rest, sim_rest_make_fn make, size_t symbol,
                                   struct answer_fault *fault)
{
    rest->ago = fault->kind == SIM_FAULT_STALE ? fault->extent : 0;
    rest->shift = fault->kind == SIM_FAULT_WRONG_SYMBOL ? 1 : 0;
    const enum mlt_status status = make(rest, (symbol + rest->shift) % rest->market->symbol_count);
    switch (fault->kind) {
    case SIM_FAULT_STALE:
        fault->extent = rest->ago;
        break;
    case SIM_FAULT_SLOW:
        rest->answer->delay_ms = (unsigned)fault->extent;
        break;
    case SIM_FAULT_HUGE:
        rest->answer->padding = fault->extent;
        break;
    case SIM_FAULT_TRUNCATE:
        truncate_body(rest->answer, fault);
        break;
    default:
        break;
    }
    return status;
}

enum mlt_status sim_rest_befall(struct sim_rest *rest, enum sim_function function,
                                sim_rest_make_fn make, size_t symbol)
{
    struct sim_symbol described;
    struct sim_fault_entry entry = { 0 };
    sim_server_symbol(rest->server, symbol, &described);
    struct answer_fault fault = next_fault(rest, function, &described);
    enum mlt_status status = MLT_OK;
    switch (fault.kind) {
    case SIM_FAULT_COUNT:
        return make(rest, symbol);
    case SIM_FAULT_FAIL:
        status = refuse(rest, 500, 0);
        break;
    case SIM_FAULT_BUSY:
        status = refuse(rest, 429, fault.extent);
        break;
    case SIM_FAULT_BANNED:
        status = refuse(rest, 418, fault.extent);
        break;
    case SIM_FAULT_HTML:
        status = show_page(rest, fault.extent);
        break;
    default:
        status = make_faulty(rest, make, symbol, &fault);
        break;
    }
    if (rest->server->faults == NULL || function != SIM_REST_DEPTH ||
        (fault.kind == SIM_FAULT_STALE && fault.extent == 0)) { /* nothing was there to be older */
        return status;
    }
    const struct sim_book *book = rest->market->ops->book(rest->market, symbol);
    entry.kind = fault.kind;
    entry.extent = fault.extent;
    entry.told = fault.told;
    entry.first = entry.last = book != NULL ? book->id : 0;
    (void)snprintf(entry.symbol, sizeof entry.symbol, "%.*s", MLT_SLICE_FMT(described.name));
    sim_faults_log(rest->server->faults, &entry);
    return status;
}

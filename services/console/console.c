#include "console.h"

#include <stdlib.h>

#include "meltica/base/log.h"
#include "pages.h"

struct console_config {
    char *web_dir, *nats_ws_url, *label;
    bool control;
};

struct console {
    struct mlt_pages *pages;
    struct mlt_counter *answers[MLT_PAGE_KINDS];
};

#define AT(member) offsetof(struct console_config, member)

static const struct mlt_config_item items[] = {
    { "web_dir", MLT_CONFIG_STRING, AT(web_dir), "/usr/share/meltica/console", 0, 0, NULL, "",
      false, "Folder of the built page (./dev console build makes it)." },
    { "nats_ws_url", MLT_CONFIG_STRING, AT(nats_ws_url), "ws://127.0.0.1:9222", 0, 0, NULL, "",
      false,
      "WebSocket listener of NATS as browsers reach it: ws://host:port or wss://host:port." },
    { "label", MLT_CONFIG_STRING, AT(label), "", 0, 0, NULL, "", false,
      "Name of this installation, shown in the page's head; at most 40 bytes." },
    { "control", MLT_CONFIG_BOOL, AT(control), "false", 0, 0, NULL, "", false,
      "The page offers to change subscriptions; whether it may is decided by NATS and the Control "
      "Bus." },
};

static struct mlt_pages_options options_of(const struct console_config *config)
{
    return (struct mlt_pages_options){ .dir = config->web_dir,
                                       .nats_ws = config->nats_ws_url,
                                       .label = config->label,
                                       .version = MELTICA_VERSION,
                                       .control = config->control };
}

static enum mlt_status check(const void *config, struct mlt_error *err)
{
    const struct mlt_pages_options options = options_of(config);
    struct mlt_pages *pages = NULL;
    const enum mlt_status status = mlt_pages_load(&options, &pages, err);
    mlt_pages_destroy(pages);
    return status;
}

static void make_metrics(struct console *c, struct mlt_metrics *metrics)
{
    static const char *const pages[MLT_PAGE_KINDS] = {
        [MLT_PAGE_NONE] = "page=\"none\"",     [MLT_PAGE_INDEX] = "page=\"index\"",
        [MLT_PAGE_ASSET] = "page=\"asset\"",   [MLT_PAGE_CONFIG] = "page=\"config\"",
        [MLT_PAGE_FAILED] = "page=\"failed\"", [MLT_PAGE_NOT_MODIFIED] = "page=\"not_modified\"",
    };
    for (size_t i = 0; i < MLT_PAGE_KINDS; i++) {
        c->answers[i] = mlt_metrics_counter(metrics, "meltica_console_requests_total",
                                            "Requests for pages, by what was answered.", pages[i]);
    }
    mlt_gauge_set(mlt_metrics_gauge(metrics, "meltica_console_files",
                                    "Files of the built page that are held.", NULL),
                  (int64_t)mlt_pages_count(c->pages));
    mlt_gauge_set(mlt_metrics_gauge(metrics, "meltica_console_bytes",
                                    "Bytes of the built page that are held.", NULL),
                  (int64_t)mlt_pages_bytes(c->pages));
}

static void stop(void *state)
{
    struct console *c = state;
    mlt_pages_destroy(c->pages);
    free(c);
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    const struct mlt_pages_options options = options_of(config);
    struct console *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the console");
    }
    const enum mlt_status status = mlt_pages_load(&options, &c->pages, err);
    if (status != MLT_OK) {
        stop(c);
        return status;
    }
    make_metrics(c, mlt_service_metrics(service));
    mlt_log(MLT_LOG_INFO, "page_read", "the page is served", MLT_S("web_dir", options.dir),
            MLT_U("files", mlt_pages_count(c->pages)), MLT_U("bytes", mlt_pages_bytes(c->pages)),
            MLT_S("nats_ws_url", options.nats_ws), MLT_B("control", options.control));
    *state = c;
    return MLT_OK;
}

static bool page(void *state, const char *path, struct mlt_http_answer *answer)
{
    struct console *c = state;
    const enum mlt_page_kind kind = mlt_pages_answer(c->pages, path, answer);
    mlt_counter_add(c->answers[kind], 1);
    return kind != MLT_PAGE_NONE;
}

const struct mlt_service_spec mlt_console_spec = {
    .name = "console",
    .description = "Serves the page that shows Meltica in a browser",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct console_config),
    .check = check,
    .start = start,
    .stop = stop,
    .page = page,
};

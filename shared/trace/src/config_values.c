#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "internal.h"

const char *trace_variable(char *const *environment, const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, len) == 0 && environment[i][len] == '=') {
            return environment[i] + len + 1;
        }
    }
    return "";
}

const char *trace_variable_of(char *const *environment, const char *special, const char *general,
                              const char **name)
{
    const char *value = trace_variable(environment, special);
    const char *other = value[0] == '\0' ? trace_variable(environment, general) : "";
    *name = other[0] != '\0' ? general : special;
    return other[0] != '\0' ? other : value;
}

enum mlt_status trace_whole_number(char *const *environment, const char *special,
                                   const char *general, int64_t min, int64_t max, int64_t otherwise,
                                   int64_t *out, struct mlt_error *err)
{
    const char *name = NULL;
    const char *text = trace_variable_of(environment, special, general, &name);
    char *end = NULL;
    *out = otherwise;
    if (text[0] == '\0') {
        return MLT_OK;
    }
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || text[0] < '0' || text[0] > '9' || value < min ||
        value > max) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s: \"%.64s\" is wrong; use a whole number from %lld to %lld", name,
                             text, (long long)min, (long long)max);
    }
    *out = value;
    return MLT_OK;
}

/* ---- pairs ---- */

enum mlt_status trace_pair_set(struct mlt_trace_pair *pairs, size_t *count, const char *key,
                               size_t key_len, const char *value, struct mlt_error *err)
{
    char *copy = strdup(value);
    size_t i = 0;
    while (i < *count &&
           (strlen(pairs[i].key) != key_len || memcmp(pairs[i].key, key, key_len) != 0)) {
        i++;
    }
    char *name = i < *count ? pairs[i].key : strndup(key, key_len);
    if (copy == NULL || name == NULL) {
        free(copy);
        free(i < *count ? NULL : name);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the configuration of traces");
    }
    if (i < *count) {
        free(pairs[i].value);
    } else {
        ++*count;
    }
    pairs[i] = (struct mlt_trace_pair){ name, copy };
    return MLT_OK;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* False: a % without two digits, or a byte that neither a header nor an attribute may have. */
static bool decode(const char *text, size_t len, char out[MLT_TRACE_TEXT_BYTES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            const int high = i + 2 < len ? hex(text[i + 1]) : -1;
            const int low = i + 2 < len ? hex(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n + 1 >= MLT_TRACE_TEXT_BYTES_MAX || (unsigned char)c < ' ' || c == 0x7f) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && (**text == ' ' || **text == '\t')) {
        ++*text;
        --*len;
    }
    while (*len > 0 && ((*text)[*len - 1] == ' ' || (*text)[*len - 1] == '\t')) {
        --*len;
    }
}

/* RFC 9110 token, for the name of a header; for an attribute whatever can be seen. */
static bool good_key(const char *key, size_t len, bool header)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        const char c = key[i];
        const bool letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (header ? !letter && strchr(others, c) == NULL : c <= ' ' || c == 0x7f) {
            return false;
        }
    }
    return len > 0;
}

enum mlt_status trace_pairs(const char *variable, const char *text, bool header,
                            struct mlt_trace_pair *pairs, size_t *count, struct mlt_error *err)
{
    size_t number = 0;
    while (*text != '\0') {
        const size_t whole = strcspn(text, ",");
        const char *key = text, *equals = memchr(text, '=', whole);
        char value[MLT_TRACE_TEXT_BYTES_MAX];
        number++;
        const char *raw = equals != NULL ? equals + 1 : text;
        size_t key_len = equals != NULL ? (size_t)(equals - key) : 0;
        size_t raw_len = equals != NULL ? whole - key_len - 1 : 0;
        trim(&key, &key_len);
        trim(&raw, &raw_len);
        if (equals == NULL || !good_key(key, key_len, header) || !decode(raw, raw_len, value)) {
            /* Without the text: a header may be a secret. */
            return mlt_error_set(err, MLT_E_CONFIG,
                                 "%s: item %zu is wrong; use key=value,key=value with other bytes "
                                 "as %%XX, each value below %u bytes",
                                 variable, number, MLT_TRACE_TEXT_BYTES_MAX);
        }
        if (*count == MLT_TRACE_PAIRS_MAX) {
            return mlt_error_set(err, MLT_E_CONFIG, "%s: more than %u items", variable,
                                 MLT_TRACE_PAIRS_MAX);
        }
        const enum mlt_status status = trace_pair_set(pairs, count, key, key_len, value, err);
        if (status != MLT_OK) {
            return status;
        }
        text += whole + (text[whole] == ',');
    }
    return MLT_OK;
}

/* ---- endpoint ---- */

static bool good_url(const char *text)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL;
    const bool good = url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                      curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                      curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                      (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                      host[0] != '\0';
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return good;
}

bool trace_endpoint_shown(const char *endpoint, char out[MLT_TRACE_TEXT_BYTES_MAX])
{
    CURLU *url = curl_url();
    char *whole = NULL;
    if (url != NULL && curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_QUERY, NULL, 0) == CURLUE_OK &&
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK) {
        (void)snprintf(out, MLT_TRACE_TEXT_BYTES_MAX, "%s", whole);
    }
    const bool shown = whole != NULL;
    curl_free(whole);
    curl_url_cleanup(url);
    return shown;
}

enum mlt_status trace_endpoint(char *const *environment, char out[MLT_TRACE_TEXT_BYTES_MAX],
                               struct mlt_error *err)
{
    static const char special[] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    static const char path[] = "/v1/traces";
    const char *name = NULL;
    const char *text =
        trace_variable_of(environment, special, "OTEL_EXPORTER_OTLP_ENDPOINT", &name);
    const bool whole = strcmp(name, special) == 0;
    const size_t text_len = strlen(text);
    out[0] = '\0';
    if (text_len == 0) {
        return MLT_OK;
    }
    /* The path is longer by ours, and a query stays behind it. */
    size_t len = whole ? text_len : strcspn(text, "?#");
    const char *rest = text + len;
    while (!whole && len > 0 && text[len - 1] == '/') {
        len--;
    }
    if (text_len + sizeof path > MLT_TRACE_TEXT_BYTES_MAX || !good_url(text)) {
        /* Before an @ may stand a password, behind a ? a token. */
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s: \"%.200s\" is wrong; use a URL such as http://collector:4318",
                             name, strpbrk(text, "@?") != NULL ? "..." : text);
    }
    (void)snprintf(out, MLT_TRACE_TEXT_BYTES_MAX, "%.*s%s%s", (int)len, text, whole ? "" : path,
                   rest);
    return MLT_OK;
}

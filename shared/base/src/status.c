#include "meltica/base/status.h"

#include <stddef.h>

struct entry {
    const char *word;
    enum mlt_status_class class_;
    const char *text;
};

static const struct entry entries[] = {
#define X(name, word, class, text) [MLT_##name] = { word, MLT_CLASS_##class, text },
    MLT_STATUS_MAP(X)
#undef X
};

_Static_assert(sizeof entries / sizeof entries[0] == MLT_STATUS_COUNT, "one entry a status");

static const struct entry *entry_of(enum mlt_status status)
{
    return (unsigned)status < MLT_STATUS_COUNT ? &entries[status] : NULL;
}

const char *mlt_status_word(enum mlt_status status)
{
    const struct entry *entry = entry_of(status);
    return entry != NULL ? entry->word : "unknown";
}

const char *mlt_status_text(enum mlt_status status)
{
    const struct entry *entry = entry_of(status);
    return entry != NULL ? entry->text : "status outside of the list: please report";
}

enum mlt_status_class mlt_status_class(enum mlt_status status)
{
    const struct entry *entry = entry_of(status);
    return entry != NULL ? entry->class_ : MLT_CLASS_BUG;
}

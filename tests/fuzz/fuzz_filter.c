/* Comparisons of lanes and routes: what is taken is what was written, and every event answers to
 * it. A byte for the type, lines of field, op and value, then an encoded event. */
#include "input.h"
#include "meltica/base/arena.h"
#include "meltica/event/filter.h"

static void check_filter(const struct mlt_filter *filter, struct mlt_slice field,
                         struct mlt_slice op, struct mlt_slice value)
{
    MLT_CHECK(mlt_slice_equal_string(field, filter->field->name));
    MLT_CHECK(mlt_slice_equal_string(op, mlt_event_op_word(filter->op)));
    MLT_CHECK(mlt_slice_equal_string(value, filter->text) ||
              memchr(value.data, 0, value.len) != NULL);
    MLT_CHECK(filter->field->kind == MLT_EVENT_FIELD_NUMBER || filter->op < MLT_EVENT_OP_LT);
}

/* Its contrary says the contrary, where the event has the field at all. */
static void check_holds(const struct mlt_filter *filter, const struct mlt_event *event)
{
    static const enum mlt_event_op contrary[MLT_EVENT_OP_COUNT] = {
        MLT_EVENT_OP_NE, MLT_EVENT_OP_EQ, MLT_EVENT_OP_GE,
        MLT_EVENT_OP_GT, MLT_EVENT_OP_LE, MLT_EVENT_OP_LT
    };
    struct mlt_filter other = *filter;
    other.op = contrary[filter->op];
    const bool holds = mlt_filter_holds(filter, event),
               contrary_holds = mlt_filter_holds(&other, event);
    MLT_CHECK(!(holds && contrary_holds));
    const struct mlt_event_value value = mlt_event_field_get(filter->field, &event->u);
    MLT_CHECK(value.absent || holds || contrary_holds);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    struct mlt_filter filter;
    struct mlt_event event;
    struct mlt_arena arena;
    const enum mlt_event_type type = (enum mlt_event_type)(take_byte(&in) % MLT_EVENT_TYPE_COUNT);
    const struct mlt_slice field = take_line(&in), op = take_line(&in), value = take_line(&in);
    if (mlt_filter_make(type, field, op, value, &filter) != MLT_FILTER_RIGHT) {
        return 0;
    }
    check_filter(&filter, field, op, value);
    mlt_arena_init(&arena, 4096, 4u << 20);
    if (mlt_event_decode(in, &arena, &event) == MLT_OK && event.type == filter.field->type) {
        check_holds(&filter, &event);
    }
    mlt_arena_fini(&arena);
    return 0;
}

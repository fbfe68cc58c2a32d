/* Payload codecs that the canonical and the native envelope share: same field numbers, same
 * messages. */
#ifndef MELTICA_EVENT_PAYLOAD_H
#define MELTICA_EVENT_PAYLOAD_H

#include "meltica/event/event.h"
#include "wire.h"

/* Puts the payload of a canonical type; payload points at the union's member. */
void mlt_payload_put(struct writer *w, int type, const void *payload);
/* Field number (20..29) to canonical type; NONE outside. */
enum mlt_event_type mlt_payload_type_of_field(uint32_t field);
/* Decodes into payload (the union's member of that type, zeroed by the caller). */
enum mlt_status mlt_payload_take(enum mlt_event_type type, struct mlt_slice bytes,
                                 struct mlt_arena *arena, void *payload);

#endif

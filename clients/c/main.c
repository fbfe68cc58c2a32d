/*
 * A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is
 * right. docs/clients.md says what it prints; docs/wire-format.md and docs/late-join.md have the
 * rules that it follows.
 */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"

#define CHECKPOINT_AGAIN_MS 50
#define REQUEST_MS 5000

struct options {
    const char *nats_url, *instrument, *consumer;
    int64_t seconds, until_update_id;
};

static bool read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL) {
            return false;
        }
        if (strcmp(name, "--nats-url") == 0) {
            o->nats_url = value;
        } else if (strcmp(name, "--instrument") == 0) {
            o->instrument = value;
        } else if (strcmp(name, "--consumer") == 0) {
            o->consumer = value;
        } else if (strcmp(name, "--seconds") == 0) {
            o->seconds = strtoll(value, NULL, 10);
        } else if (strcmp(name, "--until-update-id") == 0) {
            o->until_update_id = strtoll(value, NULL, 10);
        } else {
            return false;
        }
    }
    return true;
}

/* Status and first channel of the answer; false: refused, or no answer, which is then said. */
static bool take_answer(const char *verb, const char *text, size_t len, char status[32],
                        char channel[256])
{
    cJSON *answer = cJSON_ParseWithLength(text, len);
    const char *word = cJSON_GetStringValue(cJSON_GetObjectItem(answer, "status"));
    const char *first =
        cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(answer, "channels"), 0));
    (void)snprintf(status, 32, "%s", word != NULL ? word : "");
    (void)snprintf(channel, 256, "%s", first != NULL ? first : "");
    const bool done = strcmp(status, "CONFIRMED") == 0 || strcmp(status, "PENDING") == 0;
    if (!done) {
        (void)fprintf(stderr, "%s was refused: %.*s\n", verb, (int)len, text);
    }
    cJSON_Delete(answer);
    return done;
}

static bool control(natsConnection *nc, const struct options *o, const char *verb, char status[32],
                    char channel[256])
{
    char subject[64], request[512], ttl[48] = "";
    natsMsg *reply = NULL;
    if (strcmp(verb, "subscribe") == 0) {
        (void)snprintf(ttl, sizeof ttl, ",\"ttl_s\":%" PRId64, o->seconds + 60);
    }
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    (void)snprintf(request, sizeof request,
                   "{\"consumer\":\"%s\",\"type\":\"BOOK\",\"instruments\":[\"%s\"]%s}",
                   o->consumer, o->instrument, ttl);
    const natsStatus s = natsConnection_RequestString(&reply, nc, subject, request, REQUEST_MS);
    if (s != NATS_OK) {
        (void)fprintf(stderr, "%s: %s\n", verb, natsStatus_GetText(s));
        return false;
    }
    const bool done = take_answer(verb, natsMsg_GetData(reply),
                                  (size_t)natsMsg_GetDataLength(reply), status, channel);
    natsMsg_Destroy(reply);
    return done;
}

static void take(struct book *book, struct channels *channels, Meltica__V1__Event *event)
{
    bool kept = false;
    if (event->payload_case == MELTICA__V1__EVENT__PAYLOAD_STATUS) {
        channels_on_status(channels, event->epoch, event->status);
    }
    if (channels_is_new(channels, event)) {
        switch (event->payload_case) {
        case MELTICA__V1__EVENT__PAYLOAD_BOOK_DELTA:
            kept = book_on_delta(book, event);
            break;
        case MELTICA__V1__EVENT__PAYLOAD_BOOK_SNAPSHOT:
            book_on_snapshot(book, event->book_snapshot);
            break;
        case MELTICA__V1__EVENT__PAYLOAD_BOOK:
            if (book_on_book(book, event->book)) {
                printf("book %s last_update_id=%" PRId64 " digest=%08" PRIx32 "\n",
                       event->instrument, book->last, book_digest(book));
            }
            break;
        case MELTICA__V1__EVENT__PAYLOAD_STATUS:
            book_on_status(book, event->status);
            break;
        default:
            break;
        }
    }
    if (!kept) {
        meltica__v1__event__free_unpacked(event, NULL);
    }
}

/* NATS_OK also when there is none yet. */
static natsStatus read_checkpoint(kvStore *bucket, const struct options *o, struct book *book)
{
    char key[160];
    kvEntry *entry = NULL;
    (void)snprintf(key, sizeof key, "%s.checkpoint", o->instrument);
    const natsStatus s = kvStore_Get(&entry, bucket, key);
    if (s != NATS_OK) {
        return s == NATS_NOT_FOUND ? NATS_OK : s;
    }
    Meltica__V1__BookCheckpoint *checkpoint = meltica__v1__book_checkpoint__unpack(
        NULL, (size_t)kvEntry_ValueLen(entry), kvEntry_Value(entry));
    kvEntry_Destroy(entry);
    if (checkpoint == NULL) {
        return NATS_PROTOCOL_ERROR;
    }
    book_checkpoint(book, checkpoint);
    meltica__v1__book_checkpoint__free_unpacked(checkpoint, NULL);
    return NATS_OK;
}

/* Waits shortly for one message. NATS_OK also when none came. */
static natsStatus next_event(natsSubscription *subscription, struct book *book,
                             struct channels *channels)
{
    natsMsg *message = NULL;
    const natsStatus s = natsSubscription_NextMsg(&message, subscription, CHECKPOINT_AGAIN_MS);
    if (s != NATS_OK) {
        return s == NATS_TIMEOUT ? NATS_OK : s;
    }
    Meltica__V1__Event *event = meltica__v1__event__unpack(
        NULL, (size_t)natsMsg_GetDataLength(message), (const uint8_t *)natsMsg_GetData(message));
    natsMsg_Destroy(message);
    if (event == NULL) {
        return NATS_PROTOCOL_ERROR;
    }
    take(book, channels, event);
    return NATS_OK;
}

static natsStatus follow(natsSubscription *subscription, kvStore *bucket, const struct options *o,
                         struct book *book, struct channels *channels)
{
    const int64_t end = nats_Now() + o->seconds * 1000;
    int64_t read_at = 0;
    bool joined = false;
    natsStatus s = NATS_OK;
    while (s == NATS_OK && nats_Now() < end) {
        if (!book->held && book->wanted && nats_Now() >= read_at) {
            read_at = nats_Now() + CHECKPOINT_AGAIN_MS;
            s = read_checkpoint(bucket, o, book);
        }
        if (book->held && !joined) {
            joined = true;
            printf("joined %s epoch=%" PRIu64 " last_update_id=%" PRId64 " digest=%08" PRIx32 "\n",
                   o->instrument, book->epoch, book->last, book_digest(book));
        }
        if (book->held && o->until_update_id > 0 && book->last >= o->until_update_id) {
            break;
        }
        if (s == NATS_OK) {
            s = next_event(subscription, book, channels);
        }
    }
    return s;
}

/* Exit status. */
static int report(const struct options *o, const struct book *book, const struct channels *channels)
{
    printf("final %s epoch=%" PRIu64 " events=%" PRIu64 " gaps=%" PRIu64 " last_update_id=%" PRId64
           " digest=%08" PRIx32 "\n",
           o->instrument, book->epoch, channels->events, channels->gaps, book->last,
           book_digest(book));
    return book->held && book->last >= o->until_update_id && channels->gaps == 0 && book->wrong == 0
               ? 0
               : 1;
}

static int run(natsConnection *nc, const struct options *o, struct book *book)
{
    char status[32], channel[256];
    struct channels channels = { 0 };
    natsSubscription *subscription = NULL;
    jsCtx *js = NULL;
    kvStore *bucket = NULL;
    if (!control(nc, o, "subscribe", status, channel)) {
        return 1;
    }
    printf("subscribed %s %s %s\n", o->instrument, status, channel);
    /* Before the checkpoint is read, so that nothing is missed between. */
    natsStatus s = natsConnection_SubscribeSync(&subscription, nc, channel);
    if (s == NATS_OK) {
        s = natsConnection_JetStream(&js, nc, NULL);
    }
    if (s == NATS_OK) {
        s = js_KeyValue(&bucket, js, "meltica-snapshots");
    }
    if (s == NATS_OK) {
        s = follow(subscription, bucket, o, book, &channels);
    }
    if (s != NATS_OK) {
        (void)fprintf(stderr, "%s\n", natsStatus_GetText(s));
    }
    const int result = s == NATS_OK ? report(o, book, &channels) : 1;
    const bool ended = control(nc, o, "unsubscribe", status, channel);
    kvStore_Destroy(bucket);
    jsCtx_Destroy(js);
    natsSubscription_Destroy(subscription);
    return ended ? result : 1;
}

int main(int argc, char **argv)
{
    struct options o = { .nats_url = "nats://127.0.0.1:4222",
                         .instrument = "BTC-USDT",
                         .consumer = "client-c",
                         .seconds = 10 };
    if (!read_options(argc, argv, &o)) {
        (void)fprintf(stderr, "usage: client [--nats-url URL] [--instrument TOKEN] [--seconds N] "
                              "[--until-update-id ID] [--consumer NAME]\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    natsConnection *nc = NULL;
    const natsStatus s = natsConnection_ConnectTo(&nc, o.nats_url);
    if (s != NATS_OK) {
        (void)fprintf(stderr, "%s: %s\n", o.nats_url, natsStatus_GetText(s));
        return 1;
    }
    static struct book book;
    book_init(&book);
    const int result = run(nc, &o, &book);
    book_fini(&book);
    natsConnection_Destroy(nc);
    nats_Close();
    return result;
}

/* Writes a stream of one instrument as one EventBatch, for what reads recordings: snapshots that
 * reset (one older than the stream), deltas, books, a gap that is mended, a new owner. With the
 * name of a fault, that fault is in it; with "checkpoint FILE" the stream begins late, and the
 * checkpoint that it can be joined by is in the file. */
#include "test_books.h"

#include <stdio.h>

#include "meltica/event/record.h"

static const char *fault = "";
static struct market market, then;

static void put(struct mlt_event event)
{
    static uint8_t bytes[1u << 16];
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    const size_t size = mlt_event_encoded_size(&event);
    const size_t header_size = mlt_batch_element_header(size, header);
    if (size > sizeof bytes || mlt_event_encode(&event, bytes) != size ||
        fwrite(header, 1, header_size, stdout) != header_size ||
        fwrite(bytes, 1, size, stdout) != size) {
        abort();
    }
}

static void put_instrument(void)
{
    struct mlt_event e = test_event(MLT_EVENT_INSTRUMENT, market.epoch, 1);
    e.u.instrument.price_exponent = -2;
    e.u.instrument.quantity_exponent = -5;
    put(e);
}

static void put_deltas(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct mlt_event delta = market_delta(&market);
        if (i == 20 && strcmp(fault, "digest") == 0) {
            delta.u.book_delta.digest ^= 1;
        }
        if (i == 20 && strcmp(fault, "quantity") == 0) {
            market.amounts[0][0]++;
            market.amounts[1][0]++;
        }
        put(delta);
        if (i % 10 == 0) {
            struct mlt_event book = market_book(&market);
            if (i == 20 && strcmp(fault, "level") == 0) {
                market.amounts[2][19]++; /* the worst of those shown */
            }
            put(book);
        }
    }
}

static void put_checkpoint(const char *path)
{
    static uint8_t bytes[1u << 16];
    const struct mlt_book_checkpoint checkpoint = market_checkpoint(&market, 60);
    const size_t size = mlt_book_checkpoint_encode(&checkpoint, bytes);
    FILE *to = fopen(path, "wb");
    if (to == NULL || fwrite(bytes, 1, size, to) != size || fclose(to) != 0) {
        abort();
    }
}

int main(int argc, char **argv)
{
    fault = argc > 1 ? argv[1] : "";
    market_init(&market, 5);
    put_instrument();
    if (argc > 2) {
        put_checkpoint(argv[2]);
    } else {
        put(market_snapshot(&market, 60));
        put(market_status(&market, MLT_STATUS_LIVE, "joined"));
    }
    put_deltas(100);
    /* Deeper, and from before the last two deltas. */
    then = market;
    put_deltas(2);
    put(market_snapshot(&then, 90));
    market.snapshot_sequence = then.snapshot_sequence;
    put_deltas(100);
    /* Update ids are missing; the snapshot mends it. */
    (void)market_delta(&market);
    market.delta_sequence--;
    struct mlt_event delta = market_delta(&market);
    delta.u.book_delta.digest = delta.u.book_delta.digest_version = 0;
    put(delta);
    put(market_status(&market, MLT_STATUS_GAP, "sequence_gap"));
    put(market_snapshot(&market, 50));
    put(market_status(&market, MLT_STATUS_LIVE, "joined"));
    put_deltas(100);
    market.epoch++; /* a new owner */
    market.delta_sequence = market.book_sequence = market.snapshot_sequence = 0;
    put_deltas(100);
    return fflush(stdout) == 0 ? 0 : 1;
}

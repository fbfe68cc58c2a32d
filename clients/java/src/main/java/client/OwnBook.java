package client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.zip.CRC32C;
import meltica.v1.EventOuterClass.Book;
import meltica.v1.EventOuterClass.BookCheckpoint;
import meltica.v1.EventOuterClass.BookDelta;
import meltica.v1.EventOuterClass.BookSnapshot;
import meltica.v1.EventOuterClass.BookState;
import meltica.v1.EventOuterClass.Event;
import meltica.v1.EventOuterClass.EventType;
import meltica.v1.EventOuterClass.Head;
import meltica.v1.EventOuterClass.Levels;
import meltica.v1.EventOuterClass.Source;
import meltica.v1.EventOuterClass.Status;
import meltica.v1.EventOuterClass.StatusKind;

/** The book that this consumer keeps. One thread. */
final class OwnBook {
    private static final int BUFFERED_DELTAS_MAX = 4096;

    private final Side bids = new Side(1);
    private final Side asks = new Side(-1);
    private Deque<Event> buffer = new ArrayDeque<>(); // deltas that came while no book is held
    boolean held;
    boolean wanted = true; // a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
    long last;
    private long needed; // update id that a checkpoint has to reach: deltas up to it were sent, and are missing here
    long epoch;
    long wrong;

    int digest() {
        ByteBuffer data = ByteBuffer.allocate(2 * Side.DIGEST_BYTES_MAX).order(ByteOrder.LITTLE_ENDIAN);
        bids.putTo(data);
        asks.putTo(data);
        CRC32C crc = new CRC32C();
        crc.update(data.flip());
        return (int) crc.getValue();
    }

    private boolean compare(String what, int version, int digest) {
        if (version == 1 && digest != digest()) {
            System.err.printf("%s at %d has digest %08x, own %08x%n", what, last, digest, digest());
            wrong++;
            drop();
        }
        return held;
    }

    private void drop() {
        held = false;
        needed = 0;
        buffer.clear();
    }

    private void replace(Levels newBids, boolean bidsWhole, Levels newAsks, boolean asksWhole, long updateId) {
        bids.replace(newBids, bidsWhole);
        asks.replace(newAsks, asksWhole);
        last = updateId;
        held = true;
    }

    private boolean apply(Event event) {
        BookDelta delta = event.getBookDelta();
        bids.change(delta.getBids());
        asks.change(delta.getAsks());
        last = event.getSource().getLast();
        return compare("BOOK_DELTA", delta.getDigestVersion(), delta.getDigest());
    }

    /** Joins, unless it does not fit what is buffered: then it has to be read again. */
    void checkpoint(BookCheckpoint c) {
        Event first = buffer.peekFirst();
        boolean older = first != null
                && (c.getEpoch() < first.getEpoch() || c.getLastUpdateId() < first.getSource().getFirst() - 1);
        if (older || c.getState() != BookState.BOOK_LIVE || c.getLastUpdateId() < needed) {
            return;
        }
        replace(c.getBids(), c.getBidsWhole(), c.getAsks(), c.getAsksWhole(), c.getLastUpdateId());
        epoch = Math.max(epoch, c.getEpoch());
        Deque<Event> buffered = buffer;
        buffer = new ArrayDeque<>();
        boolean right = compare("checkpoint", c.getDigestVersion(), c.getDigest());
        for (Event event : buffered) {
            right = right && (event.getSource().getLast() <= last || apply(event));
        }
    }

    void onDelta(Event event) {
        Source source = event.getSource();
        epoch = event.getEpoch();
        wanted |= event.getBookDelta().getDigestVersion() == 1;
        if (held && source.getLast() <= last) {
            return; // the book has it already
        }
        if (held && source.getFirst() <= last + 1) {
            apply(event);
            return;
        }
        Event before = buffer.peekLast();
        if (held || before != null && source.getFirst() > before.getSource().getLast() + 1) {
            drop(); // update ids are missing
        } else if (buffer.size() == BUFFERED_DELTAS_MAX) {
            buffer.removeFirst();
        }
        buffer.addLast(event);
    }

    void onSnapshot(BookSnapshot s) {
        if (!s.getReset()) {
            return;
        }
        boolean back = held && s.getLastUpdateId() < last;
        drop();
        if (!back) {
            int depth = s.getRequestedDepth();
            replace(s.getBids(), s.getBids().getPricesCount() < depth,
                    s.getAsks(), s.getAsks().getPricesCount() < depth, s.getLastUpdateId());
        }
    }

    /** Drops a book that is below an update id whose deltas have left: they are missing here. */
    private void expect(long updateId) {
        if (held && updateId > last) {
            drop();
            needed = updateId;
        }
    }

    /** True when the BOOK is of the same update id as the own book, and equal. */
    boolean onBook(Book published) {
        wanted = published.getState() == BookState.BOOK_LIVE;
        if (wanted) {
            expect(published.getLastUpdateId()); // deltas leave before the BOOK
        }
        boolean same = wanted && held && published.getDigestVersion() == 1 && published.getLastUpdateId() == last;
        return same && compare("BOOK", published.getDigestVersion(), published.getDigest());
    }

    void onStatus(Status status) {
        StatusKind kind = status.getKind();
        if (kind == StatusKind.GAP || kind == StatusKind.IDLE) {
            drop();
        }
        if (kind == StatusKind.GAP || kind == StatusKind.IDLE || kind == StatusKind.SYNCING || kind == StatusKind.LIVE) {
            wanted = kind == StatusKind.LIVE;
        }
        if (kind == StatusKind.HEADS) {
            for (Head head : status.getHeadsList()) {
                if (head.getType() == EventType.BOOK_DELTA) {
                    expect(head.getLast());
                }
            }
        }
    }
}

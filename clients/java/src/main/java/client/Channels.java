package client;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import meltica.v1.EventOuterClass.Event;
import meltica.v1.EventOuterClass.Head;

/** What is numbered: a channel is (instrument, type), its events are (epoch, sequence). */
final class Channels {
    private record Position(long epoch, long sequence) {}

    private final Map<Integer, Position> last = new HashMap<>(); // by the number of the type: there may be new ones
    long events;
    long gaps;

    /** False for a repeat. */
    boolean isNew(Event e) {
        if (e.getSequence() == 0) {
            return true; // a notice, not part of a channel
        }
        Position before = last.get(e.getTypeValue());
        boolean sameEpoch = before != null && e.getEpoch() == before.epoch;
        if (before != null && (e.getEpoch() < before.epoch || sameEpoch && e.getSequence() <= before.sequence)) {
            return false;
        }
        if (before != null) {
            gaps += e.getSequence() - 1 - (sameEpoch ? before.sequence : 0);
        }
        last.put(e.getTypeValue(), new Position(e.getEpoch(), e.getSequence()));
        events++;
        return true;
    }

    /** Counts events that were sent and did not come, also when nothing came after them. */
    void heads(long epoch, List<Head> heads) {
        for (Head head : heads) {
            Position before = last.get(head.getTypeValue());
            if (before != null && before.epoch == epoch && head.getSequence() > before.sequence) {
                gaps += head.getSequence() - before.sequence;
                last.put(head.getTypeValue(), new Position(epoch, head.getSequence()));
            }
        }
    }
}

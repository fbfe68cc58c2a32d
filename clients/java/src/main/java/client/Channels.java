package client;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import meltica.v1.EventOuterClass.Event;
import meltica.v1.EventOuterClass.Head;
import meltica.v1.EventOuterClass.Status;

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
        gaps += reach(e.getTypeValue(), e.getEpoch(), e.getSequence() - 1);
        last.put(e.getTypeValue(), new Position(e.getEpoch(), e.getSequence()));
        events++;
        return true;
    }

    /** Brings a channel that was seen to a number: how many up to it were sent and did not come. */
    private long reach(int type, long epoch, long sequence) {
        Position before = last.get(type);
        if (before == null || epoch < before.epoch) {
            return 0;
        }
        long came = epoch == before.epoch ? before.sequence : 0; // a new epoch begins again at 1
        last.put(type, new Position(epoch, Math.max(came, sequence)));
        return Math.max(came, sequence) - came;
    }

    /** Counts events that were sent and did not come, also when nothing came after them. */
    private void heads(long epoch, List<Head> heads) {
        for (Head head : heads) {
            gaps += reach(head.getTypeValue(), epoch, head.getSequence());
        }
    }

    /** Counts what is missing at the end of the epoch before the one that starts. */
    private void endEpoch(long started, Status status) {
        long highest = last.values().stream().mapToLong(Position::epoch).max().orElse(0);
        if (highest == 0 || started <= highest) {
            return; // nothing came before, or it is a repeat
        }
        if (status.getPreviousEpoch() == highest) {
            heads(highest, status.getHeadsList());
        } else {
            gaps++; // the end of the last one seen is unknown
        }
    }

    /** Before isNew: EPOCH_STARTED speaks of the epoch before its own. */
    void onStatus(long epoch, Status status) {
        switch (status.getKind()) {
            case HEADS -> heads(epoch, status.getHeadsList());
            case EPOCH_STARTED -> endEpoch(epoch, status);
            case LOST -> {
                if (status.getReason().equals("unrouted")) { // nobody had asked for first to last: they are no loss
                    gaps += reach(status.getLostTypeValue(), epoch, Math.max(status.getFirst(), 1) - 1);
                    reach(status.getLostTypeValue(), epoch, status.getLast());
                }
            }
            default -> { }
        }
    }
}

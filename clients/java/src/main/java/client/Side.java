package client;

import java.nio.ByteBuffer;
import java.util.Comparator;
import java.util.TreeMap;
import meltica.v1.EventOuterClass.Levels;

/** Levels of one side inside the known window, best first, as whole numbers (mantissas). */
final class Side {
    private static final int DIGEST_LEVELS = 20;
    static final int DIGEST_BYTES_MAX = 4 + 16 * DIGEST_LEVELS;

    private final long sign; // 1 bids, -1 asks; the rank sign * price is the greater the better
    private final TreeMap<Long, Long> quantities = new TreeMap<>(Comparator.reverseOrder()); // by rank
    private long bound = Long.MAX_VALUE; // worst rank that is known; MIN_VALUE: there are no other levels

    Side(long sign) {
        this.sign = sign;
    }

    void replace(Levels levels, boolean whole) {
        quantities.clear();
        // A side that is not whole is known down to its last level; without any, nothing is known.
        bound = Long.MAX_VALUE;
        for (int i = 0; i < levels.getPricesCount(); i++) {
            bound = sign * levels.getPrices(i);
            quantities.put(bound, levels.getQuantities(i));
        }
        if (whole) {
            bound = Long.MIN_VALUE;
        }
    }

    void change(Levels levels) {
        for (int i = 0; i < levels.getPricesCount(); i++) {
            long rank = sign * levels.getPrices(i);
            if (rank < bound) {
                continue; // beyond the window: not known to be complete
            }
            if (levels.getQuantities(i) == 0) {
                quantities.remove(rank);
            } else {
                quantities.put(rank, levels.getQuantities(i));
            }
        }
    }

    void putTo(ByteBuffer data) {
        data.putInt(Math.min(DIGEST_LEVELS, quantities.size()));
        quantities.entrySet().stream()
                .limit(DIGEST_LEVELS)
                .forEach(level -> data.putLong(sign * level.getKey()).putLong(level.getValue()));
    }
}

package client;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.nats.client.Connection;
import io.nats.client.KeyValue;
import io.nats.client.Message;
import io.nats.client.Nats;
import io.nats.client.Subscription;
import io.nats.client.api.KeyValueEntry;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import meltica.v1.EventOuterClass.BookCheckpoint;
import meltica.v1.EventOuterClass.Event;

/**
 * A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is right.
 *
 * <p>See docs/clients.md for what it prints, docs/wire-format.md and docs/late-join.md for the rules that it follows.
 */
public final class Main {
    private static final Duration CHECKPOINT_AGAIN = Duration.ofMillis(50);

    private final Connection nats;
    private final String instrument;
    private final String consumer;
    private final long seconds;
    private final long until;
    private final OwnBook book = new OwnBook();
    private final Channels channels = new Channels();

    private Main(Connection nats, Map<String, String> options) {
        this.nats = nats;
        instrument = options.get("--instrument");
        consumer = options.get("--consumer");
        seconds = Long.parseLong(options.get("--seconds"));
        until = Long.parseLong(options.get("--until-update-id"));
    }

    private JsonObject control(String verb) throws Exception {
        JsonArray instruments = new JsonArray();
        instruments.add(instrument);
        JsonObject request = new JsonObject();
        request.addProperty("consumer", consumer);
        request.addProperty("type", "BOOK");
        request.add("instruments", instruments);
        if (verb.equals("subscribe")) {
            request.addProperty("ttl_s", seconds + 60);
        }
        byte[] body = request.toString().getBytes(StandardCharsets.UTF_8);
        Message reply = nats.request("meltica.control." + verb, body, Duration.ofSeconds(5));
        if (reply == null) {
            throw new IllegalStateException(verb + ": no answer");
        }
        String text = new String(reply.getData(), StandardCharsets.UTF_8);
        JsonObject answer = JsonParser.parseString(text).getAsJsonObject();
        String status = answer.get("status").getAsString();
        if (!status.equals("CONFIRMED") && !status.equals("PENDING")) {
            throw new IllegalStateException(verb + " was refused: " + text);
        }
        return answer;
    }

    private void take(byte[] data) throws Exception {
        Event event = Event.parseFrom(data);
        if (event.hasStatus()) {
            channels.onStatus(event.getEpoch(), event.getStatus());
        }
        if (!channels.isNew(event)) {
            return;
        }
        switch (event.getPayloadCase()) {
            case BOOK_DELTA -> book.onDelta(event);
            case BOOK_SNAPSHOT -> book.onSnapshot(event.getBookSnapshot());
            case BOOK -> {
                if (book.onBook(event.getBook())) {
                    System.out.printf("book %s last_update_id=%d digest=%08x%n", instrument, book.last, book.digest());
                }
            }
            case STATUS -> book.onStatus(event.getStatus());
            default -> { }
        }
    }

    /** True when the end was reached with a book that was right all the time, and nothing was missing. */
    private boolean follow(String subject) throws Exception {
        Subscription subscription = nats.subscribe(subject); // before the checkpoint is read: nothing is missed between
        KeyValue bucket = nats.keyValue("meltica-snapshots");
        long end = System.nanoTime() + Duration.ofSeconds(seconds).toNanos();
        long readAt = System.nanoTime();
        boolean joined = false;
        while (System.nanoTime() - end < 0) {
            if (!book.held && book.wanted && System.nanoTime() - readAt >= 0) {
                readAt = System.nanoTime() + CHECKPOINT_AGAIN.toNanos();
                KeyValueEntry entry = bucket.get(instrument + ".checkpoint");
                if (entry != null) {
                    book.checkpoint(BookCheckpoint.parseFrom(entry.getValue()));
                }
            }
            if (book.held && !joined) {
                joined = true;
                System.out.printf("joined %s epoch=%d last_update_id=%d digest=%08x%n",
                        instrument, book.epoch, book.last, book.digest());
            }
            if (book.held && until > 0 && book.last >= until) {
                break;
            }
            Message message = subscription.nextMessage(CHECKPOINT_AGAIN);
            if (message != null) {
                take(message.getData());
            }
        }
        System.out.printf("final %s epoch=%d events=%d gaps=%d last_update_id=%d digest=%08x%n",
                instrument, book.epoch, channels.events, channels.gaps, book.last, book.digest());
        return book.held && book.last >= until && channels.gaps == 0 && book.wrong == 0;
    }

    private boolean run() throws Exception {
        JsonObject answer = control("subscribe");
        String subject = answer.getAsJsonArray("channels").get(0).getAsString();
        System.out.printf("subscribed %s %s %s%n", instrument, answer.get("status").getAsString(), subject);
        boolean right = follow(subject);
        control("unsubscribe");
        return right;
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> options = new HashMap<>(Map.of(
                "--nats-url", "nats://127.0.0.1:4222",
                "--instrument", "BTC-USDT",
                "--seconds", "10",
                "--until-update-id", "0",
                "--consumer", "client-java"));
        for (int i = 0; i < words.length; i += 2) {
            if (!options.containsKey(words[i]) || i + 1 == words.length) {
                System.err.println(words[i] + " is no option, or has no value; there are " + options.keySet());
                System.exit(2);
            }
            options.put(words[i], words[i + 1]);
        }
        boolean right;
        try (Connection nats = Nats.connect(options.get("--nats-url"))) {
            right = new Main(nats, options).run();
        }
        System.exit(right ? 0 : 1);
    }
}

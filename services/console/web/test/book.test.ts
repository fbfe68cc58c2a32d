import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BookState, EventSchema, EventType, StatusKind } from "../gen/meltica/v1/event_pb";
import { condition, depth, emptyBook, forgetPosition, ladder, outline, take } from "../src/book";
import { decode, type Event } from "../src/wire";

function book(sequence: bigint, state: BookState, more: { epoch?: bigint; instrument?: string } = {}): Event {
  return create(EventSchema, {
    instrument: more.instrument ?? "BTC-USDT",
    type: EventType.BOOK,
    epoch: more.epoch ?? 7n,
    sequence,
    payload: {
      case: "book",
      value: {
        state,
        lastUpdateId: 100n + sequence,
        bids: { priceExponent: -2, quantityExponent: -3, prices: [10000n, 9990n, 9970n], quantities: [1500n, 500n, 2000n] },
        asks: { priceExponent: -2, quantityExponent: -3, prices: [10010n, 10020n], quantities: [250n, 750n] },
      },
    },
  });
}

function status(kind: StatusKind, reason: string, epoch = 7n): Event {
  return create(EventSchema, {
    instrument: "BTC-USDT",
    type: EventType.STATUS,
    epoch,
    sequence: 1n,
    payload: { case: "status", value: { kind, reason } },
  });
}

test("only what is greater is taken, and what is missing is counted", () => {
  const view = emptyBook("BTC-USDT");
  assert.ok(take(view, book(1n, BookState.BOOK_LIVE)));
  assert.ok(take(view, book(2n, BookState.BOOK_LIVE)));
  assert.ok(!take(view, book(2n, BookState.BOOK_LIVE)), "a repeat");
  assert.ok(!take(view, book(9n, BookState.BOOK_LIVE, { epoch: 6n })), "of a replaced owner");
  assert.ok(!take(view, book(3n, BookState.BOOK_LIVE, { instrument: "ETH-USDT" })));
  assert.equal(view.missed, 0n);
  assert.ok(take(view, book(6n, BookState.BOOK_LIVE)));
  assert.equal(view.missed, 3n);
  assert.ok(take(view, book(1n, BookState.BOOK_LIVE, { epoch: 8n })));
  assert.equal(view.missed, 3n, "an epoch begins at 1");
  forgetPosition(view);
  assert.ok(take(view, book(900n, BookState.BOOK_LIVE, { epoch: 8n })));
  assert.equal(view.missed, 3n, "after a broken connection nothing is known");
});

test("a book that is not LIVE says so, and a STATUS only takes trust away", () => {
  const view = emptyBook("BTC-USDT");
  assert.deepEqual([condition(view, true).word, condition(view, true).tone], ["NO BOOK", "none"]);
  take(view, book(1n, BookState.BOOK_LIVE));
  assert.deepEqual(condition(view, true), { word: "LIVE", tone: "good", text: "", levels: true });

  const expected: [StatusKind, string, string, boolean][] = [
    [StatusKind.STALE, "STALE", "warn", true],
    [StatusKind.GAP, "GAP", "bad", false],
    [StatusKind.SYNCING, "SYNCING", "warn", false],
    [StatusKind.IDLE, "IDLE", "none", false],
  ];
  let sequence = 1n;
  for (const [kind, word, tone, levels] of expected) {
    assert.ok(take(view, status(kind, "why")));
    const now = condition(view, true);
    assert.deepEqual([now.word, now.tone, now.levels], [word, tone, levels]);
    assert.match(now.text, /\(why\)/);
    take(view, status(StatusKind.LIVE, "joined")); // levels of before are not right by that
    assert.equal(condition(view, true).word, word);
    take(view, book(++sequence, BookState.BOOK_LIVE));
    assert.equal(condition(view, true).word, "LIVE");
  }
  assert.ok(!take(view, status(StatusKind.GAP, "old", 6n)), "of a replaced owner");

  for (const state of [BookState.BOOK_STALE, BookState.BOOK_GAP, BookState.BOOK_SYNCING, BookState.BOOK_IDLE, 77 as BookState]) {
    take(view, book(++sequence, state));
    assert.notEqual(condition(view, true).tone, "good");
  }
  take(view, book(++sequence, BookState.BOOK_LIVE));
  const lost = condition(view, false);
  assert.deepEqual([lost.word, lost.tone, lost.levels], ["NOT CONNECTED", "bad", true]);
});

test("the ladder has exact texts, running totals and shares of the deeper side", () => {
  const payload = book(1n, BookState.BOOK_LIVE).payload;
  assert.ok(payload.case === "book");
  const shown = ladder(payload.value, 2, { price: 0, quantity: 0 });
  assert.deepEqual(shown.bids, [
    { price: "100.0", quantity: "1.50", total: "1.50", share: 0.75 },
    { price: "99.9", quantity: "0.50", total: "2.00", share: 1 },
  ]);
  assert.deepEqual(shown.asks, [
    { price: "100.1", quantity: "0.25", total: "0.25", share: 0.125 },
    { price: "100.2", quantity: "0.75", total: "1.00", share: 0.5 },
  ]);
  const places = { price: 2, quantity: 0 };
  assert.equal(ladder(payload.value, 99, places).bids[2]?.price, "99.70", "places that were needed once stay");
  assert.deepEqual(places, { price: 2, quantity: 2 });
});

test("the depth chart reaches equally far to both sides of the middle", () => {
  const payload = book(1n, BookState.BOOK_LIVE).payload;
  assert.ok(payload.case === "book");
  const chart = depth(payload.value, { price: 2, quantity: 0 });
  assert.ok(chart !== undefined);
  // middle 100.05; the lowest bid is 0.35 away: that is the whole half, 0.05 a seventh of it
  assert.equal(chart.bids[2]?.x, 0);
  assert.ok(Math.abs((chart.bids[0]?.x ?? 0) - (0.5 - 0.5 / 7)) < 1e-5);
  assert.ok(Math.abs((chart.asks[1]?.x ?? 0) - (0.5 + (0.5 * 3) / 7)) < 1e-5);
  assert.deepEqual([chart.low, chart.high, chart.most], ["99.70", "100.20", "4"]);
  assert.equal(chart.bids[2]?.y, 1);
  assert.equal(outline([{ x: 0.5, y: 0.5 }, { x: 0, y: 1 }], 100, 10), "M50.0 10L50.0 10.0L50.0 5.0L0.0 5.0L0.0 0.0L0.0 10Z");
  assert.equal(outline([], 1, 1), "");
  payload.value.asks = undefined;
  assert.equal(depth(payload.value, { price: 0, quantity: 0 }), undefined);
});

test("levels beyond what a double holds are shown to the last digit", () => {
  const event = book(1n, BookState.BOOK_LIVE);
  assert.ok(event.payload.case === "book" && event.payload.value.bids);
  event.payload.value.bids.quantities = [9007199254740993n, 1n, 1n];
  const again = decode(toBinary(EventSchema, event));
  assert.ok(again?.payload.case === "book");
  assert.equal(ladder(again.payload.value, 3, { price: 0, quantity: 0 }).bids[2]?.total, "9007199254740.995");
});

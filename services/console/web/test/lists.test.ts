import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BookState, EventSchema, EventType, StatusKind } from "../gen/meltica/v1/event_pb";
import { AuditFeed, parseAudit, RECORDS_MAX } from "../src/audit";
import { Board, instrumentName, INSTRUMENTS_MAX } from "../src/board";
import { outcome, parseDescribe, parseList, parseObject, readInstruments, subscribeRequest, unsubscribeRequest } from "../src/control";
import { glance } from "../src/wire";

type Init = Parameters<typeof create<typeof EventSchema>>[1];

function put(board: Board, init: Init, ms = 1_000): void {
  const bytes = toBinary(EventSchema, create(EventSchema, init));
  const seen = glance(bytes);
  assert.ok(seen);
  board.take(seen, bytes, ms);
}

test("the board shows the last trade, else the best bid, and the state of the book", () => {
  const board = new Board();
  const instrument = "BTC-USDT";
  put(board, { instrument, type: EventType.BBO, payload: { case: "bbo", value: { bidPrice: { mantissa: 10n, exponent: -1 } } } });
  assert.equal(board.get(instrument)?.price(), "1");
  put(board, { instrument, type: EventType.TRADE, payload: { case: "trade", value: { price: { mantissa: 205n, exponent: -2 } } } });
  put(board, { instrument, type: EventType.BBO, payload: { case: "bbo", value: { bidPrice: { mantissa: 11n, exponent: -1 } } } });
  assert.equal(board.get(instrument)?.price(), "2.05");
  put(board, { instrument, type: EventType.BOOK, payload: { case: "book", value: { state: BookState.BOOK_LIVE } } });
  assert.equal(board.get(instrument)?.state, BookState.BOOK_LIVE);
  put(board, { instrument, type: EventType.STATUS, payload: { case: "status", value: { kind: StatusKind.GAP } } });
  put(board, { instrument, type: EventType.STATUS, payload: { case: "status", value: { kind: StatusKind.LOST } } });
  put(board, { instrument, type: EventType.STATUS, payload: { case: "status", value: { kind: StatusKind.SOURCE_DOWN } } });
  const row = board.get(instrument);
  assert.deepEqual([row?.state, row?.lost, row?.sourceDown, row?.events], [BookState.BOOK_GAP, 1, true, 7]);
  put(board, { instrument, type: EventType.STATUS, payload: { case: "status", value: { kind: StatusKind.SOURCE_UP } } });
  assert.equal(board.get(instrument)?.sourceDown, false);
});

test("the board keeps no event that is larger than ours are", () => {
  const board = new Board();
  const price = { mantissa: 205n, exponent: -2 };
  const trade = { instrument: "BTC-USDT", type: EventType.TRADE, payload: { case: "trade" as const, value: { price } } };
  put(board, { ...trade, source: { exchange: "x".repeat(2_000) } });
  assert.equal(board.get("BTC-USDT")?.price(), "");
  put(board, trade);
  assert.equal(board.get("BTC-USDT")?.price(), "2.05");
});

test("the board is bounded, ordered and filtered", () => {
  const board = new Board();
  for (let i = 0; i < INSTRUMENTS_MAX + 5; i++) {
    put(board, { instrument: `X${String(i).padStart(5, "0")}-USDT`, type: EventType.TICKER });
  }
  assert.deepEqual([board.size, board.refused], [INSTRUMENTS_MAX, 5]);
  assert.deepEqual(board.list("x0001", 3).map((r) => r.instrument), ["X00010-USDT", "X00011-USDT", "X00012-USDT"]);
});

test("tokens for people", () => {
  assert.equal(instrumentName("=E5=B8=81-USDT"), "币-USDT");
  assert.equal(instrumentName("A%B-C"), "A%B-C");
  assert.equal(instrumentName("=FF-USDT"), "=FF-USDT");
});

test("requests, and answers in one sentence", () => {
  assert.deepEqual(readInstruments(" btc-usdt, ETH-*  btc-usdt\n=E5=B8=81-USDT "), ["BTC-USDT", "ETH-*", "=E5=B8=81-USDT"]);
  assert.deepEqual(JSON.parse(subscribeRequest("desk", "BOOK", ["A-B"], 0)), { consumer: "desk", type: "BOOK", instruments: ["A-B"] });
  assert.equal((JSON.parse(subscribeRequest("d", "BOOK", ["A-B"], 60)) as { ttl_s: number }).ttl_s, 60);
  const say = (json: string): { ok: boolean; text: string } => outcome("Subscribe", parseObject(json) ?? {});
  assert.deepEqual(say('{"status":"CONFIRMED","type":"BOOK","instruments":["A-B"],"took_ms":12}'), {
    ok: true,
    text: "Subscribe confirmed in 12 ms: BOOK A-B",
  });
  assert.deepEqual(say('{"status":"REJECTED","code":403,"message":"the role may not","field":"type"}'), {
    ok: false,
    text: "Subscribe refused, 403: the role may not (type)",
  });
  assert.equal(say('{"status":"FAILED","message":"m"}').ok, false);
  assert.match(say('{"status":"PENDING","message":"m"}').text, /not yet in effect/);
});

test("lists and offers", () => {
  const [first, second] = parseList({
    subscriptions: [
      { subscription: "ab", consumer: "c", type: "BOOK", instruments: ["A-B"], channel: "private", throttle_ms: 500, state: "CONFIRMED",
        filter: [{ field: "state", op: "eq", value: "LIVE" }], lease_end_ns: "123", lease_left_s: 50 },
      { subscription: "cd", consumer: "c", type: "TRADE", instruments: [], channel: "shared", state: "PENDING" },
    ],
  });
  assert.deepEqual([first?.terms, first?.leaseLeft], ["private, every 500 ms, state eq LIVE", 50]);
  assert.deepEqual([second?.terms, second?.leaseLeft], ["", undefined]);
  assert.deepEqual(JSON.parse(unsubscribeRequest(first!)), { consumer: "c", subscription: "ab" });
  const offer = parseDescribe({ revision: "9", types: [{ type: "BOOK" }, { type: "INSTRUMENT" }], subscriptions: [{ id: "all", type: "BOOK", instruments: ["*"] }] });
  assert.deepEqual([offer.types, offer.fixed[0]?.fixed, offer.revision], [["BOOK"], true, "9"]);
  assert.deepEqual(parseList({}), []);
});

test("the audit feed: newest first, each once, so many and no more", () => {
  const record = parseAudit('{"time_ns":"1790000000123456789","verb":"subscribe","principal":"local","consumer":"c","type":"BOOK","instruments":["A","B","C","D"],"outcome":"rejected","code":404,"message":"m"}');
  assert.deepEqual(record, {
    timeMs: 1_790_000_000_123,
    outcome: "REJECTED",
    verb: "subscribe",
    who: "local / c",
    what: "BOOK A, B, C and 1 more",
    message: "404 m",
  });
  for (const bad of ["", "{}", '{"time_ns":5}', '{"time_ns":"x"}', "[]"]) {
    assert.equal(parseAudit(bad), undefined);
  }
  assert.ok(record);
  const feed = new AuditFeed();
  assert.ok(feed.take(5, record) && feed.take(3, record));
  assert.ok(!feed.take(5, record));
  assert.deepEqual(feed.list().map((r) => r.sequence), [5, 3]);
  for (let i = 10; i < 10 + RECORDS_MAX; i++) {
    feed.take(i, record);
  }
  assert.equal(feed.list().length, RECORDS_MAX);
  assert.ok(!feed.take(1, record), "older than all that are kept");
  assert.equal(feed.newest(), 9 + RECORDS_MAX);
});

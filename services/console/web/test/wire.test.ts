import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  BookState,
  EventSchema,
  EventType,
  SnapshotRecordSchema,
  StatusKind,
} from "../gen/meltica/v1/event_pb";
import { decode, decodeRecord, glance, isToken, qualityWords, TYPE_NAMES } from "../src/wire";

const event = create(EventSchema, {
  instrument: "BTC-USDT",
  type: EventType.BOOK,
  key: 0x7691066f1c161656n,
  epoch: 1_790_000_000_000_000_000n,
  sequence: 42n,
  source: { route: 3, exchange: "binance" },
  traceId: new Uint8Array(16).fill(7),
  stamps: {
    received: 1_790_000_000_123_456_789n,
    exchangeStamp: { case: "exchange", value: -1_500_000n },
    adaptedStamp: { case: "adapted", value: 10_000n },
    dispatchedStamp: { case: "dispatched", value: 200_000n },
    conductedStamp: { case: "conducted", value: 9_000_000n },
    publishedStamp: { case: "published", value: 9_300_000n },
  },
  quality: 65,
  throttledNs: 8_000_000n,
  payload: {
    case: "book",
    value: { state: BookState.BOOK_STALE, lastUpdateId: 5n, bids: { prices: [3n, 2n], quantities: [1n, 1n] } },
  },
});

test("a glance sees what the whole decoder sees", () => {
  const bytes = toBinary(EventSchema, event);
  assert.deepEqual(glance(bytes), {
    instrument: "BTC-USDT",
    type: EventType.BOOK,
    epoch: 1_790_000_000_000_000_000n,
    sequence: 42n,
    quality: 65,
    throttled: 8_000_000,
    stages: {
      received: 1_790_000_000_123_456_789n,
      exchange: -1_500_000,
      adapted: 10_000,
      dispatched: 200_000,
      conducted: 9_000_000,
      published: 9_300_000,
    },
    word: BookState.BOOK_STALE,
  });
  const whole = decode(bytes);
  assert.equal(whole?.stamps?.received, 1_790_000_000_123_456_789n);
  assert.ok(whole?.payload.case === "book" && whole.payload.value.lastUpdateId === 5n);
});

test("stamps that are not there are unknown, and a STATUS has its kind", () => {
  const seen = glance(
    toBinary(
      EventSchema,
      create(EventSchema, {
        instrument: "A-B",
        type: EventType.STATUS,
        payload: { case: "status", value: { kind: StatusKind.LOST, heads: [{ type: EventType.TRADE, sequence: 3n }] } },
      }),
    ),
  );
  assert.equal(seen?.word, StatusKind.LOST);
  assert.equal(seen?.stages.adapted, undefined);
});

test("bytes that are no event, cut or turned, never throw", () => {
  const bytes = toBinary(EventSchema, event);
  assert.equal(glance(new Uint8Array()), undefined);
  for (let cut = 1; cut < bytes.length; cut++) {
    glance(bytes.subarray(0, cut));
    decode(bytes.subarray(0, cut));
  }
  for (let at = 0; at < bytes.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const turned = bytes.slice();
      turned[at] = (turned[at] ?? 0) ^ flip;
      glance(turned);
      decode(turned);
    }
  }
});

test("a record of the bucket has the BOOK inside", () => {
  const record = toBinary(SnapshotRecordSchema, create(SnapshotRecordSchema, { event: toBinary(EventSchema, event) }));
  assert.equal(decodeRecord(record)?.sequence, 42n);
  assert.equal(decodeRecord(new Uint8Array([0xff, 0xff])), undefined);
});

test("quality bits have words, also those that are not known yet", () => {
  assert.deepEqual(qualityWords(0), []);
  assert.deepEqual(qualityWords(1 | 16 | 64), ["stale", "depth limited", "conflated"]);
  assert.deepEqual(qualityWords(0x80000000), ["bit 31"]);
});

test("types have the names of the contract", () => {
  for (const [number, name] of TYPE_NAMES.entries()) {
    if (number > 0) {
      assert.equal(EventType[number], name);
    }
  }
});

test("an instrument that is no token is no event of ours", () => {
  for (const instrument of ["A B", "BTC-USDT\r\nPUB x", "*", ">", "a.b", "é", "\u202eTDSU", "A".repeat(97)]) {
    assert.equal(isToken(instrument), false);
    assert.equal(glance(toBinary(EventSchema, { ...event, instrument })), undefined, instrument);
  }
  for (const instrument of ["BTC-USDT", "1000SATS-USDT", "a_b-=E5=B8=81", "A".repeat(96)]) {
    assert.equal(isToken(instrument), true);
    assert.equal(glance(toBinary(EventSchema, { ...event, instrument }))?.instrument, instrument);
  }
});
